"""A dense layer over any axes, by an equation, as Keras' `EinsumDense`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hardwire.errors import ModelError
from hardwire.layers.einsum import parse
from hardwire.nn._sums import Sums
from hardwire.nn.scheme import LEARNED, Scheme, Shape


class EinsumDense(Sums):
    """`einsum(equation, q(x), q(W)) + q(b)` of `x` (batch, *input_shape), to (batch, *output_shape).

    `equation`, such as `bti,ij->btj`, has the batch first; the kernel's axes are the weight's. `bias_axes`: labels of
    the output along which the bias differs, the batch not among them; none is no bias. Positions (axes that the kernel
    has not) share the types of the input. Raises `ModelError` for an equation that does not fit the shapes.
    """

    def __init__(
        self,
        equation: str,
        input_shape: Shape,
        output_shape: Shape,
        bias_axes: str = "",
        *,
        scheme: Scheme = LEARNED,
    ) -> None:
        sides = equation.replace(" ", "").partition("->")
        given, _, kernel = sides[0].partition(",")
        sizes = dict(zip(given[1:], input_shape, strict=False)) | dict(zip(sides[2][1:], output_shape, strict=False))
        missing = [label for label in kernel if label not in sizes]
        if missing or "." in equation or len(sides[2]) != len(output_shape) + 1:
            raise ModelError(
                f"EinsumDense: equation {equation!r} does not fit an input {input_shape} and an output {output_shape} "
                "(without the batch)",
                hint="a letter for every axis, the batch's first in input and output: bti,ij->btj",
            )
        parsed = parse("EinsumDense", equation, input_shape, tuple(sizes[label] for label in kernel))
        if parsed.shape(parsed.outputs) != tuple(output_shape) or not set(bias_axes) <= set(parsed.outputs):
            raise ModelError(
                f"EinsumDense: equation {equation!r} gives {parsed.shape(parsed.outputs)}, with a bias along "
                f"{bias_axes!r}; expected {tuple(output_shape)}, the bias along axes of it"
            )
        summed = [label for label in parsed.kernel if label not in parsed.outputs]
        rows = [label for label in parsed.kernel if label in parsed.outputs]
        types = tuple(parsed.sizes[label] if label in parsed.kernel else 1 for label in parsed.inputs)
        bias = tuple(parsed.sizes[label] if label in bias_axes else 1 for label in parsed.outputs)
        super().__init__(
            parsed.shape(parsed.kernel),
            types,
            bias=bias if bias_axes else None,
            norm=False,
            scheme=scheme,
            fan_in=math.prod(parsed.sizes[label] for label in summed),
            outputs=tuple(parsed.sizes[label] if label in parsed.kernel else 1 for label in parsed.outputs),
        )
        self.equation, self.parsed, self._rows, self._summed = equation.replace(" ", ""), parsed, rows, summed
        apart = [label for label in parsed.inputs if label not in parsed.kernel]
        self.positions = self.places = math.prod(parsed.sizes[label] for label in apart)

    def sums(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return (batch, *output_shape) of (batch, *input_shape)."""
        y = torch.einsum(self.equation, x, weight)
        return y if bias is None else y + bias

    def rows(self, part: Tensor) -> Tensor:
        """Outputs of a position by what they sum over."""
        order = [self.parsed.kernel.index(label) for label in (*self._rows, *self._summed)]
        wide = part.expand(self.weight.shape).permute(order)
        return wide.reshape(math.prod(self.parsed.sizes[label] for label in self._rows), -1)

    def spread(self, part: Tensor) -> Tensor:
        """Types of the input at the rows of the weight."""
        if part.numel() == 1:
            return part.reshape(1, 1)
        labels = self.parsed.inputs
        order = [labels.index(label) for label in (*self._rows, *self._summed) if label in labels]
        others = [k for k in range(len(labels)) if k not in order]
        kept = part.permute(*order, *others).reshape([part.shape[k] for k in order])
        places = iter(kept.shape)
        opened = kept.reshape([next(places) if label in labels else 1 for label in (*self._rows, *self._summed)])
        full = opened.expand([self.parsed.sizes[label] for label in (*self._rows, *self._summed)])
        return full.reshape(math.prod(self.parsed.sizes[label] for label in self._rows), -1)

    def row_offsets(self, bias: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
        """The largest and the finest of all, for every row."""
        return bias.max(), torch.where(bias > 0, unit, torch.inf).min()

    def note_positions(self, x: Tensor, y: Tensor) -> None:
        """The shapes are known."""

    @property
    def values(self) -> int:
        """Input values that the kernel's axes tell apart."""
        return math.prod(self.parsed.sizes[label] for label in self.parsed.inputs if label in self.parsed.kernel)

    def extra_repr(self) -> str:
        """Equation and shapes."""
        return f"{self.equation!r}, {self.parsed.shape(self.parsed.inputs)}, bias={isinstance(self.bias, nn.Parameter)}"
