"""Arrays on the command line: `.npy`, or `.npz` with `x0, x1, …` in and `y0, y1, …` out for several."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import DataError


def load_arrays(path: Path, letter: str = "x") -> tuple[NDArray[Any], ...]:
    """Read the arrays of a file; raises `DataError` naming the file. Nothing pickled is read."""
    if not path.exists():
        raise DataError(f"{str(path)!r}: no such file")
    try:
        # Opened here: numpy leaves the file open where it finds it damaged.
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return (loaded,)
            if letter in loaded:
                return (loaded[letter],)
            numbered = [name for name in loaded.files if re.fullmatch(rf"{letter}\d+", name)]
            names = [f"{letter}{i}" for i in range(len(numbered))]
            if not names or set(names) != set(numbered):
                raise DataError(
                    f"{str(path)!r} holds {', '.join(loaded.files) or 'nothing'}", hint=f"name its arrays {letter}0, …"
                )
            return tuple(loaded[name] for name in names)
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{str(path)!r} is no array file ({error})", hint="save it with numpy.save or numpy.savez, without objects"
        ) from error


def save_arrays(path: Path, arrays: Sequence[NDArray[Any]], letter: str = "y") -> None:
    """Write one array as `.npy` or several as `.npz`, beside first and then renamed.

    Raises `DataError` for another suffix, and when several arrays are to go into a `.npy`.
    """
    if path.suffix not in (".npy", ".npz"):
        raise DataError(f"{str(path)!r} is no place for arrays", hint="a file whose name ends in .npy or .npz")
    if len(arrays) > 1 and path.suffix != ".npz":
        raise DataError(f"{str(path)!r}: {len(arrays)} outputs need a .npz file")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            if path.suffix == ".npz":
                named: dict[str, Any] = {f"{letter}{i}": array for i, array in enumerate(arrays)}
                np.savez(file, **named)
            else:
                np.save(file, arrays[0])
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
