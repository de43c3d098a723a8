"""What a Program computes, as one hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from hardwire.ir.program import Port, Program

_COLUMNS = ("op", "a", "b", "c", "p", "q", "lo", "hi", "term_arg", "term_coef", "outputs")


def program_sha256(program: Program) -> str:
    """SHA-256 of steps, kernels, tables, ports, scales and quantisers; names of layers and notes are left out."""
    digest = hashlib.sha256(b"hardwire program 1")
    for part in _parts(program):
        if isinstance(part, np.ndarray):
            little = part.astype(part.dtype.newbyteorder("<"))
            digest.update(f"|{little.dtype.str}{part.shape}|".encode() + np.ascontiguousarray(little).tobytes())
        else:
            digest.update(f"|{part!r}|".encode())
    return digest.hexdigest()


def _parts(program: Program) -> Iterator[Any]:
    kernels = {name: k for k, name in enumerate(program.kernels)}
    arrays = {name: k for k, name in enumerate(program.arrays)}
    for array in program.arrays.values():
        yield from (np.asarray(array.lo, np.int64), np.asarray(array.hi, np.int64))
    for kernel in program.kernels.values():
        yield kernel.n_inputs
        yield from (np.asarray(getattr(kernel, column), np.int64) for column in _COLUMNS)
        yield from (np.asarray(table, np.int64) for table in kernel.tables)
    for step in program.steps:
        yield kernels[step.kernel]
        for access in (*step.reads, step.write):
            yield from (arrays[access.array], np.asarray(access.base), np.asarray(access.offsets))
    for ports in (program.inputs, program.outputs):
        yield len(ports)
        for port in ports:
            yield from _port(program, port, arrays[port.array])


def _port(program: Program, port: Port, array: int) -> Iterator[Any]:
    yield from (array, np.asarray(port.index), tuple(port.shape), [str(scale) for scale in program.port_scale(port)])
    q = port.quantiser
    if q is not None:
        yield np.asarray(q.scale, np.float64)
        yield from (np.asarray(value, np.int64) for value in (q.lo, q.hi, q.zero))
        yield from (int(q.rounding), int(q.overflow), q.zero_first, q.mantissa)
