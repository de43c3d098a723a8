"""Resizing one axis: nearest elements (a view) or weighted sums of a few (exact where weights are rational).

Keras `UpSampling1D/2D/3D`; ONNX `Resize`, `Upsample`; PyTorch `upsample_nearest…`, `upsample_linear1d`,
`upsample_bilinear2d`, `upsample_trilinear3d`, `upsample_bicubic2d`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import Floats
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _keras as keras
from hardwire.layers import _torch as torch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import checked_axis, multiple, quantised_input
from hardwire.layers._lowering import Lowering, Part, Wire
from hardwire.layers._neurons import channel_scaled
from hardwire.layers._resample import Rows, coordinates, cubic_rows, linear_rows, nearest_rows
from hardwire.layers._scales import common_scale
from hardwire.layers._spatial import flat_positions, is_even, per_axis, spatial_rank
from hardwire.layers.conv import data_format
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record


class Resample(Layer):
    """Attrs `axis` (≥ 0, batch not counted) and `rows`: for each output element its (source index, weight) pairs.

    Weights are `Fraction`s (`layers._resample` makes them). One source of weight 1 each is a view.
    """

    kind = "resample"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the shape with another number of elements along the axis."""
        (shape,) = inputs
        axis = checked_axis(node, node.attrs["axis"], len(shape))
        rows: Rows = node.attrs["rows"]
        if not rows or any(not row or not all(0 <= source < shape[axis] for source, _ in row) for row in rows):
            raise ModelError(f"layer {node.name!r}: rows do not fit axis {axis} of {shape}")
        return (*shape[:axis], len(rows), *shape[axis + 1 :])

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Float64 weighted sums."""
        x, axis, rows = inputs[0], node.attrs["axis"] + 1, node.attrs["rows"]
        if _is_view(rows):
            return np.take(x, [row[0][0] for row in rows], axis=axis)
        matrix = np.zeros((len(rows), x.shape[axis]))
        for i, row in enumerate(rows):
            for source, weight in row:
                matrix[i, source] = float(weight)
        return np.asarray(np.moveaxis(np.moveaxis(x, axis, -1) @ matrix.T, -1, axis), np.float64)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Return a view, or one kernel for each set of weights; the common denominator goes into the scale."""
        (x,) = inputs
        axis, rows = node.attrs["axis"], node.attrs["rows"]
        if _is_view(rows):
            sources = [row[0][0] for row in rows]
            return x.view(np.take(x.index, sources, axis=axis), np.take(x.scales(), sources, axis=axis))
        # The axis goes first, the others are positions of blocks of channels.
        rank = len(x.shape)
        order = [axis, *(a for a in range(rank) if a != axis)]
        x = x.view(x.index.transpose(order), x.scales().transpose(order))
        if rank == 1:
            x = x.view(x.index[:, None], x.scales()[:, None])
        x, scales = channel_scaled(node, low, x)
        if not is_even(x):
            x = low.ordered(x)
        channels = x.shape[-1]
        unit = common_scale({weight for row in rows for _, weight in row})
        shape = (len(rows), *x.shape[1:])
        kinds: dict[tuple[tuple[int, Fraction], ...], list[int]] = {}
        for i, row in enumerate(rows):
            kinds.setdefault(tuple((source - row[0][0], weight) for source, weight in row), []).append(i)
        parts = []
        inner = [np.arange(n) for n in shape[1:-1]]
        for kind, members in kinds.items():
            base = flat_positions([np.array(members), *inner], shape[:-1]) * channels
            where = np.array([[source for source, _ in rows[i]] for i in members])
            index = np.moveaxis(x.index[where], 1, -2).reshape(len(base), -1)
            builder = KernelBuilder(node.name, *low.window_range([(x, index)]))
            coefs = [multiple(node, weight, unit, "weight") for _, weight in kind]
            outputs = [builder.linear([t * channels + c for t in range(len(coefs))], coefs) for c in range(channels)]
            parts.append(Part(builder.build(outputs), [(x, index)], base))
        scale = np.empty(channels, object)
        scale[:] = [s * unit for s in scales]
        y = low.assemble(node, parts, shape, scale)
        if rank == 1:
            return y.view(y.index[:, 0], y.scales()[:, 0])
        back = np.argsort(order)
        return y.view(y.index.transpose(back), y.scales().transpose(back))

    def examples(self) -> Iterator[Example]:
        """Nearest, linear by two and (with weights in thirds) to align corners, along either axis."""
        cases: tuple[tuple[str, int, Rows], ...] = (
            ("nearest", 0, nearest_rows(2, 4, coordinates("asymmetric", 2, 4))),
            ("linear", 0, linear_rows(2, 4, coordinates("half_pixel", 2, 4))),
            ("corners", 1, linear_rows(2, 4, coordinates("align_corners", 2, 4))),
        )
        for name, axis, rows in cases:
            net = NetworkBuilder(f"resample_{name}")
            x = quantised_input(net, (2, 2), "s4.2")
            yield Example(name, net.build([net.add("resample", "r", [x], {"axis": axis, "rows": rows})]))


def _is_view(rows: Rows) -> bool:
    return all(len(row) == 1 and row[0][1] == 1 for row in rows)


def resampled(net: NetworkBuilder, name: str, x: str, rows_of: dict[int, Rows]) -> str:
    """Resize several axes, one after another; the last node has the layer's own name."""
    axes = sorted(rows_of)
    for axis in axes:
        own = name if axis == axes[-1] else f"{name}_axis{axis}"
        x = net.add("resample", own, [x], {"axis": axis, "rows": rows_of[axis]})
    return x


# --- Keras


@imports("keras", "UpSampling1D", "UpSampling2D", "UpSampling3D")
def _keras_up_sampling(record: Record, net: NetworkBuilder) -> str:
    """`UpSamplingND` by whole factors: nearest, and (2D) bilinear or bicubic at half-pixel centres."""
    rank = int(record.kind[-2])
    x = keras.single(record)
    factors = per_axis(record, "size", record.take("size", 2), rank)
    method = record.expect("interpolation", "nearest", *(("bilinear", "bicubic") if rank == 2 else ()))
    first = data_format(record) == "channels_first"
    shape = net.shape(x)
    spatial_rank(record, shape, rank)
    rows: dict[int, Rows] = {}
    for axis, factor in enumerate(factors, 1 if first else 0):
        n = shape[axis]
        if method == "nearest":
            rows[axis] = nearest_rows(n, n * factor, coordinates("asymmetric", n, n * factor))
        elif method == "bilinear":
            rows[axis] = linear_rows(n, n * factor, coordinates("half_pixel", n, n * factor))
        else:
            # TensorFlow's and JAX's cubic: a = -1/2, sources beyond the ends left out.
            place = coordinates("half_pixel", n, n * factor)
            rows[axis] = cubic_rows(n, n * factor, place, Fraction(-1, 2), outside=False)
    return resampled(net, record.name, x, rows)


# --- PyTorch

_TORCH_FORMS = ("default", "vec")


@imports(
    "torch",
    *(
        f"aten.{exact}{n}d.{form}"
        for exact in ("upsample_nearest", "_upsample_nearest_exact")
        for n in (1, 2, 3)
        for form in _TORCH_FORMS
    ),
    *(
        f"aten.upsample_{name}.{form}"
        for name in ("linear1d", "bilinear2d", "trilinear3d", "bicubic2d")
        for form in _TORCH_FORMS
    ),
)
def _torch_upsample(record: Record, net: NetworkBuilder) -> str:
    """`interpolate` in the modes nearest, nearest-exact, linear, bilinear, trilinear and bicubic."""
    rank = int(record.kind.partition("d.")[0][-1])
    x = torch.single(record)
    shape = net.shape(x)
    if len(shape) != rank + 1:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): an input of the shape ('batch', *{shape}) has another number of "
            f"spatial axes than {rank}"
        )
    corners = bool(record.take("align_corners", False))
    sizes = record.take("output_size", None)
    factors = record.take("scale_factors", None)
    names = ("scales",) if rank == 1 else tuple(f"scales_{axis}" for axis in "dhw"[3 - rank :])
    single = [record.take(name, None) for name in names]
    if factors is None and all(value is not None for value in single):
        factors = single
    rows: dict[int, Rows] = {}
    for axis in range(rank):
        n = shape[axis + 1]
        factor = None if factors is None else Fraction(float(factors[axis]))
        m = int(sizes[axis]) if sizes is not None else int(n * factor) if factor is not None else n
        rows[axis + 1] = _torch_rows(record, n, m, factor, corners)
    return resampled(net, record.name, x, rows)


def _torch_rows(record: Record, n: int, m: int, factor: Fraction | None, corners: bool) -> Rows:
    if record.kind.startswith("aten.upsample_nearest"):
        return nearest_rows(n, m, coordinates("asymmetric", n, m, factor))
    if "nearest" in record.kind:
        place = coordinates("half_pixel", n, m, factor)
        return nearest_rows(n, m, place, "round_prefer_ceil")
    place = coordinates("align_corners" if corners else "half_pixel", n, m, None if corners else factor)
    return cubic_rows(n, m, place) if "cubic" in record.kind else linear_rows(n, m, place)
