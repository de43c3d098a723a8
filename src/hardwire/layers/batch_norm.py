"""Batch normalisation at inference: `y = x · factor + offset` per channel.

Keras `BatchNormalization`, ONNX `BatchNormalization`, PyTorch `batch_norm`. `network.prepare` folds it into a dense
layer next to it where that is legal; what stays is computed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Floats
from hardwire.layers._base import Example, Layer
from hardwire.layers._elements import checked_axis, quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.network.graph import NetworkBuilder, Node, Shape


class BatchNorm(Layer):
    """`(x - mean) / sqrt(variance + epsilon) · gamma + beta` along `axis`.

    Attrs `axis` (the batch axis not counted, default -1) and `epsilon`; params `gamma`, `beta`, `mean`, `variance`, each (c,).
    The meaning is `x · factor + offset` with the float64 values that `folded` returns.
    """

    kind = "batch_norm"
    weights = ("gamma", "beta")

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        (shape,) = inputs
        axis = checked_axis(node, node.attrs.get("axis", -1), len(shape))
        for name in ("gamma", "beta", "mean", "variance"):
            if node.params[name].shape != (shape[axis],):
                raise ModelError(
                    f"layer {node.name!r}: {name} has the shape {node.params[name].shape}, "
                    f"expected {(shape[axis],)} for axis {axis} of {shape}"
                )
        if np.any(node.params["variance"] + node.attrs["epsilon"] <= 0):
            raise ModelError(f"layer {node.name!r}: variance + epsilon is not positive everywhere")
        return shape

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return `x · factor + offset`."""
        factor, offset = spread(node, inputs[0].ndim - 1)
        return np.asarray(inputs[0] * factor + offset, np.float64)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One LINEAR an element with exact coefficients."""
        raise NotImplementedError


def folded(node: Node) -> tuple[Floats, Floats]:
    """Return float64 (factor, offset), each (c,): `y = x · factor + offset`."""
    params = {key: np.asarray(value, np.float64) for key, value in node.params.items()}
    factor = params["gamma"] / np.sqrt(params["variance"] + float(node.attrs["epsilon"]))
    return factor, params["beta"] - params["mean"] * factor


def spread(node: Node, rank: int) -> tuple[Floats, Floats]:
    """Return factor and offset shaped to broadcast over a tensor of `rank` axes."""
    axis = checked_axis(node, node.attrs.get("axis", -1), rank)
    shape = tuple(-1 if i == axis else 1 for i in range(rank))
    factor, offset = folded(node)
    return factor.reshape(shape), offset.reshape(shape)
