"""What the place & route programs of the nextpnr family have in common: their report, their news, how they are run."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardwire.errors import DataError, ToolError
from hardwire.tools.files import bring
from hardwire.tools.find import Tool
from hardwire.tools.process import Completed, Progress, run

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
    """What the family's packer makes a bitstream of."""
    log: Path
    seconds: float
    seed: int
    version: str


def check(tool: Tool, what: str, value: object, known: Sequence[object]) -> None:
    """Raise `DataError` unless the tool knows a value of one of its options."""
    if value not in known:
        raise DataError(f"{tool.name} knows no {what} {value!r}", hint=f"one of {', '.join(map(str, known))}")


def route(
    tool: Tool,
    json_path: Path,
    arguments: Sequence[str],
    *,
    config: str,
    freq_mhz: float,
    seed: int,
    workdir: Path,
    router: str = "",
    files: Sequence[Path] = (),
    progress: Progress | None = None,
    timeout: float | None = None,
) -> RouteResult:
    """Place and route a netlist for a clock of `freq_mhz`; a missed clock is no failure.

    `arguments` are the tool's own, among them what makes it write the file `config`; `files` are brought into
    `workdir`, where it runs. `router`: empty for the tool's own choice; where router1 goes in circles, router2 takes
    over, whose results are slower. Raises `DataError` for a missing file, `MissingToolError`, and `ToolError` if the
    design does not fit or has no clocked path.
    """
    found = tool.find()
    if progress is not None:
        progress("nextpnr: start (the PyPI build compiles itself the first time, for about 20 s)")
    version = found.version
    (netlist,) = bring([json_path], workdir, "netlist")
    bring(files, workdir, "pin constraint file")
    report, routed, log = workdir / "pnr-report.json", workdir / config, workdir / "nextpnr.log"
    for path in (report, routed):
        path.unlink(missing_ok=True)

    def start(command: list[str]) -> Completed:
        return run(
            command,
            cwd=workdir,
            log=log,
            env=found.environment,
            progress=_milestones(progress),
            timeout=timeout,
            tool=tool.name,
        )

    command = [
        *found.command,
        *arguments,
        *("--json", netlist),
        *("--freq", f"{freq_mhz:g}"),
        *("--seed", str(seed)),
        "--timing-allow-fail",
        *("--report", report.name),
    ]
    try:
        done = start([*command, *(("--router", router) if router else ())])
    except _InCirclesError:
        if progress is not None:
            progress("nextpnr: router1 goes in circles; again with router2")
        done = start([*command, "--router", "router2"])
    document = _read(tool, report, log)
    fmax, clock, constraint = _fmax(tool, document, log)
    return RouteResult(
        fmax,
        constraint,
        {name: Utilisation(int(v["used"]), int(v["available"])) for name, v in document["utilization"].items()},
        _critical_path(document, clock),
        report,
        routed,
        log,
        done.seconds,
        seed,
        f"{tool.name} {version}",
    )


def _read(tool: Tool, report: Path, log: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(report.read_text())
    except (OSError, ValueError) as error:
        raise ToolError(f"{tool.name} left no report that can be read: {error} (log: {log})") from error
    return document


def _fmax(tool: Tool, document: dict[str, Any], log: Path) -> tuple[float, str, float]:
    clocks = document.get("fmax", {})
    if not clocks:
        raise ToolError(
            f"{tool.name} found no path between registers, so there is no Fmax (log: {log})",
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


class _InCirclesError(Exception):
    """Router1 rips up and routes the same arcs again and again."""


_CIRCLES = 20
"""News of the router, each after 1,000 arcs, without one arc less to route."""


def _milestones(progress: Progress | None) -> Progress:
    """Turn nextpnr's log lines into short news; lines that are none are dropped. Raises `_InCirclesError`."""
    tell: Progress = progress or (lambda _line: None)
    left: list[str] = []
    place = re.compile(r"at iteration #(\d+), type (?:ALL|TRELLIS_COMB|ICESTORM_LC): .*legal = (\d+)")
    anneal = re.compile(r"at iteration #(\d+): .*?wirelen = (\d+)")
    router1 = re.compile(r"^Info:\s+(\d+) \|\s+\d+\s+\d+ \|\s+\d+\s+\d+ \|\s*(\d+)\|")
    router2 = re.compile(r"iter=(\d+) .*overused=(\d+)")
    stage = re.compile(r"^Info: (Packing \w+|Routing|Running [\w ]+|Creating initial [\w ]+|Max frequency .*)")

    def forward(line: str) -> None:
        if match := place.search(line) or anneal.search(line):
            tell(f"nextpnr: placement iteration {match[1]}, wire length {match[2]}")
        elif match := router1.search(line):
            tell(f"nextpnr: routing, {match[2]} arcs left")
            left.append(match[2])
            if len(left) > _CIRCLES and len({*left[-_CIRCLES:]}) == 1:
                raise _InCirclesError
        elif match := router2.search(line):
            tell(f"nextpnr: routing iteration {match[1]}, {match[2]} wires overused")
        elif match := stage.search(line):
            tell(f"nextpnr: {match[1]}")

    return forward
