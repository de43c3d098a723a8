"""Layers whose weights are whole codes times a scale that is no power of two, as QONNX and QDQ files have them.

Products of codes are exact where those of rounded real weights are not: the layer sums codes, and the scale of each
output follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hardwire.fixed import Floats
from hardwire.network.graph import Node
from hardwire.network.storage import node_text
from hardwire.nn import nodes as _operators  # noqa: F401  (defines the operator)
from hardwire.nn._layer import Layer, quantised
from hardwire.nn.quantisers import Quantiser
from hardwire.nn.work import Work


class Coded(Layer):
    """Mixed into a layer with a `weight`: its constants are that in units of `unit` (broadcasts to it), whole."""

    unit: Tensor

    def in_units(self, unit: Floats) -> None:
        """State the unit."""
        self.register_buffer("unit", torch.tensor(unit), persistent=False)

    def constants(self) -> dict[str, Tensor]:
        """As the layer's, in units."""
        found = super().constants()  # type: ignore[safe-super]
        codes = found["weight"] / self.unit
        return {**found, "weight": codes + (codes.round() - codes).detach()}

    def _exact_type(self, weight: Tensor, bias: Tensor | None) -> torch.dtype:
        return torch.float64


class Factor(nn.Module):
    """`x · codes · scale`, constants that broadcast to `x` from the last axis; exported with the scale apart.

    So a product with a scale that is no power of two stays free: the compiler keeps scales as they are.
    """

    def __init__(self, codes: NDArray[Any], scale: Floats) -> None:
        super().__init__()
        params = {"constant": codes, "constant_scale": np.asarray(scale, np.float64)}
        self.text = node_text(Node("mul", "factor", ("x",), ("factor",), {}, params))
        self.register_buffer("value", torch.tensor(codes * params["constant_scale"]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the product."""
        if torch.compiler.is_exporting():
            y: Tensor = torch.ops.hardwire.node(x, self.text, 1.0)
            return y
        return x * self.value


def normalised(x: Tensor, factor: Tensor, offset: Tensor) -> Tensor:
    """`x · factor + offset` along axis 1, which the compiler reads as a batch normalisation."""
    if torch.compiler.is_exporting():
        zeros, ones = torch.zeros_like(factor), torch.ones_like(factor)
        return nn.functional.batch_norm(x, zeros, ones, factor.to(x), offset.to(x), eps=0.0)
    ones = (1,) * (x.ndim - 2)
    return x * factor.reshape(-1, *ones) + offset.reshape(-1, *ones)


class Scaled(Layer):
    """`x · scale + bias` for each index of the last axis; the scale stays as it is."""

    def __init__(self, scale: Floats, bias: Floats | None, quantiser: Quantiser | None) -> None:
        super().__init__()
        self.factor = Factor(np.ones(len(scale), np.int64), scale)
        self.register_buffer("scale", torch.tensor(scale), persistent=False)
        self.bias = None if bias is None else nn.Parameter(torch.tensor(np.array(bias, np.float64)))
        self.bias_quantiser = quantiser

    def constants(self) -> dict[str, Tensor]:
        """`bias`, if there is one."""
        return {} if self.bias is None else {"bias": quantised(self.bias_quantiser, self.bias)}

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled sums."""
        bias = self.parameters_now().get("bias")
        if bias is None:
            y: Tensor = self.factor(x)
            return y
        x = x.transpose(1, -1)
        return normalised(x, self.scale, bias).transpose(1, -1)

    def work(self) -> Iterator[Work]:
        """Nothing: a scale is free until a quantiser resolves it."""
        return iter(())
