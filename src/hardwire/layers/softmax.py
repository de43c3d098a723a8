"""Softmax by integer tables, with an exact definition and a proven error bound against the float softmax.

Keras `Softmax`, ONNX `Softmax`, PyTorch `softmax`. The definition, for codes `x` (n,) at one scale `s`, is that of
`fixed_codes`:

1. `d = min(round(( max(x) - x) / 2^shift), depth)`, the distance to the maximum, ties up, saturated;
2. `e = exponential[d]`, `round(exp(-d · 2^shift · s) · 2^exp_frac)`;
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

from hardwire.errors import ModelError, RangeError
from hardwire.fixed import MAX_BITS, FixedType, Floats, Ints, Overflow, Rounding, round_shift
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _keras as keras
from hardwire.layers import _onnx as onnx
from hardwire.layers import _torch as torch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import checked_axis, one_scale, quantised_input
from hardwire.layers._lowering import Lowering, Wire
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
    """Softmax along `axis` (the batch axis not counted, ≥ 0).

    Attrs `axis`, `output` (`Quantiser` or None), `tables` (`SoftmaxTables`, or None for `default_tables`).
    The float meaning is the float64 softmax; the integer meaning is `fixed_codes`, at most `error_bound` away before
    the output quantiser.
    """

    kind = "softmax"
    exact = False

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        checked_axis(node, node.attrs["axis"], len(inputs[0]))
        return inputs[0]

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Float64 softmax, then the output quantiser if there is one."""
        axis = checked_axis(node, node.attrs["axis"], inputs[0].ndim - 1) + 1
        e = np.exp(inputs[0] - inputs[0].max(axis=axis, keepdims=True))
        y = np.asarray(e / e.sum(axis=axis, keepdims=True), np.float64)
        quantiser: Quantiser | None = node.attrs.get("output")
        return y if quantiser is None else quantiser(y)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Maximum, difference, exponential table, sum, reciprocal table, product, output quantiser."""
        (x,) = inputs
        quantiser: Quantiser | None = node.attrs.get("output")
        if quantiser is None:
            raise ModelError(
                f"layer {node.name!r}: softmax has no exact fixed-point result and no type for its output",
                hint="calibrate the model (calibrate=x), put a quantiser after the layer, or use argmax instead",
            )
        axis = checked_axis(node, node.attrs["axis"], len(x.shape))
        n = x.shape[axis]
        x = low.rescaled(node, x, one_scale(x, tuple(range(len(x.shape)))))
        scale: Fraction = x.scales()[(0,) * len(x.shape)]
        last = x.view(np.moveaxis(x.index, axis, -1), np.moveaxis(x.scales(), axis, -1))
        read = (last, low.windows(last, 1))
        lo, hi = low.window_range([read])
        tables = node.attrs.get("tables") or default_tables(scale, int(hi.max() - lo.min()), n, quantiser)
        tables.check(node.name, n)
        bound = error_bound(tables, n, scale, int(hi.max() - lo.min())) + 0.5 * float(np.max(quantiser.scale))
        low.notes.setdefault("softmax", {})[node.name] = {
            "tables": asdict(tables),
            "input_scale": str(scale),
            "error_bound": bound,
        }
        builder = KernelBuilder(node.name, lo, hi)
        kernel = builder.build(_kernel(builder, n, scale, tables))
        y = low.apply(node, kernel, [read], last.shape, np.array(Fraction(1, 1 << tables.frac(n)), object))
        y = y.view(np.moveaxis(y.index, -1, axis), np.moveaxis(y.scales(), -1, axis))
        return quantise_wire(node, low, y, quantiser)

    def examples(self) -> Iterator[Example]:
        """A vector, rows, columns, a direct reciprocal table, a truncated input, one element."""
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


def _kernel(b: KernelBuilder, n: int, scale: Fraction, tables: SoftmaxTables) -> list[int]:
    """Build one softmax over the kernel's `n` inputs."""
    layer = list(range(n))
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
        parts.append(b.table(index, exponential[first : last + 1]))
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


def fixed_codes(codes: Ints, scale: Fraction, tables: SoftmaxTables) -> Ints:
    """The exact definition, in numpy: int64 codes (..., n) at `scale` to codes (..., n) at `2^-tables.frac(n)`."""
    n = codes.shape[-1]
    distance = codes.max(axis=-1, keepdims=True) - codes
    e = exp_table(scale, tables)[np.minimum(round_shift(distance, tables.shift, Rounding.RND), tables.depth)]
    total = e.sum(axis=-1, keepdims=True)
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


def largest_error(node: Node, x: Floats, note: Mapping[str, Any]) -> float:
    """Largest `|fixed - float softmax|` on inputs `x` (N, *shape) that lie on the grid of the lowering's `note`."""
    axis = checked_axis(node, node.attrs["axis"], x.ndim - 1) + 1
    scale = Fraction(note["input_scale"])
    last = np.moveaxis(x, axis, -1)
    codes = np.rint(last / float(scale)).astype(np.int64)
    tables = SoftmaxTables(**note["tables"])
    n = codes.shape[-1]
    fixed = fixed_codes(codes.reshape(-1, n), scale, tables).reshape(codes.shape) * 2.0 ** -tables.frac(n)
    fixed = node.attrs["output"](np.moveaxis(fixed, -1, axis))
    exact = np.exp(last - last.max(axis=-1, keepdims=True))
    exact = exact / exact.sum(axis=-1, keepdims=True)
    return float(np.max(np.abs(fixed - np.moveaxis(exact, -1, axis)), initial=0.0))


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


# --- ONNX


@imports("onnx", "Softmax")
def _onnx_softmax(record: Record, net: NetworkBuilder) -> str:
    """Softmax along `axis`; before opset 13, over all axes from `axis` on together."""
    x = onnx.data(record)
    shape = net.shape(x)
    old = onnx.opset(record) < 13
    axis = onnx.axis_of(record, int(record.take("axis", 1 if old else -1)), len(shape))
    attrs = {"axis": axis, "output": None, "tables": None}
    if not old or axis == len(shape) - 1:
        return net.add("softmax", record.name, [x], attrs)
    joined = (*shape[:axis], int(np.prod(shape[axis:])))
    flat = net.add("reshape", f"{record.name}_flat", [x], {"shape": joined})
    y = net.add("softmax", record.name, [flat], attrs)
    return net.add("reshape", f"{record.name}_shape", [y], {"shape": shape})


# --- PyTorch


@imports("torch", "aten.softmax.int", "aten._softmax.default")
def _torch_softmax(record: Record, net: NetworkBuilder) -> str:
    """`softmax(dim)`."""
    x = torch.single(record)
    record.expect("half_to_float", False)
    record.expect("dtype", "float32", "float64", "bfloat16", "float16")
    return net.add("softmax", record.name, [x], {"axis": torch.axis(record, "dim", None, len(net.shape(x)))})


# --- Keras


@imports("keras", "Softmax", "activations.softmax")
def _keras_softmax(record: Record, net: NetworkBuilder) -> str:
    """`Softmax` along one axis; as an activation along the last."""
    x = keras.single(record)
    return net.add("softmax", record.name, [x], {"axis": keras.axis(record, "axis", -1, len(net.shape(x)))})
