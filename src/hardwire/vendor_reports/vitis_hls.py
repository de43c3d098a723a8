"""AMD Vitis HLS and Vivado HLS: `csynth.xml` or `*_csynth.rpt`, and the result of the co-simulation, `*_cosim.rpt`.

High-level synthesis estimates: the cells and the clock are known once Vivado has placed what it exports.
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
    first_match,
    lines_of,
    missing,
    xml_root,
)

NAME = "vitis_hls"
READS = "Vitis HLS' csynth.xml, _csynth.rpt and _cosim.rpt"

_COSIMULATION = r"^Simulation tool\s*:"
_RESOURCES = {"lut": ("LUT",), "ff": ("FF",), "dsp": ("DSP", "DSP48E"), "bram": ("BRAM_18K",), "uram": ("URAM",)}


def accepts(path: Path, head: str) -> bool:
    """Whether it is a csynth.xml, or a report with the tool's title."""
    if head.lstrip().startswith("<"):
        return "<profile>" in head and "<UserAssignments>" in head
    return re.search(r"^== (?:Vitis|Vivado) HLS Report for ", head, re.MULTILINE) is not None or (
        re.search(_COSIMULATION, head, re.MULTILINE) is not None
    )


def chosen(paths: list[Path]) -> list[Path]:
    """Each function has a report beside the whole design's `csynth.xml`."""
    whole = {path.parent for path in paths if path.name == "csynth.xml"}
    return [
        path
        for path in paths
        if path.parent not in whole or not path.stem.endswith("_csynth") or path.name == "csynth.xml"
    ]


def parse(text: str) -> dict[str, Any]:
    """Return `hls`."""
    if text.lstrip().startswith("<"):
        return {"hls": _xml(xml_root(text))}
    if re.search(_COSIMULATION, text[:4000], re.MULTILINE):
        return {"hls": _cosimulation(text)}
    return {"hls": _report(text)}


def _cycles(text: str | None, name: str, line: int = 0) -> int | None:
    """Cycles; None where the tool cannot tell (`undef`, `?`, `-`)."""
    if text is None or text.strip() in ("undef", "?", "-", ""):
        return None
    return int(amount(text, line, name))


def _performance(
    target_ns: float,
    estimated_ns: float,
    latency: tuple[int | None, int | None],
    interval: tuple[int | None, int | None],
) -> dict[str, Any]:
    return {
        "clock_mhz": round(1000.0 / target_ns, 3),
        "fmax_mhz": round(1000.0 / estimated_ns, 3) if estimated_ns else None,
        "latency_cycles": latency[1],
        "latency": {"min": latency[0], "max": latency[1]},
        "initiation_interval": interval[1],
        "interval": {"min": interval[0], "max": interval[1]},
    }


def _xml(root: ET.Element) -> dict[str, Any]:
    def field(path: str, *, needed: bool = True) -> str | None:
        found = root.find(path)
        if (found is None or found.text is None) and needed:
            raise VendorReportError(f"field {path!r} is not told: truncated, or of another kind")
        return None if found is None or found.text is None else found.text.strip()

    def number(path: str) -> float:
        try:
            return float(field(path) or "")
        except ValueError:
            raise VendorReportError(f"field {path!r} is {field(path)!r}, no number") from None

    latency, resources = "PerformanceEstimates/SummaryOfOverallLatency/", "AreaEstimates/Resources/"
    estimate: dict[str, int | float] = {}
    for key, names in _RESOURCES.items():
        text = next((text for name in names if (text := field(resources + name, needed=False)) is not None), None)
        if text is None and key != "uram":
            raise VendorReportError(f"field {resources + names[0]!r} is not told: truncated, or of another kind")
        if text is not None:
            estimate[key] = count(text, 0, key)
    return {
        **_performance(
            number("UserAssignments/TargetClockPeriod"),
            number("PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod"),
            (
                _cycles(field(f"{latency}Best-caseLatency"), "Best-caseLatency"),
                _cycles(field(f"{latency}Worst-caseLatency"), "Worst-caseLatency"),
            ),
            (
                _cycles(field(f"{latency}Interval-min"), "Interval-min"),
                _cycles(field(f"{latency}Interval-max"), "Interval-max"),
            ),
        ),
        "estimate": estimate,
        "design": field("UserAssignments/TopModelName"),
        "part": field("UserAssignments/Part", needed=False),
        "tool": _tool(field("ReportVersion/Version", needed=False)),
    }


def _tool(version: str | None) -> str:
    """`Vitis HLS 2023.2`; before 2020.2 it was named Vivado HLS."""
    if version is None:
        return "Vitis HLS"
    return f"{'Vivado' if version < '2020.1' else 'Vitis'} HLS {version}"


def _report(text: str) -> dict[str, Any]:
    tables = drawn_tables(text, "|")
    head = text.splitlines()[:30]
    timing = next((table for table in tables if {"Target", "Estimated"} <= set(table.header)), None)
    if timing is None or not timing.rows:
        raise missing(text, "the clock", "the table '+ Timing: * Summary:'")
    latency = next((table for table in tables if any(cell.startswith("Latency") for cell in table.header)), None)
    if latency is None or not latency.rows:
        raise missing(text, "the latency", "the table '+ Latency: * Summary:'")
    use = next((table for table in tables if "BRAM_18K" in table.header and "LUT" in table.header), None)
    if use is None:
        raise missing(text, "the resources", "the table '== Utilization Estimates * Summary:'")
    row, clock = timing.rows[0], timing
    target, estimated = (_ns(clock.cell(row, clock.column(name)), row.line, name) for name in ("Target", "Estimated"))
    # Below the spanning header stand the columns' own: min, max of cycles, of time, of the interval, the pipeline.
    names, values = latency.rows[0].cells, latency.rows[-1]
    at = _interval_column(names, latency)
    numbers, interval = ([_cycles_of(values, k, names) for k in (start, start + 1)] for start in (0, at))
    return {
        **_performance(target, estimated, (numbers[0], numbers[1]), (interval[0], interval[1])),
        "estimate": _estimate(text, use),
        "design": first_match(r"^== \w+ HLS Report for '([^']+)'", head),
        "part": first_match(r"^\* Target device:\s*(\S+)", head),
        "tool": " ".join(
            word
            for word in (
                first_match(r"^== (\w+ HLS) Report for", head),
                first_match(r"^\* Version:\s*(\S+)", head),
            )
            if word
        ),
    }


def _interval_column(names: list[str], table: Table) -> int:
    """Behind min and max of cycles there may be min and max of time (since 2020)."""
    if names.count("min") in (2, 3) and names[:2] == ["min", "max"]:
        return 2 * (names.count("min") - 1)
    raise VendorReportError(f"line {table.line}: the latency's columns are {', '.join(names)}")


def _cycles_of(values: Row, column: int, names: list[str]) -> int | None:
    """Cycles of a cell of the latency table."""
    if len(values.cells) < len(names):
        raise VendorReportError(
            f"line {values.line}: the row of the latency is truncated", hint="write the report anew"
        )
    return _cycles(values.cells[column], "the latency", values.line)


def _ns(text: str, line: int, name: str) -> float:
    """A time as `4.00 ns`, `850 ps`, or without a unit."""
    unit = re.search(r"(ps|ns|us)\s*$", text)
    return amount(text, line, name) * {"ps": 1e-3, "ns": 1.0, "us": 1e3}[unit[1] if unit else "ns"]


def _estimate(text: str, table: Table) -> dict[str, int | float]:
    total = next((row for row in table.rows if row.cells and row.cells[0] == "Total"), None)
    if total is None:
        raise missing(text, "the resources' sum", "the row 'Total'")
    found: dict[str, int | float] = {}
    for key, names in _RESOURCES.items():
        if key == "uram" and "URAM" not in table.header:
            continue
        cell = table.cell(total, table.column(*names))
        found[key] = 0 if cell == "-" else count(cell, total.line, key)
    return found


def _cosimulation(text: str) -> dict[str, Any]:
    """Status and measured cycles of each language that was simulated."""
    found: dict[str, Any] = {}
    for line, words in lines_of(text):
        cells = [cell.strip() for cell in words.strip().strip("|").split("|")]
        if cells[0] in ("VHDL", "Verilog") and len(cells) >= 5 and cells[1] not in ("", "NA"):
            found[cells[0].lower()] = {
                "status": cells[1],
                "latency": {
                    "min": _cycles(_none(cells[2]), "the latency", line),
                    "max": _cycles(_none(cells[4]), "the latency", line),
                },
            }
    if not found:
        raise missing(text, "a result", "the row 'Verilog' or 'VHDL'")
    return {"cosimulation": found}


def _none(cell: str) -> str | None:
    return None if cell == "NA" else cell
