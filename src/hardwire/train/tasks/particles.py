"""Jets of five kinds from their hardest particles, as sets (`hardwire.datasets.particles`)."""

from __future__ import annotations

import numpy as np

from hardwire.datasets import particles
from hardwire.train.tables import RecipeError
from hardwire.train.tasks._base import Task, of_classes


def task(
    seed: int,
    split: int = 0,
    validation: float = 0.1,
    test: float = 0.2,
    most: int = particles.PARTICLES,
    mirrored: bool = False,
) -> Task:
    """`most` particles of a jet are used; `mirrored`: to train on jets' mirror images too, which are jets as likely.

    Raises `RecipeError` where there are no so many particles.
    """
    if not 1 <= most <= particles.PARTICLES:
        raise RecipeError(f"[task] most = {most}", hint=f"from 1 to {particles.PARTICLES} particles")
    parts = particles.load().split(validation=validation, test=test, seed=split)
    rows = [(_scaled(part.X[:, :most]), part.y) for part in parts]
    if mirrored:
        rows[0] = _mirrored(*rows[0])
    told = {
        "features": list(parts[0].feature_names),
        "steps": "log2(1 + pt / GeV) / 8; 8 deta; 8 dphi; zeros stay zeros",
    }
    return of_classes(rows[0], rows[1], rows[2], parts[0].class_names, told)


def _scaled(x: np.ndarray) -> np.ndarray:
    return np.stack([np.log2(1.0 + x[..., 0]) / 8.0, 8.0 * x[..., 1], 8.0 * x[..., 2]], axis=-1).astype(np.float32)


def _mirrored(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Jets and their images in pseudorapidity, in azimuth and in both: four times as many."""
    signs = [(1.0, eta, phi) for eta in (1.0, -1.0) for phi in (1.0, -1.0)]
    return np.concatenate([x * np.array(sign, x.dtype) for sign in signs]), np.tile(y, len(signs))
