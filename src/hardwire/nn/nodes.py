"""Nodes of the compiler's Network on tensors, computed by the very code that defines them, with an estimated slope.

For functions of one element that PyTorch has no exact match of: tables, staircases. In an exported program the operator
`hardwire::node` stands for each, which the compiler's frontend reads.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hardwire.layers import layer_of
from hardwire.network.graph import Node
from hardwire.network.storage import node_from_text, node_text

_node = lru_cache(maxsize=1024)(node_from_text)


def _values(x: Tensor, text: str) -> Tensor:
    node = _node(text)
    with np.errstate(all="ignore"):
        y = layer_of(node).reference(node, [x.detach().double().cpu().numpy()])
    return torch.tensor(y).to(x)


@torch.library.custom_op("hardwire::node", mutates_args=())
def _operator(x: Tensor, text: str, reach: float) -> Tensor:
    return _values(x, text)


@_operator.register_fake
def _(x: Tensor, text: str, reach: float) -> Tensor:
    return torch.empty_like(x)


def _inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, ctx.text, ctx.reach = inputs
    ctx.save_for_backward(x)


def _slope(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    """Central difference; none where the function is undefined."""
    (x,) = ctx.saved_tensors
    wide = x.double()
    up, down = (_values(wide + step, ctx.text) for step in (ctx.reach, -ctx.reach))
    slope = torch.nan_to_num((up - down) / (2 * ctx.reach), nan=0.0, posinf=0.0, neginf=0.0)
    return gradient * slope.to(gradient), None, None


_operator.register_autograd(_slope, setup_context=_inputs)


class ElementNode(torch.nn.Module):
    """A node of one input (batch, …) whose result keeps its shape, element by element.

    `reach`: the gradient is `(f(x + reach) - f(x - reach)) / (2 · reach)`; for a staircase about the width of a step.
    """

    def __init__(self, node: Node, reach: float) -> None:
        super().__init__()
        self.kind, self.text, self.reach = node.kind, node_text(node), float(reach)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the node."""
        y: Tensor = torch.ops.hardwire.node(x, self.text, self.reach)
        return y

    def extra_repr(self) -> str:
        """Kind and reach."""
        return f"{self.kind}, reach={self.reach:g}"
