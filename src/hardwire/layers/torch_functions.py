"""PyTorch functions that are several nodes each: norms, variances, gated units, products with factors, distances.

Nothing here is a kind of its own: every rule composes nodes whose meaning other files define.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, log, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import UnsupportedError
from hardwire.layers import _torch as torch
from hardwire.layers._axes import without_batch
from hardwire.layers._base import imports
from hardwire.layers.constant import constant_tensor, torch_operand
from hardwire.layers.elementwise_nary import chosen, masked
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record


def function(net: NetworkBuilder, name: str, x: str, which: str, **arguments: float) -> str:
    """Add a function of one number (see `layers.activation`)."""
    return net.add("activation", name, [x], {"function": which, "arguments": arguments})


def times(net: NetworkBuilder, name: str, x: str, factor: float | NDArray[Any]) -> str:
    """Multiply by a constant; no node for one."""
    if np.all(np.asarray(factor) == 1):
        return x
    return net.add("mul", name, [x], {}, {"constant": np.asarray(factor, np.float64)})


def quotient(net: NetworkBuilder, name: str, x: str, divisor: str) -> str:
    """Divide a tensor by another: by its reciprocal, a table."""
    return net.add("mul", name, [x, function(net, f"{name}_reciprocal", divisor, "reciprocal")])


def _reduced(net: NetworkBuilder, kind: str, name: str, x: str, axes: Sequence[int], keep: bool) -> str:
    return net.add(kind, name, [x], {"axes": tuple(axes), "keepdims": keep})


def _axes(record: Record, net: NetworkBuilder, x: str, attr: str = "dim") -> list[int]:
    dims = record.take(attr, None)
    if dims is None or dims == []:
        raise record.unsupported(attr, dims, "without it the batch would be reduced too; name the axes")
    return [without_batch(record, attr, dim, len(net.shape(x))) for dim in (dims if isinstance(dims, list) else [dims])]


def vector_norm(net: NetworkBuilder, name: str, x: str, order: float, axes: Sequence[int], keep: bool) -> str:
    """Add `(Σ |x|^order)^(1/order)` over axes, with its limits for ±inf."""
    if order in (inf, -inf):
        size = function(net, f"{name}_size", x, "abs")
        return _reduced(net, "reduce_max" if order > 0 else "reduce_min", name, size, axes, keep)
    if order == 2:
        total = _reduced(net, "reduce_sum", f"{name}_sum", net.add("mul", f"{name}_square", [x, x]), axes, keep)
        return function(net, name, total, "sqrt")
    size = function(net, f"{name}_size", x, "abs")
    if order == 1:
        return _reduced(net, "reduce_sum", name, size, axes, keep)
    power = function(net, f"{name}_power", size, "power", exponent=order)
    total = _reduced(net, "reduce_sum", f"{name}_sum", power, axes, keep)
    return function(net, name, total, "power", exponent=1.0 / order)


@imports("torch", "aten.linalg_vector_norm.default", "aten.norm.ScalarOpt_dim", "aten.linalg_norm.default")
def _torch_norm(record: Record, net: NetworkBuilder) -> str:
    """`linalg.vector_norm(ord, dim, keepdim)`, `norm(p, dim, keepdim)`."""
    x = torch.single(record)
    order = record.take("p" if "aten.norm" in record.kind else "ord", 2.0)
    order = 2.0 if order is None else float(order)
    record.expect("dtype", None)
    axes = _axes(record, net, x)
    if "linalg_norm" in record.kind and len(axes) != 1:
        raise record.unsupported("dim", axes, "a matrix norm; one axis is expected (or linalg.vector_norm)")
    if order == 0 or np.isnan(order):
        raise record.unsupported("ord", order, "known are 1, 2, other powers, inf and -inf")
    return vector_norm(net, record.name, x, order, axes, bool(record.take("keepdim", False)))


_SPREADS = [f"aten.{name}.{form}" for name in ("var", "std", "var_mean", "std_mean") for form in ("dim", "correction")]


@imports("torch", *_SPREADS)
def _torch_variance(record: Record, net: NetworkBuilder) -> str | list[str]:
    """`var`, `std` over axes with `correction` (1 by default), and both with the mean."""
    x = torch.single(record)
    axes, keep = _axes(record, net, x), bool(record.take("keepdim", False))
    correction = (
        record.take("correction", None) if "correction" in record.kind else float(record.take("unbiased", True))
    )
    count = prod(net.shape(x)[axis] for axis in axes)
    left = count - (1.0 if correction is None else float(correction))
    if left <= 0:
        raise record.unsupported("correction", correction, f"of {count} elements nothing is left")
    mean = _reduced(net, "reduce_mean", f"{record.name}_mean", x, axes, True)
    apart = net.add("sub", f"{record.name}_centred", [x, mean])
    total = _reduced(
        net, "reduce_sum", f"{record.name}_squares", net.add("mul", f"{record.name}_square", [apart, apart]), axes, keep
    )
    y = net.add("divide", f"{record.name}_variance", [total], {}, {"divisor": np.float64(left)})
    if "std" in record.kind:
        y = function(net, record.name, y, "sqrt")
    if "_mean" not in record.kind:
        return y
    if not keep:
        mean = net.add("reshape", f"{record.name}_mean_shape", [mean], {"shape": net.shape(y)})
    return [y, mean]


@imports("torch", "aten.logsumexp.default")
def _torch_log_sum_exp(record: Record, net: NetworkBuilder) -> str:
    """`logsumexp(dim, keepdim)`."""
    x = torch.single(record)
    axes, keep = _axes(record, net, x), bool(record.take("keepdim", False))
    power = function(net, f"{record.name}_exp", x, "exp")
    return function(net, record.name, _reduced(net, "reduce_sum", f"{record.name}_sum", power, axes, keep), "log")


@imports("torch", "aten.any.dim", "aten.any.dims", "aten.all.dim", "aten.all.dims")
def _torch_any(record: Record, net: NetworkBuilder) -> str:
    """Whether one element, or all, are other than 0."""
    x = torch.single(record)
    axes, keep = _axes(record, net, x), bool(record.take("keepdim", False))
    x = truth(record, net, x, f"{record.name}_truth")
    return _reduced(net, "reduce_max" if "any" in record.kind else "reduce_min", record.name, x, axes, keep)


def truth(record: Record, net: NetworkBuilder, x: str, name: str) -> str:
    """1 where a tensor is not 0; a tensor of truth values as it is."""
    if record.versions.get("dtype_in") == "bool":
        return x
    return net.add("compare", name, [x], {"relation": "not_equal"}, {"constant": np.float64(0.0)})


@imports("torch", "aten.prod.dim_int", "aten.cumprod.default", "aten.cummax.default", "aten.cummin.default")
def _torch_product(record: Record, net: NetworkBuilder) -> str:
    """Element after element along an axis: the product of all, or all products (largest, smallest) so far."""
    x = torch.single(record)
    shape = net.shape(x)
    axis, keep = torch.axis(record, "dim", None, len(shape)), bool(record.take("keepdim", False))
    record.expect("dtype", None, "float32", "float64")
    kind = {"aten.cummax.default": "maximum", "aten.cummin.default": "minimum"}.get(record.kind, "mul")
    parts = [net.add("take", f"{record.name}_{k}", [x], {"axis": axis, "indices": (k,)}) for k in range(shape[axis])]
    if record.kind == "aten.prod.dim_int":
        y = product_of(net, record.name, parts)
        return (
            y
            if keep
            else net.add("reshape", f"{record.name}_shape", [y], {"shape": (*shape[:axis], *shape[axis + 1 :])})
        )
    if any(record.versions["read"][1:]):
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): the places are read; only values are supported")
    found = parts[:1]
    for k, part in enumerate(parts[1:], 1):
        found.append(net.add(kind, f"{record.name}_to{k}", [found[-1], part]))
    return net.add("concat", record.name, found, {"axis": axis})


def product_of(net: NetworkBuilder, name: str, parts: list[str]) -> str:
    """A tree of products."""
    level = 0
    while len(parts) > 1:
        level += 1
        parts = [
            net.add("mul", name if len(parts) == 2 else f"{name}_{level}_{k}", parts[k : k + 2])
            if k + 1 < len(parts)
            else parts[k]
            for k in range(0, len(parts), 2)
        ]
    return parts[0]


def cumulated(
    net: NetworkBuilder, name: str, x: str, axis: int, *, exclusive: bool = False, reverse: bool = False
) -> str:
    """Sums of all elements so far along an axis: a triangle of ones as a constant matrix, its adders shared."""
    shape = net.shape(x)
    ones = np.triu(np.ones((shape[axis], shape[axis]), np.int64), 1 if exclusive else 0)
    letters = "bcdefghijklmnopq"[: len(shape)]
    out = letters.replace(letters[axis], "z")
    equation = f"a{letters},{letters[axis]}z->a{out}"
    return net.add("einsum", name, [x], {"equation": equation}, {"kernel": ones.T if reverse else ones})


@imports("torch", "aten.cumsum.default")
def _torch_cumsum(record: Record, net: NetworkBuilder) -> str:
    """`cumsum(dim)`."""
    x = torch.single(record)
    record.expect("dtype", None, "float32", "float64")
    return cumulated(net, record.name, x, torch.axis(record, "dim", None, len(net.shape(x))))


@imports("torch", "aten.diff.default")
def _torch_diff(record: Record, net: NetworkBuilder) -> str:
    """Differences of neighbours, `n` times."""
    x = torch.single(record)
    axis = torch.axis(record, "dim", -1, len(net.shape(x)))
    for step in range(int(record.take("n", 1))):
        size = net.shape(x)[axis]
        later, sooner = (
            net.add(
                "take", f"{record.name}_{key}{step}", [x], {"axis": axis, "indices": tuple(range(at, at + size - 1))}
            )
            for key, at in (("later", 1), ("sooner", 0))
        )
        x = net.add("sub", f"{record.name}_{step}", [later, sooner])
    return x


@imports("torch", "aten.glu.default")
def _torch_glu(record: Record, net: NetworkBuilder) -> str:
    """`a · sigmoid(b)` of the halves along an axis."""
    x = torch.single(record)
    axis = torch.axis(record, "dim", -1, len(net.shape(x)))
    half = net.shape(x)[axis] // 2
    a, b = (
        net.add("take", f"{record.name}_{key}", [x], {"axis": axis, "indices": tuple(range(at, at + half))})
        for key, at in (("value", 0), ("gate", half))
    )
    return net.add("mul", record.name, [a, function(net, f"{record.name}_sigmoid", b, "sigmoid")])


@imports("torch", "aten.lerp.Scalar", "aten.lerp.Tensor")
def _torch_lerp(record: Record, net: NetworkBuilder) -> str:
    """`x + weight · (y - x)`."""
    x, y = (torch_operand(record, net, position) for position in (0, 1))
    apart = net.add("sub", f"{record.name}_apart", [y, x])
    if record.has_array("2"):
        apart = times(net, f"{record.name}_part", apart, torch.constant(record, 2, len(net.shape(apart))))
    elif 2 in record.versions["positions"]:
        apart = net.add("mul", f"{record.name}_part", [apart, torch_operand(record, net, 2)])
    else:
        apart = times(net, f"{record.name}_part", apart, torch.number(record, "weight"))
    return net.add("add", record.name, [x, apart])


@imports("torch", "aten.addcmul.default", "aten.addcdiv.default")
def _torch_addc(record: Record, net: NetworkBuilder) -> str:
    """`x + value · a · b`, or `a / b`."""
    x, a, b = (torch_operand(record, net, position) for position in (0, 1, 2))
    combine = quotient if "div" in record.kind else lambda net, name, a, b: net.add("mul", name, [a, b])
    y = combine(net, f"{record.name}_combined", a, b)
    return net.add("add", record.name, [x, times(net, f"{record.name}_scaled", y, torch.number(record, "value", 1.0))])


@imports("torch", "aten.baddbmm.default", "aten.addbmm.default")
def _torch_baddbmm(record: Record, net: NetworkBuilder) -> str:
    """`beta · x + alpha · (a @ b)`."""
    if "addbmm" in record.kind and "baddbmm" not in record.kind:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): it sums over the batch")
    x, a, b = (torch_operand(record, net, position, 2) for position in (0, 1, 2))
    beta, alpha = torch.number(record, "beta", 1.0), torch.number(record, "alpha", 1.0)
    y = times(net, f"{record.name}_alpha", net.add("matmul", f"{record.name}_product", [a, b]), alpha)
    return net.add("add", record.name, [times(net, f"{record.name}_beta", x, beta), y])


@imports("torch", "aten.bilinear.default")
def _torch_bilinear(record: Record, net: NetworkBuilder) -> str:
    """`nn.Bilinear`: `Σ_ij x_i W_oij y_j + b_o`."""
    if len(record.inputs) != 2:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): two computed operands are expected")
    x, y = record.inputs
    rows = net.add("einsum", f"{record.name}_rows", [x], {"equation": "...i,oij->...oj"}, {"kernel": record.array("2")})
    column = net.add("reshape", f"{record.name}_column", [y], {"shape": (*net.shape(y), 1)})
    z = net.add("matmul", f"{record.name}_product", [rows, column])
    z = net.add("reshape", f"{record.name}_shape", [z], {"shape": net.shape(z)[:-1]})
    return net.add("add", record.name, [z], {}, {"constant": record.array("3")}) if record.has_array("3") else z


@imports("torch", "aten.cosine_similarity.default")
def _torch_cosine(record: Record, net: NetworkBuilder) -> str:
    """`Σ a·b / (max(‖a‖, eps) · max(‖b‖, eps))` over an axis."""
    a, b = (torch_operand(record, net, position) for position in (0, 1))
    axis, eps = torch.axis(record, "dim", 1, len(net.shape(a))), torch.number(record, "eps", 1e-8)
    norms = []
    for key, tensor in (("left", a), ("right", b)):
        norm = vector_norm(net, f"{record.name}_{key}", tensor, 2.0, [axis], False)
        norms.append(net.add("clip", f"{record.name}_{key}_least", [norm], {"lo": eps, "hi": None}))
    product = net.add("mul", f"{record.name}_products", [a, b])
    total = _reduced(net, "reduce_sum", f"{record.name}_sum", product, [axis], False)
    return quotient(net, record.name, total, net.add("mul", f"{record.name}_norms", norms))


@imports("torch", "aten.pairwise_distance.default", "aten.hypot.default")
def _torch_distance(record: Record, net: NetworkBuilder) -> str:
    """`‖a - b + eps‖` over the last axis; `hypot` of single elements."""
    a, b = (torch_operand(record, net, position) for position in (0, 1))
    if "hypot" in record.kind:
        squares = [net.add("mul", f"{record.name}_square{k}", [tensor, tensor]) for k, tensor in enumerate((a, b))]
        return function(net, record.name, net.add("add", f"{record.name}_sum", squares), "sqrt")
    apart = net.add("sub", f"{record.name}_apart", [a, b])
    eps, order = torch.number(record, "eps", 1e-6), torch.number(record, "p", 2.0)
    if eps:
        apart = net.add("add", f"{record.name}_eps", [apart], {}, {"constant": np.float64(eps)})
    keep = bool(record.take("keepdim", False))
    return vector_norm(net, record.name, apart, order, [len(net.shape(apart)) - 1], keep)


@imports("torch", "aten.cdist.default")
def _torch_cdist(record: Record, net: NetworkBuilder) -> str:
    """Distances of all pairs of rows: (…, p, m) and (…, r, m) to (…, p, r)."""
    a, b = (torch_operand(record, net, position) for position in (0, 1))
    order = torch.number(record, "p", 2.0)
    record.ignore("compute_mode")
    (*lead, p, m), (*other, r, _) = net.shape(a), net.shape(b)
    a = net.add("reshape", f"{record.name}_left", [a], {"shape": (*lead, p, 1, m)})
    b = net.add("reshape", f"{record.name}_right", [b], {"shape": (*other, 1, r, m)})
    apart = net.add("sub", f"{record.name}_apart", [a, b])
    return vector_norm(net, record.name, apart, order, [len(net.shape(apart)) - 1], False)


@imports("torch", "aten.inner.default", "aten.mv.default", "aten.dot.default", "aten.linalg_vecdot.default")
def _torch_inner(record: Record, net: NetworkBuilder) -> str:
    """Sums of products over the last axis: with a constant vector, or of two tensors."""
    if len(record.inputs) == 2 and record.kind == "aten.linalg_vecdot.default":
        rank = len(net.shape(record.inputs[0]))
        product = net.add("mul", f"{record.name}_products", list(record.inputs))
        return _reduced(net, "reduce_sum", record.name, product, [torch.axis(record, "dim", -1, rank)], False)
    x = torch.single(record)
    vector = record.array("1" if record.has_array("1") else "0").ravel()
    if record.kind == "aten.linalg_vecdot.default":
        record.expect("dim", -1)
    return net.add("einsum", record.name, [x], {"equation": "...i,i->..."}, {"kernel": vector})


@imports("torch", "aten.tensordot.default")
def _torch_tensordot(record: Record, net: NetworkBuilder) -> str:
    """`tensordot` with a constant on the right."""
    x = torch.single(record)
    if not record.has_array("1"):
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): only a constant on the right is supported")
    kernel, rank = record.array("1"), len(net.shape(x)) + 1
    own, theirs = [d % rank for d in record.take("dims_self")], [d % kernel.ndim for d in record.take("dims_other")]
    letters = "abcdefghijklm"[:rank]
    names = {axis: letters[mine] for mine, axis in zip(own, theirs, strict=True)}
    factor = [names.get(axis, "nopqrstuv"[axis]) for axis in range(kernel.ndim)]
    out = [letter for letter in letters if letter not in names.values()]
    out += [letter for axis, letter in enumerate(factor) if axis not in names]
    equation = f"{letters},{''.join(factor)}->{''.join(out)}"
    return net.add("einsum", record.name, [x], {"equation": equation}, {"kernel": kernel})


@imports("torch", "aten.linalg_multi_dot.default", "aten.chain_matmul.default")
def _torch_multi_dot(record: Record, net: NetworkBuilder) -> str:
    """A tensor times constant matrices, one after the other."""
    x = torch.single(record)
    keys = sorted((key for key in record.array_keys() if key.startswith("0.")), key=lambda key: int(key[2:]))
    if keys and keys[0] == "0.0":
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): the tensor must be the first factor")
    for key in keys:
        x = net.add("dense", f"{record.name}_{key[2:]}", [x], {}, {"kernel": record.array(key)})
    return x


@imports("torch", "aten.floor_divide.default", "aten.div.Tensor_mode", "aten.div.Scalar_mode")
def _torch_divided(record: Record, net: NetworkBuilder) -> str:
    """Division rounded down, or towards zero."""
    mode = record.take("rounding_mode", "floor" if "floor" in record.kind else None)
    y = net.add("divide", f"{record.name}_quotient", [torch.single(record)], {}, {"divisor": _divisor(record, net)})
    return y if mode is None else function(net, record.name, y, {"floor": "floor", "trunc": "trunc"}[mode])


def _divisor(record: Record, net: NetworkBuilder) -> NDArray[Any]:
    if record.has_array("0"):
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): only a constant divisor is supported")
    if record.has_array("1"):
        return torch.constant(record, 1, len(net.shape(record.inputs[0]))).astype(np.float64)
    return np.asarray(torch.number(record, "other"))


@imports("torch", *(f"aten.{name}.{form}" for name in ("remainder", "fmod") for form in ("Scalar", "Tensor")))
def _torch_remainder(record: Record, net: NetworkBuilder) -> str:
    """`x - c · round(x / c)`, rounded down (`remainder`) or towards zero (`fmod`)."""
    x, divisor = torch.single(record), _divisor(record, net)
    return remainder(net, record.name, x, divisor, "floor" if "remainder" in record.kind else "trunc")


def remainder(net: NetworkBuilder, name: str, x: str, divisor: NDArray[Any], rounding: str) -> str:
    """What is left of a division by a constant, the quotient rounded by `floor` or `trunc`."""
    quotients = net.add("divide", f"{name}_quotient", [x], {}, {"divisor": divisor})
    whole = function(net, f"{name}_whole", quotients, rounding)
    return net.add("sub", name, [x, times(net, f"{name}_multiple", whole, divisor)])


@imports("torch", "aten.round.decimals")
def _torch_round(record: Record, net: NetworkBuilder) -> str:
    """To a number of decimal places."""
    ten = 10.0 ** int(record.take("decimals", 0))
    whole = function(
        net, f"{record.name}_whole", times(net, f"{record.name}_scaled", torch.single(record), ten), "round"
    )
    return whole if ten == 1 else net.add("divide", record.name, [whole], {}, {"divisor": np.float64(ten)})


@imports("torch", "aten.frac.default")
def _torch_frac(record: Record, net: NetworkBuilder) -> str:
    """What is behind the point, with the number's sign."""
    x = torch.single(record)
    return net.add("sub", record.name, [x, function(net, f"{record.name}_whole", x, "trunc")])


@imports("torch", "aten.pow.Scalar")
def _torch_power_of(record: Record, net: NetworkBuilder) -> str:
    """`base ** x` of a constant base."""
    base = torch.number(record, "self")
    if base <= 0:
        raise record.unsupported("self", base, "the base must be positive")
    return function(net, record.name, times(net, f"{record.name}_exponent", torch.single(record), log(base)), "exp")


@imports("torch", "aten.deg2rad.default", "aten.rad2deg.default")
def _torch_degrees(record: Record, net: NetworkBuilder) -> str:
    """Degrees to radians, and back."""
    return times(net, record.name, torch.single(record), np.pi / 180 if "deg2rad" in record.kind else 180 / np.pi)


@imports("torch", "aten.positive.default", "aten.nan_to_num.default")
def _torch_as_it_is(record: Record, net: NetworkBuilder) -> str:
    """Nothing: codes are never NaN or infinite."""
    record.ignore("nan", "posinf", "neginf")
    return torch.single(record)


@imports("torch", "aten.clamp.Tensor", "aten.clamp_min.Tensor", "aten.clamp_max.Tensor")
def _torch_clamp(record: Record, net: NetworkBuilder) -> str:
    """Bounds that are tensors, constant or computed."""
    y = torch_operand(record, net, 0)
    bounds = (
        [(1, "maximum"), (2, "minimum")]
        if "clamp." in record.kind
        else [(1, "maximum" if "min" in record.kind else "minimum")]
    )
    for position, kind in bounds:
        name = record.name if position == bounds[-1][0] else f"{record.name}_{position}"
        if record.has_array(str(position)):
            bound = torch.constant(record, position, len(net.shape(y))).astype(np.float64)
            y = net.add(kind, name, [y], {}, {"constant": bound})
        elif position in record.versions["positions"]:
            y = net.add(kind, name, [y, torch_operand(record, net, position)])
    return y


_LOGIC = {"and": "minimum", "or": "maximum", "xor": "not_equal"}
_LOGICAL = [f"aten.logical_{name}.default" for name in _LOGIC]
_LOGICAL += [f"aten.bitwise_{name}.Tensor" for name in _LOGIC] + [f"aten.__{name}__.Tensor" for name in _LOGIC]


@imports("torch", *_LOGICAL)
def _torch_logic(record: Record, net: NetworkBuilder) -> str:
    """Of truth values: the smaller, the larger, whether they differ."""
    base = record.kind.split(".")[1]
    which = next(name for name in ("xor", "and", "or") if name in base)
    if record.versions.get("dtype_out") != "bool":
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): only truth values are supported, not integers")
    operands = [torch_operand(record, net, position) for position in (0, 1)]
    operands = [truth(record, net, x, f"{record.name}_truth{k}") for k, x in enumerate(operands)]
    if which == "xor":
        return net.add("compare", record.name, operands, {"relation": "not_equal"})
    return net.add(_LOGIC[which], record.name, operands)


@imports("torch", "aten.logical_not.default", "aten.bitwise_not.default")
def _torch_not(record: Record, net: NetworkBuilder) -> str:
    """1 for 0, 0 for all else."""
    if "bitwise" in record.kind and record.versions.get("dtype_in") != "bool":
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): only truth values are supported, not integers")
    attrs = {"relation": "equal"}
    return net.add("compare", record.name, [torch.single(record)], attrs, {"constant": np.float64(0.0)})


@imports("torch", "aten.where.ScalarOther", "aten.where.ScalarSelf", "aten.where.Scalar", "aten.where.self")
def _torch_where(record: Record, net: NetworkBuilder) -> str:
    """`where(condition, yes, no)`, any of them a constant."""
    ranks = [len(net.shape(tensor)) for tensor in record.inputs]
    if record.has_array("0") and len(record.inputs) == 2:
        torch.same_rank(record, net)
        mask = torch.constant(record, 0, max(ranks)) != 0
        return chosen(net, record.name, mask, *record.inputs)
    branches: list[str] = []
    condition = torch_operand(record, net, 0)
    for position, attr in ((1, "self"), (2, "other")):
        if record.has(attr):
            value = np.full((1,) * max(ranks), record.take(attr), np.float64)
            branches.append(constant_tensor(net, f"{record.name}_{attr}", record.inputs[0], value))
        else:
            branches.append(torch_operand(record, net, position))
    return net.add("where", record.name, [condition, *branches])


@imports("torch", "aten.masked_fill.Scalar", "aten.masked_fill.Tensor")
def _torch_masked_fill(record: Record, net: NetworkBuilder) -> str:
    """`masked_fill(mask, value)`: a mask of the model's own, or a constant one, for which nothing is chosen."""
    x = torch_operand(record, net, 0)
    value = record.array("2") if record.has_array("2") else np.asarray(float(record.take("value")))
    if record.has_array("1"):
        mask = torch.constant(record, 1, len(net.shape(x))) != 0
        shape = np.broadcast_shapes(net.shape(x), mask.shape)
        return masked(net, record.name, np.broadcast_to(mask, shape), x, value, keep=False)
    filler = constant_tensor(net, f"{record.name}_value", x, np.full((1,) * len(net.shape(x)), value, np.float64))
    return net.add("where", record.name, [torch_operand(record, net, 1), filler, x])
