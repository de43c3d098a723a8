"""A design on its way to another tool: its files in any language, wrapped, as a project of a vendor's or as an IP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hardwire import __version__, backends, projects, wrappers
from hardwire.errors import HardwireError
from hardwire.folders import free_folder, replaced, write_text
from hardwire.projects import Project
from hardwire.writing import written

if TYPE_CHECKING:
    from hardwire.design import Design

RECORD = "export.json"
"""What an exported folder says of itself."""

_WRAPPED = ("verilog", "vhdl")
"""Back ends whose module a wrapper can hold: those with `in_valid`, `out_valid` and a fixed latency."""

_RTL_SUFFIXES = (".v", ".vhd")


class ExportError(HardwireError):
    """The parts of an export do not fit each other."""

    exit_code = 2


def export(
    design: Design,
    folder: str | Path,
    *,
    project: str | None = None,
    backend: str | None = None,
    wrapper: str | None = None,
    part: str | None = None,
    version: str = "1.0.0",
) -> dict[str, Any]:
    """Write `folder` for another tool and return what `export.json` in it says.

    `backend` (default: the design's own) chooses the language, `wrapper` (`NAME` or `NAME:OPTION=VALUE,…`) the
    interface around the core, `project` the vendor's project or packaging format, `part` the vendor's part number
    (default: the project's for the target), `version` that of the packaged design. An earlier export there is replaced
    as a whole, anything else is refused. Raises `ExportError`, `BackendError`, `WrapperError` or `ProjectError` where
    the choices do not fit the design or each other.
    """
    home = free_folder(folder, RECORD, "folder of `hardwire export`")
    if part is not None and project is None:
        raise ExportError(
            f"part {part!r} is for a vendor's project, and none is asked for",
            hint=f"--project {' or '.join(projects.projects())}, or no --part",
        )
    language = design.backend if backend is None else backend
    files = dict(_files(design, language))
    top, name = design.module, design.module
    if wrapper is not None:
        top = _wrap(design, files, language, wrapper)
    if project is not None:
        circuit = None if design.hardware is None or backends.from_program(language) else design.circuit
        given = Project(
            name, top, files, language, circuit, design.program, design.target, part, design.clock_mhz, version
        )
        files |= projects.emit(given, project)
    record = {
        "name": name,
        "top": top,
        "backend": language,
        "wrapper": wrapper,
        "project": project,
        "part": part,
        "target": design.target.name,
        "clock_mhz": design.clock_mhz,
        "source": design.report_data["source"],
        "version": version,
        "hardwire": __version__,
        "files": sorted(files),
    }
    with replaced(home) as beside:
        for relative, text in sorted(files.items()):
            write_text(beside / relative, text)
        write_text(beside / RECORD, json.dumps(record, indent=1) + "\n")
    return record


def _files(design: Design, language: str) -> Mapping[str, str]:
    if language == design.backend and design.files:
        return design.files
    if language == design.backend:
        raise ExportError(
            f"design {design.name!r} was compiled for emulation only, so there is nothing to hand over",
            hint=f"--backend {' or '.join(name for name in backends.backends() if backends.from_program(name))}, "
            "or compile it with --backend verilog",
        )
    hardware = None if backends.from_program(language) else design.built
    return written(design.module, design.program, hardware, design.target, design.clock_mhz, language)


def _wrap(design: Design, files: dict[str, str], language: str, wrapper: str) -> str:
    """Add the wrapper's files to `files`; returns the wrapped module's name."""
    chosen = wrappers.wrapper(wrapper)
    if language not in _WRAPPED:
        raise ExportError(
            f"wrapper {chosen.NAME!r} goes around a module of fixed latency, and back end {language!r} writes none",
            hint=f"--backend {' or '.join(_WRAPPED)}; the HLS back ends write stream interfaces of their own",
        )
    added = chosen.emit(design.circuit, design.module)
    if language != "verilog":
        # Wrapper and core in two languages: no open simulator takes both, so its bench would not run.
        added = {path: text for path, text in added.items() if not path.startswith("tb/")}
    # The wrapped module's test bench and constraints take the place of the core's, whose ports are inside now; it reads
    # the core's vectors.
    bench = any(path.startswith("tb/") for path in added)
    for path in [path for path in files if not path.endswith(_RTL_SUFFIXES) or path.startswith("tb/")]:
        if path != "ports.json" and not (bench and path.endswith(".hex")):
            del files[path]
    both = sorted(set(files) & set(added))
    if both:
        raise ExportError(f"wrapper {chosen.NAME!r} and back end {language!r} both write {both[0]!r}")
    files.update(added)
    return chosen.top(design.module)
