"""A table of quantised vectors, addressed by an integer input."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from hardwire.nn._layer import Layer, bits_of, quantised
from hardwire.nn.scheme import LEARNED, Scheme
from hardwire.nn.work import Lookups, Work


class Embedding(Layer):
    """Row `x` of `q(W)` (rows, features), of integers (…,) to (…, features).

    The design's input is a float or integer array; its type is to be stated (`input_type="u4.0"`).
    """

    def __init__(self, rows: int, features: int, *, scheme: Scheme = LEARNED) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(rows, features))
        self.weight_quantiser = scheme.weight((rows, features)) if scheme.weight else None
        self.positions = 1

    def constants(self) -> dict[str, Tensor]:
        """`weight` (rows, features)."""
        return {"weight": quantised(self.weight_quantiser, self.weight)}

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, features) of integers `x` (batch, …)."""
        if not torch.compiler.is_exporting():
            self.positions = x[0].numel()
        return functional.embedding(x.long(), self.parameters_now()["weight"])

    def work(self) -> Iterator[Work]:
        """Yield a table a feature and position."""
        weight = quantised(self.weight_quantiser, self.weight)
        bits = bits_of(self.weight_quantiser, weight).expand(weight.shape).amax(0)[:, None]
        address = torch.full_like(bits.detach(), float(max(1, (len(weight) - 1).bit_length())))
        yield Lookups(type(self).__name__, address, bits + 1.0, self.positions)

    def extra_repr(self) -> str:
        """Sizes."""
        return f"{self.weight.shape[0]}, {self.weight.shape[1]}"
