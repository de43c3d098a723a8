"""Forward passes of networks that differ in a few nodes, on the same inputs: only what has changed is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hardwire.fixed import Floats
from hardwire.layers import layer_of
from hardwire.network.graph import Network, Node


@dataclass(frozen=True, eq=False)
class _Made:
    """A tensor's values and what made them: a node (None for an input) from these tensors."""

    node: Node | None
    inputs: tuple[_Made, ...]
    values: Floats


class Replay:
    """The reference meaning of one network after another on float64 inputs (N, *shape).

    A tensor is taken from the settled network where its node is the same object and has the same inputs. Memory is that
    of all tensors of the settled network and of what differs in the last one.
    """

    def __init__(self, inputs: Sequence[Floats]) -> None:
        self._inputs = [_Made(None, (), x) for x in inputs]
        self._settled: dict[str, _Made] = {}
        self._last: dict[str, _Made] = {}

    def outputs(self, network: Network) -> list[Floats]:
        """Return the network's outputs, float64 (N, *shape) each."""
        made = dict(zip(network.inputs, self._inputs, strict=True))
        for node in network.nodes:
            inputs = tuple(made[name] for name in node.inputs)
            old = self._settled.get(node.outputs[0])
            if old is None or old.node is not node or old.inputs != inputs:
                old = _Made(node, inputs, layer_of(node).reference(node, [one.values for one in inputs]))
            made[node.outputs[0]] = old
        self._last = made
        return [made[name].values for name in network.outputs]

    def settle(self) -> None:
        """Keep the last network's tensors for those to come."""
        self._settled = self._last
