"""The benchmarks' scripts parse and run; what they compute from figures is right."""

from __future__ import annotations

import json
import math
import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from hardwire.emulate import compile_program
from hardwire.ir.ops import OpCode
from hardwire.targets import target

HERE = Path(__file__).resolve().parents[1] / "benchmarks"
SCRIPTS = sorted(path.name for path in HERE.glob("*.py") if "__main__" in path.read_text())


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture
def reference_network(scripts: None) -> ModuleType:
    import reference_network

    return reference_network


@pytest.fixture
def run_all(scripts: None) -> ModuleType:
    import run_all

    return run_all


@pytest.mark.parametrize("name", [name for name in SCRIPTS if not name.startswith("peer_")])
def test_help(name: str, scripts: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    if name == "physics_jets.py":
        pytest.importorskip("torch")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(HERE / name), run_name="__main__")
    assert end.value.code == 0
    assert "--json" in capsys.readouterr().out or name == "run_all.py"


@pytest.mark.parametrize("path", sorted([*HERE.glob("peer*/*.py"), *HERE.glob("peer_*.py")]), ids=lambda p: p.name)
def test_drivers_parse_and_stay_apart(path: Path) -> None:
    text = path.read_text()
    compile(text, str(path), "exec")
    # They run where hardwire is not installed.
    assert "import hardwire" not in text
    assert "from hardwire" not in text


@pytest.mark.parametrize("levels", [1, 2, 5])
def test_adders_between_registers(reference_network: ModuleType, levels: int) -> None:
    from networks import mlp

    model, part = mlp(sizes=(6, 5, 3)), target("ecp5-85k")
    flat, figures = reference_network.compiled(model, part, 0)
    circuit = reference_network.cut(flat, part, levels)
    kernel, args, stage = circuit.kernel, circuit.args, circuit.stage
    is_adder = np.isin(kernel.op, [int(OpCode.ADD), int(OpCode.SUB)]) & ~circuit.constant & (circuit.delay > 0)
    run, path = np.zeros((2, len(kernel)), np.int64)
    for i in range(len(kernel)):
        read = [a for a in args[i].tolist() if a >= 0]
        run[i] = max((run[a] for a in read if stage[a] == stage[i]), default=0) + is_adder[i]
        path[i] = max((path[a] for a in read), default=0) + is_adder[i]
    assert 0 < run.max() <= levels
    assert circuit.depth + 1 == math.ceil(path.max() / levels)
    assert figures["adders"] >= is_adder.sum() > 0
    x = model.data(2000)
    assert np.array_equal(compile_program(flat).predict([x])[0], model.reference(x))


def rows() -> list[dict[str, Any]]:
    def flow(comb: int, ff: int) -> dict[str, Any]:
        return {"comb": comb, "ff": ff, "lut": 1}

    ours = {"tool": "hardwire", "levels": 2, "cycles": 5, "flows": {"keep": flow(100, 50), "stock": flow(150, 40)}}
    plain = {"tool": "alkaid", "levels": 2, "cycles": 8, "flows": {"keep": flow(130, 90), "stock": flow(125, 80)}}
    ternary = {"tool": "alkaid", "levels": 2, "cycles": 9, "flows": {"keep": flow(140, 10), "stock": flow(125, 70)}}
    return [ours, plain, ternary]


def test_the_better_result_of_each_counts(reference_network: ModuleType) -> None:
    row, flow = reference_network.best(rows(), "alkaid", 2)
    assert (row["cycles"], flow["comb"], flow["ff"]) == (9, 125, 70)
    assert reference_network.best(rows(), "alkaid", 3) is None
    result = {
        "hardwire": {"adders": 10, "solve_cpu_s": 0.5},
        "alkaid": {"chosen": -1, "solved": {"-1": {"adders": 20, "solve_cpu_s": 2.0}}},
        "rows": rows(),
    }
    (ratio,) = reference_network.ratios(result)
    assert ratio == {
        "levels": 2,
        "logic sites": 100 / 125,
        "FF": 50 / 70,
        "cycles": 5 / 9,
        "adders": 0.5,
        "solve CPU": 0.25,
    }


def test_picture_of_ratios(run_all: ModuleType, tmp_path: Path) -> None:
    figures = {"target": "ecp5", "ratios": [{"levels": 2, "FF": 0.5, "adders": 1.25}]}
    ratios = run_all.network_ratios(figures)
    assert ratios == [("ecp5, 2 levels: FF", 2.0), ("ecp5, 2 levels: adders", 0.8)]
    run_all.draw(ratios, tmp_path / "ratios.png")
    assert [path.name for path in tmp_path.iterdir()] == ["ratios.png"]
    assert (tmp_path / "ratios.png").stat().st_size > 2000


def test_every_benchmark_is_run(run_all: ModuleType, tmp_path: Path) -> None:
    options = run_all.arguments(["--out", str(tmp_path), "--route", "--jets", "reference.npz"])
    chosen = {command[0] for command in run_all.commands(options).values()}
    assert chosen == {name for name in SCRIPTS if not name.startswith("peer_")} - {"run_all.py"}
    options = run_all.arguments(["--out", str(tmp_path), "--only", "solver,nothing"])
    with pytest.raises(SystemExit, match="nothing: one of solver, emulator"):
        run_all.commands(options)


def test_a_failing_benchmark_is_named(run_all: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not run_all.run_one("solver", ["solver.py", "--sizes", "none"], tmp_path)
    assert "invalid literal" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["reference_network"])
def test_the_readme_shows_the_results(name: str, reference_network: ModuleType) -> None:
    result = json.loads((HERE / "results" / f"{name}.json").read_text())
    table = (HERE / "results" / f"{name}.md").read_text()
    assert reference_network.markdown(result) == table
    assert table in (HERE / "README.md").read_text()
    assert reference_network.mismatches(result) == 0


@pytest.mark.tools
def test_reference_network_runs(reference_network: ModuleType, tmp_path: Path) -> None:
    out, table = tmp_path / "figures.json", tmp_path / "table.md"
    command = [
        "--sizes",
        "4-3-2",
        "--levels",
        "2",
        "--events",
        "300",
        "--repeats",
        "1",
        "--work",
        str(tmp_path / "work"),
    ]
    reference_network.main([*command, "--json", str(out), "--markdown", str(table)])
    result = json.loads(out.read_text())
    (row,) = result["rows"]
    assert set(row["flows"]) == {"keep", "stock"}
    for flow in row["flows"].values():
        assert flow["netlist"] == {"vectors": 300, "mismatches": 0}
        # Each chain has two sites at either end; the constants' drivers come on top.
        assert 0 <= flow["comb"] - (flow["lut"] + 2 * flow["carry"]) <= 4 * flow["chains"] + 2
    assert result["hardwire"]["emulator"] == {"vectors": 300, "mismatches": 0}
    assert "adders kept" in table.read_text()
