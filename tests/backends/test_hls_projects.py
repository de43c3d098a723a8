"""Makefiles, Tcl and CMake that come with HLS C++: run where a tool is here, else written down or configured."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hls_programs import FLAVOURS, looped, written
from test_hls_text import example

from hardwire.tools.csim import write_files

pytestmark = pytest.mark.tools

RECORDER = Path(__file__).parents[1] / "projects" / "tcl_recorder.tcl"


def done(*command: str, cwd: Path, **variables: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    found = subprocess.run(
        command, cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=300
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def folder_of(flavour: str, parent: Path) -> Path:
    folder = parent / "a moved folder"
    write_files(written(looped(example("relu", "vector")), flavour), folder)
    return folder


def recorded(script: str, folder: Path, cwd: Path, *arguments: str, **variables: str) -> list[list[str]]:
    """Commands of the vendor's tool that a script runs, as words; the first is the folder."""
    text = done("tclsh", str(RECORDER), str(folder / script), *arguments, cwd=cwd, **variables)
    return [line.split("\x1f") for line in text.splitlines()]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_make_csim(flavour: str, tmp_path: Path) -> None:
    folder = folder_of(flavour, tmp_path)
    assert "8 vectors, 0 codes differ" in done("make", "csim", "CXXFLAGS=-O0", cwd=folder)
    done("make", "lint", cwd=folder)


def test_the_vitis_script(tmp_path: Path) -> None:
    folder = folder_of("hls-vitis", tmp_path)
    commands = [words[1:] for words in recorded("build_hls.tcl", folder, tmp_path)]
    assert [words[0] for words in commands] == [
        "open_project", "set_top", "add_files", "add_files", "open_solution", "set_part", "create_clock",
        "csim_design", "csynth_design",
    ]  # fmt: skip
    assert commands[1] == ["set_top", "net"]
    for words in commands[2:4]:
        source = next(word for word in words if word.endswith(".cpp"))
        assert Path(source).is_file()
        assert Path(source).is_relative_to(folder)
    assert ["set_part", "xcvu13p-flga2577-2-e"] in commands
    # The tool hands over its own arguments, too, and switches as one word.
    all_of_it = recorded(
        "build_hls.tcl", folder, tmp_path, "-f", "x.tcl", "csim=0 cosim=1 export=1 top=net_axis part=p"
    )
    commands = [words[1:] for words in all_of_it]
    assert [words[0] for words in commands[-3:]] == ["csynth_design", "cosim_design", "export_design"]
    assert commands[1] == ["set_top", "net_axis"]
    assert ["set_part", "p"] in commands
    assert any("-DNET_ONLY_AXIS" in word for words in commands for word in words)


def test_the_stream_alone_can_be_driven(tmp_path: Path) -> None:
    """As co-simulation of the stream's function does."""
    folder = folder_of("hls-vitis", tmp_path)
    for flag in ("-DNET_ONLY_AXIS", "-DNET_ONLY_ARRAYS"):
        done("make", "-B", "csim", f"CXXFLAGS=-O0 {flag}", cwd=folder)


def test_the_catapult_script(tmp_path: Path) -> None:
    folder = folder_of("hls-catapult", tmp_path)
    commands = [words[1:] for words in recorded("directives.tcl", folder, tmp_path)]
    assert [words[1] for words in commands if words[0] == "go"] == [
        "analyze", "compile", "libraries", "assembly", "architect", "extract",
    ]  # fmt: skip
    assert not any(words[0] == "flow" and words[1] == "run" for words in commands)
    assert ["directive", "set", "-DESIGN_HIERARCHY", "net"] in commands
    assert ["directive", "set", "-CLOCKS", "clk {-CLOCK_PERIOD 5.000}"] in commands
    commands = [words[1:] for words in recorded("directives.tcl", folder, tmp_path, HLS_COSIM="1", HLS_PART="")]
    assert any(words[0] == "flow" and words[1] == "run" for words in commands)
    assert any("nangate-45nm_beh" in words for words in commands)


def test_the_cmake_file(tmp_path: Path) -> None:
    folder = folder_of("hls-oneapi", tmp_path)
    done("cmake", "-S", ".", "-B", "build", "-DCMAKE_CXX_COMPILER=g++", cwd=folder)
    targets = done("cmake", "--build", "build", "--target", "help", cwd=folder)
    for target in ("fpga_emu", "fpga_sim", "report", "fpga"):
        assert f"... {target}\n" in targets
