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
from hardwire.nn.activations import GELU, Activation, HardSigmoid, HardTanh, LeakyReLU, ReLU, Sigmoid, SiLU, Tanh
from hardwire.nn.attention import MultiheadAttention
from hardwire.nn.conv import Conv1d, Conv2d
from hardwire.nn.dense import Dense
from hardwire.nn.einsum import EinsumDense
from hardwire.nn.embedding import Embedding
from hardwire.nn.norm import BatchNorm, Norm, hold_statistics
from hardwire.nn.pooling import AvgPool1d, AvgPool2d, MaxPool1d, MaxPool2d, Mean, Sum
from hardwire.nn.recurrent import GRU, LSTM, SimpleRNN
from hardwire.nn.scheme import Scheme
from hardwire.nn.softmax import Softmax
from hardwire.nn.tables import EdgeTables, NeuronTables

__all__ = [
    "GELU",
    "GRU",
    "LSTM",
    "Activation",
    "AvgPool1d",
    "AvgPool2d",
    "BatchNorm",
    "Conv1d",
    "Conv2d",
    "Dense",
    "EdgeTables",
    "EinsumDense",
    "Embedding",
    "HardSigmoid",
    "HardTanh",
    "Layer",
    "LeakyReLU",
    "MaxPool1d",
    "MaxPool2d",
    "Mean",
    "MultiheadAttention",
    "NeuronTables",
    "Norm",
    "ReLU",
    "Scheme",
    "SiLU",
    "Sigmoid",
    "SimpleRNN",
    "Softmax",
    "Sum",
    "Tanh",
    "hold_statistics",
    "quantisers",
]
