"""C++ of a job: a function whose loops over lanes (events side by side) the compiler turns into vector instructions.

A value is kept in the narrowest of 16, 32 and 64 bits that its proven range allows, an array in 8 too. Sums, products
and shifts are computed modulo their result's bits in unsigned arithmetic: exact, because the result fits, and never
undefined. A sum of many terms is made of partial sums that fit 16 bits, for which vector units multiply fastest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hardwire.backends._cpp_plan import Dots, Plan, lane_of
from hardwire.errors import InternalError
from hardwire.fixed import Ints, Rounding
from hardwire.ir.jobs import Node
from hardwire.ir.ops import OpCode

_MODULAR = frozenset((OpCode.ADD, OpCode.SUB, OpCode.MUL, OpCode.SHL, OpCode.AND, OpCode.OR, OpCode.XOR))


def store_type(lo: int, hi: int) -> str:
    """The narrowest integer type that holds `[lo, hi]`: i8, u8, i16, … i64."""
    for bits in (8, 16, 32, 64):
        if lo >= 0 and hi < 1 << bits:
            return f"u{bits}"
        if -(1 << (bits - 1)) <= lo and hi < 1 << (bits - 1):
            return f"i{bits}"
    raise InternalError(f"a value of [{lo}, {hi}] is wider than 64 bits")


def lane_type(lo: int, hi: int) -> str:
    """The type of an array: no narrower than a lane, so that what reads it needs not widen it."""
    kind = store_type(lo, hi)
    return "i16" if kind in ("i8", "u8") else kind


def literal(value: int) -> str:
    """An integer as C++ writes it; 64-bit where it needs to be."""
    if -(1 << 31) < value < 1 << 31:
        return str(value)
    return "INT64_MIN" if value == -(1 << 63) else f"INT64_C({value})"


def lines_of(values: Sequence[str], indent: str = "    ", width: int = 116) -> str:
    """Values separated by commas, broken into lines."""
    lines: list[str] = []
    line = indent
    for value in values:
        if len(line) + len(value) + 2 > width and line != indent:
            lines.append(line.rstrip())
            line = indent
        line += value + ", "
    lines.append(line.rstrip().rstrip(","))
    return "\n".join(lines)


class Constants:
    """Tables of the whole program, each written once. Their names end in an underscore, which no layer's does."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, tuple[int, ...], bytes], tuple[str, str]] = {}
        self.text: list[str] = []

    def table(self, stem: str, values: Ints, kind: str | None = None) -> str:
        """Name of a constant array with these values, of one dimension or two."""
        if kind is None:
            kind = store_type(int(values.min()), int(values.max()))
            kind = "i16" if kind == "i8" else kind  # That is a character in C++.
        key = (kind, values.shape, np.ascontiguousarray(values, np.int64).tobytes())
        if key not in self._names:
            name = f"{stem}_{len(self._names)}_"
            self._names[key] = name, kind
            size = "".join(f"[{n}]" for n in values.shape)
            if values.ndim == 1:
                body = lines_of([literal(v) for v in values.tolist()])
            else:
                rows = (lines_of([literal(v) for v in row], "     ").strip() for row in values.tolist())
                body = ",\n".join(f"    {{{row}}}" for row in rows)
            self.text.append(f"const {kind} {name}{size} = {{\n{body}}};\n")
        return self._names[key][0]


def unsigned(bits: int) -> str:
    """The unsigned type in which values of a lane are computed: none is narrower than int, to which C++ promotes."""
    return "u64" if bits == 64 else "u32"


def modular_literal(value: int, bits: int) -> str:
    """A constant reduced to the unsigned type of a lane."""
    return f"UINT64_C({value & 0xFFFFFFFFFFFFFFFF})" if bits == 64 else f"{value & 0xFFFFFFFF}U"


def round_fits(arg: Node, shift: int, lane: int) -> bool:
    """Whether `arg` plus the largest bias of a rounding (all low bits set) stays below the lane's top."""
    return shift < lane and arg.hi + (1 << shift) - 1 < 1 << (lane - 1)


class JobWriter:
    """Writes a job's function; `types` are those of the arrays."""

    def __init__(self, plan: Plan, name: str, types: dict[str, str], constants: Constants) -> None:
        self.plan = plan
        self.job = plan.job
        self.name = name
        self.types = types
        self.constants = constants
        self.lines: list[str] = []
        self._known: set[int] = set()
        self._writes: dict[int, list[tuple[int, int]]] = {}
        for pointer, offset, value in self.job.writes:
            self._writes.setdefault(value, []).append((pointer, offset))
        self.pointers: list[int] = []
        """Pointers that the function takes, once it is written."""
        self.uses_scratch = False
        """Whether it takes the scratch memory, once it is written."""

    def function(self) -> str:
        """The function's text."""
        for loop in self.plan.loops:
            if isinstance(loop, Dots):
                self._dots(loop)
            else:
                self._loop(loop)
        body = "\n".join(self.lines)
        self.pointers = sorted({int(k) for k in re.findall(r"\bp(\d+)\[", body)})
        self.uses_scratch = re.search(r"\bs\.", body) is not None
        written = {pointer for pointer, _, _ in self.job.writes}
        parameters = []
        for k in self.pointers:
            const = "" if k in written else "const "
            parameters.append(f"{const}{self.types[self.job.pointers[k].array]} (*HW_RESTRICT p{k})[kLanes]")
        if self.uses_scratch:
            parameters.append("Scratch& HW_RESTRICT s")
        return f"void {self.name}({', '.join(parameters)}) {{\n{body}\n}}\n"

    def _loop(self, members: tuple[int, ...]) -> None:
        self._known = set()
        first = len(self.lines)
        for i in members:
            if self.job.nodes[i].op not in (OpCode.INPUT, OpCode.CONST) and i not in self.plan.in_dots:
                text = self._expression(i)
                self._known.add(i)
                self._say(f"const i{self.plan.lane(i)} v{i} = {text};")
            if i in self.plan.slots:
                self._say(f"s.t{self.plan.lane(i)}[{self.plan.slots[i]}][l] = v{i};")
            for pointer, offset in self._writes.get(i, ()):
                kind = self.types[self.job.pointers[pointer].array]
                self._say(f"p{pointer}[{offset}][l] = {self._cast(kind, self._get(i))};")
        self.lines[first:] = ["  for (std::size_t l = 0; l < kLanes; ++l) {", *_used(self.lines[first:]), "  }"]

    def _say(self, text: str) -> None:
        self.lines.append(f"    {text}")

    @staticmethod
    def _cast(kind: str, text: str) -> str:
        return f"static_cast<{kind}>({text})"

    def _where(self, i: int) -> tuple[str, bool]:
        """Where a value of another loop lies, and whether in its own lane's type."""
        node = self.job.nodes[i]
        if node.op == OpCode.INPUT:
            pointer, offset = self.job.reads[node.p]
            same = self.types[self.job.pointers[pointer].array] == f"i{self.plan.lane(i)}"
            return f"p{pointer}[{offset}][l]", same
        if i in self.plan.in_dots:
            bits, row = self.plan.in_dots[i]
            return f"s.s{bits}[{row}][l]", bits == self.plan.lane(i)
        if i not in self.plan.slots:
            raise InternalError(f"C++ emulator: value {i} of {self.job.name!r} is used before it is made")
        return f"s.t{self.plan.lane(i)}[{self.plan.slots[i]}][l]", True

    def _get(self, i: int) -> str:
        """A value as an operand of its lane's type."""
        node = self.job.nodes[i]
        if node.op == OpCode.CONST:
            return literal(node.p)
        if i not in self._known:
            place, same = self._where(i)
            kind = f"i{self.plan.lane(i)}"
            self._say(f"const {kind} v{i} = {place if same else self._cast(kind, place)};")
            self._known.add(i)
        return f"v{i}"

    def _mod(self, i: int, bits: int) -> str:
        """A value as an operand of modular arithmetic."""
        node = self.job.nodes[i]
        if node.op == OpCode.CONST:
            return modular_literal(node.p, bits)
        return self._cast(unsigned(bits), self._get(i))

    def _wide(self, i: int, bits: int) -> str:
        """A value as a signed operand of a lane that holds it."""
        text = self._get(i)
        if self.job.nodes[i].op == OpCode.CONST:
            return f"i{bits}{{{text}}}"
        return text if self.plan.lane(i) >= bits else self._cast(f"i{bits}", text)

    def _expression(self, i: int) -> str:
        node = self.job.nodes[i]
        own = self.plan.lane(i)
        kind = f"i{own}"
        op = OpCode(node.op)
        if op is OpCode.LINEAR:
            return self._linear(i, node)
        if op in _MODULAR:
            return self._cast(kind, self._modular(node, own))
        if op is OpCode.ROUND:
            return self._cast(kind, self._round(i, node))
        if op is OpCode.WRAP:
            return self._wrap(node, own)
        if op is OpCode.CLAMP:
            return self._cast(kind, self._clamp(node))
        if op in (OpCode.MIN, OpCode.MAX, OpCode.LESS, OpCode.EQUAL):
            bits = max(self.plan.lane(arg) for arg in node.args)
            x, y = (self._wide(arg, bits) for arg in node.args)
            if op in (OpCode.MIN, OpCode.MAX):
                return self._cast(kind, f"std::{op.name.lower()}<i{bits}>({x}, {y})")
            if x == y:  # Compilers warn of it.
                return self._cast(kind, "0" if op is OpCode.LESS else "1")
            return self._cast(kind, f"{x} {'<' if op is OpCode.LESS else '=='} {y} ? 1 : 0")
        if op is OpCode.SELECT:
            flag = self._get(node.args[0])
            bits = max(self.plan.lane(arg) for arg in node.args[1:])
            yes, no = (self._wide(arg, bits) for arg in node.args[1:])
            return self._cast(kind, f"{flag} != 0 ? {yes} : {no}")
        if op is OpCode.TABLE:
            name = self.constants.table("table", self.job.tables[node.p])
            index = self._cast("i64", self._get(node.args[0]))
            index = index if node.q == 0 else f"{index} - {literal(node.q)}" if node.q > 0 else f"{index} + {-node.q}"
            return self._cast(kind, f"{name}[{self._cast('std::size_t', index)}]")
        raise InternalError(f"C++ emulator: {op.name} in {self.job.name!r} has no code")

    def _shl(self, x: str, shift: int, bits: int) -> str:
        if shift >= bits:  # Nothing of x is left in the low bits.
            return modular_literal(0, bits)
        return x if shift == 0 else f"({x} << {shift}U)"

    def _modular(self, node: Node, bits: int) -> str:
        op = OpCode(node.op)
        x = self._mod(node.args[0], bits)
        if op is OpCode.SHL:
            return self._shl(x, node.p, bits)
        y = self._mod(node.args[1], bits)
        if op in (OpCode.ADD, OpCode.SUB):
            sign = "+" if op is OpCode.ADD else "-"
            return f"{self._shl(x, node.p, bits)} {sign} {self._shl(y, node.q, bits)}"
        if op is OpCode.MUL and bits == 32 and all(self.plan.lane(arg) == 16 for arg in node.args):
            return " * ".join(self._cast("i32", self._get(arg)) for arg in node.args)
        return f"{x} {({OpCode.MUL: '*', OpCode.AND: '&', OpCode.OR: '|', OpCode.XOR: '^'})[op]} {y}"

    def _linear(self, i: int, node: Node) -> str:
        """A sum in its own lane; one of 32 or 64 bits is made of partial sums that fit narrower lanes."""
        own = self.plan.lane(i)
        terms = []
        for coef, arg in zip(node.coefs, node.args, strict=True):
            ends = [coef * self.job.nodes[arg].lo, coef * self.job.nodes[arg].hi]
            terms.append(_Term(min(ends), max(ends), coef, self._get(arg), self.plan.lane(arg)))
        for bits in (16, 32):
            if bits < own:
                terms = self._partial(f"v{i}", terms, bits)
        return self._cast(f"i{own}", self._sum(terms, own, node.p))

    def _partial(self, stem: str, terms: list[_Term], bits: int) -> list[_Term]:
        """Replace terms by sums of as many in a row as are sure to fit a lane."""
        found: list[_Term] = []
        group: list[_Term] = []
        count = 0

        def close() -> None:
            nonlocal count
            if len(group) > 1:
                name = f"{stem}_{bits}_{count}"
                count += 1
                self._say(f"const i{bits} {name} = {self._cast(f'i{bits}', self._sum(group, bits, 0))};")
                lo, hi = sum(t.lo for t in group), sum(t.hi for t in group)
                found.append(_Term(lo, hi, 1, name, bits))
            else:
                found.extend(group)
            group.clear()

        for term in terms:
            if term.lane > bits or lane_of(term.lo, term.hi) > bits or lane_of(term.coef, term.coef) > bits:
                found.append(term)
                continue
            if group and lane_of(sum(t.lo for t in group) + term.lo, sum(t.hi for t in group) + term.hi) > bits:
                close()
            group.append(term)
        close()
        return found

    def _sum(self, terms: Sequence[_Term], bits: int, bias: int) -> str:
        """`Σ terms + bias` in the unsigned type of a lane."""
        text = modular_literal(bias, bits) if bias else ""
        for term in terms:
            size = abs(term.coef)
            sign = "-" if term.coef < 0 else "+"
            if size & (size - 1) == 0:
                x = self._shl(self._cast(unsigned(bits), term.text), size.bit_length() - 1, max(bits, 32))
            elif bits == 32 and term.lane == 16 and size < 1 << 15:
                # The product of two 16-bit numbers, for which there are instructions.
                x, sign = self._cast("u32", f"{term.text} * {term.coef}"), "+"
            else:
                x = f"{modular_literal(size, bits)} * {self._cast(unsigned(bits), term.text)}"
            text = f"{text} {sign} {x}" if text else x if sign == "+" else f"{modular_literal(0, bits)} - {x}"
        return text or modular_literal(0, bits)

    def _round(self, i: int, node: Node) -> str:
        """floor((x + bias) / 2^shift), where the bias may depend on x's sign or lowest kept bit."""
        arg = self.job.nodes[node.args[0]]
        shift, mode = min(node.p, 63), Rounding(node.q)
        bits = self.plan.lane(node.args[0])
        if shift == 0:
            return self._get(node.args[0])
        if mode is Rounding.TRN:
            x = self._wide(node.args[0], bits)
            return f"{x} >> {min(shift, bits - 1)}"
        while bits < 64 and not round_fits(arg, shift, bits):
            bits *= 2
        x = self._wide(node.args[0], bits)
        if not round_fits(arg, shift, bits):
            return self._round_wide(i, x, shift, mode)
        half, mask = 1 << (shift - 1), (1 << shift) - 1
        negative = f"({x} < 0 ? 1 : 0)"
        bias = {
            Rounding.RND: literal(half),
            Rounding.RND_MIN_INF: literal(half - 1),
            Rounding.CEIL: literal(mask),
            Rounding.RND_CONV: f"({literal(half - 1)} + (({x} >> {shift}) & 1))",
            Rounding.RND_ZERO: f"({literal(half - 1)} + {negative})",
            Rounding.RND_INF: f"({literal(half)} - {negative})",
            Rounding.TRN_ZERO: f"({x} < 0 ? {literal(mask)} : 0)",
            Rounding.AWAY: f"({x} < 0 ? 0 : {literal(mask)})",
        }[mode]
        return f"{self._cast(f'i{bits}', f'{x} + {bias}')} >> {shift}"

    def _round_wide(self, i: int, x: str, shift: int, mode: Rounding) -> str:
        """The interpreter's own formula, which no value of up to 62 bits overflows; x is 64 bits wide."""
        below, rest, half = f"v{i}_below", f"v{i}_rest", literal(1 << (shift - 1))
        self._say(f"const i64 {below} = {x} >> {shift};")
        self._say(f"const i64 {rest} = static_cast<i64>(static_cast<u64>({x}) & UINT64_C({(1 << shift) - 1}));")
        up = {
            Rounding.TRN_ZERO: f"{rest} != 0 && {x} < 0",
            Rounding.CEIL: f"{rest} != 0",
            Rounding.AWAY: f"{rest} != 0 && {x} >= 0",
            Rounding.RND: f"{rest} >= {half}",
            Rounding.RND_MIN_INF: f"{rest} > {half}",
            Rounding.RND_ZERO: f"{rest} > {half} || ({rest} == {half} && {x} < 0)",
            Rounding.RND_INF: f"{rest} > {half} || ({rest} == {half} && {x} >= 0)",
            Rounding.RND_CONV: f"{rest} > {half} || ({rest} == {half} && ({below} & 1) != 0)",
        }[mode]
        return f"{below} + (({up}) ? 1 : 0)"

    def _wrap(self, node: Node, own: int) -> str:
        """The low bits, read in the result's lane: what a lane drops above them is not asked for."""
        bits, kind = node.p, f"i{own}"
        if bits >= own:
            return self._cast(kind, self._mod(node.args[0], own))
        if not node.q:
            return self._cast(kind, f"{self._mod(node.args[0], own)} & {modular_literal((1 << bits) - 1, own)}")
        if bits in (8, 16, 32):
            return self._cast(kind, self._cast(f"i{bits}", self._mod(node.args[0], own)))
        lifted = self._cast(kind, f"{self._mod(node.args[0], own)} << {own - bits}U")
        return self._cast(kind, f"{lifted} >> {own - bits}")

    def _clamp(self, node: Node) -> str:
        arg = self.job.nodes[node.args[0]]
        low, high = node.p > arg.lo, node.q < max(arg.hi, node.p)
        used = [bound for bound, active in ((node.p, low), (node.q, high)) if active]
        bits = max(self.plan.lane(node.args[0]), lane_of(min(used, default=0), max(used, default=0)))
        x = self._wide(node.args[0], bits)
        if low:
            x = f"std::max<i{bits}>({x}, {literal(node.p)})"
        return f"std::min<i{bits}>({x}, {literal(node.q)})" if high else x

    def _part(self, dots: Dots) -> str:
        """The type of sums of eight products in a row: 16 bits where they are sure to fit."""
        if dots.bits > 16:
            return f"i{dots.bits}"
        lo, hi = (np.array([getattr(self.job.nodes[arg], end) for arg in dots.args], np.int64) for end in ("lo", "hi"))
        ends = np.stack([dots.weights * lo, dots.weights * hi])
        fill = -ends.shape[2] % 8
        low, high = (np.pad(part, ((0, 0), (0, fill))) for part in (ends.min(axis=0), ends.max(axis=0)))
        sums = [part.reshape(len(part), -1, 8).sum(axis=2) for part in (low, high)]
        return "i16" if lane_of(int(sums[0].min()), int(sums[1].max())) == 16 else "i32"

    def _dots(self, dots: Dots) -> None:
        """Gather the operands side by side, then a loop over weights."""
        buffer = f"s.g{dots.bits}"
        from_arrays: dict[int, list[tuple[int, int]]] = {}
        others: list[tuple[int, int]] = []
        for row, arg in enumerate(dots.args):
            node = self.job.nodes[arg]
            if node.op == OpCode.INPUT:
                pointer, offset = self.job.reads[node.p]
                from_arrays.setdefault(pointer, []).append((row, offset))
            else:
                others.append((row, arg))
        for pointer, pairs in from_arrays.items():
            rows, offsets = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
            to, at = progression(rows, self.constants), progression(offsets, self.constants)
            self.lines.append(
                f"  for (std::size_t k = 0; k < {len(pairs)}; ++k) {{\n"
                f"    for (std::size_t l = 0; l < kLanes; ++l) {{\n"
                f"      {buffer}[{to}][l] = static_cast<i{dots.bits}>(p{pointer}[{at}][l]);\n    }}\n  }}"
            )
        for start in range(0, len(others), 32):
            self._known = set()
            self.lines.append("  for (std::size_t l = 0; l < kLanes; ++l) {")
            for row, arg in others[start : start + 32]:
                self._say(f"{buffer}[{row}][l] = {self._cast(f'i{dots.bits}', self._get(arg))};")
            self.lines.append("  }")
        weights = self.constants.table("weights", dots.weights)
        biases = np.array([self.job.nodes[i].p for i in dots.members], np.int64)
        if dots.sum_bits == 32:
            biases = biases.astype(np.int32).astype(np.int64)  # Modulo 2^32, as the sums are.
        bias = self.constants.table("bias", biases, f"i{dots.sum_bits}")
        self.lines.append(
            f"  dots<{unsigned(dots.bits)}, {self._part(dots)}>({buffer}, {weights}, {bias}, "
            f"s.s{dots.sum_bits} + {dots.first});"
        )


@dataclass(frozen=True)
class _Term:
    """`coef · text`, proven to lie in `[lo, hi]`; `text` is a signed operand of `lane` bits."""

    lo: int
    hi: int
    coef: int
    text: str
    lane: int


_DEFINED = re.compile(r" *const i\d+ (v\w+) = ")


def _used(lines: Sequence[str]) -> list[str]:
    """Lines without the constants that none of the others reads: a shift may leave nothing of its operand."""
    kept: list[str] = []
    read: set[str] = set()
    for line in reversed(lines):
        defined = _DEFINED.match(line)
        if defined is None or defined[1] in read:
            kept.append(line)
            read.update(re.findall(r"\bv\w+", line[defined.end() :] if defined else line))
    return kept[::-1]


def progression(values: Ints, constants: Constants, index: str = "k") -> str:
    """C++ for entry `index` of a list of positions: a formula where they are equally far apart, else a table."""
    steps = np.diff(values)
    if np.all(steps == (steps[0] if len(steps) else 0)) and (len(steps) == 0 or steps[0] >= 0):
        first, step = int(values[0]), int(steps[0]) if len(steps) else 0
        text = "" if step == 0 else index if step == 1 else f"{step} * {index}"
        return f"{first} + {text}" if text and first else text or str(first)
    return f"{constants.table('at', values)}[{index}]"
