"""What happens in a training run beside the gradient of the loss, and the run that it happens to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hardwire.train.losses import Metric
from hardwire.train.optimisers import Optimiser
from hardwire.train.options import Options


@dataclass
class Run:
    """A run as it stands; callbacks read all of it and may set `stop`, `why`, `kept`, `metrics` and `loss_share`."""

    model: nn.Module
    optimiser: Optimiser
    options: Options
    metric: Metric
    train: tuple[Tensor, Tensor]
    """Inputs and targets of all training rows."""
    validation: tuple[Tensor, Tensor]
    steps: int
    """Of the whole run."""
    folder: Path | None = None
    epoch: int = 0
    """Epochs that are done."""
    step: int = 0
    """Steps that are done."""
    rows: Tensor | None = None
    """Of the training rows, those of this step's batch."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Of the last epoch."""
    history: list[dict[str, float]] = field(default_factory=list)
    """The metrics of every epoch that is done, the last one's included."""
    loss_share: float = 1.0
    """Share of the loss proper in what is minimised; callbacks' terms come on top."""
    allowed: bool = True
    """Whether every callback allows the last epoch's weights to be the ones that are kept."""
    kept: int = 0
    """The epoch whose weights the model has at the end."""
    stop: bool = False
    why: str = ""
    """Why it stopped before its last epoch."""
    say: Callable[[str], None] = lambda text: None

    @property
    def done(self) -> float:
        """Share of the run that is done."""
        return self.step / self.steps

    @property
    def epoch_ends(self) -> bool:
        """Whether the step that was done last is the last of its epoch."""
        return self.step % (self.steps // self.options.epochs) == 0


class Callback:
    """A part of the training beside the loss: a cost, a penalty, pruning, a teacher, stopping, a log.

    All methods do nothing here. State that the rest of a run depends on goes through `state_dict` (tensors, numbers,
    texts, and lists and dictionaries of them): a run that was killed then resumes exactly.
    """

    def on_start(self, run: Run) -> None:
        """Before the first step, or before the next one of a resumed run, whose state is loaded already."""

    def loss(self, run: Run, outputs: Tensor, inputs: Tensor, targets: Tensor) -> Tensor | None:
        """Return a further term of the loss for a batch, a scalar; by default the price, if there is one, weighed."""
        if self.priced is None:
            return None
        price = self.priced(run.model)
        weight = self.weigh(run, float(price.detach()))
        return price * weight if weight else None

    traced: bool = False
    """Whether `loss` is a function of tensors and constants alone, which may be compiled together with the model."""
    priced: Callable[[nn.Module], Tensor] | None = None
    """A scalar function of the model alone; a compiled step computes it together with the model."""

    def weigh(self, run: Run, price: float) -> float:
        """Return the weight in this step's loss of a price that is `price`; 0 where it does not count."""
        return 0.0

    def after_step(self, run: Run) -> None:
        """After the optimiser's step."""

    def allows(self, run: Run) -> bool:
        """Return whether an epoch's weights may be the ones that are kept: asked after its validation."""
        return True

    def after_epoch(self, run: Run) -> None:
        """After an epoch and its validation, where `run.metrics` may get more; the checkpoint is written after it."""

    def log(self, run: Run) -> None:
        """After every callback's `after_epoch`, when the epoch's metrics are complete."""

    def on_end(self, run: Run) -> None:
        """At the end, the model in evaluation mode; a run that is killed never comes here."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what `state_dict` gave."""
