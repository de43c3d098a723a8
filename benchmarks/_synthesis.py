"""Verilog of any tool through the very same synthesis; figures and netlists are kept by content."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from inspect import getsource
from pathlib import Path
from typing import Any

from hardwire.tools import _ecp5_carry, yosys

FLOWS = {"keep": "adders kept", "stock": "stock"}
PARTS = {"ecp5": "ecp5-85k", "xcup": "xcup-vu13p"}
RECIPE = hashlib.sha256("".join(getsource(m) for m in (yosys, _ecp5_carry)).encode()).hexdigest()
"""Another recipe gives other netlists."""

Row = dict[str, Any]


def write(path: Path, text: str) -> None:
    """Write as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(text)
    os.replace(beside, path)


def digest(*parts: bytes | str) -> str:
    """Name of a content."""
    found = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "little") + data)
    return found.hexdigest()[:20]


def synthesised(sources: Sequence[Path], top: str, family: str, flow: str, store: Path) -> tuple[Row, Path]:
    """Cell counts of one flow, and the netlist; taken from `store` where the very same sources were synthesised before.

    `lut` are logic LUTs, inverters apart (`inverters`: packing absorbs most); on ECP5 `sites` are the logic sites that
    LUTs and carry cells (two each) take, which nextpnr's packing confirms to within two.
    """
    key = digest(version("pyosys"), RECIPE, family, flow, top, *(path.read_bytes() for path in sources))
    place = store / f"{family}_{flow}_{key}"
    known, netlist = place / "figures.json", place / f"{top}.json"
    if not (known.is_file() and netlist.is_file()):
        shutil.rmtree(place, ignore_errors=True)
        done = yosys.synthesise(sources, top, family=family, workdir=place, keep_adders=flow == "keep", dsp=False)
        counts = {name: round(done.resources[name]) for name in ("lut", "carry", "ff")}
        inverters = done.cells.get("INV", 0)
        row: Row = {
            "flow": flow,
            **counts,
            "lut": counts["lut"] - inverters,
            "inverters": inverters,
            "cells": done.cells,
        }
        write(known, json.dumps({**row, "yosys": done.version}, indent=1) + "\n")
    row = json.loads(known.read_text())
    if family == "ecp5":
        row["sites"] = row["lut"] + 2 * row["carry"]
    return row, netlist


def size(row: Row) -> int:
    """What is compared: all logic sites on ECP5, LUTs elsewhere."""
    return int(row.get("sites", row["lut"]))
