"""Effective bit operations: products of bit widths."""

from __future__ import annotations

import torch
from torch import Tensor

from hardwire.nn.work import Lookups, Multiplications, Products
from hardwire.train.costs._base import Cost

LUT_BITS = 6
"""Address bits of the table that counts as one operation a bit."""


class Ebops(Cost):
    """Sum of weight bits × input bits over all products (Sun et al. 2024, arXiv:2405.00645, section III.B).

    A sum of products costs no more: the operations of a product of m by n bits are those of its own additions and of
    one more that takes it to the sum. A table of one input counts `2^(address bits - 6)` a bit of its output, and its
    output bits once more for the sum, so that both kinds of layers have one scale (about a LUT an operation at most).
    """

    unit = "EBOPs"

    def products(self, work: Products) -> Tensor:
        """Weight bits × input bits."""
        return (work.weight_bits * work.input_bits).expand(work.weight.shape).sum()

    def lookups(self, work: Lookups) -> Tensor:
        """Output bits × (tables of six inputs + 1)."""
        tables = torch.exp2(work.address_bits - LUT_BITS)
        return (work.output_bits * (tables + 1.0) * (work.address_bits > 0)).sum()

    def multiplications(self, work: Multiplications) -> Tensor:
        """Left bits × right bits, of `count` products of average bits."""
        return (work.left_bits.mean() * work.right_bits.mean()) * work.count
