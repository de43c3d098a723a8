"""Pooling against PyTorch in float, and the integer Programs against the float meaning."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from layer_checks import check_exact, quantised, run_both

from hardwire.errors import ModelError
from hardwire.fixed import FixedType
from hardwire.layers.pooling import pool_attrs, pooled
from hardwire.network.graph import NetworkBuilder
from hardwire.network.reference import forward
from hardwire.quantiser import Quantiser

_MAX = (torch.max_pool1d, torch.max_pool2d, torch.max_pool3d)
_AVERAGE = (torch.nn.functional.avg_pool1d, torch.nn.functional.avg_pool2d, torch.nn.functional.avg_pool3d)


@st.composite
def pools(draw):
    rank = draw(st.sampled_from((1, 2, 2, 3)))

    def each(low, high):
        return tuple(draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank)))

    size, strides, dilation = each(1, 3), each(1, 3), each(1, 2)
    pads = tuple(draw(st.integers(0, k // 2)) for k in size)
    spatial = tuple(n + (k - 1) * 2 for n, k in zip(each(1, 4 if rank < 3 else 2), size, strict=True))
    return spatial, draw(st.integers(1, 3)), size, strides, pads, dilation, draw(st.booleans())


def _run(kind, spatial, channels, attrs, **average):
    net = NetworkBuilder("n")
    x = quantised(net, "x", (*spatial, channels), "s5.2")
    network = net.build([pooled(net, kind, "p", x, attrs, **average)])
    check_exact(network, tolerance=0.0 if kind == "max_pool" else 1e-13)
    values = np.random.default_rng(0).integers(-16, 16, (3, *spatial, channels)) / 4
    (y,) = forward(network, [values])
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, -1, 1))), np.moveaxis(y, -1, 1)


@given(pools())
@settings(max_examples=50, deadline=None)
def test_max_pool(case):
    """Stride, padding, dilation, ceil mode over one, two and three axes."""
    spatial, channels, size, strides, pads, dilation, ceil = case
    attrs = pool_attrs(size, strides=strides, padding=tuple((p, p) for p in pads), dilation=dilation, ceil=ceil)
    x, y = _run("max_pool", spatial, channels, attrs)
    np.testing.assert_array_equal(y, _MAX[len(spatial) - 1](x, size, strides, pads, dilation, ceil).numpy())


@given(pools(), st.booleans(), st.none() | st.integers(1, 7))
@settings(max_examples=50, deadline=None)
def test_average_pool(case, count_padding, divisor):
    """Stride, padding counted and not, ceil mode, a divisor."""
    spatial, channels, size, strides, pads, _, ceil = case
    assume(divisor is None or len(spatial) > 1)
    attrs = pool_attrs(size, strides=strides, padding=tuple((p, p) for p in pads), ceil=ceil)
    x, y = _run("average_pool", spatial, channels, attrs, count_padding=count_padding, divisor=divisor)
    more = () if len(spatial) == 1 else (divisor,)
    expected = _AVERAGE[len(spatial) - 1](x, size, strides, pads, ceil, count_padding, *more)
    np.testing.assert_allclose(y, expected.numpy(), rtol=1e-13)


def test_average_then_quantiser_then_product():
    """Counts of 4, 6 and 9 side by side: a quantiser, and a layer that wants one scale, take them exactly."""
    for after in ("quantise", "dense", "max_pool", "add"):
        net = NetworkBuilder("n")
        x = quantised(net, "x", (8, 6, 2), "s5.2")
        attrs = pool_attrs((3, 3), strides=(1, 1), padding=((1, 1), (1, 1)))
        y = pooled(net, "average_pool", "p", x, attrs)
        if after == "quantise":
            y = net.add("quantise", "q", [y], {"quantiser": Quantiser.of_type(FixedType.parse("s6.4"))})
        elif after == "dense":
            y = net.add("dense", "d", [y], {}, {"kernel": np.array([[0.5, -1.0], [0.25, 3.0]])})
        elif after == "max_pool":
            y = pooled(net, "max_pool", "m", y, pool_attrs((2, 2)))
        else:
            y = net.add("add", "a", [y, x])
        check_exact(net.build([y]), tolerance=1e-12)


def test_borders_have_a_few_kernels():
    """A quantiser after an average with a border has a kernel for each kind of count, not one for each position."""
    sizes = []
    for n in (8, 12):
        net = NetworkBuilder("n")
        x = quantised(net, "x", (n, n, 1), "s5.2")
        attrs = pool_attrs((3, 3), strides=(1, 1), padding=((1, 1), (1, 1)))
        y = pooled(net, "average_pool", "p", x, attrs)
        y = net.add("quantise", "q", [y], {"quantiser": Quantiser.of_type(FixedType.parse("s6.4"))})
        program, *_ = run_both(net.build([y]), vectors=2)
        sizes.append(sum(len(kernel) for kernel in program.kernels.values()))
    assert sizes[0] == sizes[1]


def test_windows_in_the_padding_alone_are_refused():
    """They have no greatest element and no average."""
    net = NetworkBuilder("n")
    x = net.input("x", (4, 1))
    for kind in ("max_pool", "average_pool"):
        with pytest.raises(ModelError, match=r"p.*padding"):
            pooled(net, kind, "p", x, pool_attrs((2,), padding=((3, 0),)))
        with pytest.raises(ModelError, match=r"p.*does not fit"):
            pooled(net, kind, "p", x, pool_attrs((5,)))
