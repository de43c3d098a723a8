"""Rounding of scaled integers: where each result begins, against trying every number."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardwire.fixed import Rounding
from hardwire.layers._requantise import _first_reaching, exact_round

FACTORS = st.fractions(Fraction(1, 50), 3, max_denominator=60)
OFFSETS = st.fractions(-9, 9, max_denominator=12)


@pytest.mark.parametrize("mode", list(Rounding))
@given(factor=FACTORS, offset=OFFSETS, target=st.integers(-6, 6))
def test_the_first_number_that_reaches_a_result(
    mode: Rounding, factor: Fraction, offset: Fraction, target: int
) -> None:
    first = _first_reaching(target, factor, mode, offset)
    assert exact_round(first * factor + offset, mode) >= target
    assert exact_round((first - 1) * factor + offset, mode) < target
    several = _first_reaching(np.arange(target - 3, target + 4), factor, mode, offset)
    assert several.tolist() == [_first_reaching(target + k, factor, mode, offset) for k in range(-3, 4)]


@pytest.mark.parametrize("mode", list(Rounding))
def test_ties_and_whole_numbers(mode: Rounding) -> None:
    for quarters in range(-20, 21):
        value = Fraction(quarters, 4)
        for target in range(-6, 7):
            reached = exact_round(value, mode) >= target
            assert (quarters >= _first_reaching(target, Fraction(1, 4), mode, 0)) == reached
