"""What does not fit ends with an estimate, in seconds; emulation needs no part."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

import hardwire as hw
from hardwire.design import NoCircuitError
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
    text = r"'rows' is too large for ecp5-25k: about [\d,]+ LUTs fully parallel, the part has 24,288; most are in 'fc'"
    with pytest.raises(ContractError, match=text + r" 100%\n  try: .*backend='emulator'"):
        hw.compile(rows(400, 32, 32), target="ecp5-25k")
    assert time.process_time() - begin < 10


def test_a_hopeless_float_model_is_refused_before_its_types_are_chosen() -> None:
    rng = np.random.default_rng(0)
    net = NetworkBuilder("picture")
    t = net.input("x", (40, 40, 8))
    attrs = {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    t = net.add("conv", "first", [t], attrs, {"kernel": rng.normal(size=(3, 3, 8, 32))})
    model = net.build([net.add("conv", "second", [t], attrs, {"kernel": rng.normal(size=(3, 3, 32, 8))})])
    said: list[str] = []
    text = (
        r"'picture' is too large for ecp5-85k: more than 7,\d00,000 LUTs fully parallel for 7,372,800 multiplications "
        r"whatever their types, the part has 83,640; most are in 'first' 50%, 'second' 50%\n  try: .*pruning, fewer"
    )
    begin = time.process_time()
    with pytest.raises(ContractError, match=text):
        hw.compile(model, calibrate=rng.normal(size=(20, 40, 40, 8)), progress=said.append)
    assert time.process_time() - begin < 5
    assert said == ["reading the model"]


def test_a_larger_part_is_named_where_there_is_one() -> None:
    with pytest.raises(ContractError, match=r"'fc' 100%.*\n  try: .*--target xc7-vx690t, "):
        hw.compile(rows(33, 24, 24), target="ecp5-25k")


def test_emulation_needs_no_part(tmp_path: Path) -> None:
    model = rows(400, 32, 32)
    design = hw.compile(model, backend="emulator")
    x = np.random.default_rng(1).integers(-32, 32, (20, 400, 32)) / 4
    assert np.array_equal(design.predict(x), forward(model, [x])[0])
    assert design.verify(x[:3], vectors=10)["interpreter"]["mismatches"] == 0
    assert "emulator_rtl" not in design.report()["verification"]
    assert design.report()["estimate"]["rough"]
    with pytest.raises(NoCircuitError, match="was compiled for emulation only\n  try: compile it with --backend"):
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
