"""A step, compiled or not: the same gradients, of parameters that lie side by side, with every kind of callback."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_data import dense, rings, same_weights

from hardwire import nn
from hardwire.nn.quantisers.estimators import Soft
from hardwire.nn.quantisers.ranges import Widest
from hardwire.train import Callback, Constraint, Distillation, Options, Ramp, Run, fit
from hardwire.train.costs import Ebops, Luts, Nanoseconds
from hardwire.train.flat import Flat

# What PyTorch itself does when it compiles.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),
]

OPTIONS = Options(epochs=3, batch=100, rate=1e-2, clip=1.0)
TRAIN, VALID = rings(600), rings(200, seed=1)


class Small(Callback):
    """A term that no graph holds, for it changes with the step."""

    def loss(self, run: Run, outputs: torch.Tensor, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return outputs.square().mean() * (0.01 * (run.step % 3))


class Price(Callback):
    """A price and its weight, and nothing else."""

    def priced(self, model: torch.nn.Module) -> torch.Tensor:
        return model[0].weight.square().sum()

    def weigh(self, run: Run, price: float) -> float:
        return 0.1 / price


Callbacks = Callable[[], Sequence[Callback]]
EVERY: dict[str, Callbacks] = {
    "none": list,
    "constraint and teacher": lambda: [Constraint(Ebops(), 300), Distillation(dense(7).eval(), share=0.3)],
    "ramp": lambda: [Ramp(Ebops(), 1e-3, 1e-1, every=2), Price()],
    "LUTs and nanoseconds": lambda: [Constraint(Luts(), 300), Ramp(Nanoseconds(), 1e-3, 1e-1)],
}


def trained(compile: bool, callbacks: Sequence[Callback], scheme: nn.Scheme | None = None) -> tuple:
    said: list[str] = []
    model = dense(0, scheme=scheme)
    history = fit(
        model, TRAIN, VALID, replace(OPTIONS, compile=compile), callbacks=callbacks, progress=lambda t: said.append(t)
    )
    return model, history, [text for text in said if "compiled apart" in text]


def same(one: tuple, other: tuple) -> None:
    for a, b in zip(one[0].parameters(), other[0].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert one[1].column("loss") == pytest.approx(other[1].column("loss"), rel=1e-4)


@pytest.fixture
def traced_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are captured, but run as they are: what a step is made of, without a C++ compiler's time."""
    real = torch.compile

    def compile_(function, *, options, **how):
        how["options"] = {k: v for k, v in options.items() if k == "guard_filter_fn"} or None
        return real(function, backend="eager", **how)

    monkeypatch.setattr(torch, "compile", compile_)


@pytest.mark.parametrize("name", EVERY)
def test_one_graph_gives_the_gradients_of_an_eager_step(name: str, traced_only: None) -> None:
    whole = trained(True, EVERY[name]())
    assert whole[2] == []
    same(whole, trained(False, EVERY[name]()))


def test_a_callback_or_a_model_that_is_no_graph_is_compiled_in_parts(traced_only: None) -> None:
    parts = trained(True, [Small(), Ramp(Ebops(), 1e-3, 1e-1)])
    assert "the terms of Small" in parts[2][0]
    same(parts, trained(False, [Small(), Ramp(Ebops(), 1e-3, 1e-1)]))
    # Whether the warm-up is over is read from a tensor.
    scheme = nn.Scheme.learned(5.0, warmup=3)
    parts = trained(True, [Ramp(Ebops(), 1e-3, 1e-1)], scheme)
    assert len(parts[2]) == 1
    same(parts, trained(False, [Ramp(Ebops(), 1e-3, 1e-1)], scheme))


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_a_compiled_step_trains_to_the_same_weights(name: str) -> None:
    same(trained(True, EVERY[name]()), trained(False, EVERY[name]()))


def test_what_a_callback_changes_of_a_model_changes_its_graph(traced_only: None) -> None:
    class Softens(Callback):
        def after_step(self, run: Run) -> None:
            if run.step == 7:
                run.model[3].weight_quantiser.estimator = Soft(4.0)
            if run.step == 9:
                run.model[0].input_quantiser.tracker = Widest(decay=0.5)

    plain, softened = trained(False, []), trained(False, [Softens()])
    assert not same_weights(plain[0], softened[0])
    whole = trained(True, [Softens()])
    assert whole[2] == []
    same(whole, softened)


def test_one_run_after_the_other_compiles_anew(traced_only: None) -> None:
    """More runs than PyTorch compiles one function for."""
    wanted = trained(False, [])
    for _ in range(12):
        found = trained(True, [])
        assert found[2] == []
        same(found, wanted)


def test_parameters_are_views_while_they_are_trained_and_their_own_afterwards() -> None:
    model = dense(0)
    before = [p.detach().clone() for p in model.parameters()]
    with Flat(Options().groups(model)) as flat:
        assert sum(f.numel() for f in flat.flats) == sum(p.numel() for p in model.parameters())
        assert len(flat.flats) == 2
        for one, other in zip(model.parameters(), before, strict=True):
            assert torch.equal(one, other)
        with torch.no_grad():
            flat.flats[0].add_(1.0)
        (model(torch.randn(8, 4)).square().sum()).backward()
        order = [p for parts in flat.parts for p in parts]
        given = [None if k % 2 else p.grad.clone() for k, p in enumerate(order)]
        flat.clear()
        assert not any(p.grad.any() for p in order)
        flat.sum([(2.0, flat.join(given)), (0.0, flat.join(given)), (1.0, [None, None])])
        for part, one in zip(order, given, strict=True):
            assert torch.equal(part.grad, torch.zeros_like(part) if one is None else 2.0 * one)
    weights = {id(p) for p in flat.parts[0]}
    for one, other in zip(model.parameters(), before, strict=True):
        assert torch.equal(one, other + 1.0 if id(one) in weights else other)
        assert one.grad is None
        assert one.untyped_storage().nbytes() == one.numel() * 4
    again = dense(1)
    again.load_state_dict(model.state_dict())
    assert same_weights(model, again)


def test_a_run_that_fails_leaves_parameters_of_their_own() -> None:
    class Fails(Callback):
        def after_step(self, run: Run) -> None:
            raise KeyboardInterrupt

    model = dense(0)
    with pytest.raises(KeyboardInterrupt):
        fit(model, TRAIN, VALID, OPTIONS, callbacks=[Fails()])
    assert all(p.untyped_storage().nbytes() == p.numel() * 4 and p.grad is None for p in model.parameters())


@pytest.mark.slow
def test_a_compiled_run_that_is_cut_off_resumes_to_the_same_bits(tmp_path: Path) -> None:
    class Stops(Callback):
        def __init__(self, step: int) -> None:
            self.step = step

        def after_step(self, run: Run) -> None:
            if run.step == self.step:
                raise KeyboardInterrupt

    def train(folder: Path, step: int) -> torch.nn.Module:
        model = dense(1, dropout=0.1)
        callbacks = [Ramp(Ebops(), 1e-3, 1e-1), Stops(step)]
        fit(model, TRAIN, VALID, replace(OPTIONS, compile=True), callbacks=callbacks, folder=folder)
        return model

    whole = train(tmp_path / "whole", -1)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", 15)
    assert same_weights(whole, train(tmp_path / "cut", -1))
