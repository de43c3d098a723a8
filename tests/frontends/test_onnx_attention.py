"""Attention as exporters write it in ONNX: the batch on other axes and merged with heads, against onnxruntime."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hardwire.errors import HardwireError, UnsupportedError
from hardwire.frontends import load
from hardwire.network.prepare import prepare
from hardwire.network.reference import forward


def model(nodes, constants, inputs, outputs=("y",), batch="n", opset=20):
    """`inputs`: shapes without the batch, by name; `outputs` are of any shape."""
    first = [helper.make_tensor_value_info(k, TensorProto.FLOAT, [batch, *shape]) for k, shape in inputs.items()]
    graph = helper.make_graph(
        nodes,
        "attention",
        first,
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, None) for k in outputs],
        [numpy_helper.from_array(np.asarray(value), k) for k, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def check(made, batch=3):
    session = onnxruntime.InferenceSession(made.SerializeToString())
    rng = np.random.default_rng(0)
    feeds = {
        value.name: rng.normal(size=(batch, *value.shape[1:])).astype(np.float32) for value in session.get_inputs()
    }
    want = session.run(None, feeds)
    network = prepare(load(made))
    for got, theirs in zip(forward(network, [x.astype(np.float64) for x in feeds.values()]), want, strict=True):
        assert got.shape == theirs.shape
        np.testing.assert_allclose(got, theirs, rtol=1e-4, atol=1e-5)
    return network


def node(op, inputs, output, **attrs):
    return helper.make_node(op, inputs.split(), [output], **attrs)


def exported(batch, heads, width, time, mask):
    """`nn.MultiheadAttention` as it is exported: sequence first, (time, batch·heads, width) inside."""
    size = heads * width
    rng = np.random.default_rng(1)
    dynamic = isinstance(batch, str)
    merged = -1 if dynamic else batch * heads
    constants = {
        "w": rng.normal(size=(size, 3 * size)).astype("f4") / 2,
        "b": rng.normal(size=3 * size).astype("f4"),
        "out": rng.normal(size=(size, size)).astype("f4"),
        "split": np.array([time, merged, width]),
        "join": np.array([-1 if dynamic else time * batch, size]),
        "back": np.array([time, -1 if dynamic else batch, size]),
        "scale": np.float32(width**-0.5),
        "parts": np.array([size] * 3),
        "mask": np.triu(np.full((time, time), mask, "f4"), 1) if mask else np.zeros((time, time), "f4"),
    }
    nodes = [
        node("Transpose", "x", "sequence", perm=[1, 0, 2]),
        node("MatMul", "sequence w", "product"),
        node("Add", "product b", "qkv"),
        helper.make_node("Split", ["qkv", "parts"], ["q0", "k0", "v0"], axis=-1),
    ]
    for part in "qkv":
        nodes += [node("Reshape", f"{part}0 split", f"{part}1"), node("Transpose", f"{part}1", part, perm=[1, 0, 2])]
    nodes += [
        node("Mul", "q scale", "scaled"),
        node("Transpose", "k", "columns", perm=[0, 2, 1]),
        node("MatMul", "scaled columns", "scores"),
        node("Add", "scores mask", "masked"),
        node("Softmax", "masked", "shares", axis=-1),
        node("MatMul", "shares v", "mixed"),
        node("Transpose", "mixed", "rows", perm=[1, 0, 2]),
        node("Reshape", "rows join", "flat"),
        node("Gemm", "flat out", "projected"),
        node("Reshape", "projected back", "answer"),
        node("Transpose", "answer", "y", perm=[1, 0, 2]),
    ]
    return model(nodes, constants, {"x": (time, size)}, batch=batch)


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(["n", 1, 3]), st.integers(1, 3), st.integers(1, 3), st.integers(2, 4),
    st.sampled_from([0.0, -1e9, -np.inf, -3.4028235e38]),
)  # fmt: skip
def test_sequence_first_attention_with_heads_in_the_batch(batch, heads, width, time, mask):
    network = check(exported(batch, heads, width, time, mask), 1 if batch == 1 else 3)
    (softmax,) = (node for node in network.nodes if node.kind == "softmax")
    assert ("mask" in softmax.params) == bool(mask)


def attention(inputs, shapes, constants=None, **attrs):
    made = helper.make_node("Attention", inputs, ["y"], **attrs)
    return model([made], constants or {}, shapes, opset=23)


MASK = np.array([[True, False, True], [True, True, True]])
SHAPES = {"q": (2, 2, 4), "k": (2, 3, 4), "v": (2, 3, 5)}
ATTENTIONS = {
    "four axes": (["q", "k", "v"], SHAPES, {}, {}),
    "scaled": (["q", "k", "v"], SHAPES, {}, {"scale": 0.3}),
    "causal": (["q", "k", "v"], SHAPES, {}, {"is_causal": 1}),
    "a boolean mask": (["q", "k", "v", "m"], SHAPES, {"m": MASK}, {}),
    "a bias": (["q", "k", "v", "m"], SHAPES, {"m": np.float32([[0.5, -1, 0], [0, 2, 1]])}, {}),
    "heads in one": (
        ["q", "k", "v"], {"q": (2, 8), "k": (3, 4), "v": (3, 6)}, {}, {"q_num_heads": 4, "kv_num_heads": 2}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTENTIONS)
def test_the_attention_operator(name):
    """Against ONNX's own reference implementation, which is newer than onnxruntime's."""
    inputs, shapes, constants, attrs = ATTENTIONS[name]
    made = attention(inputs, shapes, constants, **attrs)
    rng = np.random.default_rng(0)
    feeds = {key: rng.normal(size=(3, *shape)).astype(np.float32) for key, shape in shapes.items()}
    from onnx.reference import ReferenceEvaluator

    (want,) = ReferenceEvaluator(made).run(None, feeds)
    (got,) = forward(prepare(load(made)), [x.astype(np.float64) for x in feeds.values()])
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_what_the_operator_cannot_be_is_named():
    past = {**SHAPES, "pk": (2, 1, 4), "pv": (2, 1, 5)}
    with pytest.raises(UnsupportedError, match=r"\(Attention\): its computed operands are"):
        load(attention(["q", "k", "v", "", "pk", "pv"], past))
    with pytest.raises(UnsupportedError, match="'softcap' = 2"):
        load(attention(["q", "k", "v"], SHAPES, softcap=2.0, is_causal=1))


@pytest.mark.parametrize("perm", [[2, 0, 1], [1, 2, 0]])
def test_examples_are_never_mixed(perm):
    nodes = [node("Transpose", "x", "t", perm=perm), node("Softmax", "t", "s", axis=perm.index(0))]
    with pytest.raises(HardwireError, match="batch"):
        load(model([*nodes, node("Transpose", "s", "y", perm=np.argsort(perm).tolist())], {}, {"x": (2, 3)}))
