"""Axes of source formats count the batch axis; those of a Network do not."""

from __future__ import annotations

from typing import Any

from hardwire.network.records import Record


def without_batch(record: Record, attr: str, value: Any, rank: int) -> int:
    """Return an axis of the source format (batch axis counted, maybe negative) without the batch axis, ≥ 0.

    `rank` does not count the batch axis. Raises `UnsupportedError` naming layer and attribute for the batch axis.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not -rank - 1 <= value <= rank:
        raise record.unsupported(attr, value, f"an axis of a tensor with {rank + 1} axes is expected")
    if value in (0, -rank - 1):
        raise record.unsupported(attr, value, "it is the batch axis; examples must not be mixed")
    return value - 1 if value > 0 else value + rank
