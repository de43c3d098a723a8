"""Division of a tensor by constants: exact, and free for positive ones, since scales are rational numbers.

ONNX `Div` by a constant. Multiplying by the rounded reciprocal instead would cost accuracy and 53-bit constants.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Floats
from hardwire.ir.builder import KernelBuilder
from hardwire.layers._base import Example, Layer
from hardwire.layers._elements import element, exact_values, quantised_input
from hardwire.layers._lowering import Lowering, Wire, broadcast
from hardwire.network.graph import NetworkBuilder, Node, Shape


class Divide(Layer):
    """`x / divisor`; param `divisor` broadcasts to the input's shape and holds no zero."""

    kind = "divide"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the broadcast shape; raises `ModelError` for a zero divisor."""
        divisor = node.params["divisor"]
        if np.any(divisor == 0):
            raise ModelError(f"layer {node.name!r}: division by a constant zero")
        try:
            return tuple(np.broadcast_shapes(inputs[0], divisor.shape))
        except ValueError:
            raise ModelError(f"layer {node.name!r}: shapes {inputs[0]} and {divisor.shape} do not broadcast") from None

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Float64 quotient."""
        (x,) = inputs
        divisor = node.params["divisor"]
        lead = (len(x), *(1,) * max(0, divisor.ndim - (x.ndim - 1)))
        return np.asarray(x.reshape(*lead, *x.shape[1:]) / divisor, np.float64)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Divide the scales; one negation an element where a divisor is negative."""
        x = broadcast(inputs[0], self.shape(node, [inputs[0].shape]))
        divisor = exact_values(node.params["divisor"], None, x.shape)
        scale = x.scales() / np.abs(divisor)
        if np.all(divisor > 0):
            return x.view(x.index, scale)

        def rule(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
            return values[0] if divisor[element(x.shape, at)] > 0 else b.neg(values[0])

        return low.elementwise(node, [x], rule, scale, [divisor])

    def examples(self) -> Iterator[Example]:
        """One divisor for all, and one for each channel with both signs."""
        for name, divisor in (("scalar", np.array(255.0)), ("channel", np.array([3.0, -0.7, 1.0]))):
            net = NetworkBuilder(f"divide_{name}")
            x = quantised_input(net, (2, 3))
            yield Example(name, net.build([net.add("divide", "divide", [x], {}, {"divisor": divisor})]))
