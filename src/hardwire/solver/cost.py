"""What an adder costs: targets bring their own model, the default counts full adders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class AdderShapes:
    """The adders of a graph, one array element each: value = (a << shift_a) ± (b << shift_b).

    Widths are of the operands before their shift, two's complement where the operand is signed; `width` is that of
    the exact result. All are proven, not declared.
    """

    width_a: Ints
    signed_a: NDArray[np.bool_]
    shift_a: Ints
    width_b: Ints
    signed_b: NDArray[np.bool_]
    shift_b: Ints
    negate_b: NDArray[np.bool_]
    width: Ints


class AdderCost(Protocol):
    """Cost of adders on a target, in any one unit (full adders, LUTs, …); must not be negative."""

    def __call__(self, adders: AdderShapes) -> NDArray[np.float64]:
        """One cost an adder."""
        ...


@dataclass(frozen=True)
class FullAdderCost:
    """Full-adder bits that an adder needs, plus `overhead` for each adder that needs any.

    For a sum, bits below the higher shift pass through from one operand, and two operands that do not overlap
    (the lower one unsigned) are joined without logic. For a difference, the bits of the minuend below the subtrahend
    pass through, but the low bits of a subtrahend must be negated: the chain starts at `shift_b`. An operand that is
    always zero leaves wires, or a negation.
    """

    overhead: float = 0.0

    def __call__(self, adders: AdderShapes) -> NDArray[np.float64]:
        """Full adders of each adder."""
        start = np.where(adders.negate_b, adders.shift_b, np.maximum(adders.shift_a, adders.shift_b))
        a_below = ~adders.signed_a & (adders.width_a + adders.shift_a <= adders.shift_b)
        b_below = ~adders.signed_b & (adders.width_b + adders.shift_b <= adders.shift_a)
        free = ~adders.negate_b & (a_below | b_below)
        free |= (adders.width_b == 0) | (~adders.negate_b & (adders.width_a == 0))
        bits = np.where(free, 0, np.maximum(adders.width - start, 0)).astype(np.float64)
        return bits + self.overhead * (bits > 0)


@dataclass(frozen=True)
class AdderCount:
    """Every adder costs 1."""

    def __call__(self, adders: AdderShapes) -> NDArray[np.float64]:
        """Ones."""
        return np.ones(adders.width.shape, np.float64)


def signed_width(lo: Ints, hi: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Bits (two's complement where lo < 0, else unsigned) that hold lo … hi, and whether signed; 0 for always zero."""
    top = np.maximum(hi, -(lo + 1))
    width = np.zeros(top.shape, np.int64)
    rest = top.copy()
    for step in (32, 16, 8, 4, 2, 1):
        big = rest >= (np.int64(1) << step)
        width += np.where(big, step, 0)
        rest = np.where(big, rest >> step, rest)
    width += rest > 0
    signed = lo < 0
    return width + signed, signed
