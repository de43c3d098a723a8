"""AMD (Xilinx) 7 series and UltraScale+: LUT6, carry cells of four or eight bits, shift registers in LUTs.

After the simulation models that Yosys ships (`xilinx/cells_sim.v`). Yosys 0.70 writes CARRY4 for UltraScale+ too, whose
chains are CARRY8: a proxy.
"""

from __future__ import annotations

from hardwire.tools._netlist_cells import (
    MEMORY,
    MULTIPLIER,
    ONE,
    ZERO,
    Cell,
    Model,
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
    **{f"DSP48E{generation}": MULTIPLIER for generation in (1, 2)},
    **{f"RAMB{size}E{generation}": MEMORY for size in (18, 36) for generation in (1, 2)},
    "VCC.P": constant("P", ONE),
    **{name: wire("I", "O") for name in ("BUFG", "BUFGP")},
}
