"""Convolutions."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from hardwire.layers.conv import matrix_of
from hardwire.network.graph import Node
from hardwire.nn.conv import _Conv
from hardwire.train.nodes._base import Making, refused, trains
from hardwire.train.nodes._coded import Coded
from hardwire.train.nodes.dense import Weights


class Padded(_Conv):
    """A convolution with zeros around its quantised input, as `torch.nn.functional.pad` counts them."""

    zeros: tuple[int, ...] = ()

    def sums(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return (batch, out_channels, …) of (batch, in_channels, …)."""
        if any(self.zeros):
            x = functional.pad(x, self.zeros)
        if self.rank == 3:
            return functional.conv3d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)
        return super().sums(x, weight, bias)


class _Padded1d(Padded):
    rank = 1


class _Padded2d(Padded):
    rank = 2


class _Padded3d(Padded):
    rank = 3


class _Coded1d(Coded, _Padded1d):
    pass


class _Coded2d(Coded, _Padded2d):
    pass


class _Coded3d(Coded, _Padded3d):
    pass


_PLAIN: dict[int, type[Padded]] = {1: _Padded1d, 2: _Padded2d, 3: _Padded3d}
_CODED: dict[int, type[Padded]] = {1: _Coded1d, 2: _Coded2d, 3: _Coded3d}


class ChannelsLast(nn.Module):
    """A module of (batch, channels, …) for (batch, …, channels)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, …, channels)."""
        y: Tensor = self.inner(x.movedim(-1, 1)).movedim(1, -1)
        return y


@trains("conv")
def _conv(node: Node, making: Making) -> nn.Module:
    """A convolution as `hardwire.nn.Conv2d` with the file's weights."""
    _, rank, groups = matrix_of(node, making.shape(node.inputs[0]))
    if rank not in _PLAIN:
        raise refused(f"a convolution over {rank} axes")
    weights = Weights(node, making, lambda kernel: np.moveaxis(kernel, (-1, -2), (0, 1)))
    outputs, per, *size = weights.values.shape
    pads = node.attrs["padding"]
    even = all(before == after for before, after in pads)
    layer = (_PLAIN if weights.unit is None else _CODED)[rank](
        per * groups,
        outputs,
        tuple(size),
        tuple(int(n) for n in node.attrs["strides"]),
        tuple(int(before) for before, _ in pads) if even else 0,
        tuple(int(n) for n in node.attrs["dilation"]),
        groups,
        weights.inner_bias is not None,
        scheme=weights.scheme(making.input(node, rank)),
    )
    layer.zeros = () if even else tuple(int(n) for pair in reversed(pads) for n in pair)
    return weights.fill(layer, ChannelsLast)
