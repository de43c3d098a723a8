"""The EDAM and its script, handed to the installed Edalize for several tools, after the folder was moved."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from project_designs import design

from hardwire import projects

TOOLS = {
    "quartus": ["family=Cyclone V", "device=5CSEBA6U23I7"],
    "vivado": ["part=xcku5p-ffvb676-2-e"],
    "diamond": ["part=LFE5U-85F-8BG756C"],
    "radiant": ["part=iCE40UP5K-SG48I"],
    "ise": ["family=spartan6", "device=xc6slx45", "package=csg324", "speed=-2"],
    "gowin": ["part=GW2AR-LV18QN88C8/I7", "part_version=C"],
    "trellis": ["nextpnr_options=--85k --package CABGA756"],
}


def write(folder: Path, **choices: str) -> dict[str, str]:
    project = design(**choices)
    files = projects.emit(project, "edalize")
    for path, text in {**project.files, **files}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return files


def run(script: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(script), *words], cwd=cwd, capture_output=True, text=True, check=False)


def test_the_description_names_files_that_exist(tmp_path: Path):
    files = write(tmp_path, top="net_axis")
    edam = json.loads(files["edalize/edam.json"])
    assert (edam["toplevel"], edam["core"]) == ("net_axis_pins", "net_axis")
    for file in edam["files"]:
        assert (tmp_path / "edalize" / file["name"]).is_file(), file
        assert not file["name"].startswith("/")
    assert {file["file_type"] for file in edam["files"]} == {"verilogSource", "SDC", "xdc", "LPF"}
    assert files == projects.emit(design(top="net_axis"), "edalize")


def test_a_tool_that_edalize_does_not_drive(tmp_path: Path):
    """Ended in a traceback, and left a folder."""
    pytest.importorskip("edalize")
    write(tmp_path)
    done = run(tmp_path / "edalize" / "run.py", "abacus", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("edalize: ")
    assert "abacus" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "edalize" / "out-abacus").exists()


# Edalize hands no VHDL to Yosys, and none of 2008 to GowinEDA.
CASES = [(tool, "verilog") for tool in sorted(TOOLS)]
CASES += [(tool, "vhdl") for tool in sorted(TOOLS) if tool not in ("trellis", "gowin")]


@pytest.mark.tools
@pytest.mark.parametrize(("tool", "backend"), CASES)
def test_edalize_takes_it(tool: str, backend: str, tmp_path: Path):
    pytest.importorskip("edalize")
    write(tmp_path / "written", backend=backend)
    (tmp_path / "written").rename(tmp_path / "a folder")
    done = run(tmp_path / "a folder/edalize/run.py", tool, *TOOLS[tool], "--configure", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "a folder" / "edalize" / f"out-{tool}"
    text = "".join(path.read_text() for path in sorted(out.rglob("*")) if path.is_file())
    assert "net_pins" in text
    assert str(tmp_path) not in text
    named = {Path(name) for name in re.findall(r"(?:\.\./)+[\w./]+\.(?:vhdl?|v|sdc|xdc|lpf)", text)}
    assert {path.name for path in named} >= {"net.v" if backend == "verilog" else "net.vhd"}
    for path in named:
        assert (out / path).resolve().is_file(), path


@pytest.mark.tools
def test_bare_and_without_edalize(tmp_path: Path):
    pytest.importorskip("edalize")
    write(tmp_path)
    script = tmp_path / "edalize/run.py"
    assert run(script, "ise", *TOOLS["ise"], "--configure", "--bare", cwd=tmp_path).returncode == 0
    text = "".join(path.read_text() for path in (tmp_path / "edalize/out-ise").iterdir())
    assert "net_pins" not in text
    assert "python run.py TOOL" in run(script, cwd=tmp_path).stderr
    refused = run(script, "diamond", "--configure", cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1] == "diamond: Missing required option 'part' for diamond backend"
    without = subprocess.run(
        [sys.executable, "-S", str(script), "ise"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "edalize is not installed: pip install edalize" in without.stderr
