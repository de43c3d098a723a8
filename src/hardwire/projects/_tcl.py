"""Tcl text that finds its files from its own place."""

from __future__ import annotations

import re

from hardwire.errors import InternalError

HERE = "set here [file dirname [file normalize [info script]]]\nset design [file dirname $here]"
"""The folder of the script that runs and the one above, with the design, as absolute paths, wherever the tool was
started."""


def word(text: str) -> str:
    """One word of Tcl that stands for `text` without substitution."""
    if re.fullmatch(r"[\w./:+-]+", text):
        return text
    if re.search(r"[{}\\]", text):
        raise InternalError(f"{text!r} cannot be written as one word of Tcl")
    return f"{{{text}}}"


def beside(name: str) -> str:
    """A file of the script's own folder."""
    return f"[file join $here {word(name)}]"


def above(name: str) -> str:
    """A file of the design, relative to the folder above the script's."""
    return f"[file join $design {word(name)}]"
