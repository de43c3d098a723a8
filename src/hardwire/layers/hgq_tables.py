"""Lookup-table layers of HGQ-LUT (`QDenseT`, `QEinsumDenseT`, `QConvT1D`, `QConvT2D` of HGQ2), read from the file.

Every edge between an input and an output carries a learnt function of one number: a little dense network between an
input quantiser and a table quantiser. Outputs are sums over edges. Each edge becomes one exact table.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from math import prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError
from hardwire.fixed import Ints
from hardwire.layers import _keras as keras
from hardwire.layers import einsum
from hardwire.layers._cell import Chain
from hardwire.layers._hgq import Spec, layer_output, own_variables, quantised, rules, spec, spec_of
from hardwire.layers._hgq_ports import is_input
from hardwire.layers._spatial import per_axis, taps
from hardwire.layers.conv import data_format, keras_padding
from hardwire.layers.padding import padded
from hardwire.layers.recurrent import chain_of
from hardwire.layers.slicing import take
from hardwire.network._ports import joint_of_uses
from hardwire.network.graph import NetworkBuilder, Shape
from hardwire.network.records import Record

Array = NDArray[Any]
Params = dict[str, Array]


@rules("QDenseT")
def _dense(record: Record, net: NetworkBuilder) -> str:
    """Sum over the last axis of a function of every input and output."""
    x = keras.single(record)
    shape, units, rule = net.shape(x), record.take("n_out"), _input_rule(record)
    where = np.arange(prod(shape)).reshape(*shape, 1)
    x = _ported(record, net, x, np.broadcast_to(where, (*shape, units)), rule)
    return _dense_over(record, net, x, units, rule)


@rules("QConvT1D", "QConvT2D")
def _convolution(record: Record, net: NetworkBuilder) -> str:
    """`QDenseT` over every window."""
    x = keras.single(record)
    shape = net.shape(x)
    rank = int(record.kind[-2])
    if len(shape) != rank + 1:
        raise ModelError(f"layer {record.name!r} ({record.kind}): an input of shape {('batch', *shape)}")
    if data_format(record) != "channels_last":
        raise record.unsupported("data_format", "channels_first", "HGQ2 itself mixes up the axes then")
    record.expect("groups", 1)
    size, strides, dilation = (
        per_axis(record, attr, record.take(attr, 1), rank) for attr in ("kernel_size", "strides", "dilation_rate")
    )
    pairs = keras_padding(record, record.take("padding", "valid"), shape[:-1], size, strides, dilation)
    # Flat position in the input of every element of the padded one, -1 where it is padding.
    where = np.pad(np.arange(prod(shape)).reshape(shape), (*pairs, (0, 0)), constant_values=-1)
    places = taps(np.arange(where.size).reshape(where.shape), size, strides, dilation)
    places = places.reshape(*places.shape[:rank], -1)
    units, rule = record.take("filters"), _input_rule(record)
    x = _ported(record, net, x, np.broadcast_to(where.ravel()[places][..., None], (*places.shape, units)), rule)
    wide = padded(net, f"{record.name}_padded", x, (*pairs, (0, 0)))
    flat = net.add("reshape", f"{record.name}_flat", [wide], {"shape": (where.size,)})
    windows = take(net, f"{record.name}_windows", flat, 0, places.ravel().tolist())
    windows = net.add("reshape", f"{record.name}_patches", [windows], {"shape": places.shape})
    return _dense_over(record, net, windows, units, rule)


def _dense_over(record: Record, net: NetworkBuilder, rows: str, units: int, rule: Spec | None) -> str:
    """`QDenseT` over the last axis of `rows`."""
    shape = (*net.shape(rows), units)
    edges = net.add("reshape", f"{record.name}_rows", [rows], {"shape": (*shape[:-1], 1)})
    edges = _edges(record, net, edges, shape, rule)
    kernel, bias = _module(record, int(record.take("n_hl")), bool(record.take("use_bias", True)))
    record.ignore("d_hl")
    lead = (1,) * (len(shape) - 2)
    params = {name: value.reshape(*lead, *value.shape) for name, value in {**kernel, **bias}.items()}
    if kernel["kernel_0"].shape[:2] != shape[-2:]:
        raise record.unsupported("n_out", units, f"the kernel in the file has the shape {kernel['kernel_0'].shape}")
    center, scale, epsilon = (
        record.take(f"bn_{attr}", default) for attr, default in (("center", True), ("scale", True), ("epsilon", 1e-3))
    )
    record.ignore("bn_momentum")
    own_variables(record, "beta", "ebops")
    divisor = 1.0
    if record.take("batch_norm", False):
        names = [*(["gamma"] if scale else []), *(["beta"] if center else []), "moving_mean", "moving_variance"]
        found = _named(record, "bn_module", "batch_normalization", names)
        inverse = np.float32(1) / np.sqrt(np.asarray(found["moving_variance"], np.float32) + np.float32(epsilon))
        params["mean"] = found["moving_mean"].reshape(*lead, 1, -1)
        params["factor"] = (inverse * found["gamma"] if scale else inverse).reshape(*lead, 1, -1)
        if center:
            params["shift"] = found["beta"].reshape(*lead, 1, -1)
        divisor = sqrt(shape[-2])
    y = _tables(record, net, edges, params, divisor)
    y = net.add("reduce_sum", record.name, [y], {"axes": (len(shape) - 2,), "keepdims": False})
    return layer_output(record, net, y)


@rules("QEinsumDenseT")
def _einsum_dense(record: Record, net: NetworkBuilder) -> str:
    """An einsum whose products are functions: `sum of f_edge(x)` over the contracted axes."""
    x = keras.single(record)
    shape, equation, axes = net.shape(x), record.take("equation"), record.take("bias_axes", None)
    normalised, enabled = record.take("normalize_axes", None), bool(record.take("batch_norm", False))
    center, scale, epsilon = (
        record.take(f"bn_{attr}", default) for attr, default in (("center", True), ("scale", True), ("epsilon", 1e-3))
    )
    record.ignore("bn_momentum", "d_hl")
    kernel, bias = _module(record, int(record.take("n_hl")), axes is not None and not enabled)
    weight = kernel["kernel_0"].shape[:-2]
    # HGQ2 0.2.0 makes the first kernel as wide as the hidden layers and lets its one input stand for all of them.
    kernel["kernel_0"] = kernel["kernel_0"].astype(np.float32).sum(axis=-2, keepdims=True, dtype=np.float32)
    eq = einsum.parse(record.name, equation, shape, weight)
    einsum.check_output_shape(record, record.take("output_shape"), eq)
    extra = "".join(label for label in eq.kernel if label not in eq.inputs)
    labels = eq.inputs + extra
    if any(label not in eq.outputs for label in extra):
        raise record.unsupported("equation", equation, "an axis of the kernel alone is summed")
    whole, rule, ones = eq.shape(labels), _input_rule(record), (1,) * len(extra)
    where = np.broadcast_to(np.arange(prod(shape)).reshape(*shape, *ones), whole)
    x = _ported(record, net, x, where, rule)
    edges = net.add("reshape", f"{record.name}_rows", [x], {"shape": (*shape, *ones)})
    edges = _edges(record, net, edges, whole, rule)

    def spread(value: Array, own: str, last: int) -> Array:
        """Bring axes `own` of a parameter to their places among `labels`; `last` axes behind stay."""
        order = [own.index(label) for label in labels if label in own]
        moved = value.transpose(*order, *range(len(own), len(own) + last))
        sizes = [eq.sizes[label] if label in own else 1 for label in labels]
        return moved.reshape(*sizes, *value.shape[len(own) :])

    params = {name: spread(value, eq.kernel, 2) for name, value in kernel.items()}
    # A bias has the last axes of `labels` already, its own units behind them.
    ones_before = {name: (1,) * (len(labels) + 1 - value.ndim) for name, value in bias.items()}
    params |= {name: value.reshape(*ones_before[name], *value.shape) for name, value in bias.items()}
    divisor = 1.0
    if enabled:
        normalised = normalised or axes or "".join(label for label in eq.kernel if label in eq.outputs)
        names = [*(["bn_gamma"] if scale else []), *(["bn_beta"] if center else []), "moving_mean", "moving_variance"]
        own = {
            name: np.asarray(value, np.float32)
            for name, value in own_variables(record, *names, "beta", "ebops").items()
        }
        root = np.sqrt(own["moving_variance"] + np.float32(epsilon))
        factor = (own["bn_gamma"] if scale else np.float32(1)) / root
        shift = -own["moving_mean"] * factor
        params["factor"] = spread(factor, normalised, 0)
        params["shift"] = spread(shift + own["bn_beta"] if center else shift, normalised, 0)
        divisor = sqrt(prod(eq.sizes[label] for label in eq.inputs if label not in eq.outputs))
    else:
        own_variables(record, "beta", "ebops")
    y = _tables(record, net, edges, params, divisor)
    summed = tuple(axis for axis, label in enumerate(eq.inputs) if label not in eq.outputs)
    if summed:
        y = net.add("reduce_sum", record.name, [y], {"axes": summed, "keepdims": False})
    left = [label for label in labels if label in eq.outputs]
    perm = tuple(left.index(label) for label in eq.outputs)
    if perm != tuple(range(len(perm))):
        y = net.add("transpose", f"{record.name}_order", [y], {"perm": perm})
    return layer_output(record, net, y)


def _input_rule(record: Record) -> Spec | None:
    enabled = record.take("enable_iq", True)
    rule = spec(record, "iq_conf", "iq")
    return rule if enabled else None


def _ported(record: Record, net: NetworkBuilder, x: str, where: Ints, rule: Spec | None) -> str:
    """Quantise a model's input once, so that every edge's own type follows; other tensors stay as they are.

    `where` is the flat position in `x` (-1: none) of every edge's input.
    """
    if rule is None or rule.q_type == "dummy" or not is_input(net, x):
        return x
    port = joint_of_uses([(rule.quantiser(record, where.ndim).reshaped(where.shape), where)], net.shape(x))
    return x if port is None else net.add("quantise", f"{record.name}_port", [x], {"quantiser": port})


def _edges(record: Record, net: NetworkBuilder, rows: str, shape: Shape, rule: Spec | None) -> str:
    """Repeat `rows` over the edges, a tensor of `shape`, and quantise each as `rule` says."""
    for axis, size in enumerate(shape):
        if net.shape(rows)[axis] != size:
            rows = take(net, f"{record.name}_edges", rows, axis, [0] * size)
    return quantised(record, net, rows, rule, f"{record.name}_iq")


def _module(record: Record, hidden: int, biased: bool) -> tuple[Params, Params]:
    """Kernels (*edges, d, D) and biases (*edges, D) of the little networks, which have `hidden` hidden layers."""
    kernels: Params = {}
    biases: Params = {}
    numbered = [key for key in record.array_keys() if key.startswith("module/layers/")]
    keys = numbered or [
        key for key in record.array_keys() if fnmatchcase(key, "*/einsum_dense*/*") and key.endswith(("kernel", "bias"))
    ]
    folders: dict[str, list[str]] = {}
    for key in keys:
        folders.setdefault(key.rpartition("/")[0], []).append(key)
    if numbered:
        folders = dict(sorted(folders.items(), key=lambda item: (len(item[0]), item[0])))
    if len(folders) != hidden + 1:
        raise ModelError(
            f"layer {record.name!r} ({record.kind}): {len(folders)} inner layers in the file, expected {hidden + 1}"
        )
    for i, folder in enumerate(folders):
        names = ("0", "1") if numbered else ("kernel", "bias")
        kernel = record.array(f"{folder}/{names[0]}")
        kernels[f"kernel_{i}"] = kernel[..., None] if i == hidden else kernel
        if biased:
            bias = record.array(f"{folder}/{names[1]}")
            biases[f"bias_{i}"] = bias[..., None] if i == hidden else bias
    return kernels, biases


def _named(record: Record, folder: str, name: str, names: Iterable[str]) -> Params:
    """Variables of a part of the layer: numbered below `folder`, or by name below one that is called like `name`."""
    found = {}
    for n, variable in enumerate(names):
        keys = [f"{folder}/{n}"] if record.has_array(f"{folder}/{n}") else []
        keys += [key for key in record.array_keys() if name in key and key.endswith(f"/{variable}")]
        if not keys:
            raise ModelError(f"layer {record.name!r} ({record.kind}): variable {variable!r} of {folder!r} is not found")
        found[variable] = np.asarray(record.array(keys[0]), np.float32)
    return found


def _tables(record: Record, net: NetworkBuilder, edges: str, params: Params, divisor: float) -> str:
    """Add the functions of all edges behind their input quantisers, and the table quantiser."""
    rank = len(net.shape(edges))
    output = spec_of(record, record.take("toq_conf", None), "toq_conf", "toq", "quantizer*")
    record.ignore("table_idxs")
    attrs = {"activation": _activation(record), "divisor": divisor, "output": None}
    plain = output is not None and output.q_type != "dummy"
    if output is not None and plain:
        attrs["output"] = output.quantiser(record, rank)
    y = net.add("table_network", f"{record.name}_tables", [edges], attrs, params)
    return quantised(record, net, y, output, f"{record.name}_toq") if output is not None and output.affine else y


def _activation(record: Record) -> Chain:
    """Function between the inner layers."""
    scratch = NetworkBuilder("scratch")
    keras.activated(record, scratch, scratch.input("x", (1,)), record.take("subnn_activation", None))
    return chain_of(scratch, record, "subnn_activation")
