"""Averages and embeddings: what is trained is what is compiled."""

from __future__ import annotations

import numpy as np
import torch
from equal import assert_compiled, trained, without_gradient

from hardwire import nn
from hardwire.nn.work import Lookups, Products


def test_averages_of_windows_and_of_all():
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        nn.Conv2d(1, 2, 2),
        nn.AvgPool2d(3, 1, padding=1, count_include_pad=False),
        nn.Conv2d(2, 3, 1),
        nn.Mean((2, 3)),
        nn.Dense(3, 2),
    )
    x = np.random.default_rng(0).normal(size=(60, 1, 6, 6)).astype(np.float32)
    trained(model, x)
    assert_compiled(model, x)


def test_averages_along_one_axis():
    torch.manual_seed(0)
    model = torch.nn.Sequential(nn.Conv1d(2, 3, 2), nn.AvgPool1d(3), nn.MaxPool1d(2), nn.Conv1d(3, 2, 1))
    x = np.random.default_rng(0).normal(size=(60, 2, 13)).astype(np.float32)
    trained(model, x)
    assert_compiled(model, x)


def test_an_embedding_is_a_table():
    torch.manual_seed(0)
    model = torch.nn.Sequential(nn.Embedding(5, 3), torch.nn.Flatten(), nn.Dense(6, 2))
    x = np.random.default_rng(0).integers(0, 5, size=(60, 2))
    trained(model, x)
    assert_compiled(model, x, input_type="u3.0")
    tables = next(item for item in model[0].work() if isinstance(item, Lookups))
    assert (tables.address_bits.tolist(), tables.times) == ([[3.0]] * 3, 2)


def test_a_sum_of_quantised_terms():
    torch.manual_seed(0)
    model = torch.nn.Sequential(nn.Dense(3, 4), torch.nn.ReLU(), nn.Sum(1, (4,)), nn.Dense(4, 2))
    x = np.random.default_rng(0).normal(size=(60, 5, 3)).astype(np.float32)
    trained(model, x)
    assert not any(name.startswith("2.") for name in without_gradient(model))
    assert_compiled(model, x)
    sums = next(item for item in model[2].work() if isinstance(item, Products))
    assert (sums.weight.tolist(), sums.times) == ([[1.0] * 5], 4)
    assert sums.input_bits.item() == model[2].input_quantiser.bits().mean().item()
    plain = torch.nn.Sequential(nn.Dense(3, 4), nn.Sum(-2, scheme=nn.Scheme(None, None, None)), nn.Dense(4, 2))
    trained(plain, x)
    assert_compiled(plain, x)
