"""Rounding before clamping: `round(clamp(x))` becomes `clamp'(round(x))`, which brings a rounding next to its neuron.

Rounding never falls, so it may be done before a clamp whose bounds are rounded too. The clamp then looks at fewer bits,
and the rounding's half can join the neuron's bias (`absorb_rounding`). Modes that agree on the operand's sign are
spelt alike first, and a clamp of a clamp becomes one.
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
_TRN, _RND = int(Rounding.TRN), int(Rounding.RND)

_POSITIVE = np.arange(len(Rounding))
"""The plainest mode that says the same where the operand is not negative."""
for _given, _plain in (
    (Rounding.TRN_ZERO, Rounding.TRN),
    (Rounding.RND_INF, Rounding.RND),
    (Rounding.RND_ZERO, Rounding.RND_MIN_INF),
    (Rounding.AWAY, Rounding.CEIL),
):
    _POSITIVE[_given] = _plain


def round_first(kernel: Kernel) -> Kernel:
    """Return the kernel with roundings moved before the clamps that only they read.

    Floors always move (they are wires); other modes only towards a neuron, whose bias can take their half: elsewhere
    they would round more bits than behind the clamp.
    """
    op, a, p, q, lo, hi = (np.array(getattr(kernel, key)) for key in ("op", "a", "p", "q", "lo", "hi"))
    _sweep(op, a, p, q, lo, hi, uses(kernel), _POSITIVE)
    return kernel.with_(op=op, a=a, p=p, q=q, lo=lo, hi=hi)


@njit(cache=True)
def _sweep(op, a, p, q, lo, hi, used, positive):  # type: ignore[no-untyped-def]
    for i in range(len(op)):
        if op[i] == _CLAMP:
            x = a[i]
            if op[x] == _CLAMP:
                low, high = min(max(p[x], p[i]), q[i]), min(max(q[x], p[i]), q[i])
                a[i], p[i], q[i] = a[x], low, high
                used[x] -= 1
                used[a[x]] += 1
        elif op[i] == _ROUND:
            if lo[a[i]] >= 0:
                q[i] = positive[q[i]]
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
