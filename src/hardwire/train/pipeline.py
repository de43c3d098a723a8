"""From a recipe to a design: data, training, the compiled and verified design, its report and its plots."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from hardwire.compiler import compile as compile_model
from hardwire.design import EMULATOR, Design, needs_circuit, report_text
from hardwire.errors import TrainingError, VerificationError
from hardwire.folders import free_folder, write_text
from hardwire.report.figure_file import save_figure
from hardwire.report.html import write_html
from hardwire.train import plots
from hardwire.train.callbacks import Calibration, Distillation, EarlyStopping, ParetoFront, Point
from hardwire.train.callbacks.pareto import front as front_of
from hardwire.train.costs import Calibrated
from hardwire.train.ensemble import Ensemble, Seeds
from hardwire.train.evaluation import evaluate
from hardwire.train.loop import History, fit
from hardwire.train.plan import Plan, plan, watching
from hardwire.train.recipes import Recipe, read
from hardwire.verification import check

RECIPE, RESULT = "recipe.json", "result.json"

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Result:
    """What came out of a recipe.

    `summary` is `result.json`. `folder` holds `design/` (a build directory), `training/` (checkpoints, logs),
    `training.svg` and the task's plot; None if nothing was written.
    """

    plan: Plan = field(repr=False)
    model: nn.Module = field(repr=False)
    design: Design
    histories: list[History] = field(repr=False)
    front: list[tuple[float, float]]
    """Points (cost, metric of the validation rows) of all trainings that no other beats, cheapest first."""
    figures: dict[str, float]
    """Of the test rows, as the design computes them."""
    outputs: NDArray[np.float64] = field(repr=False)
    """The design's outputs of the test rows."""
    summary: dict[str, Any] = field(repr=False)
    folder: Path | None = None

    def plot(self) -> Figure:
        """Draw the learning curves, and the metric over the cost where there is one."""
        of, runs = self.plan, self.histories
        kept = [run.epochs[run.kept - 1] for run in runs]
        name = runs[0].metric.name
        only = len(runs) == 1 and of.cost_name in kept[0]
        return plots.training(
            [run.epochs for run in runs],
            name,
            [run.kept for run in runs],
            of.cost_name or None,
            self.front,
            (kept[0][of.cost_name], kept[0][name]) if only else None,
        )

    def task_plot(self) -> Figure | None:
        """Draw the task's own plot of the test rows."""
        draw = self.plan.task.plot
        return None if draw is None else draw(self.outputs, self.plan.task.test[1])


def run(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    folder: str | Path | None = None,
    *,
    epochs: int | None = None,
    seed: int | None = None,
    changes: Iterable[str] = (),
    resume: bool = True,
    progress: Say | None = None,
) -> Result:
    """Run a recipe, a shipped one's name, a TOML file's path or its contents, to its verified design.

    `epochs`, `seed` and `changes` (`TABLE.FIELD=VALUE`) take the place of what the recipe says. With a `folder` a
    killed run goes on where it was; `resume=False` starts anew.

    Raises:
        RecipeError: the recipe cannot be used; nothing was trained.
        TrainingError: the training failed, or the folder holds another run.
        VerificationError: the trained model and the design disagree in a bit.
    """
    say: Say = progress or (lambda text: None)
    asked = [*changes]
    asked += [] if epochs is None else [f"train.epochs={epochs}"]
    asked += [] if seed is None else [f"train.seed={seed}"]
    found = read(recipe, asked)
    say("reading the data")
    of = plan(found)
    home = None if folder is None else _home(Path(folder), found, resume)
    teacher, taught = _teacher(of, home, resume, say)
    trained, fronts, notes = _members(of, teacher, home, resume, say)
    averaged = of.together.use == "average" and len(trained.models) > 1
    model = Ensemble(trained.models).eval() if averaged else trained.best()

    say("compiling")
    x, y = of.task.test
    design = _compiled(of, model, say)
    say("comparing the trained model with the design")
    agreement, outputs = _agreement(model, design, x)
    figures = of.task.figures(outputs, y)
    if of.building.synthesize:
        design.synthesize(progress=say)
    if of.building.backend != EMULATOR:
        design.verify(x, formal=of.building.formal, vectors=of.building.vectors, progress=say)
        check(design.report_data["verification"])
    higher = trained.histories[0].metric
    front = [(point.cost, point.metric) for point in front_of([p for points in fronts for p in points], higher)]
    summary = _summary(of, trained, front, figures, agreement, taught, notes, design)
    design.report_data["training"] = summary
    result = Result(of, model, design, trained.histories, front, figures, outputs, summary, home)
    if home is not None:
        say("writing")
        _write(result, home)
    return result


def _home(folder: Path, recipe: Recipe, resume: bool) -> Path:
    """Return the run's folder, with the recipe in it; raises `TrainingError` if it holds a run of another one."""
    home = free_folder(folder, RECIPE, "training run")
    path = home / RECIPE
    asked = json.loads(json.dumps({"name": recipe.name, "title": recipe.title, **recipe.tables}))
    if not resume:
        shutil.rmtree(home / "training", ignore_errors=True)
    elif path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        for table in sorted({*before, *asked} - {"name", "title", "design"}):
            had, has = before.get(table, {}), asked.get(table, {})
            if had != has:
                name = next(key for key in {**had, **has} if had.get(key) != has.get(key))
                raise TrainingError(
                    f"{str(folder)!r} holds a run with {table}.{name} = {had.get(name)!r}, not {has.get(name)!r}",
                    hint="the same again to go on, another folder, or --restart (resume=False)",
                )
    home.mkdir(parents=True, exist_ok=True)
    write_text(path, report_text(asked))
    return home


def _teacher(of: Plan, home: Path | None, resume: bool, say: Say) -> tuple[nn.Module | None, dict[str, float]]:
    """Train the teacher, in float; its figures of the test rows."""
    if of.teacher is None:
        return None, {}
    model = of.teacher()
    fit(
        model,
        of.task.train,
        of.task.validation,
        of.teacher_options,
        loss=of.task.loss,
        metric=of.task.metric,
        callbacks=[EarlyStopping(None)],
        folder=None if home is None else home / "training" / "teacher",
        resume=resume,
        progress=lambda text: say(f"teacher: {text}"),
    )
    x, y = of.task.test
    return model, of.task.figures(evaluate(model, x).double().numpy(), y)


def _members(
    of: Plan, teacher: nn.Module | None, home: Path | None, resume: bool, say: Say
) -> tuple[Seeds, list[list[Point]], list[str]]:
    """Train the model once a seed, and give each the weights that it is to keep."""
    models, histories, fronts, notes = [], [], [], []
    seeds = tuple(range(of.options.seed, of.options.seed + of.together.seeds))
    for seed in seeds:
        where = None if home is None else home / "training" / (f"seed-{seed}" if len(seeds) > 1 else "")
        model = of.build(seed)
        watchers, front = watching(of, logs=where is not None)
        taught = [] if teacher is None else [Distillation(teacher, **of.distillation)]
        before = f"seed {seed}: " if len(seeds) > 1 else ""
        history = fit(
            model,
            of.task.train,
            of.task.validation,
            replace(of.options, seed=seed),
            loss=of.task.loss,
            metric=of.task.metric,
            callbacks=[*taught, *_calibrating(of), *of.further(), *watchers],
            folder=where,
            resume=resume,
            progress=lambda text, before=before: say(before + text),  # type: ignore[misc]
        )
        if front is not None:
            point, note = _chosen(of, front, history, model, say)
            if point is not None:
                history = replace(history, kept=point.epoch)
            notes += [before + note] if note else []
            fronts.append(front.points)
        models.append(model)
        histories.append(history)
    return Seeds(seeds, models, histories), fronts, notes


def _calibrating(of: Plan) -> list[Calibration]:
    """Return what corrects the cost by what the compiler finds, where it can be."""
    if not isinstance(of.cost, Calibrated):
        return []
    return [Calibration(of.cost, lambda model: _found(of, model), times=of.pricing.calibrations)]


def _found(of: Plan, model: nn.Module) -> dict[str, float]:
    """Compile a model, and return by layer what its design takes of the cost; raises `HardwireError`."""
    assert of.cost is not None
    part = "verilog" if not needs_circuit(of.building.backend) else of.building.backend
    found = of.cost.found(_compiled(of, model, backend=part).report_data)
    assert found is not None
    return found


def _chosen(of: Plan, front: ParetoFront, history: History, model: nn.Module, say: Say) -> tuple[Point | None, str]:
    """Load into `model` the best point of the front that may be compiled; return it and what is to be said of it.

    A point may be compiled whose cost is within the bound, and that of its design too where the compiler says it.
    """
    if not front.points:
        return None, "no epoch is on the front (see cost.after); the last one is compiled"
    within = math.inf if of.within is None else of.within
    # By cost a front's metrics rise.
    ranked = [point for point in reversed(front.points) if point.cost <= within]
    smallest, least = front.points[0], math.inf
    for point in ranked:
        front.load(point, model)
        if within == math.inf or not isinstance(of.cost, Calibrated):
            return point, ""
        say(f"compiling epoch {point.epoch}")
        cost = sum(_found(of, model).values())
        if cost <= within:
            always = f"nothing but constants is left within {of.cost_name} <= {within:g}; a looser bound"
            return point, "" if cost else always
        if cost < least:
            smallest, least = point, cost
    front.load(smallest, model)
    took = f"{smallest.cost:,.4g}" if least == math.inf else f"{least:,.0f}"
    return smallest, (
        f"no epoch came to {of.cost_name} <= {within:g}: the smallest, {took}, is compiled; "
        "more epochs, or a smaller model"
    )


def _compiled(of: Plan, model: nn.Module, say: Say | None = None, backend: str | None = None) -> Design:
    building = of.building
    return compile_model(
        model,
        example=of.task.test[0][:1],
        target=building.target,
        clock_mhz=building.clock_mhz,
        latency_ns=building.latency_ns,
        latency_cycles=building.latency_cycles,
        backend=backend or building.backend,
        effort=building.effort,
        name="".join(c if c.isalnum() else "_" for c in of.recipe.name),
        progress=say,
    )


def _agreement(model: nn.Module, design: Design, x: NDArray[Any]) -> tuple[dict[str, int], NDArray[np.float64]]:
    """Compare the training's forward pass with the design, on every row and output; raises `VerificationError`."""
    wanted = evaluate(model, x).double().numpy()
    got = design.predict(x)
    wrong = int((got != wanted).sum())
    if wrong:
        row = int(np.flatnonzero((got != wanted).reshape(len(got), -1).any(axis=1))[0])
        raise VerificationError(
            f"the trained model and the design disagree in {wrong} of {got.size} outputs, first in test row {row}: "
            f"{wanted[row].tolist()} and {got[row].tolist()}",
            hint="sums beyond 24 bits are not exact in PyTorch's float32: fewer fractional bits",
        )
    return {"rows": len(got), "outputs": int(got.size), "mismatches": wrong}, got


def _summary(
    of: Plan,
    trained: Seeds,
    front: list[tuple[float, float]],
    figures: dict[str, float],
    agreement: dict[str, int],
    taught: dict[str, float],
    notes: list[str],
    design: Design,
) -> dict[str, Any]:
    report, metric = design.report_data, trained.histories[0].metric
    return {
        "recipe": of.recipe.name,
        "title": of.recipe.title,
        "tables": {name: dict(table) for name, table in of.recipe.tables.items()},
        "metric": metric.name,
        "runs": [
            {
                "seed": seed,
                "epochs": len(history.epochs),
                "kept": history.kept,
                "validation": history.final()[metric.name],
                "cost": history.final().get(of.cost_name),
                "stopped": history.stopped,
                "seconds": sum(history.column("seconds")),
            }
            for seed, history in zip(trained.seeds, trained.histories, strict=True)
        ],
        "cost": of.cost_name or None,
        "front": [list(point) for point in front],
        "test": figures,
        "teacher": taught or None,
        "agreement": agreement,
        "notes": notes,
        "preprocessing": dict(of.task.preprocessing),
        "classes": list(of.task.classes),
        "design": {
            "target": design.target.name,
            "lut": report["estimate"]["lut"] if "estimate" in report else None,
            "cycles": report["latency"]["cycles"] if report.get("latency") else None,
            "ns": report["latency"]["ns"] if report.get("latency") else None,
            "synthesis": report.get("synthesis"),
        },
        "verification": report.get("verification"),
    }


def _write(result: Result, home: Path) -> None:
    """Write the build, its report, the plots and the result."""
    result.design.save(home / "design")
    write_html(result.design.report_data, home / "design" / "report.html")
    save_figure(result.plot(), home / "training.svg")
    drawn = result.task_plot()
    if drawn is not None:
        save_figure(drawn, home / "test.svg")
    write_text(home / RESULT, report_text(result.summary))
