"""What the import rules of Keras layers share: variables, axes that count the batch, activation arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import UnsupportedError
from hardwire.layers._axes import without_batch
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

MAX_FLOAT32 = float(np.finfo(np.float32).max)


def variables(record: Record, *names: str) -> dict[str, NDArray[Any]]:
    """Return a layer's variables by name; `names` in the layer's own order (trainable first).

    A `.keras` file stores them by number, HDF5 by name.
    """
    if record.has_array("0"):
        return {name: record.array(str(number)) for number, name in enumerate(names)}
    return {name: record.array(name) for name in names}


def single(record: Record) -> str:
    """Return the one input tensor of a layer."""
    if len(record.inputs) != 1:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): {len(record.inputs)} inputs, expected one")
    return record.inputs[0]


def number(record: Record, attr: str, default: float | None) -> float | None:
    """Take an attribute that is a number or None; Keras 2 wrote some of them as arrays without axes."""
    value = record.take(attr, default)
    plain = value
    if isinstance(value, dict):
        plain = value.get("config", {}).get("value") if "config" in value else value.get("value")
    if plain is None and not isinstance(value, dict):
        return None
    if isinstance(plain, bool) or not isinstance(plain, int | float) or not abs(plain) < MAX_FLOAT32:
        raise record.unsupported(attr, value, "a finite number is expected")
    return float(plain)


def axis(record: Record, attr: str, default: int, rank: int) -> int:
    """Take one axis (an integer or a list of one) and return it without the batch axis, ≥ 0; `rank` without it."""
    value = record.take(attr, default)
    plain = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
    return without_batch(record, attr, plain, rank)


def one_rank(net: NetworkBuilder, name: str, tensors: Sequence[str]) -> list[str]:
    """Give tensors of lower rank axes of one behind the batch, as Keras' merging layers do."""
    rank = max(len(net.shape(tensor)) for tensor in tensors)
    made = []
    for tensor in tensors:
        shape = net.shape(tensor)
        wide = (*(1,) * (rank - len(shape)), *shape)
        made.append(tensor if wide == shape else net.add("reshape", f"{name}_axes", [tensor], {"shape": wide}))
    return made


def delegated(
    record: Record,
    net: NetworkBuilder,
    kind: str,
    tensors: Sequence[str],
    attrs: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    *,
    name: str | None = None,
    unknown: UnsupportedError | None = None,
) -> list[str]:
    """Let the rule of the layer `kind` add the nodes for `tensors`; returns its outputs.

    Raises `unknown` (an error that names `kind` by default) where no rule knows it.
    """
    from hardwire.layers import import_rule

    rule = import_rule("keras", kind)
    if rule is None:
        why = f"layer {record.name!r} ({record.kind}): the Keras layer {kind!r} is not supported"
        raise unknown or UnsupportedError(why)
    inner = Record(name or record.name, kind, tuple(tensors), attrs, arrays, record.versions)
    made = rule(inner, net)
    inner.finish()
    return [made] if isinstance(made, str) else made


def activated(record: Record, net: NetworkBuilder, tensor: str, spec: Any, name: str | None = None) -> str:
    """Apply an activation argument: a function's name, or an activation layer; returns the resulting tensor.

    Rules for functions are registered as `activations.<name>`.
    """
    attrs: dict[str, Any] = {}
    if isinstance(spec, dict) and spec.get("class_name") == "function":
        spec = spec.get("config")
    if isinstance(spec, dict) and isinstance(spec.get("class_name"), str) and isinstance(spec.get("config"), dict):
        own = str(spec.get("module", "keras")).split(".")[0] in ("keras", "tf_keras", "builtins")
        kind = label = spec["class_name"] if own else f"{spec['module']}.{spec['class_name']}"
        attrs = {key: value for key, value in spec["config"].items() if key not in ("name", "trainable", "dtype")}
    elif spec is None or isinstance(spec, str):
        label = spec or "linear"
        kind = f"activations.{label}"
    else:
        raise record.unsupported("activation", spec, "no function of Keras")
    if kind == "activations.linear":
        return tensor
    unknown = record.unsupported("activation", label, "no import rule knows it; use an activation of Keras")
    node = name or f"{record.name}_{label}"
    return delegated(record, net, kind, [tensor], attrs, {}, name=node, unknown=unknown)[0]
