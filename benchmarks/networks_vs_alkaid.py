"""Networks from frozen weights and types to cell counts, through hardwire and alkaid and the very same synthesis.

    python benchmarks/networks_vs_alkaid.py --out DIR --peer-alkaid PYTHON [--set small] [--models FILE ...]

Each tool reads the same file: seeded perceptrons and matrices (`--set`), Python files of networks (`--networks`, see
README.md) and models that HGQ2 trained (`--models`; the peer's environment then holds keras and hgq2). Both tools'
Verilog goes through Yosys twice, with adders kept as carry chains and with its stock script, and of each tool the
better result counts: the one with the fewest LUTs, on ECP5 with the fewest logic sites (a LUT takes one, a carry cell
two). Of alkaid's settings (`hard_dc` -1, 0, 2, each with and without ternary adders) those are synthesised that its own
cost finds best, one with ternary adders and one without.

Pipelines are cut by the same rule, not at a clock: at most `--levels` adders between two registers. Cycles are
register ranks from port to port, for both. Every netlist answers `--events` events, which are compared with exact numpy
(with the compiler's emulator for a trained model, and both tools' emulators with each other).

DIR keeps everything by content: a run that was interrupted goes on where it was, and one after a change of the
compiler synthesises what has changed.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import _alkaid
import _hardwire
import numpy as np
from _cases import SIZES, Case, Floats, cases
from _synthesis import FLOWS, PARTS, size, synthesised, write
from _vs_report import OTHER_COUNT, draw, markdown, summary

from hardwire.targets import target as find_target

Row = dict[str, Any]


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def differ(got: Floats, wanted: Floats) -> int:
    """Events that are answered differently."""
    return int((got.reshape(len(got), -1) != wanted.reshape(len(wanted), -1)).any(axis=1).sum())


def flows_of(
    sources: Sequence[Path], family: str, flows: Sequence[str], store: Path, check: Callable[[Path], int]
) -> list[Row]:
    """Figures of each flow; `check` tells how many events a netlist answers wrong."""
    found = []
    for flow in flows:
        start = time.monotonic()
        row, netlist = synthesised(sources, "mlp", family, flow, store)
        row["mismatches"] = check(netlist)
        cells = ", ".join(f"{name} {row[name]:,}" for name in ("lut", "carry", "sites", "ff") if name in row)
        say(f"    {FLOWS[flow]}: {cells}; {row['mismatches']} differ; {time.monotonic() - start:.0f} s")
        found.append(row)
    return found


def better(row: Row) -> Row:
    """The flow of a tool's row that counts: fewest sites, then fewest registers."""
    return min(row["flows"], key=lambda flow: (size(flow), flow["ff"]))


def compare(case: Case, family: str, levels: int, options: argparse.Namespace) -> Row:
    """One network on one family, cut at one number of levels, through both tools."""
    store = options.out / "kept"
    x = case.data(options.events)
    contract = _hardwire.counted(find_target(PARTS[family]), levels)
    design, ours = _hardwire.compiled(case, effort=options.effort, repeats=3, **contract)
    wanted = case.expected(x)
    emulated = np.asarray(design.predict(x))
    ours["emulator_mismatches"] = 0 if wanted is None else differ(emulated, wanted)
    wanted = emulated if wanted is None else wanted
    say(f"{case.name}, {family}, {levels} levels: hardwire, {ours['adders']} adders, {ours['solve_cpu_s']:.2f} CPU s")
    ours["flows"] = flows_of(
        _hardwire.verilog(design, store),
        family,
        options.flows,
        store,
        lambda netlist: differ(_hardwire.answers(design, netlist, x), wanted),
    )
    result: Row = {"network": case.name, "target": family, "levels": levels, "hardwire": ours, "alkaid": []}
    if options.peer_alkaid:
        peer, folder = _alkaid.solved(case, x, options.peer_alkaid, [levels], store)
        result["alkaid_versions"] = peer["versions"]
        result["alkaid_emulator_mismatches"] = differ(_alkaid.emulated(folder), wanted) + peer["emulators_differ"]
        result["alkaid_forward_differs"] = peer["forward_differs"]
        result["alkaid_least_cycles"] = min(row["cycles"] for row in peer["projects"])
        for row in _alkaid.chosen(peer, levels):
            found = peer["solved"][str(row["depth"])]
            row |= {"adders": found["adders"], "solve_cpu_s": statistics.median(found["solve_cpu_s"])}
            kind = "ternary" if row["ternary"] else "plain"
            say(f"  alkaid, hard_dc {row['depth']}, {kind}: {row['adders']} adders, {row['solve_cpu_s']:.2f} CPU s")
            row["flows"] = flows_of(
                [folder / name for name in row.pop("verilog")],
                family,
                options.flows,
                store,
                lambda netlist, row=row: differ(_alkaid.answers(netlist, x, peer, row["cycles"]), wanted),
            )
            result["alkaid"].append(row)
        result["ratios"] = ratios(result)
        say(f"  ours / alkaid's: {', '.join(f'{name} {value:.3f}' for name, value in result['ratios'].items())}")
    return result


def ratios(result: Row) -> Row:
    """Ours over the peer's, the better synthesis of each; below 1 is better."""
    ours, peer = result["hardwire"], min(result["alkaid"], key=lambda row: (size(better(row)), better(row)["ff"]))
    mine, other = better(ours), better(peer)
    return {
        "LUT": size(mine) / max(size(other), 1),
        "FF": mine["ff"] / max(other["ff"], 1),
        "cycles": ours["cycles"] / peer["cycles"],
        "adders": ours["adders"] / max(peer["adders"], 1),
        "solve CPU": ours["solve_cpu_s"] / peer["solve_cpu_s"],
        "cycles, all counted": ours["cycles"] / min(row["cycles_all_counted"] for row in result["alkaid"]),
        OTHER_COUNT[result["target"]]: least_otherwise([ours]) / max(least_otherwise(result["alkaid"]), 1),
    }


def least_otherwise(rows: Sequence[Row]) -> int:
    """The fewest LUTs of any flow, counted in the other way of `OTHER_COUNT`."""
    return min(int(flow["lut"] + flow["inverters"]) for row in rows for flow in row["flows"])


def mismatches(rows: Sequence[Row]) -> int:
    """Wrong answers of all emulators and netlists, the peer's included."""
    found = sum(row["hardwire"]["emulator_mismatches"] + row.get("alkaid_emulator_mismatches", 0) for row in rows)
    return found + sum(
        flow["mismatches"] for row in rows for tool in (row["hardwire"], *row["alkaid"]) for flow in tool["flows"]
    )


def words(text: str) -> list[str]:
    return text.split(",")


def numbers(text: str) -> list[int]:
    return [int(word) for word in words(text)]


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results and of all that is kept")
    parser.add_argument("--peer-alkaid", metavar="PYTHON", help="interpreter of an environment with alkaid")
    parser.add_argument(
        "--set", default="small", choices=(*SIZES, "none"), help="seeded networks; each set holds the smaller"
    )
    parser.add_argument("--only", type=lambda text: text.split(";"), help="of these, names, with semicolons")
    parser.add_argument("--models", type=Path, nargs="*", default=[], help="files that HGQ2 wrote")
    parser.add_argument(
        "--networks", type=Path, nargs="*", default=[], help="Python files that define networks; executed"
    )
    parser.add_argument("--targets", type=words, default=list(PARTS))
    parser.add_argument("--levels", type=numbers, default=[2], help="adders between two registers, at most")
    parser.add_argument("--flows", type=words, default=list(FLOWS), help="keep, stock or both")
    parser.add_argument("--effort", type=int, default=1, help="of our solver")
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--json", type=Path, help="the figures; default DIR/networks_vs_alkaid.json")
    parser.add_argument("--markdown", type=Path, help="the tables; default beside the figures")
    parser.add_argument("--picture", type=Path, help="default beside the figures")
    options = parser.parse_args(argv)
    for name, known in (("flows", FLOWS), ("targets", PARTS)):
        for word in getattr(options, name):
            if word not in known:
                parser.error(f"--{name} {word}: one of {', '.join(known)}")
    options.json = options.json or options.out / "networks_vs_alkaid.json"
    options.markdown = options.markdown or options.json.with_suffix(".md")
    options.picture = options.picture or options.json.with_suffix(".png")
    return options


def command_line(options: argparse.Namespace) -> str:
    """The command without the paths of this machine."""
    line = ["python benchmarks/networks_vs_alkaid.py --out DIR"]
    usual = arguments(["--out", "DIR"])
    for name in ("set", "effort", "events"):
        if getattr(options, name) != getattr(usual, name):
            line.append(f"--{name} {getattr(options, name)}")
    for name in ("targets", "levels", "flows"):
        if getattr(options, name) != getattr(usual, name):
            line.append(f"--{name} {','.join(map(str, getattr(options, name)))}")
    line += [f"--{name} FILE…" for name in ("models", "networks") if getattr(options, name)]
    return " ".join([*line, *(["--peer-alkaid PYTHON"] if options.peer_alkaid else [])])


def main(argv: Sequence[str] | None = None) -> None:
    options = arguments(argv)
    chosen = cases(options.set, options.models, options.networks)
    if options.only:
        unknown = set(options.only) - {case.name for case in chosen}
        if unknown:
            sys.exit(f"--only {'; '.join(sorted(unknown))}: one of {'; '.join(case.name for case in chosen)}")
        chosen = [case for case in chosen if case.name in options.only]
    _hardwire.warm_up()
    result: Row = {
        "command": command_line(options),
        "versions": {"hardwire": version("hardwire"), "pyosys": version("pyosys"), "Python": platform.python_version()},
        "rows": [],
    }
    for case in chosen:
        for levels in options.levels:
            for family in options.targets:
                row = compare(case, family, levels, options)
                result["versions"] |= row.pop("alkaid_versions", {})
                result["rows"].append(row)
                write(options.json, json.dumps(result, indent=1) + "\n")
                write(options.markdown, markdown(result))
    if any(row["alkaid"] for row in result["rows"]):
        result["summary"] = summary(result["rows"])
        write(options.json, json.dumps(result, indent=1) + "\n")
        draw(result, options.picture)
    print(markdown(result))
    wrong = mismatches(result["rows"])
    if wrong:
        sys.exit(f"{wrong} answers differ from the reference")


if __name__ == "__main__":
    main()
