"""Every benchmark one after the other, their figures in one folder, and one picture of the ratios to the peers.

    python benchmarks/run_all.py --out DIR [--quick | --full] [--peers DIR] [--models FILE ...]
                                 [--jets REFERENCE.npz] [--route] [--only solver,emulator]

`--peers` is the folder in which `make bench-peers` made the peers' environments. Without peers the figures are ours
alone and there is nothing to draw. `--quick` takes small networks and matrices (minutes), `--full` the large ones too
(hours of synthesis), `--models` adds models that HGQ2 trained; `--route` also fits the delay model against place &
route, `--jets` compares the jets that ship with a reference. DIR gets NAME.json and NAME.log for each, tables and
pictures of some, `summary.json` (versions, medians, spreads) and `ratios.png`. Times are CPU seconds; run on an idle
machine all the same. What was synthesised or placed stays in DIR, so that a run that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

HERE = Path(__file__).resolve().parent
Ratios = list[tuple[str, float]]
"""What was compared, and how many times better ours is: above 1 is better."""


def commands(options: argparse.Namespace) -> dict[str, list[str]]:
    """Name of each benchmark to run → its script and arguments, without `--json`."""
    quick = options.quick
    peer = ["--peer-alkaid", options.peer_alkaid] if options.peer_alkaid else []
    solver = ["solver.py", "--sizes", "8,16" if quick else "16,32,64", "--bits", "4,8" if quick else "4,6,8"]
    emulator = ["emulator.py", *(["--sizes", "16-8-5", "--events", "100000", "--runs", "3"] if quick else [])]
    emulator += [*peer, *(["--peer-hls4ml", options.peer_hls4ml] if options.peer_hls4ml else [])]
    out = ["--out", str(options.out)]
    models = ["--models", *map(str, options.models)] if options.models else []
    networks = ["--set", "quick" if quick else "full" if options.full else "middle", *models, *peer]
    placed = ["--set", "quick", "--only", "16-8-5, 6 bits", "--levels", "2", "--seeds", "2"] if quick else []
    netlist = ["--sizes", "16-8-5", "--vectors", "100000", "--runs", "3"] if quick else []
    hgq2 = ["--peer-hgq2", options.peer_hgq2] if options.peer_hgq2 else []
    found = {
        "solver": [*solver, *(["--peer", options.peer_alkaid] if options.peer_alkaid else [])],
        "emulator": emulator,
        "emulator_pruned": [*emulator, "--prune", "0.75"],
        "cpp_emulator": [
            "cpp_emulator.py",
            *(["--sizes", "16-8-5", "--events", "50000", "--runs", "3", "--flags=-O2"] if quick else []),
        ],
        "compile_time": ["compile_time.py", *(["--sizes", "16-8-5", "--repeats", "1"] if quick else [])],
        "netlist_simulator": ["netlist_simulator.py", "--work", str(options.out / "netlist_simulator"), *netlist],
        "networks_vs_alkaid": ["networks_vs_alkaid.py", *out, *networks],
        "route_vs_alkaid": ["route_vs_alkaid.py", *out, *placed, *peer],
        "epoch_time": ["epoch_time.py", *(["--batches", "1024", "--rounds", "1"] if quick else []), *hgq2],
        "pruning": ["pruning.py", *(["--epochs", "2", "--seeds", "1"] if quick else [])],
        "front": [
            "front.py",
            *out,
            *([] if options.full else ["--quick"]),
            *(["--epochs", "10"] if quick else []),
            *hgq2,
        ],
    }
    if options.route:
        found["calibrate_delay"] = ["calibrate_delay.py", *(["--layers", "8,8,5", "--depths", "4"] if quick else [])]
        found["calibrate_training_cost"] = ["calibrate_training_cost.py", *(["--networks", "4"] if quick else [])]
    if options.jets:
        found["physics_jets"] = ["physics_jets.py", str(options.jets), *(["--epochs", "2"] if quick else [])]
    if options.only:
        unknown = set(options.only) - set(found)
        if unknown:
            sys.exit(f"--only {','.join(sorted(unknown))}: one of {', '.join(found)}")
    return {name: command for name, command in found.items() if not options.only or name in options.only}


def solver_ratios(figures: Any) -> Ratios:
    found = []
    for row in figures["rows"]:
        if row["peer"]:
            ours, peer = row["effort"][str(figures["efforts"][0])], row["peer"]
            limit = "" if row["depth_limit"] is None else f", depth +{row['depth_limit']}"
            case = f"solver {row['matrix']}{limit}"
            found.append((f"{case}: adder bits", peer["bits"] / ours["bits"]))
            found.append((f"{case}: adders", peer["adders"] / ours["adders"]))
            found.append((f"{case}: CPU time", peer["cpu_s"] / ours["cpu_s"]))
    return found


def emulator_ratios(figures: Any) -> Ratios:
    return [
        (f"emulator: events per CPU second, {n}", figures[n]["ratio"]) for n in ("alkaid", "hls4ml") if n in figures
    ]


def network_ratios(figures: Any) -> Ratios:
    rows = [row for row in figures["rows"] if "ratios" in row]
    found = []
    for family in sorted({row["target"] for row in rows}):
        held = [row["ratios"] for row in rows if row["target"] == family]
        for name in held[0]:
            case = f"{family}, median of {len(held)} networks: {name}"
            found.append((case, 1.0 / statistics.median(ratio[name] for ratio in held)))
    return found


def route_ratios(figures: Any) -> Ratios:
    return [
        (f"post-route latency, {row['network']}, {row['cut']}", 1.0 / row["latency_ns"]) for row in figures["ratios"]
    ]


def epoch_ratios(figures: Any) -> Ratios:
    rows = [row for row in figures["rows"] if "compiled / hgq2" in row]
    return [(f"training epoch, batch {row['batch']}", 1.0 / row["compiled / hgq2"]) for row in rows]


def front_ratios(figures: Any) -> Ratios:
    found = figures["summary"]["ratios"].items()
    return [(f"LUTs at equal accuracy, {name}", 1.0 / part["median"]) for name, part in found if part["median"]]


READERS = {
    "solver": solver_ratios,
    "emulator": emulator_ratios,
    "emulator_pruned": emulator_ratios,
    "networks_vs_alkaid": network_ratios,
    "route_vs_alkaid": route_ratios,
    "epoch_time": epoch_ratios,
    "front": front_ratios,
}


def draw(ratios: Ratios, path: Path) -> None:
    """Horizontal bars on a logarithmic axis, 1 in the middle: bars to the right are where hardwire is better."""
    figure, axes = plt.subplots(figsize=(8.0, 1.2 + 0.24 * len(ratios)), layout="constrained")
    labels = [label for label, _ in ratios][::-1]
    values = [value for _, value in ratios][::-1]
    colours = ["#1f77b4" if value >= 1 else "#d62728" for value in values]
    axes.barh(labels, [value - 1 for value in values], left=1.0, color=colours, height=0.7)
    for i, value in enumerate(values):
        axes.annotate(
            f"{value:.2f}",
            (value, i),
            xytext=(4 if value >= 1 else -4, 0),
            textcoords="offset points",
            ha="left" if value >= 1 else "right",
            va="center",
            fontsize=7,
        )
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlim(min(0.5, 0.6 * min(values)), max(2.0, 1.8 * max(values)))
    axes.set_xlabel("times better than the peer (right of 1: hardwire is better)")
    axes.tick_params(axis="y", labelsize=7)
    beside = path.with_name(f"{path.stem}.part{path.suffix}")
    figure.savefig(beside, dpi=150)
    plt.close(figure)
    os.replace(beside, path)


def run_one(name: str, command: Sequence[str], out: Path) -> bool:
    """Run a script; its output goes to NAME.log, its last lines are shown if it fails."""
    begin = time.monotonic()
    print(f"{name}: python benchmarks/{' '.join(command)}", flush=True)
    log, result = out / f"{name}.log", out / f"{name}.json"
    result.unlink(missing_ok=True)
    with log.open("w") as file:
        done = subprocess.run(
            [sys.executable, str(HERE / command[0]), *command[1:], "--json", str(result)],
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        print(f"  failed; the end of {log}:", *log.read_text().splitlines()[-8:], sep="\n  ", flush=True)
    else:
        print(f"  {time.monotonic() - begin:.0f} s", flush=True)
    return done.returncode == 0


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small settings: only shows that everything runs")
    size.add_argument("--full", action="store_true", help="the large networks too")
    parser.add_argument("--only", type=lambda text: text.split(","), help="names of benchmarks, with commas")
    parser.add_argument("--models", type=Path, nargs="*", default=[], help="files that HGQ2 wrote")
    parser.add_argument("--peers", type=Path, metavar="DIR", help="where `make bench-peers` made the environments")
    parser.add_argument("--peer-alkaid", metavar="PYTHON", help="interpreter of an environment with alkaid")
    parser.add_argument("--peer-hls4ml", metavar="PYTHON", help="interpreter of an environment with hls4ml")
    parser.add_argument("--peer-hgq2", metavar="PYTHON", help="interpreter of an environment with hgq2, JAX and alkaid")
    parser.add_argument("--jets", type=Path, metavar="NPZ", help="reference jets for physics_jets.py")
    parser.add_argument("--route", action="store_true", help="run calibrate_delay.py too")
    options = parser.parse_args(argv)
    if options.peers is not None:
        # HGQ2's environment holds alkaid too, and reads trained models.
        for field, name in (("peer_alkaid", "hgq2"), ("peer_hgq2", "hgq2"), ("peer_hls4ml", "hls4ml")):
            python = (options.peers / name / "bin" / "python").absolute()
            if not python.exists():
                parser.error(f"--peers {options.peers}: no {python}; `make bench-peers` makes the environments")
            if getattr(options, field) is None:
                setattr(options, field, str(python))
    return options


def main(argv: Sequence[str] | None = None) -> None:
    options = arguments(argv)
    matplotlib.use("Agg")
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    chosen = commands(options)
    versions = {name: version(name) for name in ("hardwire", "numpy", "numba", "llvmlite", "pyosys")}
    versions |= {"Python": platform.python_version(), "machine": platform.machine()}
    failed = [name for name, command in chosen.items() if not run_one(name, command, out)]
    ratios: Ratios = []
    summary: dict[str, Any] = {"versions": versions, "failed": failed, "times_better_than_the_peer": {}}
    for name in chosen:
        if name in READERS and name not in failed:
            figures = json.loads((out / f"{name}.json").read_text())
            found = READERS[name](figures)
            summary["times_better_than_the_peer"][name] = dict(found)
            summary |= {f"{name}_{part}": figures[part] for part in ("summary", "ratios") if part in figures}
            ratios += found
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    if ratios:
        draw(ratios, out / "ratios.png")
        print(f"picture: {out / 'ratios.png'}")
    else:
        print("no peer was measured (--peer-alkaid, --peer-hls4ml), so there is no picture of ratios")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
