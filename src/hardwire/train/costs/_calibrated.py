"""An estimate that is corrected by what a compiled design was found to take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hardwire.nn.work import Products
from hardwire.train.costs._base import Cost, layers_of

_LEAST, _MOST = 0.25, 4.0
"""A layer's estimate is scaled by between; a layer that is nearly gone says little of its own scale."""


class Calibrated(Cost):
    """Another cost, each layer of it scaled to what the compiler found; that cost itself until `calibrate` is called.

    What the compiler found beside the layers (sums, differences and comparisons of plain PyTorch functions) is a
    constant. Scales are tensors, changed in place, so that a compiled training step stays as it is.
    """

    def __init__(self, cost: Cost) -> None:
        self.cost, self.unit = cost, cost.unit
        self.scales: dict[str, Tensor] = {}
        self.rest = torch.zeros(())

    def __call__(self, model: nn.Module) -> Tensor:
        """Return the cost of all layers, and of what is beside them."""
        return super().__call__(model) + self.rest

    def by_layer(self, model: nn.Module) -> dict[str, Tensor]:
        """Cost of each layer by its name in the model, without what is beside them."""
        found = self.cost.by_layer(model)
        return {name: value * self.scales[name] if name in self.scales else value for name, value in found.items()}

    def found(self, report: Mapping[str, Any]) -> dict[str, float] | None:
        """As the other cost."""
        return self.cost.found(report)

    def products(self, work: Products) -> Tensor:
        """As the other cost: of which layer it is, is not known here."""
        return self.cost.products(work)

    def calibrate(self, model: nn.Module, found: Mapping[str, float]) -> None:
        """Make the cost of `model` the sum of `found`, which names the design's layers as the compiler does.

        The compiler puts a layer's operations below the layer's name: `whole.0.linear` is of the layer `whole.0`.
        """
        with torch.no_grad():
            estimates = {name: float(value) for name, value in self.cost.by_layer(model).items()}
        self.begin(model)
        owned = dict.fromkeys(estimates, 0.0)
        for place, amount in found.items():
            owners = [name for name in estimates if not name or f"{place}.".startswith(f"{name}.")]
            if owners:
                owned[max(owners, key=len)] += amount
        total = sum(found.values())
        for name, estimate in estimates.items():
            scale = min(max(owned[name] / estimate, _LEAST), _MOST) if estimate > 0.0 else 1.0
            self.scales[name].fill_(scale)
            total -= scale * estimate
        self.rest.fill_(total)

    def begin(self, model: nn.Module) -> None:
        """Have a scale of every layer of `model`, 1 where nothing was found."""
        for name in layers_of(model):
            self.scales.setdefault(name, torch.ones(()))

    def clear(self) -> None:
        """Forget what was found."""
        self.scales, self.rest = {}, torch.zeros(())
