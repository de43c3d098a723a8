"""PyTorch tensors whose batch is on axis 1: sequences in the order of `batch_first=False`, and final states.

In the Network they are as all others, without the batch. Only operators that are known to leave it alone may read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hardwire.network.graph import NetworkBuilder

RECURRENT = ("aten.lstm.input", "aten.gru.input", "aten.rnn_tanh.input", "aten.rnn_relu.input")
"""Operators that take their input with the batch on axis 0 or 1, and give states with the batch on axis 1."""

_ANYWHERE = (
    *("linear", "relu", "relu_", "tanh", "sigmoid", "gelu", "elu", "selu", "silu", "leaky_relu", "hardtanh"),
    *("contiguous", "clone", "dropout"),
)
_SWAPS = ("transpose.int", "swapaxes.default", "swapdims.default", "permute.default")


def may_read(kind: str) -> bool:
    """Whether an operator reads the last axis or single elements only, wherever the batch is."""
    return kind in RECURRENT or kind.removeprefix("aten.").partition(".")[0] in _ANYWHERE


def swaps(kind: str, attrs: Mapping[str, Any]) -> bool:
    """Whether the operator exchanges the axes 0 and 1 and nothing else."""
    if kind.removeprefix("aten.") not in _SWAPS:
        return False
    dims = attrs.get("dims")
    if dims is not None:
        rank = len(dims)
        return rank > 1 and [dim % rank for dim in dims] == [1, 0, *range(2, rank)]
    return {attrs.get("dim0", attrs.get("axis0")), attrs.get("dim1", attrs.get("axis1"))} == {0, 1}


def chosen(kind: str, attrs: Mapping[str, Any], net: NetworkBuilder, name: str, x: str) -> str | None:
    """Return one element of axis 0, so that the batch comes first again; None for an operator that does not do this."""
    shape = net.shape(x)
    if attrs.get("dim", 0) not in (0, -len(shape) - 1):
        return None
    if kind == "aten.select.int":
        index = int(attrs["index"]) % shape[0]
    elif kind == "aten.squeeze.dim" and shape[0] == 1:
        index = 0
    else:
        return None
    part = net.add("take", f"{name}_step", [x], {"axis": 0, "indices": (index,)}) if shape[0] > 1 else x
    return net.add("reshape", name, [part], {"shape": shape[1:]})
