"""A type that the user states: `s8.4`, one for the tensor or one an element."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardwire.errors import ModelError
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.nn.arithmetic import Grid
from hardwire.nn.quantisers._base import Quantiser
from hardwire.nn.quantisers.estimators import STRAIGHT, Estimator
from hardwire.quantiser import Quantiser as Frozen


class Fixed(Quantiser):
    """One fixed-point type for the whole tensor, such as `s8.4` or `u6.2`.

    `Fixed.of` takes any grid, with a type per channel or element. Symmetric ranges: `overflow=Overflow.SAT_SYM`. Types
    that float32 cannot hold give float64. Raises `ModelError` for a text that is no type, or more than 53 bits.
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
        type_ = FixedType.parse(kind) if isinstance(kind, str) else kind
        self._take(Frozen.of_type(type_, rounding, overflow).reshaped((1,) * rank), estimator)

    @classmethod
    def of(cls, frozen: Frozen, *, estimator: Estimator = STRAIGHT) -> Fixed:
        """Return the trainable form of a quantiser of the compiler, whatever its types are by element.

        Raises `ModelError` for scales that are no powers of two, zero points and minifloats.
        """
        mantissas, _ = np.frexp(frozen.scale)
        if np.any(mantissas != 0.5):
            raise ModelError(
                f"Fixed: the scale {np.ravel(frozen.scale)[np.ravel(mantissas) != 0.5][0]:.6g} is no power of two",
                hint="a power of two nearby, or keep the model in its own framework: the compiler takes it exactly",
            )
        if np.any(frozen.zero) or frozen.mantissa is not None:
            raise ModelError("Fixed: a quantiser with a zero point or a mantissa is no fixed-point type")
        made = cls.__new__(cls)
        Quantiser.__init__(made)
        made._take(frozen, estimator)
        return made

    def _take(self, frozen: Frozen, estimator: Estimator) -> None:
        self.rounding, self.overflow, self.estimator = frozen.rounding, frozen.overflow, estimator
        self.described = frozen.describe()
        shape = np.broadcast_shapes(*(np.shape(part) for part in (frozen.scale, frozen.lo, frozen.hi)))
        whole = frozen.reshaped(shape)
        for name, value in (("_scale", whole.scale), ("_lo", whole.lo), ("_hi", whole.hi), ("_bits", whole.bits)):
            self.register_buffer(name, _tensor(value, self.described), persistent=False)

    def grid(self) -> Grid:
        """Return the type's grid."""
        return Grid(self._scale, self._lo, self._hi, self.rounding, self.overflow)

    def bits(self) -> Tensor:
        """Return the type's bits."""
        bits: Tensor = self._bits
        return bits

    def extra_repr(self) -> str:
        """Name the type."""
        return self.described


def _tensor(value: NDArray[np.generic], described: str) -> Tensor:
    """Numbers in the default float type, or in float64 where only that holds them."""
    made = torch.as_tensor(np.array(value), dtype=torch.get_default_dtype())
    if np.any(made.double().numpy() != value):
        made = torch.as_tensor(np.array(value), dtype=torch.float64)
    if np.any(made.numpy().astype(value.dtype) != value):
        raise ModelError(f"Fixed: the codes of {described} are not exact in torch.float64", hint="at most 53 bits")
    return made
