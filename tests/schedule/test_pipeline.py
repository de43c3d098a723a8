"""Cutting into stages: timing holds, operands are there, registers are few, counts are true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from flat_programs import program_of, random_kernel
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.errors import ContractError, InternalError
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Program
from hardwire.schedule import Circuit, layer_profile, pipeline, verify_circuit
from hardwire.schedule._bits_read import stored_bits
from hardwire.schedule._core import earliest
from hardwire.schedule.pipeline import Timing, build
from hardwire.targets import target

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)
ECP5 = target("ecp5-85k")


def tree(inputs: int = 32, bits: int = 8) -> Program:
    """A balanced adder tree, then a rectifier."""
    top = (1 << (bits - 1)) - 1
    builder = KernelBuilder("tree", [-top - 1] * inputs, [top] * inputs, origin="x")
    builder.origin = "fc"
    values = list(range(inputs))
    while len(values) > 1:
        values = [builder.add(a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
    builder.origin = "relu"
    return program_of(builder.build([builder.clamp(values[0], 0, 1 << 20)]))


def registers_by_hand(circuit: Circuit) -> int:
    """Flip-flops counted value by value from the definition."""
    kernel, total = circuit.kernel, circuit.latency
    last, bits = {}, stored_bits(kernel)
    for i in range(len(kernel)):
        for a in kernel[i].args:
            root = int(circuit.root[a])
            if kernel.lo[i] != kernel.hi[i] and circuit.root[i] == i:
                last[root] = max(last.get(root, 0), int(circuit.stage[i]))
    for bus in circuit.outputs:
        total += sum({e.value: e.width for e in bus.elements if e.lo != e.hi}.values())
        for element in bus.elements:
            last[int(circuit.root[element.value])] = circuit.depth
    for i in range(len(kernel)):
        if kernel.lo[i] == kernel.hi[i] or circuit.root[i] != i:
            continue
        ranks = last.get(i, int(circuit.stage[i])) - int(circuit.stage[i]) + (kernel.op[i] == OpCode.INPUT)
        total += int(bits[i]) * int(ranks)
    return total


@SETTINGS
@given(seed=st.integers(0, 10**6), ops=st.integers(0, 80), depth=st.integers(0, 20))
def test_any_kernel_at_any_depth_verifies(seed: int, ops: int, depth: int) -> None:
    program = program_of(random_kernel(seed, ops=ops, outputs=min(6, max(ops, 1))))
    timing = Timing.of(program, ECP5)
    circuit = build(timing, timing.least_budget(depth), 20.0)
    verify_circuit(circuit)
    assert circuit.depth <= depth
    assert circuit.ff == registers_by_hand(circuit)
    rows = layer_profile(circuit)
    assert sum(row["ff"] for row in rows) == circuit.ff
    assert sum(row["ns"] for row in rows) == pytest.approx(circuit.latency_ns)
    assert sum(row["lut"] for row in rows) == pytest.approx(circuit.estimate()["lut"], abs=0.51)
    assert circuit.text().count("\n") >= circuit.depth + 2


@SETTINGS
@given(seed=st.integers(0, 10**6), depth=st.integers(0, 12))
def test_moving_values_never_costs_registers(seed: int, depth: int) -> None:
    program = program_of(random_kernel(seed, ops=60))
    timing = Timing.of(program, ECP5)
    budget = timing.least_budget(depth)
    circuit = build(timing, budget, 20.0, lut_bits=0)
    stage, _, _ = earliest(timing.args, timing.delay, min(budget, timing.least_budget(circuit.depth)))
    stage = np.where(circuit.constant, -1, stage[circuit.root]).astype(np.int32)
    assert circuit.ff <= replace(circuit, stage=stage).ff


def test_a_value_waits_where_it_is_narrow() -> None:
    """Inputs come at once, the long branch is late: the short branch's sum waits, not its two operands."""
    builder = KernelBuilder("wait", [-8] * 6, [7] * 6, origin="fc")
    short = builder.add(0, 1)
    long = builder.mul(2, 3)
    for _ in range(4):
        long = builder.add(builder.wrap(long, 8, True), 4)
    program = program_of(builder.build([builder.add(long, short)]))
    timing = Timing.of(program, ECP5)
    circuit = build(timing, timing.slowest, 50.0)
    assert circuit.depth >= 2
    assert circuit.stage[short] == 0
    narrow = builder.wrap(builder.add(0, 1), 2, True)
    program = program_of(builder.build([builder.add(long, narrow)]))
    circuit = build(Timing.of(program, ECP5), timing.slowest, 50.0)
    assert circuit.copies[narrow] == circuit.depth
    assert circuit.stage[narrow] == 0


def test_faster_clocks_take_more_stages() -> None:
    program = tree()
    circuits = [pipeline(program, ECP5, mhz) for mhz in (40, 90, 150, 200)]
    depths = [circuit.depth for circuit in circuits]
    assert depths == sorted(depths)
    assert depths[0] < depths[-1]
    for circuit in circuits:
        assert circuit.fmax_mhz >= circuit.clock_mhz
        assert circuit.latency == circuit.depth + 2
        assert circuit.latency_ns == pytest.approx(circuit.latency * 1000 / circuit.clock_mhz)


def test_one_op_slower_than_the_period_is_named() -> None:
    with pytest.raises(ContractError) as caught:
        pipeline(tree(), ECP5, 900)
    text = str(caught.value)
    assert "layer 'fc': one add of 13 bits takes" in text
    assert "the period at 900 MHz is 1.11 ns" in text
    fastest = float(text.split("a clock of at most ")[1].split()[0])
    assert pipeline(tree(), ECP5, fastest).fmax_mhz >= fastest
    with pytest.raises(ContractError):
        pipeline(tree(), ECP5, fastest + 0.2)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: replace(c, stage=np.where(np.arange(len(c.stage)) == 62, 0, c.stage)), "in stage 0 reads"),
        (lambda c: replace(c, stage=c.stage + (c.kernel.op == 0)), "is an input in stage 1"),
        (lambda c: replace(c, depth=c.depth - 1), "after the last"),
        (lambda c: replace(c, period_ns=c.period_ns - 1), "later than the period"),
        (lambda c: replace(c, stage=np.where(np.arange(len(c.stage)) == 62, -1, c.stage)), "has no stage"),
    ],
)
def test_the_verifier_finds(spoil, message: str) -> None:
    circuit = pipeline(tree(), ECP5, 250)
    with pytest.raises(InternalError, match=message):
        verify_circuit(spoil(circuit))


def test_constants_and_views_take_no_registers() -> None:
    builder = KernelBuilder("free", [-8, -8], [7, 7], origin="fc")
    view = builder.shl(0, 3)
    total = builder.add(builder.const(40), 1)
    program = program_of(builder.build([view, builder.sub(total, view), builder.const(7)]))
    timing = Timing.of(program, ECP5)
    circuit = build(timing, timing.slowest, 100.0)
    assert circuit.register_bits[view] == 0
    assert circuit.root[view] == 0
    assert np.all(circuit.register_bits[circuit.constant] == 0)
