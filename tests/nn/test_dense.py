"""Dense layers: what is trained is what is compiled."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hardwire as hw
from hardwire import nn


def _trained(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, steps: int = 30) -> None:
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


@pytest.mark.parametrize(
    "scheme",
    [nn.Scheme.learned(), nn.Scheme.learned(4, weight="channel", input="tensor"), nn.Scheme.fixed("s8.4", "s6.4")],
)
def test_forward_is_the_compiled_design(scheme):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 6)).astype(np.float32)
    y = torch.as_tensor((x[:, 0] * x[:, 1] > 0).astype(np.int64))
    model = torch.nn.Sequential(nn.Dense(6, 8, scheme=scheme), torch.nn.ReLU(), nn.Dense(8, 2, scheme=scheme))
    _trained(model, torch.as_tensor(x), y)
    assert model[0].weight_quantiser is not None
    assert model[0].weight.grad.abs().sum() > 0
    design = hw.compile(model, example=x[:1])
    model.eval()
    held_out = rng.normal(size=(1000, 6)).astype(np.float32)
    with torch.no_grad():
        wanted = model(torch.as_tensor(held_out)).numpy()
    np.testing.assert_array_equal(design.predict(held_out), wanted)
