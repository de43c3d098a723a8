"""The benchmarks' scripts parse and run; what they compute from figures is right."""

from __future__ import annotations

import importlib
import json
import math
import runpy
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import hardwire as hw
from hardwire.ir.ops import OpCode
from hardwire.targets import target

HERE = Path(__file__).resolve().parents[1] / "benchmarks"
SCRIPTS = sorted(path.name for path in HERE.glob("*.py") if '__name__ == "__main__"' in path.read_text())


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture
def networks_vs_alkaid(scripts: None) -> ModuleType:
    import networks_vs_alkaid

    return networks_vs_alkaid


@pytest.fixture
def route_vs_alkaid(scripts: None) -> ModuleType:
    import route_vs_alkaid

    return route_vs_alkaid


@pytest.fixture
def run_all(scripts: None) -> ModuleType:
    import run_all

    return run_all


@pytest.mark.parametrize("name", [name for name in SCRIPTS if not name.startswith("peer_")])
def test_help(name: str, scripts: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    needs = {"physics_jets.py": "torch", "compile_time.py": "onnx"}
    if name in needs:
        pytest.importorskip(needs[name])
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
def test_adders_between_registers(scripts: None, levels: int) -> None:
    import _hardwire
    from _cases import Case
    from networks import seeded

    model, part = seeded((6, 5, 3), 6), target("ecp5-85k")
    design, figures = _hardwire.compiled(Case("small", model), **_hardwire.counted(part, levels))
    circuit = design.circuit
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
    assert 0 < figures["solve_cpu_s"] < figures["compile_cpu_s"]
    x = model.data(2000)
    assert np.array_equal(design.predict(x), model.reference(x))


def test_sets_of_networks(scripts: None) -> None:
    from _cases import SIZES, cases

    counts = [len(cases(size)) for size in ("none", *SIZES)]
    assert counts[0] == 0
    assert counts == sorted(set(counts))
    names = [case.name for case in cases(SIZES[-1])]
    assert len(set(names)) == len(names)
    for case in cases("small"):
        assert case.model is not None
        scaled = np.concatenate([w.ravel() for w, _ in case.model.layers]) * 2.0**case.model.frac
        assert np.array_equal(scaled, np.rint(scaled))
        assert case.data(3).shape == (3, case.model.layers[0][0].shape[0])


def test_inputs_of_a_trained_model_are_codes(scripts: None) -> None:
    import _hardwire
    from _cases import cases

    (case,) = cases("none", [HERE.parent / "tests" / "conformance" / "hgq_models" / "dense.keras"])
    design, _ = _hardwire.compiled(case, target=target("ecp5-85k"), clock_mhz=100.0)
    x = case.data(50)
    port = design.flat.inputs[0]
    scale = np.array([float(s) for s in design.flat.port_scale(port)])
    assert np.array_equal(design.codes(x)[0] * scale, x.reshape(len(x), -1))
    assert case.expected(x) is None
    assert case.write(Path("nowhere")) == case.path


def test_what_is_kept_has_the_name_of_its_content(scripts: None) -> None:
    from _synthesis import digest

    assert digest("ab", "c") != digest("a", "bc")
    assert digest("a") == digest(b"a")


def test_the_file_that_is_timed_holds_the_network(scripts: None, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from compile_time import write_qonnx
    from networks import seeded

    model = seeded((6, 5, 3), 6)
    write_qonnx(model, tmp_path / "mlp.onnx")
    design = hw.compile(tmp_path / "mlp.onnx", backend="emulator")
    x = model.data(500)
    wraps = np.abs(x @ model.layers[0][0] + model.layers[0][1]).max(axis=1) >= 8
    # The file saturates where the network wraps.
    assert np.array_equal(design.predict(x)[~wraps], model.reference(x)[~wraps])
    assert (~wraps).sum() > 100


def row() -> dict[str, Any]:
    def flow(name: str, sites: int, ff: int) -> dict[str, Any]:
        return {"flow": name, "sites": sites, "ff": ff, "lut": sites // 5, "inverters": 0, "carry": 2, "mismatches": 0}

    def tool(keep: tuple[int, int], stock: tuple[int, int], **figures: Any) -> dict[str, Any]:
        return {**figures, "flows": [flow("keep", *keep), flow("stock", *stock)]}

    ours = tool((100, 50), (150, 40), cycles=5, adders=10, solve_cpu_s=0.5, emulator_mismatches=0)
    plain = tool((130, 90), (125, 80), cycles=8, adders=20, solve_cpu_s=2.0, depth=-1, ternary=False)
    ternary = tool((140, 10), (125, 70), cycles=9, adders=20, solve_cpu_s=2.0, depth=0, ternary=True)
    plain["cycles_all_counted"], ternary["cycles_all_counted"] = 10, 12
    return {"network": "a", "target": "ecp5", "levels": 2, "hardwire": ours, "alkaid": [plain, ternary]}


def test_the_better_result_of_each_counts(networks_vs_alkaid: ModuleType, tmp_path: Path) -> None:
    found = row()
    found["ratios"] = networks_vs_alkaid.ratios(found)
    assert found["ratios"] == {
        "LUT": 100 / 125,
        "FF": 50 / 70,
        "cycles": 5 / 9,
        "adders": 0.5,
        "solve CPU": 0.25,
        "cycles, all counted": 0.5,
        "LUT4 alone": 20 / 25,
    }
    worse = {**found, "network": "b", "ratios": {**found["ratios"], "LUT": 1.2}}
    result = {"command": "c", "versions": {"x": "1"}, "rows": [found, worse]}
    totals = networks_vs_alkaid.summary(result["rows"])["ecp5"]["LUT"]
    assert totals == {"median": 1.0, "least": 0.8, "greatest": 1.2, "greatest_at": "b"}
    text = networks_vs_alkaid.markdown(result)
    assert "| ecp5 | 2 | 1.00 (0.80 to 1.20) |" in text
    assert "keep / stock, dc 0, ternary" in text
    assert "**1.20**" in text
    networks_vs_alkaid.draw(result, tmp_path / "picture.png")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
    assert networks_vs_alkaid.mismatches(result["rows"]) == 0


def test_latency_of_the_best_cut(route_vs_alkaid: ModuleType) -> None:
    def routed(tool: str, cut: str, cycles: int, fmax: list[float]) -> dict[str, Any]:
        return route_vs_alkaid.with_latency({"tool": tool, "cut": cut, "cycles": cycles, "fmax_mhz": fmax})

    rows = [routed("hardwire", "1", 10, [200.0, 250.0, 100.0]), routed("alkaid", "1", 20, [200.0] * 3)]
    rows += [routed("hardwire", "2", 6, [150.0] * 3), routed("alkaid", "2", 8, [100.0] * 3)]
    assert (rows[0]["latency_ns"], rows[0]["least_ns"], rows[0]["greatest_ns"]) == (50.0, 40.0, 100.0)
    found = {row["cut"]: row for row in route_vs_alkaid.ratios({"networks": [{"network": "a", "rows": rows}]})}
    assert found["1"]["latency_ns"] == 0.5
    assert found["2"]["latency_ns"] == 0.5
    assert found["best"]["latency_ns"] == 40.0 / 80.0


def test_picture_of_ratios(run_all: ModuleType, tmp_path: Path) -> None:
    found = {
        **row(),
        "ratios": {"LUT": 0.5, "FF": 1.25, "cycles": 1.0, "adders": 1.0, "solve CPU": 0.25, "LUT4 alone": 1.0},
    }
    ratios = run_all.network_ratios({"rows": [found]})
    assert ratios[:2] == [("ecp5, median of 1 networks: LUT", 2.0), ("ecp5, median of 1 networks: FF", 0.8)]
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


@pytest.mark.parametrize("name", ["networks_vs_alkaid", "route_vs_alkaid"])
def test_stored_tables_are_of_the_stored_figures(name: str, scripts: None) -> None:
    module = importlib.import_module(name)
    result = json.loads((HERE / "results" / f"{name}.json").read_text())
    assert module.markdown(result) == (HERE / "results" / f"{name}.md").read_text()
    assert f"results/{name}.md" in (HERE / "README.md").read_text()


def test_stored_netlists_all_answered_right(networks_vs_alkaid: ModuleType) -> None:
    result = json.loads((HERE / "results" / "networks_vs_alkaid.json").read_text())
    assert networks_vs_alkaid.mismatches(result["rows"]) == 0


FINE = (
    "import numpy as np\n"
    "HID = {'normal': (4, 3)}\n"
    "def weights():\n"
    "    rng = np.random.default_rng(0)\n"
    "    w, v = rng.integers(-128, 128, (3, 6)) / 128, rng.integers(-8, 8, (6, 2)) / 32\n"
    "    return [(w, np.ones(6)), (v, np.zeros(2))]\n"
    "def data(n):\n"
    "    return np.random.default_rng(1).integers(-1000, 1000, (n, 3)) / 32\n"
    "def reference(x, ws):\n"
    "    (w, b), (v, c) = ws\n"
    "    return np.floor(np.maximum(x @ w + b, 0) * 8) / 8 % 16 @ v + c\n"
)
"""Weights and inputs finer than the reference network's."""


def test_the_emulator_is_measured_on_other_types(
    scripts: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = importlib.import_module("emulator")
    (tmp_path / "fine.py").write_text(FINE)
    command = ["--network", str(tmp_path / "fine.py"), "--json", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", ["emulator.py", *command, "--events", "5000", "--runs", "2"])
    emulator.main()
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["events_per_cpu_s"] == figures["layers"]["one_thread"]["events_per_cpu_s"] > 0
    assert figures["layers"]["equal"]
    assert figures["adders"]["equal"]


def test_a_peer_runs_when_it_is_told(scripts: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = importlib.import_module("emulator")
    script = tmp_path / "peer.py"
    script.write_text(
        'import sys\nprint(\'{"tool": "one"}\', flush=True)\nfor n, _ in enumerate(sys.stdin):\n'
        "    print(2.0 + n, flush=True)\n    sys.exit('no more') if n == 2 else None\n"
    )
    monkeypatch.setattr(emulator, "__file__", str(tmp_path / "emulator.py"))
    peer = emulator.Peer(sys.executable, "peer.py", tmp_path / "net.npz")
    for ours in (20.0, 60.0, 80.0):
        peer.measure(ours)
    with pytest.raises(SystemExit, match="no more"):
        peer.measure(1.0)
    peer = emulator.Peer(sys.executable, "peer.py", tmp_path / "net.npz")
    peer.measure(20.0)
    peer.measure(60.0)
    figures = peer.result()
    assert (figures["tool"], figures["events_per_cpu_s"], figures["ratio"]) == ("one", 2.5, 15.0)
    assert (figures["ratio_least"], figures["ratio_greatest"]) == (10.0, 20.0)


@pytest.mark.tools
def test_the_netlist_simulator_is_measured(scripts: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulated = importlib.import_module("netlist_simulator")
    command = ["--sizes", "4-3-2", "--vectors", "3000", "--runs", "1", "--json", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", ["netlist_simulator.py", *command])
    simulated.main()
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["mismatches"] == 0
    assert figures["per_cpu_minute"]["median"] > 0


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_the_cpp_emulator_is_measured(scripts: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = importlib.import_module("cpp_emulator")
    command = [
        "--sizes",
        "4-3-2",
        "--events",
        "500",
        "--runs",
        "1",
        "--flags=-O0",
        "--json",
        str(tmp_path / "out.json"),
    ]
    monkeypatch.setattr(sys, "argv", ["cpp_emulator.py", *command])
    measured.main()
    figures = json.loads((tmp_path / "out.json").read_text())["ways"]
    assert set(figures) == {"jit", "g++ -O0"}
    assert all(found["equal"] and found["events_per_cpu_s"] > 0 for found in figures.values())
    assert figures["g++ -O0"]["compile_cpu_s"] > 0


@pytest.mark.tools
def test_networks_run_and_go_on(networks_vs_alkaid: ModuleType, tmp_path: Path) -> None:
    network = tmp_path / "tiny.py"
    network.write_text(
        "import numpy as np\n"
        "HID = {'normal': (3, 5)}\n"
        "def weights():\n"
        "    rng = np.random.default_rng(0)\n"
        "    return [(rng.integers(-8, 8, (4, 3)) / 32, np.ones(3)), (rng.integers(-8, 8, (3, 2)) / 32, np.zeros(2))]\n"
        "def data(n):\n"
        "    return np.random.default_rng(1).integers(-128, 128, (n, 4)) / 16\n"
        "def reference(x, ws):\n"
        "    (w, b), (v, c) = ws\n"
        "    return np.floor(np.maximum(x @ w + b, 0) * 32) / 32 % 8 @ v + c\n"
    )
    command = ["--out", str(tmp_path), "--set", "none", "--networks", str(network), "--events", "300"]
    networks_vs_alkaid.main([*command, "--targets", "ecp5"])
    result = json.loads((tmp_path / "networks_vs_alkaid.json").read_text())
    (found,) = result["rows"]
    assert [flow["flow"] for flow in found["hardwire"]["flows"]] == ["keep", "stock"]
    assert networks_vs_alkaid.mismatches(result["rows"]) == 0
    netlists = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("mlp.json")}
    assert len(netlists) == 2
    networks_vs_alkaid.main([*command, "--targets", "ecp5"])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("mlp.json")} == netlists


@pytest.fixture
def front_report(scripts: None) -> ModuleType:
    import _front_report

    return _front_report


def front_result(rows: list[tuple[str, int, int, float]]) -> dict[str, Any]:
    told = {"cycles": 3, "ff": 10, "lut_ecp5": None, "train_cpu_s": 1.0, "mismatches": 0}
    return {
        "command": "python benchmarks/front.py",
        "versions": {"hardwire": "0"},
        "machine": {"cpu": "one", "cores": 1},
        "budget": {"epochs": 5, "batch": 256, "rows": {"train": 42_000}, "seeds": [0], "levels": 5},
        "float": {"network": "16-64-32-32-5", "accuracy": 0.755},
        "rows": [{"family": f, "seed": s, "lut": n, "accuracy": a, **told} for f, s, n, a in rows],
    }


def test_front_at_equal_accuracy(front_report: ModuleType, tmp_path: Path) -> None:
    result = front_result(
        [
            ("hgq2-dense", 0, 400, 0.70),
            ("hgq2-dense", 0, 500, 0.69),  # beaten
            ("hgq2-dense", 0, 1600, 0.72),
            ("hgq2-dense", 0, 9000, 0.76),
            ("hardwire-dense", 0, 200, 0.70),
            ("hardwire-tables", 0, 800, 0.72),
            ("hardwire-tables", 0, 2000, 0.751),
        ]
    )
    result["summary"] = front_report.summary(result)
    ratios = result["summary"]["ratios"]
    assert [row["ratio"] for row in ratios["hardwire / hgq2-dense"]["all"]] == [0.5, 0.5, None]
    assert ratios["hardwire / hgq2-dense"]["not_reached"] == 1
    assert ratios["hardwire / hgq2-dense"]["worse"] == []
    assert ratios["hardwire-tables / hgq2-dense"]["all"][0]["outside"] == "below ours"
    at = {row["accuracy"]: row for row in result["summary"]["at_accuracy"]}
    assert at[0.71]["hgq2-dense"] == {"lut": 800, "seeds": 1}
    assert at[0.71]["hardwire"] == {"lut": 400, "seeds": 1}
    assert at[0.71]["hardwire-tables"] == {"lut": None, "seeds": 0}
    assert [row["lut"] for row in result["summary"]["near_float"]["points"]] == [2000]
    text = front_report.markdown(result)
    assert "| 0.710 |  |  | 800 | 400 | 0.50 |" in text
    front_report.draw(result, tmp_path / "front.png")
    assert (tmp_path / "front.png").stat().st_size > 2000


def test_points_of_a_front(scripts: None) -> None:
    import _front

    def candidate(cost: float, accuracy: float) -> Any:
        return _front.Candidate("hgq2-dense", 0, str(cost), Path(), accuracy, cost, 1, 0.0)

    found = [candidate(cost, accuracy) for cost, accuracy in ((100, 0.5), (300, 0.6), (301, 0.61), (3000, 0.7))]
    found += [candidate(2900, 0.69), candidate(1000, 0.65), candidate(1100, 0.6), candidate(90_000, 0.8)]
    kept = _front.chosen(found, _front.Budget(points=3))
    assert [c.cost for c in kept] == [300, 1000, 3000]


def test_inputs_on_the_peers_grid(scripts: None) -> None:
    import _front_hgq2

    x = np.array([[0.74, 5.0, 9.0], [-1.0, 3.0, -9.0]])
    assert np.array_equal(
        _front_hgq2.on_grid(x, [[1, 1, 1], [0, 2, 0], [0, 3, -3]]), [[0.5, 1.0, 0.0], [-1.0, 3.0, 0.0]]
    )
    # One bit more, and cut off: rounding that to fewer bits is rounding the value itself.
    x = np.random.default_rng(0).normal(size=(1000, 1))
    given = _front_hgq2.on_grid(x, [[1, 4, 4]], [True])
    for fraction in range(-2, 4):
        assert np.array_equal(np.floor(given * 2.0**fraction + 0.5), np.floor(x * 2.0**fraction + 0.5))
