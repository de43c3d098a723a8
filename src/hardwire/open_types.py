"""What a quantised model leaves without a type gets one from data; everything else stays as the model says.

Left open are inputs that no quantiser reads, and results of tables (softmax, sigmoid, normalisation) that none follows.
Where an exact value in between would be too wide to compute with, its tensor gets a type too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hardwire.calibrate import Calibration, Metric, calibrate, fidelity_of, first_types, free_roots, roots
from hardwire.errors import RangeError
from hardwire.fixed import FixedType, Floats
from hardwire.layers import layer_of
from hardwire.layers._lowering import lower
from hardwire.network.graph import Network, Node
from hardwire.network.prepare import prepare, same_quantiser
from hardwire.network.reference import forward
from hardwire.quantiser import Quantiser

_OPEN_BITS = 16
"""Magnitude bits from which the type of an open input is searched downwards."""


def open_results(network: Network) -> list[Node]:
    """Nodes whose result has no exact fixed-point value and no type."""
    return [node for node in network if layer_of(node).inexact(node) and node.attrs.get("output") is None]


def at_end(network: Network, node: Node) -> bool:
    """Whether a node's result, its elements moved at most, is an output of the network."""
    producers = {out: other for other in network.nodes for out in other.outputs}
    return any(node.outputs[0] in roots(output, producers) for output in network.outputs)


def open_input_types(network: Network, arrays: Sequence[Floats], fidelity: float) -> dict[str, FixedType]:
    """Types for the inputs that a quantised model leaves open: they cover the data, and have the fewest fractional
    bits with which the outputs keep `fidelity` (of those with unrounded inputs)."""
    kinds: dict[str, FixedType] = {}
    for name, x in zip(network.inputs, arrays, strict=True):
        readers = network.consumers(name)
        own = [node.attrs["quantiser"] for node in readers if node.kind == "quantise"]
        if not own or len(own) < len(readers) or not all(same_quantiser(own[0], rule) for rule in own):
            top = int(np.floor(np.log2(max(np.abs(x).max(), 2.0**-30)))) + 1
            signed = bool(np.any(x < 0))
            kinds[name] = FixedType(signed, _OPEN_BITS + int(signed), _OPEN_BITS - top)
    reference = forward(network, arrays)

    def kept(trial: Mapping[str, FixedType]) -> float:
        rounded = [
            Quantiser.of_type(trial[name])(x) if name in trial else x
            for name, x in zip(network.inputs, arrays, strict=True)
        ]
        return fidelity_of(reference, forward(network, rounded))

    for name, kind in list(kinds.items()):
        while kind.bits > 2:
            kind = FixedType(kind.signed, kind.bits - 1, kind.frac - 1)
            if kept({**kinds, name: kind}) < fidelity:
                break
            kinds[name] = kind
    return kinds


def complete(
    network: Network,
    quantisers: Mapping[str, Quantiser],
    arrays: Sequence[Floats],
    *,
    fidelity: float,
    metric: Metric | None = None,
    tolerance: float = 0.0,
    progress: Callable[[int, float], None] | None = None,
) -> Calibration | None:
    """Choose types for what a quantised network leaves open; None where that is nothing.

    `quantisers`: of each input; `arrays`: (N, *shape) of each input. Raises what `calibrate` raises, and `RangeError`
    for a network that cannot be lowered with any types.
    """
    inputs = [quantisers[name](x) for name, x in zip(network.inputs, arrays, strict=True)]
    narrow: set[str] = set()
    while True:
        try:
            lower(prepare(first_types(network, inputs, only_open=True, narrow=narrow)), quantisers)
            break
        except RangeError as error:
            more = _too_wide(network, error) - narrow
            if not more:
                raise
            narrow |= more
    if not narrow and not open_results(network):
        return None
    return calibrate(
        network,
        inputs,
        fidelity=fidelity,
        metric=metric,
        tolerance=tolerance,
        only_open=True,
        narrow=narrow,
        progress=progress,
    )


def _too_wide(network: Network, error: RangeError) -> set[str]:
    """Tensors without a type that the layer reads at which a lowering failed."""
    producers = {out: node for node in network.nodes for out in node.outputs}
    for node in network.nodes:
        if node.name == error.layer:
            return {root for root in free_roots(node, producers) if root in producers}
    return set()
