"""A tensor that is the same for every example, where an operator joins or compares it with computed ones.

Import rules make it of constant operands of concatenations, choices and products; it costs no logic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.fixed import Floats
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _torch as torch
from hardwire.layers._base import Example, Layer
from hardwire.layers._elements import exact_values, multiple, quantised_input, units
from hardwire.layers._lowering import Lowering, Part, Wire
from hardwire.layers._scales import common_scale
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record


class Constant(Layer):
    """Param `value` (float64 or int64, the output's shape); the input only says how many examples there are."""

    kind = "constant"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the value's shape."""
        return tuple(node.params["value"].shape)

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the value for each example."""
        value = node.params["value"]
        return np.array(np.broadcast_to(value, (len(inputs[0]), *value.shape)), np.float64)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One kernel without inputs, at one exact scale."""
        value = node.params["value"]
        steps = {step for step in units(value, None, value.shape).ravel().tolist() if step}
        scale = common_scale(steps) if steps else Fraction(1)
        nothing = np.zeros(0, np.int64)
        builder = KernelBuilder(node.name, nothing, nothing)
        exact: list[Any] = exact_values(value, None, value.shape).ravel().tolist()
        kernel = builder.build([builder.const(multiple(node, each, scale, "constant")) for each in exact])
        return low.assemble(node, [Part(kernel, [], np.zeros(1, np.int32))], value.shape, np.array(scale, object))

    def examples(self) -> Iterator[Example]:
        """Joined to a tensor, and compared with one."""
        net = NetworkBuilder("constant_joined")
        x = quantised_input(net, (2,), "s4.1")
        one = net.add("constant", "token", [x], {}, {"value": np.array([0.75, -3.0, 0.0])})
        y = net.add("concat", "joined", [x, one], {"axis": 0})
        yield Example("joined", net.build([net.add("relu", "relu", [y])]))
        net = NetworkBuilder("constant_product")
        x = quantised_input(net, (2, 2), "s4.1")
        matrix = net.add("constant", "matrix", [x], {}, {"value": np.array([[1.0, -2.5], [0.5, 3.0]])})
        yield Example("product", net.build([net.add("matmul", "product", [x, matrix])]))


def constant_tensor(net: NetworkBuilder, name: str, like: str, value: NDArray[Any]) -> str:
    """Add a constant tensor of `value` (without the batch); `like` is any computed tensor."""
    kept = np.asarray(value)
    kept = kept.astype(np.float64 if kept.dtype.kind == "f" else np.int64)
    return net.add("constant", name, [like], {}, {"value": kept})


def torch_operand(record: Record, net: NetworkBuilder, position: int, rank: int | None = None) -> str:
    """Return operand `position` of a PyTorch record as a tensor; a constant becomes one, of `rank` axes at most."""
    key = str(position)
    if not record.has_array(key):
        return record.inputs[record.versions["positions"].index(position)]
    like = record.inputs[0]
    most = max(len(net.shape(tensor)) for tensor in record.inputs)
    value = torch.constant(record, position, most if rank is None else rank)
    return constant_tensor(net, f"{record.name}_operand{position}", like, value)
