"""ONNX operators that are several nodes each: norms, pools of powers, products, running sums, choices of elements.

Nothing here is a kind of its own: every rule composes nodes whose meaning other files define.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import UnsupportedError
from hardwire.layers import _onnx as onnx
from hardwire.layers._base import imports
from hardwire.layers._spatial import channels_first, channels_last, spatial_rank
from hardwire.layers.constant import constant_tensor
from hardwire.layers.element_views import chosen_elements
from hardwire.layers.pooling import pooled
from hardwire.layers.spatial_onnx import window_attrs
from hardwire.layers.torch_functions import cumulated, function, product_of, quotient, remainder, times, vector_norm
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record


def _axis(record: Record, net: NetworkBuilder, x: str, default: int) -> int:
    return onnx.axis_of(record, int(record.take("axis", default)), len(net.shape(x)))


@imports("onnx", "ReduceProd")
def _onnx_reduce_prod(record: Record, net: NetworkBuilder) -> str:
    """A tree of products over one axis."""
    x = onnx.data(record)
    shape = net.shape(x)
    found = onnx.axes(record)
    keep = bool(record.expect("keepdims", 1, 0))
    empty = bool(record.expect("noop_with_empty_axes", 0, 1))
    if not found:
        if empty:
            return x
        raise record.unsupported("axes", found, "without axes the batch would be reduced too; name the axes")
    axes = [onnx.axis_of(record, axis, len(shape)) for axis in found]
    for axis in axes:
        parts = [
            net.add("take", f"{record.name}_{axis}_{k}", [x], {"axis": axis, "indices": (k,)})
            for k in range(net.shape(x)[axis])
        ]
        x = product_of(net, f"{record.name}_{axis}", parts)
    end = tuple(1 if axis in axes else dim for axis, dim in enumerate(shape) if keep or axis not in axes)
    return net.add("reshape", record.name, [x], {"shape": end})


@imports("onnx", "CumSum")
def _onnx_cumsum(record: Record, net: NetworkBuilder) -> str:
    """Sums of all elements so far; the axis is operand 1."""
    x = onnx.data(record)
    axis = onnx.axis_of(record, int(onnx.scalar(record, 1, 0.0)), len(net.shape(x)))
    exclusive, reverse = bool(record.expect("exclusive", 0, 1)), bool(record.expect("reverse", 0, 1))
    return cumulated(net, record.name, x, axis, exclusive=exclusive, reverse=reverse)


@imports("onnx", "CumProd")
def _onnx_cumprod(record: Record, net: NetworkBuilder) -> str:
    """Products of all elements so far."""
    x = onnx.data(record)
    axis = onnx.axis_of(record, int(onnx.scalar(record, 1, 0.0)), len(net.shape(x)))
    exclusive, reverse = bool(record.expect("exclusive", 0, 1)), bool(record.expect("reverse", 0, 1))
    size = net.shape(x)[axis]
    order = list(range(size))[:: -1 if reverse else 1]
    parts = [net.add("take", f"{record.name}_{k}", [x], {"axis": axis, "indices": (k,)}) for k in order]
    found = [constant_tensor(net, f"{record.name}_one", x, np.ones(net.shape(parts[0])))] if exclusive else parts[:1]
    for k, part in enumerate(parts[: size - 1] if exclusive else parts[1:], 1):
        found.append(net.add("mul", f"{record.name}_to{k}", [found[-1], part]))
    return net.add("concat", record.name, found[:: -1 if reverse else 1], {"axis": axis})


@imports("onnx", "Hardmax")
def _onnx_hardmax(record: Record, net: NetworkBuilder) -> str:
    """1 at the first largest element along an axis, else 0."""
    x = onnx.data(record)
    shape = net.shape(x)
    old = onnx.opset(record) < 13
    axis = _axis(record, net, x, 1 if old else -1)
    flat = x
    if old:  # over all axes from the axis on
        flat = net.add("reshape", f"{record.name}_flat", [x], {"shape": (*shape[:axis], prod(shape[axis:]))})
    best = net.add("argmax", f"{record.name}_best", [flat], {"axis": axis, "keepdims": True})
    places = np.arange(net.shape(flat)[axis], dtype=np.float64)
    places = places.reshape([-1 if k == axis else 1 for k in range(len(net.shape(flat)))])
    y = net.add("compare", record.name, [best], {"relation": "equal"}, {"constant": places})
    return net.add("reshape", f"{record.name}_shape", [y], {"shape": shape}) if old else y


@imports("onnx", "LpNormalization")
def _onnx_lp_normalization(record: Record, net: NetworkBuilder) -> str:
    """`x / ‖x‖` along an axis."""
    x = onnx.data(record)
    axis, order = _axis(record, net, x, -1), record.expect("p", 2, 1)
    return quotient(net, record.name, x, vector_norm(net, f"{record.name}_norm", x, float(order), [axis], True))


@imports("onnx", "MeanVarianceNormalization")
def _onnx_mvn(record: Record, net: NetworkBuilder) -> str:
    """`(x - mean) / (deviation + 1e-9)` over axes behind the batch."""
    x = onnx.data(record)
    rank = len(net.shape(x))
    axes = tuple(onnx.axis_of(record, int(axis), rank) for axis in record.take("axes", [0, 2, 3]))
    attrs = {"axes": axes, "epsilon": 1e-18, "centre": True, "output": None}
    return net.add("layer_norm", record.name, [x], attrs)


@imports("onnx", "LRN")
def _onnx_lrn(record: Record, net: NetworkBuilder) -> str:
    """`x / (bias + alpha/size · Σ x²)^beta`, the sum over `size` neighbouring channels."""
    x = onnx.data(record)
    channels = net.shape(x)[0]
    size = int(record.take("size"))
    alpha, beta, bias = (
        float(record.take(attr, float(np.float32(default))))
        for attr, default in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    )
    band = np.zeros((channels, channels))
    for c in range(channels):
        band[c, max(0, c - (size - 1) // 2) : c + size // 2 + 1] = alpha / size
    letters = "cdefg"[: len(net.shape(x)) - 1]
    square = net.add("mul", f"{record.name}_square", [x, x])
    params = {"kernel": band, "bias": np.full((1,) * len(net.shape(x)), bias)}
    equation = f"ab{letters},zb->az{letters}"
    total = net.add("einsum", f"{record.name}_sum", [square], {"equation": equation}, params)
    return net.add("mul", record.name, [x, function(net, f"{record.name}_power", total, "power", exponent=-beta)])


@imports("onnx", "LpPool", "GlobalLpPool")
def _onnx_lp_pool(record: Record, net: NetworkBuilder) -> str:
    """`(Σ |x|^p)^(1/p)` over windows."""
    x = onnx.data(record)
    spatial = net.shape(x)[1:]
    rank = spatial_rank(record, net.shape(x))
    order = float(record.take("p", 2))
    if record.kind == "GlobalLpPool":
        return vector_norm(net, record.name, x, order, range(1, rank + 1), True)
    _, attrs = window_attrs(record, spatial)
    if order == 2:
        power = net.add("mul", f"{record.name}_square", [x, x])
    else:
        power = function(net, f"{record.name}_size", x, "abs")
        if order != 1:
            power = function(net, f"{record.name}_power", power, "power", exponent=order)
    last = channels_last(net, record.name, power)
    total = pooled(net, "average_pool", f"{record.name}_sum", last, {**attrs}, count_padding=True, divisor=1)
    y = channels_first(net, record.name, total)
    if order == 1:
        return y
    return (
        function(net, record.name, y, "sqrt")
        if order == 2
        else function(net, record.name, y, "power", exponent=1 / order)
    )


@imports("onnx", "Mod")
def _onnx_mod(record: Record, net: NetworkBuilder) -> str:
    """Remainder of a division by a constant: of the sign of the divisor, or (`fmod`) of the dividend."""
    x = onnx.data(record)
    divisor = onnx.without_batch(record, onnx.constant(record, 1), net.shape(x), "a divisor").astype(np.float64)
    return remainder(net, record.name, x, divisor, "trunc" if record.expect("fmod", 0, 1) else "floor")


@imports("onnx", "OneHot")
def _onnx_one_hot(record: Record, net: NetworkBuilder) -> str:
    """`values[1]` at the place of an index on a new axis, else `values[0]`; negative indices count from the end."""
    x = onnx.data(record)
    shape = net.shape(x)
    depth = int(onnx.scalar(record, 1, 0.0))
    off, on = (float(v) for v in onnx.constant(record, 2).ravel())
    axis = int(record.take("axis", -1))
    full = len(shape) + 2
    if axis % full == 0:
        raise record.unsupported("axis", axis, "the new axis would stand in front of the batch")
    at = axis % full - 1
    wide = net.add("reshape", f"{record.name}_axis", [x], {"shape": (*shape[:at], 1, *shape[at:])})
    places = np.arange(depth, dtype=np.float64).reshape([-1 if k == at else 1 for k in range(len(shape) + 1)])
    hits = [
        net.add("compare", f"{record.name}_{key}", [wide], {"relation": "equal"}, {"constant": places - back})
        for key, back in (("hit", 0), ("negative", depth))
    ]
    y = net.add("maximum", f"{record.name}_hits", hits)
    y = times(net, f"{record.name}_scaled", y, on - off)
    return net.add("add", record.name, [y], {}, {"constant": np.float64(off)}) if off else y


@imports("onnx", "GatherElements", "GatherND", "Trilu", "ScatterElements", "Scatter")
def _onnx_elements(record: Record, net: NetworkBuilder) -> str:
    """Elements at constant places; the batch is followed by number, so that it must stay as it is."""
    if record.kind == "Trilu":
        return _onnx_trilu(record, net)
    if record.kind.startswith("Scatter"):
        return _onnx_scatter(record, net)
    x = onnx.data(record)
    shape = net.shape(x)
    index = onnx.whole(record, onnx.constant(record, 1), "index")
    numbers = np.arange(prod(shape)).reshape(shape)
    if record.kind == "GatherND":
        return chosen_elements(net, record.name, x, _gather_nd(record, numbers, index))
    axis = _axis(record, net, x, 0)
    index = _one_example(record, index, len(shape))
    index = np.where(index < 0, index + shape[axis], index)
    cut = numbers[tuple(slice(0, n if k != axis else None) for k, n in enumerate(index.shape))]
    return chosen_elements(net, record.name, x, np.take_along_axis(cut, index, axis))


def _one_example(record: Record, values: NDArray[Any], rank: int) -> NDArray[Any]:
    """Constant values with a batch axis, the same for every example, without it."""
    if values.ndim != rank + 1 or len(values) not in (1, record.versions.get("batch")) or np.any(values != values[:1]):
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): a constant of shape {values.shape} differs by example",
            hint="events are independent: constants must be the same for all",
        )
    return values[0]


def _gather_nd(record: Record, numbers: NDArray[Any], index: NDArray[Any]) -> NDArray[Any]:
    """`batch_dims` 1 with the same places for every example, or places that keep the whole batch."""
    if record.take("batch_dims", 0) != 1:
        raise record.unsupported("batch_dims", 0, "its places name examples of the batch; 1 is supported")
    index = _one_example(record, index, index.ndim - 1)
    places = tuple(np.moveaxis(index, -1, 0))
    return np.asarray(numbers[places])


def _onnx_trilu(record: Record, net: NetworkBuilder) -> str:
    """The upper (by default) or lower triangle of the last two axes."""
    x = onnx.data(record)
    shape, k = net.shape(x), int(onnx.scalar(record, 1, 0.0))
    if len(shape) < 2:
        raise UnsupportedError(f"layer {record.name!r} (Trilu): the batch is one of its axes")
    mask = (np.triu if record.expect("upper", 1, 0) else np.tril)(np.ones(shape[-2:]), k)
    return net.add("mul", record.name, [x], {}, {"constant": mask})


def _onnx_scatter(record: Record, net: NetworkBuilder) -> str:
    """Elements of a tensor replaced at constant places that are the same for every example."""
    variables = tuple(record.versions["variables"])
    record.expect("reduction", "none")
    index = onnx.whole(record, onnx.constant(record, 1), "index")
    tensors = dict(zip(variables, record.inputs, strict=True))
    rank = len(net.shape(record.inputs[0]))
    for position in (0, 2):
        if position not in tensors:
            value = _one_example(record, onnx.constant(record, position), rank)
            tensors[position] = constant_tensor(net, f"{record.name}_{position}", record.inputs[0], value)
    x, updates = tensors[0], tensors[2]
    shape = net.shape(x)
    size = prod(shape)
    numbers = np.arange(size).reshape(shape)
    new = size + np.arange(prod(net.shape(updates))).reshape(net.shape(updates))
    axis = _axis(record, net, x, 0)
    index = _one_example(record, index, rank)
    np.put_along_axis(numbers, np.where(index < 0, index + shape[axis], index), new, axis)
    flat = [
        net.add("reshape", f"{record.name}_{key}", [tensor], {"shape": (prod(net.shape(tensor)),)})
        for key, tensor in (("old", x), ("new", updates))
    ]
    return chosen_elements(net, record.name, net.add("concat", f"{record.name}_both", flat, {"axis": 0}), numbers)
