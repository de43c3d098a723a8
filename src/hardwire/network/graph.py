"""Network: immutable nodes named as in the user's model, shapes, numpy parameters, explicit quantiser nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError

Shape = tuple[int, ...]
Params = Mapping[str, NDArray[Any]]

LEAST = float(np.finfo(np.float32).min)
"""Stands for -∞ among what is added or chosen."""


def typed(tensor: str) -> str:
    """Name of the tensor that calibration makes of `tensor` by rounding it to a type."""
    return f"{tensor}.type"


@dataclass(frozen=True, eq=False)
class Node:
    """One operation of a Network.

    `kind` is a canonical kind that a file in `layers/` implements, `name` the name in the user's model; `inputs` and
    `outputs` are tensor names; `attrs` plain Python values (or a `Quantiser`), `params` float64 or int64 arrays.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    params: Params = field(default_factory=dict)

    def with_(self, **changes: Any) -> Node:
        """Return a copy with some fields replaced."""
        return replace(self, **changes)


@dataclass(frozen=True, eq=False)
class Network:
    """A model: nodes in topological order over named tensors.

    `inputs` and `outputs` are tensor names; `shapes` gives every tensor's shape without the batch axis. `source` says
    where it came from (`format`, `sha256`, versions), for the report.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    shapes: Mapping[str, Shape]
    source: Mapping[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def producer(self, tensor: str) -> Node | None:
        """Return the node that makes a tensor, or None for a network input."""
        return next((node for node in self.nodes if tensor in node.outputs), None)

    def consumers(self, tensor: str) -> list[Node]:
        """Nodes that read a tensor, in order."""
        return [node for node in self.nodes if tensor in node.inputs]

    def with_(self, **changes: Any) -> Network:
        """Return a copy with some fields replaced."""
        return replace(self, **changes)

    @property
    def quantised(self) -> bool:
        """Whether the model brings quantisers of its own."""
        return any(
            node.kind in ("quantise", "threshold") or node.attrs.get("output") or node.attrs.get("types")
            for node in self.nodes
        )

    @property
    def parameters(self) -> int:
        """Number of scalar parameters."""
        return sum(int(np.size(value)) for node in self.nodes for value in node.params.values())


class NetworkBuilder:
    """Collects nodes while a frontend walks a model; infers shapes through the layers' own rules.

    Names of nodes are made unique by a suffix; tensor names follow node names.
    """

    def __init__(self, name: str, source: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.source = dict(source or {})
        self.shapes: dict[str, Shape] = {}
        self._nodes: list[Node] = []
        self._inputs: list[str] = []
        self._names: set[str] = set()
        self.masks: dict[str, str] = {}
        """Tensors of 0 and 1 that say which positions of a tensor count, where the source's format knows such masks."""
        self.placeholders: set[str] = set()
        """Outputs of unsupported layers in a survey; those of unknown shape are not in `shapes`."""

    def _unique(self, name: str) -> str:
        fresh, count = name, 1
        while fresh in self._names:
            count += 1
            fresh = f"{name}_{count}"
        self._names.add(fresh)
        return fresh

    def input(self, name: str, shape: Shape) -> str:
        """Declare a model input of `shape` (no batch axis); returns its tensor name."""
        if any(dim <= 0 for dim in shape):
            raise ModelError(f"input {name!r} has the shape {shape}; every dimension but the batch must be known")
        tensor = self._unique(name)
        self.shapes[tensor] = tuple(int(dim) for dim in shape)
        self._inputs.append(tensor)
        return tensor

    def add(
        self,
        kind: str,
        name: str,
        inputs: tuple[str, ...] | list[str],
        attrs: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> str:
        """Append a node with one output; returns the output's tensor name (the node's own name).

        Raises `ModelError` for NaN or infinite parameters, and what the layer's shape rule raises.
        """
        from hardwire.layers import layer_of

        arrays = {key: np.asarray(value) for key, value in (params or {}).items()}
        if kind in ("add", "constant"):
            # What masks add to scores; `network.scores` makes masks of it again.
            arrays = {k: np.where(np.isneginf(v), LEAST, v) if v.dtype.kind == "f" else v for k, v in arrays.items()}
        for key, value in arrays.items():
            if value.dtype.kind == "f" and not np.all(np.isfinite(value)):
                bad = np.argwhere(~np.isfinite(value))[0].tolist()
                raise ModelError(
                    f"layer {name!r}: parameter {key!r} holds {value[tuple(bad)]} at {bad}",
                    hint="retrain or repair the model; NaN and infinity have no fixed-point value",
                )
            arrays[key] = value.astype(np.float64) if value.dtype.kind == "f" else value.astype(np.int64)
        output = self._unique(name)
        node = Node(kind, output, tuple(inputs), (output,), dict(attrs or {}), arrays)
        self.shapes[output] = layer_of(node).shape(node, [self.shapes[tensor] for tensor in inputs])
        self._nodes.append(node)
        return output

    def placeholder(self, name: str, shape: Shape | None) -> str:
        """Return a tensor that nothing makes, for the output of an unsupported layer in a survey."""
        tensor = self._unique(name)
        self.placeholders.add(tensor)
        if shape is not None:
            self.shapes[tensor] = shape
        return tensor

    def unknown(self, tensors: Iterable[str]) -> bool:
        """Whether one of the tensors has no known shape."""
        return any(tensor in self.placeholders and tensor not in self.shapes for tensor in tensors)

    def maker(self, tensor: str) -> Node | None:
        """Return the node that makes a tensor, or None for an input."""
        return next((node for node in reversed(self._nodes) if tensor in node.outputs), None)

    def shape(self, tensor: str) -> Shape:
        """Shape of a tensor without the batch axis."""
        return self.shapes[tensor]

    def build(self, outputs: list[str] | tuple[str, ...]) -> Network:
        """Return the finished Network; in a survey without the outputs that have no known shape."""
        outputs = [tensor for tensor in outputs if not self.unknown([tensor])]
        return Network(
            self.name, tuple(self._inputs), tuple(outputs), tuple(self._nodes), dict(self.shapes), dict(self.source)
        )
