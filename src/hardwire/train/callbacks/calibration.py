"""Compiling now and then in training, so that a cost is what the design takes and not only an estimate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from hardwire.errors import DataError, HardwireError
from hardwire.train.callbacks._base import Callback, Run
from hardwire.train.costs import Calibrated

Found = Callable[[nn.Module], Mapping[str, float]]
"""Compiles a model and says what each layer of the design takes, as `Cost.found` does of a report."""


class Calibration(Callback):
    """Correct a cost `times` a run, evenly, from the share `begin` of it on; it stands before what reads the cost.

    Epochs whose model does not compile (yet) leave the cost as it is. Raises `DataError` for a number below one.
    """

    def __init__(self, cost: Calibrated, found: Found, *, times: int = 20, begin: float = 0.1) -> None:
        if times < 1:
            raise DataError(f"calibration: times = {times}", hint="at least 1")
        self.cost, self.found, self.times, self.begin = cost, found, times, begin
        cost.clear()

    def on_start(self, run: Run) -> None:
        """Have a scale of every layer from the start: a compiled step is not compiled anew for the first found."""
        self.cost.begin(run.model)

    def after_epoch(self, run: Run) -> None:
        """Compile, if it is time."""
        done, epochs = run.epoch * self.times, run.options.epochs
        if run.epoch < self.begin * epochs or done // epochs == (done - self.times) // epochs:
            return
        with torch.random.fork_rng():
            try:
                found = self.found(run.model.eval())
            except HardwireError as error:
                run.say(f"epoch {run.epoch}: does not compile yet: {error}")
                return
        self.cost.calibrate(run.model, found)

    def state_dict(self) -> dict[str, Any]:
        """What was found."""
        return {"scales": dict(self.cost.scales), "rest": self.cost.rest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.cost.scales, self.cost.rest = dict(state["scales"]), state["rest"]
