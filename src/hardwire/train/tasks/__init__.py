"""What recipes train for. One file a task: `task(seed, …)` gives its data, loss, metric and plot.

What else the function takes are the fields of the recipe's table `[task]`.
"""

from __future__ import annotations

from types import ModuleType

from hardwire.presence import modules_in


def tasks() -> dict[str, ModuleType]:
    """Tasks by name."""
    return modules_in(__name__, __path__)
