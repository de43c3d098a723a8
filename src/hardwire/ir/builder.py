"""Builds a kernel op by op; every value gets its range from its operands, so none is ever guessed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from hardwire.errors import RangeError
from hardwire.fixed import MAX_BITS, Ints, Rounding, width_of
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.ir.ranges import range_of

_FAR = MAX_BITS + 1
"""A shift after which every value is nearer to 0 than to ±1/2."""

Value = int
"""Id of a value within its kernel."""


class KernelBuilder:
    """Appends values to a kernel. `origin` (a layer name) may be changed while building.

    Trivial ops fold on sight (a shift by 0, an addition of constants), so lowering rules need no special cases.
    Raises `RangeError` that names the layer for a value wider than 62 bits.
    """

    def __init__(self, name: str, lo: Iterable[int], hi: Iterable[int], origin: str | None = None) -> None:
        self.name = name
        self.origin = name if origin is None else origin
        self._rows: list[tuple[int, int, int, int, int, int, int, int, int]] = []
        self._terms: list[tuple[int, int]] = []
        self._tables: list[Ints] = []
        self._table_ids: dict[bytes, int] = {}
        self._origins: dict[str, int] = {}
        self._consts: dict[int, Value] = {}
        for index, (low, high) in enumerate(zip(lo, hi, strict=True)):
            self._push(OpCode.INPUT, (), index, 0, int(low), int(high))
        self.n_inputs = len(self._rows)

    def range(self, value: Value) -> tuple[int, int]:
        """Proven range of a value."""
        row = self._rows[value]
        return row[6], row[7]

    def _push(self, code: OpCode, args: Sequence[int], p: int, q: int, lo: int, hi: int) -> Value:
        if width_of(lo, hi) > MAX_BITS:
            raise RangeError(
                f"layer {self.origin!r}: {code.name.lower()} needs {width_of(lo, hi)} bits (range [{lo}, {hi}]); "
                f"values are at most {MAX_BITS} bits wide",
                hint="fewer fractional bits in this layer's weights or inputs, or a quantiser in front of it",
            )
        a, b, c = (*args, -1, -1, -1)[:3]
        origin = self._origins.setdefault(self.origin, len(self._origins))
        self._rows.append((int(code), a, b, c, p, q, lo, hi, origin))
        return len(self._rows) - 1

    def _op(self, code: OpCode, args: Sequence[int], p: int = 0, q: int = 0, table: Sequence[int] = ()) -> Value:
        lo, hi = range_of(code, [self.range(v) for v in args], p, q, table=table)
        if lo == hi:
            return self.const(lo)
        return self._push(code, args, p, q, lo, hi)

    def const(self, value: int) -> Value:
        """The integer `value`."""
        if value not in self._consts:
            self._consts[value] = self._push(OpCode.CONST, (), int(value), 0, int(value), int(value))
        return self._consts[value]

    def linear(self, args: Sequence[Value], coefs: Sequence[int], bias: int = 0) -> Value:
        """Return `Σ coef·arg + bias`; terms with coefficient 0 vanish, constants join the bias."""
        terms: dict[Value, int] = {}
        for arg, coef in zip(args, coefs, strict=True):
            lo, hi = self.range(arg)
            if lo == hi:
                bias += lo * int(coef)
            else:
                terms[arg] = terms.get(arg, 0) + int(coef)
        kept = [(arg, coef) for arg, coef in terms.items() if coef]
        if not kept:
            return self.const(bias)
        if len(kept) == 1 and bias == 0 and kept[0][1] > 0 and kept[0][1] & (kept[0][1] - 1) == 0:
            return self.shl(kept[0][0], kept[0][1].bit_length() - 1)
        lo, hi = range_of(
            OpCode.LINEAR, [self.range(arg) for arg, _ in kept], bias, 0, coefs=[coef for _, coef in kept]
        )
        if any(abs(coef) >= 1 << MAX_BITS for _, coef in kept):
            raise RangeError(f"layer {self.origin!r}: a coefficient needs more than {MAX_BITS} bits")
        start = len(self._terms)
        self._terms.extend(kept)
        return self._push(OpCode.LINEAR, (start, len(kept)), bias, 0, lo, hi)

    def add(self, a: Value, b: Value, shift_a: int = 0, shift_b: int = 0) -> Value:
        """Return `(a << shift_a) + (b << shift_b)`."""
        if self.range(b) == (0, 0):
            return self.shl(a, shift_a)
        if self.range(a) == (0, 0):
            return self.shl(b, shift_b)
        return self._op(OpCode.ADD, (a, b), shift_a, shift_b)

    def sub(self, a: Value, b: Value, shift_a: int = 0, shift_b: int = 0) -> Value:
        """Return `(a << shift_a) - (b << shift_b)`."""
        if self.range(b) == (0, 0):
            return self.shl(a, shift_a)
        return self._op(OpCode.SUB, (a, b), shift_a, shift_b)

    def neg(self, a: Value) -> Value:
        """Return `-a`."""
        return self.sub(self.const(0), a)

    def mul(self, a: Value, b: Value) -> Value:
        """Return `a · b`; a product with a constant becomes LINEAR."""
        for x, y in ((a, b), (b, a)):
            lo, hi = self.range(y)
            if lo == hi:
                return self.linear([x], [lo])
        return self._op(OpCode.MUL, (a, b))

    def shl(self, a: Value, shift: int) -> Value:
        """Return `a << shift`."""
        return a if shift == 0 else self._op(OpCode.SHL, (a,), shift)

    def round(self, a: Value, shift: int, mode: Rounding) -> Value:
        """Return `round(a / 2^shift)`; a shift beyond the width of `a` still rounds right."""
        if shift == 0:
            return a
        return self._op(OpCode.ROUND, (a,), min(shift, _FAR), int(mode))

    def wrap(self, a: Value, bits: int, signed: bool) -> Value:
        """Low `bits` bits of `a`; nothing is emitted where the range already fits."""
        lo, hi = self.range(a)
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
        return a if low <= lo and hi <= high else self._op(OpCode.WRAP, (a,), bits, int(signed))

    def clamp(self, a: Value, lo: int, hi: int) -> Value:
        """Return `min(max(a, lo), hi)`; nothing is emitted where the range already fits."""
        low, high = self.range(a)
        if lo <= low and high <= hi:
            return a
        # Bounds that are never met are drawn in to the range, so that equal clamps look equal.
        lo, hi = max(lo, min(low, hi)), min(hi, max(high, lo))
        return self._op(OpCode.CLAMP, (a,), lo, hi)

    def min(self, a: Value, b: Value) -> Value:
        """Return the smaller of both."""
        if self.range(a)[1] <= self.range(b)[0]:
            return a
        return b if self.range(b)[1] <= self.range(a)[0] else self._op(OpCode.MIN, (a, b))

    def max(self, a: Value, b: Value) -> Value:
        """Return the larger of both."""
        if self.range(a)[0] >= self.range(b)[1]:
            return a
        return b if self.range(b)[0] >= self.range(a)[1] else self._op(OpCode.MAX, (a, b))

    def less(self, a: Value, b: Value) -> Value:
        """1 if `a < b` else 0."""
        return self._op(OpCode.LESS, (a, b))

    def equal(self, a: Value, b: Value) -> Value:
        """1 if `a == b` else 0."""
        return self._op(OpCode.EQUAL, (a, b))

    def select(self, cond: Value, yes: Value, no: Value) -> Value:
        """Return `yes` if `cond` is not 0, else `no`."""
        lo, hi = self.range(cond)
        if (lo, hi) == (0, 0) or yes == no:
            return no
        if lo > 0 or hi < 0:
            return yes
        return self._op(OpCode.SELECT, (cond, yes, no))

    def table(self, a: Value, entries: Ints) -> Value:
        """Look `a` up in `entries`, int64, one for each code of `a`'s range from its lowest."""
        lo, hi = self.range(a)
        entries = np.ascontiguousarray(entries, np.int64)
        if len(entries) != hi - lo + 1:
            raise ValueError(f"table of {len(entries)} entries for the range [{lo}, {hi}]")
        if np.array_equal(entries, np.arange(lo, hi + 1)):
            return a
        key = entries.tobytes()
        if key not in self._table_ids:
            self._table_ids[key] = len(self._tables)
            self._tables.append(entries)
        return self._op(OpCode.TABLE, (a,), self._table_ids[key], lo, table=entries.tolist())

    def bit_and(self, a: Value, b: Value) -> Value:
        """Bitwise and, on two's complement."""
        return self._op(OpCode.AND, (a, b))

    def bit_or(self, a: Value, b: Value) -> Value:
        """Bitwise or, on two's complement."""
        return self._op(OpCode.OR, (a, b))

    def bit_xor(self, a: Value, b: Value) -> Value:
        """Bitwise exclusive or, on two's complement."""
        return self._op(OpCode.XOR, (a, b))

    def build(self, outputs: Sequence[Value]) -> Kernel:
        """Return the finished kernel."""
        table = np.array(self._rows, np.int64).reshape(-1, 9)
        terms = np.array(self._terms, np.int64).reshape(-1, 2)
        return Kernel(
            name=self.name,
            op=table[:, 0].astype(np.uint8),
            a=table[:, 1].astype(np.int32),
            b=table[:, 2].astype(np.int32),
            c=table[:, 3].astype(np.int32),
            p=table[:, 4].copy(),
            q=table[:, 5].copy(),
            lo=table[:, 6].copy(),
            hi=table[:, 7].copy(),
            origin=table[:, 8].astype(np.int32),
            term_arg=terms[:, 0].astype(np.int32),
            term_coef=terms[:, 1].copy(),
            outputs=np.asarray(outputs, np.int32),
            n_inputs=self.n_inputs,
            tables=tuple(self._tables),
            origins=tuple(self._origins) or ("",),
        )
