"""A run that kills itself in the middle of an epoch: `python killed.py FOLDER STEP`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from training_data import dense, rings

from hardwire.train import Callback, CsvLog, Distillation, EarlyStopping, Options, ParetoFront, Run, fit

OPTIONS = Options(epochs=6, batch=64, rate=1e-2, schedule="one-cycle", clip=1.0, seed=3)


def weight_size(model):
    return sum(float(p.abs().sum()) for p in model.parameters())


def callbacks() -> list[Callback]:
    return [
        Distillation(dense(7).eval(), share=0.3),
        ParetoFront(weight_size),
        EarlyStopping(patience=5),
        CsvLog(),
    ]


class KillAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def after_step(self, run: Run) -> None:
        if run.step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def train(folder: Path, step: int = -1):
    model = dense(1, dropout=0.1)
    history = fit(model, rings(500), rings(200, seed=1), OPTIONS, callbacks=[*callbacks(), KillAt(step)], folder=folder)
    return model, history


if __name__ == "__main__":
    train(Path(sys.argv[1]), int(sys.argv[2]))
