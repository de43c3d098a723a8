"""Activations: what training computes is the table that is compiled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from equal import assert_compiled, trained
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire import nn
from hardwire.errors import ModelError
from hardwire.layers.activation import FUNCTIONS
from hardwire.nn import _curves
from hardwire.nn.work import Lookups

_DEFINED = sorted(set(_curves.DIFFERENTIABLE) - {"sqrt", "rsqrt", "reciprocal", "log", "log1p", "exp", "exp2"})


@given(st.sampled_from(_DEFINED), st.sampled_from([(1,), (4,)]), st.booleans())
@settings(max_examples=12, deadline=None)
def test_tables_are_the_compiled_design(function, shape, output):
    torch.manual_seed(0)
    scheme = nn.Scheme.learned(4)
    model = torch.nn.Sequential(
        nn.Dense(3, 4), nn.Activation(function, shape, output=output, scheme=scheme), nn.Dense(4, 2)
    )
    x = np.random.default_rng(2).normal(size=(200, 3)).astype(np.float32) * 2
    trained(model, x)
    assert_compiled(model, x)


def test_named_activations_behind_each_other():
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        nn.Conv1d(2, 3, 2), nn.Tanh((3, 1)), nn.Conv1d(3, 3, 2), nn.LeakyReLU(0.25), nn.GELU(approximate="tanh"),
        nn.Conv1d(3, 2, 1), nn.HardTanh(), nn.HardSigmoid(), nn.Conv1d(2, 2, 1), nn.SiLU(), nn.Sigmoid(),
    )  # fmt: skip
    x = np.random.default_rng(2).normal(size=(100, 2, 5)).astype(np.float32)
    trained(model, x)
    assert_compiled(model, x)


@pytest.mark.parametrize("function", sorted(_curves.DIFFERENTIABLE))
def test_gradients_are_of_the_function_that_the_compiler_has(function):
    x = torch.linspace(0.1, 2.0, 40, dtype=torch.float64, requires_grad=True)
    y = _curves.curve(function, x)
    np.testing.assert_array_equal(y.detach().numpy(), FUNCTIONS[function](x.detach().numpy()))
    y.sum().backward()
    step = 1e-6
    wanted = (
        (FUNCTIONS[function](x.detach().numpy() + step) - FUNCTIONS[function](x.detach().numpy() - step)) / 2 / step
    )
    np.testing.assert_allclose(x.grad.numpy(), wanted, atol=1e-5)


def test_work_is_a_table_a_value():
    layer = nn.Tanh((3, 1), scheme=nn.Scheme.fixed("s5.2", "s5.2"))
    layer(torch.randn(2, 3, 7))
    tables = next(item for item in layer.work() if isinstance(item, Lookups))
    assert tables.address_bits.numel() * tables.times == 21
    assert tables.address_bits.unique().tolist() == [5]


def test_what_has_no_exact_type_is_refused():
    with pytest.raises(ModelError, match=r"slope of 0\.01 is no power of two"):
        nn.LeakyReLU(0.01)
    with pytest.raises(ModelError, match=r"no function 'swoosh' \(known: asinh, atan"):
        nn.Activation("swoosh")
    with pytest.raises(ModelError, match="needs quantised inputs"):
        nn.Tanh(scheme=nn.Scheme(None, None, None))
