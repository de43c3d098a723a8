"""A dense layer with quantised inputs, weights and biases."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from hardwire.nn._layer import Layer, cast, quantised
from hardwire.nn.quantisers._base import Quantiser
from hardwire.nn.scheme import LEARNED, Scheme
from hardwire.nn.work import Products, Work


def fractional_bits(quantiser: Quantiser | None, like: Tensor) -> Tensor:
    """Fractional bits of what a quantiser gives, with gradients where they are learnt."""
    if quantiser is None:
        return torch.zeros_like(like)
    fraction = getattr(quantiser, "fraction", None)
    return fraction() if fraction is not None else -torch.log2(quantiser.grid().scale)


def bits_of(quantiser: Quantiser | None, like: Tensor) -> Tensor:
    """Bits of what a quantiser gives; 16 for a tensor that has none."""
    return torch.full_like(like, 16.0) if quantiser is None else quantiser.bits()


class Dense(Layer):
    """`y = q(x) @ q(W)ᵀ + q(b)`, (…, inputs) to (…, outputs); sums are exact in the compiled design.

    `positions` is how many rows an event has (1 for (batch, inputs)), for the cost.
    """

    def __init__(
        self, inputs: int, outputs: int, bias: bool = True, *, scheme: Scheme = LEARNED, positions: int = 1
    ) -> None:
        super().__init__()
        self.inputs, self.outputs, self.positions = inputs, outputs, positions
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        self.input_quantiser = scheme.input((inputs,)) if scheme.input else None
        self.weight_quantiser = scheme.weight((outputs, inputs)) if scheme.weight else None
        self.bias_quantiser = scheme.bias((outputs,)) if scheme.bias and bias else None

    def constants(self) -> dict[str, Tensor]:
        """`weight` (outputs, inputs) and `bias` (outputs,)."""
        found = {"weight": quantised(self.weight_quantiser, self.weight)}
        if self.bias is not None:
            found["bias"] = quantised(self.bias_quantiser, self.bias)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, outputs) for `x` (…, inputs)."""
        now = self.parameters_now()
        return functional.linear(quantised(self.input_quantiser, x), now["weight"], now.get("bias"))

    def work(self) -> Iterator[Work]:
        """Yield the products with their sums, and the rounding of the inputs."""
        name = type(self).__name__
        weight = quantised(self.weight_quantiser, self.weight)
        yield Products(
            name,
            weight,
            bits_of(self.weight_quantiser, weight),
            fractional_bits(self.weight_quantiser, weight),
            bits_of(self.input_quantiser, weight[0]),
            self.positions,
        )
        yield from cast(name, self.input_quantiser, self.inputs, self.positions)

    def extra_repr(self) -> str:
        """Sizes."""
        return f"{self.inputs}, {self.outputs}, bias={self.bias is not None}"
