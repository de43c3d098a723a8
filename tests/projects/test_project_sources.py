"""What projects read of sources: compile order, ports, clock, constraints; the harness between shift registers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from project_designs import VHDL, WRAPPER, design

from hardwire.errors import InternalError
from hardwire.projects import ProjectError
from hardwire.projects._harness import harness
from hardwire.projects._sources import Pin, clock_constraint, clock_pin, pins, sources


def test_benches_are_no_sources_and_packages_come_first():
    assert [hdl.name for hdl in sources(design(VHDL, backend="vhdl"))] == ["net_types.vhd", "net.vhd"]
    assert [(hdl.name, hdl.language) for hdl in sources(design())] == [("net.v", "verilog")]


def test_no_hdl():
    with pytest.raises(ProjectError, match="back end 'verilog' wrote no Verilog or VHDL"):
        sources(design({"tb/net_tb.v": "", "ports.json": "{}"}))


def test_vhdl_in_a_circle():
    files = {"a.vhd": "use work.q.all;\npackage p is\n", "b.vhd": "use work.p.all;\npackage q is\n"}
    with pytest.raises(InternalError, match=r"in a circle: a\.vhd, b\.vhd"):
        sources(design(files, backend="vhdl"))


def test_ports():
    expected = [("clk", 1), ("rst", 1), ("in_valid", 1), ("x", 8), ("out_valid", 1), ("y", 8)]
    assert [(pin.name, pin.width) for pin in pins(design())] == expected
    vhdl = pins(design(VHDL, backend="vhdl"))
    assert [(pin.name, pin.width) for pin in vhdl] == [*expected[:-1], ("y", 1)]
    assert vhdl[-1] == Pin("y", output=True, width=1, vector=True)
    wrapped = pins(design({"net_axis.v": WRAPPER}, top="net_axis"))
    assert [(pin.name, pin.output, pin.width) for pin in wrapped] == [
        ("aclk", False, 1),
        ("aresetn", False, 1),
        ("s_axis_tdata", False, 8),
        ("s_axis_tvalid", False, 1),
        ("s_axis_tready", True, 1),
        ("m_axis_tdata", True, 8),
        ("m_axis_tvalid", True, 1),
        ("m_axis_tready", False, 1),
    ]


def test_ports_that_are_not_understood():
    with pytest.raises(ProjectError, match=r"none of net\.v declares the ports of top 'other'"):
        pins(design(top="other"))
    for text, what in (
        ("module net (clk, x);", "the port 'clk' is not understood"),
        ("module net (input wire [W-1:0] x);", "'W-1' in a module's header is no constant"),
        ("module net (input wire clk", "a parenthesis is open"),
        ("module net (inout wire io);", "the port 'inout wire io' is not understood"),
    ):
        with pytest.raises(ProjectError, match=what.replace("(", r"\(")):
            pins(design({"net.v": text}))
    with pytest.raises(ProjectError, match="the port 'x : in my_type' is not understood"):
        pins(design({"net.vhd": "entity net is\n port (x : in my_type);\nend net;"}, backend="vhdl"))


def test_clock():
    assert clock_pin(design()) == "clk"
    assert clock_pin(design({"net_axis.v": WRAPPER}, top="net_axis")) == "aclk"
    with pytest.raises(ProjectError, match=r"top 'net' has no clock among its inputs tick\n  try: a port named clk or"):
        clock_pin(design({"net.v": "module net (input wire tick, input wire [1:0] clk, output wire y);"}))


def test_constraints_of_the_design_are_used_where_they_fit():
    assert clock_constraint(design(), ".xdc") == ("net.xdc", "create_clock -name clk -period 5.000 [get_ports clk]\n")
    assert clock_constraint(design(), ".lpf")[0] == "net.lpf"
    # Another clock, a wrapper's port: the design's own file would not hold.
    assert clock_constraint(design(clock_mhz=100.0), ".sdc")[0] is None
    found, text = clock_constraint(design({"net_axis.v": WRAPPER}, top="net_axis"), ".sdc")
    assert (found, text) == (None, "create_clock -name aclk -period 5.000 [get_ports aclk]\n")


def test_a_wrapper_says_more_than_the_clock():
    clock = "create_clock -name aclk -period 5.000 [get_ports aclk]\n"
    files = {"net_axis.v": WRAPPER, "net_axis.sdc": f"# Of the wrapper.\n{clock}# set_false_path -from [get_ports x]\n"}
    for alone in (False, True):
        assert clock_constraint(design(files, top="net_axis"), ".sdc", clock_alone=alone)[0] == "net_axis.sdc"
    files["net_axis.sdc"] += "set_false_path -from [get_ports aresetn]\n"
    assert clock_constraint(design(files, top="net_axis"), ".sdc")[0] == "net_axis.sdc"
    assert clock_constraint(design(files, top="net_axis"), ".sdc", clock_alone=True)[0] is None


def run(*command: str, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


@pytest.mark.tools
def test_the_harness_reaches_every_port(tmp_path: Path):
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed")
    name, text = harness(design({"net_axis.v": WRAPPER}, top="net_axis"))
    (tmp_path / name).write_text(text)
    (tmp_path / "net_axis.v").write_text(WRAPPER)
    vectors = np.random.default_rng(3).integers(0, 1 << 11, 40).tolist()
    (tmp_path / "vectors.hex").write_text("".join(f"{vector:x}\n" for vector in vectors))
    (tmp_path / "bench.v").write_text(BENCH)
    run("iverilog", "-g2001", "-Wall", "-o", "bench", name, "net_axis.v", "bench.v", cwd=tmp_path)
    found = [int(word, 2) for word in run("vvp", "bench", cwd=tmp_path).split()]
    # In the header's order, the lowest first: aresetn, tdata, tvalid, tready in; tready, tdata, tvalid out.
    expected = []
    for vector in vectors:
        reset, data, valid, ready = vector & 1, vector >> 1 & 255, vector >> 9 & 1, vector >> 10 & 1
        expected.append((ready | (1 - reset)) | data << 1 | valid << 9)
    assert found == expected


BENCH = """\
module bench;
    reg [10:0] vectors [0:39];
    reg clk, scan_in, capture;
    reg [9:0] found;
    wire scan_out;
    integer n, k;
    net_axis_pins dut (.aclk(clk), .scan_in(scan_in), .capture(capture), .scan_out(scan_out));
    task tick; begin #1 clk = 1; #1 clk = 0; end endtask
    initial begin
        $readmemh("vectors.hex", vectors);
        clk = 0; capture = 0;
        for (n = 0; n < 40; n = n + 1) begin
            for (k = 10; k >= 0; k = k - 1) begin scan_in = vectors[n][k]; tick; end
            // Into the input registers, through the wires of the wrapper into the output registers, and taken over.
            tick; tick;
            capture = 1; tick; capture = 0;
            for (k = 9; k >= 0; k = k - 1) begin found[k] = scan_out; tick; end
            $display("%b", found);
        end
    end
endmodule
"""


@pytest.mark.tools
@pytest.mark.parametrize("top", ["net", "net_axis", "net_stream", "net_wide"])
def test_the_harness_elaborates(top: str, tmp_path: Path):
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed")
    project = design(top=top)
    name, text = harness(project)
    (tmp_path / name).write_text(text)
    names = [hdl.name for hdl in sources(project)]
    for source in names:
        (tmp_path / source).write_text(project.files[source])
    # A port of another width would be a warning.
    command = ("iverilog", "-g2001", "-Wportbind", "-Wimplicit", "-s", f"{top}_pins", "-o", "all", name, *names)
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stderr == ""


@pytest.mark.tools
@pytest.mark.parametrize("files", [VHDL, None], ids=["packages", "back end"])
def test_the_vhdl_harness_elaborates(files: dict[str, str] | None, tmp_path: Path):
    if shutil.which("ghdl") is None:
        pytest.skip("GHDL is not installed")
    project = design(files, backend="vhdl")
    name, text = harness(project)
    names = [hdl.name for hdl in sources(project)]
    for source in names:
        (tmp_path / source).write_text(project.files[source])
    (tmp_path / name).write_text(text)
    run("ghdl", "-a", "--std=08", *names, name, cwd=tmp_path)
    run("ghdl", "-e", "--std=08", "net_pins", cwd=tmp_path)
