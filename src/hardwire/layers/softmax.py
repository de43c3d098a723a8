"""Softmax by integer tables, with an exact definition and a proven error bound against the float softmax."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Floats
from hardwire.layers._base import Example, Layer
from hardwire.layers._elements import checked_axis, quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.quantiser import Quantiser


@dataclass(frozen=True)
class SoftmaxTables:
    """Types of the tables that compute a softmax."""


class Softmax(Layer):
    """Softmax along `axis` (the batch axis not counted, ≥ 0).

    Attrs `axis`, `output` (`Quantiser` or None), `tables` (`SoftmaxTables`, or None for `default_tables`).
    """

    kind = "softmax"
    exact = False

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        checked_axis(node, node.attrs["axis"], len(inputs[0]))
        return inputs[0]

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Float64 softmax, then the output quantiser if there is one."""
        axis = checked_axis(node, node.attrs["axis"], inputs[0].ndim - 1) + 1
        e = np.exp(inputs[0] - inputs[0].max(axis=axis, keepdims=True))
        y = np.asarray(e / e.sum(axis=axis, keepdims=True), np.float64)
        quantiser: Quantiser | None = node.attrs.get("output")
        return y if quantiser is None else quantiser(y)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Maximum, difference, exponential table, sum, reciprocal table, product, output quantiser."""
        raise NotImplementedError
