"""Exact requantisation of an integer value: scaling by any rational, rounding and overflow."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from hardwire.errors import RangeError
from hardwire.fixed import MAX_BITS, Overflow, Rounding, width_of
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.program import fraction_bits

_MAX_STEPS = 1 << 17


def round_scaled(b: KernelBuilder, a: int, factor: Fraction, mode: Rounding) -> int:
    """Return the value `round(a × factor)`, exact for every `a` in its proven range; `factor` > 0.

    A power of two is a shift. Any other rational becomes `(a·m + c) >> s` with the smallest `s` for which integers
    `m` and `c` exist that agree at every step of the rounded function: a proof by its breakpoints, not a sample.
    Raises `RangeError` naming the layer when the function has too many steps or none is found.
    """
    bits = fraction_bits(factor)
    if bits is not None:
        return b.shl(a, -bits) if bits <= 0 else b.round(a, bits, mode)
    lo, hi = b.range(a)
    first, last = exact_round(lo * factor, mode), exact_round(hi * factor, mode)
    if first == last:
        return b.const(first)
    if last - first > _MAX_STEPS:
        if factor.denominator == 1:
            return b.linear([a], [factor.numerator])
        raise RangeError(
            f"layer {b.origin!r}: scaling by {float(factor):.6g} has {last - first} steps, too many to prove exact",
            hint="a power-of-two scale, or a narrower quantiser",
        )
    # edges[t] is the smallest a whose result is at least t; between edges the function is flat.
    edges = [(t, _first_reaching(t, factor, mode)) for t in range(first + 1, last + 1)]
    points = [(lo, first), (hi, last)] + [(e, t) for t, e in edges] + [(e - 1, t - 1) for t, e in edges]
    # Where one step of a jumps over several results, the point just below belongs to a lower result.
    points = [(x, exact_round(x * factor, mode)) for x in sorted({x for x, _ in points if lo <= x <= hi})]
    for shift in range(MAX_BITS):
        m = round(factor * (1 << shift))
        least = max((t << shift) - x * m for x, t in points)
        most = min(((t + 1) << shift) - 1 - x * m for x, t in points)
        if least <= most:
            widest = max(width_of(min(lo * m, hi * m) + least, max(lo * m, hi * m) + most), width_of(-m, m))
            if widest > MAX_BITS:
                break
            # The roundest constant in the allowed interval costs the fewest bits.
            constant = _roundest(least, most)
            return b.round(b.linear([a], [m], constant), shift, Rounding.TRN)
    raise RangeError(
        f"layer {b.origin!r}: no exact fixed-point multiplier for the scale {float(factor):.9g} within {MAX_BITS} bits",
        hint="a power-of-two scale in the quantiser",
    )


def exact_round(value: Fraction, mode: Rounding) -> int:
    """Round an exact rational to an integer by any mode."""
    below = floor(value)
    rest = value - below
    half = Fraction(1, 2)
    up = {
        Rounding.TRN: False,
        Rounding.TRN_ZERO: rest != 0 and value < 0,
        Rounding.RND: rest >= half,
        Rounding.RND_ZERO: rest > half or (rest == half and value < 0),
        Rounding.RND_INF: rest > half or (rest == half and value >= 0),
        Rounding.RND_MIN_INF: rest > half,
        Rounding.RND_CONV: rest > half or (rest == half and below % 2 == 1),
        Rounding.CEIL: rest != 0,
        Rounding.AWAY: rest != 0 and value >= 0,
    }[mode]
    return below + int(up)


def _first_reaching(target: int, factor: Fraction, mode: Rounding) -> int:
    """Smallest integer a with round(a × factor) ≥ target; every mode is monotone."""
    guess = ceil((target - 1) / factor)
    while exact_round(guess * factor, mode) >= target:
        guess -= 1
    step = max(1, floor(1 / factor))
    while exact_round((guess + step) * factor, mode) < target:
        guess += step
    low, high = guess, guess + step
    while high - low > 1:
        middle = (low + high) // 2
        if exact_round(middle * factor, mode) >= target:
            high = middle
        else:
            low = middle
    return high


def _roundest(least: int, most: int) -> int:
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
    if mode is Overflow.SAT_SYM and lo < 0:
        lo = -hi
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
    if mode is Overflow.WRAP:
        if lo in (0, -(1 << (bits - 1))):
            return b.wrap(a, bits, lo < 0)
        return b.linear([b.wrap(b.linear([a], [1], -lo), bits, False)], [1], lo)
    phase = b.wrap(b.linear([a], [1], -lo), bits + 1, False)
    mirrored = b.linear([phase], [-1], (2 << bits) - 1)
    folded = b.select(b.less(phase, b.const(1 << bits)), phase, mirrored)
    return b.linear([b.wrap(folded, bits, False)], [1], lo)
