"""A network through alkaid: solve, count, emulate, write Verilog. Runs in an environment that holds alkaid and numpy.

    PYTHON alkaid_network.py NETWORK.npz OUT [--levels 2,5] [--depth -1,0,2] [--repeats 3]

NETWORK.npz holds w0, b0, w1, b1, …, x (N, inputs), y (N, outputs) expected, and `hidden`: integer and fractional bits
of the unsigned type after each ReLU. Every `--depth` (its `hard_dc`: levels allowed beyond the least, -1 for any
number) is solved; the Verilog is of the one with the least cost by its own estimate. OUT gets a project for each
number of adder levels a stage (`latency_cutoff`), with and without ternary adders, and `figures.json`.
"""

import argparse
import json
import statistics
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import numpy as np
from alkaid.codegen import RTLModel
from alkaid.trace import FVArrayInput, trace

# Opcodes of a sum and a difference of two values, and of a sum with a constant (a bias).
ADDERS = (0, 1, 4)


def build(layers, hidden, depth):
    whole, fraction = hidden
    port = FVArrayInput((layers[0][0].shape[0],), solver_options={"hard_dc": depth})
    x = port.quantize(1, 3, 4)
    for i, (w, bias) in enumerate(layers):
        x = x @ w + bias
        if i < len(layers) - 1:
            x = x.relu(i=np.full(x.shape, whole), f=np.full(x.shape, fraction))
    return trace(port, x)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--levels", default="2,5")
    parser.add_argument("--depth", default="-1,0,2")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with np.load(options.network, allow_pickle=False) as file:
        count = sum(name.startswith("w") for name in file.files)
        layers = [(file[f"w{i}"], file[f"b{i}"]) for i in range(count)]
        hidden, x, y = file["hidden"].tolist(), file["x"], file["y"]
    build([(layers[0][0][:4, :4], layers[0][1][:4])], hidden, -1)  # Warm up.
    found, solved = {}, []
    for depth in map(int, options.depth.split(",")):
        times = []
        for _ in range(options.repeats):
            start = time.process_time()
            comb = build(layers, hidden, depth)
            times.append(time.process_time() - start)
        codes = Counter(op.opcode for op in comb.ops)
        wrong = int((comb.predict(x, n_threads=1).reshape(y.shape) != y).any(axis=1).sum())
        found[depth] = {
            "adders": sum(codes[c] for c in ADDERS),
            "ops": len(comb.ops),
            "cost": comb.cost,
            "depth": comb.latency[1],
            "solve_cpu_s": statistics.median(times),
            "emulator": {"vectors": len(x), "mismatches": wrong},
        }
        solved.append((comb.cost, depth, comb))
        print(f"alkaid: hard_dc {depth}: {found[depth]}", flush=True)
    _, best, comb = min(solved, key=lambda row: row[:2])
    projects = []
    for levels in map(int, options.levels.split(",")):
        for ternary in (False, True):
            folder = options.out / f"levels{levels}{'_ternary' if ternary else ''}"
            start = time.process_time()
            model = RTLModel(comb, folder, "mlp", flavor="verilog", latency_cutoff=levels, ternary_fuse=ternary)
            model.write()
            seconds = time.process_time() - start
            data = json.loads((folder / "metadata.json").read_text())
            sources = sorted(p for p in (folder / "src").rglob("*.v") if "_wrapper" not in p.name)
            projects.append(
                {
                    "levels": levels,
                    "ternary": ternary,
                    # Register ranks from port to port: one in front of each stage, one behind the last.
                    "cycles": data["latency"] + 1,
                    "register_bits": data["reg_bits"],
                    "cost": data["cost"],
                    "write_cpu_s": seconds,
                    "verilog": [str(p.relative_to(options.out)) for p in sources],
                }
            )
    ports = {"in_kif": np.array(comb.inp_kifs).T.tolist(), "out_kif": np.array(comb.out_kifs).T.tolist()}
    result = {"version": version("alkaid"), "numpy": np.__version__, "solved": found, "chosen": best, **ports}
    (options.out / "figures.json").write_text(json.dumps({**result, "projects": projects}, indent=1) + "\n")


if __name__ == "__main__":
    main()
