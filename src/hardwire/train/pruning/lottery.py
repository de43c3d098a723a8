"""Lottery tickets: prune, go back to the weights of an early epoch, train again (Frankle & Carbin 2019)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hardwire.errors import TrainingError
from hardwire.train.callbacks._base import Callback, Run
from hardwire.train.loop import History, fit
from hardwire.train.options import Options
from hardwire.train.pruning._base import Held, Masks, Scope, prunable
from hardwire.train.pruning.schedules import after_rounds
from hardwire.train.pruning.weights import Magnitude


class _Remembered(Callback):
    """Keeps the model's state after some epochs."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.state: dict[str, Tensor] = {}

    def on_start(self, run: Run) -> None:
        if self.epoch == 0 and not self.state:
            self._keep(run)

    def after_epoch(self, run: Run) -> None:
        if run.epoch == self.epoch:
            self._keep(run)

    def _keep(self, run: Run) -> None:
        self.state = {name: value.detach().clone() for name, value in run.model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        return {"state": self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state = state["state"]


def lottery_ticket(
    model: nn.Module,
    train: tuple[Any, Any],
    validation: tuple[Any, Any],
    options: Options | None = None,
    *,
    sparsity: float = 0.9,
    rounds: int = 5,
    rewind: int = 1,
    scope: Scope = "global",
    callbacks: Callable[[], Sequence[Callback]] = tuple,
    folder: str | Path | None = None,
    **rest: Any,
) -> list[History]:
    """Train `rounds` + 1 times; between two trainings prune and rewind. Return the history of each training.

    The first training is of all weights. Then each round prunes the same share of the weights that are left, the
    smallest first, sets the rest back to what they were after `rewind` epochs of the first training (0: as they were
    initialised; early epochs are what larger networks need, arXiv:1903.01611), and trains for all of the options'
    epochs. `callbacks` makes those of a training anew; `rest` goes to `fit`. With a `folder` each training has its own
    within, and a call that was cut off goes on. Raises `TrainingError` for rounds or epochs that cannot be.
    """
    options = options or Options()
    if rounds < 1 or not 0 <= rewind <= options.epochs or not 0.0 < sparsity < 1.0:
        raise TrainingError(
            f"lottery ticket: {rounds} rounds to {sparsity:g} zeros, rewinding to epoch {rewind} of {options.epochs}",
            hint="at least one round, 0 < sparsity < 1, and an epoch of the training",
        )
    place = None if folder is None else Path(folder)
    early = _Remembered(rewind)
    masks: Masks = {}
    histories = []
    for turn in range(rounds + 1):
        own: list[Callback] = [early] if turn == 0 else [Held(masks)]
        where = None if place is None else place / f"round-{turn}"
        histories.append(fit(model, train, validation, options, callbacks=[*own, *callbacks()], folder=where, **rest))
        if turn < rounds:
            masks = _pruned(model, masks, after_rounds(turn + 1, rounds, sparsity), scope)
            model.load_state_dict(early.state)
            with torch.no_grad():
                for name, part in prunable(model).items():
                    part.weight.mul_(masks[name])
    return histories


def _pruned(model: nn.Module, masks: Masks, share: float, scope: Scope) -> Masks:
    method = Magnitude(share, scope=scope, masks=masks)
    method.take(model)
    method.choose(share)
    return method.masks
