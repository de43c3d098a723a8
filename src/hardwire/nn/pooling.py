"""Sums, whose terms are quantised first, and averages.

An average's quotient has no fixed-point type; the layer behind rounds it, from float64 in evaluation.
Largest values (`torch.nn.MaxPool1d`, `MaxPool2d`) are exact as they are.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hardwire.nn._layer import Layer, cast, quantised
from hardwire.nn.scheme import LEARNED, Scheme, Shape
from hardwire.nn.work import Products, Work

MaxPool1d = nn.MaxPool1d
MaxPool2d = nn.MaxPool2d


def _exactly(module: nn.Module, x: Tensor) -> Tensor:
    """A quotient that float64 rounds is never taken over a tie that the exact one is not on."""
    return x if module.training or torch.compiler.is_exporting() else x.double()


class AvgPool1d(nn.AvgPool1d):
    """Averages of windows of (batch, channels, length), as `torch.nn.AvgPool1d`."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the averages; float64 in evaluation."""
        y: Tensor = super().forward(_exactly(self, x))
        return y


class AvgPool2d(nn.AvgPool2d):
    """Averages of windows of (batch, channels, height, width), as `torch.nn.AvgPool2d`."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the averages; float64 in evaluation."""
        y: Tensor = super().forward(_exactly(self, x))
        return y


class Mean(nn.Module):
    """Average over axes (batch among them counted, so that they are 1 or more, or negative)."""

    def __init__(self, dims: tuple[int, ...] = (-1,), keep: bool = False) -> None:
        super().__init__()
        self.dims, self.keep = dims, keep

    def forward(self, x: Tensor) -> Tensor:
        """Return the averages; float64 in evaluation."""
        return _exactly(self, x).mean(self.dims, keepdim=self.keep)

    def extra_repr(self) -> str:
        """The axes."""
        return f"{self.dims}, keep={self.keep}"


class Sum(Layer):
    """Sum over one axis (the batch counted, so that it is 1 or more, or negative) of quantised terms.

    `shape`: that of the terms' types, without the batch; it broadcasts to theirs.
    """

    def __init__(self, dim: int, shape: Shape = (1,), *, scheme: Scheme = LEARNED) -> None:
        super().__init__()
        self.dim = dim
        self.input_quantiser = None if scheme.input is None else scheme.input(shape)
        self.terms, self.sums = 1, 1
        """Of each sum, and sums of an event, in the last forward pass."""

    def constants(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def forward(self, x: Tensor) -> Tensor:
        """Return the sums; float64 in evaluation."""
        x = quantised(self.input_quantiser, x)
        if not torch.compiler.is_exporting():
            self.terms, self.sums = x.shape[self.dim], x[0].numel() // x.shape[self.dim]
        return _exactly(self, x).sum(self.dim)

    def work(self) -> Iterator[Work]:
        """Yield the adders, of terms of average bits, and the rounding of the terms."""
        name, ones = type(self).__name__, torch.ones(1, self.terms)
        given = self.input_quantiser
        code = None if given is None else given.code()
        mean = torch.full((1, 1), 16.0) if code is None else code.bits.mean().reshape(1, 1)
        yield Products(name, ones, ones, torch.zeros_like(ones), mean, self.sums)
        if code is not None:
            count = code.bits.numel()
            yield from cast(name, given, count, max(1, self.terms * self.sums // count), code)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"
