"""The loop: same seed same weights, a killed run resumes to the bit, errors name what is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import killed
import numpy as np
import pytest
import torch
from training_data import FIXED, dense, rings, same_weights

import hardwire as hw
from hardwire.errors import MissingToolError, TrainingError
from hardwire.train import Callback, Metric, Options, evaluate, fit
from hardwire.train.losses import METRICS, area_under_curve
from hardwire.train.schedules import SCHEDULES

FAST = Options(epochs=4, batch=100, rate=1e-2)
TRAIN, VALID = rings(600), rings(200, seed=1)


def test_it_learns_and_is_what_is_compiled() -> None:
    model = dense(scheme=FIXED)
    history = fit(model, TRAIN, VALID, replace(FAST, epochs=12, batch=20))
    assert history.final()["accuracy"] > 0.75 > history.epochs[0]["accuracy"]
    assert not model.training
    design = hw.compile(model, example=VALID[0][:1], backend="emulator")
    np.testing.assert_array_equal(design.predict(VALID[0]), evaluate(model, VALID[0]).numpy())


def test_the_same_seed_gives_the_same_weights_and_leaves_the_random_state() -> None:
    models = []
    for seed in (5, 5, 6):
        model = dense(0, dropout=0.2)
        torch.manual_seed(seed * 100)  # what the caller does with its own generator changes nothing
        before = torch.get_rng_state()
        fit(model, TRAIN, VALID, replace(FAST, seed=seed))
        assert torch.equal(before, torch.get_rng_state())
        models.append(model)
    assert same_weights(models[0], models[1])
    assert not same_weights(models[0], models[2])


@pytest.mark.parametrize("step", [3, 24])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path: Path, step: int) -> None:
    whole, history = killed.train(tmp_path / "whole")
    folder = tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, killed.__file__, str(folder), str(step)],
        check=False,
        timeout=300,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    resumed, second = killed.train(folder)
    assert second.resumed == step // 7  # of 500 rows, 7 batches of 64 an epoch
    assert same_weights(whole, resumed)
    drop = ("seconds",)
    assert [{k: v for k, v in row.items() if k not in drop} for row in second.epochs] == [
        {k: v for k, v in row.items() if k not in drop} for row in history.epochs
    ]
    assert sorted(p.name for p in (folder / "front").iterdir()) == sorted(
        p.name for p in (tmp_path / "whole" / "front").iterdir()
    )
    assert len((folder / "log.csv").read_text().splitlines()) == 1 + len(history.epochs)


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = dense()
    fit(first, TRAIN, VALID, FAST, folder=tmp_path)
    steps = []

    class Count(Callback):
        def after_step(self, run):
            steps.append(run.step)

    again = dense(9)
    with pytest.raises(TrainingError, match="callbacks"):
        fit(again, TRAIN, VALID, FAST, folder=tmp_path, callbacks=[Count()])
    history = fit(again, TRAIN, VALID, FAST, folder=tmp_path)
    assert same_weights(first, again)
    assert history.resumed == 4
    fit(again, TRAIN, VALID, FAST, folder=tmp_path, callbacks=[Count()], resume=False)
    assert len(steps) == 24


def test_a_checkpoint_of_another_run_is_refused_by_name(tmp_path: Path) -> None:
    fit(dense(), TRAIN, VALID, FAST, folder=tmp_path)
    with pytest.raises(TrainingError, match=r"option rate = 0.01, not 0.02"):
        fit(dense(), TRAIN, VALID, replace(FAST, rate=0.02), folder=tmp_path)
    with pytest.raises(TrainingError, match="other training data"):
        fit(dense(), rings(600, seed=8), VALID, FAST, folder=tmp_path)
    with pytest.raises(TrainingError, match="other validation data"):
        fit(dense(), TRAIN, TRAIN, FAST, folder=tmp_path)
    with pytest.raises(TrainingError, match=r"another model, see 0\.bias"):
        fit(torch.nn.Sequential(torch.nn.Linear(4, 3)), TRAIN, VALID, FAST, folder=tmp_path)
    with pytest.raises(TrainingError, match="loss 'cross_entropy', not 'mse'"):
        fit(dense(), TRAIN, VALID, FAST, folder=tmp_path, loss="mse")


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was_run"),)

    torch.save({"format": 1, "identity": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(TrainingError, match="cannot be read"):
        fit(dense(), TRAIN, VALID, FAST, folder=tmp_path)
    assert not (tmp_path / "was_run").exists()
    (tmp_path / "checkpoint.pt").write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(TrainingError, match="cannot be read"):
        fit(dense(), TRAIN, VALID, FAST, folder=tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("epochs", 0), ("batch", 0), ("rate", -1.0), ("schedule", "sine"), ("clip", 0.0), ("optimiser", "lion")],
)
def test_options_that_cannot_be_are_named(field: str, value: object) -> None:
    with pytest.raises(TrainingError, match=f"option {field} = {value!r}"):
        replace(Options(), **{field: value})


def test_data_that_cannot_be_are_named() -> None:
    x, y = TRAIN
    with pytest.raises(TrainingError, match=r"training data: inputs of shape \(600, 4\), targets of shape \(599,\)"):
        fit(dense(), (x, y[1:]), VALID, FAST)
    broken = x.copy()
    broken[3, 1] = np.nan
    with pytest.raises(TrainingError, match="training inputs hold a NaN"):
        fit(dense(), (broken, y), VALID, FAST)
    with pytest.raises(TrainingError, match="loss 'hinge'"):
        fit(dense(), TRAIN, VALID, FAST, loss="hinge")
    with pytest.raises(TrainingError, match="metric 'luck'"):
        fit(dense(), TRAIN, VALID, FAST, metric="luck")
    with pytest.raises(TrainingError, match="no parameter that trains"):
        fit(torch.nn.ReLU(), TRAIN, VALID, FAST)


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    with pytest.raises(TrainingError, match="epoch 1: the loss is nan"):
        fit(dense(), TRAIN, VALID, FAST, loss=lambda outputs, targets: outputs.sum() * float("nan"))


def test_gradients_are_clipped() -> None:
    norms = []

    class Look(Callback):
        def after_step(self, run):
            norms.append(
                torch.stack([p.grad.norm() for p in run.model.parameters() if p.grad is not None]).norm().item()
            )

    fit(dense(), TRAIN, VALID, replace(FAST, clip=1e-3), callbacks=[Look()])
    assert max(norms) < 1.001e-3


def test_the_optimiser_decays_no_bit_width() -> None:
    model = dense()
    weights, widths = Options(decay=0.1, bits_rate=3.0).groups(model)
    assert (weights["weight_decay"], widths["weight_decay"], widths["share"]) == (0.1, 0.0, 3.0)
    assert {id(p) for p in widths["params"]} == {id(p) for n, p in model.named_parameters() if n.endswith(".f")}
    assert len(weights["params"]) + len(widths["params"]) == len(list(model.parameters()))


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_schedules_stay_within_their_top(name: str) -> None:
    values = [SCHEDULES[name](k / 100) for k in range(101)]
    assert all(0.0 <= v <= 1.0 for v in values)
    assert max(values) > 0.98
    if name != "constant":
        assert values[-1] < 0.01


def test_one_cycle_is_pytorchs() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    steps = 50
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1.0, total_steps=steps)
    for step in range(steps):
        # PyTorch's run ends at its last step, ours after it.
        if step <= 0.3 * steps - 1:
            assert SCHEDULES["one-cycle"](0.3 * step / (0.3 * steps - 1)) == pytest.approx(theirs.get_last_lr()[0])
        optimiser.step()
        theirs.step() if step < steps - 1 else None


def test_metrics_are_scikit_learns() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    scores, positives = rng.integers(0, 20, 500) / 4.0, rng.random(500) < 0.3
    assert area_under_curve(scores, positives) == pytest.approx(sklearn.roc_auc_score(positives, scores))
    logits, wanted = rng.normal(size=(300, 3)), rng.integers(0, 3, 300)
    soft = torch.as_tensor(logits)
    assert METRICS["accuracy"].function(soft, torch.as_tensor(wanted)) == pytest.approx(
        sklearn.accuracy_score(wanted, logits.argmax(1))
    )
    found = METRICS["auc"].function(soft, torch.as_tensor(wanted))
    assert found == pytest.approx(sklearn.roc_auc_score(wanted, soft.softmax(-1), multi_class="ovr"))
    shifted = soft + torch.as_tensor(rng.normal(size=(300, 1)))  # What no softmax sees is no part of a score.
    assert METRICS["auc"].function(shifted, torch.as_tensor(wanted)) == pytest.approx(found)


def test_one_output_is_trained_as_a_yes_or_no() -> None:
    x, y = rings(600)
    model = torch.nn.Sequential(hw.nn.Dense(4, 16, scheme=FIXED), torch.nn.ReLU(), hw.nn.Dense(16, 1, scheme=FIXED))
    target = (y == 2).astype(np.int64)
    history = fit(model, (x, target), (x, target), replace(FAST, epochs=12, batch=20), loss="bce", metric="auc")
    assert history.final()["auc"] > 0.85
    assert METRICS["accuracy"].function(evaluate(model, x), torch.as_tensor(target)) > 0.75


def test_a_metric_of_ones_own_that_is_better_when_lower() -> None:
    mean = Metric("spread", lambda outputs, targets: float(outputs.std()), higher=False)
    history = fit(dense(), TRAIN, VALID, FAST, metric=mean)
    assert history.best()["spread"] == min(history.column("spread"))


def test_compiling_without_a_compiler_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class InvalidCxxCompiler(Exception):
        pass

    def compile_(step, **options):
        def forward(*batch):
            raise InvalidCxxCompiler("No working C++ compiler found")

        return forward

    monkeypatch.setattr(torch, "compile", compile_)
    with pytest.raises(MissingToolError, match=r"needs a C\+\+ compiler"):
        fit(dense(), TRAIN, VALID, replace(FAST, compile=True))
