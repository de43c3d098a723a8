"""Layers that change nothing at inference: they leave no node, their output is their input.

Keras `Dropout` and its family, noise, `Identity`; PyTorch `dropout` in evaluation, `clone`, `detach`, casts.
"""

from __future__ import annotations

from hardwire.layers._base import imports
from hardwire.layers._keras import single
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

# --- Keras


@imports(
    "keras",
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "ActivityRegularization",
    "Identity",
)
def _keras_identity(record: Record, net: NetworkBuilder) -> str:
    """Active in training only."""
    record.ignore("rate", "noise_shape", "seed", "stddev", "data_format", "l1", "l2")
    return single(record)
