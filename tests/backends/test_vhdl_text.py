"""The text of the VHDL: goldens, names, lint, determinism, and what other tools make of it."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from flat_programs import program_of, random_kernel, vectors_for
from ghdl_stream import check, need_ghdl
from test_verilog_text import activations, circuit_of, neuron

from hardwire.backends import BackendError, Source, reserved
from hardwire.backends._vhdl_text import Vhdl, outermost, qualified
from hardwire.backends.vhdl import RESERVED, emit
from hardwire.design import module_name
from hardwire.fixed import Ints
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.interpreter import run
from hardwire.ir.program import Program
from hardwire.schedule import schedule
from hardwire.tools import ghdl, icarus
from hardwire.tools.yosys import synthesise
from hardwire.verification import packed, unpacked

GOLDENS = Path(__file__).parent / "goldens"


def written(program: Program, depth: int, name: str = "dut") -> dict[str, str]:
    return dict(emit(Source.scheduled(name, program, circuit_of(program, depth))))


@pytest.mark.parametrize(("make", "depth"), [(neuron, 2), (activations, 0)], ids=["neuron", "activations"])
def test_golden(make, depth: int, request: pytest.FixtureRequest) -> None:
    program = make()
    files = written(program, depth, program.name)
    for name in (f"{program.name}.vhd", f"tb/{program.name}_tb.vhd", "ports.json", f"{program.name}.xdc"):
        golden = GOLDENS / program.name / Path(name).name
        if request.config.getoption("--update-goldens", default=False):
            golden.write_text(files[name])
        assert files[name] == golden.read_text(), f"{golden} differs; --update-goldens rewrites it"


def test_the_same_input_gives_the_same_bytes() -> None:
    program = program_of(random_kernel(7, ops=80))
    assert written(program, 4) == written(program, 4)


def test_literals() -> None:
    language = Vhdl()
    assert [language.literal(v, n) for v, n in ((1, 1), (0, 1), (5, 4), (-1, 3), (-2, 8))] == [
        "'1'", "'0'", '"0101"', '"111"', '"11111110"',
    ]  # fmt: skip
    assert language.literal(0x1F3, 12) == 'x"1f3"'
    assert language.literal(0x1F3, 10) == 'b"01_1111_0011"'
    assert (language.literal(0, 9), language.literal(-1, 62)) == ("(8 downto 0 => '0')", "(61 downto 0 => '1')")


def test_parentheses() -> None:
    language = Vhdl()
    total = language.add(language.concat(["a", "b"]), "c", 4)
    assert total == "((a & b) + c)"
    assert outermost(total) == "(a & b) + c"
    assert outermost("(a) + (b)") == "(a) + (b)"
    assert outermost(language.repeat("s", 3)) == "(2 downto 0 => s)"
    assert [qualified(text, 4) for text in ("fc_0", "(a & b)", '"0101"', 'x"5"')] == [
        "fc_0", "unsigned'(a & b)", "unsigned'(\"0101\")", "unsigned'(x\"5\")",
    ]  # fmt: skip
    assert qualified("fc_0", 1) == "unsigned'(0 => fc_0)"


def test_bits_fold() -> None:
    """Operators on two literals have no type, so none is written; single bits never reach an adder."""
    language = Vhdl()
    for first in ("'0'", "'1'", "a"):
        for second in ("'0'", "'1'"):
            for text in (language.both(first, second), language.either(first, second), language.differ(first, second)):
                assert text in ("'0'", "'1'", "a", "(not a)")
    assert language.add("a", "b", 1) == language.subtract("a", "b", 1) == "(a xor b)"
    assert language.multiply("a", "b", (1, 1), True, 1) == "(a and b)"
    assert language.choose("'0'", "b", "c") == "c"
    assert language.choose("(not a)", "b", "(c + d)") == "b when a = '0' else c + d"


@pytest.mark.parametrize(
    "name",
    ["", "1st", "a b", "é", "a;b", "a__b", "a_", "_a", "entity", "Signal", "LABEL", "work", "unsigned", "std_logic"],
)
def test_bad_entity_names(name: str) -> None:
    program = neuron()
    with pytest.raises(BackendError, match="cannot be used in VHDL"):
        written(program, 1, name)


@pytest.mark.parametrize("model", ["entity", "Signal", "a__b", "_x_", "2nd", "ünïcode", "constant", "always", "Work"])
def test_module_names_suit_every_language(model: str) -> None:
    name = module_name(model)
    assert reserved() >= RESERVED
    assert {"always", "module"} <= reserved()
    assert written(neuron(), 1, name)[f"{name}.vhd"].count(f"entity {name}") == 2


@pytest.mark.tools
def test_hostile_layer_names(tmp_path: Path) -> None:
    """Names that differ in case alone, that are key words, that look like ports, functions, tables and registers."""
    builder = KernelBuilder("names", [-8, -8], [7, 7], origin="x")
    layers = ["A", "a", "signal", "ENTITY", "entity", "x", "y", "Y_0", "valid", "clk", "table", "table_0", "unsigned"]
    layers += ["any_one", "a_0_r1", "a_0", "fc--1", "\nend architecture;", '"', "__", "é", "rtl", "resize", "n" * 99]
    outputs, value = [], 0
    for k, layer in enumerate(layers):
        builder.origin = layer
        value = builder.clamp(builder.add(value, 1, 0, k % 3), -100 - k, 100)
        low, high = builder.range(value)
        outputs += [value, builder.table(value, np.arange(high - low + 1) % 7)]
    program = program_of(builder.build(outputs))
    codes = vectors_for(program.flat, 40)
    check(circuit_of(program, 3), program, [codes], run(program, [codes]), tmp_path)
    text = (tmp_path / "dut.vhd").read_text()
    names = [n.lower() for group in re.findall(r"^  signal (.*?) :", text, re.M) for n in group.split(", ")]
    assert len(names) == len(set(names)) > 2 * len(layers)
    assert text.isascii()


@pytest.mark.tools
def test_old_and_new_standards_read_it(tmp_path: Path) -> None:
    """VHDL-93 is enough, so tools that know a part of VHDL-2008 are, too."""
    need_ghdl()
    for seed in range(6):
        program = program_of(random_kernel(seed, ops=60))
        (tmp_path / "dut.vhd").write_text(written(program, 2)["dut.vhd"])
        for standard in ("93", "02", "08"):
            command = [*ghdl.TOOL.find().command, "-a", f"--std={standard}", "dut.vhd"]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
            assert (done.returncode, done.stdout + done.stderr) == (0, ""), f"seed {seed}, VHDL-{standard}"
            for library in tmp_path.glob("*.cf"):
                library.unlink()


@pytest.mark.tools
def test_ghdl_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    need_ghdl()
    for seed in (1, 2, 3):
        program = program_of(random_kernel(seed, ops=80))
        (tmp_path / "dut.vhd").write_text(written(program, 3)["dut.vhd"])
        assert ghdl.lint([tmp_path / "dut.vhd"], "dut", workdir=tmp_path / str(seed)) == []


@pytest.mark.tools
@pytest.mark.parametrize("seed", range(4))
def test_what_ghdl_synthesises_computes_the_same(seed: int, tmp_path: Path) -> None:
    """One more rung: VHDL, GHDL's own netlist of operators in Verilog, Icarus Verilog."""
    need_ghdl()
    kernel = random_kernel(seed, ops=60)
    program = program_of(kernel, (2, kernel.n_inputs - 2), (1, 2, len(kernel.outputs) - 3))
    circuit = circuit_of(program, 2)
    (tmp_path / "dut.vhd").write_text(written(program, 2)["dut.vhd"])
    netlist = ghdl.to_verilog([tmp_path / "dut.vhd"], "dut", workdir=tmp_path / "synthesis")
    codes = vectors_for(kernel, 80, seed)
    inputs: list[Ints] = [codes[:, :2], codes[:, 2:]]
    widths = {bus.name: bus.width for bus in (*circuit.inputs, *circuit.outputs)}
    words = packed(circuit.inputs, inputs)
    result = icarus.simulate([netlist], "dut", words, widths, circuit.latency, workdir=tmp_path / "icarus", gaps=0.2)
    for found, wanted in zip(unpacked(circuit.outputs, result.outputs), run(program, inputs), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.tools
def test_both_languages_become_the_same_cells(tmp_path: Path) -> None:
    """Yosys takes as many carry chains, tables and flip-flops from the VHDL (through GHDL) as from the Verilog."""
    from hardwire.backends import verilog

    need_ghdl()
    program = neuron()
    source = Source.scheduled("neuron", program, circuit_of(program, 2))
    (tmp_path / "neuron.vhd").write_text(emit(source)["neuron.vhd"])
    (tmp_path / "neuron.v").write_text(verilog.emit(source)["neuron.v"])
    through = ghdl.to_verilog([tmp_path / "neuron.vhd"], "neuron", workdir=tmp_path / "ghdl")
    found = [
        synthesise([path], "neuron", workdir=tmp_path / f"yosys{k}").resources
        for k, path in enumerate((tmp_path / "neuron.v", through))
    ]
    assert found[0] == found[1]
    # Both know their cells by the layers' names.
    for k in range(2):
        assert "fc1_1_r1" in (tmp_path / f"yosys{k}" / "neuron.json").read_text()


@pytest.mark.tools
@pytest.mark.parametrize("broken", [False, True], ids=["right", "wrong"])
def test_the_written_bench_runs(broken: bool, tmp_path: Path) -> None:
    need_ghdl()
    program = activations()
    codes = vectors_for(program.flat, 30)
    inputs = [codes[:, :1], codes[:, 1:]]
    outputs = run(program, inputs)
    if broken:
        outputs[1][17, 0] = int(outputs[1][17, 0] == 0)
    for name, text in emit(Source.scheduled("act", program, circuit_of(program, 1), (inputs, outputs))).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    environment = {**os.environ, "WORK": str(tmp_path / "scratch")}
    done = subprocess.run(
        ["sh", "tb/run.sh"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    log = done.stdout + done.stderr
    assert (done.returncode != 0) == broken, log
    assert ("vector 17: y1 is" in log) == broken, log
    assert ("pass 2: 30 vectors, all right" in log) != broken, log
    assert sorted(path.name for path in (tmp_path / "tb").iterdir()) == [
        "act_tb.vhd", "run.sh", "x0.hex", "x1.hex", "y0.hex", "y1.hex",
    ]  # fmt: skip


@pytest.mark.tools
@pytest.mark.parametrize("fault", ["late", "never", "no vectors"])
def test_the_written_bench_notices(fault: str, tmp_path: Path) -> None:
    need_ghdl()
    program = neuron()
    codes = vectors_for(program.flat, 20)
    if fault == "no vectors":
        codes = codes[:0]
    source = Source.scheduled("neuron", program, circuit_of(program, 2), ([codes], run(program, [codes])))
    files = dict(emit(source))
    text = files["neuron.vhd"]
    changed = {
        "late": text.replace("out_valid <= valid(3)", "out_valid <= valid(2)"),
        "never": text.replace("& in_valid", "& '0'"),
        "no vectors": text,
    }[fault]
    assert (changed != text) == (fault != "no vectors")
    for name, content in {**files, "neuron.vhd": changed}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    done = subprocess.run(["sh", "run.sh"], cwd=tmp_path / "tb", capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert ("no vectors" if fault == "no vectors" else "out_valid is wrong") in done.stdout + done.stderr


def test_large_designs_are_written_in_seconds() -> None:
    builder = KernelBuilder("big", [-8] * 64, [7] * 64, origin="x")
    rng = np.random.default_rng(0)
    values, outputs = list(range(64)), []
    for layer in range(20):
        builder.origin = f"fc{layer}"
        sums = [builder.add(values[i], values[j], int(s)) for i, j, s in rng.integers(0, [64, 64, 3], (1000, 3))]
        outputs += sums
        values = [builder.wrap(v, 8, True) for v in sums[-64:]]
    program = program_of(builder.build(outputs))
    circuit = schedule(program, "ecp5-85k", clock_mhz=100)
    start = time.process_time()
    text = emit(Source.scheduled("big", program, circuit))["big.vhd"]
    assert text.count("\n") > 40_000
    assert time.process_time() - start < 15
