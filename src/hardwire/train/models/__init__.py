"""Models that recipes name. One file a kind: `model(inputs, outputs, scheme, …)` builds a module.

`inputs` is the shape of a row without its batch axis, `outputs` the number of outputs, `scheme` the quantisers (all
None for a float model, such as a teacher). What else the function takes are the fields of the table `[model]`.
"""

from __future__ import annotations

from types import ModuleType

from hardwire.presence import modules_in


def models() -> dict[str, ModuleType]:
    """Kinds of models by name."""
    return modules_in(__name__, __path__)
