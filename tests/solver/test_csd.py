from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardwire.errors import DataError
from hardwire.solver import csd_digits, csd_masks, csd_weight
from hardwire.solver.csd import popcount

values = st.integers(-(1 << 60), 1 << 60)


@given(st.lists(values, max_size=20))
def test_digits_are_the_value_and_no_two_neighbours_are_nonzero(numbers: list[int]) -> None:
    x = np.array(numbers, np.int64)
    digits = csd_digits(x)
    assert [sum(int(d) << i for i, d in enumerate(row)) for row in digits] == numbers
    assert not np.any((digits[..., 1:] != 0) & (digits[..., :-1] != 0))
    assert np.array_equal(csd_weight(x), (digits != 0).sum(axis=-1))


@given(st.integers(0, 4095))
def test_no_signed_binary_form_has_fewer_digits(number: int) -> None:
    # least number of ± powers of two that sum to `number`, by breadth-first search
    reached, terms = {0}, 0
    while number not in reached:
        reached = {r + s * (1 << k) for r in reached for k in range(14) for s in (-1, 1)}
        terms += 1
        if terms == 3:
            break
    if number in reached:
        assert int(csd_weight(np.array([number]))[0]) == terms
    else:
        assert int(csd_weight(np.array([number]))[0]) > terms


def test_masks_keep_the_shape_and_subtract_to_the_value() -> None:
    x = np.arange(-600, 600).reshape(3, 4, 100)
    pos, neg = csd_masks(x)
    assert pos.shape == neg.shape == x.shape
    assert not np.any(pos & neg)
    assert np.array_equal(pos.astype(np.int64) - neg.astype(np.int64), x)


def test_empty_and_zero() -> None:
    assert csd_weight(np.zeros((0, 3), np.int64)).shape == (0, 3)
    assert csd_digits(np.zeros(2, np.int64)).tolist() == [[0], [0]]


@given(st.lists(st.integers(0, (1 << 64) - 1), max_size=10))
def test_popcount(numbers: list[int]) -> None:
    assert popcount(np.array(numbers, np.uint64)).tolist() == [n.bit_count() for n in numbers]


@pytest.mark.parametrize("number", [(1 << 60) + 1, -(1 << 60) - 1, (1 << 63) - 1, -(1 << 63)])
def test_too_large_a_constant_is_named(number: int) -> None:
    with pytest.raises(DataError, match=r"is beyond ±2\^60"):
        csd_masks(np.array([1, number], np.int64))
