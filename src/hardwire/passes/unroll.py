"""Unroll: a Program's loops become one flat kernel, the form that a fully parallel schedule takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from hardwire.fixed import Ints
from hardwire.ir.ops import ARITY, OpCode
from hardwire.ir.program import Access, Array, Ids, Kernel, Port, Program, Step

_ARITY = np.array(ARITY)


def unroll(program: Program, *, tell_instances: bool = False) -> Program:
    """Return an equal Program of one step at one position; input and output arrays hold the ports' elements.

    The kernel's inputs and outputs are the ports' elements in order, also where the Program was one step before: its
    kernel may read a view of an input (transposed, repeated, in part), and a port may show a view of its outputs.

    With `tell_instances` every application of a kernel has origins of its own (the names repeat), so that a value's
    origin says of which application it is: `origins` is the ports' one and then, application by application,
    each kernel's.
    """
    blocks: list[dict[str, Any]] = []
    size, terms, tables = 0, 0, 0
    where: dict[str, Ids] = {name: np.full(array.size, -1, np.int32) for name, array in program.arrays.items()}
    inputs = _inputs(program)
    for port in program.inputs:
        where[port.array][port.index] = np.arange(size, size + len(port.index), dtype=np.int32)
        size += len(port.index)
    blocks.append(inputs)
    origins: dict[str, int] = {"": 0}
    names = [""]
    all_tables: list[Ints] = []
    for step in program.steps:
        kernel = program.kernels[step.kernel]
        nothing = np.zeros((step.positions, 0), np.int32)
        given = np.concatenate([nothing, *(where[r.array][r.index()] for r in step.reads)], axis=1)
        if tell_instances:
            renamed = len(names) + np.arange(len(kernel.origins), dtype=np.int32)
            block, target = instances(kernel, given, size, terms, tables, renamed)
            copy = np.arange(step.positions, dtype=np.int32) * len(kernel.origins)
            block["origin"] += np.repeat(copy, len(kernel) - kernel.n_inputs)
            names.extend(kernel.origins * step.positions)
        else:
            renamed = np.array([origins.setdefault(name, len(origins)) for name in kernel.origins], np.int32)
            block, target = instances(kernel, given, size, terms, tables, renamed)
        where[step.write.array][step.write.index()] = target
        blocks.append(block)
        size += len(block["op"])
        terms += len(block["term_arg"])
        tables += len(kernel.tables)
        all_tables.extend(kernel.tables)
    outputs = np.concatenate([where[port.array][port.index] for port in program.outputs])
    keys = ("op", "a", "b", "c", "p", "q", "lo", "hi", "origin", "term_arg", "term_coef")
    arrays = {key: np.concatenate([block[key] for block in blocks]) for key in keys}
    flat = Kernel(
        name=program.name,
        **arrays,
        outputs=outputs,
        n_inputs=len(inputs["op"]),
        tables=tuple(all_tables),
        origins=tuple(names) if tell_instances else tuple(origins),
    )
    return flat_program(program, flat)


def flat_program(program: Program, flat: Kernel) -> Program:
    """Wrap a flat kernel as a Program with the ports, names and scales of `program`."""
    arrays: dict[str, Array] = {}
    zero = np.zeros(1, np.int32)
    reads, ports_in, ports_out = [], [], []
    start = 0
    for port in program.inputs:
        n = len(port.index)
        lo, hi = program.port_range(port)
        arrays[port.array] = Array(port.array, lo, hi, program.port_scale(port))
        index = np.arange(n, dtype=np.int32)
        reads.append(Access(port.array, zero, index))
        ports_in.append(Port(port.name, port.array, index, port.shape, port.quantiser))
        start += n
    name = "output"
    while name in arrays:
        name += "_"
    scale = np.concatenate([program.port_scale(port) for port in program.outputs])
    out = flat.outputs
    arrays[name] = Array(name, flat.lo[out], flat.hi[out], scale)
    start = 0
    for port in program.outputs:
        n = len(port.index)
        ports_out.append(Port(port.name, name, np.arange(start, start + n, dtype=np.int32), port.shape))
        start += n
    step = Step(program.name, flat.name, tuple(reads), Access(name, zero, np.arange(start, dtype=np.int32)))
    return Program(
        program.name, arrays, {flat.name: flat}, (step,), tuple(ports_in), tuple(ports_out), dict(program.notes)
    )


def _inputs(program: Program) -> dict[str, Any]:
    lows, highs = zip(*(program.port_range(port) for port in program.inputs), strict=True)
    lo, hi = np.concatenate(lows), np.concatenate(highs)
    n = len(lo)
    none = np.full(n, -1, np.int32)
    return {
        "op": np.zeros(n, np.uint8),
        "a": none,
        "b": none,
        "c": none,
        "p": np.arange(n, dtype=np.int64),
        "q": np.zeros(n, np.int64),
        "lo": lo,
        "hi": hi,
        "origin": np.zeros(n, np.int32),
        "term_arg": np.zeros(0, np.int32),
        "term_coef": np.zeros(0, np.int64),
    }


def instances(
    kernel: Kernel, given: Ids, start: int, terms: int, tables: int, renamed: Ids
) -> tuple[dict[str, Any], Ids]:
    """Copies of a kernel's body for each row of `given` (positions, n_inputs), and each copy's outputs.

    Values are numbered from `start`, terms from `terms`, tables from `tables`; `renamed` are the new origins.
    """
    positions, n_in = given.shape
    body = slice(n_in, len(kernel))
    n = len(kernel) - n_in
    # new[position, old id]: inputs come from `given`, values are numbered position by position.
    own = start + np.arange(positions, dtype=np.int32)[:, None] * n + np.arange(n, dtype=np.int32)[None, :]
    new = np.concatenate([given, own], axis=1).astype(np.int32)
    op = kernel.op[body]
    linear = op == OpCode.LINEAR
    arity = _ARITY[op]
    columns = {}
    for key, least in (("a", 1), ("b", 2), ("c", 3)):
        column = getattr(kernel, key)[body]
        used = (arity >= least) & ~linear
        moved = np.where(used[None, :], new[:, np.where(used, column, 0)], column[None, :])
        columns[key] = moved.astype(np.int32)
    pool = len(kernel.term_arg)
    shift = terms + np.arange(positions, dtype=np.int32)[:, None] * pool
    columns["a"] = np.where(linear[None, :], columns["a"] + shift, columns["a"]).astype(np.int32)
    p = kernel.p[body] + np.where(op == OpCode.TABLE, tables, 0)

    def tiled(values: Any) -> Any:
        return np.tile(values, positions)

    block = {key: value.ravel() for key, value in columns.items()}
    block |= {
        "op": tiled(op),
        "p": tiled(p),
        "q": tiled(kernel.q[body]),
        "lo": tiled(kernel.lo[body]),
        "hi": tiled(kernel.hi[body]),
        "origin": tiled(renamed[kernel.origin[body]]),
        "term_arg": new[:, kernel.term_arg].ravel(),
        "term_coef": tiled(kernel.term_coef),
    }
    return block, new[:, kernel.outputs]
