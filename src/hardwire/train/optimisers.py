"""Optimisers of a few long parameters (`hardwire.train.flat`): the arithmetic alone, one class a rule.

Networks of a trigger's size are so small that PyTorch's own take several times as long to be called as to compute.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor


class Optimiser(ABC):
    """Steps down the gradients of parameters in groups, each with its rate `lr` and `weight_decay`."""

    keeps: tuple[str, ...] = ()
    """What is kept of each parameter, from zeros on."""

    def __init__(self, groups: list[dict[str, Any]], rate: float) -> None:
        self.param_groups = [{"lr": rate, **group} for group in groups]
        self.steps = 0
        self.kept = [
            {name: torch.zeros_like(parameter, requires_grad=False) for name in self.keeps}
            for group in groups
            for parameter in group["params"]
        ]

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter by its gradient."""
        self.steps += 1
        kept = iter(self.kept)
        for group in self.param_groups:
            for parameter in group["params"]:
                self.update(parameter, parameter.grad, group["lr"], group["weight_decay"], **next(kept))

    @abstractmethod
    def update(self, x: Tensor, gradient: Tensor, rate: float, decay: float, **kept: Tensor) -> None:
        """Update one parameter and what is kept of it, in place."""

    def state_dict(self) -> dict[str, Any]:
        """Return what the next step depends on."""
        return {"steps": self.steps, "kept": self.kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.steps = state["steps"]
        for kept, values in zip(self.kept, state["kept"], strict=True):
            for name, value in kept.items():
                value.copy_(values[name])


class Adam(Optimiser):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980); decay is a part of the gradient."""

    keeps = ("mean", "square")
    betas = (0.9, 0.999)
    epsilon = 1e-8

    def update(self, x: Tensor, gradient: Tensor, rate: float, decay: float, **kept: Tensor) -> None:
        """Move by the mean gradient over the root of the mean square, both rid of their start at zero."""
        self._move(x, gradient.add(x, alpha=decay) if decay else gradient, rate, **kept)

    def _move(self, x: Tensor, gradient: Tensor, rate: float, mean: Tensor, square: Tensor) -> None:
        one, two = self.betas
        mean.lerp_(gradient, 1.0 - one)
        square.mul_(two).addcmul_(gradient, gradient, value=1.0 - two)
        grown = math.sqrt(1.0 - two**self.steps)
        x.addcdiv_(mean, square.sqrt().add_(self.epsilon * grown), value=-rate * grown / (1.0 - one**self.steps))


class AdamW(Adam):
    """Adam with decay apart from the gradient (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

    def update(self, x: Tensor, gradient: Tensor, rate: float, decay: float, **kept: Tensor) -> None:
        """Decay, then move as Adam."""
        if decay:
            x.mul_(1.0 - rate * decay)
        self._move(x, gradient, rate, **kept)


class Sgd(Optimiser):
    """Gradient descent with Nesterov's momentum (Sutskever et al. 2013)."""

    keeps = ("speed",)
    momentum = 0.9

    def update(self, x: Tensor, gradient: Tensor, rate: float, decay: float, **kept: Tensor) -> None:
        """Move by the gradient and the speed that it leads to."""
        speed = kept["speed"]
        if decay:
            gradient = gradient.add(x, alpha=decay)
        speed.mul_(self.momentum).add_(gradient)
        x.add_(gradient, alpha=-rate).add_(speed, alpha=-rate * self.momentum)


OPTIMISERS: dict[str, type[Optimiser]] = {"adam": Adam, "adamw": AdamW, "sgd": Sgd}
"""By the name that `hardwire.train.Options.optimiser` takes."""
