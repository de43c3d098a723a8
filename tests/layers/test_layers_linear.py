"""ReLU, clip, leaky ReLU, PReLU, batch normalisation, arithmetic, concatenation, views, argmax: exact on any types."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from layer_checks import check_exact, inputs, quantised, quantisers, run_both, shapes, short_reals, types

from hardwire.errors import ModelError, RangeError
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.interpreter import run_kernel
from hardwire.ir.ops import OpCode
from hardwire.layers._affine import round_affine
from hardwire.layers._lowering import lower
from hardwire.layers._requantise import exact_round
from hardwire.network.graph import NetworkBuilder
from hardwire.network.prepare import input_quantisers
from hardwire.quantiser import Quantiser

few = settings(max_examples=40, deadline=None)


def one(kind, shape, quantiser, attrs=None, params=None):
    net = NetworkBuilder("net")
    x = quantised(net, "x", shape, quantiser)
    return net.build([net.add(kind, "layer", [x], attrs or {}, params or {})])


@few
@given(inputs())
def test_relu(given_input):
    check_exact(one("relu", *given_input))


@few
@given(inputs(), st.none() | short_reals, st.none() | short_reals)
def test_clip(given_input, lo, hi):
    if lo is not None and hi is not None:
        lo, hi = min(lo, hi), max(lo, hi)
    check_exact(one("clip", *given_input, {"lo": lo, "hi": hi}))


def test_clip_finer_scale_only_where_a_bound_is_met():
    far = lower(net := one("clip", (2,), "s6.2", {"lo": -9.123456789, "hi": None}), input_quantisers(net))
    assert not any(step.name == "layer" for step in far.steps)
    near = run_both(one("clip", (2,), "s6.2", {"lo": -1.0625, "hi": 3.0}))[0]
    assert [str(s) for s in near.port_scale(near.outputs[0])] == ["1/16", "1/16"]


@few
@given(inputs(), short_reals)
def test_leaky_relu(given_input, slope):
    check_exact(one("leaky_relu", *given_input, {"slope": slope}))


@few
@given(inputs(), st.data())
def test_prelu(given_input, data):
    shape, quantiser = given_input
    slope = data.draw(
        hnp.arrays(np.float64, hnp.broadcastable_shapes(shape, max_dims=len(shape)), elements=short_reals)
    )
    if np.broadcast_shapes(slope.shape, shape) == shape:
        check_exact(one("prelu", shape, quantiser, {}, {"slope": slope}))


@few
@given(inputs(), st.sampled_from([0.3, -0.01, 0.2, 1.7, 0.0, 0.125]), quantisers)
def test_leaky_relu_of_any_slope_before_a_quantiser(given_input, slope, output):
    network = one("leaky_relu", *given_input, {"slope": slope, "output": output})
    _, (x,), (fixed,), _ = run_both(network)
    for value, got in zip(x.ravel().tolist(), fixed.ravel().tolist(), strict=True):
        y = Fraction(value) * (Fraction(slope) if value < 0 else 1)
        # Rounded exactly first: in float64 the product itself could round to a tie.
        code = exact_round(y / Fraction(float(output.scale)), output.rounding)
        assert got == output(np.array(code * float(output.scale)))


def test_a_long_slope_names_the_layer_and_a_remedy():
    net = one("leaky_relu", (2,), "s12.4", {"slope": 0.3})
    with pytest.raises(RangeError, match=r"layer 'layer': .* bits") as caught:
        lower(net, input_quantisers(net))
    assert caught.value.hint


@few
@given(inputs(), st.data())
def test_batch_norm(given_input, data):
    shape, quantiser = given_input
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    channels = shape[axis]
    reals = hnp.arrays(np.float64, channels, elements=short_reals)
    deviations = hnp.arrays(np.float64, channels, elements=st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0]))
    params = {key: data.draw(reals) for key in ("gamma", "beta", "mean")}
    params["variance"] = data.draw(deviations) ** 2
    check_exact(one("batch_norm", shape, quantiser, {"axis": axis, "epsilon": 0.0}, params))


def long_params(channels, seed):
    rng = np.random.default_rng(seed)
    return {
        "gamma": rng.normal(0, 1, channels),
        "beta": rng.normal(0, 1, channels),
        "mean": rng.normal(0, 1, channels),
        "variance": rng.uniform(0.01, 4, channels),
    }


@few
@given(inputs(), st.integers(0, 999), types, st.sampled_from(Rounding), st.booleans())
def test_batch_norm_of_any_length_before_a_saturating_quantiser(given_input, seed, kind, rounding, symmetric):
    shape, quantiser = given_input
    overflow = Overflow.SAT_SYM if symmetric else Overflow.SAT
    attrs = {"epsilon": 1e-3, "output": Quantiser.of_type(kind, rounding, overflow)}
    check_exact(one("batch_norm", shape, quantiser, attrs, long_params(shape[-1], seed)))


def test_batch_norm_before_a_quantiser_multiplies_by_few_bits():
    attrs = {"epsilon": 1e-3, "output": Quantiser.of_type(FixedType.parse("u4.2"))}
    program = run_both(one("batch_norm", (8,), "s16.6", attrs, long_params(8, 1)))[0]
    kernel = program.kernels["layer"]
    assert np.abs(kernel.term_coef).max() < 1 << 20
    assert kernel.widths.max() <= 40


def test_batch_norm_too_long_names_the_layer_and_a_remedy():
    net = one("batch_norm", (2,), "s16.6", {"epsilon": 1e-3}, long_params(2, 0))
    with pytest.raises(RangeError, match=r"layer 'layer': .* needs \d+ bits .*\n  try: calibrate the model"):
        lower(net, input_quantisers(net))


@settings(max_examples=300, deadline=None)
@given(
    st.integers(-200, 200),
    st.integers(0, 300),
    st.fractions(-40, 40, max_denominator=1000),
    st.fractions(-40, 40, max_denominator=1000),
    st.integers(-30, 30),
    st.integers(0, 60),
    st.sampled_from(Rounding),
)
def test_round_affine_on_every_code(low, span, slope, offset, lo, room, mode):
    builder = KernelBuilder("k", [low], [low + span])
    y = round_affine(builder, 0, slope, offset, lo, lo + room, mode)
    if y is None:
        # Ties that step up here and down there lie on no one line: only these modes have them.
        assert mode in (Rounding.RND_CONV, Rounding.RND_INF, Rounding.RND_ZERO)
        met = [code * slope + offset for code in range(low, low + span + 1)]
        assert any((value * 2).denominator == 1 and value.denominator == 2 for value in met)
        return
    codes = np.arange(low, low + span + 1)
    got = run_kernel(builder.build([y]), codes[:, None])[:, 0]
    want = [min(max(exact_round(int(code) * slope + offset, mode), lo), lo + room) for code in codes]
    assert got.tolist() == want


@few
@given(
    st.sampled_from(["add", "sub", "mul"]),
    hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3),
    st.data(),
)
def test_two_tensors(kind, drawn, data):
    first, second = drawn.input_shapes
    net = NetworkBuilder("net")
    a = quantised(net, "a", first, data.draw(inputs(st.just(first)))[1] if first else "s4.1")
    b = quantised(net, "b", second, data.draw(inputs(st.just(second)))[1] if second else "u3.2")
    check_exact(net.build([net.add(kind, "layer", [a, b])]))


@few
@given(st.sampled_from(["add", "sub", "mul"]), inputs(), st.data())
def test_tensor_and_constant(kind, given_input, data):
    shape, quantiser = given_input
    broadcast = hnp.broadcastable_shapes(shape, max_dims=3, max_side=3)
    constant = data.draw(hnp.arrays(np.float64, broadcast, elements=short_reals))
    reverse = {"reverse": data.draw(st.booleans())} if kind == "sub" else {}
    check_exact(one(kind, shape, quantiser, reverse, {"constant": constant}))


@few
@given(st.sampled_from(["add", "mul"]), shapes, st.integers(-20, 20), st.sampled_from([0.1, 0.037, 3.0]))
def test_constant_codes_with_a_scale_of_any_length(kind, shape, code, scale):
    params = {"constant": np.array(code), "constant_scale": np.array(scale)}
    check_exact(one(kind, shape, "s4.2", {}, params), tolerance=1e-12)


def test_a_tensor_with_itself():
    net = NetworkBuilder("net")
    x = quantised(net, "x", (3,), "s5.2")
    outputs = [net.add(kind, kind, [x, x]) for kind in ("add", "sub", "mul")]
    check_exact(net.build(outputs))


def test_a_scaled_view_as_output_has_its_own_scale():
    net = one("mul", (3,), "s5.2", {}, {"constant": np.array(0.25)})
    program = run_both(net)[0]
    assert {str(scale) for scale in program.port_scale(program.outputs[0])} == {"1/16"}


@few
@given(st.data())
def test_concat(data):
    rank = data.draw(st.integers(1, 3))
    shape = data.draw(st.tuples(*[st.integers(1, 3)] * rank))
    axis = data.draw(st.integers(-rank, rank - 1))
    net = NetworkBuilder("net")
    parts = []
    for i in range(data.draw(st.integers(1, 3))):
        own = list(shape)
        own[axis] = data.draw(st.integers(1, 3))
        parts.append(quantised(net, f"x{i}", tuple(own), data.draw(inputs(st.just(tuple(own))))[1]))
    parts.append(data.draw(st.sampled_from(parts)))
    check_exact(net.build([net.add("concat", "concat", parts, {"axis": axis})]))


@few
@given(inputs(), st.data())
def test_views_cost_nothing(given_input, data):
    shape, quantiser = given_input
    perm = tuple(data.draw(st.permutations(range(len(shape)))))
    net = NetworkBuilder("net")
    x = quantised(net, "x", shape, quantiser)
    x = net.add("transpose", "transpose", [x], {"perm": perm})
    x = net.add("reshape", "flatten", [x], {"shape": (-1,)})
    network = net.build([x])
    assert lower(network, input_quantisers(network)).steps == ()
    check_exact(network)
    more = net.build([net.add("relu", "relu", [x])])
    check_exact(more)


@few
@given(inputs(), st.data(), st.booleans())
def test_argmax_takes_the_first_of_equals(given_input, data, keepdims):
    shape, quantiser = given_input
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    check_exact(one("argmax", shape, quantiser, {"axis": axis, "keepdims": keepdims}))


def test_argmax_of_a_thousand():
    check_exact(one("argmax", (1000,), "s3.0", {"axis": 0}))


@given(shapes, types)
@settings(max_examples=10, deadline=None)
def test_relu_of_what_is_never_negative_is_free(shape, kind):
    network = one("relu", shape, FixedType(False, kind.bits, kind.frac))
    assert lower(network, input_quantisers(network)).steps == ()


@pytest.mark.parametrize(
    ("kind", "attrs", "params", "message"),
    [
        ("clip", {"lo": 2.0, "hi": 1.0}, {}, r"layer 'layer': clip with the bounds \[2.0, 1.0\]"),
        ("prelu", {}, {"slope": np.ones(5)}, r"layer 'layer': slopes of shape \(5,\) do not broadcast to \(2, 3\)"),
        ("add", {}, {"constant": np.ones(4)}, r"layer 'layer': shapes \(2, 3\) and \(4,\) do not broadcast"),
        ("mul", {}, {}, r"layer 'layer': mul of 1 operands"),
        ("reshape", {"shape": (4,)}, {}, r"layer 'layer': cannot reshape \(2, 3\) \(6 elements\) to \(4,\)"),
        ("transpose", {"perm": (0, 0)}, {}, r"layer 'layer': \(0, 0\) is no permutation"),
        ("argmax", {"axis": 2}, {}, r"layer 'layer': axis 2 does not exist in a tensor of 2 axes"),
        ("concat", {"axis": 5}, {}, r"layer 'layer': axis 5 does not exist"),
        (
            "batch_norm",
            {"epsilon": 0.0},
            {key: np.ones(2) for key in ("gamma", "beta", "mean", "variance")},
            r"layer 'layer': gamma has the shape \(2,\), expected \(3,\) for axis 1",
        ),
        (
            "batch_norm",
            {"epsilon": 0.0},
            {key: np.zeros(3) for key in ("gamma", "beta", "mean", "variance")},
            r"layer 'layer': variance \+ epsilon is not positive",
        ),
    ],
)
def test_unfit_shapes_name_the_layer(kind, attrs, params, message):
    with pytest.raises(ModelError, match=message):
        one(kind, (2, 3), "s4.2", attrs, params)


def test_relu_is_one_clamp():
    program = run_both(one("relu", (4, 3), "s6.2"))[0]
    kernel = program.kernels["layer"]
    assert kernel.count(OpCode.CLAMP) == 3
    assert program.steps[0].positions == 4


def test_symmetric_saturation_of_the_same_type_is_no_wire():
    """The lowest code is outside the symmetric range: the same grid and bounds do not make the quantiser free."""
    net = NetworkBuilder("net")
    x = quantised(net, "x", (2,), "s4.3")
    symmetric = Quantiser.of_type(FixedType.parse("s4.3"), Rounding.RND, Overflow.SAT_SYM)
    x = net.add("quantise", "symmetric", [net.add("reshape", "r", [x], {"shape": (1, 2)})], {"quantiser": symmetric})
    check_exact(net.build([x]))
