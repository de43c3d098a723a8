"""HGQ2 and HGQ 1 models from their files, against stored outputs of their own forward.

Recipes: `../hgq_models/make.py`, `../../layers/hgq_models/make_hgq1.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from conformance_case import Built, Case

HGQ2 = Path(__file__).parents[1] / "hgq_models"
HGQ1 = Path(__file__).parents[2] / "layers" / "hgq_models"

ROW_OF = {
    "dense": "dense",
    "dense_batch_norm": "dense",
    "einsum": "einsum dense",
    "einsum_batch_norm": "einsum dense",
    "conv1d": "conv 1d",
    "conv2d": "conv 2d",
    "conv3d": "conv 3d",
    "max_pool": "max pooling",
    "average_pool": "average pooling",
    "global_pool": "global pooling",
    "batch_norm": "batch norm",
    "simple_rnn": "simple RNN",
    "gru": "GRU",
    "add": "add",
    "subtract": "subtract",
    "multiply": "multiply",
    "average": "average",
    "minimum": "minimum",
    "maximum": "maximum",
    "dot": "dot",
    "matmul": "matmul",
    "sum": "sum",
    "mean": "mean",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "softmax": "softmax",
    "quantiser": "quantisers",
    "table_dense": "lookup tables",
    "table_einsum": "lookup tables",
    "table_conv": "lookup tables",
    "nested": "nested model",
    "shared": "shared layer",
    "several_outputs": "several outputs",
    "sequential": "conv 1d",
}


def stored(model: Path, vectors: Path, prefix: str) -> Callable[[Path], Built]:
    """A model file and the vectors that begin with `prefix`."""

    def build(folder: Path) -> Built:
        with np.load(vectors) as arrays:
            xs, ys = ([arrays[key] for key in sorted(arrays) if key.startswith(f"{prefix}{kind}")] for kind in "xy")
        return Built(model, xs, ys)

    return build


def cases() -> Iterator[Case]:
    for name, row in ROW_OF.items():
        yield Case(row, f"HGQ2 {name}", stored(HGQ2 / f"{name}.keras", HGQ2 / "vectors.npz", f"{name} "))
    proxy = HGQ1 / "hgq1_dense_proxy"
    yield Case("dense", "HGQ 1 proxy", stored(proxy.with_suffix(".keras"), proxy.with_suffix(".npz"), ""))
