"""Run by a peer's own Python: alkaid's emulator on a network from a file. Argument: NETWORK.npz.

Prints a line of JSON when it is ready, then for every line that it reads the events per CPU second of one run.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version

import numpy as np
from alkaid.trace import FVArrayInput, trace


def main() -> None:
    with np.load(sys.argv[1]) as file:
        layers = [(file[f"w{i}"], file[f"b{i}"]) for i in range(int(file["layers"]))]
        x, want = file["x"], file["y"]
        bits, frac = (int(v) for v in file["hidden"])
        given_bits, given_frac = (int(v) for v in file["given"])
    started = time.process_time()
    inputs = FVArrayInput((x.shape[1],))
    value = inputs.quantize(1, given_bits - 1 - given_frac, given_frac)
    for i, (w, b) in enumerate(layers):
        value = value @ w + b
        if i < len(layers) - 1:
            value = value.relu(i=np.full(value.shape, bits - frac), f=np.full(value.shape, frac))
    program = trace(inputs, value)
    compiled = time.process_time() - started
    found = np.asarray(program.predict(x[: len(want)], n_threads=1)).reshape(want.shape)
    result = {
        "tool": f"alkaid {version('alkaid')}",
        "compile_s": compiled,
        "equal": bool(np.array_equal(found, want)),
    }
    print(json.dumps(result), flush=True)
    for _ in sys.stdin:
        started = time.process_time()
        program.predict(x, n_threads=1)
        print(len(x) / (time.process_time() - started), flush=True)


if __name__ == "__main__":
    main()
