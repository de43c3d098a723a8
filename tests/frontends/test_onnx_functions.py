"""ONNX operators that become several nodes, and integer operators, against onnxruntime; refusals by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.errors import UnsupportedError
from hardwire.frontends import load
from hardwire.frontends._onnx_rewrite import refused
from hardwire.network.reference import forward

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

FLOAT = onnx.TensorProto.FLOAT
X = np.random.default_rng(3).normal(0, 1.5, (4, 3, 4)).astype(np.float32)


def made(
    nodes: list[Any],
    inputs: dict[str, np.ndarray],
    constants: dict[str, np.ndarray],
    outputs: list[str],
    opset: int = 18,
) -> Any:
    values = [
        helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), [None, *v.shape[1:]])
        for k, v in inputs.items()
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        values,
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def check(
    nodes: list[Any],
    inputs: dict[str, np.ndarray],
    constants: dict[str, np.ndarray] | None = None,
    outputs: tuple[str, ...] = ("y",),
    opset: int = 18,
    atol: float = 1e-4,
) -> None:
    model = made(nodes, inputs, constants or {}, list(outputs), opset)
    expected = ort.InferenceSession(model.SerializeToString()).run(list(outputs), inputs)
    found = forward(load(model), [x.astype(np.float64) for x in inputs.values()])
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs.astype(np.float64), rtol=1e-4, atol=atol)


def one(op: str, constants: dict[str, np.ndarray] | None = None, **attributes: Any) -> None:
    """An operator on X, with constants behind it."""
    constants = constants or {}
    check([helper.make_node(op, ["x", *constants], ["y"], **attributes)], {"x": X}, constants)


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize(("exclusive", "reverse"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_running_sums(axis: int, exclusive: int, reverse: int) -> None:
    one("CumSum", {"axis": np.array(axis, np.int64)}, exclusive=exclusive, reverse=reverse)


@pytest.mark.parametrize(("k", "largest"), [(1, 1), (1, 0), (2, 1), (3, 0)])
def test_top_k(k: int, largest: int) -> None:
    node = helper.make_node("TopK", ["x", "k"], ["y", "at"], axis=-1, largest=largest)
    check([node], {"x": X}, {"k": np.array([k], np.int64)}, ("y", "at"))


def test_functions_of_several_nodes() -> None:
    one("ReduceProd", {"axes": np.array([1, 2], np.int64)}, keepdims=0)
    one("LpNormalization", p=1, axis=1)
    one("LpNormalization", p=2, axis=-1)
    one("Hardmax", axis=-1)
    one("Mod", {"by": np.array([0.75], np.float32)}, fmod=1)
    one("Trilu", {"k": np.array(1, np.int64)}, upper=0)
    one("MeanVarianceNormalization", axes=[1, 2])


def test_spatial_functions() -> None:
    image = np.random.default_rng(4).normal(0, 1, (2, 3, 5, 5)).astype(np.float32)
    for op, attributes in (
        ("LRN", {"size": 3, "alpha": 0.1, "beta": 0.6, "bias": 1.5}),
        ("LpPool", {"kernel_shape": [2, 2], "strides": [2, 2], "p": 2}),
        ("LpPool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "p": 1}),
        ("GlobalLpPool", {"p": 2}),
    ):
        check([helper.make_node(op, ["x"], ["y"], **attributes)], {"x": image})


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(["bij,jk->bik", "bij,ij->b", "bij->bji", "bij,ijk->bk", "...j,jk->...k", "bij,jki->bkij"]))
def test_einsum_with_constants(equation: str) -> None:
    sizes = {"i": 3, "j": 4, "k": 2}
    terms = equation.split("->")[0].split(",")
    constants = {}
    if len(terms) == 2:
        shape = [sizes[letter] for letter in terms[1]]
        constants["w"] = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    if equation.startswith("..."):
        equation = equation.replace("...", "bi")  # onnxruntime knows it, other versions may not
    one("Einsum", constants, equation=equation)


def test_rows_of_a_table_and_one_hot() -> None:
    tokens = np.random.default_rng(5).integers(-4, 5, (4, 3))
    table = np.random.default_rng(6).normal(size=(5, 2)).astype(np.float32)
    nodes = [helper.make_node("Gather", ["t", "x"], ["r"]), helper.make_node("ReduceMean", ["r", "one"], ["y"])]
    check(nodes, {"x": tokens}, {"t": table, "one": np.array([1], np.int64)})
    constants = {"depth": np.array(5, np.int64), "values": np.array([0.25, 2.0], np.float32)}
    check([helper.make_node("OneHot", ["x", "depth", "values"], ["y"], axis=1)], {"x": tokens}, constants)


def test_elements_at_constant_places() -> None:
    index = np.array([[[0, 1], [3, -1]]], np.int64).repeat(4, 0)
    model_index = index[:1]
    node = helper.make_node("GatherElements", ["x", "i"], ["y"], axis=2)
    network = load(made([node], {"x": X}, {"i": model_index}, ["y"]))
    (found,) = forward(network, [X.astype(np.float64)])
    np.testing.assert_allclose(found, np.take_along_axis(X[:, :2], np.where(index < 0, index + 4, index), 2))


QUANT = {
    "xs": np.float32(0.25), "xz": np.int8(3), "ws": np.float32(0.125), "wz": np.int8(0),
    "ys": np.float32(0.5), "yz": np.int8(-2),
}  # fmt: skip


def quantised(op: str, weight: np.ndarray, x: np.ndarray, *more: str, **attributes: Any) -> None:
    """`QuantizeLinear`, the operator on codes, `DequantizeLinear`."""
    domain = "com.microsoft" if op in ("QLinearAdd", "QLinearMul") else ""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["q"]),
        helper.make_node(
            op, ["q", "xs", "xz", "w", "ws", "wz", "ys", "yz", *more], ["c"], name="layer", domain=domain, **attributes
        ),
        helper.make_node("DequantizeLinear", ["c", "ys", "yz"], ["y"]),
    ]
    constants = {**{key: np.asarray(value) for key, value in QUANT.items()}, "w": weight}
    if more:
        constants["b"] = np.array([40, -20], np.int32)
    check(nodes, {"x": x}, constants, atol=1e-6)


def test_operators_on_codes() -> None:
    rng = np.random.default_rng(7)
    image = rng.normal(0, 4, (3, 2, 4, 4)).astype(np.float32)
    kernel = rng.integers(-20, 20, (2, 2, 3, 3), np.int8)
    quantised("QLinearConv", kernel, image, "b", pads=[1, 1, 1, 1])
    quantised("QLinearMatMul", rng.integers(-20, 20, (4, 2), np.int8), X * 3)
    quantised("QLinearAdd", rng.integers(-20, 20, (1, 3, 4), np.int8), X * 3)
    quantised("QLinearMul", rng.integers(-20, 20, (1, 3, 4), np.int8), X * 3)


def test_products_of_integers() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.integers(0, 255, (4, 3), np.uint8), rng.integers(0, 255, (3, 2), np.uint8)
    constants = {"b": b, "az": np.array(12, np.uint8), "bz": np.array(100, np.uint8)}
    nodes = [
        helper.make_node("MatMulInteger", ["a", "b", "az", "bz"], ["i"], name="product"),
        helper.make_node("Cast", ["i"], ["y"], to=FLOAT),
    ]
    check(nodes, {"a": a}, constants)


def test_fused_operators_of_onnxruntime() -> None:
    weight = np.random.default_rng(9).normal(size=(4, 2)).astype(np.float32)
    node = helper.make_node("FusedMatMul", ["x", "w"], ["y"], domain="com.microsoft", alpha=0.5, name="f")
    check([node], {"x": X}, {"w": weight})


@pytest.mark.parametrize("op", refused())
def test_refused_operators_say_why(op: str) -> None:
    graph = helper.make_graph(
        [helper.make_node(op, ["x"], ["y"], name="it")],
        "graph",
        [helper.make_tensor_value_info("x", FLOAT, [None, 3])],
        [onnx.ValueInfoProto(name="y")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    with pytest.raises(UnsupportedError, match=rf"layer 'it': operator '{op}' is not supported: .*\n.*instead: "):
        load(model)
