"""Data sets that hardwire brings or makes. One file a data set: `names()` finds them by their files."""

from __future__ import annotations

import pkgutil

from hardwire.datasets._split import Standardiser, split_indices
from hardwire.datasets.jets import Jets, generate_jets, load_jets

__all__ = ["Jets", "Standardiser", "generate_jets", "load_jets", "names", "split_indices"]


def names() -> tuple[str, ...]:
    """The data sets: every public module here, each of which has `load()` and `generate(n, …)`."""
    found = (m.name for m in pkgutil.iter_modules(__path__) if not m.ispkg and not m.name.startswith("_"))
    return tuple(sorted(found))
