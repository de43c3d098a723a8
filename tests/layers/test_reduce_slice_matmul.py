"""Reductions, slices, n-ary functions and products of tensors: exact against numpy, and imported as PyTorch means."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_checks import check_exact, inputs, quantised

import hardwire.frontends as frontends
from hardwire.errors import ModelError, RangeError, UnsupportedError
from hardwire.network.graph import NetworkBuilder
from hardwire.network.reference import forward

REDUCTIONS = ("reduce_sum", "reduce_mean", "reduce_max", "reduce_min")


@settings(max_examples=40, deadline=None)
@given(inputs(), st.sampled_from(REDUCTIONS), st.booleans(), st.data())
def test_reductions_are_exact(drawn, kind, keepdims, data):
    shape, quantiser = drawn
    axes = data.draw(st.lists(st.integers(-len(shape), len(shape) - 1), min_size=1, unique_by=lambda a: a % len(shape)))
    net = NetworkBuilder("reduce")
    x = quantised(net, "x", shape, quantiser)
    y = net.add(kind, "y", [x], {"axes": tuple(axes), "keepdims": keepdims})
    check_exact(net.build([y]), tolerance=1e-12 if kind == "reduce_mean" else 0.0)


@settings(max_examples=30, deadline=None)
@given(inputs(), st.data())
def test_take_is_exact(drawn, data):
    shape, quantiser = drawn
    axis = data.draw(st.integers(0, len(shape) - 1))
    indices = data.draw(st.lists(st.integers(0, shape[axis] - 1), min_size=1, max_size=5))
    net = NetworkBuilder("take")
    x = quantised(net, "x", shape, quantiser)
    y = net.add("take", "y", [x], {"axis": axis, "indices": tuple(indices)})
    check_exact(net.build([net.add("reduce_sum", "sum", [y], {"axes": (0,), "keepdims": False}), y]))


@settings(max_examples=30, deadline=None)
@given(inputs(), st.sampled_from(["minimum", "maximum", "average"]), st.integers(1, 3), st.booleans())
def test_nary_functions_are_exact(drawn, kind, count, constant):
    shape, quantiser = drawn
    net = NetworkBuilder("nary")
    tensors = [quantised(net, "x0", shape, quantiser)]
    tensors += [quantised(net, f"x{i}", (1, *shape[1:]), f"s5.{i}") for i in range(1, count)]
    # Decimals of 24 bits: those of 53 may need more than a value's 62 beside a coarse input (see below).
    params = {"constant": np.linspace(-1, 1, shape[-1]).round(1).astype(np.float32)} if constant else {}
    check_exact(net.build([net.add(kind, "y", tensors, {}, params)]), tolerance=1e-12)


def test_a_constant_too_fine_for_a_coarse_input_is_refused_by_name():
    net = NetworkBuilder("nary")
    x = quantised(net, "x", (4,), "u7.-2")
    y = net.add("minimum", "y", [x], {}, {"constant": np.linspace(-1, 1, 4).round(1)})
    with pytest.raises(RangeError, match=r"layer 'y': shl needs 63 bits"):
        check_exact(net.build([y]))


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_products_of_tensors_are_exact(data):
    n, k, m = (data.draw(st.integers(1, 3)) for _ in range(3))
    lead = data.draw(st.sampled_from([((), ()), ((2,), (2,)), ((2, 1), (1, 3)), ((2,), ())]))
    _, qa = data.draw(inputs(st.just((*lead[0], n, k))))
    _, qb = data.draw(inputs(st.just((*lead[1], k, m))))
    net = NetworkBuilder("matmul")
    a, b = quantised(net, "a", (*lead[0], n, k), qa), quantised(net, "b", (*lead[1], k, m), qb)
    check_exact(net.build([net.add("matmul", "y", [a, b])]))


def test_where_chooses_exactly():
    net = NetworkBuilder("where")
    cond = quantised(net, "cond", (3, 1), "s2.0")
    yes, no = quantised(net, "yes", (1, 4), "s5.2"), quantised(net, "no", (3, 4), "u3.1")
    check_exact(net.build([net.add("where", "y", [cond, yes, no])]))


@pytest.mark.parametrize(
    ("kind", "attrs", "message"),
    [
        ("take", {"axis": 0, "indices": (3,)}, "element 3 of axis 0"),
        ("take", {"axis": 0, "indices": ()}, "nothing is left"),
        ("take", {"axis": 2, "indices": (0,)}, "axis 2 does not exist"),
        ("reduce_sum", {"axes": (0, -2), "keepdims": False}, "name an axis twice"),
    ],
)
def test_unfit_attributes_are_named(kind, attrs, message):
    net = NetworkBuilder("bad")
    with pytest.raises(ModelError, match=message):
        net.add(kind, "y", [net.input("x", (3, 2))], attrs)


# PyTorch, through torch.export.


class _Call(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *xs):
        return self.function(*xs)


_MASK = torch.tensor([[True, False, True, False]] * 6)
TORCH = {
    "sum": (lambda x: x.sum(dim=(1, 3)), [(2, 3, 4)]),
    "mean": (lambda x: x.mean(dim=-1, keepdim=True), [(3, 4)]),
    "amax": (lambda x: x.amax(dim=1), [(3, 4)]),
    "amin": (lambda x: x.amin(dim=(1, 2)), [(3, 4)]),
    "max values": (lambda x: x.max(dim=2).values, [(3, 4)]),
    "slice": (lambda x: x[:, 1:, ::2], [(3, 4)]),
    "negative slice": (lambda x: x[:, -2:-1], [(3, 4)]),
    "select": (lambda x: x[:, -1], [(3, 4)]),
    "narrow": (lambda x: x.narrow(2, 1, 2), [(3, 4)]),
    "index_select": (lambda x: torch.index_select(x, 1, torch.tensor([2, 0])), [(3, 4)]),
    "split": (lambda x: torch.split(x, 3, dim=2)[1], [(3, 4)]),
    "split used twice": (lambda x: torch.sub(*torch.split(x, 2, dim=2)), [(3, 4)]),
    "split sizes": (lambda x: torch.split(x, [1, 3], dim=2)[1], [(3, 4)]),
    "chunk": (lambda x: torch.cat(torch.chunk(x, 3, dim=2)[::-1], dim=2), [(3, 5)]),
    "unbind": (lambda x: torch.unbind(x, dim=1)[1], [(3, 4)]),
    "flip": (lambda x: x.flip(1, -1), [(3, 4)]),
    "roll": (lambda x: x.roll((1, -1), (1, 2)), [(3, 4)]),
    "repeat": (lambda x: x.repeat(1, 2, 3), [(3, 4)]),
    "expand": (lambda x: x.expand(-1, 3, 4), [(1, 4)]),
    "pixel_shuffle": (lambda x: torch.pixel_shuffle(x, 2), [(8, 2, 3)]),
    "pixel_unshuffle": (lambda x: torch.pixel_unshuffle(x, 2), [(2, 4, 2)]),
    "minimum": (lambda x, y: torch.minimum(x, y), [(3, 4), (1, 4)]),
    "maximum with a constant": (lambda x: torch.maximum(x, torch.tensor([0.5, 0.0, -1.0, 9.0])), [(3, 4)]),
    "masked_fill": (lambda x: x.masked_fill(_MASK, -2.5), [(6, 4)]),
    "matmul": (lambda x, y: x @ y, [(2, 3, 4), (2, 4, 2)]),
    "bmm": (lambda x, y: torch.bmm(x, y.mT), [(3, 4), (2, 4)]),
    "einsum": (lambda x, y: torch.einsum("bqhd,bkhd->bhqk", x, y), [(3, 2, 4), (5, 2, 4)]),
    "einsum to vectors": (lambda x, y: torch.einsum("bij,bj->bi", x, y), [(3, 4), (4,)]),
}


@pytest.mark.parametrize("name", TORCH)
def test_torch_operators_mean_the_same(name):
    function, shapes = TORCH[name]
    rng = np.random.default_rng(1)
    xs = tuple(torch.from_numpy(rng.integers(-40, 40, (6, *shape)) / 8).float() for shape in shapes)
    batch = torch.export.Dim("batch")
    exported = torch.export.export(_Call(function), xs, dynamic_shapes=((tuple({0: batch} for _ in xs)),))
    network = frontends.load(exported)
    (ours,) = forward(network, [x.double().numpy() for x in xs])
    np.testing.assert_allclose(ours, function(*xs).numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.sum(dim=0, keepdim=True), "batch axis"),
        (lambda x: x[:, :2].sum(), "sum.default"),
        (lambda x: x[2:], "part of the batch"),
        (lambda x: x.flip(0), "batch axis"),
    ],
)
def test_torch_batch_axis_is_refused(function, message):
    exported = torch.export.export(_Call(function), (torch.zeros(4, 3),))
    with pytest.raises(UnsupportedError, match=message):
        frontends.load(exported)
