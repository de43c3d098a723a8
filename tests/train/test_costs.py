"""What a model costs: values where they can be counted by hand, gradients, and errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hardwire as hw
from hardwire import nn
from hardwire.errors import HardwireError
from hardwire.fixed import Overflow, Rounding
from hardwire.nn.work import Casts, Lookups, Multiplications, Products
from hardwire.solver.csd import csd_weight
from hardwire.train.costs import Cost, Cycles, Ebops, Luts, Nanoseconds
from hardwire.train.costs._adders import digits_of

COSTS = [Ebops(), Luts("xcup-vu13p"), Luts("ecp5"), Luts("gowin-gw1nr9")]


def _products(weight: list[list[float]], bits: float = 4.0) -> Products:
    rows = torch.tensor(weight)
    magnitude = torch.where(rows != 0, torch.floor(torch.log2(rows.abs().clamp(min=1.0))) + 1.0, 0.0)
    wide = torch.full(rows.shape[1:], bits)
    return Products("dense", rows, magnitude.requires_grad_(), torch.zeros(rows.shape), wide.requires_grad_())


def test_digits_are_the_solvers():
    codes = np.concatenate([np.arange(-3000, 3000), 2 ** np.arange(28), -(2 ** np.arange(28)) + 1])
    assert [digits_of(abs(int(code))) for code in codes] == csd_weight(codes).tolist()


def test_ebops_are_the_products_of_bits():
    assert Ebops().products(_products([[3.0, 0.0, 1.0], [4.0, 1.0, 0.0]])).item() == (2 + 0 + 1 + 3 + 1 + 0) * 4


def test_single_terms_take_no_adder():
    luts = Luts("xcup-vu13p")
    assert luts.products(_products([[4.0, 0.0], [0.0, -1.0]])).item() == 0.0
    one = luts.products(_products([[1.0, 2.0]])).item()
    assert one > 0
    assert luts.products(_products([[1.0, 2.0, 8.0]])).item() > one
    # 7 = 8 - 1 and 5 = 4 + 1 have as many digits, 11 = 8 + 4 - 1 has one more.
    assert luts.products(_products([[7.0, 1.0]])).item() == luts.products(_products([[5.0, 1.0]])).item()
    assert luts.products(_products([[7.0, 1.0]])).item() < luts.products(_products([[11.0, 1.0]])).item()


def test_an_input_without_bits_is_free():
    luts = Luts()
    work = _products([[3.0, 5.0], [7.0, 1.0]], bits=0.0)
    assert luts.products(work).item() == 0.0


def test_tables_take_more_with_each_address_bit():
    luts = Luts()
    found = []
    for bits in range(1, 11):
        address = torch.full((3, 4), float(bits), requires_grad=True)
        value = luts.lookups(Lookups("table", address, torch.full((3, 4), 5.0)))
        value.backward()
        assert address.grad is not None
        assert (address.grad > 0).all() or bits < 2
        found.append(value.item())
    assert found == sorted(found)
    constant = Lookups("table", torch.zeros(3, 4), torch.zeros(3, 4))
    assert luts.lookups(constant).item() == 0.0


def test_casts_that_drop_bits_are_free():
    luts, bits = Luts(), torch.full((1,), 5.0)
    signed, positive = torch.tensor([True]), torch.tensor([False])
    free = Casts("x", bits, signed, Rounding.RND, Overflow.WRAP, 10)
    assert luts.casts(free).item() == 0.0
    relu = luts.casts(Casts("x", bits, positive, Rounding.RND, Overflow.WRAP, 10)).item()
    assert relu > 0
    assert luts.casts(Casts("x", bits, positive, Rounding.RND, Overflow.SAT, 10)).item() > relu
    assert luts.casts(Casts("x", bits, signed, Rounding.RND_CONV, Overflow.WRAP, 10)).item() > 0


def _model(scheme: nn.Scheme | None = None) -> torch.nn.Module:
    scheme = scheme or nn.Scheme.learned()
    torch.manual_seed(0)
    return torch.nn.Sequential(nn.Dense(16, 12, scheme=scheme), torch.nn.ReLU(), nn.Dense(12, 5, scheme=scheme))


@pytest.mark.parametrize("cost", COSTS, ids=lambda c: f"{c.unit}-{getattr(c, 'target', None) and c.target.family}")
def test_gradients_lower_the_cost(cost: Cost):
    model = _model()
    model(torch.randn(64, 16))
    first = cost(model)
    optimiser = torch.optim.SGD([p for n, p in model.named_parameters() if n.endswith(".f")], lr=1.0)
    for _ in range(3):
        optimiser.zero_grad()
        cost(model).backward()
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:  # Biases have no cost of their own.
                    assert torch.isfinite(parameter.grad).all()
                    parameter.grad = parameter.grad.sign()
        optimiser.step()
        model(torch.randn(64, 16))
    last = cost(model)
    assert 0 <= last.item() < 0.7 * first.item()


def test_layers_have_their_names():
    model = _model(nn.Scheme.fixed("s8.4", "s6.4"))
    model(torch.randn(4, 16))
    parts = Luts().by_layer(model)
    assert list(parts) == ["0", "2"]
    assert sum(p.item() for p in parts.values()) == pytest.approx(Luts()(model).item())


def test_a_coarser_model_costs_less():
    sizes = []
    for bits in (8, 6, 4, 2):
        model = _model(nn.Scheme.learned(bits))
        model(torch.randn(64, 16))
        sizes.append(Luts()(model).item())
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] > 0


def test_a_model_without_layers_is_refused():
    with pytest.raises(HardwireError, match=r"Linear has no layer of hardwire\.nn"):
        Luts()(torch.nn.Linear(3, 3))


def test_unknown_targets_are_named():
    with pytest.raises(HardwireError, match="vu99"):
        Luts("vu99")


def test_more_terms_take_more_time():
    time = Nanoseconds("xcup")
    short, long = (time.of([_products([[1.0] * n, [1.0] + [0.0] * (n - 1)])]) for n in (4, 16))
    assert long.item() == pytest.approx(2 * short.item())
    work = _products([[1.0] * 16, [1.0] * 4 + [0.0] * 12])
    time.of([work]).backward()
    assert work.weight_bits.grad[0].min() > 10 * work.weight_bits.grad[1].max() >= 0


def test_cycles_follow_the_clock():
    model = _model()
    model(torch.randn(64, 16))
    slow, fast = (Cycles("ecp5-85k", clock)(model).item() for clock in (100.0, 200.0))
    assert 2 < slow < fast < 12
    with pytest.raises(HardwireError, match="1000 MHz on ecp5-85k"):
        Cycles("ecp5-85k", 1000.0)


@pytest.mark.parametrize("family", ["xcup", "ecp5"])
def test_estimates_are_near_the_compilers(family: str):
    """Trained a little, so that weights are spread as they are in practice."""
    torch.manual_seed(1)
    model = torch.nn.Sequential(nn.Dense(10, 12, scheme=nn.Scheme.learned(4)), torch.nn.ReLU(), nn.Dense(12, 5))
    x = torch.randn(256, 10)
    model(x)
    design = hw.compile(model, example=x[:1].numpy(), target=family)
    assert Luts(family)(model).item() == pytest.approx(design.circuit.estimate()["lut"], rel=0.25)
    assert Cycles(family)(model).item() == pytest.approx(design.circuit.latency, abs=1.5)


def test_sums_of_computed_products_take_adders():
    luts = Luts("xcup-vu13p")
    left, right = torch.tensor([6.0], requires_grad=True), torch.tensor([5.0])
    assert luts.multiplications(Multiplications("product", left, right, 8)).item() == 0.0
    summed = luts.multiplications(Multiplications("product", left, right, 8, added=7.0))
    assert summed.item() == 7 * (6 + 5)
    summed.backward()
    assert left.grad.item() == 7.0
    assert luts.multiplications(Multiplications("product", torch.zeros(1), right, 8, added=7.0)).item() == 0.0
