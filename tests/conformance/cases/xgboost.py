"""XGBoost's own files against its own margins, which are kept (tests/frontends/trees/make.py has the recipe)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from conformance_case import Built, Case

FILES = Path(__file__).parents[2] / "frontends" / "trees"


def stored(name: str, **options: Any) -> Callable[[Path], Built]:
    """A kept file, its inputs (multiples of 1/8) and answers."""

    def build(folder: Path) -> Built:
        answers = np.load(FILES / "answers.npz")
        (path,) = FILES.glob(f"{name}.*")
        x = answers["x_categories" if "categories" in name else "x"]
        return Built(path, [x], [answers[name].reshape(len(x), -1)], **options)

    return build


def cases() -> Iterator[Case]:
    summed: dict[str, Any] = {"input_type": "s8.3", "tolerance": 2e-6, "why": "XGBoost sums leaves in float32"}
    yield Case("trees", "binary:logistic, UBJSON", stored("xgb_binary", **summed))
    yield Case("trees", "multi:softprob, JSON", stored("xgb_softprob", **summed))
    yield Case("trees", "categorical splits", stored("xgb_categories", **summed))
    yield Case("trees", "dart", stored("xgb_dart", **summed))
