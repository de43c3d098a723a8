"""Numbers behind the estimate of LUTs, by device family, fitted by `benchmarks/calibrate_training_cost.py`."""

from __future__ import annotations

from dataclasses import dataclass

from hardwire.targets import Target


@dataclass(frozen=True)
class Fitted:
    """Coefficients of `Luts` for one family."""

    shared: float
    often: float
    carry: float
    grown: float
    row: float
    """Of matrices of constants: see `_adders`."""
    clamp: float
    """LUTs a bit of a value that a ReLU holds at 0."""
    saturate: float
    """LUTs a bit of a value that saturates, beside `clamp`."""
    tie: float
    """LUTs a bit of a value that is rounded otherwise than half up or down, which the bias does for nothing."""
    small: float
    """LUTs of one output bit of a table with two address bits or more, but fewer than a LUT's inputs; with its adder
    where that takes it in."""
    full: float
    """LUTs of one output bit of a table with as many address bits as a LUT's inputs; each more doubles them."""
    summed: float
    """LUTs a bit of the adders that sum tables, or, where these take their tables in, sum chains of them."""


FAMILIES: dict[str, Fitted] = {
    "xcup": Fitted(
        shared=0.981,
        often=0.096,
        carry=-0.334,
        grown=0.443,
        row=0.0,
        clamp=0.813,
        saturate=1.0,
        tie=1.0,
        small=1.1,
        full=2.3,
        summed=0.7,
    ),
    "ecp5": Fitted(
        shared=1.029,
        often=0.119,
        carry=0.49,
        grown=0.696,
        row=10.089,
        clamp=0.0,
        saturate=1.0,
        tie=1.0,
        small=1.0,
        full=1.0,
        summed=1.0,
    ),
}


def coefficients(target: Target) -> Fitted:
    """Fitted ones of the target's family, else those of the fitted family whose adders are alike."""
    near = "xcup" if target.costs.carry_passes else "ecp5"
    return FAMILIES.get(target.family, FAMILIES[near])
