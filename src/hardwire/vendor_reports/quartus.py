"""Altera Quartus II and Quartus Prime: `.fit.summary`, `.fit.rpt`, `.map.rpt` or `.syn.rpt`, and `.sta.rpt`.

Families with ALMs count those in the summary; their look-up tables (`lut`: combinational ALUTs for logic) are in
`.fit.rpt` and `.map.rpt` alone. Fmax is the lowest restricted Fmax of all models; the slack is the lowest of them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hardwire.vendor_reports._text import (
    Table,
    VendorReportError,
    amount,
    count,
    drawn_tables,
    first_match,
    limiting,
    lines_of,
    missing,
    of_many,
)

NAME = "quartus"
READS = "Quartus' .fit.summary, .fit.rpt, .map.rpt and .sta.rpt"

_SUMMARY = {
    "alm": ("Logic utilization (in ALMs)",),
    "logic_elements": ("Total logic elements",),
    "lut": ("Total combinational functions",),
    "ff": ("Total registers", "Total dedicated logic registers"),
    "bram": ("Total RAM Blocks",),
    "dsp": ("Total DSP Blocks", "Embedded Multiplier 9-bit elements"),
}
_USAGE = {
    "logic_elements": ("Total logic elements",),
    "alm": (
        "Logic utilization (ALMs needed / total ALMs on device)",
        "Logic utilization (in ALMs)",
        "ALMs needed [=A-B+C]",
    ),
    "lut": (
        "Combinational ALUT usage for logic",
        "Combinational ALUT usage",
        "Total combinational functions",
    ),
    "ff": ("Total registers*", "Dedicated logic registers", "Total registers"),
    "bram": ("M20K blocks", "M10K blocks", "M9Ks", "Total RAM Blocks"),
    "dsp": ("Total DSP Blocks", "DSP Blocks Needed [=A+B-C]", "Embedded Multiplier 9-bit elements"),
}


def accepts(path: Path, head: str) -> bool:
    """Whether it is the fitter's summary, or one of three reports of Quartus'."""
    if re.match(r"\s*Fitter Status :", head):
        return True
    made = re.match(r"\s*(?:Fitter|Analysis & Synthesis|Synthesis|(?:TimeQuest )?Timing Analyzer) report for ", head)
    return made is not None and re.search(r"^Quartus(?: Prime| II).*Version ", head, re.MULTILINE) is not None


def parse(text: str) -> dict[str, Any]:
    """Return `synthesis` of a summary, fitter or synthesis report, `timing` of a timing analyser's report."""
    title = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if title.startswith("Fitter Status :"):
        return {"synthesis": _summary(text)}
    _check_whole(text)
    kind = title.split(" report for ")[0]
    if kind.endswith("Timing Analyzer"):
        return {"timing": _timing(text)}
    return {"synthesis": _usage(text, kind)}


def _check_whole(text: str) -> None:
    """A report has all the sections that its table of contents lists; the last one is looked for."""
    contents = re.search(r"^; Table of Contents ;\n-+\n((?:[ \t]*\d+\. .*\n)+)", text, re.MULTILINE)
    if contents is None:
        raise missing(text, "what the report holds", "its table of contents")
    last = contents[1].splitlines()[-1].partition(". ")[2].strip()
    if re.search(rf"^;\s*{re.escape(last)}\s*;", text[contents.end() :], re.MULTILINE) is None:
        raise missing(text, last, "the last section of the table of contents")


def _version(text: str) -> str:
    match = re.search(r"Quartus(?: Prime| II)[^\n]*?Version\s*[:;]?\s*([\w.]+)", text)
    return f"Quartus {match[1]}" if match else "Quartus"


def _summary(text: str) -> dict[str, Any]:
    fields: dict[str, tuple[int, str]] = {}
    for line, words in lines_of(text):
        name, colon, value = words.partition(" : ")
        if colon:
            fields.setdefault(name.strip(), (line, value.strip()))
    status = fields["Fitter Status"]
    if not status[1].startswith("Successful"):
        raise VendorReportError(f"line {status[0]}: the run did not succeed: {status[1]!r}", hint="run Quartus again")
    part = fields.get("Device")
    return {
        **_resources(text, fields, _SUMMARY),
        "stage": "routed",
        "design": fields.get("Top-level Entity Name", (0, None))[1],
        "part": None if part is None else part[1],
        "tool": _version(text),
    }


def _usage(text: str, kind: str) -> dict[str, Any]:
    fields: dict[str, tuple[int, str]] = {}
    about: dict[str, str] = {}
    for table in drawn_tables(text, ";"):
        usage = re.fullmatch(r"(?:Fitter|Analysis & Synthesis|Synthesis) Resource Usage Summary.*", table.title)
        for row in table.rows:
            if usage and len(row.cells) >= 2:
                # `-- ` marks what is counted in the row above as well.
                fields.setdefault(re.sub(r"^(?:--\s*)+", "", row.cells[0]), (row.line, row.cells[1]))
        if re.fullmatch(r"(?:Fitter|Analysis & Synthesis|Synthesis) Summary", table.title):
            for name, value, *_ in ([*table.header, "", ""], *([*row.cells, "", ""] for row in table.rows)):
                about[name] = value
    if not fields:
        raise missing(text, "the resources", f"the table '{kind} Resource Usage Summary'")
    found = _resources(text, fields, _USAGE)
    halves = ("Combinational with no register", "Combinational with a register")
    if "lut" not in found and all(name in fields for name in halves):
        found["lut"] = sum(count(fields[name][1], fields[name][0], name) for name in halves)
    return {
        **found,
        "stage": "routed" if kind == "Fitter" else "synthesised",
        "design": about.get("Top-level Entity Name"),
        "part": about.get("Device") if kind == "Fitter" else None,
        "tool": _version(text),
    }


def _resources(text: str, fields: dict[str, tuple[int, str]], names: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    available: dict[str, int | float] = {}
    for key, rows in names.items():
        name = next((row for row in rows if row in fields), None)
        if name is not None and re.match(r"N/A|Not available", fields[name][1]) is None:
            line, value = fields[name]
            found[key] = count(value, line, name)
            total = of_many(value, line, name)
            if total is not None:
                available[key] = total
    if "ff" not in found or not {"alm", "logic_elements", "lut"} & found.keys():
        raise missing(text, "the logic", "the rows of ALMs or logic elements, and of registers")
    return {**found, **({"available": available} if available else {})}


def _timing(text: str) -> dict[str, Any]:
    periods: dict[str, float] = {}
    highest: dict[str, float] = {}
    slacks: dict[str, float] = {}
    reached = False
    tables = drawn_tables(text, ";")
    for table in tables:
        if table.title == "Clocks":
            for row in table.rows:
                name = table.cell(row, table.column("Clock Name"))
                periods[name] = amount(table.cell(row, table.column("Period")), row.line, f"the period of {name}")
        elif table.title.endswith("Fmax Summary"):
            reached = True
            for row in table.rows:
                name = table.cell(row, table.column("Clock Name"))
                text_of = table.cell(row, table.column("Restricted Fmax", "Fmax"))
                value = amount(text_of, row.line, f"the Fmax of {name}") * (1e3 if "GHz" in text_of else 1.0)
                highest[name] = min(value, highest.get(name, value))
        elif re.search(r"(?:^|\s)Setup Summary$", table.title):
            reached = True
            for row in table.rows:
                name = table.cell(row, table.column("Clock"))
                value = amount(table.cell(row, table.column("Slack")), row.line, f"the slack of {name}")
                slacks[name] = min(value, slacks.get(name, value))
    about = {
        "stage": "routed",
        "design": None,
        "part": first_match(r"^;\s*Device Name\s*;\s*(\S+)", text.splitlines()),
        "tool": _version(text),
    }
    clocks: dict[str, dict[str, float | None]] = {
        name: {
            "clock_mhz": round(1000.0 / period, 3),
            "wns_ns": slacks.get(name),
            "fmax_mhz": highest.get(name),
        }
        for name, period in periods.items()
    }
    unknown = sorted({*highest, *slacks} - periods.keys())
    if unknown:
        raise VendorReportError(f"clock {unknown[0]!r} has a slack or an Fmax, and is not in the table 'Clocks'")
    worst = limiting(clocks)
    if worst is None and not reached and "No paths to report" not in text and "No clocks" not in text:
        raise missing(text, "the slack", "the tables 'Setup Summary' and 'Fmax Summary'")
    if worst is None:
        note = "no path between registers is constrained by a clock"
        return {"fmax_mhz": None, "wns_ns": None, "clocks": clocks, "critical_path": [], "note": note, **about}
    ends = _worst_path(tables, worst)
    return {**clocks[worst], "clock": worst, "clocks": clocks, "critical_path": [], **ends, **about}


def _worst_path(tables: list[Table], clock: str) -> dict[str, Any]:
    """The ends of the path with the least slack, where the report lists paths (Quartus Prime Pro's does not)."""
    worst: tuple[float, dict[str, str]] | None = None
    for table in tables:
        if table.title.endswith(f"Setup: '{clock}'") and table.rows:
            row = table.rows[0]
            slack = amount(table.cell(row, table.column("Slack")), row.line, "the slack of a path")
            if worst is None or slack < worst[0]:
                ends = {key: table.cell(row, table.column(f"{key.capitalize()} Node")) for key in ("from", "to")}
                worst = slack, ends
    return {} if worst is None else {"path": worst[1]}
