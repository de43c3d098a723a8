"""Einsums: what is trained is what is compiled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from equal import assert_compiled, trained

from hardwire import nn
from hardwire.errors import ModelError
from hardwire.nn.work import Casts, Products

_CASES = [
    ("bti,ij->btj", (3, 4), (3, 5), "j"),
    ("bti,ij->bjt", (3, 4), (5, 3), "jt"),
    ("bti,tij->btj", (3, 4), (3, 2), "tj"),
    ("bhi,jih->bj", (2, 3), (4,), ""),
]


@pytest.mark.parametrize(("equation", "shape", "out", "bias"), _CASES)
@pytest.mark.parametrize("granularity", ["element", "tensor"])
def test_einsums_are_the_compiled_design(equation, shape, out, bias, granularity):
    torch.manual_seed(0)
    scheme = nn.Scheme.learned(5, weight=granularity, input=granularity)
    model = torch.nn.Sequential(nn.EinsumDense(equation, shape, out, bias, scheme=scheme), torch.nn.ReLU())
    x = np.random.default_rng(0).normal(size=(60, *shape)).astype(np.float32)
    trained(model, x)
    assert model(torch.as_tensor(x)).shape == (60, *out)
    assert_compiled(model, x)


@pytest.mark.parametrize(("equation", "shape", "out", "bias"), _CASES)
def test_work_counts_every_product(equation, shape, out, bias):
    layer = nn.EinsumDense(equation, shape, out, bias, scheme=nn.Scheme.fixed("s8.4", "s6.4"))
    layer(torch.randn(2, *shape))
    products = next(item for item in layer.work() if isinstance(item, Products))
    sizes = dict(zip(equation[1:], shape, strict=False)) | dict(zip(equation.split(">b")[1], out, strict=True))
    labels = {label for label in equation if label.isalpha()} - {"b"}
    assert products.weight.numel() * products.times == np.prod([sizes[label] for label in labels])
    casts = next(item for item in layer.work() if isinstance(item, Casts))
    assert casts.count * casts.times == np.prod(shape)


def test_types_of_the_input_meet_the_right_weights():
    layer = nn.EinsumDense("bhi,jih->bj", (2, 3), (4,))
    with torch.no_grad():
        layer.input_quantiser.f.copy_(torch.arange(6.0).reshape(2, 3))
    layer(torch.rand(8, 2, 3) + 1)
    bits = next(layer.work()).input_bits
    # Rows are j; what they sum over is i, then h.
    assert bits[0].tolist() == layer.input_quantiser.bits().T.ravel().tolist()


@pytest.mark.parametrize(
    ("equation", "out", "bias", "text"),
    [
        ("bti,ij->btk", (3, 5), "", "equation 'bti,ij->btk' does not fit"),
        ("bti,ij->btj", (3, 5, 1), "", "does not fit an input"),
        ("bti,ij->btj", (4, 5), "", "'t'|gives"),
        ("bti,ij->btj", (3, 5), "i", "with a bias along 'i'"),
    ],
)
def test_equations_that_do_not_fit(equation, out, bias, text):
    with pytest.raises(ModelError, match=text):
        nn.EinsumDense(equation, (3, 4), out, bias)
