"""What vendors' tools say of a design: one file a tool, found by its presence in this folder.

A reader module has `NAME`, `READS` (its files, for people), `accepts(path, head) -> bool` for a path and the first
characters of its text, and `parse(text) -> dict` with some of the parts

- `synthesis`: `lut`, `ff`, `carry`, `dsp`, `bram` (those that the report tells), `available`, `stage`, `design`,
  `part`, `tool`; a part may have resources of its own beside them (`alm`, `uram`);
- `timing`: `fmax_mhz` (None where no path is constrained), `wns_ns`, `clock_mhz`, `clock`, `clocks`, `critical_path`,
  `stage`, `design`, `part`, `tool`;
- `hls`: `latency_cycles`, `initiation_interval`, `estimate`, `clock_mhz`, `fmax_mhz` as high-level synthesis foresees
  them.

`chosen(paths) -> paths`, where a module has it, leaves out those of a folder's reports that tell of a part of the
design or of a corner alone. `parse` raises `VendorReportError` that names line or field; `collect` adds the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from hardwire.presence import modules_in
from hardwire.vendor_reports._text import VendorReportError

__all__ = ["VendorReportError", "collect", "layers_on_path", "read", "reader", "readers"]

STAGES = ("synthesised", "placed", "routed")
"""A report of a later stage overrides one of an earlier."""
_HEAD = 8192
_PARTS = ("synthesis", "timing", "hls")
_LIMIT = 256 << 20


@cache
def _registry() -> dict[str, ModuleType]:
    return {module.NAME: module for module in modules_in(__name__, __path__).values()}


def readers() -> list[str]:
    """Names of the tools whose reports are read, sorted."""
    return sorted(_registry())


def reader(name: str) -> ModuleType:
    """Return the reader of that name; raises `VendorReportError` that lists the known ones."""
    try:
        return _registry()[name]
    except KeyError:
        raise VendorReportError(f"no reports of {name!r} are read", hint=f"of {', '.join(readers())}") from None


def read(path: Path) -> dict[str, Any]:
    """Parse one report, each part with the name of its file; raises `VendorReportError` that names the file."""
    text = _text(path)
    found = _reader_of(path, text)
    if found is None:
        known = "; ".join(module.READS for module in _registry().values())
        raise VendorReportError(f"{str(path)!r} is no report that hardwire reads", hint=f"one of {known}")
    try:
        parts: dict[str, Any] = found.parse(text)
    except VendorReportError as error:
        raise VendorReportError(f"{str(path)!r}: {error.what}", hint=error.hint) from error
    return {name: {**part, "file": path.name} for name, part in parts.items()}


def collect(paths: Iterable[Path | str]) -> dict[str, Any]:
    """Merge the reports of one run into the parts `synthesis`, `timing` and `hls` of `report.json`.

    A folder stands for the reports that are read of all files in it. Where several reports tell of one part, the later
    stage counts (routed over placed over synthesised), and earlier ones fill in what it leaves out; reports of one
    stage must agree. The clock that was asked for is `timing.constraint_mhz`. Raises `VendorReportError` for a file
    that cannot be read, and for reports that contradict each other or are of different designs, with both names.
    """
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in _PARTS}
    files = [file for path in paths for file in _files(Path(path))]
    if not files:
        raise VendorReportError("no reports were given", hint="the files that the tool wrote, or their folder")
    for file in dict.fromkeys(files):
        for name, part in read(file).items():
            found[name].append(part)
    for name in ("design", "part"):
        _one([part for parts in found.values() for part in parts], name)
    merged = {name: _merged(name, parts) for name, parts in found.items() if parts}
    if "timing" in merged:
        # As place & route of hardwire's own names it.
        merged["timing"]["constraint_mhz"] = merged["timing"].pop("clock_mhz", None)
    return merged


def layers_on_path(timing: Mapping[str, Any], origins: Iterable[str]) -> list[str]:
    """Which of the layers `origins` (`circuit.kernel.origins`) the critical path passes, by the names of its wires."""
    plain = {"".join(c if c.isalnum() else "_" for c in origin): origin for origin in origins if origin}
    found: list[str] = []
    for step in timing.get("critical_path") or ():
        for text in (step["cell"], step["net"] or ""):
            for name, origin in plain.items():
                if f".{name}_" in f".{text.split('.', 1)[-1]}" and origin not in found:
                    found.append(origin)
    return found


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found: dict[str, list[Path]] = {}
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.suffix in (".rpt", ".xml", ".summary", ".txt"):
            module = _reader_of(file, _text(file))
            if module is not None:
                found.setdefault(module.NAME, []).append(file)
    if not found:
        raise VendorReportError(f"folder {str(path)!r} holds no report that hardwire reads", hint="name the files")
    chosen: list[Path] = []
    for name, files in found.items():
        module = reader(name)
        chosen += module.chosen(files) if hasattr(module, "chosen") else files
    return chosen


def _reader_of(path: Path, text: str) -> ModuleType | None:
    return next((module for module in _registry().values() if module.accepts(path, text[:_HEAD])), None)


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > _LIMIT:
            raise VendorReportError(f"{str(path)!r} has {size:,} bytes; a report has at most {_LIMIT:,}")
        data = path.read_bytes()
    except OSError as error:
        raise VendorReportError(
            f"{str(path)!r} cannot be read: {error.strerror}", hint="name the report's file"
        ) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Quartus writes its reports so.
        return data.decode("latin-1")


def _one(parts: list[dict[str, Any]], field: str) -> None:
    """Reports of one tool must be of one design and part."""
    first: dict[str, dict[str, Any]] = {}
    for part in parts:
        if part.get(field) is None:
            continue
        known = first.setdefault(str(part.get("tool", "")).split(" ")[0], part)
        one, other = sorted((str(known[field]), str(part[field])), key=len)
        if one != other and not (field == "part" and _device(other).startswith(_device(one))):
            raise VendorReportError(
                f"{known['file']!r} is of {field} {known[field]!r}, {part['file']!r} of {part[field]!r}",
                hint="collect the reports of one run",
            )


def _device(part: str) -> str:
    """Letters and digits: Vivado writes one part as `xczu3egsbva484-1` and as `xczu3eg-sbva484`."""
    return re.sub(r"[^a-z0-9]", "", part.lower()).removeprefix("xc")


def _merged(name: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """One part of several reports; `file` names those that it is made of."""

    def rank(part: Mapping[str, Any]) -> int:
        return STAGES.index(part["stage"]) if "stage" in part else -1

    merged: dict[str, Any] = {}
    origin: dict[str, dict[str, Any]] = {}
    for part in sorted(parts, key=rank, reverse=True):
        for field, value in part.items():
            if field == "file" or (field in merged and value is None):
                continue
            if merged.get(field) is None:
                merged[field], origin[field] = value, part
            elif rank(origin[field]) == rank(part) and merged[field] != value:
                if isinstance(value, dict) and isinstance(merged[field], dict) and not _clash(merged[field], value):
                    merged[field] = {**merged[field], **value}
                    continue
                known = origin[field]["file"]
                raise VendorReportError(
                    f"{name}.{field} is {merged[field]!r} in {known!r} and {value!r} in {part['file']!r}",
                    hint="collect the reports of one run",
                )
    used = [part["file"] for part in parts if any(part is one for one in origin.values())]
    return {**merged, "file": ", ".join(dict.fromkeys(used))}


def _clash(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return any(one[key] != other[key] for key in one.keys() & other.keys())
