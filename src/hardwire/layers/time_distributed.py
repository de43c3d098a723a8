"""Keras' wrappers of one layer: `TimeDistributed`, `SpectralNormalization`, and `RNN` around cells.

A layer applied at every time step is, for most layers, the same layer on a tensor of higher rank: one kernel for all
steps. What counts axes otherwise (a global pooling, a bidirectional layer) is added once for each step.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from numpy.typing import NDArray

from hardwire.errors import UnsupportedError
from hardwire.layers import _keras as keras
from hardwire.layers._base import imports
from hardwire.layers.slicing import parts
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

Arrays = dict[str, NDArray[Any]]

_LAST_AXES = ("Dense", "Activation", "ReLU", "LeakyReLU", "ELU", "Dropout", "SimpleRNN", "LSTM", "GRU", "Embedding")
"""Layers that act on the last axes, whatever stands in front of them."""
_ALONG = ("BatchNormalization", "LayerNormalization", "Softmax", "RMSNormalization", "UnitNormalization")
"""Layers along axes that count the batch, which has the steps behind it here."""
_WINDOWS = {
    **{f"Conv{n}D": f"Conv{n + 1}D" for n in (1, 2)},
    "DepthwiseConv1D": "DepthwiseConv2D",
    **{f"{word}Pooling{n}D": f"{word}Pooling{n + 1}D" for word in ("Max", "Average") for n in (1, 2)},
}
"""Layers with windows, whose window over the steps is 1."""
_PER_WINDOW = ("kernel_size", "pool_size", "strides", "dilation_rate")
_TRAINING_ONLY = ("_initializer", "_regularizer", "_constraint")
_PLUMBING = ("name", "trainable", "dtype", "batch_input_shape", "batch_shape")


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return an inner layer's settings without what only training and the file need."""
    return {key: value for key, value in config.items() if not key.endswith(_TRAINING_ONLY) and key not in _PLUMBING}


def _inner(record: Record, attr: str = "layer") -> tuple[str, dict[str, Any], Arrays]:
    """Take the wrapped layer: its class, settings and arrays (`layer/0` or `NAME/kernel` in the file, or `kernel`)."""
    spec = record.take(attr)
    kind = spec.get("class_name") if isinstance(spec, dict) else None
    if not isinstance(kind, str) or not isinstance(spec.get("config"), dict):
        raise record.unsupported(attr, spec, "no layer of Keras")
    registered = spec.get("registered_name")
    kind = registered if isinstance(registered, str) and ">" in registered else kind
    arrays = {}
    for key in record.array_keys():
        head, _, rest = key.partition("/")
        arrays[rest if rest and head in (attr, spec["config"].get("name")) else key] = record.array(key)
    return kind, plain_config(spec["config"]), arrays


def _call(record: Record, net: NetworkBuilder, name: str, kind: str, x: str, config: Any, arrays: Arrays) -> list[str]:
    unknown = record.unsupported("layer", kind, "no import rule knows it")
    return keras.delegated(record, net, kind, (x, *record.inputs[1:]), config, arrays, name=name, unknown=unknown)


@imports("keras", "TimeDistributed")
def _keras_time_distributed(record: Record, net: NetworkBuilder) -> str | list[str]:
    """Hand the inner layer's settings and arrays to its own rule, for all steps at once where that has a meaning."""
    kind, config, arrays = _inner(record)
    if config.get("mask_zero"):
        raise record.unsupported("layer", "Embedding(mask_zero=True)", "versions of Keras differ in that mask")
    record.ignore("input_shape")
    x, name = record.inputs[0], record.name
    steps, *rest = net.shape(x)
    if kind == "Flatten" and config.get("data_format") in (None, "channels_last"):
        return net.add("reshape", name, [x], {"shape": (steps, prod(rest))})
    if kind in _ALONG and _shift_axes(config):
        return _call(record, net, name, kind, x, config, arrays)[0]
    wider = _WINDOWS.get(kind)
    last = config.get("data_format") in (None, "channels_last")
    if wider is not None and last and config.get("padding") != "causal" and len(rest) == int(kind[-2]) + 1:
        _widen(config, arrays, int(kind[-2]))
        return _call(record, net, name, wider, x, config, arrays)[0]
    if kind in _LAST_AXES:
        results = _call(record, net, name, kind, x, config, arrays)
        return results[0] if len(results) == 1 else results
    if len(record.inputs) != 1:
        raise UnsupportedError(f"layer {name!r} (TimeDistributed): {len(record.inputs)} inputs, expected one")
    outs: list[list[str]] = []
    for t, step in enumerate(parts(net, f"{name}_step", x, 0, [1] * steps)):
        inner = net.add("reshape", f"{name}_input{t}", [step], {"shape": tuple(rest)})
        # A rule takes settings and arrays away, so that each step needs its own.
        outs.append(_call(record, net, f"{name}_{t}", kind, inner, dict(config), dict(arrays)))
    results = [joined_steps(net, name, list(at)) for at in zip(*outs, strict=True)]
    return results[0] if len(results) == 1 else results


def joined_steps(net: NetworkBuilder, name: str, tensors: list[str]) -> str:
    """Stack the outputs of all steps in front."""
    rows = [
        net.add("reshape", f"{name}_row{t}", [tensor], {"shape": (1, *net.shape(tensor))})
        for t, tensor in enumerate(tensors)
    ]
    return rows[0] if len(rows) == 1 else net.add("concat", name, rows, {"axis": 0})


def _shift_axes(config: dict[str, Any]) -> bool:
    """Count the axis of the steps in `axis`; False where it is not written as numbers."""
    axis = config.get("axis", -1)
    listed = list(axis) if isinstance(axis, list | tuple) else [axis]
    if any(type(one) is not int or one == 0 for one in listed):
        return False
    moved = [one + 1 if one > 0 else one for one in listed]
    config["axis"] = moved if isinstance(axis, list | tuple) else moved[0]
    return True


def _widen(config: dict[str, Any], arrays: Arrays, rank: int) -> None:
    """Put a window of 1 over the steps in front of the layer's own windows."""
    for key in _PER_WINDOW:
        value = config.get(key)
        if value is not None:
            own = list(value) if isinstance(value, list | tuple) else [value]
            config[key] = [1, *(own * rank if len(own) == 1 else own)]
    if config.get("strides") is None and "pool_size" in config:
        config["strides"] = config["pool_size"]
    for key, value in arrays.items():
        if value.ndim == rank + 2:
            arrays[key] = value[None]


@imports("keras", "SpectralNormalization")
def _keras_spectral_normalization(record: Record, net: NetworkBuilder) -> str:
    """The wrapped layer: training has left the normalised kernel in the file."""
    record.ignore("power_iterations")
    wrapped = any(key.startswith("layer/") for key in record.array_keys())
    for key in record.array_keys():  # the singular vector, and Keras 3's second copy of the kernel
        if key.rpartition("/")[2] in ("vector_u", "sn_u") or (wrapped and "/" not in key):
            record.array(key)
    kind, config, arrays = _inner(record)
    return _call(record, net, record.name, kind, keras.single(record), config, arrays)[0]


_CELLS = {f"{own}{kind}Cell": f"{own}{kind}" for own in ("", "Q") for kind in ("SimpleRNN", "LSTM", "GRU")}
"""Layer that runs each cell, of Keras and of QKeras."""
_RUNNING = ("stateful", "unroll", "time_major", "zero_output_for_mask", "input_dim", "input_length")


@imports("keras", "RNN")
def _keras_rnn(record: Record, net: NetworkBuilder) -> str | list[str]:
    """`RNN(cell)` is the layer of that cell; stacked cells are such layers one after another."""
    spec = record.take("cell")
    running = {key: record.take(key) for key in _RUNNING if record.has(key)}
    sequences, states, backwards = (
        bool(record.take(key, False)) for key in ("return_sequences", "return_state", "go_backwards")
    )
    cells = spec.get("config", {}).get("cells") if isinstance(spec, dict) else None
    stacked = isinstance(cells, list)
    listed = cells if isinstance(cells, list) else [spec]
    if stacked and (states or len(record.inputs) != 1):
        raise record.unsupported("cell", "StackedRNNCells", "states going in or out are not supported with it")
    arrays = {key: record.array(key) for key in record.array_keys()}
    results = list(record.inputs)
    mask = net.masks.get(results[0])
    counts: dict[str, int] = {}
    for number, cell in enumerate(listed):
        kind = cell.get("class_name") if isinstance(cell, dict) else None
        if kind not in _CELLS or not isinstance(cell.get("config"), dict):
            raise record.unsupported(
                "cell", kind, f"only {', '.join(_CELLS)} and StackedRNNCells of them are supported"
            )
        counts[kind] = counts.get(kind, 0) + 1
        own = arrays
        if stacked:
            own = {key: value for key, value in arrays.items() if _is_of(key, cell["config"], kind, counts[kind] - 1)}
        end = number == len(listed) - 1
        # Stacked cells run through time together: only the first can meet it reversed.
        config = {
            **plain_config(cell["config"]),
            **running,
            "return_sequences": sequences or not end,
            "return_state": states,
            "go_backwards": backwards and number == 0,
        }
        short = {key.rpartition("/")[2]: value for key, value in own.items()}
        name = f"{record.name}_{number}" if stacked else record.name
        results = keras.delegated(record, net, _CELLS[kind], results, config, short, name=name)
        if mask is not None and not end:
            net.masks[results[0]] = mask
    return results[0] if len(results) == 1 else results


def _is_of(key: str, config: Mapping[str, Any], kind: str, count: int) -> bool:
    """Whether an array is of a stacked cell, by the cell's name (HDF5) or its class and number (`.keras`)."""
    folders = key.split("/")[:-1]
    snake = {
        **{"SimpleRNNCell": "simple_rnn_cell", "LSTMCell": "lstm_cell", "GRUCell": "gru_cell"},
        **{"QSimpleRNNCell": "q_simple_rnn_cell", "QLSTMCell": "qlstm_cell", "QGRUCell": "qgru_cell"},
    }[kind]
    numbered = "cells" in folders
    return (snake + (f"_{count}" if count else "") if numbered else config.get("name")) in folders
