"""Element-wise add, subtract and multiply, of two tensors or of a tensor and a constant, with broadcasting.

Keras `Add`, `Subtract`, `Multiply`; ONNX `Add`, `Sub`, `Mul`, `Div` by a constant; PyTorch `add`, `sub`, `mul`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError
from hardwire.fixed import Floats
from hardwire.ir.builder import KernelBuilder
from hardwire.layers._base import Example, Layer
from hardwire.layers._elements import element, exact_values, multiple, objects, quantised_input
from hardwire.layers._lowering import Lowering, Wire, broadcast
from hardwire.layers._scales import common_scale
from hardwire.network.graph import NetworkBuilder, Node, Shape


class _Binary(Layer):
    """Two inputs, or one and the param `constant` (integer codes with `constant_scale`, or float64 as it stands)."""

    weights = ("constant",)

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the broadcast shape of both operands."""
        operands = [*inputs, node.params["constant"].shape] if "constant" in node.params else list(inputs)
        if len(operands) != 2:
            raise ModelError(f"layer {node.name!r}: {node.kind} of {len(operands)} operands, expected two")
        try:
            return tuple(np.broadcast_shapes(*operands))
        except ValueError:
            raise ModelError(f"layer {node.name!r}: shapes {operands[0]} and {operands[1]} do not broadcast") from None

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the float64 result."""
        shape = self.shape(node, [x.shape[1:] for x in inputs])
        operands = [np.broadcast_to(_aligned(x, len(shape)), (len(x), *shape)) for x in inputs]
        if "constant" in node.params:
            constant = node.params["constant"] * node.params.get("constant_scale", np.float64(1.0))
            operands.append(np.broadcast_to(constant, (len(inputs[0]), *shape)))
        if node.attrs.get("reverse", False):
            operands.reverse()
        return np.asarray(self.operate(operands[0], operands[1]), np.float64)

    def operate(self, a: Floats, b: Floats) -> Floats:
        """Return the result on equally shaped arrays."""
        raise NotImplementedError

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Operands at one exact scale."""
        raise NotImplementedError


def _aligned(x: Floats, rank: int) -> Floats:
    """Insert axes after the batch axis, as broadcasting without a batch axis would."""
    return x.reshape(len(x), *(1,) * (rank - (x.ndim - 1)), *x.shape[1:])


class Add(_Binary):
    """`a + b`."""

    kind = "add"

    def operate(self, a: Floats, b: Floats) -> Floats:
        """Return `a + b`."""
        return a + b


class Sub(_Binary):
    """`a - b`; with attr `reverse` and a constant, `constant - x`."""

    kind = "sub"

    def operate(self, a: Floats, b: Floats) -> Floats:
        """Return `a - b`."""
        return a - b


class Mul(_Binary):
    """`a · b`."""

    kind = "mul"

    def operate(self, a: Floats, b: Floats) -> Floats:
        """Return `a · b`."""
        return a * b
