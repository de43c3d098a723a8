from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hardwire.errors import MissingToolError
from hardwire.tools.find import PythonPackage, Tool, status, tools

FAKE = Tool(
    name="fake-tool",
    purpose="pretending",
    commands=("fake-tool", "fake"),
    packages=(PythonPackage("hardwire_no_such_package", ()), PythonPackage("json", ("-c", "print('Fake 9.1')"))),
    pip="fake-wheel",
    apt="fake-deb",
    version_pattern=r"Fake (\d+\.\d+)",
    minimum=(2, 0),
)
BARE = Tool(name="bare", purpose="testing", commands=("bare-program",), pip="bare-wheel", apt="bare-deb")


def program(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty search path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for tool in (FAKE, BARE, *tools()):
        monkeypatch.delenv(tool.variable, raising=False)
    return folder


def test_a_missing_tool_names_the_packages_and_the_variable(path: Path) -> None:
    with pytest.raises(MissingToolError) as caught:
        BARE.find()
    assert str(caught.value) == (
        "bare (testing) is not installed\n"
        "  try: pip install bare-wheel or apt-get install bare-deb, or set HARDWIRE_BARE to a program"
    )


def test_the_search_path_comes_before_packages(path: Path) -> None:
    program(path, "fake", "echo Fake 2.5")
    found = FAKE.find()
    assert found.command == (str(path / "fake"),)
    assert (found.version, found.origin) == ("2.5", "search path")


def test_an_old_program_is_passed_over(path: Path) -> None:
    program(path, "fake-tool", "echo Fake 1.9")
    found = FAKE.find()
    assert found.origin == "Python package json"
    assert found.command[0] == sys.executable
    assert found.version == "9.1"


def test_an_old_program_is_named_when_nothing_else_is_there(path: Path) -> None:
    program(path, "fake-tool", "echo Fake 1.9")
    program(path, "fake", "exit 4")
    lonely = Tool("fake-tool", "pretending", ("fake-tool", "fake"), apt="fake-deb", minimum=(2,))
    with pytest.raises(MissingToolError, match=r"fake-tool is 1.9, older than 2; .*fake does not run \(.*status 4"):
        lonely.find()


def test_the_variable_overrides_everything(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path, "fake", "echo Fake 2.5")
    old = program(tmp_path, "mine", 'echo "Fake 0.1 $1"')
    monkeypatch.setenv("HARDWIRE_FAKE_TOOL", f"{old} --flag")
    found = FAKE.find()
    assert found.command == (str(old), "--flag")
    assert (found.version, found.origin) == ("0.1", "HARDWIRE_FAKE_TOOL")
    monkeypatch.setenv("HARDWIRE_FAKE_TOOL", str(tmp_path / "nowhere"))
    with pytest.raises(MissingToolError, match=r"not where HARDWIRE_FAKE_TOOL=.*no such program\n  try: correct or"):
        FAKE.find()


def test_every_tool_is_reported_with_a_way_to_get_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PythonPackage, "folder", lambda self: None)
    rows = {row.name: row for row in status()}
    assert {"yosys", "nextpnr-ecp5", "ecppack", "verilator", "iverilog", "vvp", "cxx", "make"} <= set(rows)
    for row in rows.values():
        assert not row.ok
        assert row.problem is not None
        assert "install " in row.problem
        assert "or set HARDWIRE_" in row.problem
    assert "HARDWIRE_NEXTPNR_ECP5" in str(rows["nextpnr-ecp5"].problem)
    program(path, "yosys", "echo 'Yosys 0.66+12 (git sha1 1)'")
    row = next(row for row in status() if row.name == "yosys")
    assert (row.ok, row.version, row.origin) == (True, "0.66+12", "search path")
