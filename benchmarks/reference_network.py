"""The jet tagger 16-64-32-32-5 from weights to cell counts, beside alkaid through the very same synthesis.

    python benchmarks/reference_network.py [--target ecp5|xcup] [--peer-alkaid PYTHON] [--json OUT] [--markdown OUT]

Weights s6.5 and inputs s8.4 are seeded (`networks.py`; `--network FILE` takes a file of the same form), hidden layers
are ReLU to u8.5 by truncation and wrapping, outputs have full precision. Both tools' Verilog is synthesised by Yosys
twice, with adders kept as carry chains and with its stock script, and of each tool the better result counts: the one
with the fewest LUTs, on ECP5 with the fewest logic sites after packing by nextpnr (a carry chain takes some for its
ends). Multipliers are not used.

Pipelines are cut by the same rule, not at a clock: at most `--levels` adders between two registers (ours: a target on
which an adder takes one unit and wires, ReLU and wrapping none; alkaid: its `latency_cutoff`, by whose default an
adder takes a little over one unit and ReLU none). Cycles are register ranks from port to port, for both.

Everything is compared with the exact float64 result on `--events` events: emulators and synthesised netlists.
`--work DIR` keeps the files of all tools, and a later run with the same sources takes up the netlists there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from networks import Mlp, mlp, network
from numpy.typing import NDArray

from hardwire.backends.verilog import emit
from hardwire.emulate import compile_program
from hardwire.fixed import Ints
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Program
from hardwire.layers._lowering import lower
from hardwire.network.prepare import prepare
from hardwire.passes.pipelines import flatten, simplify
from hardwire.schedule import Circuit, schedule
from hardwire.solver import AdderGraph, FullAdderCost, solve
from hardwire.targets import Target
from hardwire.targets import target as find_target
from hardwire.targets._base import Delays
from hardwire.tools.bits import pack, unpack
from hardwire.tools.netlist import NetlistSimulator
from hardwire.tools.nextpnr import TOOL as NEXTPNR
from hardwire.tools.process import run as run_tool
from hardwire.tools.yosys import synthesise
from hardwire.verification import packed, unpacked

PARTS = {"ecp5": "ecp5-85k", "xcup": "xcup-vu13p"}
FLOWS = {"keep": "adders kept", "stock": "stock"}
DRIVER = Path(__file__).resolve().parent / "peers" / "alkaid_network.py"
UNIT = Delays(
    overhead=0.0,
    lut=0.0,
    carry_in=1.0,
    carry_bit=0.0,
    mux=0.0,
    dsp=1.0,
    fanout=0.0,
    growth=0.0,
    reference_lut=1.0,
)
"""An adder takes one unit; ReLU, wrapping and wires none."""

Row = dict[str, Any]


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def solved(matrix: Ints, lo: Ints, hi: Ints, depth: Ints, *, part: Target, limit: int | None, cpu: list[float]) -> Any:
    """Solve without the process's memory of earlier solves, and add the CPU seconds to `cpu`."""
    start = time.process_time()
    cost = FullAdderCost(part.costs.adder_overhead)
    graph: AdderGraph = solve(matrix, lo=lo, hi=hi, input_depth=depth, depth_limit=limit, cost=cost)
    cpu.append(time.process_time() - start)
    return graph


def compiled(model: Mlp, part: Target, limit: int | None) -> tuple[Program, Row]:
    """Weights to a flat Program; CPU seconds of the solver and of everything."""
    start, cpu = time.process_time(), list[float]()
    program = simplify(lower(prepare(network(model)), {"x": model.input}))
    flat = flatten(program, partial(solved, part=part, limit=limit, cpu=cpu))
    kernel = flat.flat
    adders = np.isin(kernel.op, [int(OpCode.ADD), int(OpCode.SUB)]) & (kernel.lo != kernel.hi)
    figures = {
        "adders": int(adders.sum()),
        "ops": len(kernel),
        "solve_cpu_s": sum(cpu),
        "compile_cpu_s": time.process_time() - start,
    }
    return flat, figures


def cut(flat: Program, part: Target, levels: int) -> Circuit:
    """At most `levels` adders between two registers."""
    counted = replace(part, delays=UNIT, margin=0.0)
    # A thousandth to spare for sums of floats.
    return schedule(flat, counted, clock_mhz=1000.0 / (levels + 1e-3))


def chains(netlist: Path, top: str) -> int:
    """Carry chains of an ECP5 netlist: carry cells that no other one feeds."""
    cells = json.loads(netlist.read_text())["modules"][top]["cells"].values()
    carry = [cell["connections"] for cell in cells if cell["type"] == "CCU2C"]
    fed = {bit for pins in carry for bit in pins["COUT"] if isinstance(bit, int)}
    return sum(pins["CIN"][0] not in fed for pins in carry)


def packed_sites(netlist: Path) -> int:
    """Logic sites (TRELLIS_COMB) that nextpnr packs a netlist into: LUTs, carry chains and their ends."""
    report = netlist.with_name("packed.json")
    if not (report.is_file() and report.stat().st_mtime > netlist.stat().st_mtime):
        tool = NEXTPNR.find()
        part = ["--85k", "--package", "CABGA756", "--speed", "8"]
        arguments = [*part, "--json", netlist.name, "--pack-only", "--report", "packed.json.part"]
        run_tool(
            [*tool.command, *arguments],
            cwd=netlist.parent,
            log=netlist.with_name("pack.log"),
            env=tool.environment,
            tool="nextpnr-ecp5",
        )
        report.with_name("packed.json.part").replace(report)
    return int(json.loads(report.read_text())["utilization"]["TRELLIS_COMB"]["used"])


def synthesised(sources: Sequence[Path], top: str, family: str, flow: str, work: Path) -> Row:
    """Cell counts of one flow; taken from `work` where the very same sources were synthesised before."""
    digest = hashlib.sha256(version("pyosys").encode())
    for path in sources:
        digest.update(path.read_bytes())
    known, netlist, key = work / "figures.json", work / f"{top}.json", digest.hexdigest()
    row: Row = json.loads(known.read_text()) if known.is_file() and netlist.is_file() else {}
    if row.get("sources") != key:
        done = synthesise(sources, top, family=family, workdir=work, keep_adders=flow == "keep", dsp=False)
        row = {
            "sources": key,
            "flow": flow,
            **{name: round(done.resources[name]) for name in ("lut", "carry", "ff")},
            "cells": dict(sorted(done.cells.items())),
            "yosys": done.version,
        }
        known.write_text(json.dumps(row, indent=1))
    if family == "ecp5":
        row["chains"] = chains(netlist, top)
        row["comb"] = packed_sites(netlist)
    return row


def size(row: Row) -> int:
    """What is compared: all logic sites on ECP5, LUTs elsewhere."""
    return int(row["comb"] if "comb" in row else row["lut"])


def codes_of(values: NDArray[np.float64], kif: Sequence[Sequence[int]]) -> Ints:
    return np.rint(values * 2.0 ** np.array([f for _, _, f in kif])).astype(np.int64)


def peer_mismatches(netlist: Path, x: NDArray[np.float64], y: NDArray[np.float64], peer: Row, cycles: int) -> int:
    """Events that the peer's netlist answers differently; its module has neither reset nor valid bits."""
    widths = {side: [k + i + f for k, i, f in peer[f"{side}_kif"]] for side in ("in", "out")}
    words = pack(codes_of(x, peer["in_kif"]), widths["in"])
    words = np.concatenate([words, np.zeros((cycles, words.shape[1]), np.uint64)])
    answers = NetlistSimulator(netlist, "mlp").trace({"model_inp": words})["model_out"][cycles:]
    got = unpack(np.ascontiguousarray(answers), widths["out"], [bool(k) for k, _, _ in peer["out_kif"]])
    return int((got != codes_of(y, peer["out_kif"])).any(axis=1).sum())


def our_rows(model: Mlp, options: argparse.Namespace, part: Target, work: Path) -> tuple[Row, list[Row]]:
    x = model.data(options.events)
    y = model.reference(x)
    warm = mlp(sizes=(4, 4, 2))
    compiled(warm, part, options.depth)
    runs = [compiled(model, part, options.depth) for _ in range(options.repeats)]
    flat = runs[0][0]
    solved_figures = runs[0][1]
    for name in ("solve_cpu_s", "compile_cpu_s"):
        solved_figures[name] = statistics.median(run[1][name] for run in runs)
    emulated = compile_program(flat).predict([x])[0]
    wrong = int((emulated != y).any(axis=1).sum())
    solved_figures["emulator"] = {"vectors": len(x), "mismatches": wrong}
    say(f"hardwire: {solved_figures}")
    codes = [np.rint(x * 16).astype(np.int64)]
    scales = np.array([float(s) for s in flat.port_scale(flat.outputs[0])])
    rows = []
    for levels in options.levels:
        start = time.process_time()
        circuit = cut(flat, part, levels)
        files = emit(circuit, flat, "mlp")
        seconds = time.process_time() - start
        folder = work / f"hardwire_levels{levels}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mlp.v").write_text(files["mlp.v"])
        row: Row = {"tool": "hardwire", "levels": levels, "cycles": circuit.latency, "estimate": circuit.estimate()}
        row.update(schedule_and_write_cpu_s=seconds, adders=solved_figures["adders"], flows={})
        for flow in options.flows:
            say(f"hardwire, {levels} levels: Yosys, {FLOWS[flow]}")
            place = folder / f"{options.target}_{flow}"
            found = synthesised([folder / "mlp.v"], "mlp", part.synthesis["family"], flow, place)
            answers = NetlistSimulator(place / "mlp.json", "mlp").run(
                packed(circuit.inputs, codes), latency=circuit.latency
            )
            got = unpacked(circuit.outputs, answers.outputs)[0] * scales
            netlist = {"vectors": len(x), "mismatches": int((got != y).any(axis=1).sum())}
            row["flows"][flow] = {**found, "netlist": netlist}
            say(f"  {brief(row['flows'][flow])}")
        rows.append(row)
    return solved_figures, rows


def peer_rows(model: Mlp, options: argparse.Namespace, part: Target, work: Path) -> tuple[Row, list[Row]]:
    x = model.data(options.events)
    y = model.reference(x)
    folder = work / "alkaid"
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {
        f"{k}{i}": v for i, layer in enumerate(model.layers) for k, v in zip("wb", layer, strict=True)
    }
    hidden = [model.hidden.bits - model.hidden.frac, model.hidden.frac]
    np.savez(folder / "network.npz", x=x, y=y, hidden=hidden, **arrays)
    command = [options.peer_alkaid, str(DRIVER), str(folder / "network.npz"), str(folder)]
    command += ["--levels", ",".join(map(str, options.levels)), "--repeats", str(options.repeats)]
    say("alkaid: solving")
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=sys.stderr)
    peer: Row = json.loads((folder / "figures.json").read_text())
    chosen = peer["solved"][str(peer["chosen"])]
    rows = []
    for project in peer.pop("projects"):
        name = f"levels{project['levels']}{'_ternary' if project['ternary'] else ''}"
        row: Row = {"tool": "alkaid", **project, "adders": chosen["adders"], "flows": {}}
        sources = [folder / path for path in row.pop("verilog")]
        for flow in options.flows:
            say(f"alkaid, {name}: Yosys, {FLOWS[flow]}")
            place = folder / f"{name}_{options.target}_{flow}"
            found = synthesised(sources, "mlp", part.synthesis["family"], flow, place)
            wrong = peer_mismatches(place / "mlp.json", x, y, peer, row["cycles"])
            row["flows"][flow] = {**found, "netlist": {"vectors": len(x), "mismatches": wrong}}
            say(f"  {brief(row['flows'][flow])}")
        rows.append(row)
    return peer, rows


def brief(row: Row) -> str:
    cells = ", ".join(f"{name} {row[name]:,}" for name in ("lut", "carry", "chains", "comb", "ff") if name in row)
    return f"{cells}; netlist: {row['netlist']['mismatches']} of {row['netlist']['vectors']} differ"


def best(rows: Sequence[Row], tool: str, levels: int) -> tuple[Row, Row] | None:
    """The row and flow of a tool with the fewest sites at a number of levels; ties to the fewest registers."""
    flows = [(r, f) for r in rows if r["tool"] == tool and r["levels"] == levels for f in r["flows"].values()]
    return min(flows, key=lambda pair: (size(pair[1]), pair[1]["ff"]), default=None)


def ratios(result: Row) -> list[Row]:
    """Ours over the peer's, the better result of each; below 1 is better."""
    found = []
    if "alkaid" not in result:
        return []
    ours, peer = result["hardwire"], result["alkaid"]["solved"][str(result["alkaid"]["chosen"])]
    for levels in sorted({row["levels"] for row in result["rows"]}):
        us, them = best(result["rows"], "hardwire", levels), best(result["rows"], "alkaid", levels)
        if us is None or them is None:
            continue
        (row, flow), (other, other_flow) = us, them
        found.append(
            {
                "levels": levels,
                "logic sites" if "comb" in flow else "LUT": size(flow) / size(other_flow),
                "FF": flow["ff"] / other_flow["ff"],
                "cycles": row["cycles"] / other["cycles"],
                "adders": ours["adders"] / peer["adders"],
                "solve CPU": ours["solve_cpu_s"] / peer["solve_cpu_s"],
            }
        )
    return found


def markdown(result: Row) -> str:
    """The table of a result."""
    ecp5 = result["target"] == "ecp5"
    head = ["tool", "levels", "synthesis", "LUT4" if ecp5 else "LUT", "CCU2C" if ecp5 else "CARRY4", "FF"]
    head += ["chains", "sites"] if ecp5 else []
    head += ["cycles", "adders", "netlist ≠ numpy"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in sorted(result["rows"], key=lambda r: (r["levels"], r["tool"] != "hardwire", r.get("ternary", False))):
        for flow in row["flows"].values():
            chosen = best(result["rows"], row["tool"], row["levels"])
            mark = "**" if chosen is not None and chosen[1] is flow else ""
            tool = row["tool"] + (", ternary" if row.get("ternary") else "")
            cells = [f"{mark}{tool}{mark}", str(row["levels"]), FLOWS[flow["flow"]]]
            cells += [f"{flow[name]:,}" for name in ("lut", "carry", "ff")]
            cells += [f"{flow['chains']:,}", f"{mark}{flow['comb']:,}{mark}"] if ecp5 else []
            test = flow["netlist"]
            cells += [str(row["cycles"]), f"{row['adders']:,}", f"{test['mismatches']} of {test['vectors']:,}"]
            lines.append(f"| {' | '.join(cells)} |")
    ours = result["hardwire"]
    lines += [
        "",
        f"hardwire: {ours['solve_cpu_s']:.2f} CPU s to solve, {ours['compile_cpu_s']:.2f} in all to a flat Program; "
        f"emulator: {ours['emulator']['mismatches']} of {ours['emulator']['vectors']:,} events differ from numpy.",
    ]
    if "alkaid" in result:
        for depth, row in result["alkaid"]["solved"].items():
            used = ", used" if int(depth) == result["alkaid"]["chosen"] else ""
            lines.append(
                f"alkaid, hard_dc {depth}{used}: {row['adders']:,} adders, cost {row['cost']:,.0f}, "
                f"{row['solve_cpu_s']:.2f} CPU s; emulator: {row['emulator']['mismatches']} of "
                f"{row['emulator']['vectors']:,} differ.  "
            )
        rows = ratios(result)
        names = list(rows[0]) if rows else []
        lines += ["", "Ours / alkaid's, the better synthesis of each (bold above); below 1 is better:", ""]
        lines += [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
        for row in rows:
            lines.append(f"| {' | '.join(str(v) if k == 'levels' else f'{v:.2f}' for k, v in row.items())} |")
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items())
    return "\n".join([f"`{result['command']}` on {result['network']} ({versions})", "", *lines, ""])


def write(path: Path | None, text: str) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial_path = path.with_name(path.name + ".part")
        partial_path.write_text(text)
        os.replace(partial_path, path)


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", choices=sorted(PARTS), default="ecp5")
    parser.add_argument("--network", type=Path, help="a Python file that defines the network (see README.md)")
    parser.add_argument("--sizes", default="16-64-32-32-5", help="layer sizes of another network of the same kind")
    parser.add_argument("--levels", type=numbers, default=[2, 5], help="adders between two registers, at most")
    parser.add_argument("--depth", type=int, default=0, help="levels beyond the least that our solver may use")
    parser.add_argument("--flows", type=lambda s: s.split(","), default=list(FLOWS), help="keep, stock or both")
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=3, help="of the solves, for the median of their CPU seconds")
    parser.add_argument("--peer-alkaid", metavar="PYTHON", help="interpreter of an environment with alkaid")
    parser.add_argument("--work", type=Path, help="keep the tools' files here")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args(argv)
    for flow in options.flows:
        if flow not in FLOWS:
            parser.error(f"--flows {flow}: one of {', '.join(FLOWS)}")
    return options


def command_line(options: argparse.Namespace) -> str:
    """The command without the paths of this machine."""
    words = ["python benchmarks/reference_network.py", "--target", options.target]
    words += ["--levels", ",".join(map(str, options.levels)), "--flows", ",".join(options.flows)]
    usual = arguments([])
    for name in ("sizes", "depth", "events", "repeats"):
        if getattr(options, name) != getattr(usual, name):
            words += [f"--{name}", str(getattr(options, name))]
    words += ["--network FILE"] if options.network else []
    words += ["--peer-alkaid PYTHON"] if options.peer_alkaid else []
    return " ".join(words)


def run(options: argparse.Namespace, work: Path) -> Row:
    model = mlp(options.network, [int(size) for size in options.sizes.split("-")])
    part = find_target(PARTS[options.target])
    result: Row = {
        "command": command_line(options),
        "network": model.name,
        "target": options.target,
        "versions": {"hardwire": version("hardwire"), "pyosys": version("pyosys"), "Python": platform.python_version()},
    }
    result["hardwire"], result["rows"] = our_rows(model, options, part, work)
    if options.peer_alkaid:
        result["alkaid"], rows = peer_rows(model, options, part, work)
        result["rows"] += rows
        result["versions"]["alkaid"] = result["alkaid"]["version"]
    result["ratios"] = ratios(result)
    return result


def mismatches(result: Row) -> int:
    """Of all emulators and netlists; the peer's alternatives included."""
    tests = [
        result["hardwire"]["emulator"],
        *(s["emulator"] for s in result.get("alkaid", {}).get("solved", {}).values()),
    ]
    tests += [flow["netlist"] for row in result["rows"] for flow in row["flows"].values()]
    return sum(test["mismatches"] for test in tests)


def main(argv: Sequence[str] | None = None) -> None:
    options = arguments(argv)
    work = options.work or Path(tempfile.mkdtemp(prefix="hardwire-reference-"))
    try:
        result = run(options, work)
    finally:
        if options.work is None:
            shutil.rmtree(work, ignore_errors=True)
    text = markdown(result)
    write(options.json, json.dumps(result, indent=1) + "\n")
    write(options.markdown, text)
    print(text)
    if mismatches(result):
        sys.exit(f"{mismatches(result)} answers differ from the reference")


if __name__ == "__main__":
    main()
