"""A circuit's schedule as arrays, stored beside its Program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.ir.program import Program
from hardwire.schedule.circuit import Circuit, buses_of, roots_of
from hardwire.targets import Target


def circuit_arrays(circuit: Circuit) -> dict[str, NDArray[Any]]:
    """Everything of a circuit that its Program and target do not say."""
    return {
        "stage": circuit.stage,
        "delay": circuit.delay,
        "depth": np.array(circuit.depth),
        "timing": np.array([circuit.clock_mhz, circuit.period_ns, circuit.overhead_ns]),
    }


def circuit_from(program: Program, target: Target, arrays: Mapping[str, NDArray[Any]]) -> Circuit:
    """Rebuild the circuit of a flat Program from `circuit_arrays`; raises `KeyError` for a missing one."""
    kernel = program.flat
    root, shift = roots_of(kernel)
    inputs, outputs = buses_of(program)
    clock, period, overhead = (float(value) for value in arrays["timing"])
    return Circuit(
        name=program.name,
        kernel=kernel,
        target=target,
        clock_mhz=clock,
        period_ns=period,
        depth=int(arrays["depth"]),
        stage=arrays["stage"],
        root=root,
        shift=shift,
        delay=arrays["delay"],
        overhead_ns=overhead,
        inputs=inputs,
        outputs=outputs,
    )
