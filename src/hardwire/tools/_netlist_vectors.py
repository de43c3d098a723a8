"""Operations on rows of 512-bit words, as LLVM vectors inside numba's functions.

Written out as vectors because a loop over words would be guarded against rows that overlap, at a cost above its own
work. A target with shorter registers takes several for a word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 8
"""64-bit integers of a word."""

WORD = 64
"""Bytes of a word of 512 cycles; rows begin at multiples of it."""

_VECTOR = ir.VectorType(ir.IntType(64), LANES)

Body = Callable[[ir.IRBuilder, Sequence[Any], Sequence[Any]], Sequence[Any]]
"""(builder, input vectors, vectors of the table's bits) → output vectors."""


def _splat(builder: ir.IRBuilder, value: Any) -> Any:
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), zeros)


def _pointer(builder: ir.IRBuilder, base: Any, row: Any, place: Any) -> Any:
    return builder.inttoptr(builder.add(builder.add(base, row), place), _VECTOR.as_pointer())


def _load(builder: ir.IRBuilder, pointer: Any) -> Any:
    loaded = builder.load(pointer)
    loaded.align = WORD
    return loaded


def _store(builder: ir.IRBuilder, value: Any, pointer: Any) -> None:
    builder.store(value, pointer).align = WORD


def row_operation(inputs: int, outputs: int, bits: int, body: Body) -> Any:
    """A numba function `f(base, size, a, b, c, d, out, extra, table)` that runs `body` on every word of some rows.

    `base` is the rows' address, `size` their bytes, `a` to `extra` are their places in bytes: up to four inputs and two
    outputs. `bits` bits of `table` become vectors of zeros or ones.
    """

    def generate(_context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Sequence[Any]) -> Any:
        base, size, *rows, table = arguments
        masks = []
        for k in range(bits):
            shifted = builder.shl(table, ir.Constant(ir.IntType(64), 63 - k))
            masks.append(_splat(builder, builder.ashr(shifted, ir.Constant(ir.IntType(64), 63))))
        words = builder.udiv(size, ir.Constant(ir.IntType(64), WORD))
        with cgutils.for_range(builder, words) as loop:
            place = builder.mul(loop.index, ir.Constant(ir.IntType(64), WORD))
            given = [_load(builder, _pointer(builder, base, row, place)) for row in rows[:inputs]]
            for value, row in zip(body(builder, given, masks), rows[4 : 4 + outputs], strict=True):
                _store(builder, value, _pointer(builder, base, row, place))
        return _context.get_dummy_value()

    @intrinsic
    def operation(  # type: ignore[no-untyped-def]
        _typing, _base, _size, _a, _b, _c, _d, _out, _extra, _table
    ):
        return types.void(*[types.int64] * 9), generate

    return operation


def _lookup(builder: ir.IRBuilder, given: Sequence[Any], table: Sequence[Any]) -> Any:
    """A truth table of vectors at an address of vectors."""
    if not given:
        return table[0]
    if len(given) == 2:
        # The function as an exclusive or of products: t0 ^ a·(t0^t1 ^ b·(t0^t1^t2^t3)) ^ b·(t0^t2).
        (a, b), (t0, t1, t2, t3) = given, table
        ca, cb = builder.xor(t0, t1), builder.xor(t0, t2)
        cab = builder.xor(ca, builder.xor(t2, t3))
        left = builder.xor(t0, builder.and_(a, builder.xor(ca, builder.and_(b, cab))))
        return builder.xor(left, builder.and_(b, cb))
    half = len(table) // 2
    low, high = (_lookup(builder, given[:-1], part) for part in (table[:half], table[half:]))
    return _choice(builder, given[-1], low, high)


def _choice(builder: ir.IRBuilder, select: Any, low: Any, high: Any) -> Any:
    return builder.xor(low, builder.and_(select, builder.xor(low, high)))


def _carry(builder: ir.IRBuilder, given: Sequence[Any], _table: Sequence[Any]) -> Sequence[Any]:
    propagate, generate, carry = given
    return builder.xor(propagate, carry), _choice(builder, propagate, generate, carry)


def _adder(builder: ir.IRBuilder, given: Sequence[Any], table: Sequence[Any]) -> Sequence[Any]:
    a, b, carry = given
    propagate = builder.xor(builder.xor(a, b), table[0])
    return builder.xor(propagate, carry), _choice(builder, propagate, a, carry)


not_row = row_operation(1, 1, 0, lambda builder, given, _table: [builder.not_(given[0])])
lut2_rows = row_operation(2, 1, 4, lambda builder, given, table: [_lookup(builder, given, table)])
lut3_rows = row_operation(3, 1, 8, lambda builder, given, table: [_lookup(builder, given, table)])
lut4_rows = row_operation(4, 1, 16, lambda builder, given, table: [_lookup(builder, given, table)])
mux_rows = row_operation(3, 1, 0, lambda builder, given, _table: [_choice(builder, *given)])
carry_rows = row_operation(3, 2, 0, _carry)
adder_rows = row_operation(3, 2, 1, _adder)


@intrinsic
def delayed_row(_typing, _base, _size, _data, _out, _before):  # type: ignore[no-untyped-def]
    """`f(base, size, data, out, before)`: a row one cycle later; `before` comes first, the last bit is returned."""

    def generate(_context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Sequence[Any]) -> Any:
        base, size, data, out, before = arguments
        number = ir.IntType(64)
        one, top = _splat(builder, ir.Constant(number, 1)), _splat(builder, ir.Constant(number, 63))
        last = cgutils.alloca_once(builder, _VECTOR)
        builder.store(_splat(builder, builder.shl(before, ir.Constant(number, 63))), last)
        words = builder.udiv(size, ir.Constant(number, WORD))
        order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), list(range(LANES - 1, 2 * LANES - 1)))
        with cgutils.for_range(builder, words) as loop:
            place = builder.mul(loop.index, ir.Constant(number, WORD))
            value = _load(builder, _pointer(builder, base, data, place))
            earlier = builder.shuffle_vector(builder.load(last), value, order)
            moved = builder.or_(builder.shl(value, one), builder.lshr(earlier, top))
            _store(builder, moved, _pointer(builder, base, out, place))
            builder.store(value, last)
        end = builder.extract_element(builder.load(last), ir.Constant(ir.IntType(32), LANES - 1))
        return builder.lshr(end, ir.Constant(number, 63))

    return types.uint64(*[types.int64] * 4, types.uint64), generate


@intrinsic
def swap_rows(_typing, _base, _low, _high, _shift, _mask):  # type: ignore[no-untyped-def]
    """`f(base, low, high, shift, mask)`: exchange the bits of `low` under `mask << shift` with `high`'s under `mask`.

    Of two words; the step of a transposition by recursive block swaps.
    """

    def generate(_context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Sequence[Any]) -> Any:
        base, low, high, shift, mask = arguments
        zero = ir.Constant(ir.IntType(64), 0)
        shift, mask = _splat(builder, shift), _splat(builder, mask)
        lower, upper = _pointer(builder, base, low, zero), _pointer(builder, base, high, zero)
        x, y = _load(builder, lower), _load(builder, upper)
        swap = builder.and_(builder.xor(builder.lshr(x, shift), y), mask)
        _store(builder, builder.xor(y, swap), upper)
        _store(builder, builder.xor(x, builder.shl(swap, shift)), lower)
        return _context.get_dummy_value()

    return types.void(*[types.int64] * 3, types.uint64, types.uint64), generate
