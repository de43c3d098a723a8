"""Embedding and TimeDistributed against Keras and PyTorch, and exactly in integers."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_checks import check_exact, quantised

import hardwire as hw
from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import FixedType
from hardwire.frontends import load
from hardwire.network.graph import NetworkBuilder
from hardwire.network.reference import forward

os.environ.setdefault("KERAS_BACKEND", "torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")
layers = keras.layers


@settings(max_examples=40, deadline=None)
@given(st.booleans(), st.integers(1, 6), st.integers(-1, 3), st.integers(1, 9), st.integers(1, 3), st.integers(0, 99))
def test_embedding_is_exact(signed, bits, frac, rows, width, seed):
    net = NetworkBuilder("net")
    x = quantised(net, "x", (2, 2), FixedType(signed, bits, frac))
    table = np.random.default_rng(seed).normal(0, 1, (rows, width)).astype(np.float32)
    check_exact(net.build([net.add("embedding", "embedding", [x], {}, {"table": table})]))


def test_embedding_needs_a_matrix():
    net = NetworkBuilder("net")
    with pytest.raises(ModelError, match="'embedding': the table has the shape"):
        net.add("embedding", "embedding", [net.input("x", (2,))], {}, {"table": np.zeros(3)})


def test_torch_embedding():
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Embedding(7, 3), torch.nn.Flatten(), torch.nn.Linear(12, 2)).eval()
    x = np.random.default_rng(0).integers(0, 7, (5, 4))
    network = load(model, example=x)
    (found,) = forward(network, [x.astype(np.float64)])
    np.testing.assert_allclose(found, model(torch.tensor(x)).detach().numpy(), atol=1e-5)


def compare(model, x, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    (found,) = forward(load(path), [x.astype(np.float64)])
    np.testing.assert_allclose(found, model(x, training=False).detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("inner", ["Dense", "Activation", "LSTM", "Dropout"])
def test_time_distributed(inner, suffix, tmp_path):
    made = {
        "Dense": lambda: layers.Dense(3, activation="tanh"),
        "Activation": lambda: layers.Activation("sigmoid"),
        "LSTM": lambda: layers.LSTM(2),
        "Dropout": lambda: layers.Dropout(0.5),
    }[inner]()
    model = keras.Sequential(
        [keras.Input((4, 3, 2)), layers.TimeDistributed(made), layers.TimeDistributed(layers.Dense(2))]
    )
    compare(model, np.random.default_rng(1).normal(0, 1, (3, 4, 3, 2)).astype(np.float32), tmp_path / f"model{suffix}")


def test_time_distributed_names_what_it_cannot_distribute():
    model = keras.Sequential([keras.Input((4, 2, 3, 2)), layers.TimeDistributed(layers.ConvLSTM1D(1, 1))])
    with pytest.raises(UnsupportedError, match="'layer' = 'ConvLSTM1D'"):
        load(model)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_keras_embedding(suffix, tmp_path):
    model = keras.Sequential([keras.Input((4,)), layers.Embedding(6, 2), layers.GRU(2)])
    compare(model, np.random.default_rng(1).integers(0, 6, (5, 4)), tmp_path / f"model{suffix}")


def test_embedding_calibrates():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), layers.Embedding(6, 2), layers.Flatten(), layers.Dense(2)])
    x = np.random.default_rng(1).integers(0, 6, (200, 4))
    design = hw.compile(model, calibrate=x, fidelity=0.98)
    expected = model(x).detach().numpy()
    share = 1 - np.sum((design.predict(x) - expected) ** 2) / np.sum((expected - expected.mean(axis=0)) ** 2)
    assert share >= 0.98
