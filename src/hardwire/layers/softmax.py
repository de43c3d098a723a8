"""Softmax by integer tables, with an exact definition and a proven error bound against the float softmax.

Keras `Softmax`, ONNX `Softmax`, PyTorch `softmax`, `softmin`. The definition, for codes `x` (n,) at one scale `s`
(that of the input times the node's `factor`), is that of `fixed_codes`:

1. `d = min(round(( max(x) - x) / 2^shift), depth)`, the distance to the maximum, ties up, saturated;
2. `e = exponential[d]`, `round(exp(-d · 2^shift · s) · 2^exp_frac)`;
   where there is a mask, the maximum is that of the elements it keeps, and `e = 0` for the others;
3. `S = Σ e`; with `normalise`, `M = S · 2^z` has its leading one at bit `a = exp_frac + ceil(log2 n)`, else `M = S`,
   `z = 0` and `a = exp_frac`;
4. `r = reciprocal[M >> k]`, `k = a - index_bits`, which is `2^(recip_frac + a)` over the middle of the cell, rounded
   and below `2^recip_frac`;
5. `y = e · (r << z)`, at the scale `2^-(recip_frac + a)`, goes to the node's output quantiser.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import ceil, log, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, RangeError, UnsupportedError
from hardwire.fixed import MAX_BITS, FixedType, Floats, Ints, Overflow, Rounding, round_shift
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _keras as keras
from hardwire.layers import _onnx as onnx
from hardwire.layers import _torch as torch
from hardwire.layers._axes import without_batch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import checked_axis, one_scale, quantised_input
from hardwire.layers._lowering import Lowering, Part, Wire, broadcast
from hardwire.layers.quantise import quantise_wire
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser

MAX_ENTRIES = 1 << 16
"""Most entries of one table."""

_DEFAULT_BITS = 12
"""Index bits up to which `default_tables` grows a table; beyond, the bound is what it is."""


@dataclass(frozen=True)
class SoftmaxTables:
    """Types of the tables that compute a softmax; the module's docstring says what each field means.

    `depth + 1` is the number of entries of the exponential, `2^index_bits` that of the normalised reciprocal.
    """

    shift: int
    depth: int
    exp_frac: int
    index_bits: int
    recip_frac: int
    normalise: bool

    @classmethod
    def of(cls, fields: Sequence[int]) -> SoftmaxTables:
        """Return the tables of the fields in order, as integers."""
        shift, depth, exp_frac, index_bits, recip_frac, normalise = fields
        return cls(shift, depth, exp_frac, index_bits, recip_frac, bool(normalise))

    def leading(self, n: int) -> int:
        """Bit `a` of the (normalised) sum's leading one, for `n` elements."""
        return self.exp_frac + ((n - 1).bit_length() if self.normalise else 0)

    def frac(self, n: int) -> int:
        """Fractional bits of the result before the output quantiser."""
        return self.recip_frac + self.leading(n)

    def check(self, layer: str, n: int) -> None:
        """Raise `ModelError` for fields that make no sense, `RangeError` for tables or values too large."""
        if min(self.shift, self.depth, self.exp_frac, self.index_bits) < 0 or self.recip_frac < 1:
            raise ModelError(f"layer {layer!r}: softmax tables with a negative field: {self}")
        if self.index_bits > self.leading(n):
            raise ModelError(
                f"layer {layer!r}: the reciprocal's index of {self.index_bits} bits is longer than the sum "
                f"({self.leading(n)} bits)"
            )
        largest = max(self.depth + 1, (1 if self.normalise else n) << self.index_bits)
        if largest > MAX_ENTRIES:
            raise RangeError(f"layer {layer!r}: a softmax table of {largest} entries; the limit is {MAX_ENTRIES}")
        if self.frac(n) >= MAX_BITS:
            raise RangeError(
                f"layer {layer!r}: the softmax needs {self.frac(n) + 1} bits; values are at most {MAX_BITS} bits wide",
                hint="a coarser output type, or SoftmaxTables with smaller exp_frac and recip_frac",
            )


class Softmax(Layer):
    """Softmax of `factor · x` along `axis` (the batch axis not counted, ≥ 0).

    Attrs `axis`, `output` (`Quantiser` or None), `tables` (`SoftmaxTables`, or None for `default_tables`), `factor`
    (> 0, 1 where absent; it costs nothing, as the table's step holds it), `unit` (scale at which `tables` counts the
    input's codes; that of the input where absent). A mask that broadcasts to the input keeps the
    elements where it is not 0 and gives 0 for the others: param `mask`, or a second input of 0 and 1. Where it keeps
    none, all give 0, or with attr `share` (bool) each the same. The float meaning is the float64 softmax; the integer
    meaning is `fixed_codes`, at most `error_bound` away before the output quantiser.
    """

    kind = "softmax"
    exact = False

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        checked_axis(node, node.attrs["axis"], len(inputs[0]))
        if not 0 < _factor(node) < np.inf:
            raise ModelError(f"layer {node.name!r}: a softmax of {_factor(node)} times its input; it must be above 0")
        masks = [node.params["mask"].shape] if "mask" in node.params else []
        for mask in [*masks, *inputs[1:]]:
            wide = (1,) * (len(inputs[0]) - len(mask)) + tuple(mask)
            if len(wide) != len(inputs[0]) or any(m not in (1, n) for m, n in zip(wide, inputs[0], strict=True)):
                raise ModelError(f"layer {node.name!r}: a mask of the shape {mask} for a tensor {inputs[0]}")
        return inputs[0]

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Float64 softmax, then the output quantiser if there is one."""
        y = _float_softmax(node, inputs[0], *inputs[1:])
        quantiser: Quantiser | None = node.attrs.get("output")
        return y if quantiser is None else quantiser(y)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Maximum, difference, exponential table, sum, reciprocal table, product, output quantiser."""
        x = inputs[0]
        quantiser: Quantiser | None = node.attrs.get("output")
        if quantiser is None:
            raise ModelError(
                f"layer {node.name!r}: softmax has no exact fixed-point result and no type for its output",
                hint="calibrate the model (calibrate=x), put a quantiser after the layer, or use argmax instead",
            )
        axis = checked_axis(node, node.attrs["axis"], len(x.shape))
        n = x.shape[axis]
        unit = node.attrs.get("unit")
        common = one_scale(x, tuple(range(len(x.shape)))) if unit is None else np.array(Fraction(unit), object)
        x = low.rescaled(node, x, common)
        own: Fraction = x.scales()[(0,) * len(x.shape)]
        scale = own * Fraction(_factor(node))
        last = x.view(np.moveaxis(x.index, axis, -1), np.moveaxis(x.scales(), axis, -1))
        reads = [(last, low.windows(last, 1))]
        lo, hi = low.window_range(reads)
        tables = node.attrs.get("tables") or default_tables(scale, int(hi.max() - lo.min()), n, quantiser)
        tables.check(node.name, n)
        bound = error_bound(tables, n, scale, int(hi.max() - lo.min())) + 0.5 * float(np.max(quantiser.scale))
        low.notes.setdefault("softmax", {})[node.name] = {
            "tables": asdict(tables),
            "input_scale": str(own),
            "error_bound": bound,
        }
        masks = [_constant_mask(node, low, x.shape)] if "mask" in node.params else list(inputs[1:])
        for mask in masks:
            wide = np.moveaxis(broadcast(mask, x.shape).index, axis, -1)
            reads.append((mask, wide.reshape(-1, n)))
        builder = KernelBuilder(node.name, *low.window_range(reads))
        places = [range(n * k, n * (k + 1)) for k in range(1, len(reads))]
        share = bool(node.attrs.get("share", False))
        kernel = builder.build(_kernel(builder, n, scale, tables, places, share=share))
        y = low.apply(node, kernel, reads, last.shape, np.array(Fraction(1, 1 << tables.frac(n)), object))
        y = y.view(np.moveaxis(y.index, -1, axis), np.moveaxis(y.scales(), -1, axis))
        return quantise_wire(node, low, y, quantiser)

    def examples(self) -> Iterator[Example]:
        """A vector, rows, columns, a direct reciprocal table, a truncated input, one element, a factor, masks."""
        direct = SoftmaxTables(shift=0, depth=40, exp_frac=8, index_bits=5, recip_frac=10, normalise=False)
        coarse = SoftmaxTables(shift=2, depth=15, exp_frac=7, index_bits=4, recip_frac=8, normalise=True)
        for name, shape, axis, kind, tables in (
            ("vector", (5,), 0, "s6.2", None),
            ("rows", (2, 3), 1, "s6.3", None),
            ("columns", (3, 2), 0, "s6.3", None),
            ("direct", (3,), 0, "s6.2", direct),
            ("coarse", (4,), 0, "s8.4", coarse),
            ("one", (1,), 0, "s4.2", None),
        ):
            net = NetworkBuilder(f"softmax_{name}")
            x = quantised_input(net, shape, kind)
            output = Quantiser.of_type(FixedType.parse("u8.8"), Rounding.RND, Overflow.SAT)
            y = net.add("softmax", "softmax", [x], {"axis": axis, "output": output, "tables": tables})
            yield Example(name, net.build([y]))
        output = Quantiser.of_type(FixedType.parse("u7.7"), Rounding.RND, Overflow.SAT)
        attrs = {"axis": 1, "output": output, "factor": 1 / np.sqrt(3.0)}
        for name, tables in (("causal", None), ("masked", direct)):
            net = NetworkBuilder(f"softmax_{name}")
            x = quantised_input(net, (3, 3), "s5.2")
            mask = quantised_input(net, (3,), "u1.0", "mask") if name == "masked" else ""
            params = {} if mask else {"mask": np.tril(np.ones((3, 3), bool))}
            inputs = [x, mask] if mask else [x]
            y = net.add("softmax", "softmax", inputs, {**attrs, "tables": tables, "share": bool(mask)}, params)
            yield Example(name, net.build([y]))


def _factor(node: Node) -> float:
    return float(node.attrs.get("factor", 1.0))


def _float_softmax(node: Node, x: Floats, *masks: Floats) -> Floats:
    """Float64 meaning on (N, *shape) arrays, before the output quantiser."""
    axis = checked_axis(node, node.attrs["axis"], x.ndim - 1) + 1
    kept = _kept(node, x.shape, masks)
    x = x * _factor(node)
    top = np.max(x, axis=axis, keepdims=True, where=kept, initial=-np.inf)
    if node.attrs.get("share", False):
        x, kept = np.where(kept, x, 0.0), kept | ~np.any(kept, axis=axis, keepdims=True)
        top = np.where(np.isfinite(top), top, 0.0)
    e = np.where(kept, np.exp(np.where(kept, x - np.where(np.isfinite(top), top, 0.0), 0.0)), 0.0)
    total = e.sum(axis=axis, keepdims=True)
    return np.asarray(e / np.where(total == 0, 1.0, total), np.float64)


def _kept(node: Node, shape: Shape, masks: Sequence[Floats]) -> NDArray[np.bool_]:
    """Which elements of a tensor (N, *shape) the masks keep."""
    kept = np.ones(shape, bool)
    if "mask" in node.params:
        kept &= node.params["mask"] != 0
    for mask in masks:
        kept &= mask.reshape(len(mask), *(1,) * (len(shape) - mask.ndim), *mask.shape[1:]) != 0
    return kept


def _constant_mask(node: Node, low: Lowering, shape: Shape) -> Wire:
    """The param `mask` as a tensor of 0 and 1 that broadcasts to `shape`; its rows are kernels without inputs."""
    mask = (node.params["mask"] != 0).astype(np.int64)
    mask = mask.reshape(*(1,) * (len(shape) - mask.ndim), *mask.shape)
    rows, group = np.unique(mask.reshape(-1, mask.shape[-1]), axis=0, return_inverse=True)
    parts = []
    for g, row in enumerate(rows):
        builder = KernelBuilder(f"{node.name}.mask", [], [])
        (members,) = np.nonzero(group.reshape(-1) == g)
        parts.append(
            Part(builder.build([builder.const(int(code)) for code in row]), (), members.astype(np.int32) * len(row))
        )
    inner = node.with_(name=f"{node.name}.mask")
    return low.assemble(inner, parts, mask.shape, np.array(Fraction(1), object))


def _kernel(
    b: KernelBuilder,
    n: int,
    scale: Fraction,
    tables: SoftmaxTables,
    masks: Sequence[Sequence[int]] = (),
    *,
    share: bool = False,
) -> list[int]:
    """Build one softmax over the kernel's first `n` inputs; an element whose input in `masks` is 0 is left out.

    `share`: where all are left out, each has the same share.
    """
    least = min(b.range(value)[0] for value in range(n))
    layer = list(range(n))
    for mask in masks:
        layer = [b.select(mask[value], layer[value], b.const(least)) for value in range(n)]
    while len(layer) > 1:
        pairs = [layer[i : i + 2] for i in range(0, len(layer), 2)]
        layer = [b.max(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    exponential = exp_table(scale, tables)
    parts = []
    for value in range(n):
        # Never negative, which the two ranges do not show; the saturation is one clamp with it.
        distance = b.round(b.sub(layer[0], value), tables.shift, Rounding.RND)
        index = b.clamp(distance, 0, min(tables.depth, max(0, b.range(distance)[1])))
        first, last = b.range(index)
        part = b.table(index, exponential[first : last + 1])
        for mask in masks:
            part = b.select(mask[value], part, b.const(0))
        parts.append(part)
    if share and masks:
        some = b.const(0)
        for value in range(n):
            flag = b.const(1)
            for mask in masks:
                flag = b.select(mask[value], flag, b.const(0))
            some = b.max(some, flag)
        parts = [b.select(some, part, b.const(1 << tables.exp_frac)) for part in parts]
    total = b.linear(parts, [1] * n)
    a = tables.leading(n)
    shifts: list[tuple[int, int]] = []
    if tables.normalise:
        step = 1 << max(0, (n - 1).bit_length()).bit_length()
        while step := step >> 1:
            small = b.less(total, b.const(1 << (a + 1 - step)))
            # In the chosen branch the bits above are zero: to keep the low ones is exact and costs nothing.
            total = b.select(small, b.shl(b.wrap(total, a + 1 - step, False), step), total)
            shifts.append((small, step))
    cell = b.round(total, a - tables.index_bits, Rounding.TRN)
    inverse = recip_table(n, tables)
    if tables.normalise:
        # The leading one is always there and needs no index bit.
        index = (
            b.wrap(b.linear([cell], [1], -(1 << tables.index_bits)), tables.index_bits, False)
            if (tables.index_bits)
            else b.const(0)
        )
        first, last = b.range(index)
        factor = b.table(index, inverse[first : last + 1])
    else:
        # The sum holds 2^exp_frac at least, so that cells below are never met: they repeat the first.
        first, last = b.range(cell)
        below = 1 << tables.index_bits
        factor = b.table(cell, inverse[np.maximum(np.arange(first, last + 1) - below, 0)])
    for small, step in shifts:
        factor = b.select(small, b.shl(factor, step), factor)
    factor = b.wrap(factor, tables.recip_frac + (a - tables.exp_frac), False)
    return [b.mul(part, factor) for part in parts]


def exp_table(scale: Fraction, tables: SoftmaxTables) -> Ints:
    """Entries of the exponential, int64 (depth + 1,)."""
    step = float(scale * (1 << tables.shift))
    return np.rint(np.exp(-np.arange(tables.depth + 1) * step) * 2.0**tables.exp_frac).astype(np.int64)


def recip_table(n: int, tables: SoftmaxTables) -> Ints:
    """Entries of the reciprocal for cells `2^index_bits` and up, int64."""
    cells = 1 << tables.index_bits
    top = 2 * cells if tables.normalise else n * cells + 1
    low, high = _cells(n, tables, np.arange(cells, top))
    # Exact integer rounding of 2^(frac + 1) / (low + high); a quotient is never a tie with an odd divisor.
    numerator = 1 << (tables.frac(n) + 1)
    limit = (1 << tables.recip_frac) - 1
    entries = [(2 * numerator + s) // (2 * s) for s in (low + high).tolist()]
    return np.array([min(entry, limit) for entry in entries], np.int64)


def _cells(n: int, tables: SoftmaxTables, cells: Ints) -> tuple[Ints, Ints]:
    """Lowest and highest (normalised) sum of each cell."""
    k = tables.leading(n) - tables.index_bits
    return cells << k, ((cells + 1) << k) - 1


def fixed_codes(codes: Ints, scale: Fraction, tables: SoftmaxTables, kept: NDArray[np.bool_] | None = None) -> Ints:
    """The exact definition, in numpy: int64 codes (..., n) at `scale` to codes (..., n) at `2^-tables.frac(n)`.

    `kept` (broadcasts to the codes): the mask.
    """
    n = codes.shape[-1]
    mask = np.broadcast_to(True if kept is None else kept, codes.shape)
    top = np.max(codes, axis=-1, keepdims=True, where=mask, initial=np.iinfo(np.int32).min)
    distance = np.maximum(np.where(mask, top - codes, 0), 0)
    e = exp_table(scale, tables)[np.minimum(round_shift(distance, tables.shift, Rounding.RND), tables.depth)]
    e = np.where(mask, e, 0)
    total = np.where(np.any(mask, axis=-1, keepdims=True), e.sum(axis=-1, keepdims=True), 1 << tables.exp_frac)
    z = np.zeros_like(total)
    a = tables.leading(n)
    if tables.normalise:
        while np.any(short := (total << z) < 1 << a):
            z = z + short
    cell = (total << z) >> (a - tables.index_bits)
    return np.asarray(e * (recip_table(n, tables)[cell - (1 << tables.index_bits)] << z), np.int64)


def error_bound(tables: SoftmaxTables, n: int, scale: Fraction, spread: int) -> float:
    """Proven bound on `|y - softmax|` before the output quantiser, for `n` codes at most `spread` apart.

    Every cell of both tables is checked at its ends, between which the errors are monotone. With exponentials off by
    at most `ρ·exp + κ` (the maximum's own is exact), sum `Ŝ ≥ 1` and true sum `S`:
    `ê/Ŝ - e/S = ε/Ŝ - p·Σε/Ŝ`, at most `ρ·S/Ŝ + κ·max(n - 1, (n + 1)/2)` as every p but the largest is at most 1/2.
    The reciprocal's error adds to it.
    """
    step = float(scale)
    half = (1 << tables.shift) >> 1
    index = np.arange(tables.depth + 1)
    low = np.minimum(np.maximum((index << tables.shift) - half, 0), spread)
    high = np.minimum((index << tables.shift) + max(half - 1, 0), spread)
    high[-1] = max(spread, int(low[-1]))
    rho = float(np.expm1(step * half))
    entries = exp_table(scale, tables) * 2.0**-tables.exp_frac
    kappa = 0.0
    for ends in (low, high):
        true = np.exp(-ends * step)
        kappa = max(kappa, float(np.max(np.abs(entries - true) - rho * true)))
    kept = 1.0 - rho - (n - 1) * kappa
    if kept <= 0:
        return 1.0
    first = rho / kept + kappa * (max(n - 1, (n + 1) / 2) if n > 1 else 0.0)
    cells = np.arange(len(recip_table(n, tables))) + (1 << tables.index_bits)
    least, most = _cells(n, tables, cells)
    inverse = recip_table(n, tables) * 2.0 ** -tables.frac(n)
    # No result is larger than the maximum's own, 1 / Ŝ; normalised cells may stand for the smallest sum.
    weight = 1.0 if tables.normalise else np.minimum(1.0, 2.0**tables.exp_frac / least)
    second = max(float(np.max(np.abs(inverse * ends - 1.0) * weight)) for ends in (least, most))
    return min(1.0, first + second + 1e-12)


def largest_error(node: Node, x: Floats, note: Mapping[str, Any], *masks: Floats) -> float:
    """Largest `|fixed - float softmax|` on inputs `x` (N, *shape) that lie on the grid of the lowering's `note`.

    `masks`: the node's second input, if it has one.
    """
    axis = checked_axis(node, node.attrs["axis"], x.ndim - 1) + 1
    own = Fraction(note["input_scale"])
    exact = _float_softmax(node, x, *masks)
    kept = np.moveaxis(_kept(node, x.shape, masks), axis, -1)
    codes = np.rint(np.moveaxis(x, axis, -1) / float(own)).astype(np.int64)
    if node.attrs.get("share", False):
        none = ~np.any(kept, axis=-1, keepdims=True)
        codes, kept = np.where(none, 0, codes), kept | none
    tables = SoftmaxTables(**note["tables"])
    scale = own * Fraction(_factor(node))
    fixed = fixed_codes(codes, scale, tables, kept) * 2.0 ** -tables.frac(codes.shape[-1])
    return float(np.max(np.abs(node.attrs["output"](np.moveaxis(fixed, -1, axis)) - exact), initial=0.0))


def default_tables(scale: Fraction, spread: int, n: int, output: Quantiser) -> SoftmaxTables:
    """Choose tables whose error is at most half an LSB of `output`, so that a rounded result is within one LSB.

    Where that takes an index of more than 12 bits the tables stay there, and `error_bound` says what they reach.
    """
    target = float(np.min(output.scale)) / 2
    growth = (n - 1).bit_length()
    exp_frac = max(1, min(ceil(log2(2 * n / target)), 30))
    index_bits = max(1, min(ceil(log2(1 / target)), _DEFAULT_BITS))
    recip_frac = max(2, min(ceil(log2(1 / target)) + 2, MAX_BITS - 2 - growth - exp_frac))
    while True:
        shift = 0
        # The entry after the last rounds to zero, as do all beyond it.
        while (depth := _depth(scale, spread, exp_frac, shift)) >= 1 << _DEFAULT_BITS:
            shift += 1
        normalise = n << index_bits > 1 << _DEFAULT_BITS
        leading = exp_frac + (growth if normalise else 0)
        tables = SoftmaxTables(shift, depth, exp_frac, min(index_bits, leading), recip_frac, normalise)
        room = tables.frac(n) < MAX_BITS - 3
        if error_bound(tables, n, scale, spread) <= target or not room or index_bits >= _DEFAULT_BITS:
            return tables
        exp_frac, index_bits, recip_frac = exp_frac + 1, index_bits + 1, recip_frac + 1


def _depth(scale: Fraction, spread: int, exp_frac: int, shift: int) -> int:
    """Last index of an exponential table that reaches zero, or all that the input's range can ask for."""
    reached = (spread + ((1 << shift) >> 1)) >> shift
    return min(reached, ceil(log(2.0) * (exp_frac + 1) / float(scale * (1 << shift))))


def log_softmax(net: NetworkBuilder, name: str, x: str, axis: int) -> str:
    """Add the logarithm of a softmax, `d - log(Σ exp(d))` of `d = x - max(x)`; the sum holds the 1 of the maximum."""
    along = {"axes": (axis,), "keepdims": True}
    top = net.add("reduce_max", f"{name}_max", [x], along)
    below = net.add("sub", f"{name}_below", [x, top])
    exponential = net.add("activation", f"{name}_exp", [below], {"function": "exp", "arguments": {}, "output": None})
    total = net.add("reduce_sum", f"{name}_sum", [exponential], along)
    total = net.add("clip", f"{name}_one", [total], {"lo": 1.0, "hi": None})
    total = net.add("activation", f"{name}_log", [total], {"function": "log", "arguments": {}, "output": None})
    return net.add("sub", name, [below, total])


def _along(record: Record, net: NetworkBuilder, x: str, axis: int) -> str:
    """Softmax, or its logarithm, or that of the negated tensor, as the record's kind says."""
    kind = record.kind.lower()
    if "softmin" in kind:
        x = net.add("mul", f"{record.name}_negated", [x], {}, {"constant": np.float64(-1.0)})
    if "log" in kind:
        return log_softmax(net, record.name, x, axis)
    return net.add("softmax", record.name, [x], {"axis": axis, "output": None, "tables": None})


# --- ONNX


@imports("onnx", "Softmax", "LogSoftmax")
def _onnx_softmax(record: Record, net: NetworkBuilder) -> str:
    """Softmax along `axis`; before opset 13, over all axes from `axis` on together."""
    x = onnx.data(record)
    shape = net.shape(x)
    old = onnx.opset(record) < 13
    axis = onnx.axis_of(record, int(record.take("axis", 1 if old else -1)), len(shape))
    if not old or axis == len(shape) - 1:
        return _along(record, net, x, axis)
    joined = (*shape[:axis], int(np.prod(shape[axis:])))
    flat = net.add("reshape", f"{record.name}_flat", [x], {"shape": joined})
    y = _along(record, net, flat, axis)
    return net.add("reshape", f"{record.name}_shape", [y], {"shape": shape})


# --- PyTorch


@imports(
    "torch",
    "aten.softmax.int",
    "aten._softmax.default",
    "aten._safe_softmax.default",
    "aten.log_softmax.int",
    "aten._log_softmax.default",
)
def _torch_softmax(record: Record, net: NetworkBuilder) -> str:
    """`softmax(dim)`, `log_softmax(dim)`."""
    x = torch.single(record)
    record.expect("half_to_float", False)
    record.expect("dtype", "float32", "float64", "bfloat16", "float16")
    return _along(record, net, x, torch.axis(record, "dim", None, len(net.shape(x))))


# --- Keras


@imports(
    "keras",
    "Softmax",
    "activations.softmax",
    "activations.log_softmax",
    "ops.Softmax",
    "ops.LogSoftmax",
)
def _keras_softmax(record: Record, net: NetworkBuilder) -> str:
    """`Softmax` along one axis or several together, `log_softmax`; as an activation along the last."""
    x = keras.single(record)
    stated = record.take("axis", -1)
    rank = len(net.shape(x))
    listed = list(stated) if isinstance(stated, list | tuple) else [stated]
    axes = [without_batch(record, "axis", axis, rank) for axis in listed]
    if not axes or len(set(axes)) != len(axes):
        raise record.unsupported("axis", stated, "an axis, or several different ones, are expected")
    mask = net.masks.get(x)
    if mask is not None and record.kind == "Softmax":
        if len(axes) > 1 or len(net.shape(mask)) != rank:
            raise UnsupportedError(
                f"layer {record.name!r} (Softmax): its mask {net.shape(mask)} is of other positions than its input "
                f"{net.shape(x)} (without the batch)",
                hint="call it with a mask of its input's shape: Softmax()(scores, mask)",
            )
        attrs = {"axis": axes[0], "output": None, "tables": None}
        return net.add("softmax", record.name, [x, mask], attrs)
    if len(axes) == 1:
        return _along(record, net, x, axes[0])
    # The axes together, as one at the end.
    kept = [axis for axis in range(rank) if axis not in axes]
    perm = (*kept, *axes)
    turned = net.add("transpose", f"{record.name}_turned", [x], {"perm": perm})
    shape = net.shape(turned)
    joined = (*shape[: len(kept)], int(np.prod(shape[len(kept) :])))
    flat = net.add("reshape", f"{record.name}_flat", [turned], {"shape": joined})
    y = _along(record, net, flat, len(kept))
    y = net.add("reshape", f"{record.name}_shape", [y], {"shape": shape})
    return net.add("transpose", f"{record.name}_back", [y], {"perm": tuple(int(i) for i in np.argsort(perm))})
