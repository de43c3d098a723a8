"""Evaluation of ATen operators whose operands are all constants (`weight.t()`, `torch.zeros(4)`, lifted literals)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError

MAX_ELEMENTS = 1 << 26
Array = NDArray[Any]
_Rule = Callable[[Sequence[Array], Mapping[str, Any]], Array]


def _binary(function: Callable[..., Array]) -> _Rule:
    def rule(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
        # A number takes the tensor's type, as in PyTorch.
        other = arrays[1] if len(arrays) > 1 else arrays[0].dtype.type(args["other"])
        alpha = args.get("alpha", 1)
        return function(arrays[0], other if alpha == 1 else other * arrays[0].dtype.type(alpha))

    return rule


def _same(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    return arrays[0]


def _cast(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    dtype = args.get("dtype")
    return arrays[0] if dtype is None else arrays[0].astype("float32" if dtype == "bfloat16" else dtype)


def _transpose(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    return arrays[0].swapaxes(args["dim0"], args["dim1"])


def _squeeze(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    dims = args.get("dim", range(arrays[0].ndim))
    dims = [dims] if isinstance(dims, int) else list(dims)
    return arrays[0].squeeze(tuple(dim for dim in dims if arrays[0].shape[dim] == 1))


def _flatten(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    (x,) = arrays
    start, end = args.get("start_dim", 0) % max(x.ndim, 1), args.get("end_dim", -1) % max(x.ndim, 1)
    return x.reshape(*x.shape[:start], -1, *x.shape[end + 1 :])


def _expand(arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    size = list(args["size"])
    shape = (1,) * (len(size) - arrays[0].ndim) + arrays[0].shape
    return np.broadcast_to(arrays[0], [have if want == -1 else want for want, have in zip(size, shape, strict=True)])


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
    return arrays[0].reshape(args.get("size", args.get("shape")))


RULES: dict[str, _Rule] = {
    **dict.fromkeys(
        ["lift_fresh.default", "lift_fresh_copy.default", "detach.default", "detach_.default", "clone.default"], _same
    ),
    **dict.fromkeys(["alias.default", "contiguous.default", "to.device", "dropout.default"], _same),
    **dict.fromkeys(["to.dtype", "to.dtype_layout", "_to_copy.default"], _cast),
    **dict.fromkeys(["view.default", "reshape.default", "_unsafe_view.default"], _view),
    "t.default": lambda arrays, args: arrays[0].T,
    "mT.default": lambda arrays, args: arrays[0].swapaxes(-1, -2),
    "numpy_T.default": lambda arrays, args: arrays[0].T,
    "transpose.int": _transpose,
    "permute.default": lambda arrays, args: arrays[0].transpose(args["dims"]),
    "unsqueeze.default": lambda arrays, args: np.expand_dims(arrays[0], args["dim"]),
    **dict.fromkeys(["squeeze.default", "squeeze.dim", "squeeze.dims"], _squeeze),
    "flatten.using_ints": _flatten,
    "expand.default": _expand,
    **dict.fromkeys(["add.Tensor", "add.Scalar"], _binary(np.add)),
    **dict.fromkeys(["sub.Tensor", "sub.Scalar"], _binary(np.subtract)),
    **dict.fromkeys(["mul.Tensor", "mul.Scalar"], _binary(np.multiply)),
    **dict.fromkeys(["div.Tensor", "div.Scalar"], _binary(np.true_divide)),
    "neg.default": lambda arrays, args: -arrays[0],
    "exp.default": lambda arrays, args: np.exp(arrays[0]),
    "sqrt.default": lambda arrays, args: np.sqrt(arrays[0]),
    "rsqrt.default": lambda arrays, args: 1 / np.sqrt(arrays[0]),
    "reciprocal.default": lambda arrays, args: 1 / arrays[0],
    "abs.default": lambda arrays, args: np.abs(arrays[0]),
    "relu.default": lambda arrays, args: np.maximum(arrays[0], 0),
    "tanh.default": lambda arrays, args: np.tanh(arrays[0]),
    "cat.default": lambda arrays, args: np.concatenate(arrays, axis=args.get("dim", 0)),
    "stack.default": lambda arrays, args: np.stack(arrays, axis=args.get("dim", 0)),
    "mm.default": lambda arrays, args: arrays[0] @ arrays[1],
    "matmul.default": lambda arrays, args: arrays[0] @ arrays[1],
    "select.int": lambda arrays, args: np.take(arrays[0], args["index"], axis=args["dim"]),
    "full.default": _full,
    "zeros.default": _filled(0.0),
    "ones.default": _filled(1.0),
    **dict.fromkeys(["arange.default", "arange.start", "arange.start_step"], _arange),
}
"""By operator: operand arrays and the other arguments to an array."""


_ARGUMENTS = {
    "other",
    "alpha",
    "dtype",
    "dim",
    "dim0",
    "dim1",
    "dims",
    "size",
    "shape",
    "start_dim",
    "end_dim",
    "index",
}
_ARGUMENTS |= {"start", "end", "step", "fill_value", "p", "train"}
_ARGUMENTS |= {"device", "layout", "pin_memory", "non_blocking", "copy", "memory_format", "implicit"}


def evaluate(name: str, kind: str, arrays: Sequence[Array], args: Mapping[str, Any]) -> Array:
    """Return the value of an operator on constants; raises errors that name the layer."""
    rule = RULES.get(kind.removeprefix("aten."))
    if rule is None:
        raise UnsupportedError(
            f"layer {name!r}: the operator {kind!r} on constants is not evaluated",
            hint="compute the constant in the module's __init__ and register it as a buffer",
        )
    if unknown := sorted(args.keys() - _ARGUMENTS):
        raise UnsupportedError(f"layer {name!r} ({kind}): attribute {unknown[0]!r} is not understood")
    try:
        with np.errstate(all="ignore"):
            return np.asarray(rule(arrays, args))
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ModelError(f"layer {name!r} ({kind}): its constant operands do not fit: {error}") from None
