"""hls4ml's activations, to the bit: tables whose index is cut from the input as C++ does it, and plain functions."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import cache

import numpy as np

from hardwire.errors import UnsupportedError
from hardwire.fixed import Floats, Rounding
from hardwire.layers._base import imports
from hardwire.layers._hls4ml import Layer, Term
from hardwire.layers._hls4ml_types import Fixed
from hardwire.layers.hls4ml_dense import by_channel
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

_TABLE = Fixed(True, 18, 8)
"""hls4ml's default `table_t`."""
_BIT = Fixed(False, 1, 1)
_SIGN = Fixed(True, 2, 2, Rounding.TRN_ZERO)
_INT = Fixed(True, 32, 32)


_EXP_STEPS = 32
_EXP_POLYNOMIAL = ("0x1.c6af84b912394p-5", "0x1.ebfce50fac4f3p-3", "0x1.62e42ff0c52d6p-1")
"""Coefficients of `2^x` near 0 (Arm Optimized Routines, `exp2f`), which glibc's `expf` uses."""


@cache
def _powers() -> Floats:
    """`2^(i / 32)`, correctly rounded."""
    with localcontext() as context:
        context.prec = 40
        return np.array([float(Decimal(2) ** (Decimal(i) / _EXP_STEPS)) for i in range(_EXP_STEPS)])


def exp32(x: Floats) -> Floats:
    """`std::exp(float)` as glibc computes it: in double, by 32 stored powers of two and a cubic, then rounded.

    That is the correctly rounded float32 but for one value in a thousand.
    """
    c0, c1, c2 = (float.fromhex(c) / _EXP_STEPS**power for c, power in zip(_EXP_POLYNOMIAL, (3, 2, 1), strict=True))
    z = np.clip(x.astype(np.float32).astype(np.float64), -150.0, 150.0) * (1.4426950408889634 * _EXP_STEPS)
    k = np.rint(z)
    r = z - k
    whole, step = np.divmod(k.astype(np.int64), _EXP_STEPS)
    y = ((c0 * r + c1) * (r * r) + (c2 * r + 1.0)) * np.ldexp(_powers()[step], whole)
    with np.errstate(over="ignore"):
        return np.asarray(y.astype(np.float32), np.float64)


def float32(x: Floats | float) -> Floats:
    """Round to float32, as a variable or a return value of type `float` does."""
    with np.errstate(over="ignore"):
        return np.asarray(x, np.float64).astype(np.float32).astype(np.float64)


def _sigmoid(x: Floats) -> Floats:
    return float32(1.0 / float32(1.0 + exp32(-x)))


def _selu(x: Floats) -> Floats:
    return float32(1.0507009873554804934 * (1.6732632423543772848 * (exp32(x) - 1.0)))


CURVES: dict[str, tuple[Callable[[Floats], Floats], int]] = {
    "sigmoid": (_sigmoid, 8),
    "tanh": (lambda x: float32(np.tanh(x)), 4),
    "softplus": (lambda x: float32(np.log(exp32(x) + 1.0)), 8),
    "softsign": (lambda x: float32(x / (np.abs(x) + 1.0)), 8),
}
"""Function of float32 values by name, and the bound of the range that its table covers."""


def curve_table(name: str, size: int, kind: Fixed) -> Floats:
    """Entries of a function's table, as `init_…_table` fills it."""
    function, bound = CURVES[name]
    index = np.arange(size, dtype=np.float64)
    half = float32(size) / 2.0
    x = float32(2.0 * bound * (index - half) / float32(size))
    return kind(function(x))


def by_table(layer: Layer, x: Term, name: str, size: int, kind: Fixed) -> Term:
    """Look a function up: `index = int(x · size / range) + size / 2`, kept in the table."""
    _, bound = CURVES[name]
    middle = bound * size // (2 * bound)
    index = layer.bounded_index(x, size, 2 * bound, -middle, size - 1 - middle)
    return layer.lookup(index, curve_table(name, size, kind), kind, -middle)


def table_of(layer: Layer) -> tuple[int, Fixed]:
    """Take a config's table size and type."""
    size = layer.integer("table_size", 1024)
    if not 2 <= size <= 1 << 20:
        raise layer.record.unsupported("table_size", size, "a table has 2 to 2^20 entries")
    return size, layer.type("table_t", _TABLE)


@imports("hls4ml", "sigmoid", "tanh", "softplus", "softsign")
def _curve(record: Record, net: NetworkBuilder) -> str:
    """`function(data, res)` by a table."""
    layer = Layer(record, net)
    record.ignore("n_in")
    size, kind = table_of(layer)
    return layer.assign(by_table(layer, layer.x, record.kind, size, kind))


@imports("hls4ml", "linear", "relu")
def _linear(record: Record, net: NetworkBuilder) -> str:
    """The value itself, or no less than 0, cast to the result's type."""
    layer = Layer(record, net)
    record.ignore("n_in", "table_size", "table_t")
    if record.kind == "linear":
        return layer.assign(layer.x)
    return layer.assign(Term(layer.node("relu", "", [layer.x.tensor]), layer.x.type))


@imports("hls4ml", "relu_max", "relu6", "relu1")
def _relu_max(record: Record, net: NetworkBuilder) -> str:
    """`relu_max<data_T, res_T, MAX, config>`: between 0 and an integer."""
    layer = Layer(record, net)
    record.ignore("n_in", "table_size", "table_t")
    if record.kind == "relu_max":
        numbers = record.versions["numbers"]
        if len(numbers) != 1:
            raise UnsupportedError(f"layer {layer.name!r} (relu_max): its maximum is not to be seen")
        top = float(numbers[0])
    else:
        top = float(record.kind.removeprefix("relu"))
    bound = Term(layer.clip(layer.x, 0.0, top).tensor, layer.x.type.either(_INT))
    return layer.assign(bound)


def parameter(layer: Layer) -> tuple[float, Fixed]:
    """Take the constant that a call passes by value, cast to the template's `param_T` (1 without one)."""
    kinds = [kind for kind in layer.record.versions["template"] if isinstance(kind, Fixed)]
    layer.record.ignore("param_t")
    value = layer.record.take("argument0", None)
    if value is None:
        return 1.0, _BIT
    named = 3 if not layer.stream else 1
    if len(kinds) >= named:
        kind = kinds[1] if named == 3 else kinds[0]
    else:  # before hls4ml 1.0 it had the input's type, an ELU's the result's
        kind = layer.result if layer.record.kind == "elu" else layer.x.type
    return float(kind(value)), kind


@imports("hls4ml", "leaky_relu", "thresholded_relu")
def _leaky(record: Record, net: NetworkBuilder) -> str:
    """Above 0 (above theta) the value itself, else `alpha` times it (0)."""
    layer = Layer(record, net)
    record.ignore("n_in", "table_size", "table_t")
    alpha, kind = parameter(layer)
    x = layer.x
    if record.kind == "leaky_relu":
        return layer.assign(layer.where(layer.compared(x, "greater", 0.0), x, layer.scaled(x, alpha, kind)))
    return layer.assign(layer.where(layer.compared(x, "greater", alpha), x, layer.scaled(x, 0.0, _BIT)))


@imports("hls4ml", "prelu")
def _prelu(record: Record, net: NetworkBuilder) -> str:
    """`prelu(data, alpha, res)`: a slope for each element below 0."""
    layer = Layer(record, net)
    record.ignore("n_in", "table_size", "table_t", "param_t")
    x, alpha, kind = layer.x, layer.array(0), layer.weight_type(0)
    return layer.assign(layer.where(layer.compared(x, "greater", 0.0), x, layer.scaled(x, alpha, kind)))


def negative_index(layer: Layer, x: Term, size: int) -> str:
    """`int(x · size / -8)`, at most the last entry; of a value from 0 on it is 0."""
    low = layer.clip(x, None, 0.0)
    turned = layer.scaled(low, -1.0, Fixed(True, 1, 1))
    return layer.bounded_index(Term(turned.tensor, x.type.minus(x.type)), size, 8, 0, size - 1)


@imports("hls4ml", "elu")
def _elu(record: Record, net: NetworkBuilder) -> str:
    """From 0 on the value itself, else `alpha` times a table of `exp(x) - 1`."""
    layer = Layer(record, net)
    record.ignore("n_in")
    size, table = table_of(layer)
    alpha, kind = parameter(layer)
    x = float32(-8.0 * np.arange(size) / float32(size))
    entries = table(float32(exp32(x) - 1.0))
    low = layer.scaled(layer.lookup(negative_index(layer, layer.x, size), entries, table), alpha, kind)
    return layer.assign(layer.where(layer.compared(layer.x, "greater_equal", 0.0), layer.x, low))


@imports("hls4ml", "selu")
def _selu_rule(record: Record, net: NetworkBuilder) -> str:
    """From 0 on a constant times the value, else a table.

    The constant is an `ap_ufixed<16, 1>` in arrays since hls4ml 1.2, and of the input's type in streams and before.
    """
    layer = Layer(record, net)
    record.ignore("n_in")
    size, table = table_of(layer)
    x = float32(-8.0 * np.arange(size) / float32(size))
    low = layer.lookup(negative_index(layer, layer.x, size), table(_selu(x)), table)
    kind = layer.x.type if layer.stream else layer.result if layer.release < (1, 2) else Fixed(False, 16, 1)
    scale = float(kind(1.0507009873554804934))
    high = layer.scaled(layer.x, scale, kind)
    return layer.assign(layer.where(layer.compared(layer.x, "greater_equal", 0.0), high, low))


@imports("hls4ml", "hard_sigmoid", "hard_tanh")
def _hard(record: Record, net: NetworkBuilder) -> str:
    """`slope · x + shift` between 0 and 1; as a tanh stretched to between -1 and 1."""
    layer = Layer(record, net)
    record.ignore("n_in", "table_size", "table_t")
    if not record.has("slope") and record.kind == "hard_sigmoid":  # before hls4ml 0.7: constants, all in one type
        kind = layer.x.type
        sum_ = layer.shifted(layer.scaled(layer.x, float(kind(0.2)), kind), float(kind(0.5)), kind)
        return layer.assign(layer.clip(layer.cast(sum_, kind), 0.0, 1.0))
    kinds = [layer.type(f"{key}.type") for key in ("slope", "shift")]
    slope, shift = (float(record.take(key)) for key in ("slope", "shift"))
    y = layer.shifted(layer.scaled(layer.x, slope, kinds[0]), shift, kinds[1])
    y = layer.clip(y, 0.0, 1.0)
    if record.kind == "hard_tanh":
        y = layer.shifted(layer.scaled(y, 2.0, _INT), -1.0, _INT)
    return layer.assign(y)


@imports("hls4ml", "binary_tanh")
def _binary_tanh(record: Record, net: NetworkBuilder) -> str:
    """1 from 0 on, else -1, which an `ap_uint<1>` holds as 0."""
    layer = Layer(record, net)
    record.ignore("n_in", "table_size", "table_t")
    old = layer.release < (1, 2)
    bit = Term(layer.compared(layer.x, "greater" if old else "greater_equal", 0.0), _BIT)
    if layer.result.bit and not old:
        return bit.tensor
    sign = layer.shifted(layer.scaled(bit, 2.0, _INT), -1.0, _INT)
    return layer.assign(Term(sign.tensor, _SIGN))


@imports("hls4ml", "ternary_tanh")
def _ternary_tanh(record: Record, net: NetworkBuilder) -> str:
    """-1, 0 or 1 by thresholds: of the doubled input (in its own type) at ±1 in arrays, of the input in streams."""
    layer = Layer(record, net)
    record.ignore("n_in", "table_size", "table_t")
    x = layer.x
    if not layer.stream:
        x = layer.cast(layer.scaled(x, 2.0, _INT), x.type, "doubled")
    above = Term(layer.compared(x, "greater", 1.0), _BIT)
    below = Term(layer.compared(x, "less_equal", -1.0), _BIT)
    return layer.assign(Term(layer.sub(above, below).tensor, _SIGN))


@imports("hls4ml", "unary_lut")
def _unary_lut(record: Record, net: NetworkBuilder) -> str:
    """`unary_lut(data, res, table)`: an entry for every code of the input, negative codes behind the others."""
    layer = Layer(record, net)
    record.ignore("n_in")
    size, kind = table_of(layer)
    x = layer.x
    if x.type.width > 20 or size != 1 << x.type.width:
        raise record.unsupported("table_size", size, f"an input of {x.type.width} bits needs 2^{x.type.width} entries")
    table = layer.array(0)
    first = 0
    if x.type.signed:
        first = -(size // 2)
        table = np.concatenate([table[size // 2 :], table[: size // 2]])
    code = layer.scaled(x, 2.0**x.type.frac, _INT)
    return layer.assign(layer.lookup(code.tensor, table, kind, first))


__all__ = ["by_channel", "by_table", "curve_table", "exp32", "float32", "table_of"]
