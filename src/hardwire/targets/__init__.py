"""Device families: one file each, found by its presence in this folder; each lists its parts as `TARGETS`.

A target says what a part holds, what an op costs on it and how long it takes. Passes, solver, scheduler and reports
read nothing else about hardware.
"""

from __future__ import annotations

import difflib
from functools import cache

from hardwire.errors import HardwireError
from hardwire.presence import modules_in
from hardwire.targets._base import Costs, Delays, OpCosts, Resources, Target

__all__ = ["Costs", "Delays", "OpCosts", "Resources", "Target", "TargetError", "target", "targets"]

DEFAULT = "ecp5-85k"


class TargetError(HardwireError):
    """No such target."""

    exit_code = 2


@cache
def _registry() -> dict[str, Target]:
    found: dict[str, Target] = {}
    for module in modules_in(__name__, __path__).values():
        for part in module.TARGETS:
            found[part.name] = part
    return dict(sorted(found.items()))


def targets() -> dict[str, Target]:
    """All targets by name, sorted."""
    return dict(_registry())


def target(name: str | Target = DEFAULT) -> Target:
    """Return the target of that name, or a family's largest part; raises `TargetError` that lists the known ones."""
    if isinstance(name, Target):
        return name
    known = _registry()
    if name in known:
        return known[name]
    family = [part for part in known.values() if part.family == name]
    if family:
        return max(family, key=lambda part: part.resources.lut)
    close = difflib.get_close_matches(name, known, 1, 0.4)
    raise TargetError(
        f"target {name!r} is unknown",
        hint=(f"{close[0]}? " if close else "") + f"hardwire knows {', '.join(known)}",
    )
