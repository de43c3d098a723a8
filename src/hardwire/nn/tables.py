"""Layers of tables: every edge or neuron carries a learnt function of one number, exported as its exact truth table.

`EdgeTables` is `y_j = b_j + Σ_i f_ji(x_i)`, `NeuronTables` is `y_i = f_i(x_i)`. In training each f is a small network
of one input (an additive network after Kolmogorov and Arnold, as in Liu et al. 2024, arXiv:2404.19756, and the
look-up-table layers of the field), but it is evaluated at the cells of its input's grid and not at every event: the
events then look the entries up, as the hardware does.

This is the first of the logic-native layers; another kind is another file that gives `work.Lookups`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hardwire.errors import ModelError
from hardwire.fixed import Overflow, Rounding
from hardwire.nn import _table_kernels as kernels
from hardwire.nn._layer import Layer
from hardwire.nn.arithmetic import Grid, exported
from hardwire.nn.work import Casts, Lookups, Work


class _Layout:
    """Where the cells of every edge lie, for address bits that are whole numbers."""

    def __init__(self, bits: NDArray[np.int64], most: int) -> None:
        self.bits = bits
        # One bit more than the edge looks at: what it would change is the gradient of its address bits.
        self.fine_bits = np.minimum(bits + 1, most)
        counts = np.left_shift(1, self.fine_bits)
        self.start = np.cumsum(counts) - counts
        self.cells = int(counts.sum())
        self.drop = most - self.fine_bits


class _Functions:
    """Entries of all edges at one moment."""

    def __init__(
        self, slope: Tensor, shift: Tensor, height: Tensor, address: Tensor, fraction: Tensor, layer: EdgeTables
    ):
        self.own = tuple(part.detach().numpy() for part in (slope, shift, height))
        self.grid = (layer.first.numpy(), layer.step.numpy(), layer.most)
        self.layout = _Layout(address.detach().numpy().astype(np.int64), layer.most)
        at = self.layout
        self.fine, self.entries, self.lost, self.error = np.empty((4, at.cells), np.float32)
        self.used = np.empty(len(at.start), np.float32)
        kernels.evaluate(*self.own, at.start, at.fine_bits, *self.grid, self.fine)
        whole = fraction.detach().numpy()
        kernels.settle(
            self.fine, at.start, at.fine_bits, at.bits, whole, self.entries, self.lost, self.error, self.used
        )


class _Sums(torch.autograd.Function):
    """Outputs (events, outputs) of the functions for inputs x (events, inputs)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        slope: Tensor,
        shift: Tensor,
        height: Tensor,
        address: Tensor,
        fraction: Tensor,
        layer: EdgeTables,
    ) -> tuple[Tensor, Tensor]:
        now = _Functions(slope, shift, height, address, fraction, layer)
        first, step, most = now.grid
        # In float64, as the compiler's quantiser divides: a value just below a step stays below it.
        place = np.floor(x.detach().numpy() / step.astype(np.float64)) - first
        inside = (place >= 0) & (place < 1 << most)
        if layer.overflow is Overflow.WRAP:
            # Far beyond any range a sum can have, so that the cast is defined.
            codes = (np.clip(place, -(2.0**62), 2.0**62).astype(np.int64) & ((1 << most) - 1)).astype(np.int32)
        else:
            codes = np.clip(place, 0, (1 << most) - 1).astype(np.int32)
        y = np.zeros((len(codes), layer.inputs if layer.apart else layer.outputs), np.float32)
        look_up = kernels.look_up_each if layer.apart else kernels.look_up
        look_up(codes, now.entries, now.layout.start, now.layout.drop, y)
        ctx.now, ctx.codes, ctx.inside, ctx.apart, ctx.pull = now, codes, inside, layer.apart, None
        if layer.overflow is Overflow.WRAP and not inside.all():
            # Values beyond the range are drawn back into it, as hard as a wrong answer would be.
            ctx.pull = np.where(inside, np.float32(0), np.where(place < 0, np.float32(-1), np.float32(1)))
        used = torch.from_numpy(now.used)
        ctx.mark_non_differentiable(used)
        return torch.from_numpy(y), used

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        now, at = ctx.now, ctx.now.layout
        given = np.ascontiguousarray(gradients[0].numpy())
        to_entries = np.zeros(at.cells, np.float32)
        to_x = np.empty(ctx.codes.shape, np.float32)
        give_back = kernels.give_back_each if ctx.apart else kernels.give_back
        give_back(
            ctx.codes, ctx.inside, given, now.fine, at.start, at.fine_bits, at.drop, now.grid[1], to_entries, to_x
        )
        if ctx.pull is not None:
            to_x += ctx.pull / np.float32(len(ctx.pull))
        found = [np.zeros_like(part) for part in now.own] + [np.empty_like(now.used), np.empty_like(now.used)]
        kernels.to_functions(
            *now.own, at.start, at.fine_bits, at.bits, *now.grid, to_entries, now.lost, now.error, *found
        )
        return torch.from_numpy(to_x), *(torch.from_numpy(part) for part in found), None


@torch.library.custom_op("hardwire::edge_tables", mutates_args=())
def _edge_tables(x: Tensor, tables: Tensor, bias: Tensor, step: Tensor, first: Tensor) -> Tensor:
    index = torch.round(x / step).to(torch.int64) - first.to(torch.int64)
    spread = tables.unsqueeze(0).expand(index.reshape(-1, index.shape[-1]).shape[0], -1, -1, -1)
    at = index.reshape(-1, 1, index.shape[-1], 1).expand(-1, tables.shape[0], -1, 1)
    y = spread.gather(3, at).squeeze(3).sum(2) + bias
    return y.reshape(*x.shape[:-1], tables.shape[0])


@_edge_tables.register_fake
def _(x: Tensor, tables: Tensor, bias: Tensor, step: Tensor, first: Tensor) -> Tensor:
    return x.new_empty((*x.shape[:-1], tables.shape[0]))


def _through(x: Tensor) -> Tensor:
    """Rounded half up, with the gradient of the identity."""
    return x + ((x + 0.5).floor() - x).detach()


class EdgeTables(Layer):
    """A learnt function on every edge between `inputs` and `outputs`; (…, inputs) to (…, outputs).

    Inputs go to `bits` bits by dropping lower ones (free in hardware), in the range that the first `watched` training
    batches show, but for a share `tails` on either side, and saturate there. With `overflow=Overflow.WRAP` sums wrap
    beyond it instead, which takes no logic (saturation is about a fifth of a small tagger's LUTs) but a wider range,
    and makes nonsense of what training did not show; training draws values back into the range. Every edge learns how
    many of the high bits it looks at and how many fractional bits its entries keep; an edge of no bits is pruned.
    `hidden` is the width of the functions' networks. `port` tells that the input is the model's own: its range then
    need not be a power of two, as the saturation is the sender's. `positions`: rows of an event, for the cost.
    """

    apart = False
    """Whether the functions are not summed."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        bits: int = 8,
        hidden: int = 8,
        address: float = 6.0,
        fraction: float = 4.0,
        port: bool = False,
        overflow: Overflow = Overflow.SAT,
        tails: float | None = None,
        watched: int = 500,
        positions: int = 1,
    ) -> None:
        super().__init__()
        if tails is None:
            tails = 0.0005 if overflow is Overflow.WRAP and not port else 0.005
        self.inputs, self.outputs, self.positions = inputs, outputs, positions
        self.most, self.port, self.tails, self.watched = bits, port, tails, watched
        self.overflow = Overflow.SAT if port else overflow
        edges = outputs * inputs
        self.slope = nn.Parameter(1.5 * torch.randn(edges, hidden))
        self.shift = nn.Parameter(torch.randn(edges, hidden))
        self.height = nn.Parameter(torch.randn(edges, hidden) / math.sqrt(hidden * inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.address = nn.Parameter(torch.full((edges,), min(float(address), float(bits))))
        self.fraction = nn.Parameter(torch.full((edges,), float(fraction)))
        self.bias_fraction = float(fraction) + 2.0
        self.register_buffer("low", torch.zeros(inputs))
        self.register_buffer("high", torch.zeros(inputs))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.register_buffer("step", torch.full((inputs,), 8.0 / (1 << bits)))
        self.register_buffer("first", torch.full((inputs,), -float(1 << bits) / 2))
        self._used: tuple[Tensor, Tensor] | None = None

    def widths(self) -> Iterator[nn.Parameter]:
        """Address bits and fractional bits."""
        yield self.address
        yield self.fraction

    # The input's grid.

    def _watch(self, x: Tensor) -> None:
        """Follow the range of the inputs while the network settles; it stays as it is then."""
        self.batches += 1
        seen = int(self.batches)
        if seen > self.watched or (seen > 20 and seen % 10):
            return
        flat = x.detach().reshape(-1, self.inputs)
        ends = torch.quantile(flat, torch.tensor([self.tails, 1.0 - self.tails], dtype=flat.dtype), dim=0)
        weight = 1.0 if seen == 1 else 0.1
        self.low += weight * (ends[0] - self.low)
        self.high += weight * (ends[1] - self.high)
        cells = 1 << self.most
        if not self.port:
            reach = torch.maximum(-self.low, self.high).clamp(min=2.0**-10)
            self.step.copy_(torch.exp2(torch.ceil(torch.log2(reach)) + 1.0) / cells)
            self.first.fill_(-cells / 2)
            return
        # A range of 2^bits steps that begins at a multiple of an eighth of itself: high bits stay whole cells.
        eighth = cells // 8
        step = torch.exp2(torch.ceil(torch.log2((self.high - self.low).clamp(min=2.0**-10) / cells)))
        first = (self.low / step / eighth).floor() * eighth
        wide = (self.high / step).floor() >= first + cells
        step = torch.where(wide, 2.0 * step, step)
        self.step.copy_(step)
        self.first.copy_((self.low / step / eighth).floor() * eighth)

    def grid(self) -> Grid:
        """Return the grid of the inputs."""
        return Grid(self.step, self.first, self.first + float((1 << self.most) - 1), Rounding.TRN, self.overflow)

    # The functions.

    def _bits(self) -> tuple[Tensor, Tensor]:
        """Address bits and fractional bits of all edges: whole numbers, differentiable."""
        return _through(self.address.clamp(0.0, float(self.most))), _through(self.fraction.clamp(-8.0, 12.0))

    def _bias(self) -> Tensor:
        scale = 2.0**-self.bias_fraction
        return self.bias + ((self.bias / scale + 0.5).floor() * scale - self.bias).detach()

    def constants(self) -> dict[str, Tensor]:
        """`tables` (outputs, inputs, cells), `bias` (outputs,), and the grid of the inputs: `step`, `first`, `last`.

        Of an input as many bits are kept as its most curious edge looks at.
        """
        with torch.no_grad():
            now = _Functions(self.slope, self.shift, self.height, *self._bits(), self)
            kept = self._kept(torch.from_numpy(now.layout.bits * (now.used > 0)))
        at = now.layout
        drop = (self.most - kept).to(torch.int64).numpy()
        codes = np.left_shift(np.arange(1 << self.most)[None, :], np.repeat(drop, self.outputs)[:, None])
        codes = np.minimum(codes, (1 << self.most) - 1)  # behind the last cell of a coarser input
        tables = torch.from_numpy(now.entries[at.start[:, None] + (codes >> at.drop[:, None])])
        tables = self._matrix(tables.reshape(self.inputs, self.outputs, -1).transpose(0, 1))
        self._fits(tables)
        coarser = torch.exp2(self.most - kept)
        first = self.first / coarser
        return {
            "tables": tables,
            "bias": self._bias(),
            "step": self.step * coarser,
            "first": first,
            "last": first + torch.exp2(kept) - 1.0,
        }

    def _matrix(self, tables: Tensor) -> Tensor:
        """Tables (outputs, inputs, cells) of the layer as a sum over edges."""
        return tables

    def _fits(self, tables: Tensor) -> None:
        """Raise `ModelError` where a sum could need more bits than the float32 of the training forward holds."""
        fraction = max(float(self._bits()[1].detach().max()), self.bias_fraction)
        most = tables.abs().amax(2).sum(1) + self.bias.detach().abs()
        bits = math.log2(max(float(most.max()), 2.0**-20)) + fraction
        if bits > 24:
            raise ModelError(
                f"{self.extra_repr()}: sums of its tables need up to {math.ceil(bits)} bits, and float32 holds 24",
                hint="fewer fractional bits at the start (fraction=4), or a cost in the loss",
            )

    def _kept(self, address: Tensor) -> Tensor:
        """Bits of each input that some edge looks at (inputs,), float; as many as keep the range's ends whole."""
        most = address.reshape(self.inputs, self.outputs).amax(1).to(self.step.dtype)
        return most.clamp(min=min(3.0 if self.port else 1.0, float(self.most)))

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, outputs) for `x` (…, inputs)."""
        if torch.compiler.is_exporting():
            now = self.parameters_now()
            grid = Grid(now["step"], now["first"], now["last"], *self.grid()[3:])
            on = exported(x, grid)
            return torch.ops.hardwire.edge_tables(on, now["tables"], now["bias"], now["step"], now["first"])
        if self.training:
            self._watch(x)
        address, fraction = self._bits()
        y, used = _Sums.apply(x.reshape(-1, self.inputs), self.slope, self.shift, self.height, address, fraction, self)
        alive = (used > 0).to(used.dtype)
        self._used = (address * alive, used + alive * (fraction - fraction.detach()))
        return (y + self._bias()).reshape(*x.shape[:-1], y.shape[1])

    def work(self) -> Iterator[Work]:
        """Yield the tables with their sums, and the saturation of the inputs."""
        if self._used is None:
            raise ModelError("the work of a layer of tables is known after its first forward pass")
        address, used = (part.reshape(self.inputs, self.outputs).T for part in self._used)
        yield Lookups(type(self).__name__, address, used, self.positions)
        if not self.port:
            bits, signed = self._kept(self._used[0].detach()), torch.ones(self.inputs, dtype=torch.bool)
            name = type(self).__name__
            yield Casts(name, bits, signed, Rounding.TRN, self.overflow, self.inputs, self.positions)

    def extra_repr(self) -> str:
        """Sizes."""
        return f"{self.inputs}, {self.outputs}, bits={self.most}"


class NeuronTables(EdgeTables):
    """A learnt function of every neuron, `y_i = f_i(x_i)`; an activation by table, (…, inputs) to (…, inputs).

    Options as of `EdgeTables`.
    """

    apart = True

    def __init__(self, inputs: int, **options: Any) -> None:
        super().__init__(inputs, 1, **options)
        with torch.no_grad():
            self.height *= math.sqrt(inputs)  # nothing is summed that the start would have to be small for

    def _bias(self) -> Tensor:
        return torch.zeros_like(self.step)

    def _matrix(self, tables: Tensor) -> Tensor:
        full = torch.zeros(self.inputs, self.inputs, tables.shape[2])
        full[range(self.inputs), range(self.inputs)] = tables[0]
        return full

    def work(self) -> Iterator[Work]:
        """Yield a table a neuron, each a row of its own: nothing is summed."""
        for item in super().work():
            if isinstance(item, Lookups):
                yield Lookups(item.layer, item.address_bits.T, item.output_bits.T, item.times)
            else:
                yield item

    def extra_repr(self) -> str:
        """Size."""
        return f"{self.inputs}, bits={self.most}"
