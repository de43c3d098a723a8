"""Sums that float32 would round are made in float64, and those that nothing holds are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from equal import assert_compiled

from hardwire import nn
from hardwire.errors import RangeError
from hardwire.nn import exact


def _wide(inputs: str, weight: str) -> nn.Dense:
    layer = nn.Dense(3, 2, scheme=nn.Scheme.fixed(inputs, weight))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.3, -0.7, 0.11], [0.9, 0.5, -0.123]]))
    return layer


@pytest.mark.parametrize("inputs", ["s8.6", "s20.16"])
def test_sums_of_any_bits_are_the_designs(inputs):
    """Evaluation hands sums on in float64, whatever type they are made in: additions behind them stay exact."""
    layer = _wide(inputs, "s14.13").eval()
    x = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    assert layer(torch.as_tensor(x)).dtype is torch.float64
    assert_compiled(layer, x)


def test_more_than_float64_holds_is_refused():
    layer = nn.Dense(2, 1, scheme=nn.Scheme.learned())
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0**-10]]))
        layer.weight_quantiser.f.fill_(14.0)
        layer.input_quantiser.f.copy_(torch.tensor([-14.0, 20.0]))
    layer(torch.tensor([[2.0**30, 2.0**-3], [-(2.0**30), 1.0]]))
    with pytest.raises(RangeError, match=r"layer Dense: its sums need 6[0-9] bits, more than the 53"):
        layer.eval()(torch.randn(4, 2))


def test_bits_of_the_largest_sum():
    weight = torch.tensor([[3.0, -4.0], [0.0, 0.25]])
    one = torch.ones(1, 1)
    # Rows reach 7·8 quarters·… of a unit of 1/4, and 0.25·8 of the same.
    assert exact.bits(weight, one / 4, torch.tensor([8.0]), one) == pytest.approx(np.log2(7 * 8 * 4))
    offset = (torch.tensor([0.0, 1.0]), torch.tensor([torch.inf, 1 / 1024]))
    assert exact.bits(weight, one / 4, torch.tensor([8.0]), one, offset) == pytest.approx(np.log2(3 * 1024))
