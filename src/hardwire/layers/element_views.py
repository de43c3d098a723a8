"""PyTorch operators that only choose and arrange elements, by what numpy makes of the elements' numbers.

`index`, `gather`, `take_along_dim`, `diagonal`, `tril`, `triu`, `unfold`, `im2col`, `rot90`, `movedim`, `tile`,
`repeat_interleave`, `channel_shuffle`, `select_scatter`, `slice_scatter` and the like; views, free of cost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import UnsupportedError
from hardwire.layers import _torch as torch
from hardwire.layers._axes import without_batch
from hardwire.layers._base import imports
from hardwire.layers.constant import constant_tensor, torch_operand
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

Numbers = NDArray[np.int64]
"""Numbers of elements: with the batch (of two examples) in front, or without."""


def chosen_elements(net: NetworkBuilder, name: str, x: str, numbers: Numbers) -> str:
    """Return the elements of a tensor (row-major numbers, batch not counted) as a tensor of the numbers' shape."""
    size = prod(net.shape(x))
    flat = net.add("reshape", f"{name}_flat", [x], {"shape": (size,)})
    order = tuple(numbers.ravel().tolist())
    if order != tuple(range(size)):
        flat = net.add("take", f"{name}_taken", [flat], {"axis": 0, "indices": order})
    return net.add("reshape", name, [flat], {"shape": numbers.shape})


def rearranged(record: Record, net: NetworkBuilder, x: str, view: Callable[[Numbers], Any]) -> str:
    """Add what `view`, a numpy function of an array with the batch in front, does with the tensor's elements."""
    shape = net.shape(x)
    size = prod(shape)
    numbers = np.arange(2 * size).reshape(2, *shape)
    seen = np.asarray(view(numbers))
    if seen.ndim < 1 or len(seen) != 2 or np.any(seen[0] >= size) or not np.array_equal(seen[0] + size, seen[1]):
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): it moves elements across the batch",
            hint="axis 0 must stay the batch; examples must not be mixed",
        )
    return chosen_elements(net, record.name, x, seen[0])


def _dims(record: Record, attr: str, rank: int) -> list[int]:
    found = record.take(attr)
    return [without_batch(record, attr, dim, rank) + 1 for dim in (found if isinstance(found, list) else [found])]


@imports("torch", "aten.index.Tensor")
def _torch_index(record: Record, net: NetworkBuilder) -> str:
    """`x[:, [2, 0]]`, `x[:, mask]`: constant indices behind the batch."""
    x = torch.single(record)
    keys = sorted((key for key in record.array_keys() if key.startswith("1.")), key=lambda key: int(key[2:]))
    places = record.take("(present)", list(range(len(keys))))
    index: list[Any] = [slice(None)] * (max(places, default=0) + 1)
    for place, key in zip(places, keys, strict=True):
        index[place] = record.array(key)
    return rearranged(record, net, x, lambda a: _batch_in_front(a[tuple(index)], index))


def _batch_in_front(taken: Numbers, index: Sequence[Any]) -> Numbers:
    """Numpy puts the axes of indices that a slice separates in front of the batch."""
    places = [k for k, part in enumerate(index) if not isinstance(part, slice)]
    apart = places and places != list(range(places[0], places[-1] + 1))
    if not apart or 0 in places:
        return taken
    new = np.broadcast_shapes(*(np.shape(index[place]) for place in places))
    return np.moveaxis(taken, len(new), 0)


@imports("torch", "aten.gather.default", "aten.take_along_dim.default")
def _torch_gather(record: Record, net: NetworkBuilder) -> str:
    """`gather(dim, index)` and `take_along_dim(indices, dim)` by a constant index."""
    x = torch.single(record)
    rank = len(net.shape(x))
    (axis,) = _dims(record, "dim", rank)
    record.expect("sparse_grad", False, True)
    index = torch.constant(record, 2 if record.has_array("2") else 1, rank).astype(np.int64)
    gather = record.kind == "aten.gather.default"

    def view(numbers: Numbers) -> Numbers:
        wanted = np.broadcast_to(index, (2, *index.shape[index.ndim - rank :]))
        if gather:
            numbers = numbers[tuple(slice(0, n if k != axis else None) for k, n in enumerate(wanted.shape))]
        return np.take_along_axis(numbers, wanted, axis)

    return rearranged(record, net, x, view)


@imports("torch", "aten.diagonal.default", "aten.diagonal_copy.default")
def _torch_diagonal(record: Record, net: NetworkBuilder) -> str:
    """`diagonal(offset, dim1, dim2)`."""
    x = torch.single(record)
    rank = len(net.shape(x))
    offset = int(record.take("offset", 0))
    first, second = (
        without_batch(record, attr, record.take(attr, default), rank) + 1
        for attr, default in (("dim1", 0), ("dim2", 1))
    )
    return rearranged(record, net, x, lambda a: np.diagonal(a, offset, first, second))


@imports("torch", "aten.unfold.default", "aten.unfold_copy.default")
def _torch_unfold(record: Record, net: NetworkBuilder) -> str:
    """`x.unfold(dimension, size, step)`: windows, their elements on a new last axis."""
    x = torch.single(record)
    (axis,) = _dims(record, "dimension", len(net.shape(x)))
    size, step = int(record.take("size")), int(record.take("step"))

    def view(numbers: Numbers) -> Numbers:
        windows = np.lib.stride_tricks.sliding_window_view(numbers, size, axis)
        return windows[tuple(slice(None, None, step if k == axis else 1) for k in range(numbers.ndim))]

    return rearranged(record, net, x, view)


@imports("torch", "aten.im2col.default")
def _torch_im2col(record: Record, net: NetworkBuilder) -> str:
    """`nn.Unfold(kernel_size, dilation, padding, stride)`: (c·kh·kw, positions)."""
    x = torch.single(record)
    size, dilation, padding, stride = (
        [int(v) for v in record.take(attr)] for attr in ("kernel_size", "dilation", "padding", "stride")
    )
    if any(padding):
        pairs = ((0, 0), *((p, p) for p in padding))
        x = net.add("pad", f"{record.name}_padded", [x], {"padding": pairs, "mode": "constant", "value": 0.0})

    def view(numbers: Numbers) -> Numbers:
        n, c, height, width = numbers.shape
        rows, columns = (
            np.arange(0, total - d * (k - 1), s)[:, None] + d * np.arange(k)
            for total, k, d, s in zip((height, width), size, dilation, stride, strict=True)
        )
        patches = numbers[:, :, rows[:, :, None, None], columns[None, None]]
        return patches.transpose(0, 1, 3, 5, 2, 4).reshape(n, c * size[0] * size[1], -1)

    return rearranged(record, net, x, view)


@imports("torch", "aten.rot90.default")
def _torch_rot90(record: Record, net: NetworkBuilder) -> str:
    """`rot90(k, dims)`."""
    x = torch.single(record)
    k, dims = int(record.take("k", 1)), record.take("dims", [0, 1])
    return rearranged(record, net, x, lambda a: np.rot90(a, k, tuple(dims)))


@imports("torch", "aten.fliplr.default")
def _torch_fliplr(record: Record, net: NetworkBuilder) -> str:
    """`fliplr`: axis 1 reversed."""
    return rearranged(record, net, torch.single(record), np.fliplr)


@imports("torch", "aten.movedim.int", "aten.movedim.intlist", "aten.moveaxis.int", "aten.moveaxis.intlist")
def _torch_movedim(record: Record, net: NetworkBuilder) -> str:
    """`movedim(source, destination)`."""
    source, destination = record.take("source"), record.take("destination")
    return rearranged(record, net, torch.single(record), lambda a: np.moveaxis(a, source, destination))


@imports("torch", "aten.tile.default")
def _torch_tile(record: Record, net: NetworkBuilder) -> str:
    """`tile(dims)`; the batch is not repeated."""
    x, dims = torch.single(record), list(record.take("dims"))
    rank = len(net.shape(x)) + 1
    dims = [1] * (rank - len(dims)) + dims
    if len(dims) > rank or dims[0] != 1:
        raise record.unsupported("dims", dims, "the batch would be repeated or move behind a new axis")
    return rearranged(record, net, x, lambda a: np.tile(a, dims))


@imports("torch", "aten.repeat_interleave.self_int")
def _torch_repeat_interleave(record: Record, net: NetworkBuilder) -> str:
    """`repeat_interleave(repeats, dim)`."""
    x = torch.single(record)
    times, (axis,) = int(record.take("repeats")), _dims(record, "dim", len(net.shape(x)))
    record.ignore("output_size")
    return rearranged(record, net, x, lambda a: np.repeat(a, times, axis))


@imports("torch", "aten.channel_shuffle.default", "aten.native_channel_shuffle.default")
def _torch_channel_shuffle(record: Record, net: NetworkBuilder) -> str:
    """`nn.ChannelShuffle(groups)`."""
    x, groups = torch.single(record), int(record.take("groups"))

    def view(numbers: Numbers) -> Numbers:
        n, channels, *spatial = numbers.shape
        return numbers.reshape(n, groups, channels // groups, *spatial).swapaxes(1, 2).reshape(numbers.shape)

    return rearranged(record, net, x, view)


@imports("torch", "aten.tensor_split.sections", "aten.hsplit.int", "aten.vsplit.int", "aten.dsplit.int")
def _torch_tensor_split(record: Record, net: NetworkBuilder) -> list[str]:
    """`tensor_split(sections, dim)`: parts of nearly one size; `hsplit` along axis 1, `dsplit` along axis 2."""
    x = torch.single(record)
    sections = int(record.take("sections"))
    fixed = {"aten.hsplit.int": 1, "aten.vsplit.int": 0, "aten.dsplit.int": 2}.get(record.kind)
    axis = without_batch(record, "dim", record.take("dim", 0) if fixed is None else fixed, len(net.shape(x)))
    found = []
    numbers = np.arange(prod(net.shape(x))).reshape(net.shape(x))
    for part, chosen in enumerate(np.array_split(numbers, sections, axis)):
        found.append(chosen_elements(net, f"{record.name}_{part}", x, chosen))
    return found


@imports(
    "torch", "aten.expand_as.default", "aten.broadcast_to.default", "aten.view_as.default", "aten.reshape_as.default"
)
def _torch_as(record: Record, net: NetworkBuilder) -> str:
    """The shape of another tensor, or a shape: broadcast to it, or reshaped."""
    x = record.inputs[0]
    size = record.take("size", None)
    record.expect("implicit", False)
    if record.has_array("1"):
        target: tuple[int, ...] = record.array("1").shape[1:]
    elif size is not None:
        target = tuple(have if want == -1 else want for want, have in zip(size[1:], net.shape(x), strict=True))
    else:
        target = net.shape(record.inputs[1])
    if "expand" in record.kind or "broadcast" in record.kind:
        return rearranged(record, net, x, lambda a: np.broadcast_to(a, (2, *target)))
    return rearranged(record, net, x, lambda a: a.reshape(2, *target))


@imports("torch", "aten.atleast_1d.default", "aten.atleast_2d.default")
def _torch_at_least(record: Record, net: NetworkBuilder) -> str:
    """A tensor that has as many axes already."""
    x = torch.single(record)
    if len(net.shape(x)) + 1 < int(record.kind.split("_")[1][0]):
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): the batch would move", hint="unsqueeze it")
    return x


@imports("torch", "aten.tril.default", "aten.triu.default")
def _torch_triangle(record: Record, net: NetworkBuilder) -> str:
    """The lower or upper triangle of the last two axes, zeros elsewhere."""
    x = torch.single(record)
    shape, k = net.shape(x), int(record.take("diagonal", 0))
    if len(shape) < 2:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): the batch is one of its axes")
    mask = (np.tril if "tril" in record.kind else np.triu)(np.ones(shape[-2:]), k)
    return net.add("mul", record.name, [x], {}, {"constant": mask})


@imports("torch", "aten.select_scatter.default", "aten.slice_scatter.default")
def _torch_scatter(record: Record, net: NetworkBuilder) -> str:
    """A tensor with some of its elements replaced by another's: `y = x.clone(); y[:, 0] = z`."""
    select = "select" in record.kind
    rank = max(
        len(net.shape(tensor)) + (select and k == 1)
        for k, tensor in zip(record.versions["positions"], record.inputs, strict=True)
    )
    x, source = (torch_operand(record, net, position, rank - (select and position == 1)) for position in (0, 1))
    shape = net.shape(x)
    size = prod(shape)
    numbers = np.arange(size).reshape(shape)
    dim = record.take("dim", 0)
    if select:
        at: Any = int(record.take("index"))
    else:
        at = slice(record.take("start", None), record.take("end", None), record.take("step", 1))
        if dim % (len(shape) + 1) == 0 and at.start in (None, 0) and at.step == 1 and (at.stop or 1 << 62) >= 1 << 62:
            return source  # along all of the batch
    axis = without_batch(record, "dim", dim, len(shape))
    place = (*(slice(None),) * axis, at)
    new = size + np.arange(prod(net.shape(source))).reshape(net.shape(source))
    numbers[place] = np.broadcast_to(new, np.shape(numbers[place]))
    flat = [
        net.add("reshape", f"{record.name}_{key}", [tensor], {"shape": (prod(net.shape(tensor)),)})
        for key, tensor in (("old", x), ("new", source))
    ]
    both = net.add("concat", f"{record.name}_both", flat, {"axis": 0})
    return chosen_elements(net, record.name, both, numbers)


@imports("torch", "aten.copy.default")
def _torch_copy(record: Record, net: NetworkBuilder) -> str:
    """`x.copy_(y)`: y, broadcast to x's shape."""
    first, source = (torch_operand(record, net, position) for position in (0, 1))
    record.ignore("non_blocking")
    target = net.shape(first)
    return rearranged(record, net, source, lambda a: np.broadcast_to(a, (2, *target)))


@imports("torch", "aten.one_hot.default")
def _torch_one_hot(record: Record, net: NetworkBuilder) -> str:
    """`one_hot(x, num_classes)`: a comparison with each class."""
    x, classes = torch.single(record), int(record.take("num_classes", -1))
    if classes < 1:
        raise record.unsupported("num_classes", classes, "the number of classes must be given")
    wide = net.add("reshape", f"{record.name}_column", [x], {"shape": (*net.shape(x), 1)})
    attrs = {"relation": "equal"}
    return net.add("compare", record.name, [wide], attrs, {"constant": np.arange(classes, dtype=np.float64)})


def joined(record: Record, net: NetworkBuilder, name: str, axis: int, *, new: bool) -> str:
    """Concatenate the record's operands, constants among them, along an axis; `new`: one that each gets first."""
    like = record.inputs[0]
    rank = len(net.shape(like))
    constants = {int(key[2:]): record.array(key) for key in record.array_keys() if key.startswith("0.")}
    count = len(record.inputs) + len(constants)
    rest = iter(record.inputs)
    tensors = []
    for place in range(count):
        if place in constants:
            value = torch.batch_free(record, constants[place], rank)
            tensors.append(constant_tensor(net, f"{name}_constant{place}", like, value))
        else:
            tensors.append(next(rest))
    if new:
        shapes = [net.shape(tensor) for tensor in tensors]
        tensors = [
            net.add("reshape", f"{name}_part{k}", [tensor], {"shape": (*shape[:axis], 1, *shape[axis:])})
            for k, (tensor, shape) in enumerate(zip(tensors, shapes, strict=True))
        ]
    return net.add("concat", name, tensors, {"axis": axis})


@imports("torch", "aten.cat.default", "aten.concat.default", "aten.concatenate.default")
def _torch_cat(record: Record, net: NetworkBuilder) -> str:
    """`cat(tensors, dim)`."""
    axis = torch.axis(record, "dim", 0, len(net.shape(record.inputs[0])))
    return joined(record, net, record.name, axis, new=False)


@imports("torch", "aten.stack.default")
def _torch_stack(record: Record, net: NetworkBuilder) -> str:
    """`stack(tensors, dim)`: a new axis of one in each, then concatenated."""
    axis = torch.axis(record, "dim", 0, len(net.shape(record.inputs[0])) + 1)
    return joined(record, net, record.name, axis, new=True)


@imports("torch", "aten.hstack.default", "aten.dstack.default")
def _torch_hstack(record: Record, net: NetworkBuilder) -> str:
    """`hstack`: along axis 1; `dstack` along axis 2, of tensors that have it."""
    rank = len(net.shape(record.inputs[0]))
    axis = 0 if record.kind == "aten.hstack.default" else 1
    if rank <= axis:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): its operands have too few axes", hint="torch.cat"
        )
    return joined(record, net, record.name, axis, new=False)
