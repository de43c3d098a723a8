"""ONNX tensors whose batch is not on axis 0: sequences in the order (time, batch, features), and final states.

In the Network they are as all others, without the batch; the walk keeps the batch's place beside them. `follow` gives
the meaning of the operators that usually stand around recurrent ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.layers._onnx import BATCH
from hardwire.layers.slicing import gathered, take
from hardwire.network.graph import NetworkBuilder

RECURRENT = ("RNN", "LSTM", "GRU")
ANYWHERE = ("Relu", "Tanh", "Sigmoid", "LeakyRelu", "Elu", "Selu", "Softplus", "Softsign")
"""Operators that read single elements."""


def places(op: str, layout: int) -> list[int]:
    """Place of the batch in the outputs of a recurrent operator."""
    return [2, 1, 1] if layout == 0 else [0, 0, 0]


def follow(
    op: str,
    attrs: Mapping[str, Any],
    operands: Sequence[NDArray[Any] | None],
    net: NetworkBuilder,
    name: str,
    tensors: Sequence[str],
    place: int,
) -> tuple[str, int] | None:
    """Result of an operator on tensors with the batch at `place`, and its place there; None for what is not followed.

    `attrs` are the file's; `operands` the constant operands by position, None for computed ones.
    """
    if op == "Concat" and not any(operand is not None for operand in operands):
        axis = int(attrs["axis"]) % (len(net.shape(tensors[0])) + 1)
        if axis == place:
            return None
        return net.add("concat", name, list(tensors), {"axis": axis - (axis > place)}), place
    if len(tensors) != 1:
        return None
    (x,) = tensors
    shape = net.shape(x)
    full = len(shape) + 1

    def inner(axis: int) -> int:
        return axis % full - (axis % full > place)

    if op == "Transpose":
        perm = [int(axis) for axis in attrs.get("perm", range(full)[::-1])]
        if sorted(perm) != list(range(full)):
            return None
        kept = tuple(inner(axis) for axis in perm if axis != place)
        y = x if kept == tuple(range(len(shape))) else net.add("transpose", name, [x], {"perm": kept})
        return y, perm.index(place)
    if op == "Squeeze":
        listed = attrs.get("axes") if len(operands) < 2 or operands[1] is None else operands[1].ravel().tolist()
        if listed is None or any(axis % full == place or shape[inner(axis)] != 1 for axis in listed):
            return None
        gone = {axis % full for axis in listed}
        left = tuple(dim for axis, dim in enumerate(shape) if axis + (axis >= place) not in gone)
        return net.add("reshape", name, [x], {"shape": left}), place - sum(axis < place for axis in gone)
    if op == "Reshape" and len(operands) > 1 and operands[1] is not None:
        target = operands[1].ravel().tolist()
        before = list(shape[:place])
        fits = len(target) > place and target[place] in (0, BATCH) and not attrs.get("allowzero")
        if not fits or any(want not in (0, have) for want, have in zip(target, before, strict=False)):
            return None
        rest = target[place + 1 :]
        if 0 in rest or BATCH in rest or rest.count(-1) > 1:
            return None
        return net.add("reshape", name, [x], {"shape": (*before, *rest)}), place
    axis = int(attrs.get("axis", 0)) % full
    if op == "Gather" and len(operands) > 1 and operands[1] is not None and axis != place:
        indices = np.asarray(operands[1], np.int64)
        y = gathered(net, name, x, inner(axis), indices)
        return y, place + (indices.ndim - 1 if axis < place else 0)
    if op == "Slice" and all(operand is not None for operand in operands[1:]) and len(operands) > 1:
        values = [np.asarray(operand).ravel().tolist() for operand in operands[1:]]
        starts, ends = values[:2]
        axes = values[2] if len(values) > 2 else list(range(len(starts)))
        steps = values[3] if len(values) > 3 else [1] * len(starts)
        for i, (start, end, along, step) in enumerate(zip(starts, ends, axes, steps, strict=True)):
            if along % full == place:
                return None
            chosen = range(shape[inner(along)])[slice(start, end if end >= -(1 << 31) else None, step)]
            x = take(net, f"{name}_{i}" if i + 1 < len(starts) else name, x, inner(along), chosen)
        return x, place
    return None
