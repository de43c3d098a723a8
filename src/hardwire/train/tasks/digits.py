"""Handwritten digits, 8 × 8 pixels of 17 grey levels: scikit-learn's copy of the UCI set (Alpaydin & Kaynak 1998)."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from hardwire.datasets import split_indices
from hardwire.errors import MissingToolError
from hardwire.train.tasks._base import Task, of_classes


def task(seed: int, split: int = 0, validation: float = 0.1, test: float = 0.2, image: bool = False) -> Task:
    """`image`: rows (1, 8, 8) for convolutions instead of (64,); raises `MissingToolError` without scikit-learn."""
    try:
        sklearn = import_module("sklearn.datasets")
    except ImportError as error:
        raise MissingToolError(
            "the task digits needs the package scikit-learn, which is not installed", hint="pip install scikit-learn"
        ) from error
    x, y = sklearn.load_digits(return_X_y=True)
    # 17 grey levels are codes of five bits.
    x = (x / 16.0).astype(np.float32).reshape(-1, *((1, 8, 8) if image else (64,)))
    parts = split_indices(len(x), validation=validation, test=test, seed=split)
    rows = [(x[part], y[part].astype(np.int64)) for part in parts]
    told = {"steps": "pixels (0 to 16) / 16"}
    return of_classes(rows[0], rows[1], rows[2], tuple(str(k) for k in range(10)), told)
