"""Piecewise linear activations: ReLU, clip (ReLU6, hard tanh), leaky ReLU and PReLU; all exact in fixed point.

Keras `ReLU`, `LeakyReLU`, `PReLU`; ONNX `Relu`, `Clip`, `LeakyRelu`, `PRelu`; PyTorch `relu`, `hardtanh`, `leaky_relu`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError
from hardwire.fixed import FixedType, Floats, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _keras as keras
from hardwire.layers import _onnx as onnx
from hardwire.layers import _torch as torch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import (
    element,
    exact_values,
    joint_scale,
    lowest_bit,
    multiple,
    quantised_input,
)
from hardwire.layers._lowering import Lowering, Wire
from hardwire.layers.quantise import quantise_wire
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser


class Relu(Layer):
    """`max(x, 0)`."""

    kind = "relu"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        return inputs[0]

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return `max(x, 0)`."""
        return np.maximum(inputs[0], 0.0)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One CLAMP at zero an element; nothing where no element can be negative."""
        (x,) = inputs
        if np.all(low.range(x)[0] >= 0):
            return x

        def rule(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
            return b.clamp(values[0], 0, max(b.range(values[0])[1], 0))

        return low.elementwise(node, [x], rule, x.scales())

    def examples(self) -> Iterator[Example]:
        """A vector and a matrix."""
        for name, shape in (("vector", (3,)), ("matrix", (2, 3))):
            net = NetworkBuilder(f"relu_{name}")
            yield Example(name, net.build([net.add("relu", "relu", [quantised_input(net, shape)])]))


class Clip(Layer):
    """`min(max(x, lo), hi)`; attrs `lo`, `hi` floats or None for no bound."""

    kind = "clip"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        lo, hi = node.attrs.get("lo"), node.attrs.get("hi")
        if lo is not None and hi is not None and lo > hi:
            raise ModelError(f"layer {node.name!r}: clip with the bounds [{lo}, {hi}], the lower above the upper")
        return inputs[0]

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the clipped values."""
        return np.asarray(np.clip(inputs[0], node.attrs.get("lo"), node.attrs.get("hi")), np.float64)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One CLAMP an element, in a finer scale where a bound that can be met is no multiple of the input's."""
        (x,) = inputs
        lo, hi = (None if node.attrs.get(key) is None else Fraction(node.attrs[key]) for key in ("lo", "hi"))
        code_lo, code_hi = low.range(x)
        scales = x.scales()
        zero = np.array(Fraction(0), object)
        met_lo = np.array(lo is not None and np.any(code_lo * scales < lo))
        met_hi = np.array(hi is not None and np.any(code_hi * scales > hi))
        if not (met_lo or met_hi):
            return x
        bounds = [bound for bound, met in ((lo, met_lo), (hi, met_hi)) if met and bound is not None]
        # A bound that is a multiple of the scale asks for no finer one.
        unfit = [
            np.where(np.asarray(bound % scales == 0, bool), zero, np.array(lowest_bit(bound), object))
            for bound in bounds
        ]
        scale = joint_scale(x.shape, scales, *unfit)

        def rule(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
            full = element(x.shape, at)
            value = b.linear(values, [multiple(node, scales[full], scale[full], "scale")])
            least, most = b.range(value)
            if met_lo and lo is not None:
                least = multiple(node, lo, scale[full], "lower bound")
            if met_hi and hi is not None:
                most = multiple(node, hi, scale[full], "upper bound")
                least = least if met_lo else min(least, most)
            return b.clamp(value, least, max(least, most))

        return low.elementwise(node, [x], rule, scale, [scales])

    def examples(self) -> Iterator[Example]:
        """Bounds on the input's grid, between its points, one-sided and never met."""
        for name, lo, hi in (
            ("relu6", 0.0, 6.0),
            ("between", -0.7421875, 1.109375),
            ("upper", None, 1.5),
            ("never", -50.0, 50.0),
            ("negative", -3.0, -1.0625),
        ):
            net = NetworkBuilder(f"clip_{name}")
            x = quantised_input(net, (3,), "s6.2")
            yield Example(name, net.build([net.add("clip", "clip", [x], {"lo": lo, "hi": hi})]))


class LeakyRelu(Layer):
    """`x` where `x ≥ 0`, else `slope · x`; attr `slope`, any finite float, is taken exactly.

    The product is not rounded; a framework's own float product may round to a tie that the exact one misses.

    Attr `output`, a `Quantiser` that `network.prepare` moved in, is applied to the result.
    """

    kind = "leaky_relu"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        return inputs[0]

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the values with the negative ones times the slope."""
        return _output(node, np.where(inputs[0] < 0, inputs[0] * node.attrs["slope"], inputs[0]))

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Return the larger of `x` and `slope · x` (slope up to 1), else the smaller."""
        slopes = exact_values(np.array(float(node.attrs["slope"])), None, inputs[0].shape)
        return _leaky(node, low, inputs[0], slopes)

    def examples(self) -> Iterator[Example]:
        """Slopes: a power of two, short, above one, negative, zero."""
        for slope in (0.125, 0.3125, 1.0, 2.5, -0.5, 0.0):
            net = NetworkBuilder("leaky_relu")
            x = quantised_input(net, (3,))
            yield Example(f"slope_{slope}", net.build([net.add("leaky_relu", "leaky", [x], {"slope": slope})]))
        net = NetworkBuilder("leaky_relu_quantised")
        x = quantised_input(net, (3,))
        output = Quantiser.of_type(FixedType.parse("s5.2"), Rounding.TRN, Overflow.WRAP)
        attrs = {"slope": 0.4375, "output": output}
        yield Example("quantised", net.build([net.add("leaky_relu", "leaky", [x], attrs)]))


class PRelu(Layer):
    """`x` where `x ≥ 0`, else `slope · x`; param `slope` broadcasts to the input's shape and is taken exactly.

    Attr `output`, a `Quantiser` that `network.prepare` moved in, is applied to the result.
    """

    kind = "prelu"
    weights = ("slope",)

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape; the slope must broadcast to it."""
        slope = node.params["slope"].shape
        try:
            fits = np.broadcast_shapes(slope, inputs[0]) == tuple(inputs[0])
        except ValueError:
            fits = False
        if not fits:
            raise ModelError(f"layer {node.name!r}: slopes of shape {slope} do not broadcast to {inputs[0]}")
        return inputs[0]

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the values with the negative ones times their slopes."""
        return _output(node, np.where(inputs[0] < 0, inputs[0] * node.params["slope"], inputs[0]))

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """As the leaky ReLU, with a slope per element."""
        return _leaky(node, low, inputs[0], exact_values(node.params["slope"], None, inputs[0].shape))

    def examples(self) -> Iterator[Example]:
        """A slope per channel, one per row, and one for all."""
        for name, slope in (
            ("channel", np.array([0.25, -0.375, 1.5])),
            ("row", np.array([[0.5], [0.125]])),
            ("shared", np.array([0.75])),
        ):
            net = NetworkBuilder(f"prelu_{name}")
            x = quantised_input(net, (2, 3))
            yield Example(name, net.build([net.add("prelu", "prelu", [x], {}, {"slope": slope})]))


def _leaky(node: Node, low: Lowering, x: Wire, slopes: NDArray[Any]) -> Wire:
    """Lower `x` or `slope · x` by sign, with exact slopes in `x`'s shape."""
    quantiser: Quantiser | None = node.attrs.get("output")
    if np.all(low.range(x)[0] >= 0):
        return x if quantiser is None else quantise_wire(node, low, x, quantiser)
    if quantiser is not None:
        return _leaky_quantised(node, low, x, slopes, quantiser)
    scales = x.scales()
    scale = joint_scale(x.shape, scales, scales * np.array(np.frompyfunc(lowest_bit, 1, 1)(slopes), object))

    def rule(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
        full = element(x.shape, at)
        slope = slopes[full]
        own = b.linear(values, [multiple(node, scales[full], scale[full], "scale")])
        leak = b.linear(values, [multiple(node, scales[full] * slope, scale[full], "slope")])
        if slope > 1:
            return b.min(own, leak)
        y = b.max(own, leak)
        # A slope that is not positive leaves nothing below zero, which the two ranges alone do not show.
        return b.clamp(y, 0, max(0, b.range(y)[1])) if slope <= 0 else y

    return low.elementwise(node, [x], rule, scale, [scales, slopes])


def _leaky_quantised(node: Node, low: Lowering, x: Wire, slopes: NDArray[Any], quantiser: Quantiser) -> Wire:
    """Quantise both branches by themselves, so that a slope of any length costs no width, and select by sign."""

    def positive(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
        return b.clamp(values[0], 0, max(0, b.range(values[0])[1]))

    def negative(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
        slope = slopes[element(x.shape, at)]
        sign = (slope > 0) - (slope < 0)
        return b.linear([b.clamp(values[0], min(0, b.range(values[0])[0]), 0)], [sign])

    factor = np.where(slopes == 0, np.array(Fraction(1), object), np.abs(slopes))
    up = low.elementwise(node, [x], positive, x.scales())
    down = low.elementwise(node, [x], negative, x.scales() * factor, [slopes])
    branches = [quantise_wire(node, low, branch, quantiser) for branch in (up, down)]

    def select(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
        return b.select(b.less(values[0], b.const(0)), values[2], values[1])

    return low.elementwise(node, [x, *branches], select, branches[0].scales())


def _output(node: Node, y: Floats) -> Floats:
    quantiser: Quantiser | None = node.attrs.get("output")
    return np.asarray(y if quantiser is None else quantiser(y), np.float64)


# --- ONNX


@imports("onnx", "Relu")
def _onnx_relu(record: Record, net: NetworkBuilder) -> str:
    """`max(x, 0)`."""
    return net.add("relu", record.name, [onnx.data(record)])


@imports("onnx", "Clip")
def _onnx_clip(record: Record, net: NetworkBuilder) -> str:
    """Clip to bounds that are attributes (opset < 11) or operands; none for the largest float and beyond."""
    x = onnx.data(record)
    if onnx.opset(record) < 11:
        bounds = [float(record.take("min", -np.inf)), float(record.take("max", np.inf))]
    else:
        bounds = [onnx.scalar(record, 1, -np.inf), onnx.scalar(record, 2, np.inf)]
    return _onnx_clipped(record, net, x, *bounds)


def _onnx_clipped(record: Record, net: NetworkBuilder, x: str, lo: float, hi: float) -> str:
    if np.isnan(lo) or np.isnan(hi):
        raise ModelError(f"layer {record.name!r} ({record.kind}): a bound that is not a number")
    far = float(np.finfo(np.float32).max)
    attrs = {"lo": None if lo <= -far else lo, "hi": None if hi >= far else hi}
    return net.add("clip", record.name, [x], attrs)


@imports("onnx", "LeakyRelu")
def _onnx_leaky_relu(record: Record, net: NetworkBuilder) -> str:
    """`alpha · x` below zero; 0.01 by default."""
    slope = float(record.take("alpha", float(np.float32(0.01))))
    return net.add("leaky_relu", record.name, [onnx.data(record)], {"slope": slope})


@imports("onnx", "PRelu")
def _onnx_prelu(record: Record, net: NetworkBuilder) -> str:
    """Slopes that broadcast to the tensor, in the file's order of axes."""
    x = onnx.data(record)
    slope = onnx.without_batch(record, onnx.constant(record, 1), net.shape(x), "a slope")
    return net.add("prelu", record.name, [x], {}, {"slope": np.asarray(slope, np.float64)})


# --- PyTorch


@imports("torch", "aten.relu.default", "aten.relu_.default")
def _torch_relu(record: Record, net: NetworkBuilder) -> str:
    """`relu`."""
    return net.add("relu", record.name, [torch.single(record)])


@imports(
    "torch",
    "aten.hardtanh.default",
    "aten.hardtanh_.default",
    "aten.relu6.default",
    "aten.relu6_.default",
    "aten.clamp.default",
    "aten.clamp_.default",
    "aten.clip.default",
    "aten.clamp_min.default",
    "aten.clamp_max.default",
)
def _torch_clip(record: Record, net: NetworkBuilder) -> str:
    """`hardtanh(min_val, max_val)`, `relu6`, `clamp(min, max)`."""
    operator = record.kind.split(".")[1].rstrip("_")
    bounds: tuple[float | None, float | None]
    if operator == "hardtanh":
        bounds = torch.bound(record, "min_val", -1.0), torch.bound(record, "max_val", 1.0)
    else:
        bounds = (0.0, 6.0) if operator == "relu6" else (None, None)
        bounds = torch.bound(record, "min", bounds[0]), torch.bound(record, "max", bounds[1])
    return net.add("clip", record.name, [torch.single(record)], {"lo": bounds[0], "hi": bounds[1]})


@imports("torch", "aten.leaky_relu.default", "aten.leaky_relu_.default")
def _torch_leaky_relu(record: Record, net: NetworkBuilder) -> str:
    """`leaky_relu(negative_slope)`, the slope in float32 as PyTorch uses it."""
    slope = torch.number(record, "negative_slope", 0.01)
    return net.add("leaky_relu", record.name, [torch.single(record)], {"slope": float(np.float32(slope))})


@imports("torch", "aten.rrelu.default", "aten.rrelu_.default")
def _torch_rrelu(record: Record, net: NetworkBuilder) -> str:
    """`rrelu` in evaluation: the mean of its slopes."""
    record.expect("training", False)
    lower, upper = torch.number(record, "lower", 0.125), torch.number(record, "upper", 1 / 3)
    slope = (lower + upper) / 2
    return net.add("leaky_relu", record.name, [torch.single(record)], {"slope": float(np.float32(slope))})


@imports("torch", "aten.prelu.default", "aten._prelu_kernel.default")
def _torch_prelu(record: Record, net: NetworkBuilder) -> str:
    """`prelu(weight)`: one slope, or one for each channel (axis 1)."""
    x, slope = torch.single(record), record.array("1").reshape(-1)
    rank = len(net.shape(x))
    if slope.size == 1 or not rank:
        return net.add("prelu", record.name, [x], {}, {"slope": slope.reshape((1,) * rank)})
    return net.add("prelu", record.name, [x], {}, {"slope": slope.reshape(-1, *(1,) * (rank - 1))})


# --- Keras


@imports("keras", "ReLU")
def _keras_relu(record: Record, net: NetworkBuilder) -> str:
    """`ReLU` with `max_value`, `negative_slope` and `threshold`."""
    x, top = keras.single(record), keras.number(record, "max_value", None)
    slope, threshold = keras.number(record, "negative_slope", 0.0) or 0.0, keras.number(record, "threshold", 0.0) or 0.0
    if threshold and slope:
        return _keras_relu_with_both(record, net, x, top, slope, threshold)
    if threshold:
        attrs = {"function": "threshold", "arguments": {"theta": threshold, "value": 0.0}}
        x = net.add("activation", record.name, [x], attrs)
        return x if top is None else net.add("clip", f"{record.name}_max", [x], {"lo": 0.0, "hi": top})
    if slope < 0 and top is not None:
        raise record.unsupported("negative_slope", slope, "a negative slope and max_value do not go together")
    slope = float(np.float32(slope))  # as Keras casts it
    if not slope:
        return net.add("relu", record.name, [x]) if top is None else _clipped(record, net, x, 0.0, top)
    y = net.add("leaky_relu", record.name, [x], {"slope": slope})
    return y if top is None else net.add("clip", f"{record.name}_max", [y], {"lo": None, "hi": top})


def _keras_relu_with_both(
    record: Record, net: NetworkBuilder, x: str, top: float | None, slope: float, threshold: float
) -> str:
    """`min(x, max_value)` from the threshold on, `negative_slope · (x - threshold)` below it."""
    above = net.add("compare", f"{record.name}_above", [x], {"relation": "greater_equal"}, {"constant": threshold})
    high = x if top is None else _clipped(record, net, x, None, top)
    low = net.add("sub", f"{record.name}_below", [x], {}, {"constant": np.float64(threshold)})
    low = net.add("mul", f"{record.name}_slope", [low], {}, {"constant": np.float64(np.float32(slope))})
    return net.add("where", f"{record.name}_choice", [above, high, low])


@imports("keras", "ThresholdedReLU")
def _keras_thresholded_relu(record: Record, net: NetworkBuilder) -> str:
    """Keras 2's `ThresholdedReLU(theta)`: `x` above theta, else 0."""
    theta = keras.number(record, "theta", 1.0)
    attrs = {"function": "threshold", "arguments": {"theta": theta, "value": 0.0}}
    return net.add("activation", record.name, [keras.single(record)], attrs)


def _clipped(record: Record, net: NetworkBuilder, x: str, lo: float | None, hi: float | None) -> str:
    return net.add("clip", record.name, [x], {"lo": lo, "hi": hi})


@imports("keras", "LeakyReLU")
def _keras_leaky_relu(record: Record, net: NetworkBuilder) -> str:
    """`LeakyReLU`; the slope is `negative_slope` in Keras 3, `alpha` before."""
    default = keras.number(record, "alpha", 0.3)
    slope = float(np.float32(keras.number(record, "negative_slope", default) or 0.0))  # as Keras casts it
    return net.add("leaky_relu", record.name, [keras.single(record)], {"slope": slope})


@imports("keras", "PReLU")
def _keras_prelu(record: Record, net: NetworkBuilder) -> str:
    """`PReLU`; `alpha` has ones on the shared axes."""
    x, shared = keras.single(record), record.take("shared_axes", None) or []
    alpha, shape = keras.variables(record, "alpha")["alpha"], net.shape(x)
    expected = tuple(1 if axis + 1 in shared else dim for axis, dim in enumerate(shape))
    if alpha.shape != expected:
        raise record.unsupported("shared_axes", shared, f"alpha has the shape {alpha.shape}, expected {expected}")
    return net.add("prelu", record.name, [x], {}, {"slope": alpha})


@imports("keras", "activations.relu", "activations.relu6", "activations.hard_tanh", "activations.leaky_relu")
def _keras_piecewise_linear(record: Record, net: NetworkBuilder) -> str:
    """Functions of `keras.activations` that take no settings from the file."""
    x, function = keras.single(record), record.kind.rpartition(".")[2]
    if function == "relu":
        return net.add("relu", record.name, [x])
    if function == "leaky_relu":
        return net.add("leaky_relu", record.name, [x], {"slope": float(np.float32(0.2))})
    return _clipped(record, net, x, *((0.0, 6.0) if function == "relu6" else (-1.0, 1.0)))
