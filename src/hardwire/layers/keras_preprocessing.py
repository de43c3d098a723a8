"""Keras' preprocessing layers: augmentation, which inference does not see, and integers from numbers and categories."""

from __future__ import annotations

from typing import Any

import numpy as np

from hardwire.errors import UnsupportedError
from hardwire.layers import _keras as keras
from hardwire.layers._base import imports
from hardwire.layers.keras_ops import one_hot
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

_RANDOM = (
    *("Brightness", "ColorDegeneration", "ColorJitter", "Contrast", "ElasticTransform", "Erasing", "Flip"),
    *("GaussianBlur", "Grayscale", "Height", "Hue", "Invert", "Perspective", "Posterization", "Rotation"),
    *("Saturation", "Sharpness", "Shear", "Translation", "Width", "Zoom"),
)


@imports("keras", *(f"Random{name}" for name in _RANDOM), "AugMix", "CutMix", "MixUp", "RandAugment")
def _keras_augmentation(record: Record, net: NetworkBuilder) -> str:
    """Random changes of images: none at inference, whatever their settings."""
    record.rest()
    return keras.single(record)


def _encoded(record: Record, net: NetworkBuilder, x: str, mode: Any, classes: int) -> str:
    """Encode integers: `one_hot` each, `multi_hot` and `count` over the last axis; a last axis of 1 goes away."""
    record.expect("sparse", False)
    shape = net.shape(x)
    if mode == "int":
        return x
    if mode not in ("one_hot", "multi_hot", "count") or not shape:
        raise record.unsupported("output_mode", mode, "only int, one_hot, multi_hot and count are supported")
    hot = one_hot(net, f"{record.name}_hot", x, classes)
    if mode == "one_hot":
        wide = (*shape[:-1], classes) if shape[-1] == 1 else (*shape, classes)
        return net.add("reshape", record.name, [hot], {"shape": wide})
    kind = "reduce_max" if mode == "multi_hot" else "reduce_sum"
    return net.add(kind, record.name, [hot], {"axes": (len(shape) - 1,), "keepdims": False})


@imports("keras", "CategoryEncoding")
def _keras_category_encoding(record: Record, net: NetworkBuilder) -> str:
    """`CategoryEncoding(num_tokens, output_mode)`."""
    if len(record.inputs) != 1:
        raise UnsupportedError(f"layer {record.name!r} (CategoryEncoding): count_weights are not supported")
    return _encoded(
        record, net, record.inputs[0], record.take("output_mode", "multi_hot"), int(record.take("num_tokens"))
    )


@imports("keras", "Discretization")
def _keras_discretization(record: Record, net: NetworkBuilder) -> str:
    """`Discretization(bin_boundaries)`: the number of boundaries that are not above the element."""
    x = keras.single(record)
    edges = record.take("bin_boundaries", None)
    record.ignore("num_bins", "epsilon")
    if not isinstance(edges, list | tuple) or not edges:
        raise record.unsupported("bin_boundaries", edges, "boundaries that were adapted to data are not in the file")
    # Keras compares in float32.
    thresholds = np.sort(np.asarray(edges, np.float64)).astype(np.float32).astype(np.float64)
    params = {"thresholds": thresholds, "levels": np.arange(len(thresholds) + 1, dtype=np.float64)}
    bins = net.add("steps", f"{record.name}_bins", [x], {}, params)
    return _encoded(record, net, bins, record.take("output_mode", "int"), len(thresholds) + 1)
