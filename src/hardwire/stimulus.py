"""Vectors to try a design on: the corners of its inputs' ranges, and random codes within them."""

from __future__ import annotations

import numpy as np

from hardwire.fixed import Ints
from hardwire.ir.program import Program


def random_codes(program: Program, count: int, seed: int = 1) -> list[Ints]:
    """`count` uniformly random codes within every input's range, int64 (count, elements) per port."""
    rng = np.random.default_rng(seed)
    found = []
    for port in program.inputs:
        lo, hi = program.port_range(port)
        found.append(rng.integers(lo, hi, size=(count, len(lo)), endpoint=True))
    return found


def edge_codes(program: Program, count: int = 256, seed: int = 2) -> list[Ints]:
    """Corners of the input box: all lowest, all highest, and random mixtures of both with zero."""
    rng = np.random.default_rng(seed)
    found = []
    for port in program.inputs:
        lo, hi = program.port_range(port)
        zero = np.clip(0, lo, hi)
        choice = rng.integers(0, 3, size=(count, len(lo)))
        codes = np.choose(choice, [lo[None, :], zero[None, :], hi[None, :]]).astype(np.int64)
        codes[0], codes[1], codes[2] = lo, hi, zero
        found.append(codes)
    return found
