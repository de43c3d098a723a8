"""What stands behind a neuron: roundings before clamps, halves in biases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardwire.fixed import Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.interpreter import run_kernel, values_of
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.passes.absorb_rounding import absorb_rounding
from hardwire.passes.pipelines import CLEANUP, run_passes
from hardwire.passes.round_first import round_first
from hardwire.proof.forms import Atoms, forms_of
from random_kernels import kernels, samples

BEHIND = (*CLEANUP, round_first, *CLEANUP, absorb_rounding, *CLEANUP)


@st.composite
def chains(draw: st.DrawFn) -> Kernel:
    """Neurons whose terms share a power of two, then shifts, clamps and roundings in any order."""
    count = draw(st.integers(1, 3))
    builder = KernelBuilder("chain", [-8] * count, [7] * count)
    outputs = []
    for _ in range(draw(st.integers(1, 3))):
        unit = 1 << draw(st.integers(0, 6))
        coefs = [unit * draw(st.integers(-5, 5)) for _ in range(count)]
        value = builder.linear(list(range(count)), coefs, draw(st.integers(-70, 70)))
        for kind in draw(st.lists(st.sampled_from(["shl", "clamp", "relu", "round", "wrap", "used"]), max_size=6)):
            if kind == "shl":
                value = builder.shl(value, draw(st.integers(0, 4)))
            elif kind == "clamp":
                low, high = sorted((draw(st.integers(-300, 300)), draw(st.integers(-300, 300))))
                value = builder.clamp(value, low, high)
            elif kind == "relu":
                value = builder.clamp(value, 0, max(builder.range(value)[1], 0))
            elif kind == "round":
                value = builder.round(value, draw(st.integers(0, 7)), draw(st.sampled_from(Rounding)))
            elif kind == "wrap":
                value = builder.wrap(value, draw(st.integers(1, 8)), draw(st.booleans()))
            else:
                outputs.append(value)
        outputs.append(value)
    return builder.build(outputs)


@given(chains())
def test_chains_keep_their_meaning_and_their_form(kernel: Kernel) -> None:
    changed = run_passes(kernel, BEHIND)
    grid = np.stack(np.meshgrid(*[np.arange(-8, 8)] * kernel.n_inputs, indexing="ij"), axis=-1)
    x = grid.reshape(-1, kernel.n_inputs)
    assert np.array_equal(run_kernel(changed, x), run_kernel(kernel, x))
    values = values_of(changed, x)
    assert np.all((values >= changed.lo[:, None]) & (values <= changed.hi[:, None]))
    atoms = Atoms(list(zip(kernel.lo[: kernel.n_inputs].tolist(), kernel.hi[: kernel.n_inputs].tolist(), strict=True)))
    wanted, found = forms_of(kernel, atoms), forms_of(changed, atoms)
    assert [wanted[k] for k in kernel.outputs] == [found[k] for k in changed.outputs]


@given(kernels())
def test_round_first_keeps_the_meaning(kernel: Kernel) -> None:
    changed = round_first(kernel)
    x = samples(kernel)
    assert np.array_equal(run_kernel(changed, x), run_kernel(kernel, x))
    values = values_of(changed, x)
    assert np.all((values >= changed.lo[:, None]) & (values <= changed.hi[:, None]))


@pytest.mark.parametrize("mode", [Rounding.RND, Rounding.RND_INF])
def test_the_half_passes_a_relu(mode: Rounding) -> None:
    """A neuron of 20 bits, shifted, clamped at zero, rounded and wrapped: no adder is left for the rounding."""
    builder = KernelBuilder("neuron", [-128, -128], [127, 127])
    neuron = builder.shl(builder.linear([0, 1], [77, -45], 9), 3)
    relu = builder.clamp(neuron, 0, builder.range(neuron)[1])
    kernel = builder.build([builder.wrap(builder.round(relu, 9, mode), 6, True)])
    changed = run_passes(kernel, BEHIND)
    assert [op.code for op in changed][2:] == [OpCode.LINEAR, OpCode.ROUND, OpCode.CLAMP, OpCode.WRAP]
    linear, rounding = changed[2], changed[3]
    assert (rounding.p, rounding.q) == (6, Rounding.TRN)
    assert linear.p == 9 + 32


def test_without_ties_every_rounding_to_nearest_is_half_up() -> None:
    """All terms are multiples of 4 and the bias is odd: no sum lies half-way, and the bias loses two bits."""
    builder = KernelBuilder("neuron", [-8, -8], [7, 7])
    neuron = builder.linear([0, 1], [12, -20], 5)
    kernel = builder.build([builder.round(neuron, 4, Rounding.RND_CONV)])
    changed = run_passes(kernel, BEHIND)
    linear, rounding = changed[2], changed[3]
    assert rounding.q == Rounding.TRN
    assert linear.p == 5 + 8 - 1
    x = samples(kernel)
    assert np.array_equal(run_kernel(changed, x), run_kernel(kernel, x))


def test_a_tie_to_even_clears_one_bit() -> None:
    """The half is in the bias; what is left of the rounding is a choice of the last bit, joined without an adder."""
    builder = KernelBuilder("neuron", [-8, -8], [7, 7])
    neuron = builder.linear([0, 1], [3, -5], 5)
    kernel = builder.build([builder.round(neuron, 4, Rounding.RND_CONV)])
    changed = run_passes(kernel, BEHIND)
    assert changed.count(OpCode.SELECT) == changed.count(OpCode.ADD) == 1
    assert set(changed.q[changed.op == OpCode.ROUND].tolist()) == {Rounding.TRN}
    x = samples(kernel)
    assert np.array_equal(run_kernel(changed, x), run_kernel(kernel, x))
