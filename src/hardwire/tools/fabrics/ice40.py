"""Lattice iCE40: LUT4, a carry cell beside each, a flip-flop behind it; UltraPlus parts have 16 × 16 multipliers.

After the simulation models that Yosys ships (`ice40/cells_sim.v`).
"""

from __future__ import annotations

from hardwire.tools._ice40_polarity import drop_inverters
from hardwire.tools._netlist_cells import MEMORY, MULTIPLIER, ONE, ZERO, Cell, Model, lut, register, wire
from hardwire.tools.fabrics._recipe import THOROUGH, Recipe

_CARRY = 0b11101000
"""At least two of three."""

_FLIP_FLOPS = [f"SB_DFF{enable}{reset}" for enable in ("", "E") for reset in ("", "SR", "SS", "R", "S")]


def _recipe(speed: str) -> Recipe:
    return Recipe(
        f"synth_ice40 -device {speed}",
        before=THOROUGH,
        finish=drop_inverters,
        without_dsp="",
        resources={
            "SB_LUT4": {"lut": 1.0},
            "SB_CARRY": {"carry": 1.0},
            **{kind: {"ff": 1.0} for kind in _FLIP_FLOPS},
            "SB_MAC16": {"dsp": 1.0},
            "SB_RAM40_4K": {"bram": 1.0},
        },
    )


RECIPES = {f"ice40-{speed}": _recipe(speed) for speed in ("hx", "lp", "u")}


def _carry(cell: Cell) -> None:
    cell.drive("CO", cell.gates.lut(_CARRY, [cell.pin("I0"), cell.pin("I1"), cell.pin("CI")]))


def _flip_flop(kind: str) -> Model:
    port = {"R": "R", "S": "S"}.get(kind[-1], "")
    asynchronous = bool(port) and kind[-2:] not in ("SR", "SS")

    def translate(cell: Cell) -> None:
        reset = cell.pin(port) if port else ZERO
        cell.require(reset == ZERO or not asynchronous, "its reset is asynchronous")
        cell.clock("C")
        # Unlike elsewhere, a reset acts only where the flip-flop is enabled.
        value = int(port == "S")
        cell.drive("Q", register(cell, cell.pin("D"), cell.pin("E", ONE), reset, value, 0, reset_first=False))

    return translate


CELLS: dict[str, Model] = {
    "SB_LUT4": lut(("I0", "I1", "I2", "I3"), "O", "LUT_INIT"),
    "SB_CARRY": _carry,
    **{kind: _flip_flop(kind) for kind in _FLIP_FLOPS},
    "SB_GB": wire("USER_SIGNAL_TO_GLOBAL_BUFFER", "GLOBAL_BUFFER_OUTPUT"),
    "SB_MAC16": MULTIPLIER,
    "SB_RAM40_4K": MEMORY,
    "SB_SPRAM256KA": MEMORY,
}
