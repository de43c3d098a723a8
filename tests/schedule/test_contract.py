"""The latency contract: met, or refused with what is possible."""

from __future__ import annotations

import re

import pytest
from test_pipeline import tree

from hardwire.errors import ContractError
from hardwire.schedule import schedule
from hardwire.targets import target


def test_nothing_asked_for_gives_the_default_clock() -> None:
    assert schedule(tree(), "ecp5-85k").clock_mhz == target("ecp5-85k").clock_mhz


def test_a_wide_op_lowers_the_default_clock() -> None:
    circuit = schedule(tree(4, 58), "xcup-vu9p")
    assert circuit.clock_mhz <= circuit.fmax_mhz * (1 + 1e-9)
    assert schedule(tree(4, 58), "xcup-vu9p", clock_mhz=circuit.clock_mhz * 0.99).depth == circuit.depth


@pytest.mark.parametrize("latency", [25.0, 30.0, 40.0, 100.0, 1000.0])
def test_a_latency_alone_chooses_the_clock(latency: float) -> None:
    circuit = schedule(tree(), "ecp5-85k", latency_ns=latency)
    assert circuit.latency_ns <= latency * (1 + 1e-9)
    assert circuit.clock_mhz <= circuit.fmax_mhz * (1 + 1e-9)
    assert circuit.latency * circuit.period_ns <= latency


def test_both_bounds_hold() -> None:
    free = schedule(tree(), "ecp5-85k", clock_mhz=150)
    circuit = schedule(tree(), "ecp5-85k", clock_mhz=150, latency_ns=free.latency_ns)
    assert circuit.latency == free.latency
    assert circuit.clock_mhz == 150
    assert schedule(tree(), "ecp5-85k", clock_mhz=150, latency_cycles=free.latency).latency <= free.latency


def test_cycles_alone_give_the_fastest_clock() -> None:
    few, many = (schedule(tree(), "ecp5-85k", latency_cycles=n) for n in (3, 7))
    assert few.latency <= 3
    assert many.latency <= 7
    assert few.clock_mhz < many.clock_mhz < many.fmax_mhz


def test_the_margin_yields_to_the_contract() -> None:
    """A latency that only fits without the target's spare part of the period is still met."""
    program = tree()
    for mhz in range(60, 200, 3):
        circuit = schedule(program, "ecp5-85k", clock_mhz=mhz)
        try:
            tighter = schedule(program, "ecp5-85k", clock_mhz=mhz, latency_cycles=circuit.latency - 1)
        except ContractError:
            continue
        assert tighter.fmax_mhz >= mhz
        assert tighter.fmax_mhz * (1 - target("ecp5-85k").margin) < mhz
        return
    pytest.fail("no clock was found at which the margin costs a stage")


def test_an_impossible_latency_says_what_is_possible() -> None:
    with pytest.raises(ContractError) as caught:
        schedule(tree(), "ecp5-85k", latency_ns=5)
    match = re.search(
        r"latency 5 ns on ecp5-85k: the best is ([\d.]+) ns \((\d+) cycles at (\d+) MHz\), ([\d.]+) ns too long\n"
        r"  try: a latency of at least (\d+) ns",
        str(caught.value),
    )
    assert match
    assert float(match[1]) - 5 == pytest.approx(float(match[4]), abs=0.11)
    assert schedule(tree(), "ecp5-85k", latency_ns=float(match[5])).latency == int(match[2])


def test_an_impossible_latency_at_a_clock_says_by_how_much() -> None:
    needed = schedule(tree(), "ecp5-85k", clock_mhz=150).latency
    with pytest.raises(ContractError) as caught:
        schedule(tree(), "ecp5-85k", clock_mhz=150, latency_ns=15)
    text = str(caught.value)
    assert "latency 15 ns at 150 MHz on ecp5-85k" in text
    assert re.search(
        rf"({needed}|{needed - 1}) cycles \([\d.]+ ns\) are needed, \d cycles \([\d.]+ ns\) too many", text
    )
    assert "the shortest latency is" in text


def test_cycles_below_the_port_registers() -> None:
    with pytest.raises(ContractError, match="the input and output registers alone take 2 cycles"):
        schedule(tree(), "ecp5-85k", latency_cycles=1)


@pytest.mark.parametrize("bounds", [{"clock_mhz": 0}, {"latency_ns": -1}, {"latency_cycles": 0}, {"clock_mhz": 1e999}])
def test_senseless_bounds(bounds: dict[str, float]) -> None:
    with pytest.raises(ContractError, match="must be a positive number"):
        schedule(tree(), "ecp5-85k", **bounds)
