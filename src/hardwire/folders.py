"""Folders that are written whole or not at all, and that never take the place of something else."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hardwire.errors import ModelError


def free_folder(path: str | Path, marker: str, what: str) -> Path:
    """Where `what` (a folder with the file `marker` in it) goes; raises `ModelError` if something else is there."""
    home = Path(path).resolve()
    if home.exists() and not (home.is_dir() and ((home / marker).exists() or not any(home.iterdir()))):
        raise ModelError(f"{str(path)!r} exists and is no {what}", hint="another -o directory, or remove it first")
    above = next(parent for parent in home.parents if parent.exists())
    if not above.is_dir():
        raise ModelError(f"{str(path)!r}: {str(above)!r} is no directory", hint="another -o directory")
    return home


@contextmanager
def replaced(home: Path) -> Iterator[Path]:
    """Yield an empty folder beside `home` that takes its place at the end; an error leaves `home` as it was."""
    home.parent.mkdir(parents=True, exist_ok=True)
    # Names that are known before anything is made, so that an interrupt at any moment finds what to clear away.
    beside, old = (home.with_name(f".{home.name}.{secrets.token_hex(4)}.{part}") for part in ("new", "old"))
    try:
        beside.mkdir()
        yield beside
        if home.exists():
            os.replace(home, old)
        os.replace(beside, home)
    except BaseException:
        if old.exists() and not home.exists():
            os.replace(old, home)
        raise
    finally:
        for gone in (beside, old):
            shutil.rmtree(gone, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write beside, then rename, so that no reader sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)
