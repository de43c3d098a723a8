"""Circuit, the third representation: when and where each value of a flat Program is computed.

Stage s is the logic between register ranks s and s + 1. Rank 0 stands right behind the input ports and rank
`depth` + 1 right before the output ports, so every timing path runs from register to register. A vector that enters at
clock edge t is answered at edge t + `latency` with `latency = depth + 2`. The initiation interval is 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import InternalError
from hardwire.fixed import Ints
from hardwire.ir.ops import SPECS, OpCode
from hardwire.ir.program import Kernel, Port, Program, widths_of
from hardwire.schedule._bits_read import stored_bits
from hardwire.schedule._core import arrivals, last_uses
from hardwire.targets import Target
from hardwire.targets._facts import operands, trailing_zeros

Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Element:
    """One number on a bus: bits `offset … offset + width - 1`, two's complement where `signed`.

    An input that only ever has one value takes no bits; an output always takes at least one.
    """

    value: int
    """Id of the kernel's value; -1 for an input that the kernel does not read."""
    offset: int
    width: int
    signed: bool
    lo: int
    hi: int


@dataclass(frozen=True)
class Bus:
    """A port of the module: all elements of one port of the Program, element 0 in the lowest bits."""

    name: str
    """`x` and `y`, or `x0, x1, …` and `y0, y1, …` where there are several."""
    port: Port
    elements: tuple[Element, ...]

    @property
    def width(self) -> int:
        """Bits in all, at least 1 (Verilog has no bus of none)."""
        return max(1, sum(e.width for e in self.elements))

    @property
    def widths(self) -> Ints:
        """Bits of each element, int64."""
        return np.array([e.width for e in self.elements], np.int64)

    @property
    def signed(self) -> NDArray[np.bool_]:
        """Whether each element is two's complement."""
        return np.array([e.signed for e in self.elements], np.bool_)


@dataclass(frozen=True, eq=False)
class Circuit:
    """A fully pipelined circuit. Arrays are (n,) over the kernel's values.

    `stage` int32; -1 for constants, which are wired. `root` int32 and `shift` int64: a value that is `root << shift`
    is a view of it and has no registers of its own; others are their own root. `delay` ns of each op, `period_ns` the
    predicted clock period. `clock_mhz` is what the circuit is made for.
    """

    name: str
    kernel: Kernel
    target: Target
    clock_mhz: float
    period_ns: float
    depth: int
    stage: Ids
    root: Ids
    shift: Ints
    delay: NDArray[np.float64]
    overhead_ns: float
    inputs: tuple[Bus, ...]
    outputs: tuple[Bus, ...]
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def latency(self) -> int:
        """Clock cycles from a vector's entry to its answer."""
        return self.depth + 2

    @property
    def latency_ns(self) -> float:
        """Latency at the clock that the circuit is made for."""
        return self.latency * 1000.0 / self.clock_mhz

    @property
    def initiation_interval(self) -> int:
        """Cycles between vectors."""
        return 1

    @property
    def fmax_mhz(self) -> float:
        """Predicted highest clock."""
        return 1000.0 / self.period_ns

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Values that are wired constants."""
        return self.kernel.lo == self.kernel.hi

    @property
    def args(self) -> Ids:
        """Operand roots, int32 (n, 3), -1 for none and for constants."""
        return root_operands(self.kernel, self.root)

    @property
    def is_output(self) -> NDArray[np.bool_]:
        """Values that an output port reads."""
        flags = np.zeros(len(self.kernel), np.bool_)
        flags[[self.root[e.value] for bus in self.outputs for e in bus.elements if e.value >= 0]] = True
        return flags & ~self.constant

    @property
    def last(self) -> Ids:
        """Last stage in which each value is read (output registers read in the last stage)."""
        return last_uses(self.args, self.stage, self.is_output, self.depth)

    @property
    def copies(self) -> Ids:
        """Registers behind each value: it is available in stages `stage … stage + copies`."""
        return np.where(self.constant | (self.root != np.arange(len(self.kernel))), 0, self.last - self.stage)

    @property
    def register_bits(self) -> NDArray[np.int64]:
        """Flip-flops of each value, its input register included; output registers and valid bits come on top."""
        bits = stored_bits(self.kernel)
        is_input = self.kernel.op == OpCode.INPUT
        return np.where(self.constant, 0, bits * (self.copies + is_input)).astype(np.int64)

    @property
    def ff(self) -> int:
        """Flip-flops in all."""
        out = {(bus.name, e.value): e for bus in self.outputs for e in bus.elements if e.lo != e.hi}
        return int(self.register_bits.sum()) + sum(e.width for e in out.values()) + self.latency

    def estimate(self) -> dict[str, int]:
        """Predicted `lut`, `ff`, `dsp`, `bram`."""
        cost = self.target.cost(self.kernel)
        lone, ports = self.lone_registers(cost.lut)
        return {
            "lut": round(float(cost.lut.sum() + lone.sum()) + ports),
            "ff": self.ff,
            "dsp": round(float(cost.dsp.sum())),
            "bram": round(float(cost.bram.sum())),
        }

    def lone_registers(self, lut: NDArray[np.float64]) -> tuple[NDArray[np.int64], int]:
        """LUT sites that flip-flops take by themselves, of each value and at the ports, where the target counts them.

        `lut`: of each value, what its op takes; the first register behind logic sits in the logic's own sites.
        """
        if not self.target.costs.lone_ff:
            return np.zeros(len(self.kernel), np.int64), 0
        kernel, behind = self.kernel, (lut > 0).astype(np.int64)
        copies = np.maximum(self.copies - behind, 0) + (kernel.op == OpCode.INPUT)
        lone = np.where(self.constant, 0, stored_bits(kernel) * copies).astype(np.int64)
        out = {(bus.name, e.value): e for bus in self.outputs for e in bus.elements if e.lo != e.hi}
        packed = (behind > 0) & (self.copies == 0)
        ports = sum(e.width for e in out.values() if e.value < 0 or not packed[self.root[e.value]])
        return lone, ports + self.latency

    def text(self) -> str:
        """Readable listing, stage by stage."""
        head = (
            f"circuit {self.name}: {self.target.name}, {self.clock_mhz:g} MHz, {self.latency} cycles, "
            f"{self.ff} flip-flops, predicted {self.period_ns:.2f} ns a stage\n"
        )
        args, copies, arrival = operands(self.kernel), self.copies, arrivals(self.args, self.delay, self.stage)
        lines = [head]
        for s in range(self.depth + 1):
            lines.append(f"stage {s}\n")
            for i in np.flatnonzero(self.stage == s):
                op = self.kernel[int(i)]
                spec = SPECS[op.code]
                words = [f"%{a}" for a in args[i] if a >= 0]
                words += [f"{k}={v}" for k, v in zip(spec.immediates, (op.p, op.q), strict=False)]
                sign = "s" if op.signed else "u"
                lines.append(
                    f"  %{i} {sign}{op.width} = {op.code.name.lower()} {' '.join(words)}  ; {op.origin}, "
                    f"{arrival[i]:.2f} ns, {copies[i]} registers\n"
                )
        for bus in self.outputs:
            lines.append(f"{bus.name} = {' '.join(f'%{e.value}' for e in bus.elements)}\n")
        return "".join(lines)


def roots_of(kernel: Kernel) -> tuple[Ids, Ints]:
    """Root and shift of every value, following SHL and `joined` values (whose bits above are a constant's)."""
    root = np.arange(len(kernel), dtype=np.int32)
    shift = np.zeros(len(kernel), np.int64)
    views = (kernel.op == OpCode.SHL) | joined(kernel)
    for i in np.flatnonzero(views & (kernel.lo != kernel.hi)):
        a = kernel.a[i]
        root[i] = root[a]
        shift[i] = shift[a] + (kernel.p[i] if kernel.op[i] == OpCode.SHL else 0)
    return root, shift


def joined(kernel: Kernel) -> NDArray[np.bool_]:
    """Sums of an unsigned value a and a constant b whose bits all lie above it: wires, no adder."""
    a, b = np.maximum(kernel.a, 0), np.maximum(kernel.b, 0)
    found = (kernel.op == OpCode.ADD) & (kernel.lo[b] == kernel.hi[b]) & (kernel.lo[a] >= 0) & (kernel.lo != kernel.hi)
    return found & (kernel.p == 0) & (kernel.q + trailing_zeros(kernel)[b] >= kernel.widths[a]) & (kernel.lo[b] != 0)


def root_operands(kernel: Kernel, root: Ids) -> Ids:
    """Operand roots, int32 (n, 3), -1 for none and for constants; a view (SHL) has none, its root stands for it."""
    args = operands(kernel)
    constant = kernel.lo == kernel.hi
    args = np.where((args >= 0) & ~constant[np.maximum(args, 0)], root[np.maximum(args, 0)], -1).astype(np.int32)
    args[constant | (root != np.arange(len(kernel)))] = -1
    return np.ascontiguousarray(args)


def buses_of(program: Program) -> tuple[tuple[Bus, ...], tuple[Bus, ...]]:
    """Input and output buses of a flat Program."""
    kernel, step = program.flat, program.steps[0]
    value: dict[tuple[str, int], int] = {}
    k = 0
    for read in step.reads:
        for index in read.index()[0].tolist():
            value.setdefault((read.array, index), k)
            k += 1
    for index, v in zip(step.write.index()[0].tolist(), kernel.outputs.tolist(), strict=True):
        value[step.write.array, index] = v

    def bus(name: str, port: Port, is_input: bool) -> Bus:
        lo, hi = program.port_range(port)
        if not is_input:
            ids = [value[port.array, i] for i in port.index.tolist()]
            lo, hi = kernel.lo[ids], kernel.hi[ids]
        widths = widths_of(lo, hi)
        widths = np.where(lo == hi, 0, widths) if is_input else np.maximum(widths, 1)
        offsets = np.concatenate([[0], np.cumsum(widths)[:-1]]) if len(widths) else widths
        elements = tuple(
            Element(value.get((port.array, i), -1), int(offset), int(width), bool(low < 0), int(low), int(high))
            for i, offset, width, low, high in zip(port.index.tolist(), offsets, widths, lo, hi, strict=True)
        )
        return Bus(name, port, elements)

    inputs, outputs = (bus_names("x", len(program.inputs)), bus_names("y", len(program.outputs)))
    return (
        tuple(bus(name, port, True) for name, port in zip(inputs, program.inputs, strict=True)),
        tuple(bus(name, port, False) for name, port in zip(outputs, program.outputs, strict=True)),
    )


def bus_names(letter: str, count: int) -> list[str]:
    """Names of buses and C++ arguments: `x` for inputs and `y` for outputs, numbered where there are several."""
    return [letter] if count == 1 else [f"{letter}{i}" for i in range(count)]


def verify_circuit(circuit: Circuit, after: str = "scheduling") -> None:
    """Check that operands are there when they are read and that no stage is over-full.

    Raises `InternalError` naming the value.
    """

    def fail(i: int, why: str) -> None:
        origin = circuit.kernel.origins[int(circuit.kernel.origin[i])]
        raise InternalError(f"circuit {circuit.name!r} after {after}: %{i} of layer {origin!r} {why}")

    kernel, stage, args, constant = circuit.kernel, circuit.stage, circuit.args, circuit.constant
    if len(stage) != len(kernel):
        raise InternalError(f"circuit {circuit.name!r} after {after}: {len(stage)} stages for {len(kernel)} values")
    for i in np.flatnonzero((kernel.op == OpCode.INPUT) & ~constant & (stage != 0)):
        fail(int(i), f"is an input in stage {stage[i]}")
    for i in np.flatnonzero(constant != (stage == -1)):
        fail(int(i), "is a constant with a stage" if constant[i] else "has no stage")
    for i in np.flatnonzero(stage > circuit.depth):
        fail(int(i), f"is in stage {stage[i]}, after the last, {circuit.depth}")
    for k in range(3):
        has = args[:, k] >= 0
        for i in np.flatnonzero(has & (stage[np.maximum(args[:, k], 0)] > stage)):
            fail(int(i), f"in stage {stage[i]} reads %{args[i, k]} of stage {stage[args[i, k]]}")
    for i in np.flatnonzero((circuit.root != np.arange(len(kernel))) & (stage != stage[circuit.root])):
        fail(int(i), "is not in the stage of the value that it views")
    arrival = arrivals(args, circuit.delay, stage)
    slow = np.flatnonzero(arrival + circuit.overhead_ns > circuit.period_ns + 1e-6)
    if len(slow):
        fail(int(slow[0]), f"arrives after {arrival[slow[0]]:.3f} ns, later than the period of {circuit.period_ns} ns")


def layer_profile(circuit: Circuit) -> list[dict[str, Any]]:
    """Where LUTs, flip-flops and nanoseconds go, a row a layer in order of first appearance.

    `layer`, `lut`, `ff`, `dsp`, `bram`, `stages` (first, last), `ns`: the layer's part of the path that arrives last,
    at the circuit's clock. The row `(ports)` holds the input and output registers, so that `ns` sums to the latency
    and `ff` to all flip-flops.
    """
    kernel, args = circuit.kernel, circuit.args
    cost, registers = circuit.target.cost(kernel), circuit.register_bits
    lone, at_ports = circuit.lone_registers(cost.lut)
    arrival = arrivals(args, circuit.delay, circuit.stage)
    period = 1000.0 / circuit.clock_mhz
    is_input = (kernel.op == OpCode.INPUT) & ~circuit.constant
    entry = np.where(is_input, stored_bits(kernel), 0)
    time = circuit.stage * period + arrival
    ns = np.zeros(len(kernel.origins))
    ends = np.flatnonzero(circuit.is_output)
    total = 0.0
    if len(ends):
        i = int(ends[np.argmax(time[ends])])
        total = float(time[i])
        while True:
            before = [int(a) for a in args[i] if a >= 0]
            if not before:
                ns[kernel.origin[i]] += time[i]  # Nothing but for ops on constants: inputs are there at 0.
                break
            j = max(before, key=lambda a: (time[a], -a))
            ns[kernel.origin[i]] += time[i] - time[j]
            i = j
    rows = []
    for origin in dict.fromkeys(kernel.origin.tolist()):
        at = kernel.origin == origin
        staged = circuit.stage[at & (circuit.stage >= 0) & ~is_input]
        rows.append(
            {
                "layer": kernel.origins[origin],
                "lut": float((cost.lut + lone)[at].sum()),
                "ff": int((registers - entry)[at].sum()),
                "dsp": float(cost.dsp[at].sum()),
                "bram": float(cost.bram[at].sum()),
                "stages": (int(staged.min()), int(staged.max())) if len(staged) else (-1, -1),
                "ns": float(ns[origin]),
            }
        )
    own = circuit.ff - int(registers.sum()) + int(entry.sum())
    rows.append(
        {
            "layer": "(ports)",
            "lut": float(at_ports),
            "ff": own,
            "dsp": 0.0,
            "bram": 0.0,
            "stages": (0, circuit.depth),
            "ns": circuit.latency * period - total,
        }
    )
    return rows
