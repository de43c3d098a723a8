"""Fixed-point arithmetic on tensors: the compiler's own rounding and overflow (`hardwire.fixed`), differentiable.

A `Grid` says which numbers a tensor may take. `on_grid` rounds to it; in an exported program the operator
`hardwire::quantise` stands for it, which the compiler's frontend reads. `through` gives the result a gradient. Codes
are exact in float32 up to 24 bits and in float64 up to 53.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hardwire.fixed import Overflow, Rounding
from hardwire.quantiser import Quantiser as Frozen

LN2 = math.log(2.0)

_FAR = float(1 << 62)
"""Codes are held within ± this before they wrap, as `hardwire.quantiser` does."""


class Grid(NamedTuple):
    """`value = code × scale` with codes in [lo, hi]; tensors that broadcast against a tensor without its batch axis.

    `scale` is a power of two. `lo` and `hi` are whole numbers in the float type of the tensor.
    """

    scale: Tensor
    lo: Tensor
    hi: Tensor
    rounding: Rounding = Rounding.RND
    overflow: Overflow = Overflow.SAT

    def frozen(self) -> Frozen:
        """Return the compiler's quantiser to this grid."""
        scale, lo, hi = (part.detach().double().cpu().numpy() for part in (self.scale, self.lo, self.hi))
        return Frozen(scale, np.rint(lo).astype(np.int64), np.rint(hi).astype(np.int64), self.rounding, self.overflow)


def rounded(x: Tensor, rounding: Rounding) -> Tensor:
    """Whole numbers next to `x`, as `hardwire.fixed.round_real` rounds; exact, without gradient."""
    if rounding is Rounding.TRN:
        return x.floor()
    if rounding is Rounding.TRN_ZERO:
        return x.trunc()
    if rounding is Rounding.CEIL:
        return x.ceil()
    if rounding is Rounding.RND_CONV:
        return x.round()
    # To nearest in steps of a half, then the ties in their direction: nothing is added that could itself round.
    if rounding is Rounding.RND:
        return (x * 2).floor_().mul_(0.5).ceil_()
    if rounding is Rounding.RND_MIN_INF:
        return (x * 2).ceil_().mul_(0.5).floor_()
    size = x.abs()
    if rounding is Rounding.AWAY:
        size.ceil_()
    elif rounding is Rounding.RND_ZERO:
        size.mul_(2).ceil_().mul_(0.5).floor_()
    else:
        size.mul_(2).floor_().mul_(0.5).ceil_()
    return size.copysign_(x)


def held(codes: Tensor, lo: Tensor, hi: Tensor, overflow: Overflow) -> Tensor:
    """Codes brought into [lo, hi], as `hardwire.fixed.apply_overflow` does; exact however far outside they are."""
    if overflow is Overflow.SAT:
        return torch.minimum(torch.maximum(codes, lo), hi)
    if overflow is Overflow.SAT_SYM:
        # The lowest code of a two's complement range has no counterpart and is not used.
        return torch.minimum(torch.maximum(codes, torch.where(lo < 0, -hi, lo)), hi)
    if overflow is Overflow.SAT_ZERO:
        return torch.where((codes < lo) | (codes > hi), 0.0, codes)
    # The period is a power of two, so quotient and remainder are exact; a difference from `lo` would not be.
    codes = codes.clamp(-_FAR, _FAR)
    span = hi - lo + 1
    if overflow is Overflow.WRAP:
        rest = codes - (codes / span).floor_().mul_(span)
        return rest - (rest / (hi + 1)).floor_().mul_(span)
    # A triangle wave of twice the period around 0: rising over [lo, hi], mirrored on both sides.
    rest = codes - rounded(codes / (2 * span), Rounding.RND).mul_(2 * span)
    wave = torch.where(rest > hi, (hi - lo) - rest, rest)
    wave = torch.where(rest < lo, -1 - (rest + span), wave)
    return torch.minimum(torch.maximum(wave, lo), hi)


def on_grid(x: Tensor, grid: Grid) -> Tensor:
    """`x` (batch, …) rounded to the grid and brought into its range; no gradient passes."""
    codes = rounded(x * grid.scale.reciprocal(), grid.rounding)
    return held(codes, grid.lo, grid.hi, grid.overflow) * grid.scale


class _Through(torch.autograd.Function):
    """Value of one tensor, gradients of others: what a straight-through estimator is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, slope: Tensor | None, *learnt: Tensor) -> Tensor:
        ctx.save_for_backward(slope, *learnt[1::2])
        ctx.shapes = [parameter.shape for parameter in learnt[::2]]
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        slope, *by_parameter = ctx.saved_tensors
        onward = None
        if ctx.needs_input_grad[0]:
            onward = gradient if slope is None else gradient * slope
        found = [onward, None, None]
        for shape, derivative in zip(ctx.shapes, by_parameter, strict=True):
            found += [(gradient * derivative).sum_to_size(shape).mul_(LN2), None]
        return tuple(found)


def through(x: Tensor, y: Tensor, slope: Tensor | None = None, *learnt: tuple[Tensor, Tensor]) -> Tensor:
    """`y`, with a gradient that the rounding has not.

    That of `x` is the gradient of `y` times `slope` (1 where it is None). Each of `learnt` is a parameter p of which
    the grid goes as 2^p, of a shape that broadcasts against `y`, and dy / d(p ln 2), of the shape of `y`.
    """
    flat = [tensor for pair in learnt for tensor in pair]
    return _Through.apply(x, y, slope, *flat)


@torch.library.custom_op("hardwire::quantise", mutates_args=())
def _quantise(x: Tensor, scale: Tensor, lo: Tensor, hi: Tensor, rounding: str, overflow: str) -> Tensor:
    return on_grid(x, Grid(scale, lo, hi, Rounding[rounding], Overflow[overflow])).to(x.dtype)


@_quantise.register_fake
def _(x: Tensor, scale: Tensor, lo: Tensor, hi: Tensor, rounding: str, overflow: str) -> Tensor:
    return torch.empty_like(x)


def exported(x: Tensor, grid: Grid) -> Tensor:
    """The operator that an exported program holds in the place of `on_grid`."""
    return torch.ops.hardwire.quantise(x, *grid[:3], grid.rounding.name, grid.overflow.name)
