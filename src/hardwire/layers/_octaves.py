"""Rounding to a minifloat, exactly: each octave of magnitudes has a step of its own."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import numpy as np

from hardwire.fixed import Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.layers._requantise import exact_round, round_scaled

_MAX_TABLE = 1 << 10
"""Codes of the input up to which a table is simpler than a rounding for each octave."""


def exact_minifloat(value: Fraction, mantissa: int, mode: Rounding) -> int:
    """Round an exact rational to `mantissa` bits behind its leading one, but to a whole number at least."""
    step = 1 << max(0, _octave(value) - mantissa)
    return exact_round(value / step, mode) * step


def _octave(value: Fraction) -> int:
    """Exponent of the leading one of |value|; 0 below 1."""
    return int(abs(value)).bit_length() - 1 if abs(value) >= 1 else 0


def round_minifloat(
    b: KernelBuilder, a: int, factor: Fraction, mantissa: int, mode: Rounding, bounds: tuple[int, int], offset: Fraction
) -> int:
    """Return the value `minifloat(a × factor + offset)` saturated at `bounds`, exact for every `a` in its range."""
    lo, hi = bounds
    first, last = b.range(a)
    # Beyond the codes of the bounds nothing changes.
    first = min(max(first, floor((lo - offset) / factor)), last)
    last = max(min(last, ceil((hi - offset) / factor)), first)
    a = b.clamp(a, first, last)

    def value(code: int) -> int:
        return min(max(exact_minifloat(code * factor + offset, mantissa, mode), lo), hi)

    if last - first < _MAX_TABLE:
        return b.table(a, np.array([value(code) for code in range(first, last + 1)], np.int64))
    result: int | None = None
    for start, end, octave in _pieces(first, last, factor, mantissa, offset):
        step = 1 << octave
        piece = round_scaled(b, b.clamp(a, start, end), factor / step, mode, offset / step)
        piece = b.shl(piece, octave) if octave else piece
        result = piece if result is None else b.select(b.less(a, b.const(start)), result, piece)
    assert result is not None
    return b.clamp(result, lo, hi)


def _pieces(first: int, last: int, factor: Fraction, mantissa: int, offset: Fraction) -> list[tuple[int, int, int]]:
    """Cut `[first, last]` into runs of one step: (start, end, exponent of the step), in order."""
    pieces = []
    code = first
    while code <= last:
        value = code * factor + offset
        octave = max(0, _octave(value) - mantissa)
        least = 1 << (mantissa + octave)
        if value < 0 and octave:
            # Larger magnitudes come first: the run ends with the least of its octave.
            end = floor((-least - offset) / factor)
        else:
            end = ceil((2 * least - offset) / factor) - 1
        end = min(max(end, code), last)
        pieces.append((code, end, octave))
        code = end + 1
    return pieces
