"""Several seeds as one design, or the best of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from training_data import dense, rings, same_weights

import hardwire as hw
from hardwire import nn
from hardwire.errors import TrainingError
from hardwire.train import Ensemble, Options, evaluate, fit_seeds

TRAIN, VALID = rings(600), rings(300, seed=1)
FAST = Options(epochs=8, batch=100, rate=1e-2)


def build() -> torch.nn.Module:
    scheme = nn.Scheme.learned(4)
    return torch.nn.Sequential(nn.Dense(4, 8, scheme=scheme), torch.nn.ReLU(), nn.Dense(8, 3, scheme=scheme))


def test_seeds_are_trained_apart_and_compile_together(tmp_path: Path) -> None:
    found = fit_seeds(build, (0, 1, 2), TRAIN, VALID, FAST, folder=tmp_path)
    assert not same_weights(found.models[0], found.models[1])
    scores = found.scores()
    assert found.best() is found.models[int(np.argmax(scores))]
    together = found.together()
    x = VALID[0]
    mean = torch.stack([evaluate(model, x) for model in found.models]).mean(0)
    outputs = evaluate(together, x)
    torch.testing.assert_close(outputs, mean * 3 / 4)
    design = hw.compile(together, example=x[:1], backend="emulator")
    np.testing.assert_array_equal(design.predict(x), outputs.numpy())
    again = fit_seeds(build, (2,), TRAIN, VALID, FAST)
    assert same_weights(again.models[0], found.models[2])
    assert (tmp_path / "seed-2" / "checkpoint.pt").exists()


def test_two_models_are_averaged() -> None:
    models = [dense(1).eval(), dense(2).eval()]
    x = VALID[0]
    assert torch.equal(evaluate(Ensemble(models), x), (evaluate(models[0], x) + evaluate(models[1], x)) / 2)
    assert torch.equal(evaluate(Ensemble(models[:1]), x), evaluate(models[0], x))
    with pytest.raises(TrainingError, match="no models"):
        Ensemble([])
