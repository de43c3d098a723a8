"""What the tests of layers share: evaluation against the Program that the compiler makes of the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import hardwire as hw


def assert_compiled(model: torch.nn.Module, *inputs: NDArray[Any], **options: Any) -> hw.Design:
    """Evaluation and the compiled Program agree on every bit of every row."""
    example = tuple(x[:1] for x in inputs)
    design = hw.compile(model, example=example, backend="emulator", **options)
    model.eval()
    with torch.no_grad():
        wanted = model(*(torch.as_tensor(x) for x in inputs))
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    given = design.predict(*inputs)
    for found, right in zip(given if isinstance(given, tuple) else (given,), wanted, strict=True):
        np.testing.assert_array_equal(found, right.numpy())
    model.train()
    return design


def trained(model: torch.nn.Module, x: NDArray[Any], steps: int = 3, rate: float = 0.05) -> None:
    """A few steps towards random targets, so that grids are odd."""
    torch.manual_seed(0)
    model.train()
    inputs = torch.as_tensor(x)
    with torch.no_grad():
        target = torch.randn_like(model(inputs), dtype=torch.float32)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(steps):
        loss = torch.nn.functional.mse_loss(model(inputs).float(), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def without_gradient(model: torch.nn.Module) -> list[str]:
    """Parameters that the last backward pass did not reach."""
    return [name for name, p in model.named_parameters() if p.grad is None or not bool((p.grad != 0).any())]
