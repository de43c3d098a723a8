"""How fast the C++ emulator is, in events per CPU second, and how long a compiler takes for it; the JIT beside it.

    python benchmarks/cpp_emulator.py --json cpp.json
    python benchmarks/cpp_emulator.py --json cpp.json --compiler clang++ --flags="-O2 -march=x86-64-v3" --prune 0.75

Networks are those of `emulator.py`. The emitted library is built once for each `--flags`, called from one thread with
float64 rows, and compared with the network's own reference. Rates are CPU time, input quantiser included; the median of
several runs, with the least and the greatest; the JIT emulator runs in turns on the same rows.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from emulator import CHECKED, LEAST_CPU_S, spread
from networks import looped_program, mlp
from numpy.typing import NDArray

from hardwire.backends import Source, emit
from hardwire.emulate import compile_program
from hardwire.targets import target

FLAGS = ["-O2", "-O2 -march=x86-64-v3", "-O3 -march=native"]

Predict = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def built(folder: Path, compiler: str, flags: str, outputs: int) -> tuple[Predict, dict[str, Any]]:
    """Compile the library with these flags; a function on rows, and figures."""
    path = folder / f"lib{len(list(folder.glob('*.so')))}.so"
    command = [compiler, "-std=c++11", *flags.split(), "-fPIC", "-shared", "-I", str(folder), "-o", str(path)]
    cpu = children_cpu()
    subprocess.run([*command, str(folder / "net_emulator.cpp")], check=True)
    figures = {"compile_cpu_s": children_cpu() - cpu, "library_bytes": path.stat().st_size}
    function = ctypes.CDLL(str(path)).hw_net_predict
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]

    def predict(x: NDArray[np.float64]) -> NDArray[np.float64]:
        y = np.empty((len(x), outputs))
        status = function(x.ctypes.data, y.ctypes.data, len(x))
        if status:
            raise SystemExit(f"the emulator returned {status}")
        return y

    return predict, figures


def rate(predict: Predict, x: NDArray[np.float64]) -> float:
    """Events per CPU second, after a run that is not counted."""
    predict(x)
    events, cpu = 0, time.process_time()
    while time.process_time() - cpu < LEAST_CPU_S:
        predict(x)
        events += len(x)
    return events / (time.process_time() - cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", type=Path, help="Python file that defines the network; it is executed")
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--prune", type=float, default=0.0, help="share of the weights set to 0")
    parser.add_argument("--sizes", default="16-64-32-32-5", help="layer sizes without --network")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--flags", action="append", help="compiler flags, may be given several times")
    options = parser.parse_args()
    model = mlp(options.network, [int(s) for s in options.sizes.split("-")], options.prune)
    x = np.ascontiguousarray(model.data(options.events), np.float64)
    program = looped_program(model)
    cpu = time.process_time()
    files = emit(Source("net", program, target("ecp5-85k"), 200.0), "cpp-emulator")
    result: dict[str, Any] = {"network": model.name, "events": len(x), "emit_cpu_s": time.process_time() - cpu}
    result["source_bytes"] = len(files["net_emulator.cpp"])
    jit = compile_program(program)
    some, outputs = x[:CHECKED], len(program.outputs[0].index)
    ways: dict[str, Predict] = {"jit": lambda rows: jit.predict([rows], threads=1)[0]}
    figures: dict[str, dict[str, Any]] = {"jit": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
        for flags in options.flags or FLAGS:
            key = f"{options.compiler} {flags}"
            ways[key], figures[key] = built(folder, options.compiler, flags, outputs)
    rates: dict[str, list[float]] = {key: [] for key in ways}
    singles: dict[str, float] = {}
    for key, predict in ways.items():
        figures[key]["equal"] = bool(np.array_equal(predict(some), model.reference(some)))
        one = np.ascontiguousarray(x[:1])
        singles[key] = statistics.median(timed(predict, one) for _ in range(200))
    for _ in range(options.runs):  # In turns, so that all meet the same machine.
        for key, predict in ways.items():
            rates[key].append(rate(predict, x))
    for key, found in figures.items():
        found |= {**spread(rates[key]), "one_event_us": singles[key] * 1e6}
        compiled = f", compile {found['compile_cpu_s']:.1f} CPU s" if "compile_cpu_s" in found else ""
        print(
            f"{model.name}, {key}: events_per_cpu_s {found['events_per_cpu_s']:,.0f} ({found['least']:,.0f} to "
            f"{found['greatest']:,.0f}), one event {found['one_event_us']:.1f} us{compiled}, equal {found['equal']}"
        )
    result["ways"] = figures
    beside = options.json.with_name(options.json.name + ".part")
    beside.write_text(json.dumps(result, indent=1) + "\n")
    os.replace(beside, options.json)
    if not all(found["equal"] for found in figures.values()):
        sys.exit("the emulator differs from the network's reference")


def timed(predict: Predict, x: NDArray[np.float64]) -> float:
    """Seconds of one call, the Python around it included."""
    start = time.perf_counter()
    predict(x)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
