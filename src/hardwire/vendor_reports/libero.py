"""Microchip Libero SoC: `*_compile_netlist_resources` (.rpt, .xml) and SmartTime's maximum delay report (.xml, text).

Of several operating conditions the one with the least slack counts. The projects that hardwire writes place the core
between shift registers: these are in the resources.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from hardwire.vendor_reports._text import (
    Row,
    Table,
    VendorReportError,
    amount,
    count,
    drawn_tables,
    fmax,
    limiting,
    lines_of,
    missing,
    xml_root,
)

NAME = "libero"
READS = "Libero's _compile_netlist_resources (.rpt, .xml) and max timing report (.xml, .txt)"

_TYPES = {
    "lut": ("4LUT",),
    "ff": ("DFF",),
    "dsp": ("Math", "MACC", "Math (18x18)"),
    "bram": ("LSRAM", "RAM1K20", "RAM1K18"),
    "usram": ("uSRAM", "RAM64x12", "RAM64x18"),
}
_HEADER = ("Type", "Used", "Total")


def accepts(path: Path, head: str) -> bool:
    """Whether it is a table of 4LUTs, or SmartTime's report of maximum delays (not that of violations alone)."""
    if "SmartTime" in head and re.search(r"Timing Report Max(?:imum)? Delay Analysis", head):
        return True
    if head.lstrip().startswith("<"):
        return re.search(r"<cell>\s*4LUT\s*</cell>", head) is not None
    return re.search(r"^\|\s*4LUT\s*\|\s*\d+\s*\|", head, re.MULTILINE) is not None


def chosen(paths: list[Path]) -> list[Path]:
    """Of timing reports the one of all operating conditions, where there is one."""
    several = [path for path in paths if path.stem.endswith("_max_timing_multi_corner")]
    return [path for path in paths if path in several or not several or "_max_timing_" not in path.stem]


def parse(text: str) -> dict[str, Any]:
    """Return `synthesis` of a resource report, `timing` of a maximum delay report."""
    xml = text.lstrip().startswith("<")
    tool = {"tool": _version(text)}
    if "SmartTime" in text[:8192]:
        clocks = _xml_clocks(xml_root(text)) if xml else _text_clocks(text)
        return {"timing": {**_timing(clocks), "stage": "routed", **tool}}
    tables = _xml_tables(xml_root(text)) if xml else drawn_tables(text, "|")
    return {"synthesis": {**_resources(text, tables), **tool}}


def _version(text: str) -> str:
    match = re.search(r"(?:Libero Software Release|SmartTime Version)\s+v?([\d.]+\w*)", text)
    return f"Libero SoC {match[1]}" if match else "Libero SoC"


def _resources(text: str, tables: list[Table]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    available: dict[str, int | float] = {}
    for table in tables:
        if not set(_HEADER) <= set(table.header):
            continue
        for row in table.rows:
            for key, names in _TYPES.items():
                if row.cells and row.cells[0] in names and key not in found:
                    found[key] = count(table.cell(row, table.column("Used")), row.line, row.cells[0])
                    available[key] = count(table.cell(row, table.column("Total")), row.line, row.cells[0])
    for key in ("lut", "ff", "dsp", "bram"):
        if key not in found:
            raise missing(text, key, f"the row {' or '.join(map(repr, _TYPES[key]))}")
    # The netlist is final: placing changes no counts.
    return {**found, "available": available, "stage": "placed"}


def _xml_tables(root: ET.Element) -> list[Table]:
    tables = []
    for table in root.iter("table"):
        header = [_cell(cell) for cell in table.findall("header/cell")]
        rows = [Row(0, [_cell(cell) for cell in row.iter("cell")]) for row in table.findall("row")]
        tables.append(Table("", 0, header, rows))
    return tables


def _cell(cell: ET.Element) -> str:
    return "".join(cell.itertext()).strip()


def _xml_clocks(root: ET.Element) -> list[dict[str, str]]:
    """The rows of the section Summary, by the names of its columns."""
    for section in root.iter("section"):
        name = section.find("name")
        if name is not None and (name.text or "").strip().lower() == "summary":
            rows = []
            for table in _xml_tables(section):
                if "Clock Domain" in table.header:
                    rows += [dict(zip(table.header, row.cells, strict=False)) for row in table.rows]
            return rows
    raise VendorReportError("field 'section/name Summary' is not told: truncated, or of another kind")


def _text_clocks(text: str) -> list[dict[str, str]]:
    """The blocks of `Clock Domain: …` up to END SUMMARY."""
    rows: list[dict[str, str]] = []
    summary = ended = False
    for _, line in lines_of(text):
        summary |= line.strip() == "SUMMARY"
        if line.strip() == "END SUMMARY":
            ended = True
            break
        name, colon, value = line.partition(":")
        if summary and colon:
            if name.strip() == "Clock Domain":
                rows.append({})
            if rows:
                rows[-1][name.strip()] = value.strip()
    if not ended:
        raise missing(text, "the summary", "the line 'END SUMMARY'")
    return rows


def _timing(rows: list[dict[str, str]]) -> dict[str, Any]:
    clocks: dict[str, dict[str, float | None]] = {}
    for row in rows:
        name = row.get("Clock Domain", "")
        if "Required Period (ns)" not in row and "Worst Slack (ns)" not in row and "Period (ns)" not in row:
            raise VendorReportError(
                f"clock domain {name!r} has neither period nor slack: truncated, or of another kind"
            )

        def number(key: str, row: dict[str, str] = row, name: str = name) -> float | None:
            text = row.get(key, "")
            return None if text in ("", "N/A") else amount(text, 0, f"{key} of clock domain {name!r}")

        wanted, reached, slack = number("Required Period (ns)"), number("Period (ns)"), number("Worst Slack (ns)")
        if slack is None and wanted is not None and reached is not None:
            slack = round(wanted - reached, 3)
        found: dict[str, float | None] = {
            "clock_mhz": None if wanted is None else round(1000.0 / wanted, 3),
            "wns_ns": slack,
            "fmax_mhz": None,
        }
        if reached:
            found["fmax_mhz"] = round(1000.0 / reached, 3)
        elif wanted is not None and slack is not None:
            found["fmax_mhz"] = fmax(wanted, slack)
        known = clocks.get(name)
        if known is None or (slack is not None and (known["wns_ns"] is None or slack < known["wns_ns"])):
            clocks[name] = found
    worst = limiting(clocks)
    if worst is None:
        note = "no path between registers is constrained by a clock"
        return {"fmax_mhz": None, "wns_ns": None, "clocks": clocks, "critical_path": [], "note": note}
    return {**clocks[worst], "clock": worst, "clocks": clocks, "critical_path": []}
