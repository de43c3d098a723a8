"""Nanoseconds from input to output after place & route on ECP5, for hardwire's and alkaid's Verilog of a network.

    python benchmarks/route_vs_alkaid.py --out DIR --peer-alkaid PYTHON [--networks-of small] [--levels 1,2]

Both tools' Verilog, cut at the same numbers of adders between two registers (see `networks_vs_alkaid.py`), is
synthesised with adders kept, put between the registers of the same harness, and placed and routed by nextpnr with the
same device, options, wanted clock and seeds. Latency is cycles / Fmax, the median over the seeds. Of alkaid's settings
that is routed which took the fewest logic sites. With `--clocks` hardwire compiles for these clocks too, by its own
model of delays.

A network of 340 adders takes 40 to 80 CPU seconds for each placement. DIR keeps everything by content, so that a run
that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import _alkaid
import _hardwire
from _cases import SIZES, Case, cases
from _synthesis import PARTS, digest, size, synthesised, write
from networks_vs_alkaid import numbers, say

from hardwire.targets import target as find_target
from hardwire.tools.harness import add_harness
from hardwire.tools.nextpnr import TOOL as NEXTPNR
from hardwire.tools.nextpnr import place_and_route
from hardwire.tools.yosys import SynthesisResult

Row = dict[str, Any]
PART = find_target(PARTS["ecp5"])
PORTED = """\
module ported(input clk, input rst, input in_valid, output out_valid, input [{x}:0] x, output [{y}:0] y);
  assign out_valid = in_valid;
  mlp dut(.clk(clk), .model_inp(x), .model_out(y));
endmodule
"""
"""The peer's module with the ports that the harness connects."""


def routed(
    sources: Sequence[Path], top: str, buses: Sequence[dict[str, int]], seeds: int, mhz: float, store: Path
) -> Row:
    """Synthesise, wrap, place and route with each seed; Fmax in MHz, used sites."""
    row, netlist = synthesised(sources, top, "ecp5", "keep", store)
    key = digest(netlist.read_bytes(), NEXTPNR.find().version, f"{mhz:g}", *PART.place.values())
    place = store / f"route_{key}"
    fmax = []
    for seed in range(1, seeds + 1):
        known = place / f"seed{seed}.json"
        if not known.is_file():
            raw = netlist.with_name(f"{top}.raw.json")
            result = SynthesisResult(
                netlist, top, row["cells"], {}, netlist, 0.0, "", "", raw if raw.is_file() else None
            )
            wrapped = add_harness(result, *buses, workdir=place / "harness")
            found = place_and_route(
                wrapped.json_path,
                device=PART.place["device"],
                package=PART.place["package"],
                speed=int(PART.place["speed"]),
                freq_mhz=mhz,
                seed=seed,
                workdir=place / "nextpnr",
            )
            write(known, json.dumps({"fmax_mhz": found.fmax_mhz, "cpu": found.seconds, "tool": found.version}) + "\n")
        fmax.append(json.loads(known.read_text())["fmax_mhz"])
    return {"sites": row["sites"], "ff": row["ff"], "fmax_mhz": fmax}


def with_latency(row: Row) -> Row:
    """Add the medians over the seeds: Fmax and latency in ns, with the least and the greatest."""
    ns = [1000.0 * row["cycles"] / mhz for mhz in row["fmax_mhz"]]
    return row | {
        "fmax_median_mhz": statistics.median(row["fmax_mhz"]),
        "latency_ns": statistics.median(ns),
        "least_ns": min(ns),
        "greatest_ns": max(ns),
    }


def our_row(case: Case, contract: dict[str, Any], name: str, options: argparse.Namespace) -> Row:
    design, figures = _hardwire.compiled(case, **contract)
    circuit, store = design.circuit, options.out / "kept"
    buses = [{bus.name: bus.width for bus in side} for side in (circuit.inputs, circuit.outputs)]
    sources = _hardwire.verilog(design, store)
    row = routed(sources, "mlp", buses, options.seeds, options.mhz, store)
    row = with_latency({"tool": "hardwire", "cut": name, "cycles": figures["cycles"], **row})
    say(f"{case.name}, hardwire, {name}: {brief(row)}")
    return row


def peer_row(case: Case, levels: int, options: argparse.Namespace) -> Row:
    store = options.out / "kept"
    peer, folder = _alkaid.solved(case, case.data(options.events), options.peer_alkaid, [levels], store)
    rows = []
    for project in _alkaid.chosen(peer, levels):
        sources = [folder / name for name in project["verilog"]]
        rows.append((size(synthesised(sources, "mlp", "ecp5", "keep", store)[0]), project["ternary"], project, sources))
    _, _, project, sources = min(rows, key=lambda row: row[:2])
    bits = [sum(max(k + i + f, 0) for k, i, f in peer[f"{side}_kif"]) for side in ("in", "out")]
    wrapper = store / "ported.v"
    write(wrapper, PORTED.format(x=bits[0] - 1, y=bits[1] - 1))
    row = routed([*sources, wrapper], "ported", [{"x": bits[0]}, {"y": bits[1]}], options.seeds, options.mhz, store)
    row = with_latency({"tool": "alkaid", "cut": f"{levels} levels", "cycles": project["cycles"], **row})
    row |= {"hard_dc": project["depth"], "ternary": project["ternary"], "version": peer["versions"]["alkaid"]}
    say(f"{case.name}, alkaid, {levels} levels: {brief(row)}")
    return row


def brief(row: Row) -> str:
    return (
        f"{row['cycles']} cycles at {row['fmax_median_mhz']:.1f} MHz, {row['latency_ns']:.1f} ns, {row['sites']} sites"
    )


def best(rows: Sequence[Row], tool: str) -> Row | None:
    """The cut of a tool with the least latency."""
    return min((r for r in rows if r["tool"] == tool), key=lambda r: r["latency_ns"], default=None)


def ratios(result: Row) -> list[Row]:
    """For each network: ours over the peer's, cut alike and at each tool's best cut."""
    found = []
    for network in result["networks"]:
        for cut in [*dict.fromkeys(row["cut"] for row in network["rows"]), "best"]:
            rows = [row for row in network["rows"] if cut in ("best", row["cut"])]
            ours, peer = best(rows, "hardwire"), best(rows, "alkaid")
            if ours and peer:
                ratio = {name: ours[name] / peer[name] for name in ("latency_ns", "fmax_median_mhz", "cycles")}
                found.append({"network": network["network"], "cut": cut, **ratio})
    return found


def markdown(result: Row) -> str:
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items())
    lines = [
        f"`{result['command']}` ({versions})",
        "",
        "| network | tool | cut | sites | FF | cycles | Fmax of each seed, MHz | latency, ns (least to greatest) |",
        f"|{'---|' * 8}",
    ]
    for network in result["networks"]:
        for row in network["rows"]:
            fmax = ", ".join(f"{mhz:.1f}" for mhz in row["fmax_mhz"])
            ns = f"{row['latency_ns']:.1f} ({row['least_ns']:.1f} to {row['greatest_ns']:.1f})"
            cells = [network["network"], row["tool"], row["cut"], f"{row['sites']:,}", f"{row['ff']:,}"]
            lines.append(f"| {' | '.join([*cells, str(row['cycles']), fmax, ns])} |")
    found = ratios(result)
    if found:
        lines += ["", "Ours / alkaid's (latency and cycles: below 1 is better):", ""]
        lines += ["| network | cut | latency ns | Fmax | cycles |", f"|{'---|' * 5}"]
        for row in found:
            values = (f"{row[name]:.2f}" for name in ("latency_ns", "fmax_median_mhz", "cycles"))
            lines.append(f"| {row['network']} | {row['cut']} | {' | '.join(values)} |")
    return "\n".join([*lines, ""])


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results and of all that is kept")
    parser.add_argument("--peer-alkaid", metavar="PYTHON", help="interpreter of an environment with alkaid")
    parser.add_argument("--set", default="small", choices=(*SIZES, "none"), help="seeded networks")
    parser.add_argument("--only", type=lambda s: s.split(";"), default=["16-16-8-5, 6 bits"], help="of these, names")
    parser.add_argument("--models", type=Path, nargs="*", default=[], help="files that HGQ2 wrote")
    parser.add_argument("--levels", type=numbers, default=[1, 2], help="adders between two registers, at most")
    parser.add_argument("--clocks", type=numbers, default=[], help="MHz; hardwire compiles for these clocks too")
    parser.add_argument("--mhz", type=float, default=300.0, help="what nextpnr is asked for, of both")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--events", type=int, default=2000, help="only the peer's folder depends on it")
    parser.add_argument("--json", type=Path, help="default DIR/route_vs_alkaid.json")
    parser.add_argument("--markdown", type=Path, help="default beside the figures")
    options = parser.parse_args(argv)
    options.json = options.json or options.out / "route_vs_alkaid.json"
    options.markdown = options.markdown or options.json.with_suffix(".md")
    return options


def main(argv: Sequence[str] | None = None) -> None:
    options = arguments(argv)
    chosen = [c for c in cases(options.set) if c.name in options.only] + cases("none", options.models)
    if not chosen:
        sys.exit(f"--only {'; '.join(options.only)}: one of {'; '.join(c.name for c in cases(options.set))}")
    _hardwire.warm_up()
    result: Row = {
        "command": f"python benchmarks/route_vs_alkaid.py --out DIR --levels {','.join(map(str, options.levels))} "
        f"--seeds {options.seeds} --mhz {options.mhz:g}",
        "versions": {
            "hardwire": version("hardwire"),
            "pyosys": version("pyosys"),
            "nextpnr": NEXTPNR.find().version,
            "Python": platform.python_version(),
        },
        "networks": [],
    }
    for case in chosen:
        rows: list[Row] = []
        result["networks"].append({"network": case.name, "rows": rows})
        steps = [(levels, None) for levels in options.levels] + [(None, clock) for clock in options.clocks]
        for levels, clock in steps:
            if levels is not None:
                rows.append(our_row(case, _hardwire.counted(PART, levels), f"{levels} levels", options))
                if options.peer_alkaid:
                    rows.append(peer_row(case, levels, options))
                    result["versions"]["alkaid"] = rows[-1]["version"]
            else:
                rows.append(our_row(case, {"target": PART, "clock_mhz": clock}, f"for {clock} MHz", options))
            write(options.json, json.dumps(result, indent=1) + "\n")
            write(options.markdown, markdown(result))
    result["ratios"] = ratios(result)
    write(options.json, json.dumps(result, indent=1) + "\n")
    print(markdown(result))


if __name__ == "__main__":
    main()
