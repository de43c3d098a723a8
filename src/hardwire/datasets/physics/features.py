"""The 16 high-level features of the hls4ml jet benchmark, computed from a jet's constituents.

Coleman et al., JINST 13 (2018) T01003; Duarte et al., JINST 13 (2018) P07027. C: Larkoski, Salam, Thaler (2013);
D: Larkoski, Moult, Neill, JHEP 12 (2014) 009 and JHEP 05 (2016) 117 (two exponents); M, N: Moult, Necib, Thaler (2016).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hardwire.datasets.physics.clustering import ANTI_KT, cluster, constituents, directions, separation2
from hardwire.datasets.physics.correlators import correlators
from hardwire.datasets.physics.grooming import mmdt

FEATURE_NAMES = (
    "zlogz",
    "c1_b0_mmdt",
    "c1_b1_mmdt",
    "c1_b2_mmdt",
    "c2_b1_mmdt",
    "c2_b2_mmdt",
    "d2_b1_mmdt",
    "d2_b2_mmdt",
    "d2_a1_b1_mmdt",
    "d2_a1_b2_mmdt",
    "m2_b1_mmdt",
    "m2_b2_mmdt",
    "n2_b1_mmdt",
    "n2_b2_mmdt",
    "mass_mmdt",
    "multiplicity",
)

JET_RADIUS = 0.4
Z_CUT = 0.1
# A triple is the least that gives every ratio a value.
MIN_GROOMED = 3


def jet_features(jet: NDArray[np.float64], z_cut: float = Z_CUT) -> NDArray[np.float64] | None:
    """The features (16,) of one jet's constituents (n, 4) px py pz E [GeV], in `FEATURE_NAMES`' order.

    zlogz (of energy fractions) and multiplicity are the ungroomed jet's; the rest are the mMDT-groomed jet's, with the
    mass in GeV. None where fewer than three constituents survive grooming or they all have one direction: the ratios
    have no value there.
    """
    groomed = jet[mmdt(jet, z_cut)]
    if len(groomed) < MIN_GROOMED:
        return None
    two, three, one_angle, two_angles = correlators(groomed)
    if two[2] <= 0.0:
        return None
    z = jet[jet[:, 3] > 0.0, 3] / jet[:, 3].sum()
    px, py, pz, e = groomed.sum(axis=0)
    mass = math.sqrt(max(e * e - px * px - py * py - pz * pz, 0.0))
    return np.array(
        [
            (z * np.log(z)).sum(),
            *two,
            *(three[1:] / two[1:] ** 2),
            *(three[1:] / two[1:] ** 3),
            three[1] / two[1] ** 3,
            three[1] / two[2] ** 1.5,
            *(one_angle[1:] / two[1:]),
            *(two_angles[1:] / two[1:] ** 2),
            mass,
            len(jet),
        ]
    )


def leading_jet(objects: NDArray[np.float64], radius: float = JET_RADIUS) -> NDArray[np.float64]:
    """Constituents (m, 4) of the anti-kT jet of highest pT among an event's objects (n, 4); n = 0 gives m = 0."""
    if len(objects) == 0:
        return objects
    clustering = cluster(objects, radius, ANTI_KT)
    axes = clustering.momenta[clustering.jets]
    best = int(np.argmax(np.hypot(axes[:, 0], axes[:, 1])))
    return objects[constituents(clustering, int(clustering.jets[best]))]


def matched_jet(
    objects: NDArray[np.float64], partons: NDArray[np.float64], radius: float = JET_RADIUS
) -> NDArray[np.float64] | None:
    """Constituents of the leading jet of an event's objects (n, 4), None where it has none or belongs to no parton.

    `partons` (k, 4) px py pz E are the hard process's; the jet's axis must lie within `radius` of one of them.
    """
    jet = leading_jet(objects, radius)
    if len(jet) < MIN_GROOMED:
        return None
    y, phi = directions(jet.sum(axis=0, keepdims=True))
    if not (separation2(y, phi, *directions(partons)) < radius**2).any():
        return None
    return jet


def event_features(
    objects: NDArray[np.float64], partons: NDArray[np.float64], radius: float = JET_RADIUS
) -> NDArray[np.float64] | None:
    """Features of the leading jet of an event (see `matched_jet`), None where it has no value of them."""
    jet = matched_jet(objects, partons, radius)
    return None if jet is None else jet_features(jet)
