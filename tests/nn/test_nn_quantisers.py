"""Quantisers: what they learn, follow and prune, and that training, evaluation and design round alike."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import hardwire as hw
from hardwire import nn
from hardwire.errors import ModelError
from hardwire.fixed import Overflow, Rounding
from hardwire.nn.quantisers import (
    Average,
    Binary,
    Fixed,
    LearnedBound,
    LearnedRange,
    LearnedStep,
    LearnedWeight,
    Noise,
    Percentile,
    PowerOfTwo,
    Soft,
    Stochastic,
    Ternary,
    Widest,
    granules,
)
from hardwire.nn.quantisers.learned import magnitude
from hardwire.nn.quantisers.ranges import extent

LN2 = math.log(2.0)
GRANULARITY = ("tensor", "channel", "element")


def _error(quantiser: nn.quantisers.Quantiser, x: torch.Tensor) -> torch.Tensor:
    """Mean squared rounding error, with its gradients by the quantiser's parameters."""
    quantiser.zero_grad()
    loss = (quantiser(x) - x).square().mean()
    loss.backward()
    return loss.detach()


def _uniform(low: float, high: float, count: int = 40001) -> torch.Tensor:
    return torch.linspace(low, high, count)[:, None]


# Gradients.


@pytest.mark.parametrize("f", [0.0, 2.0, 3.3])
@pytest.mark.parametrize("rounding", [Rounding.RND, Rounding.TRN, Rounding.RND_CONV])
@pytest.mark.parametrize("kind", [LearnedWeight, LearnedRange])
def test_gradient_of_the_width_is_that_of_the_expected_error(kind, rounding, f):
    """A uniform value's squared error is 4^-f / 12 rounded to nearest, 4^-f / 3 rounded down."""
    q = kind((1,), "tensor", bits=f, rounding=rounding)
    loss = _error(q, _uniform(-4.0, 4.0, 160001))

    def expected(f: float) -> float:
        return 4.0**-f / (3.0 if rounding is Rounding.TRN else 12.0)

    used = round(f)
    assert float(loss) == pytest.approx(expected(used), rel=1e-3)
    difference = (expected(used + 0.01) - expected(used - 0.01)) / 0.02
    assert float(q.f.grad) == pytest.approx(difference, rel=1e-3)


def test_gradient_of_the_bound_is_that_of_the_expected_error():
    """Clipped at B = 2^i, a value uniform in [0, 4] loses (4 - B)³ / 12 on average."""
    q = LearnedBound((1,), bits=10.0, integer=1.0)
    loss = _error(q, _uniform(0.0, 4.0))

    def expected(i: float) -> float:
        return (4.0 - 2.0**i) ** 3 / 12.0

    assert float(loss) == pytest.approx(expected(1.0), rel=1e-2)
    assert float(q.i.grad) == pytest.approx((expected(1.01) - expected(0.99)) / 0.02, rel=1e-2)
    inside = LearnedBound((1,), bits=3.0, integer=2.0)
    _error(inside, _uniform(0.0, 3.9))
    assert float(inside.i.grad) == 0.0
    assert float(inside.f.grad) == pytest.approx(-2.0 * LN2 * 4.0**-3 / 12.0, rel=2e-2)


@pytest.mark.parametrize("overflow", [Overflow.SAT, Overflow.WRAP])
@pytest.mark.parametrize("signed", [False, True])
def test_a_bound_learns_the_range_of_its_data(overflow, signed):
    q = LearnedBound((1,), bits=4.0, integer=-1.0, signed=signed, overflow=overflow)
    x = _uniform(-3.9 if signed else 0.0, 3.8, 1001)
    optimiser = torch.optim.SGD(q.parameters(), lr=0.1)
    for _ in range(60):
        _error(q, x)
        optimiser.step()
    assert float(q.i.detach().round()) == 2.0
    assert float((q(x) - x).detach().abs().max()) <= 2.0 ** -float(q.f.detach().round())


def test_gradient_of_a_learnt_step_is_that_of_the_expected_error():
    """Step size and clipping together, against differences of the exact error of neighbouring real steps.

    LSQ's estimate leaves out how the error goes with the value, so the steps here are below the data's width.
    """
    torch.manual_seed(0)
    x = torch.randn(200_000, 1)
    for bits, f in ((3, 1.0), (4, 1.0), (4, 2.0), (6, 3.0), (6, 4.0)):
        q = LearnedStep((1,), bits)
        q(x[:100])
        q.f.data.fill_(f)
        _error(q, x)

        def expected(f: float, top: int = 2 ** (bits - 1)) -> float:
            return float(((x * 2**f).round().clamp(-top, top - 1) * 2**-f - x).square().mean())

        found = float(q.f.grad) * math.sqrt(len(x) * (2 ** (bits - 1) - 1))
        assert found == pytest.approx((expected(f + 0.02) - expected(f - 0.02)) / 0.04, rel=0.2, abs=1e-4), (bits, f)


def test_a_learnt_step_starts_near_its_data_and_stays_in_its_bits():
    torch.manual_seed(0)
    q = LearnedStep((3,), 5, "channel")
    x = torch.randn(4000, 3) * torch.tensor([0.1, 1.0, 10.0])
    assert float(((q(x) - x).square().mean(0) / x.square().mean(0)).detach().max()) < 0.03
    assert q.f.round().tolist() == sorted(q.f.round().tolist(), reverse=True)
    grid = q.grid()
    assert grid.lo.tolist() == [-16.0] * 3
    assert q.bits().tolist() == [5.0] * 3
    with pytest.raises(ModelError, match="LearnedStep: 1 bits; 2 to 24"):
        LearnedStep((3,), 1)


@pytest.mark.parametrize("granularity", GRANULARITY)
def test_gradients_of_bits_and_fraction_by_granule(granularity):
    torch.manual_seed(0)
    w = torch.randn(3, 5)
    q = LearnedWeight((3, 5), granularity, bits=4.0)
    q(w)
    assert q.bits().shape == q.f.shape == granules((3, 5), granularity, 0)
    shared = [k for k in range(2) if q.f.shape[k] == 1]
    most = w.abs().amax(shared, keepdim=True) if shared else w.abs()
    codes = (most * 16).round()
    assert torch.equal(q.bits(), torch.ceil(torch.log2(codes + 1)))
    (q.bits() * 3.0).sum().backward()
    assert torch.equal(q.f.grad, 3.0 * (codes > 0))
    q.f.grad = None
    q.fraction().sum().backward()
    assert torch.equal(q.f.grad, torch.ones_like(q.f))
    r = LearnedRange((3, 5), granularity, bits=4.0)
    r(torch.randn(50, 3, 5))
    r.bits().sum().backward()
    assert torch.equal(r.f.grad, torch.ones_like(r.f))


# Zero bits.


def test_zero_bits_prune_and_come_back():
    w = torch.nn.Parameter(torch.tensor([[0.3, -0.7, 0.2]]))
    q = LearnedWeight((1, 3), bits=4.0)
    assert torch.equal(q(w) != 0, torch.tensor([[True, True, True]]))
    q.f.data[0, 0] = -2.0
    assert float(q(w).detach()[0, 0]) == 0.0
    assert q.bits()[0, 0] == 0.0
    q.bits().sum().backward()
    assert float(q.f.grad[0, 0]) == 0.0  # what is pruned costs nothing more to prune
    optimiser = torch.optim.SGD([w, q.f], lr=0.3)
    for _ in range(40):
        optimiser.zero_grad()
        (q(w) - torch.tensor([[0.5, -0.7, 0.2]])).square().sum().backward()
        optimiser.step()
    assert abs(float(q(w).detach()[0, 0]) - 0.5) < 0.2


def test_a_granule_of_activations_without_bits_is_zero_and_comes_back():
    q = LearnedRange((2,), bits=3.0)
    x = torch.rand(100, 2) * 3
    q(x)
    q.f.data[0] = -6.0
    y = q(x)
    assert torch.equal(y[:, 0], torch.zeros(100))
    assert q.bits().tolist() == [0.0, 5.0]
    assert q.frozen().bits.tolist() == [0, 5]
    (y[:, 0] - x[:, 0]).square().mean().backward()
    assert float(q.f.grad[0]) < 0.0  # descent widens it


# Ranges.


@given(
    st.lists(st.floats(-300, 300, width=32, allow_subnormal=False), min_size=1, max_size=20),
    st.integers(-6, 10),
    st.sampled_from(list(Rounding)),
    st.sampled_from([Overflow.WRAP, Overflow.SAT, Overflow.SAT_SYM, Overflow.SAT_ZERO]),
)
@settings(max_examples=200)
def test_the_type_holds_what_was_seen_and_no_bit_more(values, f, rounding, overflow):
    q = LearnedRange((1,), bits=f, rounding=rounding, overflow=overflow)
    x = torch.tensor(values)[:, None]
    y = q(x)
    codes = (y * 2.0**f).detach().double()
    if overflow is not Overflow.SAT_SYM:
        np.testing.assert_array_equal(codes, hw.fixed.round_real(x.double().numpy() * 2.0**f, rounding))
    q.eval()
    assert torch.equal(q(x), y)
    frozen = q.frozen()
    np.testing.assert_array_equal(frozen(x.double().numpy()), y.double().detach().numpy())
    seen = hw.fixed.round_real(np.append(x.double().numpy(), 0.0) * 2.0**f, rounding)
    bits = hw.fixed.width_of(int(seen.min()), int(seen.max()))
    assert float(q.bits().detach()) == bits == frozen.bits.max()


def test_bits_of_wide_codes_are_counted_exactly():
    """A float32 logarithm takes 2^23 + 1 for 2^23."""
    codes = torch.tensor([0.0, 1, 2, 3, 4, 2**22 + 1, 2**23 - 1, 2**23, 2**23 + 1, 2**24 - 1])
    assert magnitude(codes).tolist() == [0, 1, 2, 2, 3, 23, 23, 24, 24, 24]
    q = LearnedRange((1,), bits=0.0)
    q(torch.tensor([[2.0**23 + 1]]))
    assert float(q.bits().detach()) == 24


def test_codes_stay_exact_in_the_float_type():
    q = LearnedRange((2,), bits=18.0)
    q(torch.tensor([[1000.0, 0.5]]))
    q.eval()
    assert q.f.tolist() == [14.0, 18.0]
    assert q.frozen().bits.tolist() == [24, 18]
    wide = LearnedRange((2,), bits=18.0).double()
    wide(torch.tensor([[1000.0, 0.5]]).double())
    assert wide.eval().f.tolist() == [18.0, 18.0]
    step = LearnedBound((1,), bits=16.0, integer=12.0)
    with pytest.raises(ModelError, match=r"LearnedBound: codes up to .* are not exact in torch\.float32"):
        step.eval()


def test_trackers_follow_ranges():
    x = torch.cat([torch.rand(999, 1), torch.tensor([[100.0]])])
    widest, average, share = (
        LearnedRange((1,), overflow=Overflow.SAT, tracker=t)
        for t in (Widest(0.5), Average(0.9), Percentile(0.9, inside=0.98))
    )
    for q in (widest, average, share):
        q(x)
    assert float(widest.high) == float(average.high) == 100.0
    assert 0.98 < float(share.high) <= 1.0
    for q in (widest, average, share):
        q(x[:999])
    assert float(widest.high) == pytest.approx(50.0)
    assert float(average.high) == pytest.approx(90.1, abs=0.1)
    with pytest.raises(ModelError, match="Average leaves values out, which WRAP would turn over"):
        LearnedRange((1,), tracker=Average())
    with pytest.raises(ModelError, match=r"Percentile: inside=1\.5"):
        Percentile(inside=1.5)


@given(st.integers(1, 70), st.integers(1, 40), st.integers(0, 2**31))
@settings(max_examples=60)
def test_extent_is_the_least_and_greatest_of_each_granule(rows, columns, seed):
    x = torch.as_tensor(np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32))
    for shape, axes in (((columns,), (0,)), ((1,), (0, 1)), ((1, columns), (0,)), ((rows, 1), (1,)), (x.shape, ())):
        low, high = extent(x, shape)
        assert tuple(low.shape) == tuple(high.shape) == tuple(shape)
        np.testing.assert_array_equal(low.numpy().ravel(), np.min(x.numpy(), axes).ravel())
        np.testing.assert_array_equal(high.numpy().ravel(), np.max(x.numpy(), axes).ravel())


def test_values_pass_while_warming_up():
    q = LearnedRange((2,), bits=1.0, warmup=2)
    x = torch.randn(8, 2)
    assert torch.equal(q(x), x)
    again = LearnedRange((2,), bits=1.0, warmup=2)
    again.load_state_dict(q.state_dict())  # a training that resumes goes on warming up
    assert torch.equal(again(x), x)
    assert not torch.equal(again(x), x)
    assert not torch.equal(LearnedRange((2,), bits=1.0, warmup=2).eval()(x), x)


# Estimators.


@pytest.mark.parametrize("rounding", [Rounding.RND, Rounding.TRN])
def test_a_soft_staircase_rises_as_far_as_the_exact_one(rounding):
    x = torch.linspace(0.0, 4.0, 4001)[:-1, None].requires_grad_()
    q = Fixed("u6.0", rounding, estimator=Soft(6.0))
    q(x).sum().backward()
    assert float(x.grad.mean()) == pytest.approx(1.0, rel=1e-3)
    step = 0.5 if rounding is Rounding.RND else 1.0
    assert float(x.grad[(x - step).abs() < 0.05].min()) > 2.5 > 0.2 > float(x.grad[(x - step - 0.5).abs() < 0.05].max())
    assert torch.equal(q(x), Fixed("u6.0", rounding)(x))


@pytest.mark.parametrize("estimator", [Noise(), Stochastic()])
def test_noisy_training_has_no_bias_and_evaluation_is_exact(estimator):
    torch.manual_seed(0)
    q = LearnedRange((1,), bits=1.0, estimator=estimator)
    x = torch.full((40_000, 1), 0.8)
    x[0] = 3.0
    y = q(x).detach()
    assert float(y[1:].mean()) == pytest.approx(0.8, abs=5e-3)
    on_grid = (y * 2 == (y * 2).round()).all()
    assert bool(on_grid) is isinstance(estimator, Stochastic)
    exact = LearnedRange((1,), bits=1.0)
    exact(x)
    assert torch.equal(q.eval()(x), exact.eval()(x))


# Few digits.


def test_powers_of_two():
    q = PowerOfTwo((1, 9), lowest=-3, highest=1)
    w = torch.tensor([[0.7, 0.76, -1.49, -1.5, 0.06, 0.0625, 0.1, 5.0, 0.0]], requires_grad=True)
    assert q(w).tolist() == [[0.5, 1.0, -1.0, -2.0, 0.0, 0.125, 0.125, 2.0, 0.0]]
    q(w).sum().backward()
    assert w.grad.tolist() == [[1, 1, 1, 1, 1, 1, 1, 0, 1]]
    assert q.bits().tolist() == [[1, 1, 1, 1, 0, 1, 1, 1, 0]]
    two = PowerOfTwo((1, 4), lowest=-4, highest=2, terms=2)
    assert two(torch.tensor([[0.7, 3.0, -1.55, 0.5]])).tolist() == [[0.75, 3.0, -1.5, 0.5]]
    assert two.bits().tolist() == [[2, 2, 2, 1]]
    with pytest.raises(ModelError, match="exponents from 2 to 1"):
        PowerOfTwo((1,), 2, 1)


def test_ternary_weights_are_nearest_with_the_threshold_of_li():
    torch.manual_seed(0)
    w = torch.randn(4, 400) * torch.tensor([[0.1], [0.5], [1.0], [3.0]])
    q = Ternary((4, 400))
    y = q(w)
    for row, given_ in zip(y, w, strict=True):
        kept = given_.abs() > 0.7 * given_.abs().mean()
        assert torch.equal(row != 0, kept)
        scale = float(row.max())
        assert math.log2(scale) == round(math.log2(scale))
        assert 2 / 3 <= float(given_.abs()[kept].mean()) / scale <= 1.5
        assert sorted(set(row.tolist())) == [-scale, 0.0, scale]
    assert not q.threshold.requires_grad


def test_a_learnt_threshold_goes_where_the_loss_wants_it():
    torch.manual_seed(0)
    w = torch.randn(1, 2000)
    q = Ternary((1, 2000), learned=True)
    before = float((q(w) == 0).float().mean())
    optimiser = torch.optim.SGD(q.parameters(), lr=0.2)
    for _ in range(20):
        optimiser.zero_grad()
        q(w).abs().mean().backward()
        optimiser.step()
    assert float((q(w) == 0).float().mean()) > before + 0.1


def test_binary_weights():
    w = torch.tensor([[0.3, -0.2, 0.0], [-3.0, 5.0, 2.5]], requires_grad=True)
    q = Binary((2, 3))
    assert q(w).tolist() == [[0.125, -0.125, 0.125], [-4, 4, 4]]
    q(w).sum().backward()
    assert torch.equal(w.grad, torch.ones(2, 3))
    assert q.bits().tolist() == [[1.0] * 3] * 2


def test_quantisers_of_weights_refuse_what_the_design_computes():
    with pytest.raises(hw.errors.UnsupportedError, match="LearnedWeight rounds weights"):
        hw.compile(torch.nn.Sequential(LearnedWeight((3,))), example=np.zeros((1, 3), np.float32))


# Layers.


def _learned(**parts):
    return dataclasses.replace(nn.Scheme.learned(5.0), **parts)


@pytest.mark.parametrize(
    "scheme",
    [
        _learned(weight=lambda s: PowerOfTwo(s, -5, 0, terms=2)),
        _learned(weight=Ternary, output=lambda s: Fixed("s7.3", rank=len(s), overflow=Overflow.WRAP)),
        _learned(weight=Binary, output=lambda s: Fixed("s6.2", rank=len(s), overflow=Overflow.SAT_SYM)),
        _learned(
            input=lambda s: LearnedBound(s, bits=3.0, signed=True),
            weight=lambda s: LearnedStep(s, 4, "channel", 0),
            output=lambda s: LearnedBound(s, "channel", bits=3.0, signed=True, overflow=Overflow.WRAP),
        ),
        _learned(
            input=lambda s: LearnedRange(s, bits=4.0, overflow=Overflow.SAT, tracker=Percentile(inside=0.95)),
            output=lambda s: LearnedRange(s, "tensor", bits=4.0, decay=0.01, rounding=Rounding.TRN),
        ),
    ],
    ids=["powers", "ternary", "binary", "bounds", "tracked"],
)
def test_training_forward_is_the_compiled_design(scheme):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 4)).astype(np.float32)
    y = torch.as_tensor((x[:, 0] * x[:, 1] > 0).astype(np.int64))
    model = torch.nn.Sequential(nn.Dense(4, 6, scheme=scheme), torch.nn.ReLU(), nn.Dense(6, 2, scheme=scheme))
    model(torch.as_tensor(x))  # what starts from the first batch has parameters
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(model(torch.as_tensor(x)), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert min(losses[-3:]) < losses[0]
    for layer in model[::2]:
        products = next(iter(layer.work()))
        assert torch.isfinite(products.weight).all()
        assert (products.weight_bits >= 0).all()
    design = hw.compile(model, example=x[:1])
    model.eval()
    held_out = 3 * rng.normal(size=(1000, 4)).astype(np.float32)
    with torch.no_grad():
        wanted = model(torch.as_tensor(held_out)).numpy()
    np.testing.assert_array_equal(design.predict(held_out), wanted)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by torch.compile itself
def test_a_compiled_step_is_the_eager_one():
    """The layers trace without a break (here without a C++ compiler: `aot_eager`)."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(nn.Dense(4, 6), torch.nn.ReLU(), nn.Dense(6, 2))
    twin = torch.nn.Sequential(nn.Dense(4, 6), torch.nn.ReLU(), nn.Dense(6, 2))
    twin.load_state_dict(model.state_dict())
    compiled = torch.compile(twin, backend="aot_eager", fullgraph=True)
    for _ in range(2):
        x = torch.randn(64, 4)
        results = []
        for run, owner in ((model, model), (compiled, twin)):
            owner.zero_grad()
            y = run(x)
            y.square().sum().backward()
            results.append([y.detach(), *(p.grad for p in owner.parameters()), *owner.buffers()])
        for eager, traced in zip(*results, strict=True):
            torch.testing.assert_close(eager, traced)
