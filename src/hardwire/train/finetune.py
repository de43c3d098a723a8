"""Fine-tuning: a model file becomes a module that trains.

Whatever the compiler reads (Keras, QKeras, HGQ, QONNX, ONNX, PyTorch, …) is read by the same frontends; each node of
the Network becomes a submodule by the rule of its kind (`hardwire.train.nodes`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hardwire import frontends
from hardwire.errors import HardwireError, ModelError, UnsupportedError
from hardwire.layers._lowering import lower
from hardwire.network.graph import Network, Node
from hardwire.network.prepare import drop_dead, input_quantisers, prepare
from hardwire.network.weight_steps import noting
from hardwire.nn.scheme import Scheme
from hardwire.train.nodes import Making, kinds, rule_of

_WIDEST = 1 << 22
"""Codes up to here, and the sums that lead to them, are exact in float32."""


class Graph(nn.Module):
    """A Network that trains: a submodule a node in `layers`, called in the network's order.

    Inputs (batch, …), one a network input; one output, or a tuple of them.
    """

    def __init__(self, network: Network, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.network = network
        self.layers = nn.ModuleDict()
        self.plan: list[tuple[str, tuple[str, ...], str]] = []
        for node in network.nodes:
            if node.name in modules:
                key = self._key(node.name)
                self.layers[key] = modules[node.name]
                self.plan.append((key, node.inputs, node.outputs[0]))
        self.register_buffer("_kind", torch.zeros(()), persistent=False)

    def _key(self, name: str) -> str:
        """Name of a submodule: letters, digits and underscores of the node's."""
        key = re.sub(r"\W+", "_", name).strip("_") or "layer"
        key = f"{key}_" if hasattr(self.layers, key) and key not in self.layers else key
        fresh, count = key, 1
        while fresh in self.layers:
            count += 1
            fresh = f"{key}_{count}"
        return fresh

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Run every node."""
        dtype = self._kind.dtype
        values = {name: x.to(dtype) for name, x in zip(self.network.inputs, inputs, strict=True)}
        for key, sources, result in self.plan:
            values[result] = self.layers[key](*(values[name] for name in sources))
        outputs = tuple(values[name] for name in self.network.outputs)
        return outputs[0] if len(outputs) == 1 else outputs


def load(
    model: Any,
    *,
    scheme: Scheme | None = None,
    example: Any = None,
    weights: Any = None,
    calibrate: Any = None,
    outputs: Sequence[str] | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Module:
    """Return a model file, live model or `Network` as a module to train and to compile (`hardwire.compile`).

    `example` and `weights` as for `hardwire.compile`. A quantised model keeps its grids, at every input, activation and
    weight, unless a `scheme` gives others; learnt ones begin as the file's. Before any step the module in evaluation
    mode is the file's compiled design, bit for bit (softmax apart, whose tables follow from types alone here). A float
    model gets the quantisers of `scheme` (learnt ones by default), their ranges from `calibrate` (arrays (N, *shape),
    one an input). `outputs`: names of layers of the file to end at, such as the logits in front of an argmax. `dtype`:
    of the module; by default float32 where all sums are exact in it, else float64.

    Raises `UnsupportedError` that lists every node which cannot be trained with its reason.
    """
    with noting() as steps:
        network = model if isinstance(model, Network) else frontends.load(model, example=example, weights=weights)
    network = prepare(network if outputs is None else _ending(network, outputs))
    graph = _graph(Making(network, scheme, steps))
    if dtype is None:
        dtype = torch.float64 if network.quantised and not _fits_float32(network) else torch.float32
    graph.to(dtype)
    if calibrate is not None:
        _observe(graph, calibrate)
    return graph


def _ending(network: Network, names: Sequence[str]) -> Network:
    """Return the part of a network that makes some of its tensors."""
    made = {node.name: node.outputs[0] for node in network.nodes}
    missing = [name for name in names if name not in made]
    if missing:
        raise ModelError(
            f"model {network.name!r}: outputs: no layer {missing[0]!r}", hint=f"one of {', '.join(map(repr, made))}"
        )
    return network.with_(outputs=tuple(made[name] for name in names))


def _graph(making: Making) -> Graph:
    network = making.network
    made: dict[str, nn.Module] = {}
    wrong: list[tuple[Node, str]] = []
    for node in network.nodes:
        try:
            rule = rule_of(node.kind)
            if rule is None:
                wrong.append((node, "its kind has no gradient, or no rule yet"))
                continue
            made[node.name] = rule(node, making)
        except UnsupportedError as error:
            wrong.append((node, error.what))
    if wrong:
        lines = "".join(f"\n  layer {node.name!r} ({node.kind}): {reason}" for node, reason in wrong)
        raise UnsupportedError(
            f"model {network.name!r}: {len(wrong)} of {len(network.nodes)} nodes cannot be trained:{lines}",
            hint="end in front of them (outputs=['name of a layer']), or leave them out of the model; "
            f"kinds that train: {', '.join(kinds())}",
        )
    return Graph(_rewired(network, making.taken), made)


def _rewired(network: Network, taken: Collection[tuple[str, str]]) -> Network:
    """Let layers that quantise their own input read what is in front of that quantiser."""
    before = {node.outputs[0]: node.inputs[0] for node in network.nodes if node.kind == "quantise"}

    def source(node: Node, tensor: str) -> str:
        return before[tensor] if (node.name, tensor) in taken else tensor

    nodes = tuple(node.with_(inputs=tuple(source(node, tensor) for tensor in node.inputs)) for node in network.nodes)
    return drop_dead(wired := network.with_(nodes=nodes)) or wired


def _fits_float32(network: Network) -> bool:
    """Whether every value that the file's design computes is exact in float32, with room for weights that grow."""
    try:
        program = lower(network, input_quantisers(network))
    except HardwireError:
        return False
    for array in program.arrays.values():
        if max(-int(array.lo.min(initial=0)), int(array.hi.max(initial=0))) > _WIDEST:
            return False
        if any(
            scale.numerator & (scale.numerator - 1) or scale.denominator & (scale.denominator - 1)
            for scale in set(np.ravel(array.scale).tolist())
        ):
            return False
    return True


def _observe(graph: nn.Module, data: Any) -> None:
    """Let quantisers see what passes through them."""
    arrays = data if isinstance(data, tuple | list) else (data,)
    mode = graph.training
    with torch.no_grad():
        graph.train()(*(torch.as_tensor(np.asarray(x)) for x in arrays))
    graph.train(mode)
