"""hls4ml's pooling over channels-last data, to the bit: what is cast when, and a division toward zero."""

from __future__ import annotations

import numpy as np

from hardwire.errors import UnsupportedError
from hardwire.fixed import Floats, Overflow, Rounding
from hardwire.layers._base import imports
from hardwire.layers._hls4ml import Layer, Term
from hardwire.layers._hls4ml_types import Fixed
from hardwire.layers.hls4ml_conv import Window
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser


def divided(layer: Layer, total: Term, divisor: Floats | float, kind: Fixed) -> Term:
    """`total / divisor` as C++ divides fixed-point by an integer: toward zero, on the grid of `total`."""
    quotient = layer.node("divide", "mean", [total.tensor], {}, {"divisor": np.asarray(divisor, np.float64)})
    wide = 1 << 61
    step, lo, hi = np.asarray(2.0**-total.type.frac), np.asarray(-wide), np.asarray(wide - 1)
    rule = Quantiser(step, lo, hi, Rounding.TRN_ZERO, Overflow.SAT)
    return layer.cast(Term(layer.node("quantise", "mean_cast", [quotient], {"quantiser": rule}), total.type), kind)


def _sum(layer: Layer, x: Term, accum: Fixed, tree: bool) -> Term:
    """Sum over the last axis in `accum`, one after the other or by halves; the axis goes."""
    n = layer.shape(x)[-1]
    if tree:
        x = layer.cast(x, accum, "window_cast")
    attrs = {
        "product": accum.quantiser() if not accum.holds(x.type) and tree else None,
        "sum": accum.quantiser(),
        "order": "tree" if tree else tuple(range(n)),
    }
    total = layer.node("accumulate", "sum", [x.tensor], attrs, {"kernel": np.ones((n, 1))})
    shape = layer.shape(x)[:-1]
    return layer.view(Term(total, accum), shape)


def pooled(layer: Layer, x: Term, accum: Fixed, operation: str, count: Floats | float) -> Term:
    """Pool over the last axis; `count` elements (of each position) are averaged over."""
    if operation == "Max":
        if layer.stream:
            x = layer.cast(x, accum, "window_cast")
        attrs = {"axes": (-1,), "keepdims": False}
        top = Term(layer.node("reduce_max", "largest", [x.tensor], attrs), x.type)
        return layer.cast(top, accum, "accum")
    return divided(layer, _sum(layer, x, accum, layer.stream), count, accum)


def _accumulator(layer: Layer, operation: str) -> Fixed:
    """Take `accum_t`; before hls4ml 1.0 arrays had none, and an average of a plain `ap_fixed` had room for its sum."""
    kind = layer.x.type
    if layer.stream or (layer.release >= (1, 0) and layer.record.has("accum_t")):
        return layer.type("accum_t", kind)
    layer.record.ignore("accum_t")
    plain = kind.signed and kind == kind.plain() and operation == "Average"
    return Fixed(True, kind.width + 32, kind.integer + 32) if plain else kind


@imports("hls4ml", "pooling1d_cl", "pooling2d_cl")
def _pooling(record: Record, net: NetworkBuilder) -> str:
    """`poolingNd_cl(data, res)`."""
    layer = Layer(record, net)
    record.ignore("reuse", "implementation", "filt_width", "filt_height", "n_chan", "n_out", "out_width", "out_height")
    operation = layer.word("pool_op", "Max", "Max", "Average")
    count_padding = bool(record.take("count_pad", 0))
    accum = _accumulator(layer, operation)
    config = record.rest()
    window = Window(config, layer, size="pool", channels="n_filt")
    for key in config:
        raise record.unsupported(key, config[key], "is not understood")
    x = layer.view(layer.x, (*window.spatial, window.channels))
    padded = any(before or after for before, after in window.padding)
    if padded:
        # The cells around hold the lowest value of the input's type, or zeros that are not counted.
        kind = layer.x.type
        low = -(2.0 ** (kind.integer - 1)) if kind.signed else 2.0 ** (kind.integer - 1)
        value = low if operation == "Max" else 0.0
        attrs = {"padding": (*window.padding, (0, 0)), "mode": "constant", "value": value}
        x = Term(layer.node("pad", "padded", [x.tensor], attrs), x.type)
    attrs = {"size": window.size, "strides": window.strides, "dilation": window.dilation}
    windows = Term(layer.node("patches", "windows", [x.tensor], attrs), x.type)
    rank = len(layer.shape(windows))
    turned = layer.turned(windows, (*range(rank - 2), rank - 1, rank - 2))
    taps = int(np.prod(window.size))
    count: Floats | float = float(taps)
    if padded and operation == "Average" and not layer.stream and layer.release < (1, 0):
        raise UnsupportedError(
            f"layer {layer.name!r} ({record.kind}): an average over padding by hls4ml up to 0.8 is not supported",
            hint="write the project with a newer hls4ml, or read the model that it was made from",
        )
    if padded and not count_padding and operation == "Average":
        inside = np.pad(np.ones(window.spatial), window.padding)
        steps = [np.arange(0, n - k + 1, s) for n, k, s in zip(inside.shape, window.size, window.strides, strict=True)]
        areas = np.lib.stride_tricks.sliding_window_view(inside, window.size)[np.ix_(*steps)]
        count = areas.sum(axis=tuple(range(-len(window.size), 0)))[..., None]
        if np.any(count == 0):
            raise UnsupportedError(f"layer {layer.name!r}: an average over cells that are all padding")
    return layer.assign(pooled(layer, turned, accum, operation, count))


@imports("hls4ml", "global_pooling1d_cl", "global_pooling2d_cl")
def _global_pooling(record: Record, net: NetworkBuilder) -> str:
    """`global_poolingNd_cl(data, res)`; in a stream the running maximum starts from the lowest value of `accum_t`."""
    layer = Layer(record, net)
    record.ignore("pad_left", "pad_right", "pad_top", "pad_bottom", "stride_width", "stride_height", "implementation")
    record.ignore("reuse")
    record.ignore("pool_width", "pool_height", "n_out", "out_width", "out_height", "count_pad", "filt_width", "n_chan")
    operation = layer.word("pool_op", "Max", "Max", "Average")
    accum = _accumulator(layer, operation)
    channels = layer.integer("n_filt")
    size = layer.integer("n_in") if record.has("n_in") else layer.integer("in_height") * layer.integer("in_width")
    x = layer.turned(layer.view(layer.x, (size, channels)), (1, 0))
    if operation == "Max" or not layer.stream:
        return layer.assign(pooled(layer, x, accum, operation, float(size)))
    total = _sum(layer, layer.cast(x, accum, "window_cast"), accum, False)
    return layer.assign(divided(layer, total, float(size), total.type))
