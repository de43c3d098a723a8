"""Energy correlation functions of a jet's constituents.

e2, e3: Larkoski, Salam, Thaler, JHEP 06 (2013) 108. vG3 with the v smallest angles of each triple: Moult, Necib,
Thaler, JHEP 12 (2016) 153. Both as for hadron colliders: z = pT / ΣpT and θ = ΔR in rapidity and azimuth.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hardwire.datasets.physics.clustering import directions, separation2


class Correlators(NamedTuple):
    """All correlators that the benchmark's features need, dimensionless; index β = 0, 1, 2 is the angular exponent.

    `two` (3,): Σ_{i<j} z_i z_j θ^β. `three` (3,): Σ z z z (θθθ)^β over triples. `one_angle` and `two_angles` (3,):
    the same with only the smallest, and the product of the two smallest, of the triple's angles.
    """

    two: NDArray[np.float64]
    three: NDArray[np.float64]
    one_angle: NDArray[np.float64]
    two_angles: NDArray[np.float64]


@njit(cache=True)  # type: ignore[untyped-decorator]
def _correlators(
    z: NDArray[np.float64], theta: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    n = z.shape[0]
    two = np.zeros(3)
    three = np.zeros(3)
    one_angle = np.zeros(3)
    two_angles = np.zeros(3)
    for i in range(n):
        for j in range(i + 1, n):
            zz = z[i] * z[j]
            a = theta[i, j]
            two[0] += zz
            two[1] += zz * a
            two[2] += zz * a * a
            for k in range(j + 1, n):
                zzz = zz * z[k]
                b = theta[i, k]
                c = theta[j, k]
                abc = a * b * c
                low = min(a, b, c)
                # The product of the two smallest, without dividing by the largest (which may be zero).
                pair = min(a * b, b * c, a * c)
                three[0] += zzz
                three[1] += zzz * abc
                three[2] += zzz * abc * abc
                one_angle[1] += zzz * low
                one_angle[2] += zzz * low * low
                two_angles[1] += zzz * pair
                two_angles[2] += zzz * pair * pair
    one_angle[0] = three[0]
    two_angles[0] = three[0]
    return two, three, one_angle, two_angles


def correlators(particles: NDArray[np.float64]) -> Correlators:
    """Correlators of one jet's constituents (n, 4) px py pz E with a positive ΣpT; n ≤ 2 has no triples."""
    pt = np.hypot(particles[:, 0], particles[:, 1])
    y, phi = directions(particles)
    theta = np.sqrt(separation2(y[:, None], phi[:, None], y[None, :], phi[None, :]))
    return Correlators(*_correlators(pt / pt.sum(), theta))
