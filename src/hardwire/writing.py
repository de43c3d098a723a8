"""A design's files: what a back end writes of it, with a test bench that brings vectors from the edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hardwire import backends
from hardwire.ir import interpreter
from hardwire.ir.program import Program
from hardwire.schedule import Circuit
from hardwire.stimulus import edge_codes
from hardwire.targets import Target

_BENCH_VECTORS = 128
"""Vectors that a written test bench brings, from the edges of every input range."""


@dataclass(frozen=True, eq=False)
class Hardware:
    """`flat`: the fully parallel, solved Program; `circuit`: its schedule."""

    flat: Program
    circuit: Circuit


def written(
    name: str, program: Program, hardware: Hardware | None, target: Target, clock_mhz: float | None, backend: str
) -> Mapping[str, str]:
    """Return the files of a back end by relative path.

    `clock_mhz` counts where there is no circuit that has a clock of its own; None for the target's. Raises
    `BackendError` for a back end that needs a circuit where there is none.
    """
    inputs = edge_codes(program, _BENCH_VECTORS)
    vectors = (inputs, interpreter.run(program, inputs))
    if hardware is None:
        source = backends.Source(name, program, target, clock_mhz or target.clock_mhz, vectors=vectors)
    else:
        source = backends.Source.scheduled(name, hardware.flat, hardware.circuit, vectors, program)
    return backends.emit(source, backend)
