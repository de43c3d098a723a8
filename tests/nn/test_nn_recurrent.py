"""Recurrent layers: what is trained is the compiler's cell."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from equal import assert_compiled, trained, without_gradient

from hardwire import nn
from hardwire.errors import ModelError
from hardwire.nn.work import Lookups, Multiplications, Products


class _Reading(torch.nn.Module):
    """A recurrent layer, and a dense one behind its last state, the sequence, or the carry."""

    def __init__(self, kind, shown: str, **options) -> None:
        super().__init__()
        self.recurrent, self.shown = kind(2, 3, scheme=nn.Scheme.learned(4), **options), shown
        self.dense = nn.Dense(3 * self.recurrent.sides, 2) if shown == "sequence" else nn.Dense(3, 2)

    def forward(self, x):
        if not self.recurrent.batch_first:
            x = x.transpose(0, 1)
        y, last = self.recurrent(x)
        if self.shown == "sequence":
            return self.dense(y if self.recurrent.batch_first else y.transpose(0, 1))
        state = last[self.shown == "carry"] if isinstance(last, tuple) else last
        return self.dense(state[-1])


@pytest.mark.parametrize(
    ("kind", "shown", "options"),
    [
        (nn.LSTM, "sequence", {"bidirectional": True, "num_layers": 2}),
        (nn.LSTM, "state", {}),
        (nn.LSTM, "carry", {"batch_first": False, "bias": False}),
        (nn.GRU, "sequence", {"batch_first": False}),
        (nn.GRU, "state", {"num_layers": 2}),
        (nn.GRU, "sequence", {"bidirectional": True, "bias": False}),
        (nn.SimpleRNN, "sequence", {"bidirectional": True}),
        (nn.SimpleRNN, "state", {"nonlinearity": "relu"}),
    ],
)
def test_recurrent_layers_are_the_compiled_design(kind, shown, options):
    torch.manual_seed(0)
    model = _Reading(kind, shown, **options)
    x = np.random.default_rng(0).normal(size=(50, 3, 2)).astype(np.float32) * 2
    trained(model, x)
    assert_compiled(model, x)


def test_the_cell_is_one_kernel_for_all_steps():
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(50, 6, 2)).astype(np.float32)
    model = _Reading(nn.GRU, "state")
    model(torch.as_tensor(x))
    design = assert_compiled(model, x)
    cells = [step for step in design.program.steps if step.name.startswith("recurrent.cells.0.recurrent")]
    assert len(cells) >= 6
    assert len({step.kernel for step in cells}) <= 2


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.SimpleRNN])
def test_every_parameter_has_a_gradient(kind):
    torch.manual_seed(1)
    model = _Reading(kind, "sequence")
    model.dense = nn.Dense(3, 2, scheme=nn.Scheme.learned(2))
    torch.nn.init.normal_(model.dense.bias)
    for _ in range(2):
        y = model(torch.randn(60, 4, 2) * 2)
    y.square().sum().backward()
    assert not without_gradient(model)


@pytest.mark.parametrize(("kind", "float_"), [(nn.LSTM, torch.nn.LSTM), (nn.GRU, torch.nn.GRU)])
def test_near_to_pytorch(kind, float_):
    torch.manual_seed(0)
    wanted = float_(2, 3, batch_first=True)
    own = kind(2, 3, scheme=nn.Scheme.fixed("s16.11", "s16.13"))
    order = torch.arange(12) if kind is nn.LSTM else torch.tensor([3, 4, 5, 0, 1, 2, 6, 7, 8])
    with torch.no_grad():
        cell = own.cells[0]
        cell.weight.copy_(torch.cat([wanted.weight_ih_l0, wanted.weight_hh_l0], 1)[order])
        bias = wanted.bias_ih_l0 + wanted.bias_hh_l0
        if kind is nn.GRU:
            bias[6:] = wanted.bias_ih_l0[6:]
            cell.recurrent_bias.copy_(wanted.bias_hh_l0[6:])
        cell.bias.copy_(bias[order])
    x = torch.randn(30, 5, 2)
    for found, right in zip(own(x), wanted(x), strict=True):
        found, right = (torch.cat(part) if isinstance(part, tuple) else part for part in (found, right))
        assert (found - right).abs().max() < 0.01


def test_work_counts_every_step():
    layer = nn.LSTM(2, 3)
    layer(torch.randn(4, 5, 2))
    work = list(layer.cells[0].work())
    products = next(item for item in work if isinstance(item, Products))
    assert (products.weight.shape, products.input_bits.shape, products.times) == ((12, 5), (5,), 5)
    assert [item.address_bits.numel() * item.times for item in work if isinstance(item, Lookups)] == [60, 15]
    assert [item.count * item.times for item in work if isinstance(item, Multiplications)] == [15, 15, 15]


def test_what_has_no_type_is_refused():
    with pytest.raises(ModelError, match="its state needs types"):
        nn.GRU(2, 3, scheme=nn.Scheme(None, None, None))
    with pytest.raises(ModelError, match="nonlinearity='sine'"):
        nn.SimpleRNN(2, 3, nonlinearity="sine")
