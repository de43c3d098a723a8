"""Frontends: one file a format, found by its presence in this folder; each turns its format into a Network.

A frontend module has `FORMAT` (its name), `accepts(source) -> bool` (a path by its first bytes, or a live object by its
class, without importing the framework) and `read(source, *, example, weights) -> Network`.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from hardwire.errors import ModelError
from hardwire.network.graph import Network
from hardwire.presence import modules_in


@cache
def _modules() -> tuple[ModuleType, ...]:
    return tuple(modules_in(__name__, __path__).values())


def formats() -> list[str]:
    """Names of the formats that can be read."""
    return [module.FORMAT for module in _modules()]


def load(source: Any, *, example: Any = None, weights: Any = None) -> Network:
    """Read a model into a Network.

    `source`: a path, or a live model. `example`: an array (batch first) or tuple of them, for models that do not say
    their input shapes. `weights`: a separate weights file. Raises `ModelError` for what no frontend accepts.
    """
    if isinstance(source, str | Path):
        source = Path(source)
        if not os.path.exists(source):  # False, too, for what can be no path at all
            raise ModelError(f"model {str(source)!r}: no such file", hint="check the path and the working directory")
        if source.is_file() and source.stat().st_size == 0:
            raise ModelError(f"model {str(source)!r}: the file is empty", hint="export or download it again")
    for module in _modules():
        if module.accepts(source):
            network: Network = module.read(source, example=example, weights=weights)
            return network
    what = f"model {str(source)!r}" if isinstance(source, Path) else f"model of type {type(source).__qualname__}"
    raise ModelError(
        f"{what}: not a format that hardwire reads ({', '.join(formats())})",
        hint="save the model as .keras, .h5, .onnx or .pt2 (torch.export.save)",
    )
