"""Layers of learnt tables: a function of one number on every edge, which becomes its truth table."""

from __future__ import annotations

import math

from torch import nn

from hardwire.nn import EdgeTables, Scheme
from hardwire.train.tables import RecipeError


def model(
    inputs: tuple[int, ...],
    outputs: int,
    scheme: Scheme,
    layers: tuple[int, ...] = (20,),
    bits: int = 8,
    hidden: int = 8,
    address: float = 6.0,
    fraction: float = 4.0,
) -> nn.Module:
    """`layers` are the sizes between inputs and outputs; the rest as of `hardwire.nn.EdgeTables`.

    Tables have types of their own and take no quantiser of the recipe. Raises `RecipeError` as a teacher in float.
    """
    if scheme.weight is None:
        raise RecipeError("[teacher] kind = 'tables': a network of tables is no float model", hint="kind = 'mlp'")
    sizes = (math.prod(inputs), *layers, outputs)
    built: list[nn.Module] = [nn.Flatten()] if len(inputs) > 1 else []
    for place, (last, size) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        built.append(
            EdgeTables(last, size, bits=bits, hidden=hidden, address=address, fraction=fraction, port=not place)
        )
    return nn.Sequential(*built)
