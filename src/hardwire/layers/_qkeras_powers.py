"""Where QKeras' power-of-two quantisers step, as thresholds and levels over |x|.

The exponent is `round(log2 |x|)` (or its floor), which QKeras computes in float32: between powers of two it steps at an
irrational number, which no fixed-point value meets; where the step is at a power of two itself, float32 logarithms
decide to which side it belongs. The thresholds are therefore searched among the float32 numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hardwire.fixed import Floats

EPSILON = float(np.float32(1e-7))
"""Below it, QKeras takes the lowest exponent, which the quadratic approximation does not double there."""


def magnitude_steps(settings: Mapping[str, Any], relu: bool) -> tuple[Floats, Floats]:
    """Thresholds (t,) and levels (t + 1,) of the result as a function of |x| ≥ 0.

    `settings` are those of `quantized_po2` or, with `relu`, `quantized_relu_po2`, which has no sign bit.
    """
    lowest, highest = _exponents(settings, relu)
    factor = 2 if settings["quadratic_approximation"] else 1
    first, last = (int(np.clip(_exponent(x, settings), lowest, highest)) for x in (EPSILON, _LARGEST))
    thresholds, levels = [EPSILON], [2.0**lowest, 2.0 ** (factor * first)]
    for exponent in range(first + 1, last + 1):
        thresholds.append(_first_reaching(exponent, settings))
        levels.append(2.0 ** (factor * exponent))
    if levels[0] == levels[1]:
        thresholds, levels = thresholds[1:], levels[1:]
    return np.array(thresholds), np.array(levels)


_LARGEST = float(np.finfo(np.float32).max)


def _exponents(settings: Mapping[str, Any], relu: bool) -> tuple[int, int]:
    """Lowest and highest exponent before the quadratic approximation doubles them."""
    most = settings["max_value"]
    effective = int(settings["bits"]) - (0 if relu else 1) - int(most is None or most > 1)
    span = 2.0 ** min(effective, 8)
    highest = int(span) - 1
    return int(-np.ceil(span)), 2 * (highest // 2) if settings["quadratic_approximation"] else highest


def _exponent(x: float, settings: Mapping[str, Any]) -> float:
    """Exponent of a float32 value ≥ `EPSILON` before clipping, by float32 logarithms."""
    value = np.float32(x)
    if settings["max_value"] is not None:
        value = np.minimum(value, np.float32(settings["max_value"]))
    if settings["quadratic_approximation"]:
        value = np.sqrt(value)
    log2 = np.log(value) / np.float32(np.log(2.0))
    return float(np.floor(log2) if settings["log2_rounding"] == "floor" else np.rint(log2))


def _first_reaching(exponent: int, settings: Mapping[str, Any]) -> float:
    """Smallest float32 whose exponent is at least this; positive floats are ordered as their bits are."""
    low, high = (int(np.float32(x).view(np.int32)) for x in (EPSILON, _LARGEST))
    while high - low > 1:
        middle = (low + high) // 2
        if _exponent(float(np.int32(middle).view(np.float32)), settings) >= exponent:
            high = middle
        else:
            low = middle
    return float(np.int32(high).view(np.float32))
