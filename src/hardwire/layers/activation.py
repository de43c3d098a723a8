"""Unary activations as exact tables: sigmoid, tanh, GELU and every other function of one number.

The meaning is `output(f(x))` with f in float64: a table over every code that the input can take, so nothing is
approximated beyond the output's own quantiser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from math import erf, erfc

import numpy as np

from hardwire.errors import ModelError, RangeError
from hardwire.fixed import FixedType, Floats, Ints, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _keras as keras
from hardwire.layers import _onnx as onnx
from hardwire.layers import _torch as torch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import element, quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.layers._requantise import round_scaled
from hardwire.layers._staircase import staircase
from hardwire.layers.quantise import quantise_wire
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser

MAX_ENTRIES = 1 << 16
"""Most entries of one table."""

Function = Callable[..., Floats]

_erf: Function = np.vectorize(erf, otypes=[np.float64])
_erfc: Function = np.vectorize(erfc, otypes=[np.float64])


def _sigmoid(x: Floats) -> Floats:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def _softplus(x: Floats, beta: float = 1.0, threshold: float | None = None) -> Floats:
    smooth = np.logaddexp(0.0, beta * x) / beta
    return smooth if threshold is None else np.where(beta * x > threshold, x, smooth)


def _elu(x: Floats, alpha: float = 1.0) -> Floats:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def _selu(x: Floats) -> Floats:
    return 1.0507009873554805 * _elu(x, 1.6732632423543772)


def _gelu_tanh(x: Floats) -> Floats:
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def _hard_sigmoid(x: Floats, slope: float = 0.2, offset: float = 0.5) -> Floats:
    return np.clip(slope * x + offset, 0.0, 1.0)


def _exp_float32(x: Floats, scale: float = 1.0) -> Floats:
    """`exp(scale · x)`, argument and result rounded to float32 as a framework of that precision does."""
    argument = x.astype(np.float32) * np.float32(scale)
    return np.asarray(np.exp(argument.astype(np.float64)).astype(np.float32), np.float64)


def _reciprocal_float32(x: Floats, offset: float = 0.0) -> Floats:
    """`1 / (x + offset)` in float32."""
    return np.asarray(np.float32(1.0) / (x.astype(np.float32) + np.float32(offset)), np.float64)


def _threshold(x: Floats, theta: float = 1.0, value: float = 0.0) -> Floats:
    return np.where(x > theta, x, np.full_like(x, value))


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
    "gated_relu": lambda x, shift=3.0, bound=6.0: x * np.clip(x + shift, 0.0, bound) / bound,
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "softplus": _softplus,
    "softsign": lambda x: x / (1.0 + np.abs(x)),
    "soft_shrink": lambda x, lambd=0.5: np.sign(x) * np.maximum(np.abs(x) - lambd, 0.0),
    "hard_shrink": lambda x, lambd=0.5: np.where(np.abs(x) > lambd, x, 0.0),
    "threshold": _threshold,
    "squareplus": lambda x, b=4.0: 0.5 * (x + np.sqrt(x * x + b)),
    "sparse_plus": lambda x: np.where(x <= -1, 0.0, np.where(x < 1, 0.25 * (x + 1.0) ** 2, x)),
    "sparse_sigmoid": lambda x: np.clip(0.5 * (x + 1.0), 0.0, 1.0),
    "exp": np.exp,
    "gaussian": lambda x: np.exp(-(x * x)),
    "exp_float32": _exp_float32,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "sinc": np.sinc,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
    "reciprocal": lambda x: 1.0 / x,
    "reciprocal_float32": _reciprocal_float32,
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
    "erfc": _erfc,
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


_RISING = (
    *("sigmoid", "log_sigmoid", "tanh", "selu", "softplus", "softsign", "squareplus", "sparse_sigmoid"),
    *("exp", "expm1", "atan", "asinh", "sinh", "erf"),
)
"""Functions that never fall, whatever their arguments, and are defined everywhere."""
_WIDE = 1 << 12
"""Codes of the input from which such a function is no plain table."""


class Activation(Layer):
    """Attrs `function` (a key of `FUNCTIONS`), `arguments` (dict of floats), `output` (`Quantiser` or None)."""

    kind = "activation"
    exact = False
    takes_offset = True

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape; raises `ModelError` for a function that is not known."""
        name = node.attrs["function"]
        if name not in FUNCTIONS:
            raise ModelError(f"layer {node.name!r}: no function {name!r} (known: {', '.join(sorted(FUNCTIONS))})")
        return inputs[0]

    def inexact(self, node: Node) -> bool:
        """Whether the function needs a table; those of `EXACT` have a fixed-point result."""
        return node.attrs["function"] not in EXACT

    def multiplies(self, node: Node) -> bool:
        """A square is as wide as a product."""
        return bool(node.attrs["function"] == "square")

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return `output(f(x))`, or `f(x)` without an output quantiser."""
        y = evaluate(node, inputs[0])
        quantiser: Quantiser | None = node.attrs.get("output")
        return y if quantiser is None else quantiser(y)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One TABLE an element; a comparison too where a wide value goes through a function that never falls."""
        (x,) = inputs
        quantiser: Quantiser | None = node.attrs.get("output")
        name = node.attrs["function"]
        if name in EXACT:
            y = EXACT[name](node, low, low.with_offset_added(node.inputs[0], x))
            return y if quantiser is None else quantise_wire(node, low, y, quantiser)
        if quantiser is None:
            raise ModelError(
                f"layer {node.name!r}: {name} has no exact fixed-point result and no type for its output",
                hint="calibrate the model (calibrate=x), or put a quantiser after the layer",
            )
        return _tabulated(node, low, x, quantiser)

    def examples(self) -> Iterator[Example]:
        """Every function that is finite on the input's range, and the exact ones without an output type."""
        quantiser = Quantiser.of_type(FixedType.parse("s8.5"), Rounding.RND_CONV, Overflow.SAT)
        for name in FUNCTIONS:
            shifted = name in ("log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal", "acosh")
            small = name in ("asin", "acos", "atanh")
            net = NetworkBuilder(f"activation_{name}")
            x = quantised_input(net, (3,), "u4.2" if shifted else "s5.6" if small else "s6.3")
            if shifted:
                x = net.add("add", "above_zero", [x], {}, {"constant": np.array(1.0)})
            output = None if name in EXACT else quantiser
            y = net.add("activation", name, [x], {"function": name, "arguments": {}, "output": output})
            yield Example(name, net.build([y]))


def _tabulated(node: Node, low: Lowering, x: Wire, quantiser: Quantiser) -> Wire:
    q = quantiser.reshaped(x.shape)
    scales = x.scales()
    offsets = None if x.offset is None else np.broadcast_to(x.offset, x.shape)
    known: dict[tuple[object, ...], Ints] = {}
    rising = node.attrs["function"] in _RISING and q.overflow in (Overflow.SAT, Overflow.SAT_SYM)

    def rule(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
        full = element(x.shape, at)
        lo, hi = b.range(values[0])
        offset = Fraction(0) if offsets is None else offsets[full]
        fields = (float(q.scale[full]), int(q.lo[full]), int(q.hi[full]), int(q.zero[full]))
        key = (lo, hi, scales[full], offset, *fields)
        scalar = replace(q, scale=q.scale[full], lo=q.lo[full], hi=q.hi[full], zero=q.zero[full])
        if rising and hi - lo >= _WIDE:
            step, start = float(scales[full]), float(offset)
            y = staircase(b, values[0], lambda codes: scalar.codes(evaluate(node, np.float64(step) * codes + start)))
            if y is not None:
                return y
        if key not in known:
            known[key] = table_entries(node, lo, hi, scales[full], scalar, offset)
        return b.table(values[0], known[key])

    fields = [q.scale, q.lo, q.hi, q.zero, *([] if offsets is None else [offsets])]
    return low.elementwise(node, [x], rule, quantiser.scales(), fields)


def table_entries(
    node: Node, lo: int, hi: int, scale: Fraction, quantiser: Quantiser, offset: Fraction | int = 0
) -> Ints:
    """Codes `quantiser(f(code × scale + offset))` of every code in `[lo, hi]`, int64.

    Raises `RangeError` for more than `MAX_ENTRIES` codes, `ModelError` where the function is undefined; both name the
    layer. Infinities saturate if the quantiser does.
    """
    name = node.attrs["function"]
    if hi - lo >= MAX_ENTRIES:
        raise RangeError(
            f"layer {node.name!r}: a table of {name} would have {hi - lo + 1} entries (codes {lo} to {hi}); "
            f"the limit is {MAX_ENTRIES}",
            hint="quantise the layer's input to at most 16 bits (a quantiser in front of it, or calibrate=x)",
        )
    x = np.array([float(code * scale + offset) for code in range(lo, hi + 1)])
    y = evaluate(node, x)
    wraps = quantiser.overflow not in (Overflow.SAT, Overflow.SAT_SYM)
    bad = np.flatnonzero(np.isnan(y) | (np.isinf(y) & wraps))
    if len(bad):
        raise ModelError(
            f"layer {node.name!r}: {name} is {y[bad[0]]} at {x[bad[0]]:.9g}, which its input can reach "
            f"(range [{x[0]:.9g}, {x[-1]:.9g}])",
            hint="clip the layer's input, or give it a type that leaves such values out",
        )
    return quantiser.codes(y)


def _unary(
    element_rule: Callable[[KernelBuilder, int, Fraction], int],
    scale_rule: Callable[[Fraction], Fraction] = lambda scale: scale,
) -> ExactRule:
    """Return the lowering of a function that has a fixed-point result, from its meaning on one integer."""

    def lower(node: Node, low: Lowering, x: Wire) -> Wire:
        scales = x.scales()
        out = np.frompyfunc(scale_rule, 1, 1)(scales)

        def rule(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
            return element_rule(b, values[0], scales[element(x.shape, at)])

        return low.elementwise(node, [x], rule, np.asarray(out, object).reshape(x.shape), [scales])

    return lower


def _absolute(b: KernelBuilder, a: int, scale: Fraction) -> int:
    y = b.max(a, b.neg(a))
    return b.clamp(y, 0, max(0, b.range(y)[1]))


def _sign(b: KernelBuilder, a: int, scale: Fraction) -> int:
    return b.sub(b.less(b.const(0), a), b.less(a, b.const(0)))


def _square(b: KernelBuilder, a: int, scale: Fraction) -> int:
    y = b.mul(a, a)
    return b.clamp(y, 0, max(0, b.range(y)[1]))


def _integer(mode: Rounding) -> ExactRule:
    return _unary(lambda b, a, scale: round_scaled(b, a, scale, mode), lambda scale: Fraction(1))


ExactRule = Callable[[Node, Lowering, Wire], Wire]

EXACT: dict[str, ExactRule] = {
    "abs": _unary(_absolute),
    "neg": _unary(lambda b, a, scale: b.neg(a)),
    "sign": _unary(_sign, lambda scale: Fraction(1)),
    "square": _unary(_square, lambda scale: scale * scale),
    "floor": _integer(Rounding.TRN),
    "ceil": _integer(Rounding.CEIL),
    "round": _integer(Rounding.RND_CONV),
    "trunc": _integer(Rounding.TRN_ZERO),
}
"""Functions whose result has an exact fixed-point value, so that they need no output type and no table."""


def evaluate(node: Node, x: Floats) -> Floats:
    """Return `f(x)` in float64; where f is not finite the value says so (inf, nan), without a warning."""
    with np.errstate(all="ignore"):
        y = FUNCTIONS[node.attrs["function"]](np.asarray(x, np.float64), **node.attrs.get("arguments", {}))
    return np.asarray(y, np.float64)


# --- ONNX


_ONNX: dict[str, tuple[str, dict[str, tuple[str, float]]]] = {
    "Sigmoid": ("sigmoid", {}),
    "Tanh": ("tanh", {}),
    "Elu": ("elu", {"alpha": ("alpha", 1.0)}),
    "Celu": ("celu", {"alpha": ("alpha", 1.0)}),
    "HardSigmoid": ("hard_sigmoid", {"alpha": ("slope", 0.2), "beta": ("offset", 0.5)}),
    "HardSwish": ("hard_swish", {}),
    "Mish": ("mish", {}),
    "Swish": ("silu", {"alpha": ("beta", 1.0)}),
    "Softplus": ("softplus", {}),
    "Softsign": ("softsign", {}),
    "ThresholdedRelu": ("threshold", {"alpha": ("theta", 1.0)}),
    "Exp": ("exp", {}),
    "Log": ("log", {}),
    "Sqrt": ("sqrt", {}),
    "Reciprocal": ("reciprocal", {}),
    "Sin": ("sin", {}),
    "Cos": ("cos", {}),
    "Tan": ("tan", {}),
    "Asin": ("asin", {}),
    "Acos": ("acos", {}),
    "Atan": ("atan", {}),
    "Sinh": ("sinh", {}),
    "Cosh": ("cosh", {}),
    "Asinh": ("asinh", {}),
    "Acosh": ("acosh", {}),
    "Atanh": ("atanh", {}),
    "Erf": ("erf", {}),
    "Abs": ("abs", {}),
    "Neg": ("neg", {}),
    "Sign": ("sign", {}),
    "Floor": ("floor", {}),
    "Ceil": ("ceil", {}),
    "Round": ("round", {}),
}
"""Function of each operator, and argument name and default of each attribute."""


@imports("onnx", *_ONNX)
def _onnx_unary(record: Record, net: NetworkBuilder) -> str:
    """A function of one number; its attributes are float32."""
    function, attributes = _ONNX[record.kind]
    arguments = {
        argument: float(record.take(attribute, float(np.float32(default))))
        for attribute, (argument, default) in attributes.items()
    }
    return _onnx_function(record, net, function, arguments)


@imports("onnx", "Gelu")
def _onnx_gelu(record: Record, net: NetworkBuilder) -> str:
    """GELU, exact or by tanh."""
    tanh = record.expect("approximate", "none", "tanh") == "tanh"
    return _onnx_function(record, net, "gelu_tanh" if tanh else "gelu", {})


@imports("onnx", "Selu")
def _onnx_selu(record: Record, net: NetworkBuilder) -> str:
    """SELU; with constants of its own, an ELU times gamma."""
    alpha = float(record.take("alpha", float(np.float32(1.6732632))))
    gamma = float(record.take("gamma", float(np.float32(1.0507010))))
    if np.isclose(alpha, 1.6732632423543772, rtol=1e-6) and np.isclose(gamma, 1.0507009873554805, rtol=1e-6):
        return _onnx_function(record, net, "selu", {})
    y = net.add(
        "activation", f"{record.name}_elu", [onnx.data(record)], {"function": "elu", "arguments": {"alpha": alpha}}
    )
    return net.add("mul", record.name, [y], {}, {"constant": np.float64(gamma)})


@imports("onnx", "Shrink")
def _onnx_shrink(record: Record, net: NetworkBuilder) -> str:
    """Hard shrink (bias 0) and soft shrink (bias = lambd)."""
    lambd, bias = float(record.take("lambd", 0.5)), float(record.take("bias", 0.0))
    if bias not in (0.0, lambd):
        raise record.unsupported("bias", bias, f"only 0 and lambd ({lambd}) are supported")
    return _onnx_function(record, net, "soft_shrink" if bias else "hard_shrink", {"lambd": lambd})


@imports("onnx", "Pow")
def _onnx_pow(record: Record, net: NetworkBuilder) -> str:
    """A tensor to a constant power."""
    exponent = onnx.scalar(record, 1, 1.0) if onnx.has(record, 1) else float("nan")
    named = {2.0: "square", 0.5: "sqrt", -0.5: "rsqrt", -1.0: "reciprocal"}
    if exponent in named:
        return _onnx_function(record, net, named[exponent], {})
    return _onnx_function(record, net, "power", {"exponent": exponent})


def _onnx_function(record: Record, net: NetworkBuilder, function: str, arguments: dict[str, float]) -> str:
    attrs = {"function": function, "arguments": arguments, "output": None}
    return net.add("activation", record.name, [onnx.data(record)], attrs)


# --- PyTorch


_TORCH_FUNCTIONS = {
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "selu": "selu",
    "silu": "silu",
    "mish": "mish",
    "log_sigmoid": "log_sigmoid",
    "hardswish": "hard_swish",
    "exp": "exp",
    "expm1": "expm1",
    "log": "log",
    "log1p": "log1p",
    "log2": "log2",
    "log10": "log10",
    "exp2": "exp2",
    "sinc": "sinc",
    "erfc": "erfc",
    "sgn": "sign",
    "sqrt": "sqrt",
    "rsqrt": "rsqrt",
    "reciprocal": "reciprocal",
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "asin": "asin",
    "acos": "acos",
    "atan": "atan",
    "sinh": "sinh",
    "cosh": "cosh",
    "asinh": "asinh",
    "acosh": "acosh",
    "atanh": "atanh",
    "erf": "erf",
    "abs": "abs",
    "sign": "sign",
    "floor": "floor",
    "ceil": "ceil",
    "round": "round",
    "trunc": "trunc",
}


@imports("torch", *(f"aten.{name}{suffix}.default" for name in _TORCH_FUNCTIONS for suffix in ("", "_")))
def _torch_function(record: Record, net: NetworkBuilder) -> str:
    """Functions of one number without arguments."""
    function = _TORCH_FUNCTIONS[record.kind.split(".")[1].rstrip("_")]
    return net.add("activation", record.name, [torch.single(record)], {"function": function, "arguments": {}})


def _torch_with(record: Record, net: NetworkBuilder, function: str, **arguments: float) -> str:
    attrs = {"function": function, "arguments": arguments}
    return net.add("activation", record.name, [torch.single(record)], attrs)


@imports("torch", "aten.elu.default", "aten.elu_.default")
def _torch_elu(record: Record, net: NetworkBuilder) -> str:
    """`scale · elu(alpha)` without input scale; a SELU has been written so."""
    alpha, scale = torch.number(record, "alpha", 1.0), torch.number(record, "scale", 1.0)
    record.expect("input_scale", 1, 1.0)
    if (alpha, scale) == (1.6732632423543772, 1.0507009873554805):
        return _torch_with(record, net, "selu")
    y = _torch_with(record, net, "elu", alpha=alpha)
    return y if scale == 1 else net.add("mul", f"{record.name}_scaled", [y], {}, {"constant": np.float64(scale)})


@imports("torch", "aten.celu.default", "aten.celu_.default")
def _torch_celu(record: Record, net: NetworkBuilder) -> str:
    """`celu(alpha)`."""
    return _torch_with(record, net, "celu", alpha=torch.number(record, "alpha", 1.0))


@imports("torch", "aten.gelu.default", "aten.gelu_.default")
def _torch_gelu(record: Record, net: NetworkBuilder) -> str:
    """`gelu(approximate)`: exact, or by tanh."""
    return _torch_with(record, net, "gelu" if record.expect("approximate", "none", "tanh") == "none" else "gelu_tanh")


@imports("torch", "aten.softplus.default")
def _torch_softplus(record: Record, net: NetworkBuilder) -> str:
    """`softplus(beta, threshold)`; beyond the threshold PyTorch returns x, from 15 on not to be told from the curve."""
    beta, threshold = torch.number(record, "beta", 1.0), torch.number(record, "threshold", 20.0)
    step = {} if threshold >= 15 else {"threshold": threshold}
    return _torch_with(record, net, "softplus", beta=beta, **step)


@imports("torch", "aten.hardsigmoid.default", "aten.hardsigmoid_.default")
def _torch_hard_sigmoid(record: Record, net: NetworkBuilder) -> str:
    """`relu6(x + 3) / 6`."""
    return _torch_with(record, net, "hard_sigmoid", slope=1.0 / 6.0, offset=0.5)


@imports("torch", "aten.softshrink.default", "aten.hardshrink.default")
def _torch_shrink(record: Record, net: NetworkBuilder) -> str:
    """`softshrink(lambd)` and `hardshrink(lambd)`."""
    function = "soft_shrink" if record.kind == "aten.softshrink.default" else "hard_shrink"
    return _torch_with(record, net, function, lambd=torch.number(record, "lambd", 0.5))


@imports("torch", "aten.threshold.default", "aten.threshold_.default")
def _torch_threshold(record: Record, net: NetworkBuilder) -> str:
    """`x` above the threshold, else `value`."""
    theta, value = torch.number(record, "threshold"), torch.number(record, "value")
    return _torch_with(record, net, "threshold", theta=theta, value=value)


# --- Keras


_KERAS_FUNCTIONS = {
    "sigmoid": "sigmoid",
    "log_sigmoid": "log_sigmoid",
    "tanh": "tanh",
    "tanh_shrink": "tanh_shrink",
    "soft_shrink": "soft_shrink",
    "hard_shrink": "hard_shrink",
    "elu": "elu",
    "selu": "selu",
    "celu": "celu",
    "gelu": "gelu",
    "silu": "silu",
    "swish": "silu",
    "hard_silu": "hard_swish",
    "hard_swish": "hard_swish",
    "mish": "mish",
    "softplus": "softplus",
    "softsign": "softsign",
    "exponential": "exp",
    "squareplus": "squareplus",
    "sparse_plus": "sparse_plus",
    "sparse_sigmoid": "sparse_sigmoid",
}


@imports("keras", *(f"activations.{name}" for name in _KERAS_FUNCTIONS))
def _keras_function(record: Record, net: NetworkBuilder) -> str:
    """Functions of `keras.activations`, with the defaults that a file cannot change."""
    function = _KERAS_FUNCTIONS[record.kind.rpartition(".")[2]]
    return net.add("activation", record.name, [keras.single(record)], {"function": function, "arguments": {}})


@imports("keras", "activations.hard_sigmoid")
def _keras_hard_sigmoid(record: Record, net: NetworkBuilder) -> str:
    """`relu6(x + 3) / 6` in Keras 3, `clip(0.2 x + 0.5, 0, 1)` before."""
    slope = 1.0 / 6.0 if record.versions.get("keras_major") == 3 else 0.2
    attrs = {"function": "hard_sigmoid", "arguments": {"slope": slope, "offset": 0.5}}
    return net.add("activation", record.name, [keras.single(record)], attrs)


@imports("keras", "Activation")
def _keras_activation(record: Record, net: NetworkBuilder) -> str:
    """`Activation`: a function by name."""
    return keras.activated(record, net, keras.single(record), record.take("activation"), record.name)


@imports("keras", "ELU")
def _keras_elu(record: Record, net: NetworkBuilder) -> str:
    """`ELU` with `alpha`."""
    attrs = {"function": "elu", "arguments": {"alpha": keras.number(record, "alpha", 1.0)}}
    return net.add("activation", record.name, [keras.single(record)], attrs)


@imports("keras", "ops.Abs", "ops.Absolute", "ops.Exp", "ops.Log", "ops.Sqrt", "ops.Square", "ops.Sigmoid", "ops.Tanh")
def _keras_function_op(record: Record, net: NetworkBuilder) -> str:
    """Functions of `keras.ops` called on a tensor."""
    function = {"absolute": "abs"}.get(name := record.kind.rpartition(".")[2].lower(), name)
    return net.add("activation", record.name, [keras.single(record)], {"function": function, "arguments": {}})
