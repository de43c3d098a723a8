from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardwire.errors import ModelError, TypeStringError
from hardwire.fixed import (
    FixedType,
    Overflow,
    Rounding,
    apply_overflow,
    round_real,
    round_shift,
    width_of,
    wrap_codes,
    wrap_sign_magnitude,
)
from hardwire.ir.compiled_ranges import round_code
from hardwire.ir.program import widths_of
from hardwire.ir.ranges import round_int
from hardwire.layers._requantise import exact_round
from hardwire.quantiser import Quantiser


def rounded(value: Fraction, mode: Rounding) -> int:
    """Definition by distance: the candidates below and above, chosen as the mode says (UG1399)."""
    below = value.numerator // value.denominator
    above = below if value == below else below + 1
    if mode is Rounding.TRN:
        return below
    if mode is Rounding.CEIL:
        return above
    if mode is Rounding.TRN_ZERO:
        return below if value >= 0 else above
    if mode is Rounding.AWAY:
        return above if value >= 0 else below
    down, up = value - below, above - value
    if down != up:
        return below if down < up else above
    return {
        Rounding.RND: above,
        Rounding.RND_MIN_INF: below,
        Rounding.RND_ZERO: below if value >= 0 else above,
        Rounding.RND_INF: above if value >= 0 else below,
        Rounding.RND_CONV: below if below % 2 == 0 else above,
    }[mode]


@given(st.integers(-(1 << 60), 1 << 60), st.integers(0, 63), st.sampled_from(Rounding))
def test_four_implementations_of_rounding_agree_with_the_definition(code: int, shift: int, mode: Rounding) -> None:
    want = rounded(Fraction(code, 1 << shift), mode)
    assert round_int(code, shift, mode) == want
    assert round_shift(np.array([code]), shift, mode)[0] == want
    assert round_code(np.int64(code), np.int64(shift), int(mode)) == want
    assert exact_round(Fraction(code, 1 << shift), mode) == want


@given(st.floats(-1e6, 1e6), st.sampled_from(Rounding))
def test_rounding_of_floats_is_exact(value: float, mode: Rounding) -> None:
    assert round_real(np.array([value]), mode)[0] == rounded(Fraction(value), mode)


def test_just_below_a_half_rounds_down() -> None:
    assert round_real(np.array([0.49999999999999994]), Rounding.RND)[0] == 0.0


@given(st.integers(-5000, 5000), st.integers(1, 8))
def test_wraps_by_arithmetic_and_by_bits_agree(code: int, bits: int) -> None:
    lo, hi = np.int64(-(1 << (bits - 1))), np.int64((1 << (bits - 1)) - 1)
    codes = np.array([code])
    assert apply_overflow(codes, lo, hi, Overflow.WRAP) == wrap_codes(codes, bits, True)
    assert apply_overflow(codes, lo, hi, Overflow.WRAP_SM) == wrap_sign_magnitude(codes, bits)


def test_sign_magnitude_wrap_of_four_bits_to_three() -> None:
    # IEEE 1666-2011, 7.10.9.5, figure of SC_WRAP_SM with n_bits = 0.
    got = wrap_sign_magnitude(np.arange(-8, 8), 3)
    assert got.tolist() == [-1, -2, -3, -4, -4, -3, -2, -1, 0, 1, 2, 3, 3, 2, 1, 0]


def test_saturations() -> None:
    lo, hi = np.int64(-4), np.int64(3)
    codes = np.array([-9, -4, 0, 3, 9])
    assert apply_overflow(codes, lo, hi, Overflow.SAT).tolist() == [-4, -4, 0, 3, 3]
    assert apply_overflow(codes, lo, hi, Overflow.SAT_SYM).tolist() == [-3, -3, 0, 3, 3]
    assert apply_overflow(codes, lo, hi, Overflow.SAT_ZERO).tolist() == [0, -4, 0, 3, 0]


@given(st.integers(-(1 << 61), 1 << 61), st.integers(-(1 << 61), 1 << 61))
def test_width_holds_the_range_and_no_less_would(a: int, b: int) -> None:
    lo, hi = sorted((a, b))
    width = width_of(lo, hi)
    assert widths_of(np.array([lo]), np.array([hi]))[0] == width
    fits = (lambda w: -(1 << (w - 1)) <= lo and hi < 1 << (w - 1)) if lo < 0 else (lambda w: hi < 1 << w)
    assert fits(width)
    assert width == 0 or (width == 1 and lo < 0) or not fits(width - 1)


@pytest.mark.parametrize(
    ("text", "lo", "hi"), [("s8.4", -128, 127), ("u3.0", 0, 7), ("s1.-2", -1, 0), ("u62.70", 0, 2**62 - 1)]
)
def test_types_parse_and_print(text: str, lo: int, hi: int) -> None:
    kind = FixedType.parse(text)
    assert (str(kind), kind.lo, kind.hi) == (text, lo, hi)


@pytest.mark.parametrize("text", ["", "s8", "q8.4", "s8.4.1", "s-8.4", "ap_fixed<8,4>", "8.4"])
def test_malformed_types_say_what_a_type_looks_like(text: str) -> None:
    with pytest.raises(TypeStringError, match=r"is not of the form s8\.4 or u8\.4"):
        FixedType.parse(text)


@pytest.mark.parametrize("text", ["s0.0", "u63.1"])
def test_impossible_widths(text: str) -> None:
    with pytest.raises(TypeStringError, match="a type has 1 to 62 bits"):
        FixedType.parse(text)


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20),
    st.booleans(),
    st.integers(2, 10),
    st.integers(-3, 8),
    st.sampled_from(Rounding),
    st.sampled_from(Overflow),
)
def test_quantiser_codes_follow_the_definition(
    xs: list[float], signed: bool, bits: int, frac: int, rounding: Rounding, over: Overflow
) -> None:
    if over is Overflow.WRAP_SM and not signed:
        return
    kind = FixedType(signed, bits, frac)
    got = Quantiser.of_type(kind, rounding, over).codes(np.array(xs))
    codes = np.array([rounded(Fraction(x) * Fraction(2) ** frac, rounding) for x in xs])
    assert np.array_equal(got, apply_overflow(codes, np.int64(kind.lo), np.int64(kind.hi), over))


def test_zero_point_added_before_rounding_moves_ties() -> None:
    args = (np.float64(1.0), np.int64(0), np.int64(15), Rounding.RND_CONV, Overflow.SAT, np.int64(1))
    first, after = Quantiser(*args, zero_first=True), Quantiser(*args)
    assert first.codes(np.array([0.5]))[0] == 1  # round(1.5) = 2, less the zero point
    assert after.codes(np.array([0.5]))[0] == 0  # round(0.5) = 0


@pytest.mark.parametrize(
    ("scale", "lo", "hi", "over", "why"),
    [
        (0.0, 0, 3, Overflow.SAT, "finite and positive"),
        (float("nan"), 0, 3, Overflow.SAT, "finite and positive"),
        (1.0, 3, 0, Overflow.SAT, "empty range"),
        (1.0, 0, 2, Overflow.WRAP, "whole range"),
        (1.0, 0, 3, Overflow.WRAP_SM, "signed types only"),
    ],
)
def test_impossible_quantisers(scale: float, lo: int, hi: int, over: Overflow, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        Quantiser(np.float64(scale), np.int64(lo), np.int64(hi), Rounding.RND, over)
