"""SavedModels and checkpoints of Keras 2, against stored outputs of Keras' own forward.

Recipe: `../../frontends/keras2/make_savedmodels.py`. Their float weights are random: types are chosen by calibration.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from conformance_case import Built, Case

ARCHIVE = Path(__file__).parents[2] / "frontends" / "keras2" / "savedmodels.zip"


NAME = "sequential"


def stored(model: str, weights: str | None = None) -> Callable[[Path], Built]:
    def build(folder: Path) -> Built:
        with zipfile.ZipFile(ARCHIVE) as archive:
            archive.extractall(folder)
        with np.load(folder / "answers.npz") as answers:
            x, y = answers[f"{NAME}_x"], answers[f"{NAME}_y"]
        load = {} if weights is None else {"weights": folder / NAME / weights}
        tolerance, why = 0.08 * float(np.ptp(y)), "types chosen by calibration round"
        return Built(folder / NAME / model, [x], [y], calibrated=True, tolerance=tolerance, why=why, load=load)

    return build


def cases() -> Iterator[Case]:
    yield Case("dense", "SavedModel", stored("saved"))
    yield Case("dense", "model.json with a checkpoint", stored("model.json", "weights/model.ckpt"))
