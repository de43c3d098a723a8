"""AMD Vivado: the texts of `report_utilization` and `report_timing_summary`, from 2013 to 2025.

7-series reports count `Slice LUTs`, UltraScale and later `CLB LUTs`; a star behind the name (`Slice LUTs*`) refers to a
footnote. Block memories are counted in tiles of 36 kbit, halves of which may be used.
"""

from __future__ import annotations

import re
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
    fmax,
    limiting,
    lines_of,
    missing,
)

NAME = "vivado"
READS = "Vivado's report_utilization and report_timing_summary (.rpt)"

_ROWS = {
    "lut": ("Slice LUTs", "CLB LUTs"),
    "ff": ("Slice Registers", "CLB Registers", "Registers"),
    "dsp": ("DSPs", "DSP Slices"),
    "bram": ("Block RAM Tile",),
}
_CARRY = ("CARRY4", "CARRY8", "LOOKAHEAD8")
_STATES = (("Rout", "routed"), ("postRoute", "routed"), ("Plac", "placed"), ("Synthesized", "synthesised"))


def accepts(path: Path, head: str) -> bool:
    """Whether the header is Vivado's, of one of the two commands."""
    made = re.search(r"^\|\s*Command\s*:\s*report_(utilization|timing_summary)\b", head, re.MULTILINE)
    return made is not None and re.search(r"^\|\s*Tool Version\s*:\s*Vivado", head, re.MULTILINE) is not None


def parse(text: str) -> dict[str, Any]:
    """Return `synthesis` of a utilisation report, `timing` of a timing summary."""
    text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
    head = text.splitlines()[:40]
    version = first_match(r"Tool Version\s*:\s*Vivado v\.?(\S+)", head)
    about: dict[str, Any] = {
        "tool": " ".join(word for word in ("Vivado", version) if word),
        "design": first_match(r"^\|\s*Design\s*:\s*(.+)", head),
        "part": first_match(r"^\|\s*Device\s*:\s*(\S+)", head),
    }
    if first_match(r"^\|\s*Command\s*:\s*(\w+)", head) == "report_utilization":
        state = first_match(r"^\|\s*Design State\s*:\s*(.+)", head) or ""
        stage = next((name for word, name in _STATES if word in state), None)
        return {"synthesis": {**_utilisation(text), **({"stage": stage} if stage else {}), **about}}
    return {"timing": {**_timing(text), **about}}


def _utilisation(text: str) -> dict[str, Any]:
    rows: dict[str, tuple[Table, Row]] = {}
    for table in drawn_tables(text, "|"):
        if table.header[0] in ("Site Type", "Ref Name"):
            for row in table.rows:
                rows.setdefault(row.cells[0].rstrip("*") if row.cells else "", (table, row))
    if not rows:
        raise missing(text, "lut", "a table with the row 'Slice LUTs' or 'CLB LUTs'; not -hierarchical")
    found: dict[str, Any] = {}
    available: dict[str, int | float] = {}
    for key, names in _ROWS.items():
        known = next((rows[name] for name in names if name in rows), None)
        if known is None:
            raise missing(text, key, f"the row {' or '.join(map(repr, names))}")
        table, row = known
        found[key] = count(table.cell(row, table.column("Used")), row.line, row.cells[0])
        available[key] = count(table.cell(row, table.column("Available")), row.line, row.cells[0])
    for name in _CARRY:
        if name in rows:
            table, row = rows[name]
            found["carry"] = count(table.cell(row, table.column("Used")), row.line, name)
    if "URAM" in rows:
        table, row = rows["URAM"]
        found["uram"] = count(table.cell(row, table.column("Used")), row.line, "URAM")
    return {**found, "available": available}


def _timing(text: str) -> dict[str, Any]:
    """The clock with the least slack is the design's; all are listed."""
    periods: dict[str, float] = {}
    for line, cells in _section(text, "Clock Summary"):
        # The waveform in braces has blanks of its own.
        match = re.match(r"(\S+)\s+\{[^}]*\}\s+(\S+)\s+(\S+)", cells)
        if match is None:
            raise VendorReportError(f"line {line}: no clock with period and frequency: {cells!r}")
        periods[match[1]] = amount(match[2], line, f"the period of clock {match[1]}")
    clocks: dict[str, dict[str, float | None]] = {
        name: {"clock_mhz": round(1000.0 / period, 3), "wns_ns": None, "fmax_mhz": None}
        for name, period in periods.items()
    }
    for line, name, slack in _slacks(text):
        if name not in periods:
            raise VendorReportError(f"line {line}: clock {name!r} of the Intra Clock Table is in no Clock Summary")
        clocks[name] |= {"wns_ns": slack, "fmax_mhz": fmax(periods[name], slack)}
    worst = limiting(clocks)
    if not any(line.strip() for _, line in _section(text, "Design Timing Summary")):
        raise missing(text, "wns_ns", "the row of the Design Timing Summary")
    if re.search(r"^\|\s*Inter Clock Table", text, re.MULTILINE) is None:
        raise missing(text, "the slack of every clock", "the section 'Inter Clock Table' behind it")
    if worst is None:
        note = "no path between registers is constrained by a clock"
        return {"fmax_mhz": None, "wns_ns": None, "clocks": clocks, "critical_path": [], "note": note}
    path = _critical_path(text, worst)
    return {**clocks[worst], "clock": worst, "clocks": clocks, **path}


def _section(text: str, title: str) -> list[tuple[int, str]]:
    """The lines of a table below `| TITLE`, from behind its rule of dashes to the next empty line."""
    lines = list(lines_of(text))
    start = next((k for k, (_, line) in enumerate(lines) if re.fullmatch(rf"\|\s*{title}\s*", line)), None)
    if start is None:
        raise missing(text, title, f"the section '{title}'")
    found: list[tuple[int, str]] = []
    ruled = False
    for number, line in lines[start + 3 :]:
        if re.match(r"-{20,}$", line) and not re.search(r"-\s+-", line):
            break
        if not ruled:
            ruled = re.match(r"\s*-+(\s+-+)+\s*$", line) is not None
        elif line.strip():
            found.append((number, line.strip()))
        else:
            break
    return found


def _slacks(text: str) -> list[tuple[int, str, float]]:
    """Line, clock and worst setup slack of every clock of the Intra Clock Table that has such paths."""
    lines = list(lines_of(text))
    start = next((k for k, (_, line) in enumerate(lines) if re.fullmatch(r"\|\s*Intra Clock Table\s*", line)), None)
    if start is None:
        raise missing(text, "the slack of each clock", "the section 'Intra Clock Table'")
    ends: list[int] = []
    found = []
    for number, line in lines[start + 3 :]:
        if not ends:
            if re.match(r"-+(\s+-+)+\s*$", line):
                ends = [match.end() for match in re.finditer(r"-+", line)]
            elif line.startswith("| "):
                break
            continue
        if not line.strip():
            break
        # Numbers stand right-aligned below the rule's dashes; a clock without such paths leaves columns blank.
        for match in list(re.finditer(r"\S+", line))[1:]:
            if min(range(len(ends)), key=lambda k: abs(ends[k] - match.end())) == 1:
                name = line.split()[0]
                found.append((number, name, amount(match[0], number, f"the slack of clock {name}")))
    return found


def _critical_path(text: str, clock: str) -> dict[str, Any]:
    """The worst setup path of a clock: its ends, and a row a step as place & route of hardwire's own writes them."""
    block = re.search(
        r"^Max Delay Paths\n-+\n(Slack \((?:MET|VIOLATED)\)[^\n]*\n(?:(?!^Slack |^Min Delay Paths)[^\n]*\n)*?"
        rf"  Path Group:\s+{re.escape(clock)}\s*\n(?:(?!^Slack |^Min Delay Paths)[^\n]*(?:\n|\Z))*)",
        text,
        re.MULTILINE,
    )
    if block is None:
        return {"critical_path": []}
    lines = block[1].splitlines()
    ends = {
        "from": first_match(r"^\s*Source:\s+(\S+)", lines),
        "to": first_match(r"^\s*Destination:\s+(\S+)", lines),
    }
    steps: list[dict[str, Any]] = []
    parts = re.split(r"^\s*-{40,}.*$", block[1], flags=re.MULTILINE)
    if re.search(r"^\s+slack\s+-?[\d.]+\s*$", block[1], re.MULTILINE) is None:
        raise missing(text, f"the worst path of clock {clock}", "its line 'slack'")
    if len(parts) != 6:
        # A path from a pin has no way of the clock before it, and is no path between registers.
        return {"critical_path": [], "path": ends}
    # A cell stands on one line with its delay, or on two.
    data = re.sub(r"(\([^()\n]*\))[ \t]*\n[ \t]+(-?\d)", r"\1  \2", parts[2])
    for line in data.splitlines():
        net = re.match(r"\s*net \(fo=[^)]*\)\s+(-?[\d.]+)\s+-?[\d.]+\s+(?:[rf]\s+)?(\S+)", line)
        if net:
            steps.append({"kind": "routing", "ns": float(net[1]), "cell": "", "net": _dotted(net[2]), "source": []})
            continue
        cell = re.match(r"\s*\S+\s+(\w+) \(([^()]*)\)\s+(-?[\d.]+)\s+-?[\d.]+\s+(?:[rf]\s+)?(\S+)", line)
        if cell:
            kind = "logic" if steps else "clk-to-q"
            name = _dotted(cell[4].rpartition("/")[0])
            steps.append({"kind": kind, "ns": float(cell[3]), "cell": name, "net": None, "source": []})
    setup = re.search(r"\(Setup_\w+\)\s+(-?[\d.]+)\s+-?[\d.]+\s+(\S+)", block[1])
    if setup and steps:
        steps.append(
            {"kind": "setup", "ns": -float(setup[1]) + 0.0, "cell": _dotted(setup[2]), "net": None, "source": []}
        )
    return {"critical_path": steps, "path": ends}


def _dotted(name: str) -> str:
    """A hierarchical name as the report's figures expect it: with points."""
    return name.replace("/", ".")
