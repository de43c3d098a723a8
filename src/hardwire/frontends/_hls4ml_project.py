"""The files of an hls4ml project, from a directory or a `.tar.gz`, read into memory with limits; none is unpacked."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hardwire.errors import ModelError
from hardwire.frontends._archive import broken

_GZIP = b"\x1f\x8b"
_MAX_FILES = 20_000
_MAX_FILE = 1 << 30
_MAX_TOTAL = 2 << 30
_WANTED = (".h", ".hpp", ".cpp", ".txt", ".yml", ".yaml")
_SKIPPED = frozenset(("nnet_utils", "ap_types", "ac_types", "ac_math", "ac_simutils", "tb_data", "build", "hls4ml_prj"))
KEPT = ("nnet_activation.h", "nnet_batchnorm.h", "nnet_merge.h", "nnet_mult.h", "nnet_pooling.h")
"""Files of the library by whose text releases of hls4ml that compute differently are told apart."""
GENERATED = "nnet_code_gen.h"
"""Functions written for one project."""


@dataclass(frozen=True)
class Project:
    """Text of the project's files by name relative to `firmware/`, and what its configuration says.

    `shapes` has the entries of its `InputShapes` and `OutputShapes`, by variable; `settings` the scalar entries of its
    first level (`Backend`, `IOType`, `ProjectName`, …).
    """

    label: str
    files: dict[str, str]
    settings: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    sha256: str

    def text(self, name: str) -> str:
        """Return a file's text; raises `ModelError` where it is missing."""
        if name not in self.files:
            raise ModelError(
                f"model {self.label}: the hls4ml project has no firmware/{name}",
                hint="write the project again (hls_model.write()), or copy the whole directory",
            )
        return self.files[name]


def is_project(source: Path) -> bool:
    """Whether a path is an hls4ml project, its `firmware/` directory, or a tar archive of one."""
    if source.is_dir():
        return any((source / part / "parameters.h").is_file() for part in ("firmware", ".", "src/firmware"))
    if source.name.endswith((".tar.gz", ".tgz", ".tar")):
        try:
            with tarfile.open(source) as archive:
                return any(PurePosixPath(member.name).name == "parameters.h" for member in _members(archive))
        except (tarfile.TarError, OSError, EOFError):
            return source.name.endswith((".tar.gz", ".tgz"))
    return False


def read_project(source: Path) -> Project:
    """Read a project's files; raises `ModelError` naming it for what is missing, damaged or too large."""
    label = repr(str(source))
    found = dict(_directory(source, label) if source.is_dir() else _archive(source, label))
    homes = [PurePosixPath(name).parent for name in found if PurePosixPath(name).name == "parameters.h"]
    if not homes:
        raise ModelError(f"model {label}: no firmware/parameters.h: this is no hls4ml project")
    home = min(homes, key=lambda path: len(path.parts))
    files: dict[str, str] = {}
    settings: dict[str, str] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    digest = hashlib.sha256()
    for name in sorted(found):
        path = PurePosixPath(name)
        if path.name in ("hls4ml_config.yml", "hls4ml_config.yaml"):
            settings, shapes = _settings(found[name]), _shapes(found[name])
        elif path.is_relative_to(home):
            files[str(path.relative_to(home))] = found[name]
            if path.name in KEPT:
                continue
            digest.update(f"{path.relative_to(home)}\0{found[name]}\0".encode())
    return Project(label, files, settings, shapes, digest.hexdigest())


def _settings(text: str) -> dict[str, str]:
    return {m[1]: m[2].strip().strip("'\"") for m in re.finditer(r"^([A-Za-z]\w*):[ \t]+(\S.*)$", text, re.M)}


def _shapes(text: str) -> dict[str, tuple[int, ...]]:
    out: dict[str, tuple[int, ...]] = {}
    for part in re.findall(r"^(?:InputShapes|OutputShapes):[ \t]*\n((?:[ \t-]+.*\n?)+)", text, re.M):
        for name, dims in re.findall(r"^[ \t]+(\w+):[ \t]*\n((?:[ \t]*-[ \t]*\d+[ \t]*(?:\n|$))+)", part, re.M):
            out[name] = tuple(int(dim) for dim in re.findall(r"\d+", dims))
    return out


def _wanted(path: PurePosixPath) -> bool:
    if path.suffix not in _WANTED:
        return False
    return path.name in (*KEPT, GENERATED) or not _SKIPPED.intersection(path.parts[:-1])


def _directory(source: Path, label: str) -> Iterator[tuple[str, str]]:
    total = count = 0
    root = source
    if not (source / "firmware" / "parameters.h").is_file() and (source / "parameters.h").is_file():
        above = source.resolve().parent
        for name in ("hls4ml_config.yml", "hls4ml_config.yaml"):
            if (above / name).is_file():
                yield name, _text(_bytes(above / name, label), name, label)
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            raise ModelError(f"model {label}: {folder} cannot be read: {error.strerror or error}") from None
        for entry in entries:
            path = PurePosixPath(entry.relative_to(root).as_posix())
            if entry.is_symlink():
                continue
            if entry.is_dir():
                if entry.name not in _SKIPPED or entry.name == "nnet_utils":
                    pending.append(entry)
            elif _wanted(path):
                data = _bytes(entry, label)
                total, count = total + len(data), count + 1
                _check(total, count, label)
                yield str(path), _text(data, str(path), label)


def _archive(source: Path, label: str) -> Iterator[tuple[str, str]]:
    total = count = 0
    try:
        data = _bytes(source, label)
        if data.startswith(_GZIP):
            data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(_MAX_TOTAL + 1)
            _check(len(data), 0, label)
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in _members(archive):
                path = PurePosixPath(member.name.removeprefix("./"))
                if not member.isfile() or not _wanted(path):
                    continue
                total, count = total + member.size, count + 1
                _check(total, count, label)
                file = archive.extractfile(member)
                part = b"" if file is None else file.read(member.size + 1)
                if len(part) != member.size:
                    raise broken(label, f"{path} is cut short")
                yield str(path), _text(part, str(path), label)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise broken(label, error) from None
    except Exception as error:
        if type(error).__module__ == "zlib":
            raise broken(label, error) from None
        raise


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for count, member in enumerate(archive):
        if count > _MAX_FILES * 10:
            raise tarfile.ReadError("too many members")
        yield member


def _check(total: int, count: int, label: str) -> None:
    if total > _MAX_TOTAL or count > _MAX_FILES:
        raise ModelError(f"model {label}: more than {_MAX_FILES} files or {_MAX_TOTAL} bytes of text")


def _bytes(path: Path, label: str) -> bytes:
    try:
        if path.stat().st_size > _MAX_FILE:
            raise ModelError(f"model {label}: {path.name} has {path.stat().st_size} bytes; the limit is {_MAX_FILE}")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"model {label}: {path.name} cannot be read: {error.strerror or error}") from None


def _text(data: bytes, name: str, label: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise broken(label, f"{name} is not text: {error}") from None
