"""The contract loop with real tools: a design whose first plan is too slow for its clock gets a better one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hardwire as hw
from hardwire.compiler import retarget
from hardwire.errors import ContractError
from hardwire.network.graph import NetworkBuilder
from hardwire.targets import target


@pytest.mark.tools
@pytest.mark.slow
def test_a_plan_that_was_too_hopeful_is_made_anew(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    builder = NetworkBuilder("small")
    x = builder.input("x", (8,))
    y = builder.add("dense", "fc", [x], {}, {"kernel": rng.integers(-15, 16, (8, 4)) / 8, "bias": np.zeros(4)})
    network = builder.build([builder.add("relu", "relu", [y])])
    design = hw.compile(network, exact=True, input_type="s6.3", target="ecp5-25k", clock_mhz=150)
    # Planned with half of all delays: too few stages for the clock.
    delays = design.target.delays
    names = ("overhead", "lut", "carry_in", "carry_bit", "mux", "dsp", "fanout")
    halved = replace(delays, **{name: getattr(delays, name) / 2 for name in names})
    hopeful = retarget(design, replace(design.target, delays=halved))
    hopeful.target = target("ecp5-25k")
    assert hopeful.circuit.latency < design.circuit.latency
    hopeful.save(tmp_path / "build")
    messages: list[str] = []
    report = hopeful.synthesize(progress=messages.append)
    steps = report["contract"]["closing"]
    assert len(steps) > 1
    assert steps[0]["share"] < 1.0 <= steps[-1]["share"]
    assert "plan anew" in steps[0]["decision"]
    assert report["contract"]["routed"]["met"]
    assert report["timing"]["fmax_mhz"] >= 150
    assert any(message.startswith("placement 2: ") for message in messages)
    # What is on disk is the new plan, and it computes the same.
    loaded = hw.load(tmp_path / "build")
    assert loaded.circuit.latency == report["latency"]["cycles"] == steps[-1]["cycles"]
    assert loaded.report()["contract"]["closing"] == steps
    found = loaded.verify(vectors=300)
    assert found["netlist"]["mismatches"] == 0
    assert found["netlist"]["vectors"] >= 300
    fast = hw.compile(network, exact=True, input_type="s6.3", target="ecp5-25k", latency_ns=30)
    fast.report_data["options"]["latency_ns"] = 5.0
    with pytest.raises(ContractError, match=r"the contract \(.*\) is missed by .*: place & route reached"):
        fast.synthesize(attempts=2)
    assert fast.report()["timing"]["fmax_mhz"] > 0
