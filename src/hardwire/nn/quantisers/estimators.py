"""What training takes a rounding for: how much of the gradient passes it, and what its forward pass shows.

A rounding has no gradient. One class an estimator; a quantiser takes one as `estimator=`. Evaluation and the exported
program round exactly whatever it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hardwire.fixed import Rounding

_TIES_AT_HALF = (
    Rounding.RND,
    Rounding.RND_ZERO,
    Rounding.RND_INF,
    Rounding.RND_MIN_INF,
    Rounding.RND_CONV,
)


@dataclass(frozen=True)
class Estimator:
    """Gradients pass as if nothing were rounded (straight-through: Bengio et al. 2013, arXiv:1308.3432)."""

    exact = True
    """Whether training's forward pass is the compiled one too."""

    def slope(self, position: Tensor, rounding: Rounding) -> Tensor | None:
        """Gradient of the code by `position`, the unrounded code (any shape); None is 1 everywhere."""
        return None

    def codes(self, position: Tensor, codes: Tensor) -> Tensor:
        """Return what training takes for `codes`, `position` rounded."""
        return codes


@dataclass(frozen=True)
class Soft(Estimator):
    """The gradient of a soft staircase: tanh steps, steeper with `temperature`, as far up in all as the exact one.

    Differentiable soft quantisation (Gong et al. 2019, arXiv:1908.05033), its backward pass. Temperatures of 1 to 10
    are of use: near 0 it passes straight through, above that only values next to a step learn.
    """

    temperature: float = 4.0

    def slope(self, position: Tensor, rounding: Rounding) -> Tensor:
        """Return the slope of the soft step next to each position: its mean over a step is 1."""
        shift = 0.0 if rounding in _TIES_AT_HALF else 0.5
        from_step = position + shift
        from_step = from_step - from_step.floor() - 0.5
        height = torch.tanh(from_step * self.temperature)
        return (1.0 - height * height) * (0.5 * self.temperature / math.tanh(0.5 * self.temperature))


@dataclass(frozen=True)
class Noise(Estimator):
    """Training adds uniform noise as wide as a step and does not round (Défossez et al. 2021, arXiv:2104.09987).

    The gradient is then the true one; the network is trained for the error's size and not for its values. Rounding
    without noise for the last part of a training settles it.
    """

    exact = False

    def codes(self, position: Tensor, codes: Tensor) -> Tensor:
        """Return positions with noise of ± half a step."""
        return position + (torch.rand_like(position) - 0.5)


@dataclass(frozen=True)
class Stochastic(Estimator):
    """Training rounds up with the probability of the fraction (Gupta et al. 2015, arXiv:1502.02551): no bias."""

    exact = False

    def codes(self, position: Tensor, codes: Tensor) -> Tensor:
        """Return one of the two neighbouring codes."""
        return (position + torch.rand_like(position)).floor_()


STRAIGHT = Estimator()
"""What quantisers take if nothing else is said."""
