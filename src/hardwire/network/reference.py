"""Float64 forward pass of a Network by the layers' own reference meanings."""

from __future__ import annotations

from collections.abc import Sequence

from hardwire.fixed import Floats
from hardwire.layers import layer_of
from hardwire.network.graph import Network


def forward_all(network: Network, inputs: Sequence[Floats]) -> dict[str, Floats]:
    """Every tensor of the network, float64 (N, *shape), for one (N, *shape) array per input."""
    tensors: dict[str, Floats] = dict(zip(network.inputs, inputs, strict=True))
    for node in network.nodes:
        tensors[node.outputs[0]] = layer_of(node).reference(node, [tensors[name] for name in node.inputs])
    return tensors


def forward(network: Network, inputs: Sequence[Floats]) -> list[Floats]:
    """Return the network's outputs, float64 (N, *shape) each."""
    tensors = forward_all(network, inputs)
    return [tensors[name] for name in network.outputs]
