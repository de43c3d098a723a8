"""Outputs of a model as the design will give them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hardwire.train.losses import to_tensor

_EVALUATED = 16_384
"""Rows evaluated at a time."""


def evaluate(model: nn.Module, inputs: Any) -> Tensor:
    """Outputs of `model` in evaluation mode for inputs (N, …), on the CPU; the model is left in that mode."""
    model.eval()
    device = device_of(model)
    with torch.no_grad():
        parts = [model(part.to(device)) for part in to_tensor(inputs).split(_EVALUATED)]
    return torch.cat(parts).cpu()


def device_of(model: nn.Module) -> torch.device:
    """Where a model's parameters lie."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))
