"""What layers over spatial axes share: windows, paddings, and where the channels are.

Inside, data is channels-last: (*spatial, c). Import rules of channels-first sources transpose around the node; views
cost nothing, and pairs of transposes cancel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import Ints
from hardwire.ir.program import Ids
from hardwire.layers._lowering import Wire, regular
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record

Pairs = tuple[tuple[int, int], ...]
"""(before, after) of each axis."""


def reach(size: int, dilation: int) -> int:
    """Elements from a window's first to its last."""
    return (size - 1) * dilation + 1


def same_padding(spatial: Sequence[int], size: Sequence[int], strides: Sequence[int], dilation: Sequence[int]) -> Pairs:
    """Padding with which an axis of n elements has ceil(n / stride) outputs; the odd element goes behind.

    TensorFlow's and ONNX's `SAME_UPPER`; swap each pair for `SAME_LOWER`.
    """
    pairs = []
    for n, k, s, d in zip(spatial, size, strides, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + reach(k, d) - n, 0)
        pairs.append((total // 2, total - total // 2))
    return tuple(pairs)


def no_padding(rank: int) -> Pairs:
    """Return (0, 0) for each axis."""
    return ((0, 0),) * rank


def per_axis(record: Record, attr: str, value: Any, rank: int, least: int = 1) -> tuple[int, ...]:
    """Return one integer of at least `least` for each spatial axis, from one integer or a list of one or `rank`."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    if any(type(v) is not int or v < least for v in values) or len(values) not in (1, rank):
        raise record.unsupported(attr, value, f"an integer from {least} on, or one for each of {rank} axes is expected")
    return tuple(values * rank if len(values) == 1 else values)


def node_tuple(node: Node, attr: str, rank: int, least: int = 1) -> tuple[int, ...]:
    """Return a node's per-axis attribute; raises `ModelError` naming it where it does not fit."""
    values = tuple(int(v) for v in node.attrs[attr])
    if len(values) != rank or any(v < least for v in values):
        raise ModelError(f"layer {node.name!r}: {attr} = {values}, expected {rank} integers from {least} on")
    return values


def node_pairs(node: Node, attr: str, rank: int, *, negative: bool = False) -> Pairs:
    """Return a node's (before, after) pairs; raises `ModelError` naming the attribute where they do not fit."""
    pairs = tuple((int(before), int(after)) for before, after in node.attrs[attr])
    if len(pairs) != rank or (not negative and any(min(pair) < 0 for pair in pairs)):
        what = "pairs of integers" if negative else "pairs of integers from 0 on"
        raise ModelError(f"layer {node.name!r}: {attr} = {pairs}, expected {rank} {what}")
    return pairs


def output_size(node: Node, n: int, size: int, stride: int, dilation: int, pads: tuple[int, int]) -> int:
    """Outputs along an axis of n elements; raises `ModelError` where no window fits."""
    room = n + sum(pads) - reach(size, dilation)
    if room < 0:
        raise ModelError(
            f"layer {node.name!r}: a window of {reach(size, dilation)} elements does not fit {n} padded by {pads}"
        )
    return room // stride + 1


def taps(array: NDArray[Any], size: Sequence[int], strides: Sequence[int], dilation: Sequence[int]) -> NDArray[Any]:
    """Windows over the leading axes of (*spatial, ...): (*positions, *size, ...)."""
    rank = len(size)
    for axis, (k, s, d) in enumerate(zip(size, strides, dilation, strict=True)):
        at = 2 * axis
        count = (array.shape[at] - reach(k, d)) // s + 1
        places = np.arange(count)[:, None] * s + np.arange(k)[None, :] * d
        array = np.take(array, places, axis=at)
    rest = range(2 * rank, array.ndim)
    return array.transpose(*range(0, 2 * rank, 2), *range(1, 2 * rank, 2), *rest)


def window_index(wire: Wire, size: Sequence[int], strides: Sequence[int], dilation: Sequence[int]) -> Ids:
    """Element indices (positions, taps · channels) of a channels-last wire's windows."""
    index = taps(wire.index, size, strides, dilation)
    return index.reshape(int(np.prod(index.shape[: len(size)], dtype=np.int64)), -1)


def is_even(wire: Wire) -> bool:
    """Whether windows over a wire are a base and offsets: each axis has one step between neighbours."""
    origin = wire.index[(0,) * wire.index.ndim]
    total = np.full((1,) * wire.index.ndim, origin, np.int64)
    for axis in range(wire.index.ndim):
        line = np.moveaxis(wire.index, axis, -1)[(0,) * (wire.index.ndim - 1)]
        steps = (line - line[0]).astype(np.int64)
        if not np.array_equal(steps, np.arange(len(line)) * (steps[1] if len(steps) > 1 else 0)):
            return False
        total = total + steps.reshape([-1 if a == axis else 1 for a in range(wire.index.ndim)])
    return np.array_equal(total, wire.index) and regular(wire.index.reshape(-1, wire.shape[-1]))


def axis_groups(*masks: NDArray[np.bool_]) -> Iterator[tuple[list[Ints], list[Ints]]]:
    """Split output positions by which taps count, from one (outputs, taps) mask an axis.

    Yields, for every combination over the axes, the positions (one index array an axis) and the taps that count.
    """
    choices = []
    for mask in masks:
        kinds, group = np.unique(mask, axis=0, return_inverse=True)
        flat = group.reshape(-1)
        choices.append([(np.flatnonzero(flat == g), np.flatnonzero(kind)) for g, kind in enumerate(kinds)])
    for combination in product(*choices):
        yield [positions for positions, _ in combination], [tap for _, tap in combination]


def flat_positions(places: Sequence[Ints], shape: Shape) -> Ids:
    """Row-major numbers of the product of index arrays within `shape`, int32."""
    number = np.zeros((1,) * len(places), np.int64)
    for axis, (place, dim) in enumerate(zip(places, shape, strict=True)):
        number = number * dim + place.reshape([-1 if a == axis else 1 for a in range(len(places))])
    return number.ravel().astype(np.int32)


def channels_last(net: NetworkBuilder, name: str, tensor: str) -> str:
    """Return (c, *spatial) as (*spatial, c)."""
    rank = len(net.shape(tensor))
    return net.add("transpose", f"{name}_channels_last", [tensor], {"perm": (*range(1, rank), 0)})


def channels_first(net: NetworkBuilder, name: str, tensor: str) -> str:
    """Return (*spatial, c) as (c, *spatial)."""
    rank = len(net.shape(tensor))
    return net.add("transpose", f"{name}_channels_first", [tensor], {"perm": (rank - 1, *range(rank - 1))})


def spatial_rank(record: Record, shape: Shape, rank: int | None = None) -> int:
    """Return the number of spatial axes of a tensor; raises `UnsupportedError` where the layer has others."""
    found = len(shape) - 1
    if found < 1 or (rank is not None and found != rank):
        wanted = "at least one" if rank is None else str(rank)
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): the input {shape} has {found} spatial axes beside the channels, "
            f"expected {wanted}"
        )
    return found
