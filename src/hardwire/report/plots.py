"""The report's plots: parts of a report in, matplotlib figures out.

Pure functions: nothing is read or written, no state of matplotlib's is changed, equal data give equal figures. Colours
are those of Okabe and Ito (2008, "Color Universal Design"), told apart with every common colour vision, and nothing is
said by colour alone. `hardwire.report.svg` turns a figure into SVG whose colours follow the page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from hardwire.report import summary

P = ParamSpec("P")

INK, MUTED, GRID, PAPER = "#1c2833", "#5d6d7c", "#dbe2e9", "#ffffff"
BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY = "#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9"
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)

FULL, HALF = 9.6, 4.7
"""Widths in inches of a figure as wide as the page's text, and of one of two beside each other."""

STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.edgecolor": GRID,
    "axes.linewidth": 0.9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.labelcolor": INK,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
}
"""On top of matplotlib's own defaults: a user's matplotlibrc changes nothing."""

_ROWS = 60
"""Bars that one figure shows at most; the tables hold the rest."""
_ROLES = {"input": BLUE, "activation": GREEN, "weight": ORANGE}
_KINDS = {"logic": BLUE, "routing": ORANGE, "register": PURPLE}
_LEAST_LOSS = 1e-9
"""Losses below this are drawn as this."""
_ON = {BLUE: PAPER}
"""Text on a bar; black on the light colours."""


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw with the report's style, whatever matplotlib is set to."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.style.context(STYLE, after_reset=True):
            return draw(*args, **kwargs)

    return wrapper


@styled
def bits_per_layer(report: Mapping[str, Any]) -> Figure:
    """Bits of every input, weight and activation: calibration's types, otherwise those of the network's quantisers."""
    rows = typed_rows(report)[:_ROWS]
    figure, axes = _bars(len(rows), FULL)
    y = np.arange(len(rows))
    bits = [row["bits"] for row in rows]
    colours = [_ROLES.get(row["role"], SKY) for row in rows]
    axes.barh(y, bits, height=0.66, color=colours)
    for at, row in enumerate(rows):
        mean = f"{row['bits']:.3g}"
        _beside(axes, f"{mean} · {label(row['type'])}" if row.get("type") else mean, row["bits"], at)
    _name_rows(axes, [row["name"] for row in rows])
    axes.set_xlim(0, (max(bits) or 1.0) * 1.22)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("bits (mean over channels)")
    roles = [role for role in _ROLES if any(row["role"] == role for row in rows)]
    if len(roles) > 1:
        _legend(figure, [Patch(color=_ROLES[role], label=role) for role in roles])
    return figure


def typed_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows `name`, `role`, `type`, `bits` in the network's order; empty where the report tells no bits."""
    network = report.get("network") or []
    calibration = report.get("calibration")
    if calibration and calibration.get("types"):
        place = {row["name"]: index for index, row in enumerate(network)}

        def order(row: Mapping[str, Any]) -> int:
            name = row["name"]
            return place.get(name, place.get(f"{name}.type", place.get(name.rpartition(".")[0], -1)))

        return [dict(row) for row in sorted(calibration["types"], key=order)]
    return [
        {
            "name": row["name"],
            "role": "input" if not index else "activation",
            "type": row.get("type"),
            "bits": row["bits"],
        }
        for index, row in enumerate(network)
        if row.get("bits") is not None
    ]


@styled
def layer_resources(layers: Sequence[Mapping[str, Any]]) -> Figure:
    """LUTs, flip-flops and nanoseconds of the longest path by layer (`layers` of the report)."""
    rows = shown_layers(layers)[:_ROWS]
    figure = Figure(figsize=(FULL, 1.25 + 0.44 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.25, 1))
    y = np.arange(len(rows))
    for key, title, colour, shift in (("lut", "LUT", BLUE, -0.19), ("ff", "flip-flops", SKY, 0.19)):
        values = np.array([row[key] for row in rows], float)
        left.barh(y + shift, values, height=0.35, color=colour, label=title)
        for at, value in enumerate(values):
            _beside(left, f"{value:,.0f}", value, at + shift)
    ns = np.array([row["ns"] for row in rows], float)
    right.barh(y, ns, height=0.5, color=ORANGE)
    total = ns.sum()
    for at, value in enumerate(ns):
        share = f" ({value / total:.0%})" if total else ""
        _beside(right, f"{value:.1f}{share}", value, at)
    _name_rows(left, [row["layer"] for row in rows])
    left.set_title("logic")
    right.set_title("time on the longest path")
    left.set_xlabel("sites, estimated")
    right.set_xlabel("ns at the compiled clock")
    right.tick_params(axis="y", length=0)
    for axes in (left, right):
        _plain_bars(axes)
        axes.set_xlim(0, (axes.dataLim.x1 if axes.dataLim.x1 > 0 else 1.0) * 1.2)
    left.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    left.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    left.legend(loc="lower right")
    return figure


def shown_layers(layers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The layers that take anything at all, with words for the rows that are no layer."""
    words = {"": "constants and wires", "(ports)": "input and output registers"}
    return [
        {**row, "layer": words.get(row["layer"], row["layer"])}
        for row in layers
        if any(row.get(key) for key in ("lut", "ff", "dsp", "bram", "ns"))
    ]


@styled
def float_against_fixed(model: Mapping[str, Any]) -> Figure:
    """Fixed-point outputs over float ones, and the histogram of their difference (`scatter`, `residuals`)."""
    figure = Figure(figsize=(FULL, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    x = np.asarray(model["scatter"]["float"], float)
    y = np.asarray(model["scatter"]["fixed"], float)
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    pad = 0.04 * (high - low) or 1.0
    left.plot([low - pad, high + pad], [low - pad, high + pad], color=MUTED, lw=0.9, ls=(0, (4, 3)))
    left.plot(x, y, ls="", marker="o", ms=2.4, mew=0, color=BLUE, alpha=0.55)
    left.set_xlim(low - pad, high + pad)
    left.set_ylim(low - pad, high + pad)
    left.set_title("outputs")
    left.set_xlabel("float")
    left.set_ylabel("fixed point")
    left.grid(True)
    edges, hist = np.asarray(model["residuals"]["edges"], float), np.asarray(model["residuals"]["hist"], float)
    right.stairs(hist, edges, fill=True, color=BLUE, alpha=0.35, lw=0)
    right.stairs(hist, edges, color=BLUE, lw=1.2)
    right.axvline(0, color=MUTED, lw=0.9, ls=(0, (4, 3)))
    right.set_title("difference")
    right.set_xlabel("fixed point - float")
    right.set_ylabel("outputs per bin")
    right.set_xlim(edges[0], edges[-1])
    right.set_ylim(bottom=0)
    right.xaxis.set_major_locator(MaxNLocator(7))
    right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    right.grid(True, axis="y")
    for axes in (left, right):
        axes.tick_params(axis="y", labelcolor=MUTED)
    return figure


@styled
def roc_curves(model: Mapping[str, Any], classes: Sequence[str], title: str = "") -> Figure:
    """Background efficiency over signal efficiency, a colour a class: fixed point solid, float dashed on top of it.

    Classes beyond the colours take these again, dotted.
    """
    figure = Figure(figsize=(HALF, 4.1), layout="constrained")
    axes = figure.subplots()
    handles: list[Any] = []
    lines: dict[str, dict[str, Any]] = {
        "fixed": {"lw": 2.6, "alpha": 0.85},
        "float": {"color": INK, "lw": 0.9, "ls": (0, (3, 2.4))},
    }
    lowest = 1.0
    for index, name in enumerate(classes):
        colour = SERIES[index % len(SERIES)]
        lines["fixed"]["ls"] = "-" if index < len(SERIES) else (0, (1.0, 0.8))
        for kind, line in lines.items():
            if kind not in model["roc"].get(name, {}):
                continue
            tpr, fpr = np.asarray(model["roc"][name][kind], float).T
            seen = fpr > 0
            lowest = min(lowest, float(fpr[seen].min()))
            axes.plot(tpr[seen], fpr[seen], **{"color": colour, **line})
        area = model.get("auc_fixed", {}).get(name)
        words = f"{label(name, 14)}" + ("" if area is None else f", AUC {area:.3f}")
        handles.append(Line2D([], [], color=colour, lw=2.6, ls=lines["fixed"]["ls"], label=words))
    if any("float" in curves for curves in model["roc"].values()):
        handles.append(Line2D([], [], **lines["float"], label="float"))
    axes.set_yscale("log")
    axes.set_ylim(max(lowest, 1e-4) * 0.8, 1.3)
    axes.set_xlim(0, 1.005)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="y", labelcolor=MUTED)
    axes.set_xlabel("signal efficiency (true positive rate)")
    axes.set_ylabel("background efficiency (false positive rate)")
    axes.set_title(label(title, 40))
    axes.grid(True)
    axes.legend(handles=handles, loc="best")
    return figure


@styled
def critical_path(timing: Mapping[str, Any]) -> Figure:
    """The slowest register-to-register path: its steps in order, what is logic and what routing, and whose layer."""
    steps = [step for step in summary.path_steps(timing) if step.ns > 0]
    totals = summary.path_totals(timing)
    named = [layer for layer in totals if layer]
    rows = ["along the path", "sum by kind", *(named[:_ROWS] if len(named) > 1 else [])]
    figure, axes = _bars(len(rows), FULL, per_row=0.42)
    kinds = [kind for kind in _KINDS if any(step.kind == kind for step in steps)]
    start = 0.0
    for step in steps:
        axes.barh(0, step.ns, 0.6, left=start, color=_KINDS[step.kind], edgecolor=PAPER, lw=0.5)
        start += step.ns
    total = start
    for at, layer in enumerate(rows[1:], 1):
        start = 0.0
        for kind in kinds:
            whole = sum(row[kind] for row in totals.values())
            ns = whole if at == 1 else totals[layer][kind]
            axes.barh(at, ns, 0.6, left=start, color=_KINDS[kind])
            if ns > 0.09 * total:
                words = f"{ns:.2f} ns, {ns / total:.0%}" if ns > 0.17 * total else f"{ns:.2f}"
                axes.annotate(
                    words,
                    (start + ns / 2, at),
                    va="center",
                    ha="center",
                    size=8,
                    color=_ON.get(_KINDS[kind], "#000000"),
                )
            start += ns
    _name_rows(axes, rows)
    axes.set_xlim(0, total * 1.02 or 1.0)
    axes.set_xlabel("ns")
    _legend(figure, [Patch(color=_KINDS[kind], label=kind) for kind in kinds])
    return figure


@styled
def contract(report: Mapping[str, Any]) -> Figure:
    """Latency and Fmax as predicted and after place & route, with what was asked as a line."""
    states = summary.stages(report)
    asked = report["contract"]
    limit = asked.get("latency_ns")
    figure = Figure(figsize=(FULL, 1.15 + 0.4 * len(states)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    words = {"predicted": "predicted", "routed": "placed and routed"}
    for axes, key, title, unit, line in (
        (panels[0], "latency_ns", "latency, lower is better", "ns", limit),
        (panels[1], "fmax_mhz", "Fmax, higher is better", "MHz", asked.get("clock_mhz")),
    ):
        values = [state[key] for _, state in states]
        kept = [line is None or (value <= line if key == "latency_ns" else value >= line) for value in values]
        axes.barh(range(len(states)), values, 0.56, color=[BLUE if ok else VERMILION for ok in kept])
        for at, (value, ok) in enumerate(zip(values, kept, strict=True)):
            verdict = "" if line is None else ", met" if ok else ", missed"
            _beside(axes, f"{value:.1f} {unit}{verdict}", value, at, INK)
        if line is not None:
            axes.axvline(line, color=INK, lw=1.4, ls=(0, (4, 2)))
            axes.annotate(
                f"asked {line:g} {unit}",
                (line, 1),
                (0, 3),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                size=8.5,
            )
        axes.set_xlim(0, (max([*values, line or 0.0]) or 1.0) * 1.3)
        axes.set_title(title, pad=14)
        axes.set_xlabel(unit)
        _plain_bars(axes)
    _name_rows(panels[0], [words[stage] for stage, _ in states])
    panels[1].tick_params(axis="y", length=0)
    return figure


@styled
def fmax_by_seed(timing: Mapping[str, Any]) -> Figure:
    """Fmax of every placement that was tried; the line is the clock that the circuit was made for."""
    runs = list(timing["fmax_by_seed"].items())[:_ROWS]
    figure, axes = _bars(len(runs), FULL, per_row=0.3)
    values = [fmax for _, fmax in runs]
    best = max(values)
    axes.barh(range(len(runs)), values, 0.6, color=[BLUE if value == best else SKY for value in values])
    for at, value in enumerate(values):
        kept = ", kept" if value == best else ""
        _beside(axes, f"{value:.1f}{kept}", value, at)
    constraint = timing.get("constraint_mhz")
    if constraint is not None:
        axes.axvline(constraint, color=INK, lw=1.4, ls=(0, (4, 2)), label=f"clock of the circuit, {constraint:.1f} MHz")
        _legend(figure, axes.get_legend_handles_labels()[0])
    _name_rows(axes, [f"seed {seed}" for seed, _ in runs])
    axes.set_xlim(0, (max(best, constraint or 0.0) or 1.0) * 1.12)
    axes.set_xlabel("Fmax in MHz")
    return figure


@styled
def layer_differences(found: Mapping[str, Any]) -> Figure:
    """Share of each layer's variance that a build loses against its model (`hardwire compare`), on a log axis."""
    rows = found["rows"][:_ROWS]
    lost = [max(1.0 - row["fidelity"], _LEAST_LOSS) for row in rows]
    figure, axes = _bars(len(rows), FULL)
    axes.barh(range(len(rows)), lost, left=0, height=0.66, color=[VERMILION if row["bad"] else BLUE for row in rows])
    axes.set_xscale("log")
    for at, (row, share) in enumerate(zip(rows, lost, strict=True)):
        _beside(axes, "equal" if row["fidelity"] == 1 else f"{share:.1e} · {row['type']}", share, at)
    axes.axvline(1.0 - found["asked"], color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    _name_rows(axes, [row["layer"] for row in rows])
    axes.set_xlim(_LEAST_LOSS / 2, max(2.0, *lost) * 8)
    axes.set_xlabel("share of the float values' variance that is lost; dashed: what was asked")
    bad = [Patch(color=VERMILION, label="below what was asked")] if any(row["bad"] for row in rows) else []
    if bad:
        _legend(figure, [Patch(color=BLUE, label="as asked"), *bad])
    return figure


def label(text: object, most: int = 30) -> str:
    """A name as a plot shows it: one printable line, its middle left out where it is long."""
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str("" if text is None else text))
    if len(plain) <= most:
        return plain
    head = (most - 1) // 2
    return f"{plain[:head]}…{plain[len(plain) - (most - 1 - head) :]}"


def _power(value: float) -> str:
    exponent = round(float(np.log10(value)))
    if exponent >= 0:
        return f"{10.0**exponent:g}"
    return "10⁻" + str(-exponent).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _bars(rows: int, width: float, per_row: float = 0.27) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, 0.95 + per_row * rows), layout="constrained")
    axes = figure.subplots()
    _plain_bars(axes)
    return figure, axes


def _plain_bars(axes: Axes) -> None:
    axes.grid(True, axis="x")
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="x", length=0)


def _name_rows(axes: Axes, names: Sequence[object]) -> None:
    axes.set_yticks(range(len(names)), [label(name) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.45, -0.55)


def _beside(axes: Axes, text: str, x: float, y: float, colour: str = MUTED) -> None:
    """A label beside the end of a bar, on a patch of paper so that lines behind it don't strike it through."""
    patch = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.0}
    axes.annotate(
        text, (x, y), (5, 0), textcoords="offset points", va="center", ha="left", size=8, color=colour, bbox=patch
    )


def _legend(figure: Figure, handles: Sequence[Any]) -> None:
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), handlelength=1.2, columnspacing=1.6)
