"""What a recipe asks for, as objects: everything is found and checked here, before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import ModuleType
from typing import Any, Literal, TypeVar

import torch
from torch import nn

from hardwire import backends
from hardwire.nn import Scheme
from hardwire.presence import modules_in
from hardwire.targets import target as find_target
from hardwire.train import callbacks as callback_package
from hardwire.train import costs as cost_package
from hardwire.train import pruning, tables
from hardwire.train.callbacks import (
    Callback,
    Constraint,
    CsvLog,
    Distillation,
    EarlyStopping,
    ParetoFront,
    Ramp,
    TensorBoard,
)
from hardwire.train.costs import Calibrated, Cost
from hardwire.train.models import models
from hardwire.train.options import Options
from hardwire.train.pruning import Pruning, Schedule
from hardwire.train.recipes import Recipe
from hardwire.train.tables import RecipeError, called, no_such
from hardwire.train.tasks import tasks
from hardwire.train.tasks._base import Task

T = TypeVar("T")

FLOAT = Scheme(None, None, None)
"""No quantiser anywhere."""

_SCHEMES: dict[str, Callable[..., Scheme]] = {"learned": Scheme.learned, "fixed": Scheme.fixed}


@dataclass(frozen=True)
class Keeping:
    """Fields of `[train]` beside those of `Options`."""

    keep: Literal["best", "last"] = "best"
    """Whose weights the model has at the end, where there is no cost: the best epoch's or the last one's."""
    patience: int | None = None
    """Epochs without improvement after which to stop."""
    tensorboard: bool = False
    """Write a TensorBoard log beside the CSV log."""


@dataclass(frozen=True)
class Pricing:
    """Fields of `[cost]` beside those of the cost model and of what holds it."""

    within: float | None = None
    """Most that the compiled point may cost; `at_most` if there is one."""
    after: float = 0.5
    """Share of the run before which no epoch may be on the front."""
    calibrations: int = 20
    """How often in the run the model is compiled, so that the cost is what the design takes; 0 trusts the estimate."""


@dataclass(frozen=True)
class Taught:
    """Fields of `[teacher]` beside those of its model."""

    epochs: int | None = None
    """Of the teacher's training; those of `[train]` if None."""


@dataclass(frozen=True)
class Together:
    """Fields of `[ensemble]`."""

    seeds: int = 1
    """Trainings, from `train.seed` on."""
    use: Literal["average", "best"] = "average"
    """Compile all of them with their outputs averaged, or the one that is best on the validation rows."""


@dataclass(frozen=True)
class Building:
    """Fields of `[design]`."""

    target: str = "ecp5-85k"
    clock_mhz: float | None = None
    latency_ns: float | None = None
    latency_cycles: int | None = None
    backend: str = "verilog"
    effort: int = 1
    vectors: int = 10_000
    """Vectors for the simulation, beside the test rows."""
    formal: bool = True
    """Prove the circuit."""
    synthesize: bool = False
    """Synthesise, place and route with the open tools."""


@dataclass(frozen=True, eq=False)
class Plan:
    """A recipe's objects. `build(seed)` makes the model, `further()` the callbacks, both anew for each training."""

    recipe: Recipe
    task: Task
    options: Options
    keeping: Keeping
    pricing: Pricing
    cost: Cost | None
    cost_name: str
    at_most: float | None
    together: Together
    building: Building
    build: Callable[[int], nn.Module]
    further: Callable[[], list[Callback]]
    settled: float = 0.0
    """Share of the run before which no epoch's weights may be kept: the pruning is not done."""
    teacher: Callable[[], nn.Module] | None = None
    teacher_options: Options = field(default_factory=Options)
    distillation: Mapping[str, Any] = field(default_factory=dict)

    @property
    def within(self) -> float | None:
        """Most that the compiled point may cost."""
        return self.at_most if self.pricing.within is None else self.pricing.within


def plan(recipe: Recipe) -> Plan:
    """Find and check everything that a recipe names; raises `RecipeError` that names the table and field."""
    building = called(Building, recipe.table("design"), recipe.where("design"))
    _check_building(recipe, building)
    options, keeping = _shared(recipe, "train", Options, Keeping)
    together = called(Together, recipe.table("ensemble"), recipe.where("ensemble"))
    if together.seeds < 1:
        raise RecipeError(f"{recipe.where('ensemble')} seeds = {together.seeds}", hint="at least 1")
    scheme = _scheme(recipe)
    task = _kind(recipe, "task", tasks(), "task", {"seed": options.seed})
    make = {"inputs": task.inputs, "outputs": task.outputs}
    model_kind, model_table = _named(recipe, "model", models())
    arguments = tables.checked(model_kind.model, model_table, recipe.where("model"), {**make, "scheme": scheme})

    def build(seed: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return model_kind.model(**arguments)

    try:
        build(0)(torch.as_tensor(task.train[0][:2]))  # what it refuses is told now
    except (RuntimeError, ValueError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecipeError(f"{recipe.where('model')}: {reason}", hint="sizes of 1 or more, that fit memory") from error
    cost, held, pricing, at_most = _cost(recipe, building)
    pruned, pruned_after = _pruning(recipe)
    makers = [*held, *pruned, *_callbacks(recipe)]
    for maker in makers:
        maker()
    if keeping.tensorboard:
        TensorBoard()
    teacher, teacher_options, distillation = _teacher(recipe, make, options)
    return Plan(
        recipe,
        task,
        options,
        keeping,
        pricing,
        cost,
        str(recipe.table("cost").get("kind", "")),
        at_most,
        together,
        building,
        build,
        lambda: [maker() for maker in makers],
        pruned_after,
        teacher,
        teacher_options,
        distillation,
    )


def watching(of: Plan, logs: bool) -> tuple[list[Callback], ParetoFront | None]:
    """Return the callbacks that follow a training: the front or the best epoch, and logs where there is a folder."""
    found: list[Callback] = []
    front = None
    if of.cost is not None:
        front = ParetoFront(of.cost, after=max(of.settled, of.pricing.after), name=of.cost_name)
        found.append(front)
    patience = of.keeping.patience
    if patience is not None or (front is None and of.keeping.keep == "best"):
        restore = front is None and of.keeping.keep == "best"
        found.append(EarlyStopping(patience, restore=restore, after=of.settled))
    if logs:
        found.append(CsvLog())
    if logs and of.keeping.tensorboard:
        found.append(TensorBoard())
    return found, front


def _named(recipe: Recipe, table: str, modules: Mapping[str, ModuleType]) -> tuple[ModuleType, dict[str, Any]]:
    """Return the module that a table's `kind` names, and the other fields."""
    rest = recipe.table(table)
    kind = rest.pop("kind", None)
    if not isinstance(kind, str):
        raise RecipeError(f"{recipe.where(table)}: kind is missing", hint=f"kind = {' or '.join(map(repr, modules))}")
    if kind not in modules:
        raise no_such(f"{recipe.where(table)} kind", kind, modules)
    return modules[kind], rest


def _kind(
    recipe: Recipe, table: str, modules: Mapping[str, ModuleType], function: str, given: Mapping[str, Any]
) -> Any:
    module, rest = _named(recipe, table, modules)
    return called(getattr(module, function), rest, recipe.where(table), given)


def _shared(recipe: Recipe, table: str, first: Callable[..., Any], second: Callable[..., Any]) -> tuple[Any, Any]:
    """Call two functions with a table whose fields are those of both."""
    own, where = tables.fields(second), recipe.where(table)
    fields = recipe.table(table)
    possible = {**tables.fields(first), **own}
    for name in fields:
        if name not in possible:
            raise no_such(where, name, possible)
    one = called(first, {name: value for name, value in fields.items() if name not in own}, where)
    return one, called(second, {name: value for name, value in fields.items() if name in own}, where)


def _scheme(recipe: Recipe) -> Scheme:
    table, where = recipe.table("quantisers"), recipe.where("quantisers")
    scheme = called(_chosen(table, "kind", _SCHEMES, where, "learned"), table, where)
    # Types are read when a quantiser is made.
    called(lambda: [make((2,)) for make in (scheme.input, scheme.weight, scheme.bias) if make is not None], {}, where)
    return scheme


def _own_class(module: ModuleType, base: type) -> type:
    """Return the class that a file is there for: its own, of a base."""
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    ]
    return next(value for value in found if not value.__name__.startswith("_"))


def _cost(
    recipe: Recipe, building: Building
) -> tuple[Cost | None, list[Callable[[], Callback]], Pricing, float | None]:
    """Return the cost model, what holds it, and its bound."""
    if not recipe.table("cost"):
        return None, [], Pricing(), None
    module, rest = _named(recipe, "cost", modules_in(cost_package.__name__, cost_package.__path__))
    where, kind = recipe.where("cost"), _own_class(module, Cost)
    own, pricing_fields = tables.fields(kind), tables.fields(Pricing)
    holder: type[Callback] | None = None
    if "at_most" in rest:
        holder = Constraint
    elif "first" in rest or "last" in rest:
        holder = Ramp
    held = tables.fields(holder, {"cost": None, "name": None}) if holder is not None else {}
    possible = {**own, **pricing_fields, **held, "at_most": float, "first": float, "last": float}
    for name in rest:
        if name not in possible or (name in ("at_most", "first", "last") and name not in held):
            raise no_such(
                where, name, {k: v for k, v in possible.items() if k in held or k in own or k in pricing_fields}
            )
    cost_fields = {name: value for name, value in rest.items() if name in own}
    if "target" in own:
        cost_fields.setdefault("target", building.target)
    cost = called(kind, cost_fields, where)
    pricing = called(Pricing, {name: value for name, value in rest.items() if name in pricing_fields}, where)
    if pricing.calibrations < 0:
        raise RecipeError(f"{where} calibrations = {pricing.calibrations}", hint="0 or more")
    if pricing.calibrations and type(cost).found is not Cost.found:
        cost = Calibrated(cost)
    makers: list[Callable[[], Callback]] = []
    if holder is not None:
        chosen = {name: value for name, value in rest.items() if name in held}
        given = {"cost": cost, "name": str(recipe.table("cost")["kind"])}
        makers.append(partial(called, holder, chosen, where, given))
    at_most = tables.converted(rest["at_most"], float, f"{where} at_most") if "at_most" in rest else None
    return cost, makers, pricing, at_most


def _pruning(recipe: Recipe) -> tuple[list[Callable[[], Callback]], float]:
    """Return what prunes, and the share of the run after which it is done."""
    table, where = recipe.table("pruning"), recipe.where("pruning")
    if not table:
        return [], 0.0
    kind = _chosen(table, "kind", _subclasses(Pruning), where, "magnitude")
    schedule = _chosen(table, "schedule", _subclasses(Schedule), where, "cubic")
    own = tables.fields(schedule)
    possible = {**own, **tables.fields(kind, {"schedule": None})}
    for name in table:
        if name not in possible:
            raise no_such(where, name, possible)
    when = called(schedule, {name: value for name, value in table.items() if name in own}, where)
    rest = {name: value for name, value in table.items() if name not in own}
    return [partial(called, kind, rest, where, {"schedule": when})], getattr(when, "end", getattr(when, "when", 0.0))


def _subclasses(base: type) -> dict[str, type]:
    """Return what `hardwire.train.pruning` offers of a kind, by names such as memory_words."""
    offered = (getattr(pruning, name) for name in pruning.__all__)
    kinds = [value for value in offered if isinstance(value, type) and issubclass(value, base) and value is not base]
    return {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower(): kind for kind in kinds}


def _chosen(table: dict[str, Any], field: str, possible: Mapping[str, T], where: str, default: str) -> T:
    """Take a name out of a table, and return what it names."""
    name = table.pop(field, default)
    if not isinstance(name, str) or name not in possible:
        raise no_such(f"{where} {field}", str(name), possible)
    return possible[name]


def _callbacks(recipe: Recipe) -> list[Callable[[], Callback]]:
    """Callbacks that `[callbacks.NAME]` names by their file."""
    modules = modules_in(callback_package.__name__, callback_package.__path__)
    makers: list[Callable[[], Callback]] = []
    for name, table in recipe.table("callbacks").items():
        where = recipe.where(f"callbacks.{name}")
        if name not in modules:
            raise no_such(recipe.where("callbacks"), name, modules)
        if not isinstance(table, Mapping):
            raise RecipeError(f"{recipe.where('callbacks')} {name} = {table!r} is no table", hint=f"[callbacks.{name}]")
        kind = _own_class(modules[name], Callback)
        makers.append(partial(called, kind, table, where))
    return makers


def _teacher(
    recipe: Recipe, make: Mapping[str, Any], options: Options
) -> tuple[Callable[[], nn.Module] | None, Options, dict[str, Any]]:
    distillation = recipe.table("distillation")
    if not recipe.table("teacher"):
        if distillation:
            raise RecipeError(f"{recipe.where('distillation')}: there is no teacher", hint="[teacher] with its model")
        return None, options, {}
    module, rest = _named(recipe, "teacher", models())
    where = recipe.where("teacher")
    own = tables.fields(Taught)
    taught = called(Taught, {name: value for name, value in rest.items() if name in own}, where)
    fields = {name: value for name, value in rest.items() if name not in own}
    arguments = tables.checked(module.model, fields, where, {**make, "scheme": FLOAT})
    called(Distillation, distillation, recipe.where("distillation"), {"teacher": nn.Identity()})

    def build() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            return module.model(**arguments)

    build()
    changed = replace(options, epochs=options.epochs if taught.epochs is None else taught.epochs)
    return build, changed, distillation


def _check_building(recipe: Recipe, building: Building) -> None:
    where = recipe.where("design")
    called(find_target, {}, f"{where} target", {"name": building.target})
    if building.backend != "emulator" and building.backend not in backends.backends():
        raise no_such(f"{where} backend", building.backend, ["emulator", *backends.backends()])
