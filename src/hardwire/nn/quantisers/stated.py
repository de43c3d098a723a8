"""A grid that is given: a quantiser of the compiler, such as a model file's own."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hardwire.errors import UnsupportedError
from hardwire.fixed import Overflow, Rounding
from hardwire.nn.arithmetic import Grid, held, rounded, through
from hardwire.nn.quantisers._base import Quantiser
from hardwire.quantiser import Quantiser as Frozen

_LOOKS = (Rounding.TRN_ZERO, Rounding.RND_ZERO, Rounding.RND_INF, Rounding.AWAY)
"""Roundings that look at the sign."""


def gridded(rule: Frozen) -> bool:
    """Whether a rule rounds to one grid of equal steps; not so minifloats, and a zero point that the rounding sees."""
    odd = rule.rounding is Rounding.RND_CONV and bool(np.any(rule.zero % 2))
    seen = rule.zero_first and bool(np.any(rule.zero)) and (odd or rule.rounding in _LOOKS)
    return rule.mantissa is None and not seen


class Stated(Quantiser):
    """Does what a `hardwire.quantiser.Quantiser` does; nothing is learnt.

    `rank`: axes of the tensor without the batch. `weight`: bits are counted without the sign, as costs count those of
    weights. Scales may be any positive numbers; where they are no powers of two the float arithmetic is exact but at
    ties. Raises `UnsupportedError` for a rule that is not `gridded`.
    """

    def __init__(self, rule: Frozen, rank: int | None = None, *, weight: bool = False) -> None:
        super().__init__()
        self.weight = weight
        if not gridded(rule):
            raise UnsupportedError(
                f"quantiser {rule.describe()}: a minifloat, or a zero point that the rounding sees, is no plain grid",
                hint="a fixed-point quantiser, with an even zero point or none",
            )
        parts = {"_scale": rule.scale, "_lo": rule.lo - rule.zero, "_hi": rule.hi - rule.zero}
        for name, part in parts.items():
            value = np.asarray(part, np.float64)
            if rank is not None:
                value = value.reshape((1,) * (rank - value.ndim) + value.shape)
            self.register_buffer(name, torch.tensor(value), persistent=False)
        self.rounding, self.overflow = rule.rounding, rule.overflow
        self.dyadic = bool(np.all(np.frexp(rule.scale)[0] == 0.5))
        self.text = rule.describe()

    def grid(self) -> Grid:
        """Return the given grid."""
        return Grid(self._scale, self._lo, self._hi, self.rounding, self.overflow)

    def rounded(self, x: Tensor) -> Tensor:
        """`x` on the grid; divided by the scale, as the compiler does, where it is no power of two."""
        if self.dyadic:
            return super().rounded(x)
        with torch.no_grad():
            codes = rounded(x / self._scale, self.rounding)
            kept = held(codes, self._lo, self._hi, self.overflow)
            saturates = self.overflow not in (Overflow.WRAP, Overflow.WRAP_SM)
            y, slope = kept * self._scale, (codes == kept).to(x.dtype) if saturates else None
        return through(x, y, slope)

    def bits(self) -> Tensor:
        """Return the bits of each code; 0 where only 0 is left."""
        most = torch.maximum(-self._lo, self._hi + 1.0).clamp(min=1.0)
        magnitude = torch.ceil(torch.log2(most))
        return magnitude if self.weight else magnitude + (self._lo < 0).to(most.dtype)

    def extra_repr(self) -> str:
        """Name the type."""
        return self.text
