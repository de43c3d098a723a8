"""Seconds of a training epoch, ours beside HGQ2's, on the same network, rows and batch, one core for both.

    python benchmarks/epoch_time.py [--peer-hgq2 PYTHON] [--batches 256,1024] [--rounds 5] [--json FILE]

The network is 16-64-32-32-5 with a bit width for every weight and activation, with its cost in the loss (EBOPs, the
peer's own measure, in both), trained by Adam on 42,000 jets. Ours is trained eagerly and with `Options.compile`, the
peer with JAX, its fastest back end here. Each round starts each of the three in a process of its own, one after the
other and on the same core, so that other load on the machine falls on all of them; seconds are the processor's.

An epoch is the median over all rounds, the first two of each process and all validation left out; `start` is what the
first epoch takes above that: tracing and compilation. That of a compiled step is the first round's, with nothing
cached; `restart` is that of the other rounds, which find the first one's compilation on disk.
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
WAYS = ("eager", "compiled")
SKIPPED = 2
"""Epochs of a process that count for its start, or not at all."""


def network() -> torch.nn.Module:
    layers: list[torch.nn.Module] = []
    for last, size in zip(SIZES[:-1], SIZES[1:], strict=True):
        layers += [Dense(last, size), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def clock() -> float:
    """CPU seconds of this process and of the compilers that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


class _Times(Callback):
    """CPU seconds of every epoch, validation apart."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.began = 0.0

    def on_start(self, run: Run) -> None:
        self.began = clock()

    def after_step(self, run: Run) -> None:
        if run.step % (run.steps // run.options.epochs) == 0:
            self.seconds.append(clock() - self.began)

    def log(self, run: Run) -> None:
        self.began = clock()


def ours(x: Any, y: Any, batch: int, epochs: int, compile: bool) -> list[float]:
    """Seconds of each epoch."""
    torch.manual_seed(0)
    times = _Times()
    options = Options(epochs=epochs, batch=batch, optimiser="adam", decay=0.0, compile=compile)
    few = (x[:256], y[:256])
    fit(network(), (x, y), few, options, callbacks=[times, Ramp(Ebops(), 1e-3, 1e-1, warmup=0.0)])
    return times.seconds


def run(command: list[str], cache: str) -> tuple[list[float], dict[str, str]]:
    """CPU seconds of each epoch and versions, as a process prints them; it compiles by itself, and into `cache`."""
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache, "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    *epochs, last = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [row["cpu_s"] for row in epochs], last["versions"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-hgq2", metavar="PYTHON", help="interpreter of an environment with hgq2 and JAX")
    parser.add_argument("--batches", type=lambda text: [int(word) for word in text.split(",")], default=[256, 1024])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8, help="a round")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=WAYS, help="print the seconds of each epoch of one process")
    options = parser.parse_args()
    jets = load_jets()
    rows, _, _ = split_indices(len(jets), validation=0.1, test=0.2, seed=0)
    x = np.asarray(Standardiser.fit(jets.X[rows])(jets.X[rows]), np.float32)
    y = np.asarray(jets.y[rows], np.int64)
    if options.only:
        for found in ours(x, y, options.batches[0], options.epochs, options.only == "compiled"):
            print(json.dumps({"cpu_s": found}), flush=True)
        print(json.dumps({"versions": {name: version(name) for name in ("hardwire", "torch")}}), flush=True)
        return
    if hasattr(os, "sched_setaffinity"):  # Inherited by the processes; one core is what keeps them to one thread each.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    data = Path("build") / "epoch_time.npz"
    data.parent.mkdir(exist_ok=True)
    np.savez(data, x_train=x, y_train=y)
    call = f"python benchmarks/epoch_time.py --rounds {options.rounds} --epochs {options.epochs}"
    result: dict[str, Any] = {"command": call + " --peer-hgq2 PYTHON" * bool(options.peer_hgq2), "versions": {}}
    result["rows"] = []
    for batch in options.batches:
        rest = [str(batch), "--epochs", str(options.epochs + SKIPPED)]
        commands = {way: [sys.executable, __file__, "--only", way, "--batches", *rest] for way in WAYS}
        if options.peer_hgq2:
            commands["hgq2"] = [options.peer_hgq2, str(PEER), "time", str(data), "--batch", *rest]
        found: dict[str, list[list[float]]] = {name: [] for name in commands}
        with tempfile.TemporaryDirectory() as cache:
            for _ in range(options.rounds):
                for name, command in commands.items():
                    epochs, versions = run(command, cache)
                    found[name].append(epochs)
                    result["versions"] |= versions
        row: dict[str, Any] = {"batch": batch, "events": len(x)}
        row |= {name: statistics.median(t for run in runs for t in run[SKIPPED:]) for name, runs in found.items()}
        if options.peer_hgq2:
            row |= {f"{name} / hgq2": row[name] / row["hgq2"] for name in WAYS}
        for name, runs in found.items():
            first, *others = (run[0] - row[name] for run in runs)
            row[f"{name} start"] = first
            if others:
                row[f"{name} restart"] = statistics.median(others)
        result["rows"].append(row)
        print(", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
