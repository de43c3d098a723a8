"""Fabrics: one file each: how Yosys maps to the cells of some device families, what these count and what they mean.

A file has `RECIPES`, from the name that a target's `synthesis["family"]` gives to a `Recipe`, and `CELLS`, from a kind
of cell to its model for the netlist simulator. Where two fabrics have cells of one kind, the key names an output port
of the cell behind a point too: `LUT4.Z`.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

from hardwire.errors import InternalError
from hardwire.presence import modules_in
from hardwire.tools._netlist_cells import ZERO, Cell, Model, constant, wire
from hardwire.tools.fabrics._recipe import Recipe

__all__ = ["Recipe", "recipes", "translate"]

_COMMON: dict[str, Model] = {
    "GND": constant("G", ZERO),
    **{name: wire("I", "O") for name in ("BUF", "IBUF", "OBUF")},
}


def _modules() -> list[ModuleType]:
    return list(modules_in(__name__, __path__).values())


def _merged(into: dict[str, Model], found: dict[str, Model], fabric: str) -> None:
    for twice in sorted(into.keys() & found.keys()):
        raise InternalError(f"fabric {fabric}: another fabric has a cell {twice!r} too; name an output port behind it")
    into.update(found)


@cache
def recipes() -> dict[str, Recipe]:
    """All recipes by name, sorted."""
    found: dict[str, Recipe] = {}
    for module in _modules():
        found.update(module.RECIPES)
    return dict(sorted(found.items()))


@cache
def _cells() -> dict[str, Model]:
    found = dict(_COMMON)
    for module in _modules():
        _merged(found, module.CELLS, module.__name__.rsplit(".", 1)[-1])
    return found


def translate(cell: Cell) -> None:
    """Add the cell's operations. Raises `UnsupportedError`, naming the cell, if its kind or its use is not known."""
    cell.gates.cell = cell.name
    known = _cells()
    for key in (cell.kind, *(f"{cell.kind}.{port}" for port in cell.connections)):
        if key in known:
            return known[key](cell)
    raise cell.refuse("the netlist simulator does not know this kind of cell")
