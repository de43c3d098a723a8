"""hls4ml projects: the C++ that hls4ml wrote, read as a model; nothing of it is compiled or run.

Read: a project directory, its `firmware/` directory, or a `.tar.gz` of it. The calls of the top function are the
layers; their types, accumulators, roundings, overflows and tables are those of the project's C simulation, bit for bit.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hardwire.errors import ModelError, UnsupportedError
from hardwire.frontends._hls4ml_cpp import Function, Parser, Unit, preprocess, tokenise
from hardwire.frontends._hls4ml_project import Project, is_project, read_project
from hardwire.frontends._hls4ml_scope import Scope
from hardwire.frontends._hls4ml_walk import Walker, call_names
from hardwire.network.graph import Network, NetworkBuilder, Shape

_OTHERS = ("Quartus", "oneAPI", "Catapult", "Libero", "Symbolic")
FORMAT = "hls4ml project (directory, .tar.gz)"


def accepts(source: Any) -> bool:
    """Whether this is the path of an hls4ml project: a `parameters.h` in it or in its `firmware/`."""
    return isinstance(source, Path) and is_project(source)


def read(source: Path, *, example: Any = None, weights: Any = None) -> Network:
    """Read an hls4ml project into a Network.

    A project says its own shapes and weights: `example` is not needed, `weights` refused. Raises `ModelError` for
    damaged files and `UnsupportedError` naming function and config for what is not understood.
    """
    if weights is not None:
        raise ModelError(f"model {str(source)!r}: weights={str(weights)!r} is given, but an hls4ml project has its own")
    project = read_project(source)
    _check_library(project)
    unit = Unit()
    macros: dict[str, str] = {}
    for name in ("defines.h", "parameters.h"):
        if name == "defines.h" and name not in project.files:
            continue  # before hls4ml 0.2 its types stood in parameters.h
        macros = _parse(project, name, unit, macros)
    top = _top(project, unit, macros)
    settings = {key: project.settings[key] for key in ("Backend", "IOType", "Version") if key in project.settings}
    identity = {"format": "hls4ml", "sha256": project.sha256, **{k.lower(): v for k, v in settings.items()}}
    net = NetworkBuilder(top.name, identity)
    names = call_names("\n".join(text for name, text in project.files.items() if name.endswith(".cpp")))
    walker = Walker(Scope(project, unit, macros), net, names, _shapes(project))
    return net.build(walker.walk(top))


def _check_library(project: Project) -> None:
    """Refuse projects of `ac_fixed`: their library tabulates and rounds in other ways than that of `ap_fixed`."""
    backend = project.settings.get("Backend", "")
    if backend in _OTHERS or re.search(r"\bac_(fixed|int)\s*<", project.files.get("defines.h", "")):
        raise UnsupportedError(
            f"model {project.label}: a project of hls4ml's {backend or 'ac_fixed'} back end is not read; only those of "
            "Vivado and Vitis are",
            hint="write the project for Vitis, or compile the model that it was made from",
        )


def _shapes(project: Project) -> dict[str, Shape]:
    """Shapes of inputs and outputs by the names of their variables, where the configuration states them."""
    return {name: dims for name, dims in project.shapes.items() if dims and min(dims) > 0}


def _parse(project: Project, name: str, unit: Unit, macros: dict[str, str]) -> dict[str, str]:
    label = f"model {project.label}, firmware/{name}"
    text, known = preprocess(project.text(name), macros, label)
    try:
        Parser(tokenise(text, label), unit, label).file()
    except RecursionError:
        raise ModelError(f"{label}: nested too deep") from None
    return known


def _top(project: Project, unit: Unit, macros: dict[str, str]) -> Function:
    """Return the top function: named as the project, or the only one whose body calls `nnet::` functions."""
    wanted = project.settings.get("ProjectName")
    sources = [name for name in project.files if name.endswith(".cpp") and "/" not in name]
    if wanted is not None and f"{wanted}.cpp" in sources:
        sources = [f"{wanted}.cpp"]
    for name in sorted(sources):
        own = Unit(structs=unit.structs)
        _parse(project, name, own, dict(macros))
        bodies = [f for f in own.functions.values() if f.body and any("nnet::" in str(item) for item in f.body)]
        if bodies:
            return next((f for f in bodies if f.name in (wanted, name.removesuffix(".cpp"))), bodies[-1])
    raise ModelError(
        f"model {project.label}: no top function that calls nnet:: functions in firmware/*.cpp "
        f"(found: {', '.join(sorted(sources)) or 'no .cpp file'})",
        hint="write the project again (hls_model.write()), or copy the whole directory",
    )
