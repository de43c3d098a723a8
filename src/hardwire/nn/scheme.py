"""Which quantisers the modules of a model get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hardwire.nn.quantisers import Fixed, LearnedRange, LearnedWeight, Quantiser
from hardwire.nn.quantisers._base import Granularity

Shape = tuple[int, ...]
Make = Callable[[Shape], Quantiser]
"""Makes the quantiser of a tensor of a shape (without the batch axis)."""


@dataclass(frozen=True)
class Scheme:
    """How inputs, weights and biases are quantised; None leaves them as they are.

    Modules quantise their own inputs, so that a chain of them needs no quantiser between. `output` brings a layer's
    sums to a type: an accumulator that wraps or saturates. Without it sums are exact. One part is changed by
    `dataclasses.replace(scheme, weight=Ternary)`.
    """

    input: Make | None
    weight: Make | None
    bias: Make | None
    output: Make | None = None

    @classmethod
    def learned(
        cls,
        bits: float = 6.0,
        *,
        weight: Granularity = "element",
        input: Granularity = "element",
        warmup: int = 0,
    ) -> Scheme:
        """Learnt fractional bits everywhere, from `bits` on."""
        return cls(
            lambda shape: LearnedRange(shape, input, bits=bits, warmup=warmup),
            lambda shape: LearnedWeight(shape, weight, bits=bits),
            lambda shape: LearnedWeight(shape, weight, bits=bits),
        )

    @classmethod
    def fixed(cls, input: str, weight: str, bias: str | None = None) -> Scheme:
        """Types that the user states, such as `s8.4`, saturating."""
        bias = bias or weight
        return cls(
            lambda shape: Fixed(input, rank=len(shape)),
            lambda shape: Fixed(weight, rank=len(shape)),
            lambda shape: Fixed(bias, rank=len(shape)),
        )


LEARNED = Scheme.learned()
"""What modules take if nothing else is said."""
