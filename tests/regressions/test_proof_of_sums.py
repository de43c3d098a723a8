"""The formal proof of sums: it does not depend on the order in which a circuit adds, nor on what it adds in between."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from whole_design import of

import hardwire as hw
from hardwire.fixed import Ints, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.program import Kernel, Program
from hardwire.network.graph import NetworkBuilder
from hardwire.passes.pipelines import flatten
from hardwire.proof.formal import prove
from hardwire.solver import AdderGraph, solve_cached

sys.path.insert(0, str(Path(__file__).parents[1] / "backends"))
from flat_programs import program_of


def solver(matrix: Ints, lo: Ints, hi: Ints, depth: Ints) -> AdderGraph:
    return solve_cached(matrix, lo=lo, hi=hi, input_depth=depth, effort=0)


def solved(kernel: Kernel, *, unsigned: bool = False) -> tuple[Program, Kernel]:
    program = program_of(kernel)
    return program, flatten(program, solver, proven=lambda p, f: prove(p, f).proven, unsigned=unsigned).flat


def test_softmax_of_one_bit_values_is_proven():
    """Its exponentials are functions of the same inputs; two of them merged in the circuit, all three did not.

    'output 0: the circuit computes another function than layer 'odds''
    """
    net = NetworkBuilder("drawn")
    x = net.add("quantise", "entry", [net.input("x", (5,))], of("u2.1", Rounding.TRN))
    kernel = np.array([[11, 4, 0], [-7, -6, -14], [-13, -15, -10], [10, 5, 13], [0, 3, 15]])
    x = net.add("dense", "dense0", [x], {}, {"kernel": kernel.astype(np.float64)})
    x = net.add("quantise", "type0", [x], of("u1.0", Rounding.TRN))
    output = of("u8.8", Rounding.RND, Overflow.SAT)["quantiser"]
    x = net.add("softmax", "odds", [x], {"axis": 0, "output": output, "tables": None})
    design = hw.compile(net.build([x]))
    assert prove(design.program, design.circuit.kernel, design.circuit.stage).failures == ()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (0, 2, 1)])
def test_tables_of_common_inputs_are_summed_in_any_order(order):
    """Tables of (a), (a, b) and (b, c): the first two have few points together, all three do not."""
    rng = np.random.default_rng(0)

    def tables(builder: KernelBuilder) -> list[int]:
        sums = 0, builder.linear([0, 1], [1, 1]), builder.linear([1, 2], [1, 1])
        return [builder.table(x, entries) for x, entries in zip(sums, values, strict=True)]

    values = [rng.integers(0, 99, size) for size in (128, 255, 255)]
    spec, circuit = (KernelBuilder("sum", [0] * 3, [127] * 3, origin="lut") for _ in range(2))
    program = program_of(spec.build([spec.round(spec.linear(tables(spec), [1, 1, 1]), 1, Rounding.TRN)]))
    parts = tables(circuit)
    first, second, third = (parts[k] for k in order)
    right = circuit.round(circuit.add(circuit.add(first, second), third), 1, Rounding.TRN)
    assert prove(program, circuit.build([right])).failures == ()
    wrong = circuit.round(circuit.add(circuit.add(first, second), first), 1, Rounding.TRN)
    assert prove(program, circuit.build([wrong])).outputs_proven == 0


@pytest.mark.parametrize("unsigned", [False, True])
def test_ties_to_even_within_a_sum_are_proven(unsigned):
    """Without signs the sum's offset went between the upper bits and the last one, which the proof had to see together.

    'neuron %2 is not computed as its weights say'
    """
    builder = KernelBuilder("ties", [-8, -8], [7, 7], origin="fc")
    even = builder.round(builder.linear([0, 1], [3, -7]), 1, Rounding.RND_CONV)
    total = builder.linear([even, 0, 1], [-1, 5, 3], -9)
    program, flat = solved(builder.build([builder.round(total, 3, Rounding.RND)]), unsigned=unsigned)
    assert prove(program, flat).failures == ()


def test_sums_of_tables_of_what_depends_on_each_other_do_not_overflow():
    """Not all codes of a maximum and of its operands come together: as one function they seemed to reach further.

    '%10 (add) can reach [165, 1000], its range [192, 1011] of 10 bits does not hold that'
    """
    builder = KernelBuilder("related", [-4, 0], [3, 1], origin="lut")
    own = builder.linear([0, 1], [1, -7])
    top = builder.max(builder.linear([1], [5]), own)
    index = builder.linear([top, own], [1, 1])
    lo, hi = builder.range(index)
    table = builder.table(index, np.round(1000 / (2 + np.abs(np.arange(lo, hi + 1)))).astype(np.int64))
    below = builder.sub(table, top), builder.sub(table, own)
    kernel = builder.build([builder.linear(below, [3, -1]), builder.linear(below, [-1, -7])])
    program, flat = solved(kernel)
    assert prove(program, flat).failures == ()


def test_a_range_that_nothing_reaches_is_a_failure_not_a_crash():
    """A table whose operand claims a range out of the function's own."""
    spec = KernelBuilder("spec", [-4], [3], origin="act")
    doubled = spec.linear([0], [3])
    kernel = spec.build([spec.table(doubled, np.arange(22) % 5)])
    lo, hi = np.array(kernel.lo), np.array(kernel.hi)
    lo[doubled], hi[doubled] = 40, 50
    hi[doubled + 1] -= 1
    proof = prove(program_of(kernel), kernel.with_(lo=lo, hi=hi))
    assert not proof.proven
