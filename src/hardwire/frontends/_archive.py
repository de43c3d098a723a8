"""Bounded reading of model archives: zip members in memory, JSON of bounded depth, hashes.

Nothing is ever extracted to the disk, so member names cannot escape anywhere, and every read has a limit that a
crafted file (a zip bomb, JSON nested a million deep) runs into before memory does.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from hardwire.errors import ModelError

MAX_MEMBERS = 100_000
MAX_JSON_BYTES = 256 << 20
MAX_JSON_DEPTH = 200
MAX_FILE_BYTES = 4 << 30
MAX_RATIO = 1100
"""Deflate cannot expand more than 1032 times."""

ZIP_MAGIC = b"PK\x03\x04"
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def broken(label: str, why: object) -> ModelError:
    """Build the one error for a damaged file; `label` is the quoted path or a description."""
    return ModelError(f"model {label}: the file is truncated or corrupted: {why}", hint="export or copy it again")


def first_bytes(path: Path, count: int = 4096) -> bytes:
    """Return the first bytes of a file, empty for what is not a readable file."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""


def file_bytes(path: Path, label: str) -> bytes:
    """Read a whole model file; raises `ModelError` naming it where that fails."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ModelError(f"model {label}: the file has {size} bytes, the limit is {MAX_FILE_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"model {label}: cannot be read: {error.strerror or error}") from None


def sha256(data: bytes) -> str:
    """Return the SHA-256 of a file's bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def zip_names(path: Path) -> list[str]:
    """Member names of a zip file; of a truncated one the first member's name alone; empty for other files."""
    head = first_bytes(path)
    if not head.startswith(ZIP_MAGIC):
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()[:MAX_MEMBERS]
    except Exception:  # a damaged archive makes zipfile raise nearly anything
        length = int.from_bytes(head[26:28], "little")
        return [head[30 : 30 + length].decode("utf-8", "replace")]


class Archive:
    """The members of a zip file held in memory; each is read once, whole, and checked against limits and its CRC."""

    def __init__(self, data: bytes, label: str) -> None:
        self.label = label
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except Exception as error:  # a damaged archive makes zipfile raise nearly anything
            raise broken(label, error) from None
        entries = self._zip.infolist()
        if entries and min(info.header_offset for info in entries) != 0:
            # An archive cut off at its end, in which a smaller archive stored as a member was found instead.
            raise broken(label, "its list of members is missing")
        names = self._zip.namelist()
        if len(names) > MAX_MEMBERS:
            raise ModelError(f"model {label}: the archive has {len(names)} members, the limit is {MAX_MEMBERS}")
        self.names = frozenset(names)
        if len(self.names) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ModelError(f"model {label}: the archive holds {twice!r} twice; which one is meant is not defined")

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        """Return a member's bytes; raises `ModelError` where it is missing, damaged or larger than `limit`."""
        if name not in self.names:
            raise broken(self.label, f"{name!r} is missing from the archive")
        info = self._zip.getinfo(name)
        if info.file_size > limit or info.file_size > (info.compress_size + 1024) * MAX_RATIO:
            raise ModelError(
                f"model {self.label}: {name!r} in the archive unpacks to {info.file_size} bytes, the limit is {limit}",
                hint="this is no ordinary model file; export it again from its framework",
            )
        try:
            with self._zip.open(info) as member:
                data = member.read(info.file_size + 1)
        except Exception as error:  # as above
            raise broken(self.label, f"{name!r}: {error}") from None
        if len(data) != info.file_size:
            raise broken(self.label, f"{name!r} has {len(data)} bytes instead of {info.file_size}")
        return data

    def json(self, name: str) -> Any:
        """Return a member parsed as JSON of bounded size and depth."""
        return parse_json(self.read(name, MAX_JSON_BYTES), self.label, name)


def parse_json(data: bytes | str, label: str, part: str) -> Any:
    """Parse JSON; raises `ModelError` naming the file and its part for damage or excessive depth."""
    too_deep = ModelError(f"model {label}: {part} is nested deeper than {MAX_JSON_DEPTH} levels")
    try:
        value = json.loads(data)
    except (ValueError, UnicodeDecodeError) as error:
        raise broken(label, f"{part} is not JSON: {error}") from None
    except RecursionError:
        raise too_deep from None
    level = [value]
    for _ in range(MAX_JSON_DEPTH + 1):
        nested: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                nested.extend(item.values())
            elif isinstance(item, list):
                nested.extend(item)
        level = [item for item in nested if isinstance(item, dict | list)]
        if not level:
            return value
    raise too_deep
