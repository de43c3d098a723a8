"""Stop when the metric no longer gets better, and go back to the best weights."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from hardwire.errors import TrainingError
from hardwire.train.callbacks._base import Callback, Run


class EarlyStopping(Callback):
    """Stop after `patience` epochs without an improvement of the run's metric by more than `least`.

    The best epoch's weights are restored at the end, also of a run that came to its last epoch; with `patience=None`
    that is all that it does. Epochs count for nothing before the share `after` of the run, and while another callback
    does not allow them: the pruning is not done, a cost is above its bound. Raises `TrainingError` for a patience
    below 1.
    """

    def __init__(
        self, patience: int | None = 10, least: float = 0.0, *, restore: bool = True, after: float = 0.0
    ) -> None:
        if patience is not None and patience < 1:
            raise TrainingError(f"early stopping: patience = {patience}", hint="1 or more, or None to never stop")
        self.patience, self.least, self.restore, self.after = patience, least, restore, after
        self.best: float | None = None
        self.epoch = 0
        self.weights: dict[str, Tensor] = {}

    def after_epoch(self, run: Run) -> None:
        """Keep the weights of a better epoch; stop when there has been none for too long."""
        if not run.allowed or run.epoch < min(self.after, 1.0) * run.options.epochs:
            return
        now = run.metrics[run.metric.name]
        bar = None if self.best is None else self.best + (self.least if run.metric.higher else -self.least)
        if bar is None or run.metric.better(now, bar):
            self.best, self.epoch = now, run.epoch
            if self.restore:
                self.weights = {name: value.detach().clone() for name, value in run.model.state_dict().items()}
        elif self.patience is not None and run.epoch - self.epoch >= self.patience:
            run.stop = True
            run.why = f"no better {run.metric.name} than epoch {self.epoch}'s in {self.patience} epochs"

    def on_end(self, run: Run) -> None:
        """Restore the best epoch's weights."""
        if self.weights:
            run.model.load_state_dict(self.weights)
            run.kept = self.epoch
            run.model.eval()

    def state_dict(self) -> dict[str, Any]:
        """Return the best epoch."""
        return {"best": self.best, "epoch": self.epoch, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the best epoch."""
        self.best, self.epoch, self.weights = state["best"], state["epoch"], state["weights"]
