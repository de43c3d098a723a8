"""Registers at minimum cost: never worse than values moved one by one, and the true minimum where it can be listed."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from flat_programs import program_of, random_kernel
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.fixed import Rounding
from hardwire.ir import interpreter
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.schedule import Circuit, verify_circuit
from hardwire.schedule._bits_read import read_bits, stored_bits
from hardwire.schedule._core import EPSILON, arrivals, user_lists
from hardwire.schedule._retime import cost_of, retime
from hardwire.schedule.pipeline import LUT_BITS, Timing, build, free_choices
from hardwire.targets import target

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)
ECP5 = target("ecp5-85k")
ALL = 10**9


def cost(circuit: Circuit, lut_bits: int = LUT_BITS, stage: np.ndarray | None = None) -> int:
    kernel, args = circuit.kernel, circuit.args
    start, users = user_lists(args)
    bits = np.where(circuit.constant, 0, stored_bits(kernel)).astype(np.int64)
    gain, wire = free_choices(kernel, start, users, bits, circuit.is_output, lut_bits)
    at = np.maximum(circuit.stage, 0) if stage is None else stage
    return int(cost_of(args, start, users, bits, gain, wire, circuit.is_output, circuit.depth, at))


def problem(circuit: Circuit, lut_bits: int = LUT_BITS) -> tuple:
    """What `retime` takes, up to the budget and the depth."""
    kernel, args = circuit.kernel, circuit.args
    start, users = user_lists(args)
    bits = np.where(circuit.constant, 0, stored_bits(kernel)).astype(np.int64)
    gain, wire = free_choices(kernel, start, users, bits, circuit.is_output, lut_bits)
    fixed = circuit.constant | (circuit.root != np.arange(len(kernel))) | (kernel.op == OpCode.INPUT)
    budget = circuit.period_ns - circuit.overhead_ns
    return (args, start, users, bits, gain, wire, circuit.delay, fixed, circuit.is_output, budget, circuit.depth)


@SETTINGS
@given(seed=st.integers(0, 10**6), ops=st.integers(0, 120), depth=st.integers(0, 14), lut_bits=st.sampled_from([0, 2]))
def test_never_worse_than_one_by_one(seed: int, ops: int, depth: int, lut_bits: int) -> None:
    program = program_of(random_kernel(seed, ops=ops, outputs=min(6, max(ops, 1))))
    timing = Timing.of(program, ECP5)
    budget = timing.least_budget(depth)
    swept = build(timing, budget, 20.0, lut_bits=lut_bits, allowance=0)
    best = build(timing, budget, 20.0, lut_bits=lut_bits)
    verify_circuit(best)
    assert best.notes["registers"]["optimal"]
    assert (best.depth, best.period_ns) == (swept.depth, swept.period_ns)
    assert cost(best, lut_bits) <= cost(swept, lut_bits)
    if lut_bits == 0:
        assert best.ff <= swept.ff


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), ops=st.integers(1, 7), depth=st.integers(1, 3), lut_bits=st.sampled_from([0, 1, 5]))
def test_the_minimum_of_all_schedules(seed: int, ops: int, depth: int, lut_bits: int) -> None:
    program = program_of(random_kernel(seed, inputs=3, ops=ops, outputs=2))
    timing = Timing.of(program, ECP5)
    circuit = build(timing, timing.least_budget(depth), 20.0, lut_bits=lut_bits)
    args, start, users, bits, gain, wire, delay, fixed, is_output, budget, last = problem(circuit, lut_bits)
    free = np.flatnonzero(~fixed)
    least = None
    for stages in product(range(last + 1), repeat=len(free)):
        stage = np.zeros(len(fixed), np.int32)
        stage[free] = stages
        early = (args >= 0) & (stage[np.maximum(args, 0)] > stage[:, None])
        if early.any() or (arrivals(args, delay, stage) > budget + EPSILON).any():
            continue
        price = cost_of(args, start, users, bits, gain, wire, is_output, last, stage)
        least = price if least is None else min(least, price)
    assert cost(circuit, lut_bits) == least


@SETTINGS
@given(seed=st.integers(0, 10**6), depth=st.integers(1, 10), window=st.integers(1, 60))
def test_windows_and_an_end_of_the_allowance(seed: int, depth: int, window: int) -> None:
    """Any window is valid and no worse than the start, all values at once no worse than any; work is bounded."""
    program = program_of(random_kernel(seed, ops=80))
    timing = Timing.of(program, ECP5)
    swept = build(timing, timing.least_budget(depth), 20.0, allowance=0)
    stage = np.maximum(swept.stage, 0)
    given = problem(swept)
    best, optimal, spent = retime(*given, stage, ALL, ALL)
    assert optimal
    part, proven, _ = retime(*given, stage, window, ALL)
    assert proven == (window >= len(stage))
    short, finished, used = retime(*given, stage, ALL, spent // 2)
    assert not finished
    assert used <= spent
    for found in (best, part, short):
        assert (arrivals(given[0], swept.delay, found) <= given[9] + EPSILON).all()
        at = np.where(swept.constant, -1, found[swept.root]).astype(np.int32)
        verify_circuit(Circuit(**{**{f: getattr(swept, f) for f in Circuit.__dataclass_fields__}, "stage": at}))
    assert cost(swept, stage=best) <= cost(swept, stage=part) <= cost(swept)
    assert cost(swept, stage=best) <= cost(swept, stage=short) <= cost(swept)
    again, _, _ = retime(*given, best, ALL, ALL)
    assert cost(swept, stage=again) == cost(swept, stage=best)


def relu_network(neurons: int = 6, seed: int = 0) -> Kernel:
    """Two layers with ReLU, rounding down and wrapping in between."""
    rng = np.random.default_rng(seed)
    builder = KernelBuilder("relu", [-128] * 8, [127] * 8, origin="x")
    values = list(range(8))
    for layer in range(2):
        builder.origin = f"fc{layer}"
        sums = []
        for _ in range(neurons):
            terms = [values[k] for k in rng.permutation(len(values))]
            while len(terms) > 1:
                pairs = zip(terms[::2], terms[1::2], strict=False)
                rest = terms[-1:] if len(terms) % 2 else []
                terms = [builder.sub(a, b, int(rng.integers(0, 3)), 0) for a, b in pairs] + rest
            sums.append(terms[0])
        builder.origin = f"relu{layer}"
        values = [builder.wrap(builder.round(builder.clamp(v, 0, 1 << 30), 4, Rounding.TRN), 8, False) for v in sums]
    return builder.build(values)


def behind(circuit: Circuit) -> int:
    """Clamps whose bits flip-flops alone read."""
    found = 0
    wires = (OpCode.WRAP, OpCode.ROUND)
    for i in np.flatnonzero((circuit.kernel.op == OpCode.CLAMP) & ~circuit.constant):
        todo, alone = [int(i)], True
        while todo:
            v = todo.pop()
            for u in np.flatnonzero((circuit.args == v).any(axis=1)):
                if circuit.kernel.op[u] in wires:
                    todo.append(int(u))
                else:
                    alone &= bool(circuit.stage[u] > circuit.stage[i])
        found += alone
    return found


@pytest.mark.parametrize("depth", [3, 4, 6])
def test_registers_stand_right_behind_relu(depth: int) -> None:
    """A saved LUT outweighs a register bit or two: more rectifiers have their register, in no more stages."""
    timing = Timing.of(program_of(relu_network()), ECP5)
    plain = build(timing, timing.least_budget(depth), 20.0, lut_bits=0)
    valued = build(timing, timing.least_budget(depth), 20.0)
    assert valued.depth == plain.depth
    assert behind(valued) >= behind(plain)
    assert cost(valued) <= cost(plain)
    # What is paid in registers is less than what is worth in LUTs.
    assert cost(valued, 0) - cost(plain, 0) <= (cost(valued, 0) - cost(valued)) - (cost(plain, 0) - cost(plain))


def test_which_choices_are_free() -> None:
    builder = KernelBuilder("free", [-128] * 3 + [0], [127] * 3 + [1], origin="x")
    zero = builder.const(0)
    relu, top, both = builder.clamp(0, 0, 500), builder.clamp(1, -500, 63), builder.clamp(2, 0, 63)
    more, chosen, mixed = builder.max(1, builder.const(-5)), builder.select(3, 2, zero), builder.select(3, 1, 2)
    outputs = [relu, top, both, more, chosen, mixed]
    kernel = builder.build(outputs)
    timing = Timing.of(program_of(kernel), ECP5)
    start, users = user_lists(timing.args)
    is_output = np.isin(np.arange(len(kernel)), outputs)
    gain, _ = free_choices(kernel, start, users, stored_bits(kernel), is_output, 1)
    assert [int(gain[v]) for v in outputs] == [7, 8, 0, 8, 8, 0]


@SETTINGS
@given(seed=st.integers(0, 10**6), bits=st.integers(1, 20), ops=st.integers(1, 30))
def test_bits_that_are_not_read_change_nothing(seed: int, bits: int, ops: int) -> None:
    rng = np.random.default_rng(seed)
    signed = bool(rng.integers(2))
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    builder = KernelBuilder("k", [low] * 3, [high] * 3, origin="x")
    values = [builder.round(v, int(rng.integers(0, 6)), Rounding(int(rng.integers(9)))) for v in range(3)]
    values = [builder.clamp(v, int(rng.integers(-40, 1)), int(rng.choice([3, 31, 40, 10**6]))) for v in values]
    values = [builder.wrap(v, int(rng.integers(1, 6)), bool(rng.integers(2))) for v in values]
    values += [0, 1, 2]
    for _ in range(ops):
        a, b = (values[int(k)] for k in rng.integers(len(values), size=2))
        p, q = (int(k) for k in rng.integers(0, 3, 2))
        make = [
            lambda a, b, p, q: builder.add(a, b, p, q),
            lambda a, b, p, q: builder.sub(a, b, p, q),
            lambda a, b, p, q: builder.wrap(builder.shl(a, p), 4 + q, True),
            lambda a, b, p, q: builder.wrap(builder.mul(builder.wrap(a, 6, True), builder.wrap(b, 5, False)), 6, True),
            lambda a, b, p, q: builder.round(a, p, Rounding.TRN),
            lambda a, b, p, q: builder.bit_and(a, builder.wrap(b, 3, False)),
            lambda a, b, p, q: builder.select(builder.wrap(a, 1, False), b, a),
        ][int(rng.integers(7))]
        values.append(builder.wrap(make(a, b, p, q), 24, True))
    kernel = builder.build([builder.wrap(values[-1], 3, True), builder.wrap(values[-2], 5, False)])
    masks = read_bits(kernel)
    program = program_of(kernel)
    x = rng.integers(low, high, (64, 3), endpoint=True)
    unread = ~masks[:3] & ((1 << bits) - 1)
    other = x ^ (rng.integers(0, 1 << bits, x.shape) & unread)
    if signed:
        other = (other + (1 << (bits - 1)) & (1 << bits) - 1) - (1 << (bits - 1))
    assert np.array_equal(interpreter.run(program, [x])[0], interpreter.run(program, [other])[0])


def test_bits_read_by_hand() -> None:
    builder = KernelBuilder("read", [-1024, 0], [1023, 255], origin="x")
    relu = builder.clamp(0, 0, 1 << 20)
    kept = builder.wrap(builder.round(relu, 3, Rounding.TRN), 4, False)
    nearest = builder.wrap(builder.round(1, 4, Rounding.RND), 2, False)
    kernel = builder.build([kept, nearest])
    masks = read_bits(kernel)
    # Four bits from the third on, and the sign that ReLU looks at.
    assert masks[0] == 0b10001111000
    assert masks[relu] == 0b1111000
    assert masks[1] == 0b111000
    assert stored_bits(kernel)[[0, 1, relu, kept]].tolist() == [5, 3, 4, 4]
