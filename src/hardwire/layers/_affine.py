"""Exact `clamp(round(a·x + b))` of an integer by a small multiplication: proven by breakpoints, not sampled."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from hardwire.fixed import MAX_BITS, Rounding, width_of
from hardwire.ir.builder import KernelBuilder
from hardwire.layers._requantise import exact_round, roundest

_MAX_STEPS = 1 << 16


def round_affine(
    b: KernelBuilder, x: int, slope: Fraction, offset: Fraction, lo: int, hi: int, mode: Rounding
) -> int | None:
    """Return the value `min(max(round(slope · x + offset), lo), hi)`, exact for every `x` in its proven range.

    The function is monotone, so that it is decided by where each result is first reached. The smallest shift `s` is
    taken for which integers m and c exist with `(m·x + c) >> s` stepping at the same places; only steps between `lo`
    and `hi` matter, which makes m short. None if it has too many steps or if no m fits, as where ties go to even and
    the function meets several (then its own slope is short).
    """
    if mode in (Rounding.TRN_ZERO, Rounding.AWAY):
        # Steps are uneven around zero, but those above and those below it are even: one part is always 0.
        above, below = (Rounding.TRN, Rounding.CEIL) if mode is Rounding.TRN_ZERO else (Rounding.CEIL, Rounding.TRN)
        up = round_affine(b, x, slope, offset, 0, max(hi, 0), above)
        down = round_affine(b, x, slope, offset, min(lo, 0), 0, below)
        return None if up is None or down is None else b.clamp(b.add(up, down), lo, hi)
    low, high = b.range(x)
    sign = -1 if slope < 0 else 1
    if sign < 0:
        low, high, slope = -high, -low, -slope
    first, last = (min(max(exact_round(slope * end + offset, mode), lo), hi) for end in (low, high))
    if first == last:
        return b.const(first)
    if last - first > _MAX_STEPS:
        return None
    edges = _edges(first, last, slope, offset, mode)
    far = max(abs(edges[0]) + 1, abs(edges[-1]) + 1, abs(low), abs(high))
    results, starts = np.arange(first + 1, last + 1), np.array(edges, np.int64)
    for shift in range(MAX_BITS):
        m = round(slope * (1 << shift))
        if m.bit_length() + far.bit_length() >= MAX_BITS or last.bit_length() + shift >= MAX_BITS:
            return None
        if first.bit_length() + shift >= MAX_BITS:
            return None
        least = int(np.max((results << shift) - starts * m))
        most = int(np.min((results << shift) - 1 - (starts - 1) * m))
        if m > 0 and least <= most:
            constant = roundest(least, most)
            if max(width_of(min(low * m, 0) + constant, max(high * m, 0) + constant), m.bit_length()) >= MAX_BITS:
                return None
            return b.clamp(b.round(b.linear([x], [sign * m], constant), shift, Rounding.TRN), first, last)
    return None


def _edges(first: int, last: int, slope: Fraction, offset: Fraction, mode: Rounding) -> list[int]:
    """Smallest integer x with `round(slope · x + offset) ≥ t` for each t in `first + 1 … last`; slope > 0."""
    # The mode steps up to t at t - halves/2, there (where it rounds that up) or just above; all over one denominator.
    halves = {Rounding.TRN: 0, Rounding.CEIL: 2}.get(mode, 1)
    denominator = 2 * offset.denominator * slope.numerator
    start = -(halves * offset.denominator + 2 * offset.numerator) * slope.denominator
    step = 2 * offset.denominator * slope.denominator
    out = []
    for target in range(first + 1, last + 1):
        whole, rest = divmod(start + step * target, denominator)
        met = rest == 0 and exact_round(Fraction(2 * target - halves, 2), mode) >= target
        out.append(whole if met else whole + 1)
    return out
