"""What wrappers write: names, options, layouts, lint, errors of the elaboration, constraints."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from flat_programs import program_of, random_kernel, vectors_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wrapped_designs import circuit_of, drawn, small, small_codes, split, write

from hardwire.ir.builder import KernelBuilder
from hardwire.ir.interpreter import run
from hardwire.projects import Project
from hardwire.projects._sources import clock_constraint, clock_pin, pins
from hardwire.targets import target
from hardwire.tools import icarus
from hardwire.tools.bits import words_per
from hardwire.tools.verilator import lint
from hardwire.wrappers import WrapperError, wrapper, wrappers
from hardwire.wrappers._interface import read_interface

TOPS = {"axi_stream": "net_axis", "valid_ready": "net_stream", "wide_bus": "net_wide"}


def test_wrappers_are_found_by_their_files() -> None:
    assert wrappers() == ["axi_stream", "valid_ready", "wide_bus"]
    for name, top in TOPS.items():
        assert wrapper(name).top("net") == top
        assert name == wrapper(name).NAME
        assert wrapper(name).TITLE


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("axi", r"wrapper 'axi' is unknown\n  try: one of axi_stream, valid_ready, wide_bus"),
        ("wide_bus:width=8", r"wrapper wide_bus: option 'width' is unknown\n  try: NAME=VALUE with one of field, in_f"),
        ("valid_ready:field=8", "wrapper valid_ready: option 'field' is unknown"),
        ("wide_bus:field=0", r"wrapper wide_bus: field '0' is unknown\n  try: packed, bytes, array, a number of b"),
        ("wide_bus:field=_8/_3", "wrapper wide_bus: field '_8/_3' is unknown"),
        ("wide_bus:field=8//8", "wrapper wide_bus: field '8//8' is unknown"),
        ("wide_bus:latency=-1", "wrapper wide_bus: latency '-1' is no positive whole number"),
        ("wide_bus:reset=high", "wrapper wide_bus: reset 'high' is unknown\n  try: one of sync-high, sync-low"),
    ],
)
def test_unknown_choices_are_refused(choice: str, said: str) -> None:
    with pytest.raises(WrapperError, match=said):
        wrapper(choice)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("wide_bus:latency=3", "wrapper wide_bus: a latency of 3 cycles is less than the 4 that it takes\n  try: lat"),
        ("valid_ready:latency=4", "a latency of 4 cycles is less than the 5"),
        ("wide_bus:in_field=7", "port 'in0': element 2 has 8 bits and does not fit a field of 7\n  try: fields of 8"),
        ("wide_bus:out_field=8", "port 'out0': element 0 has 10 bits and does not fit a field of 8"),
        ("wide_bus:in_field=4/8/8/8", "port 'in0': 6 elements are no row of structures 4/8/8/8 of 4\n  try: as many"),
        ("axi_stream:in_width=20", "a data width of 20 bits is not of whole bytes\n  try: 24"),
        ("axi_stream:reset=sync-high", "reset 'sync-high' is active high, aresetn is active low"),
    ],
)
def test_choices_that_do_not_fit_the_circuit(choice: str, said: str) -> None:
    _, circuit = small()
    with pytest.raises(WrapperError, match=said):
        wrapper(choice).emit(circuit, "net")


def test_the_same_input_gives_the_same_bytes() -> None:
    for name in wrappers():
        first, second = (wrapper(name).emit(small()[1], "net") for _ in range(2))
        assert first == second


@pytest.mark.parametrize("name", sorted(TOPS))
def test_the_interface_is_what_the_verilog_declares(name: str) -> None:
    program, circuit = drawn(2)
    files = wrapper(name).emit(circuit, "net")
    interface = read_interface(files["wrapper_ports.json"])
    project = Project("net", TOPS[name], files, "verilog", circuit, program, target(), None, circuit.clock_mhz, "1.0.0")
    declared = [(pin.name, "out" if pin.output else "in", pin.width) for pin in pins(project)]
    assert declared == [(port.name, port.direction, port.width or 1) for port in interface.ports]
    assert clock_pin(project) == interface.clock
    streamed = {port for stream in interface.streams for port in stream.signals.values()}
    assert streamed | {interface.clock, interface.reset} == {port.name for port in interface.ports}
    # The wrapper's own constraints are the ones that a project takes.
    assert [clock_constraint(project, suffix)[0] for suffix in (".xdc", ".sdc", ".lpf")] == [
        f"{TOPS[name]}{suffix}" for suffix in (".xdc", ".sdc", ".lpf")
    ]


def test_an_asynchronous_reset_is_a_false_path() -> None:
    _, circuit = small()
    line = "set_false_path -from [get_ports rst]"
    for reset in ("sync-high", "async-low"):
        files = wrapper(f"wide_bus:reset={reset}").emit(circuit, "net")
        for suffix in ("xdc", "sdc"):
            assert (line in files[f"net_wide.{suffix}"].splitlines()) == reset.startswith("async")
            assert "create_clock -name clk -period 10.000 [get_ports clk]" in files[f"net_wide.{suffix}"]
            assert "# set_input_delay -clock clk -max 0.0 [get_ports {in_valid in_data}]" in files[f"net_wide.{suffix}"]
        assert ('BLOCK PATH FROM PORT "rst";' in files["net_wide.lpf"]) == reset.startswith("async")


@pytest.mark.parametrize(
    ("field", "into", "dtype"),
    [
        ("8", np.int8, np.int8),
        ("16", np.int16, np.int16),
        ("array", np.int8, np.int16),
        ("32", np.int32, np.int32),
        ("64", np.int64, np.int64),
    ],
)
def test_fields_are_the_memory_of_an_array(field: str, into: type, dtype: type, tmp_path: Path) -> None:
    """A word's bytes are those of a C array of the codes; what numpy packs is what the hardware unpacks."""
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog (iverilog) is not installed")
    builder = KernelBuilder("k", [-8, 0, -100, 5], [7, 15, 99, 5], origin="fc")
    outputs = [builder.sub(0, 1), builder.wrap(2, 6, True), builder.max(0, 1), builder.const(-3), 3]
    if field != "8":
        outputs.append(builder.mul(0, 2))
    program = program_of(builder.build(outputs))
    codes = vectors_for(program.flat, 50)
    expected = run(program, [codes])[0]
    files = write(tmp_path, program, circuit_of(program, 2), f"wide_bus:field={field}", [codes])
    layout = json.loads(files["wrapper_ports.json"])
    sizes = {"in_data": layout["inputs"][0]["width"], "out_data": layout["outputs"][0]["width"]}
    assert sizes == {"in_data": 8 * into().itemsize * 4, "out_data": 8 * dtype().itemsize * expected.shape[1]}
    raw = np.zeros((50, 8 * words_per(sizes["in_data"])), np.uint8)
    raw[:, : sizes["in_data"] // 8] = codes.astype(into).view(np.uint8).reshape(50, -1)
    result = icarus.simulate(
        [tmp_path / name for name in files if name.endswith(".v")],
        "net_wide",
        {"in_data": raw.view(np.uint64)},
        sizes,
        layout["latency_cycles"],
        workdir=tmp_path / "sim",
        gaps=0.3,
    )
    answers = result.outputs["out_data"].view(np.uint8)[:, : sizes["out_data"] // 8]
    np.testing.assert_array_equal(np.ascontiguousarray(answers).view(dtype), expected)


@pytest.mark.tools
def test_structures_of_a_users_own(tmp_path: Path) -> None:
    """Particles of 64 bits: momentum, two angles, a charge and bits that hold nothing; each field where C puts it."""
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog (iverilog) is not installed")
    low, high = [0, -600, -700, 0], [9000, 599, 720, 1]
    builder = KernelBuilder("k", low * 3, high * 3, origin="fc")
    sums = [builder.add(builder.add(k, 4 + k), 8 + k) for k in range(4)]
    program = program_of(builder.build(sums))
    codes = vectors_for(program.flat, 40)
    expected = run(program, [codes])[0]
    choice = "wide_bus:in_field=14/12/_2/11/1/_24,out_field=_8/24/16/16/8"
    files = write(tmp_path, program, circuit_of(program, 2), choice, [codes])

    def words(rows: np.ndarray, places: list[tuple[int, int]]) -> np.ndarray:
        shaped = rows.reshape(len(rows), -1, 4)
        masked = [(shaped[:, :, k] & (1 << width) - 1) << at for k, (at, width) in enumerate(places)]
        return np.bitwise_or.reduce(masked).astype(np.uint64)

    sent = words(codes, [(0, 14), (14, 12), (28, 11), (39, 1)])
    sent |= np.uint64(0xFFFFFF0000000000) | np.uint64(3 << 26)  # Nobody reads what holds nothing.
    wide = {"in_data": 192, "out_data": 72}
    result = icarus.simulate(
        [tmp_path / name for name in files if name.endswith(".v")],
        "net_wide",
        {"in_data": sent},
        wide,
        json.loads(files["wrapper_ports.json"])["latency_cycles"],
        workdir=tmp_path / "sim",
    )
    answers = words(expected, [(8, 24), (32, 16), (48, 16), (0, 0)])[:, 0]
    np.testing.assert_array_equal(result.outputs["out_data"][:, 0], answers)
    np.testing.assert_array_equal(result.outputs["out_data"][:, 1], expected[:, 3].astype(np.uint64))


@settings(
    max_examples=14,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    seed=st.integers(0, 10**6),
    field=st.sampled_from(["packed", "bytes", "array", "62", "70", "_3/62/_9", "64/_1/_2"]),
    more=st.integers(0, 9),
)
@pytest.mark.tools
def test_any_types_in_any_fields(tmp_path: Path, seed: int, field: str, more: int) -> None:
    """Widths from 1 to 62 bits, constants, several ports, unused inputs; any latency from the core's own."""
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog (iverilog) is not installed")
    kernel = random_kernel(seed, ops=25)
    program = program_of(kernel, (2, 3), (1, 2, 3))
    circuit = circuit_of(program, 3)
    inputs = split(program, vectors_for(kernel, 30, seed))
    shutil.rmtree(tmp_path / "w", ignore_errors=True)
    choice = f"wide_bus:field={field},latency={circuit.latency + more}"
    files = write(tmp_path / "w", program, circuit, choice, inputs)
    layout = json.loads(files["wrapper_ports.json"])

    def packed(side: str, arrays: list[np.ndarray]) -> list[int]:
        codes = np.concatenate(arrays, axis=1).tolist()
        places = [(f["offset"], f["width"]) for f in layout[side][0]["fields"]]
        return [
            sum((code & (1 << width) - 1) << at for code, (at, width) in zip(row, places, strict=True)) for row in codes
        ]

    def columns(words: list[int], width: int) -> np.ndarray:
        size = 8 * words_per(width)
        return np.array([np.frombuffer(word.to_bytes(size, "little"), np.uint64) for word in words])

    sizes = {"in_data": layout["inputs"][0]["width"], "out_data": layout["outputs"][0]["width"]}
    result = icarus.simulate(
        [tmp_path / "w" / name for name in files if name.endswith(".v")],
        "net_wide",
        {"in_data": columns(packed("inputs", inputs), sizes["in_data"])},
        sizes,
        circuit.latency + more,
        workdir=tmp_path / "sim",
    )
    expected = columns(packed("outputs", run(program, inputs)), sizes["out_data"])
    np.testing.assert_array_equal(result.outputs["out_data"], expected)


@pytest.mark.tools
@pytest.mark.parametrize(
    "choice",
    [
        "axi_stream",
        "axi_stream:in_width=8,out_width=16,user_width=9,latency=20,reset=async-low,field=bytes",
        "axi_stream:in_width=512,out_width=512",
        "valid_ready",
        "valid_ready:latency=20,reset=async-high",
        "wide_bus",
        "wide_bus:field=packed,latency=20,reset=sync-low",
        "wide_bus:in_field=bytes,out_field=70,reset=async-low",
    ],
)
def test_lint_finds_nothing_to_complain_about(choice: str, tmp_path: Path) -> None:
    for program, circuit in (small(), drawn(2)):
        inputs = small_codes(program, 2) if len(program.inputs) == 1 else split(program, vectors_for(program.flat, 2))
        files = write(tmp_path, program, circuit, choice, inputs)
        found = [tmp_path / name for name in files if name.endswith(".v")]
        top = wrapper(choice).top("net")
        assert lint(found, top, workdir=tmp_path / "lint") == []
        if shutil.which("iverilog"):
            done = subprocess.run(
                ["iverilog", "-g2001", "-Wall", "-Wno-timescale", "-s", top, "-o", "/dev/null", *found],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert (done.returncode, [line for line in done.stderr.splitlines() if "net_" in line]) == (0, [])


@pytest.mark.tools
@pytest.mark.parametrize(
    ("choice", "parameter", "said"),
    [
        ("axi_stream", "LATENCY=4", "LATENCY_is_below_5_the_least_of_this_design"),
        ("axi_stream", "S_DATA_WIDTH=12", "S_DATA_WIDTH_and_M_DATA_WIDTH_are_whole_bytes"),
        ("axi_stream", "DEPTH=1", "DEPTH_is_below_2_the_least"),
        ("valid_ready", "LATENCY=4", "LATENCY_is_below_5_the_least_of_this_design"),
        ("wide_bus", "LATENCY=3", "LATENCY_is_below_4_the_least_of_this_design"),
    ],
)
def test_impossible_parameters_end_the_elaboration(choice: str, parameter: str, said: str, tmp_path: Path) -> None:
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog (iverilog) is not installed")
    program, circuit = small()
    files = write(tmp_path, program, circuit, choice, small_codes(program, 2))
    top = TOPS[choice]
    found = [str(tmp_path / name) for name in files if name.endswith(".v")]
    command = ["iverilog", "-g2001", "-s", top, f"-P{top}.{parameter}", "-o", "/dev/null", *found]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert f"Unknown module type: {said}" in done.stderr


@pytest.mark.tools
@pytest.mark.parametrize("choice", ["axi_stream:data_width=16,reset=async-low", "valid_ready", "wide_bus"])
def test_yosys_makes_it_of_an_ecp5(choice: str, tmp_path: Path) -> None:
    from hardwire.tools.yosys import synthesise

    program, circuit = small()
    files = write(tmp_path, program, circuit, choice, small_codes(program, 2))
    found = [tmp_path / name for name in files if name.endswith(".v")]
    result = synthesise(found, wrapper(choice).top("net"), workdir=tmp_path / "synth")
    core = synthesise([tmp_path / "net.v"], "net", workdir=tmp_path / "core")
    assert result.resources["ff"] >= core.resources["ff"]
    # The queue is memory, not flip-flops.
    assert ("TRELLIS_DPR16X4" in result.cells) == (not choice.startswith("wide_bus"))
