"""ONNX layers over spatial axes against onnxruntime: every attribute drawn, floats and integer codes with scales."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper

from frontends.test_onnx_tensors import model, rows, same
from hardwire.errors import UnsupportedError
from hardwire.frontends import load


@st.composite
def windows(draw: Any, rank: int) -> tuple[dict[str, Any], list[int]]:
    """Attributes that convolutions and pools share, and the window's size."""
    size = draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    attrs: dict[str, Any] = {}
    if draw(st.booleans()):
        attrs["strides"] = draw(st.lists(st.integers(1, 2), min_size=rank, max_size=rank))
    how = draw(st.sampled_from(["none", "pads", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if how == "pads":
        attrs["pads"] = [draw(st.integers(0, k - 1)) for k in [*size, *size]]
    elif how != "none":
        attrs["auto_pad"] = how
    if draw(st.booleans()) and not how.startswith("SAME"):
        attrs["dilations"] = draw(st.lists(st.integers(1, 2), min_size=rank, max_size=rank))
    return attrs, size


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_convolutions(data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, 2))
    attrs, size = data.draw(windows(rank))
    groups = data.draw(st.sampled_from([1, 2]))
    if groups > 1:
        attrs["group"] = groups
    constants = {"w": rows(4, 4 // groups, *size, seed=1)}
    if data.draw(st.booleans()):
        constants["b"] = rows(4, seed=2)
    if data.draw(st.booleans()):
        attrs["kernel_shape"] = size
    node = helper.make_node("Conv", ["x", *constants], ["y"], **attrs)
    spatial = (7, 6)[:rank]
    same(model([node], {"x": (None, 4, *spatial)}, constants), rows(2, 4, *spatial))


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_transposed_convolutions(data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, 2))
    attrs, size = data.draw(windows(rank))
    groups = data.draw(st.sampled_from([1, 2]))
    if groups > 1:
        attrs["group"] = groups
    strides = attrs.get("strides", [1] * rank)
    if "auto_pad" not in attrs and data.draw(st.booleans()):
        attrs["output_padding"] = [data.draw(st.integers(0, s - 1)) for s in strides]
    if str(attrs.get("auto_pad")).startswith("SAME"):
        # Elsewhere the specification leaves open what padding below zero means.
        assume(all(k >= s for k, s in zip(size, strides, strict=True)))
    constants = {"w": rows(4, 3, *size, seed=1)}
    if data.draw(st.booleans()):
        constants["b"] = rows(3 * groups, seed=2)
    node = helper.make_node("ConvTranspose", ["x", *constants], ["y"], **attrs)
    spatial = (4, 3)[:rank]
    same(model([node], {"x": (None, 4, *spatial)}, constants), rows(2, 4, *spatial))


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(["MaxPool", "AveragePool"]))
def test_pools(data: st.DataObject, op: str) -> None:
    rank = data.draw(st.integers(1, 2))
    attrs, size = data.draw(windows(rank))
    if op == "AveragePool":
        attrs.pop("dilations", None)
        if data.draw(st.booleans()):
            attrs["count_include_pad"] = 1
    if data.draw(st.booleans()) and "auto_pad" not in attrs and not attrs.get("count_include_pad"):
        attrs["ceil_mode"] = 1
    if str(attrs.get("auto_pad")).startswith("SAME"):
        # onnxruntime refuses strides beyond the window then.
        assume(all(k >= s for k, s in zip(size, attrs.get("strides", [1] * rank), strict=True)))
    node = helper.make_node(op, ["x"], ["y"], kernel_shape=size, **attrs)
    spatial = (7, 6)[:rank]
    same(model([node], {"x": (None, 2, *spatial)}), rows(2, 2, *spatial))


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
def test_global_pools(op: str) -> None:
    same(model([helper.make_node(op, ["x"], ["y"])], {"x": (None, 3, 4, 5)}), rows(2, 3, 4, 5))


@settings(deadline=None, max_examples=30)
@given(st.data(), st.sampled_from(["constant", "edge", "reflect"]), st.sampled_from([9, 11, 18]))
def test_padding(data: st.DataObject, mode: str, opset: int) -> None:
    least = -1 if mode == "constant" else 0
    pads = [0, *data.draw(st.lists(st.integers(least, 2), min_size=2, max_size=2))]
    pads += [0, *data.draw(st.lists(st.integers(least, 2), min_size=2, max_size=2))]
    attrs: dict[str, Any] = {"mode": mode}
    constants: dict[str, Any] = {}
    if opset < 11:
        attrs |= {"pads": pads, "value": 0.5}
    else:
        constants = {"p": np.array(pads), "v": np.float32(0.5)}
    node = helper.make_node("Pad", ["x", *constants], ["y"], **attrs)
    same(model([node], {"x": (None, 4, 3)}, constants, opset=opset), rows(2, 4, 3))


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_resizing(data: st.DataObject) -> None:
    mode = data.draw(st.sampled_from(["nearest", "linear", "cubic"]))
    places = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
    attrs = {"mode": mode, "coordinate_transformation_mode": data.draw(st.sampled_from(places))}
    if mode == "nearest":
        roundings = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
        attrs["nearest_mode"] = data.draw(st.sampled_from(roundings))
    shape = (1, 4, 6)
    if data.draw(st.booleans()):
        factors = [data.draw(st.sampled_from([0.5, 1.0, 2.0])) for _ in range(2)]
        constants = {"s": np.array([1, 1, *factors], np.float32)}
        names = ["x", "", "s"]
    else:
        sizes = [data.draw(st.integers(2, 8)) for _ in range(2)]
        constants = {"z": np.array([2, 1, *sizes])}
        names = ["x", "", "", "z"]
    node = helper.make_node("Resize", names, ["y"], **attrs)
    same(model([node], {"x": (2, *shape)}, constants, opset=18), rows(2, *shape))


def test_integer_weights_keep_their_scales() -> None:
    codes = np.random.default_rng(0).integers(-7, 8, (4, 2, 3)).astype(np.int8)
    scale = np.array([0.3, 0.1, 0.7, 1.0], np.float32)
    nodes = [
        helper.make_node("DequantizeLinear", ["codes", "scale"], ["w"], axis=0),
        helper.make_node("Conv", ["x", "w"], ["y"]),
    ]
    proto = model(nodes, {"x": (None, 2, 5)}, {"codes": codes, "scale": scale})
    same(proto, rows(2, 2, 5))
    (conv,) = [node for node in load(proto).nodes if node.kind == "conv"]
    assert conv.params["kernel"].dtype == np.int64
    np.testing.assert_array_equal(conv.params["kernel_scale"], scale.astype(np.float64))


@pytest.mark.parametrize(
    ("node", "constants", "message"),
    [
        (("Conv", {"kernel_shape": [2]}), {"w": rows(2, 2, 3)}, "kernel_shape"),
        (("Conv", {"auto_pad": "SAME"}), {"w": rows(2, 2, 3)}, "auto_pad"),
        (("Pad", {}), {"p": np.array([1, 0, 0, 0, 0, 0])}, "pads the batch axis"),
        (("Upsample", {"mode": "nearest"}), {"s": np.array([2, 1, 1], np.float32)}, "cannot be resized"),
        (("MaxPool", {"kernel_shape": [2], "extra": 1}), {}, "extra"),
    ],
)
def test_what_is_refused_is_named(node: Any, constants: dict[str, Any], message: str) -> None:
    op, attrs = node
    made = helper.make_node(op, ["x", *constants], ["y"], **attrs)
    with pytest.raises(UnsupportedError, match=message):
        load(model([made], {"x": (None, 2, 5)}, constants, opset=9 if op == "Upsample" else 17))
