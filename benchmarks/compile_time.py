"""Seconds from a model file to Verilog, in a process of its own as a user runs it.

    python benchmarks/compile_time.py --json OUT [--sizes 16-64-32-32-5 --sizes 64-256-128-8] [--repeats 3]

Each network is written as QONNX (seeded s6.5 weights, inputs s8.4, hidden layers ReLU to u8.5) and compiled by
`hardwire compile`. CPU and wall seconds are of the whole command, imports included; `compile` are the CPU seconds of
the compiler alone within it, and `solve` those of its solver. What numba compiles once for a machine is compiled
before.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from networks import Mlp, seeded
from onnx import TensorProto, helper, numpy_helper

TARGET, CLOCK_MHZ = "xcup-vu13p", 200
"""A part that all of them fit."""


def write_qonnx(model: Mlp, path: Path) -> None:
    """Write the network: MatMul, Add, Relu and Quant nodes."""
    nodes, constants = [], []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def quantised(name: str, x: str, lsb: float, bits: int, *, signed: bool) -> str:
        inputs = [x, constant(f"{name}_s", lsb), constant(f"{name}_z", 0), constant(f"{name}_b", bits)]
        rule = {"signed": int(signed), "narrow": 0, "rounding_mode": "FLOOR"}
        nodes.append(helper.make_node("Quant", inputs, [name], name=name, domain="qonnx.custom_op.general", **rule))
        return name

    x = quantised("in_q", "x", 2.0**-4, 8, signed=True)
    for i, (w, b) in enumerate(model.layers):
        last = i == len(model.layers) - 1
        nodes.append(helper.make_node("MatMul", [x, constant(f"w{i}", w)], [f"m{i}"], name=f"matmul{i}"))
        nodes.append(
            helper.make_node("Add", [f"m{i}", constant(f"b{i}", b)], ["y" if last else f"a{i}"], name=f"add{i}")
        )
        if not last:
            nodes.append(helper.make_node("Relu", [f"a{i}"], [f"r{i}"], name=f"relu{i}"))
            x = quantised(f"q{i}", f"r{i}", model.hidden.lsb, model.hidden.bits, signed=False)
    features, outputs = model.layers[0][0].shape[0], model.layers[-1][0].shape[1]
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])
        for name, width in (("x", features), ("y", outputs))
    ]
    graph = helper.make_graph(nodes, "mlp", ports[:1], ports[1:], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("qonnx.custom_op.general", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))


WITHIN = """\
import json, sys, time
start = time.process_time()
import hardwire as hw
imported = time.process_time()
marks = {}
design = hw.compile(sys.argv[1], target=sys.argv[2], clock_mhz=float(sys.argv[3]),
                    progress=lambda text: marks.setdefault(text, time.process_time()))
end = time.process_time()
print(json.dumps({"import_cpu_s": imported - start, "compile_cpu_s": end - imported,
                  "solve_cpu_s": marks["scheduling"] - marks["lowering to integers"],
                  "ops": len(design.flat.flat), "cycles": design.circuit.latency}))
"""
"""The same in parts, in a process of its own."""


def timed(command: list[str]) -> tuple[float, float, str]:
    """CPU and wall seconds of a command, and what it printed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall, done.stdout


def measure(sizes: str, repeats: int, folder: Path) -> dict[str, Any]:
    model = seeded([int(size) for size in sizes.split("-")], 6)
    path = folder / "mlp.onnx"
    write_qonnx(model, path)
    cpu, wall, parts = [], [], []
    for repeat in range(repeats):
        build = folder / f"build_{sizes}_{repeat}"
        command = [sys.executable, "-m", "hardwire", "compile", str(path), "-o", str(build)]
        seconds = timed([*command, "--target", TARGET, "--clock-mhz", str(CLOCK_MHZ)])
        cpu.append(seconds[0])
        wall.append(seconds[1])
        parts.append(json.loads(timed([sys.executable, "-c", WITHIN, str(path), TARGET, str(CLOCK_MHZ)])[2]))
    return {
        "network": model.name,
        "multiplications": model.nonzero,
        "cpu_s": statistics.median(cpu),
        "cpu_s_each": cpu,
        "wall_s": statistics.median(wall),
        **{name: statistics.median(part[name] for part in parts) for name in parts[0] if name.endswith("_s")},
        **{name: parts[0][name] for name in ("ops", "cycles")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", action="append", help="layer sizes, any number of times")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        measure("4-4-2", 1, Path(scratch))  # Warm up.
        for sizes in options.sizes or ["16-64-32-32-5", "64-256-128-8"]:
            rows.append(measure(sizes, options.repeats, Path(scratch)))
            row = rows[-1]
            print(
                f"{row['network']}: {row['multiplications']:,} multiplications, {row['ops']:,} ops; command "
                f"{row['cpu_s']:.2f} CPU s ({row['wall_s']:.2f} s), of that compiling {row['compile_cpu_s']:.2f}, "
                f"solving {row['solve_cpu_s']:.2f}",
                flush=True,
            )
            if options.json:
                beside = options.json.with_name(f"{options.json.name}.part")
                beside.write_text(json.dumps({"target": TARGET, "clock_mhz": CLOCK_MHZ, "rows": rows}, indent=1) + "\n")
                os.replace(beside, options.json)


if __name__ == "__main__":
    main()
