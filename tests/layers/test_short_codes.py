"""Weights that are short codes of a real scale are found to be that, whatever wrote them as floats."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from hardwire.layers._scales import column_codes


@pytest.mark.parametrize("bits", [2, 8, 12])
def test_codes_of_a_float32_scale_are_found(bits: int) -> None:
    rng = np.random.default_rng(bits)
    codes = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), (9, 4))
    scale = np.array([0.0117, 0.3, 1.7, 0.25], np.float32).astype(np.float64)
    found, units = column_codes(codes * scale)
    for j in range(4):
        assert [c * units[j] for c in found[:, j]] == [int(c) * Fraction(float(scale[j])) for c in codes[:, j]]
        assert max(abs(c) for c in found[:, j]) <= 1 << bits
    assert units[3].denominator & (units[3].denominator - 1) == 0


def test_lone_values_and_small_factors_stay_on_a_binary_grid() -> None:
    values = np.array([[0.1, 3.0, 0.0], [0.0, 6.0, 0.0]])
    found, units = column_codes(values)
    assert all(unit.numerator == 1 or unit.denominator == 1 for unit in units)
    np.testing.assert_array_equal((found * np.array(units, object)).astype(float), values)
