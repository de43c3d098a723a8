"""What a Program's machine code depends on, as one hash: found without writing the assembly first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numpy as np

from hardwire.emulate._host import Host
from hardwire.ir.program import Port, Program

_COLUMNS = ("op", "a", "b", "c", "p", "q", "lo", "hi", "term_arg", "term_coef", "outputs")


@cache
def _generator() -> bytes:
    """Hash of the code generator itself: this package's source files, and the one that makes its jobs."""
    digest = hashlib.sha256()
    sources = [file for file in files("hardwire.emulate").iterdir() if file.name.endswith(".py")]
    sources.append(files("hardwire.ir") / "jobs.py")
    for file in sorted(sources, key=lambda file: file.name):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.digest()


def program_key(program: Program, host: Host) -> str:
    """Hash of a Program, the code generator and the target, in hexadecimal; names of layers and notes are left out."""
    digest = hashlib.sha256(_generator())
    digest.update(f"{llvmlite.__version__}|{llvm.llvm_version_info}|{host.key}".encode())
    for part in _parts(program):
        if isinstance(part, np.ndarray):
            digest.update(f"|{part.dtype.str}{part.shape}|".encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(f"|{part!r}|".encode())
    return digest.hexdigest()


def _parts(program: Program) -> Iterator[Any]:
    numbers = {name: k for k, name in enumerate(program.kernels)}
    for name, array in program.arrays.items():
        yield from (name, np.asarray(array.lo), np.asarray(array.hi))
    for kernel in program.kernels.values():
        yield kernel.n_inputs
        yield from (getattr(kernel, column) for column in _COLUMNS)
        yield len(kernel.tables)
        yield from kernel.tables
    for step in program.steps:
        yield from (numbers[step.kernel], len(step.reads))
        for access in (*step.reads, step.write):
            yield from (access.array, access.base, access.offsets)
    for ports in (program.inputs, program.outputs):
        yield len(ports)
        for port in ports:
            yield from _port(program, port)


def _port(program: Program, port: Port) -> Iterator[Any]:
    yield from (port.array, port.index, tuple(port.shape), [str(scale) for scale in program.port_scale(port)])
    q = port.quantiser
    yield q is not None
    if q is not None:
        yield from (np.asarray(value) for value in (q.scale, q.lo, q.hi, q.zero))
        yield from (int(q.rounding), int(q.overflow), q.zero_first, q.mantissa)
