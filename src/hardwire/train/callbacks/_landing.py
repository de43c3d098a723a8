"""The last step down to a bound: bits taken off until the cost is under it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hardwire.train.costs import Cost
from hardwire.train.options import width_parameters

_TRIES = 8
"""How often each width may lose a bit."""
_PAST = 0.01
"""How far below the half a width is set that loses one."""
_COUNTS = 0.05
"""Widths whose bits cost less than this share of their tensor's dearest are left alone."""


def land(model: nn.Module, cost: Cost, at_most: float, rows: Tensor) -> bool:
    """Take a bit off as few widths as bring `cost(model)` to `at_most`; whether that is what it then is.

    Those widths come first that training has brought nearest to giving one up. Nothing changes if the cost is there
    already. `rows` are inputs for the forward passes that the cost is of; the model is left in evaluation mode.
    """
    model.eval()
    widths = width_parameters(model)

    def now() -> Tensor:
        model(rows)
        return cost(model)

    value = now()
    for _ in range(_TRIES):
        if float(value.detach()) <= at_most or not value.requires_grad:
            break
        slopes = torch.autograd.grad(value, widths, allow_unused=True)
        with torch.no_grad():
            left = torch.cat([_left(*pair).flatten() for pair in zip(widths, slopes, strict=True)])
            _lower(widths, left, lambda: float(now()) <= at_most)
        value = now()
    return float(value.detach()) <= at_most


def _left(width: Tensor, slope: Tensor | None) -> Tensor:
    """How far each width is from a bit less; infinite where that would gain nothing, or hardly anything."""
    if slope is None:
        return torch.full_like(width, torch.inf)
    return torch.where(slope > _COUNTS * slope.max(), width - width.round() + 0.5, torch.inf)


def _lower(widths: list[nn.Parameter], left: Tensor, enough: Callable[[], bool]) -> None:
    """Lower the fewest widths that are `enough`, the nearest first; all that gain if none are."""
    before, order = torch.cat([width.flatten() for width in widths]), left.argsort(stable=True)
    order = order[left[order] < torch.inf]

    def lowered(count: int) -> bool:
        after, chosen = before.clone(), order[:count]
        after[chosen] -= left[chosen] + _PAST
        for width, part in zip(widths, after.split([width.numel() for width in widths]), strict=True):
            width.copy_(part.view_as(width))
        return enough()

    least, most = 0, len(order)
    if lowered(most):
        while most - least > 1:
            middle = (least + most) // 2
            least, most = (least, middle) if lowered(middle) else (middle, most)
        lowered(most)
