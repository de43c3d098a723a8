"""The drivers against fake programs: what they ask for, what they report, how they fail and how they stop."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hardwire.errors import DataError, MissingToolError, ToolError
from hardwire.tools import ecppack, icarus, nextpnr, verilator, yosys
from hardwire.tools.fabrics import Recipe
from hardwire.tools.harness import add_harness

Fake = Callable[[str, str], Path]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Install a Python program as a tool, through its variable."""

    def install(name: str, body: str) -> Path:
        path = tmp_path / f"fake_{name}"
        path.write_text(f"#!{sys.executable}\nimport json, os, sys, time, pathlib\n" + textwrap.dedent(body))
        path.chmod(0o755)
        monkeypatch.setenv("HARDWIRE_" + name.upper().replace("-", "_").replace("+", "_"), str(path))
        return path

    return install


YOSYS = """
    if sys.argv[1:] == ["-V"]:
        print("Yosys 0.71 (git)")
        sys.exit()
    script = pathlib.Path(sys.argv[2]).read_text()
    print("1.2. Executing PROC pass (converting processes).")
    print("something else")
    for line in script.splitlines():
        words = line.split()
        if words[0] == "tee":
            pathlib.Path(words[3]).write_text(json.dumps({"design": {"num_cells_by_type": {"LUT4": 5, "CCU2C": 2}}}))
        if words[0] == "write_json":
            pathlib.Path(words[1]).write_text("{}")
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder"
    folder.mkdir()
    path = folder / "my top.v"
    path.write_text("module top; endmodule\n")
    return path


def test_yosys_gets_its_script_and_reports_passes(fake: Fake, source: Path, tmp_path: Path) -> None:
    fake("yosys", YOSYS)
    lines: list[str] = []
    work = tmp_path / "work"
    result = yosys.synthesise([source], "top", workdir=work, dsp=False, progress=lines.append)
    assert lines == ["yosys: PROC pass (converting processes)"]
    assert result.cells == {"CCU2C": 2, "LUT4": 5}
    assert result.resources == {"lut": 5, "ff": 0, "carry": 2, "dsp": 0, "bram": 0}
    assert (result.version, result.tool) == ("yosys 0.71", "HARDWIRE_YOSYS")
    script = (work / "top.ys").read_text().splitlines()
    assert script[0] == 'read_verilog "my top.v"'
    assert "techmap -map keep_adders.v" in script
    assert "synth_ecp5 -nodsp -nobram -top top" in script
    plain = yosys.synthesise([source], "top", workdir=work, keep_adders=False, bram=True, options=["-abc2"])
    script = (work / "top.ys").read_text().splitlines()
    assert "techmap -map keep_adders.v" not in script
    assert "synth_ecp5 -abc2 -top top" in script
    assert plain.json_path.read_text() == "{}"


def test_a_recipe_can_come_from_elsewhere(fake: Fake, source: Path, tmp_path: Path) -> None:
    fake("yosys", YOSYS)
    recipe = Recipe("synth_new -fast", without_dsp="-no-mult", resources={"LUT4": {"lut": 0.5}})
    result = yosys.synthesise([source], "top", family=recipe, workdir=tmp_path / "w", dsp=False, bram=True)
    assert "synth_new -fast -no-mult -top top" in (tmp_path / "w" / "top.ys").read_text()
    assert result.resources["lut"] == 2.5


def test_a_failing_yosys_leaves_no_netlist(fake: Fake, source: Path, tmp_path: Path) -> None:
    fake("yosys", YOSYS.replace('print("something else")', 'print("ERROR: syntax error"); sys.exit(1)'))
    with pytest.raises(
        ToolError, match=r"yosys failed with exit status 1 \(log: .*top.yosys.log\)[\s\S]*ERROR: syntax"
    ):
        yosys.synthesise([source], "top", workdir=tmp_path / "w")
    assert not list((tmp_path / "w").glob("*.json*"))


def test_bad_requests_are_named(tmp_path: Path, source: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"no device family 'spartan'\n  try: one of ecp5, gw1n, .*, xc7, xcup",
    ):
        yosys.synthesise([source], "top", family="spartan", workdir=tmp_path)
    with pytest.raises(DataError, match="there is no Verilog file"):
        yosys.synthesise([tmp_path / "none.v"], "top", workdir=tmp_path)
    other = tmp_path / source.name
    other.write_text("")
    with pytest.raises(DataError, match=r"two Verilog files have the name my top.v"):
        yosys.synthesise([source, other], "top", workdir=tmp_path / "w")
    with pytest.raises(DataError, match="knows no device '99k'"):
        nextpnr.place_and_route(source, device="99k", freq_mhz=100, workdir=tmp_path)
    with pytest.raises(DataError, match="knows no speed grade 9"):
        nextpnr.place_and_route(source, speed=9, freq_mhz=100, workdir=tmp_path)
    with pytest.raises(DataError, match="there is no routed configuration"):
        ecppack.pack_bitstream(tmp_path / "none.config", tmp_path / "a.bit")
    with pytest.raises(DataError, match="there is no Verilog file"):
        verilator.lint([tmp_path / "none.v"], "top", workdir=tmp_path)


NEXTPNR = """
    if "--version" in sys.argv:
        print('"nextpnr-ecp5" -- Next Generation Place and Route (Version nextpnr-0.9-12-gabc)')
        sys.exit()
    pathlib.Path("arguments.json").write_text(json.dumps(sys.argv[1:]))
    print("Info:     at iteration #3, type ALL: wirelen solved = 10, spread = 11, legal = 12; time = 0.1s", flush=True)
    print("Info:       1000 |      295       8292 |    4   189 |        77|       0.21       4.53|")
    print("Info:     iter=2 wires=10 overused=5 overuse=6 archfail=0")
    step = {"delay": 0.5, "from": {"cell": "a", "port": "Q"}, "to": {"cell": "b", "port": "A"}, "type": "routing",
            "net": "n", "sources": ["top.v:7.1-7.9", "/usr/share/yosys/ecp5/x.v:3.1-3.4"]}
    ways = [("<async>", "posedge clk"), ("posedge clk", "posedge clk")]
    report = {"fmax": CLOCKS, "utilization": {"TRELLIS_FF": {"used": 3, "available": 9}},
              "critical_paths": [{"from": f, "to": t, "path": [dict(step, delay=i + 0.5)]}
                                 for i, (f, t) in enumerate(ways)]}
    pathlib.Path("pnr-report.json").write_text(json.dumps(report))
    pathlib.Path("pnr.config").write_text("config")
"""
CLOCKS = '{"clk": {"achieved": 123.5, "constraint": 200}, "other": {"achieved": 300.0, "constraint": 200}}'


def test_nextpnr_reports_the_slowest_clock_and_its_own_path(fake: Fake, tmp_path: Path) -> None:
    fake("nextpnr-ecp5", NEXTPNR.replace("CLOCKS", CLOCKS))
    netlist = tmp_path / "n.json"
    netlist.write_text("{}")
    lines: list[str] = []
    result = nextpnr.place_and_route(
        netlist, device="25k", speed=6, freq_mhz=200, seed=7, workdir=tmp_path / "w", progress=lines.append
    )
    assert lines[0].startswith("nextpnr: start")
    assert lines[1:] == [
        "nextpnr: placement iteration 3, wire length 12",
        "nextpnr: routing, 77 arcs left",
        "nextpnr: routing iteration 2, 5 wires overused",
    ]
    assert (result.fmax_mhz, result.constraint_mhz, result.seed) == (123.5, 200.0, 7)
    assert result.version == "nextpnr-ecp5 0.9-12-gabc"
    assert result.utilisation["TRELLIS_FF"] == nextpnr.Utilisation(3, 9)
    assert result.critical_path == (nextpnr.PathStep("routing", 1.5, "b", "A", "n", ("top.v:7",)),)
    asked = json.loads((tmp_path / "w" / "arguments.json").read_text())
    assert asked[:5] == ["--25k", "--package", "CABGA381", "--speed", "6"]
    assert asked[asked.index("--json") + 1] == "n.json"
    assert "--timing-allow-fail" in asked


def test_another_router_takes_over_where_one_goes_in_circles(fake: Fake, tmp_path: Path) -> None:
    circle = (
        'print("Info:       1000 |      295       8292 | 1000     0 |        77|       0.21       4.53|", flush=True)'
    )
    stuck = f"while 'router1' in sys.argv: {circle}; time.sleep(0.001)"
    fake("nextpnr-ecp5", NEXTPNR.replace("CLOCKS", CLOCKS).replace("step =", f"{stuck}\n    step ="))
    (tmp_path / "n.json").write_text("{}")
    lines: list[str] = []
    result = nextpnr.place_and_route(tmp_path / "n.json", freq_mhz=100, workdir=tmp_path / "w", progress=lines.append)
    assert result.fmax_mhz == 123.5
    assert "nextpnr: router1 goes in circles; again with router2" in lines
    asked = json.loads((tmp_path / "w" / "arguments.json").read_text())
    assert asked[-2:] == ["--router", "router2"]
    assert "router1" not in asked


def test_nextpnr_without_a_clocked_path_is_an_error(fake: Fake, tmp_path: Path) -> None:
    fake("nextpnr-ecp5", NEXTPNR.replace("CLOCKS", "{}"))
    (tmp_path / "n.json").write_text("{}")
    with pytest.raises(ToolError, match=r"no path between registers.*\n  try: .*harness"):
        nextpnr.place_and_route(tmp_path / "n.json", freq_mhz=100, workdir=tmp_path / "w")


def test_an_interrupt_in_place_and_route_leaves_no_report(fake: Fake, tmp_path: Path) -> None:
    fake("nextpnr-ecp5", NEXTPNR.replace("CLOCKS", CLOCKS).replace("step =", "time.sleep(60); step ="))
    (tmp_path / "n.json").write_text("{}")

    def interrupt(line: str) -> None:
        if "placement" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nextpnr.place_and_route(tmp_path / "n.json", freq_mhz=100, workdir=tmp_path / "w", progress=interrupt)
    assert not (tmp_path / "w" / "pnr-report.json").exists()


def test_a_harness_connects_every_bus(fake: Fake, tmp_path: Path) -> None:
    fake("yosys", YOSYS)
    (tmp_path / "m.v").write_text("module m; endmodule\n")
    netlist = yosys.synthesise([tmp_path / "m.v"], "m", workdir=tmp_path / "s")
    wrapped = add_harness(netlist, {"x0": 3, "x1": 5}, {"y": 9}, workdir=tmp_path / "h")
    text = (tmp_path / "h" / "hardwire_harness.v").read_text()
    assert ".x0(x[2:0]), .x1(x[7:3]), .y(y_w[8:0])" in text
    assert wrapped.top == "hardwire_harness"
    with pytest.raises(DataError, match="output buses"):
        add_harness(netlist, {"x": 3}, {"out_valid": 1}, workdir=tmp_path / "h")


def test_missing_simulators_are_named(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for tool in (icarus.TOOL, verilator.COMPILER):
        monkeypatch.delenv(tool.variable, raising=False)
    x = {"x": np.zeros((1, 1), np.uint64)}
    with pytest.raises(MissingToolError, match=r"iverilog .*is not installed\n  try: apt-get install iverilog, or set"):
        icarus.simulate([source], "top", x, {"x": 1, "y": 1}, 1, workdir=tmp_path)
    with pytest.raises(
        MissingToolError, match=r"cxx .*is not installed\n  try: apt-get install g\+\+, or set HARDWIRE_CXX"
    ):
        verilator.simulate([source], "top", x, {"x": 1, "y": 1}, 1, workdir=tmp_path)
