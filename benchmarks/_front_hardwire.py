"""Our fronts: trained by `hardwire.train`, compiled by hardwire."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import _hardwire
import numpy as np
import torch
from _front import LEVELS, Budget, Built, Candidate, Data, Floats, Progress, Row, chosen
from _synthesis import digest, write
from torch import nn

import hardwire as hw
from hardwire.nn import Dense, EdgeTables
from hardwire.targets import target as find_target
from hardwire.train import CsvLog, Distillation, Options, ParetoFront, Ramp, checkpoint, evaluate, fit, fit_seeds
from hardwire.train.costs import Luts

PART = "xcup-vu13p"


def dense() -> nn.Module:
    """The network that the field compares on, with a bit width for every weight and activation."""
    layers: list[nn.Module] = []
    for last, size in ((16, 64), (64, 32), (32, 32), (32, 5)):
        layers += [Dense(last, size), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def tables() -> nn.Module:
    """A learnt table on every edge."""
    return nn.Sequential(EdgeTables(16, 20, port=True), EdgeTables(20, 5))


FAMILIES: dict[str, Callable[[], nn.Module]] = {"hardwire-dense": dense, "hardwire-tables": tables}
WEIGHTS = {"hardwire-dense": (6e-3, 0.5), "hardwire-tables": (6e-3, 0.15)}
"""Of the logarithm of the LUTs in the loss, first and last."""
SETTINGS = Options(rate=0.01, decay=0.0, optimiser="adam", schedule="restarts")
OTHERWISE = {"hardwire-dense": {"bits_rate": 5.0, "compile": True}}
TAUGHT = {"share": 0.5, "temperature": 1.0}
"""By three float networks of the same rows, whose CPU seconds count as training."""
TEACHER = (16, 96, 64, 5)
TEACHING = Options(epochs=40, batch=512, rate=3e-3, decay=0.05, schedule="one-cycle")


def teacher() -> nn.Module:
    """A float network; what lies far out is drawn in."""
    layers: list[nn.Module] = [nn.Hardtanh(-6.0, 6.0)]
    for last, size in pairwise(TEACHER):
        layers += [nn.Linear(last, size), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def made(family: str, seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return FAMILIES[family]()


class Hardwire:
    """Trains and compiles in this process."""

    def versions(self) -> Row:
        return {name: version(name) for name in ("hardwire", "torch")}

    def points(
        self, family: str, seed: int, budget: Budget, data: Data, folder: Path, progress: Progress
    ) -> list[Candidate]:
        options = replace(SETTINGS, seed=seed, epochs=budget.epochs, batch=budget.batch, **OTHERWISE.get(family, {}))
        taught = {**TAUGHT, "teacher": TEACHER, "teaching": asdict(TEACHING)}
        told: Row = {"settings": {**asdict(options), "weights": WEIGHTS[family], "distillation": taught}}
        model = made(family, seed)
        key = digest(data.key, json.dumps(told, sort_keys=True), str(model))
        run = folder / "runs" / f"{family}_seed{seed}_{key}"
        if not (run / "run.json").is_file():
            progress(f"{family}, seed {seed}: training, {budget.epochs} epochs")
            write(run / "run.json", json.dumps(_trained(model, family, options, data, run)) + "\n")
        figures = json.loads((run / "run.json").read_text())
        told["parameters"] = sum(p.numel() for p in model.parameters())
        return chosen(
            [
                Candidate(
                    family,
                    seed,
                    f"epoch={epoch}-val_acc={accuracy:.4f}-luts={cost:.0f}",
                    run / "front" / f"epoch-{epoch:05d}.pt",
                    accuracy,
                    cost,
                    budget.epochs,
                    figures["train_cpu_s"],
                    told,
                )
                for epoch, accuracy, cost in figures["points"]
            ],
            budget,
        )

    def built(self, candidate: Candidate, data: Data, folder: Path) -> Built:
        model = made(candidate.family, candidate.seed)
        model.load_state_dict(checkpoint.read(candidate.file)["model"])
        x = data["x_test"]
        forward = evaluate(model, x).double().numpy()
        start = time.process_time()
        design = hw.compile(model, example=x[:64], name="mlp", **_hardwire.counted(find_target(PART), LEVELS))
        seconds = time.process_time() - start
        outputs = np.asarray(design.predict(x))

        def answers(netlist: Path, count: int) -> Floats:
            return _hardwire.answers(design, netlist, x[:count])

        return Built(
            _hardwire.verilog(design, folder / "ours" / digest(design.files["mlp.v"])),
            design.module,
            design.circuit.latency,
            outputs,
            int((outputs != forward).any(axis=1).sum()),
            answers,
            {"forward_differs": int((outputs != forward).any(axis=1).sum()), "compile_cpu_s": seconds},
        )


def _trained(model: nn.Module, family: str, options: Options, data: Data, run: Path) -> Row:
    cost = Luts(PART)
    front = ParetoFront(cost, after=0.1)
    first, last = WEIGHTS[family]
    clock = _Clock(run / "seconds.json")
    parts = (data["x_train"], data["y_train"]), (data["x_val"], data["y_val"])
    seeds = range(3 * options.seed, 3 * options.seed + 3)
    taught = fit_seeds(teacher, seeds, *parts, TEACHING, folder=run / "teacher", progress=clock.tick).together()
    callbacks = [
        Distillation(taught, **TAUGHT),
        Ramp(cost, first, last, warmup=0.05, every=4),
        front,
        CsvLog(),
    ]
    fit(model, *parts, options, callbacks=callbacks, folder=run, progress=clock.tick)
    return {
        "points": [[point.epoch, point.metric, point.cost] for point in front.points],
        "train_cpu_s": clock.seconds,
    }


class _Clock:
    """CPU seconds of a training, over interruptions."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds = json.loads(path.read_text())["seconds"] if path.is_file() else 0.0
        self.last = time.process_time()

    def tick(self, _: str = "") -> None:
        now = time.process_time()
        self.seconds, self.last = self.seconds + now - self.last, now
        write(self.path, json.dumps({"seconds": self.seconds}) + "\n")
