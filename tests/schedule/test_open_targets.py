"""Every family of targets from a network to a netlist that computes the same; placed ones to a clock that is met."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

import hardwire as hw
from hardwire.compiler import retarget
from hardwire.errors import ContractError
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.targets import Target, targets
from hardwire.tools import find, yosys

FAMILIES = {part.family: part for part in sorted(targets().values(), key=lambda part: -part.resources.lut)}
"""The smallest part of each."""
PLACED = [name for name, part in FAMILIES.items() if part.place]


def small(products: bool = False) -> Network:
    rng = np.random.default_rng(2)
    builder = NetworkBuilder("small")
    x = builder.input("x", (6,))
    weights = {"kernel": rng.integers(-15, 16, (6, 4)) / 8, "bias": rng.integers(-9, 10, 4) / 8}
    y = builder.add("relu", "relu", [builder.add("dense", "fc", [x], {}, weights)])
    if products:
        y = builder.add("mul", "square", [y, y])
    return builder.build([builder.add("dense", "out", [y], {}, {"kernel": rng.integers(-7, 8, (4, 2)) / 8})])


@pytest.mark.parametrize("name", sorted(targets()))
def test_a_target_names_tools_that_exist(name: str) -> None:
    part = targets()[name]
    assert part.synthesis["family"] in yosys.RECIPES
    assert part.timing in ("estimate", "calibrated")
    if part.place:
        module = importlib.import_module(f"hardwire.tools.{part.place['tool']}")
        assert module.TOOL in find.tools()
        assert "pip install yowasp-nextpnr" in module.TOOL.install_hint()


def test_every_family_has_the_counts_of_a_report() -> None:
    wanted = {"lut", "ff", "carry"}
    for part in targets().values():
        recipe = yosys.RECIPES[part.synthesis["family"]]
        assert wanted <= {key for counts in recipe.resources.values() for key in counts}


def test_a_network_that_a_part_cannot_hold_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    builder = NetworkBuilder("wide")
    x = builder.input("x", (24,))
    network = builder.build([builder.add("dense", "fc", [x], {}, {"kernel": rng.integers(-63, 64, (24, 12)) / 64})])
    design = hw.compile(network, exact=True, input_type="s8.3", target="ice40-hx1k", clock_mhz=50)
    assert not design.report()["fit"]["fits"]
    with pytest.raises(ContractError, match=r"does not fit ice40-hx1k: about [\d,]+ LUT of 1,280"):
        design.synthesize()
    assert retarget(design, "ice40-hx8k").report()["fit"]["fits"]


def check(part: Target, folder: Path, products: bool = False) -> dict[str, object]:
    clock = 0.7 * part.clock_mhz
    design = hw.compile(small(products), exact=True, input_type="s5.2", target=part.name, clock_mhz=clock)
    design.save(folder / part.name)
    report = design.synthesize(route=bool(part.place))
    found = hw.load(folder / part.name).verify(vectors=2000)
    assert found["netlist"]["vectors"] >= 2000
    assert [found[rung]["mismatches"] for rung in ("interpreter", "emulator_rtl", "netlist")] == [0, 0, 0]
    counts = report["synthesis"]
    assert counts["lut"] > 0
    assert counts["ff"] > 0
    assert counts["carry"] > 0
    assert (counts["dsp"] > 0) == (products and part.resources.dsp > 0)
    return report


@pytest.mark.tools
@pytest.mark.parametrize("family", [pytest.param(f, marks=[pytest.mark.slow] if f != "ice40" else []) for f in PLACED])
def test_placed_families_meet_their_contract(family: str, tmp_path: Path) -> None:
    report = check(FAMILIES[family], tmp_path)
    assert report["contract"]["routed"]["met"]
    assert report["timing"]["critical_path"]
    assert report["timing"]["utilisation"]


@pytest.mark.tools
@pytest.mark.slow
@pytest.mark.parametrize("family", sorted({*FAMILIES} - {*PLACED}))
def test_families_without_open_place_and_route_say_so(family: str, tmp_path: Path) -> None:
    report = check(FAMILIES[family], tmp_path, products=True)
    assert report["timing"]["fmax_mhz"] is None
    assert "estimate" in report["timing"]["note"]
