"""Smallest, largest and mean of several tensors, element by element, and the choice between two by a third.

ONNX `Min`, `Max`, `Mean`, `Where`; PyTorch `minimum`, `maximum`, `where`; Keras `Minimum`, `Maximum`, `Average`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from hardwire.layers._elements import element, exact_values, joint_scale, multiple, quantised_input, units
from hardwire.layers._lowering import Lowering, Wire, broadcast
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record


class _Nary(Layer):
    """Any number of tensors that broadcast, and the param `constant` (float64), which counts as one more."""

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the broadcast shape."""
        operands = [*inputs, node.params["constant"].shape] if "constant" in node.params else list(inputs)
        try:
            return tuple(np.broadcast_shapes(*operands))
        except ValueError:
            raise ModelError(f"layer {node.name!r}: shapes {', '.join(map(str, operands))} do not broadcast") from None

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the float64 result."""
        shape = self.shape(node, [x.shape[1:] for x in inputs])
        n = len(inputs[0])
        spread = [
            np.broadcast_to(x.reshape(n, *(1,) * (len(shape) + 1 - x.ndim), *x.shape[1:]), (n, *shape)) for x in inputs
        ]
        if "constant" in node.params:
            spread.append(np.broadcast_to(node.params["constant"], (n, *shape)))
        return np.asarray(self.combine(np.stack(spread)), np.float64)

    def combine(self, stacked: Floats) -> Floats:
        """Return the result over axis 0."""
        raise NotImplementedError

    def element(self, b: KernelBuilder, values: list[int]) -> int:
        """Return the result of values at one scale."""
        raise NotImplementedError

    def divisor(self, count: int) -> int:
        """By what the result's scale is divided."""
        return 1

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Bring all operands to one exact scale, then one tree an element."""
        shape = self.shape(node, [x.shape for x in inputs])
        wires = [broadcast(x, shape) for x in inputs]
        own = [x.scales() for x in wires]
        extra: list[NDArray[Any]] = []
        if "constant" in node.params:
            constant = exact_values(node.params["constant"], None, shape)
            extra.append(constant)
            scale = joint_scale(shape, *own, units(node.params["constant"], None, shape))
        else:
            scale = joint_scale(shape, *own)

        def rule(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
            full = element(shape, at)
            operands = [
                b.linear([value], [multiple(node, unit[full], scale[full], "scale")])
                for value, unit in zip(values, own, strict=True)
            ]
            operands += [b.const(multiple(node, value[full], scale[full], "constant")) for value in extra]
            return self.element(b, operands)

        count = len(inputs) + len(extra)
        y = low.elementwise(node, wires, rule, scale, [*own, *extra])
        return y.view(y.index, y.scales() / self.divisor(count))

    def examples(self) -> Iterator[Example]:
        """Three tensors of different scales, broadcasting, and a constant."""
        net = NetworkBuilder(f"{self.kind}_three")
        x = quantised_input(net, (2, 3), "s5.2")
        half = net.add("mul", "scaled", [x], {}, {"constant": np.array([0.375, -0.5, 3.0])})
        column = net.add("dense", "fc", [x], {}, {"kernel": np.array([[0.5], [-0.25], [1.0]])})
        yield Example("three", net.build([net.add(self.kind, "join", [x, half, column])]))
        net = NetworkBuilder(f"{self.kind}_constant")
        x = quantised_input(net, (2, 3), "s5.2")
        params = {"constant": np.array([0.3125, -1.0, 99.0])}
        yield Example("constant", net.build([net.add(self.kind, "join", [x], {}, params)]))


class Minimum(_Nary):
    """Smallest of the operands."""

    kind = "minimum"

    def combine(self, stacked: Floats) -> Floats:
        """Return the minimum."""
        return np.asarray(stacked.min(axis=0))

    def element(self, b: KernelBuilder, values: list[int]) -> int:
        """MIN after MIN."""
        first, *rest = values
        for value in rest:
            first = b.min(first, value)
        return first


class Maximum(_Nary):
    """Largest of the operands."""

    kind = "maximum"

    def combine(self, stacked: Floats) -> Floats:
        """Return the maximum."""
        return np.asarray(stacked.max(axis=0))

    def element(self, b: KernelBuilder, values: list[int]) -> int:
        """MAX after MAX."""
        first, *rest = values
        for value in rest:
            first = b.max(first, value)
        return first


class Average(_Nary):
    """Mean of the operands: their sum at the scale divided by their number."""

    kind = "average"

    def combine(self, stacked: Floats) -> Floats:
        """Return the mean."""
        return np.asarray(stacked.mean(axis=0))

    def element(self, b: KernelBuilder, values: list[int]) -> int:
        """One LINEAR."""
        return b.linear(values, [1] * len(values))

    def divisor(self, count: int) -> int:
        """Return the number of operands."""
        return count


class Where(Layer):
    """`yes` where the first input is not 0, else `no`: the second and third input, which broadcast."""

    kind = "where"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the broadcast shape."""
        try:
            return tuple(np.broadcast_shapes(*inputs))
        except ValueError:
            raise ModelError(f"layer {node.name!r}: shapes {', '.join(map(str, inputs))} do not broadcast") from None

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the chosen values."""
        shape = self.shape(node, [x.shape[1:] for x in inputs])
        n = len(inputs[0])
        cond, yes, no = (
            np.broadcast_to(x.reshape(n, *(1,) * (len(shape) + 1 - x.ndim), *x.shape[1:]), (n, *shape)) for x in inputs
        )
        return np.where(cond != 0, yes, no)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One SELECT an element, of values at one exact scale."""
        shape = self.shape(node, [x.shape for x in inputs])
        cond, yes, no = (broadcast(x, shape) for x in inputs)
        yes, no = low.aligned(node, [yes, no])

        def rule(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
            return b.select(values[0], values[1], values[2])

        return low.elementwise(node, [cond, yes, no], rule, yes.scales())

    def examples(self) -> Iterator[Example]:
        """A choice by a few-bit tensor between two of different scales."""
        net = NetworkBuilder("where")
        cond = quantised_input(net, (3,), "u1.0", "cond")
        x = quantised_input(net, (2, 3), "s4.2")
        other = net.add("mul", "scaled", [x], {}, {"constant": np.array([0.375, -0.5, 3.0])})
        yield Example("tensors", net.build([net.add("where", "where", [cond, x, other])]))


def chosen(net: NetworkBuilder, name: str, mask: NDArray[Any], yes: str, no: str) -> str:
    """`where` with a constant mask: a view of both tensors, free of cost."""
    shape = np.broadcast_shapes(mask.shape, net.shape(yes), net.shape(no))
    picks = []
    flat = []
    start = 0
    for label, tensor in (("yes", yes), ("no", no)):
        size = int(np.prod(net.shape(tensor), dtype=np.int64))
        picks.append(np.broadcast_to(np.arange(start, start + size).reshape(net.shape(tensor)), shape))
        flat.append(net.add("reshape", f"{name}_{label}", [tensor], {"shape": (size,)}))
        start += size
    both = net.add("concat", f"{name}_both", flat, {"axis": 0})
    indices = tuple(np.where(mask, picks[0], picks[1]).ravel().tolist())
    taken = net.add("take", f"{name}_taken", [both], {"axis": 0, "indices": indices})
    return net.add("reshape", name, [taken], {"shape": shape})


def masked(net: NetworkBuilder, name: str, mask: NDArray[Any], x: str, other: NDArray[Any], *, keep: bool) -> str:
    """Return `where` with a constant mask of a tensor and a constant; `keep`: the tensor is where the mask is set."""
    keeps = np.asarray(mask, bool) if keep else ~np.asarray(mask, bool)
    y = net.add("mul", f"{name}_kept", [x], {}, {"constant": keeps.astype(np.float64)})
    filled = np.where(keeps, 0.0, np.asarray(other, np.float64))
    return net.add("add", name, [y], {}, {"constant": filled})


# --- ONNX

_ONNX = {"Min": "minimum", "Max": "maximum", "Mean": "average"}


@imports("onnx", *_ONNX)
def _onnx_nary(record: Record, net: NetworkBuilder) -> str:
    """Any number of tensors; of constants one at most for `Mean`."""
    ranks = {len(net.shape(tensor)) for tensor in record.inputs}
    if len(ranks) > 1:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): operands of different rank would mix the batch")
    shape = (1,) * ranks.pop()
    wide = np.broadcast_shapes(*(net.shape(tensor) for tensor in record.inputs))
    constants = [
        onnx.without_batch(record, onnx.constant(record, position).astype(np.float64), shape, "a constant")
        for position in range(len(record.inputs) + 64)
        if onnx.has(record, position)
    ]
    params: dict[str, Any] = {}
    if constants:
        if record.kind == "Mean" and len(constants) > 1:
            raise UnsupportedError(f"layer {record.name!r} (Mean): {len(constants)} constants; one is supported")
        combine = np.minimum.reduce if record.kind == "Min" else np.maximum.reduce
        params["constant"] = combine(np.broadcast_arrays(*constants, np.zeros(wide))[:-1])
    if len(record.inputs) == 1:
        if not params:
            return record.inputs[0]
        bound = params["constant"]
        if record.kind != "Mean" and np.all(bound == bound.flat[0]):
            # A clip, which a quantiser behind it can take over; the largest float32 and beyond are no bound.
            number = float(bound.flat[0])
            if np.isnan(number):
                raise ModelError(f"layer {record.name!r} ({record.kind}): a bound that is not a number")
            limits = {"lo": None, "hi": None, "hi" if record.kind == "Min" else "lo": number}
            far = float(np.finfo(np.float32).max)
            if number >= far if record.kind == "Min" else number <= -far:
                limits = {"lo": None, "hi": None}
            return net.add("clip", record.name, list(record.inputs), limits)
    return net.add(_ONNX[record.kind], record.name, list(record.inputs), {}, params)


@imports("onnx", "Where")
def _onnx_where(record: Record, net: NetworkBuilder) -> str:
    """A choice by a constant or a computed condition; one of both branches may be a constant."""
    variables = tuple(record.versions["variables"])
    by_position = dict(zip(variables, record.inputs, strict=True))
    if len({len(net.shape(tensor)) for tensor in record.inputs}) > 1:
        raise UnsupportedError(f"layer {record.name!r} (Where): operands of different rank would mix the batch")
    rank = (1,) * len(net.shape(record.inputs[0]))
    constants = {
        position: onnx.without_batch(record, onnx.constant(record, position), rank, "a constant")
        for position in range(3)
        if onnx.has(record, position)
    }
    if 0 in by_position:
        if constants:
            return _chosen_constants(record, net, by_position, constants)
        return net.add("where", record.name, [by_position[0], by_position[1], by_position[2]])
    mask = constants[0] != 0
    if not constants.keys() - {0}:
        return chosen(net, record.name, mask, by_position[1], by_position[2])
    keep = 1 in by_position
    other = constants[2 if keep else 1].astype(np.float64)
    shape = np.broadcast_shapes(net.shape(record.inputs[0]), mask.shape, other.shape)
    return masked(net, record.name, np.broadcast_to(mask, shape), record.inputs[0], other, keep=keep)


def _chosen_constants(
    record: Record, net: NetworkBuilder, tensors: dict[int, str], constants: dict[int, NDArray[Any]]
) -> str:
    """A computed condition with a constant branch, which becomes a tensor of the condition's shape."""
    cond = tensors[0]
    branches = []
    for position in (1, 2):
        if position in tensors:
            branches.append(tensors[position])
            continue
        zero = net.add("mul", f"{record.name}_zero{position}", [cond], {}, {"constant": np.float64(0.0)})
        constant = {"constant": constants[position].astype(np.float64)}
        branches.append(net.add("add", f"{record.name}_constant{position}", [zero], {}, constant))
    return net.add("where", record.name, [cond, *branches])


# --- PyTorch


@imports(
    "torch",
    "aten.minimum.default",
    "aten.maximum.default",
    "aten.min.other",
    "aten.max.other",
    "aten.fmin.default",
    "aten.fmax.default",
)
def _torch_extremum(record: Record, net: NetworkBuilder) -> str:
    """`minimum(a, b)`, `maximum(a, b)`, either of them a constant."""
    kind = "minimum" if "min" in record.kind else "maximum"
    if len(record.inputs) == 2:
        torch.same_rank(record, net)
        return net.add(kind, record.name, list(record.inputs))
    x = torch.single(record)
    position = 0 if record.has_array("0") else 1
    constant = torch.constant(record, position, len(net.shape(x))).astype(np.float64)
    return net.add(kind, record.name, [x], {}, {"constant": constant})


# --- Keras

_KERAS = {"Minimum": "minimum", "Maximum": "maximum", "Average": "average"}


@imports("keras", *_KERAS, "ops.Minimum", "ops.Maximum")
def _keras_nary(record: Record, net: NetworkBuilder) -> str:
    """`Minimum`, `Maximum`, `Average` of tensors of one rank; `ops` of a constant too."""
    tensors = list(record.inputs)
    if not record.kind.startswith("ops."):
        tensors = keras.one_rank(net, record.name, tensors)
    if len({len(net.shape(tensor)) for tensor in tensors}) > 1:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): inputs differ in rank", hint="reshape them to one rank first"
        )
    params: dict[str, Any] = {}
    for operand in ("operand 0", "operand 1"):
        if record.has_array(operand):
            constant = np.asarray(record.array(operand), np.float64)
            while constant.ndim > len(net.shape(tensors[0])) and constant.shape[0] == 1:
                constant = constant[0]
            params["constant"] = constant
    if not params and len(tensors) < 2:
        return keras.single(record)
    return net.add(_KERAS[record.kind.rpartition(".")[2]], record.name, tensors, {}, params)
