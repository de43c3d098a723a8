"""Non-zero canonical signed digits of codes, on tensors (see `hardwire.solver.csd`)."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

MOST = 1 << 28
"""Largest code: 3x must fit an int32."""
_HALF = 16


@cache
def _ones(device: torch.device) -> Tensor:
    """Number of ones of each 16-bit word, float32."""
    words = torch.arange(1 << _HALF)
    found = torch.zeros(1 << _HALF)
    for k in range(_HALF):
        found += (words >> k) & 1
    return found.to(device)


def digits(codes: Tensor) -> Tensor:
    """How many digits each whole number has (the fewest terms ±2^k that add to it), float32; codes up to 2^28."""
    x = codes.detach().abs().clamp(max=MOST).to(torch.int32)
    differing = x ^ (3 * x)
    ones = _ones(codes.device)
    return ones[differing & 0xFFFF] + ones[differing >> _HALF]
