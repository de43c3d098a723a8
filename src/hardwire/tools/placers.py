"""Placers: every module of this package that has `place_and_route`; a target names its own.

A target's `place` has the module's name as `tool`; the rest are keyword arguments of its `place_and_route`, which
places and routes a netlist in the harness and returns a `RouteResult`.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path

from hardwire.errors import DataError
from hardwire.tools._nextpnr import PathStep, RouteResult, Utilisation
from hardwire.tools.process import Progress

__all__ = ["PathStep", "RouteResult", "Utilisation", "place_and_route"]


def place_and_route(
    json_path: Path,
    place: Mapping[str, str],
    *,
    freq_mhz: float,
    seed: int = 1,
    workdir: Path,
    progress: Progress | None = None,
    timeout: float | None = None,
) -> RouteResult:
    """Place and route a netlist in its harness as a target's `place` says, for a clock of `freq_mhz`.

    Raises `DataError` for a placer or an option that is not known, `MissingToolError`, and `ToolError` if the design
    does not fit.
    """
    options = dict(place)
    name = options.pop("tool", "")
    module = f"hardwire.tools.{name}"
    if not name.isidentifier() or importlib.util.find_spec(module) is None:
        raise DataError(f"no module of hardwire.tools is the placer {name!r}", hint="the target's `place` names it")
    result: RouteResult = importlib.import_module(module).place_and_route(
        json_path, freq_mhz=freq_mhz, seed=seed, workdir=workdir, progress=progress, timeout=timeout, **options
    )
    return result
