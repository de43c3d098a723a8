"""Clustering against an independent brute force, and the invariances that a jet algorithm must have."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jet_particles import boost, particles, rotate, seeds
from numpy.typing import NDArray

from hardwire.datasets.physics.clustering import ANTI_KT, CAMBRIDGE_AACHEN, KT, cluster, constituents, directions
from hardwire.datasets.physics.features import leading_jet
from hardwire.datasets.physics.grooming import UNBOUNDED_RADIUS, mmdt


def brute_force(p: NDArray[np.float64], radius: float, power: int) -> list[frozenset[int]]:
    """All distances anew at every step, O(n³), straight from the definition; jets in the order they are declared."""

    def kinematics(v: NDArray[np.float64]) -> tuple[float, float, float]:
        return 0.5 * math.log((v[3] + v[2]) / (v[3] - v[2])), math.atan2(v[1], v[0]), math.hypot(v[0], v[1])

    live = {frozenset([i]): np.array(v) for i, v in enumerate(p)}
    jets = []
    while live:
        best: tuple[float, frozenset[int], frozenset[int] | None] = (math.inf, frozenset(), None)
        names = list(live)
        for i, a in enumerate(names):
            ya, fa, ka = kinematics(live[a])
            best = min(best, (ka ** (2 * power), a, None), key=lambda t: t[0])
            for b in names[:i]:
                yb, fb, kb = kinematics(live[b])
                turn = math.remainder(fa - fb, 2 * math.pi)
                d = min(ka ** (2 * power), kb ** (2 * power)) * ((ya - yb) ** 2 + turn**2) / radius**2
                best = min(best, (d, a, b), key=lambda t: t[0])
        _, a, b = best
        if b is None:
            jets.append(a)
            del live[a]
        else:
            live[a | b] = live.pop(a) + live.pop(b)
    return jets


def jets_of(p: NDArray[np.float64], radius: float, power: int) -> list[frozenset[int]]:
    found = cluster(p, radius, power)
    return [frozenset(constituents(found, int(j)).tolist()) for j in found.jets]


@given(seed=seeds, n=st.integers(1, 22), radius=st.sampled_from([0.1, 0.4, 1.0, 3.0]))
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("power", [ANTI_KT, CAMBRIDGE_AACHEN, KT])
def test_clustering_equals_brute_force(power: int, seed: int, n: int, radius: float) -> None:
    p = particles(np.random.default_rng(seed), n)
    got, expected = jets_of(p, radius, power), brute_force(p, radius, power)
    # Cambridge/Aachen's beam distances are all equal: its jets have no order.
    assert set(got) == set(expected)
    if power != CAMBRIDGE_AACHEN:
        assert got == expected


def test_clustering_of_a_whole_event_equals_brute_force() -> None:
    p = particles(np.random.default_rng(5), 90, spread=1.5)
    assert jets_of(p, 0.4, ANTI_KT) == brute_force(p, 0.4, ANTI_KT)


@given(seed=seeds, n=st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_every_particle_is_in_one_jet_and_momentum_is_kept(seed: int, n: int) -> None:
    p = particles(np.random.default_rng(seed), n)
    found = cluster(p, 0.6, ANTI_KT)
    members = [constituents(found, int(j)) for j in found.jets]
    assert sorted(i for m in members for i in m.tolist()) == list(range(n))
    for j, m in zip(found.jets, members, strict=True):
        np.testing.assert_allclose(found.momenta[j], p[m].sum(axis=0), rtol=1e-12, atol=1e-9)


@given(seed=seeds, n=st.integers(2, 30), shift=st.floats(-2, 2), angle=st.floats(-7, 7))
@settings(max_examples=40, deadline=None)
def test_jets_do_not_depend_on_boost_rotation_or_order(seed: int, n: int, shift: float, angle: float) -> None:
    rng = np.random.default_rng(seed)
    p = particles(rng, n)
    assert jets_of(rotate(boost(p, shift), angle), 0.5, ANTI_KT) == jets_of(p, 0.5, ANTI_KT)
    order = rng.permutation(n)
    assert [frozenset(order[list(j)].tolist()) for j in jets_of(p[order], 0.5, ANTI_KT)] == jets_of(p, 0.5, ANTI_KT)


@given(seed=seeds, n=st.integers(3, 30), fraction=st.floats(0.05, 0.95))
@settings(max_examples=40, deadline=None)
def test_the_leading_jet_is_safe_against_soft_and_collinear_radiation(seed: int, n: int, fraction: float) -> None:
    rng = np.random.default_rng(seed)
    p = particles(rng, n)
    jet = leading_jet(p).sum(axis=0)
    collinear = np.concatenate([p[1:], fraction * p[:1], (1 - fraction) * p[:1]])
    np.testing.assert_allclose(leading_jet(collinear).sum(axis=0), jet, rtol=1e-9, atol=1e-9)
    soft = np.concatenate([p, 1e-12 * particles(rng, 10)])
    np.testing.assert_allclose(leading_jet(soft).sum(axis=0), jet, rtol=1e-8, atol=1e-8)


def test_directions_forward_and_along_the_beam() -> None:
    p = np.array([[1.0, 0.0, math.sinh(8.0), math.cosh(8.0)], [0.0, -1.0, -math.sinh(6.0), math.cosh(6.0)]])
    y, phi = directions(p)
    np.testing.assert_allclose(y, [8.0, -6.0], rtol=1e-9)
    np.testing.assert_allclose(phi, [0.0, -math.pi / 2])
    y, _ = directions(np.array([[0.0, 0.0, -5.0, 5.0]]))
    assert y[0] < -1e4


def brute_mmdt(p: NDArray[np.float64], z_cut: float) -> list[int]:
    """Grooming on a tree that is built by the definition: join the two closest until one is left."""
    live: list[tuple[NDArray[np.float64], list[int], tuple[int, int] | None]] = []
    nodes = [(v, [i], None) for i, v in enumerate(p)]
    live = list(nodes)
    tree: dict[int, tuple[object, object]] = {}
    while len(live) > 1:
        y, phi = directions(np.array([v for v, _, _ in live]))
        d = (y[:, None] - y) ** 2 + np.remainder(phi[:, None] - phi + np.pi, 2 * np.pi).__sub__(np.pi) ** 2
        d[np.diag_indices(len(live))] = np.inf
        i, j = sorted(map(int, np.unravel_index(np.argmin(d), d.shape)))
        b, a = live.pop(j), live.pop(i)
        joined = (a[0] + b[0], a[1] + b[1], None)
        tree[id(joined)] = (a, b)
        live.append(joined)
        nodes.append(joined)
    node = live[0]
    while id(node) in tree:
        a, b = tree[id(node)]  # type: ignore[assignment]
        pa, pb = (float(np.hypot(*v[0][:2])) for v in (a, b))
        if min(pa, pb) > z_cut * (pa + pb):
            return sorted(node[1])
        node = a if pa >= pb else b
    return []


@given(seed=seeds, n=st.integers(1, 25), z_cut=st.sampled_from([0.05, 0.1, 0.3, 0.49]))
@settings(max_examples=60, deadline=None)
def test_grooming_follows_its_definition(seed: int, n: int, z_cut: float) -> None:
    p = particles(np.random.default_rng(seed), n, spread=0.2)
    assert mmdt(p, z_cut).tolist() == brute_mmdt(p, z_cut)


def test_grooming_drops_a_soft_wide_particle_and_keeps_two_hard_prongs() -> None:
    def at(pt: float, y: float, phi: float) -> list[float]:
        return [pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(y), pt * math.cosh(y)]

    jet = np.array([at(1.0, 0.35, 0.0), at(400.0, 0.0, 0.1), at(300.0, 0.05, -0.05), at(50.0, 0.06, -0.05)])
    assert mmdt(jet, 0.1).tolist() == [1, 2, 3]
    assert mmdt(jet[:1], 0.1).tolist() == []
    assert mmdt(jet[:0], 0.1).tolist() == []
    assert mmdt(jet[:2], 0.1).tolist() == []
    assert len(cluster(jet, UNBOUNDED_RADIUS, CAMBRIDGE_AACHEN).jets) == 1
