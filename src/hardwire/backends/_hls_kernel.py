"""The statements of one kernel: loops over groups of values, sums over constant matrices, expressions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hardwire.backends._hls_dialect import Dialect
from hardwire.backends._hls_groups import LOOP, SCATTERED, Group, Grouped
from hardwire.backends._hls_index import Index, affine, runs
from hardwire.backends._hls_ops import ROUND
from hardwire.backends._hls_text import Lines, Names, literal, size_of
from hardwire.fixed import Ints, Rounding
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel

AUTO, CONSTANTS, ROM = "auto", "constants", "rom"
WEIGHTS = (AUTO, CONSTANTS, ROM)
"""How matrices are written: constants in the code, arrays and a loop, or what reads best."""

CONSTANT_TERMS = 256
"""Terms of a matrix that `auto` writes as constants at most, however dense it is."""
SPARSE_TERMS = 4096
"""Terms of a matrix that it writes as constants where most weights are zero."""
DENSE = 0.5
"""Share of weights that are not zero from which on a matrix counts as dense."""
TERMS_A_LINE = 8
"""Terms that are added in one expression."""
MOST_REGISTERS = 1024
"""Elements of an array that is kept in registers where layers are loops; larger ones are memories."""
MOST_SOURCES = 4
"""Arrays that a matrix reads, at most, to be written as arrays itself."""

_NAMES = {
    OpCode.LINEAR: "sum", OpCode.ADD: "sum", OpCode.SUB: "difference", OpCode.MUL: "product", OpCode.SHL: "shifted",
    OpCode.ROUND: "rounded", OpCode.WRAP: "wrapped", OpCode.CLAMP: "clamped", OpCode.MIN: "least", OpCode.MAX: "most",
    OpCode.LESS: "less", OpCode.EQUAL: "equal", OpCode.SELECT: "chosen", OpCode.TABLE: "value", OpCode.AND: "both",
    OpCode.OR: "either", OpCode.XOR: "odd",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class View:
    """Elements `index(k)` of an array, seen as elements 0, 1, … of a kernel; `bits` and `signed` are the array's."""

    name: str
    start: Index
    step: int
    bits: int
    signed: bool

    def stepped(self, step: int, first: int) -> View:
        """Elements `first`, `first + step`, … of these."""
        start = self.start + self.step * first
        return View(self.name, start, self.step * step, self.bits, self.signed)

    def element(self, k: Index | int) -> str:
        """C++ text of element k."""
        at = k if isinstance(k, Index) else Index(k)
        return f"{self.name}[{self.start + at.scaled(self.step)}]"


@dataclass(eq=False)
class Constants:
    """Constant arrays of a whole design, each content once: name → values, with the function that reads them first."""

    names: Names
    arrays: dict[str, tuple[Ints, str]] = field(default_factory=dict)
    _known: dict[tuple[bytes, tuple[int, ...]], str] = field(default_factory=dict)

    def __call__(self, name: str, values: Ints, comment: str) -> str:
        """Name of an array with these values (one or two dimensions)."""
        values = np.ascontiguousarray(values, np.int64)
        key = (values.tobytes(), values.shape)
        if key not in self._known:
            self._known[key] = self.names(name)
            self.arrays[self._known[key]] = (values, comment)
        return self._known[key]


@dataclass(eq=False)
class _Part:
    """What the rows of a matrix read of one source: places and weights, (rows, terms) each."""

    source: Group
    columns: Ints
    weights: Ints
    names: dict[str, str] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        """Whether all weights are one number."""
        return bool(self.weights.min() == self.weights.max())

    @property
    def regular(self) -> tuple[int, int, int] | None:
        """`(first, down, across)` of regular places."""
        return _two_levels(self.columns)


class KernelWriter:
    """Writes a kernel's statements into `lines`; `used` collects the helper functions that they call."""

    def __init__(
        self,
        kernel: Kernel,
        label: str,
        inputs: Sequence[View],
        counts: Sequence[int],
        output: View,
        lines: Lines,
        *,
        dialect: Dialect,
        constants: Constants,
        used: set[str],
        parallel: bool,
        weights: str = AUTO,
        taken: Sequence[str] = (),
    ) -> None:
        """`label` names the layer. `inputs` see the arrays that the kernel reads, with `counts` elements each."""
        self.grouped = Grouped(kernel, list(counts))
        self.label = label
        self.inputs = list(inputs)
        self.output = output
        self.lines = lines
        self.dialect = dialect
        self.constants = constants
        self.used = used
        self.parallel = parallel
        self.weights = weights
        self.names = Names({*taken, *(view.name for view in (*inputs, output))})
        self.fixed: list[str] = []
        """Constant arrays that are read at indices that loops fix."""
        self.looked_up: list[str] = []
        """Constant arrays that are read at computed indices."""
        self.targets: dict[int, int] = {}
        """Values that are written straight to an output."""
        self._roms()

    def write(self) -> None:
        """All statements, the outputs included."""
        grouped = self.grouped
        places: dict[int, list[int]] = {}
        for k, v in enumerate(grouped.outputs):
            places.setdefault(v, []).append(k)
        for group in grouped.groups:
            if group.kind not in ("input", "const") and not group.inlined:
                self._targets(group, places)
        for group in grouped.groups:
            if group.kind in ("input", "const") or group.inlined:
                continue
            if group.kind == "matrix":
                self._matrix(group)
            elif group.rolled:
                self._loop(group)
            else:
                self._one_by_one(group)
        self._rest()

    # ---- Where values are

    def _roms(self) -> None:
        for rom in self.grouped.roms:
            about = f"value at {literal(rom.first)} and so on"
            rom.name = self.constants(f"{self.label}_table", rom.entries, about)
            if rom.name not in self.looked_up:
                self.looked_up.append(rom.name)

    def _targets(self, group: Group, places: dict[int, list[int]]) -> None:
        """Let a group write straight to the outputs where nothing else reads its members."""
        direct = {v: places[v][0] for v in group.members if len(places.get(v, ())) == self.grouped.uses[v] == 1}
        whole = len(direct) == len(group.members)
        if (
            whole
            or not (group.rolled or group.kind == "matrix")
            or (group.kind == "matrix" and self._form(group) == CONSTANTS)
        ):
            self.targets.update(direct)

    def _declare(self, group: Group) -> None:
        """Declare the variable of the members that no output holds."""
        kept = [v for v in group.members if v not in self.targets and not self.grouped.inlined(v)]
        if not kept:
            return
        group.name = self.names(_NAMES[group.code])
        kind = self.dialect.type(*size_of(group.lo, group.hi))
        if len(group.members) == 1:
            return  # Declared where it is computed.
        registers = self.parallel or len(group.members) <= MOST_REGISTERS
        prefix = self.dialect.array_prefix(registers=registers)
        self.lines.add(f"{prefix}{kind} {group.name}[{len(group.members)}];")
        self.lines.add(*self.dialect.array(group.name, registers=registers))

    def _place(self, group: Group, k: Index | int) -> str:
        """Text of member k of a group, where it is stored."""
        if group.kind == "input":
            view = self.inputs[group.read]
            text = view.element(k)
            bits, signed = size_of(group.lo, group.hi)
            return text if bits >= view.bits else f"{self.dialect.type(bits, signed)}({text})"
        return group.name if len(group.members) == 1 else f"{group.name}[{k}]"

    def _target(self, group: Group, k: Index | int) -> tuple[str, bool]:
        """Where member k of a group is assigned to, and whether that declares it."""
        if isinstance(k, int):
            v = group.members[k]
            if v in self.targets:
                return self.output.element(self.targets[v]), False
        elif group.members[0] in self.targets:
            return self.output.element(self._listed("results", [self.targets[v] for v in group.members], k)), False
        if len(group.members) == 1:
            return f"const {self.dialect.type(*size_of(group.lo, group.hi))} {group.name}", True
        return f"{group.name}[{k}]", False

    # ---- Operations

    def _loop(self, group: Group) -> None:
        self._declare(group)
        # The loop's own constant arrays are named before it is written.
        with self.lines.loop(len(group.members), self._unrolled()) as variable:
            k = Index.of(variable)
            self._assign(group, k, size_of(group.lo, group.hi))

    def _one_by_one(self, group: Group) -> None:
        self._declare(group)
        for k, v in enumerate(group.members):
            if not self.grouped.inlined(v):
                self._assign(group, k, size_of(*self.grouped.range(v)))

    def _assign(self, group: Group, k: Index | int, size: tuple[int, bool]) -> None:
        target, declared = self._target(group, k)
        out = self.dialect.type(*size)
        text, bare = self._expression(group, k, out)
        direct = group.members[0 if isinstance(k, Index) else k] in self.targets
        own = self.output if direct else None
        same = size == ((own.bits, own.signed) if own else size_of(group.lo, group.hi))
        self.lines.add(f"{target} = {bare if same or declared else text};")

    def _expression(self, group: Group, k: Index | int, out: str) -> tuple[str, str]:
        """Member k of a group as an expression of type `out`, and the same without a cast to it."""
        rule = self._linear if group.code is OpCode.LINEAR else self._operation
        return rule(group, k, out)

    def _operation(self, group: Group, k: Index | int, out: str) -> tuple[str, str]:
        code, first = group.code, group.members[0]
        p, q = self.grouped.p[first], self.grouped.q[first]
        fixed = [self._constant(group, j, k) for j in range(len(group.args))]
        typed = all(text is not None for text in fixed) or code in _TYPED
        x = [self._operand(group, j, k, typed) for j in range(len(group.args))]

        def cast(text: str) -> tuple[str, str]:
            return _cast(out, text), text

        match code:
            case OpCode.ADD | OpCode.SUB:
                a, b = (f"({_cast(out, text)} << {n})" if n else text for text, n in zip(x, (p, q), strict=True))
                return cast(f"{a} {'+' if code is OpCode.ADD else '-'} {b}")
            case OpCode.MUL:
                return cast(f"{x[0]} * {x[1]}")
            case OpCode.SHL:
                return (f"({_cast(out, x[0])} << {p})",) * 2 if p else cast(x[0])
            case OpCode.ROUND:
                return self._round(group, k, x[0], out)
            case OpCode.WRAP:
                low = self.dialect.type(p, bool(q))
                return (f"{low}({x[0]})",) * 2 if low == out else cast(f"{low}({x[0]})")
            case OpCode.CLAMP:
                return self._clamp(group, k, x[0], out)
            case OpCode.MIN:
                return self._call("smaller", out, x)
            case OpCode.MAX:
                return self._call("larger", out, x)
            case OpCode.LESS:
                return cast(f"{x[0]} < {x[1]}")
            case OpCode.EQUAL:
                return cast(f"{x[0]} == {x[1]}")
            case OpCode.SELECT:
                text = f"{self._condition(group, k, x[0])} ? {_cast(out, x[1])} : {_cast(out, x[2])}"
                return f"({text})", text
            case OpCode.TABLE:
                return cast(self._table(group, x[0]))
            case OpCode.AND | OpCode.OR | OpCode.XOR:
                sign = {OpCode.AND: "&", OpCode.OR: "|", OpCode.XOR: "^"}[code]
                return cast(f"{_cast(out, x[0])} {sign} {_cast(out, x[1])}")
        raise ValueError(f"{code.name} has no expression")

    def _call(self, function: str, out: str, arguments: list[str], extra: str = "") -> tuple[str, str]:
        self.used.add(function)
        return (f"{function}<{out}{extra}>({', '.join(arguments)})",) * 2

    def _round(self, group: Group, k: Index | int, x: str, out: str) -> tuple[str, str]:
        shift, mode = self.grouped.p[group.members[0]], Rounding(self.grouped.q[group.members[0]])
        ids = group.args[0]
        bounds = [self.grouped.range(v) for v in (ids if isinstance(k, Index) else [ids[k]])]
        bits, signed = size_of(min(b[0] for b in bounds), max(b[1] for b in bounds))
        shift = min(shift, bits + 1)  # Beyond that, every value rounds in the same way.
        if shift == 0:
            return _cast(out, x), x
        if shift >= bits:
            x = f"{self.dialect.type(shift + 2, signed)}({x})"
        return self._call(ROUND[mode], out, [x], f", {shift}")

    def _clamp(self, group: Group, k: Index | int, x: str, out: str) -> tuple[str, str]:
        members = group.members if isinstance(k, Index) else [group.members[k]]
        ids = group.args[0] if isinstance(k, Index) else [group.args[0][k]]
        least, most = [self.grouped.p[v] for v in members], [self.grouped.q[v] for v in members]
        below = any(p > self.grouped.lo[arg] for p, arg in zip(least, ids, strict=True))
        above = any(q < self.grouped.hi[arg] for q, arg in zip(most, ids, strict=True))
        if not below and not above:
            return _cast(out, x), x
        if below and not above and not any(least):
            return self._call("relu", out, [x])
        limits = []
        if below:
            limits.append(self._parameter(least, "least", k))
        if above:
            limits.append(self._parameter(most, "most", k))
        return self._call({(1, 0): "at_least", (0, 1): "at_most", (1, 1): "clamp"}[below, above], out, [x, *limits])

    def _table(self, group: Group, x: str) -> str:
        rom = group.rom
        assert rom is not None
        last = rom.first + len(rom.entries)
        if rom.first > -(1 << 31) and last < 1 << 31:
            at = f"{x}.to_int()"
            if rom.first:
                at += f" + {-rom.first}" if rom.first < 0 else f" - {rom.first}"
        else:
            at = f"({x} - {literal(rom.first)}).to_int()"
        return f"{rom.name}[{at}]"

    def _linear(self, group: Group, k: Index | int, out: str) -> tuple[str, str]:
        """A sum of few terms as an expression."""
        members = group.members if isinstance(k, Index) else [group.members[k]]
        terms = [self.grouped.terms(v) for v in members]
        pieces: list[str] = []
        for j in range(len(group.args)):
            coefs = [term[j][1] for term in terms]
            x = self._operand(group, j, k, typed=True)
            same = len(set(coefs)) == 1
            if same and coefs[0] in (1, -1):
                piece = x if coefs[0] == 1 else f"-{x}"
            elif same:
                piece = f"{literal(coefs[0])} * {x}"
            else:
                piece = f"{self._parameter(coefs, 'scale', k)} * {x}"
            pieces.append(piece)
        bias = [self.grouped.p[v] for v in members]
        if any(bias):
            pieces.append(self._parameter(bias, "offset", k))
        text = _joined(pieces)
        return _cast(out, text), text

    def _condition(self, group: Group, k: Index | int, text: str) -> str:
        """Operand 0 of a choice as a condition: a comparison as it is, where it is written inside."""
        arg = group.args[0][0 if isinstance(k, Index) else k]
        source = self.grouped.group_of[arg]
        if source.code in (OpCode.LESS, OpCode.EQUAL) and self.grouped.inlined(arg):
            inside = k if isinstance(k, Index) else self.grouped.place[arg]
            return self._expression(source, inside, "")[1]
        return f"{text} != 0"

    # ---- Operands

    def _constant(self, group: Group, j: int, k: Index | int) -> str | None:
        """Text of operand j if it is constant."""
        ids = group.args[j] if isinstance(k, Index) else [group.args[j][k]]
        if any(self.grouped.group_of[arg].kind != "const" for arg in ids):
            return None
        return ""

    def _operand(self, group: Group, j: int, k: Index | int, typed: bool) -> str:
        """Text of operand j of member k; constants get their type where `typed`."""
        grouped = self.grouped
        ids = group.args[j]
        if isinstance(k, int):
            arg = ids[k]
            source = grouped.group_of[arg]
            if source.kind == "const":
                return self._literal(grouped.p[arg], typed)
            if grouped.inlined(arg):
                size = size_of(*grouped.range(arg))
                return self._expression(source, grouped.place[arg], self.dialect.type(*size))[0]
            return self._place(source, grouped.place[arg])
        source = grouped.group_of[ids[0]]
        if source.kind == "const":
            return self._parameter([grouped.p[arg] for arg in ids], "limit", k, typed)
        if source.inlined:
            return self._expression(source, k, self.dialect.type(*size_of(source.lo, source.hi)))[0]
        places = [grouped.place[arg] for arg in ids]
        return self._place(source, self._listed("places", places, k))

    def _listed(self, name: str, places: list[int], k: Index) -> Index:
        """The k-th of several places: by a formula, or from a constant array."""
        regular = affine(places)
        if regular is not None:
            return k.scaled(regular[0]) + regular[1]
        return Index.of(f"{self._fixed(name, np.array(places, np.int64))}[{k}]")

    def _literal(self, value: int, typed: bool) -> str:
        return f"{self.dialect.type(*size_of(value, value))}({literal(value)})" if typed else literal(value)

    def _parameter(self, values: list[int], name: str, k: Index | int, typed: bool = False) -> str:
        """A constant that may differ between members: itself, or an element of an array."""
        if len(set(values)) == 1:
            return self._literal(values[0], typed)
        kind = self.dialect.type(*size_of(min(values), max(values)))
        return f"{kind}({self._fixed(name, np.array(values, np.int64))}[{k}])"

    def _fixed(self, name: str, values: Ints) -> str:
        found = self.constants(f"{self.label}_{name}", values, "")
        if found not in self.fixed:
            self.fixed.append(found)
        return found

    # ---- Matrices

    def _form(self, group: Group) -> str:
        """How a matrix is written: `CONSTANTS` or `ROM`."""
        sources = self._sources(group)
        if self.weights == CONSTANTS or not 1 <= len(sources) <= MOST_SOURCES:
            return CONSTANTS
        rows = [self.grouped.terms(v) for v in group.members]
        count = sum(map(len, rows))
        if len(sources) == 1 and len({coef for row in rows for _, coef in row}) == 1 and count > TERMS_A_LINE:
            columns, _ = self._part(rows, sources[0])
            if _two_levels(columns) is not None and columns.size == count:
                return ROM
        if self.weights == ROM:
            return ROM
        if count <= CONSTANT_TERMS:
            return CONSTANTS
        width = len({arg for row in rows for arg, _ in row})
        return ROM if count >= DENSE * len(rows) * width or count > SPARSE_TERMS else CONSTANTS

    def _sources(self, group: Group) -> list[Group]:
        """The groups that the terms of a matrix read, none if one of them is constant."""
        found: dict[int, Group] = {}
        for v in group.members:
            for arg in self.grouped.args[v]:
                source = self.grouped.group_of[arg]
                found[id(source)] = source
        sources = list(found.values())
        return [] if any(source.kind == "const" for source in sources) else sources

    def _part(self, rows: list[list[tuple[int, int]]], source: Group) -> tuple[Ints, Ints]:
        """Places in one source and weights, (rows, terms) each, that the rows of a matrix read there."""
        group_of, place = self.grouped.group_of, self.grouped.place
        inside = [[(place[arg], coef) for arg, coef in row if group_of[arg] is source] for row in rows]
        if len({len(row) for row in inside}) == 1:
            columns = np.array([[at for at, _ in row] for row in inside], np.int64)
            if _two_levels(columns) is not None:
                return columns, np.array([[coef for _, coef in row] for row in inside], np.int64)
        return _padded(inside)

    def _matrix(self, group: Group) -> None:
        if self._form(group) == CONSTANTS:
            self._constant_rows(group)
        else:
            self._rom_rows(group)

    def _constant_rows(self, group: Group) -> None:
        """Each row as statements with its weights in them."""
        self._declare(group)
        for k, v in enumerate(group.members):
            pieces = []
            for arg, coef in self.grouped.terms(v):
                source = self.grouped.group_of[arg]
                if source.kind == "const":
                    x = self._literal(self.grouped.p[arg], typed=True)
                else:
                    x = self._place(source, self.grouped.place[arg])
                pieces.append({1: x, -1: f"-{x}"}.get(coef, f"{literal(coef)} * {x}"))
            bias = self.grouped.p[v]
            if bias or not pieces:
                pieces.append(literal(bias))
            target, declared = self._target(group, k)
            size = size_of(*self.grouped.range(v))
            kind = self.dialect.type(*size)
            if len(pieces) <= TERMS_A_LINE:
                own = (self.output.bits, self.output.signed) if v in self.targets else size_of(group.lo, group.hi)
                text = _joined(pieces)
                self.lines.add(f"{target} = {text if declared or own == size else _cast(kind, text)};")
                continue
            chunks = [pieces[n : n + TERMS_A_LINE] for n in range(0, len(pieces), TERMS_A_LINE)]
            if declared:
                self._sum_up(kind, group.name, chunks)
                continue
            with self.lines.block(""):
                name = self.names.free("total")
                self._sum_up(kind, name, chunks)
                self.lines.add(f"{target} = {name};")

    def _sum_up(self, kind: str, name: str, chunks: list[list[str]]) -> None:
        self.lines.add(f"{kind} {name} = {_joined(chunks[0])};")
        for chunk in chunks[1:]:
            self.lines.add(f"{name} += {_joined(chunk)};")

    def _rom_rows(self, group: Group) -> None:
        """Loops over rows and terms; weights, biases and irregular places are constant arrays."""
        rows = [self.grouped.terms(v) for v in group.members]
        parts = [_Part(source, *self._part(rows, source)) for source in self._sources(group)]
        one = len(rows) == 1
        for part in parts:
            if not part.same:
                part.names["weights"] = self._fixed("weights", part.weights[0] if one else part.weights)
            if part.regular is None:
                part.names["columns"] = self._fixed("columns", part.columns[0] if one else part.columns)
        bias = [self.grouped.p[v] for v in group.members]
        biases = self._fixed("bias", np.array(bias, np.int64)) if len(set(bias)) > 1 else ""
        self._declare(group)
        total = self.names.free("total")
        kind = self.dialect.type(*size_of(group.lo, group.hi))

        def row(total: str, i: Index) -> None:
            start = f"{biases}[{i}]" if biases else literal(bias[0])
            self.lines.add(f"{kind} {total} = {start};")
            for part in parts:
                with self.lines.loop(part.columns.shape[1], self._unrolled()) as j:
                    self._add_term(total, part, i, j, one=one)

        if not one:
            with self.lines.loop(len(rows), self._unrolled()) as variable:
                row(total, Index.of(variable))
                self.lines.add(f"{self._target(group, Index.of(variable))[0]} = {total};")
            return
        target, declared = self._target(group, 0)
        if declared:
            row(group.name, Index(0))
            return
        with self.lines.block(""):
            row(total, Index(0))
            self.lines.add(f"{target} = {total};")

    def _add_term(self, total: str, part: _Part, i: Index, j: str, *, one: bool) -> None:
        at = f"[{j}]" if one else f"[{i}][{j}]"
        if part.regular is None:
            place = Index.of(f"{part.names['columns']}{at}")
        else:
            first, down, across = part.regular
            place = i.scaled(down) + Index.of(j).scaled(across) + first
        x = self._place(part.source, place)
        if not part.same:
            kind = self.dialect.type(*size_of(int(part.weights.min()), int(part.weights.max())))
            self.lines.add(f"{total} += {kind}({part.names['weights']}{at}) * {x};")
            return
        weight = int(part.weights[0, 0])
        self.lines.add({1: f"{total} += {x};", -1: f"{total} -= {x};"}.get(weight, f"{total} += {weight} * {x};"))

    # ---- Outputs

    def _rest(self) -> None:
        """Copy what no statement has put into the outputs: inputs, constants, values that are read elsewhere too."""
        waiting: dict[int | Group, list[tuple[int, int]]] = {}
        for k, v in enumerate(self.grouped.outputs):
            if self.targets.get(v) == k:
                continue
            group = self.grouped.group_of[v]
            key = self.grouped.p[v] if group.kind == "const" else group
            waiting.setdefault(key, []).append((k, 0 if group.kind == "const" else self.grouped.place[v]))
        for source, pairs in waiting.items():
            found = runs(pairs)
            if len(found) >= SCATTERED:
                with self.lines.loop(len(pairs), self._unrolled()) as variable:
                    k_ = Index.of(variable)
                    target_ = self._listed("results", [pair[0] for pair in pairs], k_)
                    self._copy(target_, source, self._listed("places", [pair[1] for pair in pairs], k_))
                continue
            for count, target, forward, place, along in found:
                if count < LOOP:
                    for n in range(count):
                        self._copy(target + n * forward, source, place + n * along)
                    continue
                with self.lines.loop(count, self._unrolled()) as variable:
                    k_ = Index.of(variable)
                    self._copy(k_.scaled(forward) + target, source, k_.scaled(along) + place)

    def _copy(self, target: Index | int, source: int | Group, place: Index | int) -> None:
        value = self._place(source, place) if isinstance(source, Group) else literal(source)
        self.lines.add(f"{self.output.element(target)} = {value};")

    def _unrolled(self) -> tuple[list[str], list[str]]:
        return self.dialect.unrolled() if self.parallel or self.lines.loops else self.dialect.pipelined()


_TYPED = frozenset({OpCode.ROUND, OpCode.TABLE, OpCode.SHL, OpCode.WRAP, OpCode.CLAMP})


def _cast(kind: str, text: str) -> str:
    """An expression as one of a type, unless it is a cast to it already."""
    if text.startswith(f"{kind}("):
        depth = 0
        for n, letter in enumerate(text):
            depth += (letter == "(") - (letter == ")")
            if letter == ")" and depth == 0:
                if n == len(text) - 1:
                    return text
                break
    return f"{kind}({text})"


def _joined(pieces: list[str]) -> str:
    """Terms with their signs between them."""
    text = pieces[0]
    for piece in pieces[1:]:
        text += f" - {piece[1:]}" if piece.startswith("-") else f" + {piece}"
    return text


def _two_levels(columns: Ints) -> tuple[int, int, int] | None:
    """`(first, down, across)` of places that are `first + down · row + across · term`; None for others."""
    first = int(columns[0, 0])
    down = int(columns[1, 0]) - first if len(columns) > 1 else 0
    across = int(columns[0, 1]) - first if columns.shape[1] > 1 else 0
    rows, terms = np.indices(columns.shape)
    return (first, down, across) if np.array_equal(columns, first + down * rows + across * terms) else None


def _padded(rows: list[list[tuple[int, int]]]) -> tuple[Ints, Ints]:
    """Places and weights, (rows, terms) each, with weights of 0 added: of all places up to the last one where many
    are read, else of as many as the longest row has."""
    longest = max(map(len, rows))
    places = 1 + max(at for row in rows for at, _ in row)
    if 2 * longest >= places:
        columns = np.tile(np.arange(places), (len(rows), 1))
        weights = np.zeros(columns.shape, np.int64)
        for k, row in enumerate(rows):
            for at, coef in row:
                weights[k, at] += coef
        return columns, weights
    columns, weights = np.zeros((len(rows), longest), np.int64), np.zeros((len(rows), longest), np.int64)
    for k, row in enumerate(rows):
        for n, (at, coef) in enumerate(row):
            columns[k, n], weights[k, n] = at, coef
    return columns, weights
