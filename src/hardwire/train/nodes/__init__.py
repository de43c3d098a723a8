"""How the nodes of a Network train: one file a family of node kinds, found by its presence.

A rule (`trains`) turns a node into a `torch.nn.Module` that computes the node's outputs from its inputs, bit for bit
where the node is exact, with gradients. Kinds without a rule cannot be trained.
"""

from __future__ import annotations

from functools import cache

from hardwire.presence import modules_in
from hardwire.train.nodes._base import RULES, Making, Rule


@cache
def _found() -> dict[str, Rule]:
    modules_in(__name__, __path__)
    return RULES


def rule_of(kind: str) -> Rule | None:
    """Return the rule of a node kind, or None."""
    return _found().get(kind)


def kinds() -> list[str]:
    """Node kinds that train."""
    return sorted(_found())


__all__ = ["Making", "kinds", "rule_of"]
