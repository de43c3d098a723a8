"""The result of a recipe in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table

from hardwire.report.terminal import verification_table


def result_table(summary: Mapping[str, Any]) -> Group:
    """Return what came out (`Result.summary`), a row a figure, and how the design was verified."""
    table = Table(title=summary["title"], show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column()
    name = summary["metric"].replace("_", " ")
    for run in summary["runs"]:
        cost = "" if run["cost"] is None else f", cost {run['cost']:,.0f} {summary['cost']}"
        early = f"; {run['stopped']}" if run["stopped"] else ""
        table.add_row(
            f"seed {run['seed']}",
            f"validation {name} {_number(name, run['validation'])}{cost}, epoch {run['kept']} of {run['epochs']} "
            f"({run['seconds']:.0f} s){early}",
        )
    for key, value in summary["test"].items():
        teacher = summary["teacher"]
        beside = "" if not teacher else f" (teacher, in float: {_number(key, teacher[key])})"
        table.add_row(f"test {key.replace('_', ' ')}", _number(key, value) + beside)
    agreement = summary["agreement"]
    table.add_row(
        "model = design", f"{agreement['mismatches']} of {agreement['outputs']:,} outputs of the test rows differ"
    )
    design = summary["design"]
    if design["lut"] is not None:
        table.add_row("design", f"{design['target']}: about {design['lut']:,} LUTs")
    if design["synthesis"]:
        table.add_row("synthesised", f"{design['synthesis']['lut']:,} LUTs")
    if design["cycles"] is not None:
        table.add_row("latency", f"{design['cycles']} cycles, {design['ns']:.1f} ns")
    verified = summary["verification"]
    return Group(table, "", verification_table(verified)) if verified else Group(table)


def _number(name: str, value: float) -> str:
    return f"{value:.2%}" if name in ("accuracy", "signal_at_1_percent") else f"{value:.4g}"
