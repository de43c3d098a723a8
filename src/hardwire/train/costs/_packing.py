"""What a table of a sum costs by its address bits, as the compiler packs them.

Tables of few bits that one sum adds up become one table of all their bits (`hardwire.passes.tables`), as many as a LUT
has inputs: they share its LUTs and need no adder among each other. So a table of half a LUT's inputs takes about half
of a LUT for each bit of its output, and half of an adder. The figures between are of networks that were trained and
synthesised. Where adders take tables in, the bits of a table are those of its adder.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

_MOST = 16
"""Address bits up to which the curves are tabulated."""


@cache
def curves(lut_size: int, taken_in: int, small: float, full: float) -> tuple[Tensor, Tensor]:
    """LUTs of one output bit, and share of an adder, by address bits 0 … 16.

    `small` is what a bit takes of a table with fewer inputs than a LUT (6-input LUTs hold two such), `full` of one with
    as many; a bit more doubles it. `taken_in`: address bits of a table that an adder takes in (`Costs.taken_in`).
    """
    if taken_in:
        within = [small * bits / taken_in for bits in range(taken_in + 1)]
        beyond = [full * 2.0**bits for bits in range(_MOST - taken_in)]
        return torch.tensor(within + beyond), torch.cat([torch.zeros(1), torch.ones(_MOST)])
    half = lut_size // 2
    luts, adders = [0.0], [0.0]
    for bits in range(1, _MOST + 1):
        share = bits / lut_size
        if bits <= half:
            luts.append(min(share, small))
            adders.append(share)
        elif bits < lut_size:
            luts.append(small)
            adders.append(0.8 if bits < lut_size - 1 else 1.0)
        else:
            luts.append(full * 2.0 ** (bits - lut_size))
            adders.append(1.0)
    return torch.tensor(luts), torch.tensor(adders)


def at(curve: Tensor, bits: Tensor) -> Tensor:
    """A curve at whole `bits`, with the slope between the points on either side of each."""
    place = bits.detach().round().clamp(0, _MOST - 1).to(torch.int64)
    slope = (curve[place + 1] - curve[(place - 1).clamp(min=0)]) / 2.0
    return curve[place] + slope * (bits - bits.detach())
