"""Bit-level facts of every value that cost and delay rules share, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hardwire.fixed import Ints, Rounding
from hardwire.ir.ops import ARITY, OpCode
from hardwire.ir.program import Kernel, widths_of
from hardwire.solver.cost import AdderShapes, FullAdderCost

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_ADD, _SUB, _SHL, _MUL, _LESS, _SELECT = (int(OpCode[name]) for name in ("ADD", "SUB", "SHL", "MUL", "LESS", "SELECT"))

_NEVER = 1 << 30

CONSTANT_BITS = 16
"""Widest value whose comparison with a constant is a chain of LUTs; a wider one is a subtraction on a carry chain."""


@dataclass(frozen=True, eq=False)
class Facts:
    """Arrays (n,) over a kernel's values; operand fields are 0 where there is no such operand."""

    width: Ints
    width_a: Ints
    width_b: Ints
    zeros: Ints
    """Low bits that are always 0."""
    constant: Bools
    """The range is one value: a wire tie, whatever the op."""
    chain: Floats
    """Bits of the carry chain of an ADD or SUB; 0 where wires do."""
    varying: Floats
    """Bits of that chain where both operands vary; 0 for a constant operand."""
    compare: Ints
    """Bits of a comparison between a and b."""
    below: Ints
    """LESS with a constant: bits that are looked at, where the comparison is a chain of LUTs; else 0."""
    selected: Ints
    """SELECT: bits that vary within a side; above them both are constant, and a bit is the condition or a constant."""
    under_bits: Ints
    """CLAMP: bits that the test against the lower bound looks at, 0 where none is needed."""
    under_chain: Bools
    """CLAMP: the lower bound is no power of two, so the test is a comparator."""
    over_bits: Ints
    over_chain: Bools
    address: Ints
    """TABLE: low bits of the operand that tell all of its codes apart."""
    fanout_in: Ints
    """Largest number of users among the operands."""


def adder_count(kernel: Kernel) -> int:
    """How many sums take a carry chain: not those that are wires or one inverter."""
    return int((_chains(kernel, kernel.widths, trailing_zeros(kernel), operands(kernel)) > 0).sum())


def operands(kernel: Kernel) -> NDArray[np.int32]:
    """Operand ids, int32 (n, 3), -1 where there is none (a LINEAR's terms are not listed)."""
    arity = np.asarray(ARITY)[kernel.op]
    args = np.stack([kernel.a, kernel.b, kernel.c], axis=1).astype(np.int32)
    args[np.arange(3)[None, :] >= arity[:, None]] = -1
    return args


def facts_of(kernel: Kernel) -> Facts:
    """Work out the facts of a kernel."""
    width, args = kernel.widths, operands(kernel)
    constant = kernel.lo == kernel.hi
    zeros = trailing_zeros(kernel)
    users = np.bincount(args[args >= 0], minlength=len(kernel))
    users[constant] = 0
    fanout = np.where(args >= 0, users[args], 0).max(axis=1) if len(kernel) else np.zeros(0, np.int64)
    a, b = np.maximum(args[:, 0], 0), np.maximum(args[:, 1], 0)
    shared = width[a] * (args[:, 0] >= 0), width[b] * (args[:, 1] >= 0)
    # Compared as signed values when either is.
    signed = (kernel.lo[a] < 0) | (kernel.lo[b] < 0)
    # The sign of the difference takes one bit more.
    compare = 1 + np.maximum(width[a] + (signed & (kernel.lo[a] >= 0)), width[b] + (signed & (kernel.lo[b] >= 0)))
    top = width[a] - (kernel.lo[a] < 0)
    under_k, under_pow = _power(-kernel.p)
    over_k, over_pow = _power(kernel.q + 1)
    # The lower bound 0 is the sign bit alone.
    under_bits = np.where(kernel.p == 0, 1, np.where(under_pow, np.maximum(top - under_k, 0) + 1, width[a]))
    under_need, over_need = kernel.lo[a] < kernel.p, kernel.hi[a] > kernel.q
    over_bits = np.where(over_pow, np.maximum(top - over_k, 0) + 1, width[a])
    return Facts(
        width=width,
        width_a=shared[0],
        width_b=shared[1],
        zeros=zeros,
        constant=constant,
        chain=(chain := _chains(kernel, width, zeros, args)),
        varying=_varying(kernel, chain, zeros, args),
        compare=compare,
        below=_below(kernel, width, a, b),
        selected=_selected(kernel, width, b, np.maximum(args[:, 2], 0)),
        under_bits=np.where(under_need, under_bits, 0),
        under_chain=under_need & ~under_pow & (kernel.p != 0),
        over_bits=np.where(over_need, over_bits, 0),
        over_chain=over_need & ~over_pow,
        address=widths_of(np.zeros_like(kernel.lo), kernel.hi[a] - kernel.lo[a]),
        fanout_in=fanout.astype(np.int64),
    )


def _selected(kernel: Kernel, width: Ints, b: Ints, c: Ints) -> Ints:
    """Bits up to the highest in which the ends of a side's range differ; all where a value may be negative."""
    zero = np.zeros_like(kernel.lo)
    inside = [widths_of(zero, np.maximum(kernel.lo[side] ^ kernel.hi[side], 0)) for side in (b, c)]
    negative = (kernel.lo[b] < 0) | (kernel.lo[c] < 0)
    bits = np.where(negative, width, np.minimum(np.maximum(*inside), width))
    return np.where(kernel.op == _SELECT, bits, 0)


def _below(kernel: Kernel, width: Ints, a: Ints, b: Ints) -> Ints:
    """Bits from the lowest 1 of the constant up, of values of at most `CONSTANT_BITS`."""
    fixed_a, fixed_b = kernel.lo[a] == kernel.hi[a], kernel.lo[b] == kernel.hi[b]
    # Above a constant is not below the next one.
    bound = np.where(fixed_b, kernel.lo[b], kernel.lo[a] + 1)
    bits = np.where(fixed_b, width[a], width[b])
    lowest = np.log2(np.maximum(bound & -bound, 1).astype(np.float64)).astype(np.int64)
    chosen = (kernel.op == _LESS) & (fixed_a != fixed_b) & (bits <= CONSTANT_BITS)
    # The sign alone for the bound 0.
    return np.where(chosen, np.where(bound == 0, 1, np.maximum(bits - lowest, 1)), 0)


def _power(x: Ints) -> tuple[Ints, Bools]:
    """Exponent and whether x is a power of two; exponent 0 where it isn't."""
    is_power = (x > 0) & ((x & (x - 1)) == 0)
    return np.where(is_power, np.log2(np.where(is_power, x, 1)).astype(np.int64), 0), is_power


def _chains(kernel: Kernel, width: Ints, zeros: Ints, args: NDArray[np.int32]) -> Floats:
    chain = np.zeros(len(kernel))
    at = np.flatnonzero((kernel.op == _ADD) | (kernel.op == _SUB))
    if len(at) == 0:
        return chain
    a, b = args[at, 0], args[at, 1]
    # Known zeros at the bottom of an operand are as good as a shift.
    shapes = AdderShapes(
        width_a=np.maximum(width[a] - zeros[a], 0),
        signed_a=kernel.lo[a] < 0,
        shift_a=kernel.p[at] + zeros[a],
        width_b=np.maximum(width[b] - zeros[b], 0),
        signed_b=kernel.lo[b] < 0,
        shift_b=kernel.q[at] + zeros[b],
        negate_b=kernel.op[at] == _SUB,
        width=width[at],
    )
    bits = FullAdderCost()(shapes)
    # One bit of a constant is an inverter.
    constant = (kernel.lo[a] == kernel.hi[a]) | (kernel.lo[b] == kernel.hi[b])
    chain[at] = np.where((kernel.lo[at] == kernel.hi[at]) | (constant & (bits == 1)), 0, bits)
    return chain


def _varying(kernel: Kernel, chain: Floats, zeros: Ints, args: NDArray[np.int32]) -> Floats:
    a, b = np.maximum(args[:, 0], 0), np.maximum(args[:, 1], 0)
    top, fixed = kernel.widths, fixed_above(kernel)
    ends = np.minimum(np.minimum(fixed[a] + kernel.p, fixed[b] + kernel.q), np.minimum(fixed, top))
    start = np.maximum(kernel.p + zeros[a], kernel.q + zeros[b])
    both = (kernel.lo[a] != kernel.hi[a]) & (kernel.lo[b] != kernel.hi[b])
    return np.where((chain > 0) & both, np.maximum(ends - start, 0), 0).astype(np.float64)


def taken_in(kernel: Kernel, facts: Facts, bits: int) -> tuple[Ints, Floats]:
    """Tables of at most `bits` address bits that one adder alone reads, and how many of its bits can hold theirs.

    One of two tables that an adder reads; wires and single inverters on the way count as nothing.
    """
    args = operands(kernel)
    users = np.bincount(args[args >= 0], minlength=len(kernel)) + np.bincount(kernel.outputs, minlength=len(kernel))
    table = (kernel.op == int(OpCode.TABLE)) & (facts.address <= bits)
    source = np.full(len(kernel), -1, np.int64)
    _sources(_through(kernel, facts, args), users, table, source)
    adders = np.flatnonzero((facts.varying > 0) & ((kernel.op == _ADD) | (kernel.op == _SUB)))
    a, b = source[args[adders, 0]], source[args[adders, 1]]
    a[kernel.op[adders] == _SUB] = -1  # what the chain itself takes is the minuend
    held = np.where(b >= 0, b, a)
    return held[held >= 0], facts.varying[adders][held >= 0]


def _through(kernel: Kernel, facts: Facts, args: NDArray[np.int32]) -> NDArray[np.int32]:
    """The operand that each value is but for wires and one inverter; -1 where there is none."""
    wire = np.isin(kernel.op, [int(op) for op in (OpCode.SHL, OpCode.WRAP)])
    wire |= (kernel.op == int(OpCode.ROUND)) & (kernel.q == int(Rounding.TRN))
    adds = (kernel.op == _ADD) & (facts.chain == 0)
    first, second = (facts.constant[np.maximum(args[:, side], 0)] for side in (0, 1))
    return np.where(wire | (adds & second), args[:, 0], np.where(adds & first, args[:, 1], -1)).astype(np.int32)


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sources(through: NDArray[np.int32], users: Ints, table: Bools, source: Ints) -> None:
    """The table that each value is alone to read, through wires; -1 for none."""
    for i in range(len(users)):
        if users[i] == 1 and table[i]:
            source[i] = i
        elif users[i] == 1 and through[i] >= 0:
            source[i] = source[through[i]]


def fixed_above(kernel: Kernel) -> Ints:
    """The bit from which on a value's bits are the same over its range, int64 (n,); `_NEVER` where its sign varies."""
    differing = widths_of(np.zeros_like(kernel.lo), np.maximum(kernel.lo ^ kernel.hi, 0))
    return np.where((kernel.lo < 0) == (kernel.hi < 0), differing, _NEVER)


def trailing_zeros(kernel: Kernel) -> Ints:
    """Low bits of each value that are always 0, int64 (n,); the constant 0 has 0 of them."""
    return _zeros(kernel.op, kernel.a, kernel.b, kernel.p, kernel.q, kernel.lo, kernel.hi)


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _zeros(
    op: NDArray[np.uint8],
    a: NDArray[np.int32],
    b: NDArray[np.int32],
    p: Ints,
    q: Ints,
    lo: Ints,
    hi: Ints,
) -> Ints:
    n = len(op)
    zeros = np.zeros(n, np.int64)
    for i in range(n):
        if lo[i] == hi[i]:
            value = lo[i]
            while value != 0 and value & 1 == 0:
                value >>= 1
                zeros[i] += 1
        elif op[i] == _ADD or op[i] == _SUB:
            x, y = a[i], b[i]
            zx, zy = zeros[x] + p[i], zeros[y] + q[i]
            if lo[x] == 0 and hi[x] == 0:
                zx = zy
            if lo[y] == 0 and hi[y] == 0:
                zy = zx
            zeros[i] = min(zx, zy)
        elif op[i] == _SHL:
            zeros[i] = zeros[a[i]] + p[i]
        elif op[i] == _MUL:
            zeros[i] = zeros[a[i]] + zeros[b[i]]
    return zeros
