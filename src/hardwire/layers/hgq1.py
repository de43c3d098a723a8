"""HGQ 1 (PyPI `HGQ`, on Keras 2), read from the file: proxy models of `to_proxy_model`, and native models.

A proxy model is plain Keras between `FixedPointQuantizer` and `UnaryLUT` layers, whose types are variables of the
file: it means every bit. A native model (`HDense`, `HConv2D`, …) rounds to fractional bits that are in its file, while
its integer bits are traced from data and are not: its values are unbounded here, as in its own forward, and an input
needs a stated type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import MAX_BITS, Overflow, Rounding
from hardwire.layers import _keras as keras
from hardwire.layers._base import ImportRule, imports
from hardwire.layers._hgq import ROUNDINGS, activated, weights_rounded
from hardwire.layers._hgq_ports import is_input
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser

Array = NDArray[Any]

_OVERFLOWS = {mode.name: mode for mode in Overflow}
_UNBOUNDED = 1 << 52
"""Codes of a quantiser without integer bits stay below this: float32 itself holds fewer."""
_STRATEGIES = {
    "standard_round": 0,
    "stochastic_round": 1,
    "fast_uniform_noise_injection": 2,
    "floor": 3,
    "auto": "auto",
}
_FLOOR = 3
_CLASSES = (
    "Reshape", "Flatten", "Concatenate", "MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D",
    "MaxPool1D", "MaxPool2D", "AvgPool1D", "AvgPool2D", "Dropout", "Permute",
)  # fmt: skip
"""Layers of Keras that HGQ passes through, as `PReshape`…"""


def _rules(*kinds: str) -> Callable[[ImportRule], ImportRule]:
    """Mark a function as the rule of HGQ's classes; HDF5 does not tell a layer without a dtype from an operation."""
    return imports("keras", *(f"{prefix}HGQ>{kind}" for kind in kinds for prefix in ("", "ops.")))


# Proxy models.


@_rules("FixedPointQuantizer")
def _fixed_point_quantizer(record: Record, net: NetworkBuilder) -> str:
    """A type for every element: `bits` in all, `integers` of them with the sign; an element of no bits is 0."""
    tensor = keras.single(record)
    record.ignore("overrides", "fusible", "shape")
    rounding, overflow = str(record.take("RND", "TRN")).upper(), str(record.take("SAT", "WRAP")).upper()
    if rounding not in ROUNDINGS:
        raise record.unsupported("RND", rounding, f"only {', '.join(ROUNDINGS)} are supported")
    if overflow not in _OVERFLOWS:
        raise record.unsupported("SAT", overflow, f"only {', '.join(_OVERFLOWS)} are supported")
    found = keras.variables(record, "keep_negative", "bits", "integers")
    signed, bits, integers = (
        _plain(record, found[name], net, tensor) for name in ("keep_negative", "bits", "integers")
    )
    if np.any(bits < 0) or np.any(bits > MAX_BITS) or np.any((signed != 0) & (signed != 1)):
        raise ModelError(f"layer {record.name!r} ({record.kind}): bits from {bits.min()} to {bits.max()} are no type")
    there = bits > 0
    frac = np.where(there, bits - integers, 0)
    quantiser = Quantiser.of_arrays((signed > 0) & there, bits, frac, ROUNDINGS[rounding], _OVERFLOWS[overflow])
    return net.add("quantise", record.name, [tensor], {"quantiser": quantiser})


@_rules("UnaryLUT")
def _unary_lut(record: Record, net: NetworkBuilder) -> str:
    """A table over the codes of a type `kif_in`, sign, integer and fractional bits; other values wrap into it."""
    tensor = keras.single(record)
    k, i, f = (int(part) for part in record.take("kif_in"))
    record.take("kif_out", None)  # the table's values are of this type already
    table = np.asarray(keras.variables(record, "table")["table"], np.float64)
    bits = k + i + f
    if k not in (0, 1) or not 0 < bits <= 16 or table.shape != (1 << bits,):
        raise record.unsupported("kif_in", (k, i, f), f"the table in the file has the shape {table.shape}")
    kind = Quantiser.of_arrays(np.array(k > 0), np.array(bits), np.array(f), Rounding.RND_CONV, Overflow.WRAP)
    x = net.add("quantise", f"{record.name}_index", [tensor], {"quantiser": kind})
    codes = np.arange(int(kind.lo), int(kind.hi) + 1)
    params = {"thresholds": np.ldexp(codes[1:].astype(np.float64), -f), "levels": table[codes % len(table)]}
    return net.add("steps", record.name, [x], {}, params)


def _plain(record: Record, value: Array, net: NetworkBuilder, tensor: str) -> NDArray[np.int64]:
    """Variable of a quantiser without the batch axis."""
    rank = len(net.shape(tensor))
    part = np.asarray(value)
    if part.ndim == rank + 1 and part.shape[0] == 1:
        part = part[0]
    if part.ndim > rank:
        raise ModelError(f"layer {record.name!r} ({record.kind}): bit widths of shape {part.shape} for {rank} axes")
    return np.rint(part).astype(np.int64)


# Native models.


@_rules("Signature")
def _signature(record: Record, net: NetworkBuilder) -> str:
    """The stated type of a tensor that is on its grid already."""
    tensor = keras.single(record)
    signed, bits, integers = (
        _plain(record, np.asarray(record.take(name)), net, tensor) for name in ("keep_negative", "bits", "int_bits")
    )
    if np.any(bits < 0) or np.any(bits > MAX_BITS):
        raise record.unsupported("bits", int(bits.max()), f"0 to {MAX_BITS} bits are possible")
    quantiser = Quantiser.of_arrays(
        (signed > 0) & (bits > 0), bits, np.where(bits > 0, bits - integers, 0), Rounding.RND_CONV, Overflow.SAT
    )
    return net.add("quantise", record.name, [tensor], {"quantiser": quantiser})


@_rules("HQuantize", "HActivation", "HAdd")
def _activation(record: Record, net: NetworkBuilder) -> str:
    """`round(function(x))`, or the sum of all inputs rounded."""
    total, *others = record.inputs
    if others and not record.kind.endswith("HAdd"):
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): {len(record.inputs)} inputs, expected one")
    for n, tensor in enumerate(others):
        total = net.add("add", f"{record.name}_sum{n}", [total, tensor])
    strategy, found = _quantisers(record, [])
    if record.kind.endswith("HActivation"):
        total = activated(record, net, total, record.take("activation"))
        strategy = 0 if strategy == "auto" else strategy
    strategy = _FLOOR if strategy == "auto" else strategy
    return _rounded(record, net, total, found["activation_bw"], strategy, record.name)


@_rules("HDense", "HDenseBatchNorm")
def _dense(record: Record, net: NetworkBuilder) -> str:
    """`activation(round(x · kernel + bias))`."""
    x = keras.single(record)
    units = record.take("units")
    params, bits, strategy = _parameters(record)
    if params["kernel"].ndim != 2 or params["kernel"].shape[1] != units:
        raise record.unsupported("units", units, f"the kernel in the file has the shape {params['kernel'].shape}")
    y = net.add("dense", record.name, [x], {}, params)
    return _finished(record, net, y, bits, strategy)


@_rules("HConv1D", "HConv2D", "HConv1DBatchNorm", "HConv2DBatchNorm")
def _conv(record: Record, net: NetworkBuilder) -> str:
    """`activation(round(convolution + bias))`, channels last."""
    record.expect("data_format", "channels_last", None)
    kind = record.kind.rpartition(">")[2].removeprefix("H").removesuffix("BatchNorm")
    params, bits, strategy = _parameters(record)
    taken = ("filters", "kernel_size", "strides", "padding", "dilation_rate", "groups")
    attrs = {name: record.take(name) for name in taken if record.has(name)}
    record.ignore("rank", "conv_op")
    attrs |= {"use_bias": "bias" in params, "activation": "linear"}
    return _finished(record, net, keras.delegated(record, net, kind, record.inputs, attrs, params)[0], bits, strategy)


@_rules(*(f"P{kind}" for kind in _CLASSES))
def _passive(record: Record, net: NetworkBuilder) -> str:
    """A layer of Keras that leaves its input's types alone."""
    kind = record.kind.rpartition(">")[2].removeprefix("P").replace("Avg", "Average")
    kind = kind.replace("Pool1D", "Pooling1D").replace("Pool2D", "Pooling2D")
    return keras.delegated(record, net, kind, record.inputs, record.rest(), {})[0]


def _quantisers(record: Record, before: list[str], after: list[str] | None = None) -> tuple[Any, dict[str, Array]]:
    """Take the settings of both quantisers and all variables: those `before` the bit widths, those behind them.

    Returns the rounding of activations and the variables by name, `kernel_bw` and `activation_bw` among them.
    """
    configs = {}
    for name, attr in (("kernel_bw", "kq_conf"), ("activation_bw", "paq_conf")):
        config = record.take(attr, None) or {}
        strategy = config.get("rnd_strategy", "standard_round")
        strategy = _STRATEGIES.get(strategy, strategy) if isinstance(strategy, str) else strategy
        if strategy not in (0, 1, 2, _FLOOR, "auto"):
            raise record.unsupported(attr, {"rnd_strategy": strategy}, f"only {', '.join(_STRATEGIES)} are supported")
        configs[name] = (bool(config.get("trainable", True)), strategy, config.get("bw_clip", (-23, 23)))
    record.ignore("beta", "parallel_factor", "do_adapt_kernel_bits")
    widths = [*(["kernel_bw"] if "kernel" in before else []), "activation_bw"]
    trained = [name for name in widths if configs[name][0]]
    fixed = [name for name in widths if not configs[name][0]]
    scalars = [name for name in (after or []) if name.startswith("moving")]
    affine = [name for name in (after or []) if name not in scalars]
    # In Keras' order: what is trained, then the strength of a penalty (`beta`), then what is not trained.
    names = [*before, *trained, *affine, "beta", *fixed, "bops", *scalars]
    found = _named(record, names)
    for name in widths:
        clip = configs[name][2]
        if clip:
            found[name] = np.clip(found[name], *clip)
        found[name] = np.rint(found[name]).astype(np.int64)
    found["strategy"] = np.array(_FLOOR if configs["kernel_bw"][1] == _FLOOR else 0)
    return configs["activation_bw"][1], found


def _named(record: Record, names: list[str]) -> dict[str, Array]:
    """Variables by number (`.keras`), or by name; in HDF5 some have the layer's name twice before theirs."""
    if record.has_array("0"):
        return keras.variables(record, *names)
    found = {}
    for name in names:
        keys = [key for key in record.array_keys() if key.rpartition("/")[2] == name]
        if not keys:
            raise ModelError(f"layer {record.name!r} ({record.kind}): variable {name!r} is not in the file")
        found[name] = record.array(keys[0])
    return found


def _parameters(record: Record) -> tuple[dict[str, Array], NDArray[np.int64], int]:
    """Quantised kernel and bias, a batch normalisation folded in; bits of the activation; how it is rounded."""
    bias, norm = bool(record.take("use_bias", True)), record.kind.endswith("BatchNorm")
    after = []
    scale, center = bool(record.take("scale", True)), bool(record.take("center", True)) and bias
    epsilon = record.take("epsilon", 1e-3)
    record.ignore("momentum", "axis")
    if norm:
        after = [*(["bn_beta", "moving_mean"] if center else []), *(["bn_gamma", "moving_variance"] if scale else [])]
    strategy, found = _quantisers(record, ["kernel", *(["bias"] if bias else [])], after)
    kernel = np.asarray(found["kernel"], np.float32)
    offset = np.asarray(found["bias"], np.float32) if bias else None
    if norm:
        factor = np.float32(1)
        if scale:
            root = np.sqrt(np.asarray(found["moving_variance"], np.float32) + np.float32(epsilon))
            factor = np.asarray(found["bn_gamma"], np.float32) * (np.float32(1) / root)
            kernel = kernel * factor
        if center and offset is not None:
            offset = offset - np.asarray(found["moving_mean"], np.float32) * factor
            offset = offset + np.asarray(found["bn_beta"], np.float32)
    bits = found["activation_bw"]
    if strategy == "auto":
        # HGQ rounds to nearest where the bias can take the half, one type a channel, and floors otherwise.
        covers = offset is not None and (bits.size == 1 or (bits.size == bits.shape[-1] == offset.size))
        strategy = 0 if covers else _FLOOR
    params = {"kernel": weights_rounded(kernel, found["kernel_bw"], floor=bool(found["strategy"] == _FLOOR))}
    if offset is not None:
        most = bits.max(axis=tuple(range(bits.ndim - 1)))
        params["bias"] = weights_rounded(offset, most, floor=strategy == _FLOOR)
    return params, bits, strategy


def _finished(record: Record, net: NetworkBuilder, y: str, bits: NDArray[np.int64], strategy: int) -> str:
    y = _rounded(record, net, y, bits, strategy, f"{record.name}_rounded")
    return keras.activated(record, net, y, record.take("activation", None))


def _rounded(record: Record, net: NetworkBuilder, x: str, bits: NDArray[np.int64], strategy: int, name: str) -> str:
    """Round to fractional bits by element; values stay unbounded."""
    frac = _plain(record, bits, net, x)
    scale = np.exp2(frac.astype(np.float64))
    floor = strategy == _FLOOR
    if not is_input(net, x):
        wide = np.full(scale.shape, _UNBOUNDED)
        rule = Quantiser(1 / scale, -wide, wide - 1, Rounding.TRN if floor else Rounding.RND, Overflow.SAT)
        return net.add("quantise", name, [x], {"quantiser": rule})
    # No type for a port: computed, so that the port asks for one.
    y = net.add("mul", f"{name}_scaled", [x], {}, {"constant": scale})
    if not floor:
        y = net.add("add", f"{name}_half", [y], {}, {"constant": np.float64(0.5)})
    y = net.add("activation", f"{name}_floor", [y], {"function": "floor", "arguments": {}})
    return net.add("mul", name, [y], {}, {"constant": 1 / scale})
