"""HGQ2's small floating-point numbers: m mantissa bits, e exponent bits around the offset e0, no infinities.

As the package `quantizers` computes them (`float_quantize`), in float32. A whole tensor of one type is a staircase.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Floats = NDArray[np.float64]

_FUZZ = np.float32(1e-7)
MAX_LEVELS = 1 << 14
"""Most values of one sign of a type that becomes a staircase."""


def quantised(x: Any, m: Any, e: Any, e0: Any) -> Float32:
    """Round `x` to the type; `m`, `e`, `e0` broadcast to it and are whole."""
    x, m, e, e0 = (np.asarray(part, np.float32) for part in (x, m, e, e0))
    wanted = np.floor(np.log2(np.abs(x) + _FUZZ))
    half = np.maximum(np.exp2(e - 1), np.float32(1))
    top = half + e0 - 1
    exponent = np.clip(wanted, -half + e0 + 1, top)
    scale = np.exp2(exponent - m)
    most = np.where(top != exponent, np.exp2(m + 1), np.exp2(m + 1) - 1)
    return np.asarray(np.clip(np.rint(x / scale), -most, most) * scale, np.float32)


def staircase(m: int, e: int, e0: int) -> tuple[Floats, Floats] | None:
    """Thresholds and levels (`layers/steps.py`) of a type; None where it has too many values or is no staircase."""
    half = max(2 ** (e - 1), 1)
    bottom, top = int(-half + e0 + 1), int(half + e0 - 1)
    # Without a mantissa the largest exponent means zero, the others do not.
    if (m < 0 and top > bottom) or (top - bottom + 2) * 2 ** max(m, 0) > MAX_LEVELS:
        return None
    mantissas = np.arange(2 ** (m + 1) + 1)
    values = np.concatenate([np.ldexp(mantissas.astype(np.float64), power - m) for power in range(bottom, top + 1)])
    levels = np.unique(quantised(np.concatenate([-values, values]), m, e, e0).astype(np.float64) + 0.0)
    between = (levels[:-1] + levels[1:]) / 2
    below, above = (np.nextafter(between.astype(np.float32), np.float32(side)) for side in (-np.inf, np.inf))
    if not (np.all(quantised(below, m, e, e0) == levels[:-1]) and np.all(quantised(above, m, e, e0) == levels[1:])):
        return None
    up = quantised(between, m, e, e0) == levels[1:]
    return np.where(up, between, np.nextafter(between, np.inf)), levels
