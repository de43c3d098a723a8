"""The Python interface: `hw.compile` and its arguments, `Design`, `hw.load`, and what a report holds."""

from __future__ import annotations

import inspect
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import drawn_models as drawn
import hardwire as hw
from drawn_models import Grid, Model, random_model
from hardwire.compiler import retarget
from hardwire.errors import ContractError, DataError, HardwireError, ModelError, TypeStringError
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir.ops import OpCode
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.quantiser import Quantiser
from hardwire.tools.find import tools


def small(quantised: bool = True) -> Model:
    middle = Grid(False, 6, 2) if quantised else None
    between = [("relu", middle), ("none", None)]
    return random_model([4, 5, 3], 1, weight_bits=4, bias=True, input_grid=Grid(True, 6, 3), between=between)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn.qonnx_file(small(), tmp_path_factory.mktemp("model") / "small.onnx")


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn.onnx_file(small(False), tmp_path_factory.mktemp("model") / "floats.onnx")


@pytest.fixture
def design(path: Path) -> hw.Design:
    return hw.compile(path)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def two_ports(quantised: str = "ab") -> Network:
    """Inputs a (2,) and b (3, 2), outputs their reversed difference (3, 2) and the sum of a with itself (2,)."""
    net = NetworkBuilder("two ports")
    kinds = {"a": FixedType.parse("s4.1"), "b": FixedType.parse("u5.2")}
    tensors = {}
    for name, shape in (("a", (2,)), ("b", (3, 2))):
        tensors[name] = net.input(name, shape)
        if name in quantised:
            quantiser = Quantiser.of_type(kinds[name], Rounding.RND_CONV, Overflow.SAT)
            tensors[name] = net.add("quantise", f"q_{name}", [tensors[name]], {"quantiser": quantiser})
    difference = net.add("sub", "difference", [tensors["b"], tensors["a"]], {})
    return net.build([difference, net.add("add", "twice", [tensors["a"], tensors["a"]], {})])


A = np.array([[1.5, -4.0], [0.5, 3.5]])
B = np.arange(12).reshape(2, 3, 2) / 4


def test_public_names() -> None:
    assert set(hw.__all__) == {"Design", "__version__", "compile", "load", "nn", "train"}
    arguments = inspect.signature(hw.compile).parameters
    stated = "example weights target clock_mhz latency_ns calibrate input_type exact backend"
    for name in stated.split():
        assert arguments[name].kind is inspect.Parameter.KEYWORD_ONLY
    defaults = {"target": "ecp5-85k", "weights": None, "exact": False, "backend": "verilog"}
    assert {name: arguments[name].default for name in defaults} == defaults
    with pytest.raises(AttributeError, match="has no attribute 'compiler_of_dreams'"):
        _ = hw.compiler_of_dreams


# predict


def test_predict_is_the_model(design: hw.Design) -> None:
    x = small().reals(500)
    y = design.predict(x)
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, small()(x))
    np.testing.assert_array_equal(design.predict(x, threads=1), y)
    np.testing.assert_array_equal(design.predict(x.tolist()), y)
    np.testing.assert_array_equal(design.predict(x.astype(np.float32)), small()(x.astype(np.float32)))
    np.testing.assert_array_equal(design.predict((x,)), y)
    assert design.predict(x[:0]).shape == (0, 3)


def test_predict_takes_and_gives_tuples() -> None:
    design = hw.compile(two_ports())
    difference, twice = design.predict((A, B))
    np.testing.assert_array_equal(difference, B - A[:, None, :])
    np.testing.assert_array_equal(twice, 2 * A)
    np.testing.assert_array_equal(design.predict([A, B])[0], difference)
    with pytest.raises(DataError, match="has 2 inputs, 1 arrays were given"):
        design.predict(A)
    with pytest.raises(DataError, match=r"input 'b': the array has the shape \(2, 2\), expected \(N, 3, 2\)"):
        design.predict((A, A))
    with pytest.raises(DataError, match=r"different numbers of rows: \[1, 2\]"):
        design.predict((A[:1], B))


def test_predict_refuses(design: hw.Design) -> None:
    x = small().reals(5)
    with pytest.raises(DataError, match=r"input 'x': the array has the shape \(4,\), expected \(N, 4\)"):
        design.predict(x[0])
    with pytest.raises(DataError, match="is not numeric"):
        design.predict(x.astype(str))
    with pytest.raises(DataError, match="is not numeric"):
        design.predict(x.astype(complex))
    with pytest.raises(DataError, match="threads = 0; at least 1 is needed"):
        design.predict(x, threads=0)
    x[3, 1] = np.nan
    with pytest.raises(DataError, match="input 'x': row 3 holds NaN or infinity"):
        design.predict(x)


# compile's arguments


def test_exact_and_input_types(floats: Path) -> None:
    x = small(False).reals(100)
    for kind in ("s6.3", FixedType.parse("s6.3"), ["s6.3"], {"x": "s6.3"}):
        design = hw.compile(floats, exact=True, input_type=kind)
        np.testing.assert_array_equal(design.predict(x), small(False)(x))
    with pytest.raises(ModelError, match="has no quantisers, and its types are not guessed"):
        hw.compile(floats)
    with pytest.raises(ModelError, match="input 'x' needs a type"):
        hw.compile(floats, exact=True)
    with pytest.raises(TypeStringError, match="s6,3"):
        hw.compile(floats, exact=True, input_type="s6,3")


def test_a_quantised_model_keeps_its_types(path: Path) -> None:
    with pytest.raises(ModelError, match=r"input 'x': the type s8.4 is stated, but the model quantises it itself"):
        hw.compile(path, input_type="s8.4")


def test_types_from_data_for_open_inputs_only() -> None:
    """A quantised model that leaves one of its inputs open: that one's type comes from the data."""
    design = hw.compile(two_ports("a"), calibrate=(A, B))
    difference, twice = design.predict((A, B))
    np.testing.assert_array_equal(difference, B - A[:, None, :])
    np.testing.assert_array_equal(twice, 2 * A)
    assert design.flat.inputs[0].quantiser.describe() == "s4.1 RND_CONV SAT"


def test_calibration_by_a_metric(floats: Path) -> None:
    x = small(False).reals(300)
    labels = small(False)(x).argmax(axis=1)

    def accuracy(outputs: list[Any]) -> float:
        return float(np.mean(outputs[0].argmax(axis=1) == labels))

    design = hw.compile(floats, calibrate=x, metric=accuracy, tolerance=0.05)
    found = design.report()["calibration"]
    assert found["fidelity"] >= found["target"] >= 0.9
    # Its cost is what the report says: the metric of the hardware itself.
    assert accuracy([design.predict(x)]) == pytest.approx(found["fidelity"], abs=1e-12)
    for bad in (float("nan"), 0.0, 1.5):
        with pytest.raises(ContractError, match="it must be above 0 and at most 1"):
            hw.compile(floats, calibrate=x, fidelity=bad)
    with pytest.raises(ContractError, match="tolerance is nan"):
        hw.compile(floats, calibrate=x, metric=accuracy, tolerance=float("nan"))


@pytest.mark.parametrize(
    "contract",
    [
        {"clock_mhz": 100},
        {"latency_ns": 60},
        {"latency_cycles": 6},
        {"clock_mhz": 150, "latency_ns": 60},
        {"target": "ecp5-25k", "latency_ns": 50},
        {"target": "xcup-vu9p", "clock_mhz": 200},
    ],
    ids=str,
)
def test_contracts_hold(path: Path, contract: dict[str, Any]) -> None:
    design = hw.compile(path, **contract)
    report = design.report()
    assert report["target"] == contract.get("target", "ecp5-85k")
    cycles, ns = report["latency"]["cycles"], report["latency"]["ns"]
    assert ns == pytest.approx(cycles * 1000 / report["clock_mhz"])
    if "clock_mhz" in contract:
        assert report["clock_mhz"] == contract["clock_mhz"]
    assert ns <= contract.get("latency_ns", np.inf) + 1e-9
    assert cycles <= contract.get("latency_cycles", np.inf)
    assert report["contract"]["predicted"]["met"] is True
    np.testing.assert_array_equal(design.predict(small().reals(50)), small()(small().reals(50)))


def test_impossible_contracts(path: Path) -> None:
    with pytest.raises(ContractError, match=r"latency 2 ns .* the best is .* too long[\s\S]*try: a latency of at"):
        hw.compile(path, latency_ns=2)
    with pytest.raises(HardwireError, match="target 'virtex2' is unknown"):
        hw.compile(path, target="virtex2")
    with pytest.raises(HardwireError, match="back end 'cobol' is unknown"):
        hw.compile(path, backend="cobol")


@pytest.mark.parametrize("model", [None, 3, [1, 2], object(), "a" * 300], ids=lambda m: type(m).__name__)
def test_what_is_no_model(model: Any) -> None:
    with pytest.raises(ModelError, match=r"not a format that hardwire reads|no such file"):
        hw.compile(model)


def test_the_name_reaches_the_hardware(path: Path) -> None:
    design = hw.compile(path, name="42 µ-jets/b")
    assert (design.name, design.module) == ("42 µ-jets/b", "m_42_jets_b")
    assert any(f"module {design.module}" in text for text in design.files.values())
    assert design.report()["name"] == "42 µ-jets/b"


def test_progress_is_told(path: Path) -> None:
    lines: list[str] = []
    hw.compile(path, progress=lines.append)
    assert lines[0] == "reading the model"
    assert "scheduling" in lines


# report


def present(value: Any, *names: str) -> None:
    for name in names:
        assert name in value, name
        assert value[name] is not None, name


def test_the_report_of_a_compile(path: Path) -> None:
    import hashlib

    report = hw.compile(path, clock_mhz=120).report()
    present(report, "source", "target", "clock_mhz", "latency", "initiation_interval", "program", "estimate")
    assert report["source"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert report["source"]["format"]
    assert report["initiation_interval"] == 1
    present(report["latency"], "cycles", "ns")
    present(report["program"], "ops", "adders", "tables")
    assert report["program"]["neurons"] == 8
    present(report["estimate"], "lut", "ff", "dsp", "bram")
    assert report["estimate"]["lut"] > 0
    present(report["versions"], "hardwire", "python", "numpy")
    present(report["options"], "target", "clock_mhz", "backend", "seed")
    assert [row["kind"] for row in report["network"]][:2] == ["quantise", "dense"]
    text = json.dumps(report)
    assert json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


@pytest.mark.tools
def test_the_report_after_verification_and_synthesis(design: hw.Design, tmp_path: Path) -> None:
    design.save(tmp_path / "build")
    returned = design.synthesize(route=False)
    present(returned["synthesis"], "lut", "ff", "carry", "dsp", "bram", "tool")
    present(returned["timing"], "critical_path")
    found = design.verify(small().reals(50), vectors=600, simulator="icarus")
    assert isinstance(found, dict)
    for rung in ("interpreter", "emulator_rtl", "netlist"):
        assert found[rung]["vectors"] >= 600, rung
        assert found[rung]["mismatches"] == 0, rung
    assert found["formal"]["proven"] is True
    assert found == design.report()["verification"]
    # What is on disk says the same, and a loaded build verifies with its netlist.
    report = json.loads((tmp_path / "build" / "report.json").read_text())
    assert report == json.loads(json.dumps(design.report()))
    loaded = hw.load(tmp_path / "build")
    again = loaded.verify(vectors=300, netlist_vectors=5000, simulator="icarus", formal=False)
    assert again["netlist"] == {"vectors": 5000, "mismatches": 0}
    assert again["formal"]["proven"] is True  # from before: nothing of the design has changed
    copy = loaded.save(tmp_path / "copy")
    assert (copy / "synthesis").is_dir()
    assert hw.load(copy).verify(vectors=300, simulator="icarus", formal=False)["netlist"]["mismatches"] == 0


@pytest.mark.tools
def test_an_unsaved_design_verifies_and_leaves_no_files(
    design: hw.Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert design.verify(vectors=300, simulator="icarus")["emulator_rtl"]["mismatches"] == 0
    assert not list(tmp_path.iterdir())
    assert design.home is None


@pytest.mark.tools
def test_verify_uses_the_given_inputs(design: hw.Design) -> None:
    x = small().reals(1500)
    assert design.verify(x, vectors=1, formal=False, simulator="icarus")["interpreter"]["vectors"] == 1500 + 256
    with pytest.raises(DataError, match="row 0 holds NaN"):
        design.verify(x * np.nan, simulator="icarus")
    with pytest.raises(DataError, match="simulator 'abacus' is unknown"):
        design.verify(simulator="abacus")


@pytest.mark.tools
def test_a_wrong_emulator_would_be_seen(design: hw.Design) -> None:
    """Every rung compares with the emulator: let it lie in one bit."""
    true = design.emulator.run

    class Liar:
        def run(self, codes: Any) -> Any:
            answers = [y.copy() for y in true(codes)]
            answers[0][5, 0] += 1
            return answers

    design.__dict__["emulator"] = Liar()
    found = design.verify(vectors=300, simulator="icarus")
    assert found["interpreter"] == {"vectors": 300, "mismatches": 1, "first": 5}
    assert found["emulator_rtl"]["mismatches"] == 1


def test_missing_tools_are_reasons_not_silence(design: hw.Design, monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in tools():
        monkeypatch.setenv(tool.variable, "/nowhere/at/all")
    found = design.verify(vectors=300)
    assert found["emulator_rtl"]["mismatches"] is None
    assert "verilator is not where" in found["emulator_rtl"]["why"]
    assert found["interpreter"]["mismatches"] == 0
    assert found["formal"]["proven"] is True


# save and load


def test_save_and_load(design: hw.Design, tmp_path: Path) -> None:
    x = small().reals(200)
    y = design.predict(x)
    home = design.save(tmp_path / "deep" / "build")
    assert design.home == home
    loaded = hw.load(home)
    np.testing.assert_array_equal(loaded.predict(x), y)
    assert loaded.report() == json.loads(json.dumps(design.report()))
    assert dict(loaded.files) == dict(design.files)
    assert loaded.circuit.latency == design.circuit.latency
    np.testing.assert_array_equal(loaded.circuit.stage, design.circuit.stage)
    loaded.save(tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(home)
    home.rename(tmp_path / "moved")
    np.testing.assert_array_equal(hw.load(tmp_path / "moved").predict(x), y)


def test_save_and_load_of_several_ports(tmp_path: Path) -> None:
    hw.compile(two_ports()).save(tmp_path / "build")
    difference, twice = hw.load(tmp_path / "build").predict((A, B))
    np.testing.assert_array_equal(difference, B - A[:, None, :])
    np.testing.assert_array_equal(twice, 2 * A)


def test_the_same_compile_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        hw.compile(path, latency_ns=70).save(tmp_path / name)
    assert files_of(tmp_path / "first") == files_of(tmp_path / "second")


def test_save_replaces_a_build_as_a_whole(design: hw.Design, floats: Path, tmp_path: Path) -> None:
    home = design.save(tmp_path / "build")
    (home / "simulation").mkdir()
    (home / "simulation" / "old.log").touch()
    other = hw.compile(floats, exact=True, input_type="s6.3")
    other.save(home)
    other.save(tmp_path / "fresh")
    assert files_of(home) == files_of(tmp_path / "fresh")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["build", "fresh"]


def test_save_refuses_what_is_no_build(design: hw.Design, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("all my work")
    for place in ("thesis", "thesis/chapter.tex"):
        with pytest.raises(ModelError, match="exists and is no hardwire build"):
            design.save(tmp_path / place)
    with pytest.raises(ModelError, match="is no directory"):
        design.save(tmp_path / "thesis" / "chapter.tex" / "build")
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "all my work"
    (tmp_path / "empty").mkdir()
    design.save(tmp_path / "empty")


def test_save_through_a_link(design: hw.Design, tmp_path: Path) -> None:
    design.save(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    design.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "report.json").is_file()


@pytest.mark.parametrize("step", range(8))
@pytest.mark.parametrize("over", [True, False])
def test_save_interrupted_anywhere(
    design: hw.Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, over: bool
) -> None:
    """Stopped at its n-th file or rename, a save leaves what was there before and nothing else."""
    home = tmp_path / "build"
    if over:
        design.save(home)
        design.home = None
    before = files_of(tmp_path)
    count = 0

    def counted(function: Any) -> Any:
        def called(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == step + 1:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return called

    with monkeypatch.context() as patch:
        patch.setattr("hardwire.design.write_text", counted(hw.design.write_text))
        patch.setattr("hardwire.design.save_program", counted(hw.design.save_program))
        patch.setattr(os, "replace", counted(os.replace))
        try:
            design.save(home)
        except KeyboardInterrupt:
            assert files_of(tmp_path) == before
            assert not [p for p in tmp_path.iterdir() if p != home]
        else:
            assert count <= step
    design.save(home)
    np.testing.assert_array_equal(hw.load(home).predict(small().reals(5)), small()(small().reals(5)))


def test_load_refuses(design: hw.Design, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is no hardwire build \(no report.json in it\)\n  try: hardwire compile"):
        hw.load(tmp_path)
    home = design.save(tmp_path / "build")
    damaged = tmp_path / "damaged"
    text = (home / "report.json").read_text()
    outside = text.replace(f'"{next(name for name in design.files if name.endswith(".v"))}"', '"../secret.v"')
    (tmp_path / "secret.v").write_text("secret")
    for name, content in {
        "report.json": b"{",
        "program.npz": b"PK\x03\x04",
        "circuit.npz": (home / "program.npz").read_bytes(),
        "report.json ": outside.encode(),
    }.items():
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(home, damaged)
        (damaged / name.strip()).write_bytes(content)
        with pytest.raises(ModelError, match=r"the build is damaged \([\s\S]*\n  try: compile the model again"):
            hw.load(damaged)
    shutil.rmtree(damaged)
    shutil.copytree(home, damaged)
    gone = next(damaged.rglob("*.v"))
    gone.unlink()
    with pytest.raises(ModelError, match=f"the build is damaged .file '{gone.name}' of the report is not in the build"):
        hw.load(damaged)


@pytest.mark.tools
@pytest.mark.parametrize("seed", [1, 2])
def test_every_family_verifies(seed: int, tmp_path: Path) -> None:
    """Adder graphs differ with the family; each is proven, simulated, and its netlist answers alike."""
    between = [("relu", Grid(False, 6, 2)), ("relu", Grid(False, 5, 1)), ("none", None)]
    model = random_model([5, 6, 5, 3], seed, weight_bits=5, bias=True, input_grid=Grid(True, 6, 3), between=between)
    first = hw.compile(drawn.qonnx_file(model, tmp_path / "model.onnx"), target="xcup-vu9p", clock_mhz=100)
    for part in ("xcup-vu9p", "ecp5-25k"):
        design = first if part == "xcup-vu9p" else retarget(first, part)
        design.save(tmp_path / part)
        design.synthesize(route=False)
        found = design.verify(model.reals(500))
        assert found["formal"]["proven"]
        assert found["netlist"]["vectors"] > 0
        assert found["netlist"]["mismatches"] == found["emulator_rtl"]["mismatches"] == 0
    kernels = first.flat.flat, design.flat.flat
    signed = [sum(op.lo < 0 for op in kernel if op.code in (OpCode.ADD, OpCode.SUB)) for kernel in kernels]
    assert signed[0] < signed[1]


def test_a_level_to_spare_in_the_last_stage_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dense matrix alone: where a level more costs no cycle, it is taken if it saves a hundredth of the LUTs."""
    net = NetworkBuilder("matrix")
    quantiser = Quantiser.of_type(FixedType.parse("s8.0"), Rounding.TRN, Overflow.WRAP)
    x = net.add("quantise", "q", [net.input("x", (16,))], {"quantiser": quantiser})
    kernel = np.random.default_rng(0).integers(-8, 8, (16, 16)).astype(np.float64)
    params = {"kernel": kernel, "bias": np.zeros(16)}
    network = net.build([net.add("dense", "fc", [x], {}, params)])
    saved = []
    for clock in (150, 250, 350):
        loose = hw.compile(network, exact=True, target="xcup-vu9p", clock_mhz=clock)
        with monkeypatch.context() as patch:
            patch.setattr("hardwire.compiler._SPARE_VALUES", 0)
            least = hw.compile(network, exact=True, target="xcup-vu9p", clock_mhz=clock)
        assert loose.circuit.latency <= least.circuit.latency
        saved.append(loose.circuit.estimate()["lut"] / least.circuit.estimate()["lut"])
        assert loose.verify(np.eye(16), vectors=50)["formal"]["proven"]
    assert max(saved) <= 1
    assert min(saved) < 0.99
