"""Normalisation: the Program is the stated integer definition, which is within its proven bound of float64."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_checks import quantised, run_both

import hardwire.frontends as frontends
from hardwire.calibrate import calibrate
from hardwire.errors import ModelError, RangeError
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.layers.layer_norm import NormTables, fixed_codes
from hardwire.network.graph import NetworkBuilder
from hardwire.network.prepare import prepare
from hardwire.network.reference import forward
from hardwire.quantiser import Quantiser

OUTPUT = Quantiser.of_type(FixedType.parse("s10.5"), Rounding.RND, Overflow.SAT)


def norm(shape, kind, axes, *, epsilon=1e-3, centre=True, output=OUTPUT, **params):
    net = NetworkBuilder("norm")
    x = quantised(net, "x", shape, kind)
    attrs = {"axes": axes, "epsilon": epsilon, "centre": centre, "output": output}
    return net.build([net.add("layer_norm", "norm", [x], attrs, {k: np.asarray(v) for k, v in params.items()})])


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 6),
    st.builds(FixedType, st.booleans(), st.integers(1, 9), st.integers(-2, 6)),
    st.sampled_from([0.0, 1e-5, 1e-3, 0.5]),
    st.booleans(),
    st.integers(2, 8),
)
def test_the_program_is_the_definition_within_its_bound(n, kind, epsilon, centre, frac):
    output = Quantiser.of_type(FixedType(True, frac + 5, frac), Rounding.RND, Overflow.SAT)
    network = norm((2, n), kind, (1,), epsilon=epsilon, centre=centre, output=output)
    program, (xs,), (fixed,), _ = run_both(network)
    note = program.notes["layer_norm"]["norm"]
    tables, scale = NormTables(**note["tables"]), Fraction(note["input_scale"])
    codes = np.rint(xs / float(scale)).astype(np.int64)
    z = fixed_codes(codes, scale, Fraction(epsilon), tables, centre=centre)
    np.testing.assert_array_equal(fixed, output(z * float(tables.scale)))
    floats = network.with_(nodes=tuple(n.with_(attrs={**n.attrs, "output": None}) for n in network.nodes[1:]))
    floats = floats.with_(nodes=(network.nodes[0], *floats.nodes))
    inside = np.abs(forward(floats, [xs])[0]) < output.hi * output.scale
    assert np.all(np.abs(fixed - forward(floats, [xs])[0])[inside] <= note["error_bound"] + 1e-9)


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_factors_and_offsets_are_exact(data):
    # On a grid of 2^-24: a subnormal number would need more bits than a word has (that is refused, below).
    reals = st.integers(-(2**25), 2**25).map(lambda code: code / 2**24)
    shape = data.draw(st.sampled_from([(3,), (2, 3), (3, 2, 2)]))
    axes = data.draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
    gamma = np.array(data.draw(st.lists(reals, min_size=shape[-1], max_size=shape[-1])))
    beta = np.array(data.draw(st.lists(reals, min_size=shape[-1], max_size=shape[-1])))
    program, _, (fixed,), (floats,) = run_both(norm(shape, "s6.3", tuple(axes), gamma=gamma, beta=beta))
    bound = program.notes["layer_norm"]["norm"]["error_bound"]
    assert np.max(np.abs(fixed - floats)) <= bound + 0.5 * 2.0**-5 + 1e-9


def test_equal_elements_without_epsilon_are_zero():
    _, (xs,), (fixed,), _ = run_both(norm((1, 3), "s1.0", (1,), epsilon=0.0))
    equal = np.all(xs == xs[..., :1], axis=-1)
    assert equal.any()
    assert not fixed[equal].any()


def test_a_quantiser_behind_it_becomes_its_output():
    net = NetworkBuilder("norm")
    x = quantised(net, "x", (4,), "s5.2")
    x = net.add("layer_norm", "norm", [x], {"axes": (0,), "epsilon": 1e-3, "centre": True, "output": None})
    network = prepare(net.build([net.add("quantise", "type", [x], {"quantiser": OUTPUT})]))
    assert [node.kind for node in network.nodes] == ["quantise", "layer_norm"]
    run_both(network)


def test_calibration_finds_its_types():
    rng = np.random.default_rng(0)
    net = NetworkBuilder("norm")
    x = net.add("dense", "fc", [net.input("x", (3,))], {}, {"kernel": rng.normal(size=(3, 4))})
    x = net.add("layer_norm", "norm", [x], {"axes": (0,), "epsilon": 1e-3, "centre": True, "output": None})
    network = net.build([net.add("dense", "out", [x], {}, {"kernel": rng.normal(size=(4, 2))})])
    found = calibrate(network, [rng.normal(size=(200, 3))], fidelity=0.98)
    run_both(prepare(found.network))


def test_errors_name_the_layer():
    with pytest.raises(ModelError, match=r"'norm'.*no type for its output"):
        run_both(norm((3,), "s4.2", (0,), output=None))
    with pytest.raises(RangeError, match=r"'norm'.*needs .* bits"):
        run_both(norm((3,), "s31.2", (0,)))
    with pytest.raises(ModelError, match="axis 3 does not exist"):
        norm((3,), "s4.2", (3,))
    with pytest.raises(ModelError, match="gamma of shape"):
        norm((3,), "s4.2", (0,), gamma=np.ones(2))


class _Call(torch.nn.Module):
    def __init__(self, module, spoil=True):
        super().__init__()
        self.module = module
        for parameter in self.parameters():
            torch.nn.init.uniform_(parameter, -1, 1)

    def forward(self, x):
        return self.module(x)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (torch.nn.LayerNorm(4), (3, 4)),
        (torch.nn.LayerNorm((3, 4), eps=0.1), (3, 4)),
        (torch.nn.LayerNorm(4, bias=False), (4,)),
        (torch.nn.LayerNorm(4, elementwise_affine=False), (4,)),
        (torch.nn.GroupNorm(2, 4), (4, 3, 2)),
        (torch.nn.RMSNorm(4), (3, 4)),
        (torch.nn.RMSNorm(4, eps=1e-2), (3, 4)),
    ],
)
def test_torch_means_the_same(module, shape):
    torch.manual_seed(0)
    x = torch.randn(5, *shape)
    call = _Call(module).eval()
    network = frontends.load(torch.export.export(call, (x,)))
    (ours,) = forward(network, [x.double().numpy()])
    np.testing.assert_allclose(ours, call(x).detach().numpy(), rtol=1e-5, atol=1e-5)
