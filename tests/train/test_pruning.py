"""Pruning: what goes, when, that it stays gone, and that a smaller model gives the same."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from training_data import dense, rings, same_weights

import hardwire as hw
from hardwire import nn
from hardwire.errors import TrainingError
from hardwire.nn.quantisers import Fixed, LearnedStep
from hardwire.train import EarlyStopping, Metric, Options, fit, pruning
from hardwire.train.pruning import (
    Cubic,
    Held,
    Inputs,
    Kernels,
    Magnitude,
    MemoryWords,
    Multipliers,
    Neurons,
    OneShot,
    Rounds,
    Weights,
    lottery_ticket,
    remove_dead,
    sparsity,
)

TRAIN, VALIDATION = rings(400), rings(200, 1)
OPTIONS = Options(epochs=6, batch=64, rate=1e-2)


def _fit(model, *callbacks, options=OPTIONS, **rest):
    return fit(model, TRAIN, VALIDATION, options, callbacks=callbacks, **rest)


def _wide(seed: int = 0, scheme: nn.Scheme | None = None) -> torch.nn.Sequential:
    torch.manual_seed(seed)
    scheme = scheme or nn.Scheme.learned(5.0)
    return torch.nn.Sequential(
        nn.Dense(4, 12, scheme=scheme),
        torch.nn.ReLU(),
        nn.Dense(12, 8, scheme=scheme),
        torch.nn.ReLU(),
        nn.Dense(8, 3, scheme=scheme),
    )


# Schedules.


def test_schedules_never_fall_and_end_at_the_share():
    for schedule in (Cubic(0.2, 0.8), OneShot(0.5), Rounds(4, 0.2, 0.8), Rounds(1)):
        shares = [schedule.at(done, 0.9) for done in np.linspace(0, 1, 101)]
        assert shares == sorted(shares)
        assert shares[0] == 0.0
        assert shares[-1] == 0.9
        assert all(0.0 <= share <= 0.9 for share in shares)
    assert Cubic(0.0, 1.0).at(0.5, 0.8) == pytest.approx(0.8 * (1 - 0.5**3))
    assert sorted({round(Rounds(3, 0.0, 1.0).at(t, 0.875), 6) for t in np.linspace(0, 1, 50)}) == [0.5, 0.75, 0.875]
    with pytest.raises(TrainingError, match=r"cubic from 0\.6 to 0\.6"):
        Cubic(0.6, 0.6)


# What goes.


def test_the_smallest_weights_go_first():
    model = _wide()
    before = {name: part.weight.detach().clone() for name, part in pruning.prunable(model).items()}
    method = Magnitude(scope="layer")
    method.take(model)
    method.choose(0.75)
    for name, mask in method.masks.items():
        size = before[name].abs()
        assert int(mask.sum()) == mask.numel() - math.ceil(0.75 * mask.numel())
        assert float(size[mask == 1].min()) >= float(size[mask == 0].max())
    everywhere = Magnitude()
    everywhere.take(model)
    everywhere.choose(0.75)
    total = sum(mask.numel() for mask in everywhere.masks.values())
    assert sum(int(mask.sum()) for mask in everywhere.masks.values()) == total - math.ceil(0.75 * total)
    relative = {name: before[name].abs() / before[name].abs().mean() for name in before}
    assert min(float(relative[n][m == 1].min()) for n, m in everywhere.masks.items()) >= max(
        float(relative[n][m == 0].max()) for n, m in everywhere.masks.items() if (m == 0).any()
    )


def test_saliency_is_what_zeroing_costs():
    """Weights that no gradient depends on go before smaller ones that the loss needs; all goes on after a resume."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 1, bias=False))
    model[0].weight.data = torch.tensor([[0.5, -0.4, 0.3, 2.0]])
    x = np.random.default_rng(0).normal(size=(640, 4)).astype(np.float32)
    x[:, 3] *= 1e-3
    y = (x @ np.array([[0.5, -0.4, 0.3, 2.0]], np.float32).T).astype(np.float32)
    y += np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    for method, gone in ((Weights, 3), (Magnitude, 2)):
        callback = method(0.25, OneShot(0.5))
        fit(
            model,
            (x, y),
            (x, y),
            Options(epochs=2, batch=64, rate=1e-4),
            loss="mse",
            metric="mse",
            callbacks=[callback],
        )
        assert callback.masks["0"].flatten().tolist() == [float(k != gone) for k in range(4)]
        model[0].weight.data = torch.tensor([[0.5, -0.4, 0.3, 2.0]])
        state = callback.state_dict()
        again = method(0.25)
        again.load_state_dict(state)
        assert torch.equal(again.masks["0"], callback.masks["0"])


@pytest.mark.parametrize(
    ("method", "whole"),
    [
        (Neurons, lambda mask: mask.flatten(1)),
        (Inputs, lambda mask: mask.transpose(0, 1).flatten(1)),
        (
            lambda share: Multipliers(share, reuse=2, pack=2),
            lambda m: m.reshape(4, 2, -1, 2).transpose(1, 2).flatten(2),
        ),
        (lambda share: MemoryWords(share, bits=6, word=24), lambda mask: mask.reshape(-1, 4)),
    ],
    ids=["neurons", "inputs", "multipliers", "words"],
)
def test_groups_fall_together(method, whole):
    model = torch.nn.Sequential(nn.Dense(4, 8), torch.nn.ReLU(), nn.Dense(8, 8), torch.nn.ReLU(), nn.Dense(8, 8))
    callback = method(0.5)
    _fit(model, callback)
    assert callback.masks
    for name, mask in callback.masks.items():
        groups = whole(mask)
        assert torch.equal(groups.amin(-1), groups.amax(-1)), name
        assert torch.equal(model[int(name)].weight * mask, model[int(name)].weight)
    total = sum(mask.numel() for mask in callback.masks.values())
    assert sum(int(m.sum()) for m in callback.masks.values()) == pytest.approx(0.5 * total, abs=16)


def test_units_are_counted():
    layer = nn.Dense(8, 4)
    layer.weight.data.fill_(1.0)
    assert Multipliers(reuse=4, pack=2).units(layer) == 4
    assert MemoryWords(bits=8, word=36).units(layer) == 8
    layer.weight.data[:2, :4] = 0.0
    layer.weight.data[3, 3] = 0.0
    assert Multipliers(reuse=4, pack=2).units(layer) == 3
    assert MemoryWords(bits=8, word=36).units(layer) == 6


def test_kernels_of_convolutions():
    torch.manual_seed(0)
    model = torch.nn.Sequential(nn.Conv2d(2, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), nn.Dense(16, 3))
    method = Kernels(0.5)
    method.take(model)
    method.choose(0.5)
    assert list(method.masks) == ["0"]
    kernels = method.masks["0"].flatten(2)
    assert torch.equal(kernels.amin(-1), kernels.amax(-1))
    assert int(kernels[..., 0].sum()) == 4


def test_every_layer_keeps_something():
    model = dense()
    callback = Neurons(0.95, OneShot(0.1))
    _fit(model, callback)
    assert all(mask.any() for mask in callback.masks.values())


# Runs.


def test_zeros_stay_zero_and_the_rest_learns():
    model = _wide()
    history = _fit(model, Magnitude(0.8, Cubic(0.1, 0.5)))
    assert sparsity(model) >= 0.8
    assert history.final()["sparsity"] == sparsity(model)
    zeros = {name: part.weight == 0 for name, part in pruning.prunable(model).items()}
    assert sum(int(z.sum()) for z in zeros.values()) == math.ceil(0.8 * sum(z.numel() for z in zeros.values()))
    kept = [part.weight.detach().clone() for part in pruning.prunable(model).values()]
    _fit(model, Held(), options=dataclasses.replace(OPTIONS, seed=1))  # fine-tuning
    for (name, part), old in zip(pruning.prunable(model).items(), kept, strict=True):
        assert torch.equal(part.weight == 0, zeros[name])
        assert not torch.equal(part.weight, old)


def test_a_run_that_stopped_goes_on_with_its_masks(tmp_path):
    whole, cut = dense(), dense()
    method = Weights(0.7)

    class _Stop(hw.train.Callback):
        def after_epoch(self, run):
            if run.epoch == 3 and not (tmp_path / "stopped").exists():
                (tmp_path / "stopped").touch()
                raise KeyboardInterrupt

    class _Never(hw.train.Callback):
        pass

    _Never.__name__ = _Stop.__name__
    _fit(whole, Weights(0.7), _Never())
    with pytest.raises(KeyboardInterrupt):
        _fit(cut, Weights(0.7), _Stop(), folder=tmp_path)
    fresh = dense()
    history = _fit(fresh, method, _Stop(), folder=tmp_path)
    assert history.resumed == 2
    assert same_weights(whole, fresh)
    assert int((method.masks["0"] == 0).sum()) > 0


def test_the_best_epoch_that_is_kept_is_a_pruned_one():
    told = Metric("told", lambda outputs, targets: -float(len(told_so_far)))
    told_so_far = []

    class _Told(hw.train.Callback):
        def after_epoch(self, run):
            told_so_far.append(run.epoch)  # every epoch is told to be worse than the one before

    model = dense()
    history = _fit(model, EarlyStopping(None), Weights(0.7, Cubic(0.0, 0.6)), _Told(), metric=told)
    assert history.best()["epoch"] == 1
    assert history.kept == 4
    assert sparsity(model) >= 0.7


def test_lottery_tickets_rewind(tmp_path):
    model = dense()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    starts = []

    class _Starts(hw.train.Callback):
        def on_start(self, run):
            starts.append(run.model[0].weight.detach().clone())

    options = dataclasses.replace(OPTIONS, epochs=2)
    histories = lottery_ticket(
        model,
        TRAIN,
        VALIDATION,
        options,
        sparsity=0.75,
        rounds=2,
        rewind=0,
        callbacks=lambda: [_Starts()],
        folder=tmp_path,
    )
    assert len(histories) == len(starts) == 3
    for found in starts:
        assert torch.equal(found, start["0.weight"] * (found != 0))
    shares = [float((found == 0).float().mean()) for found in starts]
    assert shares[0] == 0.0 < shares[1] < shares[2]
    zeros = sum(int((part.weight == 0).sum()) for part in pruning.prunable(model).values())
    assert zeros == math.ceil(0.75 * (4 * 12 + 12 * 3))
    again = dense()
    repeated = lottery_ticket(
        again,
        TRAIN,
        VALIDATION,
        options,
        sparsity=0.75,
        rounds=2,
        rewind=0,
        callbacks=lambda: [_Starts()],
        folder=tmp_path,
    )
    assert [h.resumed for h in repeated] == [2, 2, 2]
    assert same_weights(again, model)
    with pytest.raises(TrainingError, match="rewinding to epoch 3 of 2"):
        lottery_ticket(model, TRAIN, VALIDATION, options, rewind=3)


def test_what_cannot_be_is_said():
    with pytest.raises(TrainingError, match=r"sparsity = 1\.5"):
        Magnitude(1.5)
    with pytest.raises(TrainingError, match="scope = 'all'"):
        Magnitude(scope="all")  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="no layer 'second' with weights"):
        _fit(dense(), Magnitude(layers=["second"]))
    with pytest.raises(TrainingError, match="Kernels finds no layer"):
        _fit(dense(), Kernels())
    with pytest.raises(TrainingError, match="mask of layer '0' has shape"):
        _fit(dense(), Magnitude(masks={"0": torch.ones(2, 2)}))
    with pytest.raises(TrainingError, match="reuse = 0"):
        Multipliers(reuse=0)
    with pytest.raises(TrainingError, match="weights of 40 bits in words of 36"):
        MemoryWords(bits=40)


# Removal.


@pytest.mark.parametrize(
    "scheme",
    [
        nn.Scheme.learned(5.0),
        nn.Scheme.learned(5.0, weight="channel", input="tensor"),
        dataclasses.replace(
            nn.Scheme.fixed("s10.6", "s6.5"),
            weight=lambda s: LearnedStep(s, 5, "channel", 0),
            output=lambda s: Fixed("s10.5", rank=len(s)),
        ),
    ],
    ids=["element", "channel", "step"],
)
def test_a_model_without_dead_neurons_is_smaller_and_the_same(scheme):
    model = _wide(scheme=scheme)
    _fit(model, Neurons(0.5))
    smaller = remove_dead(model)
    assert smaller[0].weight.shape[0] < 12
    assert smaller[2].weight.shape == (smaller[2].outputs, smaller[0].outputs)
    assert smaller[4].weight.shape == (3, smaller[2].outputs)
    x = torch.as_tensor(rings(500, 3)[0])
    with torch.no_grad():
        assert torch.equal(smaller.eval()(x), model.eval()(x))
    design = hw.compile(smaller, example=x[:1])
    with torch.no_grad():
        np.testing.assert_array_equal(design.predict(x.numpy()), smaller(x).numpy())
    _fit(smaller)  # it trains on


def test_neurons_that_nobody_reads_are_removed_all_the_way_back():
    model = _wide().eval()
    with torch.no_grad():
        model[4].weight[:, 3:] = 0.0
        model[2].weight[:3, 5:] = 0.0
    smaller = remove_dead(model)
    assert [tuple(smaller[k].weight.shape) for k in (0, 2, 4)] == [(5, 4), (3, 5), (3, 3)]
    x = torch.randn(100, 4)
    with torch.no_grad():
        assert torch.equal(smaller(x), model(x))
    assert tuple(model[0].weight.shape) == (12, 4)


def test_channels_of_convolutions_with_batch_normalisation():
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        nn.Conv2d(1, 6, 3, norm=True),
        torch.nn.ReLU(),
        nn.Conv2d(6, 4, 3, norm=True),
        torch.nn.ReLU(),
        nn.Conv2d(4, 2, 2),
    )
    model(torch.randn(32, 1, 6, 6))
    method = Neurons(0.5)
    method.take(model)
    method.choose(0.5)
    method.take(model)
    smaller = remove_dead(model)
    assert smaller[0].out_channels == smaller[2].in_channels < 6
    x = torch.randn(32, 1, 6, 6)
    with torch.no_grad():
        assert torch.equal(smaller.eval()(x), model.eval()(x))
    with pytest.raises(TrainingError, match="ReLU is no chain"):
        remove_dead(torch.nn.ReLU())
