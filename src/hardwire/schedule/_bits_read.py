"""Which bits of every value are read: what a register of it really holds, because tools remove the others.

Backward over a kernel, a mask of bits a value. A sum's bit reads all lower bits of its operands, rounding down and
wrapping pass some bits on, a clamp at powers of two adds the top bits that it tests. A bit above a value's width is its
sign.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hardwire.fixed import Ints, Rounding
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.targets._facts import facts_of, trailing_zeros

_ADD, _SUB, _MUL, _SHL, _ROUND, _WRAP, _CLAMP, _SELECT, _TABLE, _AND, _OR, _XOR, _INPUT, _CONST, _LINEAR = (
    int(OpCode[name])
    for name in "ADD SUB MUL SHL ROUND WRAP CLAMP SELECT TABLE AND OR XOR INPUT CONST LINEAR".split()  # noqa: SIM905
)
_TRN, _RND = int(Rounding.TRN), int(Rounding.RND)


def read_bits(kernel: Kernel) -> Ints:
    """Mask of the bits of each value that an output or another value reads, int64 (n,); 0 for constants.

    Values are at most 62 bits wide. Bits that are always 0 may be among them.
    """
    facts = facts_of(kernel)
    tested = np.where(facts.under_chain | facts.over_chain, kernel.widths.max(initial=0), 0)
    tested = np.maximum(tested, np.maximum(facts.under_bits, facts.over_bits))
    masks: Ints = _masks(
        kernel.op,
        kernel.a,
        kernel.b,
        kernel.c,
        kernel.p,
        kernel.q,
        kernel.lo,
        kernel.hi,
        kernel.widths.astype(np.int64),
        tested.astype(np.int64),
        facts.address.astype(np.int64),
        kernel.term_arg,
        np.asarray(kernel.outputs, np.int64),
    )
    return masks


def stored_bits(kernel: Kernel) -> Ints:
    """Bits that a register of each value really holds, int64 (n,): those that are read and not always 0."""
    counts: Ints = _count(read_bits(kernel), trailing_zeros(kernel))
    return counts


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count(masks: Ints, zeros: Ints) -> Ints:
    counts = np.zeros(len(masks), np.int64)
    for v in range(len(masks)):
        mask = masks[v] & ~_below(zeros[v])
        while mask > 0:
            counts[v] += 1
            mask &= mask - 1
    return counts


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _below(bits: int) -> np.int64:
    """Mask of so many low bits."""
    return (np.int64(1) << min(max(bits, 0), 62)) - 1


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _within(mask: int, width: int, signed: bool) -> int:
    """A mask of bits of a value that is continued by its sign, as bits of the value."""
    inside = mask & _below(width)
    if mask != inside and signed and width > 0:
        inside |= np.int64(1) << (width - 1)
    return inside


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _masks(
    op: NDArray[np.uint8],
    a: NDArray[np.int32],
    b: NDArray[np.int32],
    c: NDArray[np.int32],
    p: Ints,
    q: Ints,
    lo: Ints,
    hi: Ints,
    width: Ints,
    tested: Ints,
    address: Ints,
    terms: NDArray[np.int32],
    outputs: Ints,
) -> Ints:
    n = len(op)
    masks = np.zeros(n, np.int64)
    for v in outputs:
        masks[v] = _below(width[v])
    for v in range(n - 1, -1, -1):
        if lo[v] == hi[v]:
            masks[v] = 0
        mask, code = masks[v], op[v]
        if mask == 0 or code == _INPUT or code == _CONST:
            continue
        high = 0
        while mask >> high > 0:
            high += 1
        x = a[v]
        if code == _ADD or code == _SUB:
            y = b[v]
            masks[x] |= _within(_below(high - p[v]), width[x], lo[x] < 0)
            masks[y] |= _within(_below(high - q[v]), width[y], lo[y] < 0)
        elif code == _MUL:
            y = b[v]
            masks[x] |= _within(_below(high), width[x], lo[x] < 0)
            masks[y] |= _within(_below(high), width[y], lo[y] < 0)
        elif code == _SHL:
            masks[x] |= _within(mask >> min(p[v], 62), width[x], lo[x] < 0)
        elif code == _ROUND:
            gone = min(p[v], np.int64(62))
            if q[v] == _TRN and p[v] < width[x]:
                masks[x] |= _within(mask << gone, width[x], lo[x] < 0)
            elif q[v] == _TRN:
                masks[x] |= np.int64(1) << (width[x] - 1)
            elif q[v] == _RND and 0 < p[v] <= width[x]:
                masks[x] |= _within(_below(high + gone) & ~_below(gone - 1), width[x], lo[x] < 0)
            else:
                masks[x] |= _below(width[x])
        elif code == _WRAP:
            kept = min(p[v], np.int64(62))
            masks[x] |= _within(_within(mask, kept, q[v] != 0), width[x], lo[x] < 0)
        elif code == _CLAMP:
            seen = _below(width[x]) & ~_below(width[x] - tested[v])
            masks[x] |= _within(mask, width[x], lo[x] < 0) | seen
        elif code == _SELECT:
            y, z = b[v], c[v]
            masks[x] |= _below(width[x])
            masks[y] |= _within(mask, width[y], lo[y] < 0)
            masks[z] |= _within(mask, width[z], lo[z] < 0)
        elif code == _TABLE:
            masks[x] |= _below(min(width[x], address[v]))
        elif code == _AND or code == _OR or code == _XOR:
            y = b[v]
            masks[x] |= _within(mask, width[x], lo[x] < 0)
            masks[y] |= _within(mask, width[y], lo[y] < 0)
        elif code == _LINEAR:
            for k in range(a[v], a[v] + b[v]):
                masks[terms[k]] |= _below(width[terms[k]])
        else:
            masks[x] |= _below(width[x])
            masks[b[v]] |= _below(width[b[v]])
    return masks
