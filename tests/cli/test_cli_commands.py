"""What each command does when all is well."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import FORMATS, Command, environment, model, tree

import hardwire as hw
from hardwire.tools.find import tools


def test_version(command: Command) -> None:
    ran = command("--version")
    assert (ran.code, ran.out, ran.err) == (0, f"hardwire {hw.__version__}\n", "")


def test_help_names_every_command(command: Command) -> None:
    text = command("--help").out
    for name in (
        "compile",
        "inspect",
        "predict",
        "verify",
        "compare",
        "synth",
        "export",
        "collect",
        "report",
        "doctor",
        "demo",
        "data",
    ):
        assert f" {name} " in text
        assert command(name, "--help").code == 0


@pytest.mark.parametrize("name", FORMATS)
def test_compile_then_predict(name: str, here: Path, models: Path, command: Command) -> None:
    ran = command("compile", models / name, "-o", "new", "--exact", "--input-type", "s6.3", "--json")
    assert ran.code == 0
    report = ran.json
    assert report == json.loads((here / "new" / "report.json").read_text())
    assert report["options"]["input_type"] == ["s6.3"]
    ran = command("predict", "new", models / "x.npy", "-o", "out/y.npy", "--json")
    assert ran.json == {"rows": 50, "outputs": [[50, 3]], "file": "out/y.npy"}
    y = np.load(here / "out" / "y.npy")
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, model(False)(np.load(models / "x.npy")))


def test_compile_for_people(here: Path, models: Path, command: Command) -> None:
    ran = command("compile", models / "quantised.onnx", "-o", "new", "--latency-ns", "100", "--target", "ecp5-25k")
    assert ran.code == 0
    assert "quantised for ecp5-25k" in ran.out
    assert "contract, predicted" in ran.out
    assert "met" in ran.out
    assert "build: new" in ran.out
    assert "\x1b" not in ran.out + ran.err  # No colours where nobody looks.


def test_compare(here: Path, models: Path, command: Command) -> None:
    command("compile", models / "model.keras", "-o", "new", "--calibrate", models / "x.npy", "--backend", "emulator")
    ran = command("compare", models / "model.keras", "new", models / "x.npy", "--plot", "layers.svg")
    assert ran.code == 0
    assert "every layer keeps 0.99 of the variance" in ran.out.replace("\n", " ")
    assert (here / "layers.svg").read_text().lstrip().startswith("<?xml")
    ran = command("compare", models / "model.keras", "new", models / "x.npy", "--fidelity", "1", "--json")
    assert ran.json["first_bad"] == ran.json["rows"][0]["layer"]
    ran = command("compare", models / "model.keras", "new", models / "x.npy", "--plot", "layers.xyz")
    assert ran.code != 0
    assert "no picture format" in ran.err


def test_compile_with_calibration(here: Path, models: Path, command: Command) -> None:
    ran = command(
        *("compile", models / "model.keras", "-o", "new", "--calibrate", models / "x.npy", "--fidelity", 0.99, "--json")
    )
    assert ran.code == 0
    assert ran.json["calibration"]["fidelity"] >= 0.99
    assert {row["role"] for row in ran.json["calibration"]["types"]} == {"input", "weight", "activation"}


def test_several_inputs_and_outputs(here: Path, command: Command) -> None:
    from onnx import TensorProto, helper, save

    nodes = [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Sub", ["a", "b"], ["difference"])]
    ports = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, ("n", 2)) for n in ns] for ns in ("ab", ())]
    ports[1] = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("sum", "difference")]
    graph = helper.make_graph(nodes, "two", *ports)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), here / "two.onnx")
    types = ("--exact", "--input-type", "s4.1", "--input-type", "u5.2")
    assert command("compile", "two.onnx", "-o", "two", *types).code == 0
    a, b = np.array([[1.5, -4.0], [0.5, 3.5]]), np.array([[0.25, 7.75], [0.0, 1.0]])
    np.savez(here / "x.npz", x0=a, x1=b)
    ran = command("predict", "two", "x.npz", "-o", "y.npz", "--json")
    assert ran.json["outputs"] == [[2, 2], [2, 2]]
    with np.load(here / "y.npz") as y:
        assert sorted(y.files) == ["y0", "y1"]
        np.testing.assert_array_equal(y["y0"], a + b)
        np.testing.assert_array_equal(y["y1"], a - b)
    np.savez(here / "only.npz", x0=a)
    command.fails("predict", "two", "x.npz", "-o", "y.npy", code=2, text="2 outputs need a .npz file")
    command.fails("predict", "two", "only.npz", "-o", "z.npz", code=2, text="has 2 inputs, 1 arrays were given")


@pytest.mark.tools
def test_verify(here: Path, models: Path, command: Command) -> None:
    ran = command("verify", "build", models / "x.npy", "--formal", "--json", "--simulator", "icarus", "--vectors", 500)
    assert ran.code == 0
    assert ran.json["formal"]["proven"] is True
    for rung in ("interpreter", "emulator_rtl"):
        assert ran.json[rung]["vectors"] >= 500
        assert ran.json[rung]["mismatches"] == 0
    assert json.loads((here / "build" / "report.json").read_text())["verification"] == ran.json
    ran = command("verify", "build", "--simulator", "icarus", "--vectors", 300)
    assert "emulator = RTL" in ran.out


@pytest.mark.tools
def test_verify_notices_changed_verilog(here: Path, command: Command) -> None:
    """The build's own file is what is simulated: turn an adder of it around."""
    (path,) = (here / "build").glob("**/quantised.v")
    text = path.read_text()
    changed = text.replace(" + ", " - ", 1)
    assert changed != text
    path.write_text(changed)
    ran = command("verify", "build", "--simulator", "icarus", "--json", "--vectors", 300)
    assert ran.code == 7
    assert ran.json["emulator_rtl"]["mismatches"] > 0
    assert "error: emulator_rtl: " in ran.err
    assert "vectors differ" in ran.err


FAKE_NEXTPNR = """#!{python}
import json, pathlib, sys
if "--version" in sys.argv:
    print('"nextpnr-ecp5" -- Next Generation Place and Route (Version nextpnr-0.9-12-gabc)')
    sys.exit()
step = {{"delay": 4.0, "from": {{"cell": "a", "port": "Q"}}, "to": {{"cell": "b", "port": "A"}}, "type": "routing",
        "net": "n", "sources": []}}
path = {{"from": "posedge clk", "to": "posedge clk", "path": [step]}}
report = {{"fmax": {{"clk": {{"achieved": {mhz}, "constraint": 150}}}}, "critical_paths": [path],
          "utilization": {{"TRELLIS_FF": {{"used": 3, "available": 9}}}}}}
pathlib.Path("pnr-report.json").write_text(json.dumps(report))
pathlib.Path("pnr.config").write_text("config")
"""


@pytest.mark.tools
def test_synth_then_the_netlist_is_verified(
    here: Path, models: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = here / "fake_nextpnr"
    monkeypatch.setenv("HARDWIRE_NEXTPNR_ECP5", str(fake))

    def place(mhz: float) -> None:
        fake.write_text(FAKE_NEXTPNR.format(python=sys.executable, mhz=mhz))
        fake.chmod(0o755)

    place(200.0)
    assert command("compile", models / "quantised.onnx", "-o", "new", "--latency-ns", 60).code == 0
    ran = command("synth", "new", "--seeds", 2, "--json")
    assert ran.code == 0
    report = ran.json
    assert report["synthesis"]["lut"] > 0
    assert report["timing"]["fmax_by_seed"] == {"1": 200.0, "2": 200.0}
    assert report["timing"]["critical_path"]
    assert report["contract"]["routed"]["met"] is True
    assert report["contract"]["routed"]["latency_ns"] == pytest.approx(report["latency"]["cycles"] * 5.0)
    found = command("verify", "new", "--json", "--simulator", "icarus", "--vectors", 300).json
    assert found["netlist"]["mismatches"] == 0
    assert "emulator = netlist" in command("report", "new").out
    place(20.0)
    ran = command("synth", "new")
    assert ran.code == 4
    assert "the contract (60 ns) is missed by 80.0%: place & route reached at best 20.0 MHz" in ran.err
    assert json.loads((here / "new" / "report.json").read_text())["contract"]["routed"]["met"] is False


@pytest.mark.tools
def test_a_failing_tool_leaves_the_build_as_it_was(
    here: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = here / "fake_yosys"
    fake.write_text(f"#!{sys.executable}\nprint('Yosys 0.71'); import sys; sys.exit('-V' not in sys.argv)\n")
    fake.chmod(0o755)
    monkeypatch.setenv("HARDWIRE_YOSYS", str(fake))
    command.fails("synth", "build", code=6, text="yosys failed with exit status 1")


def test_report(here: Path, command: Command) -> None:
    ran = command("report", "build")
    assert ran.code == 0
    assert "quantised for ecp5-85k" in ran.out
    html = (here / "build" / "report.html").read_text()
    assert "<html" in html
    assert "quantised" in html
    assert command("report", "build", "--html", "other.html", "--json").json["name"] == "quantised"
    assert "<html" in (here / "other.html").read_text()


def test_doctor(here: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = here / "tool"
    words = "Yosys 0.71 Verilator 5.48 Icarus Verilog version 12.0 Version nextpnr-0.9-12 version 9.9 12.1.3"
    fake.write_text(f"#!/bin/sh\necho '{words}'\n")
    fake.chmod(0o755)
    for tool in tools():
        monkeypatch.setenv(tool.variable, str(fake))
    monkeypatch.setenv("HARDWIRE_IVERILOG", "/nowhere/iverilog")
    rows = {row["name"]: row for row in command("doctor", "--json").json}
    assert set(rows) >= {tool.name for tool in tools()} | {"onnx", "torch"}
    assert rows["yosys"]["ok"]
    assert "0.71" in rows["yosys"]["found"]
    assert not rows["iverilog"]["ok"]
    assert "HARDWIRE_IVERILOG='/nowhere/iverilog'" in rows["iverilog"]["hint"]
    ran = command("doctor")
    assert ran.code == 0
    assert "missing" in ran.out


# The real command, in processes of its own.


def real(*arguments: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", "from hardwire.cli import main; main()", *map(str, arguments)]
    return subprocess.run(line, cwd=cwd, env=environment(**variables), capture_output=True, text=True, timeout=300)


def test_the_same_compile_gives_the_same_bytes(models: Path, tmp_path: Path) -> None:
    """In other processes, folders and hash seeds; with types from data, which is where floats are."""
    for name, options in (
        ("quantised.onnx", ["--latency-ns", 80]),
        ("model.h5", ["--calibrate", models / "x.npy", "--fidelity", 0.99]),
    ):
        trees = []
        for seed in ("1", "77"):
            folder = tmp_path / f"{seed}-{name}"
            folder.mkdir()
            variables = {"PYTHONHASHSEED": seed, "HARDWIRE_CACHE_DIR": str(folder / "cache")}
            done = real("compile", models / name, "-o", "build", *options, cwd=folder, **variables)
            assert done.returncode == 0, done.stderr
            trees.append(tree(folder / "build"))
        assert trees[0] == trees[1]
        assert any(name.endswith(".v") for name in trees[0])


def test_errors_of_the_real_command(models: Path, tmp_path: Path) -> None:
    done = real("compile", models / "none.onnx", "-o", "build", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: model ")
    assert "no such file" in done.stderr
    assert "  try: check the path" in done.stderr
    assert not list(tmp_path.iterdir())
    done = real("predict", models / "build", models / "x.npy", "-o", "y.npy", "--json", cwd=tmp_path)
    assert done.returncode == 0
    assert json.loads(done.stdout)["rows"] == 50
    assert done.stderr == ""


@pytest.mark.parametrize("name", FORMATS)
def test_inspect_tells_layers_before_compiling(name: str, models: Path, command: Command) -> None:
    found = command("inspect", models / name, "--json").json
    assert not found["quantised"]
    assert found["total"]["ebops"] is None
    assert found["total"]["macs"] > 0
    assert sum(row["parameters"] for row in found["layers"]) == found["total"]["parameters"] > 0
    shown = command("inspect", models / name).out
    assert "MACs" in shown
    assert "float: calibrate it" in shown


def test_inspect_counts_ebops_of_a_quantised_model(models: Path, command: Command) -> None:
    found = command("inspect", models / "quantised.onnx", "--json").json
    assert found["quantised"]
    assert found["total"]["ebops"] > found["total"]["macs"]


def test_inspect_lists_everything_unsupported(tmp_path: Path, command: Command) -> None:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    nodes = [
        helper.make_node("Bernoulli", ["x"], ["a"], name="dice", seed=1.0),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("RandomNormalLike", ["b"], ["y"], name="noise"),
    ]
    ends = [[helper.make_tensor_value_info(key, 1, ["batch", 3])] for key in "xy"]
    model = helper.make_model(helper.make_graph(nodes, "g", *ends), opset_imports=[helper.make_opsetid("", 17)])
    path = tmp_path / "random.onnx"
    path.write_bytes(model.SerializeToString())
    told = command("inspect", path, "--json")
    assert told.code == 2
    assert [(row["name"], row["kind"]) for row in told.json["unsupported"]] == [
        ("dice", "Bernoulli"),
        ("noise", "RandomNormalLike"),
    ]
    assert [row["name"] for row in told.json["layers"]] == ["relu"]
    assert "2 unsupported items" in told.err
    shown = command("inspect", path).out
    assert "noise" in shown
    assert "supported" in shown
