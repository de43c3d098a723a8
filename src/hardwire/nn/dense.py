"""A dense layer with quantised inputs, weights and biases."""

from __future__ import annotations

from math import prod

from torch import Tensor
from torch.nn import functional

from hardwire.nn._sums import Sums
from hardwire.nn.norm import Norm
from hardwire.nn.scheme import LEARNED, Scheme


class Dense(Sums):
    """`y = q(x) @ q(W)ᵀ + q(b)`, (…, inputs) to (…, outputs); sums are exact in the compiled design.

    `norm`: a batch normalisation behind it, folded into weight and bias.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: bool = True,
        *,
        norm: bool | Norm = False,
        scheme: Scheme = LEARNED,
    ) -> None:
        super().__init__((outputs, inputs), (inputs,), bias=(outputs,) if bias else None, norm=norm, scheme=scheme)
        self.inputs, self.outputs = inputs, outputs

    def sums(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return (…, outputs) of (…, inputs)."""
        return functional.linear(x, weight, bias)

    def spread(self, part: Tensor) -> Tensor:
        """One value an input, or one for all: as it is."""
        return part

    def note_positions(self, x: Tensor, y: Tensor) -> None:
        """Axes between the batch and the features."""
        self.positions = self.places = prod(x.shape[1:-1])

    @property
    def values(self) -> int:
        """One an input."""
        return self.inputs

    def extra_repr(self) -> str:
        """Sizes."""
        return f"{self.inputs}, {self.outputs}, bias={self.bias is not None}"
