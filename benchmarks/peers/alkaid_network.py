"""A network through alkaid: solve, count, emulate, write Verilog. Runs in an environment that holds alkaid and numpy.

    PYTHON alkaid_network.py NETWORK OUT [--levels 2,5] [--depth -1,0,2] [--repeats 3] [--inputs TYPES.json] …

NETWORK is a .npz that holds w0, b0, w1, b1, … , and `hidden`: integer and fractional bits of the unsigned type after
each ReLU (inputs are s8.4); or a model that HGQ2 trained (.keras, .h5), for which the environment holds keras and hgq2
too. Beside it lies `x.npy` (N, inputs), values that the input's types represent exactly. `--inputs` gives the sign,
integer and fractional bits of each input of such a model, so that rounding them is no part of the design;
`--solver` further options of its solver.

Every `--depth` (its `hard_dc`: levels allowed beyond the least, -1 for any number) is solved. OUT gets a project for
each depth and number of adder levels a stage, with and without ternary adders, `y.npy` (what its emulator answers) and
`figures.json`. Stages are cut by its `latency_cutoff`: the largest of a few around the number of levels with which no
stage holds more adders one after another than that. Biases and the third operand of a ternary adder are not counted,
as its own delays take them to be free: in its favour. `cycles_all_counted` are the fewest possible with these counted
too.
"""

import argparse
import json
import os
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import numpy as np
from alkaid.codegen import RTLModel
from alkaid.trace import FVArrayInput, to_pipeline, trace
from alkaid.trace.passes import fuse_ternary_adders

# Opcodes of a sum and a difference of two values; and of a sum with a constant (a bias), which its delays leave out.
ADDERS, BIASES = (0, 1), (4,)
CUTOFFS = (1.0, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3, 1.35, 1.4, 1.5, 1.6)


def from_arrays(path, solver):
    """A function of hard_dc that traces the network, and nothing that says what it should answer."""
    with np.load(path, allow_pickle=False) as file:
        count = sum(name.startswith("w") for name in file.files)
        layers = [(file[f"w{i}"], file[f"b{i}"]) for i in range(count)]
        whole, fraction = file["hidden"].tolist()

    def build(depth, layers=layers):
        port = FVArrayInput((layers[0][0].shape[0],), solver_options={**solver, "hard_dc": depth})
        x = port.quantize(1, 3, 4)
        for i, (w, bias) in enumerate(layers):
            x = x @ w + bias
            if i < len(layers) - 1:
                x = x.relu(i=np.full(x.shape, whole), f=np.full(x.shape, fraction))
        return trace(port, x)

    build(-1, [(layers[0][0][:4, :4], layers[0][1][:4])])  # Warm up.
    return build, None


def from_keras(path, solver, inputs=None):
    """As `from_arrays`; the second function is the model's own forward."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    import hgq  # noqa: F401  (registers its layers)
    import keras
    from alkaid.converter import trace_model

    model = keras.models.load_model(path, compile=False)

    def build(depth):
        options = {**solver, "hard_dc": depth}
        if inputs is None:
            return trace(*trace_model(model, solver_options=options))
        port = FVArrayInput(model.input_shape[1:], solver_options=options)
        given = port.quantize(*np.array(inputs).T.reshape(3, *model.input_shape[1:]))
        return trace(port, trace_model(model, inputs=given, solver_options=options)[1])

    def forward(x):
        return np.asarray(model.predict(x.reshape(-1, *model.input_shape[1:]).astype(np.float32), verbose=0))

    build(-1)  # Warm up.
    return build, forward


# What each op counts, in its favour and as the carry chains that synthesis makes of it (11: three operands).
FREE = dict.fromkeys(ADDERS, 1)
CHAINS = FREE | dict.fromkeys(BIASES, 1) | {11: 2}


def most_levels(comb, cutoff, weights=FREE):
    """Adders one after another in a stage, at most."""
    found = 0
    for stage in to_pipeline(comb, latency_cutoff=cutoff, verbose=False).logic.values():
        level = []
        for op in stage.ops:
            below = () if op.opcode == -1 else op.addr
            level.append(max((level[i] for i in below if i >= 0), default=0) + weights.get(op.opcode, 0))
        found = max(found, *level, 0)
    return found


def best_cutoff(comb, levels):
    return max((c * levels for c in CUTOFFS if most_levels(comb, c * levels) <= levels), default=levels)


def cycles_all_counted(comb, levels):
    """Register ranks, were the whole cut perfectly with at most so many carry chains in a row, whatever they are of."""
    level = []
    for op in comb.ops:
        below = () if op.opcode == -1 else op.addr
        level.append(max((level[i] for i in below if i >= 0), default=0) + CHAINS.get(op.opcode, 0))
    return -(-max(level, default=0) // levels) + 1


def projects(comb, depth, levels, out):
    for count in levels:
        cutoff = best_cutoff(comb, count)
        for ternary in (False, True):
            folder = out / f"depth{depth}_levels{count}{'_ternary' if ternary else ''}"
            start = time.process_time()
            model = RTLModel(comb, folder, "mlp", flavor="verilog", latency_cutoff=cutoff, ternary_fuse=ternary)
            model.write()
            seconds = time.process_time() - start
            data = json.loads((folder / "metadata.json").read_text())
            sources = sorted(p for p in (folder / "src").rglob("*.v") if "_wrapper" not in p.name)
            yield {
                "depth": depth,
                "levels": count,
                "ternary": ternary,
                "cutoff": cutoff,
                # Register ranks from port to port: one in front of each stage, one behind the last.
                "cycles": data["latency"] + 1,
                "cycles_all_counted": cycles_all_counted(fuse_ternary_adders(comb) if ternary else comb, count),
                "register_bits": data["reg_bits"],
                "cost": data["cost"],
                "write_cpu_s": seconds,
                "verilog": [str(p.relative_to(out)) for p in sources],
            }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--levels", default="2,5")
    parser.add_argument("--depth", default="-1,0,2")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--inputs", type=Path)
    parser.add_argument("--solver", type=json.loads, default={})
    options = parser.parse_args()
    if options.network.suffix == ".npz":
        build, forward = from_arrays(options.network, options.solver)
    else:
        inputs = None if options.inputs is None else json.loads(options.inputs.read_text())
        build, forward = from_keras(options.network, options.solver, inputs)
    x = np.load(options.out / "x.npy")
    levels = [int(word) for word in options.levels.split(",")]
    solved, written, answers = {}, [], []
    for depth in map(int, options.depth.split(",")):
        times = []
        for _ in range(options.repeats):
            start = time.process_time()
            comb = build(depth)
            times.append(time.process_time() - start)
        codes = Counter(op.opcode for op in comb.ops)
        solved[depth] = {
            "adders": sum(codes[c] for c in ADDERS + BIASES),
            "ops": len(comb.ops),
            "cost": comb.cost,
            "latency": comb.latency[1],
            "solve_cpu_s": times,
        }
        print(f"alkaid: hard_dc {depth}: {solved[depth]}", flush=True)
        answers.append(np.asarray(comb.predict(x.reshape(len(x), -1), n_threads=1)).reshape(len(x), -1))
        written += projects(comb, depth, levels, options.out)
    np.save(options.out / "y.npy", answers[0])
    result = {
        "versions": {name: version(name) for name in ("alkaid", "numpy", *(("hgq2", "keras") if forward else ()))},
        "solved": solved,
        "emulators_differ": int(sum((y != answers[0]).any(axis=1).sum() for y in answers)),
        # On the model's own forward float32 sums may round: told, not judged.
        "forward_differs": None
        if forward is None
        else int((forward(x).reshape(len(x), -1) != answers[0]).any(axis=1).sum()),
        "in_kif": np.array(comb.inp_kifs).T.tolist(),
        "out_kif": np.array(comb.out_kifs).T.tolist(),
        "projects": written,
    }
    (options.out / "figures.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
