"""A report in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table


def report_table(report: Mapping[str, Any]) -> Group:
    """Return the summary of a report: contract, resources, verification."""
    table = Table(box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    latency = report["latency"]
    program = report["program"]
    table.add_row("design", f"{report['name']} for {report['target']}")
    table.add_row(
        "latency", f"{latency['cycles']} cycles, {latency['ns']:.1f} ns at {report['clock_mhz']:.1f} MHz (compiled for)"
    )
    table.add_row("program", f"{program['adders']} adders, {program['tables']} tables, {program['neurons']} neurons")
    table.add_row("estimate", _resources(report["estimate"]))
    if "calibration" in report:
        found = report["calibration"]
        table.add_row("calibration", f"{found['measure']}: {found['fidelity']:.5f} (target {found['target']:.5f})")
        for kind in found["types"]:
            table.add_row("", f"{kind['role']} {kind['name']}: {kind['type']}")
    if "synthesis" in report:
        table.add_row("synthesis", _resources(report["synthesis"]))
    timing = report.get("timing")
    if timing:
        if timing.get("fmax_mhz") is None:
            table.add_row("timing", timing["note"])
        else:
            table.add_row(
                "routed",
                f"Fmax {timing['fmax_mhz']:.1f} MHz, latency {timing['latency_ns']:.1f} ns (seed {timing['seed']})",
            )
    for stage in ("predicted", "routed"):
        state = report["contract"].get(stage)
        if state is not None and any(report["contract"].get(k) for k in ("latency_ns", "clock_mhz", "latency_cycles")):
            mark = "[green]met[/]" if state["met"] else "[red]missed[/]"
            table.add_row(f"contract, {stage}", f"{mark}: {state['latency_ns']:.1f} ns, {state['fmax_mhz']:.1f} MHz")
    parts: list[Any] = [table]
    if report.get("verification"):
        parts.append(verification_table(report["verification"]))
    return Group(*parts)


def verification_table(found: Mapping[str, Any]) -> Table:
    """Return a row a rung of the ladder: vectors tried, mismatches, what was proven."""
    table = Table("rung", "vectors", "mismatches", "", box=None)
    for rung, title in (
        ("interpreter", "interpreter = emulator"),
        ("emulator_rtl", "emulator = Verilog"),
        ("netlist", "emulator = netlist"),
        ("csim", "emulator = C simulation"),
    ):
        if rung in found:
            row = found[rung]
            bad = row["mismatches"]
            mark = "[yellow]not run[/]" if bad is None else f"[{'green' if bad == 0 else 'red'}]{bad}[/]"
            table.add_row(title, f"{row['vectors']:,}", mark, str(row.get("tool") or row.get("why") or ""))
    formal = found.get("formal")
    if formal:
        mark = "[green]proven[/]" if formal["proven"] else "[red]not proven[/]"
        what = (
            f"{formal['neurons_proven']} of {formal['neurons']} neurons, "
            f"{formal['values_without_overflow']} of {formal['values']} values without overflow"
        )
        table.add_row("formal proof", "every input", mark, what)
    return table


def _resources(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{row[key]:,} {key.upper()}" for key in ("lut", "carry", "ff", "dsp", "bram") if key in row)
