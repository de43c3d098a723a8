"""QKeras: every quantiser and layer against QKeras' own results, stored by `qkeras/make_*.py`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_checks import check_exact, quantised, types

import hardwire as hw
from hardwire import frontends
from hardwire.errors import UnsupportedError
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir import interpreter
from hardwire.layers import import_rule
from hardwire.layers._lowering import lower
from hardwire.layers._qkeras_activations import activated
from hardwire.layers._qkeras_spec import SIGNATURES, read_spec
from hardwire.layers._qkeras_weights import quantised as quantised_weights
from hardwire.network.graph import NetworkBuilder
from hardwire.network.prepare import input_quantisers, prepare
from hardwire.network.records import Record
from hardwire.network.reference import forward
from hardwire.quantiser import Quantiser

FILES = Path(__file__).parent / "qkeras"
QUANTISERS = np.load(FILES / "quantisers.npz")
MODELS = np.load(FILES / "models.npz")
VALUES = sorted(name.partition("/")[2] for name in QUANTISERS.files if name.startswith("value/"))
WEIGHTS = sorted(name for name in QUANTISERS.files if name.startswith("weight/"))
ROUNDED = {
    "quantized_bits(5,1,0,alpha=0.3)",  # QKeras rounds 0.3 · code to float32, the meaning here does not
}
SIGMOIDS = ("sigmoid", "tanh", "ulaw", ",1)")
RECORD = Record("layer", "QActivation", (), {}, {})


def network_of(spec, shape=(1,), quantiser=None):
    net = NetworkBuilder("net")
    x = net.input("x", shape) if quantiser is None else quantised(net, "x", shape, quantiser)
    return net.build([activated(RECORD, net, x, read_spec(RECORD, "activation", spec), "q")])


@pytest.mark.parametrize("spec", VALUES)
def test_quantisers_of_activations_equal_qkeras(spec):
    x, theirs = QUANTISERS["x"], QUANTISERS[f"value/{spec}"]
    if any(word in spec for word in SIGMOIDS):
        # Their float32 sum x/2 + 1/2 loses what is below 2^-24, which no fixed-point value near a tie has.
        x, theirs = (part[np.ldexp(x, 12) == np.rint(np.ldexp(x, 12))] for part in (x, theirs))
    ours = forward(network_of(spec), [x.astype(np.float64)[:, None]])[0][:, 0]
    if spec in ROUNDED or "ulaw" in spec:
        np.testing.assert_allclose(ours, theirs, rtol=3e-7, atol=1e-5)
    else:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("case", WEIGHTS)
def test_quantisers_of_weights_equal_qkeras(case):
    _, key, spec = case.split("/", 2)
    ours = quantised_weights(
        RECORD, "kernel_quantizer", read_spec(RECORD, "kernel_quantizer", spec), QUANTISERS[f"w/{key}"]
    )
    assert np.all(ours.scale > 0)
    if "'auto'" in spec:
        # `scale · code` and `x + (q - x)` are rounded to float32 there.
        np.testing.assert_allclose(ours.values, QUANTISERS[case], rtol=3e-7, atol=1e-7)
    else:
        np.testing.assert_array_equal(ours.values, QUANTISERS[case])


@pytest.mark.parametrize("spec", [spec for spec in VALUES if spec not in ROUNDED])
def test_quantisers_lower_to_what_they_mean(spec):
    check_exact(
        prepare(network_of(spec, (2,), Quantiser.of_type(FixedType.parse("s9.5"), Rounding.RND_CONV, Overflow.SAT)))
    )


bits = st.integers(1, 8)
whole = st.integers(-2, 4)
alphas = st.sampled_from([None, 1, 1.0, 0.5, 2, 0.75])
slopes = st.sampled_from([0.0, 0.0625, 0.25, 0.5, 1.0, 2.0])
bounds = st.sampled_from([None, 1, 2, 0.5])
drawn = st.one_of(
    st.builds("quantized_bits({},{},{},{},alpha={})".format, bits, whole, st.integers(0, 1), st.booleans(), alphas),
    st.builds("quantized_relu({},{},0,{})".format, bits, whole, slopes),
    st.builds("quantized_relu({},{},use_sigmoid=1)".format, bits, st.integers(-1, 3)),
    st.builds("quantized_po2({},max_value={})".format, st.integers(2, 4), bounds),
    st.builds("quantized_relu_po2({},{},{})".format, st.integers(2, 4), bounds, st.sampled_from([0, 0.25])),
    st.builds("binary({},{})".format, st.booleans(), alphas),
    st.builds("ternary({},{})".format, alphas, st.sampled_from([None, 0.25, 0.5, 1])),
    st.builds("quantized_tanh({},symmetric={})".format, bits, st.booleans()),
    st.builds("quantized_sigmoid({},{})".format, bits, st.booleans()),
)


@settings(max_examples=60, deadline=None)
@given(drawn, types)
def test_drawn_quantisers_lower_to_what_they_mean(spec, kind):
    check_exact(prepare(network_of(spec, (2,), Quantiser.of_type(kind, Rounding.RND_CONV, Overflow.SAT))))


def test_a_quantiser_is_the_same_as_a_string_and_as_settings():
    written = {"class_name": "quantized_bits", "config": {"bits": 6, "integer": 2, "alpha": 1, "symmetric": True}}
    long = {"module": "qkeras.quantizers", "registered_name": "quantized_bits", **written}
    text = "quantized_bits( 6, integer=2, alpha=1, symmetric=True )"
    specs = [read_spec(RECORD, "activation", value) for value in (written, long, text)]
    assert specs[0] == specs[1] == specs[2]
    assert specs[0].settings["keep_negative"] is True


# Models.

FILES_OF_MODELS = sorted(
    path.name for path in FILES.iterdir() if path.suffix in (".h5", ".keras", ".json") and ".weights" not in path.name
)
LONG_SCALES = ("auto_bias", "float_bias")


def load(file):
    path = FILES / file
    return frontends.load(path, weights=FILES / f"{path.stem}.weights.h5" if path.suffix == ".json" else None)


@pytest.mark.parametrize("file", FILES_OF_MODELS)
def test_models_equal_qkeras(file):
    name = file.partition(".")[0]
    x, theirs = MODELS[f"{name}/x"], MODELS[f"{name}/y"]
    network = prepare(load(file))
    ours = forward(network, [x])[0]
    if name == "tagger" or name in LONG_SCALES:
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    else:
        np.testing.assert_array_equal(ours, theirs)
    if name == "tagger":
        network = prepare(network.with_(outputs=network.nodes[-1].inputs))
    own = any(node.kind == "quantise" for node in network.consumers(network.inputs[0]))
    rules = input_quantisers(network, None if own else "s10.5")
    program = lower(network, rules)
    codes = interpreter.run(program, [rules[network.inputs[0]].codes(x).reshape(len(x), -1)])[0]
    fixed = (codes * program.port_scale(program.outputs[0])).astype(np.float64).reshape(len(x), -1)
    np.testing.assert_allclose(
        fixed, forward(network, [x])[0].reshape(len(x), -1), rtol=1e-12 if name in LONG_SCALES else 0
    )


def test_a_model_without_input_quantiser_compiles_with_a_stated_type():
    design = hw.compile(FILES / "norm.h5", input_type="s16.10")
    np.testing.assert_array_equal(design.predict(MODELS["norm/x"]), MODELS["norm/y"])


def test_kernels_without_alpha_get_automatic_powers_of_two():
    network = load("default.h5")
    (dense,) = [node for node in network if node.name == "fc"]
    columns = dense.params["kernel"].T
    assert all(len(np.unique(column)) <= 16 for column in columns)
    assert not {"kernel_scale"} & set(dense.params)


def test_odd_scales_stay_beside_integer_codes():
    network = load("auto.h5")
    (dense,) = [node for node in network if node.name == "fc"]
    assert np.array_equal(dense.params["kernel"], np.rint(dense.params["kernel"]))
    assert np.max(np.abs(dense.params["kernel"])) == 7
    (scale,) = [node for node in network if node.name == "fc_scale"]
    assert np.all(np.frexp(scale.params["gamma"])[0] != 0.5)


@pytest.mark.parametrize("receiving", [True, False])
@pytest.mark.parametrize("to_edges", [True, False])
def test_node_edge_projection_is_the_published_matrix(receiving, to_edges):
    # Receiver and sender of every edge of three nodes, in lexicographic order.
    ends = np.array([[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]])[:, 0 if receiving else 1]
    matrix = np.eye(3)[ends] if to_edges else np.eye(3)[ends].T
    attrs = {"receiving": receiving, "node_to_edge": to_edges}
    net = NetworkBuilder("net")
    x = net.input("x", (matrix.shape[1], 2))
    arrays = {"adjacency_matrix": matrix[None].astype(np.float32)}
    rule = import_rule("keras", "NodeEdgeProjection")
    network = net.build([rule(Record("proj", "NodeEdgeProjection", (x,), attrs, arrays), net)])
    x = np.random.default_rng(0).normal(size=(4, matrix.shape[1], 2))
    np.testing.assert_allclose(forward(network, [x])[0], matrix @ x, rtol=1e-15)
    other = Record("proj", "NodeEdgeProjection", ("x",), attrs, {"adjacency_matrix": 2 * matrix})
    with pytest.raises(UnsupportedError, match=r"'proj'.*never run"):
        rule(other, net)


def changed(tmp_path, name, place, **settings):
    """Copy a stored HDF5 model with other settings of one layer."""
    path = tmp_path / f"{name}.h5"
    shutil.copy(FILES / f"{name}.h5", path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        (found,) = [item for item in config["config"]["layers"] if item["config"]["name"] == place]
        found["config"].update(settings)
        file.attrs["model_config"] = json.dumps(config)
    return path


def test_masks_of_pruning_wrappers_are_multiplied_in(tmp_path):
    path = changed(tmp_path, "vectors", "prune_low_magnitude_fc")
    with h5py.File(path, "r+") as file:
        mask = file["model_weights/prune_low_magnitude_fc/prune_low_magnitude_fc/mask:0"]
        assert 0 < np.sum(mask[()]) < mask.size
        mask[()] = 0
    x = MODELS["vectors/x"]
    out = forward(frontends.load(path), [x])[0]
    assert np.all(out == out[:1])
    assert np.any(out != 0)


@pytest.mark.parametrize(
    ("name", "layer", "settings", "word"),
    [
        ("rnn", "rnn", {"stateful": True}, "stateful"),
        ("lstm", "rnn", {"state_quantizer": "ternary(alpha=1)"}, "states need a plain quantiser"),
        ("gru", "rnn", {"recurrent_activation": "binary(alpha=1)"}, "recurrent_activation"),
        ("lstm", "rnn", {"activation": "smooth_tanh"}, "gates only"),
        ("norm", "bn", {"inverse_quantizer": "quantized_bits(8)"}, "inverse_quantizer"),
        ("folded_ema", "conv", {"folding_mode": "other_folding"}, "folding_mode"),
        ("images", "pool", {"average_quantizer": "bernoulli()"}, "average_quantizer"),
        ("images", "depth", {"groups": 2}, "groups"),
        ("vectors", "prune_low_magnitude_fc", {"layer": {"class_name": "Mine", "config": {}}}, "Mine"),
        ("tagger", "fc0", {"kernel_quantizer": "bernoulli(alpha=1)"}, "kernel_quantizer"),
    ],
)
def test_settings_that_are_not_supported_are_refused_by_name(tmp_path, name, layer, settings, word):
    with pytest.raises(UnsupportedError, match=layer) as error:
        frontends.load(changed(tmp_path, name, layer, **settings))
    assert word in str(error.value)


@pytest.mark.parametrize("mode", ["sigmoid", "smooth_sigmoid", "hard_sigmoid"])
def test_gates_may_have_functions_of_their_own(tmp_path, mode):
    network = frontends.load(changed(tmp_path, "lstm", "rnn", recurrent_activation=mode))
    (cell,) = [node for node in network if node.kind == "lstm"]
    assert [kind for kind, _ in cell.attrs["recurrent_activation"]] == ["activation" if mode == "sigmoid" else "clip"]


# What is refused.


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ("bernoulli(alpha=1)", "random at inference"),
        ("quantized_bits(4,0,1,alpha='auto')", "other events of its batch"),
        ("quantized_bits(4,0,alpha='best')", "'best'"),
        ("quantized_bits(4,0,alpha=1,qnoise_factor=0.5)", "qnoise_factor"),
        ("quantized_bits(4,0,alpha=1,post_training_scale=0.5)", "post_training_scale"),
        ("quantized_bits(4,0,colour=1)", "'colour'"),
        ("quantized_bits(2.5,0)", "whole number"),
        ("quantized_bits(99,0)", "1 to 32"),
        ("quantized_bits(8,1e400)", "a number"),
        ("quantized_bits(None)", "a number"),
        ("quantized_relu(8,3,relu_upper_bound='x')", "a number"),
        ("quantized_relu(4,0,negative_slope=0.3)", "power of two"),
        ("quantized_relu(4,0,1,0.25)", "use_sigmoid"),
        ("quantized_wavelet(4)", "quantized_bits"),
        ("__import__('os').system('true')", "no quantiser"),
        ("quantized_bits(__import__('os'))", "no quantiser"),
        ("quantized_bits(*[1,2])", "no quantiser"),
        ("quantized_bits(**{'bits':3})", "no quantiser"),
        ("quantized_bits(" + "(" * 400 + ")" * 400 + ")", "no quantiser"),
        ("quantized_bits(" + "1," * 40 + ")", "at most"),
        ("tanhh", "tanhh"),
        (7, "7"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(spec, word):
    with pytest.raises(UnsupportedError, match="layer 'layer'") as error:
        network_of(spec)
    assert word in str(error.value)


def test_unknown_attributes_of_a_layer_are_refused(tmp_path):
    config = json.loads((FILES / "tagger.json").read_text())
    layer = next(item for item in config["config"]["layers"] if item["class_name"] == "QDense")
    layer["config"]["shuffle"] = 3
    (tmp_path / "model.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedError, match=r"'fc0'.*shuffle"):
        frontends.load(tmp_path / "model.json", weights=FILES / "tagger.weights.h5")


calls = st.builds(
    "{}({})".format, st.sampled_from(sorted(SIGNATURES)), st.text("0123456789.,=-'()[]{}eabNone ", max_size=12)
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=30), calls))
def test_no_string_does_worse_than_being_refused(text):
    refused = None
    try:
        network_of(text)
    except UnsupportedError as error:
        refused = str(error)
    assert refused is None or "layer 'layer'" in refused
