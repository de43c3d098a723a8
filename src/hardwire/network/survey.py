"""A survey of what a model has that hardwire does not support: every item, not only the first.

Outside of a survey, frontends stop at the first unsupported layer. Within `survey()`, they note it and go on with a
placeholder for each of its outputs: of the right shape where the file says it, else unknown, and then layers that read
it are checked by their kind alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass

from hardwire.errors import ModelError

_NO_HINT = "replace it with supported layers, or report it with the model file"


@dataclass(frozen=True)
class Unsupported:
    """A layer (or operator) that cannot be read: its name and kind in the model, why, and what to try."""

    name: str
    kind: str
    reason: str
    hint: str

    def as_row(self) -> dict[str, str]:
        """Return it as a row of `hardwire inspect`."""
        return asdict(self)


_found: ContextVar[list[Unsupported] | None] = ContextVar("found", default=None)


@contextmanager
def survey() -> Iterator[list[Unsupported]]:
    """Collect what is unsupported while a model is loaded; the Network that comes out is for looking at only."""
    found: list[Unsupported] = []
    token = _found.set(found)
    try:
        yield found
    finally:
        _found.reset(token)


def surveying() -> bool:
    """Whether a survey is on."""
    return _found.get() is not None


def noted(error: ModelError, name: str, kind: str) -> bool:
    """Note an error of a layer and return True within a survey; False where it is to be raised."""
    found = _found.get()
    if found is None:
        return False
    # The message begins with the layer and its kind, which have columns of their own.
    reason = re.sub(rf"^layer {re.escape(repr(name))}( \([^)]*\))?: ", "", error.what)
    item = Unsupported(name, kind, reason, error.hint or _NO_HINT)
    if item not in found:
        found.append(item)
    return True
