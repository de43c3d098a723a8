"""The detector: what is seen, where, and how well."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from hardwire.datasets.physics.detector import ECAL, ECAL_CELL, HCAL, HCAL_CELL, TRACKER, UNSEEN, detect


def at(pt: float, eta: float, phi: float, mass: float = 0.0) -> list[float]:
    e = math.sqrt(mass**2 + (pt * math.cosh(eta)) ** 2)
    return [pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta), e]


def see(rows: list[list[float]], kinds: list[int], normals: list[float] | None = None) -> NDArray[np.float64]:
    draws = [0.0] * len(rows) if normals is None else normals
    seen: NDArray[np.float64] = detect(np.array(rows), np.array(kinds, dtype=np.int8), np.array(draws))
    return seen


def test_an_unsmeared_track_is_the_particle_itself() -> None:
    pion = at(50.0, -1.2, 2.0, 0.1396)
    np.testing.assert_allclose(see([pion], [TRACKER]), [pion], rtol=1e-12)


def test_what_is_not_seen() -> None:
    assert len(see([at(50.0, 0.0, 0.0)], [UNSEEN])) == 0
    assert len(see([at(50.0, 3.01, 0.0), at(50.0, -3.01, 0.0)], [TRACKER, ECAL])) == 0
    assert len(see([[0.0, 0.0, 5.0, 5.0]], [HCAL])) == 0


@pytest.mark.parametrize(("kind", "size"), [(ECAL, ECAL_CELL), (HCAL, HCAL_CELL)])
@pytest.mark.parametrize("phi", [-math.pi, -1.0, 0.0, 3.14159, math.pi])
def test_a_cell_sums_energy_at_its_centre(kind: int, size: float, phi: float) -> None:
    eta = 40.5 * size
    inside = at(5.0, eta + 0.3 * size, phi)
    seen = see([at(7.0, eta, phi), inside, at(2.0, eta + 1.0 * size, phi)], [kind] * 3)
    assert len(seen) == 2
    near = seen[np.argmax(seen[:, 3])]
    assert near[3] == pytest.approx(at(7.0, eta, phi)[3] + inside[3])
    pt = math.hypot(near[0], near[1])
    assert math.asinh(near[2] / pt) == pytest.approx(eta, abs=1e-9)
    # 2π holds no whole number of cells, so they are a little wider than `size`.
    assert abs(math.remainder(math.atan2(near[1], near[0]) - phi, 2 * math.pi)) <= 0.502 * size
    assert near[3] ** 2 == pytest.approx((near[:3] ** 2).sum())


def test_photons_and_hadrons_have_cells_of_their_own() -> None:
    assert len(see([at(7.0, 0.0, 0.0), at(7.0, 0.0, 0.0)], [ECAL, HCAL])) == 2


def test_a_stiff_track_is_seen_by_the_hadronic_calorimeter() -> None:
    soft = see([at(219.0, 0.0013, 0.0, 0.14), at(1.0, 0.0013, 0.0)], [TRACKER, HCAL])
    stiff = see([at(221.0, 0.0013, 0.0, 0.14), at(1.0, 0.0013, 0.0)], [TRACKER, HCAL])
    assert (len(soft), len(stiff)) == (2, 1)


@pytest.mark.parametrize(
    ("kind", "energy", "sigma"),
    [
        (TRACKER, 100.0, 0.5 * math.hypot(0.025, 0.015)),
        (ECAL, 50.0, 0.5 * math.sqrt(0.027**2 / (50 / 1.6) + (0.24 / 50) ** 2 + 0.005**2)),
        (HCAL, 70.0, 0.5 * math.sqrt(1.2**2 / 10 + 0.05**2)),
    ],
)
def test_resolutions(kind: int, energy: float, sigma: float) -> None:
    up = see([at(energy, 0.0, 0.0)], [kind], [1.0])[0]
    down = see([at(energy, 0.0, 0.0)], [kind], [-1.0])[0]
    assert up[3] / energy - 1 == pytest.approx(sigma)
    assert 1 - down[3] / energy == pytest.approx(sigma)


def test_energy_smeared_below_zero_is_dropped() -> None:
    assert len(see([at(1.0, 0.0, 0.0)], [HCAL], [-9.0])) == 0
    assert len(see([at(1.0, 0.0, 0.0)], [TRACKER], [-500.0])) == 0
