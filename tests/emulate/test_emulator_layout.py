"""Memory of a frame: arrays that are never in use together share it, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from emulator_programs import scales
from hypothesis import given
from hypothesis import strategies as st

from hardwire.emulate import compile_program
from hardwire.emulate._layout import _lives, _places, lay_out
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.interpreter import run
from hardwire.ir.jobs import jobs_of
from hardwire.ir.program import Access, Array, Port, Program, Step

WIDE = 64


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(-1, 8), st.integers(0, 8)), max_size=24))
def test_arrays_in_use_together_lie_apart(rows: list[tuple[int, int, int]]) -> None:
    sizes = {str(i): 64 * size for i, (size, _, _) in enumerate(rows)}
    lives = {str(i): (first, first + more) for i, (_, first, more) in enumerate(rows)}
    offsets, end = _places(sizes, lives)
    assert set(offsets) == set(sizes)
    for a in sizes:
        assert offsets[a] % 64 == 0
        assert 0 <= offsets[a] <= end - sizes[a]
        for b in sizes:
            together = lives[a][0] <= lives[b][1] and lives[b][0] <= lives[a][1]
            if a < b and together:
                assert offsets[a] + sizes[a] <= offsets[b] or offsets[b] + sizes[b] <= offsets[a]


def layered(layers: int, skip: bool = False) -> Program:
    """Each layer adds every value's neighbour to it, at `WIDE` positions; the output may read the first one too."""
    arrays = {"a0": Array("a0", np.full(WIDE, -4), np.full(WIDE, 3), scales(WIDE))}
    kernels, steps = {}, []
    for k in range(layers):
        lo, hi = int(arrays[f"a{k}"].lo.min()), int(arrays[f"a{k}"].hi.max())
        b = KernelBuilder(f"k{k}", [lo, lo], [hi, hi])
        kernel = kernels[f"k{k}"] = b.build([b.wrap(b.add(0, 1), 4, True)])
        write = Access(f"a{k + 1}", np.arange(WIDE, dtype=np.int32), np.zeros(1, np.int32))
        low, high = (np.full(WIDE, int(bound[kernel.outputs][0])) for bound in (kernel.lo, kernel.hi))
        arrays[f"a{k + 1}"] = Array(f"a{k + 1}", low, high, scales(WIDE))
        # Shuffled, so that the steps are not fused.
        base = np.random.default_rng(k).permutation(WIDE).astype(np.int32)
        reads = (
            Access(f"a{k}", base, np.zeros(1, np.int32)),
            Access(f"a{k}", (base[::-1]).copy(), np.zeros(1, np.int32)),
        )
        steps.append(Step(f"s{k}", f"k{k}", reads, write))
    index = np.arange(WIDE, dtype=np.int32)
    outputs = [Port("y", f"a{layers}", index, (WIDE,))] + ([Port("z", "a1", index, (WIDE,))] if skip else [])
    return Program("layers", arrays, kernels, tuple(steps), (Port("x", "a0", index, (WIDE,)),), tuple(outputs))


def test_a_long_chain_needs_the_memory_of_two_layers() -> None:
    for layers, skip, most in ((2, False, 2), (12, False, 2), (12, True, 3)):
        program = layered(layers, skip)
        jobs = jobs_of(program)
        assert len(jobs) == layers
        assert lay_out(program, jobs, 0, 32).slots == most * WIDE * 32
        x = np.random.default_rng(1).integers(-4, 4, (100, WIDE))
        for found, want in zip(compile_program(program).run([x]), run(program, [x]), strict=True):
            np.testing.assert_array_equal(found, want)


def test_an_array_that_is_read_where_nothing_wrote_keeps_its_zeros() -> None:
    program = layered(6)
    jobs = jobs_of(program)
    port = replace(program.inputs[0], index=program.inputs[0].index[:-1])
    lives = _lives(replace(program, inputs=(port,)), jobs)
    assert lives["a0"] == (-1, len(jobs))
    assert lives["a1"] == (0, 1)
