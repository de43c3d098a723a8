"""Grids whose fractional bits are learnt, by tensor, channel or element; zero bits prune.

The number of fractional bits f is a real parameter, rounded in the forward pass. Its gradient is that of the rounding
error, which shrinks as 2^-f: `d y / d f = ln 2 · (x - y)` (Sun et al. 2024, arXiv:2405.00645, section III).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hardwire.fixed import Overflow, Rounding
from hardwire.nn.arithmetic import Grid, on_grid, rounded
from hardwire.nn.quantisers._base import Granularity, Quantiser, granules

_LEAST, _MOST = -16.0, 20.0
"""Fractional bits stay between, so that codes are exact in float32."""


def _through(x: Tensor) -> Tensor:
    """Rounded half up, with the gradient of the identity."""
    return x + ((x + 0.5).floor() - x).detach()


def _reduced(x: Tensor, granules: Tensor) -> list[int]:
    """Axes of `x` that share a granule: those in front that the granules lack, and those where they are one."""
    lead = x.ndim - granules.ndim
    return [*range(lead), *(lead + k for k, n in enumerate(granules.shape) if n == 1 and x.shape[lead + k] != 1)]


class _Learned(Quantiser):
    """Quantiser with learnt fractional bits `f` (shape of the granules)."""

    def __init__(self, shape: Sequence[int], granularity: Granularity, axis: int, bits: float) -> None:
        super().__init__()
        self.f = nn.Parameter(torch.full(granules(shape, granularity, axis), float(bits)))

    def fraction(self) -> Tensor:
        """Return the fractional bits in use: whole numbers, differentiable."""
        return _through(self.f.clamp(_LEAST, _MOST))

    def rounded(self, x: Tensor) -> Tensor:
        """`x` on the grid; the gradient of f is that of the rounding error."""
        grid, f = self.grid(), self.fraction()
        with torch.no_grad():
            y = on_grid(x, grid)
            error = (x - y) * math.log(2.0)
        if grid.overflow.name.startswith("SAT"):
            low, high = grid.lo * grid.scale, grid.hi * grid.scale
            through = torch.minimum(torch.maximum(x, low), high)
            error = torch.where((x >= low) & (x <= high), error, 0.0)
        else:
            through = x
        return through + (y - through).detach() + error * (f - f.detach())


class LearnedWeight(_Learned):
    """Weights: learnt fractional bits; the range follows the weights, so that none ever overflows.

    `shape` is that of the weight. A weight that rounds to zero has zero bits: it is pruned, and its gradient stays.
    """

    def __init__(
        self,
        shape: Sequence[int],
        granularity: Granularity = "element",
        axis: int = 0,
        bits: float = 6.0,
        rounding: Rounding = Rounding.RND,
    ) -> None:
        super().__init__(shape, granularity, axis, bits)
        self.rounding = rounding
        self.register_buffer("codes_lo", torch.zeros_like(self.f.data), persistent=True)
        self.register_buffer("codes_hi", torch.zeros_like(self.f.data), persistent=True)

    def observe(self, x: Tensor) -> None:
        """Take the range of the weights themselves."""

    def rounded(self, x: Tensor) -> Tensor:
        """Weights on their grid, in the type that just holds them."""
        self._hold(x)
        return super().rounded(x)

    def _hold(self, x: Tensor) -> None:
        with torch.no_grad():
            scale = torch.exp2(-self.fraction())
            codes = rounded(x / scale, self.rounding)
            axes = _reduced(x, self.f)
            self.codes_lo.copy_(codes.amin(axes, keepdim=True) if axes else codes)
            self.codes_hi.copy_(codes.amax(axes, keepdim=True) if axes else codes)

    def grid(self) -> Grid:
        """Return the grid of the weights that were rounded last."""
        lo, hi = torch.clamp(self.codes_lo, max=0.0), torch.clamp(self.codes_hi, min=0.0)
        return Grid(torch.exp2(-self.fraction().detach()), lo, hi, self.rounding, Overflow.SAT)

    def bits(self) -> Tensor:
        """Magnitude bits of the largest weight of each granule: integer bits that it has, and f."""
        most = torch.maximum(-self.codes_lo, self.codes_hi)
        used = torch.where(most > 0, torch.floor(torch.log2(most.clamp(min=1.0))) + 1.0, 0.0)
        f = self.fraction()
        return used + torch.where(most > 0, f - f.detach(), 0.0)


class LearnedRange(_Learned):
    """Activations: learnt fractional bits; the integer bits follow what the training batches held.

    `shape` is that of the tensor without its batch axis. The running range widens at once and shrinks by `decay` a
    batch; signed where something was below zero. Overflow wraps, for free, and does not happen on data like the
    training's; `overflow=Overflow.SAT` clips instead. During the first `warmup` batches values pass as they are.
    """

    def __init__(
        self,
        shape: Sequence[int],
        granularity: Granularity = "element",
        axis: int = -1,
        bits: float = 6.0,
        rounding: Rounding = Rounding.RND,
        overflow: Overflow = Overflow.WRAP,
        decay: float = 0.0,
        warmup: int = 0,
    ) -> None:
        super().__init__(shape, granularity, axis, bits)
        self.rounding, self.overflow, self.decay, self.warmup = rounding, overflow, decay, warmup
        self.register_buffer("low", torch.zeros_like(self.f.data))
        self.register_buffer("high", torch.zeros_like(self.f.data))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def observe(self, x: Tensor) -> None:
        """Widen the range to hold the batch."""
        axes = _reduced(x, self.f)
        low, high = (part.reshape(self.f.shape) for part in (x.amin(axes, keepdim=True), x.amax(axes, keepdim=True)))
        keep = 1.0 - self.decay
        self.low.copy_(torch.minimum(self.low * keep, low))
        self.high.copy_(torch.maximum(self.high * keep, high))
        self.batches += 1

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` on the grid, or as it is while warming up."""
        y = super().forward(x)
        return x if self.training and int(self.batches) <= self.warmup else y

    def _type(self) -> tuple[Tensor, Tensor]:
        """Magnitude bits and sign bits: the least that hold the range's codes (whole numbers, no gradient)."""
        with torch.no_grad():
            scale = torch.exp2(-self.fraction())
            top, bottom = rounded(self.high / scale, self.rounding), -rounded(self.low / scale, self.rounding)
            most = torch.maximum(top + 1.0, bottom).clamp(min=1.0)
            return torch.ceil(torch.log2(most)), (bottom > 0).to(scale.dtype)

    def grid(self) -> Grid:
        """Two's complement or unsigned codes that hold the range; nothing but 0 where all of it rounds to 0."""
        magnitude, signed = self._type()
        with torch.no_grad():
            top = torch.exp2(magnitude)
            return Grid(torch.exp2(-self.fraction()), -signed * top, top - 1.0, self.rounding, self.overflow)

    def bits(self) -> Tensor:
        """Bits of a code; a bit more of fraction is a bit more of code while there is one."""
        magnitude, signed = self._type()
        f = self.fraction()
        return magnitude + signed + torch.where(magnitude + signed > 0, f - f.detach(), 0.0)
