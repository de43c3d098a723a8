"""Keras attention, of files by Keras 3 (made here) and Keras 2 (stored), against Keras' own forward."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

os.environ.setdefault("KERAS_BACKEND", "torch")

keras = pytest.importorskip("keras")

from hardwire.errors import UnsupportedError  # noqa: E402
from hardwire.frontends import load  # noqa: E402
from hardwire.network.reference import forward  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

STORED = Path(__file__).with_name("attention_models")
layers = keras.layers
MASK = np.array([[[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]]], bool)


def check(tmp_path, shapes, function, suffix=".keras", seed=0):
    rng = np.random.default_rng(seed)
    inputs = [keras.Input(shape) for shape in shapes]
    model = keras.Model(inputs, function(*inputs))
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape) * 0.5)
    path = tmp_path / f"m{suffix}"
    model.save(path)
    data = [rng.normal(size=(5, *shape)).astype(np.float32) for shape in shapes]
    want = keras.tree.flatten(model.predict(data if len(data) > 1 else data[0], verbose=0))
    ours = forward(load(path), [x.astype(np.float64) for x in data])
    assert len(ours) == len(want)
    for got, theirs in zip(ours, want, strict=True):
        assert got.shape == theirs.shape
        np.testing.assert_allclose(got, theirs, rtol=1e-4, atol=1e-5)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_multi_head_attention_of_drawn_settings(tmp_path, data):
    draw = data.draw
    settings_ = {
        "num_heads": draw(st.integers(1, 3)),
        "key_dim": draw(st.integers(1, 4)),
        "value_dim": draw(st.sampled_from([None, 1, 3])),
        "use_bias": draw(st.booleans()),
        "use_gate": draw(st.booleans()),
        "output_shape": draw(st.sampled_from([None, 5, (2, 3)])),
        "sliding_window": draw(st.sampled_from([None, 1, 2])),
    }
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(2, 4))
    if settings_["sliding_window"]:
        # Where nothing is left of a row, Keras' answer depends on its backend's kernel.
        columns = max(columns, rows)
    call = {"use_causal_mask": draw(st.booleans()), "return_attention_scores": draw(st.booleans())}
    shapes = [(rows, 4), (columns, 3)]
    if draw(st.booleans()):
        shapes.append((columns, 2))

    def function(*xs):
        named = dict(zip(("value", "key"), xs[1:], strict=False))
        return layers.MultiHeadAttention(**settings_)(xs[0], **named, **call)

    check(tmp_path, shapes, function, draw(st.sampled_from([".keras", ".h5"])), draw(st.integers(0, 99)))


def linformer(x):
    """Keys and values projected along the sequence (Wang et al., 2020), in the words of Keras."""
    features = layers.LayerNormalization()(x)
    short = layers.EinsumDense("bsf,sk->bkf", (2, 4))(features)
    query, key = layers.Dense(4)(features), layers.Dense(4, use_bias=False)(short)
    value = layers.EinsumDense("bsf,sk->bkf", (2, 4), bias_axes="k")(layers.Dense(4)(features))
    scores = layers.Softmax()(layers.Dot((2, 2))([query, key]) / 2.0)
    mixed = layers.Dot((2, 1))([scores, value])
    return layers.Add()([x, layers.MultiHeadAttention(2, 2)(mixed, short, value)])


MODELS = {
    "Linformer": ([(5, 4)], linformer),
    "one of several axes": ([(3, 4, 2, 5)], lambda x: layers.MultiHeadAttention(2, 3, attention_axes=(2,))(x, x)),
    "several axes together": (
        [(3, 4, 2, 5), (3, 5, 2, 4)],
        lambda x, y: layers.MultiHeadAttention(2, 3, attention_axes=(2, 3))(x, y, return_attention_scores=True),
    ),
    "a computed mask": (
        [(3, 8), (4, 8), (3, 4)],
        lambda x, y, m: layers.MultiHeadAttention(2, 3)(x, y, attention_mask=keras.ops.greater(m, 0)),
    ),
    "masks of positions": (
        [(3, 8), (4, 8), (4,), (4,)],
        lambda x, y, m, n: layers.MultiHeadAttention(2, 3)(
            x, y, key_mask=keras.ops.greater(m, -0.5), value_mask=keras.ops.less(n, 0.5)
        ),
    ),
    "Luong with masks": (
        [(3, 8), (4, 8), (3,), (4,)],
        lambda x, y, m, n: layers.Attention()([x, y], mask=[keras.ops.greater(m, 0), keras.ops.less(n, 0.5)]),
    ),
    "a constant mask": ([(3, 8), (4, 8)], lambda x, y: layers.MultiHeadAttention(2, 3)(x, y, attention_mask=MASK)),
    "grouped queries": (
        [(3, 8), (4, 8)],
        lambda x, y: layers.GroupQueryAttention(3, 6, 2, use_gate=True)(
            x, y, use_causal_mask=True, return_attention_scores=True
        ),
    ),
    "Luong with a key": (
        [(3, 8), (4, 8), (4, 8)],
        lambda x, y, z: layers.Attention(use_scale=True)([x, y, z], return_attention_scores=True),
    ),
    "Luong by tanh": (
        [(3, 8), (4, 8)],
        lambda x, y: layers.Attention(score_mode="concat", use_scale=True)([x, y], use_causal_mask=True),
    ),
    "Bahdanau": ([(3, 8), (4, 8)], lambda x, y: layers.AdditiveAttention()([x, y])),
    "Bahdanau without weights": ([(3, 8), (4, 8)], lambda x, y: layers.AdditiveAttention(use_scale=False)([x, y])),
    "log softmax": ([(3, 8)], lambda x: layers.Dense(4, activation="log_softmax")(x)),
    "softmax over two axes": ([(3, 8, 2)], lambda x: layers.Softmax(axis=(1, 3))(x)),
}


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", MODELS)
def test_keras_means_the_same(tmp_path, name, suffix):
    check(tmp_path, *MODELS[name], suffix)


@pytest.mark.parametrize("file", ["keras2.h5", "keras2.keras"])
def test_keras_2_means_the_same(file):
    stored = np.load(STORED / "keras2.npz")
    ours = forward(load(STORED / file), [stored["x0"].astype(np.float64), stored["x1"].astype(np.float64)])
    for number, got in enumerate(ours):
        np.testing.assert_allclose(got, stored[f"y{number}"], rtol=1e-4, atol=1e-5)


def test_what_is_not_supported_is_named(tmp_path):
    x = keras.Input((3, 4))
    y = layers.Attention()([x, x], mask=[np.ones((1, 3), bool)] * 2)
    keras.Model(x, y).save(tmp_path / "m.keras")
    with pytest.raises(UnsupportedError, match=r"'attention\w*': it is called with the mask .*, which is no tensor"):
        load(tmp_path / "m.keras")
    y = layers.MultiHeadAttention(1, 2)(x, x, query_mask=keras.ops.greater(x[..., 0], 0))
    keras.Model(x, y).save(tmp_path / "m.keras")
    with pytest.raises(UnsupportedError, match=r"\(MultiHeadAttention\): attribute 'call query_mask'"):
        load(tmp_path / "m.keras")
