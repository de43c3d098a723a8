"""Transposed convolutions over any number of spatial axes.

Keras `Conv1D/2D/3DTranspose`; ONNX `ConvTranspose`; PyTorch `conv_transpose1d/2d/3d`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Floats
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _keras as keras
from hardwire.layers import _torch as torch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import quantised_input
from hardwire.layers._lowering import Lowering, Part, Wire
from hardwire.layers._neurons import channel_scaled, group_inputs, grouped_scales, neurons
from hardwire.layers._spatial import (
    Pairs,
    channels_first,
    channels_last,
    flat_positions,
    is_even,
    node_pairs,
    node_tuple,
    per_axis,
    reach,
    spatial_rank,
)
from hardwire.layers.conv import (
    conv_attrs,
    data_format,
    grouped_product,
    matrix_of,
    torch_tuple,
    torch_weight,
)
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record


class ConvTranspose(Layer):
    """`out[i · stride + t · dilation - before] += x[i] · kernel[t]` over (*spatial, c), channels last.

    Attrs `strides`, `dilation`, `groups` as in `conv`; `padding` is what is cut from the ends of the full output of
    `(n - 1) · stride + (k - 1) · dilation + 1` elements; a negative number adds elements that hold the bias. Params as
    in `conv`: `kernel` (*size, c/groups, m), not flipped.
    """

    kind = "conv_transpose"
    weights = ("kernel", "bias")

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return (*positions, m)."""
        (shape,) = inputs
        kernel, rank, groups = matrix_of(node, shape)
        strides, dilation = node_tuple(node, "strides", rank), node_tuple(node, "dilation", rank)
        pads = node_pairs(node, "padding", rank, negative=True)
        if kernel.shape[-2] * groups != shape[-1]:
            raise ModelError(
                f"layer {node.name!r}: the kernel {kernel.shape} in {groups} groups needs {kernel.shape[-2] * groups} "
                f"channels on the last axis, the input has the shape {shape}"
            )
        sizes = zip(shape[:-1], kernel.shape, strides, dilation, pads, strict=False)
        lead = tuple((n - 1) * s + reach(k, d) - sum(pad) for n, k, s, d, pad in sizes)
        if any(n < 1 for n in lead):
            raise ModelError(f"layer {node.name!r}: the padding {pads} leaves the output {lead}")
        return (*lead, kernel.shape[-1])

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Float64: every input element adds its multiple of the kernel."""
        x = inputs[0]
        kernel, rank, groups = matrix_of(node, x.shape[1:])
        kernel = kernel * node.params.get("kernel_scale", 1.0)
        strides, dilation, pads = (node.attrs[key] for key in ("strides", "dilation", "padding"))
        shape = self.shape(node, [x.shape[1:]])
        # Wide enough for added elements too; the cut is taken from it at the end.
        around = [(max(-b, 0), max(-a, 0)) for b, a in pads]
        full = [
            (n - 1) * s + reach(k, d) + sum(extra)
            for n, k, s, d, extra in zip(x.shape[1:-1], kernel.shape, strides, dilation, around, strict=False)
        ]
        y = np.zeros((len(x), *full, shape[-1]))
        for tap in product(*map(range, kernel.shape[:rank])):
            places = tuple(
                slice(e[0] + t * d, e[0] + t * d + (n - 1) * s + 1, s)
                for t, d, s, n, e in zip(tap, dilation, strides, x.shape[1:-1], around, strict=True)
            )
            y[(slice(None), *places)] += grouped_product(x, kernel[tap], groups)
        cut = tuple(slice(max(b, 0), max(b, 0) + n) for (b, _), n in zip(pads, shape, strict=False))
        y = y[(slice(None), *cut)]
        if "bias" in node.params:
            y = y + node.params["bias"] * node.params.get("bias_scale", 1.0)
        return np.asarray(y, np.float64)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Positions of one phase (output index modulo stride) share the taps that meet them: one kernel a phase."""
        (x,) = inputs
        kernel, rank, groups = matrix_of(node, x.shape)
        size, m, channels = kernel.shape[:rank], kernel.shape[-1], x.shape[-1]
        strides, dilation, pads = (node.attrs[key] for key in ("strides", "dilation", "padding"))
        shape = self.shape(node, [x.shape])
        x, scales = channel_scaled(node, low, x)
        taps = int(np.prod(size))
        layer = neurons(node, kernel.reshape(-1, m), grouped_scales(scales, groups, taps, m))
        codes = layer.codes.reshape(*size, channels // groups, m)
        # Which input element each (output, tap) of an axis meets; far outside stands for none.
        sources = [
            (np.arange(n)[:, None] + pad[0] - np.arange(k)[None, :] * d)
            for n, k, d, pad in zip(shape, size, dilation, pads, strict=False)
        ]
        around: list[tuple[int, int]] = []
        phases: list[list[tuple[Any, Any]]] = []
        for source, s, n in zip(sources, strides, x.shape, strict=False):
            meets = source % s == 0
            places = source[meets] // s
            around.append((max(0, -int(places.min(initial=0))), max(0, int(places.max(initial=0)) - n + 1)))
            kinds, group = np.unique(meets, axis=0, return_inverse=True)
            flat = group.reshape(-1)
            phases.append([(np.flatnonzero(flat == g), np.flatnonzero(kind)) for g, kind in enumerate(kinds)])
        x = low.padded(node, x, (*around, (0, 0)))
        if not is_even(x):
            x = low.ordered(x)
        parts = []
        for combination in product(*phases):
            at, met = [a for a, _ in combination], [t for _, t in combination]
            base = flat_positions(at, shape[:-1]) * m
            count = int(np.prod([len(t) for t in met]))
            if count == 0:
                builder = KernelBuilder(node.name, [], [])
                parts.append(Part(builder.build([builder.const(b) for b in layer.bias]), (), base))
                continue
            index = x.index
            for axis, (a, t) in enumerate(combination):
                where = sources[axis][np.ix_(a, t)] // strides[axis] + around[axis][0]
                index = np.take(index, where, axis=2 * axis)
            index = index.transpose(*range(0, 2 * rank, 2), *range(1, 2 * rank, 2), 2 * rank)
            read = (x, index.reshape(len(base), -1))
            builder = KernelBuilder(node.name, *low.window_range([read]))
            reads = group_inputs(channels, groups, count, m)
            rows = codes[np.ix_(*met)].reshape(-1, m)
            outputs = [builder.linear(reads[j], rows[:, j].tolist(), layer.bias[j]) for j in range(m)]
            parts.append(Part(builder.build(outputs), [read], base))
        y = low.assemble(node, parts, shape, layer.scale)
        return y if layer.offset is None else replace(y, offset=layer.offset)

    def examples(self) -> Iterator[Example]:
        """One and two axes, with stride, cut and added ends, dilation, groups."""
        rng = np.random.default_rng(4)
        cases: tuple[tuple[str, Shape, tuple[int, ...], int, dict[str, Any]], ...] = (
            ("line", (3, 2), (3,), 2, {"strides": (2,), "padding": ((1, 0),)}),
            ("plane", (2, 2, 1), (2, 2), 1, {"strides": (2, 1)}),
            ("gaps", (2, 2), (1,), 2, {"strides": (2,), "padding": ((0, -1),), "groups": 2}),
            ("dilated", (3, 1), (2,), 1, {"dilation": (2,), "padding": ((1, 1),)}),
        )
        for name, shape, size, m, given in cases:
            net = NetworkBuilder(f"conv_transpose_{name}")
            x = quantised_input(net, shape, "s4.2")
            attrs = conv_attrs(len(size), **given)
            kernel = rng.integers(-7, 8, (*size, shape[-1] // attrs["groups"], m)) / 8
            params = {"kernel": kernel, "bias": rng.integers(-8, 8, m) / 16}
            yield Example(name, net.build([net.add("conv_transpose", "c", [x], attrs, params)]))


# --- Keras


@imports(
    "keras",
    *(f"Conv{n}DTranspose" for n in (1, 2, 3)),
    *(f"Convolution{n}DTranspose" for n in (2, 3)),
)
def _keras_conv_transpose(record: Record, net: NetworkBuilder) -> str:
    """`ConvNDTranspose`: kernel (*size, filters, c), bias (filters,)."""
    rank = int(record.kind.split("D")[0][-1])
    x = keras.single(record)
    form, filters = data_format(record), record.take("filters")
    activation, bias = record.take("activation", None), record.take("use_bias", True)
    size = per_axis(record, "kernel_size", record.take("kernel_size"), rank)
    strides = per_axis(record, "strides", record.take("strides", 1), rank)
    dilation = per_axis(record, "dilation_rate", record.take("dilation_rate", 1), rank)
    padding, extra = record.take("padding", "valid"), record.take("output_padding", None)
    record.expect("groups", 1)
    record.expect("quantization_config", None)
    record.expect("lora_rank", None)
    record.ignore("lora_alpha")
    found = keras.variables(record, "kernel", *(["bias"] if bias else []))
    if found["kernel"].shape[:-1] != (*size, filters):
        raise record.unsupported("filters", filters, f"the kernel in the file has the shape {found['kernel'].shape}")
    if padding not in ("valid", "same"):
        raise record.unsupported("padding", padding, "'valid' or 'same' is expected")
    added = [None] * rank if extra is None else per_axis(record, "output_padding", extra, rank, 0)
    cut = tuple(_keras_cut(k, s, d, padding, o) for k, s, d, o in zip(size, strides, dilation, added, strict=True))
    params = {"kernel": np.moveaxis(found["kernel"], -1, -2)}
    if bias:
        params["bias"] = found["bias"]
    if form == "channels_first":
        x = channels_last(net, record.name, x)
    spatial_rank(record, net.shape(x), rank)
    y = net.add(
        "conv_transpose", record.name, [x], conv_attrs(rank, strides=strides, padding=cut, dilation=dilation), params
    )
    if form == "channels_first":
        y = channels_first(net, record.name, y)
    return keras.activated(record, net, y, activation)


def _keras_cut(size: int, stride: int, dilation: int, padding: str, extra: int | None) -> tuple[int, int]:
    """What Keras cuts from the ends of the full output (TensorFlow's gradient of a convolution).

    `valid` has max(k, s) - k elements behind, or `output_padding`; `same` has n · s elements, or
    `(n - 1) · s + k % 2 + output_padding`, cut as the padding of the convolution that it undoes.
    """
    k = reach(size, dilation)
    if padding == "valid":
        return 0, -(max(k, stride) - k if extra is None else extra)
    length = stride + k - 2 if extra is None else k + k % 2 - 2 + extra
    left = min(length // 2 + length % 2, k - 1)
    return k - 1 - left, k - 1 - (length - left)


# --- PyTorch


@imports("torch", "aten.conv_transpose1d.default", "aten.conv_transpose2d.input", "aten.conv_transpose3d.input")
def _torch_conv_transpose(record: Record, net: NetworkBuilder) -> str:
    """`conv_transposeNd(input, weight (c, m/groups, *size), bias, stride, padding, …, groups, dilation)`."""
    return torch_transposed(record, net, int(record.kind[len("aten.conv_transpose")]))


def torch_transposed(record: Record, net: NetworkBuilder, rank: int) -> str:
    """Import PyTorch's transposed convolution over `rank` axes."""
    x, weight = torch.single(record), torch_weight(record, net, rank)
    groups = record.take("groups", 1)
    strides, dilation = torch_tuple(record, "stride", 1, rank), torch_tuple(record, "dilation", 1, rank)
    pads = torch_tuple(record, "padding", 0, rank, 0)
    extra = torch_tuple(record, "output_padding", 0, rank, 0)
    cut: Pairs = tuple((p, p - e) for p, e in zip(pads, extra, strict=True))
    params = {"kernel": transposed_kernel(weight, groups)}
    if record.has_array("2"):
        params["bias"] = record.array("2")
    attrs = conv_attrs(rank, strides=strides, padding=cut, dilation=dilation, groups=groups)
    x = channels_last(net, record.name, x)
    return channels_first(net, record.name, net.add("conv_transpose", record.name, [x], attrs, params))


def transposed_kernel(weight: Any, groups: int) -> Any:
    """Turn (c, m/groups, *size), as PyTorch and ONNX store it, into (*size, c/groups, m)."""
    channels, per, *size = weight.shape
    split = weight.reshape(groups, channels // groups, per, *size)
    return np.moveaxis(split, (0, 1, 2), (-2, -3, -1)).reshape(*size, channels // groups, groups * per)
