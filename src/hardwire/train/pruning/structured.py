"""Structured pruning: whole neurons and channels, inputs, or kernels, so that matrices become smaller."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hardwire.train.pruning._base import Pruning


def _by_axis(weight: Tensor, axis: int) -> Tensor:
    shape = [1] * weight.ndim
    shape[axis] = -1
    return torch.arange(weight.shape[axis]).reshape(shape).expand(weight.shape).contiguous()


class Neurons(Pruning):
    """Outputs of dense layers and channels of convolutions, with their biases (Li et al. 2017, arXiv:1608.08710).

    The last layer's outputs are the model's and stay. `remove_dead` then makes the layers smaller.
    """

    def groups(self, module: nn.Module) -> Tensor:
        """All weights into an output."""
        return _by_axis(module.weight, 0)

    def chosen(self, parts: dict[str, nn.Module]) -> dict[str, nn.Module]:
        """All but the last, unless layers are named."""
        return parts if self.layers is not None else dict(list(parts.items())[:-1])

    def apply(self, module: nn.Module, mask: Tensor) -> None:
        """Zero weights, bias, and the scale and shift of a batch normalisation."""
        super().apply(module, mask)
        kept = mask.flatten(1)[:, 0]
        norm = getattr(module, "norm", None)
        for part in (getattr(module, "bias", None), getattr(norm, "gamma", None), getattr(norm, "beta", None)):
            if part is not None:
                part.mul_(kept)


class Inputs(Pruning):
    """Inputs of layers: a feature, or a channel, that a layer no longer reads."""

    def groups(self, module: nn.Module) -> Tensor:
        """All weights from an input."""
        return _by_axis(module.weight, 1)


class Kernels(Pruning):
    """Kernels of convolutions: all weights between one input channel and one output channel."""

    def groups(self, module: nn.Module) -> Tensor:
        """All weights of a kernel."""
        outputs, inputs = module.weight.shape[:2]
        pairs = torch.arange(outputs * inputs).reshape(outputs, inputs, *(1,) * (module.weight.ndim - 2))
        return pairs.expand(module.weight.shape).contiguous()

    def chosen(self, parts: dict[str, nn.Module]) -> dict[str, nn.Module]:
        """Convolutions."""
        return {name: part for name, part in parts.items() if part.weight.ndim > 2}
