"""Pruning by what the device is made of: multipliers that several weights share, words of a memory.

A design that reuses its multipliers saves nothing by single zeros: a DSP block goes when all of its weights are zero,
a memory becomes smaller when whole words are (Ramhorst et al. 2023, arXiv:2308.05170).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hardwire.errors import TrainingError
from hardwire.train.pruning._base import Criterion, Masks, Pruning, Scope
from hardwire.train.pruning.schedules import Schedule


class Multipliers(Pruning):
    """Weights that share a DSP block: `reuse` weights of an output in turn, and `pack` outputs at the same time.

    `reuse` consecutive inputs of an output take turns on a multiplier (a reuse factor); a block multiplies one input
    by the weights of `pack` consecutive outputs at once (two of 8 bits fit a DSP48: AMD WP486).
    """

    def __init__(
        self,
        sparsity: float = 0.9,
        schedule: Schedule | None = None,
        scope: Scope = "global",
        *,
        reuse: int = 1,
        pack: int = 1,
        criterion: Criterion = "saliency",
        layers: Sequence[str] | None = None,
        masks: Masks | None = None,
    ) -> None:
        super().__init__(sparsity, schedule, scope, criterion=criterion, layers=layers, masks=masks)
        if reuse < 1 or pack < 1:
            raise TrainingError(f"pruning: reuse = {reuse}, pack = {pack}", hint="both at least 1")
        self.reuse, self.pack = reuse, pack

    def groups(self, module: nn.Module) -> Tensor:
        """Weights of a block."""
        rows = module.weight.flatten(1)
        outputs, inputs = (torch.arange(n) for n in rows.shape)
        across = -(-rows.shape[1] // self.reuse)
        index = (outputs // self.pack)[:, None] * across + (inputs // self.reuse)[None, :]
        return index.reshape(module.weight.shape)

    def units(self, module: nn.Module) -> int:
        """DSP blocks that a layer needs: those with a weight that is not zero."""
        index = self.groups(module).to(module.weight.device)
        return len(torch.unique(index[module.weight.detach() != 0]))


class MemoryWords(Pruning):
    """Weights that lie in one word of a memory: `word` bits hold word // bits weights of `bits` bits, row by row."""

    def __init__(
        self,
        sparsity: float = 0.9,
        schedule: Schedule | None = None,
        scope: Scope = "global",
        *,
        bits: int = 8,
        word: int = 36,
        criterion: Criterion = "saliency",
        layers: Sequence[str] | None = None,
        masks: Masks | None = None,
    ) -> None:
        super().__init__(sparsity, schedule, scope, criterion=criterion, layers=layers, masks=masks)
        if not 1 <= bits <= word:
            raise TrainingError(f"pruning: weights of {bits} bits in words of {word}", hint="1 ≤ bits ≤ word")
        self.per = word // bits

    def groups(self, module: nn.Module) -> Tensor:
        """Weights of a word."""
        return (torch.arange(module.weight.numel()) // self.per).reshape(module.weight.shape)

    def units(self, module: nn.Module) -> int:
        """Words that a layer needs: those with a weight that is not zero."""
        index = self.groups(module).to(module.weight.device)
        return len(torch.unique(index[module.weight.detach() != 0]))
