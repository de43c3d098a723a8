"""The modified mass-drop tagger: soft wide-angle radiation is removed from a jet.

Dasgupta, Fregoso, Marzani, Salam, JHEP 09 (2013) 029; it equals soft drop with β = 0 (Larkoski et al.,
JHEP 05 (2014) 146) run until the first two-prong splitting that passes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hardwire.datasets.physics.clustering import CAMBRIDGE_AACHEN, cluster, constituents

# Larger than any distance on the cylinder, so that reclustering ends in one tree.
UNBOUNDED_RADIUS = 1e6


def mmdt(particles: NDArray[np.float64], z_cut: float) -> NDArray[np.int64]:
    """Indices, ascending, of the constituents that grooming keeps; empty where no splitting passes.

    `particles` (n, 4) px py pz E of one jet, all of which is reclustered with Cambridge/Aachen. From the top, the
    first splitting with min(pT1, pT2) > z_cut · (pT1 + pT2) is kept, else the branch of larger pT is followed.
    """
    if len(particles) == 0:
        return np.empty(0, dtype=np.int64)
    tree = cluster(particles, UNBOUNDED_RADIUS, CAMBRIDGE_AACHEN)
    pt = np.hypot(tree.momenta[:, 0], tree.momenta[:, 1]).tolist()
    children = tree.children.tolist()
    node = len(pt) - 1
    while children[node][0] >= 0:
        a, b = children[node]
        if min(pt[a], pt[b]) > z_cut * (pt[a] + pt[b]):
            return constituents(tree, node)
        node = a if pt[a] >= pt[b] else b
    return np.empty(0, dtype=np.int64)
