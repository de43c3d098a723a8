"""Pooling: the greatest or the average element of each window, channel by channel.

Keras `MaxPooling1D/2D/3D`, `AveragePooling1D/2D/3D`, `GlobalMaxPooling…`, `GlobalAveragePooling…`, adaptive pooling;
ONNX `MaxPool`, `AveragePool`, `GlobalMaxPool`, `GlobalAveragePool`; PyTorch `max_pool1d/2d/3d`, `avg_pool1d/2d/3d`,
`adaptive_avg_pool1d/2d/3d`, `adaptive_max_pool…`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import Floats, Ints
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _keras as keras
from hardwire.layers import _torch as torch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import quantised_input
from hardwire.layers._lowering import Lowering, Part, Wire
from hardwire.layers._neurons import channel_scaled
from hardwire.layers._spatial import (
    Pairs,
    axis_groups,
    channels_first,
    channels_last,
    flat_positions,
    is_even,
    no_padding,
    node_pairs,
    node_tuple,
    per_axis,
    reach,
    same_padding,
    spatial_rank,
)
from hardwire.layers.conv import data_format, torch_tuple
from hardwire.layers.masking import averaged
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record


class _Pool(Layer):
    """What both kinds share: windows over (*spatial, c), of which only elements that exist count.

    Attrs `size`, `strides`, `dilation` (one integer a spatial axis), `padding` ((before, after) each), `ceil`: whether
    a last window that reaches over the end counts if it begins inside the input or the padding before it.
    """

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return (*positions, c); raises `ModelError` for a window without any element."""
        (shape,) = inputs
        masks = [inside for inside, _, _ in _axes(node, shape)]
        if not all(mask.any(axis=1).all() for mask in masks):
            raise ModelError(f"layer {node.name!r}: a window lies in the padding {node.attrs['padding']} alone")
        return (*(len(mask) for mask in masks), shape[-1])

    def _windows(self, node: Node, x: Floats) -> Iterator[tuple[Floats, NDArray[np.bool_]]]:
        """Each tap of the windows: its elements (N, *positions, c), and which positions have it."""
        axes = _axes(node, x.shape[1:])
        for tap in product(*(range(inside.shape[1]) for inside, _, _ in axes)):
            values, inside = x, np.ones((), np.bool_)
            for axis, ((mask, where, _), t) in enumerate(zip(axes, tap, strict=True), 1):
                values = np.take(values, np.clip(where[:, t], 0, x.shape[axis] - 1), axis=axis)
                inside = inside[..., None] & mask[:, t]
            yield values, inside[..., None]

    def _assembled(self, node: Node, low: Lowering, x: Wire, scale: NDArray[Any], rule: Any) -> Wire:
        """Apply `rule` (builder, values of a channel's window) where windows hold the same taps."""
        shape = self.shape(node, [x.shape])
        channels, rank = shape[-1], len(shape) - 1
        if not is_even(x):
            x = low.ordered(x)
        axes = _axes(node, x.shape)
        parts = []
        for places, met in axis_groups(*(inside for inside, _, _ in axes)):
            index = x.index
            for axis, (at, taps) in enumerate(zip(places, met, strict=True)):
                index = np.take(index, axes[axis][1][np.ix_(at, taps)], axis=2 * axis)
            index = index.transpose(*range(0, 2 * rank, 2), *range(1, 2 * rank, 2), 2 * rank)
            base = flat_positions(places, shape[:-1]) * channels
            read = (x, index.reshape(len(base), -1))
            builder = KernelBuilder(node.name, *low.window_range([read]))
            count = read[1].shape[1] // channels
            outputs = [rule(builder, [t * channels + c for t in range(count)]) for c in range(channels)]
            parts.append(Part(builder.build(outputs), [read], base))
        return low.assemble(node, parts, shape, scale)


class MaxPool(_Pool):
    """Greatest element of each window; padding never wins."""

    kind = "max_pool"

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Float64 maximum over each window."""
        y: Any = -np.inf
        for values, inside in self._windows(node, inputs[0]):
            y = np.maximum(y, np.where(inside, values, -np.inf))
        return np.asarray(y, np.float64)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Return a tree of maxima a channel, in one kernel for each set of taps that windows hold."""
        x, scales = channel_scaled(node, low, inputs[0])

        def greatest(builder: KernelBuilder, values: list[int]) -> int:
            while len(values) > 1:
                pairs = [builder.max(a, b) for a, b in zip(values[::2], values[1::2], strict=False)]
                values = pairs + values[len(values) & ~1 :]
            return values[0]

        scale = np.empty(len(scales), object)
        scale[:] = scales
        return self._assembled(node, low, x, scale, greatest)

    def examples(self) -> Iterator[Example]:
        """Overlapping, padded, dilated and ragged windows."""
        yield from _examples("max_pool", {})


class AveragePool(_Pool):
    """Average of each window: the sum, exact, over a count.

    Attrs besides: `count_padding`, whether padding (not what `ceil` reaches over it) counts as zeros; `divisor`, a
    number to divide by instead of a count, or None. A count that is no power of two makes the scale a rational; it
    costs nothing until a quantiser resolves it.
    """

    kind = "average_pool"

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Float64 sum of each window over its count."""
        total: Any = 0.0
        for values, inside in self._windows(node, inputs[0]):
            total = total + np.where(inside, values, 0.0)
        return np.asarray(total / _counts(node, inputs[0].shape[1:])[..., None], np.float64)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Return one sum a channel; the division is the scale's."""
        x, scales = channel_scaled(node, low, inputs[0])
        counts = _counts(node, x.shape)
        scale = np.empty((*counts.shape, len(scales)), object)
        inverse = {count: [s / count for s in scales] for count in set(counts.ravel().tolist())}
        for at in np.ndindex(counts.shape):
            scale[at] = inverse[int(counts[at])]
        if len(inverse) == 1:
            scale = scale[(0,) * counts.ndim]
        return self._assembled(node, low, x, scale, lambda builder, values: builder.linear(values, [1] * len(values)))

    def examples(self) -> Iterator[Example]:
        """Overlapping, padded, dilated and ragged windows; padding counted and not; a given divisor."""
        yield from _examples("average_pool", {"count_padding": False, "divisor": None})
        net = NetworkBuilder("average_pool_divisor")
        x = quantised_input(net, (4, 1), "s4.2")
        attrs = {**pool_attrs((2,)), "count_padding": True, "divisor": 3, "padding": ((1, 1),)}
        yield Example("divisor", net.build([net.add("average_pool", "p", [x], attrs)]))


def pool_attrs(
    size: tuple[int, ...],
    *,
    strides: tuple[int, ...] = (),
    padding: Pairs = (),
    dilation: tuple[int, ...] = (),
    ceil: bool = False,
) -> dict[str, Any]:
    """Attributes of a `max_pool` node; strides are the size if not given."""
    return {
        "size": size,
        "strides": strides or size,
        "padding": padding or no_padding(len(size)),
        "dilation": dilation or (1,) * len(size),
        "ceil": ceil,
    }


def _examples(kind: str, more: dict[str, Any]) -> Iterator[Example]:
    cases: tuple[tuple[str, Shape, dict[str, Any]], ...] = (
        ("line", (5, 2), pool_attrs((3,), strides=(2,))),
        ("plane", (3, 4, 1), pool_attrs((2, 3), strides=(1, 2), padding=((1, 0), (0, 1)))),
        ("dilated", (5, 1), pool_attrs((2,), strides=(1,), dilation=(2,))),
        ("ragged", (5, 1), pool_attrs((2,), ceil=True, padding=((1, 1),))),
    )
    for name, shape, attrs in cases:
        net = NetworkBuilder(f"{kind}_{name}")
        x = quantised_input(net, shape, "s4.2")
        yield Example(name, net.build([net.add(kind, "p", [x], {**attrs, **more})]))


def _axes(node: Node, shape: Shape) -> list[tuple[NDArray[np.bool_], Ints, Ints]]:
    """For each spatial axis: which taps of each window exist, where they are, and how many the padding adds.

    Arrays (outputs, taps) bool and int64, and (outputs,) int64: elements of the window in the padded input.
    """
    rank = len(shape) - 1
    if rank < 1:
        raise ModelError(f"layer {node.name!r}: an input of shape {shape} has no spatial axis")
    size, strides, dilation = (node_tuple(node, attr, rank) for attr in ("size", "strides", "dilation"))
    pads = node_pairs(node, "padding", rank)
    axes = []
    for n, k, s, d, (before, after) in zip(shape[:-1], size, strides, dilation, pads, strict=True):
        room = n + before + after - reach(k, d)
        count = (-(-room // s) if node.attrs["ceil"] else room // s) + 1
        if node.attrs["ceil"] and (count - 1) * s >= n + before:
            count -= 1
        if room < 0 and not (node.attrs["ceil"] and count > 0):
            raise ModelError(
                f"layer {node.name!r}: a window of {reach(k, d)} elements does not fit {n} with the padding "
                f"{(before, after)}"
            )
        where = np.arange(count)[:, None] * s + np.arange(k)[None, :] * d - before
        padded = ((where >= -before) & (where < n + after)).sum(axis=1)
        axes.append(((where >= 0) & (where < n), where, padded))
    return axes


def _counts(node: Node, shape: Shape) -> Ints:
    """What the sum at each position is divided by, (*positions,) int64."""
    axes = _axes(node, shape)
    if node.attrs.get("divisor") is not None:
        return np.full(tuple(len(inside) for inside, _, _ in axes), int(node.attrs["divisor"]), np.int64)
    counts = np.ones((), np.int64)
    for inside, _, padded in axes:
        counts = counts[..., None] * (padded if node.attrs["count_padding"] else inside.sum(axis=1))
    return np.asarray(counts, np.int64)


def pooled(net: NetworkBuilder, kind: str, name: str, x: str, attrs: dict[str, Any], **average: Any) -> str:
    """Add a pooling node; an average does not count padding and has no divisor if not said."""
    more = {"count_padding": False, "divisor": None, **average} if kind == "average_pool" else {}
    return net.add(kind, name, [x], {**attrs, **more})


def pooled_globally(net: NetworkBuilder, kind: str, name: str, x: str, keepdims: bool) -> str:
    """Pool all spatial axes of a channels-last tensor to one element, or to none with `keepdims` False."""
    *spatial, channels = net.shape(x)
    y = pooled(net, kind, name, x, pool_attrs(tuple(spatial)))
    return y if keepdims else net.add("reshape", f"{name}_flat", [y], {"shape": (channels,)})


# --- Keras

_KERAS_KINDS = {"Max": "max_pool", "Average": "average_pool", "Avg": "average_pool"}


def _keras_kind(record: Record) -> str:
    name = record.kind.removeprefix("Global").removeprefix("Adaptive")
    return next(kind for word, kind in _KERAS_KINDS.items() if name.startswith(word))


@imports(
    "keras",
    *(f"{word}Pool{ing}{n}D" for word in ("Max", "Average", "Avg") for ing in ("ing", "") for n in (1, 2, 3)),
)
def _keras_pool(record: Record, net: NetworkBuilder) -> str:
    """`MaxPoolingND`, `AveragePoolingND`: padding never counts, as in TensorFlow."""
    rank, kind = int(record.kind[-2]), _keras_kind(record)
    x = keras.single(record)
    form = data_format(record)
    size = per_axis(record, "pool_size", record.take("pool_size", 2), rank)
    given = record.take("strides", None)
    strides = size if given is None else per_axis(record, "strides", given, rank)
    padding = record.expect("padding", "valid", "same")
    if form == "channels_first":
        x = channels_last(net, record.name, x)
    spatial_rank(record, net.shape(x), rank)
    pads = no_padding(rank)
    if padding == "same":
        pads = same_padding(net.shape(x)[:-1], size, strides, (1,) * rank)
    y = pooled(net, kind, record.name, x, pool_attrs(size, strides=strides, padding=pads))
    return channels_first(net, record.name, y) if form == "channels_first" else y


@imports(
    "keras",
    *(f"Global{word}Pool{ing}{n}D" for word in ("Max", "Average", "Avg") for ing in ("ing", "") for n in (1, 2, 3)),
)
def _keras_global(record: Record, net: NetworkBuilder) -> str:
    """`GlobalMaxPoolingND`, `GlobalAveragePoolingND`; `GlobalAveragePooling1D` leaves masked steps out."""
    rank, kind = int(record.kind[-2]), _keras_kind(record)
    x = keras.single(record)
    form, keepdims = data_format(record), record.take("keepdims", False)
    mask = net.masks.get(x) if kind == "average_pool" and rank == 1 else None
    if form == "channels_first":
        x = channels_last(net, record.name, x)
    spatial_rank(record, net.shape(x), rank)
    if mask is not None:
        y = averaged(net, record.name, x, mask, keepdims=bool(keepdims))
    else:
        y = pooled_globally(net, kind, record.name, x, bool(keepdims))
    return channels_first(net, record.name, y) if form == "channels_first" and keepdims else y


@imports("keras", *(f"Adaptive{word}Pooling{n}D" for word in ("Max", "Average") for n in (1, 2, 3)))
def _keras_adaptive(record: Record, net: NetworkBuilder) -> str:
    """`AdaptiveMaxPoolingND`, `AdaptiveAveragePoolingND` to sizes that divide the input's."""
    rank, kind = int(record.kind[-2]), _keras_kind(record)
    x = keras.single(record)
    form = data_format(record)
    if form == "channels_first":
        x = channels_last(net, record.name, x)
    spatial_rank(record, net.shape(x), rank)
    y = _adaptive(record, net, kind, x, record.take("output_size"))
    return channels_first(net, record.name, y) if form == "channels_first" else y


def _adaptive(record: Record, net: NetworkBuilder, kind: str, x: str, wanted: Any) -> str:
    """Pool a channels-last tensor to a given size; window i of m over n is [⌊i·n/m⌋, ⌈(i+1)·n/m⌉)."""
    spatial = net.shape(x)[:-1]
    values = list(wanted) if isinstance(wanted, list | tuple) else [wanted] * len(spatial)
    if len(values) == 1:
        values = values * len(spatial)
    sizes, strides = [], []
    for n, m in zip(spatial, values, strict=True):
        m = n if m is None else m
        if type(m) is not int or m < 1:
            raise record.unsupported("output_size", wanted, "positive integers are expected")
        starts = [i * n // m for i in range(m)]
        lengths = {-(-(i + 1) * n // m) - start for i, start in enumerate(starts)}
        steps = {b - a for a, b in zip(starts, starts[1:], strict=False)} or {1}
        if len(lengths) > 1 or len(steps) > 1:
            return _unequal(record, net, kind, x, [n if v is None else v for n, v in zip(spatial, values, strict=True)])
        sizes.append(lengths.pop())
        strides.append(steps.pop())
    return pooled(net, kind, record.name, x, pool_attrs(tuple(sizes), strides=tuple(strides)))


def _unequal(record: Record, net: NetworkBuilder, kind: str, x: str, wanted: Sequence[int]) -> str:
    """Windows of different lengths, axis by axis: averages as weighted rows, maxima one window at a time."""
    for axis, m in enumerate(wanted):
        n = net.shape(x)[axis]
        if type(m) is not int or m < 1:
            raise record.unsupported("output_size", m, "positive integers are expected")
        windows = [range(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]
        name = f"{record.name}_axis{axis}"
        if kind == "average_pool":
            rows = tuple(tuple((at, Fraction(1, len(window))) for at in window) for window in windows)
            x = net.add("resample", name, [x], {"axis": axis, "rows": rows})
            continue
        parts = []
        for i, window in enumerate(windows):
            part = net.add("take", f"{name}_{i}", [x], {"axis": axis, "indices": tuple(window)})
            parts.append(net.add("reduce_max", f"{name}_max{i}", [part], {"axes": (axis,), "keepdims": True}))
        x = net.add("concat", name, parts, {"axis": axis}) if len(parts) > 1 else parts[0]
    return x


# --- PyTorch


def _torch_rank(record: Record, net: NetworkBuilder) -> int:
    rank = int(record.kind.partition("pool")[2][0])
    shape = net.shape(torch.single(record))
    if len(shape) != rank + 1:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): an input of the shape ('batch', *{shape}) has no batch axis or "
            f"another number of spatial axes than {rank}"
        )
    return rank


def _torch_pooled(record: Record, net: NetworkBuilder, kind: str, **average: Any) -> str:
    rank = _torch_rank(record, net)
    size = per_axis(record, "kernel_size", record.take("kernel_size"), rank)
    given = record.take("stride", None)
    strides = size if given in (None, [], ()) else per_axis(record, "stride", given, rank)
    pads = tuple((p, p) for p in torch_tuple(record, "padding", 0, rank, 0))
    dilation = torch_tuple(record, "dilation", 1, rank)
    ceil = bool(record.take("ceil_mode", False))
    x = channels_last(net, record.name, torch.single(record))
    attrs = pool_attrs(size, strides=strides, padding=pads, dilation=dilation, ceil=ceil)
    return channels_first(net, record.name, pooled(net, kind, record.name, x, attrs, **average))


_WITH_PLACES = [f"aten.max_pool{n}d_with_indices.default" for n in (1, 2, 3)]


@imports("torch", *(f"aten.max_pool{n}d.default" for n in (1, 2, 3)), *_WITH_PLACES)
def _torch_max_pool(record: Record, net: NetworkBuilder) -> str:
    """`max_poolNd(input, kernel_size, stride, padding, dilation, ceil_mode)`."""
    if any(record.versions.get("read", ())[1:]):
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): its indices are read; only values are computed")
    return _torch_pooled(record, net, "max_pool")


@imports("torch", *(f"aten.avg_pool{n}d.default" for n in (1, 2, 3)))
def _torch_average_pool(record: Record, net: NetworkBuilder) -> str:
    """`avg_poolNd(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)`."""
    count, divisor = record.take("count_include_pad", True), record.take("divisor_override", None)
    if divisor is not None and (type(divisor) is not int or divisor < 1):
        raise record.unsupported("divisor_override", divisor, "a positive integer is expected")
    return _torch_pooled(record, net, "average_pool", count_padding=bool(count), divisor=divisor)


@imports(
    "torch",
    *(f"aten.adaptive_avg_pool{n}d.default" for n in (1, 2, 3)),
    "aten._adaptive_avg_pool2d.default",
    "aten._adaptive_avg_pool3d.default",
)
def _torch_adaptive_average(record: Record, net: NetworkBuilder) -> str:
    """`adaptive_avg_poolNd(input, output_size)` to sizes that give equal windows."""
    _torch_rank(record, net)
    x = channels_last(net, record.name, torch.single(record))
    return channels_first(net, record.name, _adaptive(record, net, "average_pool", x, record.take("output_size")))


@imports("torch", *(f"aten.adaptive_max_pool{n}d.default" for n in (1, 2, 3)))
def _torch_adaptive_max(record: Record, net: NetworkBuilder) -> str:
    """`adaptive_max_poolNd(input, output_size)` to sizes that give equal windows."""
    _torch_rank(record, net)
    x = channels_last(net, record.name, torch.single(record))
    return channels_first(net, record.name, _adaptive(record, net, "max_pool", x, record.take("output_size")))
