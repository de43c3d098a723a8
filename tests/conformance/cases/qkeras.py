"""QKeras models from their files, against stored outputs of QKeras' own forward.

Recipes: `make_models.py` and `make_more.py` in `../../layers/qkeras`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from conformance_case import Built, Case

FILES = Path(__file__).parents[2] / "layers" / "qkeras"
MORE = FILES / "more.zip"

ROW_OF = {
    "default.h5": "dense",
    "auto.h5": "dense",
    "ternary.h5": "binary and ternary",
    "stochastic.h5": "binary and ternary",
    "objects.h5": "tanh",
    "norm_bits.h5": "batch norm",
    "norm.keras": "batch norm",
    "sequence.h5": "conv 1d",
    "folded_batch.h5": "conv 2d",
    "vectors.h5": "other",
    "rnn.h5": "simple RNN",
    "lstm.h5": "LSTM",
    "gru.h5": "GRU",
}
MORE_ROWS = {
    "adaptive_bits.h5": "quantisers",
    "adaptive_channels.keras": "quantisers",
    "adaptive_leaky.h5": "leaky relu",
    "both_lstm.keras": "bidirectional",
    "cell_stack.h5": "simple RNN",
    "steps.h5": "time distributed",
    "nested.keras": "nested model",
    "mobile.h5": "depthwise conv",
    "options.h5": "transposed conv",
    "names.h5": "hard swish",
    "numbers.h5": "dense",
}
PARTICULAR = {"vectors.h5": "pruned dense", "folded_batch.h5": "folded conv, depthwise, average"}
ROUNDED = {"steps.h5": 3e-7}
"""Largest difference where QKeras rounds to float32: a scale that is no power of two, times a sum."""


def stored(file: str, archive: Path | None = None) -> Callable[[Path], Built]:
    """A model file and its vectors, from the folder of fixtures or from an archive in it."""

    def build(folder: Path) -> Built:
        path: Path = FILES / file
        vectors: Any = FILES / "models.npz"
        if archive is not None:
            with zipfile.ZipFile(archive) as stored_files:
                path = Path(stored_files.extract(file, folder))
                vectors = BytesIO(stored_files.read("models.npz"))
        with np.load(vectors) as arrays:
            x, y = (arrays[f"{path.stem}/{kind}"] for kind in "xy")
        quantised = archive is not None or path.stem not in ("vectors", *OPEN)
        tolerance = ROUNDED.get(file, 0.0)
        why = "QKeras multiplies in float32" if tolerance else ""
        return Built(path, [x], [y], None if quantised else "s9.5", tolerance=tolerance, why=why)

    return build


OPEN = ("norm", "norm_bits", "sequence", "folded_batch", "rnn", "lstm", "gru")
"""Models without a quantiser in front."""


def cases() -> Iterator[Case]:
    for file, row in ROW_OF.items():
        yield Case(row, PARTICULAR.get(file, file.partition(".")[0].replace("_", " ")), stored(file))
    for file, row in MORE_ROWS.items():
        yield Case(row, file.partition(".")[0].replace("_", " "), stored(file, MORE))
