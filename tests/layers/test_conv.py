"""Convolutions against PyTorch in float, and their integer Programs against the float meaning."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_checks import check_exact, quantised, run_both

from hardwire.errors import HardwireError, ModelError
from hardwire.fixed import FixedType
from hardwire.layers.conv import conv_attrs
from hardwire.layers.conv_transpose import transposed_kernel
from hardwire.network.graph import NetworkBuilder
from hardwire.network.prepare import prepare
from hardwire.network.reference import forward
from hardwire.quantiser import Quantiser

_CONVS = (torch.conv1d, torch.conv2d, torch.conv3d)
_TRANSPOSED = (torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d)


def _first(x):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


@st.composite
def convolutions(draw, transposed=False):
    rank = draw(st.sampled_from((1, 2, 2, 3)))
    most = {1: 7, 2: 5, 3: 3}[rank]

    def each(low, high):
        return tuple(draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank)))

    groups = draw(st.sampled_from((1, 1, 2, 3)))
    per, m = draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    size, strides, dilation = each(1, 3), each(1, 3), each(1, 2)
    pads = each(0, 2)
    full = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    if transposed:
        spatial = each(1, 3)
    else:
        spatial = tuple(max(n, f - 2 * p) for n, f, p in zip(each(1, most), full, pads, strict=True))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 16)))
    kernel = rng.integers(-15, 16, (*size, per, m)) / 8
    bias = rng.integers(-15, 16, m) / 16 if draw(st.booleans()) else None
    return spatial, groups * per, strides, pads, dilation, groups, kernel, bias


def _network(kind, spatial, channels, attrs, kernel, bias, type_="s5.2"):
    net = NetworkBuilder("n")
    x = quantised(net, "x", (*spatial, channels), type_)
    params = {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias}
    return net.build([net.add(kind, "c", [x], attrs, params)])


@given(convolutions())
@settings(max_examples=60, deadline=None)
def test_convolution(case):
    """Every attribute over one, two and three axes: PyTorch's float result, and the Program's exact one."""
    spatial, channels, strides, pads, dilation, groups, kernel, bias = case
    attrs = conv_attrs(
        len(spatial), strides=strides, padding=tuple((p, p) for p in pads), dilation=dilation, groups=groups
    )
    network = _network("conv", spatial, channels, attrs, kernel, bias)
    check_exact(network)
    x = np.random.default_rng(0).integers(-16, 16, (3, *spatial, channels)) / 4
    weight = torch.from_numpy(np.ascontiguousarray(np.moveaxis(kernel, (-1, -2), (0, 1))))
    expected = _CONVS[len(spatial) - 1](
        _first(x), weight, None if bias is None else torch.from_numpy(bias), strides, pads, dilation, groups
    )
    np.testing.assert_array_equal(np.moveaxis(forward(network, [x])[0], -1, 1), expected.numpy())


@given(convolutions(transposed=True), st.data())
@settings(max_examples=60, deadline=None)
def test_transposed_convolution(case, data):
    """Every attribute, output padding too: PyTorch's float result, and the Program's exact one."""
    spatial, channels, strides, pads, dilation, groups, kernel, bias = case
    most = [max(s, d) - 1 for s, d in zip(strides, dilation, strict=True)]
    extra = [data.draw(st.integers(0, top)) for top in most]
    full = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(spatial, strides, kernel.shape, dilation, strict=False)]
    pads = tuple(min(p, (f + e - 1) // 2) for p, f, e in zip(pads, full, extra, strict=True))
    padding = tuple((p, p - e) for p, e in zip(pads, extra, strict=True))
    attrs = conv_attrs(len(spatial), strides=strides, padding=padding, dilation=dilation, groups=groups)
    network = _network("conv_transpose", spatial, channels, attrs, kernel, bias)
    check_exact(network)
    rank, per, m = len(spatial), kernel.shape[-2], kernel.shape[-1]
    split = kernel.reshape(*kernel.shape[:rank], per, groups, m // groups)
    weight = np.ascontiguousarray(np.moveaxis(split, (rank + 1, rank, rank + 2), (0, 1, 2)))
    weight = weight.reshape(channels, m // groups, *kernel.shape[:rank])
    np.testing.assert_array_equal(transposed_kernel(weight, groups), kernel)
    x = np.random.default_rng(0).integers(-16, 16, (3, *spatial, channels)) / 4
    expected = _TRANSPOSED[rank - 1](
        _first(x),
        torch.from_numpy(weight),
        None if bias is None else torch.from_numpy(bias),
        strides,
        pads,
        extra,
        groups,
        dilation,
    )
    np.testing.assert_array_equal(np.moveaxis(forward(network, [x])[0], -1, 1), expected.numpy())


@pytest.mark.parametrize("kind", ["conv", "conv_transpose"])
def test_channels_with_types_of_their_own(kind):
    """Inputs whose elements differ in scale, weights in integers with a real factor a channel, a float bias."""
    rng = np.random.default_rng(5)
    shape = (3, 4, 2)
    quantiser = Quantiser.of_arrays(np.ones(shape, bool), rng.integers(0, 5, shape), rng.integers(-1, 4, shape))
    net = NetworkBuilder("n")
    x = quantised(net, "x", shape, quantiser)
    params = {
        "kernel": rng.integers(-7, 8, (2, 3, 2, 4)),
        "kernel_scale": np.array([0.3, 0.5, 1.0, 0.7]),
        "bias": rng.normal(size=4),
    }
    attrs = conv_attrs(2, strides=(2, 1), padding=((1, 0), (0, 1)))
    y = net.add(kind, "c", [x], attrs, params)
    check_exact(net.build([net.add("quantise", "q", [y], {"quantiser": Quantiser.of_type(FixedType.parse("s12.5"))})]))


def test_program_does_not_grow_with_the_image():
    """A convolution is one kernel, whatever the number of positions."""
    sizes = []
    for n in (4, 9):
        kernel = np.random.default_rng(0).integers(-7, 8, (3, 3, 2, 3)) / 4
        attrs = conv_attrs(2, padding=((1, 1), (1, 1)))
        program, *_ = run_both(_network("conv", (n, n), 2, attrs, kernel, None), vectors=2)
        sizes.append((len(program.steps), sum(len(kernel) for kernel in program.kernels.values())))
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"groups": 2}, "groups"),
        ({"strides": (0,)}, "strides"),
        ({"strides": (1, 1)}, "strides"),
        ({"padding": ((-1, 0),)}, "padding"),
        ({"dilation": (9,)}, "does not fit"),
    ],
)
def test_unfit_attributes_are_named(change, word):
    """Errors name the layer and what does not fit."""
    net = NetworkBuilder("n")
    x = net.input("x", (4, 3))
    attrs = {**conv_attrs(1), **change}
    with pytest.raises(ModelError, match=word) as error:
        net.add("conv", "conv_7", [x], attrs, {"kernel": np.ones((2, 3, 3))})
    assert "conv_7" in str(error.value)


def test_unfit_kernels_are_named():
    """A kernel for other channels, another rank, a bias of another length."""
    net = NetworkBuilder("n")
    x = net.input("x", (4, 3))
    for params in (
        {"kernel": np.ones((2, 2, 3))},
        {"kernel": np.ones((2, 2, 3, 3))},
        {"kernel": np.ones((2, 3, 3)), "bias": np.ones(2)},
        {"kernel": np.ones((0, 3, 3))},
    ):
        for kind in ("conv", "conv_transpose"):
            with pytest.raises(HardwireError, match="conv_7"):
                net.add(kind, "conv_7", [x], conv_attrs(1), params)
    with pytest.raises(ModelError, match="leaves the output"):
        net.add("conv_transpose", "t", [x], conv_attrs(1, padding=((3, 3),)), {"kernel": np.ones((2, 3, 3))})


@given(
    convolutions(),
    st.sampled_from(("conv", "conv_transpose")),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_batch_normalisation_folds(case, kind, behind, centred):
    """Before and behind, in groups; where padding would miss the offset it stays. The float meaning is kept."""
    spatial, channels, strides, pads, dilation, groups, kernel, bias = case
    rank = len(spatial)
    padding = tuple((p, p) for p in pads) if kind == "conv" else ((0, 0),) * rank
    attrs = conv_attrs(rank, strides=strides, padding=padding, dilation=dilation, groups=groups)
    rng = np.random.default_rng(1)
    kernel = kernel + rng.normal(size=kernel.shape)  # on a grid of few bits it would stay as it is
    params = {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias}

    def normalised(tensor):
        c = net.shape(tensor)[-1]
        values = {"gamma": rng.normal(size=c), "variance": rng.uniform(0.5, 2, c)}
        values |= {key: rng.normal(size=c) * (not centred) for key in ("beta", "mean")}
        return net.add("batch_norm", "bn", [tensor], {"epsilon": 1e-3}, values)

    net = NetworkBuilder("n")
    x = net.input("x", (*spatial, channels))
    y = net.add(kind, "c", [x if behind else normalised(x)], attrs, params)
    network = net.build([normalised(y) if behind else y])
    simpler = prepare(network)
    every = behind or centred or (kind == "conv" and not any(pads))
    assert [node.kind for node in simpler] == ([kind] if every else ["batch_norm", kind])
    values = rng.normal(size=(3, *spatial, channels))
    np.testing.assert_allclose(forward(simpler, [values])[0], forward(network, [values])[0], rtol=1e-9, atol=1e-9)
