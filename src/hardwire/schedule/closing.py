"""Closing the contract: place & route, measure, plan anew with what was measured, until the contract is met.

The delay model is right on average; a placement is one sample, often some per cent off. What a placement takes longer
than predicted is put into the next plan (more and shorter stages within the latency, or a shorter latency), and where
that changes nothing, or nothing shorter can be planned, another seed is tried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from hardwire.errors import ContractError
from hardwire.ir.program import Program
from hardwire.schedule.circuit import Circuit
from hardwire.schedule.contract import schedule
from hardwire.targets import Target

ATTEMPTS = 6
"""Placements at most."""

_HARDER = 1.03
"""Factor on what was measured, each time that a plan is asked for: noise would otherwise give the same plan again."""

_SCATTER = 0.15
"""How far below the contract a placement may lie for another seed to be worth a try."""

Route = Callable[[Circuit, int], float]
"""Place and route a circuit with a seed; returns Fmax in MHz."""


@dataclass(frozen=True)
class Contract:
    """What was asked for; None where it was not."""

    clock_mhz: float | None = None
    latency_ns: float | None = None
    latency_cycles: int | None = None

    def __str__(self) -> str:
        bounds = ((self.clock_mhz, "MHz"), (self.latency_ns, "ns"), (self.latency_cycles, "cycles"))
        return ", ".join(f"{bound:g} {unit}" for bound, unit in bounds if bound is not None) or "none"

    def share(self, circuit: Circuit, fmax_mhz: float) -> float:
        """How much of the contract an Fmax reaches: the least of 1 and more where it is met, below 1 where not."""
        shares = [float("inf")]
        if self.clock_mhz is not None:
            shares.append(fmax_mhz / self.clock_mhz)
        if self.latency_ns is not None:
            # At the clock asked for where there is one: the latency then is so many cycles of it.
            clock = fmax_mhz if self.clock_mhz is None else self.clock_mhz
            shares.append(self.latency_ns * clock / (circuit.latency * 1000.0))
        if self.latency_cycles is not None:
            shares.append(1.0 if circuit.latency <= self.latency_cycles else self.latency_cycles / circuit.latency)
        # A rounding error is no miss.
        return min(shares) + 1e-9


@dataclass(frozen=True)
class Attempt:
    """One placement: what was asked, what came out, what is done next."""

    clock_mhz: float
    slowdown: float
    """Factor on all delays of the model that the circuit was planned with."""
    seed: int
    cycles: int
    predicted_mhz: float
    """By the unchanged model."""
    fmax_mhz: float
    share: float
    """How much of the contract is reached; met from 1 on."""
    decision: str

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


@dataclass(frozen=True)
class Closure:
    """The circuit that comes closest to the contract, the seed that it was placed with, and how it was found."""

    contract: Contract
    circuit: Circuit
    seed: int
    met: bool
    attempts: tuple[Attempt, ...]

    def failure(self) -> ContractError:
        """What to raise where the contract is not met: how far it got, by how much it is missed, what to do."""
        best = max(self.attempts, key=lambda attempt: attempt.share)
        tried = ", ".join(f"{a.cycles} cycles {a.fmax_mhz:.1f} MHz" for a in self.attempts)
        return ContractError(
            f"the contract ({self.contract}) is missed by {1.0 - best.share:.1%}: place & route reached at best "
            f"{best.fmax_mhz:.1f} MHz with {best.cycles} cycles, {best.cycles * 1000.0 / best.fmax_mhz:.1f} ns "
            f"(tried: {tried}); {self.attempts[-1].decision}",
            hint="a slower clock or a longer latency, more --seeds, a smaller or narrower network, or a faster target",
        )


def close(
    program: Program,
    target: Target,
    first: Circuit,
    contract: Contract,
    route: Route,
    *,
    attempts: int = ATTEMPTS,
) -> Closure:
    """Place and route `first`, then other plans or seeds, until `contract` is met or `attempts` are spent.

    Ends early where no plan can meet the contract and the best placement is too far off for another seed to help. The
    caller raises `Closure.failure()` unless `met`.
    """
    plan, slowdown, seed = first, 1.0, 1
    seeds: dict[bytes, int] = {_key(first): 1}
    factors: dict[bytes, float] = {_key(first): 1.0}
    best: tuple[float, Circuit, int] | None = None
    log: list[Attempt] = []
    factor = 1.0
    while True:
        fmax = route(plan, seed)
        share = contract.share(plan, fmax)
        if best is None or share > best[0]:
            best = (share, plan, seed)
        predicted = plan.fmax_mhz * factor
        slowdown = max(slowdown, predicted / fmax)
        done = Attempt(plan.clock_mhz, factor, seed, plan.latency, predicted, fmax, share, "the contract is met")
        if share >= 1.0:
            log.append(done)
            return Closure(contract, plan, seed, True, tuple(log))
        if len(log) + 1 >= attempts:
            log.append(replace(done, decision="no placements are left"))
            return Closure(contract, best[1], best[2], False, tuple(log))
        wanted = slowdown * _HARDER ** (len(log) + 1)
        found, why = _plan(program, target, contract, wanted)
        if found is not None and _key(found) not in seeds:
            plan, factor, seed = found, wanted, 1
            decision = f"plan anew with delays × {wanted:.3f}: {found.latency} cycles"
        elif best[0] >= 1.0 - _SCATTER:
            # The same plan, or none: the best one so far, placed differently.
            plan = best[1]
            factor = factors[_key(plan)]
            seed = seeds[_key(plan)] + 1
            decision = f"{why}; another seed for the plan of {plan.latency} cycles"
        else:
            log.append(replace(done, decision=f"{why}, and {1.0 - best[0]:.0%} is more than seeds scatter"))
            return Closure(contract, best[1], best[2], False, tuple(log))
        seeds[_key(plan)], factors[_key(plan)] = seed, factor
        log.append(replace(done, decision=decision))


def _key(circuit: Circuit) -> bytes:
    return circuit.stage.tobytes()


def _plan(program: Program, target: Target, contract: Contract, slowdown: float) -> tuple[Circuit | None, str]:
    """A circuit for the contract if all delays were so much longer; else None and why."""
    # Every number in ns; `growth` and `reference_lut` have another unit.
    delays = target.delays
    slower = replace(
        delays,
        **{
            name: getattr(delays, name) * slowdown
            for name in ("overhead", "lut", "carry_in", "carry_bit", "mux", "dsp", "fanout")
        },
    )
    try:
        circuit = schedule(program, replace(target, delays=slower, margin=0.0), **asdict(contract))
    except ContractError as error:
        return None, f"no plan with delays × {slowdown:.3f} ({error.what})"
    return replace(circuit, target=target), f"delays × {slowdown:.3f} give no other plan"
