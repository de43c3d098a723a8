"""Projects: one file a vendor's tool or a packaging format, found by its presence in this folder.

A project module has `NAME`, `TITLE` (one line for people), `BACKENDS` (names of the back ends whose files it takes)
and `emit(project: Project) -> dict[file name, text]`: what is written beside the sources of `project.files`. Every
file name is relative to the one folder that holds both, and what the written files refer to they find from their own
place, so that the folder builds from any directory and may be moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from types import ModuleType

from hardwire.errors import HardwireError, InternalError
from hardwire.ir.program import Program
from hardwire.presence import modules_in
from hardwire.schedule.circuit import Circuit
from hardwire.targets import Target

__all__ = ["Project", "ProjectError", "emit", "project", "projects"]


class ProjectError(HardwireError):
    """No such project, or one that cannot hold this design: its back end, part or names do not fit."""

    exit_code = 2


@dataclass(frozen=True, eq=False)
class Project:
    """What a project is written from: one compiled design with the files of one back end."""

    name: str
    """The design's name, legal as a module's."""
    top: str
    """The top module, entity or function: the design's, or its wrapper's."""
    files: Mapping[str, str]
    """The sources by relative name, wrapper included."""
    backend: str
    circuit: Circuit | None
    """The schedule of an RTL back end's design; None for HLS."""
    program: Program
    target: Target
    part: str | None
    """The vendor's full part number; None for the project's default of the target."""
    clock_mhz: float
    version: str
    """The design's version, as `1.0.0`."""


@cache
def _registry() -> dict[str, ModuleType]:
    return {module.NAME: module for module in modules_in(__name__, __path__).values()}


def projects() -> list[str]:
    """Names of the projects, sorted."""
    return sorted(_registry())


def project(name: str) -> ModuleType:
    """Return the project module of that name; raises `ProjectError` that lists the known ones."""
    try:
        return _registry()[name]
    except KeyError:
        raise ProjectError(f"project {name!r} is unknown", hint=f"one of {', '.join(projects())}") from None


def emit(given: Project, name: str) -> dict[str, str]:
    """Write the files of project `name` for a design; byte-identical for the same input.

    Raises `ProjectError` where the project does not take the design's back end, or cannot hold its target or names.
    """
    module = project(name)
    if given.backend not in module.BACKENDS:
        raise ProjectError(
            f"project {name!r} ({module.TITLE}) takes no files of back end {given.backend!r}",
            hint=f"--backend {' or '.join(module.BACKENDS)}{_others(given.backend)}",
        )
    files: dict[str, str] = module.emit(given)
    for path in files:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or "\\" in path:
            raise InternalError(f"project {name!r} writes {path!r}, outside its folder")
        if path in given.files:
            raise ProjectError(
                f"project {name!r} writes {path!r}, which back end {given.backend!r} writes as well",
                hint="export the project without that source",
            )
    return files


def _others(backend: str) -> str:
    fitting = [name for name, module in sorted(_registry().items()) if backend in module.BACKENDS]
    return f"; or, for {backend}, --project {' or '.join(fitting)}" if fitting else ""
