"""Quantisers and tables of wide values: minifloats, staircases, roundings by their edges."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import hardwire as hw
from hardwire.errors import ModelError
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir import interpreter
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _requantise
from hardwire.layers._lowering import lower
from hardwire.layers._octaves import exact_minifloat
from hardwire.layers._requantise import exact_round, round_scaled
from hardwire.layers._staircase import staircase
from hardwire.network.graph import NetworkBuilder
from hardwire.network.prepare import input_quantisers, prepare
from hardwire.network.reference import forward
from hardwire.quantiser import Quantiser


def grid(exponent: int, mantissa: int, bias: int, most: float | None) -> np.ndarray:
    """Every value of a format, from its definition (IEEE 754, without infinities and NaN)."""
    found = {0.0}
    for e in range(1 << exponent):
        for m in range(1 << mantissa):
            value = 2.0 ** (1 - bias) * m / 2**mantissa if e == 0 else 2.0 ** (e - bias) * (1 + m / 2**mantissa)
            found |= {value, -value}
    return np.array(sorted(v for v in found if most is None or abs(v) <= most))


FORMATS = [(4, 3, 7, 448.0), (5, 2, 15, 57344.0), (2, 1, 1, None), (3, 2, 3, None), (4, 3, 8, 240.0), (2, 3, 1, None)]


@pytest.mark.parametrize("form", FORMATS)
def test_minifloats_are_the_nearest_of_their_grid(form: tuple[int, int, int, float | None]) -> None:
    values, rule = grid(*form), Quantiser.minifloat(1.0, *form)
    np.testing.assert_array_equal(rule(values), values)
    middles = (values[1:] + values[:-1]) / 2
    for x in (np.nextafter(middles, np.inf), np.nextafter(middles, -np.inf)):
        nearest = values[np.abs(x[:, None] - values).argmin(axis=1)]
        np.testing.assert_array_equal(rule(x), nearest)
    # A tie goes to the neighbour whose last mantissa bit is 0: every second one, counted from zero.
    even = values[(np.arange(len(values)) - len(values) // 2) % 2 == 0]
    assert set(rule(middles)) <= set(even)
    np.testing.assert_array_equal(rule(np.array([1e30, -1e30])), [values[-1], values[0]])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("rounding", [Rounding.RND_CONV, Rounding.TRN, Rounding.CEIL, Rounding.RND_INF])
def test_exact_rounding_is_the_float64_one(form: tuple[int, int, int, float | None], rounding: Rounding) -> None:
    rule = Quantiser.minifloat(1.0, *form, rounding)
    x = np.random.default_rng(0).normal(size=300) * np.exp2(np.random.default_rng(1).integers(-12, 12, 300))
    exact = [exact_minifloat(Fraction(v) / Fraction(float(rule.scale)), form[1], rounding) for v in x.tolist()]
    np.testing.assert_array_equal(np.clip(np.array(exact, float), rule.lo, rule.hi), rule.codes(x))


@given(
    st.sampled_from(FORMATS),
    st.sampled_from([0.5, 0.29871, 0.0123]),
    st.integers(4, 18),
    st.sampled_from([None, 0.37]),
    st.sampled_from([Rounding.RND_CONV, Rounding.TRN, Rounding.RND_ZERO]),
)
@settings(max_examples=40, deadline=None)
def test_minifloats_lower_exactly(form, scale, bits, offset, rounding) -> None:
    """By a table, and by a rounding for each octave; a constant too fine for the integers is taken along."""
    net = NetworkBuilder("m")
    fine = Quantiser.of_type(FixedType(True, bits, bits - 3), Rounding.RND, Overflow.SAT)
    x = net.add("quantise", "fine", [net.input("x", (2,))], {"quantiser": fine})
    if offset is not None:
        params = {"kernel": np.array([[3, 0], [0, 5]]), "kernel_scale": np.float64(0.1), "bias": np.full(2, offset)}
        x = net.add("dense", "fc", [x], {}, params)
    rule = Quantiser.minifloat(scale, *form, rounding)
    network = prepare(net.build([net.add("quantise", "float", [x], {"quantiser": rule})]))
    program = lower(network, input_quantisers(network))
    values = np.random.default_rng(0).normal(size=(300, 2)) * np.exp2(
        np.random.default_rng(1).integers(-9, 4, (300, 1))
    )
    codes = fine.codes(values)
    (found,) = interpreter.run(program, [codes])
    (wanted,) = forward(network, [codes * fine.scale])
    np.testing.assert_allclose(found * np.float64(rule.scale), wanted, rtol=1e-15)


def test_a_minifloat_port_and_its_emulator(tmp_path) -> None:
    """The input port rounds floats as the model does; a saved build still does."""
    rule = Quantiser.minifloat(0.01, 4, 3, 7, 448.0)
    net = NetworkBuilder("port")
    x = net.add("quantise", "q", [net.input("x", (3,))], {"quantiser": rule})
    params = {"kernel": np.array([[1, 2], [-3, 1], [2, 2]]), "kernel_scale": np.float64(0.1)}
    network = net.build([net.add("dense", "fc", [x], {}, params)])
    x = np.random.default_rng(0).normal(size=(500, 3)) * np.exp2(np.random.default_rng(1).integers(-14, 6, (500, 1)))
    x[0] = [1e300, -1e300, 0.0]
    design = hw.compile(network)
    (wanted,) = forward(network, [x])
    np.testing.assert_allclose(design.predict(x), wanted, rtol=1e-14, atol=1e-14)
    design.save(tmp_path / "build")
    np.testing.assert_array_equal(hw.load(tmp_path / "build").predict(x), design.predict(x))
    assert design.verify(x, vectors=200)["meaning"]["equal"] > 0


def test_impossible_minifloats() -> None:
    with pytest.raises(ModelError, match="minifloat quantiser saturates"):
        replace(Quantiser.minifloat(1.0, 4, 3, 7), overflow=Overflow.WRAP)


@given(
    st.fractions(Fraction(1, 10**15), Fraction(1, 10**4), max_denominator=10**17),
    st.integers(20, 56),
    st.sampled_from(list(Rounding)),
    st.fractions(-3, 3, max_denominator=10**9),
    st.integers(0, 1 << 30),
)
@settings(max_examples=120, deadline=None)
def test_edges_decide_where_no_multiplier_does(factor, bits, mode, offset, seed) -> None:
    half = min(1 << bits, int(40 / factor))
    b = KernelBuilder("k", [-half], [half - 1])
    y = _requantise._corrected(b, 0, factor, mode, offset)
    # Now and then no estimate is good enough (1e-15 of 54 bits, away from zero); the caller then compares edges.
    assume(y is not None)
    z = round_scaled(b, 0, factor, mode, offset)
    kernel = b.build([y, z])
    rng = np.random.default_rng(seed)
    near = [int((t - offset) / factor) + d for t in range(-40, 41) for d in (-1, 0, 1)]
    near += [int((t + Fraction(1, 2) - offset) / factor) + d for t in range(-40, 41) for d in (-1, 0, 1)]
    codes = [c for c in [*near, *rng.integers(-half, half, 50).tolist(), -half, half - 1] if -half <= c < half]
    found = interpreter.run_kernel(kernel, np.array(codes, np.int64)[:, None])
    wanted = [exact_round(c * factor + offset, mode) for c in codes]
    assert found[:, 0].tolist() == wanted
    assert found[:, 1].tolist() == wanted


@given(
    st.integers(0, 50).map(lambda n: 2 * n + 3),
    st.integers(1, 20),
    st.integers(1, 9),
    st.sampled_from([Rounding.TRN, Rounding.RND]),
    st.integers(-(1 << 20), 1 << 20),
    st.integers(0, 1 << 30),
)
@settings(max_examples=60, deadline=None)
def test_divisions_shift_first(odd, shift, numerator, mode, constant, seed) -> None:
    factor = Fraction(numerator, odd << shift)
    offset = Fraction(constant, factor.denominator)
    half = 1 << (12 + shift)
    b = KernelBuilder("k", [-half], [half - 1])
    y = _requantise._shifted_first(b, 0, factor, mode, offset)
    if y is None:
        assert factor.denominator % 2
        return
    codes = np.random.default_rng(seed).integers(-half, half, 200).tolist()
    codes += [int((t - offset) / factor) + d for t in range(-9, 10) for d in (-1, 0, 1)]
    codes = [code for code in codes if -half <= code < half]
    found = interpreter.run_kernel(b.build([y]), np.array(codes, np.int64)[:, None])
    assert found[:, 0].tolist() == [exact_round(c * factor + offset, mode) for c in codes]


@given(st.integers(2, 40), st.integers(0, 1 << 30), st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_staircases_are_exact(steps: int, seed: int, rise: int) -> None:
    rng = np.random.default_rng(seed)
    edges = np.sort(rng.integers(-(1 << 30), 1 << 30, steps))
    spread = np.diff(edges).min(initial=1 << 40) << 11 >= edges[-1] - edges[0]

    def codes(a: np.ndarray) -> np.ndarray:
        return rise * np.searchsorted(edges, a, side="right").astype(np.int64) - 3

    b = KernelBuilder("k", [-(1 << 31)], [(1 << 31) - 1])
    y = staircase(b, 0, codes)
    if y is None:
        assert not spread
        return
    a = np.concatenate(
        [edges, edges - 1, edges + 1, rng.integers(-(1 << 31), 1 << 31, 50), [-(1 << 31), (1 << 31) - 1]]
    )
    np.testing.assert_array_equal(interpreter.run_kernel(b.build([y]), a[:, None])[:, 0], codes(a))


@pytest.mark.parametrize("function", ["sigmoid", "tanh", "erf", "exp"])
def test_wide_inputs_of_rising_functions(function: str) -> None:
    """Sums of 24 bits with a bias of their own reach the table whole: nothing is rounded in front of it."""
    rng = np.random.default_rng(0)
    net = NetworkBuilder("wide")
    fine = Quantiser.of_type(FixedType(True, 16, 12), Rounding.RND, Overflow.SAT)
    x = net.add("quantise", "q", [net.input("x", (3,))], {"quantiser": fine})
    params = {"kernel": rng.integers(-127, 128, (3, 2)), "kernel_scale": np.float64(0.0031), "bias": rng.normal(size=2)}
    y = net.add("dense", "fc", [x], {}, params)
    output = Quantiser.of_type(FixedType(True, 8, 6), Rounding.RND_CONV, Overflow.SAT)
    y = net.add("activation", "f", [y], {"function": function, "arguments": {}, "output": output})
    network = net.build([y])
    design = hw.compile(network, backend="emulator")
    x = rng.normal(size=(20_000, 3)) * 2
    np.testing.assert_array_equal(design.predict(x), forward(network, [x])[0])
