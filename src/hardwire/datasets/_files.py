"""Files are written whole or not at all, and those that are no files of ours are told by a few exceptions."""

from __future__ import annotations

import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import DataError

# What numpy, zipfile, zlib and json raise on files that are something else, cut short or damaged.
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    TypeError,
    AttributeError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a compressed .npz beside `path` and move it there; the same arrays give the same bytes.

    Raises:
        DataError: the folder does not exist or cannot be written.
    """
    target = Path(path)
    beside: str | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            beside = file.name
            np.savez_compressed(file, allow_pickle=False, **arrays)
        # A temporary file is private; the result gets what a plain open() would have given it.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(beside, 0o666 & ~mask)
        os.replace(beside, target)
    except OSError as error:
        raise DataError(
            f"cannot write {target}: {error.strerror or error}",
            hint="name a folder that exists and is writable, on a disk that is not full",
        ) from error
    finally:
        if beside is not None and os.path.exists(beside):
            os.unlink(beside)
