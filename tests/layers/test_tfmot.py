"""Models of tensorflow-model-optimization's quantisation-aware training against their own outputs (`tfmot/`)."""

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

import hardwire as hw
from hardwire import frontends
from hardwire.errors import HardwireError, ModelError, UnsupportedError
from hardwire.network.prepare import prepare
from hardwire.network.reference import forward

ARCHIVE = Path(__file__).parent / "tfmot" / "models.zip"
NAMES = ("plain", "image", "branches")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tfmot")
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(place)
    return place


def answers(name: str) -> tuple[np.ndarray, np.ndarray]:
    with zipfile.ZipFile(ARCHIVE) as archive:
        found = np.load(BytesIO(archive.read("answers.npz")))
    return found[f"{name}/x"].astype(np.float64), found[f"{name}/y"].astype(np.float64)


@pytest.mark.parametrize("suffix", ["h5", "keras"])
@pytest.mark.parametrize("name", NAMES)
def test_models_equal_their_own_forward(folder: Path, name: str, suffix: str) -> None:
    """It computes in float32: its values are ours but for that, and no rounding decides differently."""
    x, y = answers(name)
    network = frontends.load(folder / f"{name}.{suffix}")
    (found,) = forward(network, [x])
    np.testing.assert_allclose(found, y, rtol=0, atol=2e-7)
    (simpler,) = forward(prepare(network), [x])
    np.testing.assert_allclose(simpler, found, rtol=0, atol=1e-12)


def test_a_convolution_between_quantisers_compiles_exactly(folder: Path) -> None:
    """A kernel's scale and the batch normalisation behind it become one."""
    x, y = answers("image")
    network = prepare(frontends.load(folder / "image.h5"))
    assert sum(node.kind == "batch_norm" for node in network.nodes) == 4
    design = hw.compile(folder / "image.h5", backend="emulator")
    np.testing.assert_allclose(design.predict(x), y, rtol=0, atol=2e-7)


def test_what_has_no_quantiser_is_calibrated(folder: Path) -> None:
    x, y = answers("plain")
    design = hw.compile(folder / "plain.keras", backend="emulator", calibrate=x, fidelity=0.99)
    assert np.mean((design.predict(x) - y) ** 2) < 0.01 * np.var(y)


def changed(folder: Path, target: Path, name: str, layer: str, /, **settings: Any) -> Path:
    path = Path(shutil.copy(folder / f"{name}.h5", target / "changed.h5"))
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        (found,) = [item for item in config["config"]["layers"] if item["config"]["name"] == layer]
        found["config"].update(settings)
        file.attrs["model_config"] = json.dumps(config)
    return path


MINE = {"class_name": "Mine", "config": {}}


@pytest.mark.parametrize(
    ("layer", "settings", "word"),
    [
        ("quantize_layer", {"quantizer": MINE}, "AllValuesQuantizer"),
        ("quantize_layer", {"quantizer": {"class_name": "AllValuesQuantizer", "config": {"num_bits": 99}}}, "num_bits"),
        ("quant_fc0", {"quantize_config": MINE}, "Mine"),
        ("quant_fc0", {"quantize_config": None}, "quantize_config"),
        ("quant_fc0", {"layer": MINE}, "quant_fc0"),
        ("quant_fc0", {"layer": 3}, "layer"),
        ("quant_fc0", {"colour": 3}, "colour"),
        ("quant_fc0", {"quantize_config": {"class_name": "Default8BitQuantizeConfigRNN", "config": {}}}, "recurrent"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(
    folder: Path, tmp_path: Path, layer: str, settings: dict[str, Any], word: str
) -> None:
    with pytest.raises(UnsupportedError, match=layer) as error:
        frontends.load(changed(folder, tmp_path, "plain", layer, **settings))
    assert word in str(error.value)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("quantize_layer/quantize_layer/quantize_layer_min:0", np.float32(1)),
        ("quantize_layer/quantize_layer/quantize_layer_max:0", np.float32(np.nan)),
        ("quant_fc0/quant_fc0/kernel_max:0", None),
        ("quant_fc0/quant_fc0/kernel_max:0", np.zeros(7, np.float32)),
        ("quant_fc0/quant_fc0/post_activation_min:0", np.float32(np.inf)),
    ],
)
def test_ranges_that_are_none_are_refused(folder: Path, tmp_path: Path, place: str, value: Any) -> None:
    path = Path(shutil.copy(folder / "plain.h5", tmp_path / "changed.h5"))
    with h5py.File(path, "r+") as file:
        del file[f"model_weights/{place}"]
        if value is not None:
            file[f"model_weights/{place}"] = value
    with pytest.raises((ModelError, UnsupportedError), match=place.partition("/")[0]):
        frontends.load(path)


def test_an_untrained_range_is_refused(folder: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(folder / "plain.h5", tmp_path / "changed.h5"))
    with h5py.File(path, "r+") as file:
        for end in ("min", "max"):
            file[f"model_weights/quant_fc1/quant_fc1/kernel_{end}:0"][()] = 0
    with pytest.raises(ModelError, match=r"'quant_fc1'.*range of kernel is empty(.|\n)*train"):
        frontends.load(path)


def test_damaged_configurations_do_no_worse_than_being_refused(folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    junk = [None, -1, 3.5, "x", [], {}, [1], True, MINE]
    for layer in ("quantize_layer_1", "quant_conv", "quant_max", "quant_relu"):
        with h5py.File(folder / "image.h5") as file:
            layers = json.loads(file.attrs["model_config"])["config"]["layers"]
        (found,) = [item["config"] for item in layers if item["config"]["name"] == layer]
        inside = found.get("quantize_config") or found["quantizer"]
        deep = [{**inside, "config": {**inside["config"], key: value}} for key in inside["config"] for value in junk]
        whole = "quantizer" if layer == "quantize_layer_1" else "quantize_config"
        for key in sorted(set(found) - {"name"}):
            for value in (
                [*deep, *junk, {**inside, "config": 3}]
                if key == whole
                else rng.permutation(np.array(junk, object))[:4].tolist()
            ):
                refused = ""
                try:
                    frontends.load(changed(folder, tmp_path, "image", layer, **{key: value}))
                except HardwireError as error:
                    refused = str(error)
                assert not refused or layer in refused, (key, value, refused)
