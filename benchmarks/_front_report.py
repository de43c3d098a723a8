"""Tables and a picture of what `front.py` found, and how many LUTs ours needs at equal accuracy."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from _front import front

Row = dict[str, Any]
GOALS = {"hgq2-dense": 0.8, "hgq2-lut": 1.0}
"""Ours over the peer's LUTs at equal accuracy."""
CLOSE, FEW_LUTS, FEW_CYCLES = 0.005, 2500, 8
STEP = 0.005
COLOURS = {
    "hardwire-dense": "#1f77b4",
    "hardwire-tables": "#2ca02c",
    "hgq2-dense": "#ff7f0e",
    "hgq2-lut": "#d62728",
}


def is_ours(family: str) -> bool:
    return family.startswith("hardwire")


def points(rows: Iterable[Row]) -> list[tuple[float, float]]:
    """(LUTs, accuracy) of the rows that no other beats in both, by rising LUTs."""
    held = [(float(row["lut"]), float(row["accuracy"])) for row in rows]
    return [held[i] for i in front(held)]


def luts_at(held: Sequence[tuple[float, float]], accuracy: float) -> float | None:
    """LUTs at an accuracy, between points of a front linear in log LUT; None where it does not reach so far or so low.

    >>> luts_at([(100.0, 0.7), (400.0, 0.72)], 0.71)
    200.0
    """
    if not held or not held[0][1] <= accuracy <= held[-1][1]:
        return None
    return round(math.exp(np.interp(accuracy, [a for _, a in held], [math.log(n) for n, _ in held])), 6)


def _mean(values: Sequence[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values)))


def summary(result: Row) -> Row:
    """What the rows say.

    `at_accuracy`: LUTs of each family on a grid of accuracies (geometric means over the seeds that reach it), of ours
    together, and ratios over the seeds that reach it in both. `ratios`: every point of each peer's front of a seed
    against ours of that seed, interpolated. `near_float`: points within half a percentage point of the float network
    with few LUTs and cycles.
    """
    rows = result["rows"]
    families = sorted({row["family"] for row in rows})
    seeds = sorted({row["seed"] for row in rows})
    fronts = {(f, s): points(r for r in rows if r["family"] == f and r["seed"] == s) for f in families for s in seeds}
    ours = {s: points(r for r in rows if is_ours(r["family"]) and r["seed"] == s) for s in seeds}
    if any(ours.values()):
        fronts |= {("hardwire", s): ours[s] for s in seeds}
    names = list(dict.fromkeys(family for family, _ in fronts))
    found: Row = {"at_accuracy": [], "ratios": {}, "families": names}
    reached = [a for held in fronts.values() for _, a in held]
    for step in range(math.ceil(min(reached, default=1.0) / STEP), math.floor(max(reached, default=0.0) / STEP) + 1):
        line: Row = {"accuracy": round(step * STEP, 6)}
        at = {key: luts_at(held, line["accuracy"]) for key, held in fronts.items()}
        for family in names:
            known = [at[family, s] for s in seeds if at[family, s] is not None]
            line[family] = {"lut": round(_mean(known)) if known else None, "seeds": len(known)}
        for peer in (name for name in names if "hardwire" in names and not is_ours(name)):
            both = [at["hardwire", s] / at[peer, s] for s in seeds if at["hardwire", s] and at[peer, s]]
            line[f"hardwire / {peer}"] = {"ratio": _mean(both) if both else None, "seeds": len(both)}
        found["at_accuracy"].append(line)
    for peer in (f for f in families if not is_ours(f)):
        for mine in [f for f in families if is_ours(f)] + (["hardwire"] if any(ours.values()) else []):
            compared = []
            for seed in seeds:
                for lut, accuracy in fronts[peer, seed]:
                    other = luts_at(fronts[mine, seed], accuracy)
                    held = fronts[mine, seed]
                    where = None if other or not held else "above ours" if accuracy > held[-1][1] else "below ours"
                    compared.append(
                        {
                            "seed": seed,
                            "accuracy": accuracy,
                            "lut": lut,
                            "ours": other,
                            "ratio": other and other / lut,
                            "outside": where,
                        }
                    )
            known = [row["ratio"] for row in compared if row["ratio"]]
            found["ratios"][f"{mine} / {peer}"] = {
                "goal": GOALS.get(peer),
                "median": statistics.median(known) if known else None,
                "greatest": max(known, default=None),
                "points": len(known),
                "not_reached": sum(row["outside"] == "above ours" for row in compared),
                "worse": [row for row in compared if (row["ratio"] or 0) > GOALS.get(peer, 1.0)],
                "all": compared,
            }
    limit = result["float"]["accuracy"] - CLOSE
    found["near_float"] = {
        "accuracy": limit,
        "points": [
            {k: row[k] for k in ("family", "seed", "accuracy", "lut", "cycles")}
            for row in rows
            if row["accuracy"] >= limit and row["lut"] <= FEW_LUTS and row["cycles"] <= FEW_CYCLES
        ],
    }
    return found


def _cell(value: float | None, form: str, seeds: int, of: int) -> str:
    if value is None:
        return ""
    return format(value, form) + (f" ({seeds})" if seeds < of else "")


def markdown(result: Row) -> str:
    total = result["summary"]
    budget, machine = result["budget"], result["machine"]
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items())
    lines = [
        f"`{result['command']}` ({versions}; {machine['cpu']}, one thread a run)",
        "",
        f"Every run: {budget['epochs']} epochs of {budget['rows']['train']:,} jets, batch {budget['batch']}, seeds "
        f"{', '.join(map(str, budget['seeds']))}; at most {budget['levels']} adders between registers. Float network "
        f"{result['float']['network']}: accuracy {result['float']['accuracy']:.4f}. Events that a netlist or an "
        f"emulator answers unlike the rest: {sum(row['mismatches'] for row in result['rows'])}.",
        "",
    ]
    names, seeds = total["families"], len(budget["seeds"])
    if total["at_accuracy"]:
        ratios = [name for name in total["at_accuracy"][0] if " / " in name]
        head = ["accuracy", *names, *ratios]
        lines += [
            "LUTs at equal accuracy: geometric means over the seeds that reach it (how many, if not all):",
            "",
            f"| {' | '.join(head)} |",
            f"|{'---|' * len(head)}",
        ]
        for line in total["at_accuracy"]:
            cells = [f"{line['accuracy']:.3f}"]
            cells += [_cell(line[name]["lut"], ",", line[name]["seeds"], seeds) for name in names]
            cells += [_cell(line[name]["ratio"], ".2f", line[name]["seeds"], seeds) for name in ratios]
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Ours over the peer's LUTs at every point of its front (same seed, ours interpolated):", ""]
    lines += [
        "| fronts | points | median | greatest | goal | over the goal | more accurate than ours |",
        f"|{'---|' * 7}",
    ]
    for name, found in total["ratios"].items():
        cells = [f"{found[k]:.2f}" if found[k] else "" for k in ("median", "greatest", "goal")]
        lines.append(
            f"| {name} | {found['points']} | {' | '.join(cells)} | {len(found['worse'])} | {found['not_reached']} |"
        )
    near = total["near_float"]
    lines += ["", f"Within half a percentage point of float (≥ {near['accuracy']:.4f}), at most {FEW_LUTS:,} LUTs and "
              f"{FEW_CYCLES} cycles: {len(near['points'])} points."]  # fmt: skip
    lines += [
        f"- {row['family']}, seed {row['seed']}: {row['accuracy']:.4f}, {row['lut']:,} LUTs, {row['cycles']} cycles"
        for row in sorted(near["points"], key=lambda row: row["lut"])
    ]
    head = ["family", "seed", "accuracy", "LUT", "LUT, ECP5", "FF", "cycles", "training, CPU s"]
    lines += ["", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in sorted(result["rows"], key=lambda row: (row["family"], row["seed"], row["lut"])):
        ecp5 = "" if row["lut_ecp5"] is None else f"{row['lut_ecp5']:,}"
        lines.append(
            f"| {row['family']} | {row['seed']} | {row['accuracy']:.4f} | {row['lut']:,} | {ecp5} | {row['ff']:,} | "
            f"{row['cycles']} | {row['train_cpu_s']:,.0f} |"
        )
    return "\n".join([*lines, ""])


def draw(result: Row, path: Path) -> None:
    """Accuracy over LUTs: a line a family and seed (its front), all points, and the float network's accuracy."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 5.0), layout="constrained")
    for family in sorted({row["family"] for row in result["rows"]}):
        colour = COLOURS.get(family)
        rows = [row for row in result["rows"] if row["family"] == family]
        axes.plot(
            [r["lut"] for r in rows], [r["accuracy"] for r in rows], "o", color=colour, markersize=3, label=family
        )
        for seed in sorted({row["seed"] for row in rows}):
            held = points(row for row in rows if row["seed"] == seed)
            axes.plot([n for n, _ in held], [a for _, a in held], "-", color=colour, linewidth=0.9, alpha=0.7)
    axes.axhline(result["float"]["accuracy"], color="black", linewidth=0.8, linestyle="--", label="float")
    axes.set_xscale("log")
    axes.set_xlabel("LUTs of UltraScale+ (Yosys)")
    axes.set_ylabel("accuracy on 12,000 test jets")
    axes.grid(linewidth=0.3, which="both")
    axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.stem}.part{path.suffix}")
    figure.savefig(beside, dpi=150)
    plt.close(figure)
    os.replace(beside, path)
