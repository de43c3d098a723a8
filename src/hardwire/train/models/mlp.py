"""Dense layers with ReLU between them."""

from __future__ import annotations

import math

from torch import nn

from hardwire.nn import Dense, Scheme


def model(inputs: tuple[int, ...], outputs: int, scheme: Scheme, layers: tuple[int, ...] = (64, 32, 32)) -> nn.Module:
    """`layers` are the sizes between inputs and outputs; rows of any shape are flattened."""
    sizes = (math.prod(inputs), *layers, outputs)
    built: list[nn.Module] = [nn.Flatten()] if len(inputs) > 1 else []
    for last, size in zip(sizes[:-1], sizes[1:], strict=True):
        built += [Dense(last, size, scheme=scheme), nn.ReLU()]
    return nn.Sequential(*built[:-1])
