"""A type that the user states: `s8.4`."""

from __future__ import annotations

import torch
from torch import Tensor

from hardwire.errors import ModelError
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.nn.arithmetic import Grid
from hardwire.nn.quantisers._base import Quantiser
from hardwire.nn.quantisers.estimators import STRAIGHT, Estimator


class Fixed(Quantiser):
    """One fixed-point type for the whole tensor, such as `s8.4` or `u6.2`; `Stated` takes one for each element.

    Symmetric ranges: `overflow=Overflow.SAT_SYM`. Types that the default float type cannot hold give float64. Raises
    `ModelError` for a text that is no type, or more bits than float64 holds.
    """

    def __init__(
        self,
        kind: str | FixedType,
        rounding: Rounding = Rounding.RND,
        overflow: Overflow = Overflow.SAT,
        *,
        rank: int = 1,
        estimator: Estimator = STRAIGHT,
    ) -> None:
        super().__init__()
        self.kind = FixedType.parse(kind) if isinstance(kind, str) else kind
        self.rounding, self.overflow, self.estimator = rounding, overflow, estimator
        held = (torch.get_default_dtype(), torch.float64)
        exact = [dtype for dtype in held if int(torch.tensor(self.kind.hi, dtype=dtype)) == self.kind.hi]
        if not exact:
            raise ModelError(f"Fixed: the codes of {self.kind} are not exact in torch.float64", hint="at most 53 bits")
        for name, value in (("_scale", self.kind.lsb), ("_lo", self.kind.lo), ("_hi", self.kind.hi)):
            self.register_buffer(name, torch.full((1,) * rank, float(value), dtype=exact[0]), persistent=False)

    def grid(self) -> Grid:
        """Return the type's grid."""
        return Grid(self._scale, self._lo, self._hi, self.rounding, self.overflow)

    def bits(self) -> Tensor:
        """Return the type's bits."""
        return torch.full_like(self._scale, float(self.kind.bits))

    def extra_repr(self) -> str:
        """Name the type."""
        return f"{self.kind}, {self.rounding.name}, {self.overflow.name}"
