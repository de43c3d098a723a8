"""Bounds by linear relaxation hold for every input, and are nearer than intervals where correlations count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.fixed import Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.interpreter import values_of
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.ir.relaxation import relaxed_ranges
from random_kernels import kernels, samples


def assert_holds(kernel: Kernel, x: np.ndarray) -> None:
    lo, hi = relaxed_ranges(kernel)
    values = values_of(kernel, x)
    assert np.all(lo <= hi)
    assert np.all((lo >= kernel.lo) & (hi <= kernel.hi))  # The builder's ranges are the rules'.
    assert np.all((values >= lo[:, None]) & (values <= hi[:, None]))


@given(
    st.one_of(
        kernels(),
        kernels(kinds=("linear", "add", "sub", "shl", "clamp", "round", "min", "max"), max_bits=5),
        kernels(kinds=("linear", "clamp", "round", "wrap"), max_bits=30),
    )
)
@settings(max_examples=150, deadline=None)
def test_no_value_leaves_its_bounds(kernel: Kernel) -> None:
    assert_holds(kernel, samples(kernel, 400))


def relu_network(draw: np.random.Generator, sizes: tuple[int, ...], top: int, shift: int, mode: Rounding) -> Kernel:
    b = KernelBuilder("net", [-4] * sizes[0], [3] * sizes[0])
    layer = list(range(sizes[0]))
    for size in sizes[1:]:
        rows = draw.integers(-6, 7, (size, len(layer))).tolist()
        layer = [b.linear(layer, row, int(draw.integers(-20, 20))) for row in rows]
        last = layer
        layer = [b.round(b.clamp(v, 0, max(top, 0)), shift, mode) for v in layer]
    return b.build(last)


@given(
    st.integers(0, 10_000),
    st.sampled_from([(2, 3, 2), (3, 4, 3, 2), (2, 3, 3, 3, 2)]),
    st.sampled_from([20, 60, 1 << 20]),
    st.integers(0, 3),
    st.sampled_from(Rounding),
)
@settings(max_examples=80, deadline=None)
def test_bounds_of_relu_networks_hold_on_every_input(
    seed: int, sizes: tuple[int, ...], top: int, shift: int, mode: Rounding
) -> None:
    kernel = relu_network(np.random.default_rng(seed), sizes, top, shift, mode)
    grid = np.stack(np.meshgrid(*[np.arange(-4, 4)] * sizes[0], indexing="ij"), axis=-1)
    assert_holds(kernel, grid.reshape(-1, sizes[0]))


def test_relu_networks_are_bounded_nearer_than_by_intervals() -> None:
    kernel = relu_network(np.random.default_rng(1), (8, 16, 16, 8), 1 << 20, 2, Rounding.TRN)
    lo, hi = relaxed_ranges(kernel)
    out = kernel.outputs
    assert np.all(hi[out] - lo[out] < 0.8 * (kernel.hi[out] - kernel.lo[out]))


def test_what_a_sum_of_sums_has_in_common_cancels() -> None:
    b = KernelBuilder("k", [-8, -8], [7, 7])
    first, second = b.linear([0, 1], [5, 3]), b.linear([0, 1], [-5, 2], 1)
    kernel = b.build([b.add(first, second)])
    lo, hi = relaxed_ranges(kernel)
    assert (lo[4], hi[4]) == (-39, 36)


def test_a_relu_that_is_never_active_is_found() -> None:
    """x - relu(x) is never above 0, whatever the intervals say."""
    b = KernelBuilder("k", [-8], [7])
    relu = b.clamp(b.linear([0], [3]), 0, 100)
    kernel = b.build([b.clamp(b.linear([0, relu], [3, -1]), 0, 100)])
    assert kernel.hi[-1] > 0
    lo, hi = relaxed_ranges(kernel)
    assert (lo[-1], hi[-1]) == (0, 0)


def test_the_work_is_limited() -> None:
    kernel = relu_network(np.random.default_rng(1), (8, 16, 16, 8), 1 << 20, 2, Rounding.TRN)
    lo, hi = relaxed_ranges(kernel, work=0)
    assert np.array_equal(lo, kernel.lo)
    assert np.array_equal(hi, kernel.hi)
    nearer, _ = relaxed_ranges(kernel)
    assert np.any(nearer > kernel.lo)


@pytest.mark.parametrize("mode", Rounding)
def test_a_rounding_stays_between_its_lines(mode: Rounding) -> None:
    """`4·round(x / 4) - x` is bounded by a step, not by the range of x."""
    b = KernelBuilder("k", [-100], [100])
    kernel = b.build([b.sub(b.round(0, 2, mode), 0, 2, 0)])
    lo, hi = relaxed_ranges(kernel)
    assert kernel[2].code is OpCode.SUB
    assert -4 <= lo[2] <= hi[2] <= 4
    assert_holds(kernel, np.arange(-100, 101)[:, None])
