"""Steps of the grids that a file's weights were trained on, noted while it is read, for those who train them further.

A Network holds weights as values alone, which is all that a design needs: 0.5 does not tell whether it might have been
0.53. Import rules note the steps beside them (`note`); `noting` collects what is noted within it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from hardwire.fixed import Floats

Steps = Mapping[bytes, Floats]
"""Steps by the bytes of the values; a rule may reshape its values before they become a parameter."""

_noted: ContextVar[dict[bytes, Floats] | None] = ContextVar("noted", default=None)


def note(values: Floats, steps: Floats) -> None:
    """Say that each of `values` is a multiple of its step; `steps` broadcasts to them."""
    noted = _noted.get()
    if noted is not None and np.any(values):
        noted[_key(values)] = np.broadcast_to(np.asarray(steps, np.float64), values.shape).copy()


@contextmanager
def noting() -> Iterator[Steps]:
    """Collect what is noted while a file is read."""
    noted: dict[bytes, Floats] = {}
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)


def steps_of(values: Floats, steps: Steps) -> Floats | None:
    """Return the steps of a parameter, in its shape, or None where none were noted."""
    found = steps.get(_key(values))
    return None if found is None else found.reshape(values.shape)


def _key(values: Floats) -> bytes:
    return np.ascontiguousarray(values, np.float64).tobytes()
