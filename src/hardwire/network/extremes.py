"""Least and greatest values of every tensor on data, in as little memory as is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hardwire.fixed import Floats
from hardwire.layers import layer_of
from hardwire.layers._base import InternalSite
from hardwire.network.graph import Network
from hardwire.network.reference import forward_all

_MOST_VALUES = 1 << 25
"""Values of all tensors together that are in memory at a time."""


@dataclass
class Extremes:
    """`tensors`: by name, the least and the greatest value of each element, (2, *shape).

    `inside`: by node, then by name, the tensors inside it that calibration gives types, their values (2, channels).
    """

    tensors: dict[str, Floats] = field(default_factory=dict)
    inside: dict[str, dict[str, InternalSite]] = field(default_factory=dict)


def values_a_row(network: Network) -> int:
    """Values of all tensors together for one row of data."""
    return sum(int(np.prod(shape, dtype=np.int64)) for shape in network.shapes.values())


def extremes(network: Network, arrays: Sequence[Floats]) -> Extremes:
    """Run the network's float meaning over `arrays` (N, *shape), some rows at a time."""
    found = Extremes()
    step = max(1, _MOST_VALUES // max(1, values_a_row(network)))
    for start in range(0, max(1, len(arrays[0])), step):
        tensors = forward_all(network, [x[start : start + step] for x in arrays])
        _widen(found.tensors, tensors)
        for node in network.nodes:
            if not node.attrs.get("types"):
                sites = layer_of(node).internal_sites(node, [tensors[name] for name in node.inputs])
                known = found.inside.setdefault(node.name, {})
                values = {name: site.values for name, site in known.items()}
                _widen(values, {name: site.values for name, site in sites.items()})
                known.update({name: InternalSite(values[name], site.table) for name, site in sites.items()})
    return found


def _widen(bounds: dict[str, Floats], tensors: Mapping[str, Floats]) -> None:
    """Take more rows into the bounds."""
    for name, x in tensors.items():
        rows = x if name not in bounds else np.concatenate([bounds[name], x])
        bounds[name] = np.stack([rows.min(axis=0), rows.max(axis=0)])
