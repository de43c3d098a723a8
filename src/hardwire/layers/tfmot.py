"""Quantisation-aware training by tensorflow-model-optimization: `QuantizeLayer`, and `QuantizeWrapper` around layers.

Every tensor has a stored range that `fake_quant_with_min_max_vars` moves until zero is one of its codes; code k stands
for `(k - zero) · scale`, and a tie between two codes is the upper one. Weights have such ranges too, per tensor or per
output channel; a layer is then integer codes, and its scale beside them as QKeras' layers have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import Floats, Overflow, Rounding
from hardwire.layers import _keras as keras
from hardwire.layers._base import imports
from hardwire.layers._qkeras_weights import Weights
from hardwire.layers.qkeras import _delegated, _rescaled
from hardwire.layers.time_distributed import plain_config
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser

_PACKAGE = "tensorflow_model_optimization.python.core.quantization.keras"
_BEFORE = ("softmax", "sigmoid", "tanh", "gelu")
_BEHIND = ("linear", "relu", "swish", "gelu")
"""Functions with a quantiser in front of them, and behind them."""
_SCHEMES = ("Default8Bit", "DefaultNBit", "NoOpQuantizeConfig")


@dataclass(frozen=True)
class _Range:
    """Scale (float64 of a float32), zero point, lowest and highest code, for each channel or one for all."""

    scale: Floats
    zero: Floats
    lowest: int
    highest: int

    def quantiser(self) -> Quantiser:
        """Return it for a tensor."""
        lo, hi = (np.asarray(end, np.int64) for end in (self.lowest, self.highest))
        zero = self.zero.astype(np.int64)
        return Quantiser(self.scale, lo, hi, Rounding.RND, Overflow.SAT, zero, zero_first=True)

    def weights(self, values: NDArray[Any]) -> Weights:
        """Return codes and scale of an array whose channels are the last axis, found in float32 as TensorFlow does."""
        x, scale = values.astype(np.float32), self.scale.astype(np.float32)
        low, high = ((np.float32(end) - self.zero.astype(np.float32)) * scale for end in (self.lowest, self.highest))
        steps = np.floor((np.clip(x, low, high) - low) * (np.float32(1) / scale) + np.float32(0.5))
        return Weights(steps.astype(np.float64) + self.lowest - self.zero, self.scale)


def _range(record: Record, what: str, low: NDArray[Any], high: NDArray[Any], bits: int, *, narrow: bool) -> _Range:
    """Move a stored range until zero is one of its codes, in float32."""
    low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
    if low.shape != high.shape or low.ndim > 1 or not np.all(np.isfinite(high - low) & (low <= 0) & (high >= 0)):
        raise ModelError(f"layer {record.name!r} ({record.kind}): its range of {what} holds no zero, or is not finite")
    if not np.all(low < high):
        raise ModelError(
            f"layer {record.name!r} ({record.kind}): its range of {what} is empty", hint="train the model, then save it"
        )
    lowest, highest = int(narrow), (1 << bits) - 1
    scale = (high - low) / np.float32(highest - lowest)
    place = np.float32(lowest) - low / scale
    zero = np.clip(np.floor(place + np.float32(0.5)), lowest, highest)
    return _Range(scale.astype(np.float64), zero.astype(np.float64), lowest, highest)


def _bits(record: Record, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 2 <= value <= 16:
        raise record.unsupported("num_bits", value, "2 to 16 bits are expected")
    return value


# --- Keras


@imports("keras", "QuantizeLayer", f"{_PACKAGE}.quantize_layer.QuantizeLayer")
def _quantise_layer(record: Record, net: NetworkBuilder) -> str:
    """The input's quantiser."""
    x = keras.single(record)
    spec = record.take("quantizer")
    if spec is None:
        for key in record.array_keys():
            record.array(key)
        return x
    settings = spec.get("config") if isinstance(spec, dict) else None
    known = ("AllValuesQuantizer", "MovingAverageQuantizer", "LastValueQuantizer")
    if not isinstance(settings, dict) or str(spec.get("class_name")).rpartition(">")[2] not in known:
        raise record.unsupported("quantizer", spec, f"only {', '.join(known)} are supported")
    bits, narrow = _bits(record, settings.get("num_bits", 8)), bool(settings.get("narrow_range", False))
    if settings.get("per_axis"):
        raise record.unsupported("per_axis", True, "a tensor has one range")
    found = _by_name(record)
    # By name (HDF5): the layer's own and `_min`, `_max`; `.keras`: minimum, maximum, step.
    named = {key.rpartition("_")[2]: value for key, value in found.items()}
    numbers = [value for _, value in sorted(found.items()) if value.dtype.kind == "f"]
    if {"min", "max"} <= named.keys():
        numbers = [named["min"], named["max"]]
    if len(numbers) != 2:
        raise ModelError(f"layer {record.name!r} ({record.kind}): the file does not hold its range")
    pair = numbers[0], numbers[1]
    limits = _range(record, "inputs", *pair, bits, narrow=narrow)
    return net.add("quantise", record.name, [x], {"quantiser": limits.quantiser()})


def _by_name(record: Record) -> dict[str, NDArray[Any]]:
    return {key.rpartition("/")[2]: record.array(key) for key in record.array_keys()}


@imports(
    "keras",
    *("QuantizeWrapper", "QuantizeWrapperV2"),
    *(f"{_PACKAGE}.quantize_wrapper.{name}" for name in ("QuantizeWrapper", "QuantizeWrapperV2")),
)
def _wrapper(record: Record, net: NetworkBuilder) -> str:
    """The layer inside with its weights quantised, its activation between quantisers, its output quantised."""
    layer, scheme = record.take("layer"), record.take("quantize_config")
    record.ignore("step")
    if not isinstance(layer, dict) or not isinstance(layer.get("config"), dict):
        raise record.unsupported("layer", layer, "the configuration of a layer is expected")
    name = str(scheme.get("class_name")).rpartition(">")[2] if isinstance(scheme, dict) else str(scheme)
    if not name.startswith(_SCHEMES) or name.endswith("RNN"):
        raise record.unsupported("quantize_config", name, "only the default schemes, not recurrent ones, are supported")
    settings = scheme.get("config") if isinstance(scheme, dict) else None
    attrs = settings.get("weight_attrs") or [] if isinstance(settings, dict) else None
    if not isinstance(attrs, list) or not all(isinstance(attr, str) for attr in attrs):
        raise record.unsupported("quantize_config", scheme, "settings of a default scheme are expected")
    assert isinstance(settings, dict)
    config = plain_config(layer["config"])
    kind = str(layer["class_name"]).rpartition(">")[2]
    quantised = [str(attr) for attr in attrs]
    function = _function(record, config)
    arrays, ranges = _sorted(record, quantised, function)
    inner = Record(record.name, kind, record.inputs, config, {}, record.versions)
    weights = {
        attr: _range(record, attr, *ranges[attr], _bits(record, settings.get("num_bits_weight", 8)), narrow=True)
        for attr in quantised
    }
    y = _layer(inner, net, arrays, weights)
    bits = _bits(record, settings.get("num_bits_activation", 8))
    for place in ("pre_activation", "post_activation", "output"):
        if place == "post_activation" and function is not None:
            y = keras.activated(record, net, y, function, f"{record.name}_{function}")
        if place in ranges:
            limits = _range(record, place, *ranges[place], bits, narrow=False)
            y = net.add("quantise", f"{record.name}_{place}", [y], {"quantiser": limits.quantiser()})
    return y


def _function(record: Record, config: dict[str, Any]) -> str | None:
    """Take the activation that the wrapper has put between quantisers out of the layer; None where it has none."""
    given = config.get("activation")
    if not isinstance(given, dict) or str(given.get("class_name")).rpartition(">")[2] != "QuantizeAwareActivation":
        return None
    inner = given.get("config")
    inner = inner.get("activation") if isinstance(inner, dict) else None
    if isinstance(inner, dict):
        inner = inner.get("class_name") if inner.get("class_name") != "function" else inner.get("config")
    config["activation"] = None
    if inner == "NoOpActivation":
        return None
    if inner not in (*_BEFORE, *_BEHIND):
        raise record.unsupported("activation", inner, f"only {', '.join(sorted({*_BEFORE, *_BEHIND}))} are supported")
    return str(inner)


Pairs = dict[str, tuple[NDArray[Any], NDArray[Any]]]


def _sorted(record: Record, quantised: list[str], function: str | None) -> tuple[dict[str, NDArray[Any]], Pairs]:
    """The layer's own arrays (quantised ones by name), and the ranges by what they are of.

    HDF5 names all of them. `.keras` numbers the wrapper's: the layer's trainable ones, the quantised ones (once more),
    the step, and pairs of ends; what is not quantised is also in `layer/0`, ….
    """
    inside = {key: record.array(key) for key in record.array_keys() if key.startswith("layer/")}
    found = _by_name(record)
    if not any(key.isdigit() for key in found):
        heads = [*quantised, "pre_activation", "post_activation", "output"]
        pairs = {
            head: (found[f"{head}_min"], found[f"{head}_max"])
            for head in heads
            if {f"{head}_min", f"{head}_max"} <= found.keys()
        }
        ends = {f"{head}_{end}" for head in heads for end in ("min", "max")}
        own = {key: value for key, value in found.items() if key not in ends and key != "optimizer_step"}
        _complete(record, quantised, own, pairs)
        return own, pairs
    listed = [found[key] for key in sorted(found, key=int)]
    step = next((at for at, value in enumerate(listed) if value.ndim == 0 and value.dtype.kind in "iu"), None)
    if step is None:
        raise ModelError(f"layer {record.name!r} ({record.kind}): the file does not hold the wrapper's step")
    heads = [*quantised, *_places(function)]
    behind = listed[step + 1 :]
    if len(behind) == 2 * len(heads) + 2:
        heads.append("output")
    pairs = {head: (behind[2 * at], behind[2 * at + 1]) for at, head in enumerate(heads) if 2 * at + 1 < len(behind)}
    own = {key.removeprefix("layer/"): value for key, value in inside.items()}
    if quantised:
        if len(own) > 1:
            raise UnsupportedError(f"layer {record.name!r} ({record.kind}): more arrays than weights and a bias")
        own = dict(zip(["bias"], own.values(), strict=False))
        own.update(zip(quantised, listed[max(0, step - len(quantised)) : step], strict=False))
    _complete(record, quantised, own, pairs)
    return own, pairs


def _places(function: str | None) -> list[str]:
    before = ["pre_activation"] if function in _BEFORE else []
    return [*before, *(["post_activation"] if function in _BEHIND else [])]


def _complete(record: Record, quantised: list[str], own: Mapping[str, Any], pairs: Pairs) -> None:
    missing = [attr for attr in quantised if attr not in own or attr not in pairs]
    if missing:
        raise ModelError(
            f"layer {record.name!r} ({record.kind}): the file does not hold {missing[0]!r} with its range",
            hint="save the whole model with model.save(...)",
        )


def _layer(inner: Record, net: NetworkBuilder, arrays: dict[str, Any], weights: Mapping[str, _Range]) -> str:
    """Add the layer; quantised weights as codes, their scale and the bias behind them."""
    if not weights:
        return _delegated(inner, net, inner.rest(), arrays)
    if len(weights) != 1 or "Separable" in inner.kind:
        raise inner.unsupported("weight_attrs", list(weights), "one quantised kernel is expected")
    ((attr, limits),) = weights.items()
    turned = inner.kind.endswith("Transpose") and limits.scale.ndim == 1
    kernel = arrays.pop(attr)
    if limits.scale.ndim and limits.scale.shape[0] != (kernel.shape[-2] if turned else kernel.shape[-1]):
        raise ModelError(f"layer {inner.name!r} ({inner.kind}): {limits.scale.shape[0]} ranges for {kernel.shape}")
    part = limits.weights(np.swapaxes(kernel, -1, -2) if turned else kernel)
    codes = np.swapaxes(part.codes, -1, -2) if turned else part.codes
    bias = arrays.pop("bias", None) if inner.take("use_bias", True) else None
    attrs = {**inner.rest(), "use_bias": False}
    first = attrs.get("data_format") == "channels_first"
    y = _delegated(inner, net, attrs, {attr: codes, **arrays})
    exact = None if bias is None else Weights(np.asarray(bias, np.float64), np.ones(()))
    return _rescaled(inner, net, y, part, exact, first)
