"""Inverters in front of iCE40 carry chains: dropped without changing what the netlist computes."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tool_designs import Design, Ints, Pipeline

from hardwire.tools import yosys
from hardwire.tools.netlist import NetlistSimulator

WIDTH = 7


def sums(seed: int, count: int = 10) -> Design:
    """Random sums and differences of sums, differences, rectified values and late registers, in four stages."""
    rng = np.random.default_rng(seed)
    pipe = Pipeline("sums", (WIDTH,) * 6)
    pipe.stages = 4
    stages = [[(name, lambda v, k=k: v[:, k]) for k, (name, _) in enumerate(pipe.now)]]
    for stage in range(3):
        found = []
        for i in range(count):
            (a, f), (b, g) = (stages[-1][int(k)] for k in rng.integers(0, len(stages[-1]), 2))
            sign = int(rng.choice([-1, 1]))
            total, meant = f"{a} {'-' if sign < 0 else '+'} {b}", lambda v, f=f, g=g, sign=sign: f(v) + sign * g(v)
            kind = rng.integers(0, 3)
            if kind == 0:
                total, meant = f"({a} < 0) ? 0 : {a}", lambda v, f=f: np.maximum(f(v), 0)
            elif kind == 1 and stage:
                total, meant = a, f
            name, _ = pipe.register(f"s{stage}_{i}", WIDTH + 4, total)
            found.append((name, meant))
        stages.append(found)
    last = [(pipe.register(f"y{i}", WIDTH + 4, name), meant) for i, (name, meant) in enumerate(stages[-1])]
    pipe.now = [wire for wire, _ in last]
    text, y_widths = pipe.finish()

    def meaning(values: Ints) -> Ints:
        return np.stack([meant(values) for _, meant in last], axis=1)

    return Design("sums", text, pipe.x_widths, y_widths, 4, meaning)


def sites(result: yosys.SynthesisResult) -> int:
    """LUTs, and registers that have no LUT of their own in front of them: an inverter there takes no room."""
    module = json.loads(result.json_path.read_text())["modules"][result.top]
    cells = module["cells"].values()
    reads = [
        b for c in cells for p, bits in c["connections"].items() if c["port_directions"][p] == "input" for b in bits
    ]
    readers = Counter([*reads, *(bit for port in module["ports"].values() for bit in port["bits"])])
    luts = [cell["connections"]["O"][0] for cell in cells if cell["type"] == "SB_LUT4"]
    alone = {net for net in luts if readers[net] == 1}
    data = [cell["connections"]["D"][0] for cell in cells if cell["type"].startswith("SB_DFF")]
    return len(luts) + sum(net not in alone for net in data)


@pytest.mark.tools
@pytest.mark.parametrize("seed", range(6))
def test_fewer_inverters_compute_the_same(seed: int, tmp_path: Path) -> None:
    d, recipe = sums(seed), yosys.RECIPES["ice40-hx"]
    before = yosys.synthesise(d.write(tmp_path), d.top, family=replace(recipe, finish=None), workdir=tmp_path / "a")
    after = yosys.synthesise(d.write(tmp_path), d.top, family=recipe, workdir=tmp_path / "b")
    assert after.raw_path is not None
    assert sites(after) < sites(before)
    assert {k: n for k, n in after.cells.items() if k == "SB_CARRY"} == {"SB_CARRY": before.cells["SB_CARRY"]}
    assert after.resources["ff"] == before.resources["ff"]
    x = d.random(3000, seed)
    low = -(1 << (WIDTH - 1))
    x[:3] = [[low] * 6, [-low - 1] * 6, [0] * 6]
    for result in (before, after):
        seen = NetlistSimulator(result.json_path, d.top).run(d.words(x), latency=d.latency, gaps=0.2, reset_after=700)
        np.testing.assert_array_equal(d.integers(seen.outputs), d.expected(x))
