"""Whether a tensor is an input of the model, whose port takes its type from what reads it."""

from __future__ import annotations

from hardwire.network.graph import NetworkBuilder


def is_input(net: NetworkBuilder, tensor: str) -> bool:
    """Whether a tensor is an input of the model, or one in another shape."""
    network = net.build(())
    makers = {node.outputs[0]: node for node in network.nodes}
    while tensor in makers and makers[tensor].kind in ("reshape", "transpose"):
        tensor = makers[tensor].inputs[0]
    return tensor in network.inputs
