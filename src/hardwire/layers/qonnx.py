"""Operators that QONNX and FINN add for their own passes: channels-last wrappers, integer pools, rows of windows.

Each is a composition of kinds that exist. Its meaning is that of the package's own execution of the node.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Overflow, Rounding
from hardwire.layers import _onnx as onnx
from hardwire.layers._base import imports
from hardwire.layers._spatial import channels_first, channels_last, no_padding, per_axis, spatial_rank
from hardwire.layers.pooling import pool_attrs, pooled
from hardwire.layers.spatial_onnx import window_attrs
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser

_LAST = "qonnx.custom_op.channels_last"
_CODES = 1 << 40
"""A range of codes that no sum of a window leaves."""


# --- ONNX


@imports("onnx", f"{_LAST}::Conv", f"{_LAST}::MaxPool", f"{_LAST}::BatchNormalization")
def _channels_last(record: Record, net: NetworkBuilder) -> str:
    """The standard operator with its channels on the last axis; the weights of `Conv` are (m, *size, c/groups)."""
    from hardwire.layers import import_rule

    x = onnx.data(record)
    if record.kind != "BatchNormalization":
        spatial_rank(record, net.shape(x))
    arrays = {key: record.array(key) for key in record.array_keys()}
    if record.kind == "Conv":
        for key in ("1", "1.scale"):
            if key in arrays and arrays[key].ndim > 1:
                arrays[key] = np.moveaxis(arrays[key], -1, 1)
    first = channels_first(net, f"{record.name}_in", x)
    rule = import_rule("onnx", record.kind)
    assert rule is not None
    inner = Record(record.name, record.kind, (first,), record.rest(), arrays, record.versions)
    made = rule(inner, net)
    inner.finish()
    return channels_last(net, f"{record.name}_out", made if isinstance(made, str) else made[0])


@imports("onnx", "qonnx::MaxPoolNHWC")
def _max_pool(record: Record, net: NetworkBuilder) -> str:
    """`MaxPool` of a channels-last image."""
    x = onnx.data(record)
    spatial_rank(record, net.shape(x), 2)
    _, attrs = window_attrs(record, net.shape(x)[:-1])
    return pooled(net, "max_pool", record.name, x, attrs)


@imports("onnx", "qonnx::QuantAvgPool2d")
def _average(record: Record, net: NetworkBuilder) -> str:
    """The sum of a window of integers, shifted right until it has `obits` bits if all of `ibits` are at their largest.

    What is no integer is rounded before, ties to even.
    """
    x = onnx.data(record)
    size, stride, ibits, obits = (_count(record, attr) for attr in ("kernel", "stride", "ibits", "obits"))
    record.expect("signed", 0, 1)
    first = record.expect("data_layout", "NCHW", "NHWC") == "NCHW"
    x = channels_last(net, record.name, x) if first else x
    spatial_rank(record, net.shape(x), 2)
    attrs = pool_attrs((size, size), strides=(stride, stride), padding=no_padding(2))
    y = pooled(net, "average_pool", f"{record.name}_sum", x, attrs, divisor=1)
    y = _whole(net, f"{record.name}_whole", y, Rounding.RND_CONV)
    shift = max(0, ((2**ibits - 1) * size * size).bit_length() - obits)
    if shift:
        y = net.add("mul", f"{record.name}_shift", [y], {}, {"constant": np.float64(2.0**-shift)})
        y = _whole(net, record.name, y, Rounding.TRN)
    return channels_first(net, record.name, y) if first else y


def _count(record: Record, attr: str) -> int:
    value = record.take(attr)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 32:
        raise record.unsupported(attr, value, "a number from 1 to 32 is expected")
    return value


def _whole(net: NetworkBuilder, name: str, x: str, rounding: Rounding) -> str:
    codes = (np.asarray(end, np.int64) for end in (-_CODES, _CODES - 1))
    lo, hi = codes
    return net.add("quantise", name, [x], {"quantiser": Quantiser(np.ones(()), lo, hi, rounding, Overflow.SAT)})


@imports("onnx", "qonnx::Im2Col")
def _windows(record: Record, net: NetworkBuilder) -> str:
    """Windows of a channels-last image as rows (height, width, taps · channels), padded with `pad_value`."""
    x = onnx.data(record)
    spatial_rank(record, net.shape(x), 2)
    size = per_axis(record, "kernel_size", record.take("kernel_size"), 2)
    strides = per_axis(record, "stride", record.take("stride"), 2)
    dilation = per_axis(record, "dilations", record.take("dilations", 1), 2)
    record.expect("depthwise", 0, 1)  # a hint to FINN: the rows are the same
    value = float(record.take("pad_value", 0))
    top, left, bottom, right = _pads(record)
    _stated(record, net.shape(x))
    if top or left or bottom or right:
        attrs = {"padding": ((top, bottom), (left, right), (0, 0)), "mode": "constant", "value": value}
        x = net.add("pad", f"{record.name}_padded", [x], attrs)
    x = net.add("patches", f"{record.name}_windows", [x], {"size": size, "strides": strides, "dilation": dilation})
    *places, taps, channels = net.shape(x)
    return net.add("reshape", record.name, [x], {"shape": (*places, taps * channels)})


def _pads(record: Record) -> Sequence[int]:
    """Begins and ends of both axes; older files have one number for all, or one for each axis."""
    given = record.take("pad_amount", 0)
    pads = [given] * 4 if isinstance(given, int) else list(given)
    pads = pads * 2 if len(pads) == 2 else pads
    if len(pads) != 4 or any(not isinstance(p, int) or p < 0 for p in pads):
        raise record.unsupported("pad_amount", given, "four numbers of at least 0 are expected")
    return pads


def _stated(record: Record, shape: Sequence[int]) -> None:
    """Take the shape that the node states as text, which must be the tensor's (the batch aside)."""
    text = record.take("input_shape", "")
    stated = [part.strip() for part in str(text).strip("()[] ").split(",") if part.strip()]
    if stated and stated[1:] != [str(n) for n in shape]:
        raise record.unsupported(
            "input_shape", text, f"the tensor has the shape ('batch', {', '.join(map(str, shape))})"
        )


@imports("onnx", "qonnx::XnorPopcountMatMul")
def _popcount(record: Record, net: NetworkBuilder) -> str:
    """Number of equal bits of the rows of operand 0 and the columns of operand 1 (k, n), all bits being 0 or 1."""
    x = onnx.data(record)
    kernel = np.asarray(onnx.constant(record, 1), np.float64)
    if kernel.ndim != 2 or kernel.shape[0] != net.shape(x)[-1] or not np.all((kernel == 0) | (kernel == 1)):
        raise ModelError(
            f"layer {record.name!r} (XnorPopcountMatMul): weights of shape {kernel.shape}, expected 0 and 1 of shape "
            f"({net.shape(x)[-1]}, n)"
        )
    params: dict[str, Any] = {"kernel": 2 * kernel - 1, "bias": np.sum(1 - kernel, axis=0)}
    return net.add("dense", record.name, [x], {}, params)


@imports("onnx", "qonnx::DebugMarker")
def _marker(record: Record, net: NetworkBuilder) -> str:
    """A name for FINN's debugging: its input."""
    record.ignore("export_debug_name")
    return onnx.data(record)
