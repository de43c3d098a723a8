"""Fixed-point arithmetic on tensors: the compiler's, bit for bit, in every mode."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import hardwire as hw
from hardwire.errors import ModelError
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.nn.arithmetic import Grid, on_grid, rounded, through
from hardwire.nn.quantisers import Fixed, Stated
from hardwire.quantiser import Quantiser

MODES = list(itertools.product(Rounding, Overflow))
EXACT = {torch.float32: 24, torch.float64: 53}


@st.composite
def grids(draw):
    """Float type, compiler's quantiser and float64 values for it: ties, range ends, far outside, types by element."""
    dtype = draw(st.sampled_from(list(EXACT)))
    rounding, overflow = draw(st.sampled_from(MODES))
    rows, channels = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    shape = draw(st.sampled_from([(1, 1), (1, channels), (rows, channels)]))
    size = shape[0] * shape[1]
    limit = min(EXACT[dtype], 50)
    signed = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size))).reshape(shape)
    if overflow is Overflow.WRAP_SM:
        signed = np.ones(shape, bool)
    width = st.one_of(st.integers(0, 6), st.integers(0, limit))
    bits = np.array(draw(st.lists(width, min_size=size, max_size=size))).reshape(shape)
    frac = np.array(draw(st.lists(st.integers(-8, 20), min_size=size, max_size=size))).reshape(shape)
    frozen = Quantiser.of_arrays(signed, bits, frac, rounding, overflow)
    halves = st.integers(-40, 40).map(lambda k: k / 2)
    near = st.floats(-40, 40, width=32, allow_subnormal=False)
    edge = st.integers(-3, 3).map(lambda k: ("edge", k / 2))
    far = st.tuples(st.integers(-(2**24), 2**24), st.integers(0, 60)).map(lambda p: float(p[0]) * 2.0 ** p[1])
    drawn = draw(
        st.lists(st.one_of(halves, near, edge, far), min_size=rows * channels * 2, max_size=rows * channels * 2)
    )
    span = np.broadcast_to(np.stack([frozen.lo, frozen.hi]), (2, rows, channels)).astype(np.float64)
    codes = np.empty((2, rows, channels))
    for k, value in enumerate(drawn):
        where = np.unravel_index(k, codes.shape)
        codes[where] = span[where] + value[1] if isinstance(value, tuple) else value
    x = codes * np.broadcast_to(frozen.scale, (rows, channels))
    return dtype, frozen, torch.as_tensor(x).to(dtype)


def _grid(frozen: Quantiser, dtype: torch.dtype) -> Grid:
    scale, lo, hi = (torch.as_tensor(part).to(dtype) for part in (frozen.scale, frozen.lo, frozen.hi))
    return Grid(scale, lo, hi, frozen.rounding, frozen.overflow)


@given(grids())
@settings(max_examples=400)
def test_codes_are_those_of_the_compiler(case):
    dtype, frozen, x = case
    grid = _grid(frozen, dtype)
    y = on_grid(x, grid)
    assert y.dtype is dtype
    wanted = frozen.codes(x.double().numpy()) * frozen.scale
    np.testing.assert_array_equal(y.double().numpy(), wanted)
    back = grid.frozen()
    for name in ("scale", "lo", "hi"):
        np.testing.assert_array_equal(getattr(back, name), getattr(frozen, name))


@given(grids())
@settings(max_examples=100)
def test_training_and_exported_operator_give_the_same(case):
    dtype, frozen, x = case
    grid = _grid(frozen, dtype)
    wanted = on_grid(x, grid)
    operator = torch.ops.hardwire.quantise(x, *grid[:3], grid.rounding.name, grid.overflow.name)
    assert torch.equal(operator, wanted)
    if dtype is torch.float32:
        stated = Stated(frozen)
        assert torch.equal(stated(x), wanted.double())
        assert torch.equal(stated.eval()(x), wanted.double())


def _exactly(value: float, rounding: Rounding) -> int:
    exact = Fraction(value)
    below, above = math.floor(exact), math.ceil(exact)
    if rounding in (Rounding.TRN, Rounding.CEIL):
        return below if rounding is Rounding.TRN else above
    inward, outward = (below, above) if exact >= 0 else (above, below)
    if rounding in (Rounding.TRN_ZERO, Rounding.AWAY):
        return inward if rounding is Rounding.TRN_ZERO else outward
    if exact - below != Fraction(1, 2):
        return round(exact)
    ties = {Rounding.RND: above, Rounding.RND_MIN_INF: below, Rounding.RND_ZERO: inward, Rounding.RND_INF: outward}
    return ties.get(rounding, round(exact))


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("rounding", Rounding)
def test_rounding_next_to_ties(rounding, dtype):
    """0.49999997 + 0.5 is 1 in float32, and -0.49999999999999994 + 1 is 0.5: nothing may be added that rounds."""
    ties = torch.arange(-6, 7, dtype=dtype) / 2
    large = torch.tensor([2.0**22 + 0.5, 2.0**23 + 1, 2.0**24 - 1, 2.0**30, 1e30], dtype=dtype)
    x = torch.cat([ties, large, -large])
    x = torch.cat([x, *(torch.nextafter(x, torch.full_like(x, end)) for end in (-1e38, 1e38))])
    x = x[(x == 0) | (x.abs() > 1e-30)]
    assert rounded(x, rounding).tolist() == [_exactly(value, rounding) for value in x.tolist()]


def test_a_wrap_far_outside_stays_on_the_grid():
    """A difference from the lowest code would round: 2^25 + 4 + 2 is no float32."""
    x = torch.tensor([2.0**25 + 4, -(2.0**25) - 4, 2.0**40, -3e38, 3e38])
    for overflow in (Overflow.WRAP, Overflow.WRAP_SM):
        q = Fixed("s2.0", overflow=overflow)
        np.testing.assert_array_equal(q(x).numpy(), q.frozen()(x.double().numpy()))
    # The widest type that is exact: 2^25 - 1 is no float32, and must not come up on the way.
    x = torch.tensor([-1.0, 1.0, 2.0**23, -(2.0**23), 2.0**24 - 1, -(2.0**24) + 1])
    for overflow in (Overflow.WRAP, Overflow.WRAP_SM):
        q = Fixed("s24.0", overflow=overflow)
        np.testing.assert_array_equal(q(x).numpy(), q.frozen()(x.double().numpy()))
    # The gradient's detour through x - x must not cost bits of the result either.
    q = Fixed("s4.3", Rounding.CEIL, Overflow.WRAP)
    x = torch.tensor([100.3, 1e-7, -77.77], requires_grad=True)
    y = q(x)
    np.testing.assert_array_equal(y.detach().numpy(), q.frozen()(x.detach().double().numpy()))
    y.sum().backward()
    assert torch.equal(x.grad, torch.ones(3))


class _Modes(torch.nn.Module):
    """One fine quantiser, and behind it one of every mode and kind of granule."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = Fixed("s14.7", rank=2)
        rng = np.random.default_rng(0)
        made = []
        for (rounding, overflow), shape in zip(MODES, itertools.cycle([(1, 1), (1, 3), (2, 3)]), strict=False):
            signed = rng.integers(0, 2, shape).astype(bool) | (overflow is Overflow.WRAP_SM)
            bits, frac = rng.integers(0, 7, shape), rng.integers(-2, 6, shape)
            made.append(Stated(Quantiser.of_arrays(signed, bits, frac, rounding, overflow)))
        self.modes = torch.nn.ModuleList(made)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fine = self.fine(x)
        return torch.stack([mode(fine) for mode in self.modes], dim=1)


def test_every_mode_in_a_compiled_design_and_from_a_file(tmp_path):
    model = _Modes()
    rng = np.random.default_rng(1)
    x = (rng.integers(-(2**13), 2**13, (200, 2, 3)) / 2**7).astype(np.float32)
    x[:50] = rng.integers(-40, 40, (50, 2, 3)) / 2  # ties, at every scale
    with torch.no_grad():
        wanted = model(torch.as_tensor(x)).numpy()
    np.testing.assert_array_equal(hw.compile(model, example=x[:1]).predict(x), wanted)
    program = torch.export.export(
        model.eval(), (torch.as_tensor(x[:13]),), dynamic_shapes=({0: torch.export.Dim("batch", min=2)},)
    )
    path = tmp_path / "modes.pt2"
    torch.export.save(program, path)
    loaded = torch.export.load(path).module()(torch.as_tensor(x))
    np.testing.assert_array_equal(loaded.numpy(), wanted)
    np.testing.assert_array_equal(hw.compile(path).predict(x), wanted)


def test_through_takes_one_value_and_other_gradients():
    x = torch.randn(4, 3, requires_grad=True)
    p = torch.zeros(3, requires_grad=True)
    slope, by_p = torch.rand(4, 3), torch.randn(4, 3)
    y = through(x, torch.ones(4, 3), slope, (p, by_p))
    assert torch.equal(y, torch.ones(4, 3))
    seed = torch.randn(4, 3)
    y.backward(seed)
    torch.testing.assert_close(x.grad, seed * slope)
    torch.testing.assert_close(p.grad, (seed * by_p).sum(0) * float(np.log(2)))


def test_types_that_a_float_type_cannot_hold():
    wide = Fixed("s32.0")
    x = torch.tensor([3e9, -7.4])
    np.testing.assert_array_equal(wide(x).numpy(), [2.0**31 - 1, -7.0])
    assert wide.eval().frozen().hi == 2**31 - 1
    with pytest.raises(ModelError, match=r"s60\.0.*not exact in torch\.float64"):
        Fixed("s60.0")
    assert str(Fixed(FixedType(True, 8, 4))) == "Fixed(s8.4, RND, SAT)"
