"""A LINEAR value that is only rounded half-up takes the half into its bias; the rounding becomes a plain shift.

`round((Σ + bias) / 2^k)` with ties toward +∞ is `(Σ + bias + 2^(k-1)) >> k`: the adder for the half is saved.
"""

from __future__ import annotations

import numpy as np

from hardwire.fixed import MAX_BITS, Rounding
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.passes._operands import operands


def absorb_rounding(kernel: Kernel) -> Kernel:
    """Return the kernel with half-up roundings of single-use LINEAR values turned into floor shifts."""
    _, ids = operands(kernel)
    uses = np.bincount(ids, minlength=len(kernel)) + np.bincount(kernel.outputs, minlength=len(kernel))
    rounds = np.flatnonzero((kernel.op == OpCode.ROUND) & (kernel.q == Rounding.RND) & (kernel.p <= MAX_BITS - 2))
    source = kernel.a[rounds]
    fit = (kernel.op[source] == OpCode.LINEAR) & (uses[source] == 1)
    rounds, source = rounds[fit], source[fit]
    if not len(rounds):
        return kernel
    p, q, lo, hi = (np.array(x) for x in (kernel.p, kernel.q, kernel.lo, kernel.hi))
    half = np.int64(1) << (p[rounds] - 1)
    room = (hi[source] + half) < (np.int64(1) << (MAX_BITS - 1))
    rounds, source, half = rounds[room], source[room], half[room]
    p[source] += half
    lo[source] += half
    hi[source] += half
    q[rounds] = int(Rounding.TRN)
    return kernel.with_(p=p, q=q, lo=lo, hi=hi)
