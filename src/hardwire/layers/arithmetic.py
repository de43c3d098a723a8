"""Element-wise add, subtract and multiply, of two tensors or of a tensor and a constant, with broadcasting.

Keras `Add`, `Subtract`, `Multiply`; ONNX `Add`, `Sub`, `Mul`, `Div` by a constant; PyTorch `add`, `sub`, `mul`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import UnsupportedError
from hardwire.fixed import Floats
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _keras as keras
from hardwire.layers import _onnx as onnx
from hardwire.layers import _torch as torch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import (
    element,
    exact_values,
    joint_scale,
    multiple,
    operand_shape,
    quantised_input,
    units,
)
from hardwire.layers._lowering import Lowering, Wire, broadcast
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record


class _Binary(Layer):
    """Two inputs, or one and the param `constant` (integer codes with `constant_scale`, or float64 as it stands)."""

    weights = ("constant",)

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the broadcast shape of both operands."""
        return operand_shape(node, inputs, node.kind)

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the float64 result."""
        shape = self.shape(node, [x.shape[1:] for x in inputs])
        operands = [np.broadcast_to(_aligned(x, len(shape)), (len(x), *shape)) for x in inputs]
        if "constant" in node.params:
            constant = node.params["constant"] * node.params.get("constant_scale", np.float64(1.0))
            operands.append(np.broadcast_to(constant, (len(inputs[0]), *shape)))
        if node.attrs.get("reverse", False):
            operands.reverse()
        return np.asarray(self.operate(operands[0], operands[1]), np.float64)

    def operate(self, a: Floats, b: Floats) -> Floats:
        """Return the result on equally shaped arrays."""
        raise NotImplementedError

    def multiplies(self, node: Node) -> bool:
        """Return whether this is the product."""
        return self.kind == "mul"

    def examples(self) -> Iterator[Example]:
        """A constant of either kind, two tensors of different types, broadcasting both ways."""
        kind = self.kind
        constants: dict[str, dict[str, Any]] = {
            "scalar": {"constant": np.array(0.8125)},
            "channel": {"constant": np.array([0.5, -1.25, 0.0])},
            "wider": {"constant": np.arange(6).reshape(2, 1, 3) / 4 - 0.5},
            "scaled": {"constant": np.array([3, -5, 0]), "constant_scale": np.array(0.1)},
        }
        for name, params in constants.items():
            net = NetworkBuilder(f"{kind}_{name}")
            x = quantised_input(net, (2, 3))
            yield Example(name, net.build([net.add(kind, kind, [x], {}, params)]))
        net = NetworkBuilder(f"{kind}_branches")
        x = quantised_input(net, (2, 3), "s5.2")
        half = net.add("mul", "scaled", [x], {}, {"constant": np.array([0.375, -0.5, 3.0])})
        yield Example("branches", net.build([net.add(kind, kind, [x, half])]))
        net = NetworkBuilder(f"{kind}_broadcast")
        x = quantised_input(net, (2, 3), "s5.2")
        column = net.add("dense", "fc", [x], {}, {"kernel": np.array([[0.5], [-0.25], [1.0]])})
        yield Example("broadcast", net.build([net.add(kind, kind, [column, x])]))


def _aligned(x: Floats, rank: int) -> Floats:
    """Insert axes after the batch axis, as broadcasting without a batch axis would."""
    return x.reshape(len(x), *(1,) * (rank - (x.ndim - 1)), *x.shape[1:])


class Add(_Binary):
    """`a + b`."""

    kind = "add"

    def operate(self, a: Floats, b: Floats) -> Floats:
        """Return `a + b`."""
        return a + b

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One addition an element, both operands brought to one exact scale by shifts where they can."""
        return _sum(node, low, inputs, self.shape(node, [x.shape for x in inputs]), 1, 1)


class Sub(_Binary):
    """`a - b`; with attr `reverse` and a constant, `constant - x`."""

    kind = "sub"

    def operate(self, a: Floats, b: Floats) -> Floats:
        """Return `a - b`."""
        return a - b

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One subtraction an element, as the addition."""
        shape = self.shape(node, [x.shape for x in inputs])
        signs = (-1, 1) if node.attrs.get("reverse", False) else (1, -1)
        return _sum(node, low, inputs, shape, *signs)

    def examples(self) -> Iterator[Example]:
        """As the others, and a constant minus a tensor."""
        yield from super().examples()
        net = NetworkBuilder("sub_reverse")
        x = quantised_input(net, (3,))
        params = {"constant": np.array([0.5, -1.25, 0.0])}
        yield Example("reverse", net.build([net.add("sub", "sub", [x], {"reverse": True}, params)]))


class Mul(_Binary):
    """`a · b`."""

    kind = "mul"

    def operate(self, a: Floats, b: Floats) -> Floats:
        """Return `a · b`."""
        return a * b

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One MUL an element, or one LINEAR with the constant; the scales multiply."""
        shape = self.shape(node, [x.shape for x in inputs])
        if len(inputs) == 2:
            a, b = (broadcast(wire, shape) for wire in inputs)

            def product(builder: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
                return builder.mul(values[0], values[1])

            return low.elementwise(node, [a, b], product, a.scales() * b.scales())
        x = broadcast(inputs[0], shape)
        constant = _constant(node, shape)
        unit = _units(node, shape)
        unit = np.where(unit == 0, np.array(Fraction(1), object), unit)

        def rule(builder: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
            full = element(shape, at)
            return builder.linear(values, [multiple(node, constant[full], unit[full], "constant")])

        return low.elementwise(node, [x], rule, x.scales() * unit, [constant])


def _constant(node: Node, shape: Shape) -> NDArray[Any]:
    return exact_values(node.params["constant"], node.params.get("constant_scale"), shape)


def _units(node: Node, shape: Shape) -> NDArray[Any]:
    return units(node.params["constant"], node.params.get("constant_scale"), shape)


def _sum(node: Node, low: Lowering, inputs: Sequence[Wire], shape: Shape, sign_a: int, sign_b: int) -> Wire:
    """Lower `sign_a · a + sign_b · b`, where b is the second wire or the constant."""
    a = broadcast(inputs[0], shape)
    own = a.scales()
    if len(inputs) == 1:
        constant = _constant(node, shape)
        fits = np.array(np.frompyfunc(lambda c, s: (c / s).denominator == 1, 2, 1)(constant, own), bool)
        scale = joint_scale(shape, own, np.where(fits, np.array(Fraction(0), object), _units(node, shape)))

        def offset(builder: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
            full = element(shape, at)
            coef = multiple(node, own[full], scale[full], "scale")
            return builder.linear(
                values, [sign_a * coef], sign_b * multiple(node, constant[full], scale[full], "constant")
            )

        return low.elementwise(node, [a], offset, scale, [own, constant])
    b = broadcast(inputs[1], shape)
    other = b.scales()
    scale = joint_scale(shape, own, other)

    def rule(builder: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
        full = element(shape, at)
        left = multiple(node, own[full], scale[full], "scale")
        right = multiple(node, other[full], scale[full], "scale")
        if (left & (left - 1)) or (right & (right - 1)):
            return builder.linear(values, [sign_a * left, sign_b * right])
        combine = builder.add if sign_b > 0 else builder.sub
        return combine(values[0], values[1], left.bit_length() - 1, right.bit_length() - 1)

    return low.elementwise(node, [a, b], rule, scale, [own, other])


# --- ONNX


@imports("onnx", "Add", "Sub", "Mul", "Sum")
def _onnx_arithmetic(record: Record, net: NetworkBuilder) -> str:
    """Two tensors, or a tensor and a constant, with the batch in front of both; `Sum` of any number."""
    kind = {"Sum": "add"}.get(record.kind, record.kind.lower())
    if len(record.inputs) == 2 and tuple(record.versions["variables"]) == (0, 1) and record.kind != "Sum":
        return net.add(kind, record.name, _onnx_pair(record, net))
    if record.kind == "Sum":
        return _onnx_sum(record, net)
    (x,) = record.inputs
    position = 0 if onnx.has(record, 0) else 1
    attrs = {"reverse": True} if kind == "sub" and position == 0 else None
    return net.add(kind, record.name, [x], attrs, _onnx_constant(record, net, x, position))


@imports("onnx", "Div")
def _onnx_div(record: Record, net: NetworkBuilder) -> str:
    """By a constant exactly; by a tensor as a product with its reciprocal."""
    variables = tuple(record.versions["variables"])
    if variables == (0,):
        x = record.inputs[0]
        divisor = onnx.without_batch(record, onnx.constant(record, 1), net.shape(x), "a divisor")
        return net.add("divide", record.name, [x], {}, {"divisor": divisor.astype(np.float64)})
    tensors = _onnx_pair(record, net) if variables == (0, 1) else list(record.inputs)
    attrs: dict[str, Any] = {"function": "reciprocal", "arguments": {}, "output": None}
    inverse = net.add("activation", f"{record.name}_reciprocal", [tensors[-1]], attrs)
    if variables == (0, 1):
        return net.add("mul", record.name, [tensors[0], inverse])
    return net.add("mul", record.name, [inverse], {}, _onnx_constant(record, net, inverse, 0))


def _onnx_sum(record: Record, net: NetworkBuilder) -> str:
    """Add operand after operand; the last addition has the layer's name."""
    total, *rest = record.inputs
    constants = [k for k in range(len(rest) + 64) if onnx.has(record, k)]
    steps = len(rest) + len(constants)
    operands: list[str | int] = [*rest, *constants]
    for step, tensor in enumerate(operands, 1):
        name = record.name if step == steps else f"{record.name}_{step}"
        if isinstance(tensor, int):
            total = net.add("add", name, [total], {}, _onnx_constant(record, net, total, tensor))
        else:
            total = net.add("add", name, _onnx_pair(record, net, total, tensor))
    return total


def _onnx_pair(record: Record, net: NetworkBuilder, *tensors: str) -> list[str]:
    pair = list(tensors or record.inputs)
    shapes = [net.shape(tensor) for tensor in pair]
    if len(shapes[0]) != len(shapes[1]):
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): tensors {('batch', *shapes[0])} and {('batch', *shapes[1])} would "
            "broadcast across the batch",
            hint="give both the same number of axes (Unsqueeze behind the batch)",
        )
    return pair


def _onnx_constant(record: Record, net: NetworkBuilder, x: str, position: int) -> dict[str, NDArray[Any]]:
    values, scale = onnx.scaled(record, position)
    shape = net.shape(x)
    params = {"constant": onnx.without_batch(record, values, shape, "a constant")}
    if scale is not None:
        params["constant_scale"] = onnx.without_batch(record, scale, shape, "a scale")
    return params


# --- PyTorch


_TORCH_BINARY = [f"aten.{op}.{form}" for op in ("add", "sub", "mul", "div") for form in ("Tensor", "Scalar")]
_TORCH_BINARY += [kind.replace(".Tensor", "_.Tensor") for kind in _TORCH_BINARY if kind.endswith("Tensor")]


_RECIPROCAL: dict[str, Any] = {"function": "reciprocal", "arguments": {}}


def _times(net: NetworkBuilder, name: str, x: str, factor: float) -> str:
    return x if factor == 1 else net.add("mul", name, [x], {}, {"constant": np.float64(factor)})


@imports("torch", *_TORCH_BINARY, "aten.rsub.Scalar", "aten.rsub.Tensor", "aten.true_divide.Tensor")
def _torch_arithmetic(record: Record, net: NetworkBuilder) -> str:
    """`self ∘ alpha · other`; either may be a constant, `other` a number too."""
    operation = {"true_divide": "div"}.get(name := record.kind.split(".")[1].rstrip("_"), name)
    kind = {"add": "add", "sub": "sub", "mul": "mul", "div": "mul", "rsub": "sub"}[operation]
    factor = 1.0 if operation in ("mul", "div") else torch.number(record, "alpha", 1.0)
    record.expect("rounding_mode", None)
    if len(record.inputs) == 2:
        torch.same_rank(record, net)
        first, second = record.inputs
        if operation == "div":
            second = net.add("activation", f"{record.name}_reciprocal", [second], _RECIPROCAL)
        elif operation == "rsub":
            first = _times(net, f"{record.name}_alpha", first, factor)
            first, second = second, first
        else:
            second = _times(net, f"{record.name}_alpha", second, factor)
        return net.add(kind, record.name, [first, second])
    x = torch.single(record)
    left = record.has_array("0")
    if left or record.has_array("1"):
        constant = torch.constant(record, 0 if left else 1, len(net.shape(x))).astype(np.float64)
    else:
        value = torch.number(record, "other")
        # PyTorch casts a number to the tensor's type before it computes.
        constant = np.asarray(np.float32(value) if record.versions.get("dtype_out") == "float32" else value, np.float64)
    if operation == "div" and left:
        x = net.add("activation", f"{record.name}_reciprocal", [x], _RECIPROCAL)
    elif operation == "div":
        if not np.all(constant):
            raise UnsupportedError(f"layer {record.name!r} ({record.kind}): division by zero")
        constant = 1.0 / constant
    elif not left and operation != "rsub":
        constant = np.asarray(constant * factor, np.float64)
    else:
        x = _times(net, f"{record.name}_alpha", x, factor)
    # constant - x for sub with the constant on the left, and for rsub(x, constant).
    reverse = kind == "sub" and left != (operation == "rsub")
    return net.add(kind, record.name, [x], {"reverse": True} if reverse else {}, {"constant": constant})


@imports("torch", "aten.neg.default", "aten.neg_.default")
def _torch_neg(record: Record, net: NetworkBuilder) -> str:
    """`-x`."""
    return net.add("mul", record.name, [torch.single(record)], {}, {"constant": np.float64(-1.0)})


@imports("torch", "aten.square.default", "aten.pow.Tensor_Scalar")
def _torch_square(record: Record, net: NetworkBuilder) -> str:
    """`x²` as a product, other powers as a function."""
    x = torch.single(record)
    exponent = torch.number(record, "exponent", 2.0)
    if exponent == 2:
        return net.add("mul", record.name, [x, x])
    return net.add("activation", record.name, [x], {"function": "power", "arguments": {"exponent": exponent}})


# --- Keras

_INVERSE: dict[str, Any] = {"function": "reciprocal", "arguments": {}}


@imports("keras", "Add", "Multiply", "Subtract")
def _keras_merge(record: Record, net: NetworkBuilder) -> str:
    """`Add`, `Multiply` of two or more tensors, `Subtract` of two, left to right."""
    kind = {"Add": "add", "Multiply": "mul", "Subtract": "sub"}[record.kind]
    tensors = list(record.inputs)
    if len(tensors) < 2 or (kind == "sub" and len(tensors) != 2):
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): {len(tensors)} inputs")
    tensors = keras.one_rank(net, record.name, tensors)
    result = tensors[0]
    for tensor in tensors[1:]:
        result = net.add(kind, record.name, [result, tensor])
    return result


def _same_rank(record: Record, net: NetworkBuilder) -> None:
    """Refuse operands of different rank: the batch axis of one would meet another axis of the other."""
    shapes = [net.shape(tensor) for tensor in record.inputs]
    if len({len(shape) for shape in shapes}) > 1:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): inputs of the shapes {' and '.join(map(str, shapes))} "
            "(without the batch) differ in rank",
            hint="reshape them to one rank first",
        )


@imports("keras", "ops.Add", "ops.Subtract", "ops.Multiply", "ops.Divide", "ops.TrueDivide", "ops.Negative")
def _keras_arithmetic(record: Record, net: NetworkBuilder) -> str:
    """`x + y` and the like on tensors of a functional model, either of which may be a constant."""
    operation = {"TrueDivide": "Divide"}.get(name := record.kind.rpartition(".")[2], name)
    if operation == "Negative":
        return net.add("mul", record.name, [keras.single(record)], {}, {"constant": np.float64(-1.0)})
    kind = {"Add": "add", "Subtract": "sub", "Multiply": "mul", "Divide": "mul"}[operation]
    if len(record.inputs) == 2:
        _same_rank(record, net)
        first, second = record.inputs
        if operation == "Divide":
            second = net.add("activation", f"{record.name}_reciprocal", [second], _INVERSE)
        return net.add(kind, record.name, [first, second])
    x, left = keras.single(record), record.has_array("operand 0")
    constant = np.asarray(record.array("operand 0" if left else "operand 1"), np.float64)
    rank = len(net.shape(x))
    if constant.ndim > rank and constant.shape[0] == 1:
        constant = constant.reshape(constant.shape[1:])
    if constant.ndim > rank:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): a constant of the shape {constant.shape} differs by example"
        )
    if operation == "Divide" and left:
        x = net.add("activation", f"{record.name}_reciprocal", [x], _INVERSE)
    elif operation == "Divide":
        if not np.all(constant):
            raise UnsupportedError(f"layer {record.name!r} ({record.kind}): division by zero")
        constant = 1.0 / constant
    attrs = {"reverse": True} if left and kind == "sub" else {}
    return net.add(kind, record.name, [x], attrs, {"constant": constant})


@imports("keras", "Rescaling")
def _keras_rescaling(record: Record, net: NetworkBuilder) -> str:
    """`Rescaling`: `x · scale + offset`; both are numbers or one per channel."""
    y = keras.single(record)
    scale, offset = np.asarray(record.take("scale", 1.0), float), np.asarray(record.take("offset", 0.0), float)
    y = net.add("mul", record.name, [y], {}, {"constant": scale})
    return net.add("add", f"{record.name}_offset", [y], {}, {"constant": offset}) if np.any(offset) else y
