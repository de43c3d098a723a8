"""Operators of hardwire's own training modules (`hardwire.nn`) in exported PyTorch programs."""

from __future__ import annotations

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Overflow, Rounding
from hardwire.layers import _torch as torch
from hardwire.layers._base import imports
from hardwire.layers.softmax import SoftmaxTables
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser


@imports("torch", "hardwire.quantise.default")
def _quantise(record: Record, net: NetworkBuilder) -> str:
    """A quantiser with constant grid."""
    x = torch.single(record)
    rank = len(net.shape(x))
    scale, lo, hi = (torch.constant(record, k, rank).astype(np.float64) for k in (1, 2, 3))
    rounding, overflow = Rounding[record.take("rounding")], Overflow[record.take("overflow")]
    quantiser = Quantiser(scale, lo.astype(np.int64), hi.astype(np.int64), rounding, overflow)
    return net.add("quantise", record.name, [x], {"quantiser": quantiser})


@imports("torch", "hardwire.activation.default")
def _activation(record: Record, net: NetworkBuilder) -> str:
    """A function of one number, by the name that `layers.activation` has for it."""
    names, values = str(record.take("names")).split(","), record.take("values")
    arguments = {name: float(value) for name, value in zip(names if values else [], values, strict=True)}
    attrs = {"function": str(record.take("function")), "arguments": arguments, "output": None}
    return net.add("activation", record.name, [torch.single(record)], attrs)


@imports("torch", "hardwire.softmax.default")
def _softmax(record: Record, net: NetworkBuilder) -> str:
    """A softmax with its tables, and a mask that is constant or computed."""
    x, *masks = record.inputs
    rank = len(net.shape(x))
    attrs = {
        "axis": torch.axis(record, "dim", None, rank),
        "factor": torch.number(record, "factor"),
        "unit": torch.number(record, "unit"),
        "tables": SoftmaxTables.of(record.take("tables")),
        "output": None,
        "share": bool(masks) or record.has_array("1"),
    }
    params = {"mask": torch.constant(record, 1, rank) != 0} if record.has_array("1") else {}
    return net.add("softmax", record.name, [x, *masks], attrs, params)


@imports("torch", "hardwire.node.default")
def _node(record: Record, net: NetworkBuilder) -> str:
    """A node of one input, written into the program."""
    from hardwire.network.storage import node_from_text

    node = node_from_text(record.take("text"))
    record.ignore("reach")
    if len(node.inputs) != 1:
        raise ModelError(f"layer {record.name!r} ({node.kind}): {len(node.inputs)} inputs, expected one")
    return net.add(node.kind, record.name, [torch.single(record)], node.attrs, node.params)
