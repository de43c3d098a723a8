"""Jets as particles: the same jets as those of the features."""

from __future__ import annotations

import platform
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from hardwire import datasets
from hardwire.datasets import load_jets, particles
from hardwire.datasets.particles import PARTICLES, Particles, particles_of
from hardwire.errors import DataError

needs_pythia = pytest.mark.skipif(
    find_spec("pythia8mc") is None or find_spec("awkward") is None,
    reason="the extra `physics` (pythia8mc, awkward) is not installed",
)


def some(n: int = 7) -> Particles:
    x = np.random.default_rng(0).normal(size=(n, PARTICLES, 3)).astype(np.float16).astype(np.float32)
    return Particles(x, np.arange(n, dtype=np.int64) % 5, recipe={"seed": 0})


def test_saved_particles_load_as_they_were(tmp_path: Path) -> None:
    jets = some()
    jets.save(tmp_path / "a.npz")
    loaded = Particles.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(loaded.X, jets.X)
    np.testing.assert_array_equal(loaded.y, jets.y)
    assert (loaded.feature_names, dict(loaded.recipe)) == (jets.feature_names, {"seed": 0})


def test_what_is_no_file_of_particles_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file .*absent"):
        Particles.load(tmp_path / "absent.npz")
    load_jets()[:3].save(tmp_path / "jets.npz")
    with pytest.raises(DataError, match="does not hold jets of the format 'hardwire particles 1'"):
        Particles.load(tmp_path / "jets.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(DataError, match="cannot be read as jets of particles"):
        Particles.load(tmp_path / "text.npz")
    with pytest.raises(DataError, match="need X"):
        Particles(np.zeros((3, 4), np.float32), np.zeros(3, np.int64))
    with pytest.raises(DataError, match="y must lie within"):
        Particles(np.zeros((1, 16, 3), np.float32), np.full(1, 5))


def test_particles_are_the_hardest_first_around_the_axis() -> None:
    # Two particles of 30 and 10 GeV, 0.2 apart in azimuth across ±pi, at rapidity 0.
    phi = np.array([np.pi - 0.05, -np.pi + 0.15])
    pt = np.array([10.0, 30.0])
    jet = np.stack([pt * np.cos(phi), pt * np.sin(phi), np.zeros(2), pt], axis=1)
    rows = particles_of(jet)
    assert rows.shape == (PARTICLES, 3)
    np.testing.assert_allclose(rows[:2, 0], [30.0, 10.0])
    np.testing.assert_allclose(rows[0, 2] - rows[1, 2], 0.2, atol=1e-12)
    # The axis is where transverse momentum balances.
    np.testing.assert_allclose((rows[:2, 0] * np.sin(rows[:2, 2])).sum(), 0.0, atol=1e-12)
    assert not rows[2:].any()


def test_the_sample_is_balanced_and_agrees_with_the_features_of_its_jets() -> None:
    sample, jets = particles.load(), load_jets()
    n = len(sample)
    assert "particles" in datasets.names()
    assert sample.recipe["command"] == f"hardwire data particles -n {n} --seed 1"
    np.testing.assert_array_equal(sample.y, jets.y[:n])
    assert np.bincount(sample.y).tolist() == [n // 5] * 5
    # A jet has as many particles as its multiplicity says, up to 16.
    multiplicity = jets.X[:n, jets.feature_names.index("multiplicity")]
    np.testing.assert_array_equal((sample.X[..., 0] > 0).sum(axis=1), np.minimum(multiplicity, PARTICLES))
    pt = sample.X[..., 0]
    assert (np.diff(pt, axis=1) <= 0).all()
    # Within the jet's radius of rapidity and azimuth; of a soft proton the pseudorapidity may be far from the rapidity.
    assert (np.hypot(sample.X[..., 1], sample.X[..., 2]) > 0.42).mean() < 1e-3
    # Those of a jet of 1 TeV; W, Z and top jets are wider than light quarks'.
    assert 600 < np.median(pt.sum(axis=1)) < 1100
    spread = (pt * np.hypot(sample.X[..., 1], sample.X[..., 2])).sum(axis=1) / pt.sum(axis=1)
    means = [spread[sample.y == k].mean() for k in range(5)]
    assert means[1] < min(means[2:])


@needs_pythia
def test_generation_gives_the_samples_jets() -> None:
    sample = particles.load()
    made = particles.generate(5, seed=1, processes=1)
    versions = sample.recipe["versions"]
    here = {name: metadata.version(name) for name in ("pythia8mc", "numpy", "numba")}
    if platform.machine() == sample.recipe["machine"] and here.items() <= versions.items():
        np.testing.assert_array_equal(made.X.astype(np.float16).astype(np.float32), sample.X[:5])
    with pytest.raises(DataError, match="particles cannot be generated with n = 0"):
        particles.generate(0)
