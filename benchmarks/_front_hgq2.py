"""HGQ2's fronts: trained by `peers/hgq2_front.py`, compiled by alkaid, both in an environment of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import _alkaid
import numpy as np
from _cases import Case
from _front import LEVELS, Budget, Built, Candidate, Data, Floats, Progress, Row, chosen
from _synthesis import digest

DRIVER = Path(__file__).resolve().parent / "peers" / "hgq2_front.py"
FAMILIES = {"hgq2-dense": "dense", "hgq2-lut": "lut"}
SETTINGS: Row = {"rate": 3e-3, "beta": [1e-6, 3e-4], "hold": 0.04, "cycles": 12, "factor": 1.0}
"""The best of a few short runs of each family; the authors' own falling cosines are for runs 400 times as long."""
ENVIRONMENT = {"KERAS_BACKEND": "jax", "OMP_NUM_THREADS": "1"}


class Hgq2:
    """`python`: interpreter of an environment with hgq2, JAX and alkaid."""

    def __init__(self, python: str) -> None:
        self.python = python
        self._versions: Row = {}

    def versions(self) -> Row:
        return self._versions

    def points(
        self, family: str, seed: int, budget: Budget, data: Data, folder: Path, progress: Progress
    ) -> list[Candidate]:
        settings: Row = {"seed": seed, "epochs": budget.epochs, "batch": budget.batch, **SETTINGS}
        run = folder / "runs" / f"{family}_seed{seed}_{digest(data.key, json.dumps(settings, sort_keys=True))}"
        if not (run / "run.json").is_file():
            progress(f"{family}, seed {seed}: training, {budget.epochs} epochs")
            shutil.rmtree(run, ignore_errors=True)
            words = [f"--{k}={','.join(map(str, v)) if isinstance(v, list) else v}" for k, v in settings.items()]
            self._call("train", FAMILIES[family], data.file, run, *words, log=run.with_suffix(".log"))
        made = json.loads((run / "run.json").read_text())
        self._versions |= made["versions"]
        told = {k: made[k] for k in ("settings", "parameters", "backend")}

        def candidate(name: str, file: Path, figures: Row) -> Candidate:
            return Candidate(
                family,
                seed,
                name,
                file,
                figures["val_accuracy"],
                figures["ebops"],
                budget.epochs,
                made["train_cpu_s"],
                told,
            )

        # EBOPs of large networks are about three times their LUTs.
        held = chosen(
            [candidate(Path(row["file"]).stem, run / "ckpt" / row["file"], row) for row in made["checkpoints"]],
            replace(budget, greatest=2.5 * budget.greatest),
        )
        missing = [c for c in held if not (run / "points" / f"{c.name}.json").is_file()]
        if missing:
            progress(f"{family}, seed {seed}: finishing {len(missing)} points")
            log = run / "finish.log"
            self._call("finish", data.file, run / "points", *(c.file for c in missing), log=log)
        return [replace(c, file=run / "points" / f"{c.name}.keras") for c in held]

    def built(self, candidate: Candidate, data: Data, folder: Path) -> Built:
        finished = json.loads(candidate.file.with_suffix(".json").read_text())
        types = finished["in_kif"]
        x = on_grid(data["x_test"], types, finished.get("in_cut"))
        for solver in (None, {"binary_lut": False}):
            figures, place = _alkaid.solved(
                Case(candidate.name, path=candidate.file),
                x,
                self.python,
                [LEVELS],
                folder,
                repeats=1,
                inputs=types,
                solver=solver,
                environment=ENVIRONMENT,
            )
            # alkaid 0.8.2 takes a signed operand of one bit for an unsigned one where it makes tables of such.
            if not figures["forward_differs"] and not figures["emulators_differ"]:
                break
        self._versions |= figures["versions"]
        row = min(_alkaid.chosen(figures, LEVELS), key=lambda row: (row["cost"], row["cycles"]))
        solved = figures["solved"][str(row["depth"])]

        def answers(netlist: Path, count: int) -> Floats:
            return _alkaid.answers(netlist, x[:count], figures, row["cycles"])

        return Built(
            [place / name for name in row["verilog"]],
            "mlp",
            row["cycles"],
            _alkaid.emulated(place),
            0,
            answers,
            {
                "emulators_differ": figures["emulators_differ"],
                "cost_compiled": row["cost"],
                "adders": solved["adders"],
                "hard_dc": row["depth"],
                "ternary": row["ternary"],
                "traced": finished["traced"],
                "forward_differs": figures["forward_differs"],
                "binary_lut": solver is None,
                "solve_cpu_s": solved["solve_cpu_s"][0],
            },
        )

    def _call(self, *words: Any, log: Path) -> None:
        command = [self.python, str(DRIVER), *map(str, words)]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as output:
            done = subprocess.run(
                command, env=os.environ | ENVIRONMENT, stdout=output, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{log.read_text()[-2000:]}")


def on_grid(x: Floats, types: Sequence[Sequence[int]], cut: Sequence[bool] | None = None) -> Floats:
    """Values as the model's first quantisers take them: rounded half up or cut off, wrapped; (N, features) float64.

    >>> on_grid(np.array([[0.74, 5.0], [-1.0, 3.0]]), [[1, 1, 1], [0, 2, 0]])
    array([[ 0.5,  1. ],
           [-1. ,  3. ]])
    """
    sign, whole, fraction = np.array(types).T
    bits = np.maximum(sign + whole + fraction, 0)
    half = 0.5 * ~np.asarray(cut if cut is not None else [False] * len(bits))
    codes = np.floor(np.asarray(x, np.float64) * 2.0**fraction + half)
    low = -sign * 2.0 ** (bits - 1)
    return np.asarray((np.mod(codes - low, 2.0**bits) + low) * 2.0**-fraction)
