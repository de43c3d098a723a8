"""Activations and softmax: tables hold exactly `quantiser(f(x))`, softmax equals its definition within its bound."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_checks import check_exact, inputs, quantised, quantisers, run_both, types

import hardwire as hw
from hardwire.errors import ModelError, RangeError
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir.ops import OpCode
from hardwire.layers import layer_of
from hardwire.layers._lowering import lower
from hardwire.layers.activation import EXACT, FUNCTIONS
from hardwire.layers.softmax import SoftmaxTables, default_tables, error_bound, fixed_codes
from hardwire.network.graph import NetworkBuilder
from hardwire.network.prepare import input_quantisers
from hardwire.quantiser import Quantiser

few = settings(max_examples=40, deadline=None)
u8 = Quantiser.of_type(FixedType.parse("u8.8"), Rounding.RND, Overflow.SAT)
everywhere = sorted(
    set(FUNCTIONS)
    - {"log", "log1p", "sqrt", "rsqrt", "reciprocal", "reciprocal_float32", "power", "acosh", "asin", "acos", "atanh"}
    - {"sinh", "cosh", "exp", "exp_float32", "expm1", "tan", "log2", "log10", "exp2"}
)


def one(kind, shape, quantiser, attrs):
    net = NetworkBuilder("net")
    x = quantised(net, "x", shape, quantiser)
    return net.build([net.add(kind, "layer", [x], attrs)])


@few
@given(st.sampled_from(everywhere), inputs(), quantisers)
def test_activation_is_the_quantised_function(function, given_input, output):
    check_exact(one("activation", *given_input, {"function": function, "arguments": {}, "output": output}))


@few
@given(st.sampled_from(sorted(EXACT)), inputs())
def test_exact_functions_need_no_output_type(function, given_input):
    check_exact(one("activation", *given_input, {"function": function, "arguments": {}, "output": None}))


def test_equal_elements_share_one_table():
    attrs = {"function": "tanh", "arguments": {}, "output": Quantiser.of_type(FixedType.parse("s8.6"))}
    program = run_both(one("activation", (7,), "s8.4", attrs))[0]
    assert len(program.kernels["layer"].tables) == 1


def test_arguments_reach_the_function():
    attrs = {"function": "elu", "arguments": {"alpha": 0.3}, "output": Quantiser.of_type(FixedType.parse("s8.6"))}
    _, (x,), (y,), _ = run_both(one("activation", (1,), "s4.1", attrs))
    assert np.all(y[x == -4.0] == np.rint(64 * 0.3 * np.expm1(-4.0)) / 64)


@pytest.mark.parametrize(
    ("kind", "attrs", "error", "message"),
    [
        (
            "s8.4",
            {"function": "sigmoid", "arguments": {}, "output": None},
            ModelError,
            r"layer 'layer': sigmoid has no exact fixed-point result.*\n  try: calibrate the model",
        ),
        (
            "s20.4",
            {"function": "gelu", "arguments": {}, "output": u8},
            RangeError,
            r"layer 'layer': a table of gelu would have 1048576 entries \(codes -524288 to 524287\); "
            r"the limit is 65536\n  try: quantise",
        ),
        (
            "s4.0",
            {"function": "sqrt", "arguments": {}, "output": u8},
            ModelError,
            r"layer 'layer': sqrt is nan at -8, which its input can reach \(range \[-8, 7\]\)\n  try: clip",
        ),
    ],
)
def test_activation_errors(kind, attrs, error, message):
    network = one("activation", (2,), kind, attrs)
    with pytest.raises(error, match=message):
        lower(network, input_quantisers(network))


def test_unknown_function():
    with pytest.raises(ModelError, match=r"layer 'layer': no function 'sigmod' \(known: abs, "):
        one("activation", (2,), "s4.0", {"function": "sigmod", "arguments": {}, "output": u8})


def test_infinity_saturates():
    attrs = {"function": "log", "arguments": {}, "output": Quantiser.of_type(FixedType.parse("s6.2"))}
    _, (x,), (y,), _ = run_both(one("activation", (1,), "u3.0", attrs))
    assert np.all(y[x == 0] == -8.0)


# Softmax


def softmax_expected(x, axis, scale, tables, output):
    codes = np.moveaxis(np.rint(x / float(scale)).astype(np.int64), axis + 1, -1)
    n = codes.shape[-1]
    y = fixed_codes(codes, scale, tables) * 2.0 ** -tables.frac(n)
    return output(np.moveaxis(y, -1, axis + 1))


table_types = st.builds(
    SoftmaxTables,
    shift=st.integers(0, 3),
    depth=st.integers(0, 80),
    exp_frac=st.integers(3, 14),
    index_bits=st.integers(0, 3),
    recip_frac=st.integers(1, 14),
    normalise=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(types, st.integers(1, 9), st.integers(1, 3), st.booleans(), table_types, quantisers)
def test_softmax_equals_its_definition(kind, n, rows, first, tables, output):
    shape, axis = ((n, rows), 0) if first else ((rows, n), 1)
    network = one("softmax", shape, kind, {"axis": axis, "output": output, "tables": tables})
    _, (x,), (y,), _ = run_both(network)
    np.testing.assert_array_equal(y, softmax_expected(x, axis, Fraction(kind.lsb), tables, output))


@settings(max_examples=60, deadline=None)
@given(types, st.integers(1, 40), table_types)
def test_softmax_error_bound_holds(kind, n, tables):
    rng = np.random.default_rng(n)
    codes = rng.integers(kind.lo, kind.hi + 1, (300, n))
    codes = np.concatenate([codes, np.where(rng.random((300, n)) < 0.1, codes, kind.lo)])
    scale = Fraction(kind.lsb)
    x = codes * kind.lsb
    e = np.exp(x - x.max(axis=1, keepdims=True))
    true = e / e.sum(axis=1, keepdims=True)
    got = fixed_codes(codes, scale, tables) * 2.0 ** -tables.frac(n)
    assert np.abs(got - true).max() <= error_bound(tables, n, scale, kind.hi - kind.lo)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 100, 1024])
@pytest.mark.parametrize("kind", ["s6.2", "s12.6", "s16.8", "u8.0"])
@pytest.mark.parametrize("output", ["u4.4", "u8.8", "s10.8"])
def test_default_tables_keep_a_rounded_result_within_one_lsb(n, kind, output):
    source, quantiser = FixedType.parse(kind), Quantiser.of_type(FixedType.parse(output))
    spread = source.hi - source.lo
    tables = default_tables(Fraction(source.lsb), spread, n, quantiser)
    tables.check("layer", n)
    assert error_bound(tables, n, Fraction(source.lsb), spread) <= float(quantiser.scale) / 2
    assert max(tables.depth, 1 << tables.index_bits) <= 4096


def test_default_tables_of_a_fine_output_state_their_bound():
    quantiser = Quantiser.of_type(FixedType.parse("u20.20"))
    tables = default_tables(Fraction(1, 16), 255, 5, quantiser)
    assert 2.0**-20 < error_bound(tables, 5, Fraction(1, 16), 255) < 2.0**-12


@pytest.mark.parametrize("n", [5, 300])
def test_softmax_by_default_is_within_one_lsb_of_float(n):
    network = one("softmax", (n,), "s8.4", {"axis": 0, "output": u8, "tables": None})
    _, _, (y,), (float_y,) = run_both(network, vectors=20)
    assert np.abs(y - float_y).max() <= 2.0**-8


def test_softmax_of_unequal_scales():
    quantiser = Quantiser.of_arrays(True, 5, np.array([0, 1, 2]))
    network = one("softmax", (3,), quantiser, {"axis": 0, "output": u8, "tables": None})
    _, _, (y,), (float_y,) = run_both(network)
    assert np.abs(y - float_y).max() <= 2.0**-8


def test_softmax_errors():
    network = one("softmax", (3,), "s6.2", {"axis": 0, "output": None, "tables": None})
    with pytest.raises(ModelError, match=r"layer 'layer': softmax has no exact fixed-point result.*\n  try: calibrate"):
        lower(network, input_quantisers(network))
    big = SoftmaxTables(shift=0, depth=1 << 16, exp_frac=8, index_bits=4, recip_frac=8, normalise=True)
    with pytest.raises(RangeError, match=r"layer 'x': a softmax table of 65537 entries; the limit is 65536"):
        big.check("x", 3)
    wide = SoftmaxTables(shift=0, depth=8, exp_frac=40, index_bits=4, recip_frac=30, normalise=True)
    with pytest.raises(RangeError, match=r"layer 'x': the softmax needs 73 bits"):
        wide.check("x", 3)
    long = SoftmaxTables(shift=0, depth=8, exp_frac=4, index_bits=9, recip_frac=8, normalise=False)
    with pytest.raises(ModelError, match=r"layer 'x': the reciprocal's index of 9 bits is longer than the sum"):
        long.check("x", 3)


masks = st.sampled_from(["none", "constant", "computed"])


@settings(max_examples=60, deadline=None)
@given(types, st.integers(1, 6), st.integers(1, 3), masks, st.booleans(), table_types, quantisers, st.data())
def test_masked_softmax_equals_its_definition(kind, n, rows, masked, share, tables, output, data):
    factor = data.draw(st.sampled_from([1.0, 0.125, 1 / np.sqrt(3.0)]))
    attrs = {"axis": 1, "output": output, "tables": tables, "factor": factor, "share": share}
    net = NetworkBuilder("net")
    inputs, params = [quantised(net, "x", (rows, n), kind)], {}
    wide = data.draw(st.sampled_from([(n,), (1, n), (rows, n)]))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=int(np.prod(wide)), max_size=int(np.prod(wide)))))
    if masked == "computed":
        inputs.append(quantised(net, "mask", wide, "u1.0"))
    elif masked == "constant":
        params["mask"] = mask.reshape(wide)
    network = net.build([net.add("softmax", "layer", inputs, attrs, params)])
    _, xs, (y,), (meaning,) = run_both(network)
    kept = np.ones((len(y), rows, n), bool)
    for part in [*params.values(), *(x != 0 for x in xs[1:])]:
        kept &= part if masked == "constant" else part.reshape(len(part), *(1,) * (3 - part.ndim), *part.shape[1:])
    codes = np.rint(xs[0] / kind.lsb).astype(np.int64)
    none = ~np.any(kept, axis=2, keepdims=True)
    codes, kept = np.where(none & share, 0, codes), kept | (none & share)
    z = fixed_codes(codes, Fraction(kind.lsb) * Fraction(factor), tables, kept) * 2.0 ** -tables.frac(n)
    np.testing.assert_array_equal(y, output(z))
    np.testing.assert_array_equal(meaning[np.broadcast_to(~kept, meaning.shape)], output(np.zeros(1))[0])


def test_a_constant_mask_leaves_nothing_of_what_it_masks():
    net = NetworkBuilder("net")
    x = quantised(net, "x", (4, 4), "s6.3")
    attrs = {"axis": 1, "output": u8, "tables": None}
    mask = {"mask": np.tril(np.ones((4, 4), bool))}
    program = lower(masked := net.build([net.add("softmax", "layer", [x], attrs, mask)]), input_quantisers(masked))
    assert sum("layer" in name and "mask" not in name for name in program.kernels) == 2  # softmax, output quantiser
    (kernel,) = hw.compile(masked).flat.kernels.values()
    tables = [op for op in kernel.op if op == OpCode.TABLE]
    # Rows of 1, 2, 3 and 4 have as many exponentials, and a reciprocal each where they are more than one.
    assert len(tables) <= 1 + 2 + 3 + 4 + 3


def test_a_factor_costs_nothing():
    def program(**attrs):
        attrs = {"axis": 0, "output": u8, "tables": None, **attrs}
        network = one("softmax", (4,), "s6.3", attrs)
        return lower(network, input_quantisers(network))

    assert len(program().steps) == len(program(factor=0.3).steps)
    with pytest.raises(ModelError, match=r"a softmax of -1\.0 times"):
        program(factor=-1.0)
    network = one("softmax", (3,), "s6.3", {"axis": 0, "output": u8, "tables": None})
    with pytest.raises(ModelError, match="a mask of the shape"):
        layer_of(network.nodes[-1]).shape(network.nodes[-1].with_(params={"mask": np.ones(2)}), [(3,)])
