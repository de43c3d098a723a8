"""LUTs that a model takes after the solver and synthesis."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hardwire.fixed import Overflow, Rounding
from hardwire.nn.work import Casts, Lookups, Multiplications, Products
from hardwire.targets import Target
from hardwire.targets import target as find_target
from hardwire.train.costs._base import Cost, through
from hardwire.train.costs._digits import digits
from hardwire.train.costs._fitted import coefficients

_FREE_ROUNDINGS = {Rounding.TRN, Rounding.RND, Rounding.CEIL, Rounding.RND_MIN_INF}
"""A constant added before bits are dropped, which joins the bias."""


class Luts(Cost):
    """LUTs on a target, estimated; the forward value has the true canonical signed digits of the quantised weights.

    A sum of products takes an adder a digit but one, of about the input's bits; the solver shares sub-expressions.
    Gradients go through bits: a bit more of a weight is a third of a digit more (Reitwiesner 1960), whatever the
    digits of that very weight. A table of one input takes LUTs by its address bits for each bit of its output, and
    the sum over tables an adder each. Raises `TargetError` for an unknown target.
    """

    unit = "LUTs"

    def __init__(self, target: str | Target = "xcup-vu13p") -> None:
        self.target = find_target(target)
        self.fitted = coefficients(self.target)
        # Of 0, 1, 2 … address bits; beyond the last a bit more doubles them.
        self._lookup = torch.tensor(self.fitted.lookup)

    def products(self, work: Products) -> Tensor:
        """An adder for each digit of a row but one."""
        number = digits(work.weight.detach() * torch.exp2(work.weight_fraction.detach()))
        terms = through(number, work.weight_bits / 3.0) * ((number > 0) & (work.input_bits > 0))
        rows = terms.sum(-1)
        bits = (terms * (work.input_bits + self.fitted.carry)).sum(-1)
        return self.fitted.shared * (bits - bits / rows.clamp(min=1.0)).sum()

    def lookups(self, work: Lookups) -> Tensor:
        """LUTs of each bit out, and an adder for each table of a row but one."""
        live = (work.address_bits > 0) & (work.output_bits > 0)
        bits = work.output_bits * live
        tables = self._of_address(work.address_bits) * bits
        rows = live.sum(-1).clamp(min=1)
        heap = ((work.output_bits + self.fitted.carry) * live).sum(-1)
        return tables.sum() + self.fitted.summed * (heap - heap / rows).sum()

    def multiplications(self, work: Multiplications) -> Tensor:
        """Partial products; none where the target makes such a product of multiplier blocks."""
        left, right = work.left_bits.mean(), work.right_bits.mean()
        if float(torch.minimum(left.detach(), right.detach())) >= self.target.costs.dsp_least:
            return torch.zeros(())
        return self.fitted.product * left * right * work.count

    def casts(self, work: Casts) -> Tensor:
        """Logic of ReLU, of saturation, and of roundings that no bias holds."""
        each = self.fitted.clamp * (~work.signed).to(work.bits.dtype)
        if work.overflow is not Overflow.WRAP:
            each = each + self.fitted.saturate
        if work.rounding not in _FREE_ROUNDINGS:
            each = each + self.fitted.tie
        return (work.bits * each).mean() * work.count

    def _of_address(self, bits: Tensor) -> Tensor:
        """LUTs of one bit out, by address bits: between whole numbers a straight line."""
        last = len(self._lookup) - 1
        low = bits.detach().floor().clamp(0, last - 1)
        at = low.long()
        here, step = self._lookup[at], self._lookup[at + 1] - self._lookup[at]
        inside = here + step * (bits - low)
        beyond = self._lookup[last] * torch.exp2(bits - last)
        # A slope everywhere: a bit fewer is worth something on a plateau too, by the bit after.
        found = torch.where(bits.detach() >= last, beyond, inside)
        return through(found, found + (bits - bits.detach()) * 0.5 * math.log(2.0) * found.detach())
