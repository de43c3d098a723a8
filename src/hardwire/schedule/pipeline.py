"""Cut a flat Program into pipeline stages, then move values between stages to save registers.

Cutting is greedy by arrival time (optimal in the number of stages). Afterwards the stages are evened out: the least
period that still needs no further stage. Then values move within their slack, one by one (`_core.sweep`), and last
together, to the cheapest schedule of so many stages at that period (`_retime`). Cost is register bits, less what
registers save that stand right behind a choice of a constant (`free_choices`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ContractError
from hardwire.fixed import Rounding
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel, Program
from hardwire.schedule._bits_read import stored_bits
from hardwire.schedule._core import earliest, sweep, user_lists
from hardwire.schedule._retime import bits_behind_wires, cost_of, retime
from hardwire.schedule.circuit import Bus, Circuit, Ids, buses_of, root_operands, roots_of, verify_circuit
from hardwire.targets import Target

SWEEPS = 6
LUT_BITS = 2
"""Register bits that a LUT is worth: parts have as many flip-flops as LUTs or twice as many, and designs use fewer."""
TOGETHER = 150_000
"""Values up to which all move together, to the proven optimum; about 2 s for 50,000."""
WINDOW = 8_000
"""Values that are moved together in a larger program: the time then grows with its size alone, 15 s a million."""
ALLOWANCE = 2_000_000_000
"""Arcs that the search for the cheapest schedule may look at; 20 to 30 s."""
_SEARCH_STEPS = 24


@dataclass(frozen=True, eq=False)
class Timing:
    """All that cutting needs of a program on a target. `delay` ns (n,), `args` operand roots (n, 3)."""

    program: Program
    target: Target
    args: Ids
    root: Ids
    shift: NDArray[np.int64]
    delay: NDArray[np.float64]
    overhead: float
    inputs: tuple[Bus, ...]
    outputs: tuple[Bus, ...]

    @classmethod
    def of(cls, program: Program, target: Target) -> Timing:
        """Work out delays. Raises `InternalError` on LINEAR."""
        kernel = program.flat
        root, shift = roots_of(kernel)
        total = float(target.cost(kernel).lut.sum())
        inputs, outputs = buses_of(program)
        return cls(
            program,
            target,
            root_operands(kernel, root),
            root,
            shift,
            target.delay(kernel, total),
            target.overhead(total),
            inputs,
            outputs,
        )

    @property
    def slowest(self) -> float:
        """The longest single op, ns."""
        return float(self.delay.max(initial=0.0))

    @property
    def least_period(self) -> float:
        """The shortest possible period: the longest single op and the overhead, ns."""
        return self.slowest + self.overhead

    @property
    def path(self) -> float:
        """The longest path without any register, ns."""
        _, arrival, _ = earliest(self.args, self.delay, np.inf)
        return float(arrival.max(initial=0.0))

    def depth(self, budget: float) -> int:
        """Last stage when each stage holds `budget` ns of logic."""
        return int(earliest(self.args, self.delay, budget)[2])

    def least_budget(self, depth: int) -> float:
        """Least ns of logic a stage so that the last stage is at most `depth`."""
        low, high = self.slowest, max(self.path, self.slowest)
        if self.depth(low) <= depth:
            return low
        for _ in range(_SEARCH_STEPS):
            middle = 0.5 * (low + high)
            if self.depth(middle) <= depth:
                high = middle
            else:
                low = middle
        return high

    def slowest_layer(self) -> tuple[str, str]:
        """Layer and description of the slowest op."""
        op = self.program.flat[int(np.argmax(self.delay))]
        return op.origin, f"{op.code.name.lower()} of {op.width} bits"


def pipeline(program: Program, target: Target, clock_mhz: float) -> Circuit:
    """Schedule a flat Program to a clock.

    Leaves the target's margin free where that is possible. Raises `ContractError`, which names the layer and the
    fastest clock, if one op alone is slower than the period; `InternalError` if a LINEAR is left.
    """
    timing = Timing.of(program, target)
    return build(timing, budget_for(timing, clock_mhz), clock_mhz)


def budget_for(timing: Timing, clock_mhz: float, *, margin: bool = True) -> float:
    """Nanoseconds of logic in a stage at `clock_mhz`, less the target's margin as far as the slowest op allows."""
    period = 1000.0 / clock_mhz
    budget = period - timing.overhead
    if timing.slowest > budget + 1e-9:
        layer, op = timing.slowest_layer()
        fastest = 1000.0 / timing.least_period
        raise ContractError(
            f"layer {layer!r}: one {op} takes {timing.slowest:.2f} ns on {timing.target.name}; with registers that is "
            f"{timing.least_period:.2f} ns, but the period at {clock_mhz:g} MHz is {period:.2f} ns",
            hint=f"a clock of at most {np.floor(fastest * 10) / 10:g} MHz, or narrower types in layer {layer!r}",
        )
    if margin:
        budget = max(timing.slowest, period * (1.0 - timing.target.margin) - timing.overhead)
    return budget


def build(
    timing: Timing, budget: float, clock_mhz: float, *, lut_bits: int = LUT_BITS, allowance: int = ALLOWANCE
) -> Circuit:
    """Return the circuit with as few stages as `budget` ns of logic a stage allow, evened out, of the least cost.

    `lut_bits`: register bits that a saved LUT is worth. `allowance` bounds the work on the cost (see
    `_retime.retime`); 0 leaves it at moving values one by one. `notes["registers"]["optimal"]` of the result says
    whether the cost is proven to be the least.
    """
    kernel = timing.program.flat
    depth = timing.depth(budget)
    budget = min(budget, timing.least_budget(depth))
    stage, _, _ = earliest(timing.args, timing.delay, budget)
    constant = kernel.lo == kernel.hi
    view = timing.root != np.arange(len(kernel))
    circuit = Circuit(
        name=timing.program.name,
        kernel=kernel,
        target=timing.target,
        clock_mhz=float(clock_mhz),
        period_ns=timing.overhead + budget,
        depth=depth,
        stage=stage,
        root=timing.root,
        shift=timing.shift,
        delay=np.where(constant | view, 0.0, timing.delay),
        overhead_ns=timing.overhead,
        inputs=timing.inputs,
        outputs=timing.outputs,
    )
    is_output = circuit.is_output
    bits = np.where(constant, 0, stored_bits(kernel)).astype(np.int64)
    fixed = constant | view | (kernel.op == OpCode.INPUT)
    start, users = user_lists(timing.args)
    gain, wire = free_choices(kernel, start, users, bits, is_output, lut_bits)
    priced = (timing.args, start, users, bits, gain, wire, is_output, depth)
    best = cost_of(*priced, stage)
    current = stage.copy()
    for turn in range(SWEEPS):
        sweep(
            turn % 2 == 0,
            timing.args,
            start,
            users,
            bits,
            circuit.delay,
            fixed,
            is_output,
            budget,
            depth,
            current,
        )
        now = cost_of(*priced, current)
        if now < best:
            best, stage = now, current.copy()
    stage, optimal, _ = retime(
        timing.args,
        start,
        users,
        bits,
        gain,
        wire,
        circuit.delay,
        fixed,
        is_output,
        budget,
        depth,
        stage,
        TOGETHER if len(kernel) <= TOGETHER else WINDOW,
        allowance,
    )
    stage = np.where(constant, -1, stage[timing.root]).astype(np.int32)
    circuit = replace(circuit, stage=stage, notes={"registers": {"optimal": bool(optimal)}})
    verify_circuit(circuit)
    return circuit


def free_choices(
    kernel: Kernel,
    start: NDArray[np.int64],
    users: Ids,
    bits: NDArray[np.int64],
    is_output: NDArray[np.bool_],
    lut_bits: int = LUT_BITS,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """What a register right behind each value is worth, in register bits, int64 (n,); and which values are wires.

    `start`, `users`: readers of each value; `bits`: what its register holds; `lut_bits`: what a LUT is worth.

    A choice of a constant, `condition ? constant : x`, takes a LUT a bit, but none where flip-flops alone read it: then
    it is their synchronous reset. ReLU is one, a saturation at one end, a maximum with a constant, and a selection of
    one. Rounding down and wrapping between the choice and the register are wires.
    """
    constant = kernel.lo == kernel.hi
    op, a, b, c = kernel.op, np.maximum(kernel.a, 0), np.maximum(kernel.b, 0), np.maximum(kernel.c, 0)
    under, over = kernel.lo[a] < kernel.p, kernel.hi[a] > kernel.q
    choice = (op == OpCode.CLAMP) & (under ^ over)
    choice |= np.isin(op, (int(OpCode.MIN), int(OpCode.MAX))) & (constant[a] | constant[b])
    choice |= (op == OpCode.SELECT) & (constant[b] ^ constant[c])
    wire = (op == OpCode.WRAP) | ((op == OpCode.ROUND) & (kernel.q == Rounding.TRN))
    read = bits_behind_wires(start, users, bits, wire, is_output)
    return np.where(choice & ~constant, lut_bits * read, 0).astype(np.int64), wire & ~constant
