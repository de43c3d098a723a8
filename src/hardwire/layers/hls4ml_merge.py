"""hls4ml's layers of two inputs, to the bit: sums, products, extremes, averages, concatenation, dot."""

from __future__ import annotations

import numpy as np

from hardwire.errors import UnsupportedError
from hardwire.layers._base import imports
from hardwire.layers._hls4ml import Layer, Term
from hardwire.layers._hls4ml_types import Fixed
from hardwire.layers.hls4ml_pool import divided
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record


def _operands(layer: Layer) -> tuple[Term, Term]:
    """Both inputs with one number of elements: a shorter one repeats."""
    if len(layer.inputs) == 1:  # the same tensor twice
        return layer.inputs[0], layer.inputs[0]
    if len(layer.inputs) != 2:
        raise UnsupportedError(f"layer {layer.name!r} ({layer.record.kind}): {len(layer.inputs)} inputs, expected 2")
    sizes = [int(np.prod(layer.shape(x))) for x in layer.inputs]
    most = max(sizes)
    full = [
        x if size == most else layer.taken(x, 0, (np.arange(most) % size).tolist())
        for x, size in zip(layer.inputs, sizes, strict=True)
    ]
    return full[0], full[1]


@imports("hls4ml", "add", "subtract", "multiply", "average", "maximum", "minimum")
def _merge(record: Record, net: NetworkBuilder) -> str:
    """Element by element, exact up to the cast to the result's type; of extremes each operand is cast."""
    layer = Layer(record, net)
    record.ignore("n_elem", "n_elem1", "n_elem2")
    a, b = _operands(layer)
    if record.kind == "add":
        return layer.assign(layer.add(a, b))
    if record.kind == "subtract":
        return layer.assign(layer.sub(a, b))
    if record.kind == "multiply":
        return layer.assign(layer.mul(a, b))
    if record.kind == "average" and layer.release < (1, 2):
        two = float(layer.result(2.0))
        return layer.assign(divided(layer, layer.add(a, b), two, layer.result))
    if record.kind == "average":
        return layer.assign(layer.scaled(layer.add(a, b), 0.5, Fixed(False, 1, 0)))
    relation = "greater" if record.kind == "maximum" else "less"
    first = layer.node("compare", "compared", [a.tensor, b.tensor], {"relation": relation})
    kinds = [layer.cast(x, layer.result, "cast") for x in (a, b)]
    return layer.where(first, *kinds).tensor


@imports("hls4ml", "concatenate1d", "concatenate2d", "concatenate3d")
def _concatenate(record: Record, net: NetworkBuilder) -> str:
    """Along `axis`, which counts the batch."""
    layer = Layer(record, net)
    rank = int(record.kind[-2])
    dims = [tuple(layer.integer(f"n_elem{k}_{i}", 0) for i in range(3))[:rank] for k in (1, 2)]
    axis = record.take("axis", -1)
    if not isinstance(axis, int):
        raise record.unsupported("axis", axis, "expected an integer")
    place = rank - 1 if axis in (-1, rank, (1 << 32) - 1) else axis - 1 if axis > 0 else rank + axis
    if rank == 1:
        place = 0
    elif not 0 <= place < rank:
        raise record.unsupported("axis", axis, f"an axis of {rank}")
    if len(layer.inputs) == 1:
        layer.inputs = layer.inputs * 2
    views = [
        layer.cast(layer.view(x, shape), layer.result, "cast") for x, shape in zip(layer.inputs, dims, strict=True)
    ]
    return layer.node("concat", "", [view.tensor for view in views], {"axis": place})


@imports("hls4ml", "dot1d")
def _dot(record: Record, net: NetworkBuilder) -> str:
    """Sum of products, each cast to `accum_t`, in `accum_t`."""
    layer = Layer(record, net)
    layer.integer("n_in"), layer.integer("n_out", 1)
    record.ignore("weight_t")
    layer.word("product", "mult", "mult")
    accum = layer.type("accum_t")
    a, b = _operands(layer)
    products = layer.cast(layer.mul(a, b), accum, "product_cast")
    n = layer.shape(products)[-1]
    attrs = {"product": None, "sum": accum.quantiser(), "order": tuple(range(n))}
    total = layer.node("accumulate", "", [products.tensor], attrs, {"kernel": np.ones((n, 1))})
    return layer.assign(Term(total, accum))
