"""What a model is made of, before compiling: layers, shapes, parameters, types, MACs and EBOPs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.fixed import Ints
from hardwire.layers import layer_of
from hardwire.layers._scales import lsb_exponent
from hardwire.network.graph import Network, Node
from hardwire.quantiser import Quantiser

_RECURRENT = ("rnn", "lstm", "gru")


def layer_rows(network: Network) -> list[dict[str, Any]]:
    """A row a node, in order.

    `name`, `kind`, `inputs`, `shape` (of the output, no batch), `parameters`, `nonzero`, `type` (of a quantiser),
    `weight_bits` (mean over non-zero weights; None without weights), `macs` (multiply-accumulates an event), `ebops`
    (effective bit operations an event: Sun et al. 2024, bits of each non-zero weight times bits of its input; None
    where the input has no type), `facts` (what the layer says of itself: trees, comparisons, leaves).
    """
    producers = {node.outputs[0]: node for node in network.nodes}
    return [_row(node, network, producers) for node in network.nodes]


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Totals over `layer_rows`; `ebops` is None where a layer with weights has none."""
    weighted = [row for row in rows if row["macs"]]
    known = [row["ebops"] for row in weighted if row["ebops"] is not None]
    return {
        "layers": len(rows),
        "parameters": sum(row["parameters"] for row in rows),
        "nonzero": sum(row["nonzero"] for row in rows),
        "macs": sum(row["macs"] for row in rows),
        "ebops": sum(known) if len(known) == len(weighted) else None,
    }


def multiplications(network: Network) -> dict[str, int]:
    """Multiplications an event by weights that are not 0, by layer; layers without any are left out."""
    found = {}
    for node in network.nodes:
        kernel = node.params.get("kernel")
        if "cell" in node.attrs:
            found[node.name] = _steps(node, network) * sum(multiplications(node.attrs["cell"]).values())
        elif kernel is not None:
            found[node.name] = _positions(node, kernel, network) * int(np.count_nonzero(kernel))
    return {name: count for name, count in found.items() if count}


def _row(node: Node, network: Network, producers: Mapping[str, Node]) -> dict[str, Any]:
    if "cell" in node.attrs:
        return _cell_row(node, network, producers)
    shape = network.shapes[node.outputs[0]]
    quantiser = node.attrs.get("quantiser") or node.attrs.get("output")
    kernel = node.params.get("kernel")
    bits = None if kernel is None else weight_bits(kernel)
    return {
        "name": node.name,
        "facts": layer_of(node).facts(node),
        "kind": node.kind,
        "inputs": list(node.inputs),
        "shape": list(shape),
        "parameters": int(sum(np.size(value) for value in node.params.values())),
        "nonzero": int(sum(np.count_nonzero(value) for value in node.params.values())),
        "type": quantiser.describe() if isinstance(quantiser, Quantiser) else None,
        "weight_bits": None if bits is None or not bits.any() else float(bits[bits > 0].mean()),
        "macs": 0 if kernel is None else _positions(node, kernel, network) * int(kernel.size),
        "ebops": None if kernel is None or bits is None else _ebops(node, bits, network, producers),
    }


def _cell_row(node: Node, network: Network, producers: Mapping[str, Node]) -> dict[str, Any]:
    """Row of a recurrence: the sums over its cell, whose work is done at every step."""
    cell: Network = node.attrs["cell"]
    # A scan's inputs have their types as attributes, of the cell's inputs in order.
    rules = [node.attrs.get(key) for key in ("input", "state")]
    known = {name: rule for name, rule in zip(cell.inputs, rules, strict=False) if isinstance(rule, Quantiser)}
    inner = {step.outputs[0]: step for step in cell.nodes}
    for name, rule in known.items():
        inner[name] = Node("quantise", name, (), (name,), {"quantiser": rule})
    rows = [_row(step, cell, inner) for step in cell.nodes]
    totals, steps = summary(rows), _steps(node, network)
    kernels = [weight_bits(step.params["kernel"]).ravel() for step in cell.nodes if "kernel" in step.params]
    bits = np.concatenate(kernels) if kernels else np.zeros(0)
    own = list(node.params.values())
    return {
        "name": node.name,
        "facts": layer_of(node).facts(node),
        "kind": node.kind,
        "inputs": list(node.inputs),
        "shape": list(network.shapes[node.outputs[0]]),
        "parameters": totals["parameters"] + int(sum(np.size(value) for value in own)),
        "nonzero": totals["nonzero"] + int(sum(np.count_nonzero(value) for value in own)),
        "type": None,
        "weight_bits": float(bits[bits > 0].mean()) if bits.any() else None,
        "macs": steps * totals["macs"],
        "ebops": None if totals["ebops"] is None or not totals["macs"] else steps * totals["ebops"],
    }


def _steps(node: Node, network: Network) -> int:
    """Steps of a recurrence: its input is (…, steps, channels)."""
    return int(np.prod(network.shapes[node.inputs[0]][:-1], dtype=np.int64))


def weight_bits(kernel: NDArray[Any]) -> Ints:
    """Bits of each weight between its highest and lowest set bit, sign not counted; 0 for zeros."""
    values = np.abs(kernel.astype(np.float64))
    top = np.frexp(values)[1].astype(np.int64)
    return np.where(values > 0, top - lsb_exponent(values), 0)


def _positions(node: Node, kernel: NDArray[Any], network: Network) -> int:
    """How often a kernel (…, outputs) is applied; that of a recurrent layer once a step."""
    if node.kind in _RECURRENT:
        return _steps(node, network)
    return int(np.prod(network.shapes[node.outputs[0]], dtype=np.int64)) // max(1, kernel.shape[-1])


def _ebops(node: Node, bits: Ints, network: Network, producers: Mapping[str, Node]) -> int | None:
    inputs = _input_bits(node.inputs[0], network, producers)
    if inputs is None:
        return None
    positions = _positions(node, bits, network)
    if bits.ndim == 2 and inputs.shape and inputs.shape[-1] == bits.shape[0]:
        lead = inputs.reshape(-1, bits.shape[0])
        share = positions / len(lead)
        return round(share * float((lead @ bits.sum(axis=1)).sum()))
    return round(positions * float(bits.sum()) * float(inputs.mean()))


def _input_bits(tensor: str, network: Network, producers: Mapping[str, Node]) -> NDArray[np.float64] | None:
    """Bits of every element of a tensor, if a quantiser tells; its mean where elements were moved since."""
    node = producers.get(tensor)
    if node is None:
        return None
    quantiser = node.attrs.get("quantiser") or node.attrs.get("output")
    if isinstance(quantiser, Quantiser):
        return np.broadcast_to(quantiser.bits, network.shapes[tensor]).astype(np.float64)
    if layer_of(node).moves:
        parts = [_input_bits(name, network, producers) for name in node.inputs]
        known = [part for part in parts if part is not None]
        return np.array(np.mean([part.mean() for part in known])) if len(known) == len(parts) else None
    return None
