"""ONNX tensors whose batch is not axis 0: on another axis, or merged with others into one.

Sequences in the order (time, batch, features), final states, the (time, batch·heads, features) of exported attention.
In the Network they are as all others, without the batch; the walk keeps a `Place` beside them. `follow` gives the
meaning of the operators that usually stand around.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.frontends._onnx_constants import BATCHES, Constant
from hardwire.frontends._torch_places import FRONT, Place, Sizes, broadcast_beside, permuted, regrouped
from hardwire.layers.slicing import gathered, take
from hardwire.network.graph import NetworkBuilder

RECURRENT = ("RNN", "LSTM", "GRU")
_ELEMENTS = (
    *("Relu", "Tanh", "Sigmoid", "LeakyRelu", "Elu", "Selu", "Softplus", "Softsign", "Erf", "Sqrt", "Exp", "Gelu"),
    *(
        "HardSigmoid",
        "HardSwish",
        "Mish",
        "Neg",
        "Abs",
        "Reciprocal",
        "Clip",
        "Pow",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Where",
    ),
)
"""Operators on single elements; constants among their operands broadcast."""
_ALONG = ("Softmax", "LogSoftmax", "LayerNormalization", "RMSNormalization")
"""Operators along `axis`, and those behind it."""
_REDUCE = (
    *("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum"),
    *("ReduceLogSumExp", "ReduceProd"),
)
"""Operators that take away the axes `axes`, an attribute or operand 1, or leave them with one element."""


@dataclass(frozen=True)
class Step:
    """What `follow` makes of an operator: a `result`, or attributes and operands for its own rule."""

    place: Place
    result: str | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)
    operands: Sequence[Constant | None] = ()
    inputs: Sequence[str] = ()
    """Tensors for the rule to read in place of the operator's own."""


def places(op: str, layout: int) -> list[int]:
    """Axis of the batch in the outputs of a recurrent operator."""
    return [2, 1, 1] if layout == 0 else [0, 0, 0]


def follow(
    op: str,
    attrs: Mapping[str, Any],
    operands: Sequence[Constant | None],
    net: NetworkBuilder,
    name: str,
    tensors: Sequence[str],
    place: Place,
    batch: int | None,
    opset: int,
) -> Step | None:
    """What becomes of an operator on tensors with the batch at `place`; None for what is not followed.

    `attrs` are the file's; `operands` by position, None for computed ones; `batch` the model's, None where it is open.
    A batch that is always one may be seen on any axis.
    """
    step = _followed(op, attrs, operands, net, name, tensors, place, batch, opset)
    if step is not None or batch != 1 or place == FRONT:
        return step
    for axis in range(len(_sizes(net.shape(tensors[0]), place, 1))):
        moved = [seen_at(net, name, tensor, place, axis) for tensor in tensors]
        if len({other for _, other in moved}) > 1:
            return None
        names = [tensor for tensor, _ in moved]
        step = _followed(op, attrs, operands, net, name, names, moved[0][1], batch, opset)
        if step is not None:
            return step if step.result is not None else replace(step, inputs=names)
    return None


def seen_at(net: NetworkBuilder, name: str, tensor: str, place: Place, axis: int) -> tuple[str, Place]:
    """The tensor with a batch of one seen on another axis of the file's tensor."""
    sizes = _numbers(_sizes(net.shape(tensor), place, 1))
    other = Place(axis, sizes[axis])
    shape = {"shape": (*sizes[:axis], *other.factors, *sizes[axis + 1 :])}
    return net.add("reshape", f"{name}_seen", [tensor], shape), other


def _sizes(shape: Sequence[int], place: Place, batch: int | None) -> list[int | str]:
    """Sizes of the file's tensor."""
    merged = "batch" if batch is None else place.outer * place.inner * batch
    return [*shape[: place.axis], merged, *shape[place.axis + len(place.factors) :]]


def _followed(
    op: str,
    attrs: Mapping[str, Any],
    operands: Sequence[Constant | None],
    net: NetworkBuilder,
    name: str,
    tensors: Sequence[str],
    place: Place,
    batch: int | None,
    opset: int,
) -> Step | None:
    x = tensors[0]
    shape = net.shape(x)
    full = len(shape) - len(place.factors) + 1
    constants = [None if operand is None else operand.array for operand in operands]
    plain = not any(operand is not None and operand.other is not None for operand in operands)
    if op == "Transpose":
        perm = [int(axis) for axis in attrs.get("perm", range(full)[::-1])]
        if sorted(perm) != list(range(full)):
            return None
        y, moved = permuted(net, name, x, place, perm)
        return Step(moved, y)
    if op in ("Reshape", "Squeeze", "Unsqueeze", "Flatten") and len(tensors) == 1:
        return _viewed(op, attrs, operands, net, name, x, place, batch)
    if place == FRONT or not plain:
        return None
    if op in _ELEMENTS:
        fixed = [None if part is None else broadcast_beside(part, place, full) for part in constants]
        lost = any((a is None) != (b is None) for a, b in zip(constants, fixed, strict=True))
        scaled = any(operand is not None and operand.scale is not None for operand in operands)
        if lost or scaled or len({len(net.shape(tensor)) for tensor in tensors}) > 1:
            return None
        changed = [
            None if operand is None or array is None else replace(operand, array=array)
            for operand, array in zip(operands, fixed, strict=True)
        ]
        return Step(place, None, attrs, changed)
    if op == "MatMul":
        rank = max((len(part.shape) for part in constants if part is not None), default=0)
        fits = place.axis < full - (1 if constants[-1] is not None and rank <= 2 else 2)
        return Step(place, None, attrs, operands) if fits and rank <= 2 else None
    if op == "Gemm":
        fits = place.axis == 0 and not attrs.get("transA") and constants[0] is None
        return Step(place, None, attrs, operands) if fits else None
    if op in _ALONG:
        axis = int(attrs.get("axis", -1 if opset >= 13 or "Norm" in op else 1)) % full
        own = place.own(axis, full)
        if own is None or axis < place.axis or (opset < 13 and axis != full - 1):
            return None
        return Step(place, None, {**attrs, "axis": own + 1}, operands)
    if op in _REDUCE:
        return _reduced(attrs, operands, place, full)
    axis = int(attrs.get("axis", 0)) % full
    own = place.own(axis, full)
    if op == "Split" and own is not None:
        return Step(place, None, {**attrs, "axis": own + 1}, operands)
    if op == "Concat" and all(part is None for part in constants) and own is not None:
        return Step(place, net.add("concat", name, list(tensors), {"axis": own}))
    if len(tensors) != 1:
        return None
    if op == "Gather" and len(constants) > 1 and constants[1] is not None and own is not None:
        indices = np.asarray(constants[1], np.int64)
        y = gathered(net, name, x, own, indices)
        return Step(replace(place, axis=place.axis + (indices.ndim - 1 if axis < place.axis else 0)), y)
    if op == "Slice" and len(constants) > 2 and all(part is not None for part in constants[1:]):
        return _sliced(constants[1:], net, name, x, place, full)
    return None


def _reduced(attrs: Mapping[str, Any], operands: Sequence[Constant | None], place: Place, full: int) -> Step | None:
    """A reduction over other axes than the batch's."""
    second = operands[1] if len(operands) > 1 else None
    listed = attrs.get("axes") if second is None else second.array.ravel().tolist()
    own = [place.own(int(axis), full) for axis in listed or ()]
    if not own or any(axis is None for axis in own):
        return None
    counted = [axis + 1 for axis in own if axis is not None]
    before = 0 if attrs.get("keepdims", 1) else sum(int(axis) % full < place.axis for axis in listed or ())
    moved = replace(place, axis=place.axis - before)
    if second is None:
        return Step(moved, None, {**attrs, "axes": counted}, operands)
    return Step(moved, None, attrs, [operands[0], Constant(np.array(counted, np.int64)), *operands[2:]])


def _viewed(
    op: str,
    attrs: Mapping[str, Any],
    operands: Sequence[Constant | None],
    net: NetworkBuilder,
    name: str,
    x: str,
    place: Place,
    batch: int | None,
) -> Step | None:
    """Reshape, squeeze, unsqueeze or flatten a tensor; None where its own rule does, with the batch in front."""
    shape = net.shape(x)
    sizes = _sizes(shape, place, batch)
    full = len(sizes)
    second = operands[1] if len(operands) > 1 else None
    if op == "Flatten":
        return None
    if op == "Reshape":
        if second is None or (attrs.get("allowzero") and not np.all(second.array)):
            return None
        found = _target(second, sizes, prod(shape), batch)
        if found is None:
            return None
        wanted = found
        if place == FRONT and wanted[:1] in (["batch"], [batch]) and prod(_numbers(wanted[1:])) == prod(shape):
            return None
    else:
        if place == FRONT and op == "Squeeze":
            return None
        listed = second.array.ravel().tolist() if second is not None else attrs.get("axes")
        if listed is None:
            return None
        wanted = list(sizes)
        if op == "Squeeze":
            gone = {int(axis) % full for axis in listed}
            if place.axis in gone or any(sizes[axis] != 1 for axis in gone):
                return None
            wanted = [size for axis, size in enumerate(sizes) if axis not in gone]
            moved = replace(place, axis=place.axis - sum(axis < place.axis for axis in gone))
        else:
            rank = full + len(listed)
            fresh = {int(axis) % rank for axis in listed}
            rest = iter(range(full))
            order = [None if axis in fresh else next(rest) for axis in range(rank)]
            moved = replace(place, axis=order.index(place.axis))
            if moved == FRONT:
                return None
            wanted = [1 if axis is None else sizes[axis] for axis in order]
        new = (*_numbers(wanted[: moved.axis]), *moved.factors, *_numbers(wanted[moved.axis + 1 :]))
        return Step(moved, net.add("reshape", name, [x], {"shape": new}))
    result = regrouped(net, name, x, place, wanted, "batch" if batch is None else batch)
    return None if result is None else Step(result[1], result[0])


def only_value(constant: Constant | None) -> float | None:
    """The one value of all elements of a constant, whatever the batch size; None where they differ."""
    if constant is None:
        return None
    values = {*np.ravel(constant.real()).tolist(), *np.ravel(constant.real(1)).tolist()}
    return float(values.pop()) if len(values) == 1 else None


def example_norm(node: Any, makers: Mapping[str, Any], value: Callable[[str], Constant | None]) -> float | None:
    """Epsilon of a `BatchNormalization` of (1, examples, features, 1) by each example's own mean and variance.

    So tf2onnx writes Keras's layer normalisation: `Squeeze(ReduceMean(x))` and `ReduceSumSquare(x - mean) / count` over
    all axes but 1. None for anything else.
    """

    def maker(key: str, op: str) -> Any:
        found = makers.get(key)
        return found if found is not None and found.op_type == op else None

    def over_all_but_one(found: Any, wanted: int) -> bool:
        listed = next((list(a.ints) for a in found.attribute if a.name == "axes"), None)
        if listed is None and len(found.input) > 1:
            operand = value(found.input[1])
            listed = None if operand is None else operand.array.ravel().tolist()
        return listed is not None and sorted(listed) == [0, *range(2, wanted)]

    attrs = {a.name: a for a in node.attribute}
    mean, division = maker(node.input[3], "Squeeze"), maker(node.input[4], "Div")
    mean = maker(mean.input[0], "ReduceMean") if mean is not None else None
    squares = maker(division.input[0], "ReduceSumSquare") if division is not None else None
    centred = maker(squares.input[0], "Sub") if squares is not None else None
    if mean is None or division is None or squares is None or centred is None or "training_mode" in attrs:
        return None
    if mean.input[0] != node.input[0] or list(centred.input) != [node.input[0], mean.output[0]]:
        return None
    if not over_all_but_one(mean, 4) or not over_all_but_one(squares, 4):
        return None
    count, shape = only_value(value(division.input[1])), maker(node.input[0], "Reshape")
    target = value(shape.input[1]) if shape is not None else None
    if count is None or target is None or list(target.array[[0, 3]]) != [1, 1] or target.array[2] != count:
        return None
    return float(attrs["epsilon"].f) if "epsilon" in attrs else 1e-5


def _numbers(sizes: Sizes) -> list[int]:
    return [int(size) for size in sizes]


def _target(target: Constant, sizes: Sizes, total: int, batch: int | None) -> list[int | str] | None:
    """Sizes that a Reshape makes of a tensor with `sizes`, whose examples have `total` elements; None if unclear."""
    first = [int(entry) for entry in target.array.ravel()]
    other = first if target.other is None else [int(entry) for entry in target.other.ravel()]
    if len(other) != len(first) or any(entry < -1 for entry in first):
        return None
    wanted: list[int | str] = []
    for k, (a, b) in enumerate(zip(first, other, strict=True)):
        if a != b:
            if a * BATCHES[1] != b * BATCHES[0]:
                return None
            wanted.append("batch" if batch is None else a // BATCHES[0] * batch)
        elif a == 0:
            if k >= len(sizes):
                return None
            wanted.append(sizes[k])
        else:
            wanted.append(a)
    if -1 in wanted:
        at = wanted.index(-1)
        others = [size for k, size in enumerate(wanted) if k != at]
        if batch is None and "batch" not in others:
            wanted[at] = "batch"
        else:
            # A merged batch is `coefficient · batch`; what is left of the elements is the open entry.
            known = prod(size for size in others if isinstance(size, int))
            if batch is None:
                merged = [a // BATCHES[0] for a, b in zip(first, other, strict=True) if a != b] or [
                    1 for size in others if size == "batch"
                ]
                wanted[at] = total // (known * merged[0]) if known else 0
            else:
                wanted[at] = total * batch // known if known else 0
    return wanted if wanted.count("batch") <= 1 else None


def _sliced(
    constants: Sequence[NDArray[Any] | None], net: NetworkBuilder, name: str, x: str, place: Place, full: int
) -> Step | None:
    values = [np.asarray(part).ravel().tolist() for part in constants]
    starts, ends = values[:2]
    axes = values[2] if len(values) > 2 else list(range(len(starts)))
    steps = values[3] if len(values) > 3 else [1] * len(starts)
    for i, (start, end, along, step) in enumerate(zip(starts, ends, axes, steps, strict=True)):
        own = place.own(int(along), full)
        if own is None:
            return None
        chosen = range(net.shape(x)[own])[slice(start, end if end >= -(1 << 31) else None, step)]
        x = take(net, f"{name}_{i}" if i + 1 < len(starts) else name, x, own, chosen)
    return Step(place, x)
