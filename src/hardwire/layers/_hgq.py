"""Quantisers of HGQ2 files: their settings, their bit widths (variables of the model), their exact meaning.

HGQ2 (Sun et al., "HGQ2: High Granularity Quantization", 2024; package `hgq2`) quantises every layer's input (`iq`),
kernel (`kq`), bias (`bq`) and, where asked, output (`oq`), each with a type per element or group of elements: a sign
bit `k`, integer bits `i` and fractional bits `f` (`kif`), or all bits but the sign `b` and `i`, with `f = b - i`
(`kbi`). Bit widths are floats in the file, rounded half to even. Codes are `round(x · 2^f)`, brought to
`[-k · 2^i, 2^i - 2^-f]`; an element with `k + i + f ≤ 0` is always 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import MAX_BITS, Ints, Overflow, Rounding, round_real
from hardwire.layers import _keras as keras
from hardwire.layers import _minifloat
from hardwire.layers._base import ImportRule, imports
from hardwire.layers._cell import CHAIN_KINDS
from hardwire.layers.activation import EXACT
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record
from hardwire.network.weight_steps import note
from hardwire.quantiser import Quantiser

Array = NDArray[Any]

PACKAGES = ("hgq", "hgq2")
"""Under which names classes are registered: HGQ2 and HGQ-LUT, which came before it."""

ROUNDINGS = {
    "TRN": Rounding.TRN,
    "RND": Rounding.RND,
    "RND_CONV": Rounding.RND_CONV,
    "TRN_ZERO": Rounding.TRN_ZERO,
    "RND_ZERO": Rounding.RND_ZERO,
    "RND_MIN_INF": Rounding.RND_MIN_INF,
    "RND_INF": Rounding.RND_INF,
}
_OVERFLOWS = {"WRAP": Overflow.WRAP, "SAT": Overflow.SAT, "SAT_SYM": Overflow.SAT_SYM}
_TRAINING_KEYS = ("qnoise_factor", "i_decay_speed", "homogeneous_axis", "heterogeneous_axis", "bw_mapper", "seed")
_MANTISSA, _EXPONENT, _OFFSET = 23, 6, 64
"""Largest settings of float quantisers, beyond which float32 itself is not exact."""
_SUGAR: dict[str, dict[str, Any]] = {
    "HardTanhConfig": {"overflow_mode": "SAT", "affine": None},
    "HardSigmoidConfig": {"overflow_mode": "SAT", "affine": (0.25, 0.5)},
}
"""Settings that two of HGQ2's configuration classes leave out of the file because they imply them."""


def rules(*kinds: str) -> Callable[[ImportRule], ImportRule]:
    """Mark a function as the rule that imports HGQ2's classes `kinds`, however they are registered."""
    return imports("keras", *(f"{package}>{kind}" for kind in kinds for package in PACKAGES))


@dataclass(frozen=True)
class Spec:
    """A quantiser of the file: its settings and its bit widths, int64 of one shape; `q_type` `dummy` has none."""

    q_type: str
    rounding: Rounding
    overflow: Overflow
    k: Ints
    i: Ints
    f: Ints
    free: bool
    """A wrapping quantiser of weights: HGQ2 takes its integer bits from the weights, so that nothing wraps."""
    scaler: float | None
    affine: tuple[float, float] | None
    float_bits: tuple[Ints, Ints, Ints] | None = None
    """Mantissa bits, exponent bits and exponent offset of a `float` quantiser, which has no k, i and f."""

    def quantiser(self, record: Record, rank: int) -> Quantiser:
        """Return the rule for a tensor of `rank` axes, the batch not counted; the affine map is not in it."""
        if self.q_type == "float":
            raise UnsupportedError(
                f"layer {record.name!r} ({record.kind}): a quantiser of type 'float' here",
                hint="float quantisers work for weights, and for tensors in front of and behind a layer",
            )
        k, i, f = (part.reshape(part.shape[1:]) if part.ndim == rank + 1 else part for part in (self.k, self.i, self.f))
        if k.ndim != rank:
            raise ModelError(
                f"layer {record.name!r} ({record.kind}): bit widths of shape {self.k.shape} for {rank} axes"
            )
        bits = k + i + f
        if np.any(bits > MAX_BITS):
            raise UnsupportedError(
                f"layer {record.name!r} ({record.kind}): a quantiser of {int(bits.max())} bits",
                hint=f"{MAX_BITS} are possible: retrain with fewer bits",
            )
        there = bits > 0
        made = Quantiser.of_arrays(
            (k > 0) & there, np.where(there, bits, 0), np.where(there, f, 0), self.rounding, self.overflow
        )
        if self.scaler is not None:
            made = Quantiser(made.scale * self.scaler, made.lo, made.hi, self.rounding, self.overflow)
        return made


def spec(record: Record, attr: str, place: str) -> Spec | None:
    """Take the settings `attr` and the variables of the quantiser at `place` (`iq`, `softmax/exp_table/oq`).

    None where the layer has no such quantiser.
    """
    return spec_of(record, record.take(attr, None), attr, place)


def spec_of(record: Record, config: Any, attr: str, place: str, component: str | None = None) -> Spec | None:
    """Read a quantiser from its settings `config`, found as `attr`, and its variables, as `variables_at` finds them."""
    if config is None:
        return None
    settings, class_name = _settings(record, attr, config)
    q_type = str(settings.pop("q_type", "kif")).lower()
    scaler, affine = settings.pop("scaler", None), settings.pop("affine", None)
    if scaler is not None and not (isinstance(scaler, int | float) and scaler > 0):
        raise record.unsupported(attr, {"scaler": scaler}, "only a positive number is supported")
    if affine is not None:
        affine = (float(affine[0]), float(affine[1]))
    if q_type == "dummy":
        none = np.zeros((), np.int64)
        return Spec(q_type, Rounding.TRN, Overflow.SAT, none, none, none, True, scaler, affine)
    if q_type == "float":
        bits = _float_bits(record, place, component)
        return Spec(q_type, Rounding.RND_CONV, Overflow.SAT, *bits, True, scaler, affine, bits)
    if q_type not in ("kif", "kbi"):
        raise record.unsupported(attr, {"q_type": q_type}, "only kif, kbi, float and dummy quantisers are supported")
    mode = str(settings.pop("round_mode")).upper()
    over = str(settings.pop("overflow_mode")).upper()
    if mode.removeprefix("S_") not in ROUNDINGS:
        raise record.unsupported(attr, {"round_mode": mode}, f"only {', '.join(ROUNDINGS)} are supported")
    if over not in _OVERFLOWS:
        raise record.unsupported(attr, {"overflow_mode": over}, f"only {', '.join(_OVERFLOWS)} are supported")
    rounding = ROUNDINGS[mode.removeprefix("S_")]
    weight = settings.pop("is_weight", settings.get("place") == "weight")
    trainable = settings.pop("trainable", True)
    # As HGQ2 0.2.0 does: kif weights never wrap, kbi weights do not where they are rounded by RND.
    free = over == "WRAP" and bool(weight) and bool(trainable) and (q_type == "kif" or rounding is Rounding.RND)
    known = {"place", "k0", "i0", "f0", "b0", "ic", "fc", "bc", "ir", "fr", "br", *_TRAINING_KEYS}
    unknown = [key for key in settings if key not in known]
    if unknown:
        raise record.unsupported(attr, {unknown[0]: settings[unknown[0]]}, f"{class_name} is not understood")
    k, i, f = _widths(record, q_type, over, place, component)
    return Spec(q_type, rounding, _OVERFLOWS[over], k, i, f, free, scaler, affine)


def _settings(record: Record, attr: str, config: Any) -> tuple[dict[str, Any], str]:
    if isinstance(config, dict) and "class_name" in config:
        class_name = str(config["class_name"]).rpartition(">")[2]
        inner = config.get("config")
    else:
        class_name, inner = "QuantizerConfig", config
    if not isinstance(inner, dict) or (class_name != "QuantizerConfig" and class_name not in _SUGAR):
        raise record.unsupported(attr, config, "no quantiser settings of HGQ2")
    settings = dict(inner)
    if class_name in _SUGAR:
        symmetric = settings.pop("symmetric", False)
        settings.update(_SUGAR[class_name])
        if symmetric:
            settings["overflow_mode"] = "SAT_SYM"
    return settings, class_name


def _widths(record: Record, q_type: str, over: str, place: str, component: str | None) -> tuple[Ints, Ints, Ints]:
    """Return k, i and f of a quantiser, rounded."""
    arrays = variables_at(record, place, component)
    second = "f" if q_type == "kif" else "b"
    if "0" in arrays:
        # Trainable variables come first: in a wrapping quantiser the integer bits are traced, not trained.
        order = (
            [second, "k", "i", "decay"] if over == "WRAP" else ["i", "f", "k"] if q_type == "kif" else ["b", "i", "k"]
        )
        named = {name: arrays[str(n)] for n, name in enumerate(order) if str(n) in arrays}
        named_k = named.get("k")
        if named_k is None or named_k.dtype.kind not in "ub":
            raise ModelError(
                f"layer {record.name!r} ({record.kind}): the variables of quantiser {place!r} are not in HGQ2's order",
                hint="save the model again with a released version of HGQ2",
            )
        arrays = named
    missing = [name for name in ("k", "i", second) if name not in arrays]
    if missing:
        raise ModelError(
            f"layer {record.name!r} ({record.kind}): variable {missing[0]!r} of quantiser {place!r} is not in the file"
        )
    parts = [np.asarray(arrays[name], np.float64) for name in ("k", "i", second)]
    if not all(np.all(np.isfinite(part)) for part in parts) or len({part.shape for part in parts}) != 1:
        raise ModelError(f"layer {record.name!r} ({record.kind}): the bit widths of quantiser {place!r} are damaged")
    k, i, other = (np.rint(part).astype(np.int64) for part in parts)
    return np.minimum(k, 1), i, other if q_type == "kif" else other - i


def _float_bits(record: Record, place: str, component: str | None) -> tuple[Ints, Ints, Ints]:
    """Return mantissa bits, exponent bits and exponent offset of a `float` quantiser, rounded."""
    arrays = variables_at(record, place, component)
    parts = [arrays.get(str(n), arrays.get(name)) for n, name in enumerate(("m", "e", "e0"))]
    if any(part is None or not np.all(np.isfinite(part)) for part in parts):
        raise ModelError(
            f"layer {record.name!r} ({record.kind}): the bit widths of quantiser {place!r} are missing or damaged"
        )
    m, e, e0 = (np.rint(np.asarray(part, np.float64)).astype(np.int64) for part in parts)
    if m.min() < -1 or m.max() > _MANTISSA or e.min() < 0 or e.max() > _EXPONENT or np.abs(e0).max() > _OFFSET:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): quantiser {place!r} has up to {m.max()} mantissa and {e.max()} "
            f"exponent bits; at most {_MANTISSA} and {_EXPONENT} are supported"
        )
    return m, e, e0


def variables_at(record: Record, place: str, component: str | None = None) -> dict[str, Array]:
    """Take the variables of the quantiser at `place`: by number from `.keras`, by name from HDF5 by layer names.

    There its folder is like `component` (`*` stands for anything), or has the layer's name and the place, as in
    `dense_iq/fixed_point_quantizer_kif_3/f` for `iq`.
    """
    numbered = f"{place}/quantizer/".lstrip("/")
    keys = [key for key in record.array_keys() if key.startswith(numbered)]
    if keys:
        return {key[len(numbered) :]: record.array(key) for key in keys}
    if component is not None:
        return _named(record, component)
    own = escape(f"{record.name.rpartition('/')[2]}_{place}" if place else "")
    # A layer within a wrapper has a name that its record does not know.
    return _named(record, own) or (_named(record, f"*_{place}") if place else {})


def _named(record: Record, component: str) -> dict[str, Array]:
    """Take the variables of quantisers in folders like `component`."""
    found = {}
    for key in record.array_keys():
        *_, folder, kind, name = ("", *key.split("/"))[-3:] if "/" in key else ("", "", "")
        if kind.startswith(("fixed_point", "float_point")) and fnmatchcase(folder, component):
            found[name] = record.array(key)
    return found


def own_variables(record: Record, *names: str) -> dict[str, Array]:
    """Take a layer's own variables, `names` in HGQ2's order; `beta` and `ebops` among them serve training alone."""
    counted = record.take("enable_ebops", True)
    if not counted:
        names = tuple(name for name in names if name not in ("beta", "ebops"))
    found = keras.variables(record, *names)
    return {name: value for name, value in found.items() if name not in ("beta", "ebops")}


def variables(record: Record, folder: str, component: str, *names: str) -> dict[str, Array]:
    """Take the variables `names` of a part of a layer, in HGQ2's order; `beta` and `ebops` need not be there.

    By number from its `folder` in `.keras`, by name from a folder like `component` in HDF5 by layer names.
    """
    prefix = f"{folder}/"
    numbers = [key for key in record.array_keys() if key.startswith(prefix) and key[len(prefix) :].isdigit()]
    needed = [name for name in names if name not in ("beta", "ebops")]
    found: dict[str, Array] = {}
    if numbers:
        wanted = list(names) if len(numbers) == len(names) else needed
        if len(numbers) == len(wanted):
            found = {name: record.array(f"{prefix}{n}") for n, name in enumerate(wanted)}
    else:
        for key in record.array_keys():
            parts = key.split("/")
            if len(parts) >= 2 and parts[-1] in names and fnmatchcase(parts[-2], component):
                found[parts[-1]] = record.array(key)
    missing = [name for name in needed if name not in found]
    if missing:
        raise ModelError(f"layer {record.name!r} ({record.kind}): variable {missing[0]!r} of {folder!r} is not found")
    return found


def quantised(
    record: Record, net: NetworkBuilder, tensor: str, rule: Spec | None, name: str, rank: int | None = None
) -> str:
    """Add a quantiser (and its affine map) behind a tensor; returns the result.

    `rank`: how many axes it was made for without the batch, where it is applied along further ones in front of them.
    """
    if rule is None:
        return tensor
    if rule.float_bits is not None:
        tensor = _float_quantised(record, net, tensor, rule, name)
    elif rule.q_type != "dummy":
        quantiser = rule.quantiser(record, len(net.shape(tensor)) if rank is None else rank)
        tensor = net.add("quantise", name, [tensor], {"quantiser": quantiser})
    if rule.affine is not None:
        factor, shift = rule.affine
        tensor = net.add("mul", f"{name}_factor", [tensor], {}, {"constant": np.float64(factor)})
        tensor = net.add("add", f"{name}_shift", [tensor], {}, {"constant": np.float64(shift)})
    return tensor


def _float_quantised(record: Record, net: NetworkBuilder, tensor: str, rule: Spec, name: str) -> str:
    """Add a staircase for a tensor whose elements have one floating-point type."""
    kinds = {
        tuple(int(part) for part in each) for each in zip(*(a.ravel() for a in rule.float_bits or ()), strict=True)
    }
    stairs = _minifloat.staircase(*kinds.pop()) if len(kinds) == 1 else None
    if stairs is None or rule.scaler is not None:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): a float quantiser whose type differs by element, has a scaler, "
            f"or has more than {_minifloat.MAX_LEVELS} values",
            hint="quantise the tensor with one float type (heterogeneous_axis=()), or by kif",
        )
    return net.add("steps", name, [tensor], {}, {"thresholds": stairs[0], "levels": stairs[1]})


def layer_input(record: Record, net: NetworkBuilder) -> str:
    """Return a layer's one input behind its input quantiser."""
    tensor = keras.single(record)
    enabled = record.take("enable_iq", True)
    rule = spec(record, "iq_conf", "iq")
    return quantised(record, net, tensor, rule if enabled else None, f"{record.name}_iq")


def layer_output(record: Record, net: NetworkBuilder, tensor: str) -> str:
    """Return a layer's output behind its activation and its output quantiser; training's settings are dropped."""
    tensor = activated(record, net, tensor, record.take("activation", None))
    enabled = record.take("enable_oq", False)
    rule = spec(record, "oq_conf", "oq")
    record.ignore("ebops_factor", "beta0", "parallelization_factor")
    return quantised(record, net, tensor, rule if enabled else None, f"{record.name}_oq")


def activated(
    record: Record, net: NetworkBuilder, tensor: str, function: Any, factor: float = 1.0, shift: float = 0.0
) -> str:
    """Apply an activation to `tensor · factor + shift`; one that is no exact arithmetic is computed in float32."""
    scratch = NetworkBuilder("scratch")
    end = keras.activated(record, scratch, scratch.input("x", net.shape(tensor)), function)
    nodes = scratch.build([end]).nodes
    plain = factor == 1 and shift == 0
    if plain and all(node.kind != "activation" or node.attrs["function"] in EXACT for node in nodes):
        return keras.activated(record, net, tensor, function)
    chain = tuple((node.kind, node.attrs) for node in nodes)
    if any(node.params for node in nodes) or any(kind not in CHAIN_KINDS for kind, _ in chain):
        raise record.unsupported("activation", function, "only functions of one number are supported")
    one = (1,) * len(net.shape(tensor))
    params = {"kernel_0": np.full((*one, 1, 1), factor), "kernel_1": np.ones((*one, 1, 1))}
    if shift:
        params["bias_0"] = np.full((*one, 1), shift)
    return net.add("table_network", f"{record.name}_function", [tensor], {"activation": chain}, params)


def weights(record: Record, values: Array, rule: Spec | None) -> NDArray[np.float64]:
    """Quantise weights (float32, the shape of the quantiser's elements) as HGQ2 does, in float32; exact in float64."""
    x = np.asarray(values, np.float32)
    if rule is None:
        return x.astype(np.float64)
    if rule.scaler is not None:
        x = x / np.float32(rule.scaler)
    if rule.float_bits is not None:
        x = _minifloat.quantised(x, *rule.float_bits)
    elif rule.q_type != "dummy":
        x = _rounded(record, x, rule)
    if rule.scaler is not None:
        x = x * np.float32(rule.scaler)
    if rule.affine is not None:
        x = x * np.float32(rule.affine[0]) + np.float32(rule.affine[1])
    made = x.astype(np.float64)
    if rule.float_bits is None and rule.q_type != "dummy" and rule.affine is None:
        note(made, np.exp2(-rule.f.astype(np.float64)) * (rule.scaler or 1.0))
    return made


def weights_rounded(values: Array, frac: Ints, *, floor: bool) -> NDArray[np.float64]:
    """Weights (float32) with `frac` fractional bits and as many others as they need, as HGQ 1 computes them."""
    shift = np.broadcast_to(frac, np.shape(values)).astype(np.int32)
    half = np.float32(0.0 if floor else 0.5)
    made = np.ldexp(np.floor(np.ldexp(np.asarray(values, np.float32), shift) + half), -shift).astype(np.float64)
    note(made, np.exp2(-shift.astype(np.float64)))
    return made


def _rounded(record: Record, x: Array, rule: Spec) -> Array:
    try:
        k, i, f = (np.broadcast_to(part, x.shape) for part in (rule.k, rule.i, rule.f))
    except ValueError:
        raise ModelError(
            f"layer {record.name!r} ({record.kind}): bit widths of shape {rule.k.shape} for weights of {x.shape}"
        ) from None
    scaled = np.ldexp(x, f.astype(np.int32))
    if rule.rounding is Rounding.RND:
        # floor(x + 1/2) with a sum in float32, as the framework has it: next to a half it may round up.
        codes = np.floor(scaled + np.float32(0.5))
    else:
        codes = round_real(scaled.astype(np.float64), rule.rounding).astype(np.float32)
    if rule.free:
        return np.asarray(np.ldexp(codes, -f.astype(np.int32)), np.float32)
    bits = k + i + f
    there = bits > 0
    span = np.exp2(np.where(there, i + f, 0).astype(np.float64))
    lo, hi = -k * span, span - 1
    wide = codes.astype(np.float64)
    if rule.overflow is Overflow.WRAP:
        wide = np.mod(wide - lo, hi - lo + 1) + lo
    else:
        wide = np.clip(wide, -k * hi if rule.overflow is Overflow.SAT_SYM else lo, hi)
    return np.where(there, np.ldexp(wide, -f.astype(np.int32)), 0.0).astype(np.float32)


def batch_norm_scaler(gamma: Array | None, variance: Array, epsilon: float) -> Array:
    """`gamma / sqrt(variance + epsilon)`, in float32 step by step as the framework computes it."""
    root = np.sqrt(np.asarray(variance, np.float32) + np.float32(epsilon))
    return np.asarray((np.float32(1.0) if gamma is None else np.asarray(gamma, np.float32)) / root, np.float32)
