"""HGQ 1 models from the file alone, against stored outputs of TensorFlow (recipe: `hgq_models/make_hgq1.py`)."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from hardwire import frontends
from hardwire.errors import HardwireError, ModelError, UnsupportedError
from hardwire.ir import interpreter
from hardwire.layers._lowering import lower
from hardwire.network.prepare import input_quantisers, prepare
from hardwire.network.reference import forward

MODELS = Path(__file__).parent / "hgq_models"
STORED = sorted(path.name for path in MODELS.glob("hgq1_*") if path.suffix in (".keras", ".gz"))
# What a native model does not say: the type of an input that no `Signature` describes.
TYPES = {"hgq1_dense_native": "s10.6", "hgq1_spatial_native": {"x": "s10.6"}}


def vectors(name):
    with np.load(MODELS / f"{name}.npz") as stored:
        inputs, outputs = ([stored[k].astype(np.float64) for k in sorted(stored) if k[0] == kind] for kind in "xy")
        return inputs, outputs


@pytest.mark.parametrize("file", STORED)
def test_stored_models_give_tensorflows_outputs_to_the_bit(file, tmp_path):
    name = file.partition(".")[0]
    xs, ys = vectors(name)
    path = MODELS / file
    if path.suffix == ".gz":
        path = tmp_path / path.stem
        path.write_bytes(gzip.decompress((MODELS / file).read_bytes()))
    network = frontends.load(path)
    for ours, theirs in zip(forward(network, xs), ys, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    network = prepare(network)
    program = lower(network, input_quantisers(network, TYPES.get(name)))
    codes = [port.quantiser.codes(x).reshape(len(x), -1) for port, x in zip(program.inputs, xs, strict=True)]
    for port, rows, theirs in zip(program.outputs, interpreter.run(program, codes), ys, strict=True):
        np.testing.assert_array_equal((rows * program.port_scale(port)).astype(float).reshape(theirs.shape), theirs)


def test_a_native_model_asks_for_the_type_of_its_input():
    network = prepare(frontends.load(MODELS / "hgq1_dense_native.keras"))
    with pytest.raises(ModelError, match=r"input 'x' needs a type"):
        input_quantisers(network)


def edited(tmp_path, layer_class, change=None, change_array=None):
    """Copy of the stored proxy with a changed first layer of a class, its settings or its variables."""
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(MODELS / "hgq1_dense_proxy.keras") as archive, zipfile.ZipFile(path, "w") as out:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "config.json" and change is not None:
                config = json.loads(content)
                change(next(x for x in config["config"]["layers"] if x["class_name"] == layer_class)["config"])
                content = json.dumps(config).encode()
            if name.endswith(".h5") and change_array is not None:
                held = io.BytesIO(content)
                with h5py.File(held, "r+") as file:
                    change_array(file["_layer_checkpoint_dependencies"])
                content = held.getvalue()
            out.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("layer_class", "attr", "value", "message"),
    [
        ("FixedPointQuantizer", "RND", "CEIL", r"attribute 'RND' = 'CEIL': only TRN"),
        ("FixedPointQuantizer", "SAT", "SOFT", r"attribute 'SAT' = 'SOFT': only WRAP"),
        ("FixedPointQuantizer", "novel", 3, r"attribute 'novel' = 3 is not understood"),
        ("UnaryLUT", "kif_in", [1, 2, 9], r"attribute 'kif_in' = .*table in the file has the shape"),
    ],
)
def test_settings_that_are_not_understood_are_named(tmp_path, layer_class, attr, value, message):
    with pytest.raises(UnsupportedError, match=message):
        frontends.load(edited(tmp_path, layer_class, lambda config: config.update({attr: value})))


def test_bits_that_are_no_type_are_named(tmp_path):
    def change(layers):
        layers["fixed_point_quantizer/vars/1"][...] = -3

    with pytest.raises(ModelError, match=r"bits from -3 to -3 are no type"):
        frontends.load(edited(tmp_path, "", change_array=change))


def test_damaged_files_end_with_errors_of_ours(tmp_path):
    data = (MODELS / "hgq1_dense_proxy.keras").read_bytes()
    rng = np.random.default_rng(0)
    for case in range(60):
        broken = bytearray(data[: rng.integers(len(data))] if case % 3 == 0 else data)
        for at in rng.integers(0, max(len(broken), 1), 4):
            if len(broken):
                broken[at] ^= int(rng.integers(1, 256))
        path = tmp_path / f"{case}.keras"
        path.write_bytes(bytes(broken))
        try:
            frontends.load(path)
        except HardwireError:
            continue
