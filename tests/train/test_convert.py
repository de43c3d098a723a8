"""A float model becomes one of quantised layers that is near to it, and compiled as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn as tn

import hardwire as hw
from hardwire import nn
from hardwire.errors import ModelError, UnsupportedError
from hardwire.train import quantize
from nn.equal import assert_compiled, trained


def _normal(*shape: int):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


class _Attention(tn.Module):
    def __init__(self, cross: bool = False) -> None:
        super().__init__()
        self.port = nn.quantisers.LearnedRange((4,), "tensor", bits=8)
        self.attention, self.cross = tn.MultiheadAttention(4, 2, batch_first=True), cross
        self.norm, self.dense, self.bend = tn.BatchNorm1d(3), tn.Linear(12, 2), tn.Tanh()

    def forward(self, x):
        x = self.port(x)
        other = x.flip(1) if self.cross else x
        y, _ = self.attention(x, other, other, need_weights=False)
        return self.dense(self.bend(self.norm(x + y)).flatten(1))


class _Recurrent(tn.Module):
    def __init__(self, kind, **options) -> None:
        super().__init__()
        self.recurrent = kind(2, 4, batch_first=True, **options)
        self.dense = tn.Linear(4 * (1 + options.get("bidirectional", False)), 2)

    def forward(self, x):
        return self.dense(self.recurrent(x)[0][:, 1])


_MODELS = {
    "dense": (
        lambda: tn.Sequential(tn.Linear(6, 16), tn.BatchNorm1d(16), tn.ReLU(), tn.Dropout(0.1), tn.Linear(16, 3)),
        (6,),
    ),
    "images": (
        lambda: tn.Sequential(
            tn.Sequential(tn.Conv2d(1, 4, 3, bias=False), tn.BatchNorm2d(4), tn.LeakyReLU()),
            tn.AvgPool2d(2), tn.Conv2d(4, 4, 3, groups=2, padding="same"), tn.SiLU(), tn.AdaptiveAvgPool2d(1),
            tn.Flatten(), tn.Linear(4, 2),
        ),
        (1, 8, 8),
    ),
    "series": (
        lambda: tn.Sequential(tn.BatchNorm1d(2), tn.Conv1d(2, 3, 2), tn.Hardsigmoid(), tn.MaxPool1d(2), tn.Softmax(1)),
        (2, 7),
    ),
    "attention": (_Attention, (3, 4)),
    "cross": (lambda: _Attention(cross=True), (3, 4)),
    "lstm": (lambda: _Recurrent(tn.LSTM, bidirectional=True), (4, 2)),
    "gru": (lambda: _Recurrent(tn.GRU, num_layers=2), (4, 2)),
    "rnn": (lambda: _Recurrent(tn.RNN, nonlinearity="relu", bias=False), (4, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", _MODELS)
def test_converted_models_are_near_and_compiled_bit_for_bit(name):
    make, shape = _MODELS[name]
    torch.manual_seed(0)
    x = _normal(200, *shape)
    model = make()
    for _ in range(5):
        model(torch.as_tensor(x))
    state = {key: value.clone() for key, value in model.eval().state_dict().items()}
    quantised = quantize(model, bits=9, x=x)
    assert not quantised.training
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    with torch.no_grad():
        wanted, found = model(torch.as_tensor(x)), quantised(torch.as_tensor(x))
    assert (wanted - found).abs().mean() < 0.04 * wanted.abs().mean()
    quantised.train()
    trained(quantised, x)
    assert_compiled(quantised, x)


def test_accuracy_stays():
    torch.manual_seed(0)
    x = _normal(600, 4)
    y = torch.as_tensor((x[:, 0] * x[:, 1] > 0).astype(np.int64))
    model = tn.Sequential(tn.Linear(4, 24), tn.BatchNorm1d(24), tn.ReLU(), tn.Linear(24, 2))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        loss = tn.functional.cross_entropy(model(torch.as_tensor(x)), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()

    def accuracy(output) -> float:
        return float((np.argmax(np.asarray(output), 1) == y.numpy()).mean())

    before = accuracy(model(torch.as_tensor(x)).detach())
    assert before > 0.93
    design = hw.compile(quantize(model, x=x), example=x[:1], backend="emulator")
    assert accuracy(design.predict(x)) > before - 0.01


def test_batch_normalisation_goes_into_the_layer_that_it_alone_reads():
    class Twice(tn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm = tn.Linear(3, 4), tn.BatchNorm1d(4)
            self.second, self.other = tn.Linear(4, 4), tn.BatchNorm1d(4)

        def forward(self, x):
            x = self.norm(self.first(x)).relu()
            y = self.second(x)
            return y + self.other(y)

    quantised = quantize(Twice())
    assert isinstance(quantised.norm, tn.Identity)
    assert quantised.first.norm is not None
    assert isinstance(quantised.other, nn.BatchNorm)
    assert quantised.second.norm is None


def test_a_forward_that_depends_on_values_is_converted_by_its_modules():
    class Deciding(tn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = tn.Sequential(tn.Linear(3, 4), tn.BatchNorm1d(4))

        def forward(self, x):
            return self.layers(x) if float(x.sum()) > 0 else -self.layers(x)

    quantised = quantize(Deciding())
    assert isinstance(quantised.layers[0], nn.Dense)
    assert isinstance(quantised.layers[1], tn.Identity)


def test_weights_start_with_the_bits_that_are_asked_for():
    model = tn.Sequential(tn.Linear(5, 3))
    quantised = quantize(model, bits=6)
    off = (quantised[0].constants()["weight"] - model[0].weight).abs().amax(1)
    assert (off <= model[0].weight.abs().amax(1) * 2.0**-5).all()
    codes = quantised[0].constants()["weight"].detach() * torch.exp2(quantised[0].weight_quantiser.f.detach())
    assert codes.abs().max() <= 2**5


def test_all_that_has_no_counterpart_is_named_at_once():
    class Odd(tn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.up, self.scale = tn.LayerNorm(4), tn.ConvTranspose1d(1, 1, 2), tn.Parameter(torch.ones(2))
            self.dense, self.pool = tn.Linear(4, 2), tn.AdaptiveAvgPool1d(3)
            self.conv = tn.Conv1d(1, 1, 2, padding_mode="reflect")

        def forward(self, x):
            return torch.sigmoid(self.dense(self.norm(x))) * self.scale

    with pytest.raises(UnsupportedError) as caught:
        quantize(Odd())
    for text in (
        "the function sigmoid in forward",
        "norm (LayerNorm)",
        "up (ConvTranspose1d)",
        "parameters of its own, scale",
        "pool (AdaptiveAvgPool1d: output_size=3, expected 1)",
        "conv (Conv1d: padding_mode='reflect')",
    ):
        assert text in str(caught.value)
    assert "dense" not in str(caught.value)


def test_a_norm_of_another_axis_than_the_features_is_refused():
    model = tn.Sequential(tn.Linear(3, 4), tn.BatchNorm1d(4))
    with pytest.raises(ModelError, match="normalises another axis than the features"):
        quantize(model, x=_normal(10, 4, 3))
