"""The ONNX and QONNX frontend against onnxruntime, and against QONNX's definitions written out in numpy."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hardwire.errors import HardwireError, MissingToolError, ModelError, UnsupportedError
from hardwire.frontends import load
from hardwire.frontends import onnx as frontend
from hardwire.ir.interpreter import run
from hardwire.layers._lowering import lower
from hardwire.network.graph import Network
from hardwire.network.reference import forward

NEWEST = 25
DOMAINS = ("", "onnx.brevitas", "finn.custom_op.general", "qonnx.custom_op.general")


def model(
    nodes: list[Any],
    inputs: dict[str, tuple[Any, ...]],
    constants: dict[str, Any] | None = None,
    *,
    output: str = "y",
    opset: int = 17,
    domains: tuple[str, ...] = (),
    kind: int = TensorProto.FLOAT,
    out_kind: int = TensorProto.FLOAT,
    **extra: Any,
) -> onnx.ModelProto:
    """A model of `nodes` whose arrays in `constants` are initialisers (float64 ones stored as float32)."""
    tensors = []
    for name, value in (constants or {}).items():
        array = np.asarray(value)
        tensors.append(numpy_helper.from_array(array.astype(np.float32) if array.dtype == np.float64 else array, name))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(output, out_kind, None)],
        tensors,
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains if d)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10, producer_name="tests", **extra)


def theirs(proto: onnx.ModelProto, *inputs: Any) -> Any:
    """onnxruntime's result, unoptimised."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {i.name: x for i, x in zip(session.get_inputs(), inputs, strict=True)})[0]


def ours(proto: onnx.ModelProto, *inputs: Any) -> Any:
    return forward(load(proto), [np.asarray(x, np.float64) for x in inputs])[0]


def same(proto: onnx.ModelProto, *inputs: Any, exact: bool = False) -> None:
    want, got = theirs(proto, *inputs), ours(proto, *inputs)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=0 if exact else 2e-5, atol=0 if exact else 2e-5)


def integers(net: Network, x: Any) -> Any:
    """The network in exact integers: the interpreter's result as real numbers; the port takes the first quantiser."""
    first = next(node for node in net if node.inputs == net.inputs and node.kind == "quantise")
    quantiser = first.attrs["quantiser"]
    program = lower(net, {net.inputs[0]: quantiser})
    (codes,) = run(program, [quantiser.codes(x).reshape(len(x), -1)])
    port = program.outputs[0]
    return (codes * program.port_scale(port)).astype(np.float64).reshape((len(x), *port.shape))


def rows(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


# Standard operators against onnxruntime

any_opset = st.integers(9, NEWEST)


@settings(deadline=None, max_examples=40)
@given(opset=any_opset, data=st.data())
def test_gemm(opset: int, data: st.DataObject) -> None:
    k, m = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    trans = data.draw(st.integers(0, 1))
    attrs: dict[str, Any] = {"transB": trans} if trans or data.draw(st.booleans()) else {}
    for key in ("alpha", "beta"):
        if data.draw(st.booleans()):
            attrs[key] = data.draw(st.sampled_from([0.5, 1.0, -1.3]))
    constants = {"w": rows(*((m, k) if trans else (k, m)), seed=1)}
    bias = data.draw(st.sampled_from([None, (m,), (1, m), (1,), ()] if opset >= 11 else [(m,), (1, m), (1,), ()]))
    if bias is not None:
        constants["b"] = rows(*bias, seed=2)
    node = helper.make_node("Gemm", ["x", *constants], ["y"], **attrs)
    same(model([node], {"x": (None, k)}, constants, opset=opset), rows(6, k))


@settings(deadline=None, max_examples=40)
@given(opset=any_opset, data=st.data())
def test_matmul_and_bias(opset: int, data: st.DataObject) -> None:
    lead = data.draw(st.sampled_from([(), (3,), (2, 3)]))
    k, m = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    shape = data.draw(st.sampled_from([(k, m), (1, k, m), (k,)] if lead else [(k, m), (k,)]))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["t"])]
    constants: dict[str, Any] = {"w": rows(*shape, seed=1)}
    swap = data.draw(st.booleans())
    constants["b"] = rows(*data.draw(st.sampled_from([(m,), (1,), ()] if shape != (k,) else [()])), seed=2)
    nodes.append(helper.make_node("Add", ["b", "t"] if swap else ["t", "b"], ["y"]))
    proto = model(nodes, {"x": ("n", *lead, k)}, constants, opset=opset)
    same(proto, rows(5, *lead, k))
    if shape == (k, m) and constants["b"].shape == (m,):
        assert [node.kind for node in load(proto)] == ["dense"]


@pytest.mark.parametrize("shape", [(2, 4), (1, 2, 4)])
def test_constant_times_variable(shape: tuple[int, ...]) -> None:
    node = helper.make_node("MatMul", ["w", "x"], ["y"])
    same(model([node], {"x": (None, 4, 3)}, {"w": rows(*shape)}), rows(5, 4, 3, seed=1))


UNARY = {
    **{op: (9, {}) for op in ("Sigmoid", "Tanh", "Softplus", "Softsign", "Exp", "Abs", "Neg", "Sign", "Erf", "Relu")},
    **{op: (9, {}) for op in ("Sin", "Cos", "Atan", "Sinh", "Cosh", "Asinh", "Floor", "Ceil")},
    "Round": (11, {}),
    "HardSwish": (14, {}),
    "Mish": (18, {}),
    "Elu": (9, {"alpha": 0.7}),
    "Celu": (12, {"alpha": 0.7}),
    "Selu": (9, {"alpha": 1.5, "gamma": 2.0}),
    "LeakyRelu": (9, {"alpha": 0.3}),
    "HardSigmoid": (9, {"alpha": 0.3, "beta": 0.4}),
    "ThresholdedRelu": (10, {"alpha": 0.4}),
    "Gelu": (20, {"approximate": "tanh"}),
    "Shrink": (9, {"lambd": 0.7}),
}


@pytest.mark.parametrize("op", UNARY)
def test_unary(op: str) -> None:
    since, attrs = UNARY[op]
    for opset in {since, 13 if since < 13 else since, NEWEST}:
        # onnxruntime lacks a few operators in their newest version.
        for given_attrs in ({}, attrs):
            proto = model([helper.make_node(op, ["x"], ["y"], **given_attrs)], {"x": (None, 7)}, opset=opset)
            try:
                theirs(proto, rows(20, 7))
            except Exception as error:  # its exceptions have no common public base
                if "NOT_IMPLEMENTED" not in str(error):
                    raise
                continue
            same(proto, rows(20, 7))


@pytest.mark.parametrize("op", ["Log", "Sqrt", "Reciprocal", "Acosh"])
def test_unary_of_positive(op: str) -> None:
    same(model([helper.make_node(op, ["x"], ["y"])], {"x": (None, 7)}), np.abs(rows(20, 7)) + 1)


@pytest.mark.parametrize("op", ["Asin", "Acos", "Atanh", "Tan"])
def test_unary_of_small(op: str) -> None:
    same(model([helper.make_node(op, ["x"], ["y"])], {"x": (None, 7)}), np.tanh(rows(20, 7)) * np.float32(0.9))


def test_swish_alpha() -> None:
    x = rows(9, 4)
    got = ours(model([helper.make_node("Swish", ["x"], ["y"], alpha=0.5)], {"x": (None, 4)}, opset=24), x)
    np.testing.assert_allclose(got, x / (1 + np.exp(-0.5 * x.astype(float))), rtol=1e-12)


@pytest.mark.parametrize(("lambd", "bias"), [(0.5, 0.0), (0.5, 0.5)])
def test_shrink(lambd: float, bias: float) -> None:
    same(model([helper.make_node("Shrink", ["x"], ["y"], lambd=lambd, bias=bias)], {"x": (None, 7)}), rows(20, 7))


@pytest.mark.parametrize("exponent", [2.0, 0.5, -1.0, 3.0])
def test_pow(exponent: float) -> None:
    node = helper.make_node("Pow", ["x", "e"], ["y"])
    same(model([node], {"x": (None, 4)}, {"e": np.float32(exponent)}), np.abs(rows(9, 4)) + 1)


@pytest.mark.parametrize(("lo", "hi"), [(-1.0, 1.5), (None, 0.5), (0.0, None), (None, None), (0.0, 6.0)])
def test_clip_by_opset(lo: float | None, hi: float | None) -> None:
    bounds = {key: value for key, value in (("min", lo), ("max", hi)) if value is not None}
    x = rows(20, 5) * 3
    same(model([helper.make_node("Clip", ["x"], ["y"], **bounds)], {"x": (None, 5)}, opset=9), x)
    names = ["x", "min" if lo is not None else "", "max" if hi is not None else ""]
    constants = {key: np.float32(value) for key, value in bounds.items()}
    for opset in (11, 13, NEWEST):
        same(model([helper.make_node("Clip", names, ["y"])], {"x": (None, 5)}, constants, opset=opset), x)


def test_min_max_with_constant() -> None:
    nodes = [helper.make_node("Max", ["x", "lo"], ["t"]), helper.make_node("Min", ["hi", "t"], ["y"])]
    same(model(nodes, {"x": (None, 5)}, {"lo": np.float32(-0.5), "hi": np.float32(1.25)}), rows(20, 5))


@pytest.mark.parametrize("slope", [(1,), (3, 1, 1), (4,), (1, 3, 1, 4)])
def test_prelu(slope: tuple[int, ...]) -> None:
    node = helper.make_node("PRelu", ["x", "s"], ["y"])
    same(model([node], {"x": (None, 3, 2, 4)}, {"s": rows(*slope, seed=3)}), rows(5, 3, 2, 4))


@settings(deadline=None, max_examples=30)
@given(opset=any_opset, shape=st.sampled_from([(3,), (3, 4), (3, 2, 2)]), eps=st.sampled_from([None, 1e-3, 0.5]))
def test_batch_normalisation(opset: int, shape: tuple[int, ...], eps: float | None) -> None:
    constants = {"g": rows(3, seed=1), "b": rows(3, seed=2), "m": rows(3, seed=3), "v": np.abs(rows(3, seed=4)) + 0.1}
    attrs = {"momentum": 0.9} | ({} if eps is None else {"epsilon": eps})
    node = helper.make_node("BatchNormalization", ["x", *constants], ["y"], **attrs)
    same(model([node], {"x": (None, *shape)}, constants, opset=opset), rows(6, *shape))


@settings(deadline=None, max_examples=40)
@given(opset=any_opset, data=st.data())
def test_softmax_axes(opset: int, data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([(4,), (3, 4), (2, 3, 4)]))
    axis = data.draw(st.sampled_from([None, *range(1, len(shape) + 1), *range(-len(shape), 0)]))
    if opset < 11 and axis is not None and axis < 0:
        axis = 1
    attrs = {} if axis is None else {"axis": axis}
    same(
        model([helper.make_node("Softmax", ["x"], ["y"], **attrs)], {"x": (None, *shape)}, opset=opset), rows(5, *shape)
    )


@settings(deadline=None, max_examples=40)
@given(opset=any_opset, data=st.data())
def test_argmax(opset: int, data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([(4,), (3, 4)]))
    attrs = {"axis": data.draw(st.integers(1, len(shape)))}
    if data.draw(st.booleans()):
        attrs["keepdims"] = data.draw(st.integers(0, 1))
    if opset >= 12 and data.draw(st.booleans()):
        attrs["select_last_index"] = data.draw(st.integers(0, 1))
    op = data.draw(st.sampled_from(["ArgMax", "ArgMin"]))
    x = np.random.default_rng(1).integers(-2, 3, (30, *shape)).astype(np.float32)
    node = helper.make_node(op, ["x"], ["y"], **attrs)
    same(model([node], {"x": (None, *shape)}, opset=opset, out_kind=TensorProto.INT64), x, exact=True)


def test_top_k_of_one_is_argmax() -> None:
    node = helper.make_node("TopK", ["x", "k"], ["values", "y"], axis=-1)
    x = np.random.default_rng(1).integers(-2, 3, (30, 5)).astype(np.float32)
    same(model([node], {"x": (None, 5)}, {"k": np.array([1])}, out_kind=TensorProto.INT64), x, exact=True)


def test_top_k_values_are_the_maximum() -> None:
    node = helper.make_node("TopK", ["x", "k"], ["y", "at"], axis=-1)
    same(model([node], {"x": (None, 5)}, {"k": np.array([1])}), rows(6, 5), exact=True)


def test_top_k_of_more_than_there_are_is_refused() -> None:
    node = helper.make_node("TopK", ["x", "k"], ["y", "at"], axis=-1)
    with pytest.raises(ModelError, match=r"k = 6 of the 5 elements"):
        load(model([node], {"x": (None, 5)}, {"k": np.array([6])}))


@settings(deadline=None, max_examples=60)
@given(opset=any_opset, data=st.data())
def test_reshaping_chains(opset: int, data: st.DataObject) -> None:
    """Flatten, Reshape, Transpose, Squeeze, Unsqueeze in any order, with a dynamic or a fixed batch."""
    shape: tuple[int, ...] = data.draw(st.sampled_from([(6,), (2, 3), (2, 1, 3), (4, 3, 2)]))
    batch = data.draw(st.sampled_from([None, "n", 1, 5]))
    x = rows(batch if isinstance(batch, int) else 5, *shape)
    nodes: list[Any] = []
    constants: dict[str, Any] = {}
    now = "x"
    first = shape

    def add(op: str, *extra: str, **attrs: Any) -> None:
        nonlocal now
        nodes.append(helper.make_node(op, [now, *extra], [f"t{len(nodes)}"], **attrs))
        now = nodes[-1].output[0]

    def axes(op: str, values: list[int]) -> None:
        if opset < 13:
            add(op, axes=values)
        else:
            constants[f"c{len(nodes)}"] = np.array(values)
            add(op, f"c{len(nodes)}")

    for _ in range(data.draw(st.integers(1, 4))):
        op = data.draw(st.sampled_from(["Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity"]))
        if op == "Flatten":
            add(op, **data.draw(st.sampled_from([{}, {"axis": 1}])))
            shape = (int(np.prod(shape)),)
        elif op == "Reshape":
            size = int(np.prod(shape))
            divisor = data.draw(st.sampled_from([d for d in range(1, size + 1) if size % d == 0]))
            rest, head = data.draw(st.sampled_from([([divisor, -1], 0), ([divisor, size // divisor], -1)]))
            constants[f"c{len(nodes)}"] = np.array([head, *rest])
            add(op, f"c{len(nodes)}")
            shape = (divisor, size // divisor)
        elif op == "Transpose":
            perm = data.draw(st.permutations(range(1, len(shape) + 1)))
            add(op, perm=[0, *perm])
            shape = tuple(shape[p - 1] for p in perm)
        elif op == "Squeeze" and 1 in shape:
            axes(op, [shape.index(1) + 1])
            shape = tuple(d for i, d in enumerate(shape) if i != shape.index(1))
        elif op == "Unsqueeze":
            at = data.draw(st.integers(1, len(shape) + 1))
            axes(op, [at])
            shape = (*shape[: at - 1], 1, *shape[at - 1 :])
        else:
            add("Identity")
    nodes.append(helper.make_node("Identity", [now], ["y"]))
    same(model(nodes, {"x": (batch, *first)}, constants, opset=opset), x, exact=True)


@pytest.mark.parametrize("opset", [9, 13, NEWEST])
def test_batch_size_computed_from_shape(opset: int) -> None:
    """`x.view(x.size(0), -1)` as PyTorch traces it."""
    unsqueeze = {"axes": [0]} if opset < 13 else {}
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Constant", [], ["zero"], value=numpy_helper.from_array(np.array(0))),
        helper.make_node("Gather", ["s", "zero"], ["n"], axis=0),
        helper.make_node("Unsqueeze", ["n"] if opset < 13 else ["n", "at"], ["n1"], **unsqueeze),
        helper.make_node("Concat", ["n1", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    ]
    constants = {"rest": np.array([-1])} | ({"at": np.array([0])} if opset >= 13 else {})
    same(model(nodes, {"x": ("n", 2, 3)}, constants, opset=opset), rows(5, 2, 3), exact=True)


@settings(deadline=None, max_examples=60)
@given(opset=any_opset, data=st.data())
def test_arithmetic(opset: int, data: st.DataObject) -> None:
    op = data.draw(st.sampled_from(["Add", "Sub", "Mul", "Div"]))
    shape = data.draw(st.sampled_from([(3,), (2, 3)]))
    constant = data.draw(st.sampled_from([(), (1,), (3,), (1, 3)] + ([(2, 1), (1, 2, 3)] if len(shape) == 2 else [])))
    c = np.where(rows(*constant, seed=5) > 0, np.float32(0.7), np.float32(-3.0))
    flip = data.draw(st.booleans())
    x = np.abs(rows(5, *shape)) + np.float32(0.5)
    node = helper.make_node(op, ["c", "x"] if flip else ["x", "c"], ["y"])
    same(model([node], {"x": (None, *shape)}, {"c": c}, opset=opset), x)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Sum"])
def test_two_tensors(op: str) -> None:
    proto = model([helper.make_node(op, ["a", "b"], ["y"])], {"a": (None, 2, 3), "b": (None, 1, 3)})
    same(proto, rows(5, 2, 3), np.abs(rows(5, 1, 3, seed=1)) + np.float32(0.5))


def test_sum_of_many_and_concat() -> None:
    nodes = [
        helper.make_node("Sum", ["x", "c", "x", "x"], ["s"]),
        helper.make_node("Concat", ["s", "x"], ["y"], axis=-1),
    ]
    same(model(nodes, {"x": (None, 2, 3)}, {"c": rows(3)}), rows(5, 2, 3))


@pytest.mark.parametrize("opset", [9, 12, NEWEST])
def test_dropout_identity_cast_leave_no_node(opset: int) -> None:
    nodes = [
        helper.make_node("Dropout", ["x"], ["a"], **({"ratio": 0.3} if opset < 12 else {"seed": 3})),
        helper.make_node("Cast", ["a"], ["b"], to=TensorProto.DOUBLE),
        helper.make_node("Cast", ["b"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    proto = model(nodes, {"x": (None, 3)}, opset=opset)
    assert [node.kind for node in load(proto)] == ["relu"]
    same(proto, rows(5, 3), exact=True)


def test_constant_subgraphs_are_folded() -> None:
    """Weights computed from constants, in float32 as the framework would."""
    nodes = [
        helper.make_node("Constant", [], ["half"], value_float=0.3),
        helper.make_node("Mul", ["w", "half"], ["w1"]),
        helper.make_node("Transpose", ["w1"], ["w2"]),
        helper.make_node("Sqrt", ["v"], ["b"]),
        helper.make_node("Gemm", ["x", "w2", "b"], ["y"]),
    ]
    proto = model(nodes, {"x": (None, 4)}, {"w": rows(3, 4, seed=1), "v": np.abs(rows(3, seed=2))})
    same(proto, rows(5, 4))
    (node,) = load(proto)
    np.testing.assert_array_equal(node.params["kernel"], (rows(3, 4, seed=1) * np.float32(0.3)).T.astype(np.float64))


def test_unsorted_unused_and_unnamed_nodes() -> None:
    nodes = [
        helper.make_node("Relu", ["t"], ["y"]),
        helper.make_node("Gemm", ["x", "w"], ["t"], name="/fc/Gemm"),
        helper.make_node("NonMaxSuppression", ["x"], ["unused"]),
    ]
    net = load(model(nodes, {"x": (None, 3)}, {"w": rows(3, 2)}))
    assert [node.name for node in net] == ["/fc/Gemm", "y"]


def test_functions_are_put_in_place() -> None:
    body = [helper.make_node("Relu", ["a"], ["t"]), helper.make_node("Add", ["t", "a"], ["b"])]
    function = helper.make_function("own", "Twice", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    proto = model([helper.make_node("Twice", ["x"], ["y"], domain="own")], {"x": (None, 3)}, domains=("own",))
    proto.functions.append(function)
    x = rows(5, 3)
    np.testing.assert_array_equal(ours(proto, x), np.maximum(x, 0) + x)


@settings(deadline=None, max_examples=25)
@given(opset=any_opset, data=st.data())
def test_random_networks(opset: int, data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 6))
    nodes, constants, now, first = [], {}, "x", width
    for layer in range(data.draw(st.integers(1, 4))):
        wide = data.draw(st.integers(1, 6))
        constants[f"w{layer}"] = rows(width, wide, seed=layer)
        constants[f"b{layer}"] = rows(wide, seed=layer + 50)
        if data.draw(st.booleans()):
            nodes.append(helper.make_node("Gemm", [now, f"w{layer}", f"b{layer}"], [f"g{layer}"]))
        else:
            nodes.append(helper.make_node("MatMul", [now, f"w{layer}"], [f"m{layer}"]))
            nodes.append(helper.make_node("Add", [f"m{layer}", f"b{layer}"], [f"g{layer}"]))
        act = data.draw(st.sampled_from(["Relu", "Sigmoid", "Tanh", "LeakyRelu", "Identity"]))
        nodes.append(helper.make_node(act, [f"g{layer}"], [f"t{layer}"]))
        width, now = wide, f"t{layer}"
    proto = model(nodes, {"x": (None, first)}, constants, output=now, opset=opset)
    x = rows(8, first)
    np.testing.assert_allclose(ours(proto, x), theirs(proto, x), rtol=1e-4, atol=1e-4)


# QONNX against its definitions

ROUND = {
    "ROUND": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda v: np.sign(v) * np.ceil(np.abs(v)),
    "DOWN": np.trunc,
    "ROUND_TO_ZERO": np.trunc,
    "HALF_UP": lambda v: np.sign(v) * np.floor(np.abs(v) + 0.5),
    "HALF_DOWN": lambda v: np.sign(v) * np.ceil(np.abs(v) - 0.5),
}


def bounds(bits: Any, signed: int, narrow: int) -> tuple[Any, Any]:
    if signed:
        return -(2.0 ** (bits - 1)) + narrow, 2.0 ** (bits - 1) - 1
    return np.zeros_like(np.asarray(bits, float)), 2.0**bits - 1 - narrow


def quant_codes(x: Any, scale: Any, zero: Any, bits: Any, signed: int, narrow: int, mode: str) -> Any:
    lo, hi = bounds(bits, signed, narrow)
    return ROUND[mode](np.clip(x / scale + zero, lo, hi)) - zero


def quant(x: Any, scale: Any, zero: Any, bits: Any, signed: int, narrow: int, mode: str) -> Any:
    return quant_codes(x, scale, zero, bits, signed, narrow, mode) * scale


def trunc_1(x: Any, scale: float, zero: float, in_bits: int, out_bits: int, mode: str) -> Any:
    y = np.round(x / scale + zero) / 2.0 ** (in_bits - out_bits)
    return (ROUND[mode](y) - zero) * scale


def trunc_2(
    x: Any, scale: float, zero: float, out_scale: float, out_bits: int, signed: int, narrow: int, mode: str
) -> Any:
    factor = 2.0 ** np.round(np.log2(out_scale / scale))
    lo, hi = bounds(out_bits, signed, narrow)
    y = ROUND[mode](np.clip(np.round(x / scale + zero) / factor, lo, hi))
    return (y - zero / factor) * out_scale


def quant_node(op: str, domain: str, inputs: list[str], output: str = "y", **attrs: Any) -> Any:
    return helper.make_node(op, inputs, [output], domain=domain, **attrs)


def test_the_definitions_table_of_rounding() -> None:
    """The examples in QONNX's own table (intquant_v1.md) hold for the definitions above."""
    values = np.array([5.5, 2.5, 1.6, 1.1, 1.0, -1.0, -1.1, -1.6, -2.5, -5.5])
    table = {
        "ROUND": [6, 2, 2, 1, 1, -1, -1, -2, -2, -6],
        "CEIL": [6, 3, 2, 2, 1, -1, -1, -1, -2, -5],
        "FLOOR": [5, 2, 1, 1, 1, -1, -2, -2, -3, -6],
        "UP": [6, 3, 2, 2, 1, -1, -2, -2, -3, -6],
        "DOWN": [5, 2, 1, 1, 1, -1, -1, -1, -2, -5],
        "HALF_UP": [6, 3, 2, 1, 1, -1, -1, -2, -3, -6],
        "HALF_DOWN": [5, 2, 2, 1, 1, -1, -1, -2, -2, -5],
    }
    constants = {"s": np.float32(1), "z": np.float32(0), "b": np.float32(8)}
    for mode, want in table.items():
        np.testing.assert_array_equal(ROUND[mode](values), want)
        node = quant_node("Quant", "", ["x", "s", "z", "b"], rounding_mode=mode)
        np.testing.assert_array_equal(ours(model([node], {"x": (None, 10)}, constants), values[None])[0], want)


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_quant(data: st.DataObject) -> None:
    mode = data.draw(st.sampled_from(sorted(ROUND)))
    signed, narrow = data.draw(st.integers(0, 1)), data.draw(st.integers(0, 1))
    domain = data.draw(st.sampled_from(DOMAINS))
    op = data.draw(st.sampled_from(["Quant", "IntQuant"]))
    shape = (2, 3)
    part = data.draw(st.sampled_from([(), (1,), (3,), (1, 2, 1), (1, 2, 3)]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    pot = data.draw(st.booleans())
    scale = (2.0 ** rng.integers(-4, 3, part) if pot else rng.uniform(0.05, 0.9, part)).astype(np.float32)
    bits = np.asarray(rng.integers(1 if not narrow else 2, 9, part if data.draw(st.booleans()) else ()), np.float32)
    zero = np.asarray(rng.integers(-3, 4, part if data.draw(st.booleans()) else ()), np.float32)
    attrs = {"signed": signed, "narrow": narrow, "rounding_mode": data.draw(st.sampled_from([mode, mode.lower()]))}
    # A fine quantiser first, as the input's type.
    constants = {"s0": np.float32(2**-6), "z0": np.float32(0), "b0": np.float32(12), "s": scale, "z": zero, "b": bits}
    nodes = [
        quant_node("Quant", domain, ["x", "s0", "z0", "b0"], "t", signed=1, narrow=0, rounding_mode="ROUND"),
        quant_node(op, domain, ["t", "s", "z", "b"], **attrs),
    ]
    net = load(model(nodes, {"x": (None, *shape)}, constants, domains=(domain,)))
    assert net.source["format"] == "qonnx"
    x = rng.integers(-(2**11), 2**11, (50, *shape)) * 2.0**-6
    want = quant(x, scale.astype(float), zero.astype(float), bits.astype(float), signed, narrow, mode)
    np.testing.assert_array_equal(forward(net, [x])[0], want)
    np.testing.assert_array_equal(integers(net, x), want)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_quantised_dense(data: st.DataObject) -> None:
    """Weights and bias through Quant: exact codes and scales, in float and in integers."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    k, m = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 4)))
    gemm = data.draw(st.booleans())
    pot = data.draw(st.booleans())
    part = data.draw(st.sampled_from([(), (m, 1)])) if gemm else data.draw(st.sampled_from([(), (m,), (1, m)]))
    scale = (2.0 ** rng.integers(-4, 1, part) if pot else rng.uniform(0.05, 0.3, part)).astype(np.float32)
    w = rng.normal(0, 1, (m, k) if gemm else (k, m)).astype(np.float32)
    bias = rng.normal(0, 1, m).astype(np.float32)
    zero = data.draw(st.sampled_from([0.0, 3.0]))
    domain = data.draw(st.sampled_from(DOMAINS))
    constants = {
        **{"s0": np.float32(2**-4), "z0": np.float32(0), "b0": np.float32(8), "w": w, "ws": scale},
        **{"wz": np.float32(zero), "wb": np.float32(4), "bias": bias, "bs": np.float32(0.0123), "bb": np.float32(8)},
    }
    nodes = [
        quant_node("Quant", domain, ["x", "s0", "z0", "b0"], "t"),
        quant_node("Quant", domain, ["w", "ws", "wz", "wb"], "wq", narrow=1),
        quant_node("Quant", domain, ["bias", "bs", "z0", "bb"], "bq"),
    ]
    if gemm:
        nodes.append(helper.make_node("Gemm", ["t", "wq", "bq"], ["y"], transB=1))
    else:
        nodes += [helper.make_node("MatMul", ["t", "wq"], ["p"]), helper.make_node("Add", ["p", "bq"], ["y"])]
    net = load(model(nodes, {"x": (None, k)}, constants, domains=(domain,)))
    assert [node.kind for node in net] == ["quantise", "dense"]
    x = rng.integers(-128, 128, (40, k)) * 2.0**-4
    # Codes in float32, as the framework divides; the product in float64.
    codes = quant_codes(w, scale, np.float32(zero), 4.0, 1, 1, "ROUND").astype(float)
    kernel = codes * scale.astype(float)
    bias_codes = quant_codes(bias, np.float32(0.0123), np.float32(0), 8.0, 1, 0, "ROUND").astype(float)
    b = bias_codes * float(np.float32(0.0123))
    want = x @ (kernel.T if gemm else kernel) + b
    np.testing.assert_allclose(forward(net, [x])[0], want, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(integers(net, x), want, rtol=1e-13, atol=1e-13)
    params = net.nodes[1].params
    if not pot:
        assert params["kernel"].dtype == np.int64
        np.testing.assert_array_equal(params["kernel"], codes.T if gemm else codes)
        np.testing.assert_array_equal(
            np.broadcast_to(params["kernel_scale"], (m,)), np.broadcast_to(scale.ravel(), (m,))
        )


@settings(deadline=None, max_examples=60)
@given(domain=st.sampled_from(DOMAINS), scale=st.sampled_from([1.0, 0.5, 0.3]), constant=st.booleans())
def test_bipolar_quant(domain: str, scale: float, constant: bool) -> None:
    x = np.array([[-1.0, -(2.0**-4), 0.0, 2.0**-4, 3.0]])
    want = np.where(x >= 0, 1.0, -1.0) * float(np.float32(scale))
    constants = {"s": np.float32(scale), "s0": np.float32(2**-4), "z0": np.float32(0), "b0": np.float32(8)}
    first = quant_node("Quant", domain, ["x", "s0", "z0", "b0"], "t")
    if constant:
        constants["c"] = x[0].astype(np.float32)
        nodes = [first, quant_node("BipolarQuant", domain, ["c", "s"], "q"), helper.make_node("Mul", ["t", "q"], ["y"])]
        want = x * want
    else:
        nodes = [first, quant_node("BipolarQuant", domain, ["t", "s"])]
    net = load(model(nodes, {"x": (None, 5)}, constants, domains=(domain,)))
    np.testing.assert_array_equal(forward(net, [x])[0], want)
    np.testing.assert_array_equal(integers(net, x), want)


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_trunc(data: st.DataObject) -> None:
    domain = data.draw(st.sampled_from(DOMAINS))
    mode = data.draw(st.sampled_from(["FLOOR", "CEIL", "ROUND", "floor"]))
    scale = data.draw(st.sampled_from([0.25, 1.0, 0.3125]))
    zero = data.draw(st.sampled_from([0, 1, 3]))
    down = data.draw(st.integers(0, 4))
    newer = data.draw(st.booleans())
    in_bits, out_bits = 8, 8 - down
    constants = {
        **{"s0": np.float32(scale), "z0": np.float32(0), "b0": np.float32(8), "z": np.float32(zero)},
        **{"ib": np.float32(in_bits), "ob": np.float32(out_bits), "os": np.float32(scale * 2**down)},
    }
    names = ["s0", "z", "ib", *(["os"] if newer else []), "ob"]
    signed, narrow = data.draw(st.tuples(st.integers(0, 1), st.integers(0, 1)))
    attrs = {"rounding_mode": mode} | ({"signed": signed, "narrow": narrow} if newer else {})
    nodes = [
        quant_node("Quant", domain, ["x", "s0", "z0", "b0"], "t"),
        quant_node("Trunc", domain, ["t", *names], **attrs),
    ]
    net = load(model(nodes, {"x": (None, 4)}, constants, domains=(domain,)))
    x = np.random.default_rng(3).integers(-128, 128, (60, 4)) * scale
    if newer:
        want = trunc_2(x, scale, zero, scale * 2**down, out_bits, signed, narrow, mode.upper())
    else:
        want = trunc_1(x, scale, zero, in_bits, out_bits, mode.upper())
    np.testing.assert_array_equal(forward(net, [x])[0], want)
    np.testing.assert_array_equal(integers(net, x), want)


def test_multi_threshold() -> None:
    thresholds = np.array([[-1.5, 0.0, 0.3], [-0.25, 0.25, 2.0]], np.float32)
    constants = {"t": thresholds, "s0": np.float32(2**-4), "z0": np.float32(0), "b0": np.float32(8)}
    nodes = [
        quant_node("Quant", "", ["x", "s0", "z0", "b0"], "q"),
        quant_node("MultiThreshold", DOMAINS[2], ["q", "t"], out_scale=0.5, out_bias=-1.0, out_dtype="INT2"),
    ]
    net = load(model(nodes, {"x": (None, 2, 3)}, constants, domains=DOMAINS[2:3]))
    x = np.random.default_rng(0).integers(-60, 60, (50, 2, 3)) / 16
    want = -1.0 + 0.5 * (x[..., None] >= thresholds[:, None, :]).sum(-1)
    np.testing.assert_array_equal(forward(net, [x])[0], want)
    np.testing.assert_array_equal(integers(net, x), want)


# QDQ against onnxruntime

TYPES = {"uint8": np.uint8, "int8": np.int8, "uint16": np.uint16, "int16": np.int16}


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_quantise_dequantise(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(TYPES)))
    opset = data.draw(st.integers(10 if name.endswith("8") else 21, NEWEST))
    axis = data.draw(st.sampled_from([None, 1, 2, -1])) if opset >= 13 else None
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    part = () if axis is None else ((2,) if axis == 1 else (3,))
    scale = (2.0 ** rng.integers(-6, 1, part)).astype(np.float32)
    info = np.iinfo(TYPES[name])
    zero = rng.integers(max(info.min, -100), min(info.max, 100), part).astype(TYPES[name])
    attrs = {} if axis is None else {"axis": axis}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **attrs),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], **attrs),
    ]
    proto = model(nodes, {"x": (None, 2, 3)}, {"s": scale, "z": zero}, opset=opset)
    net = load(proto)
    assert net.source["format"] == "onnx-qdq"
    assert [node.kind for node in net] == ["quantise"]
    x = (rng.integers(-4000, 4000, (40, 2, 3)) / 128).astype(np.float32)
    want = theirs(proto, x)
    np.testing.assert_array_equal(forward(net, [x.astype(float)])[0], want)
    np.testing.assert_array_equal(integers(net, x.astype(float)), want)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_quantised_network_of_qdq(data: st.DataObject) -> None:
    """Input, weights (per channel, with zero points) and int32 bias as QDQ; exact against onnxruntime."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    k, m = 4, 3
    opset = data.draw(st.sampled_from([13, 17, 21, NEWEST]))
    channel = data.draw(st.booleans())
    unsigned = data.draw(st.booleans())
    part = (m,) if channel else ()
    ws = (2.0 ** rng.integers(-5, -1, part)).astype(np.float32)
    xs = np.float32(2**-3)
    codes = (
        rng.integers(0, 256, (m, k)).astype(np.uint8) if unsigned else rng.integers(-128, 128, (m, k)).astype(np.int8)
    )
    wz = rng.integers(0, 100, part).astype(codes.dtype)
    constants: dict[str, Any] = {
        **{"xs": xs, "xz": np.uint8(7), "ws": ws, "wz": wz, "w": codes, "bs": ws * xs},
        **{"b": rng.integers(-500, 500, m).astype(np.int32), "ys": np.float32(0.5), "yz": np.int8(-3)},
    }
    axis = {"axis": 0} if channel else {}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], **axis),
        helper.make_node("DequantizeLinear", ["b", "bs"], ["bd"], **axis),
        helper.make_node("Gemm", ["xd", "wd", "bd"], ["g"], transB=1),
        helper.make_node("Relu", ["g"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "ys", "yz"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "ys", "yz"], ["y"]),
    ]
    proto = model(nodes, {"x": (None, k)}, constants, opset=opset)
    net = load(proto)
    x = rows(30, k, seed=4) * 4
    want = theirs(proto, x)
    np.testing.assert_array_equal(forward(net, [x.astype(float)])[0], want)
    np.testing.assert_array_equal(integers(net, x.astype(float)), want)


def test_dequantised_weights_keep_their_codes() -> None:
    codes = np.array([[5, -7], [3, 127]], np.int8)
    scale = np.array([0.1, 0.3], np.float32)
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["d"], axis=0),
        helper.make_node("Transpose", ["d"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    (node,) = load(model(nodes, {"x": (None, 2)}, {"w": codes, "s": scale}))
    np.testing.assert_array_equal(node.params["kernel"], codes.T)
    np.testing.assert_array_equal(node.params["kernel_scale"], scale.astype(float))


def test_scale_for_each_input_is_multiplied_out_exactly() -> None:
    codes, scale = np.array([[5, -7], [3, 127]], np.int8), np.array([0.1, 0.3], np.float32)
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["d"], axis=0),
        helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    (node,) = load(model(nodes, {"x": (None, 2)}, {"w": codes, "s": scale}))
    np.testing.assert_array_equal(node.params["kernel"], codes * scale.astype(float)[:, None])


def test_constant_through_quantise_linear() -> None:
    """A float weight quantised inside the graph, 4 bits, as exporters write it."""
    zero = helper.make_tensor("z", TensorProto.INT4, [], [1])
    nodes = [
        helper.make_node("QuantizeLinear", ["w", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    proto = model(nodes, {"x": (None, 4)}, {"w": rows(4, 2), "s": np.float32(0.25)}, opset=21)
    proto.graph.initializer.append(zero)
    same(proto, rows(5, 4, seed=1))
    assert np.all(np.abs(load(proto).nodes[0].params["kernel"] / 0.25 + 0.5) <= 8.5)


def test_integer_input_and_output() -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "s", "z"], ["d"]),
        helper.make_node("Relu", ["d"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "s", "z"], ["y"]),
    ]
    constants = {"s": np.float32(0.25), "z": np.uint8(100)}
    proto = model(nodes, {"x": (None, 3)}, constants, kind=TensorProto.UINT8, out_kind=TensorProto.UINT8)
    x = np.random.default_rng(0).integers(0, 256, (40, 3)).astype(np.uint8)
    net = load(proto)
    np.testing.assert_array_equal(forward(net, [x.astype(float)])[0], theirs(proto, x))
    np.testing.assert_array_equal(integers(net, x.astype(float)), theirs(proto, x))


def test_unequal_pair_is_refused() -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s2", "z"], ["y"], name="back"),
    ]
    constants = {"s": np.float32(0.5), "s2": np.float32(0.25), "z": np.int8(0)}
    with pytest.raises(UnsupportedError, match=r"'back' \(DequantizeLinear\): its scale or zero point differs"):
        load(model(nodes, {"x": (None, 3)}, constants))


def test_integer_tensors_go_nowhere_else() -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("Relu", ["q"], ["y"], name="act"),
    ]
    with pytest.raises(UnsupportedError, match=r"'act' \(Relu\): reads the integer tensor 'q'"):
        load(model(nodes, {"x": (None, 3)}, {"s": np.float32(0.5), "z": np.int8(0)}))


# Files


def gemm_model(**changes: Any) -> onnx.ModelProto:
    return model(
        [helper.make_node("Gemm", ["x", "w"], ["y"], name="fc")], {"x": (None, 3)}, {"w": rows(3, 2)}, **changes
    )


def test_file_and_live_model_agree(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(gemm_model(), path)
    net, live = load(path), load(gemm_model())
    assert net.name == "net"
    assert live.name == "net"
    assert len(net.source.pop("sha256")) == 64
    assert live.source.pop("sha256")
    expected = {"format": "onnx", "opset": 17, "ir_version": 10, "producer": "tests"}
    assert net.source == live.source == expected
    unnamed = tmp_path / "model"
    onnx.save(gemm_model(), unnamed)
    assert frontend.accepts(unnamed)
    other = tmp_path / "text"
    other.write_text("no model at all")
    assert not frontend.accepts(other)


def test_external_data_beside_the_model(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(gemm_model(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    np.testing.assert_array_equal(load(path).nodes[0].params["kernel"], rows(3, 2))
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match=r"initialiser 'w': its data file 'weights.bin' is not beside the model"):
        load(path)


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "sub/../../secret.bin", "link.bin", ""])
def test_external_data_cannot_leave_the_folder(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(24))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    proto = gemm_model()
    weight = proto.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    (folder / "net.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=r"initialiser 'w': its data lies in .*outside of the model's folder"):
        load(folder / "net.onnx")
    with pytest.raises(UnsupportedError, match="a model in memory has no folder"):
        load(proto)


@pytest.mark.parametrize("keep", [1, 7, 20, 60, -30, -1])
def test_truncated_files(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(gemm_model().SerializeToString()[:keep])
    with pytest.raises(ModelError, match=r"net\.onnx'|initialiser|truncated"):
        load(path)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_corrupted_files_give_one_clear_error_or_a_network(tmp_path_factory: Any, data: st.DataObject) -> None:
    good = gemm_model().SerializeToString()
    if data.draw(st.booleans()):
        content = data.draw(st.binary(min_size=1, max_size=200))
    else:
        content = bytearray(good)
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("bad") / "net.onnx"
    path.write_bytes(bytes(content))
    try:
        net = load(path)
    except HardwireError:
        return
    assert net.outputs


def test_not_a_number(tmp_path: Path) -> None:
    proto = model([helper.make_node("Gemm", ["x", "w"], ["y"], name="fc")], {"x": (None, 2)}, {"w": [[1.0], [np.nan]]})
    with pytest.raises(ModelError, match=r"layer 'fc': parameter 'kernel' holds nan at \[1, 0\]"):
        load(proto)
    nodes = [quant_node("Quant", "", ["w", "s", "z", "b"], "q", name="wq"), helper.make_node("Gemm", ["x", "q"], ["y"])]
    constants = {"w": [[1.0], [np.nan]], "s": np.float32(1), "z": np.float32(0), "b": np.float32(4)}
    with pytest.raises(ModelError, match=r"layer 'wq' \(Quant\): its constant holds nan"):
        load(model(nodes, {"x": (None, 2)}, constants))


def test_unknown_operator() -> None:
    proto = model([helper.make_node("Fancy", ["x"], ["y"], domain="my.ops", name="odd")], {"x": (None, 2)})
    with pytest.raises(UnsupportedError, match=r"layer 'odd': operator 'Fancy' of domain 'my.ops' \(opset 17\)"):
        load(proto)
    # A standard name under a foreign domain is another operator.
    with pytest.raises(UnsupportedError, match=r"operator 'Relu' of domain 'my.ops'"):
        load(model([helper.make_node("Relu", ["x"], ["y"], domain="my.ops")], {"x": (None, 2)}))


def test_unknown_attribute() -> None:
    proto = model([helper.make_node("Relu", ["x"], ["y"], name="act", leak=0.5)], {"x": (None, 2)})
    with pytest.raises(UnsupportedError, match=r"layer 'act' \(Relu\): attribute 'leak' = 0.5 is not understood"):
        load(proto)
    proto = gemm_model()
    proto.graph.node[0].attribute.append(helper.make_attribute("transA", 1))
    with pytest.raises(UnsupportedError, match=r"layer 'fc' \(Gemm\): attribute 'transA' = 1: only 0 is supported"):
        load(proto)


REFUSED = {
    "wrong kernel": ("Gemm", ["x", "w5"], {}, r"the kernel \(5, 2\) needs 5 inputs"),
    "computed weights": ("MatMul", ["x", "x"], {}, r"cannot be multiplied"),
    "batch softmax": ("Softmax", ["x"], {"axis": 0}, r"attribute 'axis' = 0: the batch axis"),
    "far axis": ("Softmax", ["x"], {"axis": 5}, r"attribute 'axis' = 5: the tensor has 3 axes"),
    "batch argmax": ("ArgMax", ["x"], {}, r"attribute 'axis' = 0: the batch axis"),
    "batch moved": ("Transpose", ["x"], {"perm": [1, 0, 2]}, r"batch on axis 1"),
    "batch merged": ("Reshape", ["x", "minus"], {}, r"has the batch on axis 0, merged with others"),
    "batch flattened": ("Flatten", ["x"], {"axis": 0}, r"attribute 'axis' = 0: events .* would be mixed"),
    "concat constant": ("Concat", ["x", "c"], {"axis": 1}, r"would act on the batch axis"),
    "batch constant": ("Add", ["x", "c"], {}, r"would act on the batch axis"),
    "training": ("BatchNormalization", ["x", "v", "v", "v", "v"], {"training_mode": 1}, r"'training_mode' = 1"),
    "no such tensor": ("Relu", ["nothing"], {}, r"reads tensor 'nothing', which nothing makes"),
    "sequence": ("Cast", ["x"], {"to": TensorProto.INT8}, r"attribute 'to' = 3"),
    "zero divisor": ("Div", ["x", "o"], {}, r"division by a constant zero"),
    "loop": ("If", ["o"], {"then_branch": helper.make_graph([], "g", [], [])}, r"operator 'If'|operands are constants"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    op, inputs, attrs, text = REFUSED[case]
    constants = {
        **{"w5": rows(5, 2), "minus": np.array([-1, 3]), "c": rows(4, 2, 3), "v": rows(2) ** 2},
        **{"o": np.zeros((), np.float32)},
    }
    with pytest.raises(ModelError, match=text) as caught:
        load(model([helper.make_node(op, inputs, ["y"], name="it", **attrs)], {"x": (None, 2, 3)}, constants))
    assert "'it'" in str(caught.value)


@pytest.mark.parametrize(
    ("attrs", "zero", "bits", "text"),
    [
        ({"rounding_mode": "SIDEWAYS"}, 0.0, 4.0, "'rounding_mode' = 'SIDEWAYS': known are ROUND"),
        ({"signed": 2}, 0.0, 4.0, "'signed' = 2: only 1 or 0"),
        ({}, 0.5, 4.0, "the zero point is 0.5; only whole numbers"),
        ({}, 0.0, 3.5, "the bit width is 3.5; only whole numbers"),
        ({}, 0.0, 0.0, "a bit width of 0; 1 to 62"),
        ({"extra": 1}, 0.0, 4.0, "attribute 'extra' = 1 is not understood"),
    ],
)
def test_quant_refused(attrs: dict[str, Any], zero: float, bits: float, text: str) -> None:
    constants = {"s": np.float32(1), "z": np.float32(zero), "b": np.float32(bits)}
    node = quant_node("Quant", "onnx.brevitas", ["x", "s", "z", "b"], name="q", **attrs)
    with pytest.raises(UnsupportedError, match=rf"layer 'q' \(Quant\).*{text}"):
        load(model([node], {"x": (None, 2)}, constants, domains=("onnx.brevitas",)))


def test_shapes_of_inputs() -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    proto = model([node], {"x": (None, "seq", 3)})
    with pytest.raises(ModelError, match=r"input 'x': the model leaves its shape open: \['\?', '\?', 3\]"):
        load(proto)
    assert load(proto, example=np.zeros((1, 4, 3))).shapes["x"] == (4, 3)
    with pytest.raises(ModelError, match=r"the example has the shape \(1, 4, 2\)"):
        load(proto, example=np.zeros((1, 4, 2)))
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(ModelError, match="does not say its shape"):
        load(proto)


def test_opset_outside_of_what_is_understood() -> None:
    for opset in (6, 99):
        with pytest.raises(UnsupportedError, match=rf"opset {opset}; versions 7 to 25 are understood"):
            load(gemm_model(opset=opset))


def test_constant_bombs_are_refused() -> None:
    nodes = [helper.make_node("ConstantOfShape", ["s"], ["c"], name="bomb"), helper.make_node("Add", ["x", "c"], ["y"])]
    with pytest.raises(ModelError, match=r"layer 'bomb' \(ConstantOfShape\): a constant of 1e\+12 elements"):
        load(model(nodes, {"x": (None, 2)}, {"s": np.array([10**6, 10**6])}))


def test_values_that_depend_on_the_batch_are_refused() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Cast", ["s"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "f"], ["y"], name="sum"),
    ]
    with pytest.raises(UnsupportedError, match=r"layer 'sum' \(Add\): operand 1 depends on the batch size"):
        load(model(nodes, {"x": (None, 2)}))


def test_cycles_and_constant_outputs() -> None:
    nodes = [helper.make_node("Add", ["x", "b"], ["a"], name="first"), helper.make_node("Relu", ["a"], ["b"])]
    with pytest.raises(ModelError, match="layer 'first': its inputs depend on its own output"):
        load(model(nodes, {"x": (None, 2)}, output="b"))
    with pytest.raises(ModelError, match="output 'w' is a constant"):
        load(model([helper.make_node("Relu", ["x"], ["y"])], {"x": (None, 2)}, {"w": rows(2)}, output="w"))


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    proto = gemm_model()
    original = builtins.__import__

    def absent(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "onnx":
            raise ImportError("No module named 'onnx'")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingToolError, match=r"pip install 'hardwire\[onnx\]'"):
        load(proto)
