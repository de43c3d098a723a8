"""Carry chains of ECP5 netlists with nothing at their ends.

A CCU2C holds two bits of a carry chain. Two habits of the netlists that Yosys writes make nextpnr spend a further cell
at each end of every chain: the last carry out is on a net that nobody reads, and the first carry in is a constant. The
first is left open here. The second is replaced: bit 0 of a sum needs no carry in, its own logic can generate the carry
(A AND B for a sum, A OR NOT B for a difference), and its sum bit is one LUT. About a fifth fewer logic cells for an
adder graph; the simulation of the netlist checks that it still computes the same.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

_SUM = "1001011010101010"
"""INIT of a position that adds A and B (C selects the subtraction): what the adder's techmap writes."""
_CARRY_OF_SUM, _CARRY_OF_DIFFERENCE = "0000000000001000", "0000000000001011"
_XOR = "0110011001100110"


def open_chain_ends(module: dict[str, Any]) -> int:
    """Change a netlist module (as in Yosys' JSON) in place; returns how many chain ends were opened."""
    cells: dict[str, Any] = module["cells"]
    readers: Counter[int | str] = Counter(
        bit for cell in cells.values() for bits in cell["connections"].values() for bit in bits
    )
    readers.update(bit for port in module["ports"].values() for bit in port["bits"])
    opened = 0
    for name, cell in list(cells.items()):
        if cell["type"] != "CCU2C":
            continue
        wires = cell["connections"]
        if isinstance(wires["COUT"][0], int) and readers[wires["COUT"][0]] == 1:
            wires["COUT"] = ["x"]
            opened += 1
        first = wires["CIN"][0]
        plain = cell["parameters"]["INIT0"] == _SUM and wires["C0"] == wires["CIN"] and wires["D0"] == ["1"]
        if first in ("0", "1") and plain:
            low = wires["S0"][0]
            if isinstance(low, int) and readers[low] > 1:
                cells[f"{name}_low"] = _lut(wires["A0"], wires["B0"], low)
                wires["S0"] = ["x"]
            wires["C0"], wires["CIN"] = ["0"], ["x"]
            cell["parameters"]["INIT0"] = _CARRY_OF_DIFFERENCE if first == "1" else _CARRY_OF_SUM
            opened += 1
    return opened


def _lut(a: list[int | str], b: list[int | str], z: int) -> dict[str, Any]:
    """The lowest bit of a sum or difference, `A ^ B`."""
    return {
        "hide_name": 1,
        "type": "LUT4",
        "parameters": {"INIT": _XOR},
        "attributes": {},
        "port_directions": {"A": "input", "B": "input", "C": "input", "D": "input", "Z": "output"},
        "connections": {"A": a, "B": b, "C": ["0"], "D": ["0"], "Z": [z]},
    }
