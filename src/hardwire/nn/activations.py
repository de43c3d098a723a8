"""Activations. Exact ones cost no table; all others are tables of a quantised input, rounded to an output type."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from hardwire.errors import ModelError
from hardwire.nn import _curves, exact
from hardwire.nn._layer import Layer, bits_of, cast, quantised
from hardwire.nn.scheme import LEARNED, Scheme, Shape
from hardwire.nn.work import Lookups, Work

ReLU = nn.ReLU
"""Exact as it is; free before a type that saturates."""

HardTanh = nn.Hardtanh
"""Exact as it is for bounds of few bits, such as its own -1 and 1."""


class LeakyReLU(nn.Module):
    """`x`, or `slope · x` below zero; exact, as the slope is a power of two. Raises `ModelError` for another."""

    def __init__(self, slope: float = 2.0**-7) -> None:
        super().__init__()
        if slope <= 0 or math.frexp(slope)[0] != 0.5:
            raise ModelError(
                f"LeakyReLU: a slope of {slope} is no power of two, and its products would have no exact type",
                hint=f"slope={near_power(slope) if slope > 0 else 2.0**-7}",
            )
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """Return the shape of `x`."""
        return functional.leaky_relu(x, self.slope)

    def extra_repr(self) -> str:
        """The slope."""
        return f"{self.slope}"


def near_power(value: float) -> float:
    """Power of two next to a positive number."""
    return float(2.0 ** round(math.log2(value)))


class Activation(Layer):
    """A function of one number by its name in `hardwire.layers.activation`: `q(f(q(x)))`, a table in hardware.

    `shape`: that of the tensor's types, without the batch (the tensor's own for a type an element; the default is one
    type for all). `output=False` leaves the rounding of the table's values to the layer behind, which must quantise
    them; `arguments` are the function's. Raises `ModelError` for a function that is not known.
    """

    def __init__(
        self,
        function: str,
        shape: Shape = (1,),
        *,
        output: bool = True,
        scheme: Scheme = LEARNED,
        **arguments: float,
    ) -> None:
        super().__init__()
        _curves.check(type(self).__name__, function)
        if scheme.input is None:
            raise ModelError(f"{type(self).__name__}: a table needs quantised inputs, and the scheme has input=None")
        self.function, self.arguments = function, arguments
        self.input_quantiser = scheme.input(shape)
        self.output_quantiser = scheme.input(shape) if output else None
        self.values = 1
        """Values of an event, in the last forward pass."""

    def constants(self) -> dict[str, Tensor]:
        """None: the table follows from the types."""
        return {}

    def forward(self, x: Tensor) -> Tensor:
        """Return the shape of `x` (batch, …)."""
        x = quantised(self.input_quantiser, x)
        if torch.compiler.is_exporting():
            return quantised(self.output_quantiser, _curves.exported(self.function, x, self.arguments))
        self.values = x[0].numel()
        y = quantised(self.output_quantiser, _curves.curve(self.function, x, self.arguments))
        if self.output_quantiser is None:
            return y
        return y.to(x.dtype) if self.training else exact.narrowed(y, self.output_quantiser)

    def work(self) -> Iterator[Work]:
        """Yield a table a value."""
        name = type(self).__name__
        like = torch.ones(1)
        address, output = torch.broadcast_tensors(
            bits_of(self.input_quantiser, like), bits_of(self.output_quantiser, like)
        )
        times = max(1, self.values // address.numel())
        yield Lookups(name, address.reshape(-1, 1), output.reshape(-1, 1), times)
        yield from cast(name, self.input_quantiser, address.numel(), times)

    def extra_repr(self) -> str:
        """The function."""
        return ", ".join([self.function, *(f"{key}={value}" for key, value in self.arguments.items())])


class Tanh(Activation):
    """Hyperbolic tangent."""

    def __init__(self, shape: Shape = (1,), *, output: bool = True, scheme: Scheme = LEARNED) -> None:
        super().__init__("tanh", shape, output=output, scheme=scheme)


class Sigmoid(Activation):
    """`1 / (1 + exp(-x))`."""

    def __init__(self, shape: Shape = (1,), *, output: bool = True, scheme: Scheme = LEARNED) -> None:
        super().__init__("sigmoid", shape, output=output, scheme=scheme)


class GELU(Activation):
    """`x · Φ(x)`, by the error function or, with `approximate="tanh"`, as PyTorch has it."""

    def __init__(
        self,
        shape: Shape = (1,),
        approximate: str = "none",
        *,
        output: bool = True,
        scheme: Scheme = LEARNED,
    ) -> None:
        super().__init__("gelu" if approximate == "none" else "gelu_tanh", shape, output=output, scheme=scheme)


class SiLU(Activation):
    """`x · sigmoid(x)`."""

    def __init__(self, shape: Shape = (1,), *, output: bool = True, scheme: Scheme = LEARNED) -> None:
        super().__init__("silu", shape, output=output, scheme=scheme)


class HardSigmoid(Activation):
    """`relu6(x + 3) / 6`, a table as a sixth has no exact type."""

    def __init__(self, shape: Shape = (1,), *, output: bool = True, scheme: Scheme = LEARNED) -> None:
        super().__init__("hard_sigmoid", shape, output=output, scheme=scheme, slope=1.0 / 6.0, offset=0.5)
