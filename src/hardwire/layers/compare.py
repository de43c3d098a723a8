"""Comparisons of tensors with each other or with constants: 1 where they hold, else 0.

ONNX `Greater`, `Less`, `GreaterOrEqual`, `LessOrEqual`, `Equal`, `And`, `Or`, `Xor`, `Not`; PyTorch `gt`, `lt`, `ge`,
`le`, `eq`, `ne`, `logical_*`; Keras `ops.Greater` and the like.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import Floats
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _keras as keras
from hardwire.layers import _onnx as onnx
from hardwire.layers import _torch as torch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import element, exact_values, operand_shape, quantised_input
from hardwire.layers._lowering import Lowering, Wire, broadcast
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record

RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "equal": operator.eq,
    "not_equal": operator.ne,
}
"""Attr `relation` and its meaning on arrays."""

_SWAPPED = {"less": "greater", "less_equal": "greater_equal", "greater": "less", "greater_equal": "less_equal"}


class Compare(Layer):
    """Attr `relation` (see `RELATIONS`) of two inputs, or of one and the param `constant` (float64), in this order.

    Attr `held`: the constant marks elements, so that an input whose type has no code for it is an error.
    """

    kind = "compare"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the broadcast shape of both operands."""
        if node.attrs["relation"] not in RELATIONS:
            raise ModelError(f"layer {node.name!r}: relation {node.attrs['relation']!r} is none of {list(RELATIONS)}")
        return operand_shape(node, inputs, "a comparison")

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return 0 and 1."""
        shape = self.shape(node, [x.shape[1:] for x in inputs])
        n = len(inputs[0])
        operands = [x.reshape(n, *(1,) * (len(shape) + 1 - x.ndim), *x.shape[1:]) for x in inputs]
        if "constant" in node.params:
            operands.append(node.params["constant"])
        holds = RELATIONS[node.attrs["relation"]](operands[0], operands[1])
        return np.array(np.broadcast_to(holds, (n, *shape)), np.float64)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One comparison an element: with the code that decides, or of two codes at one exact scale."""
        shape = self.shape(node, [x.shape for x in inputs])
        relation: str = node.attrs["relation"]
        one = np.array(Fraction(1), object)
        if len(inputs) == 2:
            a, b = low.aligned(node, [broadcast(x, shape) for x in inputs])

            def both(builder: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
                return _holds(builder, relation, values[0], values[1])

            return low.elementwise(node, [a, b], both, one)
        x = broadcast(inputs[0], shape)
        scales = x.scales()
        constant = exact_values(node.params["constant"], None, shape)

        def rule(builder: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
            full = element(shape, at)
            bound = constant[full] / scales[full]
            if node.attrs.get("held", False):
                _check_held(node, bound, constant[full], builder.range(values[0]))
            if relation in ("equal", "not_equal") and bound.denominator != 1:
                return builder.const(int(relation == "not_equal"))
            # Between two codes a bound decides as the code below it, or as that above it.
            code = floor(bound) if relation in ("greater", "less_equal") else ceil(bound)
            low_end, high_end = builder.range(values[0])
            return _holds(builder, relation, values[0], builder.const(min(max(code, low_end - 1), high_end + 1)))

        return low.elementwise(node, [x], rule, one, [constant, scales])

    def examples(self) -> Iterator[Example]:
        """Every relation of two tensors and with constants on, off and beyond the grid."""
        for relation in RELATIONS:
            net = NetworkBuilder(f"compare_{relation}")
            x = quantised_input(net, (4,), "s4.1")
            y = quantised_input(net, (4,), "s3.0", "y")
            pair = net.add("compare", "pair", [x, y], {"relation": relation})
            params = {"constant": np.array([0.5, -0.3, 99.0, -99.0])}
            bounds = net.add("compare", "bounds", [x], {"relation": relation}, params)
            yield Example(relation, net.build([pair, bounds]))


def _check_held(node: Node, code: Fraction, value: Fraction, span: tuple[int, int]) -> None:
    if code.denominator != 1 or not span[0] <= code <= span[1]:
        raise ModelError(
            f"layer {node.name!r}: its input has a type without the value {float(value):g}, which marks masked steps",
            hint="an input type that holds it, calibration data with masked steps, or mask_value=0",
        )


def _holds(b: KernelBuilder, relation: str, first: int, second: int) -> int:
    if relation in ("less", "greater"):
        return b.less(first, second) if relation == "less" else b.less(second, first)
    if relation in ("less_equal", "greater_equal"):
        crossed = b.less(second, first) if relation == "less_equal" else b.less(first, second)
        return b.linear([crossed], [-1], 1)
    same = b.equal(first, second)
    return same if relation == "equal" else b.linear([same], [-1], 1)


def _against(net: NetworkBuilder, name: str, relation: str, x: str, constant: NDArray[Any], *, left: bool) -> str:
    """Compare a tensor with a constant, which is the `left` operand or the right one."""
    kind = _SWAPPED.get(relation, relation) if left else relation
    return net.add("compare", name, [x], {"relation": kind}, {"constant": np.asarray(constant, np.float64)})


# --- ONNX

_ONNX = {
    "Less": "less",
    "LessOrEqual": "less_equal",
    "Greater": "greater",
    "GreaterOrEqual": "greater_equal",
    "Equal": "equal",
    "Xor": "not_equal",
}


@imports("onnx", *_ONNX)
def _onnx_compare(record: Record, net: NetworkBuilder) -> str:
    """Of two tensors, or of a tensor and a constant."""
    relation = _ONNX[record.kind]
    if len(record.inputs) == 2:
        _same_rank(record, net)
        return net.add("compare", record.name, list(record.inputs), {"relation": relation})
    (x,) = record.inputs
    left = onnx.has(record, 0)
    values = onnx.constant(record, 0 if left else 1)
    constant = onnx.without_batch(record, values, net.shape(x), "a constant")
    return _against(net, record.name, relation, x, constant, left=left)


@imports("onnx", "And", "Or")
def _onnx_logic(record: Record, net: NetworkBuilder) -> str:
    """Of two tensors of 0 and 1, one of them maybe constant: the smaller, the larger."""
    kind = {"And": "minimum", "Or": "maximum"}[record.kind]
    if len(record.inputs) == 2:
        _same_rank(record, net)
        return net.add(kind, record.name, list(record.inputs))
    (x,) = record.inputs
    values = onnx.constant(record, 0 if onnx.has(record, 0) else 1)
    constant = onnx.without_batch(record, values, net.shape(x), "a constant")
    return net.add(kind, record.name, [x], {}, {"constant": (constant != 0).astype(np.float64)})


@imports("onnx", "Not")
def _onnx_not(record: Record, net: NetworkBuilder) -> str:
    """1 for 0, 0 for 1."""
    return net.add("sub", record.name, [onnx.data(record)], {"reverse": True}, {"constant": np.float64(1.0)})


def _same_rank(record: Record, net: NetworkBuilder) -> None:
    shapes = [net.shape(tensor) for tensor in record.inputs]
    if len({len(shape) for shape in shapes}) > 1:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): operands of different rank would mix the batch",
            hint="reshape them to one rank first",
        )


# --- PyTorch

_TORCH = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal"}


@imports("torch", *(f"aten.{op}.{form}" for op in _TORCH for form in ("Tensor", "Scalar")))
def _torch_compare(record: Record, net: NetworkBuilder) -> str:
    """`a < b` and the like; either may be a constant."""
    relation = _TORCH[record.kind.split(".")[1]]
    if len(record.inputs) == 2:
        torch.same_rank(record, net)
        return net.add("compare", record.name, list(record.inputs), {"relation": relation})
    x = torch.single(record)
    if record.has_array("0") or record.has_array("1"):
        left = record.has_array("0")
        constant = torch.constant(record, 0 if left else 1, len(net.shape(x)))
    else:
        left, constant = False, np.asarray(torch.number(record, "other"))
    return _against(net, record.name, relation, x, constant, left=left)


# --- Keras

_KERAS = {
    "Less": "less",
    "LessEqual": "less_equal",
    "Greater": "greater",
    "GreaterEqual": "greater_equal",
    "Equal": "equal",
    "NotEqual": "not_equal",
}


@imports("keras", *(f"ops.{name}" for name in _KERAS))
def _keras_compare(record: Record, net: NetworkBuilder) -> str:
    """`keras.ops.less` and the like; either operand may be a constant."""
    relation = _KERAS[record.kind.rpartition(".")[2]]
    if len(record.inputs) == 2:
        _same_rank(record, net)
        return net.add("compare", record.name, list(record.inputs), {"relation": relation})
    x = keras.single(record)
    left = record.has_array("operand 0")
    constant = record.array("operand 0" if left else "operand 1")
    return _against(net, record.name, relation, x, constant, left=left)
