"""When how much is pruned. One class a schedule: the share of zeros over the run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from hardwire.errors import TrainingError


@dataclass(frozen=True)
class Schedule(ABC):
    """Share of zeros wanted when a share `done` of a run is done; it never falls."""

    @abstractmethod
    def at(self, done: float, final: float) -> float:
        """Return the share of zeros, `final` at the end."""


def _checked(what: str, begin: float, end: float) -> None:
    if not 0.0 <= begin < end <= 1.0:
        raise TrainingError(f"pruning: {what} from {begin} to {end} of the run", hint="0 ≤ begin < end ≤ 1")


@dataclass(frozen=True)
class Cubic(Schedule):
    """Fast at first, when there is most to spare, then slower (Zhu & Gupta 2017, arXiv:1710.01878); then survivors
    settle."""

    begin: float = 0.1
    end: float = 0.6

    def __post_init__(self) -> None:
        _checked("cubic", self.begin, self.end)

    def at(self, done: float, final: float) -> float:
        """Return `final · (1 - (1 - t)³)`, t from 0 at `begin` to 1 at `end`."""
        t = min(1.0, max(0.0, (done - self.begin) / (self.end - self.begin)))
        return final * (1.0 - (1.0 - t) ** 3)


@dataclass(frozen=True)
class OneShot(Schedule):
    """All at once."""

    when: float = 0.3

    def at(self, done: float, final: float) -> float:
        """Return all of it from `when` on."""
        return final if done >= self.when else 0.0


@dataclass(frozen=True)
class Rounds(Schedule):
    """Rounds of the same share of what is left, with training between them (Han et al. 2015, arXiv:1506.02626)."""

    rounds: int = 5
    begin: float = 0.1
    end: float = 0.6

    def __post_init__(self) -> None:
        _checked("rounds", self.begin, self.end)
        if self.rounds < 1:
            raise TrainingError(f"pruning: {self.rounds} rounds", hint="at least 1")

    def at(self, done: float, final: float) -> float:
        """Return what the rounds that have come leave."""
        if done < self.begin:
            return 0.0
        t = min(1.0, (done - self.begin) / (self.end - self.begin))
        return after_rounds(1 + int(t * (self.rounds - 1) + 1e-9) if self.rounds > 1 else 1, self.rounds, final)


def after_rounds(done: int, rounds: int, final: float) -> float:
    """Share of zeros after `done` of `rounds` rounds, each of which takes the same share of what is left."""
    return final if done >= rounds else 1.0 - (1.0 - final) ** (done / rounds)
