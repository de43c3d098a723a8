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


def test_without_a_quantiser_behind_it_the_layer_is_named() -> None:
    with pytest.raises(RangeError, match=r"layer 'fc'.*more than 62 bits\n  try: a quantiser right after the layer"):
        hw.compile(network(1, quantised=False, relu=False, scale=1 / 3))


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
