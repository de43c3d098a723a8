"""Constant-matrix multiplication by shared shifts and additions: `solve(matrix)` gives an exact adder graph."""

from __future__ import annotations

from hardwire.solver.cmvm import solve, solve_cached
from hardwire.solver.cost import AdderCost, AdderCount, AdderShapes, FullAdderCost
from hardwire.solver.csd import csd_digits, csd_masks, csd_weight
from hardwire.solver.graph import AdderGraph

__all__ = [
    "AdderCost",
    "AdderCount",
    "AdderGraph",
    "AdderShapes",
    "FullAdderCost",
    "csd_digits",
    "csd_masks",
    "csd_weight",
    "solve",
    "solve_cached",
]
