"""Numbers behind the estimates of LUTs and of time, by device family: fitted to synthesis, else the target's own."""

from __future__ import annotations

from dataclasses import dataclass

from hardwire.targets import Target


@dataclass(frozen=True)
class Fitted:
    """Coefficients of `Luts` for one family."""

    shared: float
    """LUTs of a sum of products in the solver's graph, to those of one term a digit."""
    carry: float
    """LUTs of an adder beyond the bits of its narrower operand."""
    clamp: float
    """LUTs a bit of a value that a ReLU holds at 0."""
    saturate: float
    """LUTs a bit of a value that saturates, beside `clamp`."""
    tie: float
    """LUTs a bit of a value that is rounded otherwise than half up or down, which the bias does for nothing."""
    lookup: tuple[float, ...]
    """LUTs of one output bit of a table, by its address bits; doubling beyond the last."""
    summed: float
    """LUTs a bit of the sums over tables."""
    product: float
    """LUTs a pair of bits of a product of two values."""


FAMILIES: dict[str, Fitted] = {}


def coefficients(target: Target) -> Fitted:
    """Fitted ones of the target's family, else what the compiler's own estimate goes by."""
    if target.family in FAMILIES:
        return FAMILIES[target.family]
    costs = target.costs
    return Fitted(
        shared=0.7,
        carry=1.0 + costs.adder_overhead,
        clamp=1.0,
        saturate=1.0,
        tie=1.0,
        lookup=costs.lookup_luts,
        summed=1.0,
        product=costs.product_luts,
    )
