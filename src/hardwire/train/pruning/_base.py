"""What the pruning methods share: groups of weights, masks that follow a schedule, and their place in a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hardwire.errors import TrainingError
from hardwire.nn import Layer
from hardwire.train.callbacks._base import Callback, Run
from hardwire.train.pruning.schedules import Cubic, Schedule

Scope = Literal["global", "layer"]
Criterion = Literal["saliency", "magnitude"]
Masks = dict[str, Tensor]
"""By the layer's name: 1 where a weight is kept, 0 where it is pruned, in the weight's shape."""

_EVERY = 8
"""Steps between two choices of masks."""
_MEMORY = 0.99
"""What a step keeps of the running mean of squared gradients."""


def prunable(model: nn.Module) -> dict[str, nn.Module]:
    """Layers with a matrix or kernel of weights by name, in order."""
    kinds = (Layer, nn.Linear, nn.Conv1d, nn.Conv2d)
    found = {}
    for name, module in model.named_modules():
        weight = module._parameters.get("weight")
        if isinstance(module, kinds) and weight is not None and weight.ndim >= 2:
            found[name] = module
    return found


def weight_now(module: nn.Module) -> Tensor:
    """A layer's weight as it multiplies (batch normalisation folded in), without gradient."""
    weight: Tensor = module.weight.detach()
    norm = getattr(module, "norm", None)
    if norm is not None:
        weight = weight * norm.factor().detach().reshape(-1, *(1,) * (weight.ndim - 1))
    return weight


def sparsity(model: nn.Module) -> float:
    """Share of zeros among the weights, as the hardware has them: those that round to zero count."""
    zeros = total = 0
    with torch.no_grad():
        for module in prunable(model).values():
            weight = module.constants()["weight"] if isinstance(module, Layer) else module.weight
            zeros, total = zeros + int((weight == 0).sum()), total + weight.numel()
    return zeros / max(1, total)


class Pruning(Callback):
    """Brings at least a share `sparsity` of the weights to zero along a schedule and holds them there, group by group.

    A subclass says which weights stand and fall together. Which groups go first:

    - "saliency": those whose zeroing is estimated to cost the least loss, by weight: w² times the running mean of the
      squared gradient (LeCun et al. 1989, Optimal Brain Damage; the curvature is that of the empirical Fisher matrix).
    - "magnitude": the smallest root mean squares, measured against the mean size of their layer's remaining weights.

    `scope="global"` compares all layers' groups, `"layer"` takes the same share of each. Each layer keeps its best
    group. `layers` restricts it to layers of these names. Masks are part of the checkpoint; with `masks` given (of
    another run, or `zeros_of(model)`) it starts from those.

    Weights that are pruned stay pruned. The metric "sparsity" of an epoch is the share of all weights of the model's
    layers; epochs before the pruning was done are not kept as the best. Raises `TrainingError` for a share or a layer
    that is none.
    """

    def __init__(
        self,
        sparsity: float = 0.9,
        schedule: Schedule | None = None,
        scope: Scope = "global",
        *,
        criterion: Criterion = "saliency",
        layers: Sequence[str] | None = None,
        masks: Masks | None = None,
    ) -> None:
        if not 0.0 <= sparsity < 1.0:
            raise TrainingError(f"pruning: sparsity = {sparsity}", hint="the share of zeros, from 0 to below 1")
        if scope not in ("global", "layer"):
            raise TrainingError(f"pruning: scope = {scope!r}", hint="'global' or 'layer'")
        if criterion not in ("saliency", "magnitude"):
            raise TrainingError(f"pruning: criterion = {criterion!r}", hint="'saliency' or 'magnitude'")
        self.criterion = criterion
        self.sparsity, self.schedule, self.scope, self.layers = sparsity, schedule or Cubic(), scope, layers
        self.masks: Masks = {name: mask.clone() for name, mask in (masks or {}).items()}
        self._parts: dict[str, nn.Module] = {}
        self._groups: dict[str, Tensor] = {}
        self._squares: dict[str, Tensor] = {}
        self._share = 0.0

    def groups(self, module: nn.Module) -> Tensor:
        """Return the group of each weight: whole numbers from 0 on, in the weight's shape. By default each alone."""
        return torch.arange(module.weight.numel()).reshape(module.weight.shape)

    def chosen(self, parts: dict[str, nn.Module]) -> dict[str, nn.Module]:
        """Return those of a model's layers that this method prunes."""
        return parts

    def apply(self, module: nn.Module, mask: Tensor) -> None:
        """Zero what a mask prunes, in place."""
        module.weight.mul_(mask)

    def on_start(self, run: Run) -> None:
        """Find the layers; apply the masks that there are."""
        self.take(run.model)

    def take(self, model: nn.Module) -> None:
        """Find the layers of a model, and apply the masks that there are."""
        every = prunable(model)
        unknown = sorted({*(self.layers or ()), *self.masks} - set(every))
        if unknown:
            raise TrainingError(
                f"pruning: the model has no layer {unknown[0]!r} with weights", hint=f"it has {', '.join(every)}"
            )
        self._parts = self.chosen({k: v for k, v in every.items() if self.layers is None or k in self.layers})
        if not self._parts:
            raise TrainingError(
                f"pruning: {type(self).__name__} finds no layer to prune", hint=f"of {', '.join(every)}"
            )
        self._groups = {name: self.groups(part).to(part.weight.device) for name, part in self._parts.items()}
        for name, part in self._parts.items():
            mask = self.masks.get(name)
            if mask is not None and mask.shape != part.weight.shape:
                raise TrainingError(
                    f"pruning: the mask of layer {name!r} has shape {tuple(mask.shape)}, its weight "
                    f"{tuple(part.weight.shape)}"
                )
            self.masks[name] = (torch.ones_like(part.weight) if mask is None else mask.to(part.weight)).detach()
        self._hold()

    def after_step(self, run: Run) -> None:
        """Prune more if it is time, and zero again what the optimiser has moved."""
        with torch.no_grad():
            if self.criterion == "saliency" and self._share < self.sparsity:
                self._see_gradients()
            if run.step % _EVERY == 0 or run.step == run.steps:
                share = self.schedule.at(run.done, self.sparsity)
                if share > self._share:
                    self._share = share
                    self._hold()
                    self.choose(share)
            self._hold()

    def allows(self, run: Run) -> bool:
        """No epoch before all is pruned."""
        return self._share >= self.sparsity

    def after_epoch(self, run: Run) -> None:
        """Add the share of zeros to the metrics."""
        run.metrics["sparsity"] = sparsity(run.model)

    def _hold(self) -> None:
        with torch.no_grad():
            for name, part in self._parts.items():
                self.apply(part, self.masks[name])

    def _see_gradients(self) -> None:
        for name, part in self._parts.items():
            gradient = part.weight.grad
            if gradient is None:
                continue
            square = gradient.square()
            before = self._squares.get(name)
            self._squares[name] = square if before is None else before.lerp_(square, 1.0 - _MEMORY)

    def _scores(self, name: str) -> tuple[Tensor, Tensor]:
        """What each group of a layer is worth, by weight, and its weights."""
        index, weight = self._groups[name].flatten(), weight_now(self._parts[name]).flatten()
        by_loss = self.criterion == "saliency" and name in self._squares
        worth = weight.square()
        if by_loss:
            worth = self._parts[name].weight.detach().square().flatten() * self._squares[name].flatten()
        count = int(index.max()) + 1
        size = torch.zeros(count, device=weight.device).index_add_(0, index, torch.ones_like(weight))
        score = torch.zeros(count, device=weight.device).index_add_(0, index, worth) / size
        if not by_loss:
            kept = self.masks[name].sum().clamp(min=1.0)
            score = score.sqrt() / (weight.abs().sum() / kept).clamp(min=1e-30)
        # What is gone already goes first, before what may have no gradient; the best group stays.
        gone = torch.zeros(count, device=weight.device).index_add_(0, index, self.masks[name].flatten()) == 0
        best = score.argmax()
        score[gone] = -1.0
        score[best] = torch.inf
        return score, size

    def choose(self, share: float) -> None:
        """Prune the groups of the layers taken that are worth the least, to a share of all of their weights."""
        names = list(self._parts)
        found = {name: self._scores(name) for name in names}
        together = [names] if self.scope == "global" else [[name] for name in names]
        for part in together:
            score, size = (torch.cat([found[n][k] for n in part]) for k in (0, 1))
            order = score.argsort(stable=True)
            before = size[order].cumsum(0) - size[order]
            gone = before < share * size.sum() - 1e-3  # at least the share
            kept = torch.ones_like(score)
            kept[order[gone & (score[order] < torch.inf)]] = 0.0
            for name, mask in zip(part, kept.split([len(found[n][0]) for n in part]), strict=True):
                self.masks[name] *= mask[self._groups[name]]

    def state_dict(self) -> dict[str, Any]:
        """Return the masks."""
        return {
            "masks": {name: mask.clone() for name, mask in self.masks.items()},
            "squares": {name: square.clone() for name, square in self._squares.items()},
            "share": self._share,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the masks."""
        self.masks, self._squares, self._share = dict(state["masks"]), dict(state["squares"]), float(state["share"])


def zeros_of(model: nn.Module) -> Masks:
    """Masks of the weights of a model that are not zero."""
    return {name: (part.weight.detach() != 0).to(part.weight) for name, part in prunable(model).items()}


class Held(Pruning):
    """Prunes nothing more: the zeros that a model has when the run begins stay, or those of `masks`.

    For fine-tuning a pruned model.
    """

    def __init__(self, masks: Masks | None = None) -> None:
        super().__init__(0.0, masks=masks)

    def on_start(self, run: Run) -> None:
        """Take the zeros."""
        if not self.masks:
            self.masks = zeros_of(run.model)
        super().on_start(run)
