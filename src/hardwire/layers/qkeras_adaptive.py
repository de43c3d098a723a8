"""QKeras' `QAdaptiveActivation`: a quantiser whose integer bits follow moving extremes of its values.

At inference these are fixed. QKeras keeps the bits themselves out of the file and counts them anew from the stored
extremes in its first call (whose own output still has none): the meaning here is that of every further call.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Overflow, Rounding
from hardwire.layers import _keras as keras
from hardwire.layers._base import imports
from hardwire.layers._qkeras_activations import activated
from hardwire.layers._qkeras_spec import read_spec
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser

_TRAINING = ("current_step", "quantization_delay", "ema_freeze_delay", "ema_decay")


# --- Keras


@imports("keras", "QAdaptiveActivation", "qkeras.qlayers.QAdaptiveActivation")
def _adaptive(record: Record, net: NetworkBuilder) -> str:
    """One type for the tensor, or one for each channel (the last axis)."""
    x = keras.single(record)
    record.ignore(*_TRAINING)
    kind = record.expect("activation", "quantized_bits", "quantized_relu")
    bits = record.take("total_bits")
    symmetric = bool(record.take("symmetric", True))
    rounded = bool(record.take("po2_rounding", False))
    slope = float(keras.number(record, "relu_neg_slope", 0.0) or 0.0)
    bound = keras.number(record, "relu_upper_bound", None)
    relu = kind == "quantized_relu"
    settings = {"bits": bits, "integer": 0, "negative_slope": slope, "is_quantized_clip": False}
    settings["relu_upper_bound"] = bound
    if not relu:
        settings = {"bits": bits, "integer": 0, "symmetric": int(symmetric), "alpha": 1.0}
    read_spec(record, "total_bits", {"class_name": kind, "config": settings})  # is it a number of bits at all?
    integer = _integer_bits(
        *_extremes(record, net.shape(x)[-1] if record.take("per_channel", False) else 1),
        bits=int(bits),
        symmetric=symmetric,
        negative=not relu or slope != 0,
        rounded=rounded,
    )
    if np.all(integer == integer[0]):
        spec = read_spec(record, "activation", {"class_name": kind, "config": {**settings, "integer": int(integer[0])}})
        return activated(record, net, x, spec, record.name)
    if relu and (slope or bound):
        raise record.unsupported("per_channel", True, "with a slope or an upper bound, channels must have one type")
    own = int(bits) - int(not relu)
    top = 1 << own
    lowest = 0 if relu else -top + int(symmetric)
    lo, hi = (np.asarray(end, np.int64) for end in (lowest, top - 1))
    quantiser = Quantiser(np.exp2(integer - float(own)), lo, hi, Rounding.RND_CONV, Overflow.SAT)
    return net.add("quantise", record.name, [x], {"quantiser": quantiser})


def _extremes(record: Record, channels: int) -> list[Any]:
    """Moving minimum and maximum (channels,): by name (HDF5), or the two behind the count of steps (`.keras`)."""
    found = {key.rpartition("/")[2]: record.array(key) for key in record.array_keys()}
    arrays = [value for _, value in sorted(found.items()) if value.ndim]
    if {"ema_min", "ema_max"} <= found.keys():
        arrays = [found["ema_min"], found["ema_max"]]
    if len(arrays) != 2 or any(np.size(array) != channels for array in arrays):
        raise ModelError(
            f"layer {record.name!r} ({record.kind}): the file does not hold its moving extremes of {channels} channels",
            hint="train the model, and save it with its weights",
        )
    if not all(np.all(np.isfinite(array)) for array in arrays):
        raise ModelError(f"layer {record.name!r} ({record.kind}): its moving extremes are not finite")
    return [np.ravel(array).astype(np.float32) for array in arrays]


def _integer_bits(low: Any, high: Any, *, bits: int, symmetric: bool, negative: bool, rounded: bool) -> Any:
    """Bits left of the binary point that hold the extremes, in float32 as QKeras counts them."""
    if not negative:
        low, high = np.maximum(low, np.float32(0)), np.maximum(high, np.float32(0))
    unsigned = bits - int(negative)
    counts = []
    for value, top in ((low, False), (high, True)):
        with np.errstate(divide="ignore"):
            log2 = np.log(np.abs(value)) / np.float32(np.log(2.0))
        log2 = np.where(log2 > 0, log2, np.float32(0))
        count = np.rint(log2) if rounded else np.ceil(log2)
        if not rounded and (top or symmetric):
            most = np.exp2(count) - np.exp2(np.minimum(count - unsigned, 0))
            count = count + ((value if top else -value) > most)
        counts.append(count)
    return np.minimum(unsigned, np.maximum(*counts)).astype(np.int64)
