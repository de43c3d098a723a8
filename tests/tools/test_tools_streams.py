from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardwire.errors import DataError, VerificationError
from hardwire.tools.streams import Schedule, cycle_words, schedule, split_ports


def valid_chain(plan: Schedule) -> tuple[list[int], list[int]]:
    """What a chain of `latency` registers with a synchronous reset shows at each edge, and which vector it carries."""
    valid, carried = [0] * plan.latency, [-1] * plan.latency
    seen, vectors = [], []
    for t in range(plan.cycles):
        now, vector = [int(plan.in_valid[t]), *valid], [int(plan.index[t]), *carried]
        seen.append(now[-1])
        vectors.append(vector[-1])
        valid, carried = now[:-1], vector[:-1]
        if plan.rst[t]:
            valid = [0] * plan.latency
    return seen, vectors


@given(
    count=st.integers(1, 60),
    latency=st.integers(0, 12),
    gaps=st.sampled_from([0.0, 0.2, 0.7]),
    reset=st.one_of(st.none(), st.integers(0, 60)),
    seed=st.integers(0, 99),
)
def test_a_schedule_is_what_a_chain_of_registers_does(
    count: int, latency: int, gaps: float, reset: int | None, seed: int
) -> None:
    reset = None if reset is None else min(reset, count)
    plan = schedule(count, latency, gaps=gaps, reset_after=reset, seed=seed)
    seen, vectors = valid_chain(plan)
    assert seen == plan.out_valid.astype(int).tolist()
    assert [v for v, s in zip(vectors, seen, strict=True) if s] == list(range(count))
    plan.check(np.array(seen, np.bool_))


@given(latency=st.integers(0, 6), actual=st.integers(0, 9))
def test_another_latency_is_refused(latency: int, actual: int) -> None:
    plan = schedule(20, latency)
    seen = np.zeros(plan.cycles, np.bool_)
    start = int(np.flatnonzero(plan.index >= 0)[0])
    seen[start + actual : start + actual + 20] = True
    if latency == actual:
        plan.check(seen)
    else:
        with pytest.raises(VerificationError, match=f"latency {actual}, not {latency}"):
            plan.check(seen)


def test_silence_and_a_late_extra_answer_are_refused() -> None:
    plan = schedule(5, 3)
    with pytest.raises(VerificationError, match="out_valid never came"):
        plan.check(np.zeros(plan.cycles, np.bool_))
    seen = plan.out_valid.copy()
    seen[-1] = True
    with pytest.raises(VerificationError, match=rf"out_valid is 1 at cycle {plan.cycles - 1} and must be 0 \(1 of"):
        plan.check(seen)


def test_idle_cycles_carry_junk_that_fits_the_bus() -> None:
    plan = schedule(3, 2, gaps=0.5, seed=1)
    words = cycle_words(np.zeros((3, 2), np.uint64), 70, plan)
    assert not words[plan.index >= 0].any()
    assert words[plan.index < 0].any()
    assert int(words[:, 1].max()) < 1 << 6


def test_ports_are_checked() -> None:
    x = np.zeros((3, 1), np.uint64)
    with pytest.raises(DataError, match="no width is given for input 'x'"):
        split_ports({"x": x}, {"y": 3})
    with pytest.raises(DataError, match="different numbers of vectors"):
        split_ports({"x0": x, "x1": x[:2]}, {"x0": 3, "x1": 3, "y": 3})
    with pytest.raises(DataError, match=r"input 'x' of 65 bits needs uint64 words of shape \(N, 2\)"):
        split_ports({"x": x}, {"x": 65, "y": 3})
    with pytest.raises(DataError, match="no output has a width"):
        split_ports({"x": x}, {"x": 3})
    with pytest.raises(DataError, match="a reset after 9 of 3"):
        schedule(3, 1, reset_after=9)
