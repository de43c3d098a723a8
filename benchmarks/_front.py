"""What the front's families share: the data, the budget, and what one run gives."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from _synthesis import digest
from numpy.typing import NDArray

from hardwire.datasets import Standardiser, load_jets, split_indices

Floats = NDArray[Any]
Row = dict[str, Any]
Progress = Callable[[str], None]
LEVELS = 5
"""Adders between two registers, at most, of every design."""


@dataclass(frozen=True)
class Data:
    """Standardised features (N, 16) float32 and classes (N,) of the three parts; `file` holds them for other tools."""

    parts: dict[str, Floats] = field(repr=False)
    file: Path
    key: str

    def __getitem__(self, name: str) -> Floats:
        """`x_train`, `y_train`, `x_val`, `y_val`, `x_test` or `y_test`."""
        return self.parts[name]


@dataclass(frozen=True)
class Budget:
    """What every family may spend on one run, and the range of costs (in LUTs) in which points are chosen."""

    epochs: int = 500
    batch: int = 256
    points: int = 8
    least: float = 300.0
    greatest: float = 25_000.0


@dataclass(frozen=True)
class Candidate:
    """One point of a run's front, before synthesis. `cost` is the tool's own estimate, roughly LUTs."""

    family: str
    seed: int
    name: str
    file: Path
    val_accuracy: float
    cost: float
    epochs: int
    train_cpu_s: float
    settings: Row = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Built:
    """A candidate as Verilog. `outputs` (N, 5) are what its tool's emulator answers on the test rows.

    `answers` simulates a netlist of it on the first so many test rows; `mismatches` are test rows on which ours answers
    unlike its training. What a peer's emulators and training answer differently is told and not judged.
    """

    sources: list[Path]
    top: str
    cycles: int
    outputs: Floats = field(repr=False)
    mismatches: int
    answers: Callable[[Path, int], Floats] = field(repr=False)
    told: Row = field(default_factory=dict)


class Tool(Protocol):
    """A way from data to Verilog; a module a tool."""

    def points(
        self, family: str, seed: int, budget: Budget, data: Data, folder: Path, progress: Progress
    ) -> list[Candidate]:
        """Train one run, or take up what it left in `folder`, and choose from its front."""
        ...

    def built(self, candidate: Candidate, data: Data, folder: Path) -> Built:
        """Solve, emulate on all test rows and write Verilog; kept in `folder`."""
        ...

    def versions(self) -> Row:
        """Of what made the points; complete after the first."""
        ...


def load(folder: Path) -> Data:
    """The jets that ship with hardwire, split and scaled as everywhere; also written for the peers."""
    jets = load_jets()
    split = dict(zip(("train", "val", "test"), split_indices(len(jets), validation=0.1, test=0.2, seed=0), strict=True))
    scale = Standardiser.fit(jets.X[split["train"]])
    parts = {f"x_{name}": scale(jets.X[rows]) for name, rows in split.items()}
    parts |= {f"y_{name}": jets.y[rows] for name, rows in split.items()}
    key = digest(*(f"{name}{array.dtype}".encode() + array.tobytes() for name, array in sorted(parts.items())))
    path = folder / f"jets_{key}.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.savez(buffer, **parts)
        beside = path.with_suffix(".part")
        beside.write_bytes(buffer.getvalue())
        beside.replace(path)
    return Data(parts, path, key)


def accuracy(outputs: Floats, classes: Floats) -> float:
    return float((outputs.argmax(axis=1) == classes).mean())


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of (cost, accuracy) that no other beats in both, by rising cost."""
    found: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not found or points[index][1] > points[found[-1]][1]:
            found.append(index)
    return found


def chosen(candidates: Sequence[Candidate], budget: Budget) -> list[Candidate]:
    """Of the front by validation accuracy, `budget.points` spread evenly in the logarithm of the cost.

    >>> costs = {90: 0.6, 400: 0.7, 500: 0.6, 9000: 0.8}
    >>> made = [Candidate("f", 0, str(c), Path(), a, c, 1, 0.0) for c, a in costs.items()]
    >>> [c.name for c in chosen(made, Budget(points=4))]
    ['400', '9000']
    """
    held = [c for c in candidates if budget.least <= c.cost <= budget.greatest] or list(candidates)
    held = [held[i] for i in front([(c.cost, c.val_accuracy) for c in held])]
    if len(held) <= budget.points:
        return held
    logs = [math.log(c.cost) for c in held]
    wanted = np.linspace(logs[0], logs[-1], budget.points)
    # The nearest to each, each once: the least sum of distances, by dynamic programming over the sorted points.
    best = np.full((len(wanted) + 1, len(held) + 1), np.inf)
    best[0, :] = 0.0
    for i, want in enumerate(wanted, start=1):
        for j, have in enumerate(logs, start=1):
            best[i, j] = min(best[i, j - 1], best[i - 1, j - 1] + abs(have - want))
    found: list[Candidate] = []
    i, j = len(wanted), len(held)
    while i:
        if best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            found.append(held[j])
    return found[::-1]
