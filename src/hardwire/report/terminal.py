"""A report in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.markup import escape
from rich.table import Table

from hardwire.report import summary

_WIDE = 90
"""Columns from which on the layers are shown too."""


class _Layers:
    """The table of layers, shown where the terminal is wide enough."""

    def __init__(self, rows: list[Mapping[str, Any]]) -> None:
        self.rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.max_width >= _WIDE:
            yield ""
            yield layers_table(self.rows)


def report_table(report: Mapping[str, Any]) -> Group:
    """Return the summary of a report: contract, resources, layers (on a wide terminal), verification."""
    table = Table(box=None, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    latency = report.get("latency")
    program = report.get("program")
    if latency:
        table.add_row("design", f"{escape(str(report['name']))} for {escape(str(report['target']))}")
        clock = f"{report['clock_mhz']:.1f} MHz (compiled for)"
        table.add_row("latency", f"{latency['cycles']} cycles, {latency['ns']:.1f} ns at {clock}")
    else:
        backend = (report.get("options") or {}).get("backend", "emulator")
        purpose = "emulation only" if backend == "emulator" else f"{backend}, {report['target']}"
        table.add_row("design", f"{escape(str(report['name']))}, for {escape(purpose)}")
    if program and "adders" in program:
        table.add_row(
            "program", f"{program['adders']} adders, {program['tables']} tables, {program['neurons']} neurons"
        )
    elif program:
        table.add_row("program", f"{program['neurons']} neurons, {program['multiplications']} multiplications")
    if report.get("estimate"):
        rough = " fully parallel, to a factor of about two" if report["estimate"].get("rough") else ""
        table.add_row("estimate", summary.resources(report["estimate"]) + rough)
    if report.get("fit") and not report["fit"]["fits"]:
        over = ", ".join(f"{share:.0%} of {key.upper()}" for key, share in report["fit"]["share"].items() if share > 1)
        table.add_row("fit", f"[red]does not fit[/] {escape(str(report['target']))}: {over}")
    if report.get("calibration"):
        found = report["calibration"]
        table.add_row("calibration", f"{found['measure']}: {found['fidelity']:.5f} (target {found['target']:.5f})")
        for kind in found["types"]:
            table.add_row("", escape(f"{kind['role']} {kind['name']}: {kind['type']}"))
    if report.get("synthesis"):
        table.add_row("synthesis", summary.resources(report["synthesis"]))
    if report.get("hls"):
        table.add_row("HLS foresees", escape(summary.foreseen(report["hls"])))
    timing = report.get("timing")
    if timing and summary.routed(report):
        table.add_row("routed", f"Fmax {timing['fmax_mhz']:.1f} MHz{_routed(timing)}")
    elif timing and timing.get("note"):
        table.add_row("timing", escape(timing["note"]))
    for stage, state in summary.stages(report):
        mark = "[green]met[/]" if state["met"] else "[red]missed[/]"
        figures = f"{state['latency_ns']:.1f} ns, {state['fmax_mhz']:.1f} MHz"
        table.add_row(f"contract, {stage}", f"{mark}: {figures} (asked: {summary.asked(report)})")
    parts: list[Any] = [table]
    if report.get("layers"):
        parts.append(_Layers(report["layers"]))
    if report.get("verification"):
        parts.extend(["", verification_table(report["verification"])])
    return Group(*parts)


def inspection(found: Mapping[str, Any]) -> Group:
    """Return the table of `hardwire inspect`: a row a layer, totals below."""
    table = Table(box=None)
    table.add_column("layer", overflow="fold")
    for title in ("kind", "shape"):
        table.add_column(title)
    for title in ("parameters", "non-zero", "weight bits", "MACs", "EBOPs"):
        table.add_column(title, justify="right")
    table.add_column("type")
    for row in found["layers"]:
        table.add_row(
            escape(row["name"]),
            escape(row["kind"]),
            "×".join(map(str, row["shape"])) or "scalar",
            *(
                "" if not row[key] else f"{row[key]:.1f}" if key == "weight_bits" else f"{row[key]:,}"
                for key in ("parameters", "nonzero", "weight_bits", "macs", "ebops")
            ),
            escape(row["type"] or ""),
        )
    facts = [
        f"{row['name']}: {', '.join(f'{count:,} {name}' for name, count in row['facts'].items())}"
        for row in found["layers"]
        if row.get("facts")
    ]
    total = found["total"]
    ebops = "unknown (some inputs have no type)" if total["ebops"] is None else f"{total['ebops']:,}"
    kind = "quantised" if found["quantised"] else "float: calibrate it, or take it as exact"
    lines = [
        f"{found['name']}: {kind}",
        f"{total['layers']} layers, {total['parameters']:,} parameters ({total['nonzero']:,} non-zero), "
        f"{total['macs']:,} MACs, EBOPs: {ebops}",
    ]
    parts: list[Any] = [table, *(escape(line) for line in facts + lines)]
    if found.get("unsupported"):
        parts.extend(["", _unsupported(found["unsupported"])])
    return Group(*parts)


def _unsupported(rows: Sequence[Mapping[str, str]]) -> Table:
    """Return what of a model is not supported: a row an item, with what to try."""
    table = Table(box=None)
    for title in ("unsupported layer", "kind", "why", "try"):
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(escape(row[key]) for key in ("name", "kind", "reason", "hint")))
    return table


def layers_table(rows: list[Mapping[str, Any]]) -> Table:
    """Return a row a layer: its stages, resources by the estimate, and nanoseconds of the longest path."""
    resources = [key for key in ("lut", "ff", "dsp", "bram") if key in ("lut", "ff") or any(r.get(key) for r in rows)]
    table = Table(box=None)
    table.add_column("layer", overflow="ellipsis", no_wrap=True, max_width=40)
    for title in ("stages", *(key.upper() for key in resources), "ns"):
        table.add_column(title, justify="right")
    for row in rows:
        if not row["ns"] and not any(row.get(key) for key in resources):
            continue
        first, last = row.get("stages") or (-1, -1)
        spanned = "" if first < 0 else str(first) if first == last else f"{first}–{last}"
        figures = [f"{row.get(key) or 0:,.0f}" for key in resources]
        table.add_row(escape(str(row["layer"]) or "(constants)"), spanned, *figures, f"{row['ns']:.1f}")
    return table


def verification_table(found: Mapping[str, Any]) -> Table:
    """Return a row a rung of the ladder: vectors tried, mismatches, what was proven."""
    table = Table("rung", "vectors", "mismatches", "", box=None)
    if found.get("meaning"):
        row = found["meaning"]
        differ = row["vectors"] - row["equal"]
        mark = f"[{'yellow' if differ else 'green'}]{differ:,}[/]"
        table.add_row("float meaning = interpreter", f"{row['vectors']:,}", mark, escape(summary.meaning(row)))
    for rung in summary.rungs(found):
        if rung.mismatches is None:
            mark = "[yellow]not run[/]"
        else:
            mark = f"[{'green' if rung.mismatches == 0 else 'red'}]{rung.mismatches:,}[/]"
        table.add_row(rung.title, f"{rung.vectors:,}", mark, escape(rung.tool or rung.why))
    formal = found.get("formal")
    if formal:
        mark = "[green]proven[/]" if formal["proven"] else "[red]not proven[/]"
        what = (
            f"{formal['neurons_proven']} of {formal['neurons']} neurons, "
            f"{formal['values_without_overflow']} of {formal['values']} values without overflow"
        )
        table.add_row("formal proof", "every input", mark, what)
    return table


def comparison_table(found: Mapping[str, Any]) -> Group:
    """Return the table of `hardwire compare`: a row a layer, float against fixed, and the first bad one."""
    table = Table(box=None)
    table.add_column("layer", overflow="fold")
    for title in ("kind", "type"):
        table.add_column(title)
    for title in ("largest value", "largest difference", "RMS difference", "fidelity"):
        table.add_column(title, justify="right")
    for row in found["rows"]:
        colour = "red" if row["bad"] else "green"
        figures = [f"{row[key]:.4g}" for key in ("largest_value", "largest_difference", "rms_difference")]
        kept = f"[{colour}]{row['fidelity']:.6f}[/]"
        table.add_row(escape(row["layer"]), escape(row["kind"]), escape(row["type"]), *figures, kept)
    asked = f"{found['asked']:g} of the variance, on {found['vectors']:,} inputs"
    if found["first_bad"] is None:
        return Group(table, f"every layer keeps {asked}")
    return Group(table, f"[red]first bad layer:[/] {escape(found['first_bad'])} (asked: {asked})")


def _routed(timing: Mapping[str, Any]) -> str:
    latency = f", latency {timing['latency_ns']:.1f} ns" if timing.get("latency_ns") is not None else ""
    if timing.get("seed") is None:
        # A vendor's tool, whose report was collected.
        return f"{latency} ({timing['tool']})"
    seeds = len(timing.get("fmax_by_seed") or {})
    tried = f", best of {seeds}" if seeds > 1 else ""
    how = f" (seed {timing['seed']}{tried})" if "seed" in timing else ""
    return f"{latency}{how}"
