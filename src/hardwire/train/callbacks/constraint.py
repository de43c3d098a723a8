"""A hardware cost as a term of the loss: held under a bound by a multiplier, or with a weight that grows.

The bound follows Lagrangian training (Platt & Barr 1987, the modified differential method of multipliers; Fioretto et
al. 2020, arXiv:2001.09394): gradient ascent on the multiplier while the weights descend, with damping. Both ascent and
damping are of the multiplier's logarithm and of the logarithm of cost over bound, so that neither the cost's unit nor
the loss's scale needs a weight that is tuned by hand. Where a bound has made the model smaller than it need be, the
multiplier goes below zero and brings bits back. What is then left above the bound at the end of an epoch is taken off
bit by bit.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from hardwire.errors import DataError
from hardwire.train.callbacks._base import Callback, Run
from hardwire.train.callbacks._landing import land
from hardwire.train.costs import Cost

_UNIT = 1e-3
"""Weights below are as good as none: a multiplier is on a straight scale up to here and on a logarithmic one beyond."""
_LEAST, _MOST = -8.0, 20.0
"""Logarithms of weights over that unit stay between."""
_SLACK = 0.01
"""The multiplier aims so much below the bound: what training moves from step to step then rarely passes it."""
_NEAR = 1.1
"""While the bound falls, a cost so many times as large as it is lets go."""
_ROWS = 64
"""Of a forward pass that is there for the cost alone."""


class _Priced(Callback):
    """A term `weight × log cost`; the subclass says the weight."""

    def __init__(self, cost: Cost, name: str | None, warmup: float, every: int) -> None:
        if not 0.0 <= warmup < 1.0:
            raise DataError(f"warmup {warmup}: a share of the run", hint="warmup=0.1")
        if every < 1:
            raise DataError(f"every {every}: the cost is evaluated each so many steps", hint="every=1")
        self.cost, self.warmup, self.every = cost, warmup, every
        self.name = name or type(cost).__name__.lower()
        self.value = math.nan
        """The cost as last evaluated."""
        self.weight = 0.0

    def priced(self, model: nn.Module) -> Tensor:
        """Return the cost; the loop compiles it together with the forward pass, if it compiles that."""
        return self.cost(model)

    def weighed(self, progress: float, run: Run) -> float:
        """Return the weight at `progress` (0 … 1 of what follows the warm-up), from `self.value`."""
        raise NotImplementedError

    def loss(self, run: Run, outputs: Tensor, inputs: Tensor, targets: Tensor) -> Tensor | None:
        """Return the weighted cost, a step in `every`; its size does not depend on the cost's unit."""
        return super().loss(run, outputs, inputs, targets) if self._due(run) else None

    def weigh(self, run: Run, price: float) -> float:
        """Take note of the cost; its weight is that of its logarithm."""
        if not self._due(run):
            return 0.0
        self.value, begin = price, self.warmup * run.steps
        self.weight = self.weighed((run.step - begin) / max(run.steps - begin, 1.0), run)
        # d log c = dc / c
        return self.weight * self.every / price if price > 0.0 else 0.0

    def _due(self, run: Run) -> bool:
        return run.step >= self.warmup * run.steps and run.step % self.every == 0

    def after_epoch(self, run: Run) -> None:
        """Add the cost as it now stands and its weight to the metrics."""
        with torch.no_grad():
            run.metrics[self.name] = float(self.cost(run.model))
        run.metrics[f"{self.name}_weight"] = self.weight

    def state_dict(self) -> dict[str, Any]:
        """Cost and weight."""
        return {"value": self.value, "weight": self.weight}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them back."""
        self.value, self.weight = state["value"], state["weight"]


class Constraint(_Priced):
    """Bring a cost under `at_most` and hold it there until the end of the run; several may stand side by side.

    Nothing happens during `warmup` (a share of the run). From then until `reach` (another share) the bound falls from
    the cost that was found to `at_most`, evenly in its logarithm, so that the multiplier follows and does not swing;
    `reach` leaves time to settle, while the learning rate is still such that bits move. From then on no epoch ends
    above `at_most`: the little that the multiplier leaves is taken off bit by bit. Epochs above the bound are not kept
    as the best. A cost that no learnt width changes cannot be held. Raises `DataError` for a bound or shares that make
    no sense.
    """

    def __init__(
        self,
        cost: Cost,
        at_most: float,
        *,
        warmup: float = 0.1,
        reach: float = 0.85,
        gain: float = 300.0,
        damping: float = 20.0,
        name: str | None = None,
        every: int = 1,
    ) -> None:
        super().__init__(cost, name, warmup, every)
        if not at_most > 0:
            raise DataError(f"{self.name} at most {at_most}: the bound is above 0")
        if not warmup < reach <= 1.0:
            raise DataError(f"reach {reach}: a share of the run after warmup {warmup}", hint="reach=0.6")
        self.at_most, self.reach, self.gain, self.damping = at_most, reach, gain, damping
        self.start = math.nan
        self.multiplier = 0.0

    def bound(self, progress: float) -> float:
        """The bound at `progress` (0 … 1 of what follows the warm-up)."""
        rest = 1.0 - min(1.0, progress * (1.0 - self.warmup) / (self.reach - self.warmup))
        way = 1.0 - rest * rest
        aim = (1.0 - _SLACK) * self.at_most
        if self.start <= self.at_most:
            return aim
        return self.start ** (1.0 - way) * aim**way

    def weighed(self, progress: float, run: Run) -> float:
        """The multiplier, after a step of its ascent, and the damping."""
        if math.isnan(self.start):
            self.start = self.value
        over = math.log(max(self.value, 1e-3 * self.at_most) / self.bound(progress))
        self.multiplier = min(max(self.multiplier + self.gain * self.every / run.steps * over, _LEAST), _MOST)
        if self.start <= self.at_most:  # Small by itself: nothing to bring back.
            self.multiplier = max(self.multiplier, 0.0)
        if over < 0.0 <= self.multiplier:
            # Too small already: what the multiplier has become must not press on while it falls.
            return _weight(self.multiplier) * max(1.0 + self.damping * over, -1.0 if self.start > self.at_most else 0.0)
        return _weight(self.multiplier + self.damping * over)

    def after_step(self, run: Run) -> None:
        """Come under the bound at the end of an epoch; on the way there, near it, where widths learn too slowly."""
        if not run.epoch_ends or math.isnan(self.start):
            return
        near = self.at_most
        if run.done < self.reach:
            near = max(near, _NEAR * self.bound((run.done - self.warmup) / (1.0 - self.warmup)))
        land(run.model, self.cost, near, run.train[0][:_ROWS])
        run.model.train()

    def allows(self, run: Run) -> bool:
        """No epoch above the bound."""
        with torch.no_grad():
            return float(self.cost(run.model)) <= self.at_most

    def state_dict(self) -> dict[str, Any]:
        """Where the multiplier stands."""
        return super().state_dict() | {"start": self.start, "multiplier": self.multiplier}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        super().load_state_dict(state)
        self.start, self.multiplier = state["start"], state["multiplier"]


def _weight(logarithm: float) -> float:
    """The weight of a multiplier: of either sign, logarithmic but near 0."""
    held = min(max(logarithm, _LEAST), _MOST)
    return math.copysign(_UNIT * math.expm1(abs(held)), held)


class Ramp(_Priced):
    """Weight of the cost's logarithm from `first` to `last`, evenly in its logarithm: one run passes along a front.

    `warmup`: the share of the run before it, without the cost. Raises `DataError` for weights that are not above 0.
    """

    def __init__(
        self,
        cost: Cost,
        first: float,
        last: float,
        *,
        warmup: float = 0.1,
        name: str | None = None,
        every: int = 1,
    ) -> None:
        super().__init__(cost, name, warmup, every)
        if not (first > 0 and last > 0):
            raise DataError(f"weights {first} to {last}: both are above 0", hint="1e-3 to 1.0")
        self.first, self.last = first, last

    def weighed(self, progress: float, run: Run) -> float:
        """The weight by the way that is done."""
        return self.first * (self.last / self.first) ** min(progress, 1.0)
