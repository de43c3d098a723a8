"""Reshape and transpose: other views of the same elements, free of cost.

Keras `Flatten`, `Reshape`, `Permute`; ONNX `Flatten`, `Reshape`, `Transpose`, `Squeeze`, `Unsqueeze`; PyTorch `view`,
`reshape`, `flatten`, `permute`, `transpose`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import Floats
from hardwire.layers import _keras as keras
from hardwire.layers import _onnx as onnx
from hardwire.layers import _torch as torch
from hardwire.layers._axes import without_batch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record


class Reshape(Layer):
    """Attr `shape`: the new shape without the batch axis; one -1 stands for what is left."""

    kind = "reshape"
    moves = True

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
    moves = True

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


# --- PyTorch


@imports(
    "torch",
    "aten.view.default",
    "aten.reshape.default",
    "aten._unsafe_view.default",
    "aten.view_copy.default",
    "aten._reshape_alias.default",
)
def _torch_view(record: Record, net: NetworkBuilder) -> str:
    """`view(size)`: the first size is the batch (None where it is symbolic); one other may be -1."""
    x = torch.single(record)
    attr = "shape" if record.kind == "aten.reshape.default" else "size"
    record.ignore("stride")
    size = record.take(attr)
    batch = record.versions.get("batch")
    if not isinstance(size, list) or not size or any(type(dim) is not int for dim in size[1:]):
        raise record.unsupported(attr, size, "the first size must be the batch, all others fixed")
    rest, total = tuple(size[1:]), prod(net.shape(x))
    keeps = size[0] is None or size[0] == batch or (size[0] == -1 and prod(rest) == total)
    if not keeps:
        raise record.unsupported(attr, size, "it changes the batch axis; examples must not be mixed")
    return net.add("reshape", record.name, [x], {"shape": rest})


@imports("torch", "aten.flatten.using_ints")
def _torch_flatten(record: Record, net: NetworkBuilder) -> str:
    """`flatten(start_dim, end_dim)`."""
    x = torch.single(record)
    shape = net.shape(x)
    start, end = (torch.axis(record, attr, value, len(shape)) for attr, value in (("start_dim", 0), ("end_dim", -1)))
    return net.add("reshape", record.name, [x], {"shape": (*shape[:start], -1, *shape[end + 1 :])})


@imports("torch", "aten.unflatten.int")
def _torch_unflatten(record: Record, net: NetworkBuilder) -> str:
    """`unflatten(dim, sizes)`."""
    x, sizes = torch.single(record), record.take("sizes")
    shape = net.shape(x)
    along = torch.axis(record, "dim", None, len(shape))
    if not isinstance(sizes, list) or any(type(dim) is not int for dim in sizes):
        raise record.unsupported("sizes", sizes, "fixed sizes are expected")
    return net.add("reshape", record.name, [x], {"shape": (*shape[:along], *sizes, *shape[along + 1 :])})


@imports("torch", "aten.unsqueeze.default", "aten.unsqueeze_.default")
def _torch_unsqueeze(record: Record, net: NetworkBuilder) -> str:
    """`unsqueeze(dim)`."""
    x = torch.single(record)
    shape = net.shape(x)
    along = torch.axis(record, "dim", None, len(shape) + 1)
    return net.add("reshape", record.name, [x], {"shape": (*shape[:along], 1, *shape[along:])})


@imports("torch", "aten.squeeze.default", "aten.squeeze.dim", "aten.squeeze.dims")
def _torch_squeeze(record: Record, net: NetworkBuilder) -> str:
    """`squeeze` of all axes of one, or of those in `dim`, where they are of one."""
    x = torch.single(record)
    shape = net.shape(x)
    wanted = record.take("dim", None)
    dims = list(range(1, len(shape) + 1)) if wanted is None else wanted if isinstance(wanted, list) else [wanted]
    gone = {without_batch(record, "dim", dim, len(shape)) for dim in dims}
    kept = tuple(size for i, size in enumerate(shape) if size != 1 or i not in gone)
    return x if kept == shape else net.add("reshape", record.name, [x], {"shape": kept})


@imports("torch", "aten.permute.default", "aten.permute_copy.default")
def _torch_permute(record: Record, net: NetworkBuilder) -> str:
    """`permute(dims)` that leaves the batch in its place."""
    x, dims = torch.single(record), record.take("dims")
    rank = len(net.shape(x)) + 1
    full = [dim % rank for dim in dims]
    if not full or full[0] != 0:
        raise record.unsupported("dims", dims, "it moves the batch axis; examples must not be mixed")
    return net.add("transpose", record.name, [x], {"perm": tuple(dim - 1 for dim in full[1:])})


@imports("torch", "aten.transpose.int", "aten.swapaxes.default", "aten.swapdims.default")
def _torch_transpose(record: Record, net: NetworkBuilder) -> str:
    """`transpose(dim0, dim1)`."""
    x = torch.single(record)
    rank = len(net.shape(x))
    names = ("axis0", "axis1") if record.kind == "aten.swapaxes.default" else ("dim0", "dim1")
    first, second = (torch.axis(record, name, None, rank) for name in names)
    perm = list(range(rank))
    perm[first], perm[second] = second, first
    return net.add("transpose", record.name, [x], {"perm": tuple(perm)})


@imports("torch", "aten.mT.default")
def _torch_matrix_transpose(record: Record, net: NetworkBuilder) -> str:
    """`x.mT`: the last two axes swapped."""
    x = torch.single(record)
    rank = len(net.shape(x))
    if rank < 2:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): it moves the batch axis")
    return net.add("transpose", record.name, [x], {"perm": (*range(rank - 2), rank - 1, rank - 2)})


@imports("torch", "aten.t.default", "aten.numpy_T.default")
def _torch_t(record: Record, net: NetworkBuilder) -> str:
    """`t` of a tensor that the model computes moves its batch axis."""
    raise UnsupportedError(
        f"layer {record.name!r} ({record.kind}): it moves the batch axis; examples must not be mixed",
        hint="transpose the weights instead: x @ W.t()",
    )


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
