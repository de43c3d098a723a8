"""Run by a peer's own Python: hls4ml's C simulation on a network from a file. Argument: NETWORK.npz.

Prints a line of JSON when it is ready, then for every line that it reads the events per CPU second of one run.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from importlib.metadata import version

import hls4ml
import numpy as np
import torch


def spent() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    # What hls4ml prints is not an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with np.load(sys.argv[1]) as file:
        layers = [(file[f"w{i}"], file[f"b{i}"]) for i in range(int(file["layers"]))]
        x, want = file["x"][:100_000].astype(np.float32), file["y"]
        types = {}
        for name in ("given", "weight", "hidden"):
            bits, frac = (int(v) for v in file[name])
            types[name] = (bits, bits - frac, frac)
    parts: list[torch.nn.Module] = []
    for i, (w, b) in enumerate(layers):
        dense = torch.nn.Linear(*w.shape)
        dense.weight.data, dense.bias.data = torch.tensor(w.T.copy()).float(), torch.tensor(b).float()
        parts += [dense] + ([torch.nn.ReLU()] if i < len(layers) - 1 else [])
    # Sums are not rounded, and those of the reference network do not overflow.
    fine = max(14, types["weight"][2] + max(types["given"][2], types["hidden"][2]))
    wide = f"ap_fixed<{14 + fine},14>"
    started = spent()
    model = torch.nn.Sequential(*parts)
    config = hls4ml.utils.config_from_pytorch_model(
        model, (x.shape[1],), granularity="name", backend="Vitis", default_precision="ap_fixed<24,12>"
    )
    for name, layer in config["LayerName"].items():
        precision = layer.get("Precision", {})
        if not isinstance(precision, dict):
            continue
        if "weight" in precision:
            weight = f"ap_fixed<{types['weight'][0]},{types['weight'][1]}>"
            precision.update(weight=weight, bias=weight, result=wide, accum=wide)
        elif "input" in name or name == "x":
            precision["result"] = f"ap_fixed<{types['given'][0]},{types['given'][1]}>"
        else:
            precision["result"] = f"ap_ufixed<{types['hidden'][0]},{types['hidden'][1]}>"
    with tempfile.TemporaryDirectory() as folder:
        project = hls4ml.converters.convert_from_pytorch_model(
            model, hls_config=config, backend="Vitis", io_type="io_parallel", output_dir=folder
        )
        project.compile()
        compiled = spent() - started
        found = np.asarray(project.predict(x[: len(want)])).reshape(want.shape)
        result = {
            "tool": f"hls4ml {version('hls4ml')}",
            "compile_s": compiled,
            "equal": bool(np.array_equal(found, want.astype(np.float32))),
        }
        print(json.dumps(result), file=answers, flush=True)
        for _ in sys.stdin:
            started = spent()
            project.predict(x)
            print(len(x) / (spent() - started), file=answers, flush=True)


if __name__ == "__main__":
    main()
