"""The latency contract: find the pipeline that meets the stated clock and latency, or say what is possible."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hardwire.errors import ContractError
from hardwire.ir.program import Program
from hardwire.schedule.circuit import Circuit
from hardwire.schedule.pipeline import Timing, budget_for, build
from hardwire.targets import Target
from hardwire.targets import target as find_target

PORT_STAGES = 2
"""Cycles of a circuit besides its last stage's number: the input registers and the output registers."""

_EVERY_DEPTH = 60


@dataclass(frozen=True)
class Choice:
    """One way to cut: so many cycles at this predicted clock."""

    cycles: int
    period_ns: float

    @property
    def ns(self) -> float:
        """Predicted latency."""
        return self.cycles * self.period_ns

    @property
    def mhz(self) -> float:
        """Predicted clock."""
        return 1000.0 / self.period_ns


def schedule(
    program: Program,
    target: Target | str,
    clock_mhz: float | None = None,
    latency_ns: float | None = None,
    latency_cycles: int | None = None,
) -> Circuit:
    """Schedule a flat Program under a contract; every bound that is given holds for the result.

    * `clock_mhz`: the clock; the fewest stages whose predicted period fits it.
    * `latency_ns`, `latency_cycles`: at most this long. Without a clock the one is chosen that meets the latency with
      the target's margin at the least cost (logic or registers, whichever is more), ties to the least latency.
    * Nothing: the target's default clock.

    Raises `ContractError` that says the best achievable and by how much the contract is missed.
    """
    target = find_target(target)
    for name, bound in (("clock_mhz", clock_mhz), ("latency_ns", latency_ns), ("latency_cycles", latency_cycles)):
        if bound is not None and not (math.isfinite(bound) and bound > 0):
            raise ContractError(f"{name} is {bound}: it must be a positive number")
    timing = Timing.of(program, target)
    if clock_mhz is not None:
        return _at_clock(timing, clock_mhz, latency_ns, latency_cycles)
    if latency_ns is None and latency_cycles is None:
        # A wide op may be slower than the default clock, which nobody asked for.
        return _at_clock(timing, min(target.clock_mhz, 1000.0 / timing.least_period), None, None)
    return _search(timing, latency_ns, latency_cycles)


def _at_clock(timing: Timing, clock_mhz: float, latency_ns: float | None, latency_cycles: int | None) -> Circuit:
    limits = [] if latency_cycles is None else [latency_cycles]
    if latency_ns is not None:
        limits.append(math.floor(latency_ns * clock_mhz / 1000.0 + 1e-9))
    limit = min(limits, default=None)
    budget = budget_for(timing, clock_mhz)
    if limit is None or timing.depth(budget) + PORT_STAGES <= limit:
        return build(timing, budget, clock_mhz)
    # The margin is a wish, the contract is not.
    budget = budget_for(timing, clock_mhz, margin=False)
    cycles = timing.depth(budget) + PORT_STAGES
    if cycles <= limit:
        return build(timing, budget, clock_mhz)
    period = 1000.0 / clock_mhz
    best = min(_choices(timing), key=lambda c: (c.ns, c.cycles))
    asked = f"{limit} cycles" if latency_ns is None else f"{latency_ns:g} ns"
    over = f"{cycles - limit} cycles ({(cycles - limit) * period:.1f} ns) too many"
    raise ContractError(
        f"latency {asked} at {clock_mhz:g} MHz on {timing.target.name}: {cycles} cycles ({cycles * period:.1f} ns) are "
        f"needed, {over}",
        hint=f"leave the clock free (the shortest latency is {best.ns:.1f} ns: {best.cycles} cycles at "
        f"{best.mhz:.0f} MHz), a smaller or narrower network, or a faster target",
    )


def _choices(timing: Timing) -> list[Choice]:
    """Every useful number of cycles with its least period, from one stage on; very deep ones in steps of 5 %."""
    choices: list[Choice] = []
    deepest = timing.depth(timing.slowest)
    depths = list(range(min(deepest, _EVERY_DEPTH) + 1))
    while depths[-1] < deepest:
        depths.append(min(deepest, depths[-1] + max(1, depths[-1] // 20)))
    for depth in depths:
        choice = Choice(depth + PORT_STAGES, timing.overhead + timing.least_budget(depth))
        if not choices or choice.period_ns < choices[-1].period_ns - 1e-9:
            choices.append(choice)
    return choices


def _search(timing: Timing, latency_ns: float | None, latency_cycles: int | None) -> Circuit:
    choices = _choices(timing)
    limit_ns = math.inf if latency_ns is None else latency_ns
    allowed = [c for c in choices if latency_cycles is None or c.cycles <= latency_cycles]
    meeting = [c for c in allowed if c.ns <= limit_ns]
    if not meeting:
        raise _impossible(timing, choices, allowed, latency_ns, latency_cycles)
    target = timing.target
    if latency_ns is None:
        # Only cycles are bounded: the fastest clock that they allow.
        chosen = min(meeting, key=lambda c: (c.period_ns, c.cycles))
        return build(timing, chosen.period_ns - timing.overhead, _round_clock(chosen.mhz * (1.0 - target.margin)))
    safe = [c for c in meeting if c.ns <= limit_ns * (1.0 - target.margin)]
    if not safe:
        chosen = min(meeting, key=lambda c: (c.ns, c.cycles))
        return build(timing, chosen.period_ns - timing.overhead, _clock(chosen, limit_ns))
    built = []
    for choice in _spread(safe):
        circuit = build(timing, choice.period_ns - timing.overhead, _clock(choice, limit_ns))
        use = circuit.estimate()
        # A flip-flop stands behind every LUT: registers cost nothing until there are more of them than LUTs.
        built.append((max(use["lut"], use["ff"]), choice.ns, choice.cycles, circuit))
    return min(built, key=lambda row: row[:3])[3]


def _spread(choices: list[Choice], most: int = 12) -> list[Choice]:
    """Up to `most` of the choices, the quickest always among them."""
    if len(choices) <= most:
        return choices
    quickest = sorted(choices, key=lambda c: (c.ns, c.cycles))[: most // 2]
    rest = [c for c in choices if c not in quickest]
    step = len(rest) / (most - len(quickest))
    return [*quickest, *(rest[int(k * step)] for k in range(most - len(quickest)))]


def _clock(choice: Choice, limit_ns: float) -> float:
    """The clock to ask for: what the contract needs, or the prediction less nothing, whichever is slower to reach.

    The contract only needs `cycles / limit_ns`; asking for half of the way to the prediction keeps slack on both sides.
    """
    needed = 1000.0 * choice.cycles / limit_ns
    return max(needed, _round_clock(0.5 * (needed + choice.mhz)))


def _round_clock(mhz: float) -> float:
    return max(0.1, math.floor(mhz * 10.0) / 10.0)


def _impossible(
    timing: Timing,
    choices: list[Choice],
    allowed: list[Choice],
    latency_ns: float | None,
    latency_cycles: int | None,
) -> ContractError:
    name = timing.target.name
    if not allowed:
        return ContractError(
            f"latency {latency_cycles} cycles on {name}: the input and output registers alone take "
            f"{choices[0].cycles} cycles",
            hint=f"at least {choices[0].cycles} cycles",
        )
    best = min(allowed, key=lambda c: (c.ns, c.cycles))
    bound = "" if latency_cycles is None else f" within {latency_cycles} cycles"
    missed = best.ns - float(latency_ns or 0.0)
    layer, op = timing.slowest_layer()
    return ContractError(
        f"latency {latency_ns:g} ns{bound} on {name}: the best is {best.ns:.1f} ns ({best.cycles} cycles at "
        f"{best.mhz:.0f} MHz), {missed:.1f} ns too long",
        hint=f"a latency of at least {math.ceil(best.ns)} ns, fewer or narrower layers (the slowest op is a {op} in "
        f"layer {layer!r}), or a faster target",
    )
