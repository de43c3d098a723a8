"""What every quantiser is: a module that rounds a tensor to a grid, exactly as the compiled design will."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from hardwire.errors import ModelError
from hardwire.nn.arithmetic import Grid, exported, on_grid
from hardwire.quantiser import Quantiser as Frozen

Granularity = Literal["tensor", "channel", "element"]


def granules(shape: Sequence[int], granularity: Granularity, axis: int = -1) -> tuple[int, ...]:
    """Shape of the parameters of a quantiser of tensors of `shape` (without the batch axis).

    One for the whole tensor, one a channel (an index of `axis`), or one an element. Raises `ModelError` otherwise.
    """
    if granularity == "tensor":
        return (1,) * len(shape)
    if granularity == "channel":
        kept = axis % len(shape)
        return tuple(size if k == kept else 1 for k, size in enumerate(shape))
    if granularity == "element":
        return tuple(shape)
    raise ModelError(f"granularity {granularity!r}: it is 'tensor', 'channel' or 'element'")


class Quantiser(nn.Module):
    """Rounds tensors to a grid that the subclass chooses; `forward` is the compiler's arithmetic, bit for bit.

    Gradients pass straight through (Bengio et al. 2013), and none where saturation clips. `train(False)`, which every
    export does, freezes the grid into the buffers `scale`, `lo`, `hi`: what an exported program holds.
    """

    @abstractmethod
    def grid(self) -> Grid:
        """Return the grid now, its tensors broadcast against the tensor without its batch axis."""

    @abstractmethod
    def bits(self) -> Tensor:
        """Bits of a code, differentiable where they are learnt, shaped like the granules; 0 where nothing is kept."""

    def observe(self, x: Tensor) -> None:
        """Look at a training batch before it is rounded."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (batch, …) on the grid."""
        if torch.compiler.is_exporting():
            return exported(x, self._kept_grid())
        if self.training:
            with torch.no_grad():
                self.observe(x)
        return self.rounded(x)

    def rounded(self, x: Tensor) -> Tensor:
        """`x` on the grid, with the gradient of the estimator; subclasses with another estimator replace it."""
        grid = self.grid()
        with torch.no_grad():
            y = on_grid(x, grid)
        through = x
        if grid.overflow.name.startswith("SAT"):
            through = torch.minimum(torch.maximum(x, grid.lo * grid.scale), grid.hi * grid.scale)
        return through + (y - through).detach()

    def frozen(self) -> Frozen:
        """Return the compiler's quantiser that does the same."""
        with torch.no_grad():
            return self.grid().frozen()

    def train(self, mode: bool = True) -> Quantiser:
        """Switch to training, or freeze the grid for evaluation and export."""
        super().train(mode)
        if not mode:
            self._freeze()
        return self

    def _freeze(self) -> None:
        with torch.no_grad():
            grid = self.grid()
        for name in ("scale", "lo", "hi"):
            self.register_buffer(name, getattr(grid, name).detach().clone(), persistent=False)
        self._modes = grid[3:]

    def _kept_grid(self) -> Grid:
        return Grid(self.scale, self.lo, self.hi, *self._modes)
