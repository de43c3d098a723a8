"""Unsigned adder graphs: the meaning stays, and sign extensions go where a bias can take the offsets back."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.ir.builder import KernelBuilder
from hardwire.ir.interpreter import run_kernel, values_of
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.ir.verify import verify_kernel
from hardwire.passes.offset_sums import offset_sums
from hardwire.passes.pipelines import CLEANUP, run_passes
from hardwire.passes.shift_add import shift_add
from hardwire.proof.forms import Atoms, forms_of
from hardwire.solver import solve_cached
from random_kernels import kernels, samples


def solve(matrix, lo, hi, depth):  # type: ignore[no-untyped-def]
    return solve_cached(matrix, lo=lo, hi=hi, input_depth=depth, effort=0)


def check(kernel: Kernel) -> Kernel:
    changed = offset_sums(kernel)
    verify_kernel(changed)
    x = samples(kernel)
    assert np.array_equal(run_kernel(changed, x), run_kernel(kernel, x))
    values = values_of(changed, x)
    assert np.all((values >= changed.lo[:, None]) & (values <= changed.hi[:, None]))
    atoms = Atoms(list(zip(kernel.lo[: kernel.n_inputs].tolist(), kernel.hi[: kernel.n_inputs].tolist(), strict=True)))
    wanted, found = forms_of(kernel, atoms), forms_of(changed, atoms)
    assert [wanted[k] for k in kernel.outputs] == [found[k] for k in changed.outputs]
    return changed


@given(kernels())
def test_any_kernel_keeps_its_meaning(kernel: Kernel) -> None:
    check(run_passes(shift_add(kernel, solve), CLEANUP))


@given(kernels(max_ops=40, kinds=("add", "sub", "add", "sub", "const", "clamp", "shl")))
@settings(max_examples=200)
def test_adder_graphs_keep_their_meaning(kernel: Kernel) -> None:
    check(run_passes(kernel, CLEANUP))


@st.composite
def layers(draw: st.DrawFn) -> Kernel:
    """Two dense layers with biases and a ReLU between."""
    sizes = [draw(st.integers(1, 6)) for _ in range(3)]
    builder = KernelBuilder("layers", [-16] * sizes[0], [15] * sizes[0])
    values = list(range(sizes[0]))
    weight = st.integers(-20, 20)
    for size in sizes[1:]:
        sums = [builder.linear(values, [draw(weight) for _ in values], draw(st.integers(-60, 60))) for _ in range(size)]
        values = [builder.clamp(v, 0, max(builder.range(v)[1], 0)) for v in sums] if size is sizes[1] else sums
    return builder.build(values)


@given(layers())
def test_layers_have_no_sign_inside(kernel: Kernel) -> None:
    """Every operand that is not on the way from the constant to its neuron is unsigned."""
    solved = run_passes(shift_add(kernel, solve), CLEANUP)
    changed = run_passes(check(solved), CLEANUP)
    assert len(changed) <= 3 * len(solved) + 2


def test_the_sign_extension_of_a_neuron_goes() -> None:
    """(a - 8b) + 64c + 5 of signed inputs: inside, nothing is signed, and no adder is added."""
    builder = KernelBuilder("neuron", [-8] * 3, [7] * 3)
    first = builder.sub(0, 1, 0, 3)
    total = builder.add(builder.add(first, 2, 0, 6), builder.const(5))
    kernel = builder.build([builder.clamp(total, 0, 1000)])
    changed = run_passes(check(kernel), CLEANUP)
    inner = [
        op
        for op in changed
        if op.code in (OpCode.ADD, OpCode.SUB) and not any(changed[arg].lo == changed[arg].hi for arg in op.args)
    ]
    assert len(inner) == 2
    assert all(op.lo >= 0 for op in inner)


def test_a_sum_without_a_constant_stays() -> None:
    builder = KernelBuilder("sum", [-8] * 2, [7] * 2)
    kernel = builder.build([builder.sub(0, 1, 0, 3)])
    changed = check(kernel)
    assert [op.code for op in changed] == [op.code for op in kernel]
