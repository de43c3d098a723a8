"""What the command does before anything else, so that it starts in less than half the time.

A process that only compiles a model spends more time on loading than on compiling. Two things of numba's are loaded
before the first compiled function and used by none of ours: SciPy, for its BLAS, and the extensions that installed
packages register (awkward brings one). And most collections of garbage while modules load find nothing.
"""

from __future__ import annotations

import gc
import importlib
import sys

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

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        """Answer no import, ever; see the class."""
        if name == "numba":
            sys.meta_path.remove(self)
            _load_numba()


def _load_numba() -> None:
    entry_points = importlib.import_module("numba.core.entrypoints")
    if isinstance(getattr(entry_points, "_already_initialized", None), bool):
        entry_points._already_initialized = True  # type: ignore[attr-defined]
    absent = "scipy.linalg" not in sys.modules
    if absent:
        sys.modules["scipy.linalg"] = None  # type: ignore[assignment]
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        if absent:
            del sys.modules["scipy.linalg"]
