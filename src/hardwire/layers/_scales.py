"""Exact arithmetic on scales and on arrays of reals: every float is an integer times a power of two."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from math import gcd, lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.fixed import Floats, Ints

_LARGE_FACTOR = 1 << 10
"""Common factor of a column's codes from which it is worth a scale that is no power of two."""


def common_scale(values: Iterable[Fraction]) -> Fraction:
    """Greatest positive Fraction of which every value is an integer multiple; 1 when all are zero."""
    top, bottom = 0, 1
    for value in values:
        if value:
            # gcd(a/b, c/d) = gcd(a·d, c·b) / (b·d), kept reduced by working over the common denominator.
            merged = lcm(bottom, value.denominator)
            top = gcd(top * (merged // bottom), abs(value.numerator) * (merged // value.denominator))
            bottom = merged
    return Fraction(top, bottom) if top else Fraction(1)


def integer_ratio(value: Fraction, unit: Fraction) -> int | None:
    """Return `value / unit` as an int, or None when it is none."""
    ratio = value / unit
    return ratio.numerator if ratio.denominator == 1 else None


def numbered(values: NDArray[Any]) -> Ints:
    """Integers, equal where the objects of an array are, int64 in its shape.

    Tensors share few scale objects among many elements: each object is compared once. Axes of stride 0 (from
    broadcasting) are looked at once.
    """
    once = values[(..., *(slice(0, 1) if stride == 0 else slice(None) for stride in values.strides))]
    flat = once.ravel()
    ids = np.fromiter(map(id, flat.tolist()), np.int64, flat.size)
    _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    known: dict[Any, int] = {}
    numbers = np.array([known.setdefault(value, len(known)) for value in flat[first].tolist()], np.int64)
    found = numbers[inverse.reshape(-1)] if flat.size else np.zeros(0, np.int64)
    return np.broadcast_to(found.reshape(once.shape), values.shape)


def each(rule: Callable[..., Any], *arrays: NDArray[Any]) -> NDArray[Any]:
    """`rule` of the elements of equally shaped object arrays, called once for every different set of them."""
    still = [all(one.strides[axis] == 0 for one in arrays) for axis in range(arrays[0].ndim)]
    place = (..., *(slice(0, 1) if same else slice(None) for same in still))
    once = [one[place] for one in arrays]
    rows = np.stack([numbered(one).ravel() for one in once], axis=1)
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    columns = [one.ravel()[first].tolist() for one in once]
    results = np.empty(len(first), object)
    results[:] = [rule(*values) for values in zip(*columns, strict=True)]
    return np.broadcast_to(results[inverse.reshape(-1)].reshape(once[0].shape), arrays[0].shape)


def same_scales(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Whether two arrays of scales are equal element by element (after broadcasting)."""
    # Indexing an array by one of no axes gives the object itself.
    both = [np.asarray(one, object) for one in (first, second)]
    shape = np.broadcast_shapes(*(one.shape for one in both))
    pair = [np.broadcast_to(one, shape) for one in both]
    # Axes along which neither changes need not be looked at.
    still = [all(one.strides[axis] == 0 for one in pair) for axis in range(len(shape))]
    place = (..., *(slice(0, 1) if same else slice(None) for same in still))
    numbers = numbered(np.stack([one[place] for one in pair]))
    return np.array_equal(numbers[0], numbers[1])


def lsb_exponent(values: Floats) -> Ints:
    """Exponent of each float64's lowest set bit (value = odd × 2^e), int64; a large number for zeros."""
    mantissa, exponent = np.frexp(values)
    codes = np.ldexp(mantissa, 53).astype(np.int64)
    lowest = codes & -codes
    trailing = np.where(codes != 0, np.log2(np.maximum(lowest, 1).astype(np.float64)), 0).astype(np.int64)
    return np.where(codes != 0, exponent.astype(np.int64) - 53 + trailing, 1 << 20)


def _large_factor(column: list[int]) -> int:
    """Common factor of integers if it is large; 1 where it is not, or where fewer than two values show it."""
    factor = gcd(*column) if sum(code != 0 for code in column) > 1 else 1
    return factor if factor >= _LARGE_FACTOR else 1


def column_codes(values: Floats, scale: NDArray[Any] | None = None) -> tuple[NDArray[Any], list[Fraction]]:
    """Write a real matrix (k, m) column by column as exact integers times a scale.

    With `scale` (float64 (m,) or scalar: codes × scale is meant) `values` are the codes already. A large common factor
    of a column's codes joins its scale: it shows that they are short codes of a real scale. Returns Python-int codes as
    an object array (k, m) and the scale of each column.
    """
    m = values.shape[1]
    if scale is not None:
        units = [Fraction(float(s)) for s in np.broadcast_to(scale, (m,))]
        return values.astype(np.int64).astype(object), units
    exponents = lsb_exponent(values)
    lowest = exponents.min(axis=0) if len(values) else np.full(m, 1 << 20)
    lowest = np.where(lowest == 1 << 20, 0, lowest)
    codes = np.ldexp(values, -lowest[None, :].astype(np.int32))
    small = np.abs(codes) < 2.0**62
    if small.all():
        exact = codes.astype(np.int64).astype(object)
    else:
        exact = np.array([[int(c) for c in row] for row in codes], object).reshape(codes.shape)
    factors = [_large_factor(column) for column in exact.T.tolist()]
    if any(factor > 1 for factor in factors):
        exact = exact // np.array(factors, object)
    return exact, [Fraction(2) ** int(e) * factor for e, factor in zip(lowest, factors, strict=True)]
