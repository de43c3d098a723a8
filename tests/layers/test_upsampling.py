"""Resizing against PyTorch's interpolation, and the Programs against the float meaning."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_checks import check_exact, quantised

from hardwire.errors import ModelError
from hardwire.layers._resample import coordinates, cubic_rows, linear_rows, nearest_rows
from hardwire.layers.upsampling import resampled
from hardwire.network.graph import NetworkBuilder
from hardwire.network.reference import forward


def _rows(mode, corners, n, m):
    place = coordinates("align_corners" if corners else "half_pixel", n, m)
    if mode == "nearest":
        return nearest_rows(n, m, coordinates("asymmetric", n, m))
    if mode == "nearest-exact":
        return nearest_rows(n, m, coordinates("half_pixel", n, m), "round_prefer_ceil")
    return cubic_rows(n, m, place) if mode == "bicubic" else linear_rows(n, m, place)


sizes = st.tuples(st.integers(1, 4), st.integers(1, 4))


@given(
    sizes,
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.sampled_from(("nearest", "nearest-exact", "bilinear", "bicubic")),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_resizing_two_axes(before, after, mode, corners):
    """Up and down, corners aligned and not, by any ratio."""
    corners = corners and not mode.startswith("nearest")
    net = NetworkBuilder("n")
    x = quantised(net, "x", (*before, 2), "s4.2")
    rows = {axis: _rows(mode, corners, before[axis], after[axis]) for axis in (0, 1)}
    network = net.build([resampled(net, "r", x, rows)])
    check_exact(network, tolerance=1e-12)
    values = np.random.default_rng(0).integers(-8, 8, (2, *before, 2)) / 4
    data = torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, -1, 1)))
    aligned = None if mode.startswith("nearest") else corners
    expected = torch.nn.functional.interpolate(data, size=after, mode=mode, align_corners=aligned).numpy()
    np.testing.assert_allclose(np.moveaxis(forward(network, [values])[0], -1, 1), expected, rtol=1e-12, atol=1e-12)


def test_bilinear_by_two_is_exact():
    """Weights of quarters are short in binary: not one bit is lost, on any axis of the tensor."""
    for axis in (0, 1, 2):
        net = NetworkBuilder("n")
        x = quantised(net, "x", (3, 3, 3), "s4.2")
        rows = linear_rows(3, 6, coordinates("half_pixel", 3, 6))
        check_exact(net.build([net.add("resample", "r", [x], {"axis": axis, "rows": rows})]))


def test_rows_of_whole_factors_repeat():
    """Nearest by two repeats every element."""
    assert [row[0][0] for row in nearest_rows(3, 6, coordinates("asymmetric", 3, 6))] == [0, 0, 1, 1, 2, 2]


def test_rows_outside_are_refused():
    """A source that does not exist."""
    net = NetworkBuilder("n")
    x = net.input("x", (3, 1))
    with pytest.raises(ModelError, match=r"r.*axis 0"):
        net.add("resample", "r", [x], {"axis": 0, "rows": (((3, Fraction(1)),),)})
