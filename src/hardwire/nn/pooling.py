"""Averages. Their quotients have no fixed-point type; the layer behind rounds them, from float64 in evaluation.

Largest values (`torch.nn.MaxPool1d`, `MaxPool2d`) are exact as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

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
