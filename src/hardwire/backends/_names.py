"""Names of signals: the model's layer names made legal, unique and readable."""

from __future__ import annotations

import re

from hardwire.ir.ops import OpCode
from hardwire.schedule.circuit import Circuit

_LONGEST = 48
_OWN_STEMS = frozenset({"table", "valid"})
"""Stems of names that the back ends make up themselves: lookup functions, the valid chain."""


def legal(name: str) -> str:
    """Return `name` as an identifier of Verilog and VHDL: letters, digits, single underscores, a letter first."""
    text = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9_]", "_", name)).strip("_")[:_LONGEST].rstrip("_")
    if not text:
        return "n"
    return text if text[0].isalpha() else f"n_{text}"


def comment(text: str) -> str:
    """Return `text` on one line, in printable ASCII, so that no layer name can end a comment."""
    return "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in text)


def signal_names(circuit: Circuit) -> list[str]:
    """A unique name for every value: its layer and its number within the layer; inputs by port and element.

    Names are injective: each ends in `_<number>` behind a stem that belongs to one layer or port alone. Stems differ in
    more than case, for languages that ignore it.
    """
    kernel = circuit.kernel
    names = [""] * len(kernel)
    stems: set[str] = {*_OWN_STEMS, *(bus.name for bus in (*circuit.inputs, *circuit.outputs))}
    for bus in circuit.inputs:
        for k, element in enumerate(bus.elements):
            if element.value >= 0 and not names[element.value]:
                names[element.value] = f"{bus.name}_{k}"
    stem_of: dict[int, str] = {}
    counts: dict[int, int] = {}
    for i, origin in enumerate(kernel.origin.tolist()):
        if names[i]:
            continue
        if origin not in stem_of:
            stem = fresh = legal(kernel.origins[origin])
            count = 1
            while fresh.lower() in stems:
                count += 1
                fresh = f"{stem}_v{count}"
            stems.add(fresh.lower())
            stem_of[origin] = fresh
        if kernel.op[i] == OpCode.CONST:
            continue
        counts[origin] = counts.get(origin, -1) + 1
        names[i] = f"{stem_of[origin]}_{counts[origin]}"
    return names
