"""Sums of tables rewritten: the same function, proven the same, and fewer LUTs by the target's own count."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.backends import Source
from hardwire.backends.verilog import emit
from hardwire.fixed import Ints, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.interpreter import run_kernel
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.ir.verify import verify_kernel
from hardwire.passes.cse import cse
from hardwire.passes.dce import dce
from hardwire.passes.narrow import narrow
from hardwire.passes.pipelines import flatten
from hardwire.passes.tables import combine_tables
from hardwire.proof.formal import prove
from hardwire.schedule.pipeline import Timing, build
from hardwire.solver import AdderGraph, solve_cached
from hardwire.targets import target

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))
from flat_programs import program_of, vectors_for

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)

TARGETS = ("ecp5-85k", "xcup-vu13p")


def table_network(seed: int, inputs: int = 5, neurons: int = 3) -> Kernel:
    """Neurons that add functions of their inputs, each behind a quantiser of its own; a second layer behind some."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(1, 10, inputs)
    lo = np.where(rng.random(inputs) < 0.5, 0, -(1 << (bits - 1)))
    builder = KernelBuilder("tables", lo.tolist(), (lo + (1 << bits) - 1).tolist(), origin="lut")
    values = list(range(inputs))
    for layer in range(2):
        sums = []
        for _ in range(neurons):
            picked = rng.choice(len(values), int(rng.integers(1, len(values) + 1)), replace=bool(rng.integers(2)))
            terms = [_edge(builder, values[int(v)], rng) for v in picked]
            coefs = [int(c) for c in rng.choice([1, 1, 1, 2, 4, -1, 3], len(terms))]
            sums.append(builder.linear(terms, coefs, int(rng.integers(-40, 40)) * int(rng.integers(2))))
        values = [*sums, 0] if layer == 0 else sums
    # As in the pipeline.
    return dce(cse(narrow(builder.build(values))))


def _edge(builder: KernelBuilder, x: int, rng: np.random.Generator) -> int:
    lo, hi = builder.range(x)
    width = max(hi.bit_length(), (-lo - 1).bit_length() if lo < 0 else 0)
    kind = int(rng.integers(5))
    if kind == 0 and width > 1:
        x = builder.round(x, int(rng.integers(1, width + 1)), Rounding(int(rng.integers(9))))
    elif kind in (1, 2) and width > 1:
        x = builder.round(x, int(rng.integers(1, width + 1)), Rounding.RND)
        x = builder.wrap(x, int(rng.integers(1, 5)), bool(rng.integers(2))) if kind == 1 else x
    elif kind == 3:
        x = builder.clamp(x, max(lo, -3), min(hi, 5)) if lo <= 5 and hi >= -3 else x
    lo, hi = builder.range(x)
    if hi - lo > 255:
        x = builder.wrap(x, 4, True)
        lo, hi = builder.range(x)
    if rng.random() < 0.1:
        return x
    entries = np.round(np.cumsum(rng.normal(0, 1.5, hi - lo + 1))).astype(np.int64) + int(rng.integers(-9, 9))
    return builder.table(x, entries)


def solved(matrix: Ints, lo: Ints, hi: Ints, depth: Ints) -> AdderGraph:
    return solve_cached(matrix, lo=lo, hi=hi, input_depth=depth, depth_limit=0)


def rewritten(kernel: Kernel, part: str, levels: int = 0) -> Kernel:
    combined = combine_tables(kernel, target(part), levels)
    verify_kernel(combined, after="combine_tables")
    for step in (narrow, cse, dce):
        combined = step(combined)
        verify_kernel(combined, after=step.__name__)
    return combined


@SETTINGS
@given(seed=st.integers(0, 10**6), part=st.sampled_from(TARGETS))
def test_same_function_and_proven(seed: int, part: str) -> None:
    kernel = table_network(seed)
    combined = rewritten(kernel, part)
    codes = vectors_for(kernel, 400, seed)
    assert np.array_equal(run_kernel(kernel, codes), run_kernel(combined, codes))
    # Where tables of many common codes meet it may not be able to follow: then the compiler leaves them alone.
    proof = prove(program_of(kernel), combined)
    assert proof.proven, proof.failures


@SETTINGS
@given(seed=st.integers(0, 10**6), levels=st.sampled_from([0, 3, 9]))
def test_chains_are_proven_where_their_tables_are(seed: int, levels: int) -> None:
    kernel, part = table_network(seed), target("xcup-vu13p")
    chained = rewritten(kernel, part.name, levels)
    codes = vectors_for(kernel, 400, seed)
    assert np.array_equal(run_kernel(kernel, codes), run_kernel(chained, codes))
    plain = combine_tables(kernel, replace(part, costs=replace(part.costs, taken_in=0)))
    assert prove(program_of(kernel), chained).proven or not prove(program_of(kernel), plain).proven


@pytest.mark.parametrize("seed", range(8))
def test_every_wrong_entry_is_found(seed: int) -> None:
    """One entry that an input reaches is another one: the proof fails."""
    kernel = table_network(seed)
    combined = rewritten(kernel, "xcup-vu13p")
    codes = vectors_for(kernel, 2000, seed)
    want = run_kernel(kernel, codes)
    rng, found = np.random.default_rng(seed), 0
    for _ in range(10):
        tables = [np.array(table) for table in combined.tables]
        at = int(rng.integers(len(tables)))
        k = int(rng.integers(len(tables[at])))
        low, high = tables[at].min(), tables[at].max()
        # Within the table's range, so that no later table is read outside.
        tables[at][k] = low if tables[at][k] != low else high
        wrong = combined.with_(tables=tuple(tables))
        if not np.array_equal(run_kernel(wrong, codes), want):
            found += 1
            assert prove(program_of(kernel), wrong).outputs_proven < len(kernel.outputs)
    assert found


def test_two_tables_of_few_bits_become_one() -> None:
    builder = KernelBuilder("pair", [0, -2, -2], [3, 1, 1], origin="lut")
    pair = [builder.table(0, np.array([3, -1, 4, 1])), builder.table(1, np.array([5, -9, 2, 6]))]
    kernel = builder.build([builder.linear([*pair, 2], [1, -2, 1], 7)])
    combined = rewritten(kernel, "ecp5-85k")
    assert combined.count(OpCode.TABLE) == 1
    (total,) = (op for op in combined if op.code is OpCode.LINEAR)
    assert len(total.args) == 2
    assert total.p == 0


def test_rounding_goes_into_the_table() -> None:
    """Half-up to 3 bits, wrapped: a table of 4 bits, which is one LUT a bit, needs no adder."""
    builder = KernelBuilder("edge", [-64], [63], origin="lut")
    index = builder.wrap(builder.round(0, 3, Rounding.RND), 3, True)
    kernel = builder.build([builder.linear([builder.table(index, np.arange(8) ** 2)], [1])])
    combined = rewritten(kernel, "ecp5-85k")
    assert [op.q for op in combined if op.code is OpCode.ROUND] == [Rounding.TRN]
    assert prove(program_of(kernel), combined).proven


def test_tables_are_moved_to_fewer_bits() -> None:
    """[-3, 4] and [-7, 0] take a bit more than their eight codes need; moved against each other they do not."""
    builder = KernelBuilder("moved", [0, 0], [200, 200], origin="lut")
    entries = np.arange(201) % 8
    kernel = builder.build([builder.linear([builder.table(0, entries - 3), builder.table(1, entries - 7)], [1, 1])])
    combined = rewritten(kernel, "ecp5-85k")
    widths = [op.width for op in combined if op.code is OpCode.TABLE]
    assert sum(widths) < 4 + 4
    assert prove(program_of(kernel), combined).proven


def _sum(n: int) -> Kernel:
    """One neuron of n tables of four bits with entries of five."""
    rng = np.random.default_rng(n)
    builder = KernelBuilder("sum", [-8] * n, [7] * n, origin="lut")
    return builder.build([builder.linear([builder.table(v, rng.integers(0, 32, 16)) for v in range(n)], [1] * n, 5)])


def test_adders_take_tables_in_along_chains() -> None:
    """Where an adder's LUT holds a table too, one chain takes a LUT for each bit of the tables, and few more."""
    kernel, part = _sum(8), target("xcup-vu13p")
    luts = {}
    for levels in (0, 5, 9):
        flat = flatten(program_of(kernel), solved, fabric=part, unsigned=True, levels=levels).flat
        luts[levels] = float(part.cost(flat).lut.sum())
        assert np.array_equal(run_kernel(kernel, c := vectors_for(kernel, 400, 1)), run_kernel(flat, c))
    assert luts[9] <= luts[5] < luts[0]
    assert luts[9] <= 8 * 5 + 5


@pytest.mark.tools
def test_synthesis_takes_tables_in(tmp_path: Path) -> None:
    """As the cost says: Yosys finds no LUT for a table beside its adder, nor a register behind a table."""
    from hardwire.tools.yosys import synthesise

    kernel, part = _sum(8), target("xcup-vu13p")
    program = flatten(program_of(kernel), solved, fabric=part, unsigned=True, levels=9)
    timing = Timing.of(program, part)
    circuit = build(timing, timing.path, 50.0)
    (tmp_path / "k.v").write_text(emit(Source.scheduled("k", program, circuit))["k.v"])
    result = synthesise([tmp_path / "k.v"], "k", family="xcup", workdir=tmp_path / "synth")
    estimate = float(part.cost(program.flat).lut.sum())
    assert 0.8 * estimate <= result.resources["lut"] <= 1.1 * estimate
    assert result.resources["ff"] <= 1.05 * circuit.ff


def test_networks_without_tables_are_left_alone() -> None:
    builder = KernelBuilder("dense", [-8, -8], [7, 7], origin="fc")
    kernel = builder.build([builder.linear([0, 1], [3, 5], 1)])
    assert combine_tables(kernel, target()) is kernel


def test_what_the_proof_cannot_follow_is_left_alone() -> None:
    kernel = table_network(2)
    program = program_of(kernel)
    plain = flatten(program, solved).flat
    combined = flatten(program, solved, fabric=target()).flat
    refused = flatten(program, solved, fabric=target(), proven=lambda _program, _kernel: False).flat
    assert len(combined) != len(plain)
    assert np.array_equal(refused.op, plain.op)
