"""`verify` on builds of every kind of back end: which simulator runs, what it is given, what is said where none is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hardwire as hw
from hardwire.design import NoCircuitError
from hardwire.errors import DataError, ModelError, VerificationError
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.quantiser import Quantiser
from hardwire.report.terminal import verification_table
from hardwire.tools import csim, ghdl, icarus
from hardwire.verification import check

_RELU = """\
#include <algorithm>
#include <fstream>
#include <string>
int main(int, char** argv) {
    std::ifstream in(std::string(argv[1]) + "/x.dat");
    std::ofstream out(std::string(argv[2]) + "/y.dat");
    long long a, b, c;
    while (in >> a >> b >> c) out << std::max(a, 0LL) << ' ' << std::max(b, 0LL) << ' ' << std::max(c, LEAST) << '\\n';
}
"""


def relu() -> Network:
    net = NetworkBuilder("rectify")
    quantiser = Quantiser.of_type(FixedType.parse("s5.2"), Rounding.RND, Overflow.SAT)
    x = net.add("quantise", "q", [net.input("x", (3,))], {"quantiser": quantiser})
    return net.build([net.add("relu", "relu", [x], {})])


def cpp_design(least: int = 0) -> hw.Design:
    """A design whose back end wrote C++ from the Program, as if; another `least` is a fault in one of the outputs."""
    design = hw.compile(relu(), backend="vhdl")
    files = {"relu.h": f"#define LEAST {least}LL\n", "tb/bench.cpp": '#include "../relu.h"\n' + _RELU}
    files["relu.cpp"] = '#include "relu.h"\n'
    return replace(design, hardware=None, files=files)


@pytest.mark.tools
def test_vhdl_is_simulated_by_ghdl(tmp_path: Path) -> None:
    design = hw.compile(relu(), backend="vhdl")
    design.save(tmp_path / "build")
    lines: list[str] = []
    found = hw.load(tmp_path / "build").verify(vectors=ghdl.VECTORS + 500, progress=lines.append)
    row = found["emulator_rtl"]
    assert (row["vectors"], row["mismatches"]) == (ghdl.VECTORS, 0)
    assert row["tool"].startswith("ghdl ")
    assert found["formal"]["proven"] is True
    assert f"simulating rectify.vhd on {ghdl.VECTORS:,} vectors" in lines
    assert json.loads((tmp_path / "build" / "report.json").read_text())["verification"] == found


@pytest.mark.tools
def test_vhdl_is_synthesised_through_ghdl(tmp_path: Path) -> None:
    """The netlist comes from the VHDL itself, with as many cells as from the Verilog of the same circuit."""
    rows = []
    for backend in ("verilog", "vhdl"):
        design = hw.compile(relu(), backend=backend)
        design.save(tmp_path / backend)
        design.synthesize(route=False)
        rows.append(dict(design.report_data["synthesis"]))
        netlist = design.verify(vectors=400, netlist_vectors=2000, formal=False)["netlist"]
        assert netlist == {"vectors": 2000, "mismatches": 0}
    assert rows[1].pop("tool") == f"ghdl {ghdl.TOOL.find().version}, {rows[0].pop('tool')}"
    assert rows[0] == rows[1]


def test_cpp_is_not_synthesised_here() -> None:
    with pytest.raises(NoCircuitError, match="compile it with --backend verilog"):
        cpp_design().synthesize(route=False)


@pytest.mark.tools
def test_a_changed_entity_is_noticed(tmp_path: Path) -> None:
    design = hw.compile(relu(), backend="vhdl")
    design.save(tmp_path / "build")
    path = tmp_path / "build" / "rectify.vhd"
    text = path.read_text()
    changed = text.replace("= '1' else", "= '0' else")
    assert changed != text
    path.write_text(changed)
    assert hw.load(tmp_path / "build").verify(vectors=300)["emulator_rtl"]["mismatches"] > 0
    with pytest.raises(ModelError, match="is not this design's; the build was replaced or edited since"):
        replace(design, home=tmp_path / "build").verify(vectors=300)


def test_simulators_of_other_languages_are_refused() -> None:
    design = hw.compile(relu(), backend="vhdl")
    with pytest.raises(
        DataError,
        match=r"simulator 'verilator' takes \.v files, .*'rectify' was compiled for vhdl\n  try: .*auto, ghdl",
    ):
        design.verify(simulator="verilator")
    with pytest.raises(DataError, match=r"simulator 'ghdl' takes \.vhd and \.vhdl files"):
        hw.compile(relu()).verify(simulator="ghdl")
    with pytest.raises(DataError, match=r"'abacus' is unknown\n  try: one of auto, csim, ghdl, icarus, verilator"):
        design.verify(simulator="abacus")


@pytest.mark.tools
def test_cpp_is_compiled_and_run() -> None:
    found = cpp_design().verify(vectors=3000)
    assert found["csim"]["vectors"] == 3000
    assert found["csim"]["mismatches"] == 0
    assert found["csim"]["tool"].split()[0] in csim.COMPILERS
    assert not {"emulator_rtl", "netlist", "formal"} & set(found)
    check(found, simulated=True)
    with pytest.raises(DataError, match=r"simulator 'icarus' takes \.v files"):
        cpp_design().verify(simulator="icarus")


@pytest.mark.tools
def test_wrong_cpp_is_seen() -> None:
    found = cpp_design(least=1).verify(vectors=600, simulator="csim")
    assert 100 < found["csim"]["mismatches"] < 600
    with pytest.raises(VerificationError, match=r"csim: \d+ of 600 vectors differ"):
        check(found)


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in (ghdl.TOOL, icarus.TOOL, *csim.COMPILERS.values()):
        monkeypatch.setenv(tool.variable, "/nowhere/at/all")
    for design, rung, tool in (
        (hw.compile(relu(), backend="vhdl"), "emulator_rtl", "ghdl"),
        (cpp_design(), "csim", "g\\+\\+"),
    ):
        found = design.verify(vectors=300)
        assert found[rung]["mismatches"] is None
        assert f"{tool.replace(chr(92), '')} is not where" in found[rung]["why"]
        check(found)
        with pytest.raises(VerificationError, match=rf"{rung}: not simulated\n  try: {tool} is not where"):
            check(found, simulated=True)


def test_a_language_that_nothing_runs() -> None:
    design = replace(hw.compile(relu(), backend="vhdl"), files={"rectify.pas": "program rectify;\n"})
    found = design.verify(vectors=300)
    assert found["emulator_rtl"]["why"] == "nothing here simulates what the back end 'vhdl' writes"
    assert "not run" in str(verification_table(found).columns[2]._cells)


def test_designs_for_the_emulator_have_no_such_rung() -> None:
    found = hw.compile(relu(), backend="emulator").verify(vectors=300)
    assert set(found) == {"interpreter", "meaning"}
    check(found)
    assert np.all([row["mismatches"] == 0 for key, row in found.items() if key == "interpreter"])
