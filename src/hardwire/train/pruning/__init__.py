"""Pruning: callbacks of a run that bring weights to zero. One file a method; `schedules` says when.

Single weights (`Weights`, `Magnitude`), parts of layers (`Neurons`, `Inputs`, `Kernels`, then `remove_dead`), units of
the device (`Multipliers`, `MemoryWords`), and lottery tickets. `Held` keeps zeros while a pruned model is trained on.
"""

from __future__ import annotations

from hardwire.train.pruning._base import Held, Pruning, prunable, sparsity, zeros_of
from hardwire.train.pruning.lottery import lottery_ticket
from hardwire.train.pruning.removal import remove_dead
from hardwire.train.pruning.schedules import Cubic, OneShot, Rounds, Schedule
from hardwire.train.pruning.structured import Inputs, Kernels, Neurons
from hardwire.train.pruning.units import MemoryWords, Multipliers
from hardwire.train.pruning.weights import Magnitude, Weights

__all__ = [
    "Cubic",
    "Held",
    "Inputs",
    "Kernels",
    "Magnitude",
    "MemoryWords",
    "Multipliers",
    "Neurons",
    "OneShot",
    "Pruning",
    "Rounds",
    "Schedule",
    "Weights",
    "lottery_ticket",
    "prunable",
    "remove_dead",
    "sparsity",
    "zeros_of",
]
