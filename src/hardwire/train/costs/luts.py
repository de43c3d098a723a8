"""LUTs that a model takes after the solver and synthesis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hardwire.fixed import Overflow, Rounding
from hardwire.nn.work import Casts, Lookups, Multiplications, Products
from hardwire.targets import Target
from hardwire.targets import target as find_target
from hardwire.train.costs._adders import Adders
from hardwire.train.costs._base import Cost
from hardwire.train.costs._fitted import coefficients
from hardwire.train.costs._packing import at, curves

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

    def found(self, report: Mapping[str, Any]) -> dict[str, float] | None:
        """LUTs by layer, as the compiler counts them."""
        return {row["layer"]: row["lut"] for row in report["layers"]} if "estimate" in report else None

    def products(self, work: Products) -> Tensor:
        """Adders of the solver's graph (`_adders`)."""
        shape = work.weight.shape
        parts = (part.expand(shape) for part in (work.weight_fraction, work.weight_bits, work.input_bits))
        return Adders.apply(work.weight.detach(), *parts, self.fitted)

    def lookups(self, work: Lookups) -> Tensor:
        """LUTs of each bit out, and adders that grow as a row is summed; small tables are packed (`_packing`)."""
        live = (work.address_bits.detach() > 0) & (work.output_bits.detach() > 0)
        taken_in = self.target.taken_in
        luts, adders = curves(self.target.lut_size, taken_in, self.fitted.small, self.fitted.full)
        number = live.sum(-1, keepdim=True).clamp(min=1)
        grown = 0.5 * torch.log2(number.to(work.output_bits.dtype)) + self.target.costs.adder_overhead
        # Adders that take their table in cost what they hold beside it: the sums of chains.
        width = grown if taken_in else work.output_bits + grown
        summed = at(adders, work.address_bits) * width * (self.fitted.summed * (number - 1) / number)
        return ((work.output_bits * at(luts, work.address_bits) + summed) * live).sum()

    def multiplications(self, work: Multiplications) -> Tensor:
        """Partial products, none where the target makes such a product of multiplier blocks, and the sums of them."""
        left, right = work.left_bits.mean(), work.right_bits.mean()
        sums = (left + right + self.target.costs.adder_overhead) * work.added * (left * right).sign()
        if float(torch.minimum(left.detach(), right.detach())) >= self.target.costs.dsp_least:
            return sums
        return self.target.costs.product_luts * left * right * work.count + sums

    def casts(self, work: Casts) -> Tensor:
        """Logic of ReLU, of saturation, and of roundings that no bias holds."""
        each = self.fitted.saturate * (work.overflow is not Overflow.WRAP)
        each += self.fitted.tie * (work.rounding not in _FREE_ROUNDINGS)
        if not each and not self.fitted.clamp:
            return torch.zeros(())
        # Nothing below zero: a ReLU stands in front.
        clamped = self.fitted.clamp * work.signed.any().logical_not()
        return work.bits.mean() * (work.count * (each + clamped))
