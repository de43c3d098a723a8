"""Weights of few binary digits: powers of two, ternary, binary. Their products are shifts, or nothing at all."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hardwire.errors import ModelError
from hardwire.fixed import Overflow, Rounding
from hardwire.nn.arithmetic import Grid, through
from hardwire.nn.quantisers._base import Granularity, WeightQuantiser, granules
from hardwire.nn.quantisers.ranges import extent, shared_axes

_TINY = 2.0**-20


def nearest_power(size: Tensor) -> Tensor:
    """Exponent of the power of two next to each positive `size`, by distance (1.5 is halfway between 1 and 2)."""
    # m · 2^e with m in [0.5, 1) goes down to 2^(e-1) below m = 0.75, which a factor of 4/3 moves to the next exponent.
    return torch.frexp(size * (4.0 / 3.0)).exponent.to(size.dtype) - 1.0


class _Digits(WeightQuantiser):
    """Quantiser of weights that keeps the values that it gave last."""

    _values: Tensor
    _step: Tensor

    def _keep(self, y: Tensor, step: Tensor) -> None:
        self._values, self._step = y.detach(), step.detach()

    def grid(self) -> Grid:
        """Return the grid that holds the weights that were rounded last."""
        lo, hi = extent(self._values / self._step, self._step.shape)
        return Grid(self._step, lo.clamp(max=0.0), hi.clamp(min=0.0), Rounding.RND_CONV, Overflow.SAT)

    def bits(self) -> Tensor:
        """1 for each weight that is not zero: its one digit."""
        return self._values.sign().abs_()


class PowerOfTwo(_Digits):
    """Weights ± 2^e with e in [`lowest`, `highest`], or sums of `terms` of them; 0 below half of the smallest.

    One shift each and no adder but the sum's own (Zhou et al. 2017, arXiv:1702.03044); with more terms one adder a
    further term. The nearest value is taken term by term. Raises `ModelError` for an empty range of exponents.
    """

    def __init__(self, shape: Sequence[int], lowest: int = -7, highest: int = 0, terms: int = 1) -> None:
        super().__init__()
        if lowest > highest or terms < 1:
            raise ModelError(
                f"PowerOfTwo: exponents from {lowest} to {highest}, {terms} terms; expected lowest ≤ highest and a term"
            )
        self.lowest, self.highest, self.terms = lowest, highest, terms
        self._keep(torch.zeros(tuple(shape)), torch.full((1,) * len(shape), 2.0**lowest))
        self._count = torch.zeros(tuple(shape))

    def rounded(self, x: Tensor) -> Tensor:
        """Weights on the grid; gradients pass straight through, but not away from the range."""
        with torch.no_grad():
            y, self._count = torch.zeros_like(x), torch.zeros_like(x)
            for _ in range(self.terms):
                rest = x - y
                size = rest.abs()
                power = nearest_power(size).clamp(self.lowest, self.highest).exp2_()
                kept = (size >= 2.0 ** (self.lowest - 1)).to(x.dtype)
                y += rest.sign() * power * kept
                self._count += kept
            slope = (x.abs() <= self.terms * 2.0**self.highest).to(x.dtype)
        self._keep(y, self._step.to(x))
        return through(x, y, slope)

    def bits(self) -> Tensor:
        """Digits of each weight."""
        return self._count


class Ternary(_Digits):
    """Weights -2^e, 0, 2^e with one e a granule (by default an output channel).

    Weights above `threshold` · mean |w| are kept, and 2^e is next to the mean of their sizes (Li et al. 2016,
    arXiv:1605.04711). With `learned` the threshold is a parameter, whose gradient is that of weights passing it, taken
    as a step as wide as twice the threshold.
    """

    def __init__(
        self,
        shape: Sequence[int],
        granularity: Granularity = "channel",
        axis: int = 0,
        threshold: float = 0.7,
        learned: bool = False,
    ) -> None:
        super().__init__()
        if not threshold > 0.0:
            raise ModelError(f"Ternary: threshold={threshold}; a share of the mean size, above 0")
        size = granules(shape, granularity, axis)
        self.threshold = nn.Parameter(torch.full(size, math.log2(threshold)), requires_grad=learned)
        self._keep(torch.zeros(tuple(shape)), torch.ones(size))

    def rounded(self, x: Tensor) -> Tensor:
        """Weights on the grid; gradients pass straight through."""
        with torch.no_grad():
            axes, size = shared_axes(x, self.threshold.shape), x.abs()
            mean = _mean(size, axes)
            least = self.threshold.exp2() * mean
            kept = (size > least).to(x.dtype)
            scale = nearest_power((_mean(size * kept, axes) / _mean(kept, axes).clamp(min=_TINY)).clamp(min=_TINY))
            scale.exp2_()
            signs = x.sign()
            y = signs * kept * scale
            passing = -0.5 * signs * scale * (size < 2.0 * least)
        self._keep(y, scale)
        return through(x, y, None, (self.threshold, passing))


class Binary(_Digits):
    """Weights -2^e, 2^e with one e a granule, next to the mean size of its weights (Rastegari et al. 2016).

    XNOR-Net's scaled signs (arXiv:1603.05279) with a power of two; 0 counts as positive.
    """

    def __init__(self, shape: Sequence[int], granularity: Granularity = "channel", axis: int = 0) -> None:
        super().__init__()
        self._keep(torch.zeros(tuple(shape)), torch.ones(granules(shape, granularity, axis)))

    def rounded(self, x: Tensor) -> Tensor:
        """Weights on the grid; gradients pass straight through."""
        with torch.no_grad():
            scale = nearest_power(_mean(x.abs(), shared_axes(x, self._step.shape)).clamp(min=_TINY)).exp2_()
            y = torch.where(x < 0, -scale, scale)
        self._keep(y, scale)
        return through(x, y)


def _mean(x: Tensor, axes: list[int]) -> Tensor:
    return x.mean(axes, keepdim=True) if axes else x
