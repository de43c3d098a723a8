from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardwire.errors import DataError
from hardwire.report.physics import float_against_fixed, roc_points

# Few different scores, so that ties are common.
samples = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=60).filter(
    lambda rows: len({positive for _, positive in rows}) == 2
)


def brute_force(scores, positives):
    """Area by all pairs, corners by all thresholds."""
    wins = Fraction(0)
    up = [s for s, p in zip(scores, positives, strict=True) if p]
    down = [s for s, p in zip(scores, positives, strict=True) if not p]
    for a in up:
        for b in down:
            wins += 1 if a > b else Fraction(1, 2) if a == b else 0
    corners = [
        [sum(s >= cut for s in up) / len(up), sum(s >= cut for s in down) / len(down)]
        for cut in [np.inf, *sorted(set(scores), reverse=True)]
    ]
    return corners, float(wins / (len(up) * len(down)))


@given(samples)
def test_equals_all_pairs_and_thresholds(rows):
    scores, positives = [float(s) for s, _ in rows], [p for _, p in rows]
    points, area = roc_points(scores, positives)
    corners, wanted = brute_force(scores, positives)
    assert points == corners
    assert area == wanted


@given(samples, st.integers(2, 7))
def test_down_sampled_points_are_corners_with_both_ends(rows, n):
    scores, positives = [float(s) for s, _ in rows], [p for _, p in rows]
    points, area = roc_points(scores, positives, n=n)
    corners, wanted = brute_force(scores, positives)
    assert len(points) <= n
    assert all(point in corners for point in points)
    assert points[0] == [0.0, 0.0]
    assert points[-1] == [1.0, 1.0]
    assert points == sorted(points)
    assert area == wanted


def test_a_large_sample_is_drawn_well_on_a_log_axis():
    rng = np.random.default_rng(0)
    positives = rng.random(50_000) < 0.2
    points, area = roc_points(rng.normal(0, 1, 50_000) + 2 * positives, positives)
    tpr, fpr = np.array(points).T
    assert 100 < len(points) <= 200
    assert area == pytest.approx(0.9214, abs=0.005)
    # No decade of background efficiency goes without points, and no wide stretch of signal efficiency.
    for low, high in ((1e-4, 1e-3), (1e-3, 1e-2), (1e-2, 1e-1), (1e-1, 1.0)):
        assert np.sum((fpr >= low) & (fpr <= high)) >= 10
    assert np.diff(tpr).max() < 0.05


@pytest.mark.parametrize(
    ("scores", "positives", "n", "text"),
    [
        ([0.1, 0.2], [True, True], 10, "2 positives and 0 negatives"),
        ([0.1, 0.2], [False, False], 10, "0 positives and 2 negatives"),
        ([0.1, np.nan], [True, False], 10, "1 of 2 scores are NaN"),
        ([0.1, 0.2, 0.3], [True, False], 10, r"shape \(3,\) and positives of shape \(2,\)"),
        ([[0.1], [0.2]], [[True], [False]], 10, r"both must be \(N,\)"),
        ([0.1, 0.2], [True, False], 1, "n = 1 points"),
    ],
)
def test_bad_scores_are_named(scores, positives, n, text):
    with pytest.raises(DataError, match=text):
        roc_points(scores, positives, n)


@given(st.integers(1, 300), st.integers(1, 6), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_residuals_count_every_output(rows, k, noise, seed):
    rng = np.random.default_rng(seed)
    exact = rng.normal(0, 3, (rows, k))
    fixed = exact + noise * rng.normal(0, 0.1, (rows, k))
    found = float_against_fixed(exact, fixed)
    hist, edges = found["residuals"]["hist"], found["residuals"]["edges"]
    assert sum(hist) == rows * k
    assert len(edges) == len(hist) + 1
    assert all(a < b for a, b in pairwise(edges))
    assert edges[0] == -edges[-1]
    difference = fixed - exact
    assert found["residuals"]["max"] == np.abs(difference).max()
    assert found["residuals"]["rms"] == pytest.approx(np.sqrt(np.mean(difference**2)))
    lengths = {len(found["scatter"][side]) for side in ("float", "fixed")}
    assert lengths == {min(rows, 1000 // k) * k}
    pairs = {(float(f"{a:.6g}"), float(f"{b:.6g}")) for a, b in zip(exact.flat, fixed.flat, strict=True)}
    assert set(zip(found["scatter"]["float"], found["scatter"]["fixed"], strict=True)) <= pairs


def test_more_outputs_than_points_are_cut():
    found = float_against_fixed(np.zeros((3, 1500)), np.ones((3, 1500)))
    assert len(found["scatter"]["float"]) == 1000
    assert found["residuals"]["hist"][-1] == 4500


@pytest.mark.parametrize(
    ("exact", "fixed", "text"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), "both must be"),
        (np.zeros(3), np.zeros(3), "both must be"),
        (np.zeros((0, 3)), np.zeros((0, 3)), "hold no values"),
        (np.full((2, 2), np.inf), np.zeros((2, 2)), "not finite"),
    ],
)
def test_bad_outputs_are_named(exact, fixed, text):
    with pytest.raises(DataError, match=text):
        float_against_fixed(exact, fixed)
