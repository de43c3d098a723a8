"""Back ends: one file an output language, found by its presence in this folder.

A back end module has `NAME` and `emit(circuit, program, name, vectors=None) -> dict[file name, text]`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from hardwire.errors import HardwireError
from hardwire.ir.program import Program
from hardwire.schedule.circuit import Circuit

__all__ = ["BackendError", "backend", "backends", "emit"]


class BackendError(HardwireError):
    """No such back end, or a name that its language cannot hold."""

    exit_code = 2


@cache
def _registry() -> dict[str, ModuleType]:
    names = [info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_")]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in sorted(names)]
    return {module.NAME: module for module in modules}


def backends() -> list[str]:
    """Names of the back ends, sorted."""
    return sorted(_registry())


def backend(name: str) -> ModuleType:
    """Return the back end of that name; raises `BackendError` that lists the known ones."""
    try:
        return _registry()[name]
    except KeyError:
        raise BackendError(f"back end {name!r} is unknown", hint=f"one of {', '.join(backends())}") from None


def emit(circuit: Circuit, program: Program, name: str, language: str = "verilog") -> dict[str, str]:
    """Write `circuit` as module `name`; returns file name → text, byte-identical for the same input."""
    files: dict[str, str] = backend(language).emit(circuit, program, name)
    return files
