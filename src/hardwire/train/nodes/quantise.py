"""Quantisers as nodes of their own: those whose result something else than a layer's own input reads."""

from __future__ import annotations

import numpy as np
from torch import nn

from hardwire.network.graph import Node
from hardwire.nn.nodes import ElementNode
from hardwire.nn.quantisers.stated import gridded
from hardwire.train.nodes._base import Making, trains


@trains("quantise")
def _quantise(node: Node, making: Making) -> nn.Module:
    """Return the quantiser itself, shared with the layers that read its result; other grids as they are in the file."""
    rule = node.attrs["quantiser"]
    if gridded(rule):
        return making.quantiser_of(node)
    # As wide as the largest step, so that the slope is about 1 within the range.
    step = float(np.max(rule.scale * np.maximum(rule.hi - rule.zero, 1))) / 2.0 ** (rule.mantissa or 0)
    return ElementNode(node, step if rule.mantissa is not None else float(np.max(rule.scale)))
