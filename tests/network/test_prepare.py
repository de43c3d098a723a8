"""Rewrites of a Network: each keeps the float meaning, applies where it is legal, and leaves the rest alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.errors import ModelError
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir.interpreter import run
from hardwire.ir.verify import verify_program
from hardwire.layers._lowering import lower
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.network.prepare import (
    REWRITES,
    drop_dead,
    drop_identities,
    drop_repeated_quantisers,
    fold_batch_norm,
    fuse_bounds,
    fuse_outputs,
    hoist_quantisers,
    input_quantisers,
    join_batch_norms,
    merge_quantisers,
    prepare,
    same_quantiser,
    settle_batch_norm,
)
from hardwire.network.reference import forward
from hardwire.quantiser import Quantiser

s8 = Quantiser.of_type(FixedType.parse("s8.4"))
u4 = Quantiser.of_type(FixedType.parse("u4.2"))


def kinds(network: Network) -> list[str]:
    return [node.kind for node in network.nodes]


def same_meaning(before: Network, after: Network, exact: bool = True, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    xs = [rng.normal(0, 3, (50, *before.shapes[name])) for name in before.inputs]
    assert (after.inputs, after.outputs) == (before.inputs, before.outputs)
    for a, b in zip(forward(before, xs), forward(after, xs), strict=True):
        if exact:
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def bn_params(channels: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    params = {key: rng.normal(0, 1, channels) for key in ("gamma", "beta", "mean")}
    return {**params, "variance": rng.uniform(0.1, 3, channels)}


def chain(shape, *layers, name="net"):
    """Build a network of layers one after the other: (kind, attrs, params)."""
    net = NetworkBuilder(name)
    x = net.input("x", shape)
    for i, (kind, attrs, params) in enumerate(layers):
        x = net.add(kind, f"{kind}{i}", [x], attrs, params)
    return net.build([x])


def dense(k, m, seed=0, bias=True):
    rng = np.random.default_rng(seed)
    params = {"kernel": rng.normal(0, 1, (k, m))}
    return "dense", {}, {**params, "bias": rng.normal(0, 1, m)} if bias else params


def batch_norm(channels, seed=0, axis=-1):
    return "batch_norm", {"axis": axis, "epsilon": 1e-3}, bn_params(channels, seed)


def quantise(q=s8):
    return "quantise", {"quantiser": q}, {}


relu = ("relu", {}, {})


@pytest.mark.parametrize("bias", [True, False])
def test_batch_norm_folds_into_the_dense_before_it(bias):
    before = chain((4,), dense(4, 3, bias=bias), batch_norm(3), relu)
    after = prepare(before)
    assert kinds(after) == ["dense", "relu"]
    same_meaning(before, after, exact=False)


@pytest.mark.parametrize("bias", [True, False])
def test_batch_norm_folds_into_the_dense_behind_it(bias):
    before = chain((2, 4), batch_norm(4), dense(4, 3, bias=bias))
    after = prepare(before)
    assert kinds(after) == ["dense"]
    same_meaning(before, after, exact=False)


def test_constants_for_each_channel_fold_into_the_layer_before_them():
    rows = np.random.default_rng(3).normal(size=(4, 1, 3))
    steps = [
        ("add", {}, rows[0]),
        ("sub", {}, rows[1]),
        ("sub", {"reverse": True}, rows[2]),
        ("mul", {}, rows[3, 0, 1]),
    ]
    before = chain((2, 4), dense(4, 3), *((kind, attrs, {"constant": value}) for kind, attrs, value in steps), relu)
    after = prepare(before)
    assert kinds(after) == ["dense", "relu"]
    same_meaning(before, after, exact=False)
    for constant in (np.ones((2, 3)), np.ones((2, 1))):
        assert kinds(prepare(chain((2, 4), dense(4, 3), ("add", {}, {"constant": constant})))) == ["dense", "add"]


def test_batch_norms_on_both_sides_fold():
    before = chain((4,), batch_norm(4), dense(4, 3), batch_norm(3, 1), batch_norm(3, 2), relu)
    after = prepare(before)
    assert kinds(after) == ["dense", "relu"]
    same_meaning(before, after, exact=False)


def test_batch_norm_folds_in_a_model_whose_activations_alone_are_quantised():
    before = chain((4,), quantise(), dense(4, 3), batch_norm(3), relu, quantise(u4))
    assert kinds(prepare(before)) == ["quantise", "dense", "quantise"]


@pytest.mark.parametrize(
    "network",
    [
        chain((4, 3), dense(3, 2), batch_norm(4, axis=0)),
        chain((4,), dense(4, 3), relu, batch_norm(3)),
        chain((4,), quantise(), ("dense", {}, {"kernel": np.ones((4, 3)) / 8}), batch_norm(3)),
        chain((4,), ("dense", {}, {"kernel": np.ones((4, 3), int), "kernel_scale": np.array(0.1)}), batch_norm(3)),
    ],
    ids=["other axis", "relu between", "quantised kernel", "integer codes"],
)
def test_batch_norm_stays_where_folding_is_not_legal(network):
    assert fold_batch_norm(network) is None
    after = prepare(network)
    assert "batch_norm" in kinds(after)
    same_meaning(network, after)


def test_batch_norm_stays_where_another_layer_reads_the_dense():
    net = NetworkBuilder("net")
    x = net.input("x", (4,))
    y = net.add("dense", "fc", [x], {}, dense(4, 3)[2])
    z = net.add("batch_norm", "bn", [y], {"epsilon": 1e-3}, bn_params(3))
    network = net.build([net.add("add", "sum", [y, z])])
    assert fold_batch_norm(network) is None
    assert fold_batch_norm(net.build([z, y])) is None


def test_a_batch_norm_that_stays_is_a_product_and_a_sum():
    before = chain((4,), relu, batch_norm(4))
    after = settle_batch_norm(before)
    assert after is not None
    node = after.nodes[1]
    assert node.attrs["epsilon"] == 0
    assert not np.any(node.params["mean"])
    assert settle_batch_norm(after) is None
    same_meaning(before, after)


@pytest.mark.parametrize(
    "layer",
    [
        relu,
        ("clip", {"lo": 0.0, "hi": 6.0}, {}),
        ("clip", {"lo": -0.3, "hi": None}, {}),
        ("clip", {"lo": 0.31, "hi": 0.32}, {}),
        ("clip", {"lo": 100.0, "hi": None}, {}),
    ],
)
@given(st.booleans(), st.integers(1, 8), st.integers(-1, 6), st.sampled_from(Rounding), st.booleans())
@settings(max_examples=20, deadline=None)
def test_bounds_become_part_of_a_saturating_quantiser(layer, signed, bits, frac, rounding, symmetric):
    overflow = Overflow.SAT_SYM if symmetric else Overflow.SAT
    before = chain((5,), layer, quantise(Quantiser.of_type(FixedType(signed, bits, frac), rounding, overflow)))
    after = fuse_bounds(before)
    assert after is not None
    assert kinds(after) == ["quantise"]
    same_meaning(before, after)


def test_bounds_with_a_zero_point_fuse():
    for zero_first in (True, False):
        q = Quantiser(np.array(0.1), np.array(0), np.array(255), zero=np.array(77), zero_first=zero_first)
        before = chain((5,), ("clip", {"lo": -1.0, "hi": 2.05}, {}), quantise(q))
        after = fuse_bounds(before)
        assert after is not None
        same_meaning(before, after)


def test_bounds_stay_before_a_wrapping_quantiser():
    q = Quantiser.of_type(FixedType.parse("s4.2"), Rounding.TRN, Overflow.WRAP)
    assert fuse_bounds(chain((5,), relu, quantise(q))) is None


@pytest.mark.parametrize(
    "layer",
    [
        ("activation", {"function": "tanh", "arguments": {}, "output": None}, {}),
        ("softmax", {"axis": 0, "output": None, "tables": None}, {}),
        ("leaky_relu", {"slope": 0.3}, {}),
        ("prelu", {}, {"slope": np.array([0.1, 0.2, 0.3, 0.4])}),
        batch_norm(4),
    ],
    ids=lambda layer: layer[0],
)
def test_a_quantiser_becomes_the_output_of_what_it_follows(layer):
    before = chain((4,), quantise(), layer, quantise(u4), relu)
    after = prepare(before)
    assert kinds(after) == ["quantise", layer[0], "relu"]
    assert same_quantiser(after.nodes[1].attrs["output"], u4)
    same_meaning(before, after)
    assert fuse_outputs(chain((4,), layer, quantise(), quantise(u4))) is not None


def test_an_output_that_others_read_keeps_its_quantiser():
    net = NetworkBuilder("net")
    x = net.input("x", (4,))
    y = net.add("activation", "tanh", [x], {"function": "tanh", "arguments": {}, "output": None})
    z = net.add("quantise", "q", [y], {"quantiser": s8})
    assert fuse_outputs(net.build([y, z])) is None


@given(st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_quantisers_move_over_views_to_the_input(seed):
    rng = np.random.default_rng(seed)
    perm = tuple(int(axis) for axis in rng.permutation(3))
    shape = tuple(rng.integers(1, 4, 3).tolist())
    q = s8
    if seed % 2:
        size = int(np.prod(shape))
        q = Quantiser.of_arrays(True, rng.integers(1, 6, size), rng.integers(0, 4, size))
    before = chain(shape, ("transpose", {"perm": perm}, {}), ("reshape", {"shape": (-1,)}, {}), quantise(q), relu)
    after = prepare(before)
    assert after.nodes[0].kind == "quantise"
    same_meaning(before, after)
    found = input_quantisers(after)["x"]
    assert np.size(found.scale) == np.size(q.scale)
    assert hoist_quantisers(after) is None


def test_equal_quantisers_of_one_tensor_merge_and_repeated_ones_go():
    net = NetworkBuilder("net")
    x = net.input("x", (4,))
    a = net.add("quantise", "a", [x], {"quantiser": s8})
    b = net.add("quantise", "b", [x], {"quantiser": Quantiser.of_type(FixedType.parse("s8.4"))})
    a = net.add("quantise", "again", [a], {"quantiser": Quantiser.of_type(FixedType.parse("s10.5"))})
    narrower = net.add("quantise", "narrower", [b], {"quantiser": u4})
    before = net.build([net.add("add", "sum", [a, b]), net.add("relu", "relu", [narrower])])
    assert merge_quantisers(before) is not None
    after = prepare(before)
    assert [node.name for node in after.nodes] == ["a", "narrower", "sum", "relu"]
    same_meaning(before, after)


@pytest.mark.parametrize("kind", ["s7.4", "s8.3", "u8.4", "s12.3"])
def test_a_quantiser_that_may_change_a_value_stays(kind):
    other = Quantiser.of_type(FixedType.parse(kind))
    assert drop_repeated_quantisers(chain((3,), quantise(), quantise(other), relu)) is None


@pytest.mark.parametrize(
    "layer",
    [
        ("reshape", {"shape": (2, 3)}, {}),
        ("transpose", {"perm": (0, 1)}, {}),
        ("clip", {"lo": None, "hi": None}, {}),
        ("leaky_relu", {"slope": 1.0}, {}),
        ("concat", {"axis": 0}, {}),
        ("add", {}, {"constant": np.zeros(3)}),
        ("mul", {}, {"constant": np.ones(3)}),
    ],
    ids=lambda layer: layer[0],
)
def test_layers_that_change_nothing_go(layer):
    before = chain((2, 3), layer, relu)
    after = prepare(before)
    assert kinds(after) == ["relu"]
    same_meaning(before, after)
    # As the network's output it stays: its tensor has a name that the user knows.
    assert drop_identities(chain((2, 3), relu, layer)) is None


def test_views_of_views_join():
    transposes = [("transpose", {"perm": perm}, {}) for perm in ((1, 2, 0), (0, 2, 1))]
    reshapes = [("reshape", {"shape": shape}, {}) for shape in ((6, -1), (24,), (2, 12))]
    before = chain((2, 3, 4), *transposes, *reshapes, relu)
    after = prepare(before)
    assert kinds(after) == ["transpose", "reshape", "relu"]
    same_meaning(before, after)


def test_layers_that_change_something_stay():
    for layer in (
        ("sub", {"reverse": True}, {"constant": np.zeros(3)}),
        ("add", {}, {"constant": np.zeros((4, 2, 3))}),
        ("transpose", {"perm": (1, 0)}, {}),
    ):
        assert drop_identities(chain((2, 3), layer, relu)) is None


def test_dead_layers_go():
    net = NetworkBuilder("net")
    x = net.input("x", (4,))
    y = net.add("relu", "live", [x])
    net.add("dense", "head", [net.add("relu", "dead", [x])], {}, dense(4, 2)[2])
    after = drop_dead(net.build([y]))
    assert after is not None
    assert [node.name for node in after.nodes] == ["live"]
    assert set(after.shapes) == {"x", "live"}


@st.composite
def networks(draw):
    """Draw a chain with skips of anything that a rewrite looks at."""
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    net = NetworkBuilder("net")
    tensors = [net.input("x", (2, 4))]
    for i in range(draw(st.integers(1, 10))):
        x = tensors[draw(st.integers(max(0, len(tensors) - 2), len(tensors) - 1))]
        shape = net.shape(x)
        q = Quantiser.of_type(FixedType(draw(st.booleans()), draw(st.integers(2, 8)), draw(st.integers(0, 4))))
        layers = {
            "relu": ({}, {}),
            "clip": ({"lo": -1.0, "hi": 2.3}, {}),
            "leaky_relu": ({"slope": draw(st.sampled_from([0.25, 1.0, 0.3]))}, {}),
            "quantise": ({"quantiser": q}, {}),
            "batch_norm": ({"epsilon": 1e-3}, bn_params(shape[-1], i)),
            "dense": ({}, {"kernel": rng.normal(0, 1, (shape[-1], 3))}),
            "reshape": ({"shape": draw(st.sampled_from([(-1, shape[-1]), (2, -1), (-1, 2)]))}, {}),
            "transpose": ({"perm": tuple(draw(st.permutations((0, 1))))}, {}),
            "activation": ({"function": "tanh", "arguments": {}, "output": None}, {}),
            "softmax": ({"axis": 1, "output": None, "tables": None}, {}),
        }
        kind = draw(st.sampled_from([*layers, "quantise", "quantise"]))
        if kind == "reshape" and int(np.prod(shape)) % 2:
            kind = "relu"
        attrs, params = layers[kind]
        tensors.append(net.add(kind, f"{kind}{i}", [x], attrs, params))
    if net.shape(tensors[-2]) == net.shape(tensors[-1]):
        tensors.append(net.add("add", "sum", tensors[-2:]))
    return net.build([tensors[-1], *({tensors[1]} - {tensors[-1]} if draw(st.booleans()) else ())])


@settings(max_examples=150, deadline=None)
@given(networks())
def test_every_rewrite_keeps_the_meaning_of_any_network(network):
    for rewrite in REWRITES:
        after = rewrite(network)
        scales = rewrite in (fold_batch_norm, join_batch_norms)  # float64 rounds the product of two factors
        if after is not None and not (scales and network.quantised):
            same_meaning(network, after, exact=not scales)
    after = prepare(network)
    assert all(rewrite(after) is None for rewrite in REWRITES)
    # After a fold, a rounding apart in the last bit can fall on either side of a quantiser's step.
    if "batch_norm" not in kinds(network) or not network.quantised:
        same_meaning(network, after, exact="batch_norm" not in kinds(network))


@st.composite
def quantised_networks(draw):
    """Draw a chain with skips whose parameters are short in binary, so that it lowers without preparation too."""
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    net = NetworkBuilder("net")
    tensors = [net.add("quantise", "q", [net.input("x", (2, 4))], {"quantiser": s8})]
    for i in range(draw(st.integers(1, 6))):
        x = tensors[draw(st.integers(max(0, len(tensors) - 2), len(tensors) - 1))]
        shape = net.shape(x)
        q = Quantiser.of_type(
            FixedType(draw(st.booleans()), draw(st.integers(2, 8)), draw(st.integers(0, 4))),
            draw(st.sampled_from(Rounding)),
            draw(st.sampled_from([Overflow.SAT, Overflow.SAT, Overflow.SAT_SYM, Overflow.WRAP])),
        )
        ones = np.ones(shape[-1])
        shift = {"gamma": rng.integers(-9, 9, shape[-1]) / 8, "beta": rng.integers(-9, 9, shape[-1]) / 4}
        layers = {
            "relu": ({}, {}),
            "clip": ({"lo": -1.0, "hi": 2.3125}, {}),
            "leaky_relu": ({"slope": draw(st.sampled_from([0.25, 1.0, 0.3125, -0.5]))}, {}),
            "batch_norm": ({"epsilon": 0.0}, {**shift, "mean": ones / 2, "variance": ones * 4}),
            "dense": ({}, {"kernel": rng.integers(-4, 4, (shape[-1], 4)) / 4}),
            "transpose": ({"perm": (1, 0)}, {}),
        }
        kind = draw(st.sampled_from(sorted(layers)))
        x = net.add(kind, f"{kind}{i}", [x], *layers[kind])
        tensors.append(x)
        if draw(st.booleans()):
            tensors.append(net.add("quantise", f"q{i}", [x], {"quantiser": q}))
    return net.build([tensors[-1]])


@settings(max_examples=120, deadline=None)
@given(quantised_networks())
def test_preparation_changes_no_bit_of_a_quantised_network(network):
    x = np.random.default_rng(0).normal(0, 4, (100, 2, 4))
    want = forward(network, [x])[0]
    for version in (network, prepare(network)):
        program = lower(version, input_quantisers(version))
        verify_program(program)
        quantiser = program.inputs[0].quantiser
        assert quantiser is not None
        (y,) = run(program, [quantiser.codes(x).reshape(100, -1)])
        port = program.outputs[0]
        got = (y * program.port_scale(port)).astype(np.float64).reshape(100, *port.shape)
        np.testing.assert_array_equal(got, want)


def test_a_quantised_tagger_lowers_and_equals_its_float_meaning():
    rng = np.random.default_rng(5)
    weights = [rng.integers(-8, 8, shape) / 8 for shape in ((2, 6), (6, 3))]
    before = chain(
        (4, 2),
        ("reshape", {"shape": (8,)}, {}),
        quantise(),
        ("reshape", {"shape": (4, 2)}, {}),
        ("dense", {}, {"kernel": weights[0]}),
        batch_norm(6),
        relu,
        quantise(u4),
        ("dense", {}, {"kernel": weights[1]}),
        ("leaky_relu", {"slope": 0.3125}, {}),
        quantise(s8),
    )
    after = prepare(before)
    assert kinds(after) == ["quantise", "dense", "batch_norm", "dense", "leaky_relu"]
    program = lower(after, input_quantisers(after))
    verify_program(program)
    x = rng.normal(0, 4, (2000, 4, 2))
    codes = s8.codes(x).reshape(2000, -1)
    (y,) = run(program, [codes])
    port = program.outputs[0]
    values = (y * program.port_scale(port)).astype(np.float64).reshape(2000, *port.shape)
    np.testing.assert_array_equal(values, forward(before, [x])[0])


# Input ports


def test_an_input_has_its_own_quantiser_if_all_readers_agree():
    network = chain((3,), quantise(u4), relu)
    assert input_quantisers(network)["x"] is u4
    assert same_quantiser(input_quantisers(network, "u4.2")["x"], u4)


def test_stated_types():
    net = NetworkBuilder("net")
    a, b = net.input("a", (3,)), net.input("b", (3,))
    network = net.build([net.add("add", "sum", [a, b])])
    for types in (["s8.4", "u4.2"], {"b": FixedType.parse("u4.2"), "a": "s8.4"}):
        found = input_quantisers(network, types)
        assert [found[name].describe() for name in ("a", "b")] == ["s8.4 RND_CONV SAT", "u4.2 RND_CONV SAT"]
    assert {q.describe() for q in input_quantisers(network, "s6.1").values()} == {"s6.1 RND_CONV SAT"}
    with pytest.raises(ModelError, match=r"3 input types for the 2 inputs 'a', 'b'"):
        input_quantisers(network, ["s8.4"] * 3)
    with pytest.raises(ModelError, match=r"a type for input 'c'; the model's inputs are 'a', 'b'"):
        input_quantisers(network, {"c": "s8.4"})
    with pytest.raises(ModelError, match=r"input 'b' needs a type: .*\n  try: --input-type s8.4 .*--calibrate x.npy"):
        input_quantisers(network, {"a": "s8.4"})


def test_an_input_that_is_read_unquantised_needs_a_type():
    net = NetworkBuilder("net")
    x = net.input("x", (3,))
    y = net.add("quantise", "q", [x], {"quantiser": s8})
    network = net.build([net.add("add", "sum", [x, y])])
    with pytest.raises(ModelError, match="input 'x' needs a type"):
        input_quantisers(network)


def test_a_stated_type_that_contradicts_the_model_is_an_error():
    with pytest.raises(ModelError, match=r"input 'x': the type s6.1 is stated, but .* \(u4.2 RND_CONV SAT\)"):
        input_quantisers(chain((3,), quantise(u4), relu), "s6.1")


def test_batch_normalisations_in_a_row_become_one() -> None:
    """A scale beside an integer kernel and what is trained behind it; another axis, or another reader, keeps both."""
    rng = np.random.default_rng(0)

    def norm(net: NetworkBuilder, name: str, x: str, axis: int) -> str:
        c = net.shape(x)[axis]
        params = {"gamma": rng.uniform(-2, 2, c), "beta": rng.normal(size=c), "mean": rng.normal(size=c)}
        params["variance"] = rng.uniform(0.5, 2, c)
        return net.add("batch_norm", name, [x], {"axis": axis, "epsilon": 0.25}, params)

    for first, second, read, kept in ((0, -2, False, 1), (1, -1, False, 1), (0, 1, False, 2), (1, 1, True, 2)):
        net = NetworkBuilder("norms")
        x = net.input("x", (2, 3))
        middle = norm(net, "a", x, first)
        end = norm(net, "b", middle, second)
        network = net.build([end, middle] if read else [end])
        simpler = prepare(network)
        assert sum(node.kind == "batch_norm" for node in simpler.nodes) == kept
        values = rng.normal(size=(5, 2, 3))
        for ours, theirs in zip(forward(simpler, [values]), forward(network, [values]), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
