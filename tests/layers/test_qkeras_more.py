"""QKeras: wrappers, cells, adaptive activations and options against QKeras' own results (`qkeras/make_more.py`)."""

from __future__ import annotations

import json
import shutil
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hardwire import frontends
from hardwire.errors import HardwireError, ModelError, UnsupportedError
from hardwire.ir import interpreter
from hardwire.layers import import_rule
from hardwire.layers._lowering import lower
from hardwire.layers._qkeras_activations import activated
from hardwire.layers._qkeras_spec import read_spec
from hardwire.layers._qkeras_weights import quantised
from hardwire.layers.qkeras import _MODULES
from hardwire.network.graph import NetworkBuilder
from hardwire.network.prepare import input_quantisers, prepare
from hardwire.network.records import Record
from hardwire.network.reference import forward

ARCHIVE = Path(__file__).parent / "qkeras" / "more.zip"
RECORD = Record("layer", "QActivation", (), {}, {})


def stored(name: str) -> Any:
    with zipfile.ZipFile(ARCHIVE) as archive:
        return np.load(BytesIO(archive.read(name)))


FILES = [name for name in zipfile.ZipFile(ARCHIVE).namelist() if not name.endswith(".npz")]
MODELS, QUANTISERS = stored("models.npz"), stored("quantisers.npz")

ROUNDED = {"steps": 3e-7}
"""Where QKeras rounds to float32 and the meaning here does not: a scale times a sum."""


def unpacked(folder: Path, file: str) -> Path:
    with zipfile.ZipFile(ARCHIVE) as archive:
        return Path(archive.extract(file, folder))


@pytest.mark.parametrize("file", FILES)
def test_models_equal_qkeras(tmp_path: Path, file: str) -> None:
    name = file.partition(".")[0]
    x, theirs = MODELS[f"{name}/x"], MODELS[f"{name}/y"]
    network = prepare(frontends.load(unpacked(tmp_path, file)))
    (ours,) = forward(network, [x])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=ROUNDED.get(name, 0))
    assert np.ptp(theirs) > 0
    rules = input_quantisers(network, None)
    program = lower(network, rules)
    (codes,) = interpreter.run(program, [rules[network.inputs[0]].codes(x).reshape(len(x), -1)])
    fixed = (codes * program.port_scale(program.outputs[0])).astype(np.float64)
    np.testing.assert_array_equal(fixed, ours.reshape(len(x), -1))


@pytest.mark.parametrize("text", [name for name in QUANTISERS.files if name != "x"])
def test_drawn_options_equal_qkeras(text: str) -> None:
    net = NetworkBuilder("net")
    y = activated(RECORD, net, net.input("x", (1,)), read_spec(RECORD, "activation", json.loads(text)), "q")
    x, theirs = QUANTISERS["x"].astype(np.float64), QUANTISERS[text]
    (ours,) = forward(net.build([y]), [x[:, None]])
    np.testing.assert_array_equal(ours[:, 0], theirs)


@pytest.mark.parametrize("name", [*_MODULES, "QAdaptiveActivation", "QBidirectional"])
def test_every_layer_is_known_by_both_names(name: str) -> None:
    module = {"QAdaptiveActivation": "qlayers", "QBidirectional": "qrecurrent"}.get(name) or _MODULES[name]
    assert import_rule("keras", name) is import_rule("keras", f"qkeras.{module}.{name}")
    assert import_rule("keras", name) is not None


def changed(path: Path, layer: str, /, **settings: Any) -> Path:
    """Change settings of a layer of an HDF5 file."""
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        (found,) = [item for item in config["config"]["layers"] if item["config"]["name"] == layer]
        found["config"].update(settings)
        file.attrs["model_config"] = json.dumps(config)
    return path


@pytest.mark.parametrize(
    ("name", "layer", "settings", "word"),
    [
        ("adaptive_bits", "act", {"activation": "binary"}, "activation"),
        ("adaptive_bits", "act", {"total_bits": 2.5}, "whole number"),
        ("adaptive_bits", "act", {"total_bits": None}, "a number"),
        ("adaptive_bits", "act", {"total_bits": 99}, "1 to 32"),
        ("adaptive_leaky", "act", {"relu_neg_slope": 0.3}, "power of two"),
        ("adaptive_leaky", "act", {"relu_neg_slope": "x"}, "finite number"),
        ("both_lstm", "both", {"merge_mode": "max"}, "merge_mode"),
        ("both_lstm", "both", {"layer": {"class_name": "Mine", "config": {}}}, "Mine"),
        ("both_lstm", "both", {"layer": None}, "layer"),
        ("cell_lstm", "rnn", {"cell": {"class_name": "QMineCell", "config": {}}}, "QMineCell"),
        ("numbers", "a", {"kernel_quantizer": "bernoulli(alpha='auto_po2')"}, "random at inference"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(
    tmp_path: Path, name: str, layer: str, settings: dict[str, Any], word: str
) -> None:
    path = unpacked(tmp_path, f"{name}.h5")
    with pytest.raises(UnsupportedError, match=f"layer '{layer}") as error:
        frontends.load(changed(path, layer, **settings))
    assert word in str(error.value)


def test_channels_of_different_types_have_no_slope(tmp_path: Path) -> None:
    path = changed(unpacked(tmp_path, "adaptive_channels.h5"), "act", activation="quantized_relu", relu_neg_slope=0.25)
    with pytest.raises(UnsupportedError, match=r"'act'.*per_channel.*one type"):
        frontends.load(path)


@pytest.mark.parametrize("value", [np.array([np.nan], "f4"), np.zeros(2, "f4"), None])
def test_extremes_that_are_none_are_refused(tmp_path: Path, value: Any) -> None:
    path = unpacked(tmp_path, "adaptive_bits.h5")
    with h5py.File(path, "r+") as file:
        del file["model_weights/act/act/ema_max:0"]
        if value is not None:
            file["model_weights/act/act/ema_max:0"] = value
    with pytest.raises((ModelError, UnsupportedError), match="act"):
        frontends.load(path)


def test_damaged_files_do_no_worse_than_being_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, layer in (("adaptive_channels", "act"), ("both_lstm", "both"), ("cell_stack", "rnn")):
        whole = unpacked(tmp_path, f"{name}.h5")
        with h5py.File(whole) as file:
            (found,) = [
                item["config"]
                for item in json.loads(file.attrs["model_config"])["config"]["layers"]
                if item["config"]["name"] == layer
            ]
        for key in sorted(set(found) - {"name"}):
            junk = [None, -1, 3.5, "x", [], {}, [1], True, 1e30][int(rng.integers(9))]
            path = changed(Path(shutil.copy(whole, tmp_path / "junk.h5")), layer, **{key: junk})
            refused = ""
            try:
                frontends.load(path)
            except HardwireError as error:
                refused = str(error)
            assert not refused or layer in refused, (key, junk, refused)


@pytest.mark.parametrize("bits", [1, 2, 5])
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("alpha", [None, 1, 0.75, 2.0])
@pytest.mark.parametrize("symmetric", [0, 1])
def test_quantized_linear_is_its_definition(bits: int, keep: bool, alpha: float | None, symmetric: int) -> None:
    """QKeras' own words: divide by the scale, clip, round, multiply; the sign where one bit is signed."""
    text = f"quantized_linear({bits},1,{symmetric},{keep},alpha={alpha})"
    scale = (alpha or 1) * 2.0 ** (1 - bits + keep)
    x = QUANTISERS["x"].astype(np.float64)
    top = 2.0 ** (bits - keep)
    wanted = np.rint(np.clip(x / scale, keep * (-top + symmetric), top - 1)) * scale
    if bits == keep:
        wanted = np.where(x >= 0, scale / 2, -scale / 2)
    net = NetworkBuilder("net")
    spec = read_spec(RECORD, "activation", text)
    network = net.build([activated(RECORD, net, net.input("x", (1,)), spec, "q")])
    np.testing.assert_array_equal(forward(network, [x[:, None]])[0][:, 0], wanted)
    kernel = quantised(RECORD, "kernel_quantizer", spec, x.reshape(-1, 4))
    np.testing.assert_array_equal(kernel.values, wanted.reshape(-1, 4))


@pytest.mark.parametrize("text", ["quantized_linear(4)", "quantized_linear(4,alpha='auto')"])
def test_automatic_scales_of_quantized_linear_are_refused_by_name(text: str) -> None:
    spec = read_spec(RECORD, "kernel_quantizer", text)
    assert spec is not None
    with pytest.raises(UnsupportedError, match=r"'layer'.*kernel_quantizer.*no release"):
        quantised(RECORD, "kernel_quantizer", spec.trainable(), np.ones((2, 2)))
