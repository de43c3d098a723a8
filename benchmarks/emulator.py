"""How fast the emulator is, in events per CPU second, and how long it takes to compile; peers in the same run.

    python benchmarks/emulator.py --json emulator.json --prune 0.75
    python benchmarks/emulator.py --json out.json --network mlp.py --peer-alkaid venv/bin/python

Without `--network` the jet tagger 16-64-32-32-5 with seeded 6-bit weights is used. A network file defines `weights()`,
`data(n)`, `reference(x, weights)` and `HID`; it is executed. Rates count the CPU time of all threads from float64 rows
in to float64 rows out, input quantiser included; the median of several runs, with the least and the greatest. We and
the peers run in turns; a ratio is that of two runs that follow each other.
"""

from __future__ import annotations

import argparse
import contextlib
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


LEAST_CPU_S = 0.1
"""CPU seconds of a measurement, at the least, and before it."""


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


class Ours:
    """The emulator of one form of a network, and the rates that were measured."""

    def __init__(self, model: Mlp, form: Callable[[Mlp], Program], x: NDArray[np.float64]) -> None:
        self.x = x
        cpu = time.process_time()
        program = form(model)
        self.figures: dict[str, Any] = {"build_cpu_s": time.process_time() - cpu}
        self.figures["ops"] = sum(len(kernel) for kernel in program.kernels.values())
        self.emulator, figures = compiled(program)
        self.figures.update(figures)
        some = x[:CHECKED]
        self.figures["equal"] = bool(np.array_equal(self.emulator.predict([some])[0], model.reference(some)))
        self.rates: dict[str, list[float]] = {"one_thread": [], "all_threads": []}
        self.walls: dict[str, list[float]] = {"one_thread": [], "all_threads": []}

    def measure(self) -> float:
        """One rate on one thread and one on all; events per CPU second of the first."""
        for name, threads in (("one_thread", 1), ("all_threads", None)):
            # Runs before the clock starts pay for the processor's change from what another process did.
            cpu = time.process_time()
            while time.process_time() - cpu < LEAST_CPU_S:
                self.emulator.predict([self.x], threads=threads)
            events, cpu, wall = 0, time.process_time(), time.perf_counter()
            while time.process_time() - cpu < LEAST_CPU_S:
                self.emulator.predict([self.x], threads=threads)
                events += len(self.x)
            self.rates[name].append(events / (time.process_time() - cpu))
            self.walls[name].append(events / (time.perf_counter() - wall))
        return self.rates["one_thread"][-1]

    def result(self) -> dict[str, Any]:
        threads = {
            name: {**spread(rates), "events_per_s_wall": statistics.median(self.walls[name])}
            for name, rates in self.rates.items()
        }
        return {**self.figures, **threads}


class Peer:
    """A peer's driver in its own environment, on the same weights and data; it waits to be told to run."""

    def __init__(self, python: str, script: str, network: Path) -> None:
        self.rates: list[float] = []
        self.ratios: list[float] = []
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - the process keeps it.
        command = [python, str(Path(__file__).with_name(script)), str(network)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self.log, text=True)
        self.figures: dict[str, Any] = json.loads(self.answer())

    def answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.log.seek(0)
            said = self.log.read()
            self.end()
            raise SystemExit(f"{' '.join(map(str, self.process.args))} failed:\n{said[-2000:]}")
        return line

    def end(self) -> None:
        """Let the driver end."""
        for file in (self.process.stdin, self.process.stdout, self.log):
            assert file is not None
            with contextlib.suppress(BrokenPipeError):
                file.close()
        self.process.wait()

    def measure(self, ours: float) -> None:
        """One run, and how many times as fast ours was just now."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # One that has ended gives no answer, which says why.
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        self.rates.append(float(self.answer()))
        self.ratios.append(ours / self.rates[-1])

    def result(self) -> dict[str, Any]:
        self.end()
        ratios = {"ratio": statistics.median(self.ratios), "ratio_least": min(self.ratios)}
        return {**self.figures, **spread(self.rates), **ratios, "ratio_greatest": max(self.ratios)}


def written(model: Mlp, x: NDArray[np.float64], folder: str) -> Path:
    """The network as peers read it."""
    layers: dict[str, Any] = {
        f"{k}{i}": v for i, pair in enumerate(model.layers) for k, v in zip("wb", pair, strict=True)
    }
    types = {name: np.array([getattr(model, name).bits, getattr(model, name).frac]) for name in ("given", "weight")}
    types["hidden"] = np.array([model.hidden.bits, model.hidden.frac])
    path = Path(folder) / "net.npz"
    np.savez(path, x=x, y=model.reference(x[:2000]), layers=len(model.layers), **types, **layers)
    return path


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
    forms = {name: Ours(model, form, x) for name, form in (("layers", looped_program), ("adders", adder_program))}
    drivers = {"alkaid": (options.peer_alkaid, "peer_alkaid.py"), "hls4ml": (options.peer_hls4ml, "peer_hls4ml.py")}
    with tempfile.TemporaryDirectory() as folder:
        network = written(model, x, folder) if any(python for python, _ in drivers.values()) else None
        peers = {
            name: Peer(python, script, network) for name, (python, script) in drivers.items() if python and network
        }
        # In turns, so that all meet the same machine.
        for _ in range(options.runs):
            rates = {name: form.measure() for name, form in forms.items()}
            for driver in peers.values():
                driver.measure(rates["layers"])
    for name, form in forms.items():
        result[name] = form.result()
        one, every = result[name]["one_thread"], result[name]["all_threads"]
        print(
            f"{model.name}, {name}: events_per_cpu_s {one['events_per_cpu_s']:,.0f} "
            f"({one['least']:,.0f} to {one['greatest']:,.0f}; all threads {every['events_per_cpu_s']:,.0f}, "
            f"wall {every['events_per_s_wall']:,.0f}/s), compile {result[name]['compile_cpu_s']:.2f} CPU s, "
            f"cached {result[name]['cached_cpu_s']:.3f}, ops {result[name]['ops']}, equal {result[name]['equal']}"
        )
    result["events_per_cpu_s"] = result["layers"]["one_thread"]["events_per_cpu_s"]
    for name, driver in peers.items():
        result[name] = driver.result()
        print(
            f"{result[name]['tool']}: events_per_cpu_s {result[name]['events_per_cpu_s']:,.0f}, "
            f"compile {result[name]['compile_s']:.2f} CPU s, equal {result[name]['equal']}; hardwire is "
            f"{result[name]['ratio']:,.1f} times as fast ({result[name]['ratio_least']:,.1f} to "
            f"{result[name]['ratio_greatest']:,.1f})"
        )
    beside = options.json.with_name(options.json.name + ".part")
    beside.write_text(json.dumps(result, indent=1) + "\n")
    os.replace(beside, options.json)
    if not all(result[name]["equal"] for name in ("layers", "adders")):
        sys.exit("the emulator differs from the network's reference")


if __name__ == "__main__":
    main()
