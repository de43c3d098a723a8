"""Programs for the tests of the HLS back ends, and their C simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import hardwire as hw
from hardwire.backends import Source, backend
from hardwire.ir import interpreter
from hardwire.ir.program import Program
from hardwire.network.graph import Network
from hardwire.schedule.circuit import bus_names
from hardwire.stimulus import edge_codes, random_codes
from hardwire.targets import target
from hardwire.tools.csim import run_codes

FLAVOURS = ["hls-vitis", "hls-oneapi", "hls-catapult"]


def looped(network: Network) -> Program:
    """The Program of a network, with its loops."""
    return hw.compile(network, backend="emulator").program


def joined(programs: Sequence[Program]) -> Program:
    """Independent programs side by side, so that the compiler is started once for all of them."""
    whole = Program("joined", {}, {}, (), (), ())
    for number, program in enumerate(programs):

        def renamed(name: str, prefix: str = f"p{number}") -> str:
            return f"{prefix}.{name}"

        def access(one: Any, renamed: Any = renamed) -> Any:
            return replace(one, array=renamed(one.array))

        whole = replace(
            whole,
            arrays=whole.arrays | {renamed(k): replace(a, name=renamed(k)) for k, a in program.arrays.items()},
            kernels=whole.kernels | {renamed(k): replace(f, name=renamed(k)) for k, f in program.kernels.items()},
            steps=whole.steps
            + tuple(
                replace(
                    step,
                    name=renamed(step.name),
                    kernel=renamed(step.kernel),
                    reads=tuple(access(read) for read in step.reads),
                    write=access(step.write),
                )
                for step in program.steps
            ),
            inputs=whole.inputs + tuple(access(replace(p, name=renamed(p.name))) for p in program.inputs),
            outputs=whole.outputs + tuple(access(replace(p, name=renamed(p.name))) for p in program.outputs),
        )
    return whole


def written(program: Program, flavour: str, *, vectors: int = 8, name: str = "net", **options: Any) -> dict[str, str]:
    """Files of a back end, with vectors for the bench."""
    codes = edge_codes(program, vectors)
    source = Source(name, program, target("xcup-vu13p"), 200.0, vectors=(codes, interpreter.run(program, codes)))
    files: dict[str, str] = backend(flavour).emit(source, **options)
    return files


def check(program: Program, flavour: str, folder: Path, *, vectors: int = 120, **options: Any) -> dict[str, str]:
    """Assert that the C simulation gives the interpreter's codes; returns the files."""
    files = written(program, flavour, **options)
    edges = max(1, vectors // 3)
    parts = zip(edge_codes(program, edges), random_codes(program, vectors - edges), strict=True)
    codes = [np.concatenate(pair) for pair in parts]
    inputs = dict(zip(bus_names("x", len(codes)), codes, strict=True))
    names = bus_names("y", len(program.outputs))
    outputs = {name: len(port.index) for name, port in zip(names, program.outputs, strict=True)}
    found = run_codes(files, inputs, outputs, workdir=folder, flags=("-O0",))
    for name, port, wanted in zip(names, program.outputs, interpreter.run(program, codes), strict=True):
        np.testing.assert_array_equal(found.outputs[name], wanted, err_msg=f"{flavour}: {port.name}")
    return files
