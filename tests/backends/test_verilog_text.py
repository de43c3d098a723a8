"""The text of the Verilog: goldens, names, lint, determinism, and what other tools make of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from flat_programs import program_of, random_kernel, vectors_for
from icarus_stream import check, icarus

from hardwire.backends import BackendError, Source, backend, backends
from hardwire.backends._names import legal
from hardwire.backends.verilog import emit
from hardwire.errors import DataError, InternalError
from hardwire.fixed import Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.interpreter import run
from hardwire.ir.program import Program
from hardwire.schedule import Circuit, schedule
from hardwire.schedule.pipeline import Timing, build
from hardwire.targets import target

GOLDENS = Path(__file__).parent / "goldens"


def neuron() -> Program:
    builder = KernelBuilder("neuron", [-8, 0, -8], [7, 15, 7], origin="x")
    builder.origin = "fc1"
    total = builder.sub(builder.add(0, 1, 0, 2), 2, 1, 0)
    total = builder.add(total, builder.const(5))
    builder.origin = "fc1/relu"
    return program_of(builder.build([builder.clamp(builder.round(total, 2, Rounding.RND), 0, 15)]))


def activations() -> Program:
    builder = KernelBuilder("act", [-4, -8], [3, 7], origin="sigmoid")
    outputs = [builder.table(0, np.array([0, 1, 1, 2, 4, 6, 7, 7]))]
    builder.origin = "top"
    outputs += [builder.max(0, 1), builder.less(0, 1), builder.mul(0, 1), builder.const(-3)]
    outputs += [builder.select(outputs[2], 0, 1), builder.clamp(1, -4, 3), builder.wrap(1, 3, True)]
    return program_of(builder.build(outputs), (1, 1), (3, 5))


def circuit_of(program: Program, depth: int, clock: float = 100.0) -> Circuit:
    timing = Timing.of(program, target())
    return build(timing, timing.least_budget(depth), clock)


@pytest.mark.parametrize(("make", "depth"), [(neuron, 2), (activations, 0)], ids=["neuron", "activations"])
def test_golden(make, depth: int, request: pytest.FixtureRequest) -> None:
    program = make()
    files = emit(Source.scheduled(program.name, program, circuit_of(program, depth)))
    for name in (f"{program.name}.v", "ports.json", f"{program.name}.lpf", f"{program.name}.xdc"):
        golden = GOLDENS / program.name / name
        if request.config.getoption("--update-goldens", default=False):
            golden.parent.mkdir(parents=True, exist_ok=True)
            golden.write_text(files[name])
        assert files[name] == golden.read_text(), f"{golden} differs; --update-goldens rewrites it"


def test_the_same_input_gives_the_same_bytes() -> None:
    program = program_of(random_kernel(7, ops=80))
    first, second = (emit(Source.scheduled("k", program, circuit_of(program, 4))) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("name", "expected"),
    [("fc1", "fc1"), ("fc1/relu", "fc1_relu"), ("2nd", "n_2nd"), ("", "n"), ("é", "n"), ("a__b.", "a_b"), ("1", "n_1")],
)
def test_legal_names(name: str, expected: str) -> None:
    assert legal(name) == expected


@pytest.mark.tools
def test_hostile_layer_names(tmp_path: Path) -> None:
    """Names that clash once made legal, that are key words, that would end a comment, that look like ports."""
    builder = KernelBuilder("names", [-8, -8], [7, 7], origin="x")
    layers = [
        "fc.1",
        "fc_1",
        "FC_1",
        "always",
        "x",
        "y",
        "valid",
        "*/ endmodule",
        "a\nendmodule\\",
        "clk",
        "table",
        "x" * 99,
    ]
    outputs, value = [], 0
    for k, layer in enumerate(layers):
        builder.origin = layer
        value = builder.clamp(builder.add(value, 1, 0, k % 3), -100 - k, 100)
        outputs.append(value)
    program = program_of(builder.build(outputs))
    codes = vectors_for(program.flat, 40)
    check(circuit_of(program, 3), program, [codes], run(program, [codes]), tmp_path)
    text = (tmp_path / "dut.v").read_text()
    names = re.findall(r"^(?:wire|reg) (?:\[\d+:0\] )?([^=;]+?)(?: =|;)", text, re.M)
    flat = [name.lower() for group in names for name in group.split(", ")]
    assert len(flat) == len(set(flat))


@pytest.mark.parametrize("name", ["", "1st", "a b", "é", "module", "a;b"])
def test_bad_module_names(name: str) -> None:
    program = neuron()
    with pytest.raises(BackendError, match="cannot be used in Verilog"):
        emit(Source.scheduled(name, program, circuit_of(program, 1)))


def test_unknown_backend_lists_the_known() -> None:
    assert "verilog" in backends()
    with pytest.raises(BackendError, match=r"back end 'vhdl2' is unknown\n  try: one of .*verilog"):
        backend("vhdl2")


def test_ports_are_described() -> None:
    program = activations()
    layout = json.loads(emit(Source.scheduled("act", program, circuit_of(program, 0)))["ports.json"])
    assert [bus["bus"] for bus in layout["inputs"]] == ["x0", "x1"]
    assert [bus["bus"] for bus in layout["outputs"]] == ["y0", "y1"]
    assert layout["inputs"][0]["elements"] == [
        {"offset": 0, "width": 3, "signed": True, "lo": -4, "hi": 3, "frac": 0, "scale": [1, 1]}
    ]
    assert layout["latency_cycles"] == 2


def test_vectors_out_of_range_are_refused() -> None:
    program = neuron()
    with pytest.raises(DataError, match=r"port 'in0': code 9 of element 0 is outside \[-8, 7\]"):
        emit(Source.scheduled("n", program, circuit_of(program, 0), ([np.array([[9, 0, 0]])], [np.array([[0]])])))


def test_leftover_linear_is_named() -> None:
    builder = KernelBuilder("lin", [0, 0], [3, 3], origin="fc7")
    program = program_of(builder.build([builder.linear([0, 1], [3, 5])]))
    with pytest.raises(InternalError, match="layer 'fc7': %2 is still LINEAR"):
        schedule(program, "ecp5-85k")


def test_large_designs_are_written_in_seconds() -> None:
    """20,000 adders in 20 layers, all of them kept: a second or two for scheduling and writing."""
    builder = KernelBuilder("big", [-8] * 64, [7] * 64, origin="x")
    rng = np.random.default_rng(0)
    values, outputs = list(range(64)), []
    for layer in range(20):
        builder.origin = f"fc{layer}"
        sums = [builder.add(values[i], values[j], int(s)) for i, j, s in rng.integers(0, [64, 64, 3], (1000, 3))]
        outputs += sums
        values = [builder.wrap(v, 8, True) for v in sums[-64:]]
    program = program_of(builder.build(outputs))
    circuit_of(neuron(), 1)  # The compiled loops are loaded.
    start = time.process_time()
    circuit = schedule(program, "ecp5-85k", clock_mhz=100)
    text = emit(Source.scheduled("big", program, circuit))["big.v"]
    assert text.count("\n") > 20_000
    assert time.process_time() - start < 15


@pytest.mark.tools
def test_verilator_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    lint = pytest.importorskip("hardwire.tools.verilator").lint
    for seed in (1, 2, 3):
        program = program_of(random_kernel(seed, ops=80))
        (tmp_path / "k.v").write_text(emit(Source.scheduled("k", program, circuit_of(program, 3)))["k.v"])
        assert lint([tmp_path / "k.v"], "k", workdir=tmp_path / str(seed)) == []


@pytest.mark.tools
def test_yosys_reads_it_and_keeps_one_carry_chain_an_adder(tmp_path: Path) -> None:
    from hardwire.tools.yosys import synthesise

    program = neuron()
    circuit = circuit_of(program, 2)
    (tmp_path / "neuron.v").write_text(emit(Source.scheduled("neuron", program, circuit))["neuron.v"])
    result = synthesise([tmp_path / "neuron.v"], "neuron", workdir=tmp_path / "synth")
    assert result.resources["dsp"] == 0
    estimate = circuit.estimate()
    # The widths that the adders need and no more: two bits a CCU2C, one cell more a chain for its start.
    assert 0 < result.resources["carry"] <= 20
    assert 0.6 * result.resources["ff"] <= estimate["ff"] <= 1.3 * result.resources["ff"]


@pytest.mark.tools
@pytest.mark.parametrize("broken", [False, True], ids=["right", "wrong"])
def test_the_written_bench_runs(broken: bool, tmp_path: Path) -> None:
    pytest.importorskip("cocotb_tools")
    icarus()
    program = activations()
    circuit = circuit_of(program, 1)
    codes = vectors_for(program.flat, 30)
    inputs = [codes[:, :1], codes[:, 1:]]
    outputs = run(program, inputs)
    if broken:
        outputs[1][17, 0] = int(outputs[1][17, 0] == 0)
    for name, text in emit(Source.scheduled("act", program, circuit, (inputs, outputs))).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "run.py"], cwd=tmp_path / "tb", env=environment, capture_output=True, text=True, timeout=120
    )
    log = done.stdout + done.stderr
    assert done.returncode == int(broken), log
    assert ("vector 17: y1 is" in log) == broken, log
