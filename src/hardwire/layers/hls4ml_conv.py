"""hls4ml's convolutions over channels-last data, to the bit: windows of the input times a matrix, as in `dense`.

Line buffers, encoded streams and im2col code compute the same windows; the multiplication is that of `dense`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hardwire.errors import UnsupportedError
from hardwire.fixed import Overflow
from hardwire.layers._base import imports
from hardwire.layers._hls4ml import Layer, Term
from hardwire.layers._hls4ml_types import Fixed
from hardwire.layers.hls4ml_dense import Matrix, dense_result, kernel_sums, matrix_config, product_terms, sums
from hardwire.layers.hls4ml_generated import computed
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

_IGNORED = (
    "weight_t",
    "bias_t",
    "scale_index",
    "scale_index_height",
    "scale_index_width",
    "fill_buffer",
    "implementation",
    "strides",
    "line_buffer",
    "kernel_size",
    "out_width",
    "out_height",
)


class Window:
    """Size, stride, padding and dilation of a convolution's or pooling's windows, taken from config members."""

    def __init__(self, config: dict[str, Any], layer: Layer, *, size: str = "filt", channels: str = "n_chan") -> None:
        self.layer = layer
        self.config = config
        plane = "in_height" in config or f"{size}_height" in config
        width = "in_width" if "in_width" in config else "n_in"
        axes = (("height", "in_height", "pad_top", "pad_bottom"),) if plane else ()
        axes = (*axes, ("width", width, "pad_left", "pad_right"))
        self.channels = self.take(channels)
        self.spatial = tuple(self.take(name) for _, name, _, _ in axes)
        self.size = tuple(self.take(f"{size}_{axis}", 1) for axis, _, _, _ in axes)
        self.strides = tuple(self.take(f"stride_{axis}", 1) for axis, _, _, _ in axes)
        self.padding = tuple((self.take(a, 0), self.take(b, 0)) for _, _, a, b in axes)
        shared = self.take("dilation", 1)
        self.dilation = tuple(self.take(f"dilation_{axis}", shared) for axis, _, _, _ in axes)
        if min(self.channels, *self.spatial, *self.size, *self.strides, *self.dilation) < 1:
            raise UnsupportedError(f"layer {layer.name!r} ({layer.record.kind}): a dimension of its config is below 1")

    def take(self, key: str, default: int | None = None) -> int:
        """Take an integer of the config."""
        value = self.config.pop(key, default)
        if not isinstance(value, int):
            raise self.layer.record.unsupported(key, value, "expected an integer")
        return value

    def patches(self, x: Term) -> Term:
        """Windows of a flat tensor, (*positions, taps, channels); zeros around it."""
        layer = self.layer
        y = layer.view(x, (*self.spatial, self.channels))
        if any(before or after for before, after in self.padding):
            attrs = {"padding": (*self.padding, (0, 0)), "mode": "constant", "value": 0.0}
            y = Term(layer.node("pad", "padded", [y.tensor], attrs), x.type)
        attrs = {"size": self.size, "strides": self.strides, "dilation": self.dilation}
        return Term(layer.node("patches", "windows", [y.tensor], attrs), x.type)

    def rows(self, x: Term, *, channels_first: bool = False) -> Term:
        """Windows as rows, (*positions, taps · channels), or channels · taps."""
        y = self.patches(x)
        *places, taps, channels = self.layer.shape(y)
        if channels_first:
            y = self.layer.turned(y, (*range(len(places)), len(places) + 1, len(places)))
        return self.layer.view(y, (*places, taps * channels))


def _matrix(layer: Layer, config: dict[str, Any]) -> dict[str, Any]:
    """Take what the multiplication needs: from `mult_config` where there is one, the strategy from the convolution."""
    inner = config.pop("mult_config", None)
    inner = dict(inner) if isinstance(inner, dict) else {}
    outer: dict[str, Any] = {
        key: config.pop(key) for key in ("product", "accum_t", "strategy", "reuse_factor") if key in config
    }
    kernel = config.pop("conv_kernel", None) or inner.get("kernel", "")
    if "BatchedDense" in str(kernel) or "pointwise_conv_" in str(kernel):  # written code that splits the positions
        kernel = "DenseLatency"
    return matrix_config(layer, {**inner, **outer, "kernel": kernel, "product": inner.get("product", "mult")})


def convolution(layer: Layer, x: Term, config: dict[str, Any], weights: Matrix, bias: Matrix) -> Term:
    """Every window times the kernel's matrix; the config's members are taken."""
    window = Window(config, layer)
    outputs = window.take("n_filt")
    code = layer.record.versions["code"]
    if code is not None:  # distributed arithmetic
        for key in ("mult_config", "conv_kernel", "product", "accum_t", "strategy", "reuse_factor"):
            config.pop(key, None)
        return computed(layer, code, window.rows(x))
    done = _matrix(layer, config)
    n_in = int(np.prod(window.size)) * window.channels
    rows = window.rows(x, channels_first=layer.record.kind == "conv_2d_large_cl")
    return kernel_sums(layer, rows, weights, bias, done, n_in, outputs)


def depthwise(layer: Layer, x: Term, config: dict[str, Any], weights: Matrix, bias: Matrix) -> Term:
    """Every channel's window times its own column of the kernel (taps, channels)."""
    window = Window(config, layer)
    channels = window.channels
    outputs = window.take("n_filt", channels)
    if outputs != channels:
        raise UnsupportedError(
            f"layer {layer.name!r} ({layer.record.kind}): {outputs} outputs of {channels} channels; a depth multiplier "
            "is not supported by hls4ml"
        )
    done = _matrix(layer, config)
    taps = int(np.prod(window.size))
    factor, offset = product_terms(layer, done["product"], weights)
    order: Any = None
    reuse = done["reuse_factor"]
    if done["transposed"] and done["accum_t"].overflow is not Overflow.WRAP:
        order = tuple(sorted(range(taps * channels), key=lambda i: (i % min(reuse, taps * channels), i)))
    place = np.arange(taps * channels)
    kernel = np.zeros((taps * channels, channels))
    kernel[place, place % channels] = factor.reshape(-1)
    added = None
    if offset is not None:
        added = np.zeros_like(kernel)
        added[place, place % channels] = offset.reshape(-1)
    total = sums(layer, window.rows(x), kernel, bias, done["accum_t"], offset=added, order=order)
    return dense_result(layer, total, taps * channels, done["product"] == "both_binary")


def _config(record: Record) -> dict[str, Any]:
    """Take the whole config of a convolution, without what changes no result."""
    config = record.rest()
    for key in (*_IGNORED, *(name for name in config if name.startswith("n_") and name[2:] in _COUNTS)):
        config.pop(key, None)
    return config


_COUNTS = ("zeros", "nonzeros", "partitions", "pixels")
_HARDWARE = ("multiplier_limit", "store_weights_in_bram", "min_width", "min_height", "pixels", "io_type", "index_t")


def _finish(layer: Layer, config: dict[str, Any]) -> None:
    """Refuse members that nothing took."""
    for key, value in config.items():
        if key not in _HARDWARE:
            raise layer.record.unsupported(key, value, "is not understood")


_OF_STRATEGIES = ("conv_1d_latency_cl", "conv_2d_latency_cl", "conv_2d_large_cl")


@imports("hls4ml", "conv_1d_cl", "conv_2d_cl", "pointwise_conv_1d_cl", "pointwise_conv_2d_cl", *_OF_STRATEGIES)
def _conv(record: Record, net: NetworkBuilder) -> str:
    """`conv_Nd_cl(data, res, weights, biases)`; before hls4ml 0.5 its name said the strategy."""
    config = _config(record)
    if record.kind in _OF_STRATEGIES:
        config["strategy"] = record.kind.split("_")[2]
    layer = Layer(record, net)
    total = convolution(layer, layer.x, config, layer.array(0), layer.array(1))
    _finish(layer, config)
    return layer.assign(total)


@imports("hls4ml", "depthwise_conv_1d_cl", "depthwise_conv_2d_cl")
def _depthwise(record: Record, net: NetworkBuilder) -> str:
    """`depthwise_conv_Nd_cl(data, res, weights, biases)`."""
    config = _config(record)
    layer = Layer(record, net)
    total = depthwise(layer, layer.x, config, layer.array(0), layer.array(1))
    _finish(layer, config)
    return layer.assign(total)


@imports("hls4ml", "separable_conv_1d_cl", "separable_conv_2d_cl")
def _separable(record: Record, net: NetworkBuilder) -> str:
    """`separable_conv_Nd_cl<data, between, res, config>(data, res, depthwise, pointwise, zeros, biases)`."""
    config = _config(record)
    layer = Layer(record, net)
    parts = [dict(config.pop(f"{name}_config", {})) for name in ("depthwise", "pointwise")]
    for part in parts:
        for key in (*_IGNORED, *(name for name in list(part) if name.startswith("n_") and name[2:] in _COUNTS)):
            part.pop(key, None)
    kinds = [_element(kind) for kind in record.versions["template"]]
    first = depthwise(layer, layer.x, parts[0], layer.array(0), layer.array(2))
    if len(kinds) == 4 and isinstance(kinds[1], Fixed):
        between = kinds[1]
    else:  # before hls4ml 1.0 the result of the first part had the type of its input
        between = layer.x.type
    first = layer.cast(first, between, "between")
    flat = layer.view(first, (int(np.prod(layer.shape(first))),))
    total = convolution(layer, flat, parts[1], layer.array(1), layer.array(3))
    for part in (*parts, config):
        _finish(layer, part)
    return layer.assign(total)


def _element(kind: Any) -> Any:
    return getattr(kind, "element", kind)
