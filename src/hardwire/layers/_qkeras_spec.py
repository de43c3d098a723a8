"""QKeras' quantisers as model files write them: a call in a string, or a class name with its settings.

Nothing is evaluated: a string is parsed, and only literals are taken from it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hardwire.errors import UnsupportedError
from hardwire.layers._keras import MAX_FLOAT32
from hardwire.network.records import Record

MAX_TEXT = 1000
MAX_QUANTISER_BITS = 32

_COMMON = {"qnoise_factor": 1.0, "var_name": None, "use_ste": True, "use_variables": False}
_BITS: dict[str, Any] = {
    "bits": 8,
    "integer": 0,
    "symmetric": 0,
    "keep_negative": True,
    "alpha": None,
    "use_stochastic_rounding": False,
    "scale_axis": None,
    **_COMMON,
    "elements_per_scale": None,
    "min_po2_exponent": None,
    "max_po2_exponent": None,
    "post_training_scale": None,
}
_BINARY = {"alpha": None, "temperature": 6.0, "use_real_sigmoid": True}

SIGNATURES: dict[str, dict[str, Any]] = {
    "quantized_bits": _BITS,
    "quantized_linear": {
        "bits": 8,
        "integer": 0,
        "symmetric": 1,
        "keep_negative": True,
        "alpha": None,
        "use_stochastic_rounding": False,
        "scale_axis": None,
        "qnoise_factor": 1.0,
        "var_name": None,
        "use_variables": False,
    },
    "quantized_relu": {
        "bits": 8,
        "integer": 0,
        "use_sigmoid": 0,
        "negative_slope": 0.0,
        "use_stochastic_rounding": False,
        "relu_upper_bound": None,
        "is_quantized_clip": True,
        **_COMMON,
        "enable_bn_folding": None,
    },
    "quantized_po2": {
        "bits": 8,
        "max_value": None,
        "use_stochastic_rounding": False,
        "quadratic_approximation": False,
        "log2_rounding": "rnd",
        **_COMMON,
    },
    "quantized_relu_po2": {
        "bits": 8,
        "max_value": None,
        "negative_slope": 0,
        "use_stochastic_rounding": False,
        "quadratic_approximation": False,
        "log2_rounding": "rnd",
        **_COMMON,
    },
    "binary": {
        "use_01": False,
        "alpha": None,
        "use_stochastic_rounding": False,
        "scale_axis": None,
        "elements_per_scale": None,
        "min_po2_exponent": None,
        "max_po2_exponent": None,
    },
    "stochastic_binary": _BINARY,
    "bernoulli": _BINARY,
    "ternary": {"alpha": None, "threshold": None, "use_stochastic_rounding": False, "number_of_unrolls": 5},
    "stochastic_ternary": {
        "alpha": None,
        "threshold": None,
        "temperature": 8.0,
        "use_real_sigmoid": True,
        "number_of_unrolls": 5,
    },
    "quantized_tanh": {"bits": 8, "use_stochastic_rounding": False, "symmetric": False, "use_real_tanh": False},
    "quantized_sigmoid": {
        "bits": 8,
        "symmetric": False,
        "use_real_sigmoid": False,
        "use_stochastic_rounding": False,
    },
    "quantized_ulaw": {"bits": 8, "integer": 0, "symmetric": 0, "u": 255.0},
    "quantized_hswish": {
        "bits": 8,
        "integer": 0,
        "symmetric": 0,
        "alpha": None,
        "use_stochastic_rounding": False,
        "scale_axis": None,
        **_COMMON,
        "relu_shift": 3,
        "relu_upper_bound": 6,
        "keep_negative": True,
    },
}
"""Parameters of each quantiser in QKeras' order, with their defaults (QKeras 0.9, and names that later ones add)."""

FUNCTIONS = ("hard_sigmoid", "hard_tanh", "smooth_sigmoid", "smooth_tanh", "binary_sigmoid", "binary_tanh")
"""QKeras' own functions without parameters; any other bare name is a function of Keras."""

_NOT_NONE = ("elements_per_scale", "min_po2_exponent", "max_po2_exponent", "post_training_scale", "enable_bn_folding")


@dataclass(frozen=True)
class Spec:
    """A quantiser of `SIGNATURES` with all its settings, or (without settings) a function by its name."""

    kind: str
    settings: Mapping[str, Any]

    @property
    def is_quantiser(self) -> bool:
        """Whether it is one of QKeras' quantiser classes."""
        return self.kind in SIGNATURES

    @property
    def automatic(self) -> bool:
        """Whether its scale is computed from the tensor that it quantises."""
        return isinstance(self.settings.get("alpha"), str)

    def trainable(self) -> Spec:
        """Return the quantiser as a layer uses it for a kernel: without `alpha`, its scale is automatic."""
        if "alpha" not in self.settings or self.settings["alpha"] is not None:
            return self
        return Spec(self.kind, {**self.settings, "alpha": "auto_po2"})


def read_spec(record: Record, attr: str, value: Any) -> Spec | None:
    """Read a quantiser or function; None for none at all. Raises `UnsupportedError` naming layer and attribute."""
    if value is None:
        return None
    if isinstance(value, str):
        name, args, kwargs = _parsed(record, attr, value)
    elif isinstance(value, dict) and isinstance(value.get("class_name"), str):
        if value["class_name"] == "function":
            return read_spec(record, attr, value.get("config"))
        name, args, kwargs = value["class_name"].rpartition(">")[2], [], value.get("config") or {}
    else:
        raise record.unsupported(attr, value, "no quantiser of QKeras")
    signature = SIGNATURES.get(name)
    if signature is None:
        if args or kwargs or isinstance(value, dict):
            known = ", ".join(sorted(SIGNATURES))
            raise record.unsupported(attr, value, f"no quantiser of QKeras that is supported ({known})")
        return Spec(name, {})
    names = list(signature)
    if len(args) > len(names) or not isinstance(kwargs, dict):
        raise record.unsupported(attr, value, f"{name} has at most {len(names)} settings")
    given = {**dict(zip(names, args, strict=False)), **{str(key): _plain(item) for key, item in kwargs.items()}}
    for key, item in given.items():
        if key not in signature and not (key in ("name", "dtype") and item is None):
            raise record.unsupported(attr, value, f"{name} has no setting {key!r} that is understood")
    settings = {**signature, **{key: item for key, item in given.items() if key in signature}}
    _check(record, attr, value, settings)
    return Spec(name, settings)


_OPTIONAL = ("max_value", "relu_upper_bound", "threshold", "scale_axis", "alpha")
_UNUSED = ("var_name", "use_ste", "use_variables", "use_stochastic_rounding", "temperature")
_WHOLE = ("bits", "integer", "scale_axis", "number_of_unrolls")


def _check(record: Record, attr: str, value: Any, settings: Mapping[str, Any]) -> None:
    """Refuse settings of a wrong type or out of range, and those whose meaning is not supported."""
    for key, item in settings.items():
        if key in _NOT_NONE:
            if item is not None:
                raise record.unsupported(attr, value, f"{key} = {item!r} is not supported")
        elif key == "log2_rounding":
            if item not in ("rnd", "floor"):
                raise record.unsupported(attr, value, f"{key} = {item!r}: 'rnd' or 'floor'")
        elif key == "alpha" and isinstance(item, str):
            if item not in ("auto", "auto_po2"):
                raise record.unsupported(attr, value, f"{key} = {item!r}: a number, 'auto' or 'auto_po2'")
        elif key == "alpha" and isinstance(item, list | tuple):
            if not item or not all(_is_number(part) for part in np.ravel(np.asarray(item, object)).tolist()):
                raise record.unsupported(attr, value, f"{key} = {item!r}: numbers are expected")
        elif key not in _UNUSED and not (item is None and key in _OPTIONAL):
            if not _is_number(item):
                raise record.unsupported(attr, value, f"{key} = {item!r}: a number is expected")
            if key in _WHOLE and (isinstance(item, bool) or item != int(item)):
                raise record.unsupported(attr, value, f"{key} = {item!r}: a whole number is expected")
    if settings.get("qnoise_factor", 1.0) != 1.0:
        raise record.unsupported(
            attr, value, "qnoise_factor is not 1: the layer is only partly quantised; finish its training schedule"
        )
    if (
        not 1 <= settings.get("bits", 8) <= MAX_QUANTISER_BITS
        or abs(settings.get("integer", 0)) > 2 * MAX_QUANTISER_BITS
    ):
        raise record.unsupported(
            attr, value, f"1 to {MAX_QUANTISER_BITS} bits, and integer bits near them, are supported"
        )


def _is_number(item: Any) -> bool:
    return isinstance(item, bool | int | float) and abs(item) < MAX_FLOAT32


def _parsed(record: Record, attr: str, text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Name, positional and keyword arguments of `name` or `name(literal, key=literal)`."""
    try:
        if len(text) > MAX_TEXT:
            raise ValueError
        tree = ast.parse(text.strip(), mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, [], {}
        if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
            raise ValueError
        args = [ast.literal_eval(item) for item in tree.args]
        kwargs = {str(item.arg): ast.literal_eval(item.value) for item in tree.keywords if item.arg}
        if len(kwargs) != len(tree.keywords):
            raise ValueError
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise record.unsupported(attr, text[:80], "no quantiser of QKeras, such as 'quantized_bits(6,0,1)'") from None
    return tree.func.id, args, kwargs


def _plain(value: Any) -> Any:
    """Return a setting without the wrapping that Keras gives arrays and numbers."""
    if isinstance(value, dict):
        inner = value.get("config", value)
        return inner.get("value") if isinstance(inner, dict) else inner
    return value


def refuse(record: Record, attr: str, spec: Spec, why: str) -> UnsupportedError:
    """Build the error for a quantiser that is understood but not supported."""
    given = {key: item for key, item in spec.settings.items() if item != SIGNATURES.get(spec.kind, {}).get(key, item)}
    text = ",".join(f"{key}={item!r}" for key, item in given.items())
    return record.unsupported(attr, f"{spec.kind}({text})", why)
