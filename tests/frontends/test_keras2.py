"""Keras 2 models, many layers and operations of TensorFlow each, against Keras' outputs (`keras2/make_*.py`)."""

from __future__ import annotations

import copy
import json
import random
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardwire import frontends
from hardwire.errors import HardwireError
from hardwire.frontends._keras_weights import Hdf5, weight_source
from hardwire.frontends.keras import walk
from hardwire.network.reference import forward

FIXTURES = Path(__file__).parent / "keras2" / "models.zip"
NODES = FIXTURES.with_name("nodes.zip")
NAMES = ("functions", "arithmetic", "shapes", "reductions", "images", "sequences", "steps", "merging")
FILES = [name for name in zipfile.ZipFile(FIXTURES).namelist() if name.endswith((".h5", ".keras"))]


@pytest.mark.parametrize("file", [*FILES, "nodes.h5"])
def test_every_output_is_keras_own(tmp_path: Path, file: str) -> None:
    with zipfile.ZipFile(NODES if file == "nodes.h5" else FIXTURES) as archive:
        archive.extractall(tmp_path, [file, "answers.npz"])
    answers = np.load(tmp_path / "answers.npz")
    name = file.partition(".")[0]
    xs = [answers[key].astype(float) for key in answers.files if key.startswith(f"{name}_x")]
    expected = [answers[f"{name}_y{i}"] for i in range(sum(key.startswith(f"{name}_y") for key in answers.files))]
    network = frontends.load(tmp_path / file)
    outputs = forward(network, xs)
    assert len(outputs) == len(expected)
    for k, (mine, theirs) in enumerate(zip(outputs, expected, strict=True)):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5, err_msg=f"{network.outputs[k]} ({k})")


def test_every_family_is_there() -> None:
    assert {file.partition(".")[0] for file in FILES} == set(NAMES)


JUNK = [None, -1, 0, 1, 2, 3.5, True, "x", [], [1], {}, [None], {"a": 1}, [["x", 0, 0]], ["x", 0, 0], 1e30, "tanh"]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


@pytest.mark.parametrize("name", [*NAMES, "nodes"])
def test_strange_settings_are_errors_of_hardwire(name: str) -> None:
    """A value of the configuration is replaced or left out: nothing but a HardwireError may come of it."""
    with zipfile.ZipFile(NODES if name == "nodes" else FIXTURES) as archive:
        file = Hdf5(archive.read(f"{name}.h5"), name)
    whole = json.loads(file.attribute("", "model_config"))
    rng = random.Random(name)
    for _ in range(12):
        config = copy.deepcopy(whole)
        layer = rng.choice(config["config"]["layers"])
        *path, last = rng.choice(list(places(layer)))
        for key in path:
            layer = layer[key]
        if isinstance(layer, dict) and rng.random() < 0.2:
            del layer[last]
        else:
            layer[last] = rng.choice(JUNK)
        with suppress(HardwireError):
            walk(config, weight_source(file), name, name, "2.15.0", "", None, {})
