"""Keras' masks of positions: which steps of a sequence count, computed from the data.

`Masking` and `Embedding(mask_zero=True)` make them. `NetworkBuilder.masks` holds the mask of a tensor, itself a tensor
of 0 and 1 over the tensor's leading axes; the frontend hands it on as Keras does, and the rules of layers that look at
masks find it there: a masked step leaves a recurrent layer's state as it is, and has no part in an average.
"""

from __future__ import annotations

import numpy as np

from hardwire.errors import ModelError
from hardwire.layers import _keras as keras
from hardwire.layers._base import imports
from hardwire.layers.constant import constant_tensor
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

_FINEST = 1 << 16
"""A `mask_value` is a multiple of this one's reciprocal: others are on no fixed-point grid, and would match nothing."""


def differs(net: NetworkBuilder, name: str, x: str, value: float) -> str:
    """1 where `x` is not `value`, which the type of `x` must hold."""
    attrs = {"relation": "not_equal", "held": True}
    return net.add("compare", name, [x], attrs, {"constant": np.float64(value)})


def kept(net: NetworkBuilder, name: str, x: str, mask: str) -> str:
    """`x` with 0 where its mask, over its leading axes, is 0."""
    shape, own = net.shape(x), net.shape(mask)
    if own != shape[: len(own)]:
        raise ModelError(f"layer {name!r}: a mask of the shape {own} for a tensor {shape} (without the batch)")
    wide = net.add("reshape", f"{name}_mask", [mask], {"shape": (*own, *(1,) * (len(shape) - len(own)))})
    zero = constant_tensor(net, f"{name}_zero", x, np.zeros((1,) * len(shape)))
    return net.add("where", name, [wide, x, zero])


def averaged(net: NetworkBuilder, name: str, x: str, mask: str, *, keepdims: bool) -> str:
    """Mean over the first axis of the positions that `mask` keeps; 0 where it keeps none (0 / 0 in Keras)."""
    total = net.add("reduce_sum", f"{name}_sum", [kept(net, f"{name}_kept", x, mask)], {"axes": (0,), "keepdims": True})
    count = net.add("reduce_sum", f"{name}_count", [mask], {"axes": (0,), "keepdims": True})
    count = net.add("clip", f"{name}_one", [count], {"lo": 1.0, "hi": None})
    inverse = net.add(
        "activation", f"{name}_inverse", [count], {"function": "reciprocal", "arguments": {}, "output": None}
    )
    shape = net.shape(total)
    inverse = net.add("reshape", f"{name}_share", [inverse], {"shape": (1,) * len(shape)})
    y = net.add("mul", name, [total, inverse])
    return y if keepdims else net.add("reshape", f"{name}_mean", [y], {"shape": shape[1:]})


# --- Keras


@imports("keras", "Masking")
def _keras_masking(record: Record, net: NetworkBuilder) -> str:
    """`Masking`: a step whose features all equal `mask_value` is masked, and 0 in what the layer returns."""
    x, name = keras.single(record), record.name
    value = keras.number(record, "mask_value", 0.0) or 0.0
    shape = net.shape(x)
    if len(shape) < 2:
        raise record.unsupported("input", shape, "steps of features are expected: (…, time, features)")
    if not (value * _FINEST).is_integer():
        raise record.unsupported(
            "mask_value", value, "no fixed-point type holds it; pad with a number such as 0 or -1 that types do hold"
        )
    mask = differs(net, f"{name}_differs", x, value)
    mask = net.add("reduce_max", f"{name}_mask", [mask], {"axes": (len(shape) - 1,), "keepdims": False})
    y = kept(net, name, x, mask) if value else net.add("reshape", name, [x], {"shape": shape})
    net.masks[y] = mask
    return y
