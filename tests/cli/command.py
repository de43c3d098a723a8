"""Runs the `hardwire` command in this process, as its entry point does, and small models to run it on."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import drawn_models as drawn
from drawn_models import Grid, Model, random_model
from hardwire import cli


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON, which has no NaN and no Infinity."""

        def refuse(text: str) -> None:
            raise AssertionError(f"{text} is no JSON")

        return json.loads(self.out, parse_constant=refuse)


class Command:
    """`command("compile", path, "-o", build)`; never lets a traceback or an internal error pass."""

    def __init__(self, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self.capsys, self.patch = capsys, patch

    def __call__(self, *arguments: Any) -> Ran:
        self.capsys.readouterr()
        self.patch.setattr(sys, "argv", ["hardwire", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        seen = self.capsys.readouterr()
        assert "Traceback" not in seen.out + seen.err
        assert "internal error" not in seen.err, seen.err
        return Ran(code, seen.out, seen.err)

    def fails(self, *arguments: Any, code: int, text: str) -> Ran:
        """Run, and assert the exit code, one error with this text, and that nothing was left in the folder."""
        before = tree(Path.cwd())
        ran = self(*arguments)
        assert ran.code == code, ran.err
        assert text in ran.err
        assert ran.err.lower().count("error:") == 1, ran.err
        assert ran.out == ""
        assert tree(Path.cwd()) == before
        return ran


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, with the bytes of files."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def model(quantised: bool) -> Model:
    middle = Grid(False, 6, 2) if quantised else None
    between = [("relu", middle), ("none", None)]
    return random_model([4, 5, 3], 1, weight_bits=4, bias=True, input_grid=Grid(True, 6, 3), between=between)


def write(name: str, folder: Path, source: Model | None = None) -> Path:
    """Write the small model of a format: `model.onnx` (float), `quantised.onnx`, `model.keras`, `.h5`, `.pt2`."""
    path, quantised = folder / name, name.startswith("quantised")
    source = source or model(quantised)
    if path.suffix == ".onnx":
        return (drawn.qonnx_file if quantised else drawn.onnx_file)(source, path)
    if path.suffix == ".pt2":
        return drawn.torch_program(source, path)
    return drawn.keras_file(source, path)


FORMATS = ("model.onnx", "model.keras", "model.h5", "model.pt2")


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}
