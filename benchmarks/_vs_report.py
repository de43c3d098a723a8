"""Tables and a picture of what `networks_vs_alkaid.py` found."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from _synthesis import size

Row = dict[str, Any]
MEASURES = ("LUT", "FF", "cycles", "solve CPU")
OTHER_COUNT = {"ecp5": "LUT4 alone", "xcup": "LUT and INV"}
"""Another way to count LUTs, each tool at its best by it: without carry cells, or with inverters."""
OTHERS = ("cycles, all counted", "adders")
"""Told beside; see `peers/alkaid_network.py` for what is counted."""
GOAL = {"LUT": 0.90, "FF": 0.90, "cycles": 1.0, "solve CPU": 1.0}


def summary(rows: Sequence[Row]) -> Row:
    """Target → measure → median, least, greatest and where the greatest is."""
    found: Row = {}
    for family in sorted({row["target"] for row in rows}):
        held = [row for row in rows if row["target"] == family and "ratios" in row]
        for measure in (*MEASURES, *OTHERS, OTHER_COUNT[family]) if held else ():
            values = [row["ratios"][measure] for row in held]
            worst = max(held, key=lambda row: row["ratios"][measure])
            found.setdefault(family, {})[measure] = {
                "median": statistics.median(values),
                "least": min(values),
                "greatest": max(values),
                "greatest_at": worst["network"],
            }
    return found


def _best(row: Row) -> tuple[Row, Row]:
    """The tool's row and flow that count."""
    pairs = [(tool, flow) for tool in row for flow in tool["flows"]]
    return min(pairs, key=lambda pair: (size(pair[1]), pair[1]["ff"]))


def _cells(flow: Row, other: Row | None, name: str) -> str:
    return f"{flow[name]:,}" + (f" / {other[name]:,}" if other else "")


def _table(rows: Sequence[Row]) -> list[str]:
    ecp5 = rows[0]["target"] == "ecp5"
    names = ["lut", "carry", "sites"] if ecp5 else ["lut", "inverters", "carry"]
    titles = ["LUT4", "CCU2C", "sites"] if ecp5 else ["LUT", "INV", "CARRY4"]
    head = ["network", "levels", "flows", *titles, "FF", "cycles", "adders", *(f"{m} ×" for m in MEASURES)]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        ours, flow = _best([row["hardwire"]])
        peer, other = _best(row["alkaid"]) if row["alkaid"] else (None, None)
        kind = flow["flow"]
        if peer and other:
            kind += f" / {other['flow']}, dc {peer['depth']}{', ternary' if peer['ternary'] else ''}"
        cells = [row["network"], str(row["levels"]), kind, *(_cells(flow, other, n) for n in (*names, "ff"))]
        cells += [_cells(ours, peer, "cycles"), _cells(ours, peer, "adders")]
        for measure in MEASURES:
            value = row.get("ratios", {}).get(measure)
            mark = "" if value is None or value <= GOAL[measure] else "**"
            cells.append("" if value is None else f"{mark}{value:.2f}{mark}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def markdown(result: Row) -> str:
    """Tables: one for each target, and medians."""
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items())
    lines = [f"`{result['command']}` ({versions})", ""]
    totals = summary(result["rows"])
    if totals:
        lines += [
            "Ours / alkaid's, the better synthesis of each (on ECP5 `LUT` counts logic sites); below 1 is better:",
            "",
            f"| target | networks | {' | '.join(f'{m}: median (least to greatest)' for m in MEASURES)} |",
            f"|{'---|' * (2 + len(MEASURES))}",
        ]
        for family, found in totals.items():
            count = sum(row["target"] == family for row in result["rows"])
            cells = (
                f"{f['median']:.2f} ({f['least']:.2f} to {f['greatest']:.2f})" for f in (found[m] for m in MEASURES)
            )
            lines.append(f"| {family} | {count} | {' | '.join(cells)} |")
        lines.append("")
        for family, found in totals.items():
            parts = (
                f"{name} {found[name]['median']:.2f} ({found[name]['least']:.2f} to {found[name]['greatest']:.2f})"
                for name in (OTHER_COUNT[family], *OTHERS)
            )
            lines.append(f"{family}, counted otherwise: {'; '.join(parts)}.  ")
    events = sum(
        flow["mismatches"]
        for row in result["rows"]
        for tool in (row["hardwire"], *row["alkaid"])
        for flow in tool["flows"]
    )
    lines += ["", f"Events that a netlist answers unlike the reference: {events}.", ""]
    for family in sorted({row["target"] for row in result["rows"]}):
        lines += [f"**{family}**, ours / alkaid's:", ""]
        lines += [*_table([row for row in result["rows"] if row["target"] == family]), ""]
    return "\n".join(lines)


def draw(result: Row, path: Path) -> None:
    """A point for each network and measure, medians dashed; left of 1 hardwire is better, green lines are goals."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [row for row in result["rows"] if "ratios" in row]
    names = list(dict.fromkeys(f"{row['network']}, {row['levels']} levels" for row in rows))
    figure, all_axes = plt.subplots(
        1,
        len(MEASURES),
        figsize=(2.6 * len(MEASURES) + 2.5, 1.4 + 0.22 * len(names)),
        sharey=True,
        layout="constrained",
        squeeze=False,
    )
    colours = dict(zip(sorted({row["target"] for row in rows}), ("#1f77b4", "#ff7f0e"), strict=False))
    for axes, measure in zip(all_axes[0], MEASURES, strict=True):
        for family, colour in colours.items():
            held = [row for row in rows if row["target"] == family]
            values = [row["ratios"][measure] for row in held]
            places = [names.index(f"{row['network']}, {row['levels']} levels") for row in held]
            axes.plot(values, places, "o", color=colour, markersize=4, label=family)
            axes.axvline(statistics.median(values), color=colour, linewidth=1.0, linestyle="--")
        axes.axvline(1.0, color="black", linewidth=0.8)
        axes.axvline(GOAL[measure], color="#2ca02c", linewidth=0.8)
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, 0.5), max(high, 1.1))
        axes.set_xlabel(f"{measure}, ours / alkaid's")
        axes.tick_params(labelsize=7)
        axes.set_yticks(range(len(names)), names)
        axes.grid(axis="y", linewidth=0.3)
    all_axes[0][0].invert_yaxis()
    all_axes[0][0].legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.stem}.part{path.suffix}")
    figure.savefig(beside, dpi=150)
    plt.close(figure)
    os.replace(beside, path)
