"""Reshape and transpose: other views of the same elements, free of cost.

Keras `Flatten`, `Reshape`, `Permute`; ONNX `Flatten`, `Reshape`, `Transpose`, `Squeeze`, `Unsqueeze`; PyTorch `view`,
`reshape`, `flatten`, `permute`, `transpose`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Floats
from hardwire.layers import _keras as keras
from hardwire.layers import _onnx as onnx
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record


class Reshape(Layer):
    """Attr `shape`: the new shape without the batch axis; one -1 stands for what is left."""

    kind = "reshape"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the new shape; raises `ModelError` where the number of elements differs."""
        wanted = tuple(int(dim) for dim in node.attrs["shape"])
        size = prod(inputs[0])
        rest = prod(dim for dim in wanted if dim != -1)
        if wanted.count(-1) == 1 and rest > 0 and size % rest == 0:
            wanted = tuple(size // rest if dim == -1 else dim for dim in wanted)
        if any(dim < 0 for dim in wanted) or prod(wanted) != size:
            raise ModelError(
                f"layer {node.name!r}: cannot reshape {inputs[0]} ({size} elements) to {tuple(node.attrs['shape'])}"
            )
        return wanted

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the reshaped array."""
        return inputs[0].reshape(len(inputs[0]), *self.shape(node, [inputs[0].shape[1:]]))

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Return another view; no operation."""
        (x,) = inputs
        shape = self.shape(node, [x.shape])
        return x.view(x.index.reshape(shape), x.scales().reshape(shape))

    def examples(self) -> Iterator[Example]:
        """Flatten, split an axis, and a reshape between operations."""
        for name, shape, wanted in (("flatten", (2, 3), (6,)), ("split", (6,), (-1, 2)), ("scalar", (1,), ())):
            net = NetworkBuilder(f"reshape_{name}")
            x = quantised_input(net, shape, "s4.2")
            x = net.add("reshape", "reshape", [x], {"shape": wanted})
            yield Example(name, net.build([net.add("relu", "relu", [x])]))


class Transpose(Layer):
    """Attr `perm`: output axis i is input axis `perm[i]`, the batch axis not counted."""

    kind = "transpose"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the permuted shape."""
        perm = tuple(node.attrs["perm"])
        if sorted(perm) != list(range(len(inputs[0]))):
            raise ModelError(f"layer {node.name!r}: {perm} is no permutation of the axes of {inputs[0]}")
        return tuple(inputs[0][axis] for axis in perm)

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the transposed array."""
        return inputs[0].transpose(0, *(axis + 1 for axis in node.attrs["perm"]))

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Return another view; no operation."""
        (x,) = inputs
        perm = tuple(node.attrs["perm"])
        return x.view(x.index.transpose(perm), x.scales().transpose(perm))

    def examples(self) -> Iterator[Example]:
        """A matrix and three axes, with a dense layer that reads the transposed rows."""
        rng = np.random.default_rng(3)
        for name, shape, perm in (("matrix", (2, 3), (1, 0)), ("three", (2, 3, 2), (2, 0, 1))):
            net = NetworkBuilder(f"transpose_{name}")
            x = quantised_input(net, shape, "s4.2")
            x = net.add("transpose", "transpose", [x], {"perm": perm})
            kernel = rng.integers(-3, 4, (net.shape(x)[-1], 2)) / 2
            yield Example(name, net.build([net.add("dense", "fc", [x], {}, {"kernel": kernel})]))


# --- Keras


@imports("keras", "Flatten")
def _keras_flatten(record: Record, net: NetworkBuilder) -> str:
    """`Flatten`; with channels first the channels are moved last before."""
    x = keras.single(record)
    if record.expect("data_format", "channels_last", "channels_first", None) == "channels_first":
        rank = len(net.shape(x))
        if rank > 1:
            x = net.add("transpose", f"{record.name}_channels_last", [x], {"perm": (*range(1, rank), 0)})
    return net.add("reshape", record.name, [x], {"shape": (prod(net.shape(x)),)})


@imports("keras", "Reshape")
def _keras_reshape(record: Record, net: NetworkBuilder) -> str:
    """`Reshape` to `target_shape`, which does not count the batch and may hold one -1."""
    shape = record.take("target_shape")
    if not isinstance(shape, list | tuple) or any(type(dim) is not int for dim in shape):
        raise record.unsupported("target_shape", shape, "a list of integers is expected")
    return net.add("reshape", record.name, [keras.single(record)], {"shape": tuple(shape)})


@imports("keras", "Permute")
def _keras_permute(record: Record, net: NetworkBuilder) -> str:
    """`Permute`; `dims` count from 1 and leave the batch out."""
    dims = record.take("dims")
    if not isinstance(dims, list | tuple) or any(type(dim) is not int for dim in dims):
        raise record.unsupported("dims", dims, "a list of integers is expected")
    return net.add("transpose", record.name, [keras.single(record)], {"perm": tuple(dim - 1 for dim in dims)})


# --- ONNX


@imports("onnx", "Reshape")
def _onnx_reshape(record: Record, net: NetworkBuilder) -> str:
    """Reshape with 0 (copy), -1 (what is left) and the batch in front."""
    x = onnx.data(record)
    target = onnx.constant(record, 1)
    zero = bool(record.expect("allowzero", 0, 1))
    shape = onnx.target_shape(record, [int(dim) for dim in target.ravel()], net.shape(x), allow_zero=zero)
    return net.add("reshape", record.name, [x], {"shape": shape})


@imports("onnx", "Flatten")
def _onnx_flatten(record: Record, net: NetworkBuilder) -> str:
    """Flatten from `axis` on; the axes before it join the batch and must be of size 1."""
    x = onnx.data(record)
    shape = net.shape(x)
    axis = int(record.take("axis", 1))
    full = len(shape) + 1
    at = axis + full if axis < 0 else axis
    if not 1 <= at <= full or prod(shape[: at - 1]) != 1:
        raise record.unsupported("axis", axis, f"events of a tensor {('batch', *shape)} would be mixed")
    return net.add("reshape", record.name, [x], {"shape": (prod(shape),)})


@imports("onnx", "Transpose")
def _onnx_transpose(record: Record, net: NetworkBuilder) -> str:
    """Permute the axes behind the batch; reversed by default."""
    x = onnx.data(record)
    full = len(net.shape(x)) + 1
    perm = [int(axis) for axis in record.take("perm", list(range(full))[::-1])]
    if sorted(perm) != list(range(full)) or perm[0] != 0:
        raise record.unsupported("perm", perm, f"the batch (axis 0 of {full}) must stay in front")
    return net.add("transpose", record.name, [x], {"perm": tuple(axis - 1 for axis in perm[1:])})


@imports("onnx", "Squeeze")
def _onnx_squeeze(record: Record, net: NetworkBuilder) -> str:
    """Drop axes of size 1."""
    x = onnx.data(record)
    shape = net.shape(x)
    axes = onnx.axes(record)
    if axes is None:
        if record.versions["batch"] == 1:
            raise record.unsupported("axes", None, "without axes, the batch of 1 would be dropped too; name the axes")
        dropped = {axis for axis, dim in enumerate(shape) if dim == 1}
    else:
        dropped = {onnx.axis_of(record, axis, len(shape)) for axis in axes}
    for axis in sorted(dropped):
        if shape[axis] != 1:
            raise record.unsupported("axes", axes, f"axis {axis + 1} of {('batch', *shape)} is not of size 1")
    return net.add(
        "reshape", record.name, [x], {"shape": tuple(dim for axis, dim in enumerate(shape) if axis not in dropped)}
    )


@imports("onnx", "Unsqueeze")
def _onnx_unsqueeze(record: Record, net: NetworkBuilder) -> str:
    """Insert axes of size 1; `axes` count in the result."""
    x = onnx.data(record)
    rest = list(net.shape(x))
    axes = onnx.axes(record)
    if axes is None:
        raise ModelError(f"layer {record.name!r} (Unsqueeze): axes are missing")
    rank = len(rest) + len(axes)
    inserted = [onnx.axis_of(record, axis, rank) for axis in axes]
    if len(set(inserted)) != len(inserted):
        raise record.unsupported("axes", axes, "an axis is named twice")
    shape = tuple(1 if axis in inserted else rest.pop(0) for axis in range(rank))
    return net.add("reshape", record.name, [x], {"shape": shape})
