"""Does it fit? Known in seconds from weights alone, before anything is solved or unrolled."""

from __future__ import annotations

import numpy as np

from hardwire.errors import ContractError
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Program
from hardwire.solver import csd_weight
from hardwire.targets import Target

_ADDERS_PER_DIGIT = 0.4
"""Adders that sharing leaves of each signed digit; measured 0.37 on the 16-64-32-32-5 tagger, more where little is
shared."""

_HOPELESS = 8.0
"""Times the part's LUTs beyond which nothing is built: no choice of types or target closes such a gap."""


def rough_luts(program: Program, target: Target) -> float:
    """LUTs of the fully parallel circuit, to a factor of about two: digits of all weights, positions counted."""
    total = 0.0
    for step in program.steps:
        kernel = program.kernels[step.kernel]
        linear = np.flatnonzero(kernel.op == OpCode.LINEAR)
        if not len(linear):
            total += step.positions * float(np.sum(kernel.widths[kernel.n_inputs :]))
            continue
        digits = float(csd_weight(kernel.term_coef).sum())
        width = float(np.mean(kernel.widths[kernel.term_arg])) + 4.0 + target.costs.adder_overhead
        total += step.positions * digits * _ADDERS_PER_DIGIT * width
    return total


def check_hopeless(program: Program, target: Target) -> None:
    """Raise `ContractError` where the fully parallel circuit is many times the part."""
    luts, room = rough_luts(program, target), target.resources.lut
    if luts > _HOPELESS * room:
        raise ContractError(
            f"model {program.name!r} is too large for {target.name}: about {_round(luts)} LUTs fully parallel, "
            f"the part has {room:,}",
            hint="a smaller network, pruning or fewer bits; emulation alone needs no part: backend='emulator'",
        )


def fits(estimate: dict[str, int], target: Target) -> dict[str, object]:
    """What of the part the estimate takes: `fits`, and the `share` of each resource that it uses."""
    room = {key: getattr(target.resources, key) for key in ("lut", "ff", "dsp", "bram")}
    share = {key: estimate[key] / room[key] for key in room if room[key]}
    return {"fits": all(value <= 1.0 for value in share.values()), "share": share}


def _round(luts: float) -> str:
    """Two significant digits: the estimate has no more."""
    step = 10 ** max(0, int(np.log10(max(luts, 1.0))) - 1)
    return f"{round(luts / step) * step:,}"
