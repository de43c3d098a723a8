"""The expression of every op: one function an op, each returns exactly `width` bits, whatever the language."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from hardwire.backends._bits import Bits
from hardwire.errors import InternalError
from hardwire.fixed import MAX_BITS, Ints, Rounding, width_of
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.schedule.circuit import Circuit
from hardwire.targets._facts import CONSTANT_BITS


def address_bits(lo: int, hi: int) -> int:
    """Low bits that tell the codes `lo … hi` apart, at least 1."""
    return max(1, (hi - lo).bit_length())


@dataclass(frozen=True, eq=False, slots=True)
class Table:
    """A table of `width`-bit entries at the codes from `low` on; their low `address` bits are the address."""

    name: str
    low: int
    entries: Ints
    address: int
    width: int

    @property
    def rest(self) -> int:
        """The most frequent entry: what addresses out of reach may read."""
        values, counts = np.unique(self.entries, return_counts=True)
        return int(values[np.argmax(counts)])


class Expressions:
    """Writes the right-hand side of each value's assignment."""

    def __init__(self, circuit: Circuit, bits: Bits) -> None:
        kernel: Kernel = circuit.kernel
        self.bits = bits
        self.language = bits.language
        self.kernel = kernel
        self.op: list[int] = kernel.op.tolist()
        self.a: list[int] = kernel.a.tolist()
        self.b: list[int] = kernel.b.tolist()
        self.c: list[int] = kernel.c.tolist()
        self.p: list[int] = kernel.p.tolist()
        self.q: list[int] = kernel.q.tolist()
        self.functions: dict[tuple[int, int, int, int, int], str] = {}
        """(table, lowest and highest code read, code of the first entry, output bits) → name."""
        self.helpers: list[tuple[str, int, str]] = []
        """Wires that the last expression needs: (name, width, expression)."""
        self._rules: dict[int, Callable[[int, int, int], str]] = {
            OpCode.ADD: self._add,
            OpCode.SUB: self._sub,
            OpCode.MUL: self._mul,
            OpCode.ROUND: self._round,
            OpCode.WRAP: self._wrap,
            OpCode.CLAMP: self._clamp,
            OpCode.MIN: self._min,
            OpCode.MAX: self._max,
            OpCode.LESS: self._less,
            OpCode.EQUAL: self._equal,
            OpCode.SELECT: self._select,
            OpCode.TABLE: self._table,
            OpCode.AND: self._and,
            OpCode.OR: self._or,
            OpCode.XOR: self._xor,
        }

    def __call__(self, i: int) -> str:
        """Expression of value `i` (no input, constant or view) in its stage, `width` bits; fills `helpers` afresh."""
        self.helpers = []
        rule = self._rules.get(self.op[i])
        if rule is None:
            origin = self.kernel.origins[int(self.kernel.origin[i])]
            raise InternalError(
                f"layer {origin!r}: the {self.language.name} back end has no rule for {OpCode(self.op[i]).name}"
            )
        return rule(i, self.bits.stage[i], self.bits.width[i])

    def tables(self) -> Iterator[Table]:
        """The tables that the expressions written so far look up."""
        for (table, low, high, first, width), name in self.functions.items():
            entries = self.kernel.tables[table][low - first : high - first + 1]
            yield Table(name, low, entries, address_bits(low, high), width)

    def _add(self, i: int, s: int, width: int) -> str:
        bits, (a, b), (p, q) = self.bits, (self.a[i], self.b[i]), (self.p[i], self.q[i])
        if bits.lo[a] == bits.hi[a] == 0:
            return self._shifted(b, q, s, width)
        if bits.lo[b] == bits.hi[b] == 0:
            return self._shifted(a, p, s, width)
        p, q = p + bits.zeros[a], q + bits.zeros[b]
        if p > q:
            a, b, p, q = b, a, q, p
        # Now the bits of `a` below b's first one pass by the adder, and those below a's first one are 0.
        za, zb = bits.zeros[a], bits.zeros[b]
        if q >= width:
            return self._shifted(a, p - za, s, width)
        low = self._low(a, za, p, q, s)
        upper = width - q
        if bits.lo[a] >= 0 and bits.width[a] - za <= q - p:
            return self.language.concat([bits.of(b, s, zb, upper), *low])
        first, second = bits.of(a, s, za + q - p, upper), bits.of(b, s, zb, upper)
        if upper == 1 and bits.lo[b] == bits.hi[b]:
            # An odd constant's one bit: an inverter, and no carry chain.
            return self.language.concat([self.language.invert(first), *low])
        # A carry chain takes its first operand as it is; the LUT that adds the second one can also hold its logic.
        if self._ready(a, s) < self._ready(b, s):
            first, second = second, first
        return self.language.concat([self.language.add(first, second, upper), *low])

    def _ready(self, v: int, s: int) -> int:
        """How little a value gains by being part of the LUT that adds it: a table the less, the wider its address."""
        bits, v = self.bits, self.bits.root[v]
        if self.op[v] != OpCode.TABLE or bits.stage[v] < s:
            return MAX_BITS
        return address_bits(bits.lo[self.a[v]], bits.hi[self.a[v]])

    def _low(self, v: int, first: int, p: int, q: int, s: int) -> list[str]:
        """Bits below q of `(v >> first) << p`."""
        low = [self.bits.of(v, s, first, q - p)] if q > p else []
        return [*low, self.language.literal(0, p)] if p else low

    def _sub(self, i: int, s: int, width: int) -> str:
        bits, language, (a, b), (p, q) = self.bits, self.language, (self.a[i], self.b[i]), (self.p[i], self.q[i])
        if bits.lo[b] == bits.hi[b] == 0:
            return self._shifted(a, p, s, width)
        za, zb = bits.zeros[a], bits.zeros[b]
        p, q = p + za, q + zb
        if bits.lo[a] == bits.hi[a] == 0:
            p, za = q, 0
        if p > q:
            # The subtrahend reaches lower: all of its bits take part.
            if q >= width:
                return language.literal(0, width)
            gap, count = p - q, width - q
            if count <= gap:
                first = language.literal(0, count)
            else:
                first = language.concat([bits.of(a, s, za, count - gap), language.literal(0, gap)])
            total = language.subtract(first, bits.of(b, s, zb, count), count)
            return language.concat([total, language.literal(0, q)] if q else [total])
        if q >= width:
            return self._shifted(a, p - za, s, width)
        low = self._low(a, za, p, q, s)
        upper = width - q
        return language.concat(
            [language.subtract(bits.of(a, s, za + q - p, upper), bits.of(b, s, zb, upper), upper), *low]
        )

    def _shifted(self, v: int, shift: int, s: int, width: int) -> str:
        if shift == 0:
            return self.bits.of(v, s, 0, width)
        if shift >= width:
            return self.language.literal(0, width)
        return self.language.concat([self.bits.of(v, s, 0, width - shift), self.language.literal(0, shift)])

    def _mul(self, i: int, s: int, width: int) -> str:
        bits, a, b = self.bits, self.a[i], self.b[i]
        signed = bits.signed(a) or bits.signed(b)
        spans = bits.span(a, signed), bits.span(b, signed)
        first, second = bits.extended(a, s, signed), bits.extended(b, s, signed)
        return self.language.multiply(first, second, spans, signed, width)

    def _round(self, i: int, s: int, width: int) -> str:
        bits, language, a, p, mode = self.bits, self.language, self.a[i], self.p[i], self.q[i]
        below = bits.of(a, s, p, width)
        if mode == Rounding.TRN or p == 0:
            return below
        half, sign = bits.of(a, s, p - 1, 1), bits.sign(a, s)
        rest = bits.any(a, s, 0, p - 1) if p > 1 else language.literal(0, 1)
        dropped = bits.any(a, s, 0, p)
        signed = bits.signed(a)
        if mode == Rounding.RND:
            up = half
        elif mode == Rounding.RND_MIN_INF:
            up = language.both(half, rest)
        elif mode == Rounding.RND_ZERO:
            up = language.both(half, language.group(language.either(rest, sign)) if signed else rest)
        elif mode == Rounding.RND_INF:
            positive = language.invert(sign)
            up = language.both(half, language.group(language.either(rest, positive))) if signed else half
        elif mode == Rounding.RND_CONV:
            up = language.both(half, language.group(language.either(rest, bits.of(a, s, p, 1))))
        elif mode == Rounding.CEIL:
            up = dropped
        elif mode == Rounding.AWAY:
            up = language.both(dropped, language.invert(sign)) if signed else dropped
        else:
            assert mode == Rounding.TRN_ZERO
            if not signed:
                return below
            up = language.both(dropped, sign)
        if width > 1:
            up = language.concat([language.literal(0, width - 1), up])
        elif " " in up:
            up = language.group(up)
        return language.add(below, up, width)

    def _wrap(self, i: int, s: int, width: int) -> str:
        bits, language, a, p = self.bits, self.language, self.a[i], self.p[i]
        if width <= p:
            return bits.of(a, s, 0, width)
        kept = bits.of(a, s, 0, p)
        sign = bits.of(a, s, p - 1, 1) if self.q[i] else language.literal(0, 1)
        return language.concat([language.repeat(sign, width - p), kept])

    def _clamp(self, i: int, s: int, width: int) -> str:
        bits, language, a, low, high = self.bits, self.language, self.a[i], self.p[i], self.q[i]
        result = bits.of(a, s, 0, width)
        over = bits.hi[a] > high
        under = bits.lo[a] < low
        if under and low == 0 and not over:
            sign = bits.sign(a, s)
            # A choice of 0, not a mask: in front of a register, tools make it the register's synchronous reset.
            return language.choose(sign, language.literal(0, width), result)
        if over and under and high >= 0 and low == -high - 1 and high & (high + 1) == 0:
            return self._saturated(a, high.bit_length(), s)
        if over:
            result = language.choose(self._above(i, a, high, s), language.literal(high, width), result)
        if under:
            result = language.choose(self._beneath(i, a, low, s), language.literal(low, width), result)
        return result

    def _saturated(self, a: int, k: int, s: int) -> str:
        """A signed value cut to `k` bits and its sign: the sign stays, and one test replaces all other bits by it."""
        bits, language = self.bits, self.language
        sign = bits.sign(a, s)
        if k == 0:
            return sign
        count = bits.width[a] - 1 - k
        upper, positive = bits.of(a, s, k, count), language.invert(sign)
        low = language.group(language.both(sign, language.invert(language.all(upper, count))))
        high = language.group(language.both(positive, language.any(upper, count)))
        beyond = language.group(language.either(low, high))
        return language.choose_below(sign, beyond, language.repeat(positive, k), bits.of(a, s, 0, k))

    def _above(self, i: int, a: int, bound: int, s: int) -> str:
        """Whether a > bound, from the top bits where bound + 1 is a power of two."""
        bits, language, next_ = self.bits, self.language, bound + 1
        if next_ == 0:
            return language.invert(bits.sign(a, s)) if bits.signed(a) else language.literal(1, 1)
        top = bits.width[a] - bits.signed(a)
        if next_ > 0 and next_ & bound == 0:
            k = next_.bit_length() - 1
            large = bits.any(a, s, k, top - k)
            positive = language.invert(bits.sign(a, s))
            return language.group(language.both(positive, large)) if bits.signed(a) else large
        n = width_of(min(bound - bits.hi[a], -1), bound - bits.lo[a])
        return self._negative(f"{bits.names[i]}_over", language.literal(bound, n), bits.of(a, s, 0, n), n)

    def _beneath(self, i: int, a: int, bound: int, s: int) -> str:
        """Whether a < bound, from the top bits where bound is 0 or -2^k."""
        bits, language = self.bits, self.language
        if bound == 0:
            return bits.sign(a, s)
        if bound < 0 and -bound & (-bound - 1) == 0:
            k = (-bound).bit_length() - 1
            count = bits.width[a] - 1 - k
            above = language.invert(language.all(bits.of(a, s, k, count), count))
            return language.group(language.both(bits.sign(a, s), above))
        n = width_of(min(bits.lo[a] - bound, -1), bits.hi[a] - bound)
        return self._negative(f"{bits.names[i]}_under", bits.of(a, s, 0, n), language.literal(bound, n), n)

    def _negative(self, name: str, minuend: str, subtrahend: str, n: int) -> str:
        """Whether a difference of `n` bits is negative.

        A subtraction keeps its own carry chain; from `<` some tools build a second chain of LUTs for the carry out.
        """
        self.helpers.append((name, n, self.language.subtract(minuend, subtrahend, n)))
        return self.language.bit(name, n - 1) if n > 1 else name

    def _ordered(self, i: int, s: int) -> str:
        bits, a, b = self.bits, self.a[i], self.b[i]
        n = width_of(min(bits.lo[a] - bits.hi[b], -1), bits.hi[a] - bits.lo[b])
        return self._negative(f"{bits.names[i]}_d", bits.of(a, s, 0, n), bits.of(b, s, 0, n), n)

    def _smaller(self, i: int, s: int) -> str:
        """Whether a < b, or either answer where they are equal: between a value and its shift the sign decides."""
        bits, a, b = self.bits, self.a[i], self.b[i]
        if bits.base[a] != bits.base[b] or bits.lo[a] == bits.hi[a]:
            return self._ordered(i, s)
        sign = bits.sign(a, s)
        return sign if bits.shift[a] > bits.shift[b] else self.language.invert(sign)

    def _min(self, i: int, s: int, width: int) -> str:
        first, second = (self.bits.of(v, s, 0, width) for v in (self.a[i], self.b[i]))
        return self.language.choose(self._smaller(i, s), first, second)

    def _max(self, i: int, s: int, width: int) -> str:
        first, second = (self.bits.of(v, s, 0, width) for v in (self.a[i], self.b[i]))
        return self.language.choose(self._smaller(i, s), second, first)

    def _less(self, i: int, s: int, width: int) -> str:
        bits, a, b = self.bits, self.a[i], self.b[i]
        if bits.lo[b] == bits.hi[b] and bits.width[a] <= CONSTANT_BITS:
            return self._below(a, bits.lo[b], s)
        if bits.lo[a] == bits.hi[a] and bits.width[b] <= CONSTANT_BITS:
            return self.language.invert(self.language.group(self._below(b, bits.lo[a] + 1, s)))
        return self._ordered(i, s)

    def _below(self, v: int, bound: int, s: int) -> str:
        """Whether a value is below a constant: from the lowest bit up, a 0 where the constant has a 1 decides for it.

        A few LUTs, where a carry chain would take one a bit; bits below the constant's lowest 1 are not looked at.
        """
        bits, language = self.bits, self.language
        width, signed = bits.width[v], bits.signed(v)
        if bound <= bits.lo[v] or bound > bits.hi[v]:
            return language.literal(int(bound > bits.hi[v]), 1)
        code = bound & ((1 << width) - 1)
        text = ""
        for k in range(width):
            bit = bits.of(v, s, k, 1)
            # The sign counts the other way round.
            sign = signed and k == width - 1
            low, one = (bit, not code >> k & 1) if sign else (language.invert(bit), code >> k & 1)
            if text:
                text = (language.either if one else language.both)(low, language.group(text))
            elif one:
                text = low
        return text

    def _equal(self, i: int, s: int, width: int) -> str:
        bits, a, b = self.bits, self.a[i], self.b[i]
        signed = bits.signed(a) or bits.signed(b)
        span = max(bits.span(a, signed), bits.span(b, signed))
        return self.language.equal(bits.of(a, s, 0, span), bits.of(b, s, 0, span), span)

    def _select(self, i: int, s: int, width: int) -> str:
        bits, a = self.bits, self.a[i]
        chosen = bits.any(a, s, 0, max(1, bits.width[a]))
        return self.language.choose(chosen, bits.of(self.b[i], s, 0, width), bits.of(self.c[i], s, 0, width))

    def _table(self, i: int, s: int, width: int) -> str:
        # The low bits that tell the codes of a's range apart are address enough.
        bits, a = self.bits, self.a[i]
        key = (self.p[i], bits.lo[a], bits.hi[a], self.q[i], width)
        name = self.functions.setdefault(key, f"table_{len(self.functions)}")
        address = address_bits(bits.lo[a], bits.hi[a])
        return self.language.look_up(name, bits.of(a, s, 0, address), address)

    def _and(self, i: int, s: int, width: int) -> str:
        return self.language.both(self.bits.of(self.a[i], s, 0, width), self.bits.of(self.b[i], s, 0, width))

    def _or(self, i: int, s: int, width: int) -> str:
        return self.language.either(self.bits.of(self.a[i], s, 0, width), self.bits.of(self.b[i], s, 0, width))

    def _xor(self, i: int, s: int, width: int) -> str:
        return self.language.differ(self.bits.of(self.a[i], s, 0, width), self.bits.of(self.b[i], s, 0, width))
