"""TensorFlow SavedModels and checkpoints of Keras 2, against Keras' own outputs (`keras2/make_savedmodels.py`)."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hardwire import frontends
from hardwire.errors import HardwireError, ModelError, UnsupportedError
from hardwire.frontends._tf_checkpoint import crc32c
from hardwire.frontends._wire import Message
from hardwire.network.reference import forward

FIXTURES = Path(__file__).parent / "keras2" / "savedmodels.zip"
NAMES = ("sequential", "nested")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("savedmodels")
    with zipfile.ZipFile(FIXTURES) as archive:
        archive.extractall(place)
    return place


def check(folder: Path, name: str, model: Path, weights: Path | None = None) -> None:
    answers = np.load(folder / "answers.npz")
    network = frontends.load(model, weights=weights)
    (y,) = forward(network, [answers[f"{name}_x"].astype(float)])
    np.testing.assert_allclose(y, answers[f"{name}_y"], rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_saved_model_is_keras_forward(folder: Path, name: str) -> None:
    check(folder, name, folder / name / "saved")
    assert frontends.load(folder / name / "saved").source["format"] == "keras2-savedmodel"


def test_its_graph_file_means_the_directory(folder: Path) -> None:
    check(folder, "sequential", folder / "sequential" / "saved" / "saved_model.pb")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "which", ["weights/model.ckpt", "weights/model.ckpt.index", "weights", "saved", "saved/variables"]
)
def test_architecture_with_checkpoint(folder: Path, name: str, which: str) -> None:
    check(folder, name, folder / name / "model.json", folder / name / which)


def message(*fields: tuple[int, bytes | int]) -> bytes:
    """Write a message: the other direction of `_wire`."""

    def number(value: int) -> bytes:
        out = bytearray()
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value])

    parts = []
    for field, value in fields:
        if isinstance(value, int):
            parts.append(number(field << 3) + number(value))
        else:
            parts.append(number(field << 3 | 2) + number(len(value)) + value)
    return b"".join(parts)


@pytest.mark.parametrize("name", NAMES)
def test_metadata_in_the_object_graph(folder: Path, tmp_path: Path, name: str) -> None:
    """TensorFlow before 2.5 wrote no `keras_metadata.pb`."""
    saved = folder / name / "saved"
    nodes = Message((saved / "keras_metadata.pb").read_bytes(), "fixture").messages(1)
    root = next(node for node in nodes if node.number(2) == 0)
    user = message((1, root.text(4).encode()), (3, root.text(5).encode()))
    graph = message((1, 1), (2, message((7, message((1, message((4, user))))))))
    (tmp_path / "variables").mkdir()
    for path in (saved / "variables").iterdir():
        (tmp_path / "variables" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "saved_model.pb").write_bytes(graph)
    check(folder, name, tmp_path)


def test_crc32c_of_the_standard() -> None:
    """Vectors of RFC 3720, B.4."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0


@pytest.mark.parametrize("seed", range(120))
def test_damage_is_an_error_or_changes_nothing(folder: Path, tmp_path: Path, seed: int) -> None:
    saved = folder / "sequential" / "saved"
    rng = random.Random(seed)
    files = ["keras_metadata.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
    hurt = rng.choice(files)
    (tmp_path / "variables").mkdir()
    for name in (*files, "saved_model.pb"):
        data = bytearray((saved / name).read_bytes())
        if name == hurt and seed % 3 == 0:
            data = data[: rng.randrange(len(data))]
        elif name == hurt:
            for _ in range(rng.choice([1, 1, 5])):
                data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / name).write_bytes(data)
    try:
        network = frontends.load(tmp_path)
    except HardwireError:
        return
    if "variables" in hurt:  # the checksums leave no other way
        answers = np.load(folder / "answers.npz")
        (y,) = forward(network, [answers["sequential_x"].astype(float)])
        np.testing.assert_allclose(y, answers["sequential_y"], rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("model.tflite", b"\x1c\0\0\0TFL3rest", "TensorFlow Lite"),
        ("frozen.pb", b"\x0a\x05hello", "without Keras' configuration"),
        ("model.ckpt.index", b"\0" * 60, "weights without the model"),
    ],
)
def test_other_files_of_tensorflow_are_refused_by_name(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ModelError, match=says):
        frontends.load(tmp_path / name)


def test_functions_without_keras_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(message((1, 1), (2, message((7, b"")))))
    with pytest.raises(UnsupportedError, match=r"(?s)without Keras' configuration.*model\.save\('model\.keras'\)"):
        frontends.load(tmp_path)


def test_a_missing_data_file_is_named(folder: Path, tmp_path: Path) -> None:
    saved = folder / "sequential" / "saved"
    (tmp_path / "variables").mkdir()
    for name in ("keras_metadata.pb", "saved_model.pb", "variables/variables.index"):
        (tmp_path / name).write_bytes((saved / name).read_bytes())
    with pytest.raises(ModelError, match=r"variables\.data-00000-of-00001.*missing"):
        frontends.load(tmp_path)


def test_weights_beside_a_saved_model_are_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="holds its own weights"):
        frontends.load(folder / "nested" / "saved", weights=folder / "nested" / "weights")
