"""A fast detector: tracks, electromagnetic and hadronic calorimeter cells, smeared.

The high-resolution CMS-like model of Coleman et al., JINST 13 (2018) T01003. Charged particles are tracks with their
true direction; a charged hadron too stiff for the tracker is seen by the hadronic calorimeter. Photons and neutral
hadrons are summed in cells of pseudorapidity × azimuth and seen as massless objects at the cell's centre. There is no
magnetic field and no noise; neutrinos are not seen.

Compiled kernels call only kernels of their own file: numba's cache on disk notices no change in another one.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

# What sees a particle.
UNSEEN = 0
TRACKER = 1
ECAL = 2
HCAL = 3

ETA_MAX = 3.0
TRACK_PT_MAX = 220.0  # GeV
ECAL_CELL = 0.005
HCAL_CELL = 0.010
# All relative resolutions are half of the nominal detector's.
RESOLUTION_SCALE = 0.5


@njit(cache=True)  # type: ignore[untyped-decorator]
def track_resolution(pt: float) -> float:
    """Relative resolution of a track's transverse momentum pt [GeV]."""
    return RESOLUTION_SCALE * math.hypot(0.00025 * pt, 0.015)


@njit(cache=True)  # type: ignore[untyped-decorator]
def ecal_resolution(e: float) -> float:
    """Relative resolution of an electromagnetic cell's energy e [GeV]."""
    return RESOLUTION_SCALE * math.sqrt(0.027**2 / (e / 1.6) + (0.24 / e) ** 2 + 0.005**2)


@njit(cache=True)  # type: ignore[untyped-decorator]
def hcal_resolution(e: float) -> float:
    """Relative resolution of a hadronic cell's energy e [GeV]."""
    return RESOLUTION_SCALE * math.sqrt(1.2**2 / (e / 7.0) + 0.05**2)


@njit(cache=True)  # type: ignore[untyped-decorator]
def detect(
    momenta: NDArray[np.float64], seen_by: NDArray[np.int8], normals: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What the detector sees of one event: objects (m, 4) px py pz E [GeV], m ≤ n: tracks first, then cells.

    `momenta` (n, 4) px py pz E of the stable particles, `seen_by` (n,) their detector, `normals` (n,) standard normal
    numbers, of which the k-th smears the k-th object. A charged particle keeps its mass. Objects smeared to no energy
    are dropped.
    """
    n = momenta.shape[0]
    out = np.empty((n, 4))
    count = 0
    drawn = 0
    keys = np.empty(n, dtype=np.int64)
    deposits = np.empty(n)
    hits = 0
    for i in range(n):
        px, py, pz, e = momenta[i, 0], momenta[i, 1], momenta[i, 2], momenta[i, 3]
        pt = math.hypot(px, py)
        if seen_by[i] == UNSEEN or pt == 0.0:
            continue
        eta = math.asinh(pz / pt)
        if abs(eta) >= ETA_MAX:
            continue
        where = seen_by[i]
        if where == TRACKER and pt > TRACK_PT_MAX:
            where = HCAL
        if where == TRACKER:
            scale = 1.0 + track_resolution(pt) * normals[drawn]
            drawn += 1
            if scale <= 0.0:
                continue
            m2 = max(e * e - px * px - py * py - pz * pz, 0.0)
            out[count, 0] = px * scale
            out[count, 1] = py * scale
            out[count, 2] = pz * scale
            out[count, 3] = math.sqrt(m2 + (pt * math.cosh(eta) * scale) ** 2)
            count += 1
        else:
            size = ECAL_CELL if where == ECAL else HCAL_CELL
            ring = round(2.0 * math.pi / size)
            row = int((eta + ETA_MAX) / size)
            column = int((math.atan2(py, px) + math.pi) / (2.0 * math.pi) * ring) % ring
            keys[hits] = (row * ring + column) * 2 + (1 if where == HCAL else 0)
            deposits[hits] = e
            hits += 1

    order = np.argsort(keys[:hits], kind="mergesort")
    i = 0
    while i < hits:
        key = keys[order[i]]
        e = 0.0
        while i < hits and keys[order[i]] == key:
            e += deposits[order[i]]
            i += 1
        hadronic = key % 2 == 1
        size = HCAL_CELL if hadronic else ECAL_CELL
        ring = round(2.0 * math.pi / size)
        eta = (key // 2 // ring + 0.5) * size - ETA_MAX
        phi = (key // 2 % ring + 0.5) * (2.0 * math.pi / ring) - math.pi
        e *= 1.0 + (hcal_resolution(e) if hadronic else ecal_resolution(e)) * normals[drawn]
        drawn += 1
        if e <= 0.0:
            continue
        pt = e / math.cosh(eta)
        out[count, 0] = pt * math.cos(phi)
        out[count, 1] = pt * math.sin(phi)
        out[count, 2] = e * math.tanh(eta)
        out[count, 3] = e
        count += 1
    return out[:count]
