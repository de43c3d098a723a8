"""Exact requantisation of an integer value: scaling by any rational, rounding and overflow."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np

from hardwire.errors import RangeError
from hardwire.fixed import MAX_BITS, Overflow, Rounding, least_code, width_of
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.program import fraction_bits

_MAX_STEPS = 1 << 17
_MAX_TABLE = 1 << 16
_MAX_EDGES = 1 << 12
"""Steps up to which the edges of a rounded function may stand in a table."""


_HALVES = {
    Rounding.TRN_ZERO: (Rounding.CEIL, Rounding.TRN),
    Rounding.AWAY: (Rounding.TRN, Rounding.CEIL),
    Rounding.RND_ZERO: (Rounding.RND, Rounding.RND_MIN_INF),
    Rounding.RND_INF: (Rounding.RND_MIN_INF, Rounding.RND),
}
"""What the roundings that look at the sign are below zero, and from zero on."""


def round_scaled(b: KernelBuilder, a: int, factor: Fraction, mode: Rounding, offset: Fraction | int = 0) -> int:
    """Return the value `round(a × factor + offset)`, exact for every `a` in its proven range; `factor` > 0.

    A power of two is a shift. Any other rational becomes `(a·m + c) >> s` with the smallest `s` for which integers
    `m` and `c` exist that agree at every step of the rounded function: a proof by its breakpoints, not a sample. Where
    none exist, the function is split at zero (roundings that look at the sign), computed in full width (a denominator
    that is a power of two), looked up, or estimated one too low at most and compared with the estimate's edge. Raises
    `RangeError` naming the layer when none of this is possible.
    """
    if fraction_bits(factor) is not None and _whole(factor, offset):
        return _in_full(b, a, factor, mode, offset)
    lo, hi = b.range(a)
    first, last = (exact_round(end * factor + offset, mode) for end in (lo, hi))
    if first == last:
        return b.const(first)
    steps = last - first
    whole = factor.denominator & (factor.denominator - 1) == 0 and _whole(factor, offset)
    if steps <= _MAX_STEPS:
        y = _multiplied(b, a, factor, mode, offset)
        if y is not None:
            return y
        edge = ceil(-offset / factor)
        if mode in _HALVES and lo < edge <= hi:
            below, above = _HALVES[mode]
            negative = round_scaled(b, b.clamp(a, lo, edge - 1), factor, below, offset)
            positive = round_scaled(b, b.clamp(a, edge, hi), factor, above, offset)
            return b.select(b.less(a, b.const(edge)), negative, positive)
    if whole:
        return _in_full(b, a, factor, mode, offset)
    if steps <= _MAX_STEPS and (y := _shifted_first(b, a, factor, mode, offset)) is not None:
        return y
    if hi - lo < _MAX_TABLE:
        return b.table(a, np.array([exact_round(x * factor + offset, mode) for x in range(lo, hi + 1)], np.int64))
    if steps <= _MAX_EDGES and (y := _corrected(b, a, factor, mode, offset)) is not None:
        return y
    if steps > _MAX_STEPS:
        why = f"scaling by {float(factor):.6g} has {steps} steps, too many to prove exact"
        raise RangeError(f"layer {b.origin!r}: {why}", hint="a power-of-two scale, or a narrower quantiser")
    raise RangeError(
        f"layer {b.origin!r}: no exact fixed-point multiplier for the scale {float(factor):.9g} within {MAX_BITS} bits",
        hint="a power-of-two scale in the quantiser",
    )


def _whole(factor: Fraction, offset: Fraction | int) -> bool:
    """Whether the offset is on the grid of `a × factor`."""
    return (Fraction(offset) * factor.denominator).denominator == 1


def _in_full(b: KernelBuilder, a: int, factor: Fraction, mode: Rounding, offset: Fraction | int) -> int:
    """Multiply by the whole numerator and round by the denominator, a power of two."""
    shift = factor.denominator.bit_length() - 1
    return b.round(b.linear([a], [factor.numerator], int(Fraction(offset) * factor.denominator)), shift, mode)


def _shifted_first(b: KernelBuilder, a: int, factor: Fraction, mode: Rounding, offset: Fraction | int) -> int | None:
    """Return `⌊⌊(a·n + c) / 2^k⌋ / odd⌋` for a factor `n / (odd · 2^k)`: a division of far fewer bits.

    None for other roundings than down and to the nearest with halves up, and where nothing can be shifted out.
    """
    n, d = factor.numerator, factor.denominator
    k = (d & -d).bit_length() - 1
    constant = Fraction(offset) * d + (d // 2 if mode is Rounding.RND else 0)
    if mode not in (Rounding.TRN, Rounding.RND) or k == 0 or constant.denominator != 1:
        return None
    lo, hi = b.range(a)
    if width_of(lo * n + int(constant), hi * n + int(constant)) > MAX_BITS:
        return None
    shifted = b.round(b.linear([a], [n], int(constant)), k, Rounding.TRN)
    return round_scaled(b, shifted, Fraction(1, d >> k), Rounding.TRN)


def _multiplied(b: KernelBuilder, a: int, factor: Fraction, mode: Rounding, offset: Fraction | int) -> int | None:
    """Return `(a·m + c) >> s` if such integers exist within the width of a value, else None."""
    return _line(b, a, factor, _points(b, a, factor, mode, offset), 0)


def _corrected(b: KernelBuilder, a: int, factor: Fraction, mode: Rounding, offset: Fraction | int) -> int | None:
    """Return the function by an estimate `t`, equal or one too low, and the edge at which it is `t + 1`, from a table.

    None where no such estimate exists. It needs far shorter multipliers than `_multiplied`, whatever the factor.
    """
    points = _points(b, a, factor, mode, offset)
    lo, hi = b.range(a)
    estimate = _line(b, a, factor, points, 1)
    if estimate is None:
        # Of a wide value the highest bits say enough.
        low = width_of(lo, hi) - (len(points) + 1).bit_length() - 6
        if low <= 0:
            return None
        high = b.round(a, low, Rounding.TRN)
        estimate = _line(b, high, factor * (1 << low), [(x >> low, t) for x, t in points], 1)
        if estimate is None:
            return None
    least, most = points[0][1], points[-1][1]
    estimate = b.clamp(estimate, least - 1, most)
    first, last = b.range(estimate)
    inner = {t: _first_reaching(t, factor, mode, offset) for t in range(least + 1, most + 1)}
    edges = [inner.get(t + 1, lo if t < least else hi + 1) for t in range(first, last + 1)]
    below = b.less(a, b.table(estimate, np.array(edges, np.int64)))
    return b.linear([estimate, below], [1, -1], 1)


def _points(
    b: KernelBuilder, a: int, factor: Fraction, mode: Rounding, offset: Fraction | int
) -> list[tuple[int, int]]:
    """Values of `a` with their results that decide all others.

    Between its edges (the smallest a of each result) the function is flat; where one step of a jumps over several
    results, the point just below an edge belongs to a lower one.
    """
    lo, hi = b.range(a)
    first, last = (exact_round(end * factor + offset, mode) for end in (lo, hi))
    value = Fraction(offset)
    # x · factor + offset over one denominator, so that thousands of points are integers and no Fractions.
    times, added = factor.numerator * value.denominator, value.numerator * factor.denominator
    whole = factor.denominator * value.denominator
    widest = max(abs(lo), abs(hi), abs(first), abs(last)) + 2
    if 4 * widest * max(times, whole) + 4 * abs(added) < 1 << MAX_BITS:
        edges = np.asarray(_first_reaching(np.arange(first + 1, last + 1), factor, mode, offset), np.int64)
        where = np.unique(np.concatenate([edges - 1, edges, [lo, hi]]))
        where = where[(where >= lo) & (where <= hi)]
        results = _round_ratio(where * times + added, whole, mode)
        return list(zip(where.tolist(), results.tolist(), strict=True))
    inner = [_first_reaching(t, factor, mode, offset) for t in range(first + 1, last + 1)]
    chosen = sorted({x for e in inner for x in (e - 1, e) if lo <= x <= hi} | {lo, hi})
    return [(x, _round_ratio(x * times + added, whole, mode)) for x in chosen]


def _line(b: KernelBuilder, a: int, factor: Fraction, points: list[tuple[int, int]], slack: int) -> int | None:
    """Return `(a·m + c) >> s` that at every point is its result, or up to `slack` less; None for none in 62 bits."""
    (lo, _), (hi, _) = points[0], points[-1]
    xs, ts = ([point[k] for point in points] for k in (0, 1))
    reach, far = max(abs(lo), abs(hi)), max(abs(t) for t in ts) + 2
    arrays = None if max(reach, far) >= 1 << 40 else (np.array(xs, np.int64), np.array(ts, np.int64))
    for shift in range(MAX_BITS):
        m = round(factor * (1 << shift))
        if arrays is not None and far << shift < 1 << 61 and reach * m < 1 << 61:
            products = arrays[0] * m
            least = int((((arrays[1] - slack) << shift) - products).max())
            most = int((((arrays[1] + 1) << shift) - 1 - products).min())
        else:
            least = max(((t - slack) << shift) - x * m for x, t in points)
            most = min(((t + 1) << shift) - 1 - x * m for x, t in points)
        if least <= most:
            widest = max(width_of(min(lo * m, hi * m) + least, max(lo * m, hi * m) + most), width_of(-m, m))
            if widest > MAX_BITS:
                return None
            # The roundest constant in the allowed interval costs the fewest bits.
            return b.round(b.linear([a], [m], roundest(least, most)), shift, Rounding.TRN)
    return None


def exact_round(value: Fraction, mode: Rounding) -> int:
    """Round an exact rational to an integer by any mode."""
    return int(_round_ratio(value.numerator, value.denominator, mode))


def _round_ratio(numerator: Any, denominator: int, mode: Rounding) -> Any:
    """Round `numerator / denominator`, of one integer or an array."""
    below = numerator // denominator
    rest = numerator - below * denominator
    over, tie = 2 * rest > denominator, 2 * rest == denominator
    match mode:
        case Rounding.TRN:
            return below
        case Rounding.TRN_ZERO:
            up = (rest != 0) & (numerator < 0)
        case Rounding.RND:
            up = over | tie
        case Rounding.RND_ZERO:
            up = over | (tie & (numerator < 0))
        case Rounding.RND_INF:
            up = over | (tie & (numerator >= 0))
        case Rounding.RND_MIN_INF:
            up = over
        case Rounding.RND_CONV:
            up = over | (tie & (below % 2 == 1))
        case Rounding.CEIL:
            up = rest != 0
        case Rounding.AWAY:
            up = (rest != 0) & (numerator >= 0)
    return below + up


def _first_reaching(target: Any, factor: Fraction, mode: Rounding, offset: Fraction | int) -> Any:
    """Smallest integer a with round(a × factor + offset) ≥ target, of one target or an array of them.

    Every mode rounds to at least the target from some number of halves on, which itself counts or not.
    """
    halves = 2 * target - 1
    counts: Any = True
    match mode:
        case Rounding.TRN | Rounding.CEIL | Rounding.TRN_ZERO | Rounding.AWAY:
            # Towards the lower integer only the target itself is enough, towards the upper one all above the one below.
            if mode in (Rounding.TRN, Rounding.CEIL):
                counts = mode is Rounding.TRN
            else:
                counts = (target > 0) == (mode is Rounding.TRN_ZERO)
            halves = 2 * target - 2 + 2 * counts
        case Rounding.RND_ZERO:
            counts = halves < 0
        case Rounding.RND_INF:
            counts = halves >= 0
        case Rounding.RND_MIN_INF:
            counts = False
        case Rounding.RND_CONV:
            counts = target % 2 == 0
    value = Fraction(offset)
    # (halves / 2 - offset) / factor, of integers.
    numerator = (halves * value.denominator - 2 * value.numerator) * factor.denominator
    denominator = 2 * value.denominator * factor.numerator
    below = numerator // denominator
    return below + 1 - (counts & (numerator - below * denominator == 0))


def roundest(least: int, most: int) -> int:
    """Integer in [least, most] with the most trailing zero bits."""
    if least <= 0 <= most:
        return 0
    for zeros in range(MAX_BITS, -1, -1):
        candidate = -(-least >> zeros) << zeros
        if candidate <= most:
            return candidate
    return least


def overflow(b: KernelBuilder, a: int, lo: int, hi: int, mode: Overflow) -> int:
    """Bring a value into `[lo, hi]` by an overflow mode; nothing is emitted where the proven range fits."""
    low, high = b.range(a)
    lo = int(least_code(np.asarray(lo), np.asarray(hi), mode))
    if lo <= low and high <= hi:
        return a
    if mode in (Overflow.SAT, Overflow.SAT_SYM):
        return b.clamp(a, lo, hi)
    if mode is Overflow.SAT_ZERO:
        inside = a
        if low < lo:
            inside = b.select(b.less(a, b.const(lo)), b.const(0), inside)
        if high > hi:
            inside = b.select(b.less(b.const(hi), a), b.const(0), inside)
        return b.clamp(inside, lo, hi)
    bits = width_of(0, hi - lo)
    if bits == 0:
        return b.const(lo)
    if mode is Overflow.WRAP:
        if lo in (0, -(1 << (bits - 1))):
            return b.wrap(a, bits, lo < 0)
        return b.linear([b.wrap(b.linear([a], [1], -lo), bits, False)], [1], lo)
    phase = b.wrap(b.linear([a], [1], -lo), bits + 1, False)
    mirrored = b.linear([phase], [-1], (2 << bits) - 1)
    folded = b.select(b.less(phase, b.const(1 << bits)), phase, mirrored)
    return b.linear([b.wrap(folded, bits, False)], [1], lo)
