"""Costs held under a bound, and weights that grow."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from hardwire import nn
from hardwire.errors import DataError
from hardwire.train import Options, fit
from hardwire.train.callbacks import Callback, Constraint, EarlyStopping, Ramp
from hardwire.train.callbacks._landing import land
from hardwire.train.costs import Cost, Cycles, Ebops, Luts, Nanoseconds
from hardwire.train.loop import History


def _model(seed: int = 0) -> torch.nn.Sequential:
    torch.manual_seed(seed)
    return torch.nn.Sequential(nn.Dense(8, 16), torch.nn.ReLU(), nn.Dense(16, 2))


def _rows(count: int = 512) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.Generator().manual_seed(3)
    x = torch.randn(count, 8, generator=drawn)
    return x, (x @ torch.randn(8, 12, generator=drawn)).relu() @ torch.randn(12, 2, generator=drawn)


def _trained(callbacks: list[Callback], epochs: int = 30, **options) -> tuple[History, torch.nn.Module]:
    model, rows = _model(), _rows()
    how = Options(**{"epochs": epochs, "batch": 64, "rate": 1e-2, "bits_rate": 3.0, **options})
    return fit(model, rows, rows, how, loss="mse", metric="mse", callbacks=callbacks), model


def test_a_ramp_grows_in_its_logarithm():
    ramp = Ramp(Luts(), 1e-3, 1e-1, warmup=0.5)
    model = torch.nn.Sequential(nn.Dense(4, 4))
    run = SimpleNamespace(prices={}, model=model, step=0, steps=100, epoch=0, metrics={}, stop=False)
    x = torch.randn(8, 4)
    assert ramp.loss(run, model(x), x, x) is None
    weights = []
    for run.step in (50, 75, 100):
        term = ramp.loss(run, model(x), x, x)
        assert term is not None
        weights.append(term.item())
    assert weights == pytest.approx([1e-3, 1e-2, 1e-1], rel=1e-5)


@pytest.mark.parametrize(
    ("cost", "most", "schedule", "least"),
    [
        (Ebops(), 2000.0, "cosine", 0.95),
        (Ebops(), 400.0, "constant", 0.8),
        (Luts(), 600.0, "restarts", 0.85),
        (Luts(), 300.0, "one-cycle", 0.85),
        (Cycles(clock_mhz=600.0), 6.0, "constant", 0.6),  # of levels of adders: few values lie under the bound
    ],
)
def test_the_bound_is_met_and_used(cost: Cost, most: float, schedule: str, least: float):
    history, _ = _trained([Constraint(cost, most, name="cost")], schedule=schedule)
    found = history.column("cost")
    late = found[round(0.85 * len(found)) :]
    assert max(late) <= most
    assert least * most < found[-1]


def test_two_bounds_hold_at_once():
    history, _ = _trained([Constraint(Luts(), 400.0), Constraint(Nanoseconds(), 5.0)])
    last = history.final()
    assert last["luts"] <= 400.0
    assert last["nanoseconds"] <= 5.0
    assert last["luts"] > 0.8 * 400.0 or last["nanoseconds"] > 0.8 * 5.0


def test_widths_that_learn_too_slowly_come_under_the_bound_all_the_same():
    history, _ = _trained([Constraint(Luts(), 300.0)], epochs=12, rate=1e-3, bits_rate=1.0)
    assert 0.9 * 300.0 < history.final()["luts"] <= 300.0


def test_the_best_epoch_that_is_kept_is_one_under_the_bound():
    history, model = _trained([EarlyStopping(None), Constraint(Luts(), 300.0)], epochs=20)
    under = [row for row in history.epochs if row["luts"] <= 300.0]
    assert history.best()["luts"] > 300.0
    assert history.kept == min(under, key=lambda row: row["mse"])["epoch"]
    assert Luts()(model).item() <= 300.0


def test_landing_takes_no_more_than_it_must():
    x, _ = _rows(64)
    model = _model()
    model(x)
    before = Luts()(model).item()
    bits = {name: value.clone() for name, value in model.named_parameters() if name.endswith(".f")}
    assert land(model, Luts(), 2.0 * before, x)
    assert all(torch.equal(dict(model.named_parameters())[name], value) for name, value in bits.items())
    assert land(model, Luts(), 0.9 * before, x)
    assert 0.88 * before < Luts()(model).item() <= 0.9 * before
    # A bit less at most, and none but widths has changed.
    for name, value in bits.items():
        lost = (value - dict(model.named_parameters())[name]).detach()
        assert lost.min() >= 0.0
        assert lost.max() <= 1.02


def test_landing_says_where_no_width_can_change_the_cost():
    torch.manual_seed(0)
    model = torch.nn.Sequential(nn.Dense(8, 4, scheme=nn.Scheme.fixed("s8.4", "s6.4")))
    assert not land(model, Luts(), 10.0, torch.randn(16, 8))


def test_a_model_that_is_small_enough_is_left_alone():
    constraint = Constraint(Luts(), 1e6)
    _trained([constraint], epochs=5)
    assert constraint.weight == constraint.multiplier == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at_most": 0.0}, "above 0"),
        ({"at_most": 10.0, "warmup": 1.0}, "warmup"),
        ({"at_most": 10.0, "reach": 0.05}, "reach"),
        ({"at_most": 10.0, "every": 0}, "every"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(options: dict[str, float], message: str):
    with pytest.raises(DataError, match=message):
        Constraint(Luts(), **options)
    with pytest.raises(DataError, match="above 0"):
        Ramp(Luts(), 0.0, 1.0)


def test_a_multiplier_goes_on_where_it_stood():
    first = Constraint(Luts(), 100.0)
    first.value, first.start, first.multiplier, first.weight = 120.0, 900.0, -2.0, 0.3
    second = Constraint(Luts(), 100.0)
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == first.state_dict()
