"""The registry of projects: names, back ends that fit, files that stay inside the folder."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from hardwire import projects
from hardwire.errors import InternalError
from hardwire.ir.program import Program
from hardwire.projects import Project, ProjectError
from hardwire.targets import target


def project_of(**changes: object) -> Project:
    fields: dict[str, object] = {
        "name": "net",
        "top": "net",
        "files": {"net.v": "module net; endmodule\n"},
        "backend": "verilog",
        "circuit": None,
        "program": Program("net", {}, {}, (), (), ()),
        "target": target(),
        "part": None,
        "clock_mhz": 200.0,
        "version": "1.0.0",
    }
    return Project(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch):
    def register(files: dict[str, str]) -> None:
        module = SimpleNamespace(NAME="own", TITLE="A test", BACKENDS=("verilog",), emit=lambda project: files)
        monkeypatch.setattr(projects, "_registry", lambda: {"own": module})

    return register


def test_unknown_project_lists_the_known(writes):
    writes({})
    with pytest.raises(ProjectError, match=r"project 'vivalto' is unknown\n  try: one of own"):
        projects.emit(project_of(), "vivalto")


def test_a_back_end_that_does_not_fit(writes):
    writes({})
    with pytest.raises(ProjectError, match=r"'own' \(A test\) takes no files of back end 'vhdl'\n  try: --back"):
        projects.emit(project_of(backend="vhdl"), "own")


def test_files_stay_inside_and_apart(writes):
    writes({"own/build.tcl": "puts 1\n"})
    assert projects.emit(project_of(), "own") == {"own/build.tcl": "puts 1\n"}
    for name in ("/etc/build.tcl", "../build.tcl", "own\\build.tcl"):
        writes({name: ""})
        with pytest.raises(InternalError, match="outside its folder"):
            projects.emit(project_of(), "own")
    writes({"net.v": ""})
    with pytest.raises(ProjectError, match=r"writes 'net.v', which back end 'verilog' writes as well"):
        projects.emit(project_of(), "own")
