"""Build directories that are reached, replaced or tampered with in unusual ways."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from whole_design import of, weights

import hardwire as hw
from hardwire.design import Design, load, module_name
from hardwire.errors import ModelError
from hardwire.implement import verilog_of
from hardwire.ir.program import Access
from hardwire.ir.storage import load_program, save_program
from hardwire.network.graph import NetworkBuilder


def _design(seed: int = 0, name: str = "small") -> Design:
    net = NetworkBuilder(name)
    x = net.add("quantise", "q", [net.input("x", (3,))], of("s6.2"))
    return hw.compile(net.build([net.add("dense", "fc", [x], {}, weights(3, 2, seed))]))


@pytest.fixture(scope="module")
def design() -> Design:
    return _design()


def test_a_build_is_found_again_from_anywhere(design, tmp_path, monkeypatch):
    """The path was kept as it was given: from another directory, `verify` wrote its files there."""
    monkeypatch.chdir(tmp_path)
    again = replace(design)
    again.save("build")
    loaded = load("build")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    for one in (again, loaded):
        with one.workplace() as folder:
            assert Path(folder).resolve() == (tmp_path / "build").resolve()
    assert np.array_equal(loaded.predict(np.ones((2, 3))), design.predict(np.ones((2, 3))))


@pytest.mark.parametrize("dangling", [False, True])
def test_a_build_behind_a_link_is_replaced_there(tmp_path, dangling):
    """A link was replaced by a directory, or was an error where it led nowhere."""
    link = tmp_path / "latest"
    link.symlink_to(tmp_path / "real")
    if not dangling:
        _design(1).save(tmp_path / "real")
    second = _design(2)
    second.save(link)
    assert link.is_symlink()
    assert np.array_equal(load(link).predict(np.ones((1, 3))), second.predict(np.ones((1, 3))))


def test_the_working_directory_may_be_the_build(design, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    replace(design).save(".")
    assert (tmp_path / "report.json").is_file()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("files", ["../secret.v"]),
        ("files", ["/etc/hostname"]),
        ("files", [["a"]]),
        ("files", 5),
        ("target", "no"),
        ("target", ["x"]),
        ("source", None),
        ("options", None),
        ("options", {"backend": "../x"}),
        ("verification", "x"),
        ("contract", []),
        ("files", []),
        ("synthesis", "x"),
        ("synthesis", {"netlist": "../secret.v"}),
        ("synthesis", {"netlist": 5}),
        (None, [1]),
    ],
)
def test_a_tampered_report_is_one_error(design, tmp_path, key, value):
    """Files elsewhere were read (and, by `save`, written); other types ended in a `TypeError`.

    A back end that does not exist was met by the first command that needed it; parts that were missing, by `KeyError`.
    """
    (tmp_path / "secret.v").write_text("not the build's")
    home = replace(design).save(tmp_path / "build")
    report = json.loads((home / "report.json").read_text())
    if key is None:
        report = value
    else:
        report[key] = value
    (home / "report.json").write_text(json.dumps(report))
    with pytest.raises(ModelError, match=r"build': the build is damaged \(.*\)\n  try: compile the model again"):
        load(home)


def _operands_beyond(program):
    (kernel,) = program.kernels.values()
    return replace(program, kernels={kernel.name: kernel.with_(term_arg=kernel.term_arg + 1000)})


def _elements_before(program):
    (step,) = program.steps
    read = step.reads[0]
    return replace(program, steps=(replace(step, reads=(Access(read.array, read.base - 1, read.offsets),)),))


def _elements_beyond(program):
    (port,) = program.outputs
    return replace(program, outputs=(replace(port, index=port.index + 5),))


@pytest.mark.parametrize("tampered", [_operands_beyond, _elements_before, _elements_beyond])
@pytest.mark.parametrize("member", ["program.npz", "circuit.npz"])
def test_a_tampered_program_does_not_reach_compiled_code(design, tmp_path, tampered, member):
    """Ids and elements out of range were compiled as they stood."""
    home = replace(design).save(tmp_path / "build")
    program, extra = load_program(home / member)
    if member == "circuit.npz" and tampered is _operands_beyond:
        (kernel,) = program.kernels.values()
        broken = replace(program, kernels={kernel.name: kernel.with_(a=np.where(kernel.a >= 0, kernel.a + 1000, -1))})
    else:
        broken = tampered(program)
    save_program(broken, home / member, extra)
    with pytest.raises(ModelError, match=r"build': the build is damaged"):
        load(home)


@pytest.mark.parametrize("name", ["ünïcode // */ `end\n", "module", "9", "", "x" * 300, "ü" * 300])
def test_any_model_and_layer_name_makes_a_build(tmp_path, name):
    """A long name was too long for a file, a reserved word no module."""
    net = NetworkBuilder(name)
    x = net.add("quantise", "q", [net.input("a b\n*/", (2,))], of("s4.1"))
    for layer in ("endmodule", "*/ \n module", "ü", "x_0", "valid", "clk", "y_0_r1", "fc\\", "l" * 3000):
        x = net.add("dense", layer, [x], {}, weights(2, 2))
        x = net.add("quantise", "q", [x], of("s4.1"))
    built = hw.compile(net.build([x]))
    home = built.save(tmp_path / "build")
    assert (home / f"{built.module}.v").read_text(encoding="utf-8").isascii()
    assert np.array_equal(load(home).predict(np.ones((1, 2))), built.predict(np.ones((1, 2))))


@pytest.mark.parametrize(
    "name", ["x", "Y1", "clk", "rst", "in_valid", "out_valid", "ap_int", "math", "hls", "read", "emulator"]
)
def test_no_module_has_the_name_of_a_port_or_a_header(name):
    """Verilator refused a top that has a port of its name; C++ could not call `x(x, y)`, and `math.h` was the model.

    The emulator library of the model `emulator` declared a function `hw_emulator` beside the type.
    """
    assert module_name(name) == f"m_{name}"
    assert module_name(f"{name}z") == f"{name}z"


def test_a_design_is_shown_in_a_line(design):
    """Every array of every kernel was printed, thousands of lines in a notebook."""
    assert repr(replace(design)) == "Design(name='small', home=None)"


def test_a_build_that_another_design_took_over_is_not_verified_as_ones_own(tmp_path):
    """The other design's Verilog was simulated, and the result written into its report."""
    first, second = _design(1), _design(2)
    first.save(tmp_path / "build")
    second.save(tmp_path / "build")
    with pytest.raises(ModelError, match=r"small\.v' is not this design's; the build was replaced or edited since"):
        verilog_of(first, tmp_path / "build")
    assert verilog_of(second, tmp_path / "build") == [tmp_path / "build" / f"{second.module}.v"]


def test_no_rows_have_no_codes(design):
    """Ended in a `ValueError` of reshape."""
    (codes,) = design.codes(np.zeros((0, 3)))
    assert codes.shape == (0, 3)
