"""Targets: found by name, sane in all numbers, and true to what synthesis makes of single ops."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from flat_programs import program_of, random_kernel
from test_pipeline import tree

from hardwire.backends import Source
from hardwire.backends.verilog import emit
from hardwire.fixed import Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.schedule.pipeline import Timing, build
from hardwire.targets import TargetError, target, targets
from hardwire.targets._base import table_luts


def test_names() -> None:
    assert {"ecp5-25k", "ecp5-45k", "ecp5-85k", "xcup-vu13p"} <= set(targets())
    assert target().name == "ecp5-85k"
    assert target("ecp5").name == "ecp5-85k"
    assert target(target("ecp5-25k")).name == "ecp5-25k"
    with pytest.raises(TargetError, match=r"target 'ecp5-86k' is unknown\n  try: ecp5-85k\? hardwire knows"):
        target("ecp5-86k")


@pytest.mark.parametrize("name", sorted(targets()))
def test_costs_and_delays_are_finite_for_every_op(name: str) -> None:
    part = target(name)
    for seed in range(20):
        kernel = random_kernel(seed, ops=60)
        cost, delay = part.cost(kernel), part.delay(kernel)
        for array in (*dataclasses.astuple(cost), delay):
            assert array.shape == (len(kernel),)
            assert np.all(np.isfinite(array))
            assert np.all(array >= 0)
        assert np.all(cost.lut[kernel.lo == kernel.hi] == 0)


def test_wider_adders_cost_more_and_take_longer() -> None:
    builder = KernelBuilder("adders", [0] * 8, [(1 << (4 * k + 4)) - 1 for k in range(8)], origin="fc")
    kernel = builder.build([builder.add(v, v, 0, 1) for v in range(8)])
    for part in targets().values():
        assert np.all(np.diff(part.cost(kernel).lut[8:]) > 0)
        assert np.all(np.diff(part.delay(kernel)[8:]) > 0)
        assert np.all(part.delay(kernel, 1e6)[8:] > part.delay(kernel, 1.0)[8:])


def test_small_designs_are_no_slower_than_the_reference() -> None:
    for part in targets().values():
        assert part.stretch(300) == 1.0
        assert part.stretch(part.resources.lut) < 2.0


def test_wires_are_free() -> None:
    builder = KernelBuilder("wires", [-128, 0], [127, 3], origin="fc")
    free = [builder.shl(0, 2), builder.round(0, 3, Rounding.TRN), builder.wrap(0, 4, False), builder.add(0, 1, 2, 0)]
    kernel = builder.build(free)
    for part in targets().values():
        assert part.cost(kernel).lut.sum() == 0
        assert part.delay(kernel).sum() == 0


def test_table_luts_count_distinct_functions() -> None:
    codes = np.arange(64)
    assert table_luts(np.zeros(64, np.int64), 0, 1, 4, 3) == 0
    assert table_luts(codes & 1, 0, 1, 4, 3) == 1
    assert table_luts((codes >> 4) * 0 + (codes & 3), 0, 2, 4, 3) == 2
    random = np.random.default_rng(0).integers(0, 256, 64)
    assert table_luts(random, 0, 8, 4, 3) == pytest.approx(32, abs=1)
    assert table_luts(random, 0, 8, 6, 3) == 8


SITES = {"ecp5-85k": 2.0, "ice40-hx8k": 0.0, "gowin-gw1nr9": 1.0, "xc7-a35t": 0.0}
"""Part → LUT sites of a carry cell, beside those that are counted as LUTs."""


@pytest.mark.tools
@pytest.mark.parametrize(
    "part", [pytest.param(name, marks=[pytest.mark.slow] if name.startswith("xc7") else []) for name in SITES]
)
@pytest.mark.parametrize("kind", ["adders", "tables", "rounding"])
def test_estimates_against_synthesis(kind: str, part: str, tmp_path: Path) -> None:
    """LUT sites of synthesis lie near the estimate for each kind of op."""
    from hardwire.tools.yosys import synthesise

    rng = np.random.default_rng(3)
    if kind == "adders":
        program = tree()
    elif kind == "tables":
        builder = KernelBuilder("tables", [-32] * 6, [31] * 6, origin="act")
        program = program_of(builder.build([builder.table(v, rng.integers(-64, 64, 64)) for v in range(6)]))
    else:
        builder = KernelBuilder("rounding", [-2048] * 8, [2047] * 8, origin="act")
        rounded = [builder.round(v, 4, Rounding.RND) for v in range(8)]
        program = program_of(builder.build([builder.clamp(v, 0, 31) for v in rounded]))
    timing = Timing.of(program, target(part))
    circuit = build(timing, timing.least_budget(1), 50.0)
    (tmp_path / "k.v").write_text(emit(Source.scheduled("k", program, circuit))["k.v"])
    result = synthesise([tmp_path / "k.v"], "k", family=target(part).synthesis["family"], workdir=tmp_path / "synth")
    sites = result.resources["lut"] + SITES[part] * result.resources["carry"]
    chains = sum(1 for op in circuit.kernel if op.code.name in ("ADD", "SUB", "ROUND"))
    # nextpnr adds what the estimate counts beyond one site a bit, for each chain.
    estimate = float(target(part).cost(circuit.kernel).lut.sum()) - chains * circuit.target.costs.adder_overhead
    assert 0.6 * sites <= estimate <= 1.3 * sites, (sites, estimate, result.resources)
    assert result.resources["ff"] <= circuit.ff * 1.05
