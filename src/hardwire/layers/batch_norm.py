"""Batch normalisation at inference: `y = x · factor + offset` per channel.

Keras `BatchNormalization`, ONNX `BatchNormalization`, PyTorch `batch_norm`. `network.prepare` folds it into a dense
layer next to it where that is legal; what stays is computed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Floats
from hardwire.ir.builder import KernelBuilder
from hardwire.layers._base import Example, Layer
from hardwire.layers._elements import checked_axis, element, exact_values, joint_scale, multiple, quantised_input, units
from hardwire.layers._lowering import Lowering, Wire
from hardwire.network.graph import NetworkBuilder, Node, Shape


class BatchNorm(Layer):
    """`(x - mean) / sqrt(variance + epsilon) · gamma + beta` along `axis`.

    Attrs `axis` (the batch axis not counted, default -1) and `epsilon`; params `gamma`, `beta`, `mean`, `variance`,
    each (c,). The meaning is `x · factor + offset` with the float64 values that `folded` returns.
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
        (x,) = inputs
        factor, offset = (exact_values(part, None, x.shape) for part in spread(node, len(x.shape)))
        slope = x.scales() * factor
        unit_factor, unit_offset = (units(part, None, x.shape) for part in spread(node, len(x.shape)))
        scale = joint_scale(x.shape, x.scales() * unit_factor, unit_offset)

        def rule(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
            full = element(x.shape, at)
            coef = multiple(node, slope[full], scale[full], "factor")
            return b.linear(values, [coef], multiple(node, offset[full], scale[full], "offset"))

        return low.elementwise(node, [x], rule, scale, [slope, offset])

    def examples(self) -> Iterator[Example]:
        """Channels last and channels first, with factors that are short in binary."""
        for name, shape, axis in (("vector", (3,), -1), ("last", (2, 3), -1), ("first", (3, 2), 0)):
            net = NetworkBuilder(f"batch_norm_{name}")
            x = quantised_input(net, shape)
            params = {
                "gamma": np.array([1.0, -0.75, 0.0]),
                "beta": np.array([0.5, -0.125, 1.25]),
                "mean": np.array([0.25, 0.0, 3.0]),
                "variance": np.array([0.75, 3.75, 15.75]),
            }
            yield Example(name, net.build([net.add("batch_norm", "bn", [x], {"axis": axis, "epsilon": 0.25}, params)]))


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
