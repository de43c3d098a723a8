"""Drawn networks of tables, roundings and products over shared values, compiled: proven, and no wrong one is."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.fixed import Ints, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.interpreter import run_kernel
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel, Program
from hardwire.passes.cse import cse
from hardwire.passes.dce import dce
from hardwire.passes.narrow import narrow
from hardwire.passes.pipelines import flatten
from hardwire.proof.formal import prove
from hardwire.solver import AdderGraph, solve_cached
from hardwire.targets import target

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))
from flat_programs import program_of, vectors_for

COEFFICIENTS = (-7, -5, -3, -2, -1, 1, 2, 3, 4, 5, 11)
SEEDS = st.integers(0, 10**6)
# Not proven once: sums of merged tables, ranges of related values, ties to even between offsets.
FOUND = (250, 462, 490, 609, 884, 1233, 1295, 1400, 1700, 1703)


def solver(matrix: Ints, lo: Ints, hi: Ints, depth: Ints) -> AdderGraph:
    return solve_cached(matrix, lo=lo, hi=hi, input_depth=depth, effort=0)


def network(seed: int) -> Kernel:
    """Up to three layers of neurons with activations of every kind; some are divided by their sum, as softmax does."""
    rng = np.random.default_rng(seed)
    inputs = int(rng.integers(2, 7))
    bits, signed = rng.integers(1, 5, inputs), rng.random(inputs) < 0.4
    lo = np.where(signed, -(1 << (bits - 1)), 0)
    builder = KernelBuilder("tables", lo.tolist(), (lo + (1 << bits) - 1).tolist(), origin="layer")
    values, shown = list(range(inputs)), list[int]()
    for _ in range(int(rng.integers(1, 4))):
        neurons = [_neuron(builder, values, rng) for _ in range(int(rng.integers(1, 5)))]
        active = [_activation(builder, x, neurons, values, rng) for x in neurons]
        if rng.random() < 0.4 and len(active) > 1:
            active = _divided(builder, active, rng)
        if rng.random() < 0.2:
            shown += neurons
        values = active + (values if rng.random() < 0.5 else [])
    return dce(cse(narrow(builder.build(values[:8] + shown))))


def _neuron(builder: KernelBuilder, values: list[int], rng: np.random.Generator) -> int:
    fan_in = int(rng.integers(1, min(len(values), 5) + 1))
    picked = [int(v) for v in rng.choice(values, fan_in, replace=False)]
    coefs = [int(c) for c in rng.choice(COEFFICIENTS, fan_in)]
    return builder.linear(picked, coefs, int(rng.integers(-9, 9)) * int(rng.integers(2)))


def _activation(builder: KernelBuilder, x: int, beside: list[int], before: list[int], rng: np.random.Generator) -> int:
    kind = int(rng.integers(8))
    lo, hi = builder.range(x)
    width = max((hi - lo).bit_length(), 1)
    if kind in (0, 1, 2, 3) and width > 3:
        x = builder.round(x, int(rng.integers(1, width - 1)), Rounding(int(rng.integers(9))))
    if kind in (1, 4):
        x = builder.clamp(x, 0, max(1, builder.range(x)[1] // 2))
    elif kind == 2:
        x = builder.wrap(x, int(rng.integers(1, 5)), bool(rng.integers(2)))
    elif kind == 5:
        x = builder.max(x, int(rng.choice(beside)))
    elif kind == 6:
        x = builder.min(x, int(rng.choice(before)))
    lo, hi = builder.range(x)
    if 0 < hi - lo < 200 and rng.random() < 0.6:
        steps, drawn = np.arange(hi - lo + 1), rng.random() < 0.5
        falls = 0.0 if drawn else rng.random()
        falling = np.round(300 * np.exp(-steps * falls)).astype(np.int64)
        x = builder.table(x, rng.integers(-9, 10, len(steps)) if drawn else falling)
    return x


def _divided(builder: KernelBuilder, parts: list[int], rng: np.random.Generator) -> list[int]:
    cell = builder.round(builder.linear(parts, [1] * len(parts)), int(rng.integers(0, 4)), Rounding.TRN)
    lo, hi = builder.range(cell)
    if 0 < hi - lo < 2000:
        cell = builder.table(cell, np.round(4000 / (1 + np.arange(hi - lo + 1))).astype(np.int64))
    parts = [builder.mul(part, cell) if rng.random() < 0.5 else builder.sub(cell, part) for part in parts]
    return [part if max(map(abs, builder.range(part))) < 1 << 16 else builder.wrap(part, 8, True) for part in parts]


def compiled(kernel: Kernel, seed: int) -> tuple[Program, Kernel]:
    """As the compiler does it, for a target that wants signs or one that does not, with and without table fabric."""
    program, part = program_of(kernel), target("xcup-vu13p" if seed % 2 else "ecp5-25k")
    fabric = part if seed % 3 else None
    unsigned = part.costs.carry_passes
    flat = flatten(program, solver, fabric=fabric, proven=lambda p, f: prove(p, f).proven, unsigned=unsigned)
    return program, flat.flat


def check(seed: int) -> None:
    kernel = network(seed)
    program, flat = compiled(kernel, seed)
    codes = vectors_for(kernel, 300, seed)
    assert np.array_equal(run_kernel(kernel, codes), run_kernel(flat, codes))
    assert prove(program, flat).failures == ()


@pytest.mark.parametrize("seed", FOUND)
def test_found(seed: int) -> None:
    check(seed)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_compiled_networks_of_tables_are_proven(seed: int) -> None:
    check(seed)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(SEEDS)
def test_more_compiled_networks_of_tables_are_proven(seed: int) -> None:
    check(seed)


def _faulty(kernel: Kernel, rng: np.random.Generator) -> Kernel:
    """One op other than it was: sign, shift, operand, constant, bound, rounding, branches, an entry, or a range."""
    columns = {key: np.array(getattr(kernel, key)) for key in ("op", "a", "b", "c", "p", "q", "lo", "hi")}
    op, a, b, c, p, q, lo, hi = columns.values()
    tables = [np.array(table) for table in kernel.tables]
    v = int(rng.integers(kernel.n_inputs, len(kernel)))
    fault = int(rng.integers(4))
    match OpCode(int(op[v])):
        case _ if fault == 3:
            hi[v] -= 1
        case OpCode.ADD | OpCode.SUB if fault == 0:
            op[v] = OpCode.ADD + OpCode.SUB - op[v]
        case OpCode.ADD | OpCode.SUB if fault == 1:
            (p, q)[int(rng.integers(2))][v] += 1
        case OpCode.CONST:
            p[v] += int(rng.choice([-1, 1]))
            lo[v] = hi[v] = p[v]
        case OpCode.ROUND if fault == 0:
            q[v] = rng.integers(9)
        case OpCode.ROUND | OpCode.WRAP | OpCode.CLAMP if fault < 2:
            p[v] = max(1, p[v] + int(rng.choice([-1, 1])))
        case OpCode.CLAMP:
            q[v] -= 1
        case OpCode.SELECT if fault < 2:
            b[v], c[v] = c[v], b[v]
        case OpCode.TABLE if fault < 2:
            entries = tables[int(p[v])]
            entries[int(rng.integers(len(entries)))] = entries[int(rng.integers(len(entries)))]
        case _:
            a[v] = rng.integers(0, v)
    return kernel.with_(**columns, tables=tuple(tables))


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_what_is_proven_is_right(seed: int) -> None:
    """Of ten faulty circuits those that are still proven compute the same, within their ranges."""
    kernel = network(seed)
    program, flat = compiled(kernel, seed)
    codes = vectors_for(kernel, 2000, seed)
    want, rng = run_kernel(kernel, codes), np.random.default_rng(seed)
    for _ in range(10 if len(flat) > flat.n_inputs else 0):
        faulty = _faulty(flat, rng)
        if prove(program, faulty).proven:
            assert np.array_equal(run_kernel(faulty, codes), want)


def test_faults_are_found() -> None:
    """Nearly all are: what is left changes nothing that an input reaches."""
    killed = 0
    for seed in range(20):
        program, flat = compiled(network(seed), seed)
        rng = np.random.default_rng(seed)
        killed += sum(not prove(program, _faulty(flat, rng)).proven for _ in range(5))
    assert killed >= 85
