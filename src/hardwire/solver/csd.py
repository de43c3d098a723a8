"""Canonical signed digits (non-adjacent form): the unique signed binary form with no two adjacent nonzero digits.

It has the fewest nonzero digits of all signed binary forms, about b/3 for a b-bit number (Reitwiesner 1960).
With x3 = 3x, the positive digits of x ≥ 0 are the bits of `(x3 & ~x) >> 1` and the negative ones those of
`(x & ~x3) >> 1`; hence the number of nonzero digits is `popcount(x ^ 3x)`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import DataError

MAX_MAGNITUDE = 1 << 60
"""Largest magnitude that `csd_masks` takes: 3x must fit 63 bits."""


def csd_masks(values: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Positions of the positive and of the negative digits of each value, as bit masks.

    `values` is an int64 array of any shape; both results have its shape, and
    `values == positive - negative` element for element. Raises DataError above `MAX_MAGNITUDE`.
    """
    values = np.asarray(values, dtype=np.int64)
    if values.size and (values.max() > MAX_MAGNITUDE or values.min() < -MAX_MAGNITUDE):
        raise DataError(
            f"constant {int(values.flat[np.argmax(np.abs(values.astype(np.float64)))])} is beyond ±2^60",
            hint="scale the constants down; values are at most 62 bits wide",
        )
    magnitude = np.abs(values).astype(np.uint64)
    triple = magnitude * np.uint64(3)
    positive = (triple & ~magnitude) >> np.uint64(1)
    negative = (magnitude & ~triple) >> np.uint64(1)
    flip = values < 0
    return np.where(flip, negative, positive), np.where(flip, positive, negative)


def csd_digits(values: NDArray[np.int64]) -> NDArray[np.int8]:
    """Digits -1, 0, +1, least significant first, on a new last axis just long enough for the largest value."""
    positive, negative = csd_masks(values)
    used = int(np.bitwise_or.reduce((positive | negative).ravel(), initial=np.uint64(0)))
    places = np.arange(max(used.bit_length(), 1), dtype=np.uint64)
    one = np.uint64(1)
    plus = (positive[..., None] >> places) & one
    minus = (negative[..., None] >> places) & one
    return plus.astype(np.int8) - minus.astype(np.int8)


def csd_weight(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of nonzero digits of each value; same shape as `values`."""
    positive, negative = csd_masks(values)
    return popcount(positive | negative)


def popcount(bits: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Number of set bits of each mask (by halves, since numpy < 2 has no bitwise_count)."""
    for shift, mask in ((1, 0x5555555555555555), (2, 0x3333333333333333), (4, 0x0F0F0F0F0F0F0F0F)):
        bits = (bits & np.uint64(mask)) + ((bits >> np.uint64(shift)) & np.uint64(mask))
    return ((bits * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.int64)
