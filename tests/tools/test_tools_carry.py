"""The ends of ECP5 carry chains: opened without changing what the netlist computes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardwire.tools._ecp5_carry import open_chain_ends
from hardwire.tools.bits import pack, unpack
from hardwire.tools.fabrics import Recipe
from hardwire.tools.netlist import NetlistSimulator
from hardwire.tools.yosys import RECIPES, synthesise

VERILOG = """
module sums(input clk, input rst, input in_valid, input [23:0] x, output out_valid, output [37:0] y);
  reg [2:0] valid;
  reg signed [11:0] a, b;
  reg signed [12:0] s, d;
  reg signed [12:0] s1, d1;
  reg signed [{width}:0] t;
  always @(posedge clk) begin
    valid <= rst ? 3'b0 : {{valid[1:0], in_valid}};
    a <= x[11:0];
    b <= x[23:12];
    s <= a + b;
    d <= a - b;
    s1 <= s;
    d1 <= d;
    t <= (s <<< 1) - d;
  end
  assign out_valid = valid[2];
  assign y = {{t[11:0], d1, s1}};
endmodule
"""


def chains(path: Path, top: str) -> list[dict]:
    cells = json.loads(path.read_text())["modules"][top]["cells"].values()
    return [cell for cell in cells if cell["type"] == "CCU2C"]


@pytest.mark.tools
@pytest.mark.parametrize("width", [12, 13])
def test_open_ends_compute_the_same(width: int, tmp_path: Path) -> None:
    source = tmp_path / "sums.v"
    source.write_text(VERILOG.format(width=width))
    plain = Recipe(RECIPES["ecp5"].synth_command, resources=RECIPES["ecp5"].resources)
    before = synthesise([source], "sums", family=plain, workdir=tmp_path / "plain")
    after = synthesise([source], "sums", family="ecp5", workdir=tmp_path / "open")
    assert before.cells["CCU2C"] == after.cells["CCU2C"]
    assert after.cells["LUT4"] > before.cells.get("LUT4", 0)
    assert sum(cell["connections"]["COUT"] == ["x"] for cell in chains(after.json_path, "sums")) >= 3
    assert not any(cell["connections"]["COUT"] == ["x"] for cell in chains(before.json_path, "sums"))
    values = np.random.default_rng(0).integers(-2048, 2048, (5000, 2))
    values[:4] = [[-2048, -2048], [2047, 2047], [-2048, 2047], [0, 0]]
    a, b = values.T
    answers = []
    for found in (before, after):
        words = NetlistSimulator(found.json_path, "sums").run({"x": pack(values, [12, 12])}, latency=3).outputs["y"]
        answers.append(unpack(words, [13, 13, 12], [True, True, True]))
    assert np.array_equal(*answers)
    assert np.array_equal(answers[1][:, 0], a + b)
    assert np.array_equal(answers[1][:, 1], a - b)
    wanted = 2 * (a + b) - (a - b)
    assert np.array_equal((answers[1][:, 2] - wanted) % (1 << 12), np.zeros(len(a)))


def test_a_chain_whose_ends_are_used_is_left_alone() -> None:
    wires = {"CIN": [5], "COUT": [6], "S0": [7], "S1": [8], "A0": [2], "B0": [3], "C0": ["0"], "D0": ["1"]}
    used = {"type": "CCU2C", "parameters": {"INIT0": "1001011010101010"}, "connections": dict(wires)}
    reader = {"type": "LUT4", "parameters": {}, "connections": {"A": [6], "Z": [9]}}
    module = {"cells": {"c": used, "r": reader}, "ports": {}}
    assert open_chain_ends(module) == 0
    assert used["connections"] == wires


@given(st.sampled_from(["0110011001100110", "1111000011110000"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=2)
def test_positions_that_do_not_add_keep_their_carry_in(init: str) -> None:
    wires = {"CIN": ["0"], "COUT": [6], "S0": [7], "S1": [8], "A0": [2], "B0": [3], "C0": ["0"], "D0": ["1"]}
    cell = {"type": "CCU2C", "parameters": {"INIT0": init}, "connections": wires}
    module = {"cells": {"c": cell}, "ports": {"y": {"bits": [7]}}}
    assert open_chain_ends(module) == 1
    assert wires["CIN"] == ["0"]
    assert wires["COUT"] == ["x"]
