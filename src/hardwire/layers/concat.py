"""Concatenation along an axis.

Keras `Concatenate`, ONNX `Concat`; PyTorch's rules are in `element_views.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Floats
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _keras as keras
from hardwire.layers import _onnx as onnx
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import checked_axis, quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.layers.constant import constant_tensor
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record


class Concat(Layer):
    """Attr `axis`, the batch axis not counted; any number of inputs."""

    kind = "concat"
    moves = True

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the joint shape; all other axes must agree."""
        axis = checked_axis(node, node.attrs["axis"], len(inputs[0]))
        rest = {(*shape[:axis], *shape[axis + 1 :]) for shape in inputs}
        if len(rest) != 1 or len({len(shape) for shape in inputs}) != 1:
            raise ModelError(f"layer {node.name!r}: cannot concatenate {', '.join(map(str, inputs))} along axis {axis}")
        return (*inputs[0][:axis], sum(shape[axis] for shape in inputs), *inputs[0][axis + 1 :])

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the joined array."""
        axis = checked_axis(node, node.attrs["axis"], inputs[0].ndim - 1)
        return np.concatenate(list(inputs), axis=axis + 1)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Copy the elements into one array; each keeps its scale. Free where they lie in one array already."""
        shape = self.shape(node, [wire.shape for wire in inputs])
        axis = checked_axis(node, node.attrs["axis"], len(shape))
        scale = np.concatenate([wire.scales() for wire in inputs], axis=axis)
        if len({wire.array for wire in inputs}) == 1:
            return inputs[0].view(np.concatenate([wire.index for wire in inputs], axis=axis), scale)
        reads = [(wire, low.windows(wire, len(shape) - axis)) for wire in inputs]
        builder = KernelBuilder(node.name, *low.window_range(reads))
        return low.apply(node, builder.build(range(builder.n_inputs)), reads, shape, scale)

    def examples(self) -> Iterator[Example]:
        """Branches of different types, along the last and the first axis."""
        for name, shape, axis in (("vector", (3,), 0), ("last", (2, 3), -1), ("first", (2, 3), 0)):
            net = NetworkBuilder(f"concat_{name}")
            x = quantised_input(net, shape, "s5.2")
            half = net.add("mul", "half", [x], {}, {"constant": np.float64(0.375)})
            relu = net.add("relu", "relu", [x])
            yield Example(name, net.build([net.add("concat", "concat", [half, x, relu], {"axis": axis})]))


# --- ONNX


@imports("onnx", "Concat")
def _onnx_concat(record: Record, net: NetworkBuilder) -> str:
    """Join tensors, constants among them, along an axis behind the batch."""
    axis = onnx.axis_of(record, int(record.take("axis")), len(net.shape(record.inputs[0])))
    variables = tuple(record.versions["variables"])
    tensors = dict(zip(variables, record.inputs, strict=True))
    shape = net.shape(record.inputs[0])
    for position in range(max(variables) + 64):
        if onnx.has(record, position):
            value = onnx.without_batch(record, onnx.constant(record, position), shape, "a constant")
            tensors[position] = constant_tensor(net, f"{record.name}_constant{position}", record.inputs[0], value)
    if len(tensors) == 1:
        return record.inputs[0]
    return net.add("concat", record.name, [tensors[position] for position in sorted(tensors)], {"axis": axis})


# --- Keras


@imports("keras", "Concatenate")
def _keras_concatenate(record: Record, net: NetworkBuilder) -> str:
    """`Concatenate` along any axis but the batch."""
    along = keras.axis(record, "axis", -1, len(net.shape(record.inputs[0])))
    if len(record.inputs) == 1:
        return record.inputs[0]
    return net.add("concat", record.name, list(record.inputs), {"axis": along})
