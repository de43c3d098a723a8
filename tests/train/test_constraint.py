"""Costs held under a bound, and weights that grow."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from hardwire import nn
from hardwire.errors import DataError
from hardwire.train.callbacks import Callback, Constraint, Ramp
from hardwire.train.costs import Ebops, Luts


def _trained(callbacks: list[Callback], steps: int = 500) -> dict[str, float]:
    """A small training without the loop, with a cosine schedule; the metrics at its end."""
    torch.manual_seed(0)
    x = torch.randn(512, 8)
    y = (x @ torch.randn(8, 12)).relu() @ torch.randn(12, 2)
    model = torch.nn.Sequential(nn.Dense(8, 16), torch.nn.ReLU(), nn.Dense(16, 2))
    bits = [p for name, p in model.named_parameters() if name.endswith(".f")]
    rest = [p for name, p in model.named_parameters() if not name.endswith(".f")]
    optimiser = torch.optim.Adam([{"params": rest, "lr": 1e-2}, {"params": bits, "lr": 3e-2}])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    run = SimpleNamespace(prices={}, model=model, step=0, steps=steps, epoch=0, metrics={}, stop=False)
    for callback in callbacks:
        callback.on_start(run)
    for _ in range(steps):
        rows = torch.randint(0, 512, (64,))
        outputs = model(x[rows])
        loss = torch.nn.functional.mse_loss(outputs, y[rows])
        for callback in callbacks:
            term = callback.loss(run, outputs, x[rows], y[rows])
            loss = loss if term is None else loss + term
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        run.step += 1
    for callback in callbacks:
        callback.after_epoch(run)
    return run.metrics


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


@pytest.mark.parametrize("most", [2000.0, 200.0])
def test_the_bound_is_met_and_used(most: float):
    found = _trained([Constraint(Ebops(), most)])["ebops"]
    assert 0.9 * most < found < 1.03 * most


def test_a_model_that_is_small_enough_is_left_alone():
    constraint = Constraint(Luts(), 1e6)
    _trained([constraint], steps=40)
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
