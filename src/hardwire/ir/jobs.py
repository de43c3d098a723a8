"""Jobs: a Program's steps as lists of operations, fused where a step only reads what the one before it has just made.

A dense layer, its ReLU and its quantiser are three steps; fused, the values between them stay in registers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hardwire.fixed import Ints
from hardwire.ir.ops import ARITY, OpCode
from hardwire.ir.program import Access, Ids, Kernel, Program

Mask = NDArray[np.bool_]


class Node(NamedTuple):
    """One value: `op` is an `OpCode`, `coefs` only of LINEAR, otherwise as in `ir.program.Op`."""

    op: int
    args: tuple[int, ...]
    coefs: tuple[int, ...]
    p: int
    q: int
    lo: int
    hi: int


@dataclass
class Pointer:
    """A place in an array that moves with the position: element `base[position]`."""

    array: str
    base: Ids


@dataclass
class Job:
    """Straight-line code applied at every position.

    INPUT p reads `reads[p]`, a (pointer, offset); `writes` are (pointer, offset, value). `steps` names the steps that
    were fused, `name` is that of the first.
    """

    name: str
    positions: int
    nodes: list[Node] = field(default_factory=list)
    pointers: list[Pointer] = field(default_factory=list)
    reads: list[tuple[int, int]] = field(default_factory=list)
    writes: list[tuple[int, int, int]] = field(default_factory=list)
    tables: list[Ints] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def pointer(self, array: str, base: Ids) -> int:
        """Index of the pointer to `array` at `base`, added if new."""
        for i, known in enumerate(self.pointers):
            if known.array == array and np.array_equal(known.base, base):
                return i
        self.pointers.append(Pointer(array, base))
        return len(self.pointers) - 1


def jobs_of(program: Program, apart: Callable[[Kernel], bool] | None = None) -> list[Job]:
    """Fuse the steps of a Program into jobs and drop what no output needs.

    A step whose kernel is to be kept `apart` begins a job; others still join it.
    """
    jobs: list[Job] = []
    for step in program.steps:
        kernel = program.kernels[step.kernel]
        join = jobs and not (apart is not None and apart(kernel))
        found = _resolve(jobs[-1], step.reads, step.positions) if join else None
        if found is None:
            jobs.append(Job(step.name, step.positions))
            found = _resolve(jobs[-1], step.reads, step.positions)
            assert found is not None
        jobs[-1].steps.append(step.name)
        _append(jobs[-1], kernel, found, step.write)
    return _needed(program, jobs)


def _resolve(job: Job, reads: tuple[Access, ...], positions: int) -> list[tuple[int, int] | int] | None:
    """Where each kernel input comes from: a value of the job, or a (pointer, offset); None if it cannot be fused."""
    if job.positions != positions:
        return None
    made: dict[str, list[tuple[Ids, dict[int, int]]]] = {}
    for pointer in {w[0] for w in job.writes}:
        entry = job.pointers[pointer]
        values = {offset: value for at, offset, value in job.writes if at == pointer}
        made.setdefault(entry.array, []).append((entry.base, values))
    found: list[tuple[int, int] | int] = []
    fresh: list[Access] = []
    for access in reads:
        if access.array not in made:
            # Numbered among the fresh ones for now: no pointer is added before all reads are known to resolve.
            found.extend((len(fresh), offset) for offset in access.offsets.tolist())
            fresh.append(access)
            continue
        for offset in access.offsets.tolist():
            value = _made_here(made[access.array], access.base, offset)
            if value is None:
                return None
            found.append(value)
    pointers = [job.pointer(access.array, access.base) for access in fresh]
    return [f if isinstance(f, int) else (pointers[f[0]], f[1]) for f in found]


def _made_here(made: list[tuple[Ids, dict[int, int]]], base: Ids, offset: int) -> int | None:
    for start, values in made:
        delta = base - start
        if np.all(delta == delta[0]) and offset + int(delta[0]) in values:
            return values[offset + int(delta[0])]
    return None


def _append(job: Job, kernel: Kernel, inputs: list[tuple[int, int] | int], write: Access) -> None:
    """Add a kernel's values to a job."""
    known = {read: i for i, read in enumerate(job.reads)}
    ids = {node.p: i for i, node in enumerate(job.nodes) if node.op == OpCode.INPUT}
    first_table = len(job.tables)
    job.tables.extend(kernel.tables)
    new: list[int] = []
    columns = (kernel.op, kernel.a, kernel.b, kernel.c, kernel.p, kernel.q, kernel.lo, kernel.hi)
    terms, coefs = kernel.term_arg.tolist(), kernel.term_coef.tolist()
    for i, (op, a, b, c, p, q, lo, hi) in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        if op == OpCode.INPUT:
            source = inputs[i]
            if isinstance(source, int):
                new.append(source)
                continue
            index = known.setdefault(source, len(known))
            if index == len(job.reads):
                job.reads.append(source)
            if index in ids:
                # Read by two kernels: each was told a range that holds, so the value is in both.
                old = job.nodes[ids[index]]
                job.nodes[ids[index]] = old._replace(lo=max(old.lo, lo), hi=min(old.hi, hi))
            else:
                ids[index] = len(job.nodes)
                job.nodes.append(Node(op, (), (), index, 0, lo, hi))
            new.append(ids[index])
            continue
        ks: tuple[int, ...] = ()
        if op == OpCode.LINEAR:
            # Two inputs of the kernel may be one value here: a dot product has one place for each.
            summed: dict[int, int] = {}
            for term, coef in zip(terms[a : a + b], coefs[a : a + b], strict=True):
                summed[new[term]] = summed.get(new[term], 0) + coef
            args, ks = tuple(summed), tuple(summed.values())
        else:
            args = tuple(new[t] for t in (a, b, c)[: ARITY[op]])
        if op == OpCode.TABLE:
            p += first_table
        new.append(len(job.nodes))
        job.nodes.append(Node(op, args, ks, p, q, lo, hi))
    pointer = job.pointer(write.array, write.base)
    for offset, value in zip(write.offsets.tolist(), kernel.outputs.tolist(), strict=True):
        job.writes.append((pointer, offset, new[value]))


def _needed(program: Program, jobs: list[Job]) -> list[Job]:
    """Drop writes that nothing reads, and jobs without writes, from the last job to the first."""
    wanted: dict[str, Mask] = {name: np.zeros(array.size, bool) for name, array in program.arrays.items()}
    for port in program.outputs:
        wanted[port.array][port.index] = True
    kept: list[Job] = []
    for job in reversed(jobs):
        writes = [w for w in job.writes if wanted[job.pointers[w[0]].array][job.pointers[w[0]].base + w[1]].any()]
        if not writes:
            continue
        job = replace(job, writes=writes)
        used = live_values(job)
        for i, node in enumerate(job.nodes):
            if node.op == OpCode.INPUT and used[i]:
                pointer, offset = job.reads[node.p]
                wanted[job.pointers[pointer].array][job.pointers[pointer].base + offset] = True
        kept.append(job)
    return kept[::-1]


def live_values(job: Job) -> list[bool]:
    """Which values of the job its writes depend on."""
    used = [False] * len(job.nodes)
    for _, _, value in job.writes:
        used[value] = True
    for i in range(len(job.nodes) - 1, -1, -1):
        if used[i]:
            for arg in job.nodes[i].args:
                used[arg] = True
    return used
