"""Index arithmetic of generated loops: affine expressions as text, and loop nests found in lists of positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.ir.program import Ids


@dataclass(frozen=True, slots=True)
class Index:
    """`start + Σ factor · variable`, an array index of C++."""

    start: int = 0
    terms: tuple[tuple[int, str], ...] = ()

    @classmethod
    def of(cls, variable: str) -> Index:
        """The variable itself."""
        return cls(0, ((1, variable),))

    def scaled(self, factor: int) -> Index:
        """Return the index times a constant."""
        terms = tuple((factor * f, variable) for f, variable in self.terms) if factor else ()
        return Index(factor * self.start, terms)

    def __add__(self, other: Index | int) -> Index:
        if isinstance(other, int):
            return Index(self.start + other, self.terms)
        return Index(self.start + other.start, self.terms + other.terms)

    def __str__(self) -> str:
        parts = [f"{f} * {variable}" if f != 1 else variable for f, variable in self.terms]
        text = parts[0] if parts else str(self.start)
        for part in parts[1:]:
            text += f" - {part[1:]}" if part.startswith("-") else f" + {part}"
        if parts and self.start:
            text += f" - {-self.start}" if self.start < 0 else f" + {self.start}"
        return text


def affine(values: list[int]) -> tuple[int, int] | None:
    """`(step, first)` of an arithmetic sequence (step 0 for one value); None for any other."""
    if len(values) == 1:
        return 0, values[0]
    step = values[1] - values[0]
    return (step, values[0]) if all(b - a == step for a, b in zip(values, values[1:], strict=False)) else None


def runs(pairs: list[tuple[int, int]]) -> list[tuple[int, int, int, int, int]]:
    """Cut `(target, source)` pairs into runs in which both advance by constant steps.

    Returns `(count, target, target step, source, source step)` of each, in order.
    """
    found = []
    at = 0
    while at < len(pairs):
        (t, s), end = pairs[at], at + 1
        dt = ds = 0
        if end < len(pairs):
            dt, ds = pairs[end][0] - t, pairs[end][1] - s
            while end < len(pairs) and pairs[end] == (t + dt * (end - at), s + ds * (end - at)):
                end += 1
        if 1 < end - at < 3 and end < len(pairs):
            # Two of them are no run: the second one may begin a longer one.
            end, dt, ds = at + 1, 0, 0
        found.append((end - at, t, dt, s, ds))
        at = end
    return found


@dataclass(frozen=True, slots=True)
class Level:
    """One loop: how often it runs, and by how much each of several indices advances."""

    count: int
    steps: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Nest:
    """Loops, outermost first, that go through the rows of a list of index tuples.

    `first` is the first row. Where the rows are irregular, `table` (rows, indices) holds the first rows of an outermost
    loop around `levels`; it is None otherwise.
    """

    first: tuple[int, ...]
    levels: tuple[Level, ...]
    table: NDArray[Any] | None = None


def nest(rows: Ids | NDArray[Any]) -> Nest:
    """Find the loops that run through `rows` (n, indices) in order."""
    rows = np.asarray(rows)
    levels: list[Level] = []
    while len(rows) > 1:
        count = _innermost(rows)
        if count == 1:
            return Nest(tuple(rows[0].tolist()), tuple(levels), rows)
        levels.insert(0, Level(count, tuple((rows[1] - rows[0]).tolist())))
        rows = rows[::count]
    return Nest(tuple(rows[0].tolist()), tuple(levels))


def _innermost(rows: NDArray[Any]) -> int:
    """Length of the innermost loop, at most the first arithmetic run; 1 for none."""
    steps = np.diff(rows, axis=0)
    same = np.all(steps == steps[0], axis=1)
    longest = len(rows) if same.all() else int(np.argmin(same)) + 1
    inside = np.arange(1, len(rows))
    for count in range(longest, 1, -1):
        if len(rows) % count == 0 and same[inside % count != 0].all():
            return count
    return 1
