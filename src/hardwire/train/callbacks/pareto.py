"""The front of a run: its weights at every epoch that no other beats in both metric and cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hardwire.errors import TrainingError
from hardwire.train import checkpoint
from hardwire.train.callbacks._base import Callback, Run
from hardwire.train.losses import Metric


@dataclass(frozen=True)
class Point:
    """An epoch's weights: its metric (validation), its cost."""

    epoch: int
    metric: float
    cost: float


def beats(one: Point, other: Point, metric: Metric) -> bool:
    """Whether `one` is at least as good in both and better in one; of equals the earlier."""
    if metric.better(other.metric, one.metric) or other.cost < one.cost:
        return False
    better = metric.better(one.metric, other.metric) or one.cost < other.cost
    return better or one.epoch < other.epoch


def front(points: Iterable[Point], metric: Metric) -> list[Point]:
    """Points that no other beats, cheapest first."""
    found = list(points)
    kept = [one for one in found if not any(beats(other, one, metric) for other in found if other is not one)]
    return sorted(kept, key=lambda point: point.cost)


class ParetoFront(Callback):
    """Keep the weights of every epoch that no other beats in (metric, `cost`).

    `cost(model)` gives a number, such as a `hardwire.train.costs.Cost`; it is also the metric `cost` of the epoch. The
    weights lie in `front/` in the run's folder, or in memory if it has none. Epochs before the share `after` of the
    run are not looked at (a network that is not trained yet is cheap in many ways), nor those above `at_most`.
    """

    def __init__(
        self, cost: Callable[[nn.Module], Any], *, after: float = 0.0, at_most: float | None = None, name: str = "cost"
    ) -> None:
        self.cost, self.after, self.at_most, self.name = cost, after, at_most, name
        self.points: list[Point] = []
        self._kept: dict[int, dict[str, Tensor]] = {}
        self._folder: Path | None = None

    def on_start(self, run: Run) -> None:
        """Find the folder."""
        self._folder = None if run.folder is None else run.folder / "front"

    def after_epoch(self, run: Run) -> None:
        """Keep the epoch if nothing beats it, and drop what it beats."""
        with torch.no_grad():
            cost = float(self.cost(run.model))
        run.metrics[self.name] = cost
        point = Point(run.epoch, run.metrics[run.metric.name], cost)
        late = run.epoch >= self.after * run.options.epochs
        if not late or math.isnan(point.metric) or (self.at_most is not None and cost > self.at_most):
            return
        kept = front([*self.points, point], run.metric)
        gone = [old for old in self.points if old not in kept]
        if point in kept:
            self._keep(point.epoch, run.model.state_dict())
        self.points = kept
        for old in gone:
            self._kept.pop(old.epoch, None)
            if self._folder is not None:
                self._path(old.epoch).unlink(missing_ok=True)

    def load(self, point: Point, model: nn.Module) -> nn.Module:
        """Load a point's weights into `model` (of the run's shape) and return it, in evaluation mode."""
        if point not in self.points:
            raise TrainingError(f"{point} is no point of this front", hint="one of `points`")
        state = self._kept[point.epoch] if self._folder is None else checkpoint.read(self._path(point.epoch))["model"]
        model.load_state_dict(state)
        return model.eval()

    def _keep(self, epoch: int, state: dict[str, Tensor]) -> None:
        if self._folder is None:
            self._kept[epoch] = {name: value.detach().clone() for name, value in state.items()}
        else:
            checkpoint.write(self._path(epoch), {"format": checkpoint.FORMAT, "model": state})

    def _path(self, epoch: int) -> Path:
        assert self._folder is not None
        return self._folder / f"epoch-{epoch:05d}.pt"

    def state_dict(self) -> dict[str, Any]:
        """Return the points; weights lie in their files."""
        return {"points": [[point.epoch, point.metric, point.cost] for point in self.points]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the points."""
        self.points = [Point(int(epoch), metric, cost) for epoch, metric, cost in state["points"]]
