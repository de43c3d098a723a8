"""PyTorch attention, exported with the batch on other axes and merged with heads, against its own forward."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from hardwire.errors import UnsupportedError
from hardwire.frontends import load
from hardwire.network.prepare import prepare
from hardwire.network.reference import forward

pytestmark = pytest.mark.filterwarnings("ignore")


class Call(nn.Module):
    def __init__(self, function, *modules):
        super().__init__()
        self.function = function
        self.modules_ = nn.ModuleList(modules)

    def forward(self, *xs):
        return self.function(*xs, *self.modules_)


def imported(module, *shapes, dynamic=True):
    torch.manual_seed(0)
    module.eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    xs = tuple(torch.randn(7, *shape) for shape in shapes)
    if not dynamic:
        with torch.no_grad():
            return load(torch.export.export(module, xs)), xs
    return load(module, example=tuple(x[:1] for x in xs)), xs


def check(module, *shapes, dynamic=True):
    network, xs = imported(module, *shapes, dynamic=dynamic)
    with torch.no_grad():
        want = module(*xs)
    ours = forward(prepare(network), [x.double().numpy() for x in xs])
    want = want if isinstance(want, tuple) else (want,)
    assert len(want) == len(ours)
    for got, theirs in zip(ours, want, strict=True):
        assert got.shape == tuple(theirs.shape)
        np.testing.assert_allclose(got, theirs.numpy(), rtol=1e-4, atol=1e-5)
    return network


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_multi_head_attention_of_drawn_settings(data):
    draw = data.draw
    heads, width = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    size, rows, columns = heads * width, draw(st.integers(2, 4)), draw(st.integers(2, 4))
    front, weights = draw(st.booleans()), draw(st.booleans())
    masked = draw(st.sampled_from(["no", "float", "bool"]))
    other = draw(st.sampled_from([size, size + 1]))
    attention = nn.MultiheadAttention(size, heads, bias=draw(st.booleans()), kdim=other, vdim=other, batch_first=front)
    average = draw(st.booleans())

    def function(x, y, module):
        mask = None if masked == "no" else torch.triu(torch.ones(rows, columns, dtype=torch.bool), 1)
        if masked == "float":
            mask = torch.zeros(rows, columns).masked_fill(mask, float("-inf"))
        if not front:
            x, y = x.transpose(0, 1), y.transpose(0, 1)
        out, share = module(x, y, y, need_weights=weights, attn_mask=mask, average_attn_weights=average)
        out = out if front else out.transpose(0, 1)
        return (out, share) if weights else out

    check(Call(function, attention), (rows, size), (columns, other), dynamic=draw(st.booleans()))


class Written(nn.Module):
    """Attention by hand, as vision transformers have it."""

    def __init__(self, masked):
        super().__init__()
        self.qkv, self.out, self.masked = nn.Linear(6, 18), nn.Linear(6, 6), masked

    def forward(self, x):
        batch, n, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, n, 3, 2, 3).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q @ k.transpose(-2, -1)) * 3**-0.5
        if self.masked:
            scores = scores.masked_fill(torch.triu(torch.ones(n, n, dtype=torch.bool), 1), float("-inf"))
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, n, width))


class Linformer(nn.Module):
    """Keys and values projected along the positions (Wang et al., 2020)."""

    def __init__(self):
        super().__init__()
        self.q, self.kv = nn.Linear(6, 6), nn.Linear(6, 12)
        self.e, self.f = nn.Parameter(torch.randn(5, 2)), nn.Linear(5, 2)

    def forward(self, x):
        k, v = self.kv(x).chunk(2, dim=-1)
        k, v = (k.transpose(1, 2) @ self.e).transpose(1, 2), self.f(v.transpose(1, 2)).transpose(1, 2)
        q, k, v = (t.unflatten(-1, (2, 3)).transpose(1, 2) for t in (self.q(x), k, v))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class Pooled(nn.Module):
    """Queries that are the same for every example."""

    def __init__(self):
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, 2, 6))
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x):
        return self.attention(self.queries.expand(x.shape[0], -1, -1), x, x, need_weights=False)[0]


ENCODER = {"dim_feedforward": 8, "dropout": 0.0}
BOOL = torch.tensor([[1, 0, 1], [1, 1, 1], [0, 1, 0], [1, 1, 1], [0, 0, 1]]).bool()
MODELS = {
    "encoder layer": (lambda: nn.TransformerEncoderLayer(6, 2, batch_first=True, **ENCODER), [(5, 6)]),
    "encoder, norm first": (
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(6, 2, batch_first=True, norm_first=True, activation="gelu", **ENCODER), 2
        ),
        [(5, 6)],
    ),
    "encoder, sequence first": (
        lambda: Call(lambda x, m: m(x.permute(1, 0, 2)).permute(1, 0, 2), nn.TransformerEncoderLayer(6, 2, **ENCODER)),
        [(5, 6)],
    ),
    "decoder layer": (lambda: nn.TransformerDecoderLayer(6, 2, batch_first=True, **ENCODER), [(5, 6), (3, 6)]),
    "padding": (
        lambda: Call(
            lambda x, m: m(x, x, x, need_weights=False, key_padding_mask=x[:, :, 0] < -1)[0],
            nn.MultiheadAttention(6, 2, batch_first=True),
        ),
        [(5, 6)],
    ),
    "a scale": (lambda: Call(lambda x, y: F.scaled_dot_product_attention(x, y, y, scale=0.3)), [(2, 5, 6), (2, 3, 6)]),
    "grouped heads": (
        lambda: Call(lambda x, y: F.scaled_dot_product_attention(x, y, y, is_causal=True, enable_gqa=True)),
        [(4, 3, 6), (2, 3, 6)],
    ),
    "a mask": (
        lambda: Call(lambda x, y: F.scaled_dot_product_attention(x, y, y, attn_mask=BOOL)),
        [(2, 5, 6), (2, 3, 6)],
    ),
    "a bias": (
        lambda: Call(lambda x, y: F.scaled_dot_product_attention(x, y, y, attn_mask=torch.arange(15.0).view(5, 3) / 7)),
        [(2, 5, 6), (2, 3, 6)],
    ),
    "written out": (lambda: Written(masked=False), [(5, 6)]),
    "written out, causal": (lambda: Written(masked=True), [(5, 6)]),
    "Linformer": (Linformer, [(5, 6)]),
    "constant queries": (Pooled, [(5, 6)]),
    "batch times positions": (
        lambda: Call(lambda x, m: m(x.reshape(-1, 6)).relu().view(-1, 5, 4).sum(1), nn.Linear(6, 4)),
        [(5, 6)],
    ),
    "flatten and unflatten": (
        lambda: Call(lambda x, m: m(x.flatten(0, 1)).unflatten(0, (-1, 5)), nn.Linear(6, 4)),
        [(5, 6)],
    ),
    "log softmax": (lambda: nn.LogSoftmax(dim=-1), [(3, 4)]),
    "softmin": (lambda: nn.Softmin(dim=1), [(3, 4)]),
    "softmax of channels": (nn.Softmax2d, [(3, 2, 2)]),
}


@pytest.mark.parametrize("name", MODELS)
def test_pytorch_means_the_same(name):
    make, shapes = MODELS[name]
    check(make(), *shapes)


@pytest.mark.parametrize("name", ["encoder layer", "encoder, sequence first", "written out", "batch times positions"])
def test_so_it_does_with_a_fixed_batch(name):
    make, shapes = MODELS[name]
    check(make(), *shapes, dynamic=False)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.transpose(0, 1).reshape(6, -1).softmax(-1).reshape(6, -1, 5).permute(1, 2, 0),
        lambda x: x.transpose(0, 1) + x.transpose(0, 1).flip(1),
        lambda x: x.transpose(0, 1).mean(1),
        lambda x: (x.flatten(0, 1).transpose(0, 1) @ x.flatten(0, 1)).expand(7, 6, 6),
        lambda x: F.layer_norm(x.transpose(1, 2).transpose(0, 2), (7,)).transpose(0, 2),
    ],
)
def test_examples_are_never_mixed(function):
    with pytest.raises(UnsupportedError):
        imported(Call(function), (5, 6), dynamic=False)
