"""Sum, mean, maximum and minimum over axes, all exact: a mean divides the scale, not the codes.

ONNX `ReduceSum`, `ReduceMean`, `ReduceMax`, `ReduceMin`, `ReduceL1`, `ReduceSumSquare`, `GlobalAveragePool` and
`GlobalMaxPool` of their own files; PyTorch `sum`, `mean`, `amax`, `amin`; Keras `ops.sum` and the like.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Floats
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _keras as keras
from hardwire.layers import _onnx as onnx
from hardwire.layers import _torch as torch
from hardwire.layers._axes import without_batch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import checked_axis, one_scale, quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record


class _Reduce(Layer):
    """Attrs `axes` (batch not counted) and `keepdims`."""

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape with the axes dropped, or of size 1."""
        (shape,) = inputs
        axes = _axes(node, len(shape))
        if 0 in [shape[axis] for axis in axes]:
            raise ModelError(f"layer {node.name!r}: an axis without elements in {shape}")
        kept = node.attrs["keepdims"]
        return tuple(1 if axis in axes else dim for axis, dim in enumerate(shape) if kept or axis not in axes)

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the float64 result."""
        axes = tuple(axis + 1 for axis in _axes(node, inputs[0].ndim - 1))
        return np.asarray(self.combine(inputs[0], axes, bool(node.attrs["keepdims"])), np.float64)

    def combine(self, x: Floats, axes: tuple[int, ...], keepdims: bool) -> Floats:
        """Return the result over `axes`, which count the batch."""
        raise NotImplementedError

    def tree(self, b: KernelBuilder, values: list[int]) -> int:
        """Return the value that one result is."""
        raise NotImplementedError

    def divisor(self, count: int) -> int:
        """By what the result's scale is divided."""
        return 1

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One kernel from the reduced elements to one result, applied at every other element."""
        (x,) = inputs
        shape = self.shape(node, [x.shape])
        axes = _axes(node, len(x.shape))
        if not axes:
            return x
        x = low.rescaled(node, x, one_scale(x, axes))
        last = range(-len(axes), 0)
        index, scales = np.moveaxis(x.index, axes, last), np.moveaxis(x.scales(), axes, last)
        count = prod(x.shape[axis] for axis in axes)
        moved = x.view(index, scales)
        read = (moved, low.windows(moved, len(axes)))
        builder = KernelBuilder(node.name, *low.window_range([read]))
        kernel = builder.build([self.tree(builder, list(range(count)))])
        return low.apply(
            node, kernel, [read], shape, scales.reshape(-1, count)[:, 0].reshape(shape) / self.divisor(count)
        )

    def examples(self) -> Iterator[Example]:
        """A vector to a scalar, rows, columns, and two axes of three that stay."""
        for name, shape, axes, keepdims in (
            ("vector", (5,), (0,), False),
            ("rows", (2, 3), (1,), False),
            ("columns", (3, 2), (0,), True),
            ("outer", (2, 2, 3), (0, 2), True),
        ):
            net = NetworkBuilder(f"{self.kind}_{name}")
            x = quantised_input(net, shape, "s5.2")
            x = net.add("mul", "scaled", [x], {}, {"constant": np.linspace(0.5, 1.5, shape[-1]).round(1)})
            yield Example(name, net.build([net.add(self.kind, "reduce", [x], {"axes": axes, "keepdims": keepdims})]))


def _axes(node: Node, rank: int) -> tuple[int, ...]:
    axes = sorted(checked_axis(node, axis, rank) for axis in node.attrs["axes"])
    if len(set(axes)) != len(axes):
        raise ModelError(f"layer {node.name!r}: axes {tuple(node.attrs['axes'])} name an axis twice")
    return tuple(axes)


class ReduceSum(_Reduce):
    """Sum over axes."""

    kind = "reduce_sum"

    def combine(self, x: Floats, axes: tuple[int, ...], keepdims: bool) -> Floats:
        """Return the sum."""
        return np.asarray(x.sum(axis=axes, keepdims=keepdims))

    def tree(self, b: KernelBuilder, values: list[int]) -> int:
        """One LINEAR."""
        return b.linear(values, [1] * len(values))


class ReduceMean(ReduceSum):
    """Mean over axes: the sum at the scale divided by their size."""

    kind = "reduce_mean"

    def combine(self, x: Floats, axes: tuple[int, ...], keepdims: bool) -> Floats:
        """Return the mean."""
        return np.asarray(x.mean(axis=axes, keepdims=keepdims))

    def divisor(self, count: int) -> int:
        """Return the number of elements."""
        return count


class ReduceMax(_Reduce):
    """Maximum over axes."""

    kind = "reduce_max"

    def combine(self, x: Floats, axes: tuple[int, ...], keepdims: bool) -> Floats:
        """Return the maximum."""
        return np.asarray(x.max(axis=axes, keepdims=keepdims))

    def tree(self, b: KernelBuilder, values: list[int]) -> int:
        """Pairs of MAX."""
        while len(values) > 1:
            values = [b.max(*values[i : i + 2]) if i + 1 < len(values) else values[i] for i in range(0, len(values), 2)]
        return values[0]


class ReduceMin(_Reduce):
    """Minimum over axes."""

    kind = "reduce_min"

    def combine(self, x: Floats, axes: tuple[int, ...], keepdims: bool) -> Floats:
        """Return the minimum."""
        return np.asarray(x.min(axis=axes, keepdims=keepdims))

    def tree(self, b: KernelBuilder, values: list[int]) -> int:
        """Pairs of MIN."""
        while len(values) > 1:
            values = [b.min(*values[i : i + 2]) if i + 1 < len(values) else values[i] for i in range(0, len(values), 2)]
        return values[0]


def _function(net: NetworkBuilder, name: str, x: str, function: str) -> str:
    return net.add("activation", name, [x], {"function": function, "arguments": {}, "output": None})


# --- ONNX

_ONNX = {
    "ReduceSum": "reduce_sum",
    "ReduceMean": "reduce_mean",
    "ReduceMax": "reduce_max",
    "ReduceMin": "reduce_min",
    "ReduceL1": "reduce_sum",
    "ReduceL2": "reduce_sum",
    "ReduceSumSquare": "reduce_sum",
    "ReduceLogSum": "reduce_sum",
    "ReduceLogSumExp": "reduce_sum",
}


@imports("onnx", *_ONNX)
def _onnx_reduce(record: Record, net: NetworkBuilder) -> str:
    """Over `axes` behind the batch (attribute or operand 1); the norms square, or take absolutes, first."""
    x = onnx.data(record)
    rank = len(net.shape(x))
    found = onnx.axes(record)
    keepdims = bool(record.expect("keepdims", 1, 0))
    empty = bool(record.expect("noop_with_empty_axes", 0, 1))
    if not found:
        if not empty:
            raise record.unsupported("axes", found, "without axes the batch would be reduced too; name the axes")
        axes: list[int] = []
    else:
        axes = [onnx.axis_of(record, axis, rank) for axis in found]
    kind = record.kind
    before = {"ReduceL1": "abs", "ReduceLogSumExp": "exp"}.get(kind)
    after = {"ReduceL2": "sqrt", "ReduceLogSum": "log", "ReduceLogSumExp": "log"}.get(kind)
    if before:
        x = _function(net, f"{record.name}_{before}", x, before)
    if kind in ("ReduceL2", "ReduceSumSquare"):
        x = net.add("mul", f"{record.name}_square", [x, x])
    name = f"{record.name}_sum" if after else record.name
    y = net.add(_ONNX[kind], name, [x], {"axes": tuple(axes), "keepdims": keepdims}) if axes else x
    return _function(net, record.name, y, after) if after else y


# --- PyTorch

_TORCH = {
    "aten.sum.dim_IntList": "reduce_sum",
    "aten.mean.dim": "reduce_mean",
    "aten.amax.default": "reduce_max",
    "aten.amin.default": "reduce_min",
    "aten.max.dim": "reduce_max",
    "aten.min.dim": "reduce_min",
}


@imports("torch", *_TORCH)
def _torch_reduce(record: Record, net: NetworkBuilder) -> str | list[str]:
    """`sum(dim, keepdim)` and the like; `max` and `min` with their places."""
    x = torch.single(record)
    rank = len(net.shape(x))
    dims = record.take("dim", None)
    if dims is None or dims == []:
        raise record.unsupported("dim", dims, "without it the batch would be reduced too; name the axes")
    dtype = record.take("dtype", None)
    if dtype is not None and not str(dtype).startswith(("float", "bfloat")):
        raise record.unsupported("dtype", dtype, "only float types are read")
    axes = tuple(without_batch(record, "dim", dim, rank) for dim in (dims if isinstance(dims, list) else [dims]))
    keepdims = bool(record.take("keepdim", False))
    read = record.versions.get("read", (True,))
    attrs = {"axes": axes, "keepdims": keepdims}
    if not any(read[1:]):
        return net.add(_TORCH[record.kind], record.name, [x], attrs)
    best = x
    if record.kind == "aten.min.dim":
        best = net.add("mul", f"{record.name}_negated", [x], {}, {"constant": np.float64(-1.0)})
    places = net.add("argmax", f"{record.name}_places", [best], {"axis": axes[0], "keepdims": keepdims})
    return [net.add(_TORCH[record.kind], record.name, [x], attrs) if read[0] else places, places]


# --- Keras

_KERAS = {"Sum": "reduce_sum", "Mean": "reduce_mean", "Max": "reduce_max", "Min": "reduce_min"}


@imports("keras", *(f"ops.{name}" for name in _KERAS), "ops.Amax", "ops.Amin")
def _keras_reduce(record: Record, net: NetworkBuilder) -> str:
    """`keras.ops.sum(x, axis, keepdims)` and the like in a functional model."""
    x = keras.single(record)
    rank = len(net.shape(x))
    axis: Any = record.take("axis", None)
    record.expect("initial", None)
    keepdims = bool(record.expect("keepdims", False, True))
    if axis is None:
        raise record.unsupported("axis", axis, "without it the batch would be reduced too; name the axes")
    axes = tuple(without_batch(record, "axis", one, rank) for one in (axis if isinstance(axis, list) else [axis]))
    kind = _KERAS[record.kind.rpartition(".")[2].removeprefix("A").capitalize()]
    return net.add(kind, record.name, [x], {"axes": axes, "keepdims": keepdims})
