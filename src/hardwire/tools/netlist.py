"""A bit-parallel simulator of synthesised netlists: Yosys' JSON in, 512 clock cycles in a word.

A pipeline without feedback is a function of its input's history, so a net over all cycles is a row of bits, a gate acts
on 512 cycles at once, and a flip-flop is a shift by one. Rows are cut into blocks of some thousand cycles that stay in
the cache; what crosses a block's end is each flip-flop's last bit. Netlists whose registers feed back on themselves
(other than through a clock enable) are refused.
"""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import DataError, UnsupportedError
from hardwire.tools._netlist_cells import ONE, ZERO, Cell, Gates, Operation
from hardwire.tools._netlist_kernel import (
    ADD,
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
from hardwire.tools.fabrics import translate
from hardwire.tools.process import Progress
from hardwire.tools.streams import CONTROL_PORTS, SimulationResult, cycle_words, schedule, split_ports

_XOR, _XNOR = 0b0110, 0b1001
"""Truth tables of two inputs."""

BLOCK_WORDS = 64
"""64-bit words of a row in a block of cycles: eight words of 512 cycles repay an operation's start, and no more would
gain a tenth (a design of 54,000 operations: 2.0 M vectors/s with 32, 2.9 M with 64, 3.1 M with 256)."""

_LEAST_BLOCKS = 4
"""Blocks from which another thread pays."""


@dataclass(frozen=True)
class _Program:
    """The netlist as arrays for `run_block`."""

    ops: NDArray[np.int64]
    wide: NDArray[np.int64]
    roms: NDArray[np.uint32]
    state: Words
    rows: int
    depth: int | None
    """Cycles after which an input is forgotten; None if a register may hold it for ever."""
    inputs: dict[str, NDArray[np.int64]]
    """Port → its rows, least significant first."""
    outputs: dict[str, NDArray[np.int64]]


class NetlistSimulator:
    """Simulates the module `top` of a Yosys JSON netlist (`write_json`) of the cells that `fabrics` know.

    Raises `DataError` if the file is no such netlist, and `UnsupportedError`, naming the cell, on a cell that is not
    known, on feedback through registers, and on more than one clock.
    """

    def __init__(self, json_path: Path, top: str, *, clock: str = "clk") -> None:
        begin = time.monotonic()
        self.top = top
        with _no_collection():
            module = _load(json_path, top)
            self.widths = {name: len(port["bits"]) for name, port in module["ports"].items()}
            self.cells = len(module["cells"])
            self._program = _compile(module, clock)
        self.load_seconds = time.monotonic() - begin

    @property
    def operations(self) -> int:
        """Number of operations that each word of 512 cycles takes."""
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
        threads: int | None = None,
    ) -> SimulationResult:
        """Stream the vectors through, one a cycle, and return the answers.

        `inputs`: bus → (N, ceil(W / 64)) words; the result's outputs likewise. `threads`: all of this process's cores
        if not given; one if a register has a clock enable. Raises `VerificationError` unless `out_valid` comes exactly
        `latency` cycles after `in_valid` and never otherwise.
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
        length = 64 * BLOCK_WORDS
        blocks = -(-plan.cycles // length)
        before = np.concatenate([[0], np.cumsum(plan.out_valid)])
        depth = self._program.depth

        def section(first: int, stop: int) -> None:
            machine = _Machine(self._program)
            # A section begins early enough that its registers hold nothing older.
            warm = first if depth is None else min(first, -(-depth // length))
            for block in range(first - warm, stop):
                part = slice(block * length, min((block + 1) * length, plan.cycles))
                window = plan.window(part)
                words = {
                    name: cycle_words(inputs[name], self.widths[name], window, seed + part.start) for name in inputs
                }
                words["rst"] = window.rst.astype(np.uint64).reshape(-1, 1)
                words["in_valid"] = window.in_valid.astype(np.uint64).reshape(-1, 1)
                self._step(machine, words)
                if block < first:
                    continue
                seen[part] = machine.read("out_valid", window.cycles)[:, 0] != 0
                chosen = np.flatnonzero(window.out_valid)
                rows = slice(before[part.start], before[part.start] + chosen.size)
                for name in output_widths:
                    answers[name][rows] = machine.read(name, window.cycles)[chosen]
                if progress is not None:
                    progress(f"netlist: {part.stop} of {plan.cycles} cycles")

        count = 1 if depth is None else max(1, min(_threads(threads), blocks // _LEAST_BLOCKS))
        bounds = [blocks * k // count for k in range(count + 1)]
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(section, bounds[:-1], bounds[1:]))
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
        words = BLOCK_WORDS
        self.cycles = 64 * words
        self.state = program.state.copy()
        self.ops = program.ops.copy()
        self.ops[:, 1:7] *= 8 * words
        memory = np.zeros(program.rows * words + 8, np.uint64)
        start = -memory.ctypes.data % 64 // 8
        self.planes = memory[start : start + program.rows * words].reshape(program.rows, words)
        self.planes[ONE] = np.uint64(0xFFFFFFFFFFFFFFFF)

    def write(self, port: str, words: Words) -> None:
        rows = self.program.inputs[port]
        filled = to_planes(words, rows.size)
        self.planes[rows, : filled.shape[1]] = filled

    def run(self) -> None:
        run_block(self.ops, self.program.wide, self.program.roms, self.planes, self.state)

    def read(self, port: str, cycles: int) -> Words:
        return from_planes(self.planes[self.program.outputs[port]], cycles)


@contextmanager
def _no_collection() -> Iterator[None]:
    """No search for cycles while millions of objects are made, none of which has any."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _threads(wanted: int | None) -> int:
    if wanted is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if wanted < 1:
        raise DataError(f"threads = {wanted}; at least 1 is needed")
    return wanted


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
    _fuse_adders(gates.operations)
    operations, depth = _ordered(gates.operations, sources, sinks)
    return _allocate(operations, depth, gates.roms, sources, sinks)


def _check_clock(gates: Gates, port: list[int], clock: str) -> None:
    for net, cell in gates.clocks.items():
        if [gates.resolve(net)] != port:
            raise UnsupportedError(f"netlist cell {cell} is not clocked by the port {clock!r}; one clock is simulated")


def _fuse_adders(operations: list[Operation]) -> None:
    """Make one operation of a carry cell and the gate that feeds it; the gate is left out later if nobody reads it.

    The gate is `a ^ b` or its inverse; `generate` counts only where that is 0, so there it may be any of the two that
    it equals, or the inverse of one that it equals.
    """
    driver = {net: operation for operation in operations for net in operation.outputs}
    for operation in operations:
        if operation.kind != CARRY:
            continue
        propagate, generate, carry = operation.inputs
        gate = driver.get(propagate)
        if gate is None or gate.kind != LUT2 or gate.table not in (_XOR, _XNOR):
            continue
        a, b = gate.inputs
        if generate not in (a, b) and gate.table == _XNOR:
            inverter = driver.get(generate)
            if inverter is not None and inverter.kind == NOT and inverter.inputs[0] in (a, b):
                generate = b if inverter.inputs[0] == a else a
        if generate in (a, b):
            operation.kind, operation.table = ADD, int(gate.table == _XNOR)
            operation.inputs = [generate, b if generate == a else a, carry]


def _ordered(
    operations: list[Operation], sources: Mapping[str, list[int]], sinks: Mapping[str, list[int]]
) -> tuple[list[Operation], int | None]:
    """The operations that the outputs need, register by register in pipeline order, each behind its own logic.

    So a net is read soon after it was made, and few rows are in use at a time. Also the registers on the longest way,
    None where one has an enable.
    """
    driver = {net: number for number, operation in enumerate(operations) for net in operation.outputs}
    given = {ZERO, ONE, *(net for nets in sources.values() for net in nets)}
    for sink, nets in sinks.items():
        for net in nets:
            if net not in given and net not in driver:
                raise UnsupportedError(f"netlist output {sink!r} has a bit that nothing drives")
    order, feeds = _sorted(operations, driver, given, sinks)
    # Registers on the longest way from an input; then of each operation the first register that it is needed for.
    rank = [0] * len(operations)
    for number in order:
        rank[number] = max((rank[feed] for feed in feeds[number]), default=0) + (operations[number].kind in (FF, FFE))
    place = {number: k for k, number in enumerate(order)}
    registers = [number for number in order if operations[number].kind in (FF, FFE)]
    registers.sort(key=lambda number: (rank[number], place[number]))
    home = [len(registers)] * len(operations)
    for k, number in enumerate(registers):
        home[number] = k
    for number in reversed(order):
        for feed in feeds[number]:
            if operations[feed].kind not in (FF, FFE):
                home[feed] = min(home[feed], home[number])
    holds = any(operations[number].kind == FFE for number in order)
    depth = None if holds else max((rank[number] for number in order), default=0)
    return [operations[number] for number in sorted(order, key=lambda number: (home[number], place[number]))], depth


def _sorted(
    operations: list[Operation], driver: Mapping[int, int], given: set[int], sinks: Mapping[str, list[int]]
) -> tuple[list[int], list[list[int]]]:
    """Needed operations, each behind those that feed it; and of every needed one, what feeds it."""
    done = [False] * len(operations)
    feeds: list[list[int]] = [[] for _ in operations]
    order: list[int] = []
    on_path = [False] * len(operations)
    stack = [driver[net] for nets in sinks.values() for net in nets if net in driver]
    while stack:
        number = stack[-1]
        if done[number]:
            stack.pop()
            continue
        if on_path[number]:
            waiting = [feed for feed in feeds[number] if not done[feed]]
            if waiting:
                # Its inputs were visited and still wait for it.
                raise UnsupportedError(
                    f"netlist cell {operations[number].cell} depends on itself: feedback through registers or a loop "
                    "of gates is not simulated bit-parallel"
                )
            done[number] = True
            order.append(number)
            stack.pop()
            continue
        on_path[number] = True
        for net in operations[number].inputs:
            if net in given:
                continue
            if net not in driver:
                raise UnsupportedError(f"netlist cell {operations[number].cell} reads net {net}, which nothing drives")
            feeds[number].append(driver[net])
        stack.extend(feed for feed in feeds[number] if not done[feed])
    return order, feeds


def _allocate(
    operations: list[Operation],
    depth: int | None,
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
    ops = np.zeros((len(operations), 8), np.int64)
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
        table = operation.table
        if operation.kind in (FF, FFE):
            table = len(state)
            state.append(operation.table)
        elif operation.kind in (MULT, ROM):
            table = len(wide)
            nets = [*inputs, *outputs]
            wide.append([*nets, *[0] * (WIDE_COLUMNS - len(nets))])
            if operation.kind == ROM:
                wide[-1][-1] = operation.table
            inputs, outputs = [], []
        elif operation.kind not in (LUT2, LUT3, LUT4, MUX, NOT, CARRY, ADD):
            raise AssertionError(operation.kind)
        ops[number, 0] = operation.kind
        ops[number, 1 : 1 + len(inputs)] = inputs
        ops[number, 5 : 5 + len(outputs)] = outputs
        ops[number, 7] = table
        finished = {net for net in operation.inputs if last[net] == number}
        finished.update(net for net in operation.outputs if net not in last)
        free.extend(row[net] for net in sorted(finished - kept))
    return _Program(
        ops,
        np.array(wide, np.int64).reshape(len(wide), WIDE_COLUMNS),
        np.array(roms, np.uint32).reshape(len(roms), 1 << 14),
        np.array(state, np.uint64),
        rows,
        depth,
        {name: np.array([row[net] for net in nets], np.int64) for name, nets in sources.items()},
        {name: np.array([row[net] for net in nets], np.int64) for name, nets in sinks.items()},
    )
