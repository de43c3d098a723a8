"""Layers that change nothing at inference: they leave no node, their output is their input.

Keras `Dropout` and its family, noise, `Identity`; PyTorch `dropout` in evaluation, `clone`, `detach`, casts.
"""

from __future__ import annotations

from hardwire.layers import _torch as torch
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


# --- PyTorch


@imports(
    "torch",
    "aten.dropout.default",
    "aten.dropout_.default",
    "aten.feature_dropout.default",
    "aten.alpha_dropout.default",
    "aten.alpha_dropout_.default",
    "aten.feature_alpha_dropout.default",
)
def _torch_dropout(record: Record, net: NetworkBuilder) -> str:
    """Dropout in evaluation."""
    if record.take("train", False):
        raise record.unsupported("train", True, "export the model in evaluation mode (model.eval())")
    record.ignore("p")
    return torch.single(record)


@imports(
    "torch",
    "aten.clone.default",
    "aten.contiguous.default",
    "aten.detach.default",
    "aten.detach_.default",
    "aten.alias.default",
    "aten.lift_fresh.default",
    "aten.lift_fresh_copy.default",
    "aten.to.dtype",
    "aten.to.dtype_layout",
    "aten.to.device",
    "aten.to.other",
    "aten._to_copy.default",
    "aten.type_as.default",
)
def _torch_cast(record: Record, net: NetworkBuilder) -> str:
    """Copies and casts between float types; a cast to integers would round."""
    record.ignore("memory_format", "device", "layout", "pin_memory", "non_blocking", "copy")
    dtype = record.take("dtype", None)
    before, after = record.versions.get("dtype_in"), record.versions.get("dtype_out")
    if not str(after).startswith(("float", "bfloat")) and before != after:
        raise record.unsupported("dtype", dtype or after, f"the cast from {before} rounds; only float types are read")
    return record.inputs[0]
