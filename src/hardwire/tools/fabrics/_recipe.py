"""How Yosys synthesises for one device family, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

THOROUGH = ("scratchpad -copy abc9.script.flow3 abc9.script",)
"""For `Recipe.before`: logic is mapped by the longer of ABC's scripts; tables take a fifth fewer LUT4 than by the usual
one, for about twice its time."""


@dataclass(frozen=True)
class Recipe:
    """How Yosys synthesises for one device family."""

    synth_command: str
    """The family's `synth_*` command with its fixed options; `-top` is added."""
    before: tuple[str, ...] = ()
    """Commands in front of it."""
    with_dsp: str = ""
    """Option that asks for multiplier blocks, where the command does not use them by itself."""
    without_dsp: str = "-nodsp"
    without_bram: str = "-nobram"
    finish: Callable[[dict[str, Any]], int] | None = None
    """Changes the finished top module (as in Yosys' JSON) in place; returns the number of changes."""
    pads: str = ""
    """Command that puts pad cells at the ports of a whole design, where place & route wants them in the netlist."""
    resources: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """How many of `lut`, `ff`, `carry`, `dsp` and `bram` a cell stands for: cell type → {resource: number}."""
