from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.interpreter import run, run_kernel, values_of
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.ir.ranges import range_of
from hardwire.layers._lowering import lower
from hardwire.network.graph import NetworkBuilder
from hardwire.passes.absorb_rounding import absorb_rounding
from hardwire.passes.cse import cse
from hardwire.passes.dce import dce
from hardwire.passes.narrow import narrow
from hardwire.passes.pipelines import CLEANUP, flatten, run_passes, simplify
from hardwire.passes.round_first import round_first
from hardwire.passes.shift_add import shift_add
from hardwire.passes.unroll import unroll
from hardwire.quantiser import Quantiser
from hardwire.solver import AdderGraph, solve_cached
from random_kernels import kernels, samples


def solver(matrix: np.ndarray, lo: np.ndarray, hi: np.ndarray, depth: np.ndarray) -> AdderGraph:
    return solve_cached(matrix, lo=lo, hi=hi, input_depth=depth, effort=0)


@pytest.mark.parametrize(
    "kernel_pass", [narrow, cse, dce, round_first, absorb_rounding, lambda k: shift_add(k, solver)]
)
def test_each_pass_keeps_the_meaning(kernel_pass: object) -> None:
    @given(kernels())
    @settings(max_examples=40)
    def check(kernel: Kernel) -> None:
        changed = run_passes(kernel, (kernel_pass,)) if hasattr(kernel_pass, "__name__") else kernel
        x = samples(kernel)
        assert np.array_equal(run_kernel(changed, x), run_kernel(kernel, x))
        values = values_of(changed, x)
        assert np.all(values >= changed.lo[:, None])
        assert np.all(values <= changed.hi[:, None])

    check()


@given(kernels())
def test_the_whole_clean_up_keeps_the_meaning_and_settles(kernel: Kernel) -> None:
    cleaned = run_passes(kernel, (*CLEANUP, *CLEANUP))
    x = samples(kernel)
    assert np.array_equal(run_kernel(cleaned, x), run_kernel(kernel, x))
    assert len(cleaned) <= len(kernel)


@given(kernels())
def test_compiled_ranges_are_the_rules(kernel: Kernel) -> None:
    """`narrow` on a kernel whose ranges are opened wide finds at least what the exact rules give."""
    n = kernel.n_inputs
    wide = np.int64(1) << 60
    lo = np.where(np.arange(len(kernel)) < n, kernel.lo, -wide)
    hi = np.where(np.arange(len(kernel)) < n, kernel.hi, wide)
    opened = dce(kernel)
    narrowed = narrow(kernel.with_(lo=lo, hi=hi))
    x = samples(kernel)
    assert np.array_equal(run_kernel(narrowed, x), run_kernel(kernel, x))
    # Re-derive with the exact rules, over the narrowed kernel itself.
    for op in narrowed:
        if op.code is OpCode.INPUT:
            continue
        args = [(int(narrowed.lo[a]), int(narrowed.hi[a])) for a in op.args]
        table = narrowed.tables[op.p].tolist() if op.code is OpCode.TABLE else []
        low, high = range_of(op.code, args, op.p, op.q, coefs=op.coefs, table=table)
        assert op.lo >= low or op.code in (OpCode.LESS, OpCode.EQUAL), op
        assert op.hi <= high or op.code in (OpCode.LESS, OpCode.EQUAL), op
    assert len(opened) <= len(kernel)


def test_dead_and_equal_values_go() -> None:
    b = KernelBuilder("k", [-8, -8], [7, 7])
    first, second = b.add(0, 1), b.add(1, 0)
    b.mul(0, 1)
    kernel = run_passes(b.build([first, second]), CLEANUP)
    assert kernel.count(OpCode.ADD) == 1
    assert kernel.count(OpCode.MUL) == 0
    assert kernel.outputs[0] == kernel.outputs[1]


def test_a_shift_joins_the_adder_above_it() -> None:
    b = KernelBuilder("k", [-8, -8], [7, 7])
    kernel = run_passes(b.build([b.add(b.shl(0, 3), 1)]), CLEANUP)
    assert kernel.count(OpCode.SHL) == 0
    assert kernel[2].p == 3


def test_half_up_rounding_costs_no_adder() -> None:
    b = KernelBuilder("k", [-8, -8], [7, 7])
    kernel = absorb_rounding(b.build([b.round(b.linear([0, 1], [3, 5], 1), 2, Rounding.RND)]))
    assert kernel[2].p == 3
    assert Rounding(kernel[3].q) is Rounding.TRN


@pytest.mark.parametrize("mode", Rounding)
def test_rounding_moves_in_front_of_a_relu_and_into_the_bias(mode: Rounding) -> None:
    b = KernelBuilder("k", [-8, -8], [7, 7])
    neuron = b.linear([0, 1], [3, 5], 1)
    kernel = b.build([b.round(b.clamp(neuron, 0, 1 << 10), 2, mode)])
    changed = absorb_rounding(round_first(narrow(kernel)))
    x = samples(kernel)
    assert np.array_equal(run_kernel(changed, x), run_kernel(kernel, x))
    assert changed[-1].code is OpCode.CLAMP
    assert changed[3].code is OpCode.ROUND or mode is Rounding.RND_CONV
    assert changed.count(OpCode.ADD) == (mode is Rounding.RND_CONV)
    assert set(changed.q[changed.op == OpCode.ROUND].tolist()) == {Rounding.TRN}


def test_all_roundings_of_a_sum_are_the_same_on_every_input() -> None:
    """Every mode, shifts around the sum's width, biases of every residue."""
    for mode in Rounding:
        for shift in range(1, 8):
            for bias in range(-9, 9):
                b = KernelBuilder("k", [-8, -3], [7, 4])
                kernel = b.build([b.round(b.linear([0, 1], [3, 4], bias), shift, mode)])
                changed = run_passes(kernel, (narrow, absorb_rounding, narrow, cse, dce))
                x = np.stack(np.meshgrid(np.arange(-8, 8), np.arange(-3, 5)), axis=-1).reshape(-1, 2)
                assert np.array_equal(run_kernel(changed, x), run_kernel(kernel, x)), (mode, shift, bias)


def test_a_relu_and_a_saturation_are_one_clamp() -> None:
    b = KernelBuilder("k", [-100], [100])
    kernel = b.build([b.clamp(b.round(b.clamp(0, 0, 90), 2, Rounding.TRN), -8, 7)])
    done = run_passes(kernel, (narrow, round_first, narrow, dce))
    assert done.count(OpCode.CLAMP) == 1
    x = np.arange(-100, 101)[:, None]
    assert np.array_equal(run_kernel(done, x), run_kernel(kernel, x))


def test_a_constant_term_joins_the_bias() -> None:
    b = KernelBuilder("k", [-100, 0], [100, 7])
    kernel = b.build([b.linear([0, 1], [3, 5], 1)])
    lo, hi = kernel.lo.copy(), kernel.hi.copy()
    lo[1] = hi[1] = 4
    done = narrow(kernel.with_(lo=lo, hi=hi))
    assert (done[2].args, done[2].coefs, done[2].p) == ((0,), (3,), 21)


def test_a_clamp_that_others_read_stays_before_its_rounding() -> None:
    b = KernelBuilder("k", [-8, -8], [7, 7])
    relu = b.clamp(b.linear([0, 1], [3, 5]), 0, 1 << 10)
    kernel = b.build([b.round(relu, 2, Rounding.RND), b.round(relu, 3, Rounding.RND)])
    assert round_first(kernel).op.tolist() == kernel.op.tolist()


def test_neurons_that_nobody_reads_are_not_solved() -> None:
    net = NetworkBuilder("net")
    x = net.input("x", (6, 4))
    quantiser = Quantiser.of_type(FixedType(True, 5, 2))
    x = net.add("quantise", "q", [x], {"quantiser": quantiser})
    rng = np.random.default_rng(1)
    x = net.add("dense", "fc", [x], {}, {"kernel": rng.integers(-9, 10, (4, 8)) / 8})
    x = net.add("relu", "relu", [x])
    kernel = rng.integers(-9, 10, (8, 3)) / 8
    kernel[3:] = 0
    x = net.add("dense", "fc2", [x], {}, {"kernel": kernel})
    program = simplify(lower(net.build([x]), {"x": quantiser}))
    shapes = []

    def looking(matrix: np.ndarray, *rest: np.ndarray) -> AdderGraph:
        shapes.append(matrix.shape)
        return solver(matrix, *rest)

    flat = flatten(program, looking)
    assert shapes == [(4, 3), (3, 3)]
    codes = [rng.integers(-16, 16, (50, 24))]
    assert np.array_equal(run(flat, codes)[0], run(program, codes)[0])


def test_coefficients_beyond_the_solver_are_split() -> None:
    b = KernelBuilder("k", [-8, 0], [7, 3])
    big = (1 << 40) + 12345
    kernel = b.build([b.linear([0, 1], [big, -big], 1 << 35)])
    done = shift_add(kernel, solver)
    assert done.count(OpCode.LINEAR) == 0
    x = samples(kernel)
    assert np.array_equal(run_kernel(done, x), run_kernel(kernel, x))


@given(st.integers(0, 10_000), st.sampled_from([(4,), (3, 4), (2, 2, 4)]), st.sampled_from(Rounding))
@settings(max_examples=25)
def test_unrolled_and_solved_programs_equal_their_loops(seed: int, shape: tuple[int, ...], mode: Rounding) -> None:
    rng = np.random.default_rng(seed)
    net = NetworkBuilder("net")
    x = net.input("x", shape)
    x = net.add("quantise", "q", [x], {"quantiser": Quantiser.of_type(FixedType(True, 5, 2), mode, Overflow.SAT)})
    x = net.add(
        "dense", "fc", [x], {}, {"kernel": rng.integers(-9, 10, (4, 3)) / 8, "bias": rng.integers(-9, 10, 3) / 4}
    )
    x = net.add("quantise", "r", [x], {"quantiser": Quantiser.of_type(FixedType(True, 4, 1), mode, Overflow.WRAP)})
    network = net.build([x])
    program = simplify(lower(network, {"x": network.nodes[0].attrs["quantiser"]}))
    flat = flatten(program, solver)
    assert program.steps[0].positions == int(np.prod(shape[:-1]))
    codes = [rng.integers(-16, 16, (50, int(np.prod(shape))))]
    want = run(program, codes)[0]
    assert np.array_equal(run(flat, codes)[0], want)
    assert np.array_equal(run(unroll(program), codes)[0], want)


def test_a_kernel_is_solved_once_however_often_it_is_applied() -> None:
    net = NetworkBuilder("net")
    x = net.input("x", (50, 4))
    quantiser = Quantiser.of_type(FixedType(True, 5, 2))
    x = net.add("quantise", "q", [x], {"quantiser": quantiser})
    x = net.add("dense", "fc", [x], {}, {"kernel": np.arange(12).reshape(4, 3) / 8})
    program = simplify(lower(net.build([x]), {"x": quantiser}))
    calls = []

    def counting(*args: np.ndarray) -> AdderGraph:
        calls.append(args)
        return solver(*args)

    flat = flatten(program, counting)
    assert len(calls) == 1
    assert len(program.kernels) == 1
    assert len(flat.flat) > 50 * 3
