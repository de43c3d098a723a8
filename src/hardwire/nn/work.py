"""What a layer asks of the hardware, with gradients: the open set of layers meets the cost models here.

A cost model (`hardwire.train.costs`) reads these records and no layer. `times` is how often the same hardware stands
side by side (positions of a convolution). Fields broadcast with each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from hardwire.fixed import Overflow, Rounding


@dataclass(frozen=True)
class Products:
    """A matrix of constants (outputs, inputs) applied to inputs, and the sums over them."""

    layer: str
    weight: Tensor
    """Values on their grid, (outputs, inputs), without gradient."""
    weight_bits: Tensor
    """Magnitude bits, broadcast against `weight`."""
    weight_fraction: Tensor
    """Fractional bits of `weight`, broadcast against it, without gradient."""
    input_bits: Tensor
    """Bits of each input, broadcast against `weight`."""
    times: int = 1


@dataclass(frozen=True)
class Lookups:
    """Tables of one input each, (outputs, inputs), and the sums over the inputs."""

    layer: str
    address_bits: Tensor
    """(outputs, inputs); 0 where the table is a constant."""
    output_bits: Tensor
    """(outputs, inputs); 0 where the table is a constant."""
    times: int = 1


@dataclass(frozen=True)
class Multiplications:
    """Products of two computed values (attention, gates), `count` of them a position."""

    layer: str
    left_bits: Tensor
    right_bits: Tensor
    count: int
    times: int = 1
    added: float = 0.0
    """Additions of two of them, a position; an average where sums go over positions."""


@dataclass(frozen=True)
class Casts:
    """`count` values a position brought to a type: saturation and most roundings cost logic, dropping bits does not."""

    layer: str
    bits: Tensor
    """Bits of the codes, by granule; each stands for as many values as the others."""
    signed: Tensor
    """By granule, bool: False where no code is below zero, as behind a ReLU."""
    rounding: Rounding
    overflow: Overflow
    count: int
    times: int = 1


Work = Products | Lookups | Multiplications | Casts
