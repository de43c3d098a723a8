"""Circuits to wrap, written to a folder with vectors and a wrapper, and the run of the bench that comes with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from flat_programs import program_of, random_kernel, vectors_for

from hardwire.backends import Source
from hardwire.backends.verilog import emit
from hardwire.fixed import Ints
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.interpreter import run
from hardwire.ir.program import Program
from hardwire.schedule import Circuit
from hardwire.schedule.pipeline import Timing, build
from hardwire.targets import target
from hardwire.wrappers import wrapper


def circuit_of(program: Program, depth: int) -> Circuit:
    timing = Timing.of(program, target())
    return build(timing, timing.least_budget(depth), 100.0)


def drawn(seed: int, *, ops: int = 90, depth: int = 8) -> tuple[Program, Circuit]:
    """A random kernel between two input and three output ports."""
    program = program_of(random_kernel(seed, ops=ops), (2, 3), (1, 2, 3))
    return program, circuit_of(program, depth)


def small() -> tuple[Program, Circuit]:
    """Six bytes in, three numbers out, every word but its lowest bits zero at times."""
    builder = KernelBuilder("small", [-8, 0, -128, 0, 0, 0], [7, 15, 127, 255, 255, 63], origin="fc1")
    total = builder.add(builder.add(0, 2), builder.sub(1, 3))
    outputs = [total, builder.max(4, 5), builder.wrap(builder.add(total, 5), 5, True)]
    program = program_of(builder.build(outputs))
    return program, circuit_of(program, 4)


def small_codes(program: Program, count: int) -> list[Ints]:
    codes = vectors_for(program.flat, count)
    codes[::3, 4:] = 0
    return [codes]


def write(
    folder: Path,
    program: Program,
    circuit: Circuit,
    choice: str,
    inputs: list[Ints],
    replace: tuple[str, str] = ("", ""),
) -> dict[str, str]:
    """Core `net`, vectors and wrapper (if any) below `folder`; `replace` breaks the wrapper's Verilog on purpose."""
    files = emit(Source.scheduled("net", program, circuit, (inputs, run(program, inputs))))
    wrapped = wrapper(choice).emit(circuit, "net") if choice else {}
    assert not set(files) & set(wrapped)
    if replace[0]:
        assert sum(text.count(replace[0]) for name, text in wrapped.items() if name.endswith(".v")) == 1
    for name, text in (files | wrapped).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace(*replace) if name in wrapped and name.endswith(".v") else text)
    return files | wrapped


def split(program: Program, codes: Ints) -> list[Ints]:
    """Codes of all inputs as one array a port."""
    ends = np.cumsum([0, *(len(port.index) for port in program.inputs)])
    return [codes[:, a:b] for a, b in zip(ends, ends[1:], strict=False)]


def bench(folder: Path, top: str, *parameters: str, **environment: object) -> tuple[int, str]:
    """Run the written bench; its exit status and what it printed."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, f"run_{top}.py", *parameters],
        cwd=folder / "tb",
        env={**os.environ, "PATH": path, **{name: str(value) for name, value in environment.items()}},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr
