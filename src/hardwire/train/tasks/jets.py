"""Jets of five kinds from 16 features, standardised (`hardwire.datasets.jets`)."""

from __future__ import annotations

from hardwire.datasets import Standardiser, load_jets
from hardwire.train.tasks._base import Task, of_classes


def task(seed: int, split: int = 0, validation: float = 0.1, test: float = 0.2) -> Task:
    """`split` is the seed of the cut into training, validation and test jets."""
    parts = load_jets().split(validation=validation, test=test, seed=split)
    scale = Standardiser.fit(parts[0].X)
    rows = [(scale(part.X), part.y) for part in parts]
    told = {
        "steps": "(x - mean) / std of each feature",
        "features": list(parts[0].feature_names),
        "mean": scale.mean.tolist(),
        "std": scale.std.tolist(),
    }
    return of_classes(rows[0], rows[1], rows[2], parts[0].class_names, told)
