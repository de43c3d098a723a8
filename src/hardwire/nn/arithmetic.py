"""Fixed-point arithmetic on tensors: the compiler's own rounding and overflow (`hardwire.fixed`), differentiable.

A `Grid` says which numbers a tensor may take. `quantised` rounds to it; in an exported program the operator
`hardwire::quantise` stands for it, which the compiler's frontend reads. Codes are exact in float32 up to 24 bits and in
float64 up to 53.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hardwire.fixed import Overflow, Rounding
from hardwire.quantiser import Quantiser as Frozen


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
    if rounding is Rounding.AWAY:
        return torch.where(x >= 0, x.ceil(), x.floor())
    if rounding is Rounding.RND_CONV:
        return x.round()
    below = x.floor()
    rest = x - below
    if rounding is Rounding.RND:
        up = rest >= 0.5
    elif rounding is Rounding.RND_MIN_INF:
        up = rest > 0.5
    elif rounding is Rounding.RND_ZERO:
        up = (rest > 0.5) | ((rest == 0.5) & (x < 0))
    else:
        up = (rest > 0.5) | ((rest == 0.5) & (x >= 0))
    return below + up.to(x.dtype)


def held(codes: Tensor, lo: Tensor, hi: Tensor, overflow: Overflow) -> Tensor:
    """Codes brought into [lo, hi], as `hardwire.fixed.apply_overflow` does."""
    if overflow is Overflow.SAT:
        return torch.minimum(torch.maximum(codes, lo), hi)
    if overflow is Overflow.SAT_SYM:
        # The lowest code of a two's complement range has no counterpart and is not used.
        return torch.minimum(torch.maximum(codes, torch.where(lo < 0, -hi, lo)), hi)
    if overflow is Overflow.SAT_ZERO:
        return torch.where((codes < lo) | (codes > hi), torch.zeros_like(codes), codes)
    span = hi - lo + 1
    if overflow is Overflow.WRAP:
        return codes - span * ((codes - lo) / span).floor()
    phase = codes - lo - 2 * span * ((codes - lo) / (2 * span)).floor()
    return torch.where(phase < span, phase, 2 * span - 1 - phase) + lo


def on_grid(x: Tensor, grid: Grid) -> Tensor:
    """`x` (batch, …) rounded to the grid and brought into its range; no gradient passes."""
    return held(rounded(x / grid.scale, grid.rounding), grid.lo, grid.hi, grid.overflow) * grid.scale


@torch.library.custom_op("hardwire::quantise", mutates_args=())
def _quantise(x: Tensor, scale: Tensor, lo: Tensor, hi: Tensor, rounding: str, overflow: str) -> Tensor:
    return on_grid(x, Grid(scale, lo, hi, Rounding[rounding], Overflow[overflow]))


@_quantise.register_fake
def _(x: Tensor, scale: Tensor, lo: Tensor, hi: Tensor, rounding: str, overflow: str) -> Tensor:
    return torch.empty_like(x)


def exported(x: Tensor, grid: Grid) -> Tensor:
    """The operator that an exported program holds in the place of `on_grid`."""
    return torch.ops.hardwire.quantise(x, *grid[:3], grid.rounding.name, grid.overflow.name)
