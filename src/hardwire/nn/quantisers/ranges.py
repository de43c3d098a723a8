"""How a quantiser of activations follows the range of what it sees. One class a rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hardwire.errors import ModelError

_ROW = 64
"""Columns that PyTorch reduces over rows at full speed; narrower tensors are folded to that many."""


def shared_axes(x: Tensor, granules: Sequence[int]) -> list[int]:
    """Axes of `x` that share a granule: those in front that the granules lack, and those where they are one."""
    lead = x.ndim - len(granules)
    return [*range(lead), *(lead + k for k, n in enumerate(granules) if n == 1 and x.shape[lead + k] != 1)]


def extent(x: Tensor, granules: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Lowest and highest value of each granule, in the shape of the granules."""
    axes, shape = shared_axes(x, granules), tuple(granules)
    if len(axes) == x.ndim:
        low, high = torch.aminmax(x)
        return low.expand(shape), high.expand(shape)
    if axes == [0] and x.ndim == 2:
        rows, columns = x.shape
        fold = 1 << max(0, (_ROW // max(1, columns)).bit_length() - 1)
        if fold > 1 and rows % fold == 0 and x.is_contiguous():
            x = x.view(rows // fold, fold * columns)
            low, high = x.amin(0).view(fold, columns), x.amax(0).view(fold, columns)
            return low.amin(0).view(shape), high.amax(0).view(shape)
    low, high = (x.amin(axes), x.amax(axes)) if axes else (x, x)
    return low.reshape(shape), high.reshape(shape)


@dataclass(frozen=True)
class Tracker(ABC):
    """Keeps a running range (`low` ≤ 0 ≤ `high`, shaped like the granules) up to date, in place."""

    covers = False
    """Whether the range holds every value of the batch that was seen last."""

    @abstractmethod
    def update(self, low: Tensor, high: Tensor, x: Tensor, first: bool) -> None:
        """Take a batch `x` (batch, …) into account; `first` of a run."""


@dataclass(frozen=True)
class Widest(Tracker):
    """Widens at once and shrinks by the share `decay` a batch: nothing of the training ever overflows."""

    decay: float = 0.0

    covers = True

    def update(self, low: Tensor, high: Tensor, x: Tensor, first: bool) -> None:
        """Widen the range to hold the batch."""
        least, most = extent(x, low.shape)
        if self.decay:
            low.mul_(1.0 - self.decay)
            high.mul_(1.0 - self.decay)
        torch.minimum(low, least, out=low)
        torch.maximum(high, most, out=high)


@dataclass(frozen=True)
class Average(Tracker):
    """Moving average of the batches' extremes (Jacob et al. 2018, arXiv:1712.05877, section 3.1)."""

    momentum: float = 0.99

    def update(self, low: Tensor, high: Tensor, x: Tensor, first: bool) -> None:
        """Move toward the extremes of the batch."""
        self._move(low, high, *extent(x, low.shape), first)

    def _move(self, low: Tensor, high: Tensor, least: Tensor, most: Tensor, first: bool) -> None:
        share = 1.0 if first else 1.0 - self.momentum
        low.lerp_(least.clamp(max=0.0), share)
        high.lerp_(most.clamp(min=0.0), share)


@dataclass(frozen=True)
class Percentile(Average):
    """Moving average of the values that the share `inside` of each batch lies between (McKinstry et al. 2018).

    For data with rare outliers (arXiv:1809.04191). It sorts every batch. Raises `ModelError` for a share that is none.
    """

    inside: float = 0.999

    def __post_init__(self) -> None:
        if not 0.0 < self.inside <= 1.0:
            raise ModelError(f"Percentile: inside={self.inside}; a share of the values, above 0 and up to 1")

    def update(self, low: Tensor, high: Tensor, x: Tensor, first: bool) -> None:
        """Move toward the quantiles of the batch."""
        axes = shared_axes(x, low.shape)
        kept = [k for k in range(x.ndim) if k not in axes]
        rows = x.permute(*axes, *kept).reshape(-1, low.numel())
        # `torch.quantile` refuses more than 2^24 values, and interpolates; a sorted batch does neither.
        ordered = rows.sort(0).values
        last = len(ordered) - 1
        skip = round((1.0 - self.inside) / 2.0 * last)
        self._move(low, high, ordered[skip].view(low.shape), ordered[last - skip].view(low.shape), first)
