"""hls4ml's einsums, embedding and layer normalisation, to the bit."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from hardwire.errors import UnsupportedError
from hardwire.layers._base import imports
from hardwire.layers._hls4ml import Layer, Term
from hardwire.layers._hls4ml_types import INT
from hardwire.layers.hls4ml_activations import float32
from hardwire.layers.hls4ml_dense import Matrix, kernel_sums, matrix_config, sums
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record


def turned_by(layer: Layer, x: Term, config: Any, what: str) -> Term:
    """Transpose a flat tensor by a config of hls4ml's `transpose`; the result has its shape."""
    if not isinstance(config, dict):
        raise layer.record.unsupported(what, config, "expected a config of a transposition")
    shape, perm = config.get("from_shape"), config.get("perm")
    if not (isinstance(shape, tuple) and isinstance(perm, tuple) and sorted(perm) == list(range(len(shape)))):
        raise layer.record.unsupported(what, config, "expected from_shape and perm")
    if prod(shape) != prod(layer.shape(x)):
        raise layer.record.unsupported(what, shape, f"the tensor has {prod(layer.shape(x))} elements")
    return layer.turned(layer.view(x, shape), perm)


def _sizes(layer: Layer, *keys: str) -> list[int]:
    sizes = [layer.integer(key) for key in keys]
    if min(sizes) < 1:
        raise layer.record.unsupported(keys[0], sizes, "expected positive sizes")
    return sizes


@imports("hls4ml", "einsum_dense")
def _einsum_dense(record: Record, net: NetworkBuilder) -> str:
    """`einsum_dense(data, res, weights, biases)`: for every index in place a matrix, for every row its own bias."""
    layer = Layer(record, net)
    record.ignore("strategy", "accum_t", "bias_t", "weight_t", "product")
    free, out, contract, places = _sizes(layer, "n_free_data", "n_free_kernel", "n_contract", "n_inplace")
    inner = record.take("dense_conf")
    if not isinstance(inner, dict):
        raise record.unsupported("dense_conf", inner, "only products with stored weights are supported")
    x = turned_by(layer, layer.x, record.take("tpose_inp_conf"), "tpose_inp_conf")
    x = layer.view(x, (places, free, contract))
    weights = layer.array(0).reshape(places, -1)
    biases = layer.array(1).reshape(places, free, out)
    parts = []
    for i in range(places):
        plane = layer.view(layer.taken(x, 0, [i]), (free, contract))
        shared = bool(np.all(biases[i] == biases[i][:1]))
        for rows in [list(range(free))] if shared else [[row] for row in range(free)]:
            part = plane if shared else layer.taken(plane, 0, rows)
            config = matrix_config(layer, dict(inner))
            total = kernel_sums(layer, part, weights[i], biases[i][rows[0]], config, contract, out)
            parts.append(layer.cast(total, layer.result))
    joined = layer.node("concat", "rows", [part.tensor for part in parts], {"axis": 0})
    y = layer.view(Term(joined, layer.result), (places * free * out,))
    return turned_by(layer, y, record.take("tpose_out_conf"), "tpose_out_conf").tensor


@imports("hls4ml", "einsum")
def _einsum(record: Record, net: NetworkBuilder) -> str:
    """`einsum(a, b, res)` of two computed tensors; every sum kept in `accum_t`."""
    layer = Layer(record, net)
    record.ignore("strategy")
    layer.word("product", "mult", "mult")
    rows, columns, contract, places = _sizes(layer, "n_free0", "n_free1", "n_contract", "n_inplace")
    accum = layer.type("accum_t")
    if len(layer.inputs) != 2:
        raise UnsupportedError(f"layer {layer.name!r} (einsum): {len(layer.inputs)} inputs, expected 2")
    configs = [(record.take(key), key) for key in ("tpose_inp0_config", "tpose_inp1_config")]
    a, b = (turned_by(layer, x, *config) for x, config in zip(layer.inputs, configs, strict=True))
    products = layer.mul(layer.view(a, (places, rows, 1, contract)), layer.view(b, (places, 1, columns, contract)))
    attrs = {"product": None, "sum": accum.quantiser(), "order": tuple(range(contract))}
    total = layer.node("accumulate", "sum", [products.tensor], attrs, {"kernel": np.ones((contract, 1))})
    y = layer.cast(layer.view(Term(total, accum), (places * rows * columns,)), layer.result)
    return turned_by(layer, y, record.take("tpose_out_conf"), "tpose_out_conf").tensor


@imports("hls4ml", "embedding")
def _embedding(record: Record, net: NetworkBuilder) -> str:
    """`embedding(data, res, embeddings)`: rows by integer; an index outside of the table is not defined by hls4ml."""
    layer = Layer(record, net)
    record.ignore("embeddings_t")
    layer.integer("n_in")
    width, rows = layer.integer("n_out"), layer.integer("vocab_size")
    table = layer.array(0).reshape(rows, width)
    if layer.x.type.frac > 0:
        return layer.assign(_by_place(layer, table))
    index = layer.clip(layer.x, 0.0, float(rows - 1))
    y = Term(layer.node("embedding", "", [index.tensor], {}, {"table": table}), layer.weight_type(0))
    return layer.assign(y)


def _by_place(layer: Layer, table: Matrix) -> Term:
    """Look up element i at `int(x · width + i)` of the flat table, as C++ does where x may lie between two rows."""
    width, kind = table.shape[1], layer.weight_type(0)
    start = layer.scaled(layer.x, float(width), INT)
    columns = []
    for i in range(width):
        place = layer.bounded_index(layer.shifted(start, float(i), INT), 1, 1, 0, table.size - 1)
        column = layer.lookup(place, table.reshape(-1), kind)
        columns.append(layer.view(column, (*layer.shape(column), 1)).tensor)
    return Term(layer.node("concat", "rows", columns, {"axis": len(layer.shape(layer.x))}), kind)


@imports("hls4ml", "layernormalize")
def _layer_norm(record: Record, net: NetworkBuilder) -> str:
    """`layernormalize(data, res, scale, bias)`: mean and variance in `accum_t`, the root's reciprocal from a table."""
    layer = Layer(record, net)
    record.ignore("scale_t", "bias_t", "axis")
    layer.word("product", "mult", "mult")
    total, length = _sizes(layer, "n_in", "seq_len")
    size, table_type, accum = layer.integer("table_size", 1024), layer.type("table_t"), layer.type("accum_t")
    power, digits = layer.integer("table_range_power2", 0), layer.integer("epsilon_power_of_10", 3)
    width = total // length
    x = layer.cast(layer.view(layer.x, (length, width)), accum, "accum")
    share = float(accum(1.0 / width))

    def mean(values: Term, part: str) -> Term:
        kernel: Matrix = np.ones((width, 1))
        return layer.cast(layer.scaled(sums(layer, values, kernel, None, accum, part=part), share, accum), accum)

    difference = layer.cast(layer.sub(x, mean(x, "sum")), accum)
    square = layer.cast(layer.mul(difference, difference), accum, "square")
    variance = mean(square, "squares")
    # Float32 in every step.
    step = float32(float(2.0**-power) / float(size))
    grid = float32(float32(10.0**-digits) + float32(step * np.arange(size)))
    entries = table_type(1.0 / float32(np.sqrt(grid)))
    index = layer.bounded_index(variance, size << power, 1, 0, size - 1)
    inverse = layer.lookup(index, entries, table_type)
    y = layer.scaled(layer.mul(difference, inverse), layer.array(0), layer.weight_type(0))
    return layer.assign(layer.shifted(y, layer.array(1), layer.weight_type(1)))
