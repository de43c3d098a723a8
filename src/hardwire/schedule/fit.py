"""Does it fit? Known in seconds from weights alone, before anything is solved or unrolled."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hardwire.errors import ContractError
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel, Program
from hardwire.solver import csd_weight
from hardwire.targets import Target, targets

_ADDERS_PER_DIGIT = 0.4
"""Adders that sharing leaves of each signed digit; measured 0.37 on the 16-64-32-32-5 tagger, more where little is
shared."""

_HOPELESS = 5.0
"""Times the part's LUTs beyond which nothing is built: the estimate is right to a factor of about two, but four times
too high where whole positions of a trained network turn out dead (measured on an MLP-mixer that HGQ2 trained)."""

_TOO_MANY = 3.0
"""Times the part's LUTs beyond which the multiplications alone, each at its least, are too many."""

_LEAST_PER_MULTIPLICATION = 1.0
"""LUTs of a multiplication by a weight that is not 0 under the smallest types that calibration finds useful; twelve-bit
ones take 15, three-bit ones 2."""

_NAMED = 3
"""Layers that the message names."""


def layer_luts(program: Program, target: Target) -> dict[str, float]:
    """LUTs of the fully parallel circuit by layer, positions counted; of sums to a factor of about two, from digits."""
    total: dict[str, float] = {}
    for step in program.steps:
        luts = _kernel_luts(program.kernels[step.kernel], target)
        total[step.name] = total.get(step.name, 0.0) + step.positions * luts
    return total


def rough_luts(program: Program, target: Target) -> float:
    """LUTs of the fully parallel circuit: the sum of `layer_luts`."""
    return sum(layer_luts(program, target).values())


def _kernel_luts(kernel: Kernel, target: Target) -> float:
    # Sums are estimated from their digits, everything else is known already.
    others = kernel.with_(op=np.where(kernel.op == OpCode.LINEAR, OpCode.INPUT, kernel.op).astype(np.uint8))
    luts = float(target.cost(others).lut.sum())
    if len(kernel.term_arg):
        digits = float(csd_weight(kernel.term_coef).sum())
        width = float(np.mean(kernel.widths[kernel.term_arg])) + 4.0 + target.costs.adder_overhead
        luts += digits * _ADDERS_PER_DIGIT * width
    return luts


def check_hopeless(program: Program, target: Target) -> None:
    """Raise `ContractError` where the fully parallel circuit is many times the part."""
    _refuse(program.name, layer_luts(program, target), target, _HOPELESS, "about", spare=1.5)


def check_multiplications(name: str, layers: Mapping[str, int], target: Target) -> None:
    """Raise `ContractError` where even the smallest types would not bring a float model into reach of the part.

    `layers`: multiplications by weights that are not 0, by layer, positions counted.
    """
    luts = {layer: count * _LEAST_PER_MULTIPLICATION for layer, count in layers.items()}
    why = f" for {sum(layers.values()):,} multiplications whatever their types"
    _refuse(name, luts, target, _TOO_MANY, "more than", why, spare=8.0)


def _refuse(
    name: str, layers: Mapping[str, float], target: Target, most: float, how: str, why: str = "", *, spare: float
) -> None:
    """Refuse more than `most` times the part; a part with `spare` times the estimate is named as one that might do."""
    luts, room = sum(layers.values()), target.resources.lut
    if luts <= most * room:
        return
    largest = sorted(layers.items(), key=lambda item: -item[1])[:_NAMED]
    named = ", ".join(f"{layer!r} {share / luts:.0%}" for layer, share in largest)
    larger = [part for part in targets().values() if part.resources.lut >= spare * luts]
    other = f"--target {min(larger, key=lambda part: part.resources.lut).name}, " if larger else ""
    raise ContractError(
        f"model {name!r} is too large for {target.name}: {how} {_round(luts)} LUTs fully parallel{why}, "
        f"the part has {room:,}; most are in {named}",
        hint=f"a smaller network, pruning, fewer bits, {other}or emulation alone, which needs no part: "
        "backend='emulator' (--backend emulator)",
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
