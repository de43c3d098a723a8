"""Brevitas networks, exported as QONNX and as QCDQ, against stored outputs of Brevitas' own forward.

Recipe: `../../frontends/brevitas/make_models.py`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from conformance_case import Built, Case

ARCHIVE = Path(__file__).parents[2] / "frontends" / "brevitas" / "models.zip"

ROW_OF = {
    "int8": "dense",
    "per_channel": "dense",
    "few_bits_and_bias": "dense",
    "powers_of_two": "relu",
    "least_squares": "dense",
    "decoupled": "dense",
    "roundings": "quantisers",
    "open_end": "dense",
    "binary": "binary and ternary",
    "hard_tanh": "hard tanh",
    "batch_norm": "batch norm",
    "conv_1d_groups": "conv 1d",
    "average": "average pooling",
    "global_average": "global pooling",
    "upsample": "up-sampling",
    "residual": "add",
}
FORMATS = {"few_bits_and_bias": ("qonnx", "qcdq"), "residual": ("qonnx", "qcdq"), "batch_norm": ("qcdq",)}


def stored(name: str, kind: str) -> Callable[[Path], Built]:
    def build(folder: Path) -> Built:
        with zipfile.ZipFile(ARCHIVE) as archive:
            path = Path(archive.extract(f"{name}_{kind}.onnx", folder))
            vectors = np.load(BytesIO(archive.read(f"{name}.npz")))
        y = vectors["y"].astype(np.float64)
        signs = "s12.8" if name == "binary" else None  # its input has a sign and no type
        return Built(path, [vectors["x"]], [y], signs, tolerance=2e-6 * float(np.abs(y).max()), why="scales in float32")

    return build


def cases() -> Iterator[Case]:
    for name, row in ROW_OF.items():
        for kind in FORMATS.get(name, ("qonnx",)):
            yield Case(row, f"{name} {kind}".replace("_", " "), stored(name, kind))
