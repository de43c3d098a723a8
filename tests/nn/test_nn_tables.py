"""Layers of tables: the functions that are trained are the tables that are compiled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import hardwire as hw
from hardwire import nn
from hardwire.errors import ModelError
from hardwire.fixed import Overflow
from hardwire.train import Options
from hardwire.train.costs import Luts


def _trained(model, x, y, steps, rate=2e-2):
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(model(torch.as_tensor(x)).reshape(-1, 2), y.reshape(-1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def _same_bits(model, x, held_out):
    design = hw.compile(model, example=x[:1])
    with torch.no_grad():
        wanted = model(torch.as_tensor(held_out)).numpy()
    np.testing.assert_array_equal(design.predict(held_out), wanted)


@pytest.mark.parametrize("rows", [None, 3])
def test_forward_is_the_compiled_design(rows):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    shape = (400, 5) if rows is None else (200, rows, 5)
    x = rng.normal(size=shape).astype(np.float32)
    y = torch.as_tensor((x[..., 0] * x[..., 1] > 0).astype(np.int64))
    model = torch.nn.Sequential(nn.EdgeTables(5, 4, bits=6, address=4, port=True), nn.EdgeTables(4, 2, bits=5))
    losses = _trained(model, x, y, 60)
    assert losses[-1] < 0.8 * losses[0]
    assert model[0].address.grad.abs().sum() > 0
    assert model[0].fraction.grad.abs().sum() > 0
    _same_bits(model, x, (2 * rng.normal(size=(500, *shape[1:]))).astype(np.float32))


@settings(max_examples=8, deadline=None)
@given(
    inputs=st.integers(1, 4),
    outputs=st.integers(1, 3),
    bits=st.integers(3, 8),
    port=st.booleans(),
    overflow=st.sampled_from([Overflow.SAT, Overflow.WRAP]),
    seed=st.integers(0, 1000),
)
def test_any_bits_of_any_edge(inputs, outputs, bits, port, overflow, seed):
    """Edges of every address and fraction, pruned ones too; values on cell borders and just below them."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    layer = nn.EdgeTables(inputs, outputs, bits=bits, port=port, overflow=overflow, watched=5)
    with torch.no_grad():
        layer.address.copy_(torch.as_tensor(rng.uniform(0, bits, inputs * outputs)))
        layer.fraction.copy_(torch.as_tensor(rng.uniform(-2, 6, inputs * outputs)))
        layer.bias.normal_()
    scale = 2.0 ** rng.integers(-3, 4)
    layer(torch.as_tensor(rng.normal(scale, scale, (50, inputs)).astype(np.float32)))
    layer.eval()
    x = rng.normal(scale, 2 * scale, (200, inputs)).astype(np.float32)
    borders = (np.rint(x / layer.step.numpy()) * layer.step.numpy()).astype(np.float32)
    below = np.nextafter(borders, np.float32(-np.inf))
    _same_bits(layer, x, np.concatenate([x, borders, below]))


def test_a_function_of_every_neuron():
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 4)).astype(np.float32)
    y = torch.as_tensor((np.abs(x).sum(1) > 3).astype(np.int64))
    model = torch.nn.Sequential(nn.NeuronTables(4, bits=5, port=True), nn.Dense(4, 2))
    losses = _trained(model, x, y, 80)
    assert losses[-1] < 0.6 * losses[0]
    _same_bits(model, x, rng.normal(size=(300, 4)).astype(np.float32))


def test_gradients_of_entries_are_those_of_the_outputs():
    """The functions' parameters get what a plain network gets, evaluated at the cells."""
    torch.manual_seed(2)
    layer = nn.EdgeTables(3, 2, bits=4, address=4, fraction=12, watched=0)
    x = torch.randn(64, 3)
    given = torch.randn(64, 2)
    layer(x).backward(given)
    cells = ((x / layer.step).floor().clamp(-8, 7) + 0.5) * layer.step
    slope, shift, height = (
        p.detach().reshape(3, 2, -1).requires_grad_() for p in (layer.slope, layer.shift, layer.height)
    )
    u = slope * cells[:, :, None, None] + shift
    ((height * u / (1 + u * u).sqrt()).sum(3).sum(1) * given).sum().backward()
    for own, plain in ((layer.slope, slope), (layer.shift, shift), (layer.height, height)):
        torch.testing.assert_close(own.grad.reshape(plain.shape), plain.grad, rtol=2e-3, atol=1e-4)


def test_edges_without_bits_cost_nothing():
    layer = nn.EdgeTables(4, 3)
    layer(torch.randn(8, 4))
    full = float(Luts()(layer).detach())
    with torch.no_grad():
        layer.fraction.fill_(-8.0)
    layer(torch.randn(8, 4))
    assert full > 10
    assert not bool(next(layer.work()).output_bits.any())


def test_bit_widths_do_not_decay():
    groups = Options(decay=0.1).groups(nn.EdgeTables(2, 2))
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert len(groups[1]["params"]) == 2


def test_sums_beyond_float32_are_refused():
    layer = nn.EdgeTables(2, 1, fraction=12)
    with torch.no_grad():
        layer.height.fill_(1e4)
    with pytest.raises(ModelError, match=r"EdgeTables|2, 1.*float32 holds 24"):
        layer.eval()


def test_work_before_a_forward_pass_is_refused():
    with pytest.raises(ModelError, match="first forward pass"):
        next(nn.EdgeTables(2, 2).work())
