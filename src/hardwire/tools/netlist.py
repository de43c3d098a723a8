"""A bit-parallel simulator of synthesised netlists: Yosys' JSON in, 64 clock cycles in a machine word.

A pipeline without feedback is a function of its input's history, so a net over all cycles is a row of bits, a gate acts
on 64 cycles at once, and a flip-flop is a shift by one. Rows are cut into blocks of some thousand cycles that stay in
the cache; what crosses a block's end is each flip-flop's last bit. Netlists whose registers feed back on themselves
(other than through a clock enable) are refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import DataError, UnsupportedError
from hardwire.tools._netlist_cells import ONE, ZERO, Cell, Gates, Operation, translate
from hardwire.tools._netlist_kernel import (
    CARRY,
    FF,
    FFE,
    LUT2,
    LUT3,
    LUT4,
    MULT,
    MUX,
    NOT,
    ROM,
    WIDE_COLUMNS,
    run_block,
)
from hardwire.tools.bits import Words, from_planes, to_planes, words_per
from hardwire.tools.process import Progress
from hardwire.tools.streams import CONTROL_PORTS, SimulationResult, cycle_words, schedule, split_ports

BLOCK_WORDS = 64
"""Words of 64 cycles in a block: 512 bytes a net, so that the live nets of a large design fit a level-2 cache."""


@dataclass(frozen=True)
class _Program:
    """The netlist as arrays for `run_block`."""

    ops: NDArray[np.int64]
    wide: NDArray[np.int64]
    roms: NDArray[np.uint32]
    state: Words
    rows: int
    inputs: dict[str, NDArray[np.int64]]
    """Port → its rows, least significant first."""
    outputs: dict[str, NDArray[np.int64]]


class NetlistSimulator:
    """Simulates the module `top` of a Yosys JSON netlist (`write_json`) of ECP5 or Xilinx cells.

    Raises `DataError` if the file is no such netlist, and `UnsupportedError`, naming the cell, on a cell that is not
    known, on feedback through registers, and on more than one clock.
    """

    def __init__(self, json_path: Path, top: str, *, clock: str = "clk") -> None:
        begin = time.monotonic()
        module = _load(json_path, top)
        self.top = top
        self.widths = {name: len(port["bits"]) for name, port in module["ports"].items()}
        self.cells = len(module["cells"])
        self._program = _compile(module, clock)
        self.load_seconds = time.monotonic() - begin

    @property
    def operations(self) -> int:
        """Number of operations that each word of 64 cycles takes."""
        return int(self._program.ops.shape[0])

    def run(
        self,
        inputs: Mapping[str, Words],
        *,
        latency: int,
        gaps: float = 0.0,
        reset_after: int | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> SimulationResult:
        """Stream the vectors through, one a cycle, and return the answers.

        `inputs`: bus → (N, ceil(W / 64)) words; the result's outputs likewise. Raises `VerificationError` unless
        `out_valid` comes exactly `latency` cycles after `in_valid` and never otherwise.
        """
        wanted = set(self._program.inputs) - set(CONTROL_PORTS)
        for name in sorted(wanted ^ set(inputs)):
            raise DataError(
                f"netlist {self.top} has an input {name!r} that is given no vectors"
                if name in wanted
                else f"netlist {self.top} has no input {name!r}"
            )
        if "out_valid" not in self._program.outputs:
            raise DataError(f"netlist {self.top} has no output 'out_valid'; `trace` needs none")
        begin = time.monotonic()
        _, output_widths, count = split_ports(inputs, self.widths)
        plan = schedule(count, latency, gaps=gaps, reset_after=reset_after, seed=seed)
        answers = {name: np.empty((count, words_per(width)), np.uint64) for name, width in output_widths.items()}
        seen = np.zeros(plan.cycles, np.bool_)
        machine = _Machine(self._program)
        done = 0
        for start in range(0, plan.cycles, machine.cycles):
            part = slice(start, min(start + machine.cycles, plan.cycles))
            window = plan.window(part)
            words = {name: cycle_words(inputs[name], self.widths[name], window, seed + start) for name in inputs}
            words["rst"] = window.rst.astype(np.uint64).reshape(-1, 1)
            words["in_valid"] = window.in_valid.astype(np.uint64).reshape(-1, 1)
            self._step(machine, words)
            valid = machine.read("out_valid", window.cycles)
            seen[part] = valid[:, 0] != 0
            chosen = np.flatnonzero(window.out_valid)
            for name in output_widths:
                answers[name][done : done + chosen.size] = machine.read(name, window.cycles)[chosen]
            done += chosen.size
            if progress is not None:
                progress(f"netlist: {part.stop} of {plan.cycles} cycles")
        plan.check(seen)
        return SimulationResult(answers, plan.cycles, self.load_seconds, time.monotonic() - begin, "netlist simulator")

    def trace(self, inputs: Mapping[str, Words]) -> dict[str, Words]:
        """What every output port carries at each cycle, given what every input port but the clock carries.

        Words (T, ceil(W / 64)) in and out, one row a cycle, sampled at the clock edge that ends it. Registers begin
        with the values that the netlist gives them.
        """
        counts = {words.shape[0] for words in inputs.values()}
        if len(counts) != 1:
            raise DataError(f"the inputs have different numbers of cycles: {sorted(counts)}")
        machine = _Machine(self._program)
        parts: dict[str, list[Words]] = {name: [] for name in self._program.outputs}
        for start in range(0, counts.pop(), machine.cycles):
            window = {name: words[start : start + machine.cycles] for name, words in inputs.items()}
            self._step(machine, window)
            for name in parts:
                parts[name].append(machine.read(name, next(iter(window.values())).shape[0]))
        return {name: np.concatenate(blocks) for name, blocks in parts.items()}

    def _step(self, machine: _Machine, words: Mapping[str, Words]) -> None:
        for name in self._program.inputs:
            if name in words:
                machine.write(name, words[name])
            elif name not in ("rst", "in_valid"):
                raise DataError(f"netlist {self.top} has an input {name!r} that is given no vectors")
        machine.run()


class _Machine:
    """A netlist in the middle of a simulation: its rows for one block of cycles, and its registers."""

    def __init__(self, program: _Program) -> None:
        self.program = program
        self.cycles = BLOCK_WORDS * 64
        self.state = program.state.copy()
        self.planes = np.zeros((program.rows, BLOCK_WORDS), np.uint64)
        self.planes[ONE] = np.uint64(0xFFFFFFFFFFFFFFFF)

    def write(self, port: str, words: Words) -> None:
        rows = self.program.inputs[port]
        filled = to_planes(words, rows.size)
        self.planes[rows, : filled.shape[1]] = filled

    def run(self) -> None:
        run_block(self.program.ops, self.program.wide, self.program.roms, self.planes, self.state)

    def read(self, port: str, cycles: int) -> Words:
        return from_planes(self.planes[self.program.outputs[port]], cycles)


def _load(json_path: Path, top: str) -> dict[str, Any]:
    try:
        document = json.loads(json_path.read_text())
        modules = document["modules"]
    except OSError as error:
        raise DataError(f"netlist {json_path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{json_path} is no Yosys JSON netlist: {error}") from error
    if top not in modules:
        raise DataError(f"netlist {json_path} has no module {top!r}")
    module: dict[str, Any] = modules[top]
    return module


def _bit(bit: int | str) -> int:
    return bit if isinstance(bit, int) else (ONE if bit == "1" else ZERO)


def _compile(module: Mapping[str, Any], clock: str) -> _Program:
    buses = [port["bits"] for port in module["ports"].values()]
    buses += [bits for cell in module["cells"].values() for bits in cell["connections"].values()]
    highest = max((bit for bits in buses for bit in bits if isinstance(bit, int)), default=1)
    gates = Gates(highest + 1)
    for name, cell in module["cells"].items():
        if not cell["type"].startswith("$scopeinfo"):
            translate(Cell(name, cell["type"], cell.get("parameters", {}), cell["connections"], gates))
    for operation in gates.operations:
        operation.inputs = [gates.resolve(net) for net in operation.inputs]
    sources = {
        name: [_bit(bit) for bit in port["bits"]]
        for name, port in module["ports"].items()
        if port["direction"] == "input"
    }
    sinks = {
        name: [gates.resolve(_bit(bit)) for bit in port["bits"]]
        for name, port in module["ports"].items()
        if port["direction"] == "output"
    }
    _check_clock(gates, sources.pop(clock, []), clock)
    operations = _ordered(gates.operations, sources, sinks)
    return _allocate(operations, gates.roms, sources, sinks)


def _check_clock(gates: Gates, port: list[int], clock: str) -> None:
    for net, cell in gates.clocks.items():
        if [gates.resolve(net)] != port:
            raise UnsupportedError(f"netlist cell {cell} is not clocked by the port {clock!r}; one clock is simulated")


def _ordered(
    operations: list[Operation], sources: Mapping[str, list[int]], sinks: Mapping[str, list[int]]
) -> list[Operation]:
    """The operations that the outputs need, sorted by level and then by kind, so that like follows like."""
    driver = {net: number for number, operation in enumerate(operations) for net in operation.outputs}
    given = {ZERO, ONE, *(net for nets in sources.values() for net in nets)}
    level = [-1] * len(operations)
    on_path = [False] * len(operations)
    for sink, nets in sinks.items():
        for net in nets:
            if net not in given and net not in driver:
                raise UnsupportedError(f"netlist output {sink!r} has a bit that nothing drives")
    stack = [driver[net] for nets in sinks.values() for net in nets if net in driver]
    while stack:
        number = stack[-1]
        if level[number] >= 0:
            stack.pop()
            continue
        operation = operations[number]
        waiting = []
        for net in operation.inputs:
            if net in given:
                continue
            if net not in driver:
                raise UnsupportedError(f"netlist cell {operation.cell} reads net {net}, which nothing drives")
            if level[driver[net]] < 0:
                waiting.append(driver[net])
        if not waiting:
            depths = [level[driver[net]] for net in operation.inputs if net not in given]
            level[number] = 1 + max(depths, default=0)
            on_path[number] = False
            stack.pop()
            continue
        if on_path[number]:
            # Its inputs were visited and still wait for it.
            raise UnsupportedError(
                f"netlist cell {operation.cell} depends on itself: feedback through registers or a loop of gates "
                "is not simulated bit-parallel"
            )
        on_path[number] = True
        stack.extend(waiting)
    needed = [number for number in range(len(operations)) if level[number] >= 0]
    needed.sort(key=lambda number: (level[number], operations[number].kind))
    return [operations[number] for number in needed]


def _allocate(
    operations: list[Operation],
    roms: list[NDArray[np.uint32]],
    sources: Mapping[str, list[int]],
    sinks: Mapping[str, list[int]],
) -> _Program:
    """Give every net a row; a row is used again once the net in it was read for the last time."""
    last: dict[int, int] = {}
    for number, operation in enumerate(operations):
        for net in operation.inputs:
            last[net] = number
    kept = {ZERO, ONE, *(net for nets in (*sources.values(), *sinks.values()) for net in nets)}
    row: dict[int, int] = {ZERO: ZERO, ONE: ONE}
    for nets in sources.values():
        for net in nets:
            row.setdefault(net, len(row))
    rows = len(row)
    free: list[int] = []
    ops = np.zeros((len(operations), 7), np.int64)
    state: list[int] = []
    wide: list[list[int]] = []
    for number, operation in enumerate(operations):
        inputs = [row[net] for net in operation.inputs]
        outputs = []
        for net in operation.outputs:
            if not free:
                free.append(rows)
                rows += 1
            row[net] = free.pop()
            outputs.append(row[net])
        extra = operation.table
        if operation.kind in (FF, FFE):
            extra = len(state)
            state.append(operation.table)
        elif operation.kind == CARRY:
            extra = outputs[1]
        elif operation.kind in (MULT, ROM):
            extra = len(wide)
            nets = [*inputs, *outputs]
            wide.append([*nets, *[0] * (WIDE_COLUMNS - len(nets))])
            if operation.kind == ROM:
                wide[-1][-1] = operation.table
            inputs = []
        elif operation.kind not in (LUT2, LUT3, LUT4, MUX, NOT):
            raise AssertionError(operation.kind)
        ops[number, 0] = operation.kind
        ops[number, 1 : 1 + len(inputs)] = inputs
        ops[number, 5] = outputs[0]
        ops[number, 6] = extra
        finished = {net for net in operation.inputs if last[net] == number}
        finished.update(net for net in operation.outputs if net not in last)
        free.extend(row[net] for net in sorted(finished - kept))
    return _Program(
        ops,
        np.array(wide, np.int64).reshape(len(wide), WIDE_COLUMNS),
        np.array(roms, np.uint32).reshape(len(roms), 1 << 14),
        np.array(state, np.uint64),
        rows,
        {name: np.array([row[net] for net in nets], np.int64) for name, nets in sources.items()},
        {name: np.array([row[net] for net in nets], np.int64) for name, nets in sinks.items()},
    )
