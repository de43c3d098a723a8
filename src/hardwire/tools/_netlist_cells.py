"""The few operations that the netlist simulator runs, and what a cell's model needs to be made of them.

What the cells of a device family mean is in `fabrics`, one file a family: a function of a `Cell` for each kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import UnsupportedError
from hardwire.tools._netlist_kernel import CARRY, FF, FFE, LUT2, LUT3, LUT4, MULT, MUX, NOT, ROM

Net = int
ZERO: Net = 0
ONE: Net = 1

_LUT_KINDS = {2: LUT2, 3: LUT3, 4: LUT4}


@dataclass
class Operation:
    """One operation of the simulator: nets in, nets out."""

    kind: int
    inputs: list[Net]
    outputs: list[Net]
    table: int = 0
    """A LUT's truth table; a flip-flop's value before the first cycle; the number of a ROM."""
    cell: str = ""


@dataclass
class Gates:
    """Collects operations; nets below `next_net` are the netlist's own bits."""

    next_net: int
    operations: list[Operation] = field(default_factory=list)
    alias: dict[Net, Net] = field(default_factory=dict)
    roms: list[NDArray[np.uint32]] = field(default_factory=list)
    """Content of each memory by 14-bit address."""
    clocks: dict[Net, str] = field(default_factory=dict)
    """Clock net → a cell that it clocks."""
    cell: str = ""

    def resolve(self, net: Net) -> Net:
        """The net at the end of a chain of plain connections."""
        steps = 0
        while net in self.alias:
            net = self.alias[net]
            steps += 1
            if steps > len(self.alias):
                raise UnsupportedError(f"netlist net {net} is driven by itself")
        return net

    def _add(self, kind: int, inputs: list[Net], outputs: int = 1, table: int = 0) -> list[Net]:
        nets = list(range(self.next_net, self.next_net + outputs))
        self.next_net += outputs
        self.operations.append(Operation(kind, inputs, nets, table, self.cell))
        return nets

    def lut(self, table: int, inputs: Sequence[Net]) -> Net:
        """The net of a truth table; bit `sum(inputs[i] << i)` of `table` is the answer. Constants are folded in."""
        known = tuple(net if net in (ZERO, ONE) else None for net in inputs)
        table, kept = _folded(table & ((1 << (1 << len(known))) - 1), known)
        nets = [inputs[position] for position in kept]
        if not nets:
            return ONE if table else ZERO
        if len(nets) == 1:
            return nets[0] if table == 0b10 else self._add(NOT, nets)[0]
        if len(nets) in _LUT_KINDS:
            return self._add(_LUT_KINDS[len(nets)], nets, table=table)[0]
        low, high = _cofactors(table, len(nets), len(nets) - 1)
        return self.mux(nets[-1], self.lut(low, nets[:-1]), self.lut(high, nets[:-1]))

    def mux(self, select: Net, low: Net, high: Net) -> Net:
        """`high` where `select` is 1, else `low`."""
        if select in (ZERO, ONE) or low == high:
            return high if select == ONE else low
        if low in (ZERO, ONE) or high in (ZERO, ONE):
            return self.lut(0b11001010, [low, high, select])
        return self._add(MUX, [select, low, high])[0]

    def add_bit(self, propagate: Net, generate: Net, carry: Net) -> tuple[Net, Net]:
        """One bit of a carry chain: `propagate ^ carry`, and `propagate ? carry : generate`."""
        if ZERO in (propagate, carry) or ONE in (propagate, carry):
            return self.lut(0b0110, [propagate, carry]), self.mux(propagate, generate, carry)
        total, out = self._add(CARRY, [propagate, generate, carry], 2)
        return total, out

    def flip_flop(self, data: Net, enable: Net, initial: int) -> Net:
        """Last cycle's data (where it was enabled); `initial` before the first cycle."""
        if enable == ONE:
            return self._add(FF, [data], table=initial)[0]
        return self._add(FFE, [data, enable], table=initial)[0]

    def multiply(self, a: Sequence[Net], b: Sequence[Net], signed_a: Net, signed_b: Net) -> list[Net]:
        """The 36 bits of a product of two 18-bit operands."""
        return self._add(MULT, [*a, *b, signed_a, signed_b], 36)

    def read(self, content: NDArray[np.uint32], address: Sequence[Net]) -> list[Net]:
        """The 18 data bits of a ROM at a 14-bit address, without its register."""
        self.roms.append(content)
        return self._add(ROM, list(address), 18, len(self.roms) - 1)


@lru_cache(maxsize=1 << 16)
def _folded(table: int, known: tuple[Net | None, ...]) -> tuple[int, tuple[int, ...]]:
    """The table over the inputs that matter, given the constants among them; and which inputs those are."""
    nets, places = list(known), list(range(len(known)))
    position = len(nets) - 1
    while position >= 0:
        low, high = _cofactors(table, len(nets), position)
        net = nets[position]
        if net == ZERO or low == high:
            table = low
        elif net == ONE:
            table = high
        else:
            position -= 1
            continue
        del nets[position], places[position]
        position = len(nets) - 1  # What is left may no longer depend on an input that was passed over.
    return table, tuple(places)


def _cofactors(table: int, inputs: int, position: int) -> tuple[int, int]:
    """The tables with input `position` at 0 and at 1, which no longer have that input."""
    low = high = place = 0
    for address in range(1 << inputs):
        if (address >> position) & 1:
            continue
        low |= ((table >> address) & 1) << place
        high |= ((table >> (address | 1 << position)) & 1) << place
        place += 1
    return low, high


@dataclass(frozen=True)
class Cell:
    """One cell of the netlist, with its parameters and connections as Yosys writes them."""

    name: str
    kind: str
    parameters: Mapping[str, Any]
    connections: Mapping[str, list[int | str]]
    gates: Gates

    def pins(self, port: str, width: int | None = None) -> list[Net]:
        """The nets at an input port, least significant first; what is not connected or unknown reads 0."""
        bits = self.connections.get(port, [])
        nets = [bit if isinstance(bit, int) else (ONE if bit == "1" else ZERO) for bit in bits]
        return nets if width is None else (nets + [ZERO] * width)[:width]

    def pin(self, port: str, default: Net = ZERO) -> Net:
        """The net at a one-bit input port."""
        nets = self.pins(port)
        return nets[0] if nets else default

    def drive(self, port: str, *nets: Net) -> None:
        """Connect nets to an output port."""
        for bit, net in zip(self.connections.get(port, []), nets, strict=False):
            if isinstance(bit, int):
                self.require(bit not in self.gates.alias, f"its output {port} drives net {bit}, as another cell does")
                self.gates.alias[bit] = net

    def text(self, parameter: str, default: str) -> str:
        """A parameter that is a word; Yosys adds a space to words that could be read as a number."""
        return str(self.parameters.get(parameter, default)).strip()

    def number(self, parameter: str, default: int = 0) -> int:
        """A parameter that is a bit vector; unknown bits read 0."""
        value = self.parameters.get(parameter, default)
        if isinstance(value, int):
            return value
        return int(str(value).strip().replace("x", "0").replace("z", "0") or "0", 2)

    def clock(self, port: str) -> None:
        """Note the clock that this cell uses."""
        self.gates.clocks.setdefault(self.pin(port), self.name)

    def refuse(self, reason: str) -> UnsupportedError:
        """The error that this cell cannot be simulated."""
        return UnsupportedError(f"netlist cell {self.name} ({self.kind}): {reason}")

    def require(self, holds: bool, reason: str) -> None:
        """Raise `UnsupportedError` unless `holds`."""
        if not holds:
            raise self.refuse(reason)


Model = Callable[[Cell], None]
"""What a kind of cell means: adds the operations of one such cell to `cell.gates`."""


def lut(ports: Sequence[str], output: str, parameter: str = "INIT") -> Model:
    """A lookup table, whose content is a parameter."""

    def translate(cell: Cell) -> None:
        cell.drive(output, cell.gates.lut(cell.number(parameter), [cell.pin(port) for port in ports]))

    return translate


def mux(select: str, low: str, high: str, output: str) -> Model:
    """A multiplexer of two: `high` where `select` is 1."""

    def translate(cell: Cell) -> None:
        cell.drive(output, cell.gates.mux(cell.pin(select), cell.pin(low), cell.pin(high)))

    return translate


def wire(source: str, output: str) -> Model:
    """A buffer."""
    return lambda cell: cell.drive(output, cell.pin(source))


def inverter(source: str, output: str) -> Model:
    """An inverter."""
    return lambda cell: cell.drive(output, cell.gates.lut(0b01, [cell.pin(source)]))


def constant(output: str, net: Net) -> Model:
    """A constant."""
    return lambda cell: cell.drive(output, net)


def register(cell: Cell, data: Net, enable: Net, reset: Net, value: int, initial: int, reset_first: bool) -> Net:
    """A flip-flop with a synchronous reset to `value`, which acts without the enable if `reset_first`."""
    gates = cell.gates
    data = gates.mux(reset, data, ONE if value else ZERO)
    if reset_first:
        enable = gates.lut(0b1110, [enable, reset])
    return gates.flip_flop(data, enable, initial)


def refused(why: str) -> Model:
    """A cell that is not simulated."""

    def translate(cell: Cell) -> None:
        raise cell.refuse(why)

    return translate


MEMORY = refused("this memory is not simulated; synthesise with bram=False, so that tables become LUTs")
MULTIPLIER = refused("this multiplier is not simulated; synthesise with dsp=False")
