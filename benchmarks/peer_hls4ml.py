"""Run by a peer's own Python: hls4ml's C simulation on a network from a file. Arguments: NETWORK.npz OUT.json."""

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
    with np.load(sys.argv[1]) as file:
        layers = [(file[f"w{i}"], file[f"b{i}"]) for i in range(int(file["layers"]))]
        x, want = file["x"][:100_000].astype(np.float32), file["y"]
        bits, frac = (int(v) for v in file["hidden"])
    parts: list[torch.nn.Module] = []
    for i, (w, b) in enumerate(layers):
        dense = torch.nn.Linear(*w.shape)
        dense.weight.data, dense.bias.data = torch.tensor(w.T.copy()).float(), torch.tensor(b).float()
        parts += [dense] + ([torch.nn.ReLU()] if i < len(layers) - 1 else [])
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
            precision.update(weight="ap_fixed<6,1>", bias="ap_fixed<6,1>", result="ap_fixed<28,14>")
            precision["accum"] = "ap_fixed<28,14>"
        elif "input" in name or name == "x":
            precision["result"] = "ap_fixed<8,4>"
        else:
            precision["result"] = f"ap_ufixed<{bits},{bits - frac}>"
    with tempfile.TemporaryDirectory() as folder:
        project = hls4ml.converters.convert_from_pytorch_model(
            model, hls_config=config, backend="Vitis", io_type="io_parallel", output_dir=folder
        )
        project.compile()
        compiled = spent() - started
        found = np.asarray(project.predict(x[: len(want)])).reshape(want.shape)
        rates = []
        for _ in range(3):
            started = spent()
            project.predict(x)
            rates.append(len(x) / (spent() - started))
    result = {
        "tool": f"hls4ml {version('hls4ml')}",
        "compile_s": compiled,
        "equal": bool(np.array_equal(found, want.astype(np.float32))),
        "rates": rates,
    }
    with open(sys.argv[2], "w") as out:
        json.dump(result, out)


if __name__ == "__main__":
    main()
