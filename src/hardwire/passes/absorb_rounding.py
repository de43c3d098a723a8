"""A neuron that is only rounded takes the rounding's half into its bias; the rounding becomes a plain shift.

`round((Σ + bias) / 2^k)` with ties toward +∞ is `(Σ + bias + 2^(k-1)) >> k`: the adder for the half is saved. Where all
terms are multiples of 2^z, bits of the bias below 2^z never carry: a floor drops them, and where there are any, no sum
is a tie, so that all roundings to nearest are the same. Ties toward -∞ add `2^(k-1) - 1`, rounding up adds `2^k - 1`.
Ties to even are ties toward +∞ whose last bit is cleared in a tie, which is where the k bits below are 0 once the half
is added: no carry runs, so a gate on one bit does it.
"""

from __future__ import annotations

import numpy as np

from hardwire.fixed import MAX_BITS, Ints, Rounding
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.passes._operands import uses, with_room

_NEAREST = [Rounding.RND, Rounding.RND_ZERO, Rounding.RND_INF, Rounding.RND_MIN_INF, Rounding.RND_CONV]
_ADDED = (Rounding.RND, Rounding.RND_MIN_INF, Rounding.CEIL, Rounding.RND_CONV)
"""Modes that are a floor once a constant is added, the last one but for its ties."""


def absorb_rounding(kernel: Kernel, *, ties_to_even: bool = True) -> Kernel:
    """Return the kernel with roundings of single-use LINEAR values turned into floor shifts, and floored biases without
    the bits that cannot matter. Without `ties_to_even` those roundings stay as they are."""
    used = uses(kernel)
    rounds = np.flatnonzero((kernel.op == OpCode.ROUND) & (kernel.p > 0) & (kernel.p <= MAX_BITS - 2))
    source = kernel.a[rounds]
    fit = (kernel.op[source] == OpCode.LINEAR) & (used[source] == 1)
    rounds, source = rounds[fit], source[fit]
    if not len(rounds):
        return kernel
    p, q, lo, hi = (np.array(x) for x in (kernel.p, kernel.q, kernel.lo, kernel.hi))
    # The largest power of two, up to the rounding's, that divides all terms.
    shift = p[rounds]
    joint = _joint_bits(kernel, source)
    unit = np.minimum(joint & -joint, np.int64(1) << shift)
    unit = np.where(joint == 0, np.int64(1) << shift, unit)
    no_tie = (p[source] & (unit - 1) & ((np.int64(1) << (shift - 1)) - 1)) != 0
    q[rounds[no_tie & np.isin(q[rounds], _NEAREST)]] = int(Rounding.RND)
    mode, half = q[rounds], np.int64(1) << (shift - 1)
    even = (mode == Rounding.RND_CONV) & ((joint | p[source]) & (2 * half - 1) != 0)
    added = np.select([mode == m for m in _ADDED], [half, half - 1, 2 * half - 1, half], 0)
    floor = np.isin(mode, (Rounding.TRN, Rounding.RND, Rounding.RND_MIN_INF, Rounding.CEIL))
    change = added - np.where(floor, (p[source] + added) & (unit - 1), 0)
    fit = floor | even if ties_to_even else floor
    fit &= (hi[source] + change < 1 << (MAX_BITS - 1)) & (lo[source] + change >= -(1 << (MAX_BITS - 1)))
    rounds, source, change, even = rounds[fit], source[fit], change[fit], even[fit]
    p[source] += change
    lo[source] += change
    hi[source] += change
    q[rounds[~even]] = int(Rounding.TRN)
    return _to_even(kernel.with_(p=p, q=q, lo=lo, hi=hi), rounds[even])


def absorb_but_ties(kernel: Kernel) -> Kernel:
    """Return `absorb_rounding` with roundings to even left alone."""
    return absorb_rounding(kernel, ties_to_even=False)


def _joint_bits(kernel: Kernel, linears: Ints) -> Ints:
    """All coefficients of each LINEAR value or-ed together."""
    ends = np.stack([kernel.a[linears], kernel.a[linears] + kernel.b[linears]], axis=1).astype(np.int64)
    coefficients = np.append(kernel.term_coef, 0)
    joint = np.bitwise_or.reduceat(coefficients, ends.ravel())[::2]
    return np.where(kernel.b[linears] > 0, joint, 0)


def _to_even(kernel: Kernel, rounds: Ints) -> Kernel:
    """Spell roundings to even whose operand has the half already: the upper bits, then the last one save in a tie."""
    if not len(rounds):
        return kernel
    kernel, at = with_room(kernel, rounds, 6)
    op, a, b, c, p, q, lo, hi, origin = (
        np.array(getattr(kernel, key)) for key in ("op", "a", "b", "c", "p", "q", "lo", "hi", "origin")
    )
    x, shift = a[at], p[at]
    zero, upper, whole, last, below, odd = (at - k for k in range(6, 0, -1))

    def put(
        place: Ints, code: OpCode, args: tuple[Ints, ...], first: Ints | int, second: int, *span: Ints | int
    ) -> None:
        op[place], p[place], q[place] = int(code), first, second
        for column, values in zip((a, b, c), (*args, None, None, None), strict=False):
            column[place] = -1 if values is None else values
        lo[place], hi[place] = span
        origin[place] = origin[at]

    exact = lo[at], hi[at]
    put(zero, OpCode.CONST, (), 0, 0, 0, 0)
    put(upper, OpCode.ROUND, (x,), shift + 1, Rounding.TRN, lo[x] >> (shift + 1), hi[x] >> (shift + 1))
    put(whole, OpCode.ROUND, (x,), shift, Rounding.TRN, lo[x] >> shift, hi[x] >> shift)
    put(last, OpCode.WRAP, (whole,), 1, 0, 0, 1)
    put(below, OpCode.WRAP, (x,), shift, 0, 0, (np.int64(1) << shift) - 1)
    put(odd, OpCode.SELECT, (below, last, zero), 0, 0, 0, 1)
    put(at, OpCode.ADD, (upper, odd), 1, 0, *exact)
    return kernel.with_(op=op, a=a, b=b, c=c, p=p, q=q, lo=lo, hi=hi, origin=origin)
