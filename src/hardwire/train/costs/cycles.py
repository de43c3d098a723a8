"""How many clock cycles a model takes on a target."""

from __future__ import annotations

from torch import Tensor, nn

from hardwire.errors import ContractError
from hardwire.nn.work import Products, Work
from hardwire.targets import Target
from hardwire.train.costs._base import Cost
from hardwire.train.costs.nanoseconds import Nanoseconds

PORTS = 1.5
"""Cycles beyond the logic: registers at both ends, and the last stage is not full. Fitted."""


class Cycles(Cost):
    """Latency in clock cycles at a clock (the target's by default), as the scheduler cuts it; a real number.

    Raises `ContractError` for a clock that leaves no time for logic, `TargetError` for an unknown target.
    """

    unit = "cycles"

    def __init__(self, target: str | Target = "xcup-vu13p", clock_mhz: float | None = None) -> None:
        self.time = Nanoseconds(target)
        self.target = self.time.target
        self.clock_mhz = clock_mhz or self.target.clock_mhz
        self.logic_ns = 1000.0 / self.clock_mhz * (1.0 - self.target.margin) - self.target.delays.overhead
        if self.logic_ns <= 0:
            raise ContractError(
                f"{self.clock_mhz:g} MHz on {self.target.name}: a stage has no time left for logic",
                hint="a slower clock",
            )

    def __call__(self, model: nn.Module) -> Tensor:
        """Cycles of all layers, and of the ports."""
        return super().__call__(model) + PORTS

    def of(self, work: list[Work]) -> Tensor:
        """Cycles of a layer."""
        return self.time.of(work) / self.logic_ns

    def products(self, work: Products) -> Tensor:
        """Cycles of a matrix of constants."""
        return self.time.products(work) / self.logic_ns
