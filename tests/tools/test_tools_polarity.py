"""Inverters in front of iCE40 carry chains: dropped without changing what the netlist computes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tool_designs import Design, Ints, Pipeline

from hardwire.tools import yosys
from hardwire.tools._ice40_polarity import drop_inverters
from hardwire.tools.bits import pack, unpack
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


INPUTS, CYCLES, SETTLED = 8, 300, 100


def random_netlist(rng: np.random.Generator, parts: int = 60) -> dict[str, Any]:
    """Chains with the LUTs beside them, inverters, other LUTs and registers, in any order; any of it is an output."""
    cells: dict[str, Any] = {}
    ports = {
        "clk": {"direction": "input", "bits": [2]},
        "x": {"direction": "input", "bits": list(range(3, 3 + INPUTS))},
    }
    nets: list[int | str] = ["0", "1", *ports["x"]["bits"]]
    next_net = 3 + INPUTS

    def add(kind: str, outputs: Sequence[str], parameters: Mapping[str, Any] | None = None, **pins: int | str) -> int:
        nonlocal next_net
        ways = {**dict.fromkeys(pins, "input"), **dict.fromkeys(outputs, "output")}
        wires = {port: [net] for port, net in pins.items()} | {outputs[0]: [next_net]}
        cell = {"type": kind, "parameters": dict(parameters or {}), "port_directions": ways, "connections": wires}
        cells[f"u{next_net}"] = cell
        next_net += 1
        return next_net - 1

    def some() -> int | str:
        return nets[int(rng.integers(max(0, len(nets) - 40), len(nets)))]

    def lut(a: int | str, b: int | str, c: int | str, d: int | str, table: int) -> int:
        return add("SB_LUT4", ["O"], {"LUT_INIT": f"{table:016b}"}, I0=a, I1=b, I2=c, I3=d)

    for _ in range(parts):
        kind = rng.integers(0, 6)
        if kind == 0:
            nets.append(lut(some(), some(), some(), some(), int(rng.integers(0, 1 << 16))))
        elif kind == 1:
            nets.append(lut("0", "0", "0", some(), 0x00FF))
        elif kind == 2:
            reset = rng.choice(["", "SR", "SS"])
            pins = {reset[-1]: some()} if reset else {}
            nets.append(add(f"SB_DFF{reset}", ["Q"], C=2, D=some(), **pins))
        elif kind == 3:
            nets.append(add("SB_DFF", ["Q"], C=2, D=some()))
        else:
            carry = some() if rng.random() < 0.3 else str(rng.integers(0, 2))
            found: list[int] = []
            for _ in range(rng.integers(1, 6)):
                a, b = some(), some()
                if rng.random() < 0.5:
                    b = lut("0", "0", "0", b, 0x00FF)
                found.append(lut("0", a, b, carry, int(rng.choice([0x6996, 0x9669, rng.integers(0, 1 << 16)]))))
                carry = add("SB_CARRY", ["CO"], I0=a, I1=b, CI=carry)
                if rng.random() < 0.1:
                    found.append(carry)
            nets += found
    outputs = [net for net in nets[2:] if rng.random() < 0.3] or nets[2:3]
    ports["y"] = {"direction": "output", "bits": outputs}
    return {"ports": ports, "cells": cells}


@given(st.integers(0, 1 << 30))
@settings(max_examples=150)
def test_any_netlist_computes_the_same_once_its_registers_are_filled(seed: int) -> None:
    rng = np.random.default_rng(seed)
    module = random_netlist(rng)
    x = rng.integers(0, 2, (CYCLES, INPUTS))
    answers = []
    for change in (lambda _module: 0, drop_inverters):
        change(module)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "top.json"
            path.write_text(json.dumps({"modules": {"top": module}}))
            simulator = NetlistSimulator(path, "top")
        words = simulator.trace({"x": pack(x, [1] * INPUTS)})["y"]
        answers.append(unpack(words, [1] * simulator.widths["y"], False)[SETTLED:])
    np.testing.assert_array_equal(*answers)


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
