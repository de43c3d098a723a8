"""Dense layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hardwire.fixed import Floats
from hardwire.network.graph import Node
from hardwire.network.weight_steps import steps_of
from hardwire.nn.dense import Dense
from hardwire.nn.quantisers import Quantiser
from hardwire.nn.scheme import Scheme
from hardwire.train.nodes._base import Making, trains
from hardwire.train.nodes._coded import Coded, Scaled


class CodedDense(Coded, Dense):
    """A dense layer of whole weights."""


class PlacedDense(Dense):
    """A dense layer whose input has types of its own at every position."""

    def spread(self, part: Tensor) -> Tensor:
        """The mean over the positions, which is what cost counts; the sums are taken in float64."""
        return part.reshape(-1, part.shape[-1]).mean(0)

    def _exact_type(self, weight: Tensor, bias: Tensor | None) -> torch.dtype:
        return torch.float64


@trains("dense")
def _dense(node: Node, making: Making) -> nn.Module:
    """`hardwire.nn.Dense` with the file's weights."""
    weights = Weights(node, making, np.transpose)
    outputs, inputs = weights.values.shape
    kind, given = Dense if weights.unit is None else CodedDense, making.input(node)
    if given is None and kind is Dense:
        given = making.input(node, axes=tuple(range(len(making.shape(node.inputs[0])))))
        kind = Dense if given is None else PlacedDense
    layer = kind(inputs, outputs, weights.inner_bias is not None, scheme=weights.scheme(given))
    return weights.fill(layer)


class Weights:
    """Kernel (outputs first) and bias of a node with their quantisers; `unit` where the scales are no powers of two."""

    def __init__(self, node: Node, making: Making, turned: Callable[[Any], Any]) -> None:
        """`turned` brings the outputs of a kernel to the front."""
        kernel, scale = node.params["kernel"].astype(np.float64), node.params.get("kernel_scale")
        codes = np.asarray(turned(kernel), np.float64)
        steps = steps_of(kernel, making.steps) if scale is None else None
        ones = (1,) * (codes.ndim - 1)
        wide = None if scale is None else np.broadcast_to(np.ravel(scale), (len(codes),)).astype(np.float64)
        self.values: Floats = codes if wide is None else codes * wide.reshape(-1, *ones)
        self.quantiser = making.weight(codes, wide, steps=None if steps is None else turned(steps))
        dyadic = wide is None or np.all(np.frexp(wide)[0] == 0.5)
        self.unit = None if dyadic or wide is None else wide
        self.apart = False
        """Whether the bias comes after the scales, as it is no multiple of them."""
        self.bias: Floats | None = None
        self.bias_quantiser: Quantiser | None = None
        if "bias" in node.params:
            given, unit = node.params["bias"].astype(np.float64), node.params.get("bias_scale")
            self.bias = given * (1.0 if unit is None else unit)
            if np.any(given) or not making.quantised or making.scheme is not None:
                steps = steps_of(given, making.steps) if unit is None else None
                self.bias_quantiser = making.weight(given, unit, steps=steps, bias=True)
                self.apart = self.unit is not None
            else:
                self.bias_quantiser = making.like(codes, None if self.unit is not None else wide)

    @property
    def inner_bias(self) -> Floats | None:
        """Bias of the layer itself."""
        return None if self.apart else self.bias

    def scheme(self, inputs: Any) -> Scheme:
        """Return what makes the layer's quantisers."""
        own, added = self.quantiser, self.bias_quantiser
        return Scheme(
            inputs,
            None if own is None else lambda _shape: own,
            None if added is None or self.apart else lambda _shape: added,
        )

    def fill(self, layer: nn.Module, around: Callable[[nn.Module], nn.Module] = lambda inner: inner) -> nn.Module:
        """Give the layer its values; the scales, if any, follow what `around` makes of it, along the last axis."""
        layer.double()
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(self.values))
            if self.inner_bias is not None:
                layer.bias.copy_(torch.tensor(self.inner_bias))
        if self.unit is None:
            return around(layer)
        layer.in_units(self.unit.reshape(-1, *(1,) * (self.values.ndim - 1)))
        return nn.Sequential(around(layer), Scaled(self.unit, self.bias if self.apart else None, self.bias_quantiser))
