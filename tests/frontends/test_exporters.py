"""Models as tf2onnx, Keras, skl2onnx and PyTorch write them, against onnxruntime; `exporters/make.py` made them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import hardwire as hw
from hardwire.frontends import load
from hardwire.network.reference import forward

FILES = sorted((Path(__file__).parent / "exporters").glob("*.onnx"))


def inputs(session, rows):
    rng = np.random.default_rng(0)
    found = []
    for value in session.get_inputs():
        shape = (rows, *value.shape[1:])
        codes = "int" in value.type or "embedding" in str(session._model_path)
        x = rng.integers(0, 6, shape) if codes else rng.normal(size=shape)
        found.append(x.astype(np.int64 if "int" in value.type else np.float32))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_exported_models(path):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    data = inputs(session, 120)
    wanted = session.run(None, dict(zip([value.name for value in session.get_inputs()], data, strict=True)))
    found = forward(load(path), [x.astype(np.float64) for x in data])
    assert [y.shape for y in found] == [y.shape for y in wanted]
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    given = tuple(data) if len(data) > 1 else data[0]
    # Narrow scores: what is asked is that types are found, not how few bits.
    outputs = hw.compile(path, calibrate=given, fidelity=0.99, backend="emulator").predict(given)
    for ours, theirs in zip(outputs if isinstance(outputs, tuple) else (outputs,), found, strict=True):
        if theirs.ndim > 1:  # labels jump between nearly equal scores
            assert np.mean((ours - theirs) ** 2) <= 0.011 * np.mean((theirs - theirs.mean(0)) ** 2)
        else:
            assert np.mean(ours != theirs) < 0.1
