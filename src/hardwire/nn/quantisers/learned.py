"""Grids whose fractional bits are learnt, by tensor, channel or element; zero bits prune.

The number of fractional bits f is a real parameter, rounded in the forward pass. Its gradient is that of the rounding
error, which shrinks as 2^-f: `d y / d f = ln 2 · (x - y)` (Sun et al. 2024, arXiv:2405.00645, section III).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hardwire.errors import ModelError
from hardwire.fixed import Overflow, Rounding
from hardwire.nn.arithmetic import Grid, exported, rounded, through
from hardwire.nn.quantisers._base import Code, Granularity, Quantiser, WeightQuantiser, granules, learnt
from hardwire.nn.quantisers.estimators import STRAIGHT, Estimator
from hardwire.nn.quantisers.ranges import Tracker, Widest, extent

LEAST, MOST = -16.0, 20.0
"""Fractional bits are brought between whenever training or evaluation begins."""


def magnitude(codes: Tensor) -> Tensor:
    """Bits of whole numbers without their sign: 0 for 0, 3 for ±4; exact, unlike a logarithm."""
    return torch.frexp(codes).exponent.to(codes.dtype)


class LearnedWeight(WeightQuantiser):
    """Weights: learnt fractional bits; the range follows the weights, so that none ever overflows.

    `shape` is that of the weight, `f` that of the granules. A weight that rounds to zero has zero bits: it is pruned,
    costs nothing, and comes back where the loss asks for it, for its gradient and that of its f stay.
    """

    def __init__(
        self,
        shape: Sequence[int],
        granularity: Granularity = "element",
        axis: int = 0,
        bits: float = 6.0,
        rounding: Rounding = Rounding.RND,
        *,
        estimator: Estimator = STRAIGHT,
    ) -> None:
        super().__init__()
        self.f = nn.Parameter(torch.full(granules(shape, granularity, axis), float(bits)))
        self.rounding, self.estimator = rounding, estimator
        self._values = torch.zeros_like(self.f.data)

    def fraction(self) -> Tensor:
        """Return the fractional bits in use: whole numbers, differentiable."""
        return through(self.f, self.f.detach().round())

    def rounded(self, x: Tensor) -> Tensor:
        """Weights on their grid, in the type that just holds them."""
        y = learnt(x, self.f, self.rounding, None, self.estimating())
        self._values = y.detach()
        return y

    def train(self, mode: bool = True) -> LearnedWeight:
        """Switch to training, or freeze the grid for evaluation and export."""
        with torch.no_grad():
            self.f.clamp_(LEAST, MOST)
        super().train(mode)
        return self

    def _codes(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest code of each granule."""
        return extent(self._values * self.f.round().exp2_(), self.f.shape)

    def grid(self) -> Grid:
        """Return the grid of the weights that were rounded last."""
        with torch.no_grad():
            lo, hi = self._codes()
            return Grid((-self.f.round()).exp2_(), lo.clamp(max=0.0), hi.clamp(min=0.0), self.rounding, Overflow.SAT)

    def bits(self) -> Tensor:
        """Magnitude bits of the largest weight of each granule; where it has some, a bit of fraction is one more."""
        with torch.no_grad():
            lo, hi = self._codes()
            used = magnitude(lo if lo is hi else torch.maximum(hi, -lo))
        return through(self.f, used, used.sign())


class LearnedRange(Quantiser):
    """Activations: learnt fractional bits; the integer bits follow what the training batches held.

    `shape` is that of the tensor without its batch axis. The range follows `tracker` (`ranges`): by default it widens
    at once, and shrinks by `decay` a batch; it is signed where something was below zero. Overflow wraps, for free, and
    does not happen on data like the training's; `overflow=Overflow.SAT` clips instead, as trackers that leave values
    out need. During the first `warmup` batches values pass as they are. Raises `ModelError` for a wrap with a tracker
    that leaves values out.
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
        *,
        tracker: Tracker | None = None,
        estimator: Estimator = STRAIGHT,
    ) -> None:
        super().__init__()
        self.f = nn.Parameter(torch.full(granules(shape, granularity, axis), float(bits)))
        self.rounding, self.overflow, self.warmup, self.estimator = rounding, overflow, warmup, estimator
        self.tracker = tracker or Widest(decay)
        if not self.tracker.covers and overflow in (Overflow.WRAP, Overflow.WRAP_SM):
            raise ModelError(
                f"LearnedRange: {type(self.tracker).__name__} leaves values out, which {overflow.name} would turn over",
                hint="overflow=Overflow.SAT, or the tracker Widest",
            )
        self.register_buffer("low", torch.zeros_like(self.f.data))
        self.register_buffer("high", torch.zeros_like(self.f.data))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def observe(self, x: Tensor) -> None:
        """Follow the range of a batch."""
        self.tracker.update(self.low, self.high, x, not self.tracker.covers and int(self.batches) == 0)
        if self.warmup or not self.tracker.covers:
            self.batches += 1

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` on the grid, or as it is while warming up."""
        if torch.compiler.is_exporting():
            return exported(x, self._kept_grid())
        if not self.training:
            return self.rounded(x)
        with torch.no_grad():
            self.observe(x)
        if self.warmup and int(self.batches) <= self.warmup:
            return x
        if self.tracker.covers and self.overflow is not Overflow.SAT_SYM:
            return learnt(x, self.f, self.rounding, None, self.estimator)
        return self.rounded(x)

    def rounded(self, x: Tensor) -> Tensor:
        """`x` on the grid; the gradient of f is that of the rounding error."""
        with torch.no_grad():
            _, lo, hi, _, overflow = self.grid()
        return learnt(x, self.f, self.rounding, (lo, hi, overflow), self.estimating())

    def fraction(self) -> Tensor:
        """Return the fractional bits in use: whole numbers, differentiable."""
        return through(self.f, self.f.detach().round())

    def train(self, mode: bool = True) -> LearnedRange:
        """Switch to training, or freeze the grid for evaluation and export; codes stay exact in the float type."""
        with torch.no_grad():
            exact = 1.0 - math.log2(torch.finfo(self.f.dtype).eps)
            most = exact - magnitude(torch.maximum(self.high, -self.low))
            self.f.copy_(torch.minimum(self.f.clamp(LEAST, MOST), most))
        super().train(mode)
        return self

    def _type(self) -> tuple[Tensor, Tensor, Tensor]:
        """Fractional, magnitude and sign bits: the least that hold the range's codes (whole numbers)."""
        f = self.f.round()
        steps = f.exp2()
        top, bottom = rounded(self.high * steps, self.rounding), rounded(self.low * steps, self.rounding)
        return f, magnitude(torch.maximum(top, -1.0 - bottom)), (-bottom).sign_()

    def grid(self) -> Grid:
        """Two's complement or unsigned codes that hold the range; nothing but 0 where all of it rounds to 0."""
        with torch.no_grad():
            f, size, signed = self._type()
            top = torch.exp2(size)
            return Grid(torch.exp2(-f), -signed * top, top - 1.0, self.rounding, self.overflow)

    def bits(self) -> Tensor:
        """Bits of a code; a bit more of fraction is a bit more of code while there is one."""
        return self.code().bits

    def code(self) -> Code:
        """Return bits and signs of one look at the range."""
        with torch.no_grad():
            _, size, signed = self._type()
            used = size + signed
        return Code(through(self.f, used, used.sign()), signed > 0, self.rounding, self.overflow)
