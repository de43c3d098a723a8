"""Layers of HGQ2 (`hgq2`, and of HGQ-LUT, which came before it), read from the file alone.

Each becomes plain nodes: its quantisers `quantise` nodes with a type per element, its weights the values that HGQ2
quantises them to. Kernels are quantised in float32 as HGQ2 0.2.0 does at inference, batch normalisation fused first.
"""

from __future__ import annotations

from math import log2, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.layers import _keras as keras
from hardwire.layers import einsum
from hardwire.layers._axes import without_batch
from hardwire.layers._base import imports
from hardwire.layers._hgq import (
    activated,
    batch_norm_scaler,
    layer_input,
    layer_output,
    own_variables,
    quantised,
    rules,
    spec,
    spec_of,
    weights,
)
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

Array = NDArray[Any]

_KERAS_EPSILON = 1e-7
"""What HGQ2's fused batch normalisation adds to the variance: Keras' own fuzz factor, not the layer's epsilon."""


@rules("Quantizer")
@imports("keras", "hgq.quantizer.quantizer.Quantizer")  # before it was registered
def _quantizer(record: Record, net: NetworkBuilder) -> str:
    """A quantiser as a layer of its own."""
    return quantised(record, net, keras.single(record), spec(record, "config", ""), record.name)


@rules("QDense")
def _dense(record: Record, net: NetworkBuilder) -> str:
    """`activation(iq(x) · kq(kernel) + bq(bias))`."""
    x = layer_input(record, net)
    bias = record.take("use_bias", True)
    own = own_variables(record, "kernel", *(["bias"] if bias else []), "beta", "ebops")
    params = {"kernel": weights(record, own["kernel"], spec(record, "kq_conf", "kq"))}
    bias_rule = spec(record, "bq_conf", "bq")
    if bias:
        params["bias"] = weights(record, own["bias"], bias_rule)
    return layer_output(record, net, _dense_node(record, net, x, params))


@rules("QBatchNormDense")
def _batch_norm_dense(record: Record, net: NetworkBuilder) -> str:
    """`QDense` with a normalisation of its input fused into the weights: by `gamma / sqrt(variance + epsilon)`."""
    x = layer_input(record, net)
    record.expect("use_bias", True)
    record.ignore("momentum", "synchronized")
    scale, epsilon = record.take("scale", True), record.take("epsilon", 1e-3)
    gammas = ["bn_gamma"] if scale else []
    own = own_variables(record, "kernel", "bias", *gammas, "beta", "ebops", "moving_mean", "moving_variance")
    scaler = batch_norm_scaler(own.get("bn_gamma"), own["moving_variance"], epsilon)
    kernel = np.asarray(own["kernel"], np.float32)
    # HGQ2 subtracts the mean's product with the kernel as it was before the scaling.
    offset = -(np.asarray(own["moving_mean"], np.float64) @ kernel.astype(np.float64)).astype(np.float32)
    params = {
        "kernel": weights(record, scaler[:, None] * kernel, spec(record, "kq_conf", "kq")),
        "bias": weights(record, np.asarray(own["bias"], np.float32) + offset, spec(record, "bq_conf", "bq")),
    }
    return layer_output(record, net, _dense_node(record, net, x, params))


def _dense_node(record: Record, net: NetworkBuilder, x: str, params: dict[str, Array]) -> str:
    units = record.take("units")
    record.expect("lora_rank", None)
    record.expect("quantization_config", None)
    record.ignore("lora_alpha")
    if params["kernel"].ndim != 2 or params["kernel"].shape[1] != units:
        raise record.unsupported("units", units, f"the kernel in the file has the shape {params['kernel'].shape}")
    return net.add("dense", record.name, [x], {}, params)


@rules("QEinsumDense")
def _einsum_dense(record: Record, net: NetworkBuilder) -> str:
    """`activation(einsum(equation, iq(x), kq(kernel)) + bq(bias))`."""
    x = layer_input(record, net)
    equation, axes = record.take("equation"), record.take("bias_axes", None)
    own = own_variables(record, "kernel", *(["bias"] if axes else []), "beta", "ebops")
    kernel = weights(record, own["kernel"], spec(record, "kq_conf", "kq"))
    rule = spec(record, "bq_conf", "bq")
    bias = weights(record, own["bias"], rule) if axes else None
    return layer_output(record, net, _einsum_node(record, net, x, equation, kernel, bias, axes))


@rules("QEinsumDenseBatchnorm")
def _einsum_dense_batch_norm(record: Record, net: NetworkBuilder) -> str:
    """`QEinsumDense` with a normalisation of its output fused into kernel and bias."""
    x = layer_input(record, net)
    axes = record.take("bias_axes", None)
    if not axes:
        raise record.unsupported("bias_axes", axes, "HGQ2 needs them to fuse the normalisation")
    normalised = record.take("normalize_axes", None) or axes
    record.ignore("momentum", "synchronized", "epsilon", "center")
    # The file does not tell whether there is a gamma: its number of variables does.
    count = sum(key.isdigit() for key in record.array_keys())
    record.ignore("scale")
    gammas = ["gamma"] if record.has_array("gamma") or count in (5, 7) else []
    own = own_variables(record, "kernel", "bias", *gammas, "beta", "ebops", "moving_mean", "moving_variance")
    scaler = batch_norm_scaler(own.get("gamma"), own["moving_variance"], _KERAS_EPSILON)
    kernel, bias = np.asarray(own["kernel"], np.float32), np.asarray(own["bias"], np.float32)
    equation = record.take("equation")
    eq = einsum.parse(record.name, equation, net.shape(x), kernel.shape)
    # The normalised axes stand in the kernel's order in the variables, in the output's order in the bias.
    order = [label for label in eq.kernel if label in normalised]
    if len(order) != len(set(normalised)) or scaler.shape != eq.shape("".join(order)):
        raise record.unsupported("normalize_axes", normalised, f"variables of shape {scaler.shape} do not fit them")
    spread = scaler.reshape([eq.sizes[label] if label in order else 1 for label in eq.kernel])
    offset = -np.asarray(own["moving_mean"], np.float32) * scaler
    # HGQ2 takes the variables in the kernel's order for the kernel, in the output's order for the bias.
    in_output = [label for label in eq.outputs if label in normalised]
    if scaler.shape != eq.shape("".join(in_output)):
        raise record.unsupported("normalize_axes", normalised, "the kernel's and the output's order of them differ")
    biased = [label for label in eq.outputs if label in axes]
    offset = offset.reshape([eq.sizes[label] if label in in_output else 1 for label in biased])
    bias = bias.reshape(eq.shape("".join(biased))) + offset
    shape = own["bias"].shape
    kernel64 = weights(record, kernel * spread, spec(record, "kq_conf", "kq"))
    bias64 = weights(record, bias.reshape(shape), spec(record, "bq_conf", "bq"))
    return layer_output(record, net, _einsum_node(record, net, x, equation, kernel64, bias64, axes))


def _einsum_node(
    record: Record, net: NetworkBuilder, x: str, equation: str, kernel: Array, bias: Array | None, axes: str | None
) -> str:
    """Add an einsum node, or a dense one where the equation is that of a dense layer."""
    record.expect("lora_rank", None)
    record.expect("quantization_config", None)
    record.ignore("lora_alpha")
    eq = einsum.parse(record.name, equation, net.shape(x), kernel.shape)
    einsum.check_output_shape(record, record.take("output_shape"), eq)
    params = {"kernel": kernel}
    if bias is not None and axes:
        params["bias"] = einsum.bias_over(record, bias, axes, eq)
        if set(axes) == {eq.outputs[-1]}:
            params["bias"] = params["bias"].reshape(-1)
    per_output = params.get("bias", np.zeros(0)).ndim == 1
    if eq.inputs and eq.kernel == eq.inputs[-1] + eq.outputs[-1] and eq.outputs[:-1] == eq.inputs[:-1] and per_output:
        return net.add("dense", record.name, [x], {}, params)
    return net.add("einsum", record.name, [x], {"equation": equation}, params)


@rules("QBatchNormalization")
def _batch_normalization(record: Record, net: NetworkBuilder) -> str:
    """`iq(x) · kq(gamma / sqrt(variance + epsilon)) + bq(beta - mean · the same)`."""
    x = layer_input(record, net)
    shape = net.shape(x)
    along = keras.axis(record, "axis", -1, len(shape))
    epsilon, center, scale = record.take("epsilon", 1e-3), record.take("center", True), record.take("scale", True)
    record.ignore("momentum", "synchronized")
    record.expect("renorm", False)
    record.ignore("renorm_clipping", "renorm_momentum")
    affine = [*(["bn_gamma"] if scale else []), *(["bn_beta"] if center else [])]
    own = own_variables(record, *affine, "moving_mean", "moving_variance", "beta", "ebops")
    scaler = batch_norm_scaler(own.get("bn_gamma"), own["moving_variance"], epsilon)
    # Without centring HGQ2 0.2.0 takes a beta of one.
    beta = np.asarray(own["bn_beta"], np.float32) if center else np.float32(1.0)
    offset = beta - np.asarray(own["moving_mean"], np.float32) * scaler
    spread = [dim if axis == along else 1 for axis, dim in enumerate(shape)]
    factor = weights(record, scaler, spec(record, "kq_conf", "kq")).reshape(spread)
    shift = weights(record, offset, spec(record, "bq_conf", "bq")).reshape(spread)
    y = net.add("mul", f"{record.name}_scaled", [x], {}, {"constant": factor})
    return layer_output(record, net, net.add("add", record.name, [y], {}, {"constant": shift}))


@rules("QUnaryFunctionLUT")
def _unary(record: Record, net: NetworkBuilder) -> str:
    """`oq(function(iq(x)))`, a table."""
    record.ignore("allow_heterogeneous_table", "allow_heterogeneous_input", "override_oq_k0_to_0")
    x = layer_input(record, net)
    own_variables(record, "beta", "ebops")
    return layer_output(record, net, x)


@rules("QAffinedUnaryFunctionLUT")
def _affined_unary(record: Record, net: NetworkBuilder) -> str:
    """`oq(function(iq(x) · scale + bias))`, a table."""
    record.ignore("allow_heterogeneous_table", "allow_heterogeneous_input")
    x = layer_input(record, net)
    own = own_variables(record, "scale", "bias", "beta", "ebops")
    factor, shift = float(own["scale"].item()), float(own["bias"].item())
    return layer_output(record, net, activated(record, net, x, record.take("activation", None), factor, shift))


@rules("QSum", "QMeanPow2")
def _sum(record: Record, net: NetworkBuilder) -> str:
    """`sum(iq(x), axes) · scale`, where the scale is a power of two."""
    x = layer_input(record, net)
    own_variables(record, "beta", "ebops")
    shape = net.shape(x)
    stated = record.take("axes", -1)
    axes = sorted(
        without_batch(record, "axes", axis, len(shape)) for axis in (stated if isinstance(stated, list) else [stated])
    )
    keepdims = bool(record.take("keepdims", False))
    if record.kind.endswith("QMeanPow2"):
        scale = 2.0 ** round(log2(1.0 / prod(shape[axis] for axis in axes)))
        record.ignore("scale")
    else:
        scale = float(record.take("scale", 1.0))
    y = net.add("reduce_sum", record.name, [x], {"axes": tuple(axes), "keepdims": keepdims})
    if scale != 1.0:
        y = net.add("mul", f"{record.name}_scaled", [y], {}, {"constant": np.float64(scale)})
    return layer_output(record, net, y)


# Layers of several inputs.


def merged_inputs(record: Record, net: NetworkBuilder) -> list[str]:
    """Return the inputs of a merging layer, each behind its own quantiser."""
    enabled = record.take("enable_iq", True)
    configs = record.take("iq_confs", None)
    own_variables(record, "beta", "ebops")
    if isinstance(configs, dict) and "class_name" not in configs:
        configs = configs.get("config", configs)
    if not isinstance(configs, list):
        configs = [configs] * len(record.inputs)
    if len(configs) != len(record.inputs):
        raise record.unsupported("iq_confs", len(configs), f"the layer has {len(record.inputs)} inputs")
    # In HDF5 by layer names the quantisers have names of their own, counted in the order of the inputs.
    parts = [key.split("/") for key in record.array_keys()]
    named = {path[-3] for path in parts if len(path) > 3 and path[-4].startswith("multiple_quantizers")}
    folders = sorted(named, key=lambda folder: (len(folder), folder))
    out = []
    for n, (tensor, config) in enumerate(zip(record.inputs, configs, strict=True)):
        place = "iq/quantizers/quantizer" + (f"_{n}" if n else "")
        taken = isinstance(config, dict) and config.get("config", config).get("q_type") != "dummy"
        folder = folders.pop(0) if folders and taken else None
        rule = spec_of(record, config, "iq_confs", place, folder)
        out.append(quantised(record, net, tensor, rule if enabled else None, f"{record.name}_iq{n}"))
    return out


def _together(record: Record, net: NetworkBuilder, kind: str, tensors: list[str]) -> str:
    """Combine tensors one after the other; the last step has the layer's name."""
    if not tensors:
        raise ModelError(f"layer {record.name!r} ({record.kind}): it has no inputs")
    total = tensors[0]
    for step, tensor in enumerate(tensors[1:], 2):
        total = net.add(kind, record.name if step == len(tensors) else f"{record.name}_{step}", [total, tensor])
    return total


@rules("QAdd", "QAveragePow2")
def _add(record: Record, net: NetworkBuilder) -> str:
    """The sum of all inputs; `QAveragePow2` scales it by the power of two nearest to the mean."""
    tensors = merged_inputs(record, net)
    y = _together(record, net, "add", tensors)
    if record.kind.endswith("QAveragePow2"):
        scale = 2.0 ** round(log2(1.0 / len(tensors)))
        y = net.add("mul", f"{record.name}_scaled", [y], {}, {"constant": np.float64(scale)})
    return layer_output(record, net, y)


@rules("QSubtract", "QMultiply")
def _subtract_multiply(record: Record, net: NetworkBuilder) -> str:
    """The difference of two inputs, or the product of all."""
    tensors = merged_inputs(record, net)
    kind = "mul" if record.kind.endswith("QMultiply") else "sub"
    if kind == "sub" and len(tensors) != 2:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): {len(tensors)} inputs, expected two")
    return layer_output(record, net, _together(record, net, kind, tensors))


@rules("QDot")
def _dot(record: Record, net: NetworkBuilder) -> str:
    """Sum of products over one axis of each of two inputs."""
    inner_attrs = {"axes": record.take("axes", -1), "normalize": record.take("normalize", False)}
    tensors = tuple(merged_inputs(record, net))
    return layer_output(record, net, keras.delegated(record, net, "Dot", tensors, inner_attrs, {})[0])


@rules("QMaximum", "QMinimum")
def _extremum(record: Record, net: NetworkBuilder) -> str:
    """The largest or smallest input, element by element."""
    kind = "maximum" if record.kind.endswith("QMaximum") else "minimum"
    return layer_output(record, net, net.add(kind, record.name, merged_inputs(record, net)))


# Layers that are Keras' own between quantisers.


@rules("QConv1D", "QConv2D", "QConv3D")
def _conv(record: Record, net: NetworkBuilder) -> str:
    """`activation(convolution(iq(x), kq(kernel)) + bq(bias))`."""
    x = layer_input(record, net)
    kind = record.kind.rpartition(">")[2].removeprefix("Q")
    bias = record.take("use_bias", True)
    own = own_variables(record, "kernel", *(["bias"] if bias else []), "beta", "ebops")
    arrays = {"kernel": weights(record, own["kernel"], spec(record, "kq_conf", "kq"))}
    rule = spec(record, "bq_conf", "bq")
    if bias:
        arrays["bias"] = weights(record, own["bias"], rule)
    taken = ("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "groups")
    attrs = {name: record.take(name) for name in taken if record.has(name)}
    (y,) = keras.delegated(record, net, kind, (x,), {**attrs, "use_bias": bool(bias), "activation": "linear"}, arrays)
    return layer_output(record, net, y)


_POOLING = [f"{what}Pooling{n}D" for what in ("Max", "Average", "GlobalMax", "GlobalAverage") for n in (1, 2, 3)]


@rules(*(f"Q{kind}" for kind in _POOLING))
def _pooling(record: Record, net: NetworkBuilder) -> str:
    """Keras' pooling between quantisers."""
    x = layer_input(record, net)
    own_variables(record, "beta", "ebops")
    kind = record.kind.rpartition(">")[2].removeprefix("Q")
    taken = ("pool_size", "strides", "padding", "data_format", "keepdims")
    attrs = {name: record.take(name) for name in taken if record.has(name)}
    return layer_output(record, net, keras.delegated(record, net, kind, (x,), attrs, {})[0])
