"""The k largest (or smallest) elements along an axis, sorted, or their places: a network of compare-exchanges.

Of equal elements that with the lower index comes first, as ONNX says. ONNX `TopK`; PyTorch `topk`, `sort`, `argsort`,
`kthvalue`, `median`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Floats
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _onnx as onnx
from hardwire.layers import _torch as torch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import checked_axis, one_scale, quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record


class TopK(Layer):
    """Attrs `axis` (batch not counted), `k`, `largest`, `indices` (bool: the places instead of the values)."""

    kind = "top_k"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape with k elements along the axis."""
        (shape,) = inputs
        axis, k = checked_axis(node, node.attrs["axis"], len(shape)), node.attrs["k"]
        if not 1 <= k <= shape[axis]:
            raise ModelError(f"layer {node.name!r}: k = {k} of the {shape[axis]} elements of axis {axis}")
        return (*shape[:axis], k, *shape[axis + 1 :])

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return values or places as float64."""
        axis = checked_axis(node, node.attrs["axis"], inputs[0].ndim - 1) + 1
        order = np.argsort(-inputs[0] if node.attrs["largest"] else inputs[0], axis=axis, kind="stable")
        places = np.take(order, range(node.attrs["k"]), axis=axis)
        if node.attrs["indices"]:
            return places.astype(np.float64)
        return np.asarray(np.take_along_axis(inputs[0], places, axis), np.float64)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One network of exchanges, applied at every other element; exchanges that no result sees are dropped."""
        (x,) = inputs
        axis = checked_axis(node, node.attrs["axis"], len(x.shape))
        x = low.rescaled(node, x, one_scale(x, (axis,)))
        moved = x.view(np.moveaxis(x.index, axis, -1), np.moveaxis(x.scales(), axis, -1))
        read = (moved, low.windows(moved, 1))
        builder = KernelBuilder(node.name, *low.window_range([read]))
        pairs = [(value, builder.const(value)) for value in range(moved.shape[-1])]
        wanted, places = node.attrs["k"], node.attrs["indices"]
        ranked = _ranked(builder, pairs, wanted, bool(node.attrs["largest"]), bool(places))
        kernel = builder.build(ranked)
        lead = moved.shape[:-1]
        scale = np.array(Fraction(1), object) if places else moved.scales()[..., :1]
        y = low.apply(node, kernel, [read], (*lead, wanted), scale)
        return y.view(np.moveaxis(y.index, -1, axis), np.moveaxis(y.scales(), -1, axis))

    def examples(self) -> Iterator[Example]:
        """Some of a vector, places, all of them from the smallest on, and along the first axis of a matrix."""
        for name, shape, attrs in (
            ("values", (5,), {"axis": 0, "k": 2, "largest": True, "indices": False}),
            ("places", (4,), {"axis": 0, "k": 3, "largest": True, "indices": True}),
            ("sorted", (4,), {"axis": 0, "k": 4, "largest": False, "indices": False}),
            ("columns", (3, 2), {"axis": 0, "k": 2, "largest": False, "indices": True}),
        ):
            net = NetworkBuilder(f"top_k_{name}")
            x = quantised_input(net, shape, "s3.1")
            yield Example(name, net.build([net.add("top_k", "best", [x], attrs)]))


def _ranked(b: KernelBuilder, pairs: list[tuple[int, int]], k: int, largest: bool, places: bool) -> list[int]:
    """Values or places in order: exchanges of neighbours, which keep equal elements in their order."""
    pairs = list(pairs)
    n = len(pairs)
    # Each round brings the best of the rest to its place.
    for settled in range(min(k, n - 1)):
        for at in range(n - 1, settled, -1):
            first, second = pairs[at - 1], pairs[at]
            swap = b.less(first[0], second[0]) if largest else b.less(second[0], first[0])
            low_value, high_value = b.min(first[0], second[0]), b.max(first[0], second[0])
            values = (high_value, low_value) if largest else (low_value, high_value)
            if places:
                tags = (b.select(swap, second[1], first[1]), b.select(swap, first[1], second[1]))
            else:
                tags = (first[1], second[1])
            pairs[at - 1], pairs[at] = (values[0], tags[0]), (values[1], tags[1])
    return [tag if places else value for value, tag in pairs[:k]]


def best(net: NetworkBuilder, name: str, x: str, axis: int, k: int, *, largest: bool, places: bool) -> str:
    """Add the k largest or smallest elements, or their places."""
    attrs = {"axis": axis, "k": k, "largest": largest, "indices": places}
    return net.add("top_k", name, [x], attrs)


# --- ONNX


@imports("onnx", "TopK")
def _onnx_top_k(record: Record, net: NetworkBuilder) -> list[str]:
    """Values and places; the largest alone is a maximum and an argmax."""
    x = onnx.data(record)
    k = int(record.take("k")) if onnx.opset(record) < 10 else int(onnx.scalar(record, 1, 0.0))
    read = record.take("(outputs read)", (0,))
    largest = bool(record.expect("largest", 1, 0))
    record.expect("sorted", 1, 0)
    axis = onnx.axis_of(record, int(record.take("axis", -1)), len(net.shape(x)))
    return _values_and_places(net, record.name, x, axis, k, largest, (0 in read, 1 in read))


def _values_and_places(
    net: NetworkBuilder, name: str, x: str, axis: int, k: int, largest: bool, read: tuple[bool, bool]
) -> list[str]:
    values = places = x
    if read[0] and k == 1:
        kind = "reduce_max" if largest else "reduce_min"
        values = net.add(kind, f"{name}_values", [x], {"axes": (axis,), "keepdims": True})
    elif read[0]:
        values = best(net, f"{name}_values", x, axis, k, largest=largest, places=False)
    if read[1] and k == 1 and largest:
        places = net.add("argmax", name, [x], {"axis": axis, "keepdims": True, "last": False})
    elif read[1]:
        places = best(net, name, x, axis, k, largest=largest, places=True)
    return [values if read[0] else places, places if read[1] else values]


# --- PyTorch


def _read(record: Record) -> tuple[bool, bool]:
    flags = [*record.versions.get("read", (True, True)), False]
    return bool(flags[0]), bool(flags[1])


@imports("torch", "aten.topk.default")
def _torch_top_k(record: Record, net: NetworkBuilder) -> list[str]:
    """`topk(k, dim, largest, sorted)`: always sorted."""
    x = torch.single(record)
    axis = torch.axis(record, "dim", -1, len(net.shape(x)))
    k, largest = int(record.take("k")), bool(record.take("largest", True))
    record.expect("sorted", True, False)
    return _values_and_places(net, record.name, x, axis, k, largest, _read(record))


@imports("torch", "aten.sort.default", "aten.sort.stable", "aten.argsort.default", "aten.argsort.stable")
def _torch_sort(record: Record, net: NetworkBuilder) -> str | list[str]:
    """`sort(dim, descending)` and its places."""
    x = torch.single(record)
    axis = torch.axis(record, "dim", -1, len(net.shape(x)))
    largest = bool(record.take("descending", False))
    record.expect("stable", False, True)
    size = net.shape(x)[axis]
    if "argsort" in record.kind:
        return best(net, record.name, x, axis, size, largest=largest, places=True)
    return _values_and_places(net, record.name, x, axis, size, largest, _read(record))


@imports("torch", "aten.kthvalue.default", "aten.median.dim")
def _torch_kth(record: Record, net: NetworkBuilder) -> list[str]:
    """`kthvalue(k, dim)`; the median is the lower of the two in the middle."""
    x = torch.single(record)
    axis = torch.axis(record, "dim", -1, len(net.shape(x)))
    size = net.shape(x)[axis]
    k = (size + 1) // 2 if "median" in record.kind else int(record.take("k"))
    keep = bool(record.take("keepdim", False))
    values, places = _read(record)
    found = []
    for name, wanted, indices in ((f"{record.name}_values", values, False), (record.name, places, True)):
        if wanted:
            y = best(net, f"{name}_sorted", x, axis, k, largest=False, places=indices)
            y = net.add("take", name, [y], {"axis": axis, "indices": (k - 1,)})
            shape = net.shape(y)
            end = {"shape": shape if keep else (*shape[:axis], *shape[axis + 1 :])}
            found.append(net.add("reshape", f"{name}_shape", [y], end))
    return [found[0], found[-1]]
