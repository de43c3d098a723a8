"""Layers that change nothing at inference: they leave no node, their output is their input.

Keras `Dropout` and its family, noise, `Identity`; PyTorch `dropout` in evaluation, `clone`, `detach`, casts.
"""

from __future__ import annotations

import numpy as np

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
    """Copies and casts between float types; a cast to signed integers rounds towards zero, one to bool compares."""
    record.ignore("memory_format", "device", "layout", "pin_memory", "non_blocking", "copy")
    dtype = record.take("dtype", None)
    before, after = str(record.versions.get("dtype_in")), str(record.versions.get("dtype_out"))
    if record.has_array("1"):
        record.array("1")  # the tensor whose type is taken
    x = record.inputs[0]
    if before == after or after.startswith(("float", "bfloat")):
        return x
    if after == "bool":
        return net.add("compare", record.name, [x], {"relation": "not_equal"}, {"constant": np.float64(0.0)})
    if before == "bool" or (before.startswith(("int", "uint")) and after in ("int32", "int64")):
        return x
    if after not in ("int16", "int32", "int64"):
        raise record.unsupported("dtype", dtype or after, f"a cast from {before} may wrap; int32 or int64 do not")
    return net.add("activation", record.name, [x], {"function": "trunc", "arguments": {}})
