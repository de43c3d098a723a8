"""The contract loop against placers of known behaviour: it ends, it meets what can be met, it says what it did."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pipeline import tree

from hardwire.schedule import Circuit, schedule, verify_circuit
from hardwire.schedule.closing import Closure, Contract, close
from hardwire.schedule.pipeline import Timing
from hardwire.targets import target

ECP5 = target("ecp5-85k")


def model_period(circuit: Circuit) -> float:
    """The period by the unchanged model, whatever the plan was made with."""
    timing = Timing.of(PROGRAM, ECP5)
    factor = float(np.max(circuit.delay) / np.max(timing.delay))
    return circuit.period_ns / factor


PROGRAM = tree()


def run(contract: Contract, route, attempts: int = 6) -> tuple[Closure, Circuit]:
    first = schedule(PROGRAM, ECP5, contract.clock_mhz, contract.latency_ns, contract.latency_cycles)
    closure = close(PROGRAM, ECP5, first, contract, route, attempts=attempts)
    verify_circuit(closure.circuit)
    assert closure.circuit.target is ECP5
    assert 1 <= len(closure.attempts) <= attempts
    assert all(attempt.decision for attempt in closure.attempts)
    assert closure.met == (closure.attempts[-1].share >= 1.0)
    return closure, first


@pytest.mark.parametrize("contract", [Contract(clock_mhz=120), Contract(latency_ns=60), Contract(latency_cycles=5)])
def test_a_true_model_needs_one_placement(contract: Contract) -> None:
    closure, first = run(contract, lambda circuit, _: 1000.0 / model_period(circuit))
    assert closure.met
    assert closure.circuit is first
    assert [attempt.decision for attempt in closure.attempts] == ["the contract is met"]


@pytest.mark.parametrize("slower", [1.1, 1.25, 1.5])
@pytest.mark.parametrize("contract", [Contract(clock_mhz=120), Contract(latency_ns=70)])
def test_a_slower_part_gets_more_stages_or_a_better_plan(contract: Contract, slower: float) -> None:
    closure, first = run(contract, lambda circuit, _: 1000.0 / (slower * model_period(circuit)))
    assert closure.met
    if len(closure.attempts) > 1:
        assert closure.attempts[0].share < 1.0
        assert closure.attempts[0].predicted_mhz == pytest.approx(slower * closure.attempts[0].fmax_mhz)
        assert "plan anew with delays × " in closure.attempts[0].decision
        assert closure.circuit is not first
    if contract.clock_mhz is not None:
        assert closure.circuit.latency >= first.latency
        assert closure.attempts[-1].fmax_mhz >= contract.clock_mhz


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), latency=st.floats(45.0, 90.0), slower=st.floats(0.9, 1.3))
def test_a_noisy_placer_ends_with_the_best(seed: int, latency: float, slower: float) -> None:
    seen = []

    def route(circuit: Circuit, place: int) -> float:
        rng = np.random.default_rng([seed, place, circuit.latency, int(circuit.period_ns * 1000)])
        fmax = 1000.0 / (slower * model_period(circuit) * float(rng.uniform(0.95, 1.08)))
        seen.append((circuit.stage.tobytes(), place, circuit.latency * 1000.0 / fmax))
        return fmax

    closure, _ = run(Contract(latency_ns=latency), route)
    # No placement is tried twice, and the closest is what is returned.
    assert len({row[:2] for row in seen}) == len(seen) == len(closure.attempts)
    best = min(seen, key=lambda row: row[2])
    assert (closure.circuit.stage.tobytes(), closure.seed) == best[:2] or closure.met
    assert closure.met == any(row[2] <= latency for row in seen)


@pytest.mark.parametrize("contract", [Contract(clock_mhz=200), Contract(latency_ns=40), Contract(150, 60.0)])
def test_an_impossible_contract_ends_and_says_so(contract: Contract) -> None:
    closure, _ = run(contract, lambda circuit, _: 400.0 / model_period(circuit))
    assert not closure.met
    text = str(closure.failure())
    assert f"the contract ({contract}) is missed by " in text
    assert any("no plan with delays × " in attempt.decision for attempt in closure.attempts)
    assert "\n  try: a slower clock or a longer latency" in text
    assert (
        f"{max(a.fmax_mhz for a in closure.attempts if a.share == max(b.share for b in closure.attempts)):.1f}" in text
    )


def test_a_near_miss_tries_other_seeds() -> None:
    """Nothing shorter can be planned: the same plan is placed with other seeds, and one of them is luckier."""
    timing = Timing.of(PROGRAM, ECP5)
    clock = 1000.0 / timing.least_period
    placements = iter([0.97, 0.96, 0.98, 1.01])
    closure, first = run(Contract(clock_mhz=clock), lambda circuit, _: clock * next(placements))
    assert closure.met
    assert closure.circuit is first
    assert [attempt.seed for attempt in closure.attempts] == [1, 2, 3, 4]
    assert "another seed" in closure.attempts[0].decision


def test_one_attempt_is_one_placement() -> None:
    closure, first = run(Contract(clock_mhz=120), lambda *_: 100.0, attempts=1)
    assert not closure.met
    assert closure.circuit is first
    assert closure.attempts[-1].decision == "no placements are left"
