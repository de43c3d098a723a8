"""Particles for the physics tests: drawn by seed, and a boost along the beam."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray


def particles(rng: np.random.Generator, n: int, *, spread: float = 1.0) -> NDArray[np.float64]:
    """n particles (n, 4) px py pz E around azimuth π, so that the cylinder's seam runs through them."""
    pt = rng.exponential(20.0, n) + 1e-3
    y = rng.normal(0.0, spread, n)
    phi = np.pi + rng.normal(0.0, spread, n)
    mt = np.hypot(pt, rng.exponential(0.2, n))
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), mt * np.sinh(y), mt * np.cosh(y)], axis=1)


def boost(p: NDArray[np.float64], rapidity: float) -> NDArray[np.float64]:
    c, s = np.cosh(rapidity), np.sinh(rapidity)
    return np.stack([p[:, 0], p[:, 1], c * p[:, 2] + s * p[:, 3], c * p[:, 3] + s * p[:, 2]], axis=1)


def rotate(p: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([c * p[:, 0] - s * p[:, 1], s * p[:, 0] + c * p[:, 1], p[:, 2], p[:, 3]], axis=1)


seeds = st.integers(0, 2**32 - 1)
