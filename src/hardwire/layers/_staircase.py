"""A rising staircase of a wide value: a table of cells, and one comparison with the only step in the cell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hardwire.fixed import Ints, Rounding
from hardwire.ir.builder import KernelBuilder

_MAX_CELLS = 1 << 12
_MAX_STEPS = 1 << 14


def staircase(b: KernelBuilder, a: int, codes: Callable[[Ints], Ints]) -> int | None:
    """Return the value `codes(a)` for a function of int64 arrays that never falls, exact for every `a` in its range.

    Between its first and last step the range is cut into cells of a power of two with one step at most; None where
    these would be too many.
    """
    lo, hi = b.range(a)
    first, last = (int(code) for code in codes(np.array([lo, hi], np.int64)))
    if first == last:
        return b.const(first)
    if last - first > _MAX_STEPS:
        return None
    levels = np.arange(first + 1, last + 1, dtype=np.int64)
    # Bisection of all steps at once: the value is below the level at `low`, not at `high`.
    low, high = np.full(len(levels), lo, np.int64), np.full(len(levels), hi, np.int64)
    while np.any(high - low > 1):
        middle = low + (high - low) // 2
        reached = codes(middle) >= levels
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    edges, counts = np.unique(high, return_counts=True)
    start, end = int(edges[0]) - 1, int(edges[-1])
    least = int(np.diff(edges).min(initial=end - start + 1))
    shift = least.bit_length() - 1
    if (end - start) >> shift >= _MAX_CELLS:
        return None
    inside = b.linear([b.clamp(a, start, end)], [1], -start)
    cell = b.round(inside, shift, Rounding.TRN)
    below = b.wrap(inside, shift, False) if shift else b.const(0)
    cells = ((end - start) >> shift) + 1
    where, steps = np.full(cells, 1 << shift, np.int64), np.zeros(cells, np.int64)
    place = (edges - start) >> shift
    where[place], steps[place] = (edges - start) & ((1 << shift) - 1), counts
    base = first + np.concatenate([[0], np.cumsum(steps)[:-1]])
    if not shift:  # every code is a cell
        return b.table(cell, base + steps)
    value, rise = b.table(cell, base), b.table(cell, steps)
    beyond = b.less(below, b.table(cell, where))
    return b.linear([value, b.select(beyond, b.const(0), rise)], [1, 1])
