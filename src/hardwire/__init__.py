"""hardwire: trained neural networks become FPGA firmware that answers in nanoseconds.

`compile(model, ...)` gives a `Design`; `load(build)` reads one back. Errors are `hardwire.errors.HardwireError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from hardwire import nn, train
    from hardwire.compiler import compile
    from hardwire.design import Design, load

__all__ = ["Design", "__version__", "compile", "load", "nn", "train"]

_HOME = {"compile": "hardwire.compiler", "Design": "hardwire.design", "load": "hardwire.design"}


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `hardwire --help` and the frontends' errors come at once.
    from importlib import import_module

    if name in ("nn", "train"):  # both need PyTorch
        return import_module(f"hardwire.{name}")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'hardwire' has no attribute {name!r}")
