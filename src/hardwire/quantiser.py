"""The quantiser: how a real number becomes a code, exactly as the model's framework defines it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError
from hardwire.fixed import (
    MAX_BITS,
    FixedType,
    Floats,
    Ints,
    Overflow,
    Rounding,
    apply_overflow,
    least_code,
    round_real,
    width_of,
)


def _ints(value: Any) -> Ints:
    return np.asarray(value, np.int64)


@dataclass(frozen=True, eq=False)
class Quantiser:
    """`code = overflow(round(x / scale + zero), lo, hi)`, read back as `(code - zero) × scale`.

    `scale` float64 (> 0), `lo`, `hi`, `zero` int64 broadcast against the tensor's shape without the batch axis.
    `zero_first` tells whether the zero point is added before rounding (QONNX `Quant`) or after (ONNX
    `QuantizeLinear`); it matters for ties to even with an odd zero point. With `mantissa` the codes are those of a
    minifloat: of a larger one only so many bits behind the leading one are kept (rounded as the others), so that
    `scale` is the step of its smallest values. Raises `ModelError` for impossible fields.
    """

    scale: Floats
    lo: Ints
    hi: Ints
    rounding: Rounding = Rounding.RND_CONV
    overflow: Overflow = Overflow.SAT
    zero: Ints = field(default_factory=lambda: np.zeros((), np.int64))
    zero_first: bool = False
    mantissa: int | None = None

    def __post_init__(self) -> None:
        if not (np.all(np.isfinite(self.scale)) and np.all(self.scale > 0)):
            raise ModelError(f"quantiser scale must be finite and positive, found {np.min(self.scale)}")
        if np.any(self.lo > self.hi):
            raise ModelError("quantiser with an empty range of codes")
        low, high = int(np.min(self.lo - self.zero, initial=0)), int(np.max(self.hi - self.zero, initial=0))
        if width_of(low, high) > MAX_BITS:
            raise ModelError(
                f"quantiser with codes from {low} to {high}: {width_of(low, high)} bits; codes have at most {MAX_BITS}",
                hint="fewer bits, or a zero point nearer to the codes",
            )
        if self.mantissa is not None and (self.overflow is not Overflow.SAT or np.any(self.zero) or self.mantissa < 0):
            raise ModelError("a minifloat quantiser saturates, and has no zero point")
        if self.overflow in (Overflow.WRAP, Overflow.WRAP_SM):
            span = self.hi - self.lo + 1
            if np.any(span & (span - 1)) or np.any((self.lo != 0) & (self.lo != -(self.hi + 1))):
                raise ModelError("a wrapping quantiser needs the whole range of a two's complement or unsigned type")
        if self.overflow is Overflow.SAT_SYM and np.any(self.hi < self.zero):
            raise ModelError("SAT_SYM needs a range that holds the zero point: no range is symmetric without it")
        if self.overflow is Overflow.SAT_ZERO and np.any((self.lo > self.zero) | (self.hi < self.zero)):
            raise ModelError("SAT_ZERO needs a range that holds the zero point, which values beyond it become")
        if self.overflow is Overflow.WRAP_SM and np.any((self.lo == 0) & (self.hi > 0)):
            raise ModelError("WRAP_SM is defined for signed types only")

    @classmethod
    def of_type(
        cls, kind: FixedType, rounding: Rounding = Rounding.RND_CONV, overflow: Overflow = Overflow.SAT
    ) -> Quantiser:
        """Return the quantiser to one fixed-point type for the whole tensor."""
        return cls(np.float64(kind.lsb) * np.ones(()), _ints(kind.lo), _ints(kind.hi), rounding, overflow)

    @classmethod
    def of_arrays(
        cls,
        signed: NDArray[Any] | bool,
        bits: NDArray[Any] | int,
        frac: NDArray[Any] | int,
        rounding: Rounding = Rounding.RND_CONV,
        overflow: Overflow = Overflow.SAT,
    ) -> Quantiser:
        """Return a quantiser with a type per element; `bits` 0 keeps nothing (the code is always 0)."""
        signed_, bits_, frac_ = np.broadcast_arrays(np.asarray(signed, bool), _ints(bits), _ints(frac))
        if np.any((bits_ < 0) | (bits_ > MAX_BITS)):
            bad = int(bits_.min()) if bits_.min() < 0 else int(bits_.max())
            raise ModelError(f"quantiser of {bad} bits; 0 to {MAX_BITS} are possible")
        one = np.int64(1)
        lo = np.where(signed_ & (bits_ > 0), -(one << np.maximum(bits_ - 1, 0)), 0)
        hi = np.where(signed_, (one << np.maximum(bits_ - 1, 0)) - 1, (one << bits_) - 1)
        return cls(np.exp2(-frac_.astype(np.float64)), lo, np.where(bits_ > 0, hi, 0), rounding, overflow)

    @classmethod
    def minifloat(
        cls,
        scale: Floats | float,
        exponent: int,
        mantissa: int,
        bias: int,
        most: float | None = None,
        rounding: Rounding = Rounding.RND_CONV,
    ) -> Quantiser:
        """Return the quantiser to floats of `exponent` and `mantissa` bits times `scale`, saturating at `most`.

        Every exponent is that of a number; `most` keeps free what a format uses for infinity and NaN.
        """
        largest = ((2 << mantissa) - 1) << ((1 << exponent) - 2)
        unit = 2.0 ** (1 - bias - mantissa)
        if most is not None:
            largest = min(largest, int(most / unit))
        hi = _ints(largest)
        return cls(np.asarray(scale, np.float64) * unit, -hi, hi, rounding, mantissa=mantissa)

    def codes(self, x: Floats) -> Ints:
        """Centred codes (`code - zero`) of float64 `x` (..., *tensor shape), int64; `value = codes × scale`."""
        # A tiny scale may take a value to infinity, which saturates like any other.
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = np.asarray(x, np.float64) / self.scale
            zero = self.zero
            if self.zero_first:
                rounded = round_real(scaled + zero, self.rounding) - zero
            else:
                step = self._steps(scaled)
                rounded = round_real(scaled / step, self.rounding) * step
        # Beyond ±2^62 a saturating code is decided by its sign; the cast must not overflow before.
        limit = float(1 << 62)
        whole = np.clip(rounded, -limit, limit).astype(np.int64)
        return apply_overflow(whole, self.lo - zero, self.hi - zero, self.overflow)

    def _steps(self, scaled: Floats) -> Floats | float:
        """Distance of neighbouring codes around each value: 1 but for a minifloat."""
        if self.mantissa is None:
            return 1.0
        _, exponent = np.frexp(np.clip(scaled, -float(1 << 62), float(1 << 62)))
        return np.asarray(np.exp2(np.maximum(exponent - 1 - self.mantissa, 0)), np.float64)

    def __call__(self, x: Floats) -> Floats:
        """Fake-quantise: real values on the grid, float64."""
        return np.asarray(self.codes(x) * self.scale, np.float64)

    def scales(self) -> NDArray[Any]:
        """Scale as exact `Fraction`s, same shape as `scale`."""
        flat = [Fraction(float(s)) for s in np.ravel(self.scale)]
        out = np.empty(len(flat), object)
        out[:] = flat
        return out.reshape(np.shape(self.scale))

    @property
    def limits(self) -> tuple[Ints, Ints]:
        """Lowest and highest centred code that it gives."""
        lo, hi = self.lo - self.zero, self.hi - self.zero
        return least_code(lo, hi, self.overflow), hi

    @property
    def bits(self) -> Ints:
        """Bits of each centred code."""
        lo, hi = np.broadcast_arrays(self.lo - self.zero, self.hi - self.zero)
        return np.vectorize(lambda low, high: width_of(int(low), int(high)), otypes=[np.int64])(lo, hi)

    def reshaped(self, shape: tuple[int, ...]) -> Quantiser:
        """Return the same quantiser with every field broadcast to `shape`."""
        return replace(
            self,
            scale=np.broadcast_to(self.scale, shape),
            lo=np.broadcast_to(self.lo, shape),
            hi=np.broadcast_to(self.hi, shape),
            zero=np.broadcast_to(self.zero, shape),
        )

    def describe(self) -> str:
        """Short text such as `s8.4 RND_CONV SAT`; ranges where the type differs by element."""
        scale, bits = np.unique(self.scale), np.unique(self.bits)
        sign = "s" if np.all(self.lo < 0) else "u" if np.all(self.lo >= 0) else "s/u"
        exponents = -np.log2(scale)
        frac = _span(exponents.astype(int)) if np.all(exponents == np.rint(exponents)) else f"×{scale[0]:.6g}"
        float_part = "" if self.mantissa is None else f" float of {self.mantissa} mantissa bits"
        return f"{sign}{_span(bits)}.{frac} {self.rounding.name} {self.overflow.name}{float_part}"


def _span(values: NDArray[Any]) -> str:
    low, high = int(np.min(values)), int(np.max(values))
    return str(low) if low == high else f"({low}…{high})"
