"""AMD (Xilinx) 7 series and UltraScale+: LUT6, carry cells of four or eight bits, shift registers in LUTs.

After the simulation models that Yosys ships (`xilinx/cells_sim.v`). Yosys 0.70 writes CARRY4 for UltraScale+ too, whose
chains are CARRY8: a proxy.
"""

from __future__ import annotations

from collections.abc import Sequence

from hardwire.tools._netlist_cells import (
    MEMORY,
    ONE,
    ZERO,
    Cell,
    Model,
    Net,
    constant,
    inverter,
    lut,
    mux,
    register,
    wire,
)
from hardwire.tools.fabrics._recipe import Recipe

_RESOURCES: dict[str, dict[str, float]] = {
    **{f"LUT{n}": {"lut": 1.0} for n in range(1, 7)},
    "INV": {"lut": 1.0},  # An upper bound: an inverter is often absorbed when the cells are packed.
    "SRL16E": {"lut": 1.0},
    "SRLC32E": {"lut": 1.0},
    **{f"FD{kind}E": {"ff": 1.0} for kind in "RSCP"},
    "CARRY4": {"carry": 1.0},
    "CARRY8": {"carry": 1.0},
    "DSP48E1": {"dsp": 1.0},
    "DSP48E2": {"dsp": 1.0},
    "RAMB18E1": {"bram": 0.5},
    "RAMB18E2": {"bram": 0.5},
    "RAMB36E1": {"bram": 1.0},
    "RAMB36E2": {"bram": 1.0},
}

RECIPES = {
    family: Recipe(f"synth_xilinx -family {family} -flatten -noiopad -noclkbuf", resources=_RESOURCES)
    for family in ("xc7", "xcup")
}


def _xilinx_carry(bits: int) -> Model:
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


def _xilinx_ff(reset_port: str, value: int, asynchronous: bool) -> Model:
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
        cell.drive("Q", register(cell, data, cell.pin("CE", ONE), reset, value, initial, reset_first=True))

    return translate


def _shift_register(address_bits: int) -> Model:
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


def _dsp48(wide: int) -> Model:
    """A multiplier of `wide` × 18 bits, its registers, and the adder behind it where that sums products of others."""

    def translate(cell: Cell) -> None:
        cell.require(cell.number("IS_CLK_INVERTED") == 0, "its clock is inverted")
        cell.require(cell.text("USE_MULT", "MULTIPLY") == "MULTIPLY", "it does not multiply")
        cell.require(cell.text("USE_DPORT", "FALSE") == "FALSE", "its adder in front is used")
        cell.require(cell.text("USE_SIMD", "ONE48") == "ONE48", "its adder is cut")
        for port in ("INMODE", "ALUMODE", "CARRYIN", "CARRYINSEL"):
            cell.require(not any(cell.pins(port)), f"its pin {port} is used")
        mode = sum(1 << i for i, net in enumerate(cell.pins("OPMODE")) if net == ONE)
        cell.require(mode & 0xF == 0b0101 and mode >> 4 in _ADDED, f"its mode is {mode:#x}")
        a, b = ([*cell.pins(port, bits)] for port, bits in (("A", wide), ("B", 18)))
        for port in "AB":
            source = cell.text(f"{port}_INPUT", "DIRECT")
            cell.require(source == "DIRECT", f"its operand {port} comes through the cascade")
        a = _dsp_register(cell, "A", a, ("CEA1", "CEA2"))
        b = _dsp_register(cell, "B", b, ("CEB1", "CEB2"))
        product = _dsp_register(cell, "M", _product(cell, a, b), ("CEM",))
        port, shift = _ADDED[mode >> 4]
        if port:
            added = cell.pins(port, 48)
            if port == "C":
                added = _dsp_register(cell, "C", added, ("CEC",))
            product = _sum(cell, product, [*added[shift:], *[added[-1]] * shift])
        product = _dsp_register(cell, "P", product, ("CEP",))
        cell.drive("P", *product)
        cell.drive("PCOUT", *product)

    return translate


_ADDED = {0b000: ("", 0), 0b001: ("PCIN", 0), 0b011: ("C", 0), 0b101: ("PCIN", 17)}
"""Upper bits of a multiplier's mode → the port that is added to the product, and the shift to the right of it."""


def _dsp_register(cell: Cell, name: str, nets: list[Net], enables: Sequence[str]) -> list[Net]:
    """As many registers as the parameter says; the last one has the last enable."""
    for enable in enables[len(enables) - cell.number(f"{name}REG", 1) :]:
        cell.clock("CLK")
        pins = cell.pin(enable, ONE), cell.pin(f"RST{name}")
        nets = [register(cell, net, *pins, 0, 0, reset_first=True) for net in nets]
    return nets


def _product(cell: Cell, a: list[Net], b: list[Net]) -> list[Net]:
    """48 bits, two's complement."""
    if len(set(a[17:])) == 1:
        product = cell.gates.multiply(a[:18], b, ONE, ONE)
        return [*product, *[product[-1]] * 12]
    low = cell.gates.multiply([*a[:17], ZERO], b, ZERO, ONE)
    high = cell.gates.multiply([*a[17:], *[a[-1]] * (35 - len(a))], b, ONE, ONE)
    return _sum(cell, [*low, *[low[-1]] * 12], [*[ZERO] * 17, *high[:31]])


def _sum(cell: Cell, a: list[Net], b: list[Net]) -> list[Net]:
    gates, carry, total = cell.gates, ZERO, []
    for x, y in zip(a, b, strict=True):
        bit, carry = gates.add_bit(gates.lut(0b0110, [x, y]), x, carry)
        total.append(bit)
    return total


CELLS: dict[str, Model] = {
    **{f"LUT{n}.O": lut([f"I{i}" for i in range(n)], "O") for n in range(1, 7)},
    "INV.O": inverter("I", "O"),
    "MUXF7": mux("S", "I0", "I1", "O"),
    "MUXF8": mux("S", "I0", "I1", "O"),
    "MUXF9": mux("S", "I0", "I1", "O"),
    "CARRY4": _xilinx_carry(4),
    "CARRY8": _xilinx_carry(8),
    "FDRE": _xilinx_ff("R", 0, False),
    "FDSE": _xilinx_ff("S", 1, False),
    "FDCE": _xilinx_ff("CLR", 0, True),
    "FDPE": _xilinx_ff("PRE", 1, True),
    "SRL16E": _shift_register(4),
    "SRLC32E": _shift_register(5),
    "DSP48E1": _dsp48(25),
    "DSP48E2": _dsp48(27),
    **{f"RAMB{size}E{generation}": MEMORY for size in (18, 36) for generation in (1, 2)},
    "VCC.P": constant("P", ONE),
    **{name: wire("I", "O") for name in ("BUFG", "BUFGP")},
}
