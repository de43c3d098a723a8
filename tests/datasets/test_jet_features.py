"""Correlators and features against their definitions in plain Python, and their symmetries."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from jet_particles import boost, particles, rotate, seeds
from numpy.typing import NDArray

from hardwire.datasets.physics.correlators import correlators
from hardwire.datasets.physics.features import FEATURE_NAMES, event_features, jet_features
from hardwire.datasets.physics.grooming import mmdt

# IR- and collinear-safe, and invariant under boosts along the beam; zlogz counts energies, multiplicity particles.
SAFE = tuple(range(1, 15))


def plain(p: NDArray[np.float64]) -> dict[str, float]:
    """e2, e3 and the 1- and 2-angle e3 for β = 1, 2, written as the papers do."""
    pt = [math.hypot(v[0], v[1]) for v in p]
    y = [0.5 * math.log((v[3] + v[2]) / (v[3] - v[2])) for v in p]
    phi = [math.atan2(v[1], v[0]) for v in p]
    z = [k / sum(pt) for k in pt]

    def angle(i: int, j: int) -> float:
        return math.hypot(y[i] - y[j], math.remainder(phi[i] - phi[j], 2 * math.pi))

    out: dict[str, float] = {}
    for beta in (0, 1, 2):
        pairs = itertools.combinations(range(len(p)), 2)
        out[f"e2_{beta}"] = math.fsum(z[i] * z[j] * angle(i, j) ** beta for i, j in pairs)
        triples = [
            (z[i] * z[j] * z[k], sorted((angle(i, j), angle(i, k), angle(j, k))))
            for i, j, k in itertools.combinations(range(len(p)), 3)
        ]
        for count in (1, 2, 3):
            out[f"{count}e3_{beta}"] = math.fsum(w * math.prod(a[:count]) ** beta for w, a in triples)
    return out


@given(seed=seeds, n=st.integers(1, 18), spread=st.sampled_from([0.01, 0.2, 1.0]))
@settings(max_examples=50, deadline=None)
def test_correlators_equal_their_definitions(seed: int, n: int, spread: float) -> None:
    p = particles(np.random.default_rng(seed), n, spread=spread)
    got, expected = correlators(p), plain(p)
    for beta in (0, 1, 2):
        for values, name in zip(got, ("e2", "3e3", "1e3", "2e3"), strict=True):
            np.testing.assert_allclose(values[beta], expected[f"{name}_{beta}"], rtol=1e-10, atol=1e-300)


@given(seed=seeds, n=st.integers(3, 25))
@settings(max_examples=50, deadline=None)
def test_features_equal_their_definitions(seed: int, n: int) -> None:
    jet = particles(np.random.default_rng(seed), n, spread=0.15)
    groomed = jet[mmdt(jet, 0.1)]
    got = jet_features(jet, 0.1)
    if len(groomed) < 3:
        assert got is None
        return
    assert got is not None
    c = plain(groomed)
    z = jet[:, 3] / jet[:, 3].sum()
    total = groomed.sum(axis=0)
    expected = {
        "zlogz": sum(v * math.log(v) for v in z),
        "c1_b0_mmdt": c["e2_0"],
        "c1_b1_mmdt": c["e2_1"],
        "c1_b2_mmdt": c["e2_2"],
        "c2_b1_mmdt": c["3e3_1"] / c["e2_1"] ** 2,
        "c2_b2_mmdt": c["3e3_2"] / c["e2_2"] ** 2,
        "d2_b1_mmdt": c["3e3_1"] / c["e2_1"] ** 3,
        "d2_b2_mmdt": c["3e3_2"] / c["e2_2"] ** 3,
        "d2_a1_b1_mmdt": c["3e3_1"] / c["e2_1"] ** 3,
        "d2_a1_b2_mmdt": c["3e3_1"] / c["e2_2"] ** 1.5,
        "m2_b1_mmdt": c["1e3_1"] / c["e2_1"],
        "m2_b2_mmdt": c["1e3_2"] / c["e2_2"],
        "n2_b1_mmdt": c["2e3_1"] / c["e2_1"] ** 2,
        "n2_b2_mmdt": c["2e3_2"] / c["e2_2"] ** 2,
        "mass_mmdt": math.sqrt(max(total[3] ** 2 - (total[:3] ** 2).sum(), 0.0)),
        "multiplicity": n,
    }
    assert tuple(expected) == FEATURE_NAMES
    # The mass is a difference of squares.
    np.testing.assert_allclose(got, list(expected.values()), rtol=1e-7)


@given(seed=seeds, n=st.integers(5, 25), shift=st.floats(-1, 1), angle=st.floats(-7, 7), scale=st.floats(0.1, 10))
@settings(max_examples=40, deadline=None)
def test_features_do_not_depend_on_frame_or_scale(seed: int, n: int, shift: float, angle: float, scale: float) -> None:
    jet = particles(np.random.default_rng(seed), n, spread=0.15)
    one = jet_features(jet)
    two = jet_features(scale * rotate(boost(jet, shift), angle))
    assert (one is None) == (two is None)
    if one is not None and two is not None:
        one[14] *= scale
        np.testing.assert_allclose(two[list(SAFE)], one[list(SAFE)], rtol=1e-6)
        assert two[15] == one[15] == n


@given(seed=seeds, n=st.integers(5, 20), fraction=st.floats(0.1, 0.9))
@settings(max_examples=40, deadline=None)
def test_features_are_infrared_and_collinear_safe(seed: int, n: int, fraction: float) -> None:
    rng = np.random.default_rng(seed)
    jet = particles(rng, n, spread=0.15)
    one = jet_features(jet)
    soft = jet_features(np.concatenate([jet, 1e-12 * particles(rng, 3, spread=0.15)]))
    split = jet_features(np.concatenate([jet[1:], fraction * jet[:1], (1 - fraction) * jet[:1]]))
    if one is None:
        return
    # c1_b0 counts pairs whatever their angle, so only soft emissions leave it alone.
    assert soft is not None
    assert split is not None
    np.testing.assert_allclose(soft[list(SAFE)], one[list(SAFE)], rtol=1e-6)
    np.testing.assert_allclose(split[2:15], one[2:15], rtol=1e-6)


def test_jets_without_a_value_have_none() -> None:
    one = np.array([[10.0, 0.0, 1.0, 11.0]])
    assert jet_features(one) is None
    # Four particles of one direction: every angle is zero, no ratio is defined.
    assert jet_features(np.repeat(one, 4, axis=0)) is None


def test_an_event_needs_its_jet_near_a_parton() -> None:
    jet = particles(np.random.default_rng(3), 20, spread=0.1)
    along = jet.sum(axis=0, keepdims=True)
    assert event_features(jet, along) is not None
    assert event_features(jet, rotate(along, 1.0)) is None
    assert event_features(jet, np.concatenate([rotate(along, 1.0), along])) is not None
    assert event_features(jet[:0], along) is None
