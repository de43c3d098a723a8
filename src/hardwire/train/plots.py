"""Plots of a training: learning curves, accuracy over cost, ROC curves; in the report's style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from hardwire.report.physics import roc_points
from hardwire.report.plots import BLUE, FULL, HALF, INK, MUTED, ORANGE, SERIES, VERMILION, label, roc_curves, styled

Epochs = Sequence[Mapping[str, float]]


@styled
def training(
    runs: Sequence[Epochs],
    metric: str,
    kept: Sequence[int],
    cost: str | None = None,
    front: Sequence[tuple[float, float]] = (),
    design: tuple[float, float] | None = None,
) -> Figure:
    """Learning curves beside the metric over the cost, where there is one.

    `runs` are the epochs of one run or several, `kept` the epoch (from 1) whose weights each kept. `front`: points
    (cost, metric); `design`: the one that was compiled.
    """
    has_cost = cost is not None and any(cost in row for run in runs for row in run)
    figure = Figure(figsize=(FULL, 3.6), layout="constrained")
    found = figure.subplots(1, 3 if has_cost else 2)
    _curves(found[0], runs, "loss", "validation_loss")
    for run, epoch in zip(runs, kept, strict=True):
        found[1].plot([row["epoch"] for row in run], [row[metric] for row in run], color=BLUE, lw=1.4)
        found[1].plot([epoch], [run[epoch - 1][metric]], ls="", marker="o", ms=5, color=VERMILION)
    found[1].set_title(f"{metric.replace('_', ' ')}, validation")
    for axes in found[:2]:
        axes.set_xlabel("epoch")
    if has_cost:
        assert cost is not None
        _over_cost(found[2], [row for run in runs for row in run if cost in row], cost, metric, front, design)
    for axes in found:
        axes.grid(True)
        axes.tick_params(axis="y", labelcolor=MUTED)
    return figure


def _curves(axes: Axes, runs: Sequence[Epochs], *names: str) -> None:
    for name, colour in zip(names, (BLUE, ORANGE), strict=True):
        for k, run in enumerate(runs):
            words = name.replace("_", " ") if not k else None
            axes.plot([row["epoch"] for row in run], [row[name] for row in run], color=colour, lw=1.4, label=words)
    axes.set_title("loss")
    axes.legend(loc="upper right")


def _over_cost(
    axes: Axes,
    rows: Epochs,
    cost: str,
    metric: str,
    front: Sequence[tuple[float, float]],
    design: tuple[float, float] | None,
) -> None:
    axes.plot([row[cost] for row in rows], [row[metric] for row in rows], ls="", marker="o", ms=2.6, mew=0, color=MUTED)
    if front:
        costs, metrics = zip(*sorted(front), strict=True)
        axes.step(costs, metrics, where="post", color=BLUE, lw=1.6, label="front")
    if design is not None:
        axes.plot(*design, ls="", marker="o", ms=6, color=VERMILION, label="compiled")
    if all(row[cost] > 0 for row in rows):
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_title(f"{metric.replace('_', ' ')} over cost")
    axes.set_xlabel(cost)
    axes.legend(loc="lower right")


def roc(outputs: NDArray[Any], targets: NDArray[Any], classes: Sequence[str]) -> Figure:
    """Return the ROC curves of logits (N, classes), each class against the rest."""
    values = np.asarray(outputs, float)
    shifted = np.exp(values - values.max(axis=1, keepdims=True))
    scores = shifted / shifted.sum(axis=1, keepdims=True)
    found: dict[str, Any] = {"roc": {}, "auc_fixed": {}}
    for k, name in enumerate(classes):
        points, area = roc_points(scores[:, k], targets == k)
        found["roc"][name], found["auc_fixed"][name] = {"fixed": points}, area
    return roc_curves(found, classes, "each class against the rest")


@styled
def anomaly_roc(
    scores: NDArray[Any], background: NDArray[np.bool_], signals: Mapping[str, NDArray[np.bool_]]
) -> Figure:
    """ROC curves of a score (N,), a line a signal, against the same background."""
    figure = Figure(figsize=(HALF, 4.1), layout="constrained")
    axes = figure.subplots()
    for k, (name, chosen) in enumerate(signals.items()):
        rows = chosen | background
        points, area = roc_points(scores[rows], chosen[rows])
        tpr, fpr = np.asarray(points, float).T
        axes.plot(fpr, tpr, color=SERIES[k % len(SERIES)], lw=2.0, label=f"{label(name, 14)}, AUC {area:.3f}")
    by_chance = np.geomspace(1e-4, 1.0, 50)
    axes.plot(by_chance, by_chance, color=INK, lw=0.9, ls=(0, (3, 2.4)), label="by chance")
    axes.set_xscale("log")
    axes.set_xlim(1e-4, 1.0)
    axes.set_ylim(0.0, 1.005)
    axes.set_xlabel("background efficiency (false positive rate)")
    axes.set_ylabel("signal efficiency (true positive rate)")
    axes.set_title("anomalies against background")
    axes.grid(True)
    axes.legend(loc="upper left")
    return figure
