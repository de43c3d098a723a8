"""Layers that train as they compile: drop-in PyTorch modules whose forward pass is the design's arithmetic.

One file a layer family. A layer is a `torch.nn.Module` that quantises its inputs and parameters (`quantisers`), says
what it costs (`work`), and is exported with nothing lost: `hardwire.compile(model, example=x)`.
"""

from __future__ import annotations

from hardwire.errors import MissingToolError

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise MissingToolError(
        "training needs PyTorch, which is not installed", hint="pip install 'hardwire[train]'"
    ) from error

from hardwire.nn import quantisers
from hardwire.nn._layer import Layer
from hardwire.nn.dense import Dense
from hardwire.nn.scheme import Scheme
from hardwire.nn.tables import EdgeTables

__all__ = ["Dense", "EdgeTables", "Layer", "Scheme", "quantisers"]
