"""LLVM assembly of a chunk: one vector operation (or a few) per value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hardwire.emulate._dots import dot_product, products
from hardwire.emulate._globals import Globals
from hardwire.emulate._host import Host
from hardwire.emulate._lanes import MODULAR, compute_lane, round_fits
from hardwire.emulate._layout import Layout
from hardwire.emulate._plan import Chunk, Plan
from hardwire.errors import InternalError
from hardwire.fixed import Rounding
from hardwire.ir.jobs import Job
from hardwire.ir.ops import OpCode


@dataclass
class Frame:
    """What a job's functions share: its plan, the lanes and slots of its values, and the memory layout."""

    plan: Plan
    lanes: dict[int, int]
    slots: dict[int, int]
    layout: Layout
    host: Host

    @property
    def parameters(self) -> list[int]:
        """Pointers that are passed to the job's functions: those of a job with more than one position."""
        return moving(self.plan.job, self.layout)


def moving(job: Job, layout: Layout) -> list[int]:
    """Pointers that a job's functions get: if they move, and not those of values that never reach their array."""
    if job.positions == 1:
        return []
    return [k for k, pointer in enumerate(job.pointers) if pointer.array in layout.arrays]


class ChunkEmitter:
    """Writes one function `void name(ptr frame, i64 base…)`; values are vectors of `lanes` integers."""

    def __init__(self, frame: Frame, shared: Globals) -> None:
        self.frame = frame
        self.plan = frame.plan
        self.job = frame.plan.job
        self.width = frame.host.lanes
        self.shared = shared
        self.lines: list[str] = []
        self._count = 0
        self._known: dict[tuple[int, int], str] = {}
        self._flags: dict[int, str] = {}
        self._writes: dict[int, list[tuple[int, int]]] = {}
        for pointer, offset, value in self.job.writes:
            self._writes.setdefault(value, []).append((pointer, offset))

    def function(self, name: str, chunk: Chunk, first: bool) -> str:
        """The chunk's function; the job's `first` one also copies inputs and constants that are written directly."""
        arguments = "".join(f", i64 %b{k}" for k in self.frame.parameters)
        for k in self.frame.parameters:
            self.lines.append(f"%p{k} = getelementptr i8, ptr %f, i64 %b{k}")
        if first:
            for value in self._writes:
                if self.job.nodes[value].op in (OpCode.INPUT, OpCode.CONST):
                    self._finish(value)
        for item in chunk.items:
            if isinstance(item, tuple):
                self._tile(item)
            elif item >= self.plan.first_block:
                self._block(item)
            elif item in self.plan.inside:
                self._summed(item)
                self._finish(item)
            elif item >= len(self.job.nodes):
                self._pack(item)
                self._finish(item)
            else:
                self._op(item)
                self._finish(item)
        body = "\n  ".join(self.lines)
        return f"define internal void {name}(ptr noalias %f{arguments}) #0 {{\n  {body}\n  ret void\n}}\n"

    def _new(self, text: str) -> str:
        self._count += 1
        name = f"%v{self._count}"
        self.lines.append(f"{name} = {text}")
        return name

    def _type(self, bits: int) -> str:
        return f"<{self.width} x i{bits}>"

    def _splat(self, value: int, bits: int) -> str:
        """A constant in every lane, reduced to the lane's bits."""
        value &= (1 << bits) - 1
        return f"splat (i{bits} {value - (1 << bits) if value >> (bits - 1) else value})"

    def _binary(self, op: str, x: str, y: str, bits: int) -> str:
        return self._new(f"{op} {self._type(bits)} {x}, {y}")

    def _call(self, name: str, bits: int, *args: str) -> str:
        kind = self._type(bits)
        full = f"@llvm.{name}.v{self.width}i{bits}"
        self.shared.declare(f"declare {kind} {full}({', '.join([kind] * len(args))})")
        return self._new(f"call {kind} {full}({', '.join(f'{kind} {a}' for a in args)})")

    def _cast(self, name: str, have: int, want: int, signed: bool = True) -> str:
        if have == want:
            return name
        op = "trunc" if have > want else "sext" if signed else "zext"
        return self._new(f"{op} {self._type(have)} {name} to {self._type(want)}")

    def _address(self, pointer: int, offset: int) -> tuple[str, int, bool]:
        """Address of an array element, its bytes per integer and signedness."""
        entry = self.job.pointers[pointer]
        store = self.frame.layout.arrays[entry.array]
        if self.frame.parameters:
            place = f"ptr %p{pointer}, i64 {offset * store.stride}"
        else:
            place = f"ptr %f, i64 {store.offset + (int(entry.base[0]) + offset) * store.stride}"
        return self._new(f"getelementptr i8, {place}"), store.bytes, store.signed

    def _slot(self, item: int) -> str:
        return self._new(f"getelementptr i8, ptr %f, i64 {self.frame.layout.slots + self.frame.slots[item]}")

    def _align(self, bytes_: int) -> int:
        return min(64, bytes_ * self.width)

    def _get(self, item: int, bits: int) -> str:
        """A value as a vector of `bits`-bit lanes, from a register, its slot or the array it is read from."""
        known = self._known.get((item, bits))
        if known is not None:
            return known
        if item < len(self.job.nodes) and self.job.nodes[item].op == OpCode.CONST:
            return self._splat(self.job.nodes[item].p, bits)
        own = self.frame.lanes[item]
        if (item, own) not in self._known:
            self._known[item, own] = self._load(item, own)
        self._known[item, bits] = name = self._cast(self._known[item, own], own, bits)
        return name

    def _load(self, item: int, own: int) -> str:
        if item < len(self.job.nodes) and self.job.nodes[item].op == OpCode.INPUT:
            address, size, signed = self._address(*self.job.reads[self.job.nodes[item].p])
            raw = self._new(f"load {self._type(8 * size)}, ptr {address}, align {self._align(size)}")
            return self._cast(raw, 8 * size, own, signed)
        if item not in self.frame.slots:
            raise InternalError(f"emulator: value {item} of {self.job.name!r} is used before it is made")
        return self._new(f"load {self._type(own)}, ptr {self._slot(item)}, align {self._align(own // 8)}")

    def _finish(self, item: int) -> None:
        """Store a value where later chunks, steps or ports want it."""
        own = self.frame.lanes[item]
        if item in self.frame.slots:
            value = self._get(item, own)
            self.lines.append(f"store {self._type(own)} {value}, ptr {self._slot(item)}, align {self._align(own // 8)}")
        for pointer, offset in self._writes.get(item, ()):
            address, size, signed = self._address(pointer, offset)
            # An unsigned store may be one bit wider than the signed lane that holds the value: the bits are the same.
            value = self._cast(self._get(item, own), own, 8 * size, signed)
            self.lines.append(f"store {self._type(8 * size)} {value}, ptr {address}, align {self._align(size)}")

    def _op(self, item: int) -> None:
        node = self.job.nodes[item]
        lane = compute_lane(self.job, node, self.frame.lanes)
        own = self.frame.lanes[item]
        op = OpCode(node.op)
        if op is OpCode.LINEAR:
            name = self._linear(list(zip(node.coefs, node.args, strict=True)), node.p, lane)
        elif op in MODULAR:
            name = self._modular(op, node.args, node.p, node.q, lane)
        elif op is OpCode.ROUND:
            name = self._round(item, lane)
        elif op is OpCode.WRAP:
            name = self._wrap(self._get(node.args[0], lane), node.p, bool(node.q), lane)
        elif op is OpCode.CLAMP:
            name = self._clamp(item, lane)
        elif op in (OpCode.MIN, OpCode.MAX):
            which = "smin" if op is OpCode.MIN else "smax"
            name = self._call(which, lane, self._get(node.args[0], lane), self._get(node.args[1], lane))
        elif op in (OpCode.LESS, OpCode.EQUAL):
            test = "slt" if op is OpCode.LESS else "eq"
            x, y = (self._get(arg, lane) for arg in node.args)
            flag = self._flags[item] = self._new(f"icmp {test} {self._type(lane)} {x}, {y}")
            lane = own
            name = self._new(f"zext <{self.width} x i1> {flag} to {self._type(own)}")
        elif op is OpCode.SELECT:
            flag = self._flag(node.args[0])
            yes, no = self._get(node.args[1], lane), self._get(node.args[2], lane)
            kind = self._type(lane)
            name = self._new(f"select <{self.width} x i1> {flag}, {kind} {yes}, {kind} {no}")
        elif op is OpCode.TABLE:
            name = self._table(item, lane)
        else:
            raise InternalError(f"emulator: {op.name} in {self.job.name!r} has no code")
        self._known[item, lane] = name
        self._known[item, own] = self._cast(name, lane, own)

    def _flag(self, item: int) -> str:
        """A value's lanes that are not 0."""
        if item not in self._flags:
            bits = self.frame.lanes[item]
            self._flags[item] = self._new(f"icmp ne {self._type(bits)} {self._get(item, bits)}, zeroinitializer")
        return self._flags[item]

    def _modular(self, op: OpCode, args: tuple[int, ...], p: int, q: int, lane: int) -> str:
        x = self._get(args[0], lane)
        if op is OpCode.SHL:
            return self._shl(x, p, lane)
        y = self._get(args[1], lane)
        if op in (OpCode.ADD, OpCode.SUB):
            return self._binary(op.name.lower(), self._shl(x, p, lane), self._shl(y, q, lane), lane)
        return self._binary(op.name.lower(), x, y, lane)

    def _shl(self, x: str, shift: int, lane: int) -> str:
        if shift >= lane:  # Nothing of x is left in the low bits.
            return "zeroinitializer"
        return x if shift == 0 else self._binary("shl", x, self._splat(shift, lane), lane)

    def _linear(self, terms: list[tuple[int, int]], bias: int, lane: int, start: str | None = None) -> str:
        """`start + Σ coef·arg + bias`, modulo the lane."""
        total = start
        minus: list[str] = []
        for coef, arg in terms:
            size = abs(coef)
            x = self._get(arg, lane)
            if size & (size - 1) == 0:
                x = self._shl(x, size.bit_length() - 1, lane)
            else:
                x = self._binary("mul", x, self._splat(coef, lane), lane)
                coef = 1
            if coef < 0:
                minus.append(x)
            else:
                total = x if total is None else self._binary("add", total, x, lane)
        if total is None:
            total, bias = self._splat(bias, lane), 0
        for x in minus:
            total = self._binary("sub", total, x, lane)
        return total if bias == 0 else self._binary("add", total, self._splat(bias, lane), lane)

    def _round(self, item: int, lane: int) -> str:
        """floor((x + bias) / 2^shift), where the bias may depend on x's sign or lowest kept bit."""
        node = self.job.nodes[item]
        arg = self.job.nodes[node.args[0]]
        shift, mode = min(node.p, 63), Rounding(node.q)
        x = self._get(node.args[0], lane)
        if shift == 0:
            return x
        count = self._splat(shift, lane)
        if mode is Rounding.TRN:
            return self._binary("ashr", x, count, lane)
        if not round_fits(arg, shift, lane):
            return self._round_wide(x, shift, mode, lane)
        half, mask = 1 << (shift - 1), (1 << shift) - 1

        def negative() -> str:
            return self._binary("lshr", x, self._splat(lane - 1, lane), lane)

        match mode:
            case Rounding.RND:
                bias = self._splat(half, lane)
            case Rounding.RND_MIN_INF:
                bias = self._splat(half - 1, lane)
            case Rounding.CEIL:
                bias = self._splat(mask, lane)
            case Rounding.RND_CONV:
                odd = self._binary("and", self._binary("lshr", x, count, lane), self._splat(1, lane), lane)
                bias = self._binary("add", odd, self._splat(half - 1, lane), lane)
            case Rounding.RND_ZERO:
                bias = self._binary("add", negative(), self._splat(half - 1, lane), lane)
            case Rounding.RND_INF:
                bias = self._binary("sub", self._splat(half, lane), negative(), lane)
            case _:
                sign = self._binary("ashr", x, self._splat(lane - 1, lane), lane)
                if mode is Rounding.AWAY:
                    sign = self._binary("xor", sign, self._splat(-1, lane), lane)
                bias = self._binary("and", sign, self._splat(mask, lane), lane)
        return self._binary("ashr", self._binary("add", x, bias, lane), count, lane)

    def _round_wide(self, x: str, shift: int, mode: Rounding, lane: int) -> str:
        """The interpreter's own formula, which no value of up to 62 bits overflows."""
        count = self._splat(shift, lane)
        half = self._splat(1 << (shift - 1), lane)
        below = self._binary("ashr", x, count, lane)
        rest = self._binary("sub", x, self._binary("shl", below, count, lane), lane)
        flags = f"<{self.width} x i1>"

        def test(which: str, a: str, b: str) -> str:
            return self._new(f"icmp {which} {self._type(lane)} {a}, {b}")

        def both(a: str, b: str) -> str:
            return self._new(f"and {flags} {a}, {b}")

        zero = "zeroinitializer"
        if mode in (Rounding.CEIL, Rounding.TRN_ZERO, Rounding.AWAY):
            up = test("ne", rest, zero)
            if mode is not Rounding.CEIL:
                up = both(up, test("slt" if mode is Rounding.TRN_ZERO else "sge", x, zero))
        else:
            up = test("sgt", rest, half)
            if mode is not Rounding.RND_MIN_INF:
                tie = test("eq", rest, half)
                if mode is Rounding.RND_CONV:
                    odd = self._binary("and", below, self._splat(1, lane), lane)
                    tie = both(tie, test("ne", odd, zero))
                elif mode is not Rounding.RND:
                    tie = both(tie, test("slt" if mode is Rounding.RND_ZERO else "sge", x, zero))
                up = self._new(f"or {flags} {up}, {tie}")
        return self._binary("add", below, self._new(f"zext {flags} {up} to {self._type(lane)}"), lane)

    def _wrap(self, x: str, bits: int, signed: bool, lane: int) -> str:
        if bits >= lane:  # The lane holds every value that the type has.
            return x
        if not signed:
            return self._binary("and", x, self._splat((1 << bits) - 1, lane), lane)
        count = self._splat(lane - bits, lane)
        return self._binary("ashr", self._binary("shl", x, count, lane), count, lane)

    def _clamp(self, item: int, lane: int) -> str:
        node = self.job.nodes[item]
        arg = self.job.nodes[node.args[0]]
        x = self._get(node.args[0], lane)
        if node.p > arg.lo:
            x = self._call("smax", lane, x, self._splat(node.p, lane))
        if node.q < max(arg.hi, node.p):
            x = self._call("smin", lane, x, self._splat(node.q, lane))
        return x

    def _table(self, item: int, lane: int) -> str:
        node = self.job.nodes[item]
        name, size, signed = self.shared.table(self.job.tables[node.p])
        own = self.frame.lanes[node.args[0]]
        index_bits = max(32, own)
        index = self._get(node.args[0], index_bits)
        if node.q:
            index = self._binary("sub", index, self._splat(node.q, index_bits), index_bits)
        pointers = self._new(f"getelementptr i{8 * size}, ptr {name}, {self._type(index_bits)} {index}")
        # No target gathers less than 32 bits: the bytes behind an entry are read too and cut off.
        bits = max(32, 8 * size)
        kind = self._type(bits)
        gather = f"@llvm.masked.gather.v{self.width}i{bits}.v{self.width}p0"
        flags = f"<{self.width} x i1>"
        self.shared.declare(f"declare {kind} {gather}(<{self.width} x ptr>, i32, {flags}, {kind})")
        raw = self._new(
            f"call {kind} {gather}(<{self.width} x ptr> {pointers}, i32 {min(size, 4)}, "
            f"{flags} splat (i1 true), {kind} poison)"
        )
        return self._cast(self._cast(raw, bits, 8 * size), 8 * size, lane, signed)

    def _pack(self, item: int) -> None:
        pack = self.plan.packs[item - len(self.job.nodes)]
        total: str | None = None
        for place, (arg, offset) in enumerate(zip(pack.args, pack.offsets, strict=True)):
            if arg < 0:
                continue
            x = self._get(arg, 32)
            if offset:
                x = self._binary("sub", x, self._splat(offset, 32), 32)
            if pack.bits == 16 and place == 0:
                x = self._binary("and", x, self._splat(0xFFFF, 32), 32)
            x = self._shl(x, pack.bits * place, 32)
            total = x if total is None else self._binary("or", total, x, 32)
        assert total is not None
        self._known[item, 32] = total

    def _tile(self, tile: tuple[int, ...]) -> None:
        """Dot products side by side: pack by pack, so that each is loaded once for all of them."""
        pieces = 2  # Two registers of 32-bit lanes make a vector of events, whatever the register's width.
        part = self.width // pieces
        sums: dict[tuple[int, int], str] = {}
        by_pack: dict[int, list[tuple[int, int]]] = {}
        for item in tile:
            for pack, word in self.plan.dots[item].words:
                by_pack.setdefault(pack, []).append((item, word))
        for pack in sorted(by_pack):
            whole = self._get(pack + len(self.job.nodes), 32)
            bits = self.plan.packs[pack].bits
            split = [self._part(whole, piece) for piece in range(pieces)]
            for item, word in by_pack[pack]:
                start = self._splat(self.plan.dots[item].bias >> self.plan.dots[item].shift, 32)
                begun = self.plan.begins_in_sum(item)
                for piece in range(pieces):
                    total = sums.get((item, piece), start if begun else "zeroinitializer")
                    sums[item, piece] = self._dot_product(total, split[piece], word, bits, part)
        index = ", ".join(f"i32 {k}" for k in range(self.width))
        kind = f"<{part} x i32>"
        for item in tile:
            low, high = (sums[item, piece] for piece in range(pieces))
            whole = f"shufflevector {kind} {low}, {kind} {high}, <{self.width} x i32> <{index}>"
            self._sum_up(item, self._new(whole))
            self._finish(item)

    def _block(self, item: int) -> None:
        """Call the loop that sums a block's dot products into its slot."""
        block = self.plan.blocks[item - self.plan.first_block]
        places = [self.frame.slots[len(self.job.nodes) + pack] for pack in block.packs]
        starts = np.asarray(block.starts) & 0xFFFFFFFF
        name = products(self.frame.host, block.bits, self.shared)
        slots = self._new(f"getelementptr i8, ptr %f, i64 {self.frame.layout.slots}")
        tables = [
            self.shared.numbers(starts, 4),
            self.shared.numbers(block.ends, 8),
            self.shared.numbers(np.array(places, np.int64), 4),
            self.shared.numbers(block.words, 4),
        ]
        given = ", ".join(f"ptr {one}" for one in (slots, self._slot(item), *tables))
        self.lines.append(f"call void {name}({given}, i64 {len(block.ends)})")

    def _summed(self, item: int) -> None:
        """Finish a dot product that blocks have summed."""
        kind = self._type(32)
        total: str | None = None
        for block, place in self.plan.inside[item]:
            at = self.frame.slots[self.plan.first_block + block] + place * 4 * self.width
            address = self._new(f"getelementptr i8, ptr %f, i64 {self.frame.layout.slots + at}")
            part = self._new(f"load {kind}, ptr {address}, align {self._align(4)}")
            total = part if total is None else self._binary("add", total, part, 32)
        assert total is not None
        self._sum_up(item, total)

    def _part(self, whole: str, piece: int) -> str:
        part = self.width // 2
        index = ", ".join(f"i32 {piece * part + k}" for k in range(part))
        kind = self._type(32)
        return self._new(f"shufflevector {kind} {whole}, {kind} poison, <{part} x i32> <{index}>")

    def _dot_product(self, total: str, x: str, word: int, bits: int, part: int) -> str:
        kind = f"<{part} x i32>"
        if bits == 8 or self.frame.host.dot16 == "vnni":
            weights = f"splat (i32 {word - (1 << 32) if word >> 31 else word})"
        else:
            halves = ", ".join(f"i16 {_signed16(word >> (16 * (k % 2)))}" for k in range(2 * part))
            weights = self._new(f"bitcast <{2 * part} x i16> <{halves}> to {kind}")
        return dot_product(self.frame.host, bits, self.shared, self._new, total, x, weights)

    def _sum_up(self, item: int, name: str) -> None:
        """Add to a 32-bit sum the terms that were not packed, shift and add what the bias still lacks."""
        dot = self.plan.dots[item]
        lane = self.frame.lanes[item]
        name = self._cast(name, 32, lane)
        if dot.rest:
            name = self._linear(dot.rest, 0, lane, name)
        name = self._shl(name, dot.shift, lane)
        if not self.plan.begins_in_sum(item):
            name = self._binary("add", name, self._splat(dot.bias, lane), lane)
        self._known[item, lane] = name


def _signed16(value: int) -> int:
    value &= 0xFFFF
    return value - (1 << 16) if value >> 15 else value
