"""Functions of one number as the compiler tabulates them, with gradients.

The value is the compiler's own (`hardwire.layers.activation`: numpy in float64), so that a table of the quantised input
holds it bit for bit; the gradient is that of PyTorch's function.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hardwire.errors import ModelError
from hardwire.fixed import Floats
from hardwire.layers.activation import FUNCTIONS

_SLOW = ("gelu", "erf", "erfc")
"""Functions that numpy evaluates number by number."""


def _hard_sigmoid(x: Tensor, slope: float = 0.2, offset: float = 0.5) -> Tensor:
    return (slope * x + offset).clamp(0.0, 1.0)


DIFFERENTIABLE: dict[str, Callable[..., Tensor]] = {
    "sigmoid": torch.sigmoid,
    "log_sigmoid": functional.logsigmoid,
    "hard_sigmoid": _hard_sigmoid,
    "tanh": torch.tanh,
    "tanh_shrink": functional.tanhshrink,
    "elu": functional.elu,
    "selu": functional.selu,
    "celu": functional.celu,
    "gelu": functional.gelu,
    "gelu_tanh": partial(functional.gelu, approximate="tanh"),
    "silu": lambda x, beta=1.0: x * torch.sigmoid(beta * x),
    "hard_swish": functional.hardswish,
    "mish": functional.mish,
    "softplus": lambda x, beta=1.0: functional.softplus(x, beta),
    "softsign": functional.softsign,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "gaussian": lambda x: torch.exp(-x * x),
    "sin": torch.sin,
    "cos": torch.cos,
    "atan": torch.atan,
    "asinh": torch.asinh,
    "erf": torch.erf,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "reciprocal": torch.reciprocal,
    "log": torch.log,
    "log1p": torch.log1p,
    "square": torch.square,
}
"""PyTorch's function by the name that the compiler has for it."""


class _Standing(torch.autograd.Function):
    """A value in the forward pass, with the gradient of another tensor."""

    @staticmethod
    def forward(ctx: Any, soft: Tensor, value: Tensor) -> Tensor:
        ctx.kind = soft.dtype
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].to(ctx.kind), None


def standing(soft: Tensor, value: Tensor) -> Tensor:
    """`value`, with the gradient of `soft` (same shape, any float type)."""
    found: Tensor = _Standing.apply(soft, value)
    return found


def check(layer: str, function: str) -> None:
    """Raise `ModelError` for a function that is unknown or has no gradient."""
    if function not in DIFFERENTIABLE:
        raise ModelError(f"{layer}: no function {function!r} (known: {', '.join(sorted(DIFFERENTIABLE))})")


def evaluated(function: str, x: Floats, arguments: dict[str, float]) -> Floats:
    """What the compiler's table holds before its output's quantiser."""
    with np.errstate(all="ignore"):
        if function in _SLOW and x.size > 512:
            few, place = np.unique(x, return_inverse=True)
            return np.asarray(FUNCTIONS[function](few, **arguments)[place].reshape(x.shape), np.float64)
        return np.asarray(FUNCTIONS[function](x, **arguments), np.float64)


def curve(function: str, x: Tensor, arguments: dict[str, float] | None = None) -> Tensor:
    """`function` of quantised `x`, float64, with its gradient."""
    given = arguments or {}
    value = torch.from_numpy(evaluated(function, x.detach().double().cpu().numpy(), given)).to(x.device)
    if not torch.is_grad_enabled() or not x.requires_grad:
        return value
    return standing(DIFFERENTIABLE[function](x, **given), value)


@torch.library.custom_op("hardwire::activation", mutates_args=())
def _activation(x: Tensor, function: str, names: str, values: list[float]) -> Tensor:
    arguments = dict(zip(names.split(","), values, strict=True)) if values else {}
    return torch.from_numpy(evaluated(function, x.double().cpu().numpy(), arguments)).to(x)


@_activation.register_fake
def _(x: Tensor, function: str, names: str, values: list[float]) -> Tensor:
    return torch.empty_like(x)


def exported(function: str, x: Tensor, arguments: dict[str, float]) -> Tensor:
    """The operator that stands for `curve` in an exported program."""
    found: Tensor = torch.ops.hardwire.activation(x, function, ",".join(arguments), list(arguments.values()))
    return found
