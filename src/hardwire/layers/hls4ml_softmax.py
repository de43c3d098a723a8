"""hls4ml's softmax, to the bit: the implementations `latency`, `stable`, `legacy` and `argmax`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hardwire.errors import UnsupportedError
from hardwire.fixed import Floats, Overflow, Rounding
from hardwire.layers._base import imports
from hardwire.layers._hls4ml import Layer, Term
from hardwire.layers._hls4ml_types import Fixed
from hardwire.layers.hls4ml_activations import exp32, float32
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

_TABLE = Fixed(True, 18, 8)
_SATURATED = Fixed(True, 18, 8, Rounding.RND, Overflow.SAT)
_NAMES = ("latency", "legacy", "stable", "argmax")


def top_bits(layer: Layer, x: Term, size: int, part: str) -> tuple[str, int]:
    """Return the highest bits of a value's code as an index, and how many: those that address a table of `size`."""
    bits = max(0, size - 1).bit_length()
    kind = x.type
    if bits > kind.width:
        raise UnsupportedError(
            f"layer {layer.name!r} ({layer.record.kind}): a table of {size} entries for a type of {kind.width} bits",
            hint=f"a table_size of at most {1 << kind.width}",
        )
    # Of a negative number the bits are those of its two's complement.
    index = layer.cast(x, Fixed(kind.signed, bits, kind.integer), f"{part}_index")
    code = layer.scaled(index, 2.0 ** (bits - kind.integer), Fixed(True, 2, 2))
    return code.tensor, bits


def ordered(values: Floats, kind: Fixed) -> Floats:
    """Entries by unsigned index in the order of signed ones, where the indexing type is signed."""
    half = len(values) // 2
    return np.concatenate([values[half:], values[:half]]) if kind.signed else values


def indexed(layer: Layer, x: Term, values: Floats, kind: Fixed, part: str) -> Term:
    """Look up a table (entries by the top bits of the code of `x`)."""
    code, bits = top_bits(layer, x, len(values), part)
    if len(values) != 1 << bits:
        values = np.concatenate([values, np.zeros((1 << bits) - len(values))])
    first = -(len(values) // 2) if x.type.signed else 0
    return layer.lookup(code, ordered(values, x.type), kind, first, part)


def table_inputs(kind: Fixed, size: int) -> Floats:
    """Real number that each index stands for: the top bits of a code, the rest 0, as float32."""
    bits = max(0, size - 1).bit_length()
    index = np.arange(size, dtype=np.int64)
    code = np.where(kind.signed & (index >= 1 << (bits - 1)), index - (1 << bits), index)
    return float32(code * 2.0 ** (kind.integer - bits))


def exp_table(kind: Fixed, size: int, scale: float, negative: bool, entry: Fixed) -> Floats:
    """Entries of the exponential's table."""
    x = float32(table_inputs(kind, size) * float32(scale))
    return entry(exp32(-x if negative else x))


def inverse_table(kind: Fixed, size: int, entry: Fixed) -> Floats:
    """Entries of the reciprocal's table; that of 0 is of the infinity of float32."""
    x = table_inputs(kind, size)
    finite = entry(float32(1.0 / np.where(x == 0, 1.0, x)))
    return np.where(x == 0, infinity(entry), finite)


def infinity(kind: Fixed) -> float:
    """What a type makes of a float's infinity, which it reads as 2^1024: all bits are lost, or it saturates."""
    if kind.overflow in (Overflow.SAT, Overflow.SAT_SYM):
        return float(kind(2.0**60))
    return 0.0


def tree_sum(layer: Layer, x: Term, kind: Fixed, part: str) -> Term:
    """Sum over the last axis by halves, every sum cast."""
    n = layer.shape(x)[-1]
    attrs = {"product": None, "sum": kind.quantiser(), "order": "tree"}
    return Term(layer.node("accumulate", part, [x.tensor], attrs, {"kernel": np.ones((n, 1))}), kind)


def rows(layer: Layer, x: Term) -> Term:
    """View a flat tensor with the axis of the softmax last: (outer, inner, slice) or (slice,)."""
    record = layer.record
    n = layer.integer("n_in")
    size = layer.integer("n_slice", n)
    inner, outer = layer.integer("n_inner", 1), layer.integer("n_outer", 1)
    total = int(np.prod(layer.shape(x)))
    if layer.stream:
        size, outer = record.versions["lanes"][0], total // record.versions["lanes"][0]
        inner = 1
    elif record.kind == "softmax":
        inner, outer, size = 1, 1, size
    if size * inner * outer != total:
        raise UnsupportedError(f"layer {layer.name!r}: a softmax over {size} of {total} elements")
    if inner * outer == 1:
        return x
    return layer.turned(layer.view(x, (outer, size, inner)), (0, 2, 1)) if inner > 1 else layer.view(x, (outer, size))


def flat(layer: Layer, x: Term) -> Term:
    """Undo `rows`."""
    shape = layer.shape(x)
    return layer.turned(x, (0, 2, 1)) if len(shape) == 3 else x


@imports("hls4ml", "softmax", "softmax_multidim", "softmax_stable", "softmax_latency", "softmax_legacy")
def _softmax(record: Record, net: NetworkBuilder) -> str:
    """`softmax(data, res)` by the config's implementation."""
    layer = Layer(record, net)
    record.ignore("axis", "table_t" if record.has("exp_table_t") else "")
    x = rows(layer, layer.x)
    default = record.kind.partition("_")[2] if record.kind.startswith("softmax_") else "stable"
    value = record.take("implementation", default)
    name = _NAMES[value] if isinstance(value, int) and 0 <= value < len(_NAMES) else str(value)
    name = name if name != "multidim" else "stable"
    if name not in _NAMES:
        raise record.unsupported("implementation", value, f"only {', '.join(_NAMES)} are supported")
    function = {"latency": _by_tables, "stable": _by_tables, "legacy": _legacy, "argmax": _argmax}[name]
    return layer.assign(flat(layer, function(layer, x, name == "stable")))


def _sizes(layer: Layer) -> tuple[int, int]:
    size = layer.integer("table_size", 1024)
    return layer.integer("exp_table_size", size), layer.integer("inv_table_size", size)


def _by_tables(layer: Layer, x: Term, stable: bool) -> Term:
    """`exp` of each element (of its distance to the largest) times the reciprocal of their sum, both from tables."""
    record = layer.record
    modern = record.has("inv_inp_t")
    exp_size, inv_size = _sizes(layer)
    scale = float(record.take("exp_scale", 1.0))
    exp_type, inv_type = layer.type("exp_table_t", _SATURATED), layer.type("inv_table_t", _SATURATED)
    norm = layer.type("inp_norm_t", Fixed(False, 1, 1))
    if modern:
        accum, inverse = layer.type("accum_t"), layer.type("inv_inp_t")
    else:  # before hls4ml 1.2
        record.ignore("accum_t", "inp_norm_t")
        accum = inverse = exp_type
    if stable and modern:
        top = Term(layer.node("reduce_max", "maximum", [x.tensor], {"axes": (-1,), "keepdims": True}), x.type)
        distance = layer.cast(layer.sub(top, x), norm, "distance")
        negative, index_type = True, norm
    elif stable:
        top = Term(layer.node("reduce_max", "maximum", [x.tensor], {"axes": (-1,), "keepdims": True}), x.type)
        kept = Fixed(x.type.signed, x.type.width, x.type.integer, Rounding.RND, Overflow.SAT)
        kept = replace(kept, signed=True)
        # The table is addressed by the bits of a value of the input's type.
        index_type = x.type.plain()
        distance = layer.cast(layer.cast(layer.sub(x, top), kept, "distance"), index_type, "distance_bits")
        negative = False
    else:
        distance, negative, index_type = x, False, x.type
    entries = exp_table(index_type, exp_size, scale, negative, exp_type)
    powers = layer.cast(indexed(layer, distance, entries, exp_type, "exp"), accum, "exp_accum")
    total = layer.cast(tree_sum(layer, powers, accum, "sum"), inverse, "sum_cast")
    factor = indexed(layer, total, inverse_table(inverse, inv_size, inv_type), inv_type, "inverse")
    return layer.mul(powers, factor)


def _legacy(layer: Layer, x: Term, _: bool) -> Term:
    """`1 / Σ exp(xⱼ - xᵢ)` by two tables of one type."""
    record = layer.record
    size = layer.integer("table_size", 1024)
    exp_size, inv_size = layer.integer("exp_table_size", size), layer.integer("inv_table_size", size)
    if layer.stream:
        exp_size = inv_size = size
    record.ignore("exp_table_t", "inv_table_t", "accum_t", "inv_inp_t", "inp_norm_t", "exp_scale")
    kind = layer.type("table_t", _TABLE)
    grid = np.arange(exp_size, dtype=np.float64)
    points = float32(16.0 * (grid - float32(exp_size) / 2.0) / float32(exp_size))
    exps = kind(exp32(points))
    cells = float32(64.0 * np.arange(inv_size) / float32(inv_size))
    inverse = np.where(cells > 0, kind(1.0 / np.where(cells > 0, cells, 1.0)), 0.0)
    n = layer.shape(x)[-1]
    outputs = []
    middle = exp_size // 2
    axis = len(layer.shape(x)) - 1
    for i in range(n):
        own = layer.taken(x, axis, [i])
        others = layer.taken(x, axis, [j for j in range(n) if j != i])
        one = float(kind(1.0))
        if n > 1:
            difference = layer.sub(others, own)
            index = layer.bounded_index(difference, exp_size, 16, -middle, exp_size - 1 - middle)
            powers = layer.lookup(index, exps, kind, -middle, "exp")
            # The sum starts from 0, and the own term, which is 1, has its place between the others.
            joined = layer.node("pad", "own", [powers.tensor], _own(len(layer.shape(x)), i, n, one))
            if 0 < i < n - 1:
                parts = [layer.taken(powers, axis, range(i)), layer.taken(powers, axis, range(i, n - 1))]
                attrs = _own(len(layer.shape(x)), n, n, one)
                first = layer.node("pad", "own", [parts[0].tensor], attrs)
                joined = layer.node("concat", "terms", [first, parts[1].tensor], {"axis": axis})
            terms = Term(joined, kind)
            attrs = {"product": None, "sum": kind.quantiser(), "order": tuple(range(n))}
            total = Term(layer.node("accumulate", "sum", [terms.tensor], attrs, {"kernel": np.ones((n, 1))}), kind)
        else:
            total = layer.shifted(layer.scaled(own, 0.0, kind), one, kind)
            total = Term(total.tensor, kind)
        place = layer.bounded_index(total, inv_size, 64, 0, inv_size - 1)
        outputs.append(layer.lookup(place, inverse, kind, 0, "inverse").tensor)
    return Term(layer.node("concat", "joined", outputs, {"axis": axis}) if n > 1 else outputs[0], kind)


def _own(rank: int, place: int, n: int, value: float) -> dict[str, object]:
    """Attributes of a `pad` that puts one constant before (place 0) or behind the last axis."""
    ends = (1, 0) if place == 0 else (0, 1)
    return {"padding": ((0, 0),) * (rank - 1) + (ends,), "mode": "constant", "value": value}


def _argmax(layer: Layer, x: Term, _: bool) -> Term:
    """1 at the first largest element, 0 elsewhere."""
    record = layer.record
    record.ignore("exp_table_t", "inv_table_t", "accum_t", "inv_inp_t", "inp_norm_t", "exp_scale", "table_size")
    record.ignore("exp_table_size", "inv_table_size", "table_t")
    shape = layer.shape(x)
    n, axis = shape[-1], len(shape) - 1
    bit = Fixed(False, 1, 1)
    place = layer.node("argmax", "place", [x.tensor], {"axis": axis, "keepdims": True})
    parts = [layer.compared(Term(place, bit), "equal", float(i)) for i in range(n)]
    return Term(layer.node("concat", "one_hot", parts, {"axis": axis}) if n > 1 else parts[0], bit)
