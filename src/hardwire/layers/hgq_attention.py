"""Softmax by tables and multi-head attention of HGQ2, read from the file alone.

HGQ2's softmax is exact arithmetic between two tables: `e = exp_table(max(x) - x)`, `y = e · inv_table(sum(e))`, each
table with a type before and behind it. Tables are computed in float32, as the framework does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from math import sqrt
from typing import Any

from hardwire.errors import UnsupportedError
from hardwire.layers import matmul
from hardwire.layers._axes import without_batch
from hardwire.layers._hgq import (
    Spec,
    layer_input,
    layer_output,
    own_variables,
    quantised,
    rules,
    spec_of,
    variables,
    variables_at,
    weights,
)
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

_SEQUENCE_AXES = 2
_PROJECTION = "abc,cde->abde"
_ALONG_SEQUENCE = "abc,bd->adc"
_LINFORMER = "QLinformerAttention"
_UNNAMED = re.compile(r"(?:.*/)?(q_einsum_dense(?:_(\d+))?)/kernel$")


@rules("QEinsum")
def _einsum(record: Record, net: NetworkBuilder) -> str:
    """An einsum of two computed tensors, each behind its own quantiser."""
    from hardwire.layers.hgq import merged_inputs

    tensors = merged_inputs(record, net)
    equation = str(record.take("equation"))
    if len(tensors) != 2:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): {len(tensors)} inputs, expected two")
    return layer_output(record, net, matmul.einsum(record, net, equation, tensors[0], tensors[1]))


@rules("QSoftmax")
def _softmax(record: Record, net: NetworkBuilder) -> str:
    """Softmax over one or more axes by an exponential and a reciprocal table."""
    x = layer_input(record, net)
    own_variables(record, "beta", "ebops")
    stated = record.take("axes", None)
    if stated is None:
        stated = record.take("axis", -1)
    rank = len(net.shape(x))
    axes = [without_batch(record, "axes", axis, rank) for axis in (stated if isinstance(stated, list) else [stated])]
    configs = {key: record.take(f"{key}_conf", None) for key in ("exp_iq", "exp_oq", "inv_iq", "inv_oq")}
    stable, scale = record.take("stable", True), float(record.take("input_scaler", 1.0))
    record.ignore("allow_heterogeneous_table")
    y = _tables(record, net, x, tuple(axes), configs, "", bool(stable), scale, record.name)
    return layer_output(record, net, y)


def _tables(
    record: Record,
    net: NetworkBuilder,
    x: str,
    axes: tuple[int, ...],
    configs: dict[str, Any],
    folder: str,
    stable: bool,
    scale: float,
    name: str,
) -> str:
    """Add the softmax of `x` over `axes`; its tables' variables are in `exp_table` and `inv_table` of `folder`."""

    def part(key: str) -> Spec | None:
        table, kind = key.split("_")
        place = f"{folder}{table}_table/{kind}"
        return spec_of(record, configs[key], f"{key}_conf", place, f"*_{table}_table_{kind}")

    for table in ("exp_table", "inv_table"):
        variables(record, f"{folder}{table}", f"*{table}", "beta", "ebops")
    if stable:
        top = net.add("reduce_max", f"{name}_max", [x], {"axes": axes, "keepdims": True})
        x = net.add("sub", f"{name}_below", [top, x])
        x = quantised(record, net, x, part("exp_iq"), f"{name}_exp_iq")
    arguments = {"scale": -scale if stable else scale}
    exponential = net.add("activation", f"{name}_exp", [x], _function("exp_float32", arguments))
    exponential = quantised(record, net, exponential, part("exp_oq"), f"{name}_exp_oq")
    total = net.add("reduce_sum", f"{name}_sum", [exponential], {"axes": axes, "keepdims": True})
    total = quantised(record, net, total, part("inv_iq"), f"{name}_inv_iq")
    inverse = net.add("activation", f"{name}_inv", [total], _function("reciprocal_float32", {"offset": 1e-7}))
    inverse = quantised(record, net, inverse, part("inv_oq"), f"{name}_inv_oq")
    return net.add("mul", name, [exponential, inverse])


def _function(name: str, arguments: dict[str, float]) -> dict[str, Any]:
    return {"function": name, "arguments": arguments, "output": None}


@rules("QMultiHeadAttention", _LINFORMER)
def _attention(record: Record, net: NetworkBuilder) -> str:
    """Attention over a sequence (positions, features): quantised projections, softmax by tables, output projection.

    Linformer's (Wang et al., 2020) keys and values are first projected along the sequence.
    """
    query, value, key = _operands(record, net)
    heads, features = record.take("num_heads"), record.take("key_dim")
    values = record.take("value_dim", None) or features
    # Which projections have a bias is seen from their variables: the key's has none since HGQ2 0.2.
    record.ignore("use_bias", "dropout", "seed", "softmax_allow_heterogeneous_table", "flash_attention")
    axes = record.take("attention_axes", None)
    if axes not in (None, [1], (1,)):
        raise record.unsupported("attention_axes", axes, "only attention over the one sequence axis is supported")
    record.expect("use_gate", False)
    for argument in ("use_causal_mask", "return_attention_scores"):
        record.expect(f"call {argument}", False, None)
    record.expect("sliding_window", None)
    record.take("output_shape", None)  # the output kernel's own shape
    fuse = str(record.expect("fuse", "none", "qkv", "kv"))
    enabled = bool(record.take("enable_iq", True))
    configs = {kind: record.take(f"qkvo_{kind}_conf", None) for kind in ("iq", "kq", "bq", "oq")}
    softmax = {key: record.take(f"softmax_{key}_conf", None) for key in ("exp_iq", "exp_oq", "inv_iq", "inv_oq")}
    record.ignore("softmax_iq_conf")
    softmax_output = record.take("softmax_oq_conf", None)
    own_variables(record, "beta", "ebops")

    def rule(kind: str, places: list[tuple[str, str]]) -> Spec | None:
        """Quantiser of a projection; a shared one lies with the first of its users."""
        for folder, name in places:
            if any(k.startswith((f"{folder}/{kind}/", f"{name}/{name}_{kind}/")) for k in record.array_keys()):
                return spec_of(record, configs[kind], f"qkvo_{kind}_conf", f"{folder}/{kind}", f"{name}_{kind}")
        return None

    def project(x: str, folder: str, name: str, iq: Spec | None, equation: str, last: bool = False) -> str:
        own_name = f"{record.name}_{name}"
        x = quantised(record, net, x, iq, f"{own_name}_iq")
        kernel_rule, bias_rule = rule("kq", [(folder, name)]), rule("bq", [(folder, name)])
        names = ["kernel", *(["bias"] if bias_rule is not None else [])]
        found = variables(record, folder, name, *names, "beta", "ebops")
        params = {"kernel": weights(record, found["kernel"], kernel_rule)}
        if bias_rule is not None:
            params["bias"] = weights(record, found["bias"], bias_rule)
        x = net.add("einsum", own_name, [x], {"equation": equation}, params)
        return quantised(record, net, x, rule("oq", [(folder, name)]), f"{own_name}_oq") if not last else x

    if record.kind.endswith(_LINFORMER):
        key, value = _shortened(record, key, value, partial(project, equation=_ALONG_SEQUENCE, last=True), rule)
    parts = {"query": ("query_dense", "query"), "key": ("key_dense", "key"), "value": ("value_dense", "value")}
    shared = {"none": [], "kv": ["key", "value"], "qkv": ["query", "key", "value"]}[fuse]
    users = [parts[name] for name in shared]
    common = rule("iq", users) if shared and enabled else None
    entry = {n: (common if n in shared else rule("iq", [parts[n]])) if enabled else None for n in parts}
    q = project(query, *parts["query"], entry["query"], _PROJECTION)
    k = project(key, *parts["key"], entry["key"], _PROJECTION)
    v = project(value, *parts["value"], entry["value"], _PROJECTION)
    if net.shape(q)[1:] != (heads, features) or net.shape(v)[1:] != (heads, values):
        raise record.unsupported("num_heads", heads, f"the kernels in the file make {net.shape(q)} and {net.shape(v)}")
    scores = _product(record, net, "scores", "aecd,abcd->acbe", k, q)
    stable = bool(record.take("stable_softmax", True))
    name = f"{record.name}_softmax"
    variables(record, "_softmax", "*softmax*", "beta", "ebops")
    weight = _tables(record, net, scores, (2,), softmax, "_softmax/", stable, 1.0 / sqrt(float(features)), name)
    behind = spec_of(record, softmax_output, "softmax_oq_conf", "_softmax/oq", "*softmax*_oq")
    weight = quantised(record, net, weight, behind, f"{name}_oq")
    # Files of HGQ2 0.1 hold a quantiser of the scores too, which HGQ2 0.2 does not apply.
    variables_at(record, "_softmax/iq", "*softmax*_iq")
    mixed = _product(record, net, "mixed", "acbe,aecd->abcd", weight, v)
    out_name = ("output_dense", "attention_output")
    y = project(mixed, *out_name, rule("iq", [out_name]), "abcd,cde->abe", last=True)
    return layer_output(record, net, quantised(record, net, y, rule("oq", [out_name]), f"{record.name}_output_oq"))


def _shortened(
    record: Record,
    key: str,
    value: str,
    project: Callable[[str, str, str, Spec | None], str],
    rule: Callable[[str, list[tuple[str, str]]], Spec | None],
) -> tuple[str, str]:
    """Keys and values with their sequence projected to `lin_kv_proj_dim` positions, by one kernel or one each."""
    record.expect("lin_kv_proj_mode", "dense")
    record.ignore("lin_kv_proj_dim")  # the kernels' own shapes
    shared = bool(record.take("share_kv_proj", False))
    # HDF5 names these two layers by a counter; the key's is made first.
    found = {match[1]: int(match[2] or 0) for name in record.array_keys() if (match := _UNNAMED.match(name))}
    names = sorted(found, key=lambda name: found[name]) or ["_lin_k_proj", "_lin_v_proj"][: 2 - shared]
    if len(names) != 2 - shared:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): projections along the sequence named {', '.join(names)}; "
            f"{2 - shared} expected (share_kv_proj = {shared})"
        )
    if shared:
        if key != value:
            raise record.unsupported("share_kv_proj", True, "with a key that is another tensor than the value")
        key = project(key, "_lin_k_proj", names[0], rule("iq", [("_lin_k_proj", names[0])]))
        return key, key
    places = [("_lin_k_proj", names[0]), ("_lin_v_proj", names[1])]
    key, value = (project(x, *at, rule("iq", [at])) for x, at in zip((key, value), places, strict=True))
    return key, value


def _operands(record: Record, net: NetworkBuilder) -> tuple[str, str, str]:
    """Query, value and key: one tensor stands for all, two for query and value."""
    tensors = record.inputs
    if not 1 <= len(tensors) <= 3 or any(len(net.shape(tensor)) != _SEQUENCE_AXES for tensor in tensors):
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): inputs of shapes {', '.join(str(net.shape(t)) for t in tensors)} "
            "(without the batch); one to three tensors (positions, features) are expected"
        )
    names = record.versions.get("arguments", ())
    if set(names) - {"query", "value", "key"}:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): it is called with {names}, masks among them")
    query = tensors[0]
    value = tensors[1] if len(tensors) > 1 else query
    return query, value, tensors[2] if len(tensors) > 2 else value


def _product(record: Record, net: NetworkBuilder, name: str, equation: str, a: str, b: str) -> str:
    inner = Record(f"{record.name}_{name}", record.kind, (a, b), {}, {}, record.versions)
    return matmul.einsum(inner, net, equation, a, b)
