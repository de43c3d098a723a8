"""What a task is, and what those of classes share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hardwire.train import plots
from hardwire.train.losses import METRICS, Loss, Metric

Rows = tuple[NDArray[np.float32], NDArray[Any]]
"""Inputs (N, …) and targets (N, …)."""
Outputs = NDArray[np.float64]
Figures = dict[str, float]


@dataclass(frozen=True, eq=False)
class Task:
    """Data with what is wanted of them.

    `figures(outputs, targets)` are the figures of merit of the test rows. `plot(outputs, targets)` draws what is
    particular to the task beside the learning curve, None for the accuracy over the cost.
    """

    train: Rows
    validation: Rows
    test: Rows
    outputs: int
    loss: str | Loss
    metric: str | Metric
    figures: Callable[[Outputs, NDArray[Any]], Figures]
    plot: Callable[[Outputs, NDArray[Any]], Figure] | None = None
    classes: tuple[str, ...] = ()
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    """What was done to the raw data, in words and numbers: the firmware's inputs need the same."""

    @property
    def inputs(self) -> tuple[int, ...]:
        """Shape of a row."""
        return tuple(self.train[0].shape[1:])


def class_figures(outputs: Outputs, targets: NDArray[Any]) -> Figures:
    """Accuracy and area under the ROC curves, each class against the rest."""
    tensors = torch.as_tensor(outputs), torch.as_tensor(targets)
    return {name: METRICS[name].function(*tensors) for name in ("accuracy", "auc")}


def of_classes(
    train: Rows, validation: Rows, test: Rows, classes: tuple[str, ...], preprocessing: Mapping[str, Any]
) -> Task:
    """Return the task to tell classes apart, by logits."""
    return Task(
        train,
        validation,
        test,
        outputs=len(classes),
        loss="cross_entropy",
        metric="accuracy",
        figures=class_figures,
        plot=lambda outputs, targets: plots.roc(outputs, targets, classes),
        classes=classes,
        preprocessing=preprocessing,
    )
