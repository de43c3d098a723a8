"""Unstructured pruning: each weight by itself, the smallest first (Han et al. 2015, arXiv:1506.02626)."""

from __future__ import annotations

from hardwire.train.pruning._base import Pruning


class Magnitude(Pruning):
    """Every weight alone: what an unrolled design gains most from, where each weight has its own adders."""
