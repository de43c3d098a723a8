"""Operators of hardwire's own training modules (`hardwire.nn`) in exported PyTorch programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Floats, Overflow, Rounding
from hardwire.layers import _torch as torch
from hardwire.layers._base import imports
from hardwire.layers.recurrent import RELU, SIGMOID, TANH
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


def recurrent_node(kind: str, backwards: bool, modes: str, grids: Sequence[Floats]) -> tuple[str, dict[str, Any]]:
    """Kind and attributes of a recurrent node.

    `kind`: the node's, and behind a colon its function where it has a choice. `modes`: a name, a rounding and an
    overflow for each type, `state:RND:WRAP`; `grids`: scale, lowest and highest code of each in turn.
    """
    own, _, function = kind.partition(":")
    types = {}
    for number, mode in enumerate(modes.split(",")):
        name, rounding, overflow = mode.split(":")
        scale, lo, hi = (np.asarray(part, np.float64) for part in grids[3 * number : 3 * number + 3])
        codes = lo.astype(np.int64), hi.astype(np.int64)
        types[name] = Quantiser(scale, *codes, Rounding[rounding], Overflow[overflow])
    attrs: dict[str, Any] = {
        "activation": RELU if function == "relu" else TANH,
        "recurrent_activation": SIGMOID,
        "types": types,
        "go_backwards": backwards,
        "time_order": True,
        "returns": "states" if own == "lstm" else "sequence",
    }
    if own == "gru":
        attrs["reset_after"] = True
    return own, attrs


@imports("torch", "hardwire.recurrent.default")
def _recurrent(record: Record, net: NetworkBuilder) -> str:
    """A recurrent layer with its types; the states of all steps, behind them the carries."""
    x = torch.single(record)
    names = {"1": "kernel", "2": "bias", "3": "recurrent_bias"}
    params = {name: record.array(key).astype(np.float64) for key, name in names.items() if record.has_array(key)}
    keys = sorted((key for key in record.array_keys() if key.startswith("7.")), key=lambda key: int(key[2:]))
    backwards, modes = bool(record.take("backwards")), str(record.take("modes"))
    kind, attrs = recurrent_node(str(record.take("kind")), backwards, modes, [record.array(key) for key in keys])
    return net.add(kind, record.name, [x], attrs, params)
