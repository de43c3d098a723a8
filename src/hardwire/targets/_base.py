"""What a target is: resources of a part, what each op costs on it, how long each op takes.

The op rules are written once for every fabric of k-input LUTs with a carry chain of one bit a LUT; families differ in
the numbers of `Costs` and `Delays`. They describe what the Verilog back end writes: an adder spans the bits where its
operands overlap, a clamp at powers of two looks at the top bits alone, a table is a tree of LUTs and muxes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import InternalError
from hardwire.fixed import Ints, Rounding, width_of
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.solver.cost import AdderShapes, FullAdderCost
from hardwire.targets._facts import Facts, Floats, facts_of, taken_in


@dataclass(frozen=True)
class Resources:
    """What a part holds: LUTs, flip-flops, multipliers, block memories."""

    lut: int
    ff: int
    dsp: int
    bram: int


@dataclass(frozen=True)
class Costs:
    """Numbers behind `Target.cost`."""

    adder_overhead: float
    """LUT sites that a carry chain takes beyond one a bit."""
    dsp_bits: tuple[int, int]
    """Widest signed operands of one multiplier block."""
    dsp_least: int
    """Products whose narrower operand has fewer bits are made of LUTs."""
    free_mux_inputs: int
    """Table inputs beyond the LUT's own that dedicated muxes serve without a LUT."""

    lookup_luts: tuple[float, ...]
    """LUTs of one bit of a table, by how many address bits it looks at; doubling beyond the last."""
    small_adders: tuple[float, ...]
    """LUT sites of adders of 0, 1, 2 … bits that are made without a carry chain."""
    carry_passes: bool = False
    """Whether a bit of a carry chain takes no LUT where one of its operands is constant (`passes.offset_sums`)."""
    taken_in: int = 0
    """Address bits of tables that the LUTs in front of a carry chain take in, beside the adder's other operand."""
    product_luts: float = 1.0
    """LUT sites of a product that is made of LUTs, a pair of bits."""
    lone_ff: bool = False
    """Whether a flip-flop that stands behind no logic takes the LUT in front of it, for its data come through that."""


@dataclass(frozen=True)
class Delays:
    """Numbers behind `Target.delay`, in ns; fitted against place & route by `benchmarks/calibrate_delay.py`."""

    overhead: float
    """Register to register with no logic: clock to output, one route, setup, skew."""
    lut: float
    """One LUT and the average route to it."""
    carry_in: float
    """Into and out of a carry chain, with the average route to it."""
    carry_bit: float
    """One bit along a carry chain."""
    mux: float
    """One dedicated mux behind a LUT."""
    dsp: float
    """One multiplier block without its registers, with the route to it."""
    fanout: float
    """Per doubling of the fan-out of the operand that an op waits for."""
    growth: float
    """Relative growth of every route-bound delay per doubling of the design beyond `reference_lut`."""
    reference_lut: float


@dataclass(frozen=True, eq=False)
class OpCosts:
    """Estimated resources of each value of a kernel, float64 (n,); registers are the circuit's."""

    lut: Floats
    dsp: Floats
    bram: Floats


@dataclass(frozen=True)
class Target:
    """One part of a device family, as data."""

    name: str
    family: str
    title: str
    lut_size: int
    resources: Resources
    clock_mhz: float
    """Default clock."""
    costs: Costs
    delays: Delays
    timing: str = "estimate"
    """`calibrated` against place & route, or `estimate`."""
    margin: float = 0.08
    """Part of the period that the scheduler leaves free where it can: place & route scatters by about as much."""
    synthesis: Mapping[str, str] = field(default_factory=dict)
    """For the synthesis tool: `family` names its recipe (`tools.fabrics`)."""
    place: Mapping[str, str] = field(default_factory=dict)
    """For place & route: `tool` names a module (`tools.placers`), the rest are its options; empty where none exists."""

    def adder_cost(self, adders: AdderShapes) -> NDArray[np.float64]:
        """LUT sites of adders: the solver's cost model (`solver.cost.AdderCost`)."""
        return FullAdderCost(self.costs.adder_overhead)(adders)

    def cost(self, kernel: Kernel) -> OpCosts:
        """LUT sites, multiplier blocks and block memories of every value. Raises `InternalError` on LINEAR."""
        facts = _checked(kernel)
        lut, dsp = np.zeros(len(kernel)), np.zeros(len(kernel))
        extra = self.costs.adder_overhead
        adders = facts.varying if self.costs.carry_passes else facts.chain
        adders = adders + extra * (facts.chain > 0)
        width = facts.width.astype(np.float64)
        for code, rule in (
            ((OpCode.ADD, OpCode.SUB), adders),
            ((OpCode.LESS,), np.where(facts.below > 0, _tree_luts(facts.below, self.lut_size), facts.compare + extra)),
            ((OpCode.MIN, OpCode.MAX), facts.compare + extra + width),
            ((OpCode.EQUAL,), _tree_luts(2 * facts.compare, self.lut_size)),
            ((OpCode.CLAMP,), self._clamp_luts(facts)),
            ((OpCode.ROUND,), self._round_luts(kernel, facts)),
            ((OpCode.SELECT,), facts.selected + _tree_luts(facts.width_a, self.lut_size) * (facts.width_a > 1)),
            ((OpCode.AND, OpCode.OR, OpCode.XOR), width),
            ((OpCode.TABLE,), self._table_luts(kernel, facts)),
        ):
            at = np.isin(kernel.op, [int(c) for c in code]) & ~facts.constant
            lut[at] = rule[at]
        if self.costs.taken_in:
            tables, held = taken_in(kernel, facts, self.costs.taken_in)
            lut[tables] = np.maximum(lut[tables] - held, 0.0)
        at = (kernel.op == OpCode.MUL) & ~facts.constant
        narrow = np.minimum(facts.width_a, facts.width_b)
        big = at & (narrow >= self.costs.dsp_least)
        wide = np.maximum(facts.width_a, facts.width_b)
        blocks = np.ceil(wide / max(self.costs.dsp_bits)) * np.ceil(narrow / min(self.costs.dsp_bits))
        dsp[big] = blocks[big]
        small = at & ~big
        # A row of partial products for each bit of the narrower operand, all but the first on a carry chain.
        lut[small] = (self.costs.product_luts * narrow * wide + extra * np.maximum(narrow - 1, 0))[small]
        # Products over several blocks are summed.
        lut[big] += ((blocks - 1) * (width + extra))[big]
        return OpCosts(lut, dsp, np.zeros(len(kernel)))

    @property
    def taken_in(self) -> int:
        """See `Costs.taken_in`."""
        return self.costs.taken_in

    def lookup_luts(self, entries: Ints) -> float:
        """LUTs of a table of 2^n entries before the sum that reads it (see `Costs.lookup_luts`)."""
        return lookup_luts(entries, self.costs.lookup_luts)

    def small_adder_luts(self, bits: int) -> float:
        """LUT sites of an adder of `bits` bits; the smallest are made of LUTs, without a carry chain."""
        own = self.costs.small_adders
        return own[bits] if bits < len(own) else bits + self.costs.adder_overhead

    def delay(self, kernel: Kernel, total_lut: float | None = None) -> Floats:
        """Nanoseconds from a value's last operand to the value, routing included, float64 (n,).

        `total_lut` (the whole design's, default this kernel's) sets how much longer routes are in a large design.
        Raises `InternalError` on LINEAR.
        """
        facts = _checked(kernel)
        d = self.delays
        if total_lut is None:
            total_lut = float(self.cost(kernel).lut.sum())
        chain = d.carry_in + d.carry_bit * facts.chain
        compare = d.carry_in + d.carry_bit * facts.compare
        ns = np.zeros(len(kernel))
        for code, rule in (
            ((OpCode.ADD, OpCode.SUB), np.where(facts.chain > 0, chain, 0.0)),
            ((OpCode.LESS,), np.where(facts.below > 0, self._below_ns(facts.below), compare)),
            ((OpCode.MIN, OpCode.MAX), compare + d.lut),
            ((OpCode.EQUAL,), self._tree_ns(2 * facts.compare)),
            ((OpCode.CLAMP,), self._clamp_ns(facts)),
            ((OpCode.ROUND,), self._round_ns(kernel, facts)),
            ((OpCode.SELECT,), d.lut * (facts.selected > 0) + self._tree_ns(facts.width_a) * (facts.width_a > 1)),
            ((OpCode.AND, OpCode.OR, OpCode.XOR), np.full(len(kernel), d.lut)),
            ((OpCode.TABLE,), self._table_ns(facts)),
            ((OpCode.MUL,), self._mul_ns(facts)),
        ):
            at = np.isin(kernel.op, [int(c) for c in code]) & ~facts.constant
            ns[at] = rule[at]
        ns = np.where(ns > 0, ns + d.fanout * np.log2(np.maximum(facts.fanout_in, 1)), 0.0)
        return ns * self.stretch(total_lut)

    def stretch(self, total_lut: float) -> float:
        """How much longer paths are in a design of `total_lut` LUT sites than in the reference design."""
        d = self.delays
        return 1.0 + d.growth * max(0.0, float(np.log2(max(total_lut, 1.0) / d.reference_lut)))

    def overhead(self, total_lut: float) -> float:
        """Nanoseconds of a stage besides its logic, in a design of `total_lut` LUT sites."""
        return self.delays.overhead * self.stretch(total_lut)

    def _clamp_luts(self, facts: Facts) -> Floats:
        tests = np.zeros(len(facts.width))
        for bits, compares in ((facts.under_bits, facts.under_chain), (facts.over_bits, facts.over_chain)):
            tests += np.where(compares, bits + self.costs.adder_overhead, _tree_luts(bits, self.lut_size) * (bits > 1))
        return facts.width + tests

    def _clamp_ns(self, facts: Facts) -> Floats:
        d = self.delays
        # Both tests at powers of two read the sign and the top bits: with the value's own bit that is often one LUT.
        tops = np.maximum(facts.under_bits, facts.over_bits)
        small = tops + 1 <= self.lut_size + self.costs.free_mux_inputs
        ns = np.where(small, self._tree_ns(tops + 1), self._tree_ns(tops) + d.lut)
        for bits, compares in ((facts.under_bits, facts.under_chain), (facts.over_bits, facts.over_chain)):
            ns = np.maximum(ns, np.where(compares, d.carry_in + d.carry_bit * bits + d.lut, 0.0))
        return ns

    def _tree_ns(self, inputs: NDArray[np.int64]) -> Floats:
        """Any function of a few bits, or an AND or OR of many."""
        d, size = self.delays, self.lut_size
        joined = d.lut + d.mux * np.maximum(inputs - size, 0)
        return np.where(inputs <= size + self.costs.free_mux_inputs, joined, d.lut * _levels(inputs, size))

    def _below_ns(self, bits: NDArray[np.int64]) -> Floats:
        """A comparison with a constant: a LUT for every few bits, and two parts joined a level."""
        parts = np.ceil(np.maximum(bits, 1) / self.lut_size)
        return self.delays.lut * (1 + np.ceil(np.log2(parts)))

    def _round_luts(self, kernel: Kernel, facts: Facts) -> Floats:
        looks = _rounding_looks(kernel)
        chain = facts.width + self.costs.adder_overhead + _tree_luts(looks, self.lut_size) * (looks > 1)
        # Half-up adds a constant.
        free = (kernel.q == Rounding.TRN) | ((kernel.q == Rounding.RND) & self.costs.carry_passes)
        return np.where(free, 0.0, chain)

    def _round_ns(self, kernel: Kernel, facts: Facts) -> Floats:
        d, looks = self.delays, _rounding_looks(kernel)
        ns = d.carry_in + d.carry_bit * facts.width + self._tree_ns(looks) * (looks > 1)
        return np.where(kernel.q == Rounding.TRN, 0.0, ns)

    def _mul_ns(self, facts: Facts) -> Floats:
        d = self.delays
        narrow, wide = np.minimum(facts.width_a, facts.width_b), np.maximum(facts.width_a, facts.width_b)
        rows = np.ceil(np.log2(np.maximum(narrow, 1)))
        blocks = np.ceil(wide / max(self.costs.dsp_bits)) * np.ceil(narrow / min(self.costs.dsp_bits))
        adder = d.carry_in + d.carry_bit * facts.width
        in_dsp = d.dsp + np.ceil(np.log2(np.maximum(blocks, 1))) * adder
        return np.where(narrow >= self.costs.dsp_least, in_dsp, d.lut + rows * adder)

    def _table_luts(self, kernel: Kernel, facts: Facts) -> Floats:
        lut, known = np.zeros(len(kernel)), dict[tuple[int, int, int], float]()
        for i in np.flatnonzero(kernel.op == OpCode.TABLE):
            a = int(kernel.a[i])
            key = (int(kernel.p[i]), int(kernel.lo[a]), int(kernel.hi[a]))
            if key not in known:
                entries = kernel.tables[key[0]][key[1] - int(kernel.q[i]) : key[2] - int(kernel.q[i]) + 1]
                known[key] = table_luts(entries, key[1], int(facts.width[i]), self.lut_size, self.costs.free_mux_inputs)
            lut[i] = known[key]
        return lut

    def _table_ns(self, facts: Facts) -> Floats:
        d, inputs = self.delays, facts.address
        muxes = np.clip(inputs - self.lut_size, 0, self.costs.free_mux_inputs)
        beyond = np.maximum(inputs - self.lut_size - self.costs.free_mux_inputs, 0)
        # A LUT selects among lut_size // 2 - 1 further address bits' worth of data a level (4:1 takes 6 inputs).
        return d.lut + d.mux * muxes + d.lut * np.ceil(beyond / (2 if self.lut_size >= 6 else 1))


def lookup_luts(entries: Ints, by_looks: tuple[float, ...]) -> float:
    """LUTs of a table of 2^n entries: each distinct output bit by how many address bits it looks at."""
    bits = (len(entries) - 1).bit_length()
    lo, hi = int(entries.min()), int(entries.max())
    known, luts = set[bytes](), 0.0
    for k in range(width_of(lo, hi)):
        column = (entries >> k) & 1
        column = column ^ column[0]
        if column.tobytes() in known:
            continue
        known.add(column.tobytes())
        cube = column.reshape((2,) * bits)
        looks = sum(bool(np.any(cube.take(0, axis) != cube.take(1, axis))) for axis in range(bits))
        last = len(by_looks) - 1
        luts += by_looks[min(looks, last)] * 2.0 ** max(0, looks - last)
    return luts


def table_luts(entries: Ints, first: int, width: int, lut_size: int, free: int) -> float:
    """LUTs of a ROM: `entries` int64 at codes `first …`, addressed by as many low bits as they need, `width` bits out.

    Counts the distinct functions of the low `lut_size` address bits over all output bits (shared between bits and
    rows; constants and single address bits are wires), then muxes beyond `free` dedicated ones.
    """
    bits = max(1, (len(entries) - 1).bit_length())
    rows = np.zeros((width, 1 << bits), bool)
    inner = max(0, bits - lut_size)
    codes = np.arange(first, first + len(entries)) & ((1 << bits) - 1)
    for k in range(width):
        rows[k, codes] = (entries >> k) & 1
    blocks = rows.reshape(width << inner, -1)
    packed = np.packbits(blocks, axis=1)
    distinct = np.unique(packed, axis=0)
    ones = np.packbits(np.ones((1, blocks.shape[1]), bool), axis=1)
    trivial = int(np.any(np.all(distinct == 0, axis=1))) + int(np.any(np.all(distinct == ones, axis=1)))
    muxes = 0
    for level in range(free, inner):
        muxes += width << (inner - 1 - level)
    return float(max(len(distinct) - trivial, 0) + muxes)


def _rounding_looks(kernel: Kernel) -> NDArray[np.int64]:
    """How many bits a rounding decision reads: one for half-up, else all dropped ones and the sign or last bit."""
    return np.where(kernel.q == Rounding.RND, 1, np.minimum(kernel.p, 62) + 1)


def _levels(inputs: NDArray[np.int64], size: int) -> Floats:
    """LUT levels of a tree over `inputs` bits."""
    return np.ceil(np.log(np.maximum(inputs, 2)) / np.log(size) - 1e-9)


def _tree_luts(inputs: NDArray[np.int64], size: int) -> Floats:
    """LUTs of a tree over `inputs` bits."""
    return np.ceil(np.maximum(inputs - 1, 1) / (size - 1))


def _checked(kernel: Kernel) -> Facts:
    left = np.flatnonzero(kernel.op == OpCode.LINEAR)
    if len(left):
        origin = kernel.origins[int(kernel.origin[left[0]])]
        raise InternalError(
            f"layer {origin!r}: %{left[0]} is still LINEAR; it must become ADD and SUB before costing and scheduling"
        )
    return facts_of(kernel)
