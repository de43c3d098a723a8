"""What a rule that makes a node trainable gets: the network around the node, and the quantisers of its tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from hardwire.errors import HardwireError, UnsupportedError
from hardwire.fixed import Floats, Overflow, Rounding
from hardwire.ir.program import fraction_bits
from hardwire.layers._lowering import lower
from hardwire.network.graph import Network, Node, Shape
from hardwire.network.prepare import drop_dead, input_quantisers
from hardwire.network.weight_steps import Steps
from hardwire.nn.quantisers import Quantiser, Stated
from hardwire.nn.quantisers.stated import gridded
from hardwire.nn.scheme import LEARNED, Make, Scheme
from hardwire.quantiser import Quantiser as Frozen
from hardwire.train.nodes._grids import (
    MOST_BITS,
    along,
    at_back,
    at_front,
    begin,
    begin_weight,
    by_feature,
    holding,
    in_steps,
)

Rule = Callable[[Node, "Making"], nn.Module]
"""Makes the module that computes a node from its inputs; raises `UnsupportedError` with the reason if it cannot."""

RULES: dict[str, Rule] = {}
"""Rules by node kind; filled as the files of this package are imported."""

R = TypeVar("R", bound=Rule)


def trains(*kinds: str) -> Callable[[R], R]:
    """Mark a function as the rule of node kinds."""

    def register(rule: R) -> R:
        for kind in kinds:
            if kind in RULES:
                raise ValueError(f"{kind} has two rules")
            RULES[kind] = rule
        return rule

    return register


@dataclass
class Making:
    """A model on its way from a Network to a module.

    `scheme`: None leaves a quantised model's grids as they are in the file.
    """

    network: Network
    scheme: Scheme | None
    steps: Steps = field(default_factory=dict)
    """Steps of the grids of weights, where the file tells them."""
    taken: set[tuple[str, str]] = field(default_factory=set)
    """(node, tensor) where the node's layer quantises its own input, the result of a `quantise` node, by that rule."""
    _quantisers: dict[str, Quantiser] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.quantised = self.network.quantised
        """Whether the model brings quantisers of its own."""

    def shape(self, tensor: str) -> Shape:
        """Shape of a tensor without the batch axis."""
        return tuple(self.network.shapes[tensor])

    def quantiser(self, rule: Frozen, shape: Shape) -> Quantiser:
        """Return the quantiser of a tensor that the file quantises by `rule`."""
        stated = Stated(rule, len(shape))
        if self.scheme is None or self.scheme.input is None:
            return stated
        made = self.scheme.input(shape)
        begin(made, rule, shape)
        return made

    def quantiser_of(self, node: Node) -> Quantiser:
        """Return the quantiser of a `quantise` node; for the last axis alone where all positions are alike."""
        tensor = node.outputs[0]
        if tensor not in self._quantisers:
            shape = self.shape(tensor)
            rule = node.attrs["quantiser"]
            small = by_feature(rule, shape)
            whole = small is None or not shape
            self._quantisers[tensor] = self.quantiser(*((rule, shape) if whole else (small, shape[-1:])))
        return self._quantisers[tensor]

    def output(self, node: Node) -> list[Quantiser]:
        """Return the quantiser that belongs to a node's result, if there is one."""
        rule = node.attrs.get("output")
        return [] if rule is None else [self.quantiser(rule, self.shape(node.outputs[0]))]

    def cast(self, tensor: str) -> Quantiser | None:
        """Return the scheme's quantiser of a tensor of a float model."""
        scheme = self.scheme or LEARNED
        return scheme.input(self.shape(tensor)) if scheme.input else None

    def input(self, node: Node, spatial: int = 0, axes: tuple[int, ...] | None = None) -> Make | None:
        """Return what makes the quantiser that a layer has for its own input.

        In a quantised model it is the rule of the `quantise` node in front, where it is the same along all axes but
        `axes`. Its shape has ones for the others; without `axes` it is that of the last axis alone, with `spatial`
        axes of one behind it. None: there is none, or it stays where it is.
        """
        if not self.quantised:
            return (self.scheme or LEARNED).input
        tensor = node.inputs[0]
        before = self.network.producer(tensor)
        if before is None or before.kind != "quantise" or not gridded(before.attrs["quantiser"]):
            return None
        rule, shape = before.attrs["quantiser"], self.shape(tensor)
        small = by_feature(rule, shape) if axes is None else along(rule, shape, axes)
        if small is None:
            return None
        self.taken.add((node.name, tensor))
        if axes is None and not spatial:
            shared = self.quantiser_of(before)
            return lambda _shape: shared
        if axes is None:
            wide = (shape[-1], *(1,) * spatial)
            made = self.quantiser(at_front(small, wide), wide)
        else:
            made = self.quantiser(small, tuple(n if axis in axes else 1 for axis, n in enumerate(shape)))
        return lambda _shape: made

    def type_of(self, tensor: str) -> Frozen | None:
        """Return one type for all elements of a tensor of a quantised model: the codes that its design can meet.

        None where scales differ or are no power of two, or the codes are wider than 24 bits.
        """
        network = self.network.with_(outputs=(tensor,))
        try:
            program = lower(drop_dead(network) or network, input_quantisers(self.network))
        except HardwireError:
            return None
        (port,) = program.outputs
        lo, hi = program.port_range(port)
        scales = set(np.ravel(program.port_scale(port)).tolist())
        if len(scales) > 1 or fraction_bits(min(scales)) is None or max(-lo.min(), hi.max()) >> MOST_BITS:
            return None
        return Frozen(np.array(float(min(scales))), lo.min(), hi.max(), Rounding.RND, Overflow.SAT)

    def weight(
        self, values: Floats, scale: Any = None, *, steps: Floats | None = None, bias: bool = False
    ) -> Quantiser | None:
        """Return the quantiser of a parameter that is `values` (channels first; times `scale`) in the file.

        For a quantised model its grid holds the values exactly, in `steps` of its shape where they are known; None
        where they are on no grid of up to 24 bits.
        """
        scheme = self.scheme or LEARNED
        make = scheme.bias if bias else scheme.weight
        if not self.quantised:
            return make(values.shape) if make else None
        if self.scheme is not None and make is not None:
            made = make(values.shape)
            ones = (1,) * (values.ndim - 1)
            begin_weight(made, values if scale is None else values * np.reshape(scale, (-1, *ones)), steps)
            return made
        rule = holding(values, scale, pruned=not bias) if steps is None else in_steps(values, steps, pruned=not bias)
        return None if rule is None else Stated(rule, values.ndim, weight=True)

    def like(self, values: Floats, scale: Any = None) -> Quantiser | None:
        """Return the quantiser for a bias of zeros: the grid of the weights `values` (outputs first, times `scale`)."""
        rule = holding(values.reshape(len(values), -1), scale)
        return None if rule is None else Stated(at_back(rule), 1, weight=True)


class Plain(nn.Module):
    """A function of tensors without parameters; `constants` are further arguments by name."""

    def __init__(self, rule: Callable[..., Tensor], **constants: Any) -> None:
        super().__init__()
        self.rule = rule
        self.named = tuple(constants)
        for name, value in constants.items():
            self.register_buffer(f"_{name}", torch.as_tensor(value), persistent=False)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Apply the function."""
        return self.rule(*inputs, **{name: getattr(self, f"_{name}") for name in self.named})


class Cast(nn.Module):
    """A module behind the quantisers of its inputs (None: no quantiser)."""

    def __init__(self, inner: nn.Module, quantisers: list[Quantiser | None]) -> None:
        super().__init__()
        self.inner = inner
        self.quantisers = nn.ModuleList([nn.Identity() if q is None else q for q in quantisers])

    def forward(self, *inputs: Tensor) -> Tensor:
        """Quantise the inputs, then apply the module."""
        return self.inner(*(q(x) for q, x in zip(self.quantisers, inputs, strict=True)))


def chain(*parts: nn.Module) -> nn.Module:
    """Return the modules one behind the other."""
    return parts[0] if len(parts) == 1 else nn.Sequential(*parts)


def casting(node: Node, making: Making, inner: nn.Module) -> nn.Module:
    """Return `inner` behind the scheme's quantisers of all inputs, in a float model; as it is in a quantised one."""
    if making.quantised:
        return inner
    return Cast(inner, [making.cast(tensor) for tensor in node.inputs])


def refused(reason: str, hint: str | None = None) -> UnsupportedError:
    """Return the error of a rule that cannot make a node trainable."""
    return UnsupportedError(reason, hint=hint)
