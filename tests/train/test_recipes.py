"""Recipes: from a TOML file to a design whose bits are the training's, or to an error that names the field."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hardwire as hw
from hardwire.errors import HardwireError, MissingToolError, TrainingError
from hardwire.train import evaluate, run
from hardwire.train.plan import plan
from hardwire.train.pruning import sparsity
from hardwire.train.recipes import read, shipped
from hardwire.train.tables import RecipeError

pytest.importorskip("sklearn")

SMALL: dict[str, Any] = {
    "name": "small",
    "task": {"kind": "digits"},
    "model": {"kind": "mlp", "layers": [8]},
    "quantisers": {"bits": 3},
    "train": {"epochs": 2, "batch": 128, "rate": 0.01},
    "cost": {"kind": "ebops", "at_most": 4000},
    "design": {"backend": "emulator"},
}


def changed(**tables: dict[str, Any] | None) -> dict[str, Any]:
    """`SMALL` with fields of tables changed; None leaves a table out."""
    found = {name: dict(table) if isinstance(table, dict) else table for name, table in SMALL.items()}
    for name, table in tables.items():
        found[name] = {**found.get(name, {}), **table} if table is not None else None
    return {name: table for name, table in found.items() if table is not None}


@pytest.mark.parametrize("name", list(shipped()))
def test_shipped_recipes_are_sound(name: str) -> None:
    recipe = read(name)
    assert recipe.title != name
    of = plan(recipe)
    assert of.cost is not None
    rows = torch.as_tensor(of.task.train[0][:4])
    assert of.build(0)(rows).shape == (4, of.task.outputs)


def test_a_recipe_ends_in_a_design_of_the_same_bits_and_goes_on(tmp_path: Path) -> None:
    said: list[str] = []
    result = run(SMALL, tmp_path / "run", progress=said.append)
    x = result.plan.task.test[0]
    np.testing.assert_array_equal(result.design.predict(x), evaluate(result.model, x).numpy())
    assert result.summary["agreement"] == {"rows": len(x), "outputs": 10 * len(x), "mismatches": 0}
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files == {"recipe.json", "result.json", "training", "training.svg", "test.svg", "design"}
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == json.loads(json.dumps(result.summary))
    assert (tmp_path / "run" / "design" / "report.html").exists()
    np.testing.assert_array_equal(hw.load(tmp_path / "run" / "design").predict(x), result.outputs)
    assert any("epoch 2 of 2" in text for text in said)

    said.clear()
    again = run(SMALL, tmp_path / "run", progress=said.append)
    assert not any("epoch" in text for text in said)
    assert again.summary["test"] == result.summary["test"]
    with pytest.raises(TrainingError, match=r"holds a run with train\.rate = 0\.01, not 0\.5"):
        run(SMALL, tmp_path / "run", changes=["train.rate=0.5"])
    with pytest.raises(TrainingError, match=r"cost\.at_most = 4000, not 3000"):
        run(SMALL, tmp_path / "run", changes=["cost.at_most=3000"])
    run(SMALL, tmp_path / "run", changes=["cost.at_most=3000"], resume=False)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(HardwireError, match="is no training run"):
        run(SMALL, tmp_path / "other")


def test_the_dearest_point_that_may_be_compiled_is_the_best_within_the_bound() -> None:
    free = run(changed(cost={"within": 1e9, "after": 0.0}, train={"epochs": 4}))
    assert free.front == sorted(free.front)
    assert free.summary["runs"][0]["validation"] == max(metric for _, metric in free.front)
    tight = run(changed(cost={"within": 1.0, "after": 0.0}, train={"epochs": 4}))
    assert tight.summary["runs"][0]["cost"] == tight.front[0][0]
    assert "no epoch came to ebops <= 1" in tight.summary["notes"][0]


def test_a_teacher_an_ensemble_and_no_cost(tmp_path: Path) -> None:
    recipe = changed(
        cost=None,
        teacher={"kind": "mlp", "layers": [32], "epochs": 6},
        distillation={"share": 0.5},
        ensemble={"seeds": 2},
        train={"patience": 3},
    )
    result = run(recipe, tmp_path, epochs=3)
    assert [one["seed"] for one in result.summary["runs"]] == [0, 1]
    assert result.summary["teacher"]["accuracy"] > 0.5
    members = list(result.model.members)
    x = result.plan.task.test[0]
    mean = (evaluate(members[0], x) + evaluate(members[1], x)) / 2
    np.testing.assert_array_equal(result.outputs, mean.numpy())
    assert {p.name for p in (tmp_path / "training").iterdir()} == {"teacher", "seed-0", "seed-1"}
    best = run(changed(cost=None, ensemble={"seeds": 2, "use": "best"}))
    scores = [one["validation"] for one in best.summary["runs"]]
    kept = [run_.final()["accuracy"] for run_ in best.histories]
    assert scores == kept
    assert not hasattr(best.model, "members")


def test_a_pruned_network_keeps_an_epoch_that_is_pruned() -> None:
    recipe = changed(cost=None, pruning={"sparsity": 0.8, "begin": 0.1, "end": 0.5}, train={"epochs": 8, "rate": 1e-3})
    result = run(recipe)
    assert result.histories[0].kept >= 4
    assert sparsity(result.model) >= 0.8
    assert result.histories[0].final()["sparsity"] >= 0.8


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"title": "x"}, r"recipe 'recipe': the table \[task\] is missing"),
        (changed(modle={"kind": "mlp"}), r"there is no 'modle'\n  try: model\?"),
        (changed(task={"kind": "digit"}), r"\[task\] kind: there is no 'digit'\n  try: digits\? possible: anomaly, "),
        (changed(task={"spilt": 1}), r"\[task\]: there is no 'spilt'\n  try: split\? possible: image, "),
        (changed(task={"split": "a"}), r"\[task\] split = 'a': a whole number is wanted"),
        (changed(task={"image": 1}), r"\[task\] image = 1: true or false is wanted"),
        (changed(model={"layers": [8, 1.5]}), r"\[model\] layers = \[8, 1\.5\]: a list, each a whole number is wanted"),
        (changed(model={"kind": "deepsets", "layers": None}), r"\[model\] kind = 'deepsets': rows of shape \(64,\)"),
        (changed(quantisers={"kind": "ternary?"}), r"\[quantisers\] kind: there is no 'ternary\?'"),
        (changed(quantisers={"weight": "row"}), r"\[quantisers\] weight = 'row': 'tensor' or 'channel' or 'element'"),
        (
            changed(quantisers={"kind": "fixed", "bits": None}),
            r"\[quantisers\]: input is missing\n  try: input = …, a text",
        ),
        (changed(train={"epochs": 0}), r"\[train\]: training option epochs = 0 cannot be\n  try: at least 1"),
        (changed(train={"epoch": 3}), r"\[train\]: there is no 'epoch'\n  try: epochs\?"),
        (changed(train={"keep": "first"}), r"\[train\] keep = 'first': 'best' or 'last' is wanted"),
        (
            changed(cost={"kind": "dollars"}),
            r"\[cost\] kind: there is no 'dollars'\n  try: possible: cycles, ebops, luts, nanoseconds",
        ),
        (changed(cost={"at_most": -1}), r"\[cost\]: .*-1.*\n  try|\[cost\]: .*above 0"),
        (changed(cost={"at_most": "best"}), r"\[cost\] at_most = 'best': a number is wanted"),
        (changed(cost={"last": 1.0}), r"\[cost\]: there is no 'last'"),
        (changed(distillation={"share": 0.5}), r"\[distillation\]: there is no teacher"),
        (changed(teacher={"kind": "mlp"}, distillation={"share": 2.0}), r"\[distillation\]: .*share = 2\.0"),
        (changed(ensemble={"seeds": 0}), r"\[ensemble\] seeds = 0"),
        (changed(callbacks={"early": {}}), r"\[callbacks\]: there is no 'early'\n  try: early_stopping\?"),
        (changed(callbacks={"early_stopping": {"patience": 0}}), r"\[callbacks\.early_stopping\]: .*patience = 0"),
        (changed(pruning={"kind": "neuron"}), r"\[pruning\] kind: there is no 'neuron'\n  try: neurons\?"),
        (changed(pruning={"kind": [1]}), r"\[pruning\] kind: there is no '\[1\]'"),
        (changed(model={"layers": [-3]}), r"\[model\]: Trying to create tensor with negative dimension -3"),
        (changed(callbacks={"distillation": {}}), r"\[callbacks\.distillation\]: it needs teacher, which a table can"),
        (changed(pruning={"schedule": "cube"}), r"\[pruning\] schedule: there is no 'cube'\n  try: cubic\?"),
        (changed(pruning={"sparsity": 1.5}), r"\[pruning\]: pruning: sparsity = 1\.5"),
        (changed(pruning={"ratio": 0.5}), r"\[pruning\]: there is no 'ratio'\n  try: possible: begin, end, "),
        (changed(design={"target": "ecp7"}), r"\[design\] target: target 'ecp7' is unknown"),
        (changed(design={"backend": "vhdll"}), r"\[design\] backend: there is no 'vhdll'\n  try: vhdl\?"),
    ],
)
def test_what_a_recipe_cannot_say_is_named(recipe: dict[str, Any], message: str) -> None:
    recipe = {
        name: {k: v for k, v in table.items() if v is not None} if isinstance(table, dict) else table
        for name, table in recipe.items()
    }
    with pytest.raises(RecipeError, match=message):
        plan(read(recipe))


def test_recipe_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no recipe of this name ships(.|\n)*anomaly, attention, digits, jets"):
        read("jetz")
    with pytest.raises(RecipeError, match="there is no recipe file"):
        read(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("[task\n")
    with pytest.raises(RecipeError, match=r"bad\.toml' is no TOML: .*line 1"):
        read(tmp_path / "bad.toml")
    with pytest.raises(RecipeError, match="change 'rate=3'"):
        read("jets", ["rate=3"])


def test_changes_are_toml_or_a_bare_word() -> None:
    found = read("jets", ["train.rate=0.5", "model.layers=[4, 4]", "train.schedule=linear", "callbacks.csv_log.path=a"])
    assert found.table("train")["rate"] == 0.5
    assert found.table("model")["layers"] == [4, 4]
    assert found.table("train")["schedule"] == "linear"
    assert found.table("callbacks") == {"csv_log": {"path": "a"}}
    assert found.table("train")["epochs"] == read("jets").table("train")["epochs"]


def test_digits_name_the_package_that_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingToolError, match="package scikit-learn") as caught:
        plan(read(SMALL))
    assert "pip install scikit-learn" in str(caught.value)


NARROW = {
    "anomaly": ["model.layers=[4]"],
    "attention": ["model.dim=4", "model.heads=1", "model.wide=4", "model.whole=[4]", "task.most=4"],
    "digits": ["model.layers=[8]"],
    "jets": ["model.layers=[8]"],
    "particles": ["model.each=[4]", "model.whole=[4]", "task.most=4"],
    "tables": ["model.layers=[4]"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(shipped()))
def test_shipped_recipes_run_to_a_verified_design(name: str, tmp_path: Path) -> None:
    """Narrower than they ship, so that the whole ladder takes seconds."""
    changes = [*NARROW[name], "design.vectors=1000", "quantisers.bits=3", "train.batch=1024"]
    result = run(name, tmp_path, epochs=4, changes=changes)
    assert result.summary["agreement"]["mismatches"] == 0
    formal = result.design.report_data["verification"]["formal"]
    assert formal["neurons_proven"] == formal["neurons"]
    assert (tmp_path / "training.svg").exists()
    assert (tmp_path / "test.svg").exists()


def test_mirrored_jets_are_four_times_as_many() -> None:
    plain, mirrored = (plan(read("particles", [f"task.mirrored={word}"])).task for word in ("false", "true"))
    assert len(mirrored.train[0]) == len(mirrored.train[1]) == 4 * len(plain.train[0])
    for name in ("validation", "test"):
        np.testing.assert_array_equal(getattr(plain, name)[0], getattr(mirrored, name)[0])
    rows, images = plain.train[0], np.split(mirrored.train[0], 4)
    np.testing.assert_array_equal(images[0], rows)
    assert all((image[..., 0] == rows[..., 0]).all() and (abs(image) == abs(rows)).all() for image in images)
    assert len({image.tobytes() for image in images}) == 4
