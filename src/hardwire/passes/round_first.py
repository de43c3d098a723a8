"""Rounding before clamping: `round(clamp(x))` becomes `clamp'(round(x))`, which brings a rounding next to its neuron.

Rounding never falls, so it may be done before a clamp whose bounds are rounded too. The clamp then looks at fewer bits,
and the rounding's half can join the neuron's bias (`absorb_rounding`). `narrow` runs before: it spells modes alike that
agree on the operand's sign, and makes one clamp of two.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hardwire.fixed import Rounding
from hardwire.ir.compiled_ranges import round_code
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.passes._operands import uses

_LINEAR, _SHL, _ROUND, _CLAMP = (int(x) for x in (OpCode.LINEAR, OpCode.SHL, OpCode.ROUND, OpCode.CLAMP))
_TRN = int(Rounding.TRN)


def round_first(kernel: Kernel) -> Kernel:
    """Return the kernel with roundings moved before the clamps that only they read.

    Floors always move (they are wires); other modes only towards a neuron, whose bias can take their half: elsewhere
    they would round more bits than behind the clamp.
    """
    op, a, p, q, lo, hi = (np.array(getattr(kernel, key)) for key in ("op", "a", "p", "q", "lo", "hi"))
    _sweep(op, a, p, q, lo, hi, uses(kernel))
    return kernel.with_(op=op, a=a, p=p, q=q, lo=lo, hi=hi)


@njit(cache=True)
def _sweep(op, a, p, q, lo, hi, used):  # type: ignore[no-untyped-def]
    for i in range(len(op)):
        if op[i] == _ROUND:
            # From the rounding down, each clamp that it passes takes its place.
            at = i
            while op[a[at]] == _CLAMP and used[a[at]] == 1 and (q[at] == _TRN or _of_neuron(a[at], op, a, used)):
                x = a[at]
                shift, mode, low, high = p[at], q[at], p[x], q[x]
                op[at], p[at], q[at] = _CLAMP, round_code(low, shift, mode), round_code(high, shift, mode)
                op[x], p[x], q[x] = _ROUND, shift, mode
                y = a[x]
                lo[x], hi[x] = round_code(lo[y], shift, mode), round_code(hi[y], shift, mode)
                at = x


@njit(cache=True)
def _of_neuron(x, op, a, used):  # type: ignore[no-untyped-def]
    """Whether nothing but clamps and shifts, each read once, lies between x and a neuron that nothing else reads."""
    while op[x] == _CLAMP or op[x] == _SHL:
        if used[x] != 1:
            return False
        x = a[x]
    return op[x] == _LINEAR and used[x] == 1
