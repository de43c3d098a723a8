"""ONNX operators on whole tensors (reductions, slices, products of tensors, choices) against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hardwire.errors import UnsupportedError
from hardwire.frontends import load
from hardwire.network.reference import forward

NEWEST = 21
any_opset = st.sampled_from([9, 11, 12, 13, 17, 18, NEWEST])


def model(
    nodes: list[Any],
    inputs: dict[str, tuple[Any, ...]],
    constants: dict[str, Any] | None = None,
    *,
    outputs: tuple[str, ...] = ("y",),
    opset: int = 17,
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def same(proto: onnx.ModelProto, *inputs: Any) -> None:
    """Hold our float meaning against onnxruntime's result."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    want = session.run(None, {i.name: x for i, x in zip(session.get_inputs(), inputs, strict=True)})
    got = forward(load(proto), [np.asarray(x, np.float64) for x in inputs])
    for theirs, ours in zip(want, got, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)


def rows(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(opset=any_opset, data=st.data())
def test_reductions(opset: int, data: st.DataObject) -> None:
    kinds = ["Sum", "Mean", "Max", "Min", "L1", "L2", "SumSquare", "LogSumExp"]
    op = "Reduce" + data.draw(st.sampled_from(kinds))
    shape = data.draw(st.sampled_from([(4,), (3, 4), (2, 3, 2)]))
    full = len(shape) + 1
    axes = data.draw(st.lists(st.integers(1, full - 1), min_size=1, unique=True))
    axes = [axis - full if data.draw(st.booleans()) else axis for axis in axes]
    attrs: dict[str, Any] = {"keepdims": data.draw(st.integers(0, 1))}
    as_input = opset >= (13 if op == "ReduceSum" else 18)
    constants = {"axes": np.array(axes)} if as_input else {}
    if not as_input:
        attrs["axes"] = axes
    node = helper.make_node(op, ["x", *constants], ["y"], **attrs)
    same(model([node], {"x": (None, *shape)}, constants, opset=opset), rows(5, *shape))


def test_a_reduction_of_everything_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="the batch would be reduced too"):
        load(model([helper.make_node("ReduceMean", ["x"], ["y"])], {"x": (None, 3)}))


@settings(deadline=None, max_examples=60)
@given(opset=any_opset, data=st.data())
def test_slices(opset: int, data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([(5,), (4, 5)]))
    axis = data.draw(st.integers(1, len(shape)))
    size = shape[axis - 1]
    start, end = data.draw(st.tuples(st.integers(-size - 2, size + 1), st.integers(-size - 2, 1 << 40)))
    step = data.draw(st.sampled_from([1, 2, -1, -2])) if opset >= 10 else 1
    if not range(*slice(start, None if step < 0 and end < -size else end, step).indices(size)):
        return
    if opset < 10:
        node = helper.make_node("Slice", ["x"], ["y"], starts=[start], ends=[end], axes=[axis])
        constants: dict[str, Any] = {}
    else:
        constants = {"s": np.array([start]), "e": np.array([end]), "a": np.array([axis]), "t": np.array([step])}
        node = helper.make_node("Slice", ["x", *constants], ["y"])
    same(model([node], {"x": (None, *shape)}, constants, opset=opset), rows(3, *shape))


@settings(deadline=None, max_examples=30)
@given(opset=any_opset, sizes=st.lists(st.integers(1, 3), min_size=1, max_size=3), equal=st.booleans())
def test_splits_have_several_outputs(opset: int, sizes: list[int], equal: bool) -> None:
    outputs = tuple(f"y{i}" for i in range(len(sizes)))
    attrs: dict[str, Any] = {"axis": 1}
    constants: dict[str, Any] = {}
    if equal:
        sizes = [2] * len(sizes)
        if opset >= 18:
            attrs["num_outputs"] = len(sizes)
    elif opset < 13:
        attrs["split"] = sizes
    else:
        constants["sizes"] = np.array(sizes)
    node = helper.make_node("Split", ["x", *constants], list(outputs), **attrs)
    same(model([node], {"x": (None, sum(sizes), 2)}, constants, outputs=outputs, opset=opset), rows(3, sum(sizes), 2))


def test_one_output_of_a_split_alone() -> None:
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], axis=2),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    same(model(nodes, {"x": (None, 2, 6)}), rows(3, 2, 6))


@pytest.mark.parametrize("indices", [2, [0, 2, 2], [[0, 1], [-1, 2]]])
def test_gather(indices: Any) -> None:
    node = helper.make_node("Gather", ["x", "i"], ["y"], axis=1)
    same(model([node], {"x": (None, 3, 2)}, {"i": np.array(indices)}), rows(4, 3, 2))


@pytest.mark.parametrize(
    ("node", "shape", "constants"),
    [
        (("Tile", {}), (2, 3), {"r": np.array([1, 2, 3])}),
        (("Expand", {}), (1, 3), {"s": np.array([1, 4, 3])}),
        (("Expand", {}), (2, 1), {"s": np.array([2, 5])}),
        (("DepthToSpace", {"blocksize": 2}), (8, 2, 3), {}),
        (("DepthToSpace", {"blocksize": 2, "mode": "CRD"}), (8, 2, 3), {}),
        (("SpaceToDepth", {"blocksize": 2}), (3, 4, 2), {}),
    ],
)
def test_rearrangements(node: Any, shape: tuple[int, ...], constants: dict[str, Any]) -> None:
    op, attrs = node
    made = helper.make_node(op, ["x", *constants], ["y"], **attrs)
    same(model([made], {"x": (None, *shape)}, constants), rows(3, *shape))


@settings(deadline=None, max_examples=30)
@given(op=st.sampled_from(["Min", "Max", "Mean"]), count=st.integers(1, 3), constant=st.sampled_from([None, (), (3,)]))
def test_extrema_and_means(op: str, count: int, constant: Any) -> None:
    names = [f"x{i}" for i in range(count)]
    constants = {} if constant is None else {"c": rows(*constant, seed=7) if constant else np.float32(0.25)}
    node = helper.make_node(op, [*names, *constants], ["y"])
    shapes = [(2, 3), (1, 3), (2, 1)][:count]
    inputs = {name: (None, *shape) for name, shape in zip(names, shapes, strict=True)}
    same(model([node], inputs, constants), *(rows(4, *shape, seed=i) for i, shape in enumerate(shapes)))


@pytest.mark.parametrize("which", ["both", "yes", "no", "condition"])
def test_where(which: str) -> None:
    mask = np.array([[True, False, True], [False, False, True]])
    constants: dict[str, Any] = {} if which == "condition" else {"m": mask}
    if which in ("yes", "no"):
        constants["k"] = np.float32(-3.5)
    operands = {"both": ["m", "x", "z"], "yes": ["m", "x", "k"], "no": ["m", "k", "x"]}.get(which)
    inputs: dict[str, Any] = {"x": (None, 2, 3)}
    if which == "both":
        inputs["z"] = (None, 2, 3)
    if operands is None:
        nodes = [helper.make_node("Greater", ["x", "zero"], ["m"]), helper.make_node("Where", ["m", "x", "k"], ["y"])]
        constants |= {"zero": np.float32(0.5), "k": np.float32(-1.0)}
    else:
        nodes = [helper.make_node("Where", operands, ["y"])]
    same(model(nodes, inputs, constants), *(rows(4, 2, 3, seed=i) for i in range(len(inputs))))


@pytest.mark.parametrize("shapes", [((3, 4), (4, 2)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (1, 4, 5))])
def test_products_of_tensors(shapes: Any) -> None:
    a, b = shapes
    proto = model([helper.make_node("MatMul", ["a", "b"], ["y"])], {"a": (None, *a), "b": (None, *b)})
    same(proto, rows(3, *a), rows(3, *b, seed=1))


def test_einsum() -> None:
    node = helper.make_node("Einsum", ["a", "b"], ["y"], equation="bqhd,bkhd->bhqk")
    same(model([node], {"a": (None, 3, 2, 4), "b": (None, 5, 2, 4)}), rows(2, 3, 2, 4), rows(2, 5, 2, 4, seed=1))


def test_products_across_the_batch_are_refused() -> None:
    proto = model([helper.make_node("MatMul", ["a", "b"], ["y"])], {"a": (None, 4), "b": (4, 4)})
    with pytest.raises(UnsupportedError, match="would mix events"):
        load(proto)
