"""What every quantiser is: a module that rounds a tensor to a grid, exactly as the compiled design will."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from hardwire.errors import ModelError
from hardwire.fixed import Overflow, Rounding
from hardwire.nn.arithmetic import LN2, Grid, exported, held, rounded, through
from hardwire.nn.quantisers.estimators import STRAIGHT, Estimator
from hardwire.quantiser import Quantiser as Frozen

Granularity = Literal["tensor", "channel", "element"]

SATURATING = (Overflow.SAT, Overflow.SAT_SYM, Overflow.SAT_ZERO)


def granules(shape: Sequence[int], granularity: Granularity, axis: int = -1) -> tuple[int, ...]:
    """Shape of the parameters of a quantiser of tensors of `shape` (without the batch axis).

    One for the whole tensor, one a channel (an index of `axis`), or one an element. Raises `ModelError` otherwise.
    """
    if granularity == "tensor":
        return (1,) * len(shape)
    if granularity == "channel":
        kept = axis % len(shape)
        return tuple(size if k == kept else 1 for k, size in enumerate(shape))
    if granularity == "element":
        return tuple(shape)
    raise ModelError(f"granularity {granularity!r}: it is 'tensor', 'channel' or 'element'")


def equal(a: Tensor, b: Tensor) -> Tensor:
    """1 where equal, else 0, in the type of `a`; comparisons that give floats are what PyTorch vectorises."""
    if torch.compiler.is_compiling():
        return (a == b).to(a.dtype)
    return torch.eq(a, b, out=torch.empty_like(a))


class Taken(NamedTuple):
    """What a tensor was rounded to."""

    y: Tensor
    """Values on the grid."""
    inside: Tensor | None
    """1 where the code was in range, 0 where it was brought into it; None if all are, and outside training."""
    slope: Tensor | None
    """Gradient of `y` by the values; None is 1."""


class Code(NamedTuple):
    """What a quantiser's codes are, shaped like its granules: what bringing values to it costs by."""

    bits: Tensor
    """Differentiable where they are learnt."""
    signed: Tensor
    """Whether some are below zero."""
    rounding: Rounding
    overflow: Overflow


Limits = tuple[Tensor, Tensor, Overflow]
"""Lowest and highest code, and what happens beyond."""


def take(
    x: Tensor, steps: Tensor, scale: Tensor, rounding: Rounding, limits: Limits | None, estimator: Estimator | None
) -> Taken:
    """Round `x` to a grid of `steps` = 1 / `scale`; call it without gradients.

    `limits` is None where no value can be out of range, `estimator` outside training.
    """
    position = x * steps
    codes = rounded(position, rounding)
    slope = None
    if estimator is not None:
        slope = estimator.slope(position, rounding)
        if not estimator.exact:
            codes = estimator.codes(position, codes)
    if limits is None:
        return Taken(codes * scale if codes is position else codes.mul_(scale), None, slope)
    kept = held(codes, *limits)
    if estimator is None:
        return Taken(kept * scale, None, None)
    inside = equal(codes, kept)
    if limits[2] in SATURATING:
        slope = inside if slope is None else slope * inside
    return Taken(kept * scale, inside, slope)


class _Learnt(torch.autograd.Function):
    """Rounding with learnt fractional bits: one node of the graph, because small networks are made of small steps."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, f: Tensor, rounding: Rounding, limits: Limits | None, estimator: Estimator | None
    ) -> Tensor:
        steps = f.round().exp2_()
        y, inside, slope = take(x, steps, steps.reciprocal(), rounding, limits, estimator)
        error = x - y
        if inside is not None:
            error *= inside
        ctx.save_for_backward(error, slope)
        ctx.granules = f.shape
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        error, slope = ctx.saved_tensors
        onward = by_f = None
        if ctx.needs_input_grad[0]:
            onward = gradient if slope is None else gradient * slope
        if ctx.needs_input_grad[1]:
            by_f = (gradient * error).sum_to_size(ctx.granules).mul_(LN2)
        return onward, by_f, None, None, None


def learnt(
    x: Tensor, f: Tensor, rounding: Rounding, limits: Limits | None = None, estimator: Estimator | None = None
) -> Tensor:
    """`x` rounded to fractional bits `f`, with the gradient of both: `d y / d f = ln 2 · (x - y)` within range."""
    return _Learnt.apply(x, f, rounding, limits, estimator)


class Quantiser(nn.Module):
    """Rounds tensors to a grid that the subclass chooses; `forward` is the compiler's arithmetic, bit for bit.

    Gradients pass as the `estimator` says, and none where saturation clips. `train(False)`, which every export does,
    freezes the grid into the buffers `scale`, `lo`, `hi`: what an exported program holds.
    """

    estimator: Estimator = STRAIGHT

    @abstractmethod
    def grid(self) -> Grid:
        """Return the grid now, its tensors broadcast against the tensor without its batch axis."""

    @abstractmethod
    def bits(self) -> Tensor:
        """Bits of a code, differentiable where they are learnt, shaped like the granules; 0 where nothing is kept."""

    def code(self) -> Code:
        """Return what the codes are now."""
        grid = self.grid()
        return Code(self.bits(), grid.lo < 0, grid.rounding, grid.overflow)

    def estimating(self) -> Estimator | None:
        """Return the estimator in training; in evaluation every rounding is exact."""
        return self.estimator if self.training else None

    def observe(self, x: Tensor) -> None:
        """Look at a training batch before it is rounded."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (batch, …) on the grid."""
        if torch.compiler.is_exporting():
            return exported(x, self._kept_grid())
        if self.training:
            with torch.no_grad():
                self.observe(x)
        return self.rounded(x)

    def rounded(self, x: Tensor) -> Tensor:
        """`x` on the grid, with the gradient of the estimator; subclasses with parameters give those theirs."""
        with torch.no_grad():
            scale, lo, hi, rounding, overflow = self.grid()
            taken = take(x, scale.reciprocal(), scale, rounding, (lo, hi, overflow), self.estimating())
        return through(x, taken.y, taken.slope)

    def frozen(self) -> Frozen:
        """Return the compiler's quantiser that does the same."""
        with torch.no_grad():
            return self.grid().frozen()

    def train(self, mode: bool = True) -> Quantiser:
        """Switch to training, or freeze the grid for evaluation and export."""
        super().train(mode)
        if not mode:
            self._freeze()
        return self

    def _freeze(self) -> None:
        with torch.no_grad():
            grid = self.grid()
        _check_exact(type(self).__name__, grid)
        for name in ("scale", "lo", "hi"):
            self.register_buffer(name, getattr(grid, name).detach().clone(), persistent=False)
        self._modes = grid[3:]

    def _kept_grid(self) -> Grid:
        return Grid(self.scale, self.lo, self.hi, *self._modes)


def _check_exact(name: str, grid: Grid) -> None:
    """Refuse codes that the float type of training cannot hold."""
    most = float(torch.maximum(grid.lo.abs().max(), grid.hi.abs().max()))
    if most > 2.0 / torch.finfo(grid.hi.dtype).eps:
        raise ModelError(
            f"{name}: codes up to {most:.3g} are not exact in {grid.hi.dtype}",
            hint="fewer bits, or train in torch.float64",
        )


class WeightQuantiser(Quantiser):
    """A quantiser of parameters alone: its grid follows the tensor that it rounded last."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the weights `x` on the grid. Raises `ModelError` where a program would hold it as an operator."""
        if torch.compiler.is_exporting():
            raise ModelError(
                f"{type(self).__name__} rounds weights; here it is asked to round values that the design computes",
                hint="take a quantiser of activations there, such as LearnedRange or Fixed",
            )
        return self.rounded(x)
