"""A cost that is corrected by what the compiler finds: its sums, and that a run ends within its bound for true."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training_data import dense, rings

import hardwire as hw
from hardwire import nn
from hardwire.errors import HardwireError, UnsupportedError
from hardwire.train import Calibration, Constraint, CsvLog, Options, fit, run
from hardwire.train.costs import Calibrated, Ebops, Luts
from hardwire.train.recipes import Recipe, read


def luts_of(model: torch.nn.Module) -> dict[str, float]:
    report = hw.compile(model, example=rings(1)[0], target="ecp5-85k").report_data
    found = Luts("ecp5-85k").found(report)
    assert found is not None
    assert sum(found.values()) == pytest.approx(report["estimate"]["lut"], abs=1.0)
    return found


def test_calibrated_is_what_was_found_and_moves_by_layer() -> None:
    model = dense()
    plain = Luts("ecp5-85k")
    cost = Calibrated(plain)
    model(torch.as_tensor(rings()[0]))
    model.eval()
    assert cost(model).item() == plain(model).item()
    estimates = {name: value.item() for name, value in plain.by_layer(model).items()}
    cost.calibrate(model, {"0.linear": 2.0 * estimates["0"], "3.linear_1": estimates["3"], "sum_1": 100.0, "30": 7.0})
    found = {name: value.item() for name, value in cost.by_layer(model).items()}
    assert found == pytest.approx({"0": 2.0 * estimates["0"], "3": estimates["3"]})
    assert cost(model).item() == pytest.approx(sum(found.values()) + 107.0)
    cost(model).backward()
    assert model[0].weight_quantiser.f.grad.abs().sum() > 0
    cost.calibrate(model, {"0.linear": 1e-9})
    assert cost(model).item() == pytest.approx(0.0, abs=1e-2)
    cost.clear()
    assert cost(model).item() == plain(model).item()
    assert Ebops().found({"layers": []}) is None
    assert plain.found({"layers": []}) is None


def test_a_layer_alone_is_the_model() -> None:
    layer = nn.Dense(4, 3)
    layer(torch.as_tensor(rings()[0]))
    cost = Calibrated(Luts("ecp5-85k"))
    cost.calibrate(layer, {"linear": 50.0})
    assert cost(layer).item() == pytest.approx(50.0)


def calibrated(folder: Path, found=luts_of, epochs: int = 8, times: int = 4, said=None):
    model, cost = dense(), Calibrated(Luts("ecp5-85k"))
    callbacks = [Calibration(cost, found, times=times), Constraint(cost, at_most=250, name="luts"), CsvLog()]
    options = Options(epochs=epochs, batch=50, rate=1e-2, bits_rate=5)
    fit(model, rings(300), rings(100, seed=1), options, callbacks=callbacks, folder=folder, progress=said)
    return model, cost


def test_a_run_is_calibrated_so_often_and_ends_at_what_is_compiled(tmp_path: Path) -> None:
    seen = []

    def found(model: torch.nn.Module) -> dict[str, float]:
        seen.append(model)
        return luts_of(model)

    model, cost = calibrated(tmp_path, found)
    assert len(seen) == 4
    # The last epoch was the last calibration.
    assert cost(model).item() == pytest.approx(sum(luts_of(model).values()))


def test_a_killed_run_goes_on_with_what_was_found(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    calls = []

    def fails(model: torch.nn.Module) -> dict[str, float]:
        calls.append(model)
        if len(calls) == 3:
            raise Killed
        return luts_of(model)

    whole, whole_cost = calibrated(tmp_path / "whole")
    with pytest.raises(Killed):
        calibrated(tmp_path / "killed", fails)
    again, cost = calibrated(tmp_path / "killed")
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))
    assert cost.scales == whole_cost.scales
    assert float(cost.rest) == float(whole_cost.rest)


def test_what_does_not_compile_yet_leaves_the_cost(tmp_path: Path) -> None:
    def fails(model: torch.nn.Module) -> dict[str, float]:
        raise UnsupportedError("no such thing")

    said: list[str] = []
    _, cost = calibrated(tmp_path, fails, said=said.append)
    assert all(float(scale) == 1.0 for scale in cost.scales.values())
    assert any("does not compile yet: no such thing" in text for text in said)
    with pytest.raises(HardwireError, match="times = 0"):
        calibrated(tmp_path, times=0)


SMALL = {
    "name": "small",
    "task": {"kind": "digits"},
    "model": {"kind": "mlp", "layers": [8]},
    "quantisers": {"bits": 3},
    "train": {"epochs": 8, "batch": 64, "rate": 0.01, "bits_rate": 10},
    "cost": {"kind": "luts", "at_most": 900, "reach": 0.5, "calibrations": 4},
    "design": {"backend": "emulator"},
}


def test_a_recipe_keeps_within_its_bound_as_compiled() -> None:
    pytest.importorskip("sklearn")
    result = run(SMALL)
    assert result.summary["notes"] == []
    design = hw.compile(result.model, example=result.plan.task.test[0][:1], target="ecp5-85k")
    assert design.report_data["estimate"]["lut"] <= 1.02 * 900 + 1
    with pytest.raises(HardwireError, match=r"\[cost\] calibrations = -1"):
        run(SMALL, changes=["cost.calibrations=-1"])


def test_a_bound_that_no_design_keeps_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    recipe: Recipe = read(SMALL, ["cost.at_most=20", "cost.calibrations=2", "train.epochs=2"])
    result = run(recipe)
    assert result.summary["notes"] == ["nothing but constants is left within luts <= 20; a looser bound"]
    monkeypatch.setattr("hardwire.train.pipeline._found", lambda *_: {"0": 30.0})
    result = run(recipe)
    assert result.summary["notes"][0].startswith("no epoch came to luts <= 20: the smallest, 30, is compiled")
