"""LINEAR values over what their arguments are made from, and comparisons of neurons."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.ir.builder import KernelBuilder
from hardwire.ir.interpreter import run_kernel, values_of
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.passes.compose import compose
from hardwire.passes.pipelines import CLEANUP, run_passes
from random_kernels import kernels, samples


@given(st.one_of(kernels(), kernels(kinds=("linear", "shl", "less", "equal", "const"), max_bits=4)))
@settings(max_examples=120, deadline=None)
def test_composing_keeps_the_meaning(kernel: Kernel) -> None:
    changed = run_passes(kernel, (*CLEANUP, compose))
    x = samples(kernel)
    assert np.array_equal(run_kernel(changed, x), run_kernel(kernel, x))
    values = values_of(changed, x)
    assert np.all((values >= changed.lo[:, None]) & (values <= changed.hi[:, None]))


def test_bits_that_stand_for_signs_are_counted() -> None:
    """Four bits as ±1, summed and compared with 0: a count of bits below a constant, without bias or factor."""
    b = KernelBuilder("k", [0] * 4, [1] * 4)
    signs = [b.linear([v], [-2], 1) for v in range(4)]
    kernel = b.build([b.less(b.linear(signs, [1, -1, 1, 1]), b.const(1))])
    done = run_passes(kernel, (compose, *CLEANUP))
    neuron = next(op for op in done if op.code is OpCode.LINEAR)
    assert (neuron.coefs, neuron.p) == ((-1, 1, -1, -1), 0)
    assert done.count(OpCode.LINEAR) == 1
    x = np.stack(np.meshgrid(*[[0, 1]] * 4), axis=-1).reshape(-1, 4)
    assert np.array_equal(run_kernel(done, x), run_kernel(kernel, x))


def test_a_sum_that_never_meets_its_constant_is_constant() -> None:
    b = KernelBuilder("k", [-8, -8], [7, 7])
    kernel = b.build([b.equal(b.linear([0, 1], [6, -9], 1), b.const(12))])
    done = run_passes(kernel, (compose, *CLEANUP))
    assert done[int(done.outputs[0])].code is OpCode.CONST


def test_terms_of_one_value_are_one_term() -> None:
    b = KernelBuilder("k", [-8, 0], [7, 3])
    kernel = b.build([b.linear([b.shl(0, 3), 0, 1], [2, -16, 5], 3), b.linear([b.shl(0, 2), 0], [1, 1])])
    done = run_passes(kernel, (compose, *CLEANUP))
    first, second = (done[int(v)] for v in done.outputs)
    assert (first.args, first.coefs, first.p) == ((1,), (5,), 3)
    assert (second.args, second.coefs) == ((0,), (5,))


def test_a_neuron_that_others_read_keeps_its_bias() -> None:
    b = KernelBuilder("k", [-8, -8], [7, 7])
    neuron = b.linear([0, 1], [6, -9], 1)
    kernel = b.build([neuron, b.less(neuron, b.const(12))])
    assert compose(kernel)[2].p == 1
