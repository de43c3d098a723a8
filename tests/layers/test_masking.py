"""Keras' masks of positions, of `Masking` and `Embedding(mask_zero=True)`, against Keras' own forward."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

os.environ.setdefault("KERAS_BACKEND", "torch")

keras = pytest.importorskip("keras")

import hardwire as hw  # noqa: E402
from hardwire.calibrate import fidelity_of  # noqa: E402
from hardwire.errors import ModelError, UnsupportedError  # noqa: E402
from hardwire.frontends import load  # noqa: E402
from hardwire.network.reference import forward  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Layer .* does not support masking"),
]
L = keras.layers
STORED = Path(__file__).with_name("masking_models")
STEPS, FEATURES = 5, 2


def padded(rng, value=0.0, rows=12):
    """Sequences of which any steps are masked, in some rows all of them, in others none."""
    x = rng.normal(size=(rows, STEPS, FEATURES)).astype(np.float32)
    gone = rng.random((rows, STEPS)) < 0.4
    gone[0], gone[1] = False, True
    x[gone] = value
    x[~gone, 0] += x[~gone, 0] == value
    return x


def against_keras(tmp_path, model, x, suffix=".keras"):
    rng = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape) * 0.6)
    path = tmp_path / f"m{suffix}"
    model.save(path)
    want = keras.tree.flatten(model.predict(x, verbose=0))
    ours = forward(load(path), [np.asarray(part, np.float64) for part in (x if isinstance(x, list) else [x])])
    for got, theirs in zip(ours, want, strict=True):
        assert got.shape == theirs.shape
        seen = np.isfinite(theirs)  # an average over no step at all is 0 / 0 in Keras
        np.testing.assert_allclose(got[seen], theirs[seen], rtol=1e-4, atol=1e-5)
    return path


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_recurrent_layers_skip_masked_steps(tmp_path, data):
    draw = data.draw
    kind = draw(st.sampled_from([L.SimpleRNN, L.LSTM, L.GRU]))
    value = draw(st.sampled_from([0.0, -1.0, 0.5]))
    settings_ = {key: draw(st.booleans()) for key in ("return_sequences", "return_state", "go_backwards")}
    settings_["zero_output_for_mask"] = draw(st.booleans())
    layer = kind(3, **settings_)
    if draw(st.booleans()):
        merge = draw(st.sampled_from(["concat", "sum", "ave", None]))
        settings_ = {**settings_, "go_backwards": False, "return_state": False}
        layer = L.Bidirectional(kind(3, **settings_), merge_mode=merge)
    front = [L.Masking(value), *([L.Dense(2)] if draw(st.booleans()) else [])]
    inputs = keras.Input((STEPS, FEATURES))
    y = inputs
    for each in front:
        y = each(y)
    y = layer(y)
    # What stands behind sees the mask too.
    if settings_["return_sequences"] and not isinstance(y, list | tuple) and draw(st.booleans()):
        y = draw(st.sampled_from([L.GRU(2), L.GlobalAveragePooling1D(), L.TimeDistributed(L.Dense(1))]))(y)
    x = padded(np.random.default_rng(draw(st.integers(0, 99))), value)
    against_keras(tmp_path, keras.Model(inputs, y), x, draw(st.sampled_from([".keras", ".h5"])))


def tokens():
    x = np.random.default_rng(2).integers(0, 4, (12, STEPS)).astype(np.float32)
    x[0], x[1] = 1, 0
    return x


def embedded(width=4):
    inputs = keras.Input((STEPS,))
    return inputs, L.Embedding(4, width, mask_zero=True)(inputs)


def block(x):
    """A transformer's."""
    x = L.LayerNormalization()(L.Add()([x, L.MultiHeadAttention(2, 2)(x, x)]))
    return L.LayerNormalization()(L.Add()([x, L.Dense(4)(L.Dense(3, activation="relu")(x))]))


CASES = {
    "average": lambda e: L.GlobalAveragePooling1D()(e),
    "average with its axis": lambda e: L.GlobalAveragePooling1D(keepdims=True)(L.Dropout(0.5)(e)),
    "maximum loses the mask": lambda e: L.GlobalMaxPooling1D()(e),
    "convolutions lose the mask": lambda e: L.GRU(2)(L.Conv1D(3, 2)(e)),
    "operations lose the mask": lambda e: L.LSTM(2)(keras.ops.relu(e)),
    "attention": lambda e: L.Attention()([L.Dense(4)(e), e]),
    "attention to what has no mask": lambda e: L.Attention()([keras.ops.relu(e), e], return_attention_scores=True),
    "additive attention": lambda e: L.AdditiveAttention()([e, L.Dense(4)(e), e]),
    "stated masks": lambda e: L.Attention()([e, e], mask=[None, keras.ops.greater(e[:, :, 0], 0.0)]),
    "multi-head attention": lambda e: L.GlobalAveragePooling1D()(L.MultiHeadAttention(2, 2)(e, e)),
    "multi-head attention with a key": lambda e: L.MultiHeadAttention(2, 2)(keras.ops.relu(e), e, L.Dense(3)(e)),
    "a block": lambda e: L.GlobalAveragePooling1D()(L.Add()([e, L.MultiHeadAttention(2, 2)(e, e)])),
    "blocks": lambda e: L.GlobalAveragePooling1D()(block(block(e))),
    "blocks, then nothing": lambda e: block(block(e)),
    "two of one tensor": lambda e: L.Concatenate()(
        [L.MultiHeadAttention(2, 2)(e, e), L.MultiHeadAttention(1, 3)(e, e)]
    ),
    "grouped queries": lambda e: L.GroupQueryAttention(2, 2, 1)(e, e),
    "sums": lambda e: L.GRU(2)(L.Add()([e, L.LayerNormalization()(e)])),
    "a sum with what has no mask": lambda e: L.GRU(2)(L.Add()([e, keras.ops.relu(e)])),
    "features joined": lambda e: L.GRU(2)(L.Concatenate()([e, L.Dense(2)(e)])),
    "features joined with what has no mask": lambda e: L.GRU(2)(L.Concatenate()([e, keras.ops.relu(e)])),
    "steps joined": lambda e: L.GRU(2)(L.Concatenate(axis=1)([e, L.Dense(4)(e)])),
    "stacked cells": lambda e: L.RNN([L.GRUCell(2), L.LSTMCell(3)], return_sequences=True)(e),
    "bidirectional attention": lambda e: L.Attention()([L.Bidirectional(L.GRU(2, return_sequences=True))(e)] * 2),
    "a stated mask": lambda e: L.LSTM(3)(keras.ops.relu(e), mask=keras.ops.less(e[:, :, 0], 0.3)),
    "a sub-model": lambda e: keras.Sequential([L.Dense(3), L.GRU(2)])(e),
}


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", CASES)
def test_masks_go_where_keras_lets_them(tmp_path, name, suffix):
    inputs, e = embedded()
    against_keras(tmp_path, keras.Model(inputs, CASES[name](e)), tokens(), suffix)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_the_tensor_in_front_has_no_mask(tmp_path, suffix):
    """`Masking` by 0 returns the numbers that it was given, and they mean different things from there on."""
    x = keras.Input((STEPS, FEATURES))
    y = [L.GRU(2)(x), L.GRU(2)(L.Masking()(x)), L.GRU(2)(L.Flatten()(L.Masking()(x))[:, None])]
    against_keras(tmp_path, keras.Model(x, y), padded(np.random.default_rng(0)), suffix)


def test_a_softmax_of_masked_positions(tmp_path):
    x, m = keras.Input((4,)), keras.Input((4,))
    y = L.Softmax()(x, mask=keras.ops.greater(m, 0.0))
    rng = np.random.default_rng(3)
    data = [rng.normal(size=(9, 4)).astype(np.float32) for _ in range(2)]
    data[1][0] = -1
    against_keras(tmp_path, keras.Model([x, m], y), data)


REFUSED = {
    "TimeDistributed": (lambda e: L.TimeDistributed(L.Softmax())(e), "which the Softmax inside"),
    "Multiply": (lambda e: L.Multiply()([e, e]), "versions of Keras differ"),
    "Softmax": (lambda e: L.Softmax(axis=1)(e), "its mask .5,. is of other positions"),
    "state": (
        lambda e: L.GRU(4)(e, initial_state=keras.ops.max(e, axis=1), mask=keras.ops.less(e[:, :, 0], 0.3)),
        "initial state together",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_masks_that_have_no_clear_meaning_are_refused_by_name(tmp_path, name):
    inputs, e = embedded()
    function, message = REFUSED[name]
    try:
        model = keras.Model(inputs, function(e))
    except ValueError:  # Keras itself refuses it
        model = keras.Sequential([inputs, L.Embedding(4, 5, mask_zero=True), L.Softmax(axis=1)])
    model.save(tmp_path / "m.keras")
    with pytest.raises((UnsupportedError, ModelError), match=message):
        load(tmp_path / "m.keras")


def test_a_mask_value_that_no_type_holds_is_refused(tmp_path):
    keras.Sequential([keras.Input((3, 2)), L.Masking(-999.1), L.GRU(2)]).save(tmp_path / "m.keras")
    with pytest.raises(UnsupportedError, match="mask_value"):
        load(tmp_path / "m.keras")


CALIBRATED = {
    "recurrent": lambda x: L.GRU(3)(L.Masking(-4.0)(x)),
    "both directions": lambda x: L.Bidirectional(L.SimpleRNN(2, return_sequences=True))(L.Masking()(x)),
    "average": lambda x: L.GlobalAveragePooling1D()(L.Dense(3)(L.Masking(-4.0)(x))),
    "attention": lambda x: L.Attention()([L.Masking()(x)] * 2),
}


@pytest.mark.parametrize("name", CALIBRATED)
def test_calibrated_designs_leave_masked_steps_out(tmp_path, name):
    inputs = keras.Input((STEPS, FEATURES))
    model = keras.Model(inputs, CALIBRATED[name](inputs))
    rng = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape) * 0.6)
    model.save(tmp_path / "m.keras")
    value = 0.0 if name in ("both directions", "attention") else -4.0
    x = padded(rng, value, rows=300).astype(np.float64)
    network = load(tmp_path / "m.keras")
    design = hw.compile(network, calibrate=x, fidelity=0.99, backend="emulator")
    ours, floats = design.predict(x), forward(network, [x])[0]
    assert fidelity_of([floats], [ours]) > 0.98
    if name != "attention":  # whose softmax is an approximation
        np.testing.assert_allclose(ours, forward(design.network, [x])[0], rtol=0, atol=1e-9)


def test_a_type_that_cannot_hold_the_mask_value_is_refused(tmp_path):
    keras.Sequential([keras.Input((3, 2)), L.Masking(-999.0), L.Flatten()]).save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match="without the value -999, which marks masked steps"):
        hw.compile(tmp_path / "m.keras", input_type="s8.4", exact=True, backend="emulator")


@pytest.mark.parametrize("name", ["keras2", "qkeras"])
def test_stored_models_mean_the_same(tmp_path, name):
    path = tmp_path / f"{name}.h5"
    path.write_bytes(gzip.decompress((STORED / f"{name}.h5.gz").read_bytes()))
    stored = np.load(STORED / f"{name}.npz")
    network = load(path)
    ours = forward(network, [stored[f"x{n}"].astype(np.float64) for n in range(len(network.inputs))])
    for number, got in enumerate(ours):
        theirs = stored[f"y{number}"]
        seen = np.isfinite(theirs)  # an average over no step at all
        np.testing.assert_allclose(got[seen], theirs[seen], rtol=1e-4, atol=1e-5, err_msg=str(number))
