"""The formal proof of sums: it does not depend on the order in which a circuit adds, nor on what it adds in between."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from whole_design import of

import hardwire as hw
from hardwire.fixed import Ints, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.interpreter import values_of
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel, Program
from hardwire.network.graph import Network, NetworkBuilder
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


def _through_three_layers(types: list[tuple[str, Rounding, Overflow]], layers: list[dict[str, list[Any]]]) -> Network:
    """Dense layers between types, from one input."""
    net = NetworkBuilder("drawn")
    x = net.add("quantise", "entry", [net.input("x", (1,))], of(*types[0]))
    for number, (params, kind) in enumerate(zip(layers, types[1:], strict=True)):
        x = net.add("dense", f"dense{number}", [x], {}, {key: np.array(part) for key, part in params.items()})
        x = net.add("quantise", f"type{number}", [x], of(*kind))
    return net.build([x])


ONE_BIT = _through_three_layers(
    [
        ("s2.0", Rounding.TRN, Overflow.SAT),
        ("u1.0", Rounding.TRN, Overflow.SAT),
        ("u6.3", Rounding.TRN, Overflow.SAT),
        ("u1.0", Rounding.TRN, Overflow.WRAP),
    ],
    [
        {"kernel": [[11.0, 4.0, 0.0]]},
        {
            "kernel": [
                [-1.75, -1.5, -3.5, -3.25, -3.75, -2.5, 2.5],
                [1.25, 3.25, 0.0, 0.75, 3.75, 1.75, 1.0],
                [0.25, 0.5, 3.25, -1.75, 2.5, 1.25, -3.75],
            ],
            "bias": [-0.65625, 2.21875, 0.34375, -2.90625, 1.65625, 1.4375, 2.15625],
        },
        {"kernel": [[-10.0], [-13.0], [11.0], [-15.0], [1.0], [-13.0], [-6.0]]},
    ],
)
"""Its %39, in dense2: '(sub) can reach [-1098, -15], its range [-1096, -15] of 12 bits does not hold that'."""
THREE_BITS = _through_three_layers(
    [
        ("u1.0", Rounding.CEIL, Overflow.SAT),
        ("u3.0", Rounding.TRN, Overflow.SAT),
        ("s8.2", Rounding.RND_MIN_INF, Overflow.SAT_ZERO),
        ("s8.2", Rounding.RND_CONV, Overflow.SAT),
    ],
    [
        {"kernel": [[0.0, 8.0, 10.0]]},
        {
            "kernel": [
                [-1.5, -1.5, -1.75, -0.75, -3.0],
                [-3.75, 1.5, -1.0, 0.25, 2.25],
                [3.25, -3.5, -2.75, -2.75, 2.25],
            ],
            "bias": [1.375, -2.90625, -3.0625, 1.0625, 2.8125],
        },
        {
            "kernel": [
                [1.375, 0.375, 0.875],
                [1.625, -0.125, 0.875],
                [1.125, 1.625, -0.625],
                [-1.0, 1.5, -0.875],
                [0.0, 0.375, 1.625],
            ],
            "bias": [-2.96875, 1.8125, 0.28125],
        },
    ],
)
"""Its %41: a part of it is in a sum twice, once as it is and once doubled with a constant."""


@pytest.mark.parametrize("target", ["ecp5-85k", "xc7-a35t"])
@pytest.mark.parametrize("network", [ONE_BIT, THREE_BITS], ids=["one bit", "three bits"])
def test_sums_of_sums_that_are_narrower_than_their_terms_do_not_overflow(network, target):
    """Roundings of whole steps vanish, and sums of the layer before, narrowed by relaxation, are parts of sums."""
    design = hw.compile(network, target=target)
    kernel = design.circuit.kernel
    reached = values_of(kernel, np.arange(kernel.lo[0], kernel.hi[0] + 1)[:, None])
    assert np.all(kernel.lo <= reached.min(axis=1))
    assert np.all(reached.max(axis=1) <= kernel.hi)
    assert prove(design.program, kernel).failures == ()
    # A range without the codes that are reached is never proven.
    for value in np.flatnonzero(np.isin(kernel.op, (OpCode.ADD, OpCode.SUB)) & (kernel.lo < kernel.hi))[::4].tolist():
        lo, hi = np.array(kernel.lo), np.array(kernel.hi)
        lo[value] = reached[value].min() + 1
        assert not prove(design.program, kernel.with_(lo=lo)).proven, value
        hi[value] = reached[value].max() - 1
        assert not prove(design.program, kernel.with_(hi=hi)).proven, value


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
