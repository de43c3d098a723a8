"""Windows of a channels-last tensor, laid out as rows: a view, for layers that are matrix products of windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Floats
from hardwire.layers._base import Example, Layer
from hardwire.layers._elements import quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.network.graph import NetworkBuilder, Node, Shape


class Patches(Layer):
    """Attrs `size`, `strides`, `dilation`, one entry a spatial axis: (*spatial, c) becomes (*positions, taps, c)."""

    kind = "patches"
    moves = True

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return (*positions, taps, c); raises `ModelError` for a window larger than the tensor."""
        (shape,) = inputs
        size, strides, dilation = node.attrs["size"], node.attrs["strides"], node.attrs["dilation"]
        if not len(size) == len(strides) == len(dilation) == len(shape) - 1:
            raise ModelError(f"layer {node.name!r}: windows of {len(size)} axes over a tensor of shape {shape}")
        reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
        if any(r > n for r, n in zip(reach, shape, strict=False)) or min(*size, *strides, *dilation) < 1:
            raise ModelError(f"layer {node.name!r}: a window of {tuple(reach)} over a tensor of shape {shape}")
        places = [(n - r) // s + 1 for n, r, s in zip(shape, reach, strides, strict=False)]
        return (*places, int(np.prod(size)), shape[-1])

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the windows."""
        (x,) = inputs
        flat = x.reshape(len(x), -1, x.shape[-1])
        index = _places(node, x.shape[1:])
        return np.asarray(flat[:, index])

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Return another view."""
        (x,) = inputs
        index = _places(node, x.shape)
        flat, scales = x.index.reshape(-1, x.shape[-1]), x.scales()
        if all(scales.strides[axis] == 0 for axis in range(len(x.shape) - 1)):
            channel = scales[(0,) * (len(x.shape) - 1)]
            return x.view(flat[index], np.broadcast_to(channel, (*index.shape, x.shape[-1])))
        return x.view(flat[index], scales.reshape(-1, x.shape[-1])[index])

    def examples(self) -> Iterator[Example]:
        """Overlapping windows over one axis, strided and dilated ones over two."""
        for name, shape, size, strides, dilation in (
            ("line", (4, 2), (2,), (1,), (1,)),
            ("plane", (4, 5, 1), (2, 2), (2, 1), (1, 2)),
        ):
            net = NetworkBuilder(f"patches_{name}")
            x = quantised_input(net, shape, "s4.2")
            attrs = {"size": size, "strides": strides, "dilation": dilation}
            yield Example(name, net.build([net.add("patches", "windows", [x], attrs)]))


def _places(node: Node, shape: Shape) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Flat spatial index of every tap, (*positions, taps)."""
    size, strides, dilation = node.attrs["size"], node.attrs["strides"], node.attrs["dilation"]
    spatial = shape[:-1]
    grid = np.arange(int(np.prod(spatial))).reshape(spatial)
    reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    starts = np.ix_(*(np.arange(0, n - r + 1, s) for n, r, s in zip(spatial, reach, strides, strict=True)))
    taps = np.ix_(*(np.arange(k) * d for k, d in zip(size, dilation, strict=True)))
    first, step = grid[starts], grid[taps].reshape(-1)
    return first[..., None] + step
