"""Softmax: the training forward is the compiler's integer tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from equal import assert_compiled, trained
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire import nn
from hardwire.errors import ModelError
from hardwire.nn.work import Lookups, Multiplications


class _Mixed(torch.nn.Module):
    """A dense layer, a softmax along an axis, with a mask, and a dense layer."""

    def __init__(self, dim: int, factor: float, mask: str, bits: int) -> None:
        super().__init__()
        self.before, self.after = nn.Dense(3, 4), nn.Dense(4, 2)
        self.softmax, self.mask = nn.Softmax(dim, factor, scheme=nn.Scheme.learned(bits)), mask
        self.register_buffer("kept", torch.tensor([True, False, True, True]))

    def forward(self, x):
        mask = {"none": None, "constant": self.kept, "computed": x[..., :1] > 0}[self.mask]
        return self.after(self.softmax(self.before(x), mask))


@given(
    st.sampled_from([-1, 1]),
    st.sampled_from([1.0, 0.7]),
    st.sampled_from(["none", "constant", "computed"]),
    st.sampled_from([3, 6, 9]),
)
@settings(max_examples=12, deadline=None)
def test_softmax_is_the_compiled_design(dim, factor, mask, bits):
    torch.manual_seed(0)
    model = _Mixed(dim, factor, mask, bits)
    x = np.random.default_rng(3).integers(-20, 20, size=(100, 3, 3)).astype(np.float32) / 8
    trained(model, x)
    assert_compiled(model, x, **({"input_type": "s8.3"} if mask == "computed" else {}))


def test_softmax_behind_a_type_of_its_own_grid():
    # The quantiser in front of the softmax changes nothing and is dropped; the tables count codes of its finer grid.
    first = nn.quantisers.Fixed("s7.3")
    x = np.random.default_rng(3).integers(-60, 60, size=(200, 4)).astype(np.float32) / 8
    assert_compiled(torch.nn.Sequential(first, nn.Softmax(scheme=nn.Scheme.fixed("s16.11", "s4.2"))), x)


def test_gradient_and_nearness():
    layer = nn.Softmax(factor=0.5, scheme=nn.Scheme.fixed("s10.6", "s4.2"))
    x = torch.randn(50, 5, requires_grad=True)
    y = layer(x)
    soft = torch.softmax(0.5 * x, -1)
    assert (y - soft).abs().max() <= 2 * 2.0**-6
    (own,) = torch.autograd.grad((y * torch.arange(5)).sum(), x)
    (wanted,) = torch.autograd.grad((soft * torch.arange(5)).sum(), x)
    assert (own - wanted).abs().max() < 0.05


def test_work():
    layer = nn.Softmax(scheme=nn.Scheme.fixed("u6.6", "s4.2"))
    layer(torch.rand(2, 3, 5))
    tables = [item for item in layer.work() if isinstance(item, Lookups)]
    assert [item.times for item in tables] == [15, 3]
    product = next(item for item in layer.work() if isinstance(item, Multiplications))
    assert product.count * product.times == 15


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ModelError, match="factor=-1"):
        nn.Softmax(factor=-1)
    with pytest.raises(ModelError, match="need quantised inputs"):
        nn.Softmax(scheme=nn.Scheme(None, None, None))
