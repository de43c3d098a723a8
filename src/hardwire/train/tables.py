"""A table of a TOML file as the arguments of a function: checked against its signature, field by field.

What a function or class takes is thus all that there is to know of its table: its names, types and defaults.
"""

from __future__ import annotations

import difflib
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from hardwire.errors import HardwireError, MissingToolError, TrainingError

T = TypeVar("T")
Table = Mapping[str, Any]

_PLAIN = (bool, int, float, str)
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


class RecipeError(TrainingError):
    """A recipe cannot be used; names the table, the field, its value and what is possible."""

    exit_code = 2


def called(function: Callable[..., T], table: Table, where: str, given: Table | None = None) -> T:
    """Call `function` with a table's fields and the arguments `given`.

    `where` names the table in messages. Raises `RecipeError` for fields that the function does not take, lack, or
    that it refuses.
    """
    arguments = checked(function, table, where, given or {})
    try:
        return function(**arguments)
    except (RecipeError, MissingToolError):
        raise
    except HardwireError as error:
        raise RecipeError(f"{where}: {error.what}", hint=error.hint) from error


def fields(function: Callable[..., Any], given: Table | None = None) -> dict[str, Any]:
    """Name → type of what a table may set: parameters of plain types that are not `given`."""
    types_of = _types(function)
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in (given or {}) or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if _settable(types_of.get(name, Any)):
            found[name] = types_of[name]
    return found


def checked(function: Callable[..., Any], table: Table, where: str, given: Table) -> dict[str, Any]:
    """Arguments for `function`: the table's fields, checked and converted, and of `given` those that it takes."""
    possible = fields(function, given)
    parameters = inspect.signature(function).parameters
    arguments = {name: value for name, value in given.items() if name in parameters}
    for name, value in table.items():
        if name not in possible:
            raise no_such(where, name, possible)
        arguments[name] = converted(value, possible[name], f"{where} {name}")
    for name, parameter in parameters.items():
        several = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if several or parameter.default is not parameter.empty or name in arguments:
            continue
        if name not in possible:
            raise RecipeError(f"{where}: it needs {name}, which a table cannot say", hint="hardwire.train in Python")
        raise RecipeError(f"{where}: {name} is missing", hint=f"{name} = …, {_described(possible[name])}")
    return arguments


def no_such(where: str, name: str, possible: Sequence[str] | Mapping[str, Any]) -> RecipeError:
    """Return the error for a name that nothing has."""
    near = difflib.get_close_matches(name, list(possible), 1) or [other for other in possible if other.startswith(name)]
    listed = ", ".join(sorted(possible)) or "nothing can be set here"
    return RecipeError(f"{where}: there is no {name!r}", hint=(f"{near[0]}? " if near else "") + f"possible: {listed}")


def converted(value: Any, kind: Any, where: str) -> Any:
    """`value` as `kind`; raises `RecipeError`."""
    for option in _options(kind):
        found = _as(value, option)
        if found is not None:
            return found
    raise RecipeError(f"{where} = {value!r}: {_described(kind)} is wanted")


def _types(function: Callable[..., Any]) -> dict[str, Any]:
    target: Any = function.__init__ if inspect.isclass(function) else function
    try:
        return get_type_hints(target)
    except NameError:  # a type that is imported for type checkers alone
        return {}


def _options(kind: Any) -> list[Any]:
    if get_origin(kind) in (Union, types.UnionType):
        return [option for part in get_args(kind) for option in _options(part)]
    return [kind]


def _settable(kind: Any) -> bool:
    """Whether a TOML value can be one of these."""
    return any(
        option in _PLAIN or option is Path or get_origin(option) is Literal or _item(option) is not None
        for option in _options(kind)
    )


def _item(kind: Any) -> Any:
    """Type of the items of a list of plain values; None for what is none."""
    if get_origin(kind) not in (list, tuple, Sequence):
        return None
    inner = [part for part in get_args(kind) if part is not Ellipsis]
    return inner[0] if len(set(inner)) == 1 and inner[0] in _PLAIN else None


def _as(value: Any, kind: Any) -> Any:
    """`value` as one kind, or None."""
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind in _PLAIN:
        return value if type(value) is kind else None
    if kind is Path:
        return Path(value) if isinstance(value, str) else None
    if get_origin(kind) is Literal:
        return value if value in get_args(kind) else None
    item = _item(kind)
    if item is None or not isinstance(value, list):
        return None
    items = [_as(part, item) for part in value]
    return None if None in items else tuple(items)


def _described(kind: Any) -> str:
    words = []
    for option in _options(kind):
        if option in _WORDS:
            words.append(_WORDS[option])
        elif option is Path:
            words.append("a path")
        elif get_origin(option) is Literal:
            words.append(" or ".join(map(repr, get_args(option))))
        elif _item(option) is not None:
            words.append(f"a list, each {_WORDS[_item(option)]}")
    return " or ".join(words)
