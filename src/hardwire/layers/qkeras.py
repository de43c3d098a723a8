"""QKeras layers, read from the model file: a layer of Keras with quantised weights and a quantised activation.

Kernels become integer codes times a scale. A scale of powers of two is part of the kernel; any other one (`alpha`
"auto", or a number) is applied per channel after the sum, together with the bias, so that a quantiser behind it gets
short exact multipliers. Quantisers: `_qkeras_spec.py`, `_qkeras_weights.py`, `_qkeras_activations.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import Floats
from hardwire.layers import _keras as keras
from hardwire.layers._base import imports
from hardwire.layers._qkeras_activations import activated
from hardwire.layers._qkeras_spec import SIGNATURES, Spec, read_spec, refuse
from hardwire.layers._qkeras_weights import Weights, quantised
from hardwire.network.graph import NetworkBuilder, Node
from hardwire.network.records import Record

_MODULES = {
    "QActivation": "qlayers",
    "QDense": "qlayers",
    "QDenseBatchnorm": "qdense_batchnorm",
    "QBatchNormalization": "qnormalization",
    "QConv1D": "qconvolutional",
    "QConv2D": "qconvolutional",
    "QConv2DTranspose": "qconvolutional",
    "QDepthwiseConv2D": "qconvolutional",
    "QSeparableConv1D": "qconvolutional",
    "QSeparableConv2D": "qconvolutional",
    "QConv2DBatchnorm": "qconv2d_batchnorm",
    "QDepthwiseConv2DBatchnorm": "qdepthwiseconv2d_batchnorm",
    "QAveragePooling2D": "qpooling",
    "QGlobalAveragePooling2D": "qpooling",
    "QSimpleRNN": "qrecurrent",
    "QLSTM": "qrecurrent",
    "QGRU": "qrecurrent",
}


def _kinds(*classes: str) -> list[str]:
    """Names under which files hold a class: alone (HDF5), or with its module (`.keras`)."""
    return [name for cls in classes for name in (cls, f"qkeras.{_MODULES[cls]}.{cls}")]


# --- Keras


@imports("keras", *_kinds("QActivation"))
def _activation(record: Record, net: NetworkBuilder) -> str:
    """`QActivation`: a quantiser or function as a string or an object."""
    spec = read_spec(record, "activation", record.take("activation"))
    return activated(record, net, keras.single(record), spec, record.name)


@imports("keras", *SIGNATURES, *(f"qkeras.quantizers.{name}" for name in SIGNATURES))
def _quantiser(record: Record, net: NetworkBuilder) -> str:
    """A quantiser object as the activation of a layer of Keras."""
    name = record.kind.rpartition(".")[2]
    config = {key: record.take(key) for key in SIGNATURES[name] if record.has(key)}
    spec = read_spec(record, "activation", {"class_name": name, "config": config})
    return activated(record, net, keras.single(record), spec, record.name)


_KERNEL = {"kernel": "kernel_quantizer"}
_DEPTHWISE = {"depthwise_kernel": "depthwise_quantizer"}
_SEPARABLE = {**_DEPTHWISE, "pointwise_kernel": "pointwise_quantizer"}


@imports("keras", *_kinds("QDense", "QConv1D", "QConv2D", "QConv2DTranspose"))
def _kernel(record: Record, net: NetworkBuilder) -> str:
    """A layer with one quantised kernel: kernel, bias."""
    return _weighted(record, net, _KERNEL)


@imports("keras", *_kinds("QDepthwiseConv2D"))
def _depthwise(record: Record, net: NetworkBuilder) -> str:
    """`QDepthwiseConv2D`: kernel (*size, c, multiplier)."""
    return _weighted(record, net, _DEPTHWISE)


@imports("keras", *_kinds("QSeparableConv1D", "QSeparableConv2D"))
def _separable(record: Record, net: NetworkBuilder) -> str:
    """`QSeparableConvND`: a depthwise and a pointwise kernel, each with its quantiser."""
    return _weighted(record, net, _SEPARABLE)


def _weighted(record: Record, net: NetworkBuilder, quantisers: Mapping[str, str]) -> str:
    """Import a layer as that of Keras with quantised weights, then its scale, bias and activation.

    `quantisers` maps each parameter to the attribute of its quantiser.
    """
    biased = bool(record.take("use_bias", True))
    activation = _spec(record, "activation")
    specs = {name: _spec(record, attr) for name, attr in quantisers.items()}
    bias_spec = _spec(record, "bias_quantizer")
    arrays = keras.variables(record, *quantisers, *(["bias"] if biased else []))
    parts = {
        name: quantised(record, quantisers[name], None if spec is None else spec.trainable(), arrays[name])
        for name, spec in specs.items()
    }
    bias = quantised(record, "bias_quantizer", bias_spec, arrays["bias"]) if biased else None
    return _finished(record, net, parts, bias, activation)


def _spec(record: Record, attr: str) -> Spec | None:
    return read_spec(record, attr, record.take(attr, None))


def _finished(
    record: Record, net: NetworkBuilder, parts: Mapping[str, Weights], bias: Weights | None, activation: Spec | None
) -> str:
    """Add the layer of Keras with these weights, then what follows it.

    The scale of the last kernel is kept apart where it belongs to output channels and is no power of two.
    """
    record.ignore("kernel_range", "bias_range", "depthwise_range", "pointwise_range")
    if "Depthwise" in record.kind:
        record.expect("groups", 1)
    last = list(parts)[-1]
    kernel = parts[last]
    apart = (
        kernel.scaled and not record.kind.endswith("Transpose") and kernel.scale.size in (1, *kernel.scale.shape[-1:])
    )
    arrays: dict[str, NDArray[Any]] = {name: part.values for name, part in parts.items()}
    if apart:
        arrays[last] = kernel.codes
    elif bias is not None:
        arrays["bias"] = bias.values
    attrs = {**record.rest(), "use_bias": "bias" in arrays, "activation": None}
    channels_first = attrs.get("data_format") == "channels_first"
    y = _delegated(record, net, attrs, arrays)
    if apart:
        y = _rescaled(record, net, y, kernel, bias, channels_first)
    return activated(record, net, y, activation, f"{record.name}_activation")


def _delegated(record: Record, net: NetworkBuilder, attrs: Mapping[str, Any], arrays: Mapping[str, Any]) -> str:
    """Import a layer by the rule of the layer of Keras that it derives from."""
    base = record.kind.rpartition(".")[2].removeprefix("Q").removesuffix("Batchnorm")
    return keras.delegated(record, net, base, record.inputs, attrs, arrays)[0]


def _rescaled(
    record: Record, net: NetworkBuilder, y: str, kernel: Weights, bias: Weights | None, channels_first: bool
) -> str:
    """Apply a kernel's scale per output channel, and the bias."""
    shape = net.shape(y)
    axis = 0 if channels_first else len(shape) - 1
    scale = _per_channel(kernel.scale, shape[axis])
    name = f"{record.name}_scale"
    if bias is None:
        along = scale.reshape(-1, *(1,) * (len(shape) - 1 - axis))
        return net.add("mul", name, [y], {}, {"constant": np.ones(along.shape, np.int64), "constant_scale": along})
    params = {"gamma": scale, "beta": bias.values, "mean": np.zeros_like(scale), "variance": np.ones_like(scale)}
    return net.add("batch_norm", name, [y], {"axis": axis, "epsilon": 0.0}, params)


def _per_channel(scale: Floats, channels: int) -> Floats:
    """Scale of every output channel: one for all, one each, or (depthwise) one for each of a channel's outputs."""
    flat = np.ravel(scale)
    return np.tile(flat, channels // flat.size).astype(np.float64)


@imports("keras", *_kinds("QBatchNormalization"))
def _batch_normalization(record: Record, net: NetworkBuilder) -> str:
    """`QBatchNormalization` at inference, its factor and offset in float32 as QKeras computes them."""
    x = keras.single(record)
    shape = net.shape(x)
    along = keras.axis(record, "axis", -1, len(shape))
    epsilon = np.float32(keras.number(record, "epsilon", 1e-3) or 0.0)
    parts = [("gamma", record.take("scale", True)), ("beta", record.take("center", True))]
    record.expect("activation", None)
    record.expect("inverse_quantizer", None)
    record.ignore("momentum", "gamma_range", "beta_range", "fused", "renorm", "virtual_batch_size", "adjustment")
    record.ignore("renorm_clipping", "renorm_momentum")
    names = [*(name for name, there in parts if there), "moving_mean", "moving_variance"]
    found = keras.variables(record, *names)
    values: dict[str, Any] = {"gamma": np.ones(shape[along]), "beta": np.zeros(shape[along])}
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        short = name.removeprefix("moving_")
        spec = _spec(record, f"{short}_quantizer")
        if spec is not None and name in ("gamma", "moving_variance"):
            spec = spec.trainable()
        if name in found:
            values[short] = quantised(record, f"{short}_quantizer", spec, found[name]).values
    gamma, beta, mean, variance = (values[key].astype(np.float32) for key in ("gamma", "beta", "mean", "variance"))
    if np.any(variance + epsilon <= 0):
        raise ModelError(f"layer {record.name!r} ({record.kind}): its quantised variance is not positive everywhere")
    factor = gamma / np.sqrt(variance + epsilon)
    offset = beta - mean * factor
    params = {"gamma": factor, "beta": offset, "mean": np.zeros_like(factor), "variance": np.ones_like(factor)}
    return net.add("batch_norm", record.name, [x], {"axis": along, "epsilon": 0.0}, params)


@imports("keras", *_kinds("QConv2DBatchnorm", "QDepthwiseConv2DBatchnorm", "QDenseBatchnorm"))
def _folded(record: Record, net: NetworkBuilder) -> str:
    """A layer with batch normalisation folded into kernel and bias before they are quantised.

    At inference both folding modes use the moving statistics. Folded in float32, as QKeras does it.
    """
    name = "depthwise_kernel" if "Depthwise" in record.kind else "kernel"
    quantiser = "depthwise_quantizer" if "Depthwise" in record.kind else "kernel_quantizer"
    record.expect("folding_mode", "ema_stats_folding", "batch_stats_folding")
    record.expect("renorm", False, None)
    record.expect("virtual_batch_size", None)
    record.expect("adjustment", None)
    record.ignore("ema_freeze_delay", "momentum", "fused", "renorm_clipping", "renorm_momentum", "synchronized")
    record.ignore("axis", *(f"{part}_range" for part in ("gamma", "beta")))  # the axis of the output channels
    own = [name, *(["bias"] if record.take("use_bias", True) else [])]
    norm = [part for part, attr in (("gamma", "scale"), ("beta", "center")) if record.take(attr, True)]
    found = _with_norm(record, own, [*norm, "moving_mean", "moving_variance"])
    epsilon = np.float32(keras.number(record, "epsilon", 1e-3) or 0.0)
    kernel, mean, variance = (found[key].astype(np.float32) for key in (name, "moving_mean", "moving_variance"))
    if np.any(variance + epsilon <= 0):
        raise ModelError(f"layer {record.name!r} ({record.kind}): its moving variance is not positive everywhere")
    factor = 1 / np.sqrt(variance + epsilon)
    factor = factor * found["gamma"].astype(np.float32) if "gamma" in found else factor
    bias = factor * (found.get("bias", np.float32(0)) - mean) + found.get("beta", np.float32(0))
    kernel = kernel * (factor.reshape(kernel.shape[-2:]) if "Depthwise" in record.kind else factor)
    spec, bias_spec = _spec(record, quantiser), _spec(record, "bias_quantizer")
    activation = _spec(record, "activation")
    part = quantised(record, quantiser, None if spec is None else spec.trainable(), kernel)
    return _finished(record, net, {name: part}, quantised(record, "bias_quantizer", bias_spec, bias), activation)


def _with_norm(record: Record, own: list[str], norm: list[str]) -> dict[str, NDArray[Any]]:
    """Return a layer's own variables and those of the batch normalisation inside it, by name.

    HDF5 files them as `kernel` and `batch_normalization_1/gamma`, `.keras` as `0` and `batchnorm/0`; the training
    iteration among them is not used.
    """
    if record.has_array("0"):
        keys = {name: str(at) for at, name in enumerate(own)}
        keys.update({name: f"batchnorm/{at}" for at, name in enumerate(norm)})
        used = set(keys.values())
    else:
        last = {key.rpartition("/")[2]: key for key in record.array_keys()}
        keys = {name: last.get(name, name) for name in [*own, *norm]}
        used = set(keys.values())
    for key in record.array_keys():
        if key not in used and (key.rpartition("/")[2] == "iteration" or key.isdigit()):
            record.array(key)
    return {name: record.array(key) for name, key in keys.items()}


@imports("keras", *_kinds("QAveragePooling2D", "QGlobalAveragePooling2D"))
def _average(record: Record, net: NetworkBuilder) -> str:
    """An average, then the factor `area · quantised(1 / area)`, then the activation."""
    spec, activation = _spec(record, "average_quantizer"), _spec(record, "activation")
    attrs = record.rest()
    if "Global" in record.kind:
        shape = net.shape(keras.single(record))
        sizes = shape[1:] if attrs.get("data_format") == "channels_first" else shape[:-1]
    else:
        pool = attrs.get("pool_size", (2, 2))
        sizes = (pool, pool) if isinstance(pool, int) else tuple(pool)
    area = int(np.prod(sizes))
    y = _delegated(record, net, attrs, {})
    if spec is not None:
        factor = quantised(record, "average_quantizer", spec, np.array([1.0 / area])).values[0] * area
        y = net.add("mul", f"{record.name}_factor", [y], {}, {"constant": np.array(factor)})
    return activated(record, net, y, activation, f"{record.name}_activation")


_CELLS = {"QSimpleRNN": "rnn", "QLSTM": "lstm", "QGRU": "gru"}
_GATES = {"rnn": (), "lstm": (0, 1, 3), "gru": (0, 1)}
"""Blocks of columns that go through the recurrent activation."""


@imports("keras", *_kinds(*_CELLS))
def _recurrent(record: Record, net: NetworkBuilder) -> str | list[str]:
    """`QSimpleRNN`, `QLSTM`, `QGRU`; `state_quantizer` applies to what a step reads from the step before."""
    from hardwire.layers.recurrent import _keras_running, keras_arrays, keras_cell, keras_run

    kind = _CELLS[record.kind.rpartition(".")[2]]
    running = _keras_running(record)
    config = {key: record.take(key) for key in ("units", "use_bias", "reset_after") if record.has(key)}
    specs = {"activation": _spec(record, "activation")}
    if kind != "rnn":
        specs["recurrent_activation"] = _spec(record, "recurrent_activation")
    names = {"kernel": "kernel_quantizer", "recurrent_kernel": "recurrent_quantizer"}
    if config.get("use_bias", True):
        names["bias"] = "bias_quantizer"
    rules = {name: _spec(record, attr) for name, attr in names.items()}
    if rules.get("bias") is None:
        record.ignore("bias_quantizer")
    arrays = keras_arrays(record, *names)
    for name, rule in rules.items():
        own = rule if rule is None or name == "bias" else rule.trainable()
        arrays[name] = quantised(record, names[name], own, arrays[name]).values
    linear = dict.fromkeys(specs, "linear")
    attrs, params = keras_cell(record, {**config, **linear}, kind, arrays)
    attrs["activation"], line = _curve(record, "activation", specs["activation"])
    if line != (1.0, 0.0):
        raise record.unsupported("activation", specs["activation"], "it works for gates only")
    if kind != "rnn":
        attrs["recurrent_activation"], line = _curve(record, "recurrent_activation", specs["recurrent_activation"])
        _bend(params, kind, line)
    state = _spec(record, "state_quantizer")
    record.ignore("kernel_range", "recurrent_range", "bias_range", "state_range")
    if state is not None:
        nodes = _nodes(record, "state_quantizer", state)
        if [node.kind for node in nodes] != ["quantise"]:
            raise refuse(record, "state_quantizer", state, "states need a plain quantiser, such as quantized_bits")
        quantiser = nodes[0].attrs["quantiser"]
        attrs["types"] = {"state_in": quantiser, **({"carry_in": quantiser} if kind == "lstm" else {})}
    zero = bool(record.expect("zero_output_for_mask", False, True))
    outputs = keras_run(net, record.name, record.inputs, kind, attrs, params, running, zero=zero)
    return outputs[0] if len(outputs) == 1 else outputs


def _curve(record: Record, attr: str, spec: Spec | None) -> tuple[Any, tuple[float, float]]:
    """Return a function inside a cell as a chain of nodes, behind a line (slope, offset) that the weights can take."""
    from hardwire.layers.recurrent import chain_of

    nodes = _nodes(record, attr, spec)
    line = [1.0, 0.0]
    for place, kind in enumerate(("mul", "add")):
        if nodes and nodes[0].kind == kind and list(nodes[0].params) == ["constant"]:
            line[place] = float(nodes.pop(0).params["constant"])
    rest = NetworkBuilder("rest")
    tensor = rest.input("x", (1,))
    for node in nodes:
        tensor = rest.add(node.kind, node.name, [tensor], node.attrs, node.params)
    return chain_of(rest, record, attr), (line[0], line[1])


def _nodes(record: Record, attr: str, spec: Spec | None) -> list[Node]:
    """Nodes of a quantiser or function of one number."""
    scratch = NetworkBuilder("scratch")
    activated(record, scratch, scratch.input("x", (1,)), spec, attr, attr)
    return list(scratch.build(()).nodes)


def _bend(params: dict[str, NDArray[Any]], kind: str, line: tuple[float, float]) -> None:
    """Let the gates' weights and bias compute `slope · sum + offset`, slope and offset being powers of two."""
    slope, offset = line
    if line == (1.0, 0.0):
        return
    blocks = {"lstm": 4, "gru": 3}[kind]
    kernel = params["kernel"].copy()
    units = kernel.shape[1] // blocks
    bias = params.get("bias", np.zeros(kernel.shape[1])).copy()
    for block in _GATES[kind]:
        columns = slice(block * units, (block + 1) * units)
        kernel[:, columns] *= slope
        bias[columns] = bias[columns] * slope + offset
    params.update(kernel=kernel, bias=bias)


_PRUNING = "tensorflow_model_optimization.python.core.sparsity.keras.pruning_wrapper"


@imports("keras", "PruneLowMagnitude", f"{_PRUNING}.PruneLowMagnitude")
def _pruned(record: Record, net: NetworkBuilder) -> str:
    """Pruning wrapper of tensorflow-model-optimization: the layer inside, its pruned weights times their masks."""
    layer = record.take("layer")
    record.ignore("pruning_schedule", "block_size", "block_pooling_type", "sparsity_m_by_n")
    if not isinstance(layer, dict) or not isinstance(layer.get("config"), dict):
        raise record.unsupported("layer", layer, "the configuration of a layer is expected")
    module = str(layer.get("module") or "keras")
    plain = module.split(".")[0] in ("keras", "tf_keras", "tensorflow")
    kind = str(layer["class_name"]).rpartition(">")[2]
    kind = kind if plain else f"{module}.{kind}"
    unknown = record.unsupported("layer", kind, "no import rule knows the layer inside the pruning wrapper")
    left_out = ("name", "dtype", "trainable", "batch_input_shape", "batch_shape")
    training = ("_initializer", "_regularizer", "_constraint")
    attrs = {key: value for key, value in layer["config"].items() if key not in left_out and not key.endswith(training)}
    return keras.delegated(record, net, kind, record.inputs, attrs, _masked(record), unknown=unknown)[0]


def _masked(record: Record) -> dict[str, NDArray[Any]]:
    """Arrays of the layer inside a pruning wrapper, the masks multiplied in."""
    found = {key: record.array(key) for key in record.array_keys()}
    if any(key.isdigit() for key in found):
        # Numbered: the n pruned weights once more, n masks and thresholds in turn, the step.
        own = [found.pop(str(at)) for at in range(sum(key.isdigit() for key in found))]
        count = len(own) // 3
        weights, masks = own[:count], own[count : 3 * count : 2]
        arrays = {key.removeprefix("layer/"): value for key, value in found.items()}
        names = [next((k for k, v in arrays.items() if np.array_equal(v, weight)), None) for weight in weights]
    else:
        keys = [key for key in found if key.rpartition("/")[2].startswith("mask")]
        masks = [found.pop(key) for key in keys]
        arrays = {key: v for key, v in found.items() if key.rpartition("/")[2] not in ("threshold", "pruning_step")}
        names = [next((k for k, v in arrays.items() if v.shape == mask.shape), None) for mask in masks]
    for name, mask in zip(names, masks, strict=True):
        if name is None or mask.shape != arrays[name].shape:
            raise ModelError(f"layer {record.name!r} ({record.kind}): a pruning mask fits none of the layer's weights")
        arrays[name] = arrays[name] * mask
    return arrays


@imports("keras", "NodeEdgeProjection", "Custom>NodeEdgeProjection")
def _node_edge_projection(record: Record, net: NetworkBuilder) -> str:
    """`NodeEdgeProjection` of published interaction networks: a fully connected graph's adjacency matrix times x.

    The edges are all ordered pairs of different nodes (receiver, sender) in lexicographic order. Its code is not run;
    the matrix in the file, where there is one, must be the one that this description gives.
    """
    x = keras.single(record)
    shape = net.shape(x)
    receiving, to_edges = record.take("receiving", True), record.take("node_to_edge", True)
    rows = shape[-2] if len(shape) >= 2 else 0
    nodes = rows if to_edges else int((np.sqrt(4 * rows + 1) + 1) / 2)
    pairs = [(r, s) for r in range(nodes) for s in range(nodes) if r != s]
    if not pairs or (not to_edges and len(pairs) != rows):
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): {rows} rows are no fully connected graph's")
    matrix = np.zeros((len(pairs), nodes))
    matrix[np.arange(len(pairs)), [pair[0 if receiving else 1] for pair in pairs]] = 1
    matrix = matrix if to_edges else matrix.T
    for key in ("adjacency_matrix", "0"):
        if record.has_array(key) and not np.array_equal(record.array(key).reshape(matrix.shape), matrix):
            raise UnsupportedError(
                f"layer {record.name!r} ({record.kind}): the matrix in the file is not that of the published layer, "
                "and the code of a custom layer is never run"
            )
    turned = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
    columns = net.add("transpose", f"{record.name}_columns", [x], {"perm": turned})
    y = net.add("dense", record.name, [columns], {}, {"kernel": matrix.T})
    return net.add("transpose", f"{record.name}_rows", [y], {"perm": turned})
