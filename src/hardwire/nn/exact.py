"""When a sum of products in floating point is exact: whole codes on one unit, none beyond what the type holds.

Every product of a weight and an input is a multiple of the product of their units, and so is every sum of them, in
whatever order. If the largest that a sum can be is at most 2^24 of the smallest unit, float32 makes no rounding; at
most 2^53, float64 makes none. Layers ask this in evaluation, and take float64 where float32 would not do.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hardwire.errors import RangeError
from hardwire.nn.arithmetic import Grid
from hardwire.nn.quantisers._base import Quantiser

FLOAT32_BITS = 24
FLOAT64_BITS = 53


def most(grid: Grid) -> Tensor:
    """Largest magnitude on a grid, float64, shaped like its granules."""
    return torch.maximum(-grid.lo, grid.hi).double() * grid.scale.double()


def bits(
    weight: Tensor, weight_unit: Tensor, inputs: Tensor, input_unit: Tensor, bias: tuple[Tensor, Tensor] | None = None
) -> float:
    """Bits that the largest sum needs, as a power of two of its unit.

    weight (outputs, fan-in) with its unit (broadcasts to it), the inputs' largest magnitudes and units (broadcast to
    the weight), the bias' largest magnitudes and units (outputs,), a unit of infinity where it is 0.
    """
    with torch.no_grad():
        weight = weight.double()
        unit = (weight_unit.double() * input_unit.double()).expand_as(weight)
        finest = torch.where((weight != 0) & (inputs > 0), unit, torch.inf).amin(-1)
        largest = (weight.abs() * inputs).sum(-1)
        if bias is not None:
            finest, largest = torch.minimum(finest, bias[1]), largest + bias[0]
        needed = torch.where(largest > 0, torch.log2((largest / finest).clamp(min=1.0)), 0.0)
        return float(needed.max())


def chosen(layer: str, needed: float) -> torch.dtype:
    """Return the float type in which sums of `needed` bits are exact; raises `RangeError` where none is."""
    if needed <= FLOAT32_BITS and torch.get_float32_matmul_precision() == "highest":
        return torch.float32
    if needed <= FLOAT64_BITS:
        return torch.float64
    raise RangeError(
        f"layer {layer}: its sums need {needed:.0f} bits, more than the {FLOAT64_BITS} that float64 holds exactly",
        hint="fewer bits of the inputs, the weights or the bias, or a layer with fewer inputs",
    )


def products(layer: str, terms: int, left: Quantiser | None, right: Quantiser | None) -> torch.dtype:
    """Type for sums of `terms` products of two computed tensors; float64 where one has no quantiser."""
    if left is None or right is None:
        return torch.float64
    with torch.no_grad():
        needed = 0.0
        for quantiser in (left, right):
            grid = quantiser.grid()
            span = most(grid).max() / grid.scale.double().min()
            needed += float(torch.log2(span.clamp(min=1.0)))
        return chosen(layer, needed + float(torch.log2(torch.tensor(float(terms)))))


def narrowed(y: Tensor, quantiser: Quantiser) -> Tensor:
    """Float64 values on a quantiser's grid as float32 where that holds them."""
    grid = quantiser.grid()
    fits = bool((torch.maximum(-grid.lo, grid.hi) <= 2.0**FLOAT32_BITS).all())
    return y.float() if fits else y
