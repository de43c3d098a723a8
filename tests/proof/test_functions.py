"""Additive parts of functions: they sum to the function, and are the finest that do."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.proof.functions import Function, additive_parts, scaled, total


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_parts_sum_to_the_function(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, int(rng.integers(1, 5)))
    bases = tuple(range(len(sizes)))
    values = rng.integers(-2, 3, sizes) if rng.random() < 0.3 else np.zeros(sizes, np.int64)
    for axis in bases:
        values = values + rng.integers(-9, 9, [n if k == axis else 1 for k, n in enumerate(sizes)])
    constant, parts = additive_parts(Function(bases, values))
    whole = total([(1, part) for part in parts], constant)
    assert whole is not None
    full = total([(1, whole), (0, Function(bases, values))], 0)
    assert full is not None
    assert np.array_equal(full.values, values)


def test_a_product_is_no_sum() -> None:
    x = np.arange(4)
    constant, parts = additive_parts(Function((2, 5, 7), 3 + x[:, None, None] * x[None, :, None] + x[None, None, :]))
    assert constant == 3
    assert [part.bases for part in parts] == [(2, 5), (7,)]


def test_scale_is_free_of_sign_and_factor() -> None:
    factor, values = scaled(np.array([0, -4, 8, -12]))
    assert factor == -4
    assert values.tolist() == [0, 1, -2, 3]
