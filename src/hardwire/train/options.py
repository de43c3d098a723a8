"""What a training run is asked for."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from hardwire.errors import TrainingError
from hardwire.nn import Layer
from hardwire.nn.quantisers import Quantiser
from hardwire.train.optimisers import OPTIMISERS, Optimiser
from hardwire.train.schedules import SCHEDULES


def width_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Parameters of a model that are bit widths: its quantisers' own, and what its layers say are some."""
    found = [p for m in model.modules() if isinstance(m, Quantiser) for p in m.parameters(recurse=False)]
    found += [p for m in model.modules() if isinstance(m, Layer) for p in m.widths()]
    return list(dict.fromkeys(p for p in found if p.requires_grad))


@dataclass(frozen=True)
class Options:
    """How long and how fast to train.

    Raises `TrainingError` for a value that cannot be, naming it.
    """

    epochs: int = 40
    """Passes over the training rows."""
    batch: int = 1024
    """Rows a step; what is left over of an epoch's shuffled rows is not used in it."""
    rate: float = 3e-3
    """Learning rate at the schedule's top."""
    decay: float = 1e-5
    """Weight decay of everything but the quantisers' own parameters."""
    schedule: str = "cosine"
    """A name in `hardwire.train.schedules.SCHEDULES`."""
    clip: float | None = None
    """Most of the norm of all gradients together."""
    optimiser: str = "adamw"
    """adam, adamw or sgd."""
    bits_rate: float = 1.0
    """Learning rate of the quantisers' parameters, as a multiple of `rate`."""
    seed: int = 0
    """Of the order of the rows and of every random number that the model draws."""
    threads: int = 1
    """Threads of PyTorch. Networks of a trigger's size train fastest on one, and sums then have one order."""
    compile: bool = False
    """Compile the forward and backward pass (`torch.compile`), several times as fast; needs a C++ compiler."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "threads"):
            self._check(name, getattr(self, name) >= 1, "at least 1")
        for name in ("rate", "bits_rate"):
            value = getattr(self, name)
            self._check(name, value > 0 and math.isfinite(value), "above 0")
        self._check("decay", self.decay >= 0 and math.isfinite(self.decay), "0 or more")
        self._check("clip", self.clip is None or self.clip > 0, "above 0, or None")
        self._check("seed", 0 <= self.seed < 1 << 63, "0 or more, below 2^63")
        self._check("schedule", self.schedule in SCHEDULES, ", ".join(SCHEDULES))
        self._check("optimiser", self.optimiser in OPTIMISERS, ", ".join(OPTIMISERS))

    def _check(self, name: str, good: bool, possible: str) -> None:
        if not good:
            raise TrainingError(f"training option {name} = {getattr(self, name)!r} cannot be", hint=possible)

    def as_dict(self) -> dict[str, Any]:
        """Names and values."""
        return asdict(self)

    def groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Return an optimiser's groups of a model's parameters: the quantisers' are one of their own, without decay."""
        widths = {id(p) for p in width_parameters(model)}
        trained = [p for p in model.parameters() if p.requires_grad]
        if not trained:
            raise TrainingError("the model has no parameter that trains", hint="requires_grad is False everywhere?")
        groups = [
            {"params": [p for p in trained if id(p) not in widths], "weight_decay": self.decay, "share": 1.0},
            {"params": [p for p in trained if id(p) in widths], "weight_decay": 0.0, "share": self.bits_rate},
        ]
        return [g for g in groups if g["params"]]

    def make_optimiser(self, groups: list[dict[str, Any]]) -> Optimiser:
        """Return the optimiser of such groups."""
        return OPTIMISERS[self.optimiser](groups, self.rate)

    def set_rate(self, optimiser: Optimiser, done: float) -> float:
        """Set the learning rates for a share `done` of the run; return that of the weights."""
        rate = self.rate * SCHEDULES[self.schedule](done)
        for group in optimiser.param_groups:
            group["lr"] = rate * group["share"]
        return rate
