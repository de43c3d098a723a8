"""Attention layers as their formats have them; each becomes dense layers, products of tensors and a softmax.

Keras `MultiHeadAttention`, `GroupQueryAttention`, `Attention`, `AdditiveAttention`; PyTorch
`scaled_dot_product_attention` (of which `nn.MultiheadAttention` and `nn.TransformerEncoderLayer` are made when they
are exported); ONNX `Attention`. Masks are constants, causal ones, or computed tensors of 0 and 1.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import UnsupportedError
from hardwire.layers import _onnx as onnx
from hardwire.layers._attention import (
    attend,
    causal,
    flat,
    heads_in_front,
    heads_joined,
    inverse_root,
    masked_softmax,
    projected,
    repeated_heads,
    swapped,
    without_leading,
)
from hardwire.layers._axes import without_batch
from hardwire.layers._base import imports
from hardwire.layers.masking import kept
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

# --- Keras


def _arguments(record: Record) -> dict[str, str]:
    """Tensors of the call by the names of the layer's arguments."""
    names = record.versions.get("arguments", ())
    if len(names) != len(record.inputs) or len(set(names)) != len(names):
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): it is called with the arguments {names}")
    return dict(zip(names, record.inputs, strict=True))


def _with_masks(record: Record, net: NetworkBuilder, tensors: dict[str, str]) -> dict[str, str]:
    """Add the masks of positions that query, value and key have, where the call names none."""
    found = dict(tensors)
    for name in ("query", "value", "key"):
        mask = net.masks.get(tensors.get(name, ""))
        if mask is not None and f"{name}_mask" not in tensors and not record.has_array(f"call {name}_mask"):
            found[f"{name}_mask"] = mask
    return found


def _flag(record: Record, argument: str) -> bool:
    """Take a plain argument of the call that is true or false."""
    value = record.take(f"call {argument}", False)
    if value not in (None, False, True):
        raise record.unsupported(f"call {argument}", value, "true or false is expected")
    return bool(value)


def _keras_weights(record: Record, bias: bool, parts: dict[str, str]) -> dict[str, tuple[Any, Any]]:
    """Kernel and bias of each projection: `query_dense/0` in `.keras` files, `query/kernel` in HDF5.

    `parts`: attribute of the layer by the name of its projection.
    """
    found = {}
    for attr, name in parts.items():
        arrays = []
        for number, variable in enumerate(("kernel", "bias")[: 1 + bias]):
            places = (f"{attr}/{number}", f"_{attr}/{number}", f"{name}/{variable}", f"{attr}/{variable}")
            key = next((key for key in places if record.has_array(key)), places[2])
            arrays.append(record.array(key))
        found[name] = (arrays[0], arrays[1] if bias else None)
    return found


def _keras_masks(
    record: Record, net: NetworkBuilder, tensors: dict[str, str], rows: int, columns: int, lead: int
) -> tuple[NDArray[Any] | None, list[str]]:
    """Constant and computed masks of a call, broadcasting to (lead axes, rows, columns)."""
    constant = causal(rows, columns) if _flag(record, "use_causal_mask") else None
    shapes = {
        "query_mask": (rows, 1),
        "value_mask": (1, columns),
        "key_mask": (1, columns),
        "attention_mask": (rows, columns),
    }
    masks = []
    for name, shape in shapes.items():
        if name in tensors:
            own = net.shape(tensors[name])
            # Of one axis: of the positions that the argument's name says.
            wide = shape if len(own) == 1 and prod(own) == prod(shape) else own
            if len(wide) != len(shape) or np.broadcast_shapes(wide, (rows, columns)) != (rows, columns):
                raise record.unsupported(f"call {name}", own, f"a mask {shape} (without the batch) is expected")
            view = {"shape": (*(1,) * lead, *wide)}
            masks.append(net.add("reshape", f"{record.name}_{name}", [tensors[name]], view))
        given = record.array(f"call {name}") if record.has_array(f"call {name}") else None
        if given is not None:
            given = np.broadcast_to(without_leading(record, given, 2, "a mask") != 0, (rows, columns))
            constant = given if constant is None else constant & given
    return constant, masks


@imports("keras", "MultiHeadAttention")
def _keras_multi_head(record: Record, net: NetworkBuilder) -> str | list[str]:
    """`MultiHeadAttention` over any axes of (…, features), queries against keys and values."""
    tensors = _arguments(record)
    if "query_mask" in tensors or record.has_array("call query_mask"):
        raise record.unsupported(
            "call query_mask", tensors.get("query_mask", "a constant"), "versions of Keras differ in what it does"
        )
    tensors = _with_masks(record, net, tensors)
    query, value = tensors["query"], tensors["value"]
    key = tensors.get("key", value)
    heads, width = int(record.take("num_heads")), int(record.take("key_dim"))
    record.take("value_dim", None)  # as the kernels in the file have it
    record.ignore("dropout", "seed", "flash_attention", "query_shape", "key_shape", "value_shape")
    record.ignore("softmax_robust_masking")  # differs only where a mask leaves nothing
    bias, gated = bool(record.take("use_bias", True)), bool(record.take("use_gate", False))
    rank = len(net.shape(query))
    stated = record.take("attention_axes", None)
    listed = [stated] if isinstance(stated, int) else list(stated) if stated else list(range(1, rank))
    axes = [without_batch(record, "attention_axes", axis, rank) for axis in listed]
    if any(axis == rank - 1 for axis in axes) or len({len(net.shape(t)) for t in (query, value, key)}) > 1:
        raise record.unsupported("attention_axes", stated, f"positions of tensors {net.shape(query)} are expected")
    parts = {"query_dense": "query", "key_dense": "key", "value_dense": "value", "output_dense": "attention_output"}
    if gated:
        parts["gate_dense"] = "gate"
    found = _keras_weights(record, bias, parts)
    if found["query"][0].shape[1:] != (heads, width):
        raise record.unsupported("num_heads", heads, f"the query's kernel in the file is {found['query'][0].shape}")

    def head(name: str, x: str) -> str:
        own = f"{record.name}_{name}"
        y = projected(record, net, name, flat(net, own, x, axes), *found[name])
        return heads_in_front(net, own, y, heads)

    q, k, v = head("query", query), head("key", key), head("value", value)
    rows, columns = net.shape(q)[-2], net.shape(k)[-2]
    mask, masks = _keras_masks(record, net, tensors, rows, columns, rank - len(axes))
    mask = _window(record, mask, rows, columns)
    if mask is not None and len(axes) > 1:
        raise record.unsupported("attention_axes", stated, "a causal or windowed mask needs one axis of positions")
    mixed, weights = attend(record, net, q, k, v, inverse_root(width), mask=mask, masks=masks, share=True)
    if gated:
        gate = net.add("activation", f"{record.name}_gate_sigmoid", [head("gate", query)], _sigmoid())
        mixed = net.add("mul", f"{record.name}_gated", [mixed, gate])
    kernel, shift = found["attention_output"]
    out_shape = tuple(kernel.shape[2:])
    wanted = record.take("output_shape", None)
    if wanted is not None and tuple(np.atleast_1d(wanted)) != out_shape:
        raise record.unsupported("output_shape", wanted, f"the output's kernel in the file makes {out_shape}")
    joined = heads_joined(net, record.name, mixed)
    y = projected(record, net, "output", joined, kernel.reshape(-1, *out_shape), shift)
    # Back to the query's own order of axes.
    shape = net.shape(query)
    kept = [axis for axis in range(rank - 1) if axis not in axes]
    sizes = tuple(shape[axis] for axis in (*kept, *axes))
    y = net.add("reshape", f"{record.name}_axes", [y], {"shape": (*sizes, *out_shape)})
    back = [int(i) for i in np.argsort([*kept, *axes])]
    perm = (*back, *range(rank - 1, rank - 1 + len(out_shape)))
    y = net.add("transpose", record.name, [y], {"perm": perm})
    if not _flag(record, "return_attention_scores"):
        return y
    others = tuple(net.shape(key)[axis] for axis in axes)
    wide = (*(shape[axis] for axis in kept), heads, *(shape[axis] for axis in axes), *others)
    return [y, net.add("reshape", f"{record.name}_weights", [weights], {"shape": wide})]


def _sigmoid() -> dict[str, Any]:
    return {"function": "sigmoid", "arguments": {}, "output": None}


def _window(record: Record, mask: NDArray[Any] | None, rows: int, columns: int) -> NDArray[Any] | None:
    """The mask with that of `sliding_window`: positions closer than it see each other."""
    window = record.take("sliding_window", None)
    if window is None:
        return mask
    near = np.abs(np.arange(rows)[:, None] - np.arange(columns)) < int(window)
    return near if mask is None else near & mask


@imports("keras", "GroupQueryAttention", "GroupedQueryAttention")
def _keras_group_query(record: Record, net: NetworkBuilder) -> str | list[str]:
    """`GroupQueryAttention`: several query heads share a head of keys and values."""
    tensors = _with_masks(record, net, _arguments(record))
    query, value = tensors["query"], tensors["value"]
    key = tensors.get("key", value)
    width, heads = int(record.take("head_dim")), int(record.take("num_query_heads"))
    groups = int(record.take("num_key_value_heads"))
    record.ignore("dropout", "seed", "flash_attention")
    bias, gated = bool(record.take("use_bias", True)), bool(record.take("use_gate", False))
    parts = {"query_dense": "query", "key_dense": "key", "value_dense": "value", "output_dense": "attention_output"}
    if gated:
        parts["gate_dense"] = "gate"
    found = _keras_weights(record, bias, parts)
    if found["query"][0].shape[1:] != (heads, width) or found["key"][0].shape[1:] != (groups, width):
        raise record.unsupported(
            "num_query_heads", heads, f"the query's kernel in the file is {found['query'][0].shape}"
        )

    def head(name: str, x: str, count: int) -> str:
        own = f"{record.name}_{name}"
        y = heads_in_front(net, own, projected(record, net, name, x, *found[name]), count)
        return repeated_heads(net, own, y, heads // count)

    q, k, v = head("query", query, heads), head("key", key, groups), head("value", value, groups)
    rows, columns = net.shape(q)[-2], net.shape(k)[-2]
    mask, masks = _keras_masks(record, net, tensors, rows, columns, 1)
    mask = _window(record, mask, rows, columns)
    mixed, weights = attend(record, net, q, k, v, inverse_root(width), mask=mask, masks=masks, share=True)
    if gated:
        gate = net.add("activation", f"{record.name}_gate_sigmoid", [head("gate", query, heads)], _sigmoid())
        mixed = net.add("mul", f"{record.name}_gated", [mixed, gate])
    kernel, shift = found["attention_output"]
    joined = heads_joined(net, record.name, mixed)
    y = projected(record, net, "output", joined, kernel.reshape(-1, kernel.shape[-1]), shift)
    return [y, weights] if _flag(record, "return_attention_scores") else y


@imports("keras", "Attention", "AdditiveAttention")
def _keras_attention(record: Record, net: NetworkBuilder) -> str | list[str]:
    """`Attention` (Luong) by products of query and key, or by `tanh` of their sum as `AdditiveAttention` (Bahdanau)."""
    if not 2 <= len(record.inputs) <= 3:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): {len(record.inputs)} inputs; [query, value] or "
            "[query, value, key] are expected"
        )
    query, value = record.inputs[:2]
    key = record.inputs[2] if len(record.inputs) > 2 else value
    record.ignore("dropout", "seed")
    additive = record.kind == "AdditiveAttention"
    scaled = bool(record.take("use_scale", additive))
    mode = "concat" if additive else str(record.expect("score_mode", "dot", "concat"))
    names = (["scale"] if scaled else []) + (["concat_score_weight"] if mode == "concat" and not additive else [])
    weights = {name: record.array(name if record.has_array(name) else str(number)) for number, name in enumerate(names)}
    rows, columns = net.shape(query)[-2], net.shape(key)[-2]
    mask = causal(rows, columns) if _flag(record, "use_causal_mask") else None
    masks = []
    if (counted := net.masks.get(value)) is not None:
        shape = net.shape(counted)
        masks.append(net.add("reshape", f"{record.name}_value_mask", [counted], {"shape": (*shape[:-1], 1, columns)}))
    if mode == "dot":
        factor = float(weights.get("scale", np.ones(())))
        if factor < 0:
            query = net.add("mul", f"{record.name}_negated", [query], {}, {"constant": np.float64(-1.0)})
        size = abs(factor) or 2.0**-30
        mixed, shares = attend(record, net, query, key, value, size, mask=mask, masks=masks, share=True)
    else:
        scores = _summed_tanh(record, net, query, key, weights, additive)
        shares = masked_softmax(record, net, f"{record.name}_softmax", scores, mask=mask, masks=masks, share=True)
        mixed = net.add("matmul", f"{record.name}_mixed", [shares, value])
    if (asking := net.masks.get(record.inputs[0])) is not None:
        mixed = kept(net, f"{record.name}_kept", mixed, asking)
    return [mixed, shares] if _flag(record, "return_attention_scores") else mixed


def _summed_tanh(
    record: Record, net: NetworkBuilder, query: str, key: str, weights: dict[str, NDArray[Any]], additive: bool
) -> str:
    """Scores (…, T, S): the sum of `tanh(q + k)` over the features, weighted by feature or before and behind."""

    def opened(name: str, x: str, at: int) -> str:
        shape = net.shape(x)
        split = len(shape) - at
        return net.add("reshape", f"{record.name}_{name}", [x], {"shape": (*shape[:split], 1, *shape[split:])})

    total = net.add("add", f"{record.name}_sum", [opened("queries", query, 1), opened("keys", key, 2)])
    if not additive and "scale" in weights:
        total = net.add("mul", f"{record.name}_scaled", [total], {}, {"constant": weights["scale"]})
    bent = net.add("activation", f"{record.name}_tanh", [total], {"function": "tanh", "arguments": {}, "output": None})
    features = net.shape(bent)[-1]
    if additive:
        column = weights.get("scale", np.ones(features)).reshape(-1, 1)
    else:
        column = np.full((features, 1), float(weights["concat_score_weight"]))
    y = net.add("dense", f"{record.name}_weighted", [bent], {}, {"kernel": column})
    return net.add("reshape", f"{record.name}_scores", [y], {"shape": net.shape(y)[:-1]})


# --- PyTorch


@imports("torch", "aten.scaled_dot_product_attention.default")
def _torch_scaled_dot_product(record: Record, net: NetworkBuilder) -> str:
    """`scaled_dot_product_attention`; the query and the mask may be constants."""
    positions = record.versions.get("positions", tuple(range(len(record.inputs))))
    tensors = dict(zip(positions, record.inputs, strict=True))
    if 1 not in tensors or 2 not in tensors:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): a key or a value that is constant")
    query: str | NDArray[Any] = tensors[0] if 0 in tensors else record.array("0").astype(np.float64)
    key, value = tensors[1], tensors[2]
    if record.take("dropout_p", 0.0):
        raise record.unsupported("dropout_p", "above 0", "dropout is active; export the model in evaluation mode")
    shape = net.shape(query) if isinstance(query, str) else query.shape
    rank = len(net.shape(key))
    if rank < 2 or len(net.shape(value)) != rank or (isinstance(query, str) and len(shape) != rank):
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): query, key and value of the shapes {shape}, {net.shape(key)}, "
            f"{net.shape(value)} (without the batch) need the same number of axes, two of them behind the batch"
        )
    if bool(record.take("enable_gqa", False)) and rank > 2:
        times = shape[-3] // net.shape(key)[-3]
        key = repeated_heads(net, f"{record.name}_key", key, times)
        value = repeated_heads(net, f"{record.name}_value", value, times)
    scale = record.take("scale", None)
    factor = inverse_root(shape[-1]) if scale is None else float(scale)
    mask = causal(shape[-2], net.shape(key)[-2]) if bool(record.take("is_causal", False)) else None
    masks: list[str] = []
    added: NDArray[Any] | str | None = None
    if 3 in tensors:
        if str(record.versions.get("dtype_mask", "")) == "bool":
            masks.append(tensors[3])
        else:
            added = tensors[3]
    elif record.has_array("3"):
        array = without_leading(record, record.array("3"), rank, "a mask")
        if array.dtype == bool:
            mask = array if mask is None else mask & array
        else:
            added = array.astype(np.float64)
    return attend(record, net, query, key, value, factor, mask=mask, masks=masks, added=added)[0]


# --- ONNX


@imports("onnx", "Attention")
def _onnx_attention(record: Record, net: NetworkBuilder) -> str | list[str]:
    """`Attention` (opset 23) of computed Q, K and V with a constant or added mask, without a cache."""
    positions = tuple(record.versions["variables"])
    tensors = dict(zip(positions, record.inputs, strict=True))
    if not {0, 1, 2} <= set(tensors) or any(position in (4, 5, 6) for position in positions):
        raise UnsupportedError(
            f"layer {record.name!r} (Attention): its computed operands are {positions}; Q, K, V and a mask are "
            "supported",
            hint="a model without a cache of past keys and values (one pass over the whole sequence)",
        )
    for position in (4, 5, 6):
        if onnx.has(record, position):
            raise UnsupportedError(f"layer {record.name!r} (Attention): operand {position} (a cache) is not supported")
    read = tuple(record.take("(outputs read)", (0,)))
    mode = int(record.take("qk_matmul_output_mode", 0))
    if 1 in read or 2 in read or (3 in read and mode != 3):
        raise record.unsupported(
            "qk_matmul_output_mode", mode, f"outputs {read} are read; Y and weights (mode 3) are made"
        )
    record.ignore("softmax_precision")
    count = (int(record.take("q_num_heads", 0)), *[int(record.take("kv_num_heads", 0))] * 2)
    q, k, v = tensors[0], tensors[1], tensors[2]
    ranks = {len(net.shape(tensor)) for tensor in (q, k, v)}
    joined = ranks == {2}
    if joined and all(count):
        names = ("query", "key", "value")
        q, k, v = (
            heads_in_front(net, f"{record.name}_{name}", x, heads)
            for name, x, heads in zip(names, (q, k, v), count, strict=True)
        )
    elif ranks != {3}:
        raise record.unsupported(
            "q_num_heads", count[0], f"operands of {ranks} axes behind the batch; 3, or 2 and heads"
        )
    times = net.shape(q)[0] // net.shape(k)[0]
    k = repeated_heads(net, f"{record.name}_key", k, times)
    v = repeated_heads(net, f"{record.name}_value", v, times)
    width = net.shape(q)[-1]
    scale = float(record.take("scale", 0.0)) or inverse_root(width)
    rows, columns = net.shape(q)[-2], net.shape(k)[-2]
    mask = causal(rows, columns) if record.expect("is_causal", 0, 1) else None
    softcap = float(record.take("softcap", 0.0))
    added: NDArray[Any] | str | None = None
    if onnx.has(record, 3):
        array = record.array("3")
        array = without_leading(record, array, 3, "a mask")
        if array.dtype == bool:
            mask = array if mask is None else mask & array
        else:
            added = array.astype(np.float64)
    elif 3 in tensors:
        added, axes = tensors[3], len(net.shape(tensors[3]))
        if axes != 3:
            raise UnsupportedError(
                f"layer {record.name!r} (Attention): a computed mask of {axes} axes behind the batch",
                hint="unsqueeze it to (batch, heads or 1, rows, columns)",
            )
    if softcap:
        if mask is not None or added is not None:
            raise record.unsupported("softcap", softcap, "with a mask, versions of the operator differ in the order")
        mixed, weights = _capped(record, net, q, k, v, scale, softcap)
    else:
        mixed, weights = attend(record, net, q, k, v, scale, mask=mask, added=added)
    y = heads_joined(net, record.name, mixed) if joined else mixed
    return [y, y, y, weights] if 3 in read else y


def _capped(record: Record, net: NetworkBuilder, q: str, k: str, v: str, scale: float, cap: float) -> tuple[str, str]:
    """Attention with scores bent to ±`cap` by `cap · tanh(scores / cap)`."""
    name = record.name
    scores = net.add("matmul", f"{name}_scores", [q, swapped(net, f"{name}_key_columns", k)])
    scores = net.add("mul", f"{name}_scaled", [scores], {}, {"constant": np.float64(scale / cap)})
    bent = net.add("activation", f"{name}_tanh", [scores], {"function": "tanh", "arguments": {}, "output": None})
    weights = masked_softmax(record, net, f"{name}_softmax", bent, cap)
    return net.add("matmul", f"{name}_mixed", [weights, v]), weights
