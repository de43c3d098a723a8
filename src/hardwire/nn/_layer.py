"""What the layers share: quantised parameters that are frozen for export, and the work that they cost."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hardwire.nn.quantisers import Quantiser
from hardwire.nn.quantisers._base import Code
from hardwire.nn.work import Casts, Work


class Layer(nn.Module):
    """A module whose evaluation is exactly what the compiler builds.

    A subclass gives its constants by name from `constants()` (quantised, batch norm folded) and reads them in `forward`
    as `self.constant(name)`: computed anew in training, with gradients; in an exported program the buffers that
    `train(False)` has frozen, so that a file holds numbers and not the arithmetic that made them.
    """

    @abstractmethod
    def constants(self) -> dict[str, Tensor]:
        """Weights and biases as the hardware has them, differentiable."""

    @abstractmethod
    def work(self) -> Iterator[Work]:
        """Yield what the layer costs, as of the last forward pass."""

    def widths(self) -> Iterator[nn.Parameter]:
        """Yield the layer's own parameters that are bit widths, beside its quantisers'; no decay pulls them to 0."""
        return iter(())

    def parameters_now(self) -> dict[str, Tensor]:
        """Constants for this forward pass."""
        if not torch.compiler.is_exporting():
            return self.constants()
        return {name: getattr(self, f"frozen_{name}") for name in self._frozen}

    def train(self, mode: bool = True) -> Layer:
        """Switch to training, or freeze the constants for evaluation and export."""
        super().train(mode)
        if not mode:
            with torch.no_grad():
                found = self.constants()
            self._frozen = tuple(found)
            for name, value in found.items():
                self.register_buffer(f"frozen_{name}", value.detach().clone(), persistent=False)
        return self


def quantised(quantiser: Quantiser | None, x: Tensor) -> Tensor:
    """`x` through its quantiser, if it has one."""
    return x if quantiser is None else quantiser(x)


def cast(
    layer: str, quantiser: Quantiser | None, count: int, times: int = 1, code: Code | None = None
) -> Iterator[Casts]:
    """Work of an input quantiser of `count` values a position; `code` is its own, where it is known already."""
    if quantiser is not None:
        yield Casts(layer, *(code or quantiser.code()), count, times)


def fractional_bits(quantiser: Quantiser | None, like: Tensor) -> Tensor:
    """Fractional bits of what a quantiser gives, with gradients where they are learnt."""
    if quantiser is None:
        return torch.zeros_like(like)
    fraction = getattr(quantiser, "fraction", None)
    return fraction() if fraction is not None else -torch.log2(quantiser.grid().scale)


def bits_of(quantiser: Quantiser | None, like: Tensor) -> Tensor:
    """Bits of what a quantiser gives; 16 for a tensor that has none."""
    return torch.full_like(like, 16.0) if quantiser is None else quantiser.bits()
