"""What every cost model is: a sum over the work of a model's layers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hardwire.errors import ModelError
from hardwire.nn import Layer
from hardwire.nn.work import Casts, Lookups, Multiplications, Products, Work


class Cost:
    """A differentiable scalar of a model: `cost(model)`; the forward value is the estimate itself.

    A subclass prices the kinds of work that cost it something; the others are free.
    """

    unit: str = ""

    def __call__(self, model: nn.Module) -> Tensor:
        """Return the cost of all layers, of the last forward pass; raises `ModelError` where there is no such layer."""
        return torch.stack(list(self.by_layer(model).values())).sum()

    def by_layer(self, model: nn.Module) -> dict[str, Tensor]:
        """Cost of each layer by its name in the model."""
        found = {name: self.of(list(layer.work())) for name, layer in layers_of(model).items()}
        if not found:
            raise ModelError(
                f"{type(model).__name__} has no layer of hardwire.nn, so that nothing in it has a cost",
                hint="build it of hardwire.nn's layers, or convert it with hardwire.train.quantize",
            )
        return found

    def found(self, report: Mapping[str, Any]) -> dict[str, float] | None:
        """What a compiled design's report says of the same, by layer of the design; None where it does not say."""
        return None

    def of(self, work: list[Work]) -> Tensor:
        """Cost of one layer's work."""
        parts = [self.price(item) * item.times if item.times != 1 else self.price(item) for item in work]
        return torch.stack(parts).sum() if parts else torch.zeros(())

    def price(self, work: Work) -> Tensor:
        """Cost of one piece of work, once."""
        match work:
            case Products():
                return self.products(work)
            case Lookups():
                return self.lookups(work)
            case Multiplications():
                return self.multiplications(work)
            case Casts():
                return self.casts(work)

    @abstractmethod
    def products(self, work: Products) -> Tensor:
        """Cost of a matrix of constants."""

    def lookups(self, work: Lookups) -> Tensor:
        """Cost of tables and the sums over them."""
        return torch.zeros(())

    def multiplications(self, work: Multiplications) -> Tensor:
        """Cost of products of two computed values."""
        return torch.zeros(())

    def casts(self, work: Casts) -> Tensor:
        """Cost of bringing values to a type."""
        return torch.zeros(())


def layers_of(model: nn.Module) -> dict[str, Layer]:
    """The layers that have work, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Layer)}


def through(value: Tensor, slope: Tensor) -> Tensor:
    """`value` in the forward pass, with the gradient of `slope`."""
    return value.detach() + (slope - slope.detach())
