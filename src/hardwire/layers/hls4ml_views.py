"""hls4ml's functions that only move elements: copies of streams, repacking, transposition, padding, resizing."""

from __future__ import annotations

from math import prod

from hardwire.errors import UnsupportedError
from hardwire.layers._base import imports
from hardwire.layers._hls4ml import Layer
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record


@imports("hls4ml", "clone_stream")
def _clone(record: Record, net: NetworkBuilder) -> list[str]:
    """One stream becomes several."""
    layer = Layer(record, net)
    return [layer.cast(layer.x, output.type).tensor for output in layer.outputs]


@imports("hls4ml", "repack_stream")
def _repack(record: Record, net: NetworkBuilder) -> str:
    """Packets of another size; the order of elements stays."""
    layer = Layer(record, net)
    return layer.assign(layer.x)


@imports("hls4ml", "broadcast_stream")
def _broadcast(record: Record, net: NetworkBuilder) -> str:
    """Repeat one position, one channel, or nothing over an image."""
    layer = Layer(record, net)
    before = [layer.integer(f"in_{axis}") for axis in ("height", "width", "chan")]
    after = [layer.integer(f"out_{axis}") for axis in ("height", "width", "chan")]
    x = layer.view(layer.x, before)
    for axis, (n, m) in enumerate(zip(before, after, strict=True)):
        if n != m:
            if n != 1:
                raise UnsupportedError(f"layer {layer.name!r}: {n} elements along an axis cannot become {m}")
            x = layer.taken(x, axis, [0] * m)
    return layer.assign(x)


@imports("hls4ml", "transpose", "transpose_2d", "transpose_3d")
def _transpose(record: Record, net: NetworkBuilder) -> str:
    """Transpose by the config's `perm`."""
    layer = Layer(record, net)
    record.ignore("N", "dims", "to_shape", "perm_strides")
    if record.has("from_shape"):
        shape = tuple(record.take("from_shape"))
    else:
        shape = tuple(layer.integer(key) for key in ("depth", "height", "width") if record.has(key))
    perm = tuple(record.take("perm", (1, 0)))
    if any(not isinstance(dim, int) for dim in (*shape, *perm)) or sorted(perm) != list(range(len(perm))):
        raise record.unsupported("perm", perm, "expected an order of axes")
    if len(shape) > len(perm):  # (depth of 1, height, width) for two axes
        shape = shape[-len(perm) :]
    if prod(shape) != prod(layer.shape(layer.x)) or len(shape) != len(perm):
        raise record.unsupported("from_shape", shape, f"the input has {prod(layer.shape(layer.x))} elements")
    return layer.assign(layer.turned(layer.view(layer.x, shape), perm))


def _image(layer: Layer, *, width: str = "in_width", height: str = "in_height") -> tuple[int, ...]:
    """Shape (width, channels) or (height, width, channels) of the input by its config."""
    parts = [layer.integer(height)] if layer.record.has(height) else []
    return (*parts, layer.integer(width), layer.integer("n_chan"))


@imports("hls4ml", "zeropad1d_cl", "zeropad2d_cl")
def _zeropad(record: Record, net: NetworkBuilder) -> str:
    """Zeros around each channel."""
    layer = Layer(record, net)
    record.ignore("out_width", "out_height")
    shape = _image(layer)
    ends = (("pad_top", "pad_bottom"), ("pad_left", "pad_right"))[-(len(shape) - 1) :]
    pads = tuple((layer.integer(a), layer.integer(b)) for a, b in ends)
    x = layer.cast(layer.view(layer.x, shape), layer.result)
    attrs = {"padding": (*pads, (0, 0)), "mode": "constant", "value": 0.0}
    return layer.node("pad", "", [x.tensor], attrs)


@imports("hls4ml", "cropping1d_cl", "cropping2d_cl")
def _crop(record: Record, net: NetworkBuilder) -> str:
    """Cut the borders."""
    layer = Layer(record, net)
    record.ignore("out_width", "out_height")
    shape = _image(layer)
    ends = (("crop_top", "crop_bottom"), ("crop_left", "crop_right"))[-(len(shape) - 1) :]
    cuts = tuple((layer.integer(a), layer.integer(b)) for a, b in ends)
    x = layer.cast(layer.view(layer.x, shape), layer.result)
    return layer.node("crop", "", [x.tensor], {"cropping": (*cuts, (0, 0))})


@imports("hls4ml", "resize_nearest")
def _resize(record: Record, net: NetworkBuilder) -> str:
    """Repeat rows and columns; with one of height 1 that is one axis."""
    layer = Layer(record, net)
    old = (layer.integer("height"), layer.integer("width"))
    new = (layer.integer("new_height"), layer.integer("new_width"))
    x = layer.view(layer.x, (*old, layer.integer("n_chan")))
    for axis, (n, m) in enumerate(zip(old, new, strict=True)):
        if n != m:
            # Each position takes the source that the ratio, kept as hls4ml does, leads to.
            x = layer.taken(x, axis, _sources(layer, n, m, axis))
    return layer.assign(x)


def _sources(layer: Layer, n: int, m: int, axis: int) -> list[int]:
    if layer.stream:
        if m % n:
            raise UnsupportedError(f"layer {layer.name!r}: {n} positions resized to {m} in a stream")
        return [i // (m // n) for i in range(m)]
    ratio = ((n << 16) // m) + 1
    return [(i * ratio) >> 16 for i in range(m)]
