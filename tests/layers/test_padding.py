"""Padding and cropping against numpy, exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_checks import check_exact, inputs, quantised, run_both

from hardwire.errors import ModelError
from hardwire.layers.conv import conv_attrs
from hardwire.layers.padding import padded
from hardwire.layers.pooling import pool_attrs
from hardwire.network.graph import NetworkBuilder


@given(inputs(), st.data())
@settings(max_examples=60, deadline=None)
def test_padding(given_input, data):
    """Every mode on any axes, scales by element, and a value of the constant finer than the input."""
    shape, quantiser = given_input
    mode = data.draw(st.sampled_from(("constant", "edge", "reflect", "symmetric", "wrap")))
    pads = []
    for n in shape:
        most = {"reflect": n - 1, "symmetric": n, "wrap": n}.get(mode, 2)
        pads.append((data.draw(st.integers(0, min(2, most))), data.draw(st.integers(0, min(2, most)))))
    value = data.draw(st.sampled_from((0.0, 0.5, -1.375))) if mode == "constant" else 0.0
    net = NetworkBuilder("n")
    x = quantised(net, "x", shape, quantiser)
    network = net.build([net.add("pad", "p", [x], {"padding": tuple(pads), "mode": mode, "value": value})])
    check_exact(network)


@given(st.integers(0, 2), st.integers(0, 2), st.integers(0, 1))
def test_cropping_and_negative_padding(before, after, inner):
    """Negative padding crops; both in one call do both."""
    net = NetworkBuilder("n")
    x = quantised(net, "x", (5, 2), "s5.2")
    y = padded(net, "p", x, ((-before, after), (inner, -inner)))
    network = net.build([y])
    check_exact(network)
    assert network.shapes[y] == (5 - before + after, 2)


def test_windows_over_views():
    """Convolutions and pools over reflected, repeated and cropped views, where offsets are uneven."""
    for mode in ("reflect", "edge", "wrap"):
        net = NetworkBuilder("n")
        x = quantised(net, "x", (4, 3, 2), "s5.2")
        y = net.add("pad", "p", [x], {"padding": ((2, 1), (1, 1), (0, 0)), "mode": mode, "value": 0.0})
        kernel = np.random.default_rng(0).integers(-7, 8, (3, 2, 2, 2)) / 4
        conv = net.add("conv", "c", [y], conv_attrs(2), {"kernel": kernel})
        pool = net.add("max_pool", "m", [y], pool_attrs((2, 2)))
        program, *_ = run_both(net.build([conv, pool]), vectors=3)
        check_exact(net.build([conv, pool]))
        assert sum(len(k) for k in program.kernels.values()) < 80


def test_unfit_padding_is_named():
    """A mode that is none, more reflection than elements, cropping of everything."""
    net = NetworkBuilder("n")
    x = net.input("x", (3, 2))
    with pytest.raises(ModelError, match=r"p.*mode 'mirror'"):
        net.add("pad", "p", [x], {"padding": ((0, 0), (0, 0)), "mode": "mirror", "value": 0.0})
    with pytest.raises(ModelError, match=r"p.*reflect"):
        net.add("pad", "p", [x], {"padding": ((3, 0), (0, 0)), "mode": "reflect", "value": 0.0})
    with pytest.raises(ModelError, match=r"c.*leaves nothing"):
        net.add("crop", "c", [x], {"cropping": ((2, 1), (0, 0))})
