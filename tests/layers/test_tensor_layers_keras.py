"""Keras layers and operations on whole tensors, saved as `.keras` and read back, against Keras' own forward."""

from __future__ import annotations

import os

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")

keras = pytest.importorskip("keras")

from hardwire.frontends import load  # noqa: E402
from hardwire.network.reference import forward  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

MODELS = {
    "layer norm": ([(3, 4)], lambda x: keras.layers.LayerNormalization()(x)),
    "layer norm over two axes": ([(3, 4)], lambda x: keras.layers.LayerNormalization(axis=[1, 2], center=False)(x)),
    "rms norm": ([(3, 4)], lambda x: keras.layers.RMSNormalization()(x)),
    "dot of matrices": ([(3, 4), (5, 4)], lambda a, b: keras.layers.Dot(axes=2)([a, b])),
    "dot of vectors": ([(4,), (4,)], lambda a, b: keras.layers.Dot(axes=1)([a, b])),
    "matmul": ([(3, 4), (4, 2)], lambda a, b: keras.ops.matmul(a, b)),
    "einsum": ([(3, 2, 4), (5, 2, 4)], lambda a, b: keras.ops.einsum("bqhd,bkhd->bhqk", a, b)),
    "minimum": ([(3, 4), (3, 4)], lambda a, b: keras.layers.Minimum()([a, b])),
    "average": ([(3, 4)] * 3, lambda a, b, c: keras.layers.Average()([a, b, c])),
    "maximum with a constant": ([(3, 4)], lambda a: keras.ops.maximum(a, 0.25)),
    "sum": ([(3, 4)], lambda a: keras.ops.sum(a, axis=1)),
    "mean": ([(3, 4)], lambda a: keras.ops.mean(a, axis=-1, keepdims=True)),
    "max": ([(3, 4)], lambda a: keras.ops.max(a, axis=(1, 2))),
    "repeat": ([(4,)], lambda a: keras.layers.RepeatVector(3)(a)),
    "split": ([(3, 4)], lambda a: keras.ops.split(a, 2, axis=2)[1]),
    "split at places": ([(3, 4)], lambda a: keras.ops.split(a, [1], axis=2)),
}


@pytest.mark.parametrize("name", MODELS)
def test_keras_means_the_same(name, tmp_path):
    shapes, function = MODELS[name]
    rng = np.random.default_rng(0)
    inputs = [keras.Input(shape) for shape in shapes]
    model = keras.Model(inputs, function(*inputs))
    for weight in model.weights:
        weight.assign(rng.uniform(0.1, 1, weight.shape))
    model.save(tmp_path / "m.keras")
    data = [rng.normal(size=(5, *shape)).astype(np.float32) for shape in shapes]
    want = model.predict(data if len(data) > 1 else data[0], verbose=0)
    ours = forward(load(tmp_path / "m.keras"), [x.astype(np.float64) for x in data])
    for got, theirs in zip(ours, want if isinstance(want, list) else [want], strict=True):
        assert got.shape == theirs.shape
        np.testing.assert_allclose(got, theirs, rtol=1e-5, atol=1e-5)
