"""What dense layers, convolutions and einsums share: sums of products of quantised inputs and constant weights."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from hardwire.nn import exact
from hardwire.nn._layer import Layer, bits_of, cast, fractional_bits, quantised
from hardwire.nn.norm import Norm
from hardwire.nn.scheme import Scheme, Shape
from hardwire.nn.work import Products, Work


class Sums(Layer):
    """`y = q(x) · q(W) + q(b)`, exact in the compiled design, and here in evaluation: see `hardwire.nn.exact`.

    A scheme with `output` brings the sums to its type, as an accumulator of that type would.
    The first axis of the weight is the output's features. With a `Norm` weight and bias are those that it is folded
    into, and there is no bias of its own. A subclass says how the sums are made.
    """

    channels: ClassVar[int] = -1
    """Axis of the output's features."""

    def __init__(
        self,
        shape: Shape,
        inputs: Shape,
        *,
        bias: Shape | None,
        norm: bool | Norm,
        scheme: Scheme,
        fan_in: int | None = None,
        outputs: Shape | None = None,
    ) -> None:
        """`shape` of the weight, of what the quantisers of input and output see (without batch), and of the bias."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape))
        bound = 1.0 / math.sqrt(fan_in or self.weight[0].numel())
        nn.init.uniform_(self.weight, -bound, bound)
        self.norm = norm if isinstance(norm, Norm) else Norm(shape[0]) if norm else None
        self.bias = nn.Parameter(torch.zeros(bias)) if bias and self.norm is None else None
        self.input_quantiser = scheme.input(inputs) if scheme.input else None
        self.weight_quantiser = scheme.weight(shape) if scheme.weight else None
        biased = shape[:1] if self.norm is not None else bias
        self.bias_quantiser = scheme.bias(biased) if scheme.bias and biased else None
        # A granule an output feature, beside axes like those that the input's quantiser sees.
        given = outputs or (shape[0], *inputs[1:])
        self.output_quantiser = scheme.output(given) if scheme.output else None
        self._outputs = math.prod(given)
        self.positions = self.places = 1
        """Positions of the outputs and of the inputs, in the last forward pass."""

    @abstractmethod
    def sums(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the sums of products of quantised `x` (batch, …) with a weight and a bias."""

    @abstractmethod
    def spread(self, part: Tensor) -> Tensor:
        """Return what each granule of the input's quantiser says, broadcast against the weight's rows."""

    @abstractmethod
    def note_positions(self, x: Tensor, y: Tensor) -> None:
        """Note `positions` and `places` of a forward pass from `x` to `y`."""

    @property
    @abstractmethod
    def values(self) -> int:
        """Values of the input at a place."""

    def rows(self, part: Tensor) -> Tensor:
        """A tensor that broadcasts to the weight as (outputs, fan-in)."""
        return part.expand(self.weight.shape).reshape(len(self.weight), -1)

    def constants(self) -> dict[str, Tensor]:
        """`weight` and `bias`, a batch normalisation folded in."""
        bias = self.bias if self.norm is None else self.norm.shift()
        found = {"weight": quantised(self.weight_quantiser, self._folded())}
        if bias is not None:
            found["bias"] = quantised(self.bias_quantiser, bias)
        return found

    def _folded(self) -> Tensor:
        if self.norm is None:
            return self.weight
        return self.weight * self.norm.factor().reshape(-1, *(1,) * (self.weight.ndim - 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the sums of the quantised input."""
        x = quantised(self.input_quantiser, x)
        if torch.compiler.is_exporting():
            now = self.parameters_now()
            return quantised(self.output_quantiser, self.sums(x, now["weight"], now.get("bias")))
        y = self._normalised(x) if self.norm is not None and self.norm.live() else self._plain(x)
        self.note_positions(x, y)
        return quantised(self.output_quantiser, y)

    def _plain(self, x: Tensor) -> Tensor:
        now = self.constants()
        weight, bias = now["weight"], now.get("bias")
        kind = weight.dtype if self.training else self._exact_type(weight, bias)
        if x.dtype is not kind or weight.dtype is not kind:
            x, weight, bias = x.to(kind), weight.to(kind), None if bias is None else bias.to(kind)
        y = self.sums(x, weight, bias)
        # What the model itself computes between its layers is exact to 53 bits.
        return y if self.training else y.double()

    def _exact_type(self, weight: Tensor, bias: Tensor | None) -> torch.dtype:
        own, given, added = self.weight_quantiser, self.input_quantiser, self.bias_quantiser
        if own is None or given is None or (bias is not None and added is None):
            return torch.float64
        grid = given.grid()
        offset = None
        if bias is not None and added is not None:
            offset = self.row_offsets(bias.double().abs(), added.grid().scale.double())
        needed = exact.bits(
            self.rows(weight),
            self.rows(own.grid().scale),
            self.spread(exact.most(grid)),
            self.spread(grid.scale),
            offset,
        )
        kind = exact.chosen(type(self).__name__, needed)
        # Other devices may take shortcuts with float32 (TF32, Winograd's convolutions).
        return kind if weight.is_cpu else torch.float64

    def row_offsets(self, bias: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
        """Largest magnitude of the bias of each row, and its unit."""
        return bias, torch.where(bias > 0, unit, torch.inf)

    def _normalised(self, x: Tensor) -> Tensor:
        """Sums over weights folded with the running statistics, brought to those of the batch."""
        assert self.norm is not None
        x = x.to(self.weight.dtype)
        batch = self.norm.observe(self.sums(x, self.weight, None), self.channels)
        y = self.sums(x, quantised(self.weight_quantiser, self._folded()), None)
        shape = [1] * y.ndim
        shape[self.channels] = -1
        shift = quantised(self.bias_quantiser, batch.shift)
        return torch.addcmul(shift.reshape(shape), y, batch.correction.reshape(shape))

    def work(self) -> Iterator[Work]:
        """Yield the products with their sums, and the rounding of the inputs."""
        name = type(self).__name__
        with torch.no_grad():
            weight = quantised(self.weight_quantiser, self._folded())
            fraction = fractional_bits(self.weight_quantiser, weight)
        given = self.input_quantiser
        code = None if given is None else given.code()
        yield Products(
            name,
            self.rows(weight),
            self.rows(bits_of(self.weight_quantiser, weight)),
            self.rows(fraction),
            weight.new_full((1, 1), 16.0) if code is None else self.spread(code.bits),
            self.positions,
        )
        yield from cast(name, given, self.values, self.places, code)
        yield from cast(name, self.output_quantiser, self._outputs, self.positions)
