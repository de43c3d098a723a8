"""Convolutions: what is trained is what is compiled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from equal import assert_compiled, trained, without_gradient
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire import nn
from hardwire.errors import ModelError
from hardwire.nn.work import Casts, Products


@st.composite
def _convolutions(draw):
    """A convolution of one or two axes, and the shape of its input."""
    rank = draw(st.integers(1, 2))
    groups = draw(st.sampled_from([1, 1, 2]))
    channels, outputs = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    same = draw(st.booleans())
    options = {
        "kernel_size": draw(st.integers(1, 3)),
        "stride": 1 if same else draw(st.integers(1, 2)),
        "padding": "same" if same else draw(st.integers(0, 1)),
        "dilation": draw(st.integers(1, 2)),
        "groups": groups,
        "bias": draw(st.booleans()),
        "norm": draw(st.booleans()),
    }
    kind = nn.Conv1d if rank == 1 else nn.Conv2d
    scheme = draw(st.sampled_from([nn.Scheme.learned(5), nn.Scheme.learned(4, weight="tensor", input="tensor")]))
    return lambda: kind(channels, outputs, scheme=scheme, **options), (channels, *(5,) * rank)


@given(_convolutions())
@settings(max_examples=12, deadline=None)
def test_convolutions_are_the_compiled_design(drawn):
    make, shape = drawn
    torch.manual_seed(0)
    x = np.random.default_rng(1).normal(size=(40, *shape)).astype(np.float32) * 2
    model = torch.nn.Sequential(make(), torch.nn.ReLU())
    trained(model, x)
    assert_compiled(model, x)


@pytest.mark.parametrize("held", [False, True])
def test_a_small_network_and_every_gradient(held):
    torch.manual_seed(1)
    model = torch.nn.Sequential(
        nn.Conv2d(1, 4, 3, norm=True),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, groups=4, padding=1),
        torch.nn.Flatten(),
        nn.Dense(16, 3, norm=True),
    )
    x = np.random.default_rng(0).normal(size=(64, 1, 6, 6)).astype(np.float32)
    trained(model, x)
    if held:
        nn.hold_statistics(model)
        trained(model, x, steps=1)
    assert not without_gradient(model)
    assert_compiled(model, x)


def test_held_statistics_make_training_the_compiled_arithmetic():
    model = torch.nn.Sequential(nn.Conv1d(2, 3, 3, norm=nn.Norm(3, freeze_after=2)), nn.BatchNorm(3))
    x = torch.randn(32, 2, 6)
    model(x)
    before = model[0].norm.mean.clone()
    model(x + 1)
    assert not torch.equal(before, model[0].norm.mean)
    frozen = model[0].norm.mean.clone()
    nn.hold_statistics(model[1:])
    y = model(x)
    assert torch.equal(frozen, model[0].norm.mean)
    assert torch.equal(model.eval()(x), y.double())


def test_batch_statistics_normalise_in_training():
    layer = nn.Dense(4, 6, norm=True, scheme=nn.Scheme.learned(12))
    y = layer(torch.randn(500, 4) * 5 + 3)
    assert y.mean(0).abs().max() < 1e-2
    assert (y.std(0) - 1).abs().max() < 1e-2


def test_work_of_a_convolution_is_its_products_at_every_position():
    layer = nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, groups=2, scheme=nn.Scheme.fixed("s8.4", "s6.4"))
    y = layer(torch.randn(5, 4, 7, 8))
    products = next(item for item in layer.work() if isinstance(item, Products))
    assert products.weight.shape == (6, 2 * 3 * 2)
    assert products.times == y.shape[2] * y.shape[3] == 4 * 5
    ebops = (products.weight_bits * products.input_bits).expand(products.weight.shape).sum() * products.times
    assert ebops == 6 * 2 * 6 * 20 * (6 * 8)
    casts = next(item for item in layer.work() if isinstance(item, Casts))
    assert (casts.count, casts.times) == (4, 56)


def test_work_knows_which_channel_a_weight_meets():
    layer = nn.Conv1d(4, 2, 3, groups=2)
    with torch.no_grad():
        layer.input_quantiser.f.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None])
    layer(torch.rand(8, 4, 5) + 1)
    bits = next(layer.work()).input_bits
    own = layer.input_quantiser.bits().ravel().tolist()
    assert bits.tolist() == [[b for b in own[:2] for _ in range(3)], [b for b in own[2:] for _ in range(3)]]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"groups": 3}, "in_channels=4 do not part into groups=3"),
        ({"padding": "same", "stride": 2}, "padding='same' with stride=2"),
        ({"stride": (1, 2, 3)}, "stride=.1, 2, 3., expected one number or 2"),
    ],
)
def test_arguments_that_do_not_fit(options, text):
    with pytest.raises(ModelError, match=text):
        nn.Conv2d(4, 6, 3, **options)
