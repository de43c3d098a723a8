"""A network through hardwire's own way from model to Verilog, cut by levels of adders or to a clock."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _cases import Case, Floats
from _synthesis import write
from networks import seeded

import hardwire as hw
from hardwire.ir.ops import OpCode
from hardwire.targets import Target
from hardwire.targets import target as find_target
from hardwire.targets._base import Delays
from hardwire.tools.netlist import NetlistSimulator
from hardwire.verification import packed, unpacked

UNIT = Delays(
    overhead=0.0,
    lut=0.0,
    carry_in=1.0,
    carry_bit=0.0,
    mux=0.0,
    dsp=1.0,
    fanout=0.0,
    growth=0.0,
    reference_lut=1.0,
)
"""An adder takes one unit; ReLU, wrapping and wires none."""

Row = dict[str, Any]


def counted(part: Target, levels: int) -> dict[str, Any]:
    """For `hardwire.compile`: at most `levels` adders between two registers."""
    # A thousandth to spare for sums of floats.
    return {"target": replace(part, delays=UNIT, margin=0.0), "clock_mhz": 1000.0 / (levels + 1e-3)}


def compiled(case: Case, *, effort: int = 1, repeats: int = 1, **contract: Any) -> tuple[hw.Design, Row]:
    """Compile with `contract` (target, clock); CPU seconds of the solver's way and of everything.

    `solve_cpu_s` goes from the lowered network to the solved and cleaned flat Program, as a peer's own solve does.
    Further repeats, for the medians of the seconds, have other seeds: a process remembers what it has solved.
    """
    model = case.network()
    designs, solves, whole = [], [], []
    for seed in range(repeats):
        marks: dict[str, float] = {}
        start = time.process_time()
        designs.append(
            hw.compile(
                model,
                **case.options,
                **contract,
                effort=effort,
                seed=seed,
                name="mlp",
                progress=lambda text, marks=marks: marks.setdefault(text, time.process_time()),
            )
        )
        whole.append(time.process_time() - start)
        solves.append(marks["scheduling"] - marks["lowering to integers"])
    design = designs[0]
    kernel, circuit = design.flat.flat, design.circuit
    adders = np.isin(kernel.op, [int(OpCode.ADD), int(OpCode.SUB)]) & (kernel.lo != kernel.hi)
    return design, {
        "adders": int(adders.sum()),
        "ops": len(kernel),
        "cycles": circuit.latency,
        "register_bits": int(circuit.register_bits.sum()),
        "estimate": circuit.estimate(),
        "solve_cpu_s": statistics.median(solves),
        "compile_cpu_s": statistics.median(whole),
    }


def warm_up() -> None:
    """Load what the process compiles or loads once."""
    model = seeded((4, 4, 2), 4)
    compiled(Case("warm", model), **counted(find_target("ecp5-85k"), 2))


def verilog(design: hw.Design, folder: Path) -> list[Path]:
    """Write the design's Verilog."""
    path = folder / "mlp.v"
    write(path, design.files["mlp.v"])
    return [path]


def answers(design: hw.Design, netlist: Path, x: Floats) -> Floats:
    """What the netlist answers, (N, outputs)."""
    circuit, port = design.circuit, design.flat.outputs[0]
    simulator = NetlistSimulator(netlist, design.module)
    run = simulator.run(packed(circuit.inputs, design.codes(x)), latency=circuit.latency)
    scale = np.array([float(s) for s in design.flat.port_scale(port)])
    return np.asarray(unpacked(circuit.outputs, run.outputs)[0] * scale)
