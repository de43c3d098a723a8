"""Convolutions with quantised inputs, weights and biases."""

from __future__ import annotations

from math import prod
from typing import Any

from torch import Tensor
from torch.nn import functional

from hardwire.errors import ModelError
from hardwire.nn._sums import Sums
from hardwire.nn.norm import Norm
from hardwire.nn.scheme import LEARNED, Scheme

Size = int | tuple[int, ...]


class _Conv(Sums):
    """A convolution over `rank` axes, (batch, channels, …); the arguments are those of `torch.nn.Conv1d`, `Conv2d`.

    `norm`: a batch normalisation behind it, folded into weight and bias. Raises `ModelError` for channels that do not
    part into `groups`, or a padding that is neither a size, 'valid' nor 'same' (stride 1).
    """

    channels = 1
    rank: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        norm: bool | Norm = False,
        scheme: Scheme = LEARNED,
    ) -> None:
        name = type(self).__name__
        for what, number in (("in_channels", in_channels), ("out_channels", out_channels)):
            if groups < 1 or number % groups:
                raise ModelError(f"{name}: {what}={number} do not part into groups={groups}")
        strides = self._per_axis("stride", stride)
        if isinstance(padding, str) and (padding not in ("valid", "same") or (padding == "same" and max(strides) > 1)):
            raise ModelError(
                f"{name}: padding={padding!r} with stride={stride}",
                hint="numbers, 'valid', or (with stride 1) 'same'",
            )
        size = self._per_axis("kernel_size", kernel_size)
        super().__init__(
            (out_channels, in_channels // groups, *size),
            (in_channels, *(1,) * self.rank),
            bias=(out_channels,) if bias else None,
            norm=norm,
            scheme=scheme,
        )
        self.in_channels, self.out_channels, self.kernel_size, self.groups = in_channels, out_channels, size, groups
        self.stride, self.dilation = strides, self._per_axis("dilation", dilation)
        self.padding, self.uneven = self._padding(padding)

    def _per_axis(self, what: str, value: Size) -> tuple[int, ...]:
        found = (value,) * self.rank if isinstance(value, int) else tuple(value)
        if len(found) != self.rank:
            raise ModelError(f"{type(self).__name__}: {what}={value}, expected one number or {self.rank}")
        return found

    def _padding(self, padding: Size | str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Zeros on both sides of each axis; with 'same' of an even kernel there is one more behind, last axis first."""
        if padding == "valid":
            return (0,) * self.rank, ()
        if padding != "same":
            return self._per_axis("padding", padding), ()  # type: ignore[arg-type]
        total = [dilation * (size - 1) for dilation, size in zip(self.dilation, self.kernel_size, strict=True)]
        extra = [n % 2 for n in total]
        return tuple(n // 2 for n in total), tuple(n for e in reversed(extra) for n in (0, e)) if any(extra) else ()

    def sums(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return (batch, out_channels, …) of (batch, in_channels, …)."""
        if self.uneven:
            x = functional.pad(x, self.uneven)
        conv: Any = functional.conv1d if self.rank == 1 else functional.conv2d
        y: Tensor = conv(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)
        return y

    def spread(self, part: Tensor) -> Tensor:
        """One value a channel, which every row of its group meets at each place of the kernel."""
        if part.numel() == 1:
            return part.reshape(1, 1)
        per, places = self.in_channels // self.groups, prod(self.kernel_size)
        wide = part.reshape(self.groups, 1, per, 1).expand(
            self.groups, 1 if self.groups == 1 else self.out_channels // self.groups, per, places
        )
        return wide.reshape(-1, per * places)

    def note_positions(self, x: Tensor, y: Tensor) -> None:
        """Axes behind the channels."""
        self.positions, self.places = prod(y.shape[2:]), prod(x.shape[2:])

    @property
    def values(self) -> int:
        """One a channel."""
        return self.in_channels

    def extra_repr(self) -> str:
        """Sizes."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, bias={self.bias is not None}"
        )


class Conv1d(_Conv):
    """Convolution of (batch, channels, length)."""

    rank = 1


class Conv2d(_Conv):
    """Convolution of (batch, channels, height, width)."""

    rank = 2
