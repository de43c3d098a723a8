"""Convolutions over any number of spatial axes: plain, grouped, depthwise and separable.

Keras `Conv1D/2D/3D`, `DepthwiseConv1D/2D`, `SeparableConv1D/2D`; ONNX `Conv`; PyTorch `conv1d/2d/3d`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import Floats
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _keras as keras
from hardwire.layers import _torch as torch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.layers._neurons import channel_scaled, group_inputs, grouped_scales, neurons
from hardwire.layers._spatial import (
    Pairs,
    channels_first,
    channels_last,
    is_even,
    no_padding,
    node_pairs,
    node_tuple,
    output_size,
    per_axis,
    reach,
    same_padding,
    spatial_rank,
    window_index,
)
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record


class Conv(Layer):
    """Cross-correlation over (*spatial, c), channels last.

    Attrs `strides`, `dilation` (one integer a spatial axis), `padding` ((before, after) zeros a spatial axis),
    `groups`. Params `kernel` (*size, c/groups, m), optional `bias` (m,), `kernel_scale` and `bias_scale` ((m,) or
    scalar) as in `dense`. Output j belongs to group j · groups // m.
    """

    kind = "conv"
    weights = ("kernel", "bias")

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return (*positions, m)."""
        (shape,) = inputs
        kernel, rank, groups = matrix_of(node, shape)
        strides, dilation = node_tuple(node, "strides", rank), node_tuple(node, "dilation", rank)
        pads = node_pairs(node, "padding", rank)
        channels = shape[-1]
        if kernel.shape[-2] * groups != channels:
            raise ModelError(
                f"layer {node.name!r}: the kernel {kernel.shape} in {groups} groups needs {kernel.shape[-2] * groups} "
                f"channels on the last axis, the input has the shape {shape}"
            )
        sizes = zip(shape[:-1], kernel.shape, strides, dilation, pads, strict=False)
        return (*(output_size(node, n, k, s, d, pad) for n, k, s, d, pad in sizes), kernel.shape[-1])

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Float64 sum over the taps of the kernel."""
        x = inputs[0]
        kernel, rank, groups = matrix_of(node, x.shape[1:])
        kernel = kernel * node.params.get("kernel_scale", 1.0)
        strides, dilation = node.attrs["strides"], node.attrs["dilation"]
        x = np.pad(x, ((0, 0), *node.attrs["padding"], (0, 0)))
        lead = self.shape(node, [inputs[0].shape[1:]])[:-1]
        y = np.zeros((len(x), *lead, kernel.shape[-1]))
        for tap in product(*map(range, kernel.shape[:rank])):
            places = tuple(
                slice(t * d, t * d + (n - 1) * s + 1, s)
                for t, d, s, n in zip(tap, dilation, strides, lead, strict=True)
            )
            y += grouped_product(x[(slice(None), *places)], kernel[tap], groups)
        if "bias" in node.params:
            y += node.params["bias"] * node.params.get("bias_scale", 1.0)
        return y

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One kernel from a window to the output channels, applied at every position; zeros around are an array."""
        (x,) = inputs
        kernel, rank, groups = matrix_of(node, x.shape)
        size, m = kernel.shape[:rank], kernel.shape[-1]
        shape = self.shape(node, [x.shape])
        x, scales = channel_scaled(node, low, x)
        x = low.padded(node, x, (*node.attrs["padding"], (0, 0)))
        if not is_even(x):
            x = low.ordered(x)
        taps = int(np.prod(size))
        layer = neurons(node, kernel.reshape(-1, m), grouped_scales(scales, groups, taps, m))
        read = (x, window_index(x, size, node.attrs["strides"], node.attrs["dilation"]))
        builder = KernelBuilder(node.name, *low.window_range([read]))
        reads = group_inputs(x.shape[-1], groups, taps, m)
        outputs = [builder.linear(reads[j], layer.codes[:, j].tolist(), layer.bias[j]) for j in range(m)]
        y = low.apply(node, builder.build(outputs), [read], shape, layer.scale)
        return y if layer.offset is None else replace(y, offset=layer.offset)

    def examples(self) -> Iterator[Example]:
        """One and two axes, stride, padding, dilation, groups, depthwise, weight scales."""
        rng = np.random.default_rng(3)
        cases: tuple[tuple[str, Shape, tuple[int, ...], int, dict[str, Any]], ...] = (
            ("line", (5, 2), (2,), 2, {"padding": ((1, 0),)}),
            ("plane", (3, 3, 1), (2, 2), 2, {}),
            ("strided", (4, 3, 1), (2, 2), 1, {"strides": (2, 1), "padding": ((0, 1), (1, 0))}),
            ("dilated", (5, 2), (2,), 1, {"dilation": (3,)}),
            ("depthwise", (3, 2), (2,), 4, {"groups": 2}),
        )
        for name, shape, size, m, given in cases:
            net = NetworkBuilder(f"conv_{name}")
            x = quantised_input(net, shape, "s4.2")
            attrs = conv_attrs(len(size), **given)
            kernel = rng.integers(-7, 8, (*size, shape[-1] // attrs["groups"], m)) / 8
            params = {"kernel": kernel, "bias": rng.integers(-8, 8, m) / 16}
            yield Example(name, net.build([net.add("conv", "c", [x], attrs, params)]))
        net = NetworkBuilder("conv_scaled")
        x = quantised_input(net, (3, 2), "s4.2")
        scaled: dict[str, NDArray[Any]] = {"kernel": rng.integers(-7, 8, (2, 2, 2))}
        scaled["kernel_scale"] = np.array([0.3, 0.7])
        yield Example("scaled", net.build([net.add("conv", "c", [x], conv_attrs(1), scaled)]))


def conv_attrs(
    rank: int,
    *,
    strides: tuple[int, ...] = (),
    padding: Pairs = (),
    dilation: tuple[int, ...] = (),
    groups: int = 1,
) -> dict[str, Any]:
    """Attributes of a `conv` or `conv_transpose` node over `rank` axes."""
    ones = (1,) * rank
    return {
        "strides": strides or ones,
        "padding": padding or no_padding(rank),
        "dilation": dilation or ones,
        "groups": groups,
    }


def matrix_of(node: Node, shape: Shape) -> tuple[NDArray[Any], int, int]:
    """Return a node's checked kernel, number of spatial axes and groups; raises `ModelError` naming the layer."""
    kernel, groups = node.params["kernel"], int(node.attrs["groups"])
    rank = len(shape) - 1
    if rank < 1 or kernel.ndim != rank + 2 or kernel.size == 0:
        raise ModelError(
            f"layer {node.name!r}: a kernel of shape {kernel.shape} does not fit the input {shape} (*spatial, channels)"
        )
    if groups < 1 or kernel.shape[-1] % groups or shape[-1] % groups:
        raise ModelError(
            f"layer {node.name!r}: {shape[-1]} channels to {kernel.shape[-1]} do not divide into {groups} groups"
        )
    bias = node.params.get("bias")
    if bias is not None and bias.shape != kernel.shape[-1:]:
        raise ModelError(f"layer {node.name!r}: the bias has the shape {bias.shape}, expected {kernel.shape[-1:]}")
    return kernel, rank, groups


def grouped_product(x: Floats, matrix: Floats, groups: int) -> Floats:
    """Product of (..., c) with (c/groups, m) group by group: (..., m)."""
    if groups == 1:
        return x @ matrix
    per, m = matrix.shape
    if per == 1:
        # Depthwise: many products of single numbers, which a matrix product is slow at.
        return np.asarray(np.repeat(x, m // groups, axis=-1) * matrix[0], np.float64)
    split = x.reshape(*x.shape[:-1], groups, 1, per)
    factors = matrix.reshape(per, groups, m // groups).transpose(1, 0, 2)
    return np.asarray((split @ factors).reshape(*x.shape[:-1], m), np.float64)


# --- Keras


_KERAS_ONLY = ("lora_rank", "lora_alpha", "quantization_config")


@imports("keras", "Conv1D", "Conv2D", "Conv3D", "Convolution1D", "Convolution2D", "Convolution3D")
def _keras_conv(record: Record, net: NetworkBuilder) -> str:
    """`ConvND`: kernel (*size, c/groups, filters), bias (filters,)."""
    rank = int(record.kind[-2])
    filters, size = record.take("filters"), per_axis(record, "kernel_size", record.take("kernel_size"), rank)
    groups, bias = record.take("groups", 1), record.take("use_bias", True)
    _keras_plain(record)
    return _keras_convolved(
        record,
        net,
        rank,
        lambda found, name: (found[name], groups),
        ("kernel",),
        ["bias"] if bias else [],
        size,
        filters,
    )


@imports("keras", "DepthwiseConv1D", "DepthwiseConv2D")
def _keras_depthwise(record: Record, net: NetworkBuilder) -> str:
    """`DepthwiseConvND`: kernel (*size, c, multiplier); output i · multiplier + j is of channel i."""
    rank = int(record.kind[-2])
    size = per_axis(record, "kernel_size", record.take("kernel_size"), rank)
    record.take("depth_multiplier", 1)
    # Keras 2 writes these two as they are for every convolution; the layer has groups of its own.
    record.expect("groups", 1)
    record.ignore("filters")
    bias = record.take("use_bias", True)
    _keras_plain(record)
    name = "depthwise_kernel" if record.has_array("depthwise_kernel") else "kernel"
    return _keras_convolved(record, net, rank, _depthwise, (name,), ["bias"] if bias else [], size, None)


@imports("keras", "SeparableConv1D", "SeparableConv2D", "SeparableConvolution1D", "SeparableConvolution2D")
def _keras_separable(record: Record, net: NetworkBuilder) -> str:
    """`SeparableConvND`: a depthwise convolution, then one with a window of 1."""
    rank = int(record.kind[-2])
    filters, size = record.take("filters"), per_axis(record, "kernel_size", record.take("kernel_size"), rank)
    record.take("depth_multiplier", 1)
    record.expect("groups", 1)
    bias = record.take("use_bias", True)
    _keras_plain(record)
    names = ("depthwise_kernel", "pointwise_kernel")
    return _keras_convolved(record, net, rank, _depthwise, names, ["bias"] if bias else [], size, filters)


def _depthwise(found: dict[str, NDArray[Any]], name: str) -> tuple[NDArray[Any], int]:
    kernel = found[name]
    return kernel.reshape(*kernel.shape[:-2], 1, -1), kernel.shape[-2]


def _keras_plain(record: Record) -> None:
    """Take what inference does not see: initialisers and constraints of the depthwise and pointwise parts, LoRA."""
    for attr in _KERAS_ONLY:
        if attr != "lora_alpha":
            record.expect(attr, None)
    record.ignore("lora_alpha")
    for part in ("depthwise", "pointwise"):
        record.ignore(*(f"{part}_{what}" for what in ("initializer", "regularizer", "constraint")))


def _keras_convolved(
    record: Record,
    net: NetworkBuilder,
    rank: int,
    first: Any,
    names: tuple[str, ...],
    biases: list[str],
    size: tuple[int, ...],
    filters: int | None,
) -> str:
    """Add a convolution (and a pointwise one where there is a second kernel), then the activation."""
    x = keras.single(record)
    form = data_format(record)
    activation = record.take("activation", None)
    strides = per_axis(record, "strides", record.take("strides", 1), rank)
    dilation = per_axis(record, "dilation_rate", record.take("dilation_rate", 1), rank)
    padding = record.take("padding", "valid")
    found = keras.variables(record, *names, *biases)
    kernel, groups = first(found, names[0])
    if kernel.ndim != rank + 2 or kernel.shape[:rank] != size:
        raise record.unsupported("kernel_size", size, f"the kernel in the file has the shape {found[names[0]].shape}")
    last = found[names[-1]] if len(names) > 1 else kernel
    if filters is not None and last.shape[-1] != filters:
        raise record.unsupported("filters", filters, f"the kernel in the file has the shape {last.shape}")
    if form == "channels_first":
        x = channels_last(net, record.name, x)
    spatial_rank(record, net.shape(x), rank)
    pads = keras_padding(record, padding, net.shape(x)[:-1], size, strides, dilation)
    attrs = conv_attrs(rank, strides=strides, padding=pads, dilation=dilation, groups=groups)
    params = {"bias": found["bias"]} if biases else {}
    if len(names) > 1:
        y = net.add("conv", f"{record.name}_depthwise", [x], attrs, {"kernel": kernel})
        y = net.add("conv", record.name, [y], conv_attrs(rank), {"kernel": last, **params})
    else:
        y = net.add("conv", record.name, [x], attrs, {"kernel": kernel, **params})
    if form == "channels_first":
        y = channels_first(net, record.name, y)
    return keras.activated(record, net, y, activation)


def data_format(record: Record) -> str:
    """Take Keras' `data_format`; None is channels last."""
    return str(record.expect("data_format", "channels_last", "channels_first", None) or "channels_last")


def keras_padding(
    record: Record,
    padding: Any,
    spatial: Sequence[int],
    size: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
) -> Pairs:
    """Resolve Keras' `padding`: valid, same, or (over one axis) causal."""
    match str(padding).lower():
        case "valid":
            return no_padding(len(size))
        case "same":
            return same_padding(spatial, size, strides, dilation)
        case "causal" if len(size) == 1:
            return ((reach(size[0], dilation[0]) - 1, 0),)
    raise record.unsupported("padding", padding, "'valid', 'same' or (Conv1D) 'causal' is expected")


# --- PyTorch


@imports("torch", *(f"aten.conv{n}d.{form}" for n in (1, 2, 3) for form in ("default", "padding")))
def _torch_conv(record: Record, net: NetworkBuilder) -> str:
    """`convNd(input, weight (m, c/groups, *size), bias, stride, padding, dilation, groups)`."""
    rank = int(record.kind[len("aten.conv")])
    strides, dilation = torch_tuple(record, "stride", 1, rank), torch_tuple(record, "dilation", 1, rank)
    return _torch_convolved(record, net, rank, strides, dilation, record.take("padding", 0))


@imports("torch", "aten.convolution.default")
def _torch_convolution(record: Record, net: NetworkBuilder) -> str:
    """`convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)`."""
    rank = len(net.shape(torch.single(record))) - 1
    if record.take("transposed", False):
        from hardwire.layers.conv_transpose import torch_transposed

        return torch_transposed(record, net, rank)
    record.ignore("output_padding")
    strides, dilation = torch_tuple(record, "stride", 1, rank), torch_tuple(record, "dilation", 1, rank)
    return _torch_convolved(record, net, rank, strides, dilation, record.take("padding", 0))


def _torch_convolved(
    record: Record,
    net: NetworkBuilder,
    rank: int,
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
    padding: Any,
) -> str:
    x, weight = torch.single(record), torch_weight(record, net, rank)
    groups = record.take("groups", 1)
    x = channels_last(net, record.name, x)
    kernel = np.moveaxis(weight, (0, 1), (-1, -2))
    if isinstance(padding, str):
        if padding not in ("valid", "same"):
            raise record.unsupported("padding", padding, "'valid', 'same' or numbers are expected")
        # PyTorch's `same` is for stride 1; the odd element goes behind, as everywhere.
        same = padding == "same"
        pads = same_padding(net.shape(x)[:-1], kernel.shape[:rank], strides, dilation) if same else no_padding(rank)
    else:
        pads = tuple((p, p) for p in per_axis(record, "padding", padding, rank, 0))
    params = {"kernel": kernel}
    if record.has_array("2"):
        params["bias"] = record.array("2")
    attrs = conv_attrs(rank, strides=strides, padding=pads, dilation=dilation, groups=groups)
    return channels_first(net, record.name, net.add("conv", record.name, [x], attrs, params))


def torch_weight(record: Record, net: NetworkBuilder, rank: int) -> NDArray[Any]:
    """Return the constant weight of a convolution after checking the input's rank."""
    shape = net.shape(torch.single(record))
    if len(shape) != rank + 1:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): an input of the shape ('batch', *{shape}) has no batch axis or "
            f"another number of spatial axes than {rank}"
        )
    weight = record.array("1")
    if weight.ndim != rank + 2:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): a weight of the shape {weight.shape}, expected {rank + 2} axes"
        )
    return weight


def torch_tuple(record: Record, attr: str, default: int, rank: int, least: int = 1) -> tuple[int, ...]:
    """Take a per-axis argument: one integer, a list of one or of `rank`; an empty list is the default."""
    value = record.take(attr, default)
    return per_axis(record, attr, default if value in ([], ()) else value, rank, least)
