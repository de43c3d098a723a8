"""How many vectors a minute the netlist simulator takes through the synthesised jet tagger, and how long it loads.

    python benchmarks/netlist_simulator.py [--target ecp5|xcup] [--sizes 16-64-32-32-5] [--levels 5] [--json OUT]

The network of `networks.py` is compiled, cut at every `--levels` adders and synthesised by Yosys with its adders kept
(minutes; `--work DIR` keeps the netlist for later runs), then simulated on random inputs, compared with the emulator in
every vector. The median of several runs, with the least and the greatest, per minute of CPU time on one thread and per
minute of wall time on all.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _cases import Case
from _hardwire import compiled, counted, verilog
from _synthesis import PARTS, synthesised
from networks import mlp

from hardwire.targets import target as find_target
from hardwire.tools.netlist import NetlistSimulator
from hardwire.verification import packed, unpacked


def spread(rates: list[float]) -> dict[str, float]:
    return {"median": statistics.median(rates), "least": min(rates), "greatest": max(rates)}


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    part = find_target(PARTS[options.target])
    model = mlp(sizes=[int(s) for s in options.sizes.split("-")])
    design, _ = compiled(Case("mlp", model), **counted(part, options.levels))
    print("Yosys …", flush=True)
    cells, netlist = synthesised(verilog(design, work), "mlp", part.synthesis["family"], "keep", work)
    cpu = time.process_time()
    simulator = NetlistSimulator(netlist, "mlp")
    result: dict[str, Any] = {
        "target": options.target,
        "network": options.sizes,
        "cells": {name: cells[name] for name in ("lut", "carry", "ff")},
        "operations": simulator.operations,
        "json_bytes": netlist.stat().st_size,
        "load_cpu_s": time.process_time() - cpu,
        "vectors": options.vectors,
    }
    circuit = design.circuit
    lo, hi = design.program.port_range(design.program.inputs[0])
    codes = [np.random.default_rng(0).integers(lo, hi, (options.vectors, len(lo)), endpoint=True)]
    words = packed(circuit.inputs, codes)
    want = design.emulator.run(codes)[0]
    found = unpacked(circuit.outputs, simulator.run(words, latency=circuit.latency).outputs)[0]
    result["mismatches"] = int((found != want).any(axis=1).sum())
    rates: dict[str, list[float]] = {"per_cpu_minute": [], "per_minute": []}
    for _ in range(options.runs):
        cpu = time.process_time()
        simulator.run(words, latency=circuit.latency, threads=1)
        rates["per_cpu_minute"].append(60 * options.vectors / (time.process_time() - cpu))
        wall = time.perf_counter()
        simulator.run(words, latency=circuit.latency)
        rates["per_minute"].append(60 * options.vectors / (time.perf_counter() - wall))
    return {**result, **{name: spread(values) for name, values in rates.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", choices=sorted(PARTS), default="ecp5")
    parser.add_argument("--sizes", default="16-64-32-32-5")
    parser.add_argument("--levels", type=int, default=5, help="adders between two registers")
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--work", type=Path, help="keep the netlist here")
    parser.add_argument("--json", type=Path, help="where the figures go")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = options.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        result = measure(options, work)
    one, every = result["per_cpu_minute"], result["per_minute"]
    print(
        f"{result['network']} on {result['target']}: {result['operations']:,} operations, loaded in "
        f"{result['load_cpu_s']:.2f} CPU s ({result['json_bytes'] / 1e6:.0f} MB); netlist vectors per CPU minute on "
        f"one thread {one['median']:,.0f} ({one['least']:,.0f} to {one['greatest']:,.0f}), per minute on all "
        f"{every['median']:,.0f}; {result['mismatches']} of {result['vectors']:,} differ"
    )
    if options.json:
        beside = options.json.with_name(options.json.name + ".part")
        beside.write_text(json.dumps(result, indent=1) + "\n")
        os.replace(beside, options.json)
    if result["mismatches"]:
        raise SystemExit("the netlist differs from the emulator")


if __name__ == "__main__":
    main()
