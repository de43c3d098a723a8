"""A neuron that is only rounded takes the rounding's half into its bias; the rounding becomes a plain shift.

`round((Σ + bias) / 2^k)` with ties toward +∞ is `(Σ + bias + 2^(k-1)) >> k`: the adder for the half is saved. Where all
terms are multiples of 2^z, bits of the bias below 2^z never carry: a floor drops them, and where there are any, no sum
is a tie, so that all roundings to nearest are the same.
"""

from __future__ import annotations

import numpy as np

from hardwire.fixed import MAX_BITS, Ints, Rounding
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.passes._operands import uses

_NEAREST = [Rounding.RND, Rounding.RND_ZERO, Rounding.RND_INF, Rounding.RND_MIN_INF, Rounding.RND_CONV]


def absorb_rounding(kernel: Kernel) -> Kernel:
    """Return the kernel with half-up roundings of single-use LINEAR values turned into floor shifts, and floored
    biases without the bits that cannot matter."""
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
    half = np.where(q[rounds] == Rounding.RND, np.int64(1) << (shift - 1), 0)
    floor = np.isin(q[rounds], (Rounding.TRN, Rounding.RND))
    dropped = np.where(floor, (p[source] + half) & (unit - 1), 0)
    change = half - dropped
    floor &= (hi[source] + change < 1 << (MAX_BITS - 1)) & (lo[source] + change >= -(1 << (MAX_BITS - 1)))
    rounds, source, change = rounds[floor], source[floor], change[floor]
    p[source] += change
    lo[source] += change
    hi[source] += change
    q[rounds] = int(Rounding.TRN)
    return kernel.with_(p=p, q=q, lo=lo, hi=hi)


def _joint_bits(kernel: Kernel, linears: Ints) -> Ints:
    """All coefficients of each LINEAR value or-ed together."""
    ends = np.stack([kernel.a[linears], kernel.a[linears] + kernel.b[linears]], axis=1).astype(np.int64)
    coefficients = np.append(kernel.term_coef, 0)
    joint = np.bitwise_or.reduceat(coefficients, ends.ravel())[::2]
    return np.where(kernel.b[linears] > 0, joint, 0)
