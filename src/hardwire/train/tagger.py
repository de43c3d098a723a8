"""Jet taggers: multilayer perceptrons trained in float, the compact one pruned and taught by the reference.

Pruning removes the smallest weights gradually (Zhu & Gupta 2017, cubic schedule), distillation mixes the teacher's
probabilities into the loss (Hinton et al. 2015). Everything is seeded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import MissingToolError

if TYPE_CHECKING:
    import torch

REFERENCE = (16, 64, 32, 32, 5)
"""Layer sizes of the jet tagger that the field compares on (Duarte et al. 2018)."""


@dataclass(frozen=True)
class Recipe:
    """How to train: `epochs` passes over the data, `sparsity` the share of weights removed, `distil` the teacher's
    share of the loss."""

    epochs: int = 40
    batch: int = 512
    rate: float = 3e-3
    decay: float = 1e-4
    sparsity: float = 0.0
    distil: float = 0.6


def mlp(sizes: Sequence[int], seed: int = 0) -> torch.nn.Sequential:
    """Return a perceptron with ReLU between its layers, named `fc1`, `relu1`, `fc2`, …; its output are logits."""
    torch_ = _torch()
    torch_.manual_seed(seed)
    model = torch_.nn.Sequential()
    for i, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True), start=1):
        model.add_module(f"fc{i}", torch_.nn.Linear(fan_in, fan_out))
        if i < len(sizes) - 1:
            model.add_module(f"relu{i}", torch_.nn.ReLU())
    return model


def train(
    model: torch.nn.Sequential,
    x: NDArray[Any],
    y: NDArray[Any],
    recipe: Recipe | None = None,
    *,
    teacher: torch.nn.Module | None = None,
    seed: int = 0,
    progress: Callable[[int, int, float], None] | None = None,
) -> torch.nn.Sequential:
    """Train `model` in place on `x` float (N, features), `y` int (N,) and return it.

    `progress(epoch, epochs, loss)` follows. With a `teacher` part of the loss is the distance to its probabilities.
    """
    torch_ = _torch()
    recipe = recipe or Recipe()
    threads = torch_.get_num_threads()
    # Layers this small run faster on one thread, and the sums then have one order: same seed, same weights.
    torch_.set_num_threads(1)
    try:
        return _train(torch_, model, x, y, recipe, teacher, seed, progress)
    finally:
        torch_.set_num_threads(threads)


def _train(
    torch_: Any,
    model: torch.nn.Sequential,
    x: NDArray[Any],
    y: NDArray[Any],
    recipe: Recipe,
    teacher: torch.nn.Module | None,
    seed: int,
    progress: Callable[[int, int, float], None] | None,
) -> torch.nn.Sequential:
    torch_.manual_seed(seed)
    inputs, labels = torch_.as_tensor(x, dtype=torch_.float32), torch_.as_tensor(y)
    optimiser = torch_.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    batches = max(1, len(inputs) // recipe.batch)
    schedule = torch_.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=recipe.epochs * batches)
    softened = None
    if teacher is not None:
        with torch_.no_grad():
            softened = teacher(inputs).softmax(dim=1)
    layers = [layer for layer in model if isinstance(layer, torch_.nn.Linear)]
    for epoch in range(recipe.epochs):
        masks = _masks(layers, _sparsity_at(recipe, epoch))
        order = torch_.randperm(len(inputs))
        total = 0.0
        for batch in range(batches):
            rows = order[batch * recipe.batch : (batch + 1) * recipe.batch]
            logits = model(inputs[rows])
            loss = torch_.nn.functional.cross_entropy(logits, labels[rows])
            if softened is not None:
                taught = torch_.nn.functional.cross_entropy(logits, softened[rows])
                loss = (1.0 - recipe.distil) * loss + recipe.distil * taught
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            for layer, mask in zip(layers, masks, strict=True):
                layer.weight.data *= mask
            total += float(loss.detach())
        if progress is not None:
            progress(epoch + 1, recipe.epochs, total / batches)
    return model.eval()


def logits(model: torch.nn.Module, x: NDArray[Any]) -> NDArray[np.float64]:
    """Outputs of a model for float inputs (N, features), float64 (N, classes)."""
    torch_ = _torch()
    with torch_.no_grad():
        result: NDArray[np.float64] = model(torch_.as_tensor(x, dtype=torch_.float32)).numpy().astype(np.float64)
    return result


def _sparsity_at(recipe: Recipe, epoch: int) -> float:
    """Cubic ramp from 15 % to 60 % of the epochs; constant afterwards, so that the survivors settle."""
    ramp = min(1.0, max(0.0, (epoch / recipe.epochs - 0.15) / 0.45))
    return recipe.sparsity * (1.0 - (1.0 - ramp) ** 3)


def _masks(layers: Sequence[Any], sparsity: float) -> list[Any]:
    """One 0/1 mask a layer: weights below the common quantile of |w| relative to their layer's mean |w| go."""
    torch_ = _torch()
    scaled = [layer.weight.detach().abs() / layer.weight.detach().abs().mean() for layer in layers]
    if sparsity <= 0.0:
        return [torch_.ones_like(s) for s in scaled]
    threshold = torch_.quantile(torch_.cat([s.flatten() for s in scaled]), sparsity)
    return [(s > threshold).float() for s in scaled]


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingToolError(
            "training needs PyTorch, which is not installed", hint="pip install 'hardwire[train]'"
        ) from error
    return torch
