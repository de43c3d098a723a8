"""Layers that only move elements: reshape, transpose, concatenation, padding, selection."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hardwire.network.graph import Node
from hardwire.train.nodes._base import Making, Plain, trains


def _reshaped(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    return x.reshape(x.shape[0], *shape)


@trains("reshape")
def _reshape(node: Node, making: Making) -> nn.Module:
    return Plain(partial(_reshaped, shape=making.shape(node.outputs[0])))


def _permuted(x: Tensor, perm: tuple[int, ...]) -> Tensor:
    return x.permute(perm)


@trains("transpose")
def _transpose(node: Node, making: Making) -> nn.Module:
    return Plain(partial(_permuted, perm=(0, *(axis + 1 for axis in node.attrs["perm"]))))


def _joined(*inputs: Tensor, axis: int) -> Tensor:
    return torch.cat(inputs, axis)


@trains("concat")
def _concat(node: Node, making: Making) -> nn.Module:
    return Plain(partial(_joined, axis=node.attrs["axis"] % len(making.shape(node.outputs[0])) + 1))


def _selected(x: Tensor, index: Tensor, axis: int) -> Tensor:
    return torch.index_select(x, axis, index)


def _selection(axis: int, places: object) -> nn.Module:
    return Plain(partial(_selected, axis=axis + 1), index=np.asarray(places, np.int64))


@trains("take")
def _take(node: Node, making: Making) -> nn.Module:
    return _selection(node.attrs["axis"] % len(making.shape(node.inputs[0])), list(node.attrs["indices"]))


def _sliced(x: Tensor, bounds: tuple[tuple[int, int], ...]) -> Tensor:
    for axis, (begin, end) in enumerate(bounds, 1):
        if (begin, end) != (0, x.shape[axis]):
            x = x.narrow(axis, begin, end - begin)
    return x


@trains("crop")
def _crop(node: Node, making: Making) -> nn.Module:
    shape = making.shape(node.inputs[0])
    cut = node.attrs["cropping"]
    return Plain(partial(_sliced, bounds=tuple((a, n - b) for (a, b), n in zip(cut, shape, strict=True))))


def _padded(x: Tensor, pads: list[int], value: float) -> Tensor:
    return functional.pad(x, pads, value=value)


@trains("pad")
def _pad(node: Node, making: Making) -> nn.Module:
    """Constants around, or elements selected more than once."""
    pairs = node.attrs["padding"]
    if node.attrs["mode"] == "constant":
        flat = [int(n) for pair in reversed(pairs) for n in pair]
        return Plain(partial(_padded, pads=flat, value=float(node.attrs.get("value", 0.0))))
    shape = making.shape(node.inputs[0])
    parts = [
        _selection(axis, np.pad(np.arange(n), pair, mode=node.attrs["mode"]))
        for axis, (n, pair) in enumerate(zip(shape, pairs, strict=True))
        if any(pair)
    ]
    return nn.Sequential(*parts)


def _combined(x: Tensor, matrix: Tensor, axis: int) -> Tensor:
    return torch.matmul(x.transpose(axis, -1), matrix).transpose(axis, -1)


@trains("resample")
def _resample(node: Node, making: Making) -> nn.Module:
    """Elements repeated, or sums with constant weights along an axis."""
    axis, rows = int(node.attrs["axis"]), node.attrs["rows"]
    if all(len(row) == 1 and row[0][1] == 1 for row in rows):
        return _selection(axis, [row[0][0] for row in rows])
    matrix = np.zeros((making.shape(node.inputs[0])[axis], len(rows)))
    for i, row in enumerate(rows):
        for source, weight in row:
            matrix[source, i] = float(weight)
    return Plain(partial(_combined, axis=axis + 1), matrix=matrix)
