"""What a layer file provides: the `Layer` interface, and the decorator of import rules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from hardwire.fixed import Floats, Ints
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record

if TYPE_CHECKING:
    from hardwire.layers._lowering import Lowering, Wire
    from hardwire.network.graph import Network

ImportRule = Callable[[Record, NetworkBuilder], "str | list[str]"]
"""Adds a record's nodes to the builder and returns the tensor that the layer's output is, or a list of them."""


class Registry:
    """Layers by kind and import rules by (source, kind); filled as layer files are imported."""

    layers: dict[str, Layer]
    rules: dict[tuple[str, str], ImportRule]
    shared: ClassVar[Registry]

    def __init__(self) -> None:
        self.layers = {}
        self.rules = {}


Registry.shared = Registry()


R = TypeVar("R", bound=ImportRule)


def imports(source: str, *kinds: str) -> Callable[[R], R]:
    """Mark a function as the rule that imports `kinds` from `source` (`keras`, `onnx` or `torch`)."""

    def register(rule: R) -> R:
        for kind in kinds:
            if (source, kind) in Registry.shared.rules:
                raise ValueError(f"{source} {kind} is imported twice")
            Registry.shared.rules[source, kind] = rule
        return rule

    return register


@dataclass(frozen=True)
class Example:
    """A small Network that exercises a layer, run by the conformance suite against every back end."""

    name: str
    network: Network


@dataclass(frozen=True, eq=False)
class InternalSite:
    """A tensor inside a node that needs a type: its float `values` (rows, channels) on data, and whether it is the
    input of a table, which wants few bits."""

    values: Floats
    table: bool


@dataclass(frozen=True, eq=False)
class Grid:
    """Types, channel by channel, of an input that a layer only compares with constants: whether `signed`, `integer`
    bits without the sign, and fractional bits `frac` with which about as few comparisons change in every channel."""

    signed: NDArray[np.bool_]
    integer: Ints
    frac: Ints


class Layer(ABC):
    """One kind of node: its shape rule, float meaning and lowering to integer kernels.

    A subclass with a `kind` registers itself when its file is imported.
    """

    kind: ClassVar[str]
    exact: ClassVar[bool] = True
    """Whether fixed-point inputs have a fixed-point result; `inexact` says it of one node."""
    weights: ClassVar[tuple[str, ...]] = ()
    """Parameters that calibration rounds, in order: the factor first, then what is added to the product."""
    takes_offset: ClassVar[bool] = False
    """Whether `lower` understands wires with an offset; otherwise it is added to their integers first."""
    moves: ClassVar[bool] = False
    """Whether the layer only rearranges elements (reshape, transpose, concatenation)."""

    def __init_subclass__(cls) -> None:
        if "kind" in cls.__dict__:
            Registry.shared.layers[cls.kind] = cls()

    @abstractmethod
    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Shape of the output without the batch axis; raises `ModelError` naming the layer for unfit inputs."""

    @abstractmethod
    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Float64 meaning: (N, *shape) arrays in, one out."""

    @abstractmethod
    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Add kernels and steps that compute the node exactly; returns the output's wire."""

    def multiplies(self, node: Node) -> bool:
        """Whether the result's width grows with the product of widths, so that calibration narrows the inputs."""
        return bool(self.weights) and self.weights[0] in node.params

    def inexact(self, node: Node) -> bool:
        """Whether fixed-point inputs of this node have no fixed-point result, so that it needs an `output` type."""
        return not self.exact

    def compared(self, node: Node, x: Floats) -> Grid | None:
        """Types for the input of a layer that only compares it, from its values `x` (rows, channels); None for others.

        Such an input needs no common grid: its channels keep what their own thresholds need.
        """
        return None

    def cost(self, node: Node, codes: Callable[[], Floats], widths: Floats | None) -> float | None:
        """Adder bits, roughly, with the first of `weights` as integer `codes()` and channels of `widths` bits.

        None for a layer that multiplies: digits of each weight times the width of its input channel.
        """
        return None

    def facts(self, node: Node) -> dict[str, int]:
        """What `hardwire inspect` says of a node besides its parameters: a name, then a number."""
        return {}

    def internal_sites(self, node: Node, inputs: Sequence[Floats]) -> dict[str, InternalSite]:
        """Tensors inside the node that calibration gives a type, by name; the node gets them in its attr `types`."""
        return {}

    def examples(self) -> Iterator[Example]:
        """Small networks for the conformance suite."""
        return iter(())
