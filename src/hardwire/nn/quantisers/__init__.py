"""Quantisers of tensors in training. One file a way to choose the grid; each is a `Quantiser`."""

from __future__ import annotations

from hardwire.nn.quantisers._base import Quantiser, granules
from hardwire.nn.quantisers.fixed import Fixed
from hardwire.nn.quantisers.learned import LearnedRange, LearnedWeight

__all__ = ["Fixed", "LearnedRange", "LearnedWeight", "Quantiser", "granules"]
