"""What the command does before anything else, so that it starts in less than half the time.

A process that only compiles a model spends more time on loading than on compiling. Two things of numba's are loaded
before the first compiled function and used by none of ours: SciPy, for its BLAS, and the extensions that installed
packages register (awkward brings one). And most collections of garbage while modules load find nothing.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType

_FEW_COLLECTIONS = 100_000
"""Objects made between two collections: a compile makes a few hundred thousand that live to its end."""


def start_lean() -> None:
    """Collect garbage rarely, and keep numba from loading what this process does not need.

    For the process of a command only: a library has no say in how its user's process collects or loads.
    """
    gc.set_threshold(_FEW_COLLECTIONS)
    sys.meta_path.insert(0, _Lean())


class _Lean:
    """Steps in once, when numba is first imported; a numba of another shape is left as it is."""

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """Find numba as the others do, with more to load behind it; no other import is answered."""
        if name != "numba":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            # Numba itself is loaded once and by its own loader: a second time would leave it without its parts.
            def load_more(module: ModuleType) -> None:
                with _no_scipy():
                    load(module)
                    _load_arrays()

            spec.loader.exec_module = load_more  # type: ignore[method-assign]
        return spec


@contextmanager
def _no_scipy() -> Iterator[None]:
    absent = "scipy.linalg" not in sys.modules
    if absent:
        sys.modules["scipy.linalg"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules["scipy.linalg"]


def _load_arrays() -> None:
    entry_points = importlib.import_module("numba.core.entrypoints")
    if isinstance(getattr(entry_points, "_already_initialized", None), bool):
        entry_points._already_initialized = True  # type: ignore[attr-defined]
    importlib.import_module("numba.np.arraymath")
