"""Grids whose range is learnt: an upper bound beside the fractional bits, or the step of a fixed number of bits.

Both are powers of two, as the hardware wants them: a bound of 2^i and a step of 2^-f with i and f rounded in the
forward pass. Values beyond the range pull on it; values inside pull on the step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hardwire.errors import ModelError
from hardwire.fixed import Overflow, Rounding
from hardwire.nn.arithmetic import Grid, through
from hardwire.nn.quantisers._base import SATURATING, Granularity, Quantiser, Taken, granules, take
from hardwire.nn.quantisers.estimators import STRAIGHT, Estimator
from hardwire.nn.quantisers.ranges import extent, shared_axes


class _Started(Quantiser):
    """A quantiser whose parameters are set by the first batch that it sees."""

    def __init__(self, signed: bool, rounding: Rounding, overflow: Overflow, estimator: Estimator) -> None:
        super().__init__()
        self.signed, self.rounding, self.overflow, self.estimator = signed, rounding, overflow, estimator
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def observe(self, x: Tensor) -> None:
        """Start from the first batch."""
        if not bool(self.started):
            self._start(x)
            self.started.fill_(True)

    def _start(self, x: Tensor) -> None:
        raise NotImplementedError

    def _take(self, x: Tensor) -> Taken:
        scale, lo, hi, rounding, overflow = self.grid()
        return take(x, scale.reciprocal(), scale, rounding, (lo, hi, overflow), self.estimating())


class LearnedBound(_Started):
    """Learnt integer bits i and fractional bits f: values in [0, 2^i), or [-2^i, 2^i) with `signed`, in steps of 2^-f.

    PACT's clipping level (Choi et al. 2018, arXiv:1805.06085), as a power of two: with `SAT` its gradient is that of
    the values beyond it. With `WRAP` values beyond come back at the other end, and the gradient of i is the change that
    a wider range would make. Without `integer` bits the first batch sets i to hold it. At i + f below the sign's own
    bit nothing is kept.
    """

    def __init__(
        self,
        shape: Sequence[int],
        granularity: Granularity = "tensor",
        axis: int = -1,
        bits: float = 6.0,
        integer: float | None = None,
        signed: bool = False,
        rounding: Rounding = Rounding.RND,
        overflow: Overflow = Overflow.SAT,
        *,
        estimator: Estimator = STRAIGHT,
    ) -> None:
        super().__init__(signed, rounding, overflow, estimator)
        size = granules(shape, granularity, axis)
        self.f = nn.Parameter(torch.full(size, float(bits)))
        self.i = nn.Parameter(torch.full(size, float(integer or 0.0)))
        self.started.fill_(integer is not None)

    def _start(self, x: Tensor) -> None:
        low, high = extent(x, self.i.shape)
        self.i.copy_(torch.frexp(torch.maximum(high, -low)).exponent)

    def rounded(self, x: Tensor) -> Tensor:
        """`x` on the grid, with gradients of `f` (inside the range) and of `i` (outside)."""
        with torch.no_grad():
            taken = self._take(x)
            if taken.inside is None:
                return through(x, taken.y)
            error, inside = x - taken.y, taken.inside
            if self.overflow in SATURATING:
                by_bound = (1.0 - inside) * x.sign() * self.i.round().exp2_()
            else:
                by_bound = (1.0 - inside) * error
        return through(x, taken.y, taken.slope, (self.f, error * inside), (self.i, by_bound))

    def fraction(self) -> Tensor:
        """Return the fractional bits in use: whole numbers, differentiable."""
        return through(self.f, self.f.detach().round())

    def grid(self) -> Grid:
        """Return the type of the bits in use."""
        with torch.no_grad():
            f = self.f.round()
            size = f + self.i.round()
            top = size.clamp(min=0.0).exp2_()
            lo = torch.where(size < 0, 0.0, -top) if self.signed else torch.zeros_like(top)
            return Grid((-f).exp2_(), lo, top - 1.0, self.rounding, self.overflow)

    def bits(self) -> Tensor:
        """Integer, fractional and sign bits; 0 where nothing is kept."""
        with torch.no_grad():
            size = self.f.round() + self.i.round() + float(self.signed)
            kept = (size > 0).to(size.dtype)
        # Twice through: the gradients of both parameters are those of their sum.
        return through(self.f + self.i, size * kept, kept)


class LearnedStep(_Started):
    """A fixed number of `bits`; the step 2^-f is learnt (LSQ: Esser et al. 2020, arXiv:1902.08153), as a power of two.

    Inside the range the gradient of the step is that of the rounding error, beyond it that of the range's end, so that
    range and precision are traded within the bits. It is scaled by 1 / √(values · highest code). The first batch sets
    the step to 2 · mean |x| / √(highest code). For activations and weights. Raises `ModelError` for fewer bits than a
    code has, or more than are exact.
    """

    def __init__(
        self,
        shape: Sequence[int],
        bits: int,
        granularity: Granularity = "tensor",
        axis: int = -1,
        signed: bool = True,
        rounding: Rounding = Rounding.RND,
        overflow: Overflow = Overflow.SAT,
        *,
        estimator: Estimator = STRAIGHT,
    ) -> None:
        super().__init__(signed, rounding, overflow, estimator)
        if not 1 + signed <= bits <= 24:
            raise ModelError(f"LearnedStep: {bits} bits; {1 + signed} to 24 are possible")
        self.width = bits
        self.f = nn.Parameter(torch.zeros(granules(shape, granularity, axis)))

    @property
    def _top(self) -> float:
        return 2.0 ** (self.width - self.signed) - 1.0

    def _start(self, x: Tensor) -> None:
        axes = shared_axes(x, self.f.shape)
        size = x.abs().mean(axes).reshape(self.f.shape) if axes else x.abs()
        self.f.copy_(-torch.log2((2.0 * size / math.sqrt(self._top)).clamp(min=2.0**-20)))

    def rounded(self, x: Tensor) -> Tensor:
        """`x` on the grid, with LSQ's gradient of the step."""
        with torch.no_grad():
            taken = self._take(x)
            if taken.inside is None:
                return through(x, taken.y)
            inside = taken.inside
            beyond = taken.y if self.overflow in SATURATING else taken.y - x
            by_step = inside * (x - taken.y) - (1.0 - inside) * beyond
            by_step *= 1.0 / math.sqrt(x.numel() / self.f.numel() * self._top)
        return through(x, taken.y, taken.slope, (self.f, by_step))

    def fraction(self) -> Tensor:
        """Return the fractional bits in use: whole numbers, differentiable."""
        return through(self.f, self.f.detach().round())

    def grid(self) -> Grid:
        """Return the type of the step in use."""
        with torch.no_grad():
            scale = (-self.f.round()).exp2_()
            hi = torch.full_like(scale, self._top)
            lo = -hi - 1.0 if self.signed else torch.zeros_like(hi)
            return Grid(scale, lo, hi, self.rounding, self.overflow)

    def bits(self) -> Tensor:
        """Return the given number of bits."""
        return torch.full_like(self.f.detach(), float(self.width))
