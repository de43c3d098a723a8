"""How Keras hands masks of positions on from layer to layer.

A layer passes the mask of its input on, looks at it, or loses it, silently; merging layers join masks, and Keras 2 and
3 differ in how. `NetworkBuilder.masks` has the mask of each tensor, and what a layer returns has a name of its own
wherever its mask is not its input's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hardwire.errors import ModelError, UnsupportedError
from hardwire.layers.constant import constant_tensor
from hardwire.network.graph import NetworkBuilder, Node

Reference = tuple[str, int, int]

_CELLS = ("SimpleRNN", "LSTM", "GRU", "RNN", "QSimpleRNN", "QLSTM", "QGRU")
_BOTH_WAYS = ("Bidirectional", "QBidirectional")
_ATTENTION = ("MultiHeadAttention", "GroupQueryAttention", "GroupedQueryAttention")
_SCORED = ("Attention", "AdditiveAttention")
_POOLS = ("GlobalAveragePooling1D", "GlobalAvgPool1D")
_LOOKING = (*_CELLS, *_BOTH_WAYS, *_ATTENTION, *_SCORED, *_POOLS, "Softmax")
"""Layers whose rules look at the masks of their inputs."""
_OWN = ("Masking", "Embedding")
"""Layers that make a mask and do not look at that of their input."""
_PASSING = (
    *("Dense", "QDense", "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "BatchNormalization"),
    *("LayerNormalization", "GroupNormalization", "UnitNormalization", "Dropout", "SpatialDropout1D"),
    *("SpatialDropout2D", "SpatialDropout3D", "AlphaDropout", "GaussianDropout", "GaussianNoise"),
    *("ActivityRegularization", "TimeDistributed", "QBatchNormalization", "InputLayer"),
)
_PASSING_3 = ("Identity", "Rescaling", "Normalization")
_PASSING_2 = ("ThresholdedReLU",)
_SUMS = ("Add", "Subtract", "Average")
_PRODUCTS = ("Multiply", "Maximum", "Minimum")
"""Keras 3 puts 1, or the other tensor, in the place of what is masked."""


def base(kind: str) -> str:
    """Return a class without the package it is registered in."""
    return kind.rpartition(">")[2].rpartition(".")[2] if not kind.startswith("ops.") else kind


def stated(name: str, value: Any, reference: Any) -> tuple[Reference | None, ...]:
    """Read the argument `mask` of a call: a tensor, or a list of tensors and None; `()` without one.

    `reference` turns an item of the file into (layer, call, output).
    """
    if value is None:
        return ()
    if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], str)):
        value = [value]
    found: list[Reference | None] = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict) and item.get("class_name") == "__keras_tensor__":
            item = item["config"].get("keras_history") if isinstance(item.get("config"), dict) else None
            found.append(reference(name, item))
        elif item is None:
            found.append(None)
        elif isinstance(item, list) and len(item) >= 3 and isinstance(item[0], str) and item[0] != "_CONSTANT_VALUE":
            found.append(reference(name, item[:3]))
        else:
            raise UnsupportedError(
                f"layer {name!r}: it is called with the mask {item!r:.60}, which is no tensor of the model",
                hint="multiply by a constant mask instead",
            )
    return tuple(found) if any(item is not None for item in found) else ()


def given(net: NetworkBuilder, name: str, kind: str, inputs: Sequence[str], masks: Sequence[str | None]) -> list[str]:
    """Return a layer's inputs with the masks that its call states in place of their own."""
    if not any(masks):
        return list(inputs)
    if len(masks) > len(inputs) or (base(kind) not in (*_LOOKING, *_PASSING)):
        raise UnsupportedError(
            f"layer {name!r} ({kind}): it is called with a mask, which is not supported",
            hint="multiply by the mask instead",
        )
    found = list(inputs)
    for position, mask in enumerate(masks):
        own = net.masks.get(inputs[position])
        # Keras 3 writes the mask that it found itself: the same once more.
        if mask == own or (mask is not None and own is not None and _same(net, mask, own)):
            continue
        if mask is None:
            found[position] = _renamed(net, f"{name}_input{position}", inputs[position])
            continue
        if not _binary(net, mask):
            mask = net.add("compare", f"{name}_mask{position}", [mask], {"relation": "not_equal"}, _zero())
        found[position] = _renamed(net, f"{name}_input{position}", inputs[position])
        net.masks[found[position]] = mask
    return found


def _zero() -> dict[str, Any]:
    return {"constant": np.zeros(())}


def _renamed(net: NetworkBuilder, name: str, tensor: str) -> str:
    return net.add("reshape", name, [tensor], {"shape": net.shape(tensor)})


def _binary(net: NetworkBuilder, tensor: str) -> bool:
    """Whether a tensor holds 0 and 1 alone."""
    maker = net.maker(tensor)
    if maker is None:
        return False
    views = ("reshape", "transpose", "take", "concat", "reduce_max", "reduce_min", "minimum", "maximum")
    return maker.kind == "compare" or (
        maker.kind in views and not maker.params and all(_binary(net, source) for source in maker.inputs)
    )


def _same(net: NetworkBuilder, a: str, b: str) -> bool:
    """Whether two tensors are computed from the same ones by the same nodes."""
    if a == b:
        return True
    first, second = _moving(net, a), _moving(net, b)
    if first is None or second is None or first.kind != second.kind or first.params.keys() != second.params.keys():
        return False
    if _plain(first.attrs) != _plain(second.attrs) or len(first.inputs) != len(second.inputs):
        return False
    equal = all(np.array_equal(first.params[key], second.params[key]) for key in first.params)
    return equal and all(_same(net, x, y) for x, y in zip(first.inputs, second.inputs, strict=True))


def _moving(net: NetworkBuilder, tensor: str) -> Node | None:
    """Return what makes a tensor, behind reshapes to the same shape."""
    maker = net.maker(tensor)
    while maker is not None and maker.kind == "reshape" and net.shape(maker.inputs[0]) == net.shape(maker.outputs[0]):
        maker = net.maker(maker.inputs[0])
    return maker


def _plain(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attrs.items() if key != "held"}


def check(
    net: NetworkBuilder, name: str, kind: str, config: Mapping[str, Any], inputs: Sequence[str], major: int
) -> None:
    """Raise `UnsupportedError` for a mask that reaches a layer of which it is not known what it does with it."""
    if not any(tensor in net.masks for tensor in inputs):
        return
    own, looking = base(kind), f"layer {name!r} ({kind}): its input has a mask (of Masking or mask_zero)"
    if own == "TimeDistributed":
        inner = config.get("layer")
        within = base(str(inner.get("class_name"))) if isinstance(inner, dict) else ""
        if within not in _PASSING and (within in _LOOKING or within in ("Functional", "Model", "Sequential")):
            raise UnsupportedError(
                f"{looking}, which the {within} inside would get step by step: not supported",
                hint="apply that layer before the mask, or without it",
            )
    elif own in _PRODUCTS and major >= 3:
        raise UnsupportedError(
            f"{looking}, and versions of Keras differ in what they put where a factor is masked",
            hint="use an operation (x * y, keras.ops.maximum), which loses the mask",
        )
    elif ">" in kind and own not in (*_PASSING, *_LOOKING):
        raise UnsupportedError(
            f"{looking}, and it is not known what this layer does with it",
            hint="use the layer of Keras itself, or the model without masks",
        )
    elif kind.startswith(("hgq>", "hgq2>")) and own in _LOOKING:
        raise UnsupportedError(f"{looking}, which is not supported for layers of HGQ2", hint="a model without masks")


def handed_on(
    net: NetworkBuilder,
    name: str,
    kind: str,
    config: Mapping[str, Any],
    inputs: Sequence[str],
    outputs: Sequence[str],
    major: int,
) -> list[str]:
    """Return a layer's outputs with the masks that Keras gives them."""
    own = base(kind)
    if own in _OWN or not (net.masks and any(tensor in net.masks for tensor in (*inputs, *outputs))):
        return list(outputs)
    masks = [net.masks.get(tensor) for tensor in inputs]
    first = masks[0] if masks else None
    wanted: list[str | None] = [None] * len(outputs)
    passing = (*_PASSING, *(_PASSING_3 if major >= 3 else _PASSING_2), "Softmax", *_ATTENTION, *_SCORED)
    if own in passing or (own in _CELLS and config.get("return_sequences")):
        wanted[0] = first
    elif own in _BOTH_WAYS:
        inner = config.get("layer")
        inner = inner.get("config", {}) if isinstance(inner, dict) else {}
        if inner.get("return_sequences"):
            wanted[: 1 if config.get("merge_mode", "concat") else 2] = [first] * (
                1 if config.get("merge_mode", "concat") else 2
            )
    elif own in _SUMS or (own in _PRODUCTS and major < 3):
        wanted[0] = _merged(net, name, masks, major)
    elif own == "Concatenate":
        wanted[0] = _concatenated(net, name, config, inputs, masks, major)
    found = []
    for number, (tensor, mask) in enumerate(zip(outputs, wanted, strict=True)):
        if net.masks.get(tensor) != mask:
            if tensor in net.masks or tensor in inputs:
                tensor = _renamed(net, f"{name}_output{number}", tensor)
            if mask is not None:
                net.masks[tensor] = mask
        found.append(tensor)
    if own == "MultiHeadAttention" and major >= 3:
        # As Keras 3 runs it, this layer takes the masks off the tensors it is given: what reads them later sees none.
        for tensor in inputs:
            net.masks.pop(tensor, None)
    return found


def _merged(net: NetworkBuilder, name: str, masks: Sequence[str | None], major: int) -> str | None:
    """Keras 2 keeps what all masks keep, Keras 3 what any does; without a mask of each, Keras 3 has none."""
    there = [mask for mask in masks if mask is not None]
    if not there or (major >= 3 and len(there) < len(masks)):
        return None
    joined = there[0]
    for mask in there[1:]:
        if not _same(net, joined, mask):
            joined = net.add("maximum" if major >= 3 else "minimum", f"{name}_mask", [joined, mask], {})
    return joined


def _concatenated(
    net: NetworkBuilder,
    name: str,
    config: Mapping[str, Any],
    inputs: Sequence[str],
    masks: Sequence[str | None],
    major: int,
) -> str | None:
    """Along the features, as `_merged`; along masked axes, the masks one behind another, 1 where there is none."""
    there = [mask for mask in masks if mask is not None]
    rank, axis = len(net.shape(inputs[0])), config.get("axis", -1)
    if type(axis) is not int:
        raise ModelError(f"layer {name!r} (Concatenate): axis {axis!r} is no number")
    along = axis - 1 if axis > 0 else rank + axis
    if along >= len(net.shape(there[0])):
        # An input without a mask counts everywhere, which decides where any input is enough.
        return None if major >= 3 and len(there) < len(masks) else _merged(net, name, there, major)
    parts = []
    for number, (tensor, mask) in enumerate(zip(inputs, masks, strict=True)):
        if mask is None:
            shape = net.shape(tensor)[: len(net.shape(there[0]))]
            mask = constant_tensor(net, f"{name}_mask_ones{number}", tensor, np.ones(shape))
        parts.append(mask)
    return net.add("concat", f"{name}_mask", parts, {"axis": along})
