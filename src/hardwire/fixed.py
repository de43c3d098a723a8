"""Fixed-point types, rounding and overflow: the numbers of hardwire.

A fixed-point value is `integer × 2^-frac`. The rounding and overflow modes are those of `ap_fixed`
(AMD UG1399, "Arbitrary Precision Fixed-Point Data Types") and of SystemC (IEEE 1666-2011, 7.10), plus the two
that QONNX adds (`CEIL`, `AWAY`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import TypeStringError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MAX_BITS = 62
"""Widest value of a Program, sign included; wider ones are an error that names the layer."""


class Rounding(IntEnum):
    """What happens to the bits below the last one that is kept."""

    TRN = 0
    """Toward minus infinity (floor): drop the bits. `AP_TRN`."""
    TRN_ZERO = 1
    """Toward zero. `AP_TRN_ZERO`."""
    RND = 2
    """To nearest, ties toward plus infinity. `AP_RND`."""
    RND_ZERO = 3
    """To nearest, ties toward zero. `AP_RND_ZERO`."""
    RND_INF = 4
    """To nearest, ties away from zero. `AP_RND_INF`."""
    RND_MIN_INF = 5
    """To nearest, ties toward minus infinity. `AP_RND_MIN_INF`."""
    RND_CONV = 6
    """To nearest, ties to even. `AP_RND_CONV`; what numpy, PyTorch, ONNX and Keras call round."""
    CEIL = 7
    """Toward plus infinity. QONNX `CEIL`."""
    AWAY = 8
    """Away from zero. QONNX `UP`."""


class Overflow(IntEnum):
    """What happens to a value outside the range of its type."""

    WRAP = 0
    """Keep the low bits. `AP_WRAP`."""
    SAT = 1
    """Clip to the type's range. `AP_SAT`."""
    SAT_SYM = 2
    """Clip to the symmetric range: the lowest code of a signed type is not used. `AP_SAT_SYM`."""
    SAT_ZERO = 3
    """Zero instead of a value out of range. `AP_SAT_ZERO`."""
    WRAP_SM = 4
    """Sign-magnitude wrap, signed types only: a triangle wave. `AP_WRAP_SM` with no saturated bits."""


_PATTERN = re.compile(r"([su])(\d+)\.(-?\d+)")


@dataclass(frozen=True, slots=True)
class FixedType:
    """A fixed-point type: `bits` in all (sign included), `frac` of them fractional.

    Written `s8.4` (signed, 8 bits, 4 fractional) or `u8.4`. `frac` may exceed `bits` or be negative.
    Raises `TypeStringError` for no bits, or more than 62.
    """

    signed: bool
    bits: int
    frac: int

    def __post_init__(self) -> None:
        least = 1
        if not least <= self.bits <= MAX_BITS:
            raise TypeStringError(
                f"type {self}: {self.bits} bits; a type has {least} to {MAX_BITS} bits",
                hint="a narrower type, for example s8.4 (signed, 8 bits, 4 of them fractional)",
            )

    @classmethod
    def parse(cls, text: str) -> FixedType:
        """Read `s8.4` or `u8.4`; raises `TypeStringError` that shows the text."""
        match = _PATTERN.fullmatch(text.strip())
        if match is None:
            raise TypeStringError(
                f"type {text!r} is not of the form s8.4 or u8.4",
                hint="s or u for signed or unsigned, then the bits in all, a dot, and the fractional bits: s8.4",
            )
        return cls(match[1] == "s", int(match[2]), int(match[3]))

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.bits}.{self.frac}"

    @property
    def lo(self) -> int:
        """Lowest code, in LSBs."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def hi(self) -> int:
        """Highest code, in LSBs."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def lsb(self) -> float:
        """Value of one code step."""
        return 2.0**-self.frac

    @classmethod
    def of_range(cls, lo: int, hi: int, frac: int = 0) -> FixedType:
        """Return the narrowest type that holds every code in `[lo, hi]`; signed only when `lo` is negative."""
        return cls(lo < 0, max(1, width_of(lo, hi)), frac)


def width_of(lo: int, hi: int) -> int:
    """Bits that the closed integer range `[lo, hi]` needs: signed when `lo < 0`; 0 for the range `[0, 0]`."""
    if lo < 0:
        return max((-lo - 1).bit_length(), hi.bit_length() if hi > 0 else 0) + 1
    return hi.bit_length()


def round_real(values: Floats, rounding: Rounding) -> Floats:
    """Round float64 `values` (any shape) to integers; exact: no addition that could itself round."""
    if rounding is Rounding.TRN:
        return np.floor(values)
    if rounding is Rounding.TRN_ZERO:
        return np.trunc(values)
    if rounding is Rounding.CEIL:
        return np.ceil(values)
    if rounding is Rounding.AWAY:
        return np.where(values >= 0, np.ceil(values), np.floor(values))
    if rounding is Rounding.RND_CONV:
        return np.rint(values)
    below = np.floor(values)
    rest = values - below
    if rounding is Rounding.RND:
        up = rest >= 0.5
    elif rounding is Rounding.RND_MIN_INF:
        up = rest > 0.5
    elif rounding is Rounding.RND_ZERO:
        up = (rest > 0.5) | ((rest == 0.5) & (values < 0))
    else:
        up = (rest > 0.5) | ((rest == 0.5) & (values >= 0))
    return below + up


def round_shift(codes: Ints, shift: int, rounding: Rounding) -> Ints:
    """`round(codes / 2^shift)` for int64 `codes` (any shape) and `0 ≤ shift ≤ 63`, exactly."""
    if shift == 0:
        return codes
    below = codes >> shift
    rest = codes - (below << shift)
    half = np.int64(1 << (shift - 1))
    tie, over = rest == half, rest > half
    if rounding is Rounding.TRN:
        return below
    if rounding is Rounding.TRN_ZERO:
        up = (rest != 0) & (codes < 0)
    elif rounding is Rounding.CEIL:
        up = rest != 0
    elif rounding is Rounding.AWAY:
        up = (rest != 0) & (codes >= 0)
    elif rounding is Rounding.RND:
        up = over | tie
    elif rounding is Rounding.RND_MIN_INF:
        up = over
    elif rounding is Rounding.RND_ZERO:
        up = over | (tie & (codes < 0))
    elif rounding is Rounding.RND_INF:
        up = over | (tie & (codes >= 0))
    else:
        up = over | (tie & ((below & 1) == 1))
    return below + up


def wrap_codes(codes: Ints, bits: int, signed: bool) -> Ints:
    """Keep the low `bits` bits of int64 `codes`, read as signed or unsigned."""
    span = np.int64(1) << bits
    low = codes & (span - 1)
    return np.where(low >> (bits - 1) != 0, low - span, low) if signed else low


def wrap_sign_magnitude(codes: Ints, bits: int) -> Ints:
    """`AP_WRAP_SM` of int64 `codes` to a signed type of `bits` bits (IEEE 1666-2011, 7.10.9.5)."""
    sign = (codes >> bits) & 1
    top = (codes >> (bits - 1)) & 1
    return wrap_codes(np.where(sign != top, ~codes, codes), bits, True)


def least_code(lo: Ints, hi: Ints, overflow: Overflow) -> Ints:
    """Lowest code that an overflow mode leaves of `[lo, hi]` (zero point 0): `SAT_SYM` does not use a signed type's."""
    return np.where(lo < 0, -hi, lo) if overflow is Overflow.SAT_SYM else lo


def apply_overflow(codes: Ints, lo: Ints, hi: Ints, overflow: Overflow) -> Ints:
    """Bring int64 `codes` into `[lo, hi]` (broadcast); for the wraps the range must be a whole power of two."""
    if overflow in (Overflow.SAT, Overflow.SAT_SYM):
        return np.clip(codes, least_code(lo, hi, overflow), hi)
    if overflow is Overflow.SAT_ZERO:
        return np.where((codes < lo) | (codes > hi), 0, codes)
    last = hi - lo
    if overflow is Overflow.WRAP:
        return ((codes - lo) & last) + lo
    # A triangle wave of twice the period: rising over [lo, hi], then mirrored.
    phase = (codes - lo) & (2 * last + 1)
    return np.where(phase <= last, phase, 2 * last + 1 - phase) + lo
