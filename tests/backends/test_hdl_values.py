"""Verilog and VHDL in simulation against the reference interpreter: every op, mode, sign and width."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ghdl_stream
import icarus_stream
import numpy as np
import pytest
from flat_programs import program_of, random_kernel, vectors_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardwire.fixed import Ints, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.interpreter import run
from hardwire.ir.program import Kernel, Program
from hardwire.ir.verify import verify_program
from hardwire.passes.offset_sums import offset_sums
from hardwire.passes.pipelines import CLEANUP, run_passes
from hardwire.schedule.pipeline import Timing, build
from hardwire.targets import target

pytestmark = pytest.mark.tools

SETTINGS = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


Simulated = Callable[[Program, list[Ints], int, Path], None]


@pytest.fixture(params=[icarus_stream, ghdl_stream], ids=["verilog", "vhdl"])
def simulated(request: pytest.FixtureRequest) -> Simulated:
    """Schedules a program to a depth and checks what one back end writes of it."""

    def check(program: Program, inputs: list[Ints], depth: int, folder: Path) -> None:
        timing = Timing.of(program, target())
        circuit = build(timing, timing.least_budget(depth), 10.0)
        request.param.check(circuit, program, inputs, run(program, inputs), folder)

    return check


@SETTINGS
@given(seed=st.integers(0, 10**6), ops=st.integers(1, 60), depth=st.integers(0, 12))
def test_random_kernels(simulated: Simulated, tmp_path: Path, seed: int, ops: int, depth: int) -> None:
    kernel = random_kernel(seed, ops=ops)
    program = program_of(kernel, (2, kernel.n_inputs - 2), (1, 2, len(kernel.outputs) - 3))
    verify_program(program)
    codes = vectors_for(kernel, 60, seed)
    simulated(program, [codes[:, :2], codes[:, 2:]], depth, tmp_path)


@pytest.mark.parametrize("mode", list(Rounding))
def test_rounding_by_any_shift(simulated: Simulated, mode: Rounding, tmp_path: Path) -> None:
    """Every code of small types, signed and unsigned, shifts up to far beyond the width."""
    builder = KernelBuilder("round", [-32, 0, -1, 0], [31, 63, 0, 1], origin="q")
    outputs = [builder.round(v, s, mode) for v in range(4) for s in (1, 2, 3, 5, 6, 7, 20, 63)]
    kernel = builder.build(outputs)
    codes = np.stack([np.arange(-32, 32), np.arange(64), np.arange(64) % 2 - 1, np.arange(64) % 2], 1)
    simulated(program_of(kernel), [codes.astype(np.int64)], 1, tmp_path)


def test_clamps_at_every_kind_of_bound(simulated: Simulated, tmp_path: Path) -> None:
    builder = KernelBuilder("clamp", [-64, 0, -40], [63, 127, -3], origin="sat")
    bounds = [(0, 63), (0, 15), (0, 0), (-16, 15), (-15, 15), (-16, 7), (-17, 20), (-64, -1), (-64, -9), (-8, -8)]
    bounds += [(-1, 0), (-3, -1), (3, 5), (0, 1), (-1, 1), (16, 31), (-33, 30), (-32, 0), (-40, -33), (1, 127)]
    outputs = [builder.clamp(v, lo, hi) for v in range(3) for lo, hi in bounds]
    kernel = builder.build(outputs)
    codes = np.stack([np.arange(-64, 64), np.arange(128), np.clip(np.arange(-64, 64), -40, -3)], 1)
    simulated(program_of(kernel), [codes.astype(np.int64)], 0, tmp_path)


def test_the_sign_decides_between_multiples(simulated: Simulated, tmp_path: Path) -> None:
    """Leaky ReLU with a power of two, absolute values, both ways round, of values that may be of one sign only."""
    builder = KernelBuilder("leaky", [-64, 0, -40, -64], [63, 127, -3, 0], origin="act")
    outputs = []
    for v in range(4):
        others = [builder.shl(v, 2), builder.neg(v), builder.sub(builder.const(0), v, 0, 1)]
        for other in others:
            outputs += [op(x, y) for op in (builder.min, builder.max) for x, y in ((v, other), (other, v))]
    kernel = builder.build(outputs)
    grid = np.arange(128)
    codes = np.stack([grid - 64, grid, np.clip(grid - 64, -40, -3), np.minimum(grid - 64, 0)], 1)
    for depth in (0, 2):
        simulated(program_of(kernel), [codes], depth, tmp_path)


def test_saturation_keeps_the_sign(simulated: Simulated, tmp_path: Path) -> None:
    builder = KernelBuilder("saturate", [-64, -40, -3, -64], [63, 127, 100, 9], origin="sat")
    outputs = [builder.clamp(v, -(1 << k), (1 << k) - 1) for v in range(4) for k in range(7)]
    outputs += [builder.clamp(builder.shl(v, 2), -(1 << k), (1 << k) - 1) for v in range(4) for k in range(9)]
    kernel = builder.build(outputs)
    grid = np.arange(-64, 128)
    codes = np.stack([np.clip(grid, low, high) for low, high in ((-64, 63), (-40, 127), (-3, 100), (-64, 9))], 1)
    simulated(program_of(kernel), [codes], 0, tmp_path)


def test_adders_pass_low_bits_by(simulated: Simulated, tmp_path: Path) -> None:
    """Shifts either way, joined operands, zeros below, negation, constants with trailing zeros."""
    builder = KernelBuilder("add", [-8, 0, -8, 0], [7, 15, 7, 3], origin="fc")
    outputs = []
    for a in range(4):
        for b in range(4):
            for p, q in ((0, 0), (0, 2), (3, 0), (1, 6), (4, 4), (2, 3), (9, 1)):
                outputs += [builder.add(a, b, p, q), builder.sub(a, b, p, q)]
    shifted = builder.shl(0, 3)
    outputs += [builder.sub(shifted, 1), builder.add(shifted, 1), builder.sub(1, shifted), builder.neg(shifted)]
    for c in (8, -8, 5, -1, 48):
        outputs += [builder.add(0, builder.const(c)), builder.sub(builder.const(c), shifted, 0, 1)]
    kernel = builder.build(outputs)
    simulated(program_of(kernel), [vectors_for(kernel, 300)], 0, tmp_path)


def test_widest_values(simulated: Simulated, tmp_path: Path) -> None:
    top = 1 << 60
    builder = KernelBuilder("wide", [-top, 0, -(1 << 30)], [top - 1, top - 1, (1 << 30) - 1], origin="acc")
    total = builder.add(0, 1)
    outputs = [total, builder.sub(0, 1), builder.mul(2, 2), builder.round(total, 40, Rounding.RND_CONV)]
    outputs += [builder.clamp(total, -(1 << 20), (1 << 20) - 1), builder.less(0, 1), builder.wrap(total, 61, True)]
    kernel = builder.build(outputs)
    assert int(kernel.widths.max()) == 62
    simulated(program_of(kernel), [vectors_for(kernel, 100)], 1, tmp_path)


def test_table_far_from_zero_is_addressed_by_low_bits(simulated: Simulated, tmp_path: Path) -> None:
    """Found by fuzzing: a table at codes near 2^40 took 2^40 addresses."""
    builder = KernelBuilder("table", [(1 << 40) + 3, -9], [(1 << 40) + 30, 9], origin="act")
    outputs = [builder.table(0, np.arange(28) ** 2), builder.table(1, -(np.arange(19) ** 3))]
    kernel = builder.build(outputs)
    simulated(program_of(kernel), [vectors_for(kernel, 100)], 0, tmp_path)


def narrowed() -> Kernel:
    """A kernel whose ranges another proof made tighter than its rules give."""
    builder = KernelBuilder("narrow", [-8, -8], [7, 7], origin="n")
    square = builder.mul(0, 0)
    total = builder.add(square, builder.mul(1, 1))
    kernel = builder.build([square, total, builder.round(total, 2, Rounding.RND)])
    lo = kernel.lo.copy()
    lo[2:] = np.maximum(lo[2:], 0)
    return kernel.with_(lo=lo)


def test_ranges_tighter_than_the_rules(simulated: Simulated, tmp_path: Path) -> None:
    kernel = narrowed()
    simulated(program_of(kernel), [vectors_for(kernel, 200)], 1, tmp_path)


def test_inputs_of_one_value_take_no_bits(simulated: Simulated, tmp_path: Path) -> None:
    builder = KernelBuilder("fixed", [5, -4, 0], [5, 3, 0], origin="fc")
    kernel = builder.build([0, builder.add(0, 1), 1, 2])
    program = program_of(kernel)
    simulated(program, [np.array([[5, v, 0] for v in range(-4, 4)], np.int64)], 0, tmp_path)
    bus = Timing.of(program, target()).inputs[0]
    assert bus.widths.tolist() == [0, 3, 0]


@SETTINGS
@given(seed=st.integers(0, 10**6), depth=st.integers(0, 6))
def test_adder_graphs_without_sign_extensions(simulated: Simulated, tmp_path: Path, seed: int, depth: int) -> None:
    """Inverted top bits, wired ones above subtrahends, and bits that a whole range shares."""
    rng = np.random.default_rng(seed)
    builder = KernelBuilder("graph", [-16, -3, 0, -100, 7], [15, 4, 31, 99, 9], origin="fc")
    values = list(range(5))
    for _ in range(12):
        a, b = (int(v) for v in rng.choice(values, 2))
        s, t = (int(v) for v in rng.integers(0, 4, 2))
        values.append((builder.add if rng.integers(2) else builder.sub)(a, b, s, t))
    sums = [builder.add(v, builder.const(int(rng.integers(-200, 200)))) for v in values[-6:]]
    outputs = [builder.clamp(v, 0, 1 << 20) for v in sums] + values[-2:]
    kernel = run_passes(offset_sums(run_passes(builder.build(outputs), CLEANUP)), CLEANUP)
    program = program_of(kernel)
    verify_program(program)
    simulated(program, [vectors_for(kernel, 60, seed)], depth, tmp_path)


def test_single_bits(simulated: Simulated, tmp_path: Path) -> None:
    """Every op on bits, signed ones and ones that a word's range leaves: no adders, no words."""
    builder = KernelBuilder("bits", [0, 0, -1, 2, -1], [1, 1, 0, 3, 1], origin="bit")
    outputs = []
    ops = (builder.add, builder.sub, builder.mul, builder.min, builder.max, builder.less, builder.equal)
    ops += (builder.bit_and, builder.bit_or, builder.bit_xor)
    one = builder.const(1)
    for a in range(5):
        outputs += [op(a, b) for b in (*range(5), one) for op in ops if op != builder.mul or b != one]
        outputs += [builder.wrap(op(a, b), 1, sign) for b in range(5) for op in ops[:3] for sign in (False, True)]
        outputs += [builder.round(a, 1, mode) for mode in Rounding] + [builder.select(a, 0, 2), builder.select(1, a, 3)]
        outputs += [builder.clamp(a, 0, 1), builder.clamp(a, -1, 0), builder.shl(a, 1)]
        outputs.append(builder.table(a, np.arange(4)[: builder.range(a)[1] - builder.range(a)[0] + 1] % 2))
    kernel = builder.build(outputs)
    grid = np.stack(np.meshgrid([0, 1], [0, 1], [-1, 0], [2, 3], [-1, 0, 1]), -1).reshape(-1, 5)
    for depth in (0, 2):
        simulated(program_of(kernel), [grid.astype(np.int64)], depth, tmp_path)


def test_products_narrower_and_wider_than_their_operands(simulated: Simulated, tmp_path: Path) -> None:
    """Ranges proven from elsewhere: a product of words in one bit, signed ones without their sign."""
    builder = KernelBuilder("mul", [0, 0, -4, -4], [3, 3, 3, 3], origin="mul")
    products = [builder.mul(0, 1), builder.mul(2, 3), builder.mul(2, 2), builder.mul(0, 2), builder.mul(1, 1)]
    kernel = builder.build(products)
    lo, hi = kernel.lo.copy(), kernel.hi.copy()
    lo[4:], hi[4:] = (0, 0, 0, -1, 0), (1, 1, 16, 0, 9)
    kernel = kernel.with_(lo=lo, hi=hi)
    codes = np.stack(np.meshgrid(np.arange(4), np.arange(4), np.arange(-4, 4), np.arange(-4, 4)), -1).reshape(-1, 4)
    found = np.stack([codes[:, a] * codes[:, b] for a, b in ((0, 1), (2, 3), (2, 2), (0, 2), (1, 1))], 1)
    inside = np.all((found >= lo[4:]) & (found <= hi[4:]), axis=1)
    assert inside.sum() > 20
    simulated(program_of(kernel), [codes[inside].astype(np.int64)], 0, tmp_path)


def test_unused_inputs_and_constant_outputs(simulated: Simulated, tmp_path: Path) -> None:
    builder = KernelBuilder("idle", [-8, -8, 0], [7, 7, 1], origin="x")
    wide = [builder.const(value) for value in (0, -1, 7, 1 << 40, -(1 << 61), (1 << 12) - 1)]
    kernel = builder.build([1, *wide, 1])
    codes = vectors_for(kernel, 40)
    program = program_of(kernel, (1, 1, 1), (1, 5, 2))
    simulated(program, [codes[:, k : k + 1] for k in range(3)], 0, tmp_path)
    nothing = program_of(builder.build([wide[3]]))
    simulated(nothing, [codes], 1, tmp_path)


def test_shifts_of_joined_constants(simulated: Simulated, tmp_path: Path) -> None:
    """Found by fuzzing: a shifted value lost the constant above it, and passed for a shift of what is below that."""
    builder = KernelBuilder("joined", [0, 0], [7, 1], origin="x")
    above = [builder.add(0, builder.const(8)), builder.add(0, builder.const(-8)), builder.add(1, builder.const(-30))]
    above.append(builder.add(0, builder.const(1), 0, 6))
    outputs = list(above)
    for value in above:
        shifted = builder.shl(value, 3)
        outputs += [shifted, builder.shl(shifted, 1), builder.mul(shifted, value), builder.clamp(shifted, -100, 100)]
        for other in (0, 1, shifted, builder.shl(0, 2)):
            for op in (builder.min, builder.max, builder.less, builder.equal, builder.sub):
                outputs += [op(value, other), op(other, value)]
    kernel = builder.build(outputs)
    codes = np.array([(i, j) for i in range(8) for j in range(2)], np.int64)
    for depth in (0, 2):
        simulated(program_of(kernel), [codes], depth, tmp_path)
