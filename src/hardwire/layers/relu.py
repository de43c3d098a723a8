"""Piecewise linear activations: ReLU, clip (ReLU6, hard tanh), leaky ReLU and PReLU; all exact in fixed point.

Keras `ReLU`, `LeakyReLU`, `PReLU`; ONNX `Relu`, `Clip`, `LeakyRelu`, `PRelu`; PyTorch `relu`, `hardtanh`, `leaky_relu`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Floats, Overflow
from hardwire.ir.builder import KernelBuilder
from hardwire.layers._base import Example, Layer
from hardwire.layers._elements import element, exact_values, multiple, objects, quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.layers._scales import common_scale
from hardwire.layers.quantise import quantise_wire
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.quantiser import Quantiser


class Relu(Layer):
    """`max(x, 0)`."""

    kind = "relu"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        return inputs[0]

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return `max(x, 0)`."""
        return np.maximum(inputs[0], 0.0)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One CLAMP at zero an element; nothing where no element can be negative."""
        (x,) = inputs
        if np.all(low.range(x)[0] >= 0):
            return x

        def rule(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
            return b.clamp(values[0], 0, max(b.range(values[0])[1], 0))

        return low.elementwise(node, [x], rule, x.scales())


class Clip(Layer):
    """`min(max(x, lo), hi)`; attrs `lo`, `hi` floats or None for no bound.

    Attr `output`, a `Quantiser` that `network.prepare` moved in, is applied to the result.
    """

    kind = "clip"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        lo, hi = node.attrs.get("lo"), node.attrs.get("hi")
        if lo is not None and hi is not None and lo > hi:
            raise ModelError(f"layer {node.name!r}: clip with the bounds [{lo}, {hi}], the lower above the upper")
        return inputs[0]

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the clipped values."""
        y = np.clip(inputs[0], node.attrs.get("lo"), node.attrs.get("hi"))
        return _output(node, y)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One CLAMP an element, in a finer scale where a bound is no multiple of the input's."""
        raise NotImplementedError


class LeakyRelu(Layer):
    """`x` where `x ≥ 0`, else `slope · x`; attr `slope`, any finite float, is taken exactly.

    Attr `output`, a `Quantiser` that `network.prepare` moved in, is applied to the result.
    """

    kind = "leaky_relu"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        return inputs[0]

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the values with the negative ones times the slope."""
        return _output(node, np.where(inputs[0] < 0, inputs[0] * node.attrs["slope"], inputs[0]))

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Return the larger of `x` and `slope · x` (slope up to 1), or a select by sign."""
        raise NotImplementedError


class PRelu(Layer):
    """`x` where `x ≥ 0`, else `slope · x`; param `slope` broadcasts to the input's shape and is taken exactly.

    Attr `output`, a `Quantiser` that `network.prepare` moved in, is applied to the result.
    """

    kind = "prelu"
    weights = ("slope",)

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape; the slope must broadcast to it."""
        slope = node.params["slope"].shape
        try:
            fits = np.broadcast_shapes(slope, inputs[0]) == tuple(inputs[0])
        except ValueError:
            fits = False
        if not fits:
            raise ModelError(f"layer {node.name!r}: slopes of shape {slope} do not broadcast to {inputs[0]}")
        return inputs[0]

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the values with the negative ones times their slopes."""
        return _output(node, np.where(inputs[0] < 0, inputs[0] * node.params["slope"], inputs[0]))

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """As the leaky ReLU, with a slope per element."""
        raise NotImplementedError


def _output(node: Node, y: Floats) -> Floats:
    quantiser: Quantiser | None = node.attrs.get("output")
    return np.asarray(y if quantiser is None else quantiser(y), np.float64)
