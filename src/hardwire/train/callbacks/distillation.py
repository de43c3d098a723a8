"""A teacher's probabilities as targets (Hinton, Vinyals & Dean 2015, arXiv:1503.02531)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from hardwire.errors import TrainingError
from hardwire.train.callbacks._base import Callback, Run
from hardwire.train.evaluation import evaluate


class Distillation(Callback):
    """Give `share` of the loss to the distance from a teacher's outputs; the loss proper keeps the rest.

    The teacher's logits are softened by `temperature` T, and so are the model's; the cross-entropy between the two is
    multiplied by T², so that its gradient keeps its size (section 2 there). With `kind='mse'`, for outputs that are no
    logits, it is the mean squared difference. The teacher is asked once, for all training rows.

    Raises `TrainingError` for a share outside 0 … 1 or a temperature that is not above 0.
    """

    traced = True

    def __init__(
        self,
        teacher: nn.Module | Callable[[Tensor], Tensor],
        *,
        share: float = 0.6,
        temperature: float = 2.0,
        kind: str = "softmax",
    ) -> None:
        if not 0.0 <= share <= 1.0:
            raise TrainingError(f"distillation: share = {share}", hint="from 0 to 1")
        if not temperature > 0.0:
            raise TrainingError(
                f"distillation: temperature = {temperature}", hint="above 0; 1 leaves logits as they are"
            )
        if kind not in ("softmax", "mse"):
            raise TrainingError(f"distillation: kind = {kind!r}", hint="softmax or mse")
        self.teacher, self.share, self.temperature, self.kind = teacher, share, temperature, kind
        self._taught: Tensor | None = None

    def on_start(self, run: Run) -> None:
        """Ask the teacher."""
        run.loss_share = 1.0 - self.share
        inputs = run.train[0]
        with torch.no_grad():
            said = evaluate(self.teacher, inputs) if isinstance(self.teacher, nn.Module) else self.teacher(inputs)
            taught = said.to(inputs.device).float()
            self._taught = (taught / self.temperature).softmax(-1) if self.kind == "softmax" else taught

    def loss(self, run: Run, outputs: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the distance from what the teacher says of the batch."""
        assert self._taught is not None
        taught = self._taught[run.rows]
        if taught.shape != outputs.shape:
            raise TrainingError(
                f"distillation: the teacher gives outputs of shape {tuple(taught.shape)} for a batch, the model "
                f"{tuple(outputs.shape)}",
                hint="a teacher with the same outputs",
            )
        if self.kind == "mse":
            return self.share * functional.mse_loss(outputs, taught)
        soft = functional.cross_entropy(outputs / self.temperature, taught)
        return self.share * self.temperature**2 * soft
