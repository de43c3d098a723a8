"""Lattice ECP5: LUT4, carry cells of two bits (CCU2C), muxes that join LUTs, 18 × 18 multipliers, 18 Kbit memories.

After the simulation models that Yosys ships (`lattice/common_sim.vh`, `lattice/ccu2c_sim.vh`) and the family data sheet
(FPGA-DS-02012).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.tools._ecp5_carry import open_chain_ends
from hardwire.tools._netlist_cells import MEMORY, ONE, ZERO, Cell, Model, constant, inverter, lut, mux, register
from hardwire.tools.fabrics._recipe import Recipe

RECIPES = {
    "ecp5": Recipe(
        "synth_ecp5",
        finish=open_chain_ends,
        resources={
            "LUT4": {"lut": 1.0},
            "CCU2C": {"carry": 1.0},
            "TRELLIS_FF": {"ff": 1.0},
            "TRELLIS_DPR16X4": {"lut": 4.0},
            "MULT18X18D": {"dsp": 1.0},
            "DP16KD": {"bram": 1.0},
        },
    )
}


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
    cell.drive("Q", register(cell, cell.pin("DI"), enable, reset, value, value, reset_first=True))


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


CELLS: dict[str, Model] = {
    "LUT4.Z": lut("ABCD", "Z"),
    "LUT2.Z": lut("AB", "Z"),
    "INV.Z": inverter("A", "Z"),
    "CCU2C": _ccu2c,
    "PFUMX": mux("C0", "BLUT", "ALUT", "Z"),
    "L6MUX21": mux("SD", "D0", "D1", "Z"),
    "TRELLIS_FF": _trellis_ff,
    "MULT18X18D": _mult18x18d,
    "DP16KD": _dp16kd,
    "TRELLIS_DPR16X4": MEMORY,
    "VLO": constant("Z", ZERO),
    "VHI": constant("Z", ONE),
}
