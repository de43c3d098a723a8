"""The formal proof of circuits in which something is constant, unused or out of reach."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from whole_design import compiled, of, weights

from hardwire.fixed import Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.program import Access, Array, Kernel, Port, Program, Step
from hardwire.layers._lowering import fractions
from hardwire.network.graph import NetworkBuilder
from hardwire.proof.formal import prove
from hardwire.quantiser import Quantiser


def _as_program(kernel: Kernel) -> Program:
    n, out = kernel.n_inputs, kernel.outputs
    unit, zero = fractions([Fraction(1)]), np.zeros(1, np.int32)
    index, shown = np.arange(n, dtype=np.int32), np.arange(len(out), dtype=np.int32)
    arrays = {
        "in": Array("in", kernel.lo[:n], kernel.hi[:n], unit),
        "out": Array("out", kernel.lo[out], kernel.hi[out], unit),
    }
    step = Step("s", kernel.name, (Access("in", zero, index),), Access("out", zero, shown))
    ports = (Port("x", "in", index, (n,)),), (Port("y", "out", shown, (len(out),)),)
    return Program("p", arrays, {kernel.name: kernel}, (step,), *ports)


@pytest.mark.parametrize("bits", [[4, 0, 3, 0], [0, 0, 0, 0]])
@pytest.mark.parametrize("overflow", [Overflow.SAT, Overflow.WRAP])
def test_inputs_of_no_bits_are_proven(bits, overflow):
    """A constant input is wired and has no stage: the proof said that it was not at stage 0."""
    net = NetworkBuilder("zero")
    port = Quantiser.of_arrays(True, bits, [1, 2, 0, 3], Rounding.RND, overflow)
    x = net.add("quantise", "q", [net.input("x", (4,))], {"quantiser": port})
    compiled(net.build([net.add("dense", "fc", [x], {}, weights(4, 2))]))


def test_constant_outputs_are_proven():
    """Layers of zeros leave their biases."""
    net = NetworkBuilder("constant")
    x = net.add("quantise", "q", [net.input("x", (3,))], of("s4.2"))
    compiled(net.build([net.add("dense", "fc", [x], {}, {"kernel": np.zeros((3, 2)), "bias": np.array([-2.5, 0.0])})]))


def test_unused_inputs_are_proven():
    """A port that nothing reads."""
    net = NetworkBuilder("unused")
    x, _ = net.input("x", (2,)), net.input("z", (3,))
    compiled(net.build([net.add("dense", "fc", [x], {}, weights(2, 2))]), exact=True, input_type="s4.1")


def test_a_neuron_that_decides_nothing_counts_through_several_layers():
    """Its readers are gone as well, up to a value that is constant; it was reported as not computed."""
    spec = KernelBuilder("spec", [-8], [7])
    coarse = spec.round(spec.linear([0], [3], 1), 1, Rounding.TRN)
    twice = [spec.linear([coarse], [5], bias) for bias in (0, 7)]
    difference = spec.sub(twice[1], twice[0])
    circuit = KernelBuilder("circuit", [-8], [7])
    proof = prove(_as_program(spec.build([difference])), circuit.build([circuit.const(7)]))
    assert proof.failures == ()
    assert proof.neurons == proof.neurons_proven == 3


def test_a_table_read_outside_is_a_failure_not_a_crash():
    """A wrong first code, or a table that was cut, raised `ValueError`."""
    spec = KernelBuilder("spec", [-4], [3], origin="act")
    kernel = spec.build([spec.table(0, np.array([5, 1, 4, 1, 5, 9, 2, 6]))])
    program = _as_program(kernel)
    assert prove(program, kernel).proven
    for first in (-5, -3, 40):
        proof = prove(program, kernel.with_(q=np.where(kernel.op == 15, first, kernel.q)))
        assert not proof.proven
    cut = prove(program, kernel.with_(tables=(kernel.tables[0][:4],)))
    assert any("layer 'act': %1 can read its table at [-4, 3], outside of it" in line for line in cut.failures)
