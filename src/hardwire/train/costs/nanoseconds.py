"""How long a model takes on a target: levels of adders and tables, layer after layer."""

from __future__ import annotations

import torch
from torch import Tensor

from hardwire.fixed import Overflow
from hardwire.nn.work import Casts, Lookups, Multiplications, Products, Work
from hardwire.targets import Target
from hardwire.targets import target as find_target
from hardwire.train.costs._adders import digit_counts
from hardwire.train.costs._base import Cost, through

SLOWER = 1.28
"""Of the scheduled design to the plain sum of its levels: stages are not filled, and fan-out. Fitted."""


class Nanoseconds(Cost):
    """Logic from input to output, without registers; layers are taken to follow on each other.

    A row of n digits takes log2(n) levels of adders, a table the levels of its multiplexers. Gradients go to the widest
    rows. Raises `TargetError` for an unknown target.
    """

    unit = "ns"

    def __init__(self, target: str | Target = "xcup-vu13p") -> None:
        self.target = find_target(target)

    def of(self, work: list[Work]) -> Tensor:
        """Sum over a layer's work; what stands side by side takes the time of one."""
        return SLOWER * torch.stack([self.price(item) for item in work]).sum() if work else torch.zeros(())

    def products(self, work: Products) -> Tensor:
        """The deepest row's levels of adders."""
        shape = work.weight.shape
        number = digit_counts(work.weight, work.weight_fraction.expand(shape), work.input_bits.expand(shape))
        rows = through(number, work.weight_bits * (number > 0) / 3.0).sum(-1)
        return self._summed(rows, work.input_bits.detach().max())

    def lookups(self, work: Lookups) -> Tensor:
        """The widest table, and levels of adders over the row of most tables."""
        address, delays, size = work.address_bits, self.target.delays, self.target.lut_size
        live = (address.detach() > 0) & (work.output_bits.detach() > 0)
        widest = _widest(address)
        muxes = (widest - size).clamp(0.0, float(self.target.costs.free_mux_inputs))
        beyond = (widest - size - self.target.costs.free_mux_inputs).clamp(min=0.0)
        table = delays.lut + delays.mux * muxes + delays.lut * beyond / (2.0 if size >= 6 else 1.0)
        rows = through(live.to(address.dtype), address / 6.0 * live).sum(-1)
        return table + self._summed(rows, work.output_bits.detach().max())

    def multiplications(self, work: Multiplications) -> Tensor:
        """A multiplier block, or a tree of partial products."""
        delays = self.target.delays
        narrow = torch.minimum(work.left_bits.max(), work.right_bits.max())
        if narrow.item() >= self.target.costs.dsp_least:
            return torch.tensor(delays.dsp)
        return delays.lut + torch.log2(narrow.clamp(min=1.0)) * (delays.carry_in + 2 * delays.carry_bit * narrow)

    def casts(self, work: Casts) -> Tensor:
        """A LUT where something is clamped: saturation, or a ReLU."""
        clamps = torch.ones(()) if work.overflow is not Overflow.WRAP else work.signed.any().logical_not()
        return self.target.delays.lut * clamps

    def _summed(self, rows: Tensor, bits: Tensor) -> Tensor:
        """Adders over the row of most terms, of inputs of `bits` bits at most."""
        levels = _widest(torch.log2(rows.clamp(min=1.0)))
        delays = self.target.delays
        return levels * (delays.carry_in + delays.carry_bit * (bits + 4.0))


def _widest(values: Tensor) -> Tensor:
    """The largest; its gradient is spread over those that are nearly as large."""
    return through(values.max(), torch.logsumexp(8.0 * values.flatten(), 0) / 8.0)
