"""A float bias beside weights with scales that are no powers of two (Brevitas, QONNX) stays exact and narrow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hardwire as hw
from hardwire.errors import RangeError
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.network.reference import forward
from hardwire.quantiser import Quantiser


def network(seed: int, *, quantised: bool = True, relu: bool = True, scale: float = 0.0213) -> Network:
    rng = np.random.default_rng(seed)
    net = NetworkBuilder("fine")
    x = net.input("x", (5,))
    codes = np.int64(-128), np.int64(127)
    x = net.add("quantise", "q", [x], {"quantiser": Quantiser(np.float64(np.float32(0.137)), *codes)})
    params = {
        "kernel": rng.integers(-15, 16, (5, 4)),
        "kernel_scale": np.float64(np.float32(scale) if quantised else scale),
        "bias": rng.normal(size=4).astype(np.float32).astype(np.float64),
    }
    x = net.add("dense", "fc", [x], {}, params)
    if relu:
        x = net.add("relu", "relu", [x])
    if quantised:
        ends = np.int64(0), np.int64(15)
        quantiser = Quantiser(np.float64(np.float32(0.0911)), *ends, Rounding.RND_CONV, Overflow.SAT)
        x = net.add("quantise", "out", [x], {"quantiser": quantiser})
    return net.build([x])


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=10)
def test_it_compiles_is_proven_and_means_what_the_float_model_means(seed: int, relu: bool) -> None:
    model = network(seed, relu=relu)
    design = hw.compile(model)
    x = np.random.default_rng(seed).normal(size=(500, 5)) * 4
    assert np.array_equal(design.predict(x), forward(model, [x])[0])
    assert design.report()["program"]["widest"] <= 40
    found = design.verify(x, vectors=300, simulator="icarus")
    assert found["formal"]["proven"]
    assert found["interpreter"]["mismatches"] == found["emulator_rtl"]["mismatches"] == 0


@given(st.integers(0, 10_000))
@settings(max_examples=3)
def test_at_an_output_it_is_rounded_as_finely_as_float32(seed: int) -> None:
    model = network(seed, quantised=False, relu=False, scale=1 / 3)
    design = hw.compile(model)
    x = np.random.default_rng(seed).normal(size=(500, 5)) * 4
    (wanted,) = forward(model, [x])
    largest = np.abs(design.predict(x) - wanted).max()
    assert 0 < largest <= 2.0**-24 * np.abs(model.nodes[-1].params["bias"]).max()
    assert design.report()["rounded_bias"]["fc"]["largest_error"] == pytest.approx(largest, rel=1e-6)
    found = design.verify(x, vectors=300, simulator="icarus")
    assert found["formal"]["proven"]
    assert found["emulator_rtl"]["mismatches"] == 0
    assert found["meaning"]["layer"] == "fc"
    assert found["meaning"]["largest_difference"] == pytest.approx(largest, rel=0.5)


def test_between_layers_the_layer_is_named() -> None:
    net = NetworkBuilder("wide")
    x = net.add("quantise", "q", [net.input("x", (5,))], {"quantiser": Quantiser.of_type(FixedType.parse("s8.3"))})
    params = {"kernel": np.ones((5, 4), np.int64), "kernel_scale": np.float64(1 / 3), "bias": np.full(4, 0.1)}
    x = net.add("dense", "fc", [x], {}, params)
    x = net.add("argmax", "best", [x], {"axis": 0, "keepdims": True})
    with pytest.raises(RangeError, match=r"layer 'fc': linear needs"):
        hw.compile(net.build([x]))


def test_types_meet_at_a_power_of_two_too() -> None:
    net = NetworkBuilder("meet")
    x = net.input("x", (2,))
    port = Quantiser.of_type(FixedType.parse("s6.2"))
    x = net.add("quantise", "q", [x], {"quantiser": port})
    params = {"kernel": np.array([[0.5], [0.25]]), "bias": np.array([0.1])}
    x = net.add("dense", "fc", [x], {}, params)
    x = net.add("quantise", "out", [x], {"quantiser": Quantiser.of_type(FixedType.parse("s6.1"), Rounding.TRN)})
    model = net.build([x])
    design = hw.compile(model)
    values = np.random.default_rng(0).normal(size=(500, 2)) * 6
    assert np.array_equal(design.predict(values), forward(model, [values])[0])
