"""Layers of tables: the functions that are trained are the tables that are compiled."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hardwire as hw
from hardwire import nn


@pytest.mark.parametrize("rows", [None, 3])
def test_forward_is_the_compiled_design(rows):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    shape = (400, 5) if rows is None else (200, rows, 5)
    x = rng.normal(size=shape).astype(np.float32)
    y = torch.as_tensor((x[..., 0] * x[..., 1] > 0).astype(np.int64))
    model = torch.nn.Sequential(nn.EdgeTables(5, 4, bits=6, address=4, port=True), nn.EdgeTables(4, 2, bits=5))
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-2)
    losses = []
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(model(torch.as_tensor(x)).reshape(-1, 2), y.reshape(-1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    assert model[0].address.grad.abs().sum() > 0
    assert model[0].fraction.grad.abs().sum() > 0
    design = hw.compile(model, example=x[:1])
    held_out = (2 * rng.normal(size=(500, *shape[1:]))).astype(np.float32)
    with torch.no_grad():
        wanted = model(torch.as_tensor(held_out)).numpy()
    np.testing.assert_array_equal(design.predict(held_out), wanted)
