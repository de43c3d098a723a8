"""Ensembles of seeds: the same training several times over, as one averaged model or as the best of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hardwire.errors import TrainingError
from hardwire.train.callbacks._base import Callback
from hardwire.train.loop import History, fit
from hardwire.train.options import Options


class Ensemble(nn.Module):
    """Models of the same inputs and outputs as one, which compiles into one design.

    The output is the sum of theirs divided by the next power of two from their number, which is a shift and costs
    nothing: the mean of 2, 4 or 8 models; of others a multiple of it, with the same largest class. Raises
    `TrainingError` without a model.
    """

    def __init__(self, models: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(models)
        if not len(self.members):
            raise TrainingError("an ensemble of no models", hint="at least one")
        self.share = 0.5 ** (len(self.members) - 1).bit_length()

    def forward(self, x: Tensor) -> Tensor:
        """Return the averaged outputs."""
        total = self.members[0](x)
        for member in list(self.members)[1:]:
            total = total + member(x)
        return total * self.share


@dataclass(frozen=True)
class Seeds:
    """Models trained from several seeds, in the seeds' order."""

    seeds: tuple[int, ...]
    models: list[nn.Module]
    histories: list[History]

    def scores(self) -> list[float]:
        """Return each model's metric on the validation rows."""
        return [history.final()[history.metric.name] for history in self.histories]

    def best(self) -> nn.Module:
        """Return the model with the best metric on the validation rows."""
        scores, metric, found = self.scores(), self.histories[0].metric, 0
        for k, score in enumerate(scores):
            if metric.better(score, scores[found]):
                found = k
        return self.models[found]

    def together(self) -> Ensemble:
        """Return all of them as one model, in evaluation mode."""
        return Ensemble(self.models).eval()


def fit_seeds(
    build: Callable[[], nn.Module],
    seeds: Sequence[int],
    train: tuple[Any, Any],
    validation: tuple[Any, Any],
    options: Options | None = None,
    *,
    callbacks: Callable[[], Sequence[Callback]] = list,
    folder: str | Path | None = None,
    **rest: Any,
) -> Seeds:
    """Train a model for each seed, which is that of its first weights and of its training (see `fit`).

    `build` and `callbacks` make the model and the callbacks of a seed anew. With a `folder` each seed has its own in
    it, `seed-0` and so on, and resumes from it.
    """
    models, histories = [], []
    for seed in seeds:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = build()
        where = None if folder is None else Path(folder) / f"seed-{seed}"
        chosen = replace(options or Options(), seed=seed)
        histories.append(fit(model, train, validation, chosen, callbacks=callbacks(), folder=where, **rest))
        models.append(model)
    return Seeds(tuple(seeds), models, histories)
