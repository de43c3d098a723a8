"""What the cells of the device families mean, as the few operations that the netlist simulator runs.

After the simulation models that Yosys ships (`lattice/common_sim.vh`, `lattice/ccu2c_sim.vh`, `xilinx/cells_sim.v`) and
the Lattice ECP5 family data sheet (FPGA-DS-02012). A new cell is one function in `CELLS`.
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


def _lut(ports: Sequence[str], output: str) -> Callable[[Cell], None]:
    def translate(cell: Cell) -> None:
        cell.drive(output, cell.gates.lut(cell.number("INIT"), [cell.pin(port) for port in ports]))

    return translate


def _mux(select: str, low: str, high: str, output: str) -> Callable[[Cell], None]:
    def translate(cell: Cell) -> None:
        cell.drive(output, cell.gates.mux(cell.pin(select), cell.pin(low), cell.pin(high)))

    return translate


def _wire(source: str, output: str) -> Callable[[Cell], None]:
    return lambda cell: cell.drive(output, cell.pin(source))


def _inverter(source: str, output: str) -> Callable[[Cell], None]:
    return lambda cell: cell.drive(output, cell.gates.lut(0b01, [cell.pin(source)]))


def _constant(output: str, net: Net) -> Callable[[Cell], None]:
    return lambda cell: cell.drive(output, net)


def _register(cell: Cell, data: Net, enable: Net, reset: Net, value: int, initial: int, reset_first: bool) -> Net:
    """A flip-flop with a synchronous reset to `value`, which acts without the enable if `reset_first`."""
    gates = cell.gates
    data = gates.mux(reset, data, ONE if value else ZERO)
    if reset_first:
        enable = gates.lut(0b1110, [enable, reset])
    return gates.flip_flop(data, enable, initial)


def _ccu2c(cell: Cell) -> None:
    gates, carry = cell.gates, cell.pin("CIN")
    for half in "01":
        table = cell.number(f"INIT{half}")
        a, b, c, d = (cell.pin(port + half) for port in "ABCD")
        propagate = gates.lut(table, [a, b, c, d])
        if cell.text(f"INJECT1_{half}", "YES") == "YES":
            cell.drive(f"S{half}", propagate)
            carry = gates.mux(propagate, ZERO, carry)
        else:
            total, carry = gates.add_bit(propagate, gates.lut(table & 15, [a, b]), carry)
            cell.drive(f"S{half}", total)
    cell.drive("COUT", carry)


def _trellis_ff(cell: Cell) -> None:
    gates = cell.gates
    reset = cell.pin("LSR")
    if cell.text("LSRMUX", "LSR") == "INV":
        reset = gates.lut(0b01, [reset])
    cell.require(cell.text("CLKMUX", "CLK") == "CLK", "its clock is inverted")
    cell.require(reset == ZERO or cell.text("SRMODE", "LSR_OVER_CE") != "ASYNC", "its reset is asynchronous")
    cell.require(reset == ZERO or cell.text("LSRMODE", "LSR") == "LSR", "it loads preset data")
    mode = cell.text("CEMUX", "1")
    enable = {"1": ONE, "0": ZERO}.get(mode, cell.pin("CE", ONE))
    if mode == "INV":
        enable = gates.lut(0b01, [enable])
    value = int(cell.text("REGSET", "RESET") == "SET")
    cell.clock("CLK")
    cell.drive("Q", _register(cell, cell.pin("DI"), enable, reset, value, value, reset_first=True))


def _mult18x18d(cell: Cell) -> None:
    for stage in ("INPUTA", "INPUTB", "PIPELINE", "OUTPUT"):
        clock = cell.text(f"REG_{stage}_CLK", "NONE")
        cell.require(clock == "NONE", f"its register {stage} is used (clock {clock})")
    cell.require(cell.text("MULT_BYPASS", "DISABLED") == "DISABLED", "it is bypassed")
    for source in ("SOURCEA", "SOURCEB"):
        cell.require(cell.pin(source) == ZERO, f"its operand comes through the cascade ({source})")
    a, b = ([cell.pin(f"{operand}{i}") for i in range(18)] for operand in "AB")
    product = cell.gates.multiply(a, b, cell.pin("SIGNEDA"), cell.pin("SIGNEDB"))
    for i, net in enumerate(product):
        cell.drive(f"P{i}", net)


def _dp16kd(cell: Cell) -> None:
    """A block RAM that is only read: 1,024 words of 18 bits, each two bytes of 9, of which narrow ports see 8.

    A port that is 36 bits wide reads two words at B's address; A's pins carry the lower one, B's the upper one.
    """
    words = np.zeros(1024, np.uint32)
    for row in range(64):
        content = cell.number(f"INITVAL_{row:02X}")
        words[16 * row : 16 * row + 16] = [(content >> (20 * i)) & 0x3FFFF for i in range(16)]
    wide = cell.number("DATA_WIDTH_B", 18) == 36
    for port in "AB":
        enable = cell.pin(f"CE{port}", ONE)
        written = enable != ZERO and cell.pin(f"WE{port}") != ZERO
        cell.require(not written, f"port {port} is written to; only ROMs are simulated")
    if wide:
        cell.require(cell.pin("CEA") == ZERO, "both its ports are used, 36 bits wide")
        address = np.arange(1 << 14) >> 5 << 1
        _drive_memory(cell, "B", "A", words[address])
        _drive_memory(cell, "B", "B", words[address + 1])
        return
    address = np.arange(1 << 14)
    for port in "AB":
        width = cell.number(f"DATA_WIDTH_{port}", 18)
        if cell.pin(f"CE{port}", ONE) == ZERO:
            width = 18  # It is not used.
        cell.require(width in (1, 2, 4, 9, 18), f"port {port} is {width} bits wide")
        byte = np.where(width == 18, 0, (address >> 3) & 1)
        bit = (address & 7) // width * width if width < 9 else 0
        _drive_memory(cell, port, port, (words[address >> 4] >> (9 * byte) >> bit) & ((1 << width) - 1))


def _drive_memory(cell: Cell, port: str, pins: str, content: NDArray[np.integer[Any]]) -> None:
    """Read at the address of one port, a cycle late, onto the data pins of one port."""
    enable = cell.pin(f"CE{port}", ONE)
    if enable == ZERO:
        for i in range(18):
            cell.drive(f"DO{pins}{i}", ZERO)
        return
    for pin in (f"RST{port}", *(f"CS{port}{i}" for i in range(3))):
        cell.require(cell.pin(pin) == ZERO, f"its pin {pin} is used")
    cell.require(cell.text(f"CSDECODE_{port}", "0b000") == "0b000", f"port {port} is selected by a code")
    cell.require(cell.text(f"REGMODE_{port}", "NOREG") == "NOREG", f"port {port} has an output register")
    cell.require(cell.text(f"CLK{port}MUX", f"CLK{port}") == f"CLK{port}", "its clock is inverted")
    cell.clock(f"CLK{port}")
    data = cell.gates.read(content.astype(np.uint32), [cell.pin(f"AD{port}{i}") for i in range(14)])
    for i, net in enumerate(data):
        cell.drive(f"DO{pins}{i}", cell.gates.flip_flop(net, enable, 0))


def _xilinx_carry(bits: int) -> Callable[[Cell], None]:
    def translate(cell: Cell) -> None:
        if bits == 8:
            cell.require(cell.text("CARRY_TYPE", "SINGLE_CY8") == "SINGLE_CY8", "its halves are separate chains")
        gates = cell.gates
        carry = gates.lut(0b1110, [cell.pin("CI"), cell.pin("CYINIT")])
        totals, carries = [], []
        for propagate, generate in zip(cell.pins("S", bits), cell.pins("DI", bits), strict=True):
            total, carry = gates.add_bit(propagate, generate, carry)
            totals.append(total)
            carries.append(carry)
        cell.drive("O", *totals)
        cell.drive("CO", *carries)

    return translate


def _xilinx_ff(reset_port: str, value: int, asynchronous: bool) -> Callable[[Cell], None]:
    def translate(cell: Cell) -> None:
        gates = cell.gates
        cell.require(cell.number("IS_C_INVERTED") == 0, "its clock is inverted")
        data, reset = cell.pin("D"), cell.pin(reset_port)
        if cell.number("IS_D_INVERTED"):
            data = gates.lut(0b01, [data])
        if cell.number(f"IS_{reset_port}_INVERTED"):
            reset = gates.lut(0b01, [reset])
        cell.require(reset == ZERO or not asynchronous, "its reset is asynchronous")
        cell.clock("C")
        initial = cell.number("INIT", value)
        cell.drive("Q", _register(cell, data, cell.pin("CE", ONE), reset, value, initial, reset_first=True))

    return translate


def _shift_register(address_bits: int) -> Callable[[Cell], None]:
    def translate(cell: Cell) -> None:
        cell.require(cell.number("IS_CLK_INVERTED") == 0, "its clock is inverted")
        address = cell.pins("A", 5) if address_bits == 5 else [cell.pin(f"A{i}") for i in range(4)]
        cell.require(all(net in (ZERO, ONE) for net in address), "its length is not a constant")
        cell.clock("CLK")
        content, net, stages = cell.number("INIT"), cell.pin("D"), []
        for stage in range(1 << address_bits):
            net = cell.gates.flip_flop(net, cell.pin("CE", ONE), (content >> stage) & 1)
            stages.append(net)
        cell.drive("Q", stages[sum(1 << i for i, bit in enumerate(address) if bit == ONE)])
        cell.drive("Q31", stages[-1])

    return translate


CELLS: dict[str, Callable[[Cell], None]] = {
    # Lattice ECP5. Lattice and Xilinx both name a cell LUT4, with different ports: see `translate`.
    "CCU2C": _ccu2c,
    "PFUMX": _mux("C0", "BLUT", "ALUT", "Z"),
    "L6MUX21": _mux("SD", "D0", "D1", "Z"),
    "TRELLIS_FF": _trellis_ff,
    "MULT18X18D": _mult18x18d,
    "DP16KD": _dp16kd,
    "VLO": _constant("Z", ZERO),
    "VHI": _constant("Z", ONE),
    # Xilinx 7 series and UltraScale+.
    **{f"LUT{n}": _lut([f"I{i}" for i in range(n)], "O") for n in range(1, 7)},
    "MUXF7": _mux("S", "I0", "I1", "O"),
    "MUXF8": _mux("S", "I0", "I1", "O"),
    "MUXF9": _mux("S", "I0", "I1", "O"),
    "CARRY4": _xilinx_carry(4),
    "CARRY8": _xilinx_carry(8),
    "FDRE": _xilinx_ff("R", 0, False),
    "FDSE": _xilinx_ff("S", 1, False),
    "FDCE": _xilinx_ff("CLR", 0, True),
    "FDPE": _xilinx_ff("PRE", 1, True),
    "SRL16E": _shift_register(4),
    "SRLC32E": _shift_register(5),
    "GND": _constant("G", ZERO),
    "VCC": _constant("P", ONE),
    **{name: _wire("I", "O") for name in ("BUF", "IBUF", "OBUF", "BUFG", "BUFGP")},
}

_TRELLIS_LUTS = {"LUT4": _lut("ABCD", "Z"), "LUT2": _lut("AB", "Z"), "INV": _inverter("A", "Z")}
_XILINX_INVERTER = _inverter("I", "O")


def translate(cell: Cell) -> None:
    """Add the cell's operations. Raises `UnsupportedError`, naming the cell, if its kind or its use is not known."""
    cell.gates.cell = cell.name
    if cell.kind in _TRELLIS_LUTS and "Z" in cell.connections:
        _TRELLIS_LUTS[cell.kind](cell)
    elif cell.kind == "INV":
        _XILINX_INVERTER(cell)
    elif cell.kind in CELLS:
        CELLS[cell.kind](cell)
    elif cell.kind == "TRELLIS_DPR16X4" or cell.kind.startswith("RAMB"):
        raise cell.refuse("this memory is not simulated; synthesise with bram=False, so that tables become LUTs")
    elif cell.kind.startswith("DSP48"):
        raise cell.refuse("this multiplier is not simulated; synthesise with dsp=False")
    else:
        raise cell.refuse("the netlist simulator does not know this kind of cell")
