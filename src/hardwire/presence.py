"""What is found by its presence: the modules of a package that registers one thing a file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType


def modules_in(package: str, path: Iterable[str]) -> dict[str, ModuleType]:
    """File name → module of every file in a package's `__path__`, sorted; names with an underscore are left out."""
    names = sorted(info.name for info in pkgutil.iter_modules(path) if not info.name.startswith("_"))
    return {name: importlib.import_module(f"{package}.{name}") for name in names}
