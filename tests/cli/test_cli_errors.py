"""What each command says when something is wrong: one error, an exit code, nothing left half-written."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from command import FORMATS, Command, model, tree, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

QUANTISED = "quantised.onnx"
FEW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))

# The options of `compile`.

OPTIONS: list[tuple[str, list[Any], int, str]] = [
    (QUANTISED, ["--target", "virtex2"], 2, "target 'virtex2' is unknown\n  try: hardwire knows ecp5-25k"),
    (QUANTISED, ["--backend", "cobol"], 2, "back end 'cobol' is unknown\n  try: one of "),
    (QUANTISED, ["--latency-ns", 1], 4, "latency 1 ns on ecp5-85k: the best is "),
    (QUANTISED, ["--latency-ns", -4], 4, "latency_ns is -4.0: it must be a positive number"),
    (QUANTISED, ["--latency-ns", "nan"], 4, "latency_ns is nan: it must be a positive number"),
    (QUANTISED, ["--latency-ns", "soon"], 2, "Invalid value for '--latency-ns'"),
    (QUANTISED, ["--clock-mhz", 5000], 4, "but the period at 5000 MHz is 0.20 ns"),
    (QUANTISED, ["--clock-mhz", 0], 4, "clock_mhz is 0.0: it must be a positive number"),
    (QUANTISED, ["--clock-mhz", 150, "--latency-ns", 8], 4, "latency 8 ns at 150 MHz on ecp5-85k: "),
    (QUANTISED, ["--latency-cycles", 1], 4, "latency 1 cycles on ecp5-85k: the input and output registers alone take"),
    (QUANTISED, ["--effort", -1], 2, "`effort` is -1"),
    (QUANTISED, ["--seed", -1], 2, "`seed` is -1"),
    (QUANTISED, ["--example", "none.npy"], 2, "'none.npy': no such file"),
    (QUANTISED, ["--weights", "none.h5"], 2, "an ONNX model carries its weights itself"),
    ("model.h5", ["--weights", "none.h5"], 2, "none.h5"),
    (QUANTISED, ["--nonsense"], 2, "No such option"),
    ("model.onnx", [], 2, "has no quantisers, and its types are not guessed\n  try: calibrate=x (--calibrate x.npy)"),
    ("model.onnx", ["--exact"], 2, "input 'x' needs a type: the model does not quantise it"),
    ("model.onnx", ["--exact", "--input-type", "q8"], 2, "type 'q8' is not of the form s8.4 or u8.4"),
    ("model.onnx", ["--exact", "--input-type", "s0.0"], 2, "s0.0"),
    ("model.onnx", ["--exact", "--input-type", "s99.0"], 2, "s99.0"),
    ("model.onnx", ["--exact", *["--input-type", "s6.3"] * 2], 2, "2 input types for the 1 inputs 'x'"),
    ("model.keras", ["--calibrate", "none.npy"], 2, "'none.npy': no such file"),
    ("model.keras", ["--calibrate", "narrow.npy"], 2, "the array has the shape (50, 3), expected (N, 4)"),
    ("model.keras", ["--calibrate", "nan.npy"], 2, "row 7 holds NaN or infinity\n  try: drop or repair that row"),
    ("model.keras", ["--calibrate", "empty.npy"], 2, "the array has no rows"),
    ("model.keras", ["--calibrate", "text.npy"], 2, "is not numeric"),
    ("model.keras", ["--calibrate", "x.npy", "--fidelity", "nan"], 4, "fidelity is nan: it must be above 0"),
    ("model.keras", ["--calibrate", "x.npy", "--fidelity", 1.5], 4, "fidelity is 1.5: it must be above 0 and at"),
    ("none.onnx", [], 2, "none.onnx': no such file\n  try: check the path and the working directory"),
    ("x.npy", [], 2, "not a format that hardwire reads"),
    ("empty.onnx", [], 2, "the file is empty"),
]  # fmt: skip


@pytest.fixture
def arrays(here: Path, models: Path) -> Path:
    x = np.load(models / "x.npy")
    np.save("x.npy", x)
    np.save("narrow.npy", x[:, :3])
    np.save("empty.npy", x[:0])
    np.save("text.npy", np.array([["a"] * 4]))
    x[7, 2] = np.nan
    np.save("nan.npy", x)
    np.savez("pickled.npz", x0=np.array([{}], object))
    np.savez("named.npz", weights=x, biases=x)
    np.savez("none.npz")
    np.savez("gap.npz", x0=x, x2=x)
    (here / "garbage.npy").write_bytes(b"\x93NUMPY\x01\x00garbage")
    (here / "cut.npy").write_bytes((here / "x.npy").read_bytes()[:200])
    (here / "cut.npz").write_bytes((here / "named.npz").read_bytes()[:300])
    (here / "empty.onnx").touch()
    return here


@pytest.mark.parametrize(("name", "options", "code", "text"), OPTIONS)
def test_compile(
    name: str, options: list[Any], code: int, text: str, arrays: Path, models: Path, command: Command
) -> None:
    path = models / name if (models / name).exists() else Path(name)
    command.fails("compile", path, "-o", "new", *options, code=code, text=text)


def test_compile_says_what_is_missing(here: Path, models: Path, command: Command) -> None:
    command.fails("compile", models / QUANTISED, code=2, text="Missing option '-o'")
    command.fails("compile", code=2, text="Missing argument")
    command.fails("comple", code=2, text="No such command 'comple'")


def test_places_where_no_build_can_go(arrays: Path, models: Path, command: Command) -> None:
    (arrays / "mine").mkdir()
    (arrays / "mine" / "thesis.tex").write_text("all my work")
    refusal = "exists and is no hardwire build\n  try: another -o directory, or remove it first"
    command.fails("compile", models / QUANTISED, "-o", "mine", code=2, text=f"'mine' {refusal}")
    command.fails("compile", models / QUANTISED, "-o", "x.npy", code=2, text=f"'x.npy' {refusal}")
    # Refused before the model is even read.
    command.fails("compile", "none.onnx", "-o", "mine", code=2, text=f"'mine' {refusal}")
    command.fails("compile", models / QUANTISED, "-o", "x.npy/build", code=2, text="x.npy' is no directory")
    command.fails("compile", models / QUANTISED, "-o", "/proc/none/build", code=1, text="'/proc/none': No such file")


# Model files.


def rejected(command: Command, path: Path, *texts: str) -> None:
    ran = command.fails("compile", path, "-o", "new", "--exact", "--input-type", "s6.3", code=2, text=texts[0])
    for text in texts[1:]:
        assert text in ran.err


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("keep", [0.03, 0.3, 0.6, 0.9, 0.995])
def test_truncated_files(name: str, keep: float, here: Path, models: Path, command: Command) -> None:
    data = (models / name).read_bytes()
    path = here / name
    path.write_bytes(data[: int(keep * len(data))])
    rejected(command, path, f"model '{path}'")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("start", [0.0, 0.25, 0.5, 0.75])
def test_overwritten_files(name: str, start: float, here: Path, models: Path, command: Command) -> None:
    """A quarter of the file is noise: no format survives that, save where nothing of the model was."""
    data = bytearray((models / name).read_bytes())
    at, size = int(start * len(data)), len(data) // 4
    data[at : at + size] = np.random.default_rng(1).bytes(size)
    path = here / name
    path.write_bytes(data)
    before = tree(here)
    ran = command("compile", path, "-o", "new", "--exact", "--input-type", "s6.3")
    if ran.code == 0:
        # Padding between HDF5's objects may be anything; then the model must be as it was.
        assert path.suffix == ".h5"
        assert command("predict", "new", models / "x.npy", "-o", "y.npy").code == 0
        np.testing.assert_array_equal(np.load("y.npy"), model(False)(np.load(models / "x.npy")))
        return
    assert ran.code in (2, 3)
    assert ran.err.count("error:") == 1
    assert tree(here) == before


@FEW
@given(data=st.data(), name=st.sampled_from(FORMATS))
def test_any_damage_is_an_error_or_a_build(
    data: st.DataObject, name: str, models: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Bytes changed anywhere: a model or one of our errors, never another exception."""
    import hardwire as hw
    from hardwire.errors import HardwireError, InternalError

    content = bytearray((models / name).read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(content)
    try:
        hw.compile(path, exact=True, input_type="s6.3")
    except InternalError:
        raise
    except HardwireError:
        pass


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_no_numbers(name: str, bad: float, here: Path, command: Command) -> None:
    broken = model(False)
    broken.layers[1].kernel[2, 1] = bad
    path = write(name, here, broken)
    rejected(command, path, "layer '", f"holds {bad}", "NaN and infinity have no fixed-point")


def graph(*nodes: Any) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (None, 4))
    made = helper.make_graph(list(nodes), "g", [x], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def test_unknown_layers(here: Path, models: Path, command: Command) -> None:
    onnx.save(graph(helper.make_node("Telepathy", ["x"], ["y"], name="mind")), "m.onnx")
    rejected(command, here / "m.onnx", "layer 'mind'", "Telepathy", "try: ")
    onnx.save(graph(helper.make_node("Relu", ["x"], ["y"], name="act", zeal=3)), "m.onnx")
    rejected(command, here / "m.onnx", "layer 'act'", "zeal")
    with zipfile.ZipFile(models / "model.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    config["config"]["layers"][2]["class_name"] = "Telepathy"
    config["config"]["layers"][2]["config"]["name"] = "mind"
    with zipfile.ZipFile("m.keras", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, json.dumps(config) if name == "config.json" else content)
    rejected(command, here / "m.keras", "layer 'mind'", "Telepathy", "try: ")


def test_pickles_are_never_opened(here: Path, command: Command) -> None:
    import pickle

    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (here / "sprung",))

    for name in ("m.pt", "m.pt2"):
        (here / name).write_bytes(pickle.dumps(Trap()))
        rejected(command, here / name, "the file is a pickle, which may run code when it is read")


# Arrays and builds.

ARRAYS = [
    ("none.npy", "'none.npy': no such file"),
    ("narrow.npy", "input 'x': the array has the shape (50, 3), expected (N, 4)"),
    ("nan.npy", "input 'x': row 7 holds NaN or infinity"),
    ("text.npy", "is not numeric"),
    ("pickled.npz", "'pickled.npz' is no array file (Object arrays cannot be loaded when allow_pickle=False)"),
    ("named.npz", "'named.npz' holds weights, biases\n  try: name its arrays x0, …"),
    ("none.npz", "'none.npz' holds nothing"),
    ("gap.npz", "'gap.npz' holds x0, x2\n  try: name its arrays x0, …"),
    ("garbage.npy", "'garbage.npy' is no array file"),
    ("cut.npy", "'cut.npy' is no array file"),
    ("cut.npz", "'cut.npz' is no array file"),
]


@pytest.mark.parametrize(("name", "text"), ARRAYS)
def test_predict_and_verify_refuse_arrays(name: str, text: str, arrays: Path, command: Command) -> None:
    command.fails("predict", "build", name, "-o", "y.npy", code=2, text=text)
    command.fails("verify", "build", name, code=2, text=text)


def test_no_rows_give_no_rows(arrays: Path, command: Command) -> None:
    assert command("predict", "build", "empty.npy", "-o", "y.npy", "--json").json["outputs"] == [[0, 3]]
    assert np.load("y.npy").shape == (0, 3)


def test_places_where_no_array_can_go(arrays: Path, command: Command) -> None:
    command.fails("predict", "build", "x.npy", "-o", "/proc/none/y.npy", code=1, text="'/proc/none': No such file")
    command.fails("predict", "build", "x.npy", "-o", "nan.npy/y.npy", code=1, text="nan.npy")
    for place in ("build", "y.csv", ""):
        text = "is no place for arrays\n  try: a file whose name ends in .npy or .npz"
        command.fails("predict", "build", "x.npy", "-o", place, code=2, text=text)
    (arrays / "folder.npy").mkdir()
    command.fails("predict", "build", "x.npy", "-o", "folder.npy", code=1, text="directory")


@pytest.mark.parametrize(
    "arguments", [("predict", "x.npy", "-o", "y.npy"), ("verify",), ("synth",), ("report",)], ids=lambda a: a[0]
)
def test_no_build(arguments: tuple[str, ...], arrays: Path, command: Command) -> None:
    name, *rest = arguments
    for place in ("none", "x.npy", "."):
        text = f"'{place}' is no hardwire build (no report.json in it)\n  try: hardwire compile MODEL -o BUILD"
        command.fails(name, place, *rest, code=2, text=text)


@pytest.mark.parametrize("name", ["report.json", "program.npz", "circuit.npz"])
@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "gone"])
def test_damaged_builds(name: str, damage: str, arrays: Path, command: Command) -> None:
    path = arrays / "build" / name
    data = path.read_bytes()
    noise = bytearray(data)
    noise[len(data) // 3 : len(data) // 2] = np.random.default_rng(0).bytes(len(data) // 2 - len(data) // 3)
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "noise": bytes(noise)}[damage])
    text = "is no hardwire build" if (name, damage) == ("report.json", "gone") else "'build': the build is damaged ("
    command.fails("predict", "build", "x.npy", "-o", "y.npy", code=2, text=text)


def test_the_build_lacks_fields(arrays: Path, command: Command) -> None:
    for content in ("[]", "{}", '{"target": "ecp5-85k"}', '{"target": 3, "files": []}', "null"):
        (arrays / "build" / "report.json").write_text(content)
        command.fails("predict", "build", "x.npy", "-o", "y.npy", code=2, text="'build': the build is damaged (")


def test_options_of_the_other_commands(arrays: Path, command: Command) -> None:
    command.fails(
        "verify", "build", "--simulator", "abacus", code=2, text="simulator 'abacus' is unknown\n  try: one of auto"
    )
    command.fails("verify", "build", "--vectors", 0, code=2, text="Invalid value for '--vectors'")
    command.fails("synth", "build", "--seeds", 0, code=2, text="Invalid value for '--seeds'")
    command.fails("synth", "build", "--target", "virtex2", code=2, text="target 'virtex2' is unknown")


def test_missing_tools_are_named(here: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDWIRE_YOSYS", "/nowhere/yosys")
    command.fails("synth", "build", code=5, text="yosys is not where HARDWIRE_YOSYS='/nowhere/yosys' says")
    monkeypatch.setenv("HARDWIRE_IVERILOG", "/nowhere/iverilog")
    ran = command("verify", "build", "--simulator", "icarus", "--vectors", 300, "--json")
    assert ran.code == 7
    assert ran.json["emulator_rtl"]["mismatches"] is None
    assert ran.json["interpreter"]["mismatches"] == 0
    assert "emulator_rtl: not simulated" in ran.err
    assert "HARDWIRE_IVERILOG" in ran.err


# Interruptions.


def test_an_interrupted_compile_leaves_nothing(
    here: Path, models: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hardwire import design

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(design, "save_program", interrupt)
    before = tree(here)
    for place in ("new", "build"):
        ran = command("compile", models / QUANTISED, "-o", place)
        assert ran.code == 130
        assert "interrupted; nothing was left half-written" in ran.err
        assert tree(here) == before


def test_compiling_again_replaces_the_whole_build(here: Path, models: Path, command: Command) -> None:
    (here / "build" / "synthesis").mkdir()
    (here / "build" / "synthesis" / "old.json").touch()
    shutil.rmtree(here / "build" / "rtl", ignore_errors=True)
    assert command("compile", models / "model.onnx", "-o", "build", "--exact", "--input-type", "s6.3").code == 0
    assert command("compile", models / "model.onnx", "-o", "fresh", "--exact", "--input-type", "s6.3").code == 0
    assert tree(here / "build") == tree(here / "fresh")
    assert sorted(path.name for path in here.iterdir()) == ["build", "fresh"]
