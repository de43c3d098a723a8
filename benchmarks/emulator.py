"""How fast the emulator is, in events per CPU second, and how long it takes to compile; peers in the same run.

    python benchmarks/emulator.py --json emulator.json --prune 0.75
    python benchmarks/emulator.py --json out.json --network mlp.py --peer-alkaid venv/bin/python

Without `--network` the jet tagger 16-64-32-32-5 with seeded 6-bit weights is used. A network file defines `weights()`,
`data(n)`, `reference(x, weights)` and `HID`; it is executed. Rates count the CPU time of all threads from float64 rows
in to float64 rows out, input quantiser included; the median of several runs, with the least and the greatest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from networks import Mlp, adder_program, looped_program, mlp
from numpy.typing import NDArray

from hardwire.emulate import Emulator, compile_program
from hardwire.ir.program import Program

CHECKED = 20_000
"""Events compared with the network's own reference."""


def spread(rates: list[float]) -> dict[str, float]:
    return {"events_per_cpu_s": statistics.median(rates), "least": min(rates), "greatest": max(rates)}


def compiled(program: Program) -> tuple[Emulator, dict[str, float]]:
    """Compile with an empty cache, then again from it."""
    kept = os.environ.get("HARDWIRE_CACHE_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HARDWIRE_CACHE_DIR"] = folder
        try:
            cpu, wall = time.process_time(), time.perf_counter()
            emulator = compile_program(program)
            figures = {"compile_s": time.perf_counter() - wall, "compile_cpu_s": time.process_time() - cpu}
            cpu = time.process_time()
            compile_program(program)
            figures["cached_cpu_s"] = time.process_time() - cpu
        finally:
            if kept is None:
                del os.environ["HARDWIRE_CACHE_DIR"]
            else:
                os.environ["HARDWIRE_CACHE_DIR"] = kept
    return emulator, figures


def measure(model: Mlp, form: Callable[[Mlp], Program], x: NDArray[np.float64], runs: int) -> dict[str, Any]:
    cpu = time.process_time()
    program = form(model)
    result: dict[str, Any] = {"build_cpu_s": time.process_time() - cpu}
    result["ops"] = sum(len(kernel) for kernel in program.kernels.values())
    emulator, figures = compiled(program)
    result.update(figures)
    result["equal"] = bool(np.array_equal(emulator.predict([x[:CHECKED]])[0], model.reference(x[:CHECKED])))
    for name, threads in (("one_thread", 1), ("all_threads", None)):
        rates, walls = [], []
        for _ in range(runs + 1):
            cpu, wall = time.process_time(), time.perf_counter()
            emulator.predict([x], threads=threads)
            rates.append(len(x) / (time.process_time() - cpu))
            walls.append(len(x) / (time.perf_counter() - wall))
        # The first run pays for the output's fresh pages and a cold clock.
        result[name] = {**spread(rates[1:]), "events_per_s_wall": statistics.median(walls[1:])}
    return result


def peer(python: str, script: str, model: Mlp, x: NDArray[np.float64]) -> dict[str, Any]:
    """Run a peer's driver in its own environment on the same weights and data."""
    with tempfile.TemporaryDirectory() as folder:
        layers: dict[str, Any] = {
            f"{k}{i}": v for i, pair in enumerate(model.layers) for k, v in zip("wb", pair, strict=True)
        }
        hidden = np.array([model.hidden.bits, model.hidden.frac])
        some = model.reference(x[:2000])
        np.savez(f"{folder}/net.npz", x=x, y=some, layers=len(model.layers), hidden=hidden, **layers)
        script = str(Path(__file__).with_name(script))
        done = subprocess.run(
            [python, script, f"{folder}/net.npz", f"{folder}/out.json"], capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{python} {script} failed:\n{done.stderr[-2000:]}")
        result: dict[str, Any] = json.loads(Path(f"{folder}/out.json").read_text())
    return {**result, **spread(result.pop("rates"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", type=Path, help="Python file that defines the network")
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--prune", type=float, default=0.0, help="share of the weights set to 0")
    parser.add_argument("--sizes", default="16-64-32-32-5", help="layer sizes without --network")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--peer-alkaid", metavar="PYTHON", help="Python of an environment with alkaid")
    parser.add_argument("--peer-hls4ml", metavar="PYTHON", help="Python of an environment with hls4ml")
    options = parser.parse_args()
    model = mlp(options.network, [int(s) for s in options.sizes.split("-")], options.prune)
    x = np.ascontiguousarray(model.data(options.events), np.float64)
    result: dict[str, Any] = {"network": model.name, "nonzero_weights": model.nonzero, "events": len(x)}
    for name, form in (("layers", looped_program), ("adders", adder_program)):
        result[name] = measure(model, form, x, options.runs)
        one, every = result[name]["one_thread"], result[name]["all_threads"]
        print(
            f"{model.name}, {name}: events_per_cpu_s {one['events_per_cpu_s']:,.0f} "
            f"({one['least']:,.0f} to {one['greatest']:,.0f}; all threads {every['events_per_cpu_s']:,.0f}, "
            f"wall {every['events_per_s_wall']:,.0f}/s), compile {result[name]['compile_cpu_s']:.2f} CPU s, "
            f"cached {result[name]['cached_cpu_s']:.2f}, ops {result[name]['ops']}, equal {result[name]['equal']}"
        )
    result["events_per_cpu_s"] = result["layers"]["one_thread"]["events_per_cpu_s"]
    drivers = {"alkaid": (options.peer_alkaid, "peer_alkaid.py"), "hls4ml": (options.peer_hls4ml, "peer_hls4ml.py")}
    for name, (python, script) in drivers.items():
        if python:
            result[name] = peer(python, script, model, x)
            result[name]["ratio"] = result["events_per_cpu_s"] / result[name]["events_per_cpu_s"]
            print(
                f"{result[name]['tool']}: events_per_cpu_s {result[name]['events_per_cpu_s']:,.0f}, "
                f"compile {result[name]['compile_s']:.2f} CPU s, equal {result[name]['equal']}; "
                f"hardwire is {result[name]['ratio']:,.1f} times as fast"
            )
    beside = options.json.with_name(options.json.name + ".part")
    beside.write_text(json.dumps(result, indent=1) + "\n")
    os.replace(beside, options.json)
    if not all(result[name]["equal"] for name in ("layers", "adders")):
        sys.exit("the emulator differs from the network's reference")


if __name__ == "__main__":
    main()
