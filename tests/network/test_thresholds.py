"""Affine layers folded into thresholds: the same staircase, exactly, for every code of the input."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.network.graph import NetworkBuilder
from hardwire.network.prepare import prepare
from hardwire.network.reference import forward
from layers.layer_checks import quantised, run_both

reals = st.floats(-4, 4, width=32)


def channels(draw, count=3):
    return np.array(draw(st.lists(reals, min_size=count, max_size=count)), np.float64)


@st.composite
def affine_chains(draw):
    """Nodes in front of a staircase on (2, 3): (kind, attrs, params) each."""
    chain = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["mul", "add", "sub", "divide", "batch_norm", "transposes", "reshapes"]))
        if kind == "divide":
            divisor = channels(draw)
            chain.append((kind, {}, {"divisor": np.where(np.abs(divisor) < 0.1, 255.0, divisor)}))
        elif kind == "batch_norm":
            params = {"gamma": channels(draw), "beta": channels(draw), "mean": channels(draw)}
            chain.append((kind, {"epsilon": 1e-3}, {**params, "variance": channels(draw) ** 2}))
        elif kind in ("mul", "add", "sub"):
            attrs = {"reverse": True} if kind == "sub" and draw(st.booleans()) else {}
            constant = draw(st.sampled_from(["channel", "scalar"]))
            chain.append(
                (kind, attrs, {"constant": channels(draw) if constant == "channel" else np.array(draw(reals))})
            )
        else:
            chain.append((kind, {}, {}))
    return chain


@settings(max_examples=60, deadline=None)
@given(affine_chains(), st.booleans(), st.data())
def test_affine_layers_fold_into_thresholds_exactly(chain, strict, data):
    net = NetworkBuilder("steps")
    tensor = quantised(net, "x", (2, 3), "s6.3")
    for kind, attrs, params in chain:
        if kind == "transposes":
            tensor = net.add("transpose", "there", [tensor], {"perm": (1, 0)})
            tensor = net.add("mul", "turned", [tensor], {}, {"constant": np.array([1.5, -0.25])})
            tensor = net.add("transpose", "back", [tensor], {"perm": (1, 0)})
        elif kind == "reshapes":
            tensor = net.add("reshape", "there", [tensor], {"shape": (6, 1)})
            tensor = net.add("add", "flat", [tensor], {}, {"constant": np.arange(6.0).reshape(6, 1)})
            tensor = net.add("reshape", "back", [tensor], {"shape": (2, 3)})
        else:
            tensor = net.add(kind, kind, [tensor], attrs, params)
    count = data.draw(st.integers(1, 3))
    thresholds = np.array([sorted(channels(data.draw, count)) for _ in range(3)])
    params = {"thresholds": thresholds, "base": np.array(-1.0), "step": np.array([0.5, 2.0, 0.25])}
    if strict:
        params["strict"] = np.array([1, 0, 1])
    network = net.build([net.add("threshold", "steps", [tensor], {}, params)])
    simpler = prepare(network)
    assert {node.kind for node in simpler.nodes} <= {"quantise", "threshold", "transpose", "reshape"}
    program, xs, (fixed,), (floats,) = run_both(simpler)
    np.testing.assert_array_equal(fixed, floats)
    assert sum(len(kernel) for kernel in program.kernels.values()) < 60
    # The chain's own arithmetic in float64 may round across a threshold, by one step and rarely.
    (before,) = forward(network, xs)
    assert np.mean(before != floats) < 0.02


def test_a_negative_factor_counts_what_is_not_reached():
    net = NetworkBuilder("steps")
    x = quantised(net, "x", (1,), "s4.1")
    x = net.add("mul", "negated", [x], {}, {"constant": np.array(-2.0)})
    x = net.add("add", "shifted", [x], {}, {"constant": np.array(1.0)})
    params = {"thresholds": np.array([0.0, 1.0]), "base": np.array(0.0), "step": np.array(1.0)}
    network = prepare(net.build([net.add("threshold", "steps", [x], {}, params)]))
    _, (xs,), (fixed,), _ = run_both(network)
    np.testing.assert_array_equal(fixed, (1 - 2 * xs >= 0) * 1.0 + (1 - 2 * xs >= 1))


def test_a_zero_factor_leaves_a_constant():
    net = NetworkBuilder("steps")
    x = net.add("mul", "zero", [quantised(net, "x", (2,), "s4.1")], {}, {"constant": np.array([0.0, 1.0])})
    x = net.add("add", "bias", [x], {}, {"constant": np.array([0.5, 0.0])})
    params = {"thresholds": np.array([0.25, 0.75]), "base": np.array(0.0), "step": np.array(1.0)}
    network = prepare(net.build([net.add("threshold", "steps", [x], {}, params)]))
    _, _, (fixed,), _ = run_both(network)
    np.testing.assert_array_equal(fixed[:, 0], 1.0)
