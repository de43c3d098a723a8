"""Live scikit-learn models against their own predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from conformance_case import Built, Case


def fitted(make: Callable[[], Any], method: str, classes: int = 0, **options: Any) -> Callable[[Path], Built]:
    """A model of inputs that are multiples of 1/4, with labels of few bits; trees are grown until they fit."""

    def build(folder: Path) -> Built:
        rng = np.random.default_rng(0)
        x = np.unique(rng.integers(-8, 8, (40, 3)), axis=0) / 4
        score = x[:, 0] - x[:, 1] * (x[:, 2] > 0.25)
        y = np.digitize(score, (-1, 1))[: len(x)] if classes else np.rint(4 * score) / 4
        model = make().fit(x, y)
        expected = np.asarray(getattr(model, method)(x), np.float64).reshape(len(x), -1)
        return Built(model, [x], [expected], **{"input_type": "s5.2", **options})

    return build


def cases() -> Iterator[Case]:
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.tree import DecisionTreeRegressor

    thirds = {"tolerance": 1e-15, "why": "scikit-learn rounds thirds to float64"}
    why = "leaves are rounded to the types that calibration chose"
    rounded = {"input_type": None, "calibrated": True, "tolerance": 0.2, "why": why}
    forest = fitted(lambda: RandomForestClassifier(3, random_state=0), "predict_proba", classes=3, **thirds)
    boosted = fitted(lambda: GradientBoostingClassifier(n_estimators=3), "decision_function", classes=3, **rounded)
    yield Case("trees", "DecisionTreeRegressor", fitted(DecisionTreeRegressor, "predict"))
    yield Case("trees", "RandomForestClassifier", forest)
    yield Case("trees", "GradientBoostingClassifier", boosted)
