"""A plot as a file of its own, on paper white."""

from __future__ import annotations

import os
from pathlib import Path

from matplotlib.figure import Figure

from hardwire.errors import DataError
from hardwire.report.plots import PAPER

SUFFIXES = (".svg", ".png", ".pdf")


def check_suffix(path: Path) -> None:
    """Raise `DataError` for a name that says no known format."""
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"plot {str(path)!r}: no picture format", hint=f"a name that ends in {', '.join(SUFFIXES)}")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format that its name says; beside first, then renamed."""
    check_suffix(path)
    beside = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        figure.savefig(beside, facecolor=PAPER, dpi=150, metadata={} if path.suffix != ".svg" else {"Date": None})
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
