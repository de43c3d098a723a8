"""Types of hls4ml's firmware: `ap_fixed` and its kin, and how wide their sums and products are.

Source: AMD UG1399, "Arbitrary Precision Fixed-Point Data Types"; Siemens, "Algorithmic C Datatypes" (`ac_fixed`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hardwire.fixed import MAX_BITS, Floats, Overflow, Rounding
from hardwire.quantiser import Quantiser


@dataclass(frozen=True)
class Fixed:
    """A fixed-point type of `width` bits, `integer` of them (sign included) before the point.

    `rounding` and `overflow` say what an assignment to it does. An `ap_int` rounds toward zero.
    """

    signed: bool
    width: int
    integer: int
    rounding: Rounding = Rounding.TRN
    overflow: Overflow = Overflow.WRAP

    @property
    def frac(self) -> int:
        """Bits behind the point; may be negative."""
        return self.width - self.integer

    @property
    def bit(self) -> bool:
        """Whether this is `ap_uint<1>`, which stands for -1 and 1 in a binary network."""
        return (self.signed, self.width, self.integer) == (False, 1, 1)

    def holds(self, other: Fixed) -> bool:
        """Whether every value of another type is one of this type."""
        if other.signed and not self.signed:
            return False
        spare = self.integer - other.integer - int(self.signed and not other.signed)
        symmetric = self.overflow is Overflow.SAT_SYM and self.signed and other.signed and spare == 0
        return spare >= 0 and self.frac >= other.frac and not symmetric

    def quantiser(self) -> Quantiser:
        """Return the rule of an assignment to this type.

        Beyond 62 bits the type is cut at its top: no value that a Program can hold reaches what is cut away.
        """
        return Quantiser.of_arrays(self.signed, min(self.width, MAX_BITS), self.frac, self.rounding, self.overflow)

    def __call__(self, values: Floats | float) -> Floats:
        """Return float64 values as the type keeps them (a constructor from a number)."""
        return self.quantiser()(np.asarray(values, np.float64))

    def plain(self) -> Fixed:
        """Return the type with truncation and wrapping, as the result of an operation has."""
        return replace(self, rounding=Rounding.TRN, overflow=Overflow.WRAP)

    def times(self, other: Fixed) -> Fixed:
        """Type of a product."""
        signed = self.signed or other.signed
        return Fixed(signed, self.width + other.width, self.integer + other.integer)

    def plus(self, other: Fixed) -> Fixed:
        """Type of a sum."""
        integer = self._joint(other) + 1
        return Fixed(self.signed or other.signed, integer + max(self.frac, other.frac), integer)

    def minus(self, other: Fixed) -> Fixed:
        """Type of a difference, always signed."""
        return replace(self.plus(other), signed=True)

    def either(self, other: Fixed) -> Fixed:
        """Smallest type that holds the values of both."""
        integer = self._joint(other)
        return Fixed(self.signed or other.signed, integer + max(self.frac, other.frac), integer)

    def _joint(self, other: Fixed) -> int:
        return max(
            self.integer + int(other.signed and not self.signed), other.integer + int(self.signed and not other.signed)
        )


INT = Fixed(True, 32, 32, Rounding.TRN_ZERO)
"""C's `int`."""
