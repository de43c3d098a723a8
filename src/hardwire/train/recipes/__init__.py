"""Recipes: TOML files that say a whole training, from the data to the design. Those that ship lie here, by name.

A table a part: `[task]`, `[model]`, `[quantisers]`, `[train]`, `[cost]`, `[pruning]`, `[teacher]`, `[distillation]`,
`[ensemble]`, `[callbacks.NAME]`, `[design]`. `kind` names a file of the folder of that part (`train/tasks`,
`train/models`, …), and its function's signature says what else the table may hold. All of it is checked before
anything is trained.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from hardwire.train.tables import RecipeError, Table, no_such

TABLES = (
    "task",
    "model",
    "quantisers",
    "train",
    "cost",
    "pruning",
    "teacher",
    "distillation",
    "ensemble",
    "callbacks",
    "design",
)


@dataclass(frozen=True)
class Recipe:
    """A recipe as read: `name`, `title`, and its tables, of which those of `TABLES` that it lacks are empty."""

    name: str
    title: str
    tables: Mapping[str, Table]

    def table(self, name: str) -> dict[str, Any]:
        """Return a table's fields."""
        return dict(self.tables.get(name, {}))

    def where(self, name: str) -> str:
        """Name a table in messages."""
        return f"recipe {self.name!r}, [{name}]"


def shipped() -> dict[str, str]:
    """Return the text of each recipe that ships, by name."""
    folder = resources.files("hardwire.train.recipes")
    found = {file.name.removesuffix(".toml"): file for file in folder.iterdir() if file.name.endswith(".toml")}
    return {name: found[name].read_text(encoding="utf-8") for name in sorted(found)}


def read(recipe: str | Path | Mapping[str, Any] | Recipe, changes: Iterable[str] = ()) -> Recipe:
    """Return the recipe of a shipped name, a path, or its contents.

    `changes` are texts `TABLE.FIELD=VALUE`, VALUE as in TOML, that take the place of what it says. Raises
    `RecipeError` for what is no recipe.
    """
    if isinstance(recipe, Recipe):
        name = recipe.name
        contents: dict[str, Any] = {"title": recipe.title, **{k: dict(v) for k, v in recipe.tables.items()}}
    elif isinstance(recipe, Mapping):
        name, contents = str(recipe.get("name", "recipe")), dict(recipe)
    else:
        name, contents = _found(recipe)
    for change in changes:
        contents = _changed(contents, change)
    title = contents.pop("title", name)
    contents.pop("name", None)
    for table, value in contents.items():
        if table not in TABLES:
            raise no_such(f"recipe {name!r}", table, TABLES)
        if not isinstance(value, Mapping):
            raise RecipeError(f"recipe {name!r}: {table} = {value!r} is no table", hint=f"[{table}]")
    for table in ("task", "model"):
        if table not in contents:
            raise RecipeError(f"recipe {name!r}: the table [{table}] is missing", hint=f"[{table}] with kind = '…'")
    return Recipe(name, str(title), contents)


def _found(recipe: str | Path) -> tuple[str, dict[str, Any]]:
    path, texts = Path(recipe), shipped()
    if str(recipe) in texts:
        name, text = str(recipe), texts[str(recipe)]
    elif path.suffix == ".toml" or path.exists():
        name = path.stem
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise RecipeError(f"there is no recipe file {str(path)!r}", hint=f"or one of {', '.join(texts)}") from error
        except UnicodeDecodeError as error:
            raise RecipeError(f"recipe {str(path)!r} is no text: {error}", hint="a TOML file") from error
    else:
        raise RecipeError(
            f"recipe {str(recipe)!r}: no recipe of this name ships, and there is no such file",
            hint=f"one of {', '.join(texts)}, or a .toml file",
        )
    try:
        return name, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe {str(recipe)!r} is no TOML: {error}", hint="see https://toml.io") from error


def _changed(contents: Mapping[str, Any], change: str) -> dict[str, Any]:
    place, sign, text = change.partition("=")
    parts = place.strip().split(".")
    if not sign or len(parts) < 2 or not all(parts):
        raise RecipeError(f"change {change!r}", hint="TABLE.FIELD=VALUE, for example train.rate=0.001")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word is a text
    found: dict[str, Any] = {key: dict(part) if isinstance(part, Mapping) else part for key, part in contents.items()}
    inner = found
    for part in parts[:-1]:
        below = inner.get(part, {})
        inner[part] = dict(below) if isinstance(below, Mapping) else {}
        inner = inner[part]
    inner[parts[-1]] = value
    return found
