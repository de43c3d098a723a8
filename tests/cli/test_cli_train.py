"""`hardwire train`: a recipe to a design, errors that name the field."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Command

RECIPE = """
title = "A small one"
[task]
kind = "digits"
[model]
kind = "mlp"
layers = [8]
[quantisers]
bits = 3
[train]
epochs = 2
batch = 128
[design]
backend = "emulator"
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("sklearn")
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.toml"
    path.write_text(RECIPE)
    return path


def test_a_recipe_is_trained_compiled_and_shown(command: Command, recipe: Path) -> None:
    shown = command("train", recipe, "--epochs", 1, "--seed", 3)
    assert shown.code == 0, shown.err
    assert "A small one" in shown.out
    assert "seed 3" in shown.out
    assert "0 of 3,590 outputs" in shown.out
    assert Path("build/small/training.svg").exists()
    found = command("train", recipe, "--epochs", 1, "--seed", 3, "--json").json
    assert found["runs"][0]["epochs"] == 1
    assert found["agreement"]["mismatches"] == 0
    assert found["tables"]["train"]["seed"] == 3
    command.fails("train", recipe, "--seed", 4, "--epochs", 1, code=8, text="train.seed = 3, not 4")
    assert command("train", recipe, "--seed", 4, "--epochs", 1, "--restart", "--json").json["runs"][0]["seed"] == 4


def test_what_a_recipe_cannot_say_is_an_error(command: Command, recipe: Path) -> None:
    command.fails("train", recipe, "--set", "train.rte=0.1", code=2, text="[train]: there is no 'rte'")
    command.fails("train", "jetz", code=2, text="no recipe of this name ships")
    recipe.write_text("task = 3\n")
    command.fails("train", recipe, code=2, text="task = 3 is no table")
