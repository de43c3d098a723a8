"""Keras files: float ones get quantisers from data, quantised ones keep theirs; either may teach another model."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_data import rings

import hardwire as hw
from hardwire import nn, train
from hardwire.errors import UnsupportedError
from hardwire.train import Distillation, Options, fit

QKERAS = Path(__file__).parents[1] / "layers" / "qkeras"
HGQ = Path(__file__).parents[1] / "conformance" / "hgq_models"


@pytest.fixture
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras

        keras.utils.set_random_seed(0)
        yield keras


def tagger(keras: Any, path: Path) -> Path:
    """A float classifier of rings with a batch normalisation, trained for a moment."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(16),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Dense(3),
        ]
    )
    x, y = rings()
    model.compile(
        keras.optimizers.Adam(3e-2),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    model.fit(x, y, epochs=10, batch_size=100, verbose=0)
    model.save(path)
    return path


def accuracy(module: torch.nn.Module, x: np.ndarray, y: np.ndarray) -> float:
    with torch.no_grad():
        return float((module.eval()(torch.tensor(x)).argmax(1).numpy() == y).mean())


def test_float_file(keras, tmp_path):
    path = tagger(keras, tmp_path / "model.keras")
    wanted = np.asarray(keras.models.load_model(path)(rings()[0]).detach())
    x, y = rings()
    module = train.load(path, scheme=nn.Scheme.learned(3.0), calibrate=x)
    assert accuracy(module, x, wanted.argmax(1)) > 0.7  # few bits, and not yet tuned
    first = next(layer for layer in module.layers.values() if isinstance(layer, nn.Dense))
    assert first.input_quantiser.high.max() > 2
    before = accuracy(module, x, y)
    fit(module, (x, y), rings(300, 1), Options(epochs=15, batch=100, rate=1e-2))
    assert accuracy(module, x, y) > before
    design = hw.compile(module, example=x[:1], backend="emulator")
    np.testing.assert_array_equal(design.predict(x), module(torch.tensor(x)).detach().numpy())


def test_float_file_with_stated_types(keras, tmp_path):
    path = tagger(keras, tmp_path / "model.keras")
    module = train.load(path, scheme=nn.Scheme.fixed("s8.4", "s6.4"))
    x, y = rings()
    assert accuracy(module, x, y) > 0.6


def test_a_file_teaches(keras, tmp_path):
    path = tagger(keras, tmp_path / "model.keras")
    teacher = train.load(path, scheme=nn.Scheme(None, None, None))
    x, y = rings()
    told = np.asarray(keras.models.load_model(path)(x).detach())
    with torch.no_grad():
        np.testing.assert_allclose(teacher.eval()(torch.tensor(x)).numpy(), told, rtol=1e-4, atol=1e-4)
    torch.manual_seed(0)
    student = torch.nn.Sequential(nn.Dense(4, 8), torch.nn.ReLU(), nn.Dense(8, 3))
    agreed = accuracy(student, x, told.argmax(1))
    options = Options(epochs=40, batch=100, rate=2e-2)
    fit(student, (x, y), rings(300, 1), options, callbacks=[Distillation(teacher, share=1.0)])
    assert accuracy(student, x, told.argmax(1)) > max(0.7, agreed)


@pytest.mark.parametrize(
    "path", [*map(QKERAS.joinpath, ("default.h5", "tagger.h5")), HGQ / "dense.keras"], ids=lambda path: path.stem
)
def test_learnt_bits_begin_as_in_the_file(path):
    """Learnt quantisers take over the file's grids, and the design stays the file's."""
    kept, learnt = train.load(path), train.load(path, scheme=nn.Scheme.learned())
    width = kept.network.shapes[kept.network.inputs[0]]
    x = torch.tensor(np.random.default_rng(0).normal(size=(200, *width)).astype(np.float32))
    with torch.no_grad():
        assert torch.equal(kept.eval()(x).double(), learnt.eval()(x).double())
    for module, learns in ((kept, False), (learnt, True)):
        names = [name for name, _ in module.named_parameters()]
        assert any(name.endswith("weight_quantiser.f") for name in names) == learns


def test_everything_that_does_not_train_is_listed(keras, tmp_path):
    inputs = keras.Input((6, 3))
    y = keras.layers.LSTM(4, name="memory", return_sequences=True)(inputs)
    y = keras.layers.GRU(2, name="gate")(y)
    keras.Model(inputs, keras.layers.Dense(2)(y)).save(tmp_path / "model.keras")
    with pytest.raises(UnsupportedError) as caught:
        train.load(tmp_path / "model.keras")
    text = str(caught.value)
    assert "layer 'memory' (lstm)" in text
    assert "layer 'gate' (gru)" in text
    assert "kinds that train:" in text
