"""Masks that the model computes become a second input of the softmax."""

from __future__ import annotations

import numpy as np
import pytest

from hardwire.network.graph import LEAST, NetworkBuilder
from hardwire.network.prepare import prepare
from hardwire.network.reference import forward

FARS = [-1e4, -1e9, LEAST, -np.inf]


@pytest.mark.parametrize("far", FARS)
@pytest.mark.parametrize("form", ["added", "product", "chosen", "chosen not", "constant condition"])
def test_computed_masks_become_a_second_input(form, far):
    net = NetworkBuilder("net")
    x, m = net.input("x", (2, 3, 4)), net.input("m", (4,))
    shapes: tuple[tuple[int, ...], ...] = ((2, 3, 4), (4,))
    flag = net.add("compare", "flag", [m], {"relation": "greater"}, {"constant": np.array(-0.8)})
    distant = net.add("constant", "far", [m], {}, {"value": np.full((4,), far)})
    zero = net.add("constant", "zero", [m], {}, {"value": np.zeros(4)})
    kinds = {"softmax", "compare", "reshape", "mul"}
    if form == "added":
        added = net.add("where", "added", [flag, zero, distant])
    elif form == "product":
        if far == -np.inf:
            return
        dropped = net.add("sub", "dropped", [flag], {"reverse": True}, {"constant": np.array(1.0)})
        added = net.add("mul", "added", [dropped], {}, {"constant": np.array(far)})
        kinds |= {"sub"}
    if form in ("added", "product"):
        y = net.add("add", "masked", [x, net.add("reshape", "wide", [added], {"shape": (1, 1, 4)})])
    else:
        wide = net.add("reshape", "wide", [flag], {"shape": (1, 1, 4)})
        if form == "constant condition":
            wide = net.add("constant", "condition", [m], {}, {"value": np.array([[[1, 0, 1, 1]]])})
            shapes = (*shapes,)
        distant = net.add("reshape", "distant", [distant], {"shape": (1, 1, 4)})
        order = [wide, distant, x] if form == "chosen not" else [wide, x, distant]
        y = net.add("where", "masked", order)
    rows = [np.random.default_rng(0).normal(size=(6, *shape)) for shape in shapes]
    network = net.build([net.add("softmax", "softmax", [y], {"axis": 2})])
    simple = prepare(network)
    assert {node.kind for node in simple.nodes} <= kinds, [node.kind for node in simple.nodes]
    want = forward(network, rows)[0]
    kept = rows[1] > -0.8
    plain = np.any(kept == (form != "chosen not"), axis=1) | (form == "constant condition")
    np.testing.assert_allclose(forward(simple, rows)[0][plain], want[plain], rtol=1e-12)
    assert len(simple.nodes[-1].inputs) == (1 if form == "constant condition" else 2)
