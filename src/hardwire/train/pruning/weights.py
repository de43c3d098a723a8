"""Unstructured pruning: each weight by itself."""

from __future__ import annotations

from collections.abc import Sequence

from hardwire.train.pruning._base import Masks, Pruning, Scope
from hardwire.train.pruning.schedules import Schedule


class Weights(Pruning):
    """Every weight alone: what an unrolled design gains most from, where each weight has its own adders."""


class Magnitude(Weights):
    """The smallest weights first (Han et al. 2015, arXiv:1506.02626)."""

    def __init__(
        self,
        sparsity: float = 0.9,
        schedule: Schedule | None = None,
        scope: Scope = "global",
        *,
        layers: Sequence[str] | None = None,
        masks: Masks | None = None,
    ) -> None:
        super().__init__(sparsity, schedule, scope, criterion="magnitude", layers=layers, masks=masks)
