"""Argmax: the index of the largest element along an axis, the first of equals.

ONNX `ArgMax` (with `select_last_index` 0), PyTorch `argmax`, Keras `ops.argmax`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from hardwire.fixed import Floats
from hardwire.ir.builder import KernelBuilder
from hardwire.layers._base import Example, Layer
from hardwire.layers._elements import checked_axis, one_scale, quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.network.graph import NetworkBuilder, Node, Shape


class Argmax(Layer):
    """Attrs `axis` (the batch axis not counted) and `keepdims` (bool, default False)."""

    kind = "argmax"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape without `axis`, or with 1 there (`keepdims`)."""
        (shape,) = inputs
        axis = checked_axis(node, node.attrs["axis"], len(shape))
        kept = (1,) if node.attrs.get("keepdims", False) else ()
        return (*shape[:axis], *kept, *shape[axis + 1 :])

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Index of the first maximum, as float64."""
        axis = checked_axis(node, node.attrs["axis"], inputs[0].ndim - 1)
        best = np.argmax(inputs[0], axis=axis + 1)
        return np.asarray(np.expand_dims(best, axis + 1) if node.attrs.get("keepdims", False) else best, np.float64)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """A tree of compare and select; the result's scale is 1."""
        (x,) = inputs
        axis = checked_axis(node, node.attrs["axis"], len(x.shape))
        # Only elements that are compared need one scale, which the result does not depend on.
        x = low.rescaled(node, x, one_scale(x, (axis,)))
        last = x.view(np.moveaxis(x.index, axis, -1), np.moveaxis(x.scales(), axis, -1))
        read = (last, low.windows(last, 1))
        builder = KernelBuilder(node.name, *low.window_range([read]))
        best = [(value, builder.const(value)) for value in range(last.shape[-1])]
        while len(best) > 1:
            best = [_better(builder, *best[i : i + 2]) for i in range(0, len(best), 2)]
        kernel = builder.build([best[0][1]])
        shape = self.shape(node, [x.shape])
        return low.apply(node, kernel, [read], shape, np.array(Fraction(1), object))

    def examples(self) -> Iterator[Example]:
        """A vector, and both axes of a matrix."""
        for name, shape, axis, keepdims in (
            ("vector", (5,), 0, False),
            ("kept", (3,), 0, True),
            ("rows", (2, 3), 1, False),
            ("columns", (3, 2), 0, True),
        ):
            net = NetworkBuilder(f"argmax_{name}")
            x = quantised_input(net, shape, "s4.1")
            yield Example(name, net.build([net.add("argmax", "best", [x], {"axis": axis, "keepdims": keepdims})]))


def _better(b: KernelBuilder, first: tuple[int, int], second: tuple[int, int] | None = None) -> tuple[int, int]:
    """Return value and index of the larger of two; the first of equals."""
    if second is None:
        return first
    later = b.less(first[0], second[0])
    return b.max(first[0], second[0]), b.select(later, second[1], first[1])
