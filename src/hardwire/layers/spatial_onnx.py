"""ONNX import rules of layers over spatial axes, which share their attributes: `pads`, `auto_pad`, `kernel_shape`.

`Conv`, `ConvTranspose`, `MaxPool`, `AveragePool`, `GlobalMaxPool`, `GlobalAveragePool`, `Pad`, `Resize`, `Upsample`.
Tensors are (batch, c, *spatial) in the file and channels-last inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.layers import _onnx as onnx
from hardwire.layers._base import imports
from hardwire.layers._resample import Rows, coordinates, cubic_rows, linear_rows, nearest_rows
from hardwire.layers._spatial import (
    Pairs,
    channels_first,
    channels_last,
    no_padding,
    per_axis,
    reach,
    same_padding,
    spatial_rank,
)
from hardwire.layers.conv import conv_attrs
from hardwire.layers.conv_transpose import transposed_kernel
from hardwire.layers.padding import padded
from hardwire.layers.pooling import pool_attrs, pooled, pooled_globally
from hardwire.layers.upsampling import resampled
from hardwire.network.graph import NetworkBuilder, Shape
from hardwire.network.records import Record

_AUTO = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


def _pads(
    record: Record, spatial: Sequence[int], size: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> Pairs:
    """Resolve `auto_pad` and `pads`, which lists all begins, then all ends."""
    auto = record.expect("auto_pad", *_AUTO)
    rank = len(size)
    pads = list(record.take("pads", [0] * 2 * rank))
    if len(pads) != 2 * rank:
        raise record.unsupported("pads", pads, f"{2 * rank} numbers are expected")
    if auto == "NOTSET":
        return tuple(zip(pads[:rank], pads[rank:], strict=True))
    if auto == "VALID":
        return no_padding(rank)
    same = same_padding(spatial, size, strides, dilation)
    return same if auto == "SAME_UPPER" else tuple((after, before) for before, after in same)


def _per_axis(record: Record, attr: str, rank: int, default: int = 1, least: int = 1) -> tuple[int, ...]:
    return per_axis(record, attr, list(record.take(attr, [default] * rank)), rank, least)


def _weights(record: Record, rank: int) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Weights of `rank` spatial axes, and the scale of integer ones; both shaped as in the file."""
    weight, scale = onnx.scaled(record, 1)
    if weight.ndim != rank + 2:
        raise ModelError(
            f"layer {record.name!r} ({record.kind}): weights of shape {weight.shape} for {rank} spatial axes"
        )
    shape = record.take("kernel_shape", list(weight.shape[2:]))
    if list(shape) != list(weight.shape[2:]):
        raise record.unsupported("kernel_shape", shape, f"the weights have the shape {weight.shape}")
    return weight, scale


def _params(
    record: Record, weight: NDArray[Any], kernel: NDArray[Any], scale: NDArray[Any] | None
) -> dict[str, NDArray[Any]]:
    """Parameters of a convolution; `scale` is that of integer codes `kernel`, shaped alike (output channels last)."""
    channels = kernel.shape[-1]
    params: dict[str, NDArray[Any]] = {"kernel": kernel}
    if scale is not None:
        flat = scale.reshape(-1, channels)
        if np.all(flat == flat[:1]):
            params["kernel_scale"] = flat[0].copy()
        else:
            params["kernel"] = onnx.exact_product(record, kernel, scale)
    if onnx.has(record, 2):
        bias, unit = onnx.scaled(record, 2)
        if bias.shape != (channels,):
            raise ModelError(
                f"layer {record.name!r} ({record.kind}): a bias of shape {bias.shape} for weights {weight.shape}"
            )
        params["bias"] = bias
        if unit is not None:
            params["bias_scale"] = unit
    return params


@imports("onnx", "Conv")
def _onnx_conv(record: Record, net: NetworkBuilder) -> str:
    """Weights (m, c/groups, *size), constant."""
    x = onnx.data(record)
    rank = spatial_rank(record, net.shape(x))
    weight, scale = _weights(record, rank)
    groups = int(record.take("group", 1))
    strides, dilation = _per_axis(record, "strides", rank), _per_axis(record, "dilations", rank)
    size = weight.shape[2:]
    pads = _pads(record, net.shape(x)[1:], size, strides, dilation)

    def last(array: NDArray[Any]) -> NDArray[Any]:
        return np.moveaxis(array, (0, 1), (-1, -2))

    params = _params(record, weight, last(weight), None if scale is None else last(scale))
    x = channels_last(net, record.name, x)
    if any(min(pair) < 0 for pair in pads):
        x = padded(net, f"{record.name}_cut", x, (*(tuple(min(p, 0) for p in pair) for pair in pads), (0, 0)))  # type: ignore[arg-type]
        pads = tuple((max(before, 0), max(after, 0)) for before, after in pads)
    attrs = conv_attrs(rank, strides=strides, padding=pads, dilation=dilation, groups=groups)
    return channels_first(net, record.name, net.add("conv", record.name, [x], attrs, params))


@imports("onnx", "ConvTranspose")
def _onnx_conv_transpose(record: Record, net: NetworkBuilder) -> str:
    """Weights (c, m/groups, *size), constant; `output_shape` or `auto_pad` instead of `pads`."""
    x = onnx.data(record)
    rank = spatial_rank(record, net.shape(x))
    spatial = net.shape(x)[1:]
    weight, scale = _weights(record, rank)
    groups = int(record.take("group", 1))
    strides, dilation = _per_axis(record, "strides", rank), _per_axis(record, "dilations", rank)
    extra = _per_axis(record, "output_padding", rank, 0, 0)
    size = weight.shape[2:]
    wanted = record.take("output_shape", None)
    if wanted is not None or (auto := record.expect("auto_pad", *_AUTO)) in ("SAME_UPPER", "SAME_LOWER"):
        lower = wanted is None and auto == "SAME_LOWER"
        if wanted is not None:
            lower = record.expect("auto_pad", *_AUTO) != "SAME_UPPER"
            record.ignore("pads")
        target = [n * s for n, s in zip(spatial, strides, strict=True)] if wanted is None else list(wanted)[-rank:]
        cut = []
        for n, m, k, s, d, o in zip(spatial, target, size, strides, dilation, extra, strict=True):
            total = s * (n - 1) + o + reach(k, d) - int(m)
            before = total - total // 2 if lower else total // 2
            cut.append((before, total - before - o))
    else:
        pairs = _pads(record, spatial, size, strides, dilation)
        cut = [(before, after - o) for (before, after), o in zip(pairs, extra, strict=True)]
    kernel = transposed_kernel(weight, groups)
    params = _params(record, weight, kernel, None if scale is None else transposed_kernel(scale, groups))
    attrs = conv_attrs(rank, strides=strides, padding=tuple(cut), dilation=dilation, groups=groups)
    x = channels_last(net, record.name, x)
    return channels_first(net, record.name, net.add("conv_transpose", record.name, [x], attrs, params))


def window_attrs(record: Record, spatial: Sequence[int]) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Take the attributes of a pool over `spatial` axes: its size, and the attributes of a pooling node."""
    rank = len(spatial)
    size = per_axis(record, "kernel_shape", list(record.take("kernel_shape")), rank)
    strides, dilation = _per_axis(record, "strides", rank), _per_axis(record, "dilations", rank)
    ceil = bool(record.expect("ceil_mode", 0, 1))
    pads = _pads(record, spatial, size, strides, dilation)
    return size, pool_attrs(size, strides=strides, padding=pads, dilation=dilation, ceil=ceil)


@imports("onnx", "MaxPool", "AveragePool")
def _onnx_pool(record: Record, net: NetworkBuilder) -> str:
    """Windows of `kernel_shape`; of `MaxPool` the values alone."""
    x = onnx.data(record)
    spatial_rank(record, net.shape(x))
    _, attrs = window_attrs(record, net.shape(x)[1:])
    average: dict[str, Any] = {}
    if record.kind == "MaxPool":
        record.ignore("storage_order")  # of the indices
        if record.take("(outputs read)", None) is not None:
            raise UnsupportedError(f"layer {record.name!r} (MaxPool): its indices are read; only values are computed")
    else:
        average["count_padding"] = bool(record.expect("count_include_pad", 0, 1))
    x = channels_last(net, record.name, x)
    kind = "max_pool" if record.kind == "MaxPool" else "average_pool"
    return channels_first(net, record.name, pooled(net, kind, record.name, x, attrs, **average))


@imports("onnx", "GlobalMaxPool", "GlobalAveragePool")
def _onnx_global_pool(record: Record, net: NetworkBuilder) -> str:
    """All spatial axes to one element each."""
    x = onnx.data(record)
    spatial_rank(record, net.shape(x))
    kind = "max_pool" if record.kind == "GlobalMaxPool" else "average_pool"
    return channels_first(
        net, record.name, pooled_globally(net, kind, record.name, channels_last(net, record.name, x), True)
    )


_PAD_MODES = {"constant": "constant", "edge": "edge", "reflect": "reflect", "wrap": "wrap"}


@imports("onnx", "Pad")
def _onnx_pad(record: Record, net: NetworkBuilder) -> str:
    """`pads` (begins, then ends; negative ones crop) of all axes or of `axes`, none of them the batch."""
    x = onnx.data(record)
    full = len(net.shape(x)) + 1
    mode = _PAD_MODES[record.expect("mode", *_PAD_MODES)]
    if onnx.opset(record) < 11:
        pads, value = [int(p) for p in record.take("pads")], float(record.take("value", 0.0))
    else:
        pads = onnx.whole(record, onnx.constant(record, 1), "padding").ravel().tolist()
        value = onnx.scalar(record, 2, 0.0)
    if onnx.has(record, 3):
        axes = [axis % full for axis in onnx.whole(record, onnx.constant(record, 3), "axis").ravel().tolist()]
    else:
        axes = list(range(full))
    if len(pads) != 2 * len(axes):
        raise record.unsupported("pads", pads, f"{2 * len(axes)} numbers are expected")
    pairs = [(0, 0)] * full
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        pairs[axis] = (int(before), int(after))
    if pairs[0] != (0, 0):
        raise record.unsupported("pads", pads, "it pads the batch axis; events are independent")
    if not np.isfinite(value):
        raise record.unsupported("constant_value", value, "a finite number is expected")
    return padded(net, record.name, x, pairs[1:], mode, value)


@imports("onnx", "Resize", "Upsample")
def _onnx_resize(record: Record, net: NetworkBuilder) -> str:
    """Nearest, linear and cubic, by `scales` or to `sizes`, in every coordinate mode without a region of interest."""
    x = onnx.data(record)
    shape = net.shape(x)
    old = record.kind == "Upsample" or onnx.opset(record) < 11
    mode = record.expect("mode", "nearest", "linear", "cubic", "bilinear")
    place = record.expect(
        "coordinate_transformation_mode",
        "asymmetric" if old else "half_pixel",
        *("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"),
        *(("tf_half_pixel_for_nn",) if mode == "nearest" else ()),
    )
    rounding = record.expect(
        "nearest_mode",
        "floor" if old else "round_prefer_floor",
        *("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
    )
    record.expect("antialias", 0)
    record.ignore("extrapolation_value")  # of tf_crop_and_resize alone
    coefficient = Fraction(float(record.take("cubic_coeff_a", -0.75)))
    outside = not record.expect("exclude_outside", 0, 1)
    if outside is False and mode != "cubic":
        raise record.unsupported("exclude_outside", 1, "it is supported for cubic only")
    rows: dict[int, Rows] = {}
    for axis, (m, factor) in _targets(record, shape).items():
        n = shape[axis]
        if m == n and factor in (None, 1):
            continue
        if place == "align_corners" and factor is not None and (n * factor).denominator != 1:
            raise record.unsupported(
                "coordinate_transformation_mode", place, f"with a scale that gives no whole size ({n} elements)"
            )
        rule = coordinates(place, n, m, factor)
        if mode == "nearest":
            rows[axis] = nearest_rows(n, m, rule, rounding)
        elif mode == "cubic":
            rows[axis] = cubic_rows(n, m, rule, coefficient, outside)
        else:
            rows[axis] = linear_rows(n, m, rule)
    return resampled(net, record.name, x, rows)


def _targets(record: Record, shape: Shape) -> dict[int, tuple[int, Fraction | None]]:
    """New size and stated scale of each axis (batch not counted)."""
    full = len(shape) + 1
    axes = [int(axis) % full for axis in record.take("axes", list(range(full)))]
    first = 2 if record.kind == "Resize" and onnx.opset(record) >= 11 else 1
    if record.kind == "Resize" and onnx.opset(record) >= 11 and onnx.has(record, 1):
        onnx.constant(record, 1)  # the region of interest, of tf_crop_and_resize alone
    scales = record.take("scales", None) if onnx.opset(record) < 9 else None
    if scales is None and onnx.has(record, first):
        scales = onnx.constant(record, first).ravel().tolist() or None
    sizes = onnx.constant(record, 3).ravel().tolist() if first == 2 and onnx.has(record, 3) else None
    policy = record.expect("keep_aspect_ratio_policy", "stretch", "not_larger", "not_smaller")
    given = sizes if sizes is not None else scales
    if given is None or len(given) != len(axes):
        raise ModelError(f"layer {record.name!r} ({record.kind}): scales or sizes for {len(axes)} axes are missing")
    out: dict[int, tuple[int, Fraction | None]] = {}
    kept: Fraction | None = None
    if sizes is not None and policy != "stretch":
        ratios = [Fraction(int(m), shape[axis - 1]) for axis, m in zip(axes, sizes, strict=True) if axis]
        kept = min(ratios) if policy == "not_larger" else max(ratios)
    for axis, value in zip(axes, given, strict=True):
        if axis == 0:
            if value != 1 and not (sizes is not None and value in (onnx.BATCH, record.versions.get("batch"))):
                raise record.unsupported("scales", value, "the batch (axis 0) cannot be resized")
        elif kept is not None:
            out[axis - 1] = (floor(kept * shape[axis - 1] + Fraction(1, 2)), kept)
        elif sizes is not None:
            out[axis - 1] = (int(value), None)
        else:
            factor = Fraction(float(value))
            out[axis - 1] = (floor(shape[axis - 1] * factor), factor)
    return out
