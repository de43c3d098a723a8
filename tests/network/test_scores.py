"""Masks written as large numbers, and factors, in front of a softmax become its own: the meaning stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.errors import ModelError
from hardwire.network.graph import LEAST, NetworkBuilder
from hardwire.network.prepare import prepare
from hardwire.network.reference import forward

FARS = [-1e4, -1e9, LEAST, -np.inf]


def same(net: NetworkBuilder, output: str, kinds: set[str], shapes=((3, 4),)) -> None:
    network = net.build([output])
    simple = prepare(network)
    assert {node.kind for node in simple.nodes} <= kinds, [node.kind for node in simple.nodes]
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=(6, *shape)) for shape in shapes]
    with np.errstate(invalid="ignore", over="ignore"):
        want = forward(network, xs)[0]
    np.testing.assert_allclose(forward(simple, xs)[0], want, rtol=1e-12, atol=1e-15)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_factors_and_constant_masks_go_into_the_softmax(data):
    net = NetworkBuilder("net")
    y = net.input("x", (3, 4))
    shape = data.draw(st.sampled_from([(4,), (1, 4), (3, 4)]))
    far = data.draw(st.sampled_from(FARS))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))))
    mask = mask.reshape(shape)
    mask[..., 0] = False
    rest = data.draw(st.sampled_from([0.0, 0.25]))
    kinds = {"softmax"} | ({"add"} if rest else set())
    for step in data.draw(st.lists(st.sampled_from(["mul", "divide", "mask", "fill"]), max_size=3, unique=True)):
        if step == "mul":
            y = net.add("mul", "mul", [y], {}, {"constant": np.array(0.375)})
        elif step == "divide":
            y = net.add("divide", "divide", [y], {}, {"divisor": np.array([[3.0]])})
        elif step == "mask":
            y = net.add("add", "mask", [y], {}, {"constant": np.where(mask, far, rest)})
        else:  # a constant mask as where() is written
            y = net.add("mul", "keep", [y], {}, {"constant": (~mask).astype(float)})
            y = net.add("add", "fill", [y], {}, {"constant": np.where(mask, far, 0.0)})
    if rest and "mask" in net.shapes:
        kinds |= {"mul", "divide"}  # a factor in front of a sum stays
    same(net, net.add("softmax", "softmax", [y], {"axis": 1}), kinds)


def test_what_is_no_mask_stays():
    net = NetworkBuilder("net")
    x = net.input("x", (3, 4))
    y = net.add("add", "bias", [x], {}, {"constant": np.array([0.5, -100.0, 0.0, 1.0])})
    same(net, net.add("softmax", "softmax", [y], {"axis": 1}), {"softmax", "add"})
    net = NetworkBuilder("net")
    x = net.input("x", (3, 4))
    y = net.add("mul", "factors", [x], {}, {"constant": np.array([0.5, 1.0, 1.0, 1.0])})
    same(net, net.add("softmax", "softmax", [y], {"axis": 1}), {"softmax", "mul"})
    net = NetworkBuilder("net")
    with pytest.raises(ModelError, match="holds inf"):
        net.add("add", "bias", [net.input("x", (2,))], {}, {"constant": np.array([np.inf, 0.0])})
