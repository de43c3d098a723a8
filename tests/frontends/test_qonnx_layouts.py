"""Operators of QONNX's own passes against its own execution of them (`brevitas/make_layouts.py`)."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import hardwire as hw
from hardwire import frontends
from hardwire.errors import HardwireError, ModelError, UnsupportedError
from hardwire.network.prepare import prepare
from hardwire.network.reference import forward

ARCHIVE = Path(__file__).with_name("brevitas") / "layouts.zip"
NAMES = sorted(name[:-5] for name in zipfile.ZipFile(ARCHIVE).namelist() if name.endswith(".onnx"))
PASSED = ("conv_channels_last", "conv_rows", "conv_1d_groups_channels_last")
"""Networks of Brevitas behind a pass of QONNX; the others are one operator behind a quantiser."""


def stored(name: str) -> tuple[Any, np.ndarray, np.ndarray]:
    with zipfile.ZipFile(ARCHIVE) as archive:
        answers = np.load(BytesIO(archive.read("answers.npz")))
        model = onnx.load_from_string(archive.read(f"{name}.onnx"))
    return model, answers[f"{name}_x"].astype(np.float64), answers[f"{name}_y"].astype(np.float64)


def test_everything_is_there() -> None:
    assert len(NAMES) == 14
    assert set(PASSED) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_equals_qonnx(name: str) -> None:
    model, x, y = stored(name)
    network = frontends.load(model)
    assert network.source["format"] == "qonnx"
    (found,) = forward(network, [x])
    assert np.ptp(y) > 0
    if name == "norm" or name in PASSED:  # computed in float32 there
        np.testing.assert_allclose(found, y, rtol=0, atol=2e-6 * np.abs(y).max())
    else:
        np.testing.assert_array_equal(found, y)
    (simpler,) = forward(prepare(network), [x])
    np.testing.assert_allclose(simpler, found, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_compiles_exactly(name: str) -> None:
    model, x, _ = stored(name)
    network = frontends.load(model)
    design = hw.compile(network, backend="emulator")
    np.testing.assert_allclose(design.predict(x), forward(prepare(network), [x])[0], rtol=1e-14, atol=1e-14)


def test_transposes_around_channels_last_cancel() -> None:
    """A network that stays channels last computes nothing but its layers."""
    network = prepare(frontends.load(stored("conv")[0]))
    assert [node.kind for node in network.nodes if node.attrs.get("perm") != (0, 1, 2)] == ["quantise", "conv"]


def changed(name: str, **attrs: Any) -> Any:
    """Change attributes of a stored model's one operator; None takes them away."""
    model, *_ = stored(name)
    (node,) = [node for node in model.graph.node if node.name == "op"]
    kept = [item for item in node.attribute if item.name not in attrs]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.attribute.extend(helper.make_attribute(key, value) for key, value in attrs.items() if value is not None)
    return model


@pytest.mark.parametrize(
    ("name", "attrs"),
    [
        ("rows", {"pad_amount": [1, 0]}),
        ("rows", {"stride": 2}),
        ("rows_dilated", {"dilations": 2, "kernel_size": 2, "stride": 1, "pad_amount": 0}),
        ("rows", {"input_shape": "(2, 4, 5, 2)", "depthwise": 0}),
    ],
)
def test_older_spellings_mean_the_same(name: str, attrs: dict[str, Any]) -> None:
    _, x, y = stored(name)
    np.testing.assert_array_equal(forward(frontends.load(changed(name, **attrs)), [x])[0], y)


@pytest.mark.parametrize(
    ("name", "attrs", "word"),
    [
        ("rows", {"input_shape": "(1, 9, 9, 2)"}, "input_shape"),
        ("rows", {"pad_amount": [1, 2, 3]}, "pad_amount"),
        ("rows", {"pad_amount": [-1, 0, 0, 0]}, "pad_amount"),
        ("rows", {"kernel_size": [9, 9]}, "window"),
        ("rows", {"stride": None}, "stride"),
        ("rows", {"colour": 1}, "colour"),
        ("average", {"ibits": 99}, "ibits"),
        ("average", {"data_layout": "HWC"}, "data_layout"),
        ("average", {"obits": None}, "obits"),
        ("max_pool", {"pads": [1]}, "pads"),
        ("conv", {"group": 5}, "op"),
        ("norm", {"training_mode": 1}, "training_mode"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(name: str, attrs: dict[str, Any], word: str) -> None:
    with pytest.raises(HardwireError, match="'op") as error:
        frontends.load(changed(name, **attrs))
    assert word in str(error.value)


def test_bits_are_zero_and_one() -> None:
    model, *_ = stored("popcount")
    (weights,) = [item for item in model.graph.initializer if item.name == "w"]
    weights.CopyFrom(onnx.numpy_helper.from_array(np.full((6, 3), 2, np.float32), "w"))
    with pytest.raises(ModelError, match=r"'op'.*0 and 1"):
        frontends.load(model)


@pytest.mark.parametrize(
    ("domain", "kind"),
    [
        ("finn.custom_op.fpgadataflow", "MatrixVectorActivation"),
        ("finn.custom_op.fpgadataflow.hls", "MVAU_hls"),
        ("finn.custom_op.fpgadataflow.rtl", "Thresholding_rtl"),
        ("qonnx.custom_op.general", "GenericPartition"),
    ],
)
def test_what_finn_has_mapped_is_refused_with_a_way_round(domain: str, kind: str) -> None:
    model, *_ = stored("max_pool_nhwc")
    (node,) = [node for node in model.graph.node if node.name == "op"]
    node.domain, node.op_type = domain, kind
    with pytest.raises(UnsupportedError, match=f"'op'.*{kind}.*FINN(.|\n)*exported"):
        frontends.load(model)


def test_a_debug_marker_is_its_input() -> None:
    model, x, _ = stored("max_pool_nhwc")
    (node,) = [node for node in model.graph.node if node.name == "op"]
    node.op_type = "DebugMarker"
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("export_debug_name", "here"))
    network = frontends.load(model)
    assert [node.kind for node in network.nodes] == ["quantise"]
    assert forward(network, [x])[0].shape == x.shape
