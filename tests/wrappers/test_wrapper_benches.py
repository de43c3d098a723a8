"""The wrappers in simulation, by the test benches that are written beside them: cocotb, cocotbext-axi, Icarus."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from flat_programs import vectors_for
from wrapped_designs import bench, drawn, small, small_codes, split, write

import hardwire as hw
from drawn_models import Grid, qonnx_file, random_model

pytestmark = pytest.mark.tools


@pytest.fixture(autouse=True)
def _simulator() -> None:
    pytest.importorskip("cocotb_tools")
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog (iverilog) is not installed")


def passes(folder: Path, top: str, *parameters: str, **environment: object) -> str:
    status, log = bench(folder, top, *parameters, **environment)
    assert status == 0, log[-6000:]
    return log


@pytest.mark.parametrize(
    "parameters",
    [
        "",
        "S_DATA_WIDTH=16 M_DATA_WIDTH=8 USER_WIDTH=5 LATENCY=19",
        "S_DATA_WIDTH=8 M_DATA_WIDTH=32 RESET_ASYNCHRONOUS=1",
        "DEPTH=2",
        "S_DATA_WIDTH=256 M_DATA_WIDTH=1024 DEPTH=40",
    ],
)
def test_axi_stream(parameters: str, tmp_path: Path) -> None:
    pytest.importorskip("cocotbext.axi")
    program, circuit = drawn(5)
    write(tmp_path, program, circuit, "axi_stream", split(program, vectors_for(program.flat, 200)))
    if "DEPTH=2" in parameters:
        # A vector leaves every LATENCY cycles or so: all that the two places allow.
        status, log = bench(tmp_path, "net_axis", *parameters.split(), FRAMES=50)
        assert status == 1
        assert "the stream stopped on its own" in log
        assert log.count("PASS") == 4, log[-6000:]
    else:
        passes(tmp_path, "net_axis", *parameters.split(), FRAMES=100)


def test_ten_thousand_frames(tmp_path: Path) -> None:
    """Random stops on both sides, resets in mid-stream, full speed: nothing lost, nothing reordered."""
    pytest.importorskip("cocotbext.axi")
    program, circuit = drawn(0)
    assert circuit.latency == 8
    write(tmp_path, program, circuit, "axi_stream:user_width=4", split(program, vectors_for(program.flat, 997)))
    log = passes(tmp_path, "net_axis", FRAMES=10_000)
    count = re.search(r"(\d+) vectors in (\d+) cycles", log)
    assert count is not None
    assert int(count[1]) == int(count[2]) > 20_000


def test_frames_that_end_within_a_vector(tmp_path: Path) -> None:
    pytest.importorskip("cocotbext.axi")
    program, circuit = small()
    write(tmp_path, program, circuit, "axi_stream:field=bytes,data_width=8", small_codes(program, 90))
    log = passes(tmp_path, "net_axis", FRAMES=60)
    assert " 45 short frames" in log


@pytest.mark.parametrize("parameters", ["", "LATENCY=17 RESET_ACTIVE_LOW=0 RESET_ASYNCHRONOUS=1", "DEPTH=60"])
def test_valid_ready(parameters: str, tmp_path: Path) -> None:
    program, circuit = drawn(2)
    write(tmp_path, program, circuit, "valid_ready", split(program, vectors_for(program.flat, 150)))
    passes(tmp_path, "net_stream", *parameters.split(), VECTORS=600)


@pytest.mark.parametrize(
    "choice", ["wide_bus", "wide_bus:field=bytes,reset=async-low", "wide_bus:field=packed,latency=15"]
)
def test_wide_bus(choice: str, tmp_path: Path) -> None:
    program, circuit = drawn(7)
    write(tmp_path, program, circuit, choice, split(program, vectors_for(program.flat, 120)))
    passes(tmp_path, "net_wide")


@pytest.mark.parametrize(
    ("choice", "right", "wrong", "said"),
    [
        ("axi_stream", "ready <= held_next != FULL", "ready <= 1'b1", "expected"),
        ("axi_stream", "if (store) memory[free]", "if (push) memory[free + store]", "expected"),
        ("axi_stream", "waiting <= ZERO", "waiting <= waiting", "reset_in_mid_stream failed"),
        ("axi_stream", ".CYCLES(LATENCY - 1)", ".CYCLES(LATENCY - 2)", "expected"),
        ("axi_stream:data_width=8", "rst | complete) held", "rst) held", "short_frames failed"),
        ("axi_stream:data_width=8", "out_side[0] & last_beat", "out_side[0]", "expected"),
        ("valid_ready", "if (reset) out_valid <= 1'b0", "if (1'b0) out_valid <= 1'b0", "out_valid"),
        ("valid_ready", "parameter DEPTH = LATENCY + 1", "parameter DEPTH = LATENCY", "the stream stopped on its own"),
        ("wide_bus", "CYCLES(LATENCY - 4)) pad_data", "CYCLES(LATENCY - 3)) pad_data", "out_data is"),
    ],
)
def test_the_benches_find_what_is_wrong(choice: str, right: str, wrong: str, said: str, tmp_path: Path) -> None:
    if choice.startswith("axi"):
        pytest.importorskip("cocotbext.axi")
    program, circuit = small()
    assert circuit.latency == 4
    files = write(tmp_path, program, circuit, choice, small_codes(program, 90), (right, wrong))
    top = next(name for name in files if name.startswith("tb/run_"))[7:-3]
    status, log = bench(tmp_path, top, FRAMES=60)
    assert status == 1
    assert said in log, log[-6000:]


@pytest.mark.parametrize("choice", ["axi_stream:field=array,data_width=32", "valid_ready", "wide_bus"])
def test_an_exported_wrapper_brings_a_bench_that_runs(choice: str, tmp_path: Path) -> None:
    if choice.startswith("axi"):
        pytest.importorskip("cocotbext.axi")
    grids = {"input_grid": Grid(True, 6, 3), "between": [("relu", Grid(False, 6, 2)), ("none", None)]}
    model = qonnx_file(random_model([4, 5, 3], 1, weight_bits=4, bias=True, **grids), tmp_path / "small.onnx")
    record = hw.compile(model, clock_mhz=100).export(tmp_path / "out", wrapper=choice, project="fusesoc")
    passes(tmp_path / "out", record["top"], FRAMES=40, VECTORS=200)
    assert {"tb/x.hex", "tb/y.hex", f"{record['top']}.core"} <= set(record["files"])
