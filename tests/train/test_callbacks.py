"""What happens beside the gradient."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_data import FIXED, dense, rings, same_weights

from hardwire.errors import MissingToolError, TrainingError
from hardwire.train import (
    Callback,
    CsvLog,
    Distillation,
    EarlyStopping,
    Metric,
    Options,
    ParetoFront,
    TensorBoard,
    evaluate,
    fit,
)
from hardwire.train.callbacks.pareto import Point, front
from hardwire.train.losses import METRICS

FAST = Options(epochs=5, batch=100, rate=1e-2)
TRAIN, VALID = rings(600), rings(200, seed=1)


def scripted(values: list[float], higher: bool = True) -> Metric:
    """A metric that says what it is told."""
    left = iter(values)
    return Metric("told", lambda outputs, targets: next(left), higher)


@pytest.mark.parametrize("higher", [True, False])
def test_early_stopping_restores_the_best_epoch(higher: bool) -> None:
    sign = 1.0 if higher else -1.0
    seen = {}

    class Look(Callback):
        def after_epoch(self, run):
            seen[run.epoch] = {k: v.clone() for k, v in run.model.state_dict().items()}

    model = dense()
    told = scripted([sign * v for v in (0.1, 0.5, 0.4, 0.45, 0.3, 0.9)], higher)
    stopping = EarlyStopping(patience=3)
    history = fit(model, TRAIN, VALID, replace(FAST, epochs=6), metric=told, callbacks=[Look(), stopping])
    assert len(history.epochs) == 5
    assert history.stopped == "no better told than epoch 2's in 3 epochs"
    assert history.kept == 2
    assert history.final()["told"] == sign * 0.5
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in seen[2].items())
    with pytest.raises(TrainingError, match="patience = 0"):
        EarlyStopping(0)


def test_early_epochs_count_for_nothing() -> None:
    told = scripted([0.9, 0.9, 0.3, 0.5, 0.4])
    history = fit(dense(), TRAIN, VALID, FAST, metric=told, callbacks=[EarlyStopping(2, after=0.6)])
    assert (history.kept, len(history.epochs)) == (4, 5)


def test_csv_log_has_what_every_callback_adds(tmp_path: Path) -> None:
    fit(dense(), TRAIN, VALID, FAST, callbacks=[CsvLog(), ParetoFront(lambda model: 7.0)], folder=tmp_path)
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert {row["cost"] for row in rows} == {"7"}
    with pytest.raises(TrainingError, match="CsvLog: no path"):
        fit(dense(), TRAIN, VALID, FAST, callbacks=[CsvLog()])


def test_tensorboard_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(MissingToolError, match="package tensorboard") as caught:
        TensorBoard()
    assert "pip install tensorboard" in str(caught.value)


def test_tensorboard_writes_scalars(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = fit(dense(), TRAIN, VALID, FAST, callbacks=[TensorBoard()], folder=tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    found = [event.value for event in events.Scalars("accuracy")]
    assert found == pytest.approx(history.column("accuracy"))


def test_a_front_holds_what_nothing_beats() -> None:
    metric = METRICS["accuracy"]
    points = [
        Point(1, 0.7, 100.0),
        Point(2, 0.8, 100.0),
        Point(3, 0.6, 50.0),
        Point(4, 0.8, 100.0),
        Point(5, 0.5, 60.0),
    ]
    assert front(points, metric) == [Point(3, 0.6, 50.0), Point(2, 0.8, 100.0)]
    lower = METRICS["mse"]
    assert front(points, lower) == [Point(3, 0.6, 50.0), Point(5, 0.5, 60.0)]


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_fronts_points_have_their_weights(tmp_path: Path, on_disk: bool) -> None:
    costs = iter([9.0, 8.0, 8.5, 3.0, 4.0])
    told = scripted([0.5, 0.6, 0.7, 0.65, 0.4])
    kept = ParetoFront(lambda model: next(costs))
    seen = {}

    class Look(Callback):
        def after_epoch(self, run):
            seen[run.epoch] = evaluate(run.model, VALID[0])

    fit(dense(), TRAIN, VALID, FAST, metric=told, callbacks=[Look(), kept], folder=tmp_path if on_disk else None)
    assert kept.points == [Point(4, 0.65, 3.0), Point(3, 0.7, 8.5)]
    for point in kept.points:
        model = kept.load(point, dense(5))
        assert torch.equal(evaluate(model, VALID[0]), seen[point.epoch])
    if on_disk:
        assert sorted(p.name for p in (tmp_path / "front").iterdir()) == ["epoch-00003.pt", "epoch-00004.pt"]
    with pytest.raises(TrainingError, match="no point of this front"):
        kept.load(Point(1, 0.5, 9.0), dense())


def test_early_and_dear_epochs_stay_off_the_front() -> None:
    costs = iter([1.0, 2.0, 3.0, 40.0, 5.0])
    kept = ParetoFront(lambda model: next(costs), after=0.5, at_most=10.0)
    fit(dense(), TRAIN, VALID, FAST, metric=scripted([0.5, 0.6, 0.7, 0.9, 0.8]), callbacks=[kept])
    assert [point.epoch for point in kept.points] == [3, 5]


def test_a_student_of_its_teacher_alone_becomes_it() -> None:
    teacher = dense(3, scheme=FIXED)
    fit(teacher, TRAIN, VALID, replace(FAST, epochs=12, batch=20))
    said = evaluate(teacher, TRAIN[0]).argmax(-1)
    agreement = {}
    for share in (0.0, 1.0):
        student = dense(4, scheme=FIXED)
        wrong = (TRAIN[0], (said.numpy() + 1) % 3)  # targets that teach something else
        fit(student, wrong, wrong, replace(FAST, epochs=12, batch=20), callbacks=[Distillation(teacher, share=share)])
        agreement[share] = float((evaluate(student, TRAIN[0]).argmax(-1) == said).float().mean())
    assert agreement[1.0] > 0.85
    assert agreement[0.0] < 0.2


def test_a_share_of_nothing_is_no_teacher() -> None:
    plain, taught = dense(), dense()
    fit(plain, TRAIN, VALID, FAST)
    fit(taught, TRAIN, VALID, FAST, callbacks=[Distillation(dense(3), share=0.0)])
    assert same_weights(plain, taught)


def test_teachers_that_cannot_be_are_named() -> None:
    with pytest.raises(TrainingError, match=r"share = 1.5"):
        Distillation(dense(), share=1.5)
    with pytest.raises(TrainingError, match="temperature = 0"):
        Distillation(dense(), temperature=0)
    other = torch.nn.Sequential(torch.nn.Linear(4, 5))
    with pytest.raises(TrainingError, match=r"outputs of shape \(100, 5\) for a batch, the model \(100, 3\)"):
        fit(dense(), TRAIN, VALID, FAST, callbacks=[Distillation(other)])
