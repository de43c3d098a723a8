"""What does not fit ends with an estimate, in seconds; emulation needs no part."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

import hardwire as hw
from hardwire.design import EmulationOnlyError
from hardwire.errors import ContractError
from hardwire.fixed import FixedType
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.network.reference import forward
from hardwire.quantiser import Quantiser
from hardwire.report.html import render_html


def rows(positions: int, features: int, neurons: int) -> Network:
    """One dense layer over many rows."""
    rng = np.random.default_rng(0)
    net = NetworkBuilder("rows")
    t = net.input("x", (positions, features))
    t = net.add("quantise", "q", [t], {"quantiser": Quantiser.of_type(FixedType.parse("s6.2"))})
    t = net.add("dense", "fc", [t], {}, {"kernel": rng.integers(-31, 32, (features, neurons)) / 32})
    return net.build([t])


def test_a_hopeless_model_is_refused_in_seconds_with_an_estimate() -> None:
    begin = time.process_time()
    text = r"'rows' is too large for ecp5-25k: about [\d,]+ LUTs fully parallel, the part has 24,288"
    with pytest.raises(ContractError, match=text + r"\n  try: .*backend='emulator'"):
        hw.compile(rows(400, 32, 32), target="ecp5-25k")
    assert time.process_time() - begin < 10


def test_emulation_needs_no_part(tmp_path: Path) -> None:
    model = rows(400, 32, 32)
    design = hw.compile(model, backend="emulator")
    x = np.random.default_rng(1).integers(-32, 32, (20, 400, 32)) / 4
    assert np.array_equal(design.predict(x), forward(model, [x])[0])
    assert design.verify(x[:3], vectors=10)["interpreter"]["mismatches"] == 0
    assert "emulator_rtl" not in design.report()["verification"]
    assert design.report()["estimate"]["rough"]
    with pytest.raises(EmulationOnlyError, match="was compiled for emulation only\n  try: compile it with --backend"):
        design.synthesize()
    design.save(tmp_path / "build")
    weights = np.count_nonzero(model.nodes[1].params["kernel"])
    again = hw.load(tmp_path / "build")
    assert np.array_equal(again.predict(x), design.predict(x))
    assert json.loads((tmp_path / "build" / "report.json").read_text())["program"]["multiplications"] == 400 * weights
    assert "emulation only" in render_html(design.report())


def test_a_design_somewhat_too_large_compiles_and_says_so_but_is_not_synthesised() -> None:
    design = hw.compile(rows(24, 16, 16), target="ecp5-25k")
    fit = design.report()["fit"]
    assert not fit["fits"]
    assert fit["share"]["lut"] > 1
    with pytest.raises(ContractError, match=r"does not fit ecp5-25k: about [\d,]+ (LUT|FF) of 24,288 \(\d+%\)"):
        design.synthesize()


def test_a_design_that_fits_says_so() -> None:
    fit = hw.compile(rows(1, 4, 4)).report()["fit"]
    assert fit["fits"]
    assert 0 < fit["share"]["lut"] < 0.1
