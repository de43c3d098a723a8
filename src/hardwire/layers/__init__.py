"""The layers that hardwire knows: one file a family, found by its presence in this folder.

Each file holds a layer's shape rule, float meaning, lowering and examples (a `Layer` subclass) and the rules that
import it from each format (functions marked `@imports("keras", "Dense")`). Adding one is a new file, no other edit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from hardwire.errors import UnsupportedError
from hardwire.layers._base import ImportRule, Layer, Registry
from hardwire.network.graph import Node
from hardwire.presence import modules_in

__all__ = ["ImportRule", "Layer", "import_rule", "known_layers", "layer_of"]


@cache
def _registry() -> Registry:
    modules_in(__name__, __path__)
    return Registry.shared


def layer_of(node: Node) -> Layer:
    """Return the layer that implements a node's kind."""
    try:
        return _registry().layers[node.kind]
    except KeyError:
        raise UnsupportedError(f"layer {node.name!r}: no layer of kind {node.kind!r}") from None


def known_layers() -> dict[str, Layer]:
    """All layers by kind, sorted."""
    return dict(sorted(_registry().layers.items()))


def import_rule(source: str, kind: str) -> ImportRule | None:
    """Return the rule that imports `kind` (`Dense`, `Gemm`, `aten.linear.default`) from `source`, or None."""
    return _registry().rules.get((source, kind))


def supported(source: str) -> list[str]:
    """Kinds that can be imported from `source` (`keras`, `onnx`, `torch`), sorted."""
    return sorted(kind for origin, kind in _registry().rules if origin == source)


Rule = Callable[..., str]
