"""Rounding moves in front of a clamp: `round(clamp(x, l, h)) = clamp(round(x), round(l), round(h))`.

Every rounding mode is monotone, so both are the same for all x. The clamp then has fewer bits, and the rounding comes
right behind the neuron's sum, whose bias takes it in (`absorb_rounding`): a ReLU between a layer and its quantiser, as
most networks have, no longer costs an adder a neuron.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hardwire.fixed import Rounding
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel, widths_of
from hardwire.passes._operands import operands
from hardwire.passes.narrow import round_code

_TRN = int(Rounding.TRN)


def round_first(kernel: Kernel) -> Kernel:
    """Return the kernel with roundings of clamps swapped, where nothing else reads the clamp.

    A rounding that takes an adder stays behind a clamp that makes it narrower, unless a LINEAR value takes it in.
    """
    _, ids = operands(kernel)
    uses = np.bincount(ids, minlength=len(kernel)) + np.bincount(kernel.outputs, minlength=len(kernel))
    rounds = np.flatnonzero((kernel.op == OpCode.ROUND) & (kernel.p > 0))
    clamps = kernel.a[rounds]
    fit = (kernel.op[clamps] == OpCode.CLAMP) & (uses[clamps] == 1)
    source = np.where(fit, kernel.a[clamps], 0)
    absorbed = (kernel.op[source] == OpCode.LINEAR) & (uses[source] == 1)
    narrower = widths_of(kernel.lo[clamps], kernel.hi[clamps]) < widths_of(kernel.lo[source], kernel.hi[source])
    fit &= (kernel.q[rounds] == _TRN) | absorbed | ~narrower
    rounds, clamps = rounds[fit], clamps[fit]
    if not len(rounds):
        return kernel
    op, a, p, q, lo, hi = (np.array(x) for x in (kernel.op, kernel.a, kernel.p, kernel.q, kernel.lo, kernel.hi))
    _swap(rounds, clamps, op, a, p, q, lo, hi, int(OpCode.ROUND), int(OpCode.CLAMP))
    return kernel.with_(op=op, a=a, p=p, q=q, lo=lo, hi=hi)


@njit(cache=True)
def _swap(rounds, clamps, op, a, p, q, lo, hi, round_op, clamp_op):  # type: ignore[no-untyped-def]
    # In order: the clamp's place becomes the rounding, the rounding's the clamp, so that nothing is renumbered. A
    # clamp of a clamp moves behind the second on the next run.
    for k in range(len(rounds)):
        i, j = rounds[k], clamps[k]
        shift, mode = p[i], q[i]
        low, high = p[j], q[j]
        x = a[j]
        op[j], p[j], q[j] = round_op, shift, mode
        lo[j], hi[j] = round_code(lo[x], shift, mode), round_code(hi[x], shift, mode)
        op[i], p[i], q[i] = clamp_op, round_code(low, shift, mode), round_code(high, shift, mode)
