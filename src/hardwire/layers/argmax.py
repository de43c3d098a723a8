"""Argmax: the index of the largest element along an axis, the first (or last) of equals.

ONNX `ArgMax`, `ArgMin`, PyTorch `argmax`, `argmin`, Keras `ops.argmax`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from hardwire.fixed import Floats
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _onnx as onnx
from hardwire.layers import _torch as torch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import checked_axis, one_scale, quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record


class Argmax(Layer):
    """Attrs `axis` (the batch axis not counted), `keepdims` and `last` (the last of equals); both False by default."""

    kind = "argmax"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape without `axis`, or with 1 there (`keepdims`)."""
        (shape,) = inputs
        axis = checked_axis(node, node.attrs["axis"], len(shape))
        kept = (1,) if node.attrs.get("keepdims", False) else ()
        return (*shape[:axis], *kept, *shape[axis + 1 :])

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Index of the maximum, as float64."""
        axis = checked_axis(node, node.attrs["axis"], inputs[0].ndim - 1)
        if node.attrs.get("last", False):
            best = inputs[0].shape[axis + 1] - 1 - np.argmax(np.flip(inputs[0], axis + 1), axis=axis + 1)
        else:
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
        last_wins = bool(node.attrs.get("last", False))
        while len(best) > 1:
            best = [_better(builder, last_wins, *best[i : i + 2]) for i in range(0, len(best), 2)]
        kernel = builder.build([best[0][1]])
        shape = self.shape(node, [x.shape])
        return low.apply(node, kernel, [read], shape, np.array(Fraction(1), object))

    def examples(self) -> Iterator[Example]:
        """A vector, and both axes of a matrix."""
        for name, shape, axis, keepdims, last in (
            ("vector", (5,), 0, False, False),
            ("kept", (3,), 0, True, False),
            ("rows", (2, 3), 1, False, False),
            ("columns", (3, 2), 0, True, False),
            ("last", (5,), 0, False, True),
        ):
            net = NetworkBuilder(f"argmax_{name}")
            x = quantised_input(net, shape, "s4.1")
            attrs = {"axis": axis, "keepdims": keepdims, "last": last}
            yield Example(name, net.build([net.add("argmax", "best", [x], attrs)]))


def _better(
    b: KernelBuilder, last_wins: bool, first: tuple[int, int], second: tuple[int, int] | None = None
) -> tuple[int, int]:
    """Return value and index of the larger of two; the first of equals, or the last."""
    if second is None:
        return first
    if last_wins:
        earlier = b.less(second[0], first[0])
        return b.max(first[0], second[0]), b.select(earlier, first[1], second[1])
    later = b.less(first[0], second[0])
    return b.max(first[0], second[0]), b.select(later, second[1], first[1])


# --- ONNX


@imports("onnx", "ArgMax", "ArgMin")
def _onnx_argmax(record: Record, net: NetworkBuilder) -> str:
    """Index of the first (or last) largest or smallest element; keeps the axis by default."""
    x = onnx.data(record)
    attrs = {
        "axis": onnx.axis_of(record, int(record.take("axis", 0)), len(net.shape(x))),
        "keepdims": bool(record.expect("keepdims", 1, 0)),
        "last": bool(record.expect("select_last_index", 0, 1)),
    }
    if record.kind == "ArgMin":
        x = net.add("activation", f"{record.name}_negated", [x], {"function": "neg", "arguments": {}, "output": None})
    return net.add("argmax", record.name, [x], attrs)


# --- PyTorch


@imports("torch", "aten.argmax.default", "aten.argmin.default")
def _torch_argmax(record: Record, net: NetworkBuilder) -> str:
    """`argmax(dim, keepdim)`, `argmin`; without `dim` it would search through the batch."""
    x = torch.single(record)
    attrs = {"axis": torch.axis(record, "dim", None, len(net.shape(x))), "keepdims": record.take("keepdim", False)}
    if "argmin" in record.kind:
        x = net.add("mul", f"{record.name}_negated", [x], {}, {"constant": np.float64(-1.0)})
    return net.add("argmax", record.name, [x], attrs)
