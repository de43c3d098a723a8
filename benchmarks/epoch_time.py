"""Seconds of a training epoch, ours beside HGQ2's, on the same network, rows and batch, one thread each.

    python benchmarks/epoch_time.py [--peer-hgq2 PYTHON] [--batches 256,1024] [--rounds 5] [--json FILE]

The network is 16-64-32-32-5 with a bit width for every weight and activation, with its cost in the loss (EBOPs, the
peer's own measure, in both), trained by Adam on 42,000 jets. Rounds of the tools follow each other in turn and the
ratio is that of the medians of their CPU seconds, so that other load on the machine falls on both. Compilation, the
first epochs and validation are not counted. The peer runs with JAX, its fastest back end here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hardwire.datasets import Standardiser, load_jets, split_indices
from hardwire.nn import Dense
from hardwire.train import Options, Ramp, fit
from hardwire.train.callbacks import Callback
from hardwire.train.callbacks._base import Run
from hardwire.train.costs import Ebops

SIZES = (16, 64, 32, 32, 5)
PEER = Path(__file__).parent / "peers" / "hgq2_front.py"


def network() -> torch.nn.Module:
    layers: list[torch.nn.Module] = []
    for last, size in zip(SIZES[:-1], SIZES[1:], strict=True):
        layers += [Dense(last, size), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


class _Times(Callback):
    """CPU seconds of every epoch, validation apart."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.began = 0.0

    def on_start(self, run: Run) -> None:
        self.began = time.process_time()

    def after_step(self, run: Run) -> None:
        if run.step % (run.steps // run.options.epochs) == 0:
            self.seconds.append(time.process_time() - self.began)

    def log(self, run: Run) -> None:
        self.began = time.process_time()


def ours(x: Any, y: Any, batch: int, epochs: int, compile: bool) -> list[float]:
    """Seconds of each epoch but the first two."""
    torch.manual_seed(0)
    times = _Times()
    options = Options(epochs=epochs, batch=batch, optimiser="adam", decay=0.0, compile=compile)
    few = (x[:256], y[:256])
    fit(network(), (x, y), few, options, callbacks=[times, Ramp(Ebops(), 1e-3, 1e-1, warmup=0.0)])
    return times.seconds[2:]


def peers(python: str, data: Path, batch: int, epochs: int) -> list[float]:
    """Seconds of each epoch but the first two."""
    command = [python, str(PEER), "time", str(data), "--batch", str(batch), "--epochs", str(epochs)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [row["cpu_s"] for row in rows][2:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-hgq2", metavar="PYTHON", help="interpreter of an environment with hgq2 and JAX")
    parser.add_argument("--batches", type=lambda text: [int(word) for word in text.split(",")], default=[256, 1024])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4, help="a round")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    jets = load_jets()
    rows, _, _ = split_indices(len(jets), validation=0.1, test=0.2, seed=0)
    x = np.asarray(Standardiser.fit(jets.X[rows])(jets.X[rows]), np.float32)
    y = np.asarray(jets.y[rows], np.int64)
    data = Path("build") / "epoch_time.npz"
    data.parent.mkdir(exist_ok=True)
    np.savez(data, x_train=x, y_train=y)
    result: dict[str, Any] = {"rows": [], "versions": {name: version(name) for name in ("hardwire", "torch")}}
    for batch in options.batches:
        found: dict[str, list[float]] = {"eager": [], "compiled": [], "hgq2": []}
        for _ in range(options.rounds):
            found["eager"] += ours(x, y, batch, options.epochs + 2, False)
            found["compiled"] += ours(x, y, batch, options.epochs + 2, True)
            if options.peer_hgq2:
                found["hgq2"] += peers(options.peer_hgq2, data, batch, options.epochs + 2)
        row: dict[str, Any] = {"batch": batch, "events": len(x)}
        row |= {name: statistics.median(times) for name, times in found.items() if times}
        if options.peer_hgq2:
            row |= {f"{name} / hgq2": row[name] / row["hgq2"] for name in ("eager", "compiled")}
        result["rows"].append(row)
        print(", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
