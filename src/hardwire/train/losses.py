"""Losses and metrics by name. Both take outputs (N, …) and targets; add one to `LOSSES` or `METRICS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hardwire.errors import TrainingError

Loss = Callable[[Tensor, Tensor], Tensor]
"""Mean over the batch of (outputs, targets): a scalar with gradient."""


@dataclass(frozen=True)
class Metric:
    """A figure of merit of (outputs, targets) over a whole data set, without gradient."""

    name: str
    function: Callable[[Tensor, Tensor], float]
    higher: bool = True
    """Whether more is better."""

    def better(self, one: float, other: float) -> bool:
        """Whether `one` is better than `other`; anything is better than NaN."""
        return one == one and (other != other or (one > other if self.higher else one < other))


def _like(outputs: Tensor, targets: Tensor) -> Tensor:
    return targets.to(outputs.dtype).reshape(outputs.shape)


def _cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, targets)


LOSSES: dict[str, Loss] = {
    "bce": lambda outputs, targets: functional.binary_cross_entropy_with_logits(outputs, _like(outputs, targets)),
    "cross_entropy": _cross_entropy,
    "huber": lambda outputs, targets: functional.huber_loss(outputs, _like(outputs, targets)),
    "mae": lambda outputs, targets: functional.l1_loss(outputs, _like(outputs, targets)),
    "mse": lambda outputs, targets: functional.mse_loss(outputs, _like(outputs, targets)),
}
"""`bce` and `cross_entropy` take logits."""


def accuracy(outputs: Tensor, targets: Tensor) -> float:
    """Share of rows whose largest output is the target's class; with one output, whose sign is the target's."""
    one = outputs.ndim == 1 or outputs.shape[-1] == 1
    found = outputs.reshape(-1) > 0 if one else outputs.argmax(-1)
    return float((found == targets.reshape(found.shape)).double().mean())


def area_under_curve(scores: np.ndarray, positives: np.ndarray) -> float:
    """Area under the ROC curve of scores (N,) for positives (N,), ties counted half; NaN if one class is absent."""
    positives = np.asarray(positives, bool)
    yes, no = int(positives.sum()), int((~positives).sum())
    if not yes or not no:
        return float("nan")
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(count) - (count - 1) / 2  # mean rank of equal scores, from 1
    return float((ranks[place][positives].sum() - yes * (yes + 1) / 2) / (yes * no))


def auc(outputs: Tensor, targets: Tensor) -> float:
    """Area under the ROC curve; with a column of logits a class the mean over the classes, each against the rest.

    A class's score is then its probability: a logit alone has no scale that rows share.
    """
    values, wanted = outputs.detach().double().cpu(), targets.cpu().numpy()
    if values.ndim == 1 or values.shape[-1] == 1:
        return area_under_curve(values.reshape(-1).numpy(), wanted.reshape(-1) > 0)
    scores = values.log_softmax(-1).numpy()
    return float(np.mean([area_under_curve(scores[:, k], wanted == k) for k in range(scores.shape[1])]))


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", accuracy),
        Metric("auc", auc),
        Metric("cross_entropy", lambda outputs, targets: float(_cross_entropy(outputs, targets)), higher=False),
        Metric("mae", lambda outputs, targets: float(LOSSES["mae"](outputs, targets)), higher=False),
        Metric("mse", lambda outputs, targets: float(LOSSES["mse"](outputs, targets)), higher=False),
    )
}
"""By name; `Metric` makes further ones."""


def loss_named(loss: str | Loss) -> Loss:
    """Return the loss of a name, or the function itself; raises `TrainingError`."""
    if not isinstance(loss, str):
        return loss
    if loss not in LOSSES:
        raise TrainingError(f"loss {loss!r}: no such loss", hint=f"{', '.join(LOSSES)}, or a function")
    return LOSSES[loss]


def metric_named(metric: str | Metric) -> Metric:
    """Return the metric of a name, or the metric itself; raises `TrainingError`."""
    if isinstance(metric, Metric):
        return metric
    if metric not in METRICS:
        raise TrainingError(
            f"metric {metric!r}: no such metric", hint=f"{', '.join(METRICS)}, or a hardwire.train.Metric"
        )
    return METRICS[metric]


def to_tensor(values: object) -> Tensor:
    """Arrays and tensors as PyTorch trains on them: float32, and int64 for whole numbers."""
    tensor = torch.as_tensor(values)
    return tensor.long() if not tensor.dtype.is_floating_point else tensor.float()
