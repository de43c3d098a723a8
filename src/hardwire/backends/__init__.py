"""Back ends: one file an output language, found by its presence in this folder.

A back end module has `NAME`, `TITLE` (a line for people) and `emit(source) -> dict[file name, text]`; one that writes
from the Program alone, before any schedule, says `FROM_PROGRAM = True`. `RESERVED` are words that cannot name a module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from hardwire.errors import HardwireError
from hardwire.fixed import Ints
from hardwire.ir.program import Program
from hardwire.presence import modules_in
from hardwire.schedule.circuit import Circuit
from hardwire.targets import Target

__all__ = ["BackendError", "Source", "Vectors", "backend", "backends", "emit", "from_program", "reserved"]

Vectors = tuple[Sequence[Ints], Sequence[Ints]]
"""Codes of the input ports and of the output ports, int64 (N, elements) each."""


class BackendError(HardwireError):
    """No such back end, or a name that its language cannot hold."""

    exit_code = 2


@dataclass(frozen=True, eq=False)
class Source:
    """What a back end writes from: one compiled design.

    `program` has the model's loops and one LINEAR a neuron. `circuit` is the schedule of its fully parallel, solved
    form `flat`; None for a design that was never scheduled. `vectors` are for the test bench.
    """

    name: str
    """Of the hardware module or function, an identifier in every language."""
    program: Program
    target: Target
    clock_mhz: float
    circuit: Circuit | None = None
    flat: Program | None = None
    vectors: Vectors | None = None

    @classmethod
    def scheduled(
        cls,
        name: str,
        flat: Program,
        circuit: Circuit,
        vectors: Vectors | None = None,
        program: Program | None = None,
    ) -> Source:
        """Return the source of a circuit and the flat Program that it computes."""
        return cls(name, program or flat, circuit.target, circuit.clock_mhz, circuit, flat, vectors)

    @property
    def schedule(self) -> tuple[Circuit, Program]:
        """The circuit and its flat Program. Raises `BackendError` for a design that was never scheduled."""
        if self.circuit is None or self.flat is None:
            raise BackendError(
                f"design {self.name!r} has no circuit: its back end writes from the Program alone",
                hint="compile it with --backend verilog",
            )
        return self.circuit, self.flat


@cache
def _registry() -> dict[str, ModuleType]:
    return {module.NAME: module for module in modules_in(__name__, __path__).values()}


def backends() -> list[str]:
    """Names of the back ends, sorted."""
    return sorted(_registry())


def backend(name: str) -> ModuleType:
    """Return the back end of that name; raises `BackendError` that lists the known ones."""
    try:
        return _registry()[name]
    except KeyError:
        raise BackendError(f"back end {name!r} is unknown", hint=f"one of {', '.join(backends())}") from None


def from_program(name: str) -> bool:
    """Whether that back end needs no circuit."""
    return bool(getattr(backend(name), "FROM_PROGRAM", False))


@cache
def reserved() -> frozenset[str]:
    """Words, in small letters, that no back end can take for a module: every back end's `RESERVED` together."""
    return frozenset(word.lower() for module in _registry().values() for word in getattr(module, "RESERVED", ()))


def emit(source: Source, language: str = "verilog") -> dict[str, str]:
    """Write a design in a language; returns file name → text, byte-identical for the same input."""
    files: dict[str, str] = backend(language).emit(source)
    return files
