"""Attention: what is trained is what is compiled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from equal import assert_compiled, trained, without_gradient

from hardwire import nn
from hardwire.errors import ModelError
from hardwire.nn.work import Multiplications


class _Attending(torch.nn.Module):
    def __init__(self, mask: str = "none", **options) -> None:
        super().__init__()
        self.attention, self.mask = nn.MultiheadAttention(4, 2, scheme=nn.Scheme.learned(4), **options), mask
        self.register_buffer("left_out", torch.tensor([[0, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=torch.bool))

    def forward(self, x):
        options = {
            "none": {},
            "causal": {"is_causal": True},
            "constant": {"attn_mask": self.left_out},
            "padding": {"key_padding_mask": x[..., 0] < 0},
            "both": {"key_padding_mask": x[..., 0] < 0, "attn_mask": self.left_out},
        }[self.mask]
        if not self.attention.batch_first:
            x = x.transpose(0, 1)
        y, _ = self.attention(x, x, x, **options)
        return y if self.attention.batch_first else y.transpose(0, 1)


@pytest.mark.parametrize(
    ("mask", "options"),
    [
        ("none", {}),
        ("none", {"cross": True, "bias": False}),
        ("none", {"batch_first": False}),
        ("causal", {}),
        ("constant", {}),
        ("padding", {}),
        ("both", {}),
    ],
)
def test_attention_is_the_compiled_design(mask, options):
    torch.manual_seed(0)
    model = _Attending(mask, **options)
    x = np.random.default_rng(1).integers(-20, 20, size=(60, 3, 4)).astype(np.float32) / 8
    trained(model, x)
    assert_compiled(model, x, **({"input_type": "s8.3"} if mask in ("padding", "both") else {}))


def test_keys_of_their_own():
    class Asking(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 1, kdim=3, vdim=2, scheme=nn.Scheme.learned(4))

        def forward(self, x):
            return self.attention(x[:, :2], x[:, 1:, :3], x[:, 1:, 2:])[0]

    x = np.random.default_rng(1).integers(-20, 20, size=(60, 4, 4)).astype(np.float32) / 8
    torch.manual_seed(0)
    model = Asking()
    trained(model, x)
    assert_compiled(model, x, input_type="s8.3")


def test_many_bits_take_float64_and_stay_exact():
    torch.manual_seed(0)
    model = _Attending()
    model.attention = nn.MultiheadAttention(4, 2, scheme=nn.Scheme.fixed("s14.11", "s12.10"))
    x = np.random.default_rng(1).normal(size=(40, 3, 4)).astype(np.float32)
    assert_compiled(model, x)


def test_near_to_pytorch():
    torch.manual_seed(0)
    own, float_ = (
        nn.MultiheadAttention(8, 2, scheme=nn.Scheme.fixed("s14.10", "s14.12")),
        torch.nn.MultiheadAttention(8, 2, batch_first=True),
    )
    with torch.no_grad():
        own.in_proj.weight.copy_(float_.in_proj_weight)
        own.in_proj.bias.copy_(float_.in_proj_bias)
        own.out_proj.weight.copy_(float_.out_proj.weight)
        own.out_proj.bias.copy_(float_.out_proj.bias)
    x = torch.randn(20, 5, 8)
    padding = torch.rand(20, 5) < 0.3
    padding[:, 0] = False
    wanted, _ = float_(x, x, x, key_padding_mask=padding)
    found, _ = own(x, x, x, key_padding_mask=padding)
    assert (found - wanted).abs().max() < 0.01


def test_work_counts_the_products():
    layer = nn.MultiheadAttention(6, 3, cross=True)
    layer(torch.randn(2, 5, 6), torch.randn(2, 4, 6))
    products = [item for item in layer.work() if isinstance(item, Multiplications)]
    assert [item.count * item.times for item in products] == [5 * 4 * 6, 5 * 4 * 6]


def test_every_parameter_has_a_gradient():
    torch.manual_seed(3)
    model = _Attending()
    torch.nn.init.normal_(model.attention.in_proj.bias)
    torch.nn.init.normal_(model.attention.out_proj.bias)
    model(torch.randn(50, 3, 4) * 2)
    model(torch.randn(50, 3, 4) * 2).square().sum().backward()
    assert not without_gradient(model)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ModelError, match="embed_dim=5 does not part into num_heads=2"):
        nn.MultiheadAttention(5, 2)
    with pytest.raises(ModelError, match="keys or values that are not the queries"):
        nn.MultiheadAttention(4, 2)(torch.randn(2, 3, 4), torch.randn(2, 3, 4))
