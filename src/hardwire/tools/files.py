"""Bring a tool's input files beside it: WebAssembly builds see little more than the folder that they start in."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from hardwire.errors import DataError


def bring(paths: Sequence[Path], workdir: Path, kind: str = "file") -> list[str]:
    """Copy files into `workdir`, unless they are there already; returns their names in it.

    Raises `DataError` if one is missing or two have the same name. `kind` says what they are in errors.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    names: dict[str, Path] = {}
    for path in paths:
        if not path.is_file():
            raise DataError(f"there is no {kind} {path}")
        path = path.resolve()
        if names.setdefault(path.name, path) != path:
            raise DataError(f"two {kind}s have the name {path.name}: {names[path.name]} and {path}")
        target = workdir / path.name
        if not (target.exists() and target.samefile(path)):
            partial = workdir / f"{path.name}.partial"
            shutil.copyfile(path, partial)
            partial.replace(target)
    return list(names)
