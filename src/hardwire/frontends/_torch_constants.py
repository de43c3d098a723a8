"""Evaluation of ATen operators whose operands are all constants (`weight.t()`, `torch.zeros(4)`, lifted literals).

Arithmetic is done in the tensors' own types, as PyTorch does it: a fake-quantised weight has the framework's own bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import erf, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError

MAX_ELEMENTS = 1 << 26
Array = NDArray[Any]
_Rule = Callable[[Sequence[Array], Mapping[str, Any]], Array | list[Array]]
"""Operand arrays in order, and the other arguments by name, to the result or a list of several."""

_erf = np.vectorize(erf, otypes=[np.float64])


def _second(arrays: Sequence[Array], args: Mapping[str, Any]) -> Any:
    """The other operand; a number takes the tensor's type, as in PyTorch, unless it would be cut."""
    if len(arrays) > 1:
        return arrays[1]
    other = args["other"] if "other" in args else args["exponent"]
    return other if arrays[0].dtype.kind in "iub" and isinstance(other, float) else arrays[0].dtype.type(other)


def _binary(function: Callable[..., Array]) -> _Rule:
    def rule(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
        if "self" in args:  # a number on the left
            arrays = [arrays[0].dtype.type(args["self"]), *arrays]
        other, alpha = _second(arrays, args), args.get("alpha", 1)
        return function(arrays[0], other if alpha == 1 else other * np.asarray(other).dtype.type(alpha))

    return rule


def _divided(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    x, other = _floated(arrays[0]), _second(arrays, args)
    mode = args.get("rounding_mode")
    y = np.asarray(x / other, x.dtype)
    return y if mode is None else {"floor": np.floor, "trunc": np.trunc}[mode](y)


def _floated(x: Array) -> Array:
    return x if x.dtype.kind == "f" else x.astype(np.float32)


def _unary(function: Callable[[Array], Any]) -> _Rule:
    def rule(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
        x = _floated(arrays[0])
        return np.asarray(function(x)).astype(x.dtype)

    return rule


def _exact(function: Callable[[Array], Any]) -> _Rule:
    """A function of float64, rounded to the tensor's type at the end."""
    return _unary(lambda x: function(x.astype(np.float64)))


def _same(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    return arrays[0]


def _cast(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    dtype = args.get("dtype")
    return arrays[0] if dtype is None else arrays[0].astype("float32" if dtype == "bfloat16" else dtype)


def _transpose(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    first, second = (args.get(f"dim{k}", args.get(f"axis{k}")) for k in (0, 1))
    if first is None or second is None:
        raise ValueError("two axes are expected")
    return arrays[0].swapaxes(first, second)


def _squeeze(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    dims = args.get("dim", range(arrays[0].ndim))
    dims = [dims] if isinstance(dims, int) else list(dims)
    return arrays[0].squeeze(tuple(dim for dim in dims if arrays[0].shape[dim] == 1))


def _flatten(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    (x,) = arrays
    start, end = args.get("start_dim", 0) % max(x.ndim, 1), args.get("end_dim", -1) % max(x.ndim, 1)
    return x.reshape(*x.shape[:start], -1, *x.shape[end + 1 :])


def _unflatten(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    (x,) = arrays
    dim = args["dim"] % x.ndim
    return x.reshape(*x.shape[:dim], *args["sizes"], *x.shape[dim + 1 :])


def _expand(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    size = list(args["size"])
    shape = (1,) * (len(size) - arrays[0].ndim) + arrays[0].shape
    # The batch (None) keeps its one example.
    wanted = [have if want in (-1, None) else want for want, have in zip(size, shape, strict=True)]
    _limited(wanted)
    return np.broadcast_to(arrays[0], wanted)


def _dtype(args: Mapping[str, Any], default: str = "float32") -> str:
    dtype = str(args.get("dtype") or default)
    return "float32" if dtype == "bfloat16" else dtype


def _full(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    return np.full(_limited(args["size"]), args["fill_value"], _dtype(args))


def _filled(value: float) -> _Rule:
    return lambda arrays, args: np.full(_limited(args["size"]), value, _dtype(args))


def _arange(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    start: Any = args.get("start", 0)
    end: Any = args["end"]
    step: Any = args.get("step", 1)
    _limited([max(int((end - start) / step), 0)])
    whole = all(isinstance(number, int) for number in (start, end, step))
    values: Any = np.arange(start, end, step)
    return np.asarray(values, _dtype(args, "int64" if whole else "float32"))


def _linspace(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    return np.linspace(args["start"], args["end"], _limited([args["steps"]])[0]).astype(_dtype(args))


def _eye(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    rows = args["n"]
    height, width = _limited([rows, args.get("m", rows)])
    return np.eye(height, width, dtype=_dtype(args))


def _limited(size: Any) -> list[int]:
    if isinstance(size, list):
        # The batch's size is None: the same for every example, so that one stands for all.
        size = [1 if dim is None else dim for dim in size]
    if not isinstance(size, list) or any(type(dim) is not int or dim < 0 for dim in size):
        raise ValueError(f"its size {size} depends on the batch")
    if prod(size) > MAX_ELEMENTS:
        raise ValueError(f"its size {size} is over the limit of {MAX_ELEMENTS} elements")
    return size


def _view(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    size = args.get("size", args.get("shape")) or []
    return arrays[0].reshape([1 if dim is None else dim for dim in size])


def _slice(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    (x,) = arrays
    part = slice(args.get("start"), args.get("end"), args.get("step", 1))
    return x[(slice(None),) * (args.get("dim", 0) % x.ndim) + (part,)]


def _narrow(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    start = args["start"]
    return _slice(arrays, {"dim": args["dim"], "start": start, "end": start + args["length"]})


def _pieces(arrays: Sequence[Array], args: Mapping[str, Any]) -> list[Array]:
    (x,) = arrays
    dim = args.get("dim", 0)
    size = x.shape[dim]
    wanted = args.get("split_size", args.get("split_sizes"))
    if wanted is None:
        wanted = -(-size // args["chunks"])
    sizes = [wanted] * (-(-size // wanted)) if isinstance(wanted, int) else wanted
    return np.split(x, np.cumsum(sizes)[:-1].tolist(), axis=dim)


def _unbind(arrays: Sequence[Array], args: Mapping[str, Any]) -> list[Array]:
    (x,) = arrays
    dim = args.get("dim", 0)
    return [np.take(x, index, axis=dim) for index in range(x.shape[dim])]


def _over(function: Callable[..., Array]) -> _Rule:
    """A reduction over `dim`, or over everything."""

    def rule(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
        (x,) = arrays
        dim = args.get("dim")
        axes = None if dim is None or dim == [] else tuple(dim) if isinstance(dim, list) else dim
        result = np.asarray(function(x, axis=axes, keepdims=bool(args.get("keepdim", False))))
        return result.astype(x.dtype) if x.dtype.kind == "f" else result

    return rule


def _extreme(function: Callable[..., Array], where: Callable[..., Any]) -> _Rule:
    def rule(arrays: Sequence[Array], args: Mapping[str, Any]) -> list[Array]:
        keep = bool(args.get("keepdim", False))
        dim = args["dim"]
        return [function(arrays[0], axis=dim, keepdims=keep), where(arrays[0], axis=dim, keepdims=keep)]

    return rule


def _spread(root: bool) -> _Rule:
    """Variance or standard deviation."""

    def rule(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
        (x,) = arrays
        dim, correction = args.get("dim"), args.get("correction", 1.0 if args.get("unbiased", True) else 0.0)
        axes = None if dim is None or dim == [] else tuple(dim) if isinstance(dim, list) else dim
        keep = bool(args.get("keepdim", False))
        value = np.var(x.astype(np.float64), axis=axes, ddof=1 if correction is None else correction, keepdims=keep)
        return np.asarray(np.sqrt(value) if root else value, x.dtype)

    return rule


def _norm(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    (x,) = arrays
    order = args.get("ord", args.get("p", 2.0))
    order = 2.0 if order is None else float(order)
    dim = args.get("dim")
    axes = None if dim is None or dim == [] else tuple(dim) if isinstance(dim, list) else dim
    keep, size = bool(args.get("keepdim", False)), np.abs(x.astype(np.float64))
    if np.isinf(order):
        value = size.max(axis=axes, keepdims=keep) if order > 0 else size.min(axis=axes, keepdims=keep)
    else:
        value = (size**order).sum(axis=axes, keepdims=keep) ** (1.0 / order)
    return np.asarray(value, x.dtype)


def _weight_norm(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    """`g · v / ‖v‖`, the norm over all axes but `dim`."""
    v, g = arrays
    axes = tuple(axis for axis in range(v.ndim) if axis != args.get("dim", 0))
    return np.asarray(v * (g / np.sqrt((v.astype(np.float64) ** 2).sum(axis=axes, keepdims=True))), v.dtype)


def _clamp(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    x, *bounds = arrays
    if bounds:
        raise ValueError("bounds that are tensors")
    lo, hi = (None if v is None else x.dtype.type(v) for v in (args.get("min"), args.get("max")))
    return x if lo is None and hi is None else np.clip(x, lo, hi)


def _where(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    condition, *rest = arrays
    yes: Any = rest.pop(0) if "self" not in args else args["self"]
    no: Any = rest.pop(0) if "other" not in args else args["other"]
    chosen = np.where(condition, yes, no)
    tensors = [x for x in (yes, no) if isinstance(x, np.ndarray) and x.ndim] or [np.zeros((), np.float32)]
    return chosen.astype(np.result_type(*tensors))


def _masked_fill(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    value = arrays[2] if len(arrays) > 2 else args["value"]
    return np.where(arrays[1], value, arrays[0]).astype(arrays[0].dtype)


def _softmax(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    x = _floated(arrays[0])
    wide = x.astype(np.float64)
    power = np.exp(wide - wide.max(axis=args["dim"], keepdims=True))
    return np.asarray(power / power.sum(axis=args["dim"], keepdims=True), x.dtype)


def _softplus(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    x, beta = arrays[0], float(args.get("beta", 1.0))
    y = np.logaddexp(0.0, beta * x.astype(np.float64)) / beta
    return np.where(beta * x > float(args.get("threshold", 20.0)), x, y).astype(x.dtype)


def _pad(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    (x,) = arrays
    flat, mode = list(args["pad"]), args.get("mode", "constant")
    pairs = [(0, 0)] * (x.ndim - len(flat) // 2) + [(flat[k], flat[k + 1]) for k in range(len(flat) - 2, -1, -2)]
    if mode != "constant" or min(flat, default=0) < 0:
        raise ValueError(f"padding {flat} of mode {mode!r}")
    return np.pad(x, pairs, constant_values=args.get("value") or 0)


def _fake_quantise(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    """`fake_quantize_per_tensor_affine` and `…_per_channel_affine`: the inverse scale is rounded to float32 first."""
    x, scale, zero = _affine(arrays, args)
    codes = np.clip(np.rint(x * (np.float32(1.0) / scale)) + zero, args["quant_min"], args["quant_max"])
    # In float64 the product is exact; rounded to float32 it would hide that the values are short codes.
    return np.asarray((codes - zero).astype(np.float64) * scale)


def _observed(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    """`fused_moving_avg_obs_fake_quant` of a weight, whose observer must be off."""
    x, observing, on, _, _, scale, zero = arrays
    if np.any(observing):
        raise ValueError("its observer is on: model.apply(torch.ao.quantization.disable_observer) first")
    parts = [part.reshape(()) if part.size == 1 else part for part in (scale, zero)]
    return _fake_quantise([x, *parts], {**args, "axis": args["ch_axis"]}) if np.any(on) else x


def _codes(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    """`quantized_decomposed.quantize_…`: codes of a constant."""
    x, scale, zero = _affine(arrays, args)
    return np.clip(np.rint(x * (np.float32(1.0) / scale)) + zero, args["quant_min"], args["quant_max"])


def _real(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    """`quantized_decomposed.dequantize_…`: what codes stand for, exactly."""
    codes, scale, zero = _affine(arrays, args)
    return np.asarray((codes.astype(np.float64) - zero) * scale)


def _affine(arrays: Sequence[Array], args: Mapping[str, Any]) -> tuple[Array, Array, Array]:
    x, *rest = arrays
    scale = np.asarray(rest[0] if rest else args["scale"], np.float32)
    zero = np.asarray(rest[1] if len(rest) > 1 else args.get("zero_point", 0))
    if scale.ndim and "axis" in args:
        spread = [-1 if axis == args["axis"] % x.ndim else 1 for axis in range(x.ndim)]
        scale, zero = scale.reshape(spread), zero.reshape(spread)
    return x, scale, zero


def _linear(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    x, weight, *bias = arrays
    return x @ weight.T + bias[0] if bias else x @ weight.T


def _index(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    x, *indices = arrays
    index: list[Any] = [slice(None)] * (max(args["(present)"]) + 1) if "(present)" in args else list(indices)
    for place, each in zip(args.get("(present)", range(len(indices))), indices, strict=True):
        index[place] = each
    return x[tuple(index)]


def _triangle(function: Callable[..., Array]) -> _Rule:
    return lambda arrays, args: function(arrays[0], k=args.get("diagonal", 0))


def _round(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    (x,) = arrays
    decimals = args.get("decimals", 0)
    ten = x.dtype.type(10.0**decimals)
    return np.rint(x * ten) / ten if decimals else np.rint(x)


def _cumulated(function: Callable[..., Array]) -> _Rule:
    return lambda arrays, args: function(arrays[0], axis=args["dim"], dtype=arrays[0].dtype)


def _names(rule: _Rule, *names: str) -> dict[str, _Rule]:
    return dict.fromkeys(names, rule)


def _forms(rule: _Rule, *names: str) -> dict[str, _Rule]:
    """With a tensor or a number as the other operand, in place or not."""
    ends = (".Tensor", ".Scalar", "_.Tensor", "_.Scalar", ".Tensor_Scalar", ".Tensor_Tensor", ".Tensor_mode")
    return {f"{name}{end}": rule for name in names for end in (*ends, ".default", "_.default")}


def _sigmoid(x: Array) -> Array:
    return np.asarray(np.where(x >= 0, 1.0, np.exp(-np.abs(x))) / (1.0 + np.exp(-np.abs(x))))


_UNARY: dict[str, _Rule] = {
    **{name: _exact(getattr(np, name)) for name in ("exp", "expm1", "log1p", "log2", "log10", "log", "tanh", "exp2")},
    **{name: _exact(getattr(np, name)) for name in ("sin", "cos", "tan", "sinh", "cosh", "sqrt")},
    "rsqrt": _exact(lambda x: 1.0 / np.sqrt(x)),
    "sigmoid": _exact(_sigmoid),
    "erf": _exact(_erf),
    "silu": _exact(lambda x: x * _sigmoid(x)),
    "gelu": _exact(lambda x: 0.5 * x * (1.0 + _erf(x / np.sqrt(2.0)))),
    "reciprocal": _unary(lambda x: 1 / x),
    "floor": _unary(np.floor),
    "ceil": _unary(np.ceil),
    "trunc": _unary(np.trunc),
    "neg": lambda arrays, args: -arrays[0],
    "abs": lambda arrays, args: np.abs(arrays[0]),
    "sign": lambda arrays, args: np.sign(arrays[0]),
    "square": lambda arrays, args: arrays[0] * arrays[0],
    "relu": lambda arrays, args: np.maximum(arrays[0], 0),
    "relu6": lambda arrays, args: np.clip(arrays[0], 0, 6),
    "hardtanh": lambda arrays, args: np.clip(arrays[0], args.get("min_val", -1.0), args.get("max_val", 1.0)),
    "softplus": _softplus,
    "round": _round,
    "clamp": _clamp,
    "clip": _clamp,
    "clamp_min": lambda arrays, args: np.maximum(arrays[0], args["min"]).astype(arrays[0].dtype),
    "clamp_max": lambda arrays, args: np.minimum(arrays[0], args["max"]).astype(arrays[0].dtype),
    "logical_not": lambda arrays, args: np.logical_not(arrays[0]),
    "bitwise_not": lambda arrays, args: np.invert(arrays[0]),
}

_RELATIONS: dict[str, Callable[..., Array]] = {
    "gt": np.greater,
    "lt": np.less,
    "ge": np.greater_equal,
    "le": np.less_equal,
}
_RELATIONS |= {"eq": np.equal, "ne": np.not_equal, "logical_and": np.logical_and, "logical_or": np.logical_or}
_RELATIONS |= {"bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "__and__": np.bitwise_and}
_RELATIONS |= {"__or__": np.bitwise_or, "logical_xor": np.logical_xor}

RULES: dict[str, _Rule] = {
    **_names(_same, "lift_fresh.default", "lift_fresh_copy.default", "detach.default", "detach_.default"),
    **_names(_same, "clone.default", "alias.default", "contiguous.default", "to.device", "dropout.default"),
    **_names(_same, "positive.default", "expand_copy.default"),
    **_names(_cast, "to.dtype", "to.dtype_layout", "_to_copy.default"),
    **_names(lambda arrays, args: np.broadcast_to(arrays[0], arrays[1].shape), "expand_as.default"),
    **_names(lambda arrays, args: arrays[0].reshape(arrays[1].shape), "view_as.default", "reshape_as.default"),
    **_names(lambda arrays, args: np.asarray(np.vdot(*arrays)), "vdot.default"),
    **_names(_view, "view.default", "reshape.default", "_unsafe_view.default"),
    "t.default": lambda arrays, args: arrays[0].T,
    "mT.default": lambda arrays, args: arrays[0].swapaxes(-1, -2),
    "numpy_T.default": lambda arrays, args: arrays[0].T,
    **_names(_transpose, "transpose.int", "swapaxes.default", "swapdims.default"),
    "permute.default": lambda arrays, args: arrays[0].transpose(args["dims"]),
    "unsqueeze.default": lambda arrays, args: np.expand_dims(arrays[0], args["dim"]),
    **_names(_squeeze, "squeeze.default", "squeeze.dim", "squeeze.dims"),
    "flatten.using_ints": _flatten,
    "unflatten.int": _unflatten,
    "expand.default": _expand,
    **_forms(_binary(np.add), "add"),
    **_forms(_binary(np.subtract), "sub"),
    **_forms(_binary(np.multiply), "mul"),
    **_forms(_divided, "div", "true_divide"),
    **_forms(_binary(np.power), "pow"),
    "pow.Scalar": lambda arrays, args: np.power(arrays[0].dtype.type(args["self"]), arrays[0]),
    **_forms(_binary(lambda a, b: np.asarray(np.subtract(b, a))), "rsub"),
    **_forms(_binary(np.floor_divide), "floor_divide"),
    **_forms(_binary(np.mod), "remainder"),
    **_forms(_binary(np.minimum), "minimum", "fmin"),
    **_forms(_binary(np.maximum), "maximum", "fmax"),
    **{key: rule for name, f in _RELATIONS.items() for key, rule in _forms(_binary(f), name).items()},
    **{f"{name}{end}": rule for name, rule in _UNARY.items() for end in (".default", "_.default")},
    "round.decimals": _round,
    "cat.default": lambda arrays, args: np.concatenate(arrays, axis=args.get("dim", 0)),
    "stack.default": lambda arrays, args: np.stack(arrays, axis=args.get("dim", 0)),
    **_names(lambda arrays, args: arrays[0] @ arrays[1], "mm.default", "matmul.default", "bmm.default", "mv.default"),
    **_names(lambda arrays, args: np.asarray(arrays[0] @ arrays[1]), "dot.default"),
    "einsum.default": lambda arrays, args: np.einsum(args["equation"].replace(" ", ""), *arrays),
    "linear.default": _linear,
    "select.int": lambda arrays, args: np.take(arrays[0], args["index"], axis=args["dim"]),
    "index_select.default": lambda arrays, args: np.take(arrays[0], arrays[1], axis=args["dim"]),
    "index.Tensor": _index,
    **_names(_slice, "slice.Tensor", "slice_copy.Tensor"),
    "narrow.default": _narrow,
    **_names(_pieces, "split.Tensor", "split.sizes", "split_with_sizes.default", "chunk.default"),
    "unbind.int": _unbind,
    "full.default": _full,
    "zeros.default": _filled(0.0),
    "ones.default": _filled(1.0),
    "empty.memory_format": _filled(0.0),  # whatever is read of it has been written before
    "scalar_tensor.default": lambda arrays, args: np.asarray(args["s"], _dtype(args)),
    "eye.default": _eye,
    "eye.m": _eye,
    "linspace.default": _linspace,
    **_names(_arange, "arange.default", "arange.start", "arange.start_step"),
    **_names(_over(np.sum), "sum.default", "sum.dim_IntList"),
    **_names(_over(np.mean), "mean.default", "mean.dim"),
    **_names(_over(np.prod), "prod.default", "prod.dim_int"),
    **_names(_over(np.max), "amax.default", "max.default"),
    **_names(_over(np.min), "amin.default", "min.default"),
    **_names(_over(np.any), "any.default", "any.dim"),
    **_names(_over(np.all), "all.default", "all.dim"),
    **_names(_over(np.argmax), "argmax.default"),
    **_names(_over(np.argmin), "argmin.default"),
    "max.dim": _extreme(np.max, np.argmax),
    "min.dim": _extreme(np.min, np.argmin),
    **_names(_spread(False), "var.default", "var.dim", "var.correction"),
    **_names(_spread(True), "std.default", "std.dim", "std.correction"),
    **_names(_norm, "linalg_vector_norm.default", "norm.Scalar", "norm.ScalarOpt_dim", "linalg_norm.default"),
    **_names(_weight_norm, "_weight_norm.default"),
    "_weight_norm_interface.default": lambda arrays, args: [np.asarray(_weight_norm(arrays, args)), arrays[1]],
    **_names(_softmax, "softmax.int", "_softmax.default"),
    **_names(_where, "where.self", "where.ScalarOther", "where.ScalarSelf", "where.Scalar"),
    **_names(_masked_fill, "masked_fill.Scalar", "masked_fill.Tensor", "masked_fill_.Scalar", "masked_fill_.Tensor"),
    **_names(_pad, "pad.default", "constant_pad_nd.default"),
    **_names(
        _fake_quantise,
        "fake_quantize_per_tensor_affine.default",
        "fake_quantize_per_tensor_affine.tensor_qparams",
        "fake_quantize_per_channel_affine.default",
    ),
    **_names(_observed, "fused_moving_avg_obs_fake_quant.default"),
    **{
        f"quantized_decomposed.{verb}_per_{each}": rule
        for verb, rule in (("quantize", _codes), ("dequantize", _real))
        for each in ("tensor.default", "tensor.tensor", "channel.default")
    },
    "tril.default": _triangle(np.tril),
    "triu.default": _triangle(np.triu),
    "flip.default": lambda arrays, args: np.flip(arrays[0], args["dims"]),
    "roll.default": lambda arrays, args: np.roll(arrays[0], args["shifts"], args.get("dims") or None),
    "repeat.default": lambda arrays, args: np.tile(arrays[0], _limited(args["repeats"])),
    "tile.default": lambda arrays, args: np.tile(arrays[0], _limited(args["dims"])),
    "repeat_interleave.self_int": lambda arrays, args: np.repeat(
        arrays[0], _limited([args["repeats"]])[0], axis=args.get("dim")
    ),
    "cumsum.default": _cumulated(np.cumsum),
    "cumprod.default": _cumulated(np.cumprod),
    **_names(lambda arrays, args: np.full_like(arrays[0], args.get("value", 0)), "fill_.Scalar", "fill.Scalar"),
    **_names(lambda arrays, args: np.zeros_like(arrays[0]), "zero_.default"),
}
"""By operator: operand arrays and the other arguments to an array, or to a list of them."""

TENSOR = "value"
"""Stands in `LIKE` for a value that comes as an operand."""

LIKE: dict[str, float | str | None] = {
    **dict.fromkeys(["aten.zeros_like.default", "aten.new_zeros.default", "aten.zero.default"], 0.0),
    **dict.fromkeys(["aten.ones_like.default", "aten.new_ones.default"], 1.0),
    **dict.fromkeys(["aten.full_like.default", "aten.new_full.default", "aten.fill.Scalar", "aten.fill_.Scalar"], None),
    "aten.zero_.default": 0.0,
    **dict.fromkeys(["aten.fill.Tensor", "aten.fill_.Tensor"], TENSOR),
}
"""Operators that fill a tensor of another one's shape, whose elements do not matter; None: with an argument."""


_ARGUMENTS = {
    *("other", "alpha", "dtype", "dim", "dim0", "dim1", "axis0", "axis1", "dims", "size", "shape", "sizes"),
    *("start_dim", "end_dim", "index", "start", "end", "step", "steps", "length", "fill_value", "value", "p", "train"),
    *("exponent", "self", "rounding_mode", "keepdim", "ord", "correction", "unbiased", "min", "max", "min_val"),
    *("max_val", "beta", "threshold", "decimals", "split_size", "split_sizes", "chunks", "pad", "mode", "scale"),
    *("zero_point", "quant_min", "quant_max", "axis", "diagonal", "shifts", "repeats", "equation", "path", "n", "m"),
    *("s", "device", "layout", "pin_memory", "non_blocking", "copy", "memory_format", "implicit", "half_to_float"),
    *("approximate", "output_size", "(present)", "out_dtype", "eps", "averaging_const", "ch_axis"),
    *("per_row_fake_quant", "symmetric_quant"),
}


def evaluate(name: str, kind: str, arrays: Sequence[Array], args: Mapping[str, Any]) -> list[Array]:
    """Return the values of an operator on constants; raises errors that name the layer."""
    rule = RULES.get(kind.removeprefix("aten."))
    if rule is None:
        raise UnsupportedError(
            f"layer {name!r}: the operator {kind!r} on constants is not evaluated",
            hint="compute the constant in the module's __init__ and register it as a buffer",
        )
    if unknown := sorted(args.keys() - _ARGUMENTS):
        raise UnsupportedError(f"layer {name!r} ({kind}): attribute {unknown[0]!r} is not understood")
    dtype = None if "dequantize" in kind else args.get("dtype")
    try:
        with np.errstate(all="ignore"):
            made = rule(arrays, args)
        values = [np.asarray(value) for value in (made if isinstance(made, list) else [made])]
        if dtype is not None and values[0].dtype.kind != "b":
            values = [value.astype("float32" if dtype == "bfloat16" else dtype) for value in values]
        return values
    except (ValueError, TypeError, KeyError, IndexError, ArithmeticError) as error:
        raise ModelError(f"layer {name!r} ({kind}): its constant operands do not fit: {error}") from None


def filled_like(name: str, kind: str, shape: list[int], args: Mapping[str, Any], dtype: str) -> Array:
    """Return the constant that an operator of `LIKE` makes; raises errors that name the layer."""
    value: Any = LIKE[kind]
    if value is None or value is TENSOR:
        value = args.get("fill_value", args.get("value"))
    try:
        return np.full(_limited(shape), value, _dtype({"dtype": dtype}))
    except (ValueError, TypeError) as error:
        raise ModelError(f"layer {name!r} ({kind}): it cannot be filled: {error}") from None
