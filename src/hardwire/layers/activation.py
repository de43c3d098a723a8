"""Unary activations as exact tables: sigmoid, tanh, GELU and every other function of one number.

The meaning is `output(f(x))` with f in float64: a table over every code that the input can take, so nothing is
approximated beyond the output's own quantiser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import erf, erfc

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Floats
from hardwire.layers._base import Example, Layer
from hardwire.layers._elements import quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.quantiser import Quantiser

MAX_ENTRIES = 1 << 16
"""Most entries of one table."""

Function = Callable[..., Floats]

_erf: Function = np.vectorize(erf, otypes=[np.float64])
_erfc: Function = np.vectorize(erfc, otypes=[np.float64])


def _sigmoid(x: Floats) -> Floats:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def _softplus(x: Floats, beta: float = 1.0) -> Floats:
    return np.logaddexp(0.0, beta * x) / beta


def _elu(x: Floats, alpha: float = 1.0) -> Floats:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def _selu(x: Floats) -> Floats:
    return 1.0507009873554805 * _elu(x, 1.6732632423543772)


def _gelu_tanh(x: Floats) -> Floats:
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def _hard_sigmoid(x: Floats, slope: float = 0.2, offset: float = 0.5) -> Floats:
    return np.clip(slope * x + offset, 0.0, 1.0)


FUNCTIONS: dict[str, Function] = {
    "sigmoid": _sigmoid,
    "log_sigmoid": lambda x: -np.logaddexp(0.0, -x),
    "hard_sigmoid": _hard_sigmoid,
    "tanh": np.tanh,
    "tanh_shrink": lambda x: x - np.tanh(x),
    "elu": _elu,
    "selu": _selu,
    "celu": lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0) / alpha)),
    "gelu": lambda x: 0.5 * x * _erfc(-x / np.sqrt(2.0)),
    "gelu_tanh": _gelu_tanh,
    "silu": lambda x, beta=1.0: x * _sigmoid(beta * x),
    "hard_swish": lambda x: x * _hard_sigmoid(x, 1.0 / 6.0, 0.5),
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "softplus": _softplus,
    "softsign": lambda x: x / (1.0 + np.abs(x)),
    "soft_shrink": lambda x, lambd=0.5: np.sign(x) * np.maximum(np.abs(x) - lambd, 0.0),
    "hard_shrink": lambda x, lambd=0.5: np.where(np.abs(x) > lambd, x, 0.0),
    "threshold": lambda x, theta=1.0, value=0.0: np.where(x > theta, x, value),
    "squareplus": lambda x, b=4.0: 0.5 * (x + np.sqrt(x * x + b)),
    "sparse_plus": lambda x: np.where(x <= -1, 0.0, np.where(x < 1, 0.25 * (x + 1.0) ** 2, x)),
    "sparse_sigmoid": lambda x: np.clip(0.5 * (x + 1.0), 0.0, 1.0),
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
    "reciprocal": lambda x: 1.0 / x,
    "power": lambda x, exponent=2.0: np.power(x, exponent),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": _erf,
    "abs": np.abs,
    "neg": np.negative,
    "sign": np.sign,
    "square": np.square,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "trunc": np.trunc,
}
"""Function by name: float64 array (any shape) and keyword arguments (the node's `arguments`) to float64 array."""


class Activation(Layer):
    """Attrs `function` (a key of `FUNCTIONS`), `arguments` (dict of floats), `output` (`Quantiser` or None)."""

    kind = "activation"
    exact = False

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape; raises `ModelError` for a function that is not known."""
        name = node.attrs["function"]
        if name not in FUNCTIONS:
            raise ModelError(f"layer {node.name!r}: no function {name!r} (known: {', '.join(sorted(FUNCTIONS))})")
        return inputs[0]

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return `output(f(x))`, or `f(x)` without an output quantiser."""
        y = evaluate(node, inputs[0])
        quantiser: Quantiser | None = node.attrs.get("output")
        return y if quantiser is None else quantiser(y)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One TABLE an element."""
        raise NotImplementedError


def evaluate(node: Node, x: Floats) -> Floats:
    """Return `f(x)` in float64; where f is not finite the value says so (inf, nan), without a warning."""
    with np.errstate(all="ignore"):
        y = FUNCTIONS[node.attrs["function"]](np.asarray(x, np.float64), **node.attrs.get("arguments", {}))
    return np.asarray(y, np.float64)
