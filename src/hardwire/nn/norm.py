"""Batch normalisation: folded into the layer before it (`Norm`), or by itself (`BatchNorm`).

What is quantised is the folded weight `γ·W/σ`, in training too (Jacob et al. 2018, arXiv:1712.05877, section 3.2), with
the running σ, which jitters less than the batch's; what is missing to the batch's own σ is multiplied behind
(Krishnamoorthi 2018, arXiv:1806.08342, section 3.2.2). Late in training the statistics are held: from then on the
training forward is the compiled arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hardwire.nn._layer import Layer, bits_of, cast, fractional_bits, quantised
from hardwire.nn.scheme import LEARNED, Scheme
from hardwire.nn.work import Products, Work


class Batch(NamedTuple):
    """What a batch's statistics make of sums `z` over weights folded with the running ones: `z·correction + shift`."""

    correction: Tensor
    shift: Tensor


class Norm(nn.Module):
    """Scale γ and shift β of each of `features`, and the statistics of what comes before them.

    `freeze_after`: training batches after which the statistics are held; `hold()` holds them at once. The first
    batches count in full (their mean), later ones with `momentum`.
    """

    def __init__(
        self, features: int, epsilon: float = 1e-5, momentum: float = 0.1, freeze_after: int | None = None
    ) -> None:
        super().__init__()
        self.features, self.epsilon, self.momentum, self.freeze_after = features, epsilon, momentum, freeze_after
        self.gamma = nn.Parameter(torch.ones(features))
        self.beta = nn.Parameter(torch.zeros(features))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("variance", torch.ones(features))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.register_buffer("held", torch.zeros((), dtype=torch.bool))

    def hold(self, held: bool = True) -> None:
        """Keep the statistics as they are from now on, or follow the batches again."""
        self.held.fill_(held)

    def live(self) -> bool:
        """Whether a forward pass takes the batch's statistics."""
        if not self.training or bool(self.held):
            return False
        return self.freeze_after is None or int(self.batches) < self.freeze_after

    def factor(self) -> Tensor:
        """Factor of each feature, with the running statistics."""
        return self.gamma * torch.rsqrt(self.variance + self.epsilon)

    def shift(self) -> Tensor:
        """Shift of each feature, with the running statistics."""
        return self.beta - self.mean * self.factor()

    def observe(self, sums: Tensor, axis: int) -> Batch:
        """Take the statistics of `sums` (batch, …), features on `axis`, and follow them."""
        others = [k for k in range(sums.ndim) if k != axis % sums.ndim]
        variance, mean = torch.var_mean(sums, others, correction=0)
        with torch.no_grad():
            count = sums.numel() // self.features
            self.batches += 1
            rate = (1.0 / self.batches.to(mean.dtype)).clamp(min=self.momentum)
            self.mean.lerp_(mean, rate)
            self.variance.lerp_(variance * (count / max(count - 1, 1)), rate)
        inverse = torch.rsqrt(variance + self.epsilon)
        running = torch.sqrt(self.variance + self.epsilon)
        return Batch(running * inverse, self.beta - self.gamma * mean * inverse)

    def extra_repr(self) -> str:
        """Sizes."""
        return f"{self.features}, epsilon={self.epsilon}, momentum={self.momentum}"


def hold_statistics(model: nn.Module, held: bool = True) -> None:
    """Hold the batch statistics of all layers of a model, or let them follow the batches again."""
    for module in model.modules():
        if isinstance(module, Norm):
            module.hold(held)


class BatchNorm(Layer):
    """Batch normalisation by itself, of (batch, features, …): `q(x)·q(γ/σ) + q(β - γ·μ/σ)`.

    Behind a dense layer or a convolution `norm=True` there costs nothing; this is for other places.
    """

    def __init__(
        self,
        features: int,
        epsilon: float = 1e-5,
        momentum: float = 0.1,
        *,
        freeze_after: int | None = None,
        scheme: Scheme = LEARNED,
    ) -> None:
        super().__init__()
        self.norm = Norm(features, epsilon, momentum, freeze_after)
        self.input_quantiser = scheme.input((features,)) if scheme.input else None
        self.weight_quantiser = scheme.weight((features,)) if scheme.weight else None
        self.bias_quantiser = scheme.bias((features,)) if scheme.bias else None
        self.positions = 1

    def constants(self) -> dict[str, Tensor]:
        """`factor` and `shift` (features,)."""
        return {
            "factor": quantised(self.weight_quantiser, self.norm.factor()),
            "shift": quantised(self.bias_quantiser, self.norm.shift()),
        }

    def forward(self, x: Tensor) -> Tensor:
        """Return the shape of `x` (batch, features, …)."""
        x = quantised(self.input_quantiser, x.movedim(1, -1))
        if not torch.compiler.is_exporting():
            self.positions = x[0].numel() // self.norm.features
        if self.norm.live():
            batch = self.norm.observe(x, -1)
            factor = quantised(self.weight_quantiser, self.norm.factor())
            y = x * (factor * batch.correction) + quantised(self.bias_quantiser, batch.shift)
        else:
            now = self.parameters_now()
            if not self.training and not torch.compiler.is_exporting():
                # Two roundings of a float64 are none for codes of this kind: 8 + 8 bits are usual, 53 fit.
                x = x.double()
            y = x * now["factor"] + now["shift"]
        return y.movedim(-1, 1)

    def work(self) -> Iterator[Work]:
        """Yield a product a feature and position."""
        name = type(self).__name__
        factor = self.constants()["factor"][:, None]
        like = factor[:, 0]
        yield Products(
            name,
            factor,
            bits_of(self.weight_quantiser, like)[:, None],
            fractional_bits(self.weight_quantiser, like)[:, None],
            bits_of(self.input_quantiser, like)[:, None],
            self.positions,
        )
        yield from cast(name, self.input_quantiser, self.norm.features, self.positions)
