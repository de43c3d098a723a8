"""Compile and run small programs over the stand-in headers."""

from __future__ import annotations

from pathlib import Path

from backends.header_programs import Checks
from hardwire.backends._headers import FLAVOURS, header_files
from hardwire.tools import csim
from hardwire.tools.process import run

ALL = {name: text for flavour in FLAVOURS for name, text in header_files(flavour).items()}
QUICK = ("-O0",)
SANITISED = ("-O0", "-fsanitize=undefined", "-fno-sanitize-recover=all")


def outputs(
    files: dict[str, str], folder: Path, compiler: str | None = None, flags: tuple[str, ...] = QUICK
) -> list[str]:
    """Compile and run a program; returns the lines that it prints."""
    built = csim.compile_program({**ALL, **files}, workdir=folder, compiler=compiler, flags=flags)
    lines: list[str] = []
    run([built.path, "values.txt"], cwd=folder, progress=lines.append, tool="program")
    return lines


def compare(checks: Checks, folder: Path, compiler: str | None = None, flags: tuple[str, ...] = QUICK) -> None:
    lines = outputs({"main.cpp": checks.source, "values.txt": checks.values}, folder, compiler, flags)
    assert len(lines) == len(checks.expected)
    wrong = [(line, want) for line, want in zip(lines, checks.expected, strict=True) if line != want]
    assert not wrong, (
        f"{len(wrong)} of {len(lines)} differ; number, width, sign and value: {wrong[:5]}\n{checks.source}"
    )
