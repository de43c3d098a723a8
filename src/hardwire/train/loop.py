"""The training loop: deterministic, resumable to the bit, and fast for networks that fit a trigger.

Data lie in memory whole and batches are rows of them: no loader, no worker, no copy of an epoch.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hardwire.errors import TrainingError
from hardwire.train import checkpoint
from hardwire.train.callbacks._base import Callback, Run
from hardwire.train.evaluation import device_of, evaluate
from hardwire.train.flat import Flat
from hardwire.train.losses import Loss, Metric, loss_named, metric_named, to_tensor
from hardwire.train.options import Options
from hardwire.train.step import CompiledStep, Step

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class History:
    """What a run did: the metrics of each epoch, and why it stopped early (or '')."""

    epochs: list[dict[str, float]]
    metric: Metric
    kept: int = 0
    """The epoch, from 1, whose weights the model has."""
    stopped: str = ""
    resumed: int = field(default=0, compare=False)
    """Epochs that a checkpoint had already done."""

    def final(self) -> dict[str, float]:
        """Return the epoch whose weights the model has."""
        return self.epochs[self.kept - 1]

    def best(self) -> dict[str, float]:
        """Return the first epoch with the best metric."""
        return best_epoch(self.epochs, self.metric)

    def column(self, name: str) -> list[float]:
        """Return one metric over the epochs; NaN where an epoch has none of the name."""
        return [row.get(name, math.nan) for row in self.epochs]


def best_epoch(epochs: Sequence[dict[str, float]], metric: Metric) -> dict[str, float]:
    """Return the first epoch with the best metric."""
    best = epochs[0]
    for row in epochs[1:]:
        if metric.better(row[metric.name], best[metric.name]):
            best = row
    return best


def fit(
    model: nn.Module,
    train: tuple[Any, Any],
    validation: tuple[Any, Any],
    options: Options | None = None,
    *,
    loss: str | Loss = "cross_entropy",
    metric: str | Metric = "accuracy",
    callbacks: Sequence[Callback] = (),
    folder: str | Path | None = None,
    resume: bool = True,
    progress: Callable[[str], None] | None = None,
) -> History:
    """Train `model` in place, leave it in evaluation mode, and return what happened.

    `train` and `validation` are (inputs (N, …), targets (N, …)), arrays or tensors; whole numbers become int64, the
    rest float32. `loss` and `metric` are names (`hardwire.train.losses`) or a function and a `Metric`; the metric is
    that of the validation rows in evaluation mode, which is the compiled design's arithmetic.

    The same seed gives the same weights, bit for bit, on one thread of one machine and version of PyTorch; PyTorch's
    own random state is left as it was. With a `folder` a checkpoint is written there after every epoch, and a call
    with the same options, data, model and callbacks goes on from it, to the same weights as a run that never stopped.

    `Options.compile` compiles a step of forward and backward pass into one graph, the callbacks' costs included
    (`hardwire.train.step`), to the same gradients but for float rounding. It takes some ten seconds to start.

    Raises:
        TrainingError: rows that do not fit, a loss that is no number, a checkpoint of another run.
        MissingToolError: `Options.compile` without a C++ compiler.
    """
    options = options or Options()
    threads = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            with Flat(options.groups(model)) as flat:
                loop = _Loop(model, flat, train, validation, options, loss, metric, callbacks, folder, progress)
                return loop.run(resume)
    finally:
        torch.set_num_threads(threads)


def _checked(what: str, pair: tuple[Any, Any], device: torch.device) -> tuple[Tensor, Tensor]:
    try:
        inputs, targets = (to_tensor(part) for part in pair)
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{what} data: {error}", hint="a pair (inputs, targets) of arrays or tensors") from error
    if inputs.ndim < 2 or targets.ndim < 1 or len(inputs) != len(targets) or not len(inputs):
        raise TrainingError(
            f"{what} data: inputs of shape {tuple(inputs.shape)}, targets of shape {tuple(targets.shape)}",
            hint="inputs (N, features, …) and targets (N, …) with the same N, at least 1",
        )
    for name, part in (("inputs", inputs), ("targets", targets)):
        if part.dtype.is_floating_point and not bool(torch.isfinite(part).all()):
            raise TrainingError(f"{what} {name} hold a NaN or an infinity", hint="clean the data first")
    return inputs.to(device), targets.to(device)


class _Loop:
    def __init__(
        self,
        model: nn.Module,
        flat: Flat,
        train: tuple[Any, Any],
        validation: tuple[Any, Any],
        options: Options,
        loss: str | Loss,
        metric: str | Metric,
        callbacks: Sequence[Callback],
        folder: str | Path | None,
        progress: Callable[[str], None] | None,
    ) -> None:
        device = device_of(model)
        self.flat, self.loss, self.callbacks = flat, loss_named(loss), list(callbacks)
        inputs, targets = _checked("training", train, device)
        self.batch = min(options.batch, len(inputs))
        self.batches = len(inputs) // self.batch
        self.run_ = Run(
            model,
            options.make_optimiser(self.flat.groups),
            options,
            metric_named(metric),
            (inputs, targets),
            _checked("validation", validation, device),
            steps=self.batches * options.epochs,
            folder=None if folder is None else Path(folder),
            say=progress or (lambda text: None),
        )
        self.identity = self._identity(loss, metric) if self.run_.folder else {}
        self.gradients = (CompiledStep if options.compile else Step)(self.run_, self.loss, self.callbacks, self.flat)
        self.began = 0.0

    def run(self, resume: bool) -> History:
        run = self.run_
        path = None if run.folder is None else run.folder / CHECKPOINT
        state = self._load(path) if path is not None and resume and path.exists() else None
        for callback in self.callbacks:
            callback.on_start(run)
        if state is not None:
            torch.set_rng_state(state["random"])
        resumed = run.epoch
        self.began, first = time.monotonic(), run.epoch
        while run.epoch < run.options.epochs and not run.stop:
            self._epoch()
            run.allowed = all(callback.allows(run) for callback in self.callbacks)
            for callback in self.callbacks:
                callback.after_epoch(run)
            run.history[-1] = dict(run.metrics)
            for callback in self.callbacks:
                callback.log(run)
            if path is not None:
                checkpoint.write(path, self._state())
            self._tell(first)
        run.model.eval()
        run.kept = run.epoch
        for callback in self.callbacks:
            callback.on_end(run)
        return History(run.history, run.metric, run.kept, run.why, resumed)

    def _epoch(self) -> None:
        run, begin = self.run_, time.monotonic()
        (inputs, targets), options = run.train, run.options
        run.model.train()
        order = _order(len(inputs), options.seed, run.epoch).to(inputs.device)
        total = torch.zeros((), device=inputs.device)
        rate = 0.0
        with self.gradients.ready():
            for rows in order.split(self.batch)[: self.batches]:
                rate = options.set_rate(run.optimiser, run.done)
                total += self.gradients(inputs.index_select(0, rows), targets.index_select(0, rows), rows)
                if options.clip is not None:
                    nn.utils.clip_grad_norm_(self.flat.flats, options.clip)
                run.optimiser.step()
                run.step += 1
                for callback in self.callbacks:
                    callback.after_step(run)
        run.rows = None
        run.epoch += 1
        mean = float(total) / self.batches
        if not math.isfinite(mean):
            raise TrainingError(
                f"epoch {run.epoch}: the loss is {mean}",
                hint=f"a lower rate than {options.rate:g}, or clip = 1.0; weights of the last good epoch are in "
                "the checkpoint, where there is a folder",
            )
        outputs = evaluate(run.model, run.validation[0])
        wanted = run.validation[1].cpu()
        run.metrics = {
            "epoch": float(run.epoch),
            "loss": mean,
            "validation_loss": float(self.loss(outputs, wanted)),
            run.metric.name: run.metric.function(outputs, wanted),
            "rate": rate,
            "seconds": time.monotonic() - begin,
        }
        run.history.append(run.metrics)

    def _tell(self, first: int) -> None:
        run = self.run_
        left = (time.monotonic() - self.began) / (run.epoch - first) * (run.options.epochs - run.epoch)
        name = run.metric.name
        run.say(
            f"epoch {run.epoch} of {run.options.epochs}: loss {run.metrics['loss']:.4g}, "
            f"{name} {run.metrics[name]:.4g}, {left:.0f} s left"
        )

    def _identity(self, loss: str | Loss, metric: str | Metric) -> dict[str, Any]:
        """What must be the same for a run to go on."""
        run = self.run_
        return {
            "optimiser's state": "flat",
            "options": run.options.as_dict(),
            "loss": loss if isinstance(loss, str) else getattr(loss, "__qualname__", type(loss).__qualname__),
            "metric": run.metric.name,
            "callbacks": [type(callback).__name__ for callback in self.callbacks],
            "model": [f"{k} {tuple(v.shape)} {v.dtype}" for k, v in run.model.state_dict().items()],
            "training data": checkpoint.digest(*run.train),
            "validation data": checkpoint.digest(*run.validation),
        }

    def _state(self) -> dict[str, Any]:
        run = self.run_
        return {
            "format": checkpoint.FORMAT,
            "identity": self.identity,
            "torch": str(torch.__version__),
            "model": run.model.state_dict(),
            "optimiser": run.optimiser.state_dict(),
            "random": torch.get_rng_state(),
            "callbacks": [callback.state_dict() for callback in self.callbacks],
            "epoch": run.epoch,
            "step": run.step,
            "history": run.history,
            "loss_share": run.loss_share,
            "stop": run.stop,
            "why": run.why,
        }

    def _load(self, path: Path) -> dict[str, Any]:
        run, state = self.run_, checkpoint.read(path)
        _same(state["identity"], self.identity, path)
        if state["torch"] != str(torch.__version__):
            warnings.warn(
                f"checkpoint {str(path)!r} is of PyTorch {state['torch']}, this is {torch.__version__}: the run goes "
                "on, but not necessarily to the same bits",
                stacklevel=4,
            )
        run.model.load_state_dict(state["model"])
        run.optimiser.load_state_dict(state["optimiser"])
        for callback, kept in zip(self.callbacks, state["callbacks"], strict=True):
            callback.load_state_dict(kept)
        run.epoch, run.step, run.history = state["epoch"], state["step"], state["history"]
        run.metrics = dict(run.history[-1])
        run.loss_share, run.stop, run.why = state["loss_share"], state["stop"], state["why"]
        return state


def _order(rows: int, seed: int, epoch: int) -> Tensor:
    """Return the shuffled rows of an epoch: of the seed and the epoch alone."""
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))
    return torch.randperm(rows, generator=torch.Generator().manual_seed(mixed))


def _same(had: dict[str, Any], has: dict[str, Any], path: Path) -> None:
    """Raise `TrainingError` that names the first thing that is not the checkpoint's."""
    hint = "the same again to go on, another folder, or start anew without resuming (resume=False)"
    for name, value in has.items():
        before = had.get(name)
        if before == value:
            continue
        if name == "options" and isinstance(before, dict):
            other = next(key for key in {**before, **value} if before.get(key) != value.get(key))
            raise TrainingError(
                f"checkpoint {str(path)!r} is of a run with option {other} = {before.get(other)!r}, "
                f"not {value.get(other)!r}",
                hint=hint,
            )
        if name in ("training data", "validation data"):
            raise TrainingError(f"checkpoint {str(path)!r} is of a run on other {name}", hint=hint)
        if name == "model":
            other = next(iter(sorted(set(before or ()) ^ set(value))), "another order")
            raise TrainingError(f"checkpoint {str(path)!r} is of another model, see {other}", hint=hint)
        raise TrainingError(f"checkpoint {str(path)!r} is of a run with {name} {before!r}, not {value!r}", hint=hint)
