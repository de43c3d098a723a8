"""Elements by constant positions along an axis: slices, splits, gathers, tiles; views, free of cost.

ONNX `Slice`, `Split`, `Gather`, `Tile`, `Expand`; PyTorch `slice`, `select`, `narrow`, `split`, `chunk`, `unbind`,
`index_select`, `flip`, `roll`, `repeat`, `expand`; Keras `RepeatVector`, `ops.GetItem` and the like.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import Floats
from hardwire.layers import _keras as keras
from hardwire.layers import _onnx as onnx
from hardwire.layers import _torch as torch
from hardwire.layers._axes import without_batch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import checked_axis, quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record


class Take(Layer):
    """Attrs `axis` (batch not counted) and `indices`: the elements along the axis, by position, maybe repeated."""

    kind = "take"
    moves = True

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the shape with as many elements along the axis as indices; raises `ModelError` for one beyond it."""
        (shape,) = inputs
        axis = checked_axis(node, node.attrs["axis"], len(shape))
        indices = node.attrs["indices"]
        if not indices:
            raise ModelError(f"layer {node.name!r}: nothing is left of axis {axis} of {shape}")
        if min(indices) < 0 or max(indices) >= shape[axis]:
            raise ModelError(f"layer {node.name!r}: element {max(indices)} of axis {axis} of {shape} does not exist")
        return (*shape[:axis], len(indices), *shape[axis + 1 :])

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the chosen elements."""
        axis = checked_axis(node, node.attrs["axis"], inputs[0].ndim - 1)
        return np.take(inputs[0], list(node.attrs["indices"]), axis=axis + 1)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Return another view; no operation."""
        (x,) = inputs
        axis = checked_axis(node, node.attrs["axis"], len(x.shape))
        chosen = list(node.attrs["indices"])
        return x.view(np.take(x.index, chosen, axis=axis), np.take(x.scales(), chosen, axis=axis))

    def examples(self) -> Iterator[Example]:
        """A slice with a step, a reversal, a repetition, and a dense layer on chosen columns."""
        for name, shape, axis, indices in (
            ("slice", (5,), 0, (1, 3)),
            ("flip", (2, 3), 0, (1, 0)),
            ("tile", (2, 2), 1, (0, 1, 0, 1)),
        ):
            net = NetworkBuilder(f"take_{name}")
            x = quantised_input(net, shape, "s4.2")
            x = net.add("take", "take", [x], {"axis": axis, "indices": indices})
            yield Example(name, net.build([net.add("relu", "relu", [x])]))
        net = NetworkBuilder("take_columns")
        x = net.add("take", "take", [quantised_input(net, (2, 4), "s4.2")], {"axis": 1, "indices": (3, 0, 2)})
        y = net.add("dense", "fc", [x], {}, {"kernel": np.array([[1.5, -1.0], [0.5, 2.0], [-0.25, 0.75]])})
        yield Example("columns", net.build([y]))


def take(net: NetworkBuilder, name: str, x: str, axis: int, indices: Iterable[int]) -> str:
    """Add a `take` node, or none where it would keep every element in its place."""
    chosen = tuple(int(index) for index in indices)
    if chosen == tuple(range(net.shape(x)[axis])):
        return x
    return net.add("take", name, [x], {"axis": axis, "indices": chosen})


def repeated(net: NetworkBuilder, name: str, x: str, repeats: Sequence[int]) -> str:
    """Repeat the whole tensor `repeats[axis]` times along each axis (numpy's `tile`, batch not counted)."""
    for axis, times in enumerate(repeats):
        x = take(net, name, x, axis, list(range(net.shape(x)[axis])) * int(times))
    return x


def expanded(record: Record, net: NetworkBuilder, name: str, x: str, target: Sequence[int]) -> str:
    """Broadcast to `target` (batch not counted; -1 keeps an axis), new axes in front of the others."""
    shape = net.shape(x)
    if len(target) < len(shape):
        target = (*(1,) * (len(shape) - len(target)), *target)
    if len(target) > len(shape):
        shape = (*(1,) * (len(target) - len(shape)), *shape)
        x = net.add("reshape", f"{name}_axes", [x], {"shape": shape})
    for axis, (have, want) in enumerate(zip(shape, target, strict=True)):
        if want not in (-1, 1, have):
            if have != 1:
                raise UnsupportedError(
                    f"layer {record.name!r} ({record.kind}): a tensor {('batch', *shape)} does not broadcast to "
                    f"{('batch', *target)}"
                )
            x = take(net, name, x, axis, [0] * int(want))
    return x


def parts(net: NetworkBuilder, name: str, x: str, axis: int, sizes: Sequence[int]) -> list[str]:
    """Split along an axis into parts of `sizes`."""
    ends = np.cumsum([0, *sizes]).tolist()
    if ends[-1] != net.shape(x)[axis] or min(sizes, default=0) < 1:
        raise ModelError(f"layer {name!r}: axis {axis} of {net.shape(x)} does not split into {list(sizes)}")
    names = [f"{name}_{number}" for number in range(len(sizes))]
    return [
        take(net, part, x, axis, range(first, last))
        for part, first, last in zip(names, ends[:-1], ends[1:], strict=True)
    ]


def gathered(net: NetworkBuilder, name: str, x: str, axis: int, indices: NDArray[Any]) -> str:
    """Elements by an index array of any shape, whose axes replace the axis."""
    shape = net.shape(x)
    flat = np.where(indices < 0, indices + shape[axis], indices).ravel()
    y = take(net, name, x, axis, flat.tolist())
    if indices.ndim == 1:
        return y
    return net.add("reshape", f"{name}_shape", [y], {"shape": (*shape[:axis], *indices.shape, *shape[axis + 1 :])})


def moved_blocks(net: NetworkBuilder, name: str, x: str, first: Shape, perm: tuple[int, ...], last: Shape) -> str:
    """Reshape, transpose, reshape: how pixels and channels are exchanged."""
    x = net.add("reshape", f"{name}_blocks", [x], {"shape": first})
    x = net.add("transpose", f"{name}_moved", [x], {"perm": perm})
    return net.add("reshape", name, [x], {"shape": last})


# --- ONNX


@imports("onnx", "Slice")
def _onnx_slice(record: Record, net: NetworkBuilder) -> str:
    """Constant starts, ends, axes, steps; along the batch only what takes all of it."""
    x = onnx.data(record)
    rank = len(net.shape(x))
    if onnx.opset(record) < 10:
        starts, ends = list(record.take("starts")), list(record.take("ends"))
        axes, steps = record.take("axes", None), None
    else:
        found = [
            [int(v) for v in onnx.constant(record, position).ravel()] if onnx.has(record, position) else None
            for position in (1, 2, 3, 4)
        ]
        if found[0] is None or found[1] is None:
            raise UnsupportedError(f"layer {record.name!r} (Slice): starts or ends are missing")
        starts, ends, axes, steps = found[0], found[1], found[2], found[3]
    axes = list(range(len(starts))) if axes is None else [int(axis) for axis in axes]
    steps = [1] * len(starts) if steps is None else steps
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if axis % (rank + 1) == 0:
            _whole_batch(record, slice(int(start), int(end), int(step)))
            continue
        at = onnx.axis_of(record, axis, rank)
        chosen = _clamped(net.shape(x)[at], int(start), int(end), int(step))
        x = take(net, record.name, x, at, chosen)
    return x


def _clamped(size: int, start: int, end: int, step: int) -> range:
    """Return what ONNX takes: an end below -size of a negative step goes through element 0."""
    return range(*slice(start, None if step < 0 and end < -size else end, step).indices(size))


def _whole_batch(record: Record, part: slice) -> None:
    batch = record.versions.get("batch")
    whole = batch is not None and part.indices(batch) == (0, batch, 1)
    if not whole and not (part.start == 0 and part.step == 1 and part.stop >= (1 << 31) - 1):
        raise record.unsupported("axes", 0, "a part of the batch (axis 0) cannot be taken; events are independent")


@imports("onnx", "Split")
def _onnx_split(record: Record, net: NetworkBuilder) -> list[str]:
    """Into `split` sizes (attribute before opset 13), `num_outputs` or equal parts."""
    x = onnx.data(record)
    axis = onnx.axis_of(record, int(record.take("axis", 0)), len(net.shape(x)))
    outputs = int(record.versions["outputs"])
    record.ignore("(outputs read)")
    count = int(record.take("num_outputs", outputs))
    sizes = record.take("split", None)
    if onnx.has(record, 1):
        sizes = onnx.constant(record, 1).ravel().tolist()
    if sizes is None:
        size = net.shape(x)[axis]
        most = -(-size // count)
        sizes = [min(most, size - start) for start in range(0, size, most)]
    if len(sizes) != outputs:
        raise ModelError(f"layer {record.name!r} (Split): {outputs} outputs for the parts {list(sizes)}")
    return parts(net, record.name, x, axis, [int(size) for size in sizes])


@imports("onnx", "Gather")
def _onnx_gather(record: Record, net: NetworkBuilder) -> str:
    """By constant indices along an axis behind the batch; rows of a constant table by computed ones."""
    if tuple(record.versions["variables"]) == (1,):
        return _onnx_rows(record, net)
    x = onnx.data(record, "the operand of indices,")
    axis = onnx.axis_of(record, int(record.take("axis", 0)), len(net.shape(x)))
    return gathered(net, record.name, x, axis, onnx.whole(record, onnx.constant(record, 1), "index"))


def _onnx_rows(record: Record, net: NetworkBuilder) -> str:
    """An embedding: rows (of any shape) of a constant table; a negative index counts from the end."""
    (x,) = record.inputs
    axis = int(record.take("axis", 0))
    table = onnx.constant(record, 0)
    if axis % max(table.ndim, 1):
        raise record.unsupported("axis", axis, "of a constant table by computed indices, 0 is supported")
    negative = net.add("compare", f"{record.name}_negative", [x], {"relation": "less"}, {"constant": np.float64(0.0)})
    back = net.add("add", f"{record.name}_from_end", [x], {}, {"constant": np.int64(len(table))})
    x = net.add("where", f"{record.name}_row", [negative, back, x])
    flat = table.reshape(len(table), -1)
    y = net.add("embedding", record.name, [x], {}, {"table": flat.astype(np.float64)})
    return net.add("reshape", f"{record.name}_shape", [y], {"shape": (*net.shape(x), *table.shape[1:])})


@imports("onnx", "Tile")
def _onnx_tile(record: Record, net: NetworkBuilder) -> str:
    """Constant repeats, 1 for the batch."""
    x = onnx.data(record)
    repeats = onnx.whole(record, onnx.constant(record, 1), "repeat").ravel().tolist()
    if not repeats or repeats[0] != 1:
        raise record.unsupported("repeats", repeats, "the batch (axis 0) must not be repeated")
    return repeated(net, record.name, x, repeats[1:])


@imports("onnx", "Expand")
def _onnx_expand(record: Record, net: NetworkBuilder) -> str:
    """Broadcast to a constant shape that keeps the batch."""
    x = onnx.data(record)
    target = onnx.whole(record, onnx.constant(record, 1), "dimension").ravel().tolist()
    shape = net.shape(x)
    if len(target) > len(shape) + 1:
        raise record.unsupported("shape", target, "the batch would move behind new axes")
    rest = target
    if len(target) == len(shape) + 1:
        if target[0] not in (1, onnx.BATCH, record.versions.get("batch")):
            raise record.unsupported("shape", target, "the batch (axis 0) must not be repeated")
        rest = target[1:]
    return expanded(record, net, record.name, x, rest)


@imports("onnx", "DepthToSpace")
def _onnx_depth_to_space(record: Record, net: NetworkBuilder) -> str:
    """Channels (c·b², h, w) become pixels (c, h·b, w·b); `DCR` or `CRD` order."""
    x = onnx.data(record)
    block = int(record.take("blocksize"))
    mode = record.expect("mode", "DCR", "CRD")
    channels, height, width = _image(record, net, x)
    if block < 1 or channels % (block * block):
        raise record.unsupported("blocksize", block, f"{channels} channels do not divide by its square")
    depth = channels // (block * block)
    last = (depth, height * block, width * block)
    if mode == "DCR":
        return moved_blocks(net, record.name, x, (block, block, depth, height, width), (2, 3, 0, 4, 1), last)
    return moved_blocks(net, record.name, x, (depth, block, block, height, width), (0, 3, 1, 4, 2), last)


@imports("onnx", "SpaceToDepth")
def _onnx_space_to_depth(record: Record, net: NetworkBuilder) -> str:
    """Pixels (c, h·b, w·b) become channels (b²·c, h, w)."""
    x = onnx.data(record)
    block = int(record.take("blocksize"))
    mode = record.expect("mode", "DCR", "CRD")
    depth, height, width = _image(record, net, x)
    if block < 1 or height % block or width % block:
        raise record.unsupported("blocksize", block, f"{height} by {width} pixels do not divide by it")
    rows, columns = height // block, width // block
    last = (depth * block * block, rows, columns)
    perm = (2, 4, 0, 1, 3) if mode == "DCR" else (0, 2, 4, 1, 3)
    return moved_blocks(net, record.name, x, (depth, rows, block, columns, block), perm, last)


def _image(record: Record, net: NetworkBuilder, x: str) -> tuple[int, int, int]:
    shape = net.shape(x)
    if len(shape) != 3:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): a tensor {('batch', *shape)} is no image")
    return shape[0], shape[1], shape[2]


# --- PyTorch


def _torch_axis(record: Record, net: NetworkBuilder, x: str, default: int | None = 0) -> int:
    return torch.axis(record, "dim", default, len(net.shape(x)))


@imports("torch", "aten.slice.Tensor", "aten.slice_copy.Tensor")
def _torch_slice(record: Record, net: NetworkBuilder) -> str:
    """`x[:, start:end:step]`; along the batch only what takes all of it."""
    x = torch.single(record)
    start, end, step = record.take("start", None), record.take("end", None), record.take("step", 1)
    dim = record.take("dim", 0)
    if dim in (0, -len(net.shape(x)) - 1):
        if start in (None, 0) and (end is None or end >= (1 << 62)) and step == 1:
            return x
        raise record.unsupported("dim", 0, "a part of the batch cannot be taken; examples are independent")
    axis = without_batch(record, "dim", dim, len(net.shape(x)))
    return take(net, record.name, x, axis, range(*slice(start, end, step).indices(net.shape(x)[axis])))


@imports("torch", "aten.pixel_shuffle.default")
def _torch_pixel_shuffle(record: Record, net: NetworkBuilder) -> str:
    """Channels (c·r², h, w) become pixels (c, h·r, w·r)."""
    x = torch.single(record)
    r = int(record.take("upscale_factor"))
    channels, height, width = _image(record, net, x)
    depth = channels // (r * r)
    last = (depth, height * r, width * r)
    return moved_blocks(net, record.name, x, (depth, r, r, height, width), (0, 3, 1, 4, 2), last)


@imports("torch", "aten.pixel_unshuffle.default")
def _torch_pixel_unshuffle(record: Record, net: NetworkBuilder) -> str:
    """Pixels (c, h·r, w·r) become channels (c·r², h, w)."""
    x = torch.single(record)
    r = int(record.take("downscale_factor"))
    depth, height, width = _image(record, net, x)
    rows, columns = height // r, width // r
    last = (depth * r * r, rows, columns)
    return moved_blocks(net, record.name, x, (depth, rows, r, columns, r), (0, 2, 4, 1, 3), last)


@imports("torch", "aten.select.int", "aten.select_copy.int")
def _torch_select(record: Record, net: NetworkBuilder) -> str:
    """`x[:, index]`."""
    x = torch.single(record)
    return gathered(net, record.name, x, _torch_axis(record, net, x), np.array(record.take("index")))


@imports("torch", "aten.index_select.default")
def _torch_index_select(record: Record, net: NetworkBuilder) -> str:
    """`index_select(dim, index)` with a constant index."""
    x = torch.single(record)
    return gathered(net, record.name, x, _torch_axis(record, net, x), np.ravel(record.array("2")))


@imports("torch", "aten.narrow.default")
def _torch_narrow(record: Record, net: NetworkBuilder) -> str:
    """`narrow(dim, start, length)`."""
    x = torch.single(record)
    axis = _torch_axis(record, net, x)
    start = int(record.take("start")) % net.shape(x)[axis]
    return take(net, record.name, x, axis, range(start, start + int(record.take("length"))))


@imports("torch", "aten.split.Tensor", "aten.split_with_sizes.default", "aten.split.sizes", "aten.chunk.default")
def _torch_split(record: Record, net: NetworkBuilder) -> list[str]:
    """`split(size)` or `split(sizes)`, `chunk(chunks)`."""
    x = torch.single(record)
    axis = _torch_axis(record, net, x)
    size = net.shape(x)[axis]
    if record.kind == "aten.chunk.default":
        wanted: Any = -(-size // int(record.take("chunks")))
    else:
        wanted = record.take("split_sizes" if "with_sizes" in record.kind else "split_size")
    sizes = [min(wanted, size - first) for first in range(0, size, wanted)] if isinstance(wanted, int) else wanted
    return parts(net, record.name, x, axis, sizes)


@imports("torch", "aten.unbind.int")
def _torch_unbind(record: Record, net: NetworkBuilder) -> list[str]:
    """`unbind(dim)`: the elements of an axis, each without it."""
    x = torch.single(record)
    axis = _torch_axis(record, net, x)
    return [gathered(net, f"{record.name}_{index}", x, axis, np.array(index)) for index in range(net.shape(x)[axis])]


@imports("torch", "aten.flip.default")
def _torch_flip(record: Record, net: NetworkBuilder) -> str:
    """`flip(dims)`."""
    x = torch.single(record)
    rank = len(net.shape(x))
    for dim in record.take("dims"):
        axis = without_batch(record, "dims", dim, rank)
        x = take(net, record.name, x, axis, range(net.shape(x)[axis] - 1, -1, -1))
    return x


@imports("torch", "aten.roll.default")
def _torch_roll(record: Record, net: NetworkBuilder) -> str:
    """`roll(shifts, dims)`."""
    x = torch.single(record)
    rank, shifts, dims = len(net.shape(x)), record.take("shifts"), record.take("dims", [])
    if not dims:
        raise record.unsupported("dims", dims, "without them the batch would be rolled too; name the axes")
    for shift, dim in zip(shifts, dims, strict=True):
        axis = without_batch(record, "dims", dim, rank)
        size = net.shape(x)[axis]
        x = take(net, record.name, x, axis, [(index - shift) % size for index in range(size)])
    return x


@imports("torch", "aten.repeat.default")
def _torch_repeat(record: Record, net: NetworkBuilder) -> str:
    """`repeat(1, …)`: the batch stays as it is."""
    x, repeats = torch.single(record), record.take("repeats")
    if len(repeats) != len(net.shape(x)) + 1 or repeats[0] != 1:
        raise record.unsupported("repeats", repeats, "one repeat for each axis is expected, 1 for the batch")
    return repeated(net, record.name, x, repeats[1:])


@imports("torch", "aten.expand.default", "aten.expand_copy.default")
def _torch_expand(record: Record, net: NetworkBuilder) -> str:
    """`expand(size)` that keeps the batch."""
    x, size = torch.single(record), record.take("size")
    record.expect("implicit", False)
    batch = record.versions.get("batch")
    if len(size) != len(net.shape(x)) + 1 or size[0] not in (None, -1, batch):
        raise record.unsupported("size", size, "the batch must stay in front and as it is")
    return expanded(record, net, record.name, x, size[1:])


# --- Keras


@imports("keras", "RepeatVector")
def _keras_repeat_vector(record: Record, net: NetworkBuilder) -> str:
    """`RepeatVector(n)`: a vector (f,) becomes (n, f)."""
    x, times = keras.single(record), int(record.take("n"))
    shape = net.shape(x)
    rows = net.add("reshape", f"{record.name}_row", [x], {"shape": (1, prod(shape))})
    return take(net, record.name, rows, 0, [0] * times)


@imports("keras", "ops.Split")
def _keras_split(record: Record, net: NetworkBuilder) -> list[str]:
    """`keras.ops.split(x, indices_or_sections, axis)`: equal parts, or where the parts begin."""
    x = keras.single(record)
    axis = keras.axis(record, "axis", 0, len(net.shape(x)))
    size = net.shape(x)[axis]
    wanted = record.take("indices_or_sections")
    if isinstance(wanted, int):
        sizes = [size // wanted] * wanted
    else:
        starts = [0, *(int(start) for start in wanted), size]
        sizes = [end - start for start, end in zip(starts, starts[1:], strict=False)]
    return parts(net, record.name, x, axis, sizes)
