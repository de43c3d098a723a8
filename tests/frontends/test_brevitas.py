"""Brevitas networks, exported as QONNX and as QCDQ, against Brevitas' own forward (`brevitas/make_models.py`)."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

import hardwire as hw
from hardwire import frontends
from hardwire.network.graph import Network
from hardwire.network.prepare import prepare
from hardwire.network.reference import forward

ARCHIVE = Path(__file__).with_name("brevitas") / "models.zip"
NAMES = sorted(name[:-5] for name in zipfile.ZipFile(ARCHIVE).namelist() if name.endswith(".onnx"))
OPEN = {"softmax", "weights_only"}
"""Networks with something that no quantiser gives a type."""


def read(name: str, folder: Path) -> tuple[Network, np.ndarray, np.ndarray]:
    with zipfile.ZipFile(ARCHIVE) as archive:
        path = folder / f"{name}.onnx"
        path.write_bytes(archive.read(path.name))
        vectors = np.load(BytesIO(archive.read(f"{name.rsplit('_', 1)[0]}.npz")))
    return frontends.load(path), vectors["x"].astype(np.float64), vectors["y"].astype(np.float64)


@pytest.mark.parametrize("name", NAMES)
def test_equals_brevitas(name: str, tmp_path: Path) -> None:
    """Brevitas computes in float32: its values are ours but for that, and no rounding decides differently."""
    network, x, y = read(name, tmp_path)
    (found,) = forward(network, [x])
    np.testing.assert_allclose(found.reshape(y.shape), y, rtol=0, atol=2e-6 * np.abs(y).max())
    (simpler,) = forward(prepare(network), [x])
    np.testing.assert_allclose(simpler, found, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in NAMES if name.rsplit("_", 1)[0] not in OPEN])
def test_compiles_exactly(name: str, tmp_path: Path) -> None:
    network, x, _ = read(name, tmp_path)
    bipolar = name.startswith("binary")  # its input has a sign and no type
    design = hw.compile(network, backend="emulator", input_type="s12.8" if bipolar else None)
    x = np.rint(x * 256) / 256 if bipolar else x
    (wanted,) = forward(prepare(network), [x])
    np.testing.assert_allclose(design.predict(x), wanted, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", [name for name in NAMES if name.rsplit("_", 1)[0] in OPEN])
def test_what_is_open_is_calibrated(name: str, tmp_path: Path) -> None:
    network, x, y = read(name, tmp_path)
    design = hw.compile(network, backend="emulator", calibrate=x, fidelity=0.999)
    assert np.mean((design.predict(x) - y) ** 2) < 2e-3 * np.mean((y - y.mean(axis=0)) ** 2)
