"""Gowin LittleBee (GW1N) and Arora (GW2A): LUT4, muxes that join LUTs up to eight inputs, a carry bit in a LUT (ALU).

After the simulation models that Yosys ships (`gowin/cells_sim.v`). The muxes are not used: nextpnr knows no delay of
them, and would leave every path through one out of its Fmax.
"""

from __future__ import annotations

from hardwire.tools._netlist_cells import MEMORY, MULTIPLIER, ONE, ZERO, Cell, Model, constant, lut, mux, register
from hardwire.tools.fabrics._recipe import THOROUGH, Recipe

_RESETS = {"": ("", 0), "R": ("RESET", 0), "S": ("SET", 1), "C": ("CLEAR", 0), "P": ("PRESET", 1)}
"""Last letter of a flip-flop's name → its reset pin and the value that it takes then; C and P are asynchronous."""
_FLIP_FLOPS = {f"DFF{reset}{enable}": reset for reset in _RESETS for enable in ("", "E")}
_MULTIPLIERS = ("MULT9X9", "MULT18X18", "MULT36X36", "MULTALU18X18", "MULTALU36X18", "MULTADDALU18X18")
_MEMORIES = ("SP", "SPX9", "SDP", "SDPB", "SDPX9", "SDPX9B", "DP", "DPB", "DPX9", "DPX9B", "pROM", "pROMX9")

_SUM, _DIFFERENCE = 0b0110, 0b1001
"""Truth tables of a bit of an ALU that adds, and of one that subtracts."""
_ALU_MODES = {0: _SUM, 1: _DIFFERENCE}


def _recipe(family: str) -> Recipe:
    return Recipe(
        f"synth_gowin -family {family} -noiopads -nolutram -nowidelut",
        before=THOROUGH,
        pads="iopadmap -bits -inpad IBUF O:I -outpad OBUF I:O",
        resources={
            **{f"LUT{n}": {"lut": 1.0} for n in range(1, 5)},
            "ALU": {"carry": 1.0},
            **{kind: {"ff": 1.0} for kind in _FLIP_FLOPS},
            **{kind: {"dsp": 1.0} for kind in _MULTIPLIERS},
            **{kind: {"bram": 1.0} for kind in _MEMORIES},
        },
    )


RECIPES = {family: _recipe(family) for family in ("gw1n", "gw2a")}


def _alu(cell: Cell) -> None:
    gates, mode = cell.gates, cell.number("ALU_MODE")
    a, b = cell.pin("I0"), cell.pin("I1")
    if mode == 2:
        # I3 is 1 for a sum, 0 for a difference.
        propagate = gates.lut(_SUM << 4 | _DIFFERENCE, [a, b, cell.pin("I3")])
    else:
        cell.require(mode in _ALU_MODES, f"its mode is {mode}, neither a sum nor a difference")
        propagate = gates.lut(_ALU_MODES[mode], [a, b])
    total, carry = gates.add_bit(propagate, a, cell.pin("CIN"))
    cell.drive("SUM", total)
    cell.drive("COUT", carry)


def _flip_flop(kind: str) -> Model:
    port, value = _RESETS[_FLIP_FLOPS[kind]]
    asynchronous = port in ("CLEAR", "PRESET")

    def translate(cell: Cell) -> None:
        reset = cell.pin(port) if port else ZERO
        cell.require(reset == ZERO or not asynchronous, "its reset is asynchronous")
        cell.clock("CLK")
        initial = cell.number("INIT", value)
        cell.drive("Q", register(cell, cell.pin("D"), cell.pin("CE", ONE), reset, value, initial, reset_first=True))

    return translate


CELLS: dict[str, Model] = {
    **{f"LUT{n}.F": lut([f"I{i}" for i in range(n)], "F") for n in range(1, 5)},
    **{f"MUX2{size}": mux("S0", "I0", "I1", "O") for size in ("", "_LUT5", "_LUT6", "_LUT7", "_LUT8")},
    "ALU": _alu,
    **{kind: _flip_flop(kind) for kind in _FLIP_FLOPS},
    "VCC.V": constant("V", ONE),
    **dict.fromkeys(_MULTIPLIERS, MULTIPLIER),
    **dict.fromkeys(_MEMORIES, MEMORY),
}
