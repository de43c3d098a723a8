"""Einsum with a constant kernel: any equation, exact, and as Keras means its EinsumDense."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_checks import check_exact, quantised, types

from hardwire import frontends
from hardwire.errors import ModelError, UnsupportedError
from hardwire.network.graph import NetworkBuilder
from hardwire.network.reference import forward


@st.composite
def equations(draw):
    """An equation, and the shapes of input, kernel and a bias that broadcasts."""
    sizes = {label: draw(st.integers(1, 3)) for label in "cdefgh"}
    inputs = "".join(draw(st.permutations("cdef"))[: draw(st.integers(1, 4))])
    kernel = "".join(draw(st.permutations("cdefgh"))[: draw(st.integers(1, 4))])
    both = "".join(dict.fromkeys(inputs + kernel))
    outputs = "".join(draw(st.permutations(both))[: draw(st.integers(1, min(4, len(both))))])
    bias = tuple(draw(st.sampled_from([1, sizes[label]])) for label in outputs)
    shape = tuple(sizes[label] for label in inputs)
    return f"b{inputs},{kernel}->b{outputs}", shape, tuple(sizes[label] for label in kernel), bias


@settings(max_examples=60, deadline=None)
@given(equations(), types, st.integers(0, 99), st.booleans())
def test_drawn_equations_are_exact(equation, kind, seed, with_bias):
    text, shape, kernel, bias = equation
    rng = np.random.default_rng(seed)
    params = {"kernel": rng.integers(-7, 8, kernel) / 4}
    if with_bias:
        params["bias"] = rng.integers(-7, 8, bias) / 8
    net = NetworkBuilder("net")
    x = quantised(net, "x", shape, kind)
    check_exact(net.build([net.add("einsum", "layer", [x], {"equation": text}, params)]))


def test_types_that_differ_by_position_are_brought_together():
    net = NetworkBuilder("net")
    x = quantised(net, "x", (2, 3), "s6.3")
    x = net.add("mul", "scaled", [x], {}, {"constant": np.array([[0.5, 2.0, 1.0], [4.0, 0.25, 1.0]])})
    params = {"kernel": np.array([[1.0, -0.5], [2.0, 3.0], [0.75, 1.0]])}
    check_exact(net.build([net.add("einsum", "layer", [x], {"equation": "bnc,cd->bdn"}, params)]))


@pytest.mark.parametrize(
    ("equation", "kernel", "message"),
    [
        ("bnc,cd", (3, 2), "'->' before the output"),
        ("bnc,cd->bnd", (4, 2), "axis 'c' has the sizes 3 and 4"),
        ("bc,cd->bd", (3, 2), "names 2 axes of the input, which has 3"),
        ("bnc,c->bnd", (3,), "axis 'd' of the output is in no operand"),
        ("bnc,bc->bn", (1, 3), "the batch must be the first axis"),
        ("bnc,cd->nbd", (3, 2), "the batch must be the first axis"),
        ("bnn,nd->bd", (3, 2), "a letter of its own"),
        ("bnc,cde->bnd", (3, 2), "names 3 axes of the kernel"),
        ("b...,c...->b...", (3,), "'...' must stand once"),
    ],
)
def test_equations_that_do_not_fit_are_named(equation, kernel, message):
    net = NetworkBuilder("net")
    x = net.input("x", (2, 3))
    with pytest.raises(ModelError, match=message):
        net.add("einsum", "layer", [x], {"equation": equation}, {"kernel": np.ones(kernel)})


def test_keras_einsum_dense(tmp_path):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    rng = np.random.default_rng(0)
    data = rng.normal(size=(7, 4, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras = pytest.importorskip("keras")
        x = keras.Input((4, 3))
        a = keras.layers.EinsumDense("abc,cd->abd", (4, 5), bias_axes="d", activation="relu")(x)
        b = keras.layers.EinsumDense("abc,bd->adc", (2, 5), bias_axes="dc")(a)
        c = keras.layers.EinsumDense("...x,xy->...y", 2)(b)
        d = keras.layers.EinsumDense("abc,bcd->ad", 3, bias_axes="d")(c)
        model = keras.Model(x, [b, c, d])
        model.set_weights([rng.normal(size=w.shape) for w in model.weights])
        expected = model.predict(data, verbose=0)
        for name in ("model.keras", "model.h5"):
            model.save(tmp_path / name)
    for name in ("model.keras", "model.h5"):
        for ours, theirs in zip(forward(frontends.load(tmp_path / name), [data]), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_keras_output_shape_that_contradicts_is_refused():
    from hardwire.layers import import_rule
    from hardwire.network.records import Record

    net = NetworkBuilder("net")
    x = net.input("x", (3,))
    attrs = {"equation": "bc,cd->bd", "output_shape": [4], "bias_axes": None}
    rule = import_rule("keras", "EinsumDense")
    assert rule is not None
    with pytest.raises(UnsupportedError, match=r"'dense' \(EinsumDense\): attribute 'output_shape' = \[4\]"):
        rule(Record("dense", "EinsumDense", (x,), attrs, {"kernel": np.ones((3, 2))}), net)
