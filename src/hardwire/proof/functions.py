"""Functions of few bits in canonical form, so that tables which were joined, moved or re-addressed compare as equal.

A table whose operand is a function of a few small atoms (its bases) is enumerated over all their codes. Equal functions
of the same bases are the same whatever ops they came from; a function that is a sum of functions of fewer bases becomes
that sum, each part scaled to be free of constants and common factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_BASE_CODES = 128
"""Codes of a base, at most."""
MOST_POINTS = 1 << 14
"""Combinations of base codes that are enumerated."""

Values = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Function:
    """`values` int64 over the codes of `bases` (atoms, ascending), one axis each, from each base's lowest code."""

    bases: tuple[int, ...]
    values: Values


def total(parts: Sequence[tuple[int, Function]], constant: int) -> Function | None:
    """Σ coefficient · function + constant over the union of the bases; None where that has too many points."""
    sizes: dict[int, int] = {}
    for _, part in parts:
        sizes |= dict(zip(part.bases, part.values.shape, strict=True))
    bases = tuple(sorted(sizes))
    if prod(sizes.values()) > MOST_POINTS:
        return None
    values = np.full([sizes[base] for base in bases], constant, np.int64)
    for coef, part in parts:
        shape = [sizes[base] if base in part.bases else 1 for base in bases]
        values = values + coef * part.values.reshape(shape)
    return Function(bases, values)


def additive_parts(function: Function) -> tuple[int, list[Function]]:
    """(constant, parts): the finest sum that the function is, each part 0 where all of its bases are lowest.

    Two bases belong together where the second difference over both is not 0 everywhere. Bases that do not matter are
    in no part.
    """
    values, axes = function.values, range(function.values.ndim)
    constant = int(values.flat[0])
    moves = [values - values.take([0], axis) for axis in axes]
    group = list(axes)
    for j in axes:
        for i in range(j):
            if group[i] != group[j] and np.any(moves[i] != moves[i].take([0], j)):
                group = [group[i] if g == group[j] else g for g in group]
    parts = []
    for g in sorted(set(group)):
        at = tuple(slice(None) if group[axis] == g else 0 for axis in axes)
        part = values[at] - constant
        if np.any(part):
            parts.append(Function(tuple(function.bases[axis] for axis in axes if group[axis] == g), part))
    return constant, parts


def scaled(values: Values) -> tuple[int, Values]:
    """(factor, values / factor): free of common factors, the first that is not 0 positive."""
    flat = values.reshape(-1)
    factor = int(np.gcd.reduce(flat))
    if flat[np.flatnonzero(flat)[0]] < 0:
        factor = -factor
    return factor, values // factor
