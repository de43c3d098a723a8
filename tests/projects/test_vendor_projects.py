"""Every vendor project with every back end that it takes: run in a Tcl interpreter that records the vendor's commands,
from another folder than the project's, after the project was moved."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from project_designs import design

from hardwire import projects
from hardwire.projects import Project, ProjectError
from hardwire.targets import target, targets

RECORDER = Path(__file__).with_name("tcl_recorder.tcl")
PARTS = {
    "vivado": "xcku5p-ffvb676-2-e",
    "quartus": "10CX220YF780E5G",
    "libero": "MPF300T-1FCG1152I",
    "radiant": "LIFCL-40-9BG400C",
    "diamond": "LFE5U-85F-8BG381C",
    "gowin": "GW2A-LV18PG256C8/I7",
}
RTL = sorted(PARTS)
DESIGNS = (
    ("verilog", "net"),
    ("vhdl", "net"),
    ("verilog", "net_axis"),
    ("verilog", "net_stream"),
    ("vhdl", "net_wide"),
)
CASES = [(name, backend, top) for name in RTL for backend, top in DESIGNS]


def write(project: Project, name: str, folder: Path) -> dict[str, str]:
    files = projects.emit(project, name)
    for path, text in {**project.files, **files}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return files


def record(script: Path, cwd: Path, *arguments: str) -> list[list[str]]:
    """The vendor's commands that a script runs, as words; the first is the folder."""
    if shutil.which("tclsh") is None:
        pytest.skip("tclsh is not installed")
    command = ["tclsh", str(RECORDER), str(script), *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return [line.split("\x1f") for line in done.stdout.splitlines()]


@pytest.mark.tools
@pytest.mark.parametrize(("name", "backend", "top"), CASES)
def test_the_script_runs_from_anywhere(name: str, backend: str, top: str, tmp_path: Path):
    project = design(backend=backend, top=top, part=PARTS[name])
    written, elsewhere, moved = tmp_path / "written", tmp_path / "elsewhere", tmp_path / "a moved folder"
    written.mkdir(), elsewhere.mkdir()
    files = write(project, name, written)
    written.rename(moved)
    scripts = sorted(path for path in files if path.endswith((".tcl", ".qsf")))
    assert scripts
    seen: set[Path] = set()
    for script in scripts:
        settings = script.endswith(".qsf")
        for folder, *words in record(moved / script, (moved / name) if settings else elsewhere):
            assert words[0] != "error", words
            if words[0] == "puts":
                continue
            for word in words:
                assert str(written) not in word
                path = Path(folder, word)
                if word.startswith("/") or re.search(r"\.(v|sv|vhdl?|xdc|sdc|lpf)$", word):
                    assert word.startswith("/") or settings, f"{words}: {word} depends on where the tool was started"
                    resolved = Path(os.path.normpath(path))
                    assert moved in resolved.parents, words
                    if "out" not in resolved.relative_to(moved).parts:
                        assert resolved.is_file(), words
                        seen.add(resolved)
    expected = {"vhdl": {"net.vhd"}, "verilog": {"net.v"}}[backend] | ({f"{top}.v"} if top != "net" else set())
    assert expected <= {path.name for path in seen}
    hdl = {path for path in project.files if path.endswith((".v", ".vhd")) and not path.startswith("tb/")}
    assert hdl <= {path.relative_to(moved).as_posix() for path in seen}
    assert not any("tb" in path.parts for path in seen)
    text = "".join(files[script] for script in scripts)
    assert PARTS[name] in text or name == "libero"
    assert {path.relative_to(elsewhere) for path in elsewhere.rglob("*")} == set(), "something was written elsewhere"


@pytest.mark.parametrize(("name", "backend", "top"), CASES)
def test_files(name: str, backend: str, top: str):
    project = design(backend=backend, top=top, part=PARTS[name])
    files = projects.emit(project, name)
    assert files == projects.emit(design(backend=backend, top=top, part=PARTS[name]), name)
    assert all(path.startswith(f"{name}/") for path in files)
    for path, text in files.items():
        assert text.endswith("\n"), path
        assert not re.search(r"(?<![\w./$}])/(home|tmp|usr|opt|work)\b", text), path
        assert text.isascii(), path
    assert f"{name}/Makefile" in files
    # The design's own constraint file fits the top, and is used.
    assert not [path for path in files if path.endswith((".xdc", ".sdc", ".lpf"))]
    assert re.search(rf"{top}\.(xdc|sdc|lpf)", "".join(files.values()))


def test_a_clock_of_the_project_where_the_design_has_none_that_fits():
    for name in RTL:
        files = projects.emit(design(part=PARTS[name], clock_mhz=125.0), name)
        (path,) = (path for path in files if path.endswith((".xdc", ".sdc", ".lpf")))
        assert re.search(r"8\.000|125", files[path])
        assert Path(path).name in "".join(text for other, text in files.items() if other != path)


@pytest.mark.parametrize("name", RTL)
def test_vhdl_is_read_as_2008(name: str):
    used = "".join(projects.emit(design(backend="vhdl", part=PARTS[name]), name).values())
    assert re.search(r"2008", used) or name == "libero"


def test_defaults_and_parts():
    vivado = projects.emit(design(target=target("xcup-vu13p")), "vivado")["vivado/build.tcl"]
    assert "set part xcvu13p-flga2577-2-e\n" in vivado
    gowin = projects.emit(design(target=target("gowin-gw2ar18")), "gowin")["gowin/build.tcl"]
    assert "-pn GW2AR-LV18QN88C8/I7 -device_version C -force" in gowin
    assert "LFE5U-85F-8BG756C" in projects.emit(design(), "diamond")["diamond/build.tcl"]
    with pytest.raises(
        ProjectError,
        match=r"Vivado.* has no part for target 'ecp5-85k' \(Lattice ECP5.*\)\n"
        r"  try: name one: --part xcku5p-ffvb676-2-e, or a target of its parts: .*xcup-vu13p",
    ):
        projects.emit(design(), "vivado")
    with pytest.raises(ProjectError, match=r"Quartus.*\n  try: name one: --part 10CX220YF780E5G$"):
        projects.emit(design(), "quartus")
    with pytest.raises(ProjectError, match=r"'xc\[exit\]' is no part number"):
        projects.emit(design(part="xc[exit]"), "vivado")
    with pytest.raises(ProjectError, match=r"'M2S010-FG484' is no part number of PolarFire"):
        projects.emit(design(part="M2S010-FG484"), "libero")


@pytest.mark.parametrize(
    ("family", "name"),
    [("ecp5", "diamond"), ("gowin", "gowin"), ("xc7", "vivado"), ("xcup", "vivado"), ("xcup", "vitis")],
)
def test_every_target_of_a_family_has_a_part(family: str, name: str):
    known = {part.name for part in targets().values() if part.family == family}
    assert known <= set(projects.project(name).PARTS)


def test_every_default_part_belongs_to_a_target():
    for name in projects.projects():
        parts = getattr(projects.project(name), "PARTS", {})
        assert set(parts) <= set(targets()), name


def test_libero_device():
    text = projects.emit(design(part="MPFS095T-FCSG325E"), "libero")["libero/build.tcl"]
    for word in (
        "-family {PolarFireSoC}",
        "-die {MPFS095T}",
        "-package {FCSG325}",
        "-speed {STD}",
        "-part_range {EXT}",
    ):
        assert word in text


def test_quartus_ports_are_virtual_but_the_clock():
    text = projects.emit(design(part="5CSEBA6U23I7"), "quartus")["quartus/net.qsf"]
    assert 'FAMILY "Cyclone V"' in text
    assert re.findall(r"VIRTUAL_PIN ON -to (\S+)", text) == ["rst", "in_valid", '"x[*]"', "out_valid", '"y[*]"']
    # A family whose name depends on the version is asked for in the script.
    assert "FAMILY" not in projects.emit(design(part="AGFB014R24B2E2V"), "quartus")["quartus/net.qsf"]


@pytest.mark.tools
def test_another_part_on_the_command_line(tmp_path: Path):
    write(design(part=PARTS["vivado"]), "vivado", tmp_path)
    words = record(tmp_path / "vivado/build.tcl", tmp_path, "xcvu9p-flga2104-2-e")
    assert words[0][-2:] == ["-part", "xcvu9p-flga2104-2-e"]
    write(design(part=PARTS["quartus"]), "quartus", tmp_path)
    words = record(tmp_path / "quartus/build.tcl", tmp_path, "5CSEBA6U23I7")
    assert ["set_global_assignment", "-name", "DEVICE", "5CSEBA6U23I7"] in [line[1:] for line in words]
    assert ["set_global_assignment", "-name", "FAMILY", "Cyclone 10 GX"] in [line[1:] for line in words]


STUB = """\
set option(part) none
foreach word [split [join $::argv " "]] {
    if {[regexp {^(\\w+)=(.+)$} $word all key value]} { set option($key) $value }
}
set here [file dirname [file normalize [info script]]]
add_files $here/net.cpp
set_part $option(part)
create_clock -period $option(period)
set_top $option(top)
cosim_design $option(csim) $option(csynth) $option(cosim) $option(export)
"""


@pytest.mark.tools
def test_vitis_runs_the_back_ends_own_script(tmp_path: Path):
    files = {"net.cpp": "", "build_hls.tcl": STUB}
    project = design(files, backend="hls-vitis", top="net_axis", part=PARTS["vivado"], clock_mhz=250.0)
    written = write(project, "vitis", tmp_path / "a design")
    assert sorted(written) == ["vitis/Makefile", "vitis/build.tcl"]
    (tmp_path / "elsewhere").mkdir()
    words = [line[1:] for line in record(tmp_path / "a design/vitis/build.tcl", tmp_path / "elsewhere")]
    assert words == [
        ["add_files", str(tmp_path / "a design" / "net.cpp")],
        ["set_part", PARTS["vivado"]],
        ["create_clock", "-period", "4.000"],
        ["set_top", "net_axis"],
        ["cosim_design", "1", "1", "1", "1"],
    ]


def test_vitis_needs_the_script():
    with pytest.raises(ProjectError, match=r"brings no build_hls\.tcl, which project 'vitis' runs"):
        projects.emit(design({"net.cpp": ""}, backend="hls-vitis", part=PARTS["vivado"]), "vitis")
    with pytest.raises(
        ProjectError, match=r"takes no files of back end 'hls-vitis'\n.*for hls-vitis, --project .*vitis"
    ):
        projects.emit(design({"net.cpp": ""}, backend="hls-vitis"), "quartus")
