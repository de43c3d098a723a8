"""Self-attention over the elements of a set, their sum, and a network on that (Vaswani et al. 2017; no positions)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hardwire.nn import Dense, MultiheadAttention, Scheme, Sum
from hardwire.train.tables import RecipeError


class Block(nn.Module):
    """Attention and a small dense network, each added to what it reads; no normalisation, as widths are learnt.

    With `wide` 0 there is no dense network, but a ReLU.
    """

    def __init__(self, dim: int, heads: int, wide: int, scheme: Scheme) -> None:
        super().__init__()
        self.attention: nn.Module
        if scheme.input is None:
            self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        else:
            self.attention = MultiheadAttention(dim, heads, scheme=scheme)
        self.dense: nn.Module | None = None
        if wide:
            self.dense = nn.Sequential(Dense(dim, wide, scheme=scheme), nn.ReLU(), Dense(wide, dim, scheme=scheme))

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, elements, dim)."""
        y = x.to(torch.float32) if isinstance(self.attention, nn.MultiheadAttention) else x
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x.relu() if self.dense is None else x + self.dense(x)


class AttentionSets(nn.Module):
    """(batch, elements, features) to (batch, outputs), whatever the order of the elements."""

    def __init__(
        self,
        features: int,
        outputs: int,
        dim: int,
        heads: int,
        blocks: int,
        wide: int,
        whole: tuple[int, ...],
        scheme: Scheme,
    ) -> None:
        super().__init__()
        self.embedding = nn.Sequential(Dense(features, dim, scheme=scheme), nn.ReLU())
        self.blocks = nn.Sequential(*(Block(dim, heads, wide, scheme) for _ in range(blocks)))
        self.sum = Sum(1, (dim,), scheme=scheme)
        self.whole = nn.Sequential()
        for last, size in zip((dim, *whole), (*whole, outputs), strict=True):
            self.whole.append(Dense(last, size, scheme=scheme)).append(nn.ReLU())
        del self.whole[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, outputs)."""
        return self.whole(self.sum(self.blocks(self.embedding(x))))


def model(
    inputs: tuple[int, ...],
    outputs: int,
    scheme: Scheme,
    dim: int = 8,
    heads: int = 2,
    blocks: int = 1,
    wide: int = 16,
    whole: tuple[int, ...] = (16,),
) -> nn.Module:
    """`dim` is the width of an element, `wide` of the dense layer behind the attention, 0 for none.

    Raises `RecipeError` for rows that are no sets, (elements, features).
    """
    if len(inputs) != 2 or blocks < 1:
        raise RecipeError(
            f"[model] kind = 'attention': rows of shape {inputs}, {blocks} blocks",
            hint="a task of sets, such as particles, and at least one block",
        )
    return AttentionSets(inputs[1], outputs, dim, heads, blocks, wide, whole, scheme)
