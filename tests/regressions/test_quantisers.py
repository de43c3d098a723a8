"""Quantisers at the ends of what they may be: no bits, all 62 bits, tiny scales, a type per element of any rank."""

from __future__ import annotations

import numpy as np
import pytest
from whole_design import compiled, of, weights

from hardwire.errors import ModelError
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.network.graph import NetworkBuilder
from hardwire.quantiser import Quantiser


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("signed", [True, False])
def test_an_inner_quantiser_with_elements_of_no_bits(overflow, signed):
    """Wrapping to no bits shifted by a negative count; `WRAP_SM` took an element of no bits for an unsigned one."""
    net = NetworkBuilder("inner")
    x = net.add("quantise", "q", [net.input("x", (3,))], of("s6.2"))
    x = net.add("dense", "fc", [x], {}, weights(3, 4))
    if overflow is Overflow.WRAP_SM and not signed:
        with pytest.raises(ModelError, match="signed types only"):
            Quantiser.of_arrays(signed, [4, 0, 3, 1], [1, 2, 0, 3], Rounding.RND, overflow)
        return
    inner = Quantiser.of_arrays(signed, [4, 0, 3, 1], [1, 2, 0, 3], Rounding.RND, overflow)
    compiled(net.build([net.add("quantise", "q2", [x], {"quantiser": inner})]))


@pytest.mark.parametrize("bits", [[63, 4], [64, 4], [-1, 4]])
def test_too_many_or_negative_bits(bits):
    """More than 62 bits reached the verifier of Programs and were reported as an internal error."""
    with pytest.raises(ModelError, match=r"quantiser of (63|64|-1) bits; 0 to 62 are possible"):
        Quantiser.of_arrays(True, bits, 0)


def test_a_zero_point_may_not_widen_the_codes_beyond_62_bits():
    kind = FixedType(True, 62, 0)
    lo, hi = np.array(kind.lo), np.array(kind.hi)
    with pytest.raises(ModelError, match=r"quantiser with codes from .*: 63 bits; codes have at most 62"):
        Quantiser(np.array(1.0), lo, hi, zero=np.array(5))


@pytest.mark.parametrize("overflow", [Overflow.WRAP, Overflow.WRAP_SM, Overflow.SAT])
def test_the_widest_type_has_no_overflow_of_its_own(overflow):
    """The period of a sign-magnitude wrap to 62 bits is 2^63, which int64 does not hold."""
    quantiser = Quantiser.of_type(FixedType(True, 62, 0), Rounding.TRN, overflow)
    x = np.array([-(2.0**61), -1.0, 0.0, 2.0**61 - 1024, 2.0**61, 2.0**61 + 1024, -(2.0**61) - 1024])
    codes = quantiser.codes(x)
    top = (1 << 61) - 1
    beyond = {
        Overflow.WRAP: [-top - 1, -top - 1 + 1024, top + 1 - 1024],
        Overflow.WRAP_SM: [top, top - 1024, -top - 1 + 1023],
        Overflow.SAT: [top, top, -top - 1],
    }[overflow]
    assert codes.tolist() == [-top - 1, -1, 0, (1 << 61) - 1024, *beyond]


@pytest.mark.parametrize("scale", [5e-324, float(np.float32(1e-42)), 2.0**-1000])
@pytest.mark.parametrize("rounding", Rounding)
def test_tiny_scales_saturate_without_a_warning(scale, rounding):
    """The quotient is infinite; its rest was infinity less infinity."""
    quantiser = Quantiser(np.array(scale), np.array(-8), np.array(7), rounding)
    assert quantiser.codes(np.array([1e300, -1e300, 0.0])).tolist() == [7, -8, 0]


def test_a_type_per_element_on_rank_3():
    rng = np.random.default_rng(5)
    shape = (2, 3, 2)
    net = NetworkBuilder("rank3")
    x = net.add("quantise", "q", [net.input("x", shape)], of("s6.3"))
    x = net.add("dense", "fc", [x], {}, weights(2, 2))
    signed, bits, frac = rng.random(shape) < 0.5, rng.integers(0, 6, shape), rng.integers(-2, 5, shape)
    kinds = Quantiser.of_arrays(signed, bits, frac, Rounding.RND_ZERO, Overflow.SAT)
    x = net.add("quantise", "q2", [x], {"quantiser": kinds})
    x = net.add("transpose", "t", [x], {"perm": (2, 0, 1)})
    compiled(net.build([net.add("dense", "fc2", [x], {}, weights(3, 2, 1))]))


def test_a_type_per_row_and_column():
    """Fields that broadcast against each other and wrap."""
    net = NetworkBuilder("rows")
    x = net.add("quantise", "q", [net.input("x", (2, 3))], of("s6.3"))
    kinds = Quantiser.of_arrays(True, np.array([[3], [4]]), np.array([1, 2, 3]), Rounding.TRN, Overflow.WRAP)
    compiled(net.build([net.add("quantise", "q2", [x], {"quantiser": kinds})]))


def test_an_input_read_through_two_quantisers():
    net = NetworkBuilder("two")
    x = net.input("x", (2,))
    a = net.add("dense", "a", [net.add("quantise", "qa", [x], of("s4.1"))], {}, weights(2, 2))
    b = net.add("dense", "b", [net.add("quantise", "qb", [x], of("s3.0"))], {}, weights(2, 2, 1))
    compiled(net.build([net.add("add", "sum", [a, b])]), input_type="s6.3")


@pytest.mark.parametrize("overflow", [Overflow.SAT_SYM, Overflow.SAT_ZERO])
def test_saturation_around_zero_needs_a_range_around_zero(overflow):
    """The float meaning, the circuit and the emulator each did something else with codes -8 … -6."""
    with pytest.raises(ModelError, match=rf"{overflow.name} needs a range that holds the zero point"):
        Quantiser(np.array(0.5), np.array(-8), np.array(-6), Rounding.RND, overflow)
    Quantiser(np.array(0.5), np.array(-8), np.array(-6), Rounding.RND, overflow, zero=np.array(-7))
