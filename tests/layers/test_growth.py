"""Kernels stay kernels: what a Program holds does not grow with images and sequences, and passes take linear time."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from hardwire.emulate._host import this_host
from hardwire.emulate._module import assemble
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir import interpreter
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.program import Program
from hardwire.layers import recurrent
from hardwire.layers._elements import quantised_input
from hardwire.layers._lowering import lower
from hardwire.layers.conv import conv_attrs
from hardwire.layers.pooling import pool_attrs
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.network.prepare import input_quantisers
from hardwire.passes import cse, dce, narrow
from hardwire.passes.pipelines import simplify
from hardwire.quantiser import Quantiser

RNG = np.random.default_rng(0)
WEIGHTS = {k: RNG.integers(-7, 8, k) / 8 for k in ((3, 3, 2, 4), (3, 3, 1, 4), (1, 1, 4, 4), (4, 4), (4, 3))}
SAME = ((1, 1), (1, 1))


def typed(net: NetworkBuilder, x: str, kind: str = "u4.2") -> str:
    quantiser = Quantiser.of_type(FixedType.parse(kind), Rounding.RND, Overflow.SAT)
    return net.add("quantise", "q", [x], {"quantiser": quantiser})


def image(n: int) -> Network:
    """A residual block of separable convolutions with every pooling, then a dense layer at each place."""
    net = NetworkBuilder("image")
    x = quantised_input(net, (n, n, 2), "s4.2")
    x = typed(
        net,
        net.add("relu", "r", [net.add("conv", "c", [x], conv_attrs(2, padding=SAME), {"kernel": WEIGHTS[3, 3, 2, 4]})]),
    )
    y = net.add("conv", "d", [x], conv_attrs(2, padding=SAME, groups=4), {"kernel": WEIGHTS[3, 3, 1, 4]})
    y = typed(net, net.add("conv", "p", [typed(net, y)], conv_attrs(2), {"kernel": WEIGHTS[1, 1, 4, 4]}))
    x = typed(net, net.add("add", "sum", [x, y]))
    x = net.add("max_pool", "max", [x], pool_attrs((2, 2), strides=(2, 2)))
    mean = {**pool_attrs((2, 2), padding=SAME), "count_padding": False, "divisor": None}
    x = typed(net, net.add("average_pool", "mean", [x], mean))
    return net.build([net.add("dense", "fc", [x], {}, {"kernel": WEIGHTS[4, 3]})])


def attention(n: int) -> Network:
    """Queries, keys and values of a sequence, their products and a softmax over it."""
    net = NetworkBuilder("attention")
    x = quantised_input(net, (n, 4), "s4.2")
    q, k, v = (typed(net, net.add("dense", name, [x], {}, {"kernel": WEIGHTS[4, 4]}), "s5.2") for name in "qkv")
    scores = typed(net, net.add("matmul", "qk", [q, net.add("transpose", "t", [k], {"perm": (1, 0)})]), "s6.2")
    output = Quantiser.of_type(FixedType.parse("u6.6"), Rounding.RND, Overflow.SAT)
    share = net.add("softmax", "softmax", [scores], {"axis": 1, "output": output, "tables": None})
    return net.build([net.add("matmul", "av", [share, v])])


def sequence(kind: str) -> Callable[[int], Network]:
    def network(n: int) -> Network:
        layer = {"rnn": recurrent.SimpleRnn(), "lstm": recurrent.Lstm(), "gru": recurrent.Gru()}[kind]
        attrs = {"activation": recurrent.TANH} if kind == "rnn" else {}
        return recurrent._example(layer, "sequence", (n, 2), attrs).network

    return network


def program_of(network: Network) -> Program:
    return simplify(lower(network, input_quantisers(network)))


def ops(program: Program) -> int:
    return sum(len(kernel) for kernel in program.kernels.values())


@pytest.mark.parametrize(
    "network", [image, *map(sequence, ("rnn", "lstm", "gru"))], ids=["image", "rnn", "lstm", "gru"]
)
def test_ops_and_code_do_not_grow_with_the_input(network) -> None:
    # At sizes below, a pooling's border and inside are as many as its positions.
    small, large = (program_of(network(n)) for n in (16, 48))
    assert ops(small) == ops(large)
    assert len(small.kernels) == len(large.kernels)


def test_the_emulators_code_does_not_grow_with_the_image() -> None:
    small, large = (assemble(program_of(image(n)), this_host()).kernels for n in (16, 48))
    assert large.count("\n  %v") == small.count("\n  %v")


def test_attention_grows_with_the_sequence_and_not_with_its_square() -> None:
    """A softmax over n scores and sums of n products are kernels of n terms; scores of all pairs are positions."""
    small, large = (ops(program_of(attention(n))) for n in (8, 32))
    assert large < 4.2 * small


def test_a_large_program_runs_in_parts_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    program = program_of(image(8))
    codes = [RNG.integers(*program.port_range(program.inputs[0]), endpoint=True, size=(9, 128))]
    whole = interpreter.run(program, codes)[0]
    for elements, values in ((1, 1), (5000, 700)):
        monkeypatch.setattr(interpreter, "_MOST_ELEMENTS", elements)
        monkeypatch.setattr(interpreter, "_MOST_VALUES", values)
        np.testing.assert_array_equal(interpreter.run(program, codes)[0], whole)


def test_passes_take_seconds_for_a_million_terms() -> None:
    """1,000 neurons of 1,000 inputs, each twice, so that equal ones are found."""
    rows = RNG.integers(-127, 128, (500, 1000))
    b = KernelBuilder("large", [-128] * 1000, [127] * 1000)
    kernel = b.build([b.linear(range(1000), row.tolist(), 1) for row in (*rows, *rows)])
    assert len(kernel.term_arg) > 990_000
    small = KernelBuilder("small", [0], [1]).build([0])
    for step in (narrow.narrow, cse.cse, dce.dce):
        step(small)  # compiled once, which is not what is measured
    begin = time.process_time()
    kernel = dce.dce(cse.cse(narrow.narrow(kernel)))
    assert time.process_time() - begin < 2.0
    assert len(kernel) == 1500
