"""What the import rules of ATen operators share: operands, axes that count the batch.

A record holds the variable operands in `inputs`, constant tensors in arrays by position (`"0"`, `"1"`, …) and all
other arguments as attributes by their name in the operator's schema.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import UnsupportedError
from hardwire.layers._axes import without_batch
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

MAX_FLOAT32 = float(np.finfo(np.float32).max)


def single(record: Record) -> str:
    """Return the one variable operand."""
    if len(record.inputs) != 1:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): {len(record.inputs)} operands computed by the model, expected one",
            hint="only a constant is supported as the other operand of this operator",
        )
    return record.inputs[0]


def axis(record: Record, attr: str, default: int | None, rank: int) -> int:
    """Take an axis and return it without the batch axis, ≥ 0; `rank` is without it too."""
    return without_batch(record, attr, record.take(attr, default), rank)


def number(record: Record, attr: str, default: float | None = None) -> float:
    """Take a finite number; its absence is an error where there is no default."""
    value = record.take(attr) if default is None else record.take(attr, default)
    return _checked(record, attr, value)


def bound(record: Record, attr: str, default: float | None = None) -> float | None:
    """Take a number that may be absent; an infinite bound is none."""
    value = record.take(attr, default)
    return None if value is None or value in (float("inf"), float("-inf")) else _checked(record, attr, value)


def _checked(record: Record, attr: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MAX_FLOAT32:
        raise record.unsupported(attr, value, "a finite number is expected")
    return float(value)


def constant(record: Record, position: int, rank: int) -> NDArray[Any]:
    """Return a constant operand that broadcasts with a tensor of `rank` axes (batch not counted)."""
    return batch_free(record, record.array(str(position)), rank)


def batch_free(record: Record, value: NDArray[Any], rank: int) -> NDArray[Any]:
    """Return a constant without its batch axis; refused where examples differ."""
    if value.ndim == rank + 1 and value.shape[0] == record.versions.get("batch") and np.all(value == value[:1]):
        value = value[:1]  # made for the batch that was traced, the same for every example
    while value.ndim > rank and value.shape[0] == 1:
        value = value.reshape(value.shape[1:])
    if value.ndim > rank:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): the constant operand of shape {value.shape} differs by example",
            hint="only constants that are the same for every example of a batch are supported",
        )
    return value


def same_rank(record: Record, net: NetworkBuilder) -> None:
    """Refuse operands of different rank: the batch axis of one would meet another axis of the other."""
    shapes = [net.shape(tensor) for tensor in record.inputs]
    if len({len(shape) for shape in shapes}) > 1:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): operands of the shapes {' and '.join(map(str, shapes))} "
            "(without the batch) differ in rank",
            hint="unsqueeze or reshape them to one rank first",
        )
