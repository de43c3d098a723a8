"""Padding with a constant or with elements of the tensor itself, and cropping.

Keras `ZeroPadding1D/2D/3D`, `Cropping1D/2D/3D`; ONNX `Pad`; PyTorch `pad`, `constant_pad_nd`, `reflection_pad…`,
`replication_pad…`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import Floats
from hardwire.layers import _keras as keras
from hardwire.layers import _torch as torch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import joint_scale, lowest_bit, quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.layers._spatial import Pairs, no_padding, node_pairs, per_axis, spatial_rank
from hardwire.layers.conv import data_format
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record

_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


class Pad(Layer):
    """Attrs `padding` ((before, after) for every axis), `mode` as in `numpy.pad`, and `value` for `constant`.

    Only `constant` costs anything (nothing in hardware): the other modes are views that repeat elements.
    """

    kind = "pad"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the shape with both ends of each axis added."""
        (shape,) = inputs
        pads = node_pairs(node, "padding", len(shape))
        mode = node.attrs["mode"]
        if mode not in _MODES:
            raise ModelError(f"layer {node.name!r}: mode {mode!r}, expected one of {', '.join(_MODES)}")
        for axis, (n, pad) in enumerate(zip(shape, pads, strict=True)):
            most = {"reflect": n - 1, "symmetric": n, "wrap": n}.get(mode)
            if most is not None and max(pad) > most:
                raise ModelError(f"layer {node.name!r}: {mode} padding {pad} of axis {axis}, which has {n} elements")
        return tuple(n + before + after for n, (before, after) in zip(shape, pads, strict=True))

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Pad as numpy does."""
        pads = ((0, 0), *node.attrs["padding"])
        if node.attrs["mode"] == "constant":
            return np.pad(inputs[0], pads, constant_values=float(node.attrs.get("value", 0.0)))
        padded: Floats = np.pad(inputs[0], pads, mode=node.attrs["mode"])
        return padded

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Return another view, or a copy in a border of constants; the scale is finer where the value needs it."""
        (x,) = inputs
        pads, mode = node.attrs["padding"], node.attrs["mode"]
        if mode != "constant":
            index: NDArray[np.int32] = np.pad(x.index, pads, mode=mode)
            places = np.pad(np.arange(x.index.size).reshape(x.shape), pads, mode=mode)
            return x.view(index, x.scales().ravel()[places])
        value = Fraction(float(node.attrs.get("value", 0.0)))
        if value:
            unit = np.full((), lowest_bit(abs(value)), object)
            x = low.rescaled(node, x, joint_scale(x.shape, x.scales(), unit))
        return low.padded(node, x, pads, value)

    def examples(self) -> Iterator[Example]:
        """Every mode; a value finer than the input."""
        for mode in _MODES:
            net = NetworkBuilder(f"pad_{mode}")
            x = quantised_input(net, (3, 2), "s4.2")
            attrs = {"padding": ((1, 2), (0, 0)), "mode": mode, "value": 0.625 if mode == "constant" else 0.0}
            yield Example(mode, net.build([net.add("pad", "p", [x], attrs)]))
        net = NetworkBuilder("pad_all_axes")
        x = quantised_input(net, (1, 2), "s4.2")
        attrs = {"padding": ((1, 0), (0, 1)), "mode": "constant", "value": 0.0}
        yield Example("all_axes", net.build([net.add("pad", "p", [x], attrs)]))


class Crop(Layer):
    """Attr `cropping`: how many elements to cut (before, after) from every axis; a view."""

    kind = "crop"
    moves = True

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return what is left; raises `ModelError` where nothing is."""
        (shape,) = inputs
        cuts = node_pairs(node, "cropping", len(shape))
        left = tuple(n - before - after for n, (before, after) in zip(shape, cuts, strict=True))
        if any(n < 1 for n in left):
            raise ModelError(f"layer {node.name!r}: cropping {cuts} leaves nothing of {shape}")
        return left

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the part of the array."""
        return inputs[0][(slice(None), *_kept(node, inputs[0].shape[1:]))]

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Return the part of the view."""
        (x,) = inputs
        kept = _kept(node, x.shape)
        return x.view(x.index[kept], x.scales()[kept])

    def examples(self) -> Iterator[Example]:
        """Cut both axes."""
        net = NetworkBuilder("crop")
        x = quantised_input(net, (4, 3), "s4.2")
        yield Example("both", net.build([net.add("crop", "c", [x], {"cropping": ((1, 1), (0, 2))})]))


def _kept(node: Node, shape: Shape) -> tuple[slice, ...]:
    return tuple(slice(before, n - after) for n, (before, after) in zip(shape, node.attrs["cropping"], strict=True))


def padded(
    net: NetworkBuilder, name: str, x: str, pairs: Sequence[tuple[int, int]], mode: str = "constant", value: float = 0.0
) -> str:
    """Pad every axis of a tensor; negative numbers crop (first), as in PyTorch and ONNX. No node for no padding."""
    cuts = tuple((max(-before, 0), max(-after, 0)) for before, after in pairs)
    pads = tuple((max(before, 0), max(after, 0)) for before, after in pairs)
    if any(map(any, cuts)):
        x = net.add("crop", f"{name}_crop" if any(map(any, pads)) else name, [x], {"cropping": cuts})
    if any(map(any, pads)):
        x = net.add("pad", name, [x], {"padding": pads, "mode": mode, "value": float(value)})
    return x


# --- Keras


def _pairs(record: Record, attr: str, rank: int) -> Pairs:
    """Take Keras' padding or cropping: one number, one for each axis, or a pair for each axis."""
    value = record.take(attr, 1)
    if isinstance(value, list | tuple) and (rank == 1 and len(value) == 2 and all(type(v) is int for v in value)):
        value = [value]
    if isinstance(value, list | tuple) and all(isinstance(v, list | tuple) for v in value) and len(value) == rank:
        pairs = tuple(tuple(pair) for pair in value)
        if any(len(pair) != 2 or any(type(v) is not int or v < 0 for v in pair) for pair in pairs):
            raise record.unsupported(attr, value, "(before, after) for each axis is expected")
        return tuple((int(before), int(after)) for before, after in pairs)
    return tuple((n, n) for n in per_axis(record, attr, value, rank, 0))


def _placed(record: Record, net: NetworkBuilder, pairs: Pairs) -> Pairs:
    """Add (0, 0) for the channels where `data_format` puts them."""
    rank = len(pairs)
    spatial_rank(record, net.shape(keras.single(record)), rank)
    if rank == 1:
        return (*pairs, *no_padding(1)) if data_format(record) == "channels_last" else (*no_padding(1), *pairs)
    return (*no_padding(1), *pairs) if data_format(record) == "channels_first" else (*pairs, *no_padding(1))


@imports("keras", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D")
def _keras_zero_padding(record: Record, net: NetworkBuilder) -> str:
    """`ZeroPaddingND`."""
    pairs = _placed(record, net, _pairs(record, "padding", int(record.kind[-2])))
    return padded(net, record.name, keras.single(record), pairs)


@imports("keras", "Cropping1D", "Cropping2D", "Cropping3D")
def _keras_cropping(record: Record, net: NetworkBuilder) -> str:
    """`CroppingND`."""
    pairs = _placed(record, net, _pairs(record, "cropping", int(record.kind[-2])))
    return padded(net, record.name, keras.single(record), tuple((-before, -after) for before, after in pairs))


# --- PyTorch

_TORCH_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _torch_pairs(record: Record, attr: str, rank: int) -> Pairs:
    """Take PyTorch's padding: numbers in pairs, the last axis first."""
    value = record.take(attr)
    numbers = list(value) if isinstance(value, list | tuple) else [value]
    if len(numbers) % 2 or any(type(v) is not int for v in numbers):
        raise record.unsupported(attr, value, "whole numbers in pairs are expected")
    if len(numbers) > 2 * rank:
        if any(numbers[2 * rank :]):
            raise record.unsupported(attr, value, "it pads the batch axis; examples must not be mixed")
        numbers = numbers[: 2 * rank]
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    return (*no_padding(rank - len(pairs)), *reversed(pairs))


@imports("torch", "aten.pad.default", "aten.constant_pad_nd.default")
def _torch_pad(record: Record, net: NetworkBuilder) -> str:
    """`pad(input, pad, mode, value)`, `constant_pad_nd(input, pad, value)`."""
    x = torch.single(record)
    pairs = _torch_pairs(record, "pad", len(net.shape(x)))
    mode, value = record.take("mode", "constant"), record.take("value", None)
    if mode not in _TORCH_MODES:
        raise record.unsupported("mode", mode, f"one of {', '.join(_TORCH_MODES)} is expected")
    if value is not None and (isinstance(value, bool) or not abs(value) < torch.MAX_FLOAT32):
        raise record.unsupported("value", value, "a finite number is expected")
    return _torch_padded(record, net, x, pairs, _TORCH_MODES[mode], value or 0.0)


@imports("torch", *(f"aten.{name}_pad{n}d.default" for name in ("reflection", "replication") for n in (1, 2, 3)))
def _torch_pad_of(record: Record, net: NetworkBuilder) -> str:
    """`reflection_padNd`, `replication_padNd`."""
    x = torch.single(record)
    pairs = _torch_pairs(record, "padding", len(net.shape(x)))
    return _torch_padded(record, net, x, pairs, "reflect" if "reflection" in record.kind else "edge", 0.0)


def _torch_padded(record: Record, net: NetworkBuilder, x: str, pairs: Pairs, mode: str, value: Any) -> str:
    if mode != "constant" and any(min(pair) < 0 for pair in pairs):
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): negative padding {pairs} in the mode {mode!r}")
    return padded(net, record.name, x, pairs, mode, value)
