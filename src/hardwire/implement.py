"""Synthesis, place & route: a design's Verilog through the open tools, and what they say of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hardwire.errors import ContractError, DataError, HardwireError, ModelError
from hardwire.report.schema import hardware_report
from hardwire.schedule.circuit import Circuit
from hardwire.schedule.closing import Closure, Contract, close
from hardwire.targets import Target
from hardwire.tools import ghdl
from hardwire.tools.harness import add_harness
from hardwire.tools.placers import RouteResult, place_and_route
from hardwire.tools.yosys import SynthesisResult, synthesise
from hardwire.writing import written

if TYPE_CHECKING:
    from hardwire.design import Design
    from hardwire.writing import Hardware

Progress = Callable[[str], None]
FOLDER = "synthesis"
_ROOM = 1.15
"""Share of a resource beyond which synthesis is not tried: estimates are off by about a tenth."""


class NotVerilogError(HardwireError):
    """The build's back end wrote neither Verilog nor VHDL, so the open tools cannot take it."""

    exit_code = 2


def verilog_of(design: Design, folder: Path) -> list[Path]:
    """Write (or find) the design's Verilog sources under `folder`; returns their paths.

    Raises `NotVerilogError` where there are none, and what `placed` raises.
    """
    names = sources(design.files, (".v",))
    if not names:
        raise NotVerilogError(f"design {design.name!r} has no Verilog files", hint="compile it with --backend verilog")
    return placed(design, names, folder)


def _synthesisable(design: Design, folder: Path, work: Path) -> tuple[list[Path], str]:
    """Verilog for Yosys, and the tool that made it where the design is VHDL: GHDL's netlist of operators in `work`."""
    names = sources(design.files, ghdl.SUFFIXES)
    if not names:
        return verilog_of(design, folder), ""
    netlist = ghdl.to_verilog(placed(design, names, folder), design.module, workdir=work / "vhdl")
    return [netlist], f"ghdl {ghdl.TOOL.find().version}, "


def sources(files: Iterable[str], suffixes: Collection[str]) -> list[str]:
    """Those of a back end's files that a tool for these suffixes takes; a test bench is no source."""
    return [name for name in files if Path(name).suffix in suffixes and not name.startswith("tb/")]


def placed(design: Design, names: Iterable[str], folder: Path) -> list[Path]:
    """Write (or find) files of a design under `folder`; returns their paths.

    Raises `ModelError` where the folder holds another text: its build was replaced or edited since.
    """
    paths = []
    for name in names:
        path = folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(design.files[name], encoding="utf-8")
        elif path.read_text(encoding="utf-8") != design.files[name]:
            raise ModelError(
                f"design {design.name!r}: {str(path)!r} is not this design's; the build was replaced or edited since",
                hint="load the build again, or save the design elsewhere",
            )
        paths.append(path)
    return paths


def implement(
    design: Design,
    folder: Path,
    *,
    seeds: int = 1,
    first_seed: int = 1,
    route: bool = True,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Synthesise and, where the target has open place & route, place and route with seeds `first_seed …`.

    Returns the `synthesis` and `timing` parts of the report. All tools work in `folder/synthesis`, which is replaced
    as a whole when they are done. Raises `DataError` for fewer than one seed.
    """
    if seeds < 1:
        raise DataError(f"{seeds} seeds place nothing", hint="seeds=1 or more")
    circuit = design.circuit
    fit = design.report_data.get("fit") or {"share": {}}
    over = {key: share for key, share in fit["share"].items() if share > _ROOM}
    if over:
        key, share = max(over.items(), key=lambda item: item[1])
        raise ContractError(
            f"design {design.name!r} does not fit {design.target.name}: about "
            f"{design.report_data['estimate'][key]:,} {key.upper()} of {getattr(circuit.target.resources, key):,} "
            f"({share:.0%})",
            hint="a larger part (--target), fewer bits (a lower --fidelity), pruning, or a smaller network",
        )
    final = folder / FOLDER
    work = folder / f".{FOLDER}.part"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        chosen = range(first_seed, first_seed + seeds)
        result = _run(design, folder, work, seeds=chosen, route=route, progress=progress)
        shutil.rmtree(final, ignore_errors=True)
        work.replace(final)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return result


def implement_to_contract(
    design: Design, folder: Path, *, seeds: int, attempts: int, progress: Progress | None = None
) -> tuple[dict[str, Any], Design, Closure]:
    """Place and route until the contract is met or `attempts` are spent, planning anew with what was measured.

    Returns the `synthesis` and `timing` parts of the report, the design that comes closest (the given one, or one
    scheduled anew and not saved), and the steps. The results lie in `folder/synthesis`.
    """
    options = design.report_data["options"]
    contract = Contract(**{key: options[key] for key in ("clock_mhz", "latency_ns", "latency_cycles")})
    with tempfile.TemporaryDirectory(prefix=".attempts.", dir=folder) as scratch:
        tried: dict[tuple[bytes, int], tuple[dict[str, Any], Design, Path]] = {}

        def route(circuit: Circuit, seed: int) -> float:
            candidate = design if circuit is design.circuit else rescheduled(design, circuit)
            where = Path(scratch) / str(len(tried))
            where.mkdir()
            first = 1 + (seed - 1) * seeds
            parts = implement(candidate, where, seeds=seeds, first_seed=first, progress=progress)
            tried[circuit.stage.tobytes(), seed] = parts, candidate, where / FOLDER
            fmax = float(parts["timing"]["fmax_mhz"])
            if progress is not None:
                progress(f"placement {len(tried)}: {circuit.latency} cycles, {fmax:.1f} MHz")
            return fmax

        closure = close(design.flat, design.target, design.circuit, contract, route, attempts=attempts)
        parts, chosen, results = tried[closure.circuit.stage.tobytes(), closure.seed]
        final = folder / FOLDER
        shutil.rmtree(final, ignore_errors=True)
        results.replace(final)
    return parts, chosen, closure


def rescheduled(design: Design, circuit: Circuit) -> Design:
    """Return the design with another schedule of the same Program, not saved and with its verification to be done."""
    options = design.report_data["options"]
    hardware = replace(design.built, circuit=circuit)
    files = written(design.module, design.program, hardware, design.target, None, design.backend)
    report = rescheduled_report(design, hardware, design.target, options, files)
    return replace(design, hardware=hardware, report_data=report, home=None, files=files)


def rescheduled_report(
    design: Design, hardware: Hardware | None, target: Target, options: Mapping[str, Any], files: Mapping[str, str]
) -> dict[str, Any]:
    """Return the design's report for other `hardware`: what tools found of the old one is gone."""
    report = {
        **design.report_data,
        **hardware_report(design.program, None if hardware is None else hardware.circuit, target, options),
        "options": options,
        "files": sorted(files),
        "verification": {},
    }
    for stale in ("synthesis", "timing"):
        report.pop(stale, None)
    return report


def _run(
    design: Design, folder: Path, work: Path, *, seeds: range, route: bool, progress: Progress | None
) -> dict[str, Any]:
    family = design.target.synthesis["family"]
    verilog, before = _synthesisable(design, folder, work)
    netlist = synthesise(
        verilog,
        design.module,
        family=family,
        workdir=work,
        dsp=design.target.resources.dsp > 0,
        progress=progress,
    )
    report: dict[str, Any] = {"synthesis": _synthesis(netlist, before)}
    place = design.target.place
    if not (route and place):
        report["timing"] = {
            "fmax_mhz": None,
            "critical_path": [],
            "note": "not placed and routed"
            if place
            else f"no open place & route for {design.target.name}: the clock is an estimate of the delay model",
        }
        return report
    inputs = {bus.name: bus.width for bus in design.circuit.inputs}
    outputs = {bus.name: bus.width for bus in design.circuit.outputs}
    wrapped = add_harness(netlist, inputs, outputs, family=family, workdir=work / "harness", progress=progress)
    runs: list[RouteResult] = []
    for seed in seeds:
        runs.append(
            place_and_route(
                wrapped.json_path,
                place,
                freq_mhz=design.circuit.clock_mhz,
                seed=seed,
                workdir=work / f"seed{seed}",
                progress=progress,
            )
        )
    best = max(runs, key=lambda run: run.fmax_mhz)
    report["timing"] = {
        "fmax_mhz": best.fmax_mhz,
        "constraint_mhz": best.constraint_mhz,
        "seed": best.seed,
        "fmax_by_seed": {str(run.seed): run.fmax_mhz for run in runs},
        "critical_path": [
            {
                "kind": step.kind,
                "ns": step.delay_ns,
                "cell": step.cell,
                "net": step.net,
                "source": list(step.sources),
            }
            for step in best.critical_path
        ],
        "layers": critical_layers(design, best),
        "utilisation": {
            name: {"used": use.used, "available": use.available}
            for name, use in sorted(best.utilisation.items())
            if use.used
        },
        "harness": "ports shifted in and out serially by registers of a harness, counted in utilisation only",
        "tool": best.version,
    }
    return report


def critical_layers(design: Design, run: RouteResult) -> list[str]:
    """Layers that the critical path passes, by the wire names that carry them."""
    names = {}
    for origin in design.circuit.kernel.origins:
        if origin:
            names["".join(c if c.isalnum() else "_" for c in origin)] = origin
    found: list[str] = []
    for step in run.critical_path:
        for text in (step.cell, step.net or ""):
            for plain, origin in names.items():
                if f".{plain}_" in f".{text.split('.', 1)[-1]}" and origin not in found:
                    found.append(origin)
    return found


def _synthesis(netlist: SynthesisResult, before: str) -> dict[str, Any]:
    counts = {key: round(value) for key, value in netlist.resources.items()}
    return {
        **counts,
        "cells": dict(sorted(netlist.cells.items())),
        "tool": f"{before}{netlist.tool} {netlist.version}",
        "netlist": f"{FOLDER}/{netlist.json_path.name}",
    }
