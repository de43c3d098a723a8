"""Keras 2 models, many layers and operations of TensorFlow each, against Keras' outputs (`keras2/make_models.py`)."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from hardwire import frontends
from hardwire.network.reference import forward

FIXTURES = Path(__file__).parent / "keras2" / "models.zip"
NAMES = ("functions", "arithmetic", "shapes", "reductions", "images", "sequences", "steps", "merging")
FILES = [name for name in zipfile.ZipFile(FIXTURES).namelist() if name.endswith((".h5", ".keras"))]


@pytest.mark.parametrize("file", FILES)
def test_every_output_is_keras_own(tmp_path: Path, file: str) -> None:
    with zipfile.ZipFile(FIXTURES) as archive:
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
