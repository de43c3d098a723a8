"""LightGBM's own files against its own raw scores, which are kept (tests/frontends/trees/make.py has the recipe)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from conformance_case import Built, Case

FILES = Path(__file__).parents[2] / "frontends" / "trees"


def stored(name: str) -> Callable[[Path], Built]:
    """A kept file, its inputs (multiples of 1/8) and answers."""

    def build(folder: Path) -> Built:
        answers = np.load(FILES / "answers.npz")
        x = answers["x_categories" if "categories" in name else "x"]
        expected = answers[name].reshape(len(x), -1)
        spread = float(np.ptp(expected))
        why = "leaves of float64 are rounded to the types that calibration chose"
        return Built(FILES / f"{name}.txt", [x], [expected], calibrated=True, tolerance=spread / 8, why=why)

    return build


def cases() -> Iterator[Case]:
    yield Case("trees", "binary", stored("lgb_binary"))
    yield Case("trees", "multiclass", stored("lgb_classes"))
    yield Case("trees", "categorical splits", stored("lgb_categories"))
    yield Case("trees", "random forest", stored("lgb_forest"))
