"""Sequential-recombination jet clustering with the generalised-kT distance.

Anti-kT (power -1; Cacciari, Salam, Soyez, JHEP 04 (2008) 063), Cambridge/Aachen (power 0; Dokshitzer et al.,
JHEP 08 (1997) 001) and kT (power 1) share one kernel: nearest neighbours are kept by geometric distance, which is
enough to find the smallest d_ij (Cacciari, Salam, Phys. Lett. B 641 (2006) 57), so n particles take O(n^2) operations.
Recombination adds four-momenta (E-scheme).

Compiled kernels call only kernels of their own file: numba's cache on disk notices no change in another one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

ANTI_KT = -1
CAMBRIDGE_AACHEN = 0
KT = 1

# The rapidity of a momentum along the beam; only its distance to everything else matters.
BEAM_RAPIDITY = 1e5


class Clustering(NamedTuple):
    """The history of one clustering: node i < n is particle i, later nodes are made by recombination.

    `momenta` (nodes, 4) px py pz E in GeV; `children` (nodes, 2), -1 for particles, the first child has the smaller
    index; `jets` the nodes that were declared jets, in the order of the algorithm.
    """

    momenta: NDArray[np.float64]
    children: NDArray[np.int64]
    jets: NDArray[np.int64]


@njit(cache=True)  # type: ignore[untyped-decorator]
def _rapidity(px: float, py: float, pz: float, e: float) -> float:
    # ½ ln((E + |pz|) / (E - |pz|)) with pz's sign, without the cancellation in E - |pz|.
    pt2 = px * px + py * py
    m2 = max((e + pz) * (e - pz) - pt2, 0.0)
    if pt2 + m2 == 0.0:
        return math.copysign(BEAM_RAPIDITY, pz)
    y = math.log((e + abs(pz)) / math.sqrt(pt2 + m2))
    return y if pz >= 0.0 else -y


@njit(cache=True)  # type: ignore[untyped-decorator]
def _distance2(y1: float, phi1: float, y2: float, phi2: float) -> float:
    dphi = abs(phi1 - phi2)
    if dphi > math.pi:
        dphi = 2.0 * math.pi - dphi
    dy = y1 - y2
    return dy * dy + dphi * dphi


@njit(cache=True)  # type: ignore[untyped-decorator]
def _weight(px: float, py: float, power: int) -> float:
    pt2 = px * px + py * py
    if power == 0:
        return 1.0
    if power == 1:
        return pt2
    return 1.0 / pt2 if pt2 > 0.0 else math.inf


@njit(cache=True)  # type: ignore[untyped-decorator]
def _cluster(
    particles: NDArray[np.float64], radius: float, power: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    n = particles.shape[0]
    momenta = np.empty((max(2 * n - 1, 0), 4))
    children = np.full((max(2 * n - 1, 0), 2), -1, dtype=np.int64)
    jets = np.empty(n, dtype=np.int64)
    made = n
    found = 0
    r2 = radius * radius

    # Slots 0 … active-1 hold what is still being clustered; a removed slot takes the last one's content.
    node = np.arange(n)
    y = np.empty(n)
    phi = np.empty(n)
    weight = np.empty(n)
    neighbour = np.full(n, -1, dtype=np.int64)
    gap = np.full(n, r2)
    for i in range(n):
        for k in range(4):
            momenta[i, k] = particles[i, k]
        y[i] = _rapidity(particles[i, 0], particles[i, 1], particles[i, 2], particles[i, 3])
        phi[i] = math.atan2(particles[i, 1], particles[i, 0])
        weight[i] = _weight(particles[i, 0], particles[i, 1], power)
        for j in range(i):
            d = _distance2(y[i], phi[i], y[j], phi[j])
            if d < gap[i]:
                gap[i] = d
                neighbour[i] = j
            if d < gap[j]:
                gap[j] = d
                neighbour[j] = i

    active = n
    while active > 0:
        best = 0
        smallest = math.inf
        for i in range(active):
            w = weight[i]
            if neighbour[i] >= 0:
                w = min(w, weight[neighbour[i]])
            d = w * gap[i]
            if d < smallest:
                smallest = d
                best = i
        a = best
        b = neighbour[best]
        if b < 0:
            jets[found] = node[a]
            found += 1
        else:
            if b < a:
                a, b = b, a
            first = min(node[a], node[b])
            second = max(node[a], node[b])
            for k in range(4):
                momenta[made, k] = momenta[first, k] + momenta[second, k]
            children[made, 0] = first
            children[made, 1] = second
            node[a] = made
            y[a] = _rapidity(momenta[made, 0], momenta[made, 1], momenta[made, 2], momenta[made, 3])
            phi[a] = math.atan2(momenta[made, 1], momenta[made, 0])
            weight[a] = _weight(momenta[made, 0], momenta[made, 1], power)
            gap[a] = r2
            neighbour[a] = -1
            made += 1
        merged = a if b >= 0 else -1
        gone = b if b >= 0 else a

        active -= 1
        last = active
        if gone != last:
            node[gone] = node[last]
            y[gone] = y[last]
            phi[gone] = phi[last]
            weight[gone] = weight[last]
            gap[gone] = gap[last]
            neighbour[gone] = neighbour[last]
        for i in range(active):
            if i == merged:
                continue
            seek = neighbour[i]
            if seek == gone or (merged >= 0 and seek == merged):
                gap[i] = r2
                neighbour[i] = -1
                for j in range(active):
                    if j != i:
                        d = _distance2(y[i], phi[i], y[j], phi[j])
                        if d < gap[i]:
                            gap[i] = d
                            neighbour[i] = j
            elif seek == last:
                neighbour[i] = gone
            if merged >= 0:
                d = _distance2(y[i], phi[i], y[merged], phi[merged])
                if d < gap[i]:
                    gap[i] = d
                    neighbour[i] = merged
                if d < gap[merged]:
                    gap[merged] = d
                    neighbour[merged] = i
    return momenta[:made], children[:made], jets[:found]


@njit(cache=True)  # type: ignore[untyped-decorator]
def _constituents(children: NDArray[np.int64], node: int) -> NDArray[np.int64]:
    stack = np.empty(children.shape[0] + 1, dtype=np.int64)
    out = np.empty(children.shape[0], dtype=np.int64)
    stack[0] = node
    depth = 1
    count = 0
    while depth > 0:
        depth -= 1
        top = stack[depth]
        if children[top, 0] < 0:
            out[count] = top
            count += 1
        else:
            stack[depth] = children[top, 0]
            stack[depth + 1] = children[top, 1]
            depth += 2
    return np.sort(out[:count])


@njit(cache=True)  # type: ignore[untyped-decorator]
def _directions(momenta: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y = np.empty(momenta.shape[0])
    phi = np.empty(momenta.shape[0])
    for i in range(momenta.shape[0]):
        y[i] = _rapidity(momenta[i, 0], momenta[i, 1], momenta[i, 2], momenta[i, 3])
        phi[i] = math.atan2(momenta[i, 1], momenta[i, 0])
    return y, phi


def cluster(particles: NDArray[np.float64], radius: float, power: int = ANTI_KT) -> Clustering:
    """Cluster particles (n, 4) px py pz E [GeV] with the generalised-kT distance at `radius`; see `Clustering`."""
    return Clustering(*_cluster(np.ascontiguousarray(particles, dtype=np.float64), float(radius), int(power)))


def constituents(clustering: Clustering, node: int) -> NDArray[np.int64]:
    """The particles under `node`, ascending."""
    found: NDArray[np.int64] = _constituents(clustering.children, node)
    return found


def directions(momenta: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rapidity and azimuth, within [-π, π], of momenta (n, 4) px py pz E."""
    y, phi = _directions(np.ascontiguousarray(momenta, dtype=np.float64))
    return y, phi


def separation2(
    y1: NDArray[np.float64], phi1: NDArray[np.float64], y2: NDArray[np.float64], phi2: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Squared distance ΔR² = Δy² + Δφ² on the cylinder, elementwise and broadcast; azimuths within [-π, π]."""
    dphi = np.abs(phi1 - phi2)
    dphi = np.minimum(dphi, 2.0 * math.pi - dphi)
    return np.asarray((y1 - y2) ** 2 + dphi**2)
