"""Layer, group, instance and RMS normalisation by integers, with an exact definition and a proven error bound.

Keras `LayerNormalization`, `RMSNormalization`; PyTorch `layer_norm`, `group_norm`, `rms_norm`; ONNX
`LayerNormalization`, `RMSNormalization`, `GroupNormalization`, `InstanceNormalization`. The definition, for codes
`x` (n,) at one scale `s`, is that of `fixed_codes`:

1. `S = Σ x` (0 for RMS), `d = n·x - S` and `V = n·Σ x² - S²`, all exact: the result is `d / √(V + ε·n²/s²)`;
2. `W = V·2^guard + round(ε·n²/s²·2^guard)`; `M = W·4^q` has its leading one in the upper two of `bits` bits;
3. `r = inverse[M >> (bits - index_bits)]`, `2^frac / √M` at the middle of the cell, rounded;
4. `z = (d·2^q)·r`, at the scale `2^(guard/2 - frac)`;
5. `γ·z + β`, exact, goes to the node's output quantiser.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import ceil, isqrt, log2, prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, RangeError, UnsupportedError
from hardwire.fixed import MAX_BITS, FixedType, Floats, Ints, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _keras as keras
from hardwire.layers import _onnx as onnx
from hardwire.layers import _torch as torch
from hardwire.layers._axes import without_batch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import checked_axis, element, exact_values, one_scale, quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.layers.quantise import quantise_wire
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser

_MOST_INDEX_BITS = 12


@dataclass(frozen=True)
class NormTables:
    """Widths of the normalisation; the module's docstring says what each means. `guard` and `bits` are even."""

    guard: int
    bits: int
    index_bits: int
    frac: int

    @property
    def scale(self) -> Fraction:
        """Scale of the normalised value before its factor."""
        return Fraction(2) ** (self.guard // 2 - self.frac)


class LayerNorm(Layer):
    """`γ·(x - mean) / √(variance + ε) + β` over `axes` together.

    Attrs `axes` (batch not counted), `epsilon`, `centre` (False: RMS, no mean is taken away), `output` (`Quantiser` or
    None). Params `gamma` and `beta`, optional, broadcast to the input's shape. The float meaning is float64; the
    integer meaning is `fixed_codes`, at most `error_bound · max|γ|` away before the output quantiser.
    """

    kind = "layer_norm"
    exact = False

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        (shape,) = inputs
        _axes(node, len(shape))
        if node.attrs["epsilon"] < 0:
            raise ModelError(f"layer {node.name!r}: epsilon = {node.attrs['epsilon']} is negative")
        for key, value in node.params.items():
            try:
                fits = np.broadcast_shapes(value.shape, shape) == tuple(shape)
            except ValueError:
                fits = False
            if not fits:
                raise ModelError(f"layer {node.name!r}: {key} of shape {value.shape} does not fit {shape}")
        return shape

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Float64 normalisation, then the output quantiser if there is one."""
        (x,) = inputs
        axes = tuple(axis + 1 for axis in _axes(node, x.ndim - 1))
        centred = x - x.mean(axis=axes, keepdims=True) if node.attrs["centre"] else x
        root = np.sqrt(np.mean(centred**2, axis=axes, keepdims=True) + node.attrs["epsilon"])
        y = centred / np.where(root > 0, root, 1.0) * node.params.get("gamma", 1.0) + node.params.get("beta", 0.0)
        quantiser: Quantiser | None = node.attrs.get("output")
        return np.asarray(y, np.float64) if quantiser is None else quantiser(y)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Sums, squares, one reciprocal root from a table, a product an element, the output quantiser."""
        quantiser: Quantiser | None = node.attrs.get("output")
        if quantiser is None:
            raise ModelError(
                f"layer {node.name!r}: a normalisation has no exact fixed-point result and no type for its output",
                hint="calibrate the model (calibrate=x), or put a quantiser after the layer",
            )
        (x,) = inputs
        axes = _axes(node, len(x.shape))
        x = low.rescaled(node, x, one_scale(x, tuple(range(len(x.shape)))))
        scale: Fraction = x.scales()[(0,) * len(x.shape)]
        last = tuple(range(-len(axes), 0))
        moved = x.view(np.moveaxis(x.index, axes, last), np.moveaxis(x.scales(), axes, last))
        read = (moved, low.windows(moved, len(axes)))
        lo, hi = low.window_range([read])
        n = len(lo)
        largest = float(np.max(np.abs(node.params.get("gamma", np.ones(1)))))
        epsilon, centre = Fraction(node.attrs["epsilon"]), bool(node.attrs["centre"])
        tables = default_tables(
            node.name, n, int(lo.min()), int(hi.max()), scale, epsilon, centre, quantiser, max(largest, 1e-30)
        )
        low.notes.setdefault("layer_norm", {})[node.name] = {
            "tables": asdict(tables),
            "input_scale": str(scale),
            "error_bound": largest * error_bound(tables, n, scale, epsilon, centre)
            + 0.5 * float(np.max(quantiser.scale)),
        }
        builder = KernelBuilder(node.name, lo, hi)
        kernel = builder.build(_kernel(builder, n, tables, added(n, scale, epsilon, tables.guard), centre))
        z = low.apply(node, kernel, [read], moved.shape, np.array(tables.scale, object))
        z = z.view(np.moveaxis(z.index, last, axes), np.moveaxis(z.scales(), last, axes))
        return quantise_wire(node, low, _affine(node, low, z), quantiser)

    def examples(self) -> Iterator[Example]:
        """A vector, rows with factors of both signs, RMS, two axes together."""
        gamma, beta = np.array([0.5, -1.3, 0.0]), np.array([0.1, 0.0, -0.7])
        for name, shape, axes, centre, params in (
            ("vector", (4,), (0,), True, {}),
            ("rows", (2, 3), (1,), True, {"gamma": gamma, "beta": beta}),
            ("rms", (3,), (0,), False, {"gamma": gamma}),
            ("axes", (2, 2, 2), (0, 2), True, {}),
        ):
            net = NetworkBuilder(f"layer_norm_{name}")
            x = quantised_input(net, shape, "s5.2")
            output = Quantiser.of_type(FixedType.parse("s7.4"), Rounding.RND, Overflow.SAT)
            attrs = {"axes": axes, "epsilon": 1e-3, "centre": centre, "output": output}
            yield Example(name, net.build([net.add("layer_norm", "norm", [x], attrs, params)]))


def _axes(node: Node, rank: int) -> tuple[int, ...]:
    axes = sorted({checked_axis(node, axis, rank) for axis in node.attrs["axes"]})
    if not axes:
        raise ModelError(f"layer {node.name!r}: a normalisation over no axes")
    return tuple(axes)


def _affine(node: Node, low: Lowering, z: Wire) -> Wire:
    """Put γ into the scale and β into the offset: exact, and without an operation but for signs and zeros."""
    if "gamma" in node.params:
        gamma = exact_values(node.params["gamma"], None, z.shape)
        scale = np.where(gamma == 0, np.array(Fraction(1), object), np.abs(gamma)) * z.scales()
        if not np.all(gamma > 0):

            def signed(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
                factor = gamma[element(z.shape, at)]
                return b.linear(values, [(factor > 0) - (factor < 0)])

            z = low.elementwise(node, [z], signed, scale, [gamma])
        z = z.view(z.index, scale)
    if "beta" in node.params:
        beta = exact_values(node.params["beta"], None, z.shape)
        z = Wire(z.array, z.index, z.scale, beta) if np.any(beta != 0) else z
    return z


def added(n: int, scale: Fraction, epsilon: Fraction, guard: int) -> int:
    """`round(ε·n²/s²·2^guard)`, what is added to the sum of squares."""
    return round(epsilon * n * n / scale**2 * (1 << guard))


def _kernel(b: KernelBuilder, n: int, tables: NormTables, extra: int, centre: bool) -> list[int]:
    """Build one normalisation over the kernel's `n` inputs."""
    values = list(range(n))
    total = b.linear(values, [1] * n) if centre else b.const(0)
    squares = b.linear([b.mul(value, value) for value in values], [n] * n)
    spread = b.linear([squares, b.mul(total, total)], [1, -1])
    # Never negative and below 2^bits, which the ranges of its parts do not show: the low bits are all of it.
    spread = b.wrap(spread, tables.bits - tables.guard, False)
    parts = [b.linear([value, total], [n, -1]) for value in values]
    whole = b.wrap(b.linear([spread], [1 << tables.guard], extra), tables.bits, False)
    width = _part_bits(n, tables)
    step = 1 << max(0, (tables.bits // 2 - 1).bit_length())
    while step := step >> 1:
        room = tables.bits - 2 * step
        if room <= 0:
            continue
        small = b.less(whole, b.const(1 << room))
        whole = b.select(small, b.shl(b.wrap(whole, room, False), 2 * step), whole)
        parts = [b.select(small, b.wrap(b.shl(part, step), width, True), part) for part in parts]
    cell = b.round(whole, tables.bits - tables.index_bits, Rounding.TRN)
    first, last = b.range(cell)
    inverse = inverse_table(tables)
    quarter = 1 << (tables.index_bits - 2)
    # Cells below a quarter are met for equal elements without epsilon alone, where every d is 0.
    root = b.table(cell, inverse[np.maximum(np.arange(first, last + 1) - quarter, 0)])
    return [b.mul(part, root) for part in parts]


def _part_bits(n: int, tables: NormTables) -> int:
    """Bits of `d·2^q`, sign included: `(d·2^q)² ≤ n·V·4^q < n·2^(bits - guard)`."""
    return (isqrt(n << (tables.bits - tables.guard)) + 1).bit_length() + 1


def inverse_table(tables: NormTables) -> Ints:
    """Entries of the reciprocal root for cells from a quarter of the index's range on, int64."""
    quarter = 1 << (tables.index_bits - 2)
    k = tables.bits - tables.index_bits
    middle = (np.arange(quarter, 4 * quarter) + 0.5) * 2.0**k if k else np.arange(quarter, 4 * quarter) * 1.0
    return np.rint(2.0**tables.frac / np.sqrt(middle)).astype(np.int64)


def fixed_codes(codes: Ints, scale: Fraction, epsilon: Fraction, tables: NormTables, *, centre: bool) -> Ints:
    """The exact definition, in Python integers: codes (..., n) at `scale` to codes (..., n) at `tables.scale`."""
    n = codes.shape[-1]
    table = inverse_table(tables).tolist()
    quarter = 1 << (tables.index_bits - 2)
    out = np.zeros(codes.shape, np.int64)
    for at in np.ndindex(codes.shape[:-1]):
        row = codes[at].tolist()
        total = sum(row) if centre else 0
        spread = n * sum(x * x for x in row) - total * total
        whole = (spread << tables.guard) + added(n, scale, epsilon, tables.guard)
        q = (tables.bits - whole.bit_length()) // 2 if whole else 0
        cell = (whole << 2 * q) >> (tables.bits - tables.index_bits)
        out[at] = [((n * x - total) << q) * table[max(cell - quarter, 0)] for x in row]
    return out


def error_bound(tables: NormTables, n: int, scale: Fraction, epsilon: Fraction, centre: bool) -> float:
    """Proven bound on the error of a normalised value before its factor, at most `√n` large itself.

    The table's relative error is largest at the ends of its cells, between which the root is monotone; every cell is
    checked. Rounding ε moves W by half a code, where W is least for one element one code away.
    """
    quarter = 1 << (tables.index_bits - 2)
    k = tables.bits - tables.index_bits
    cells = np.arange(quarter, 4 * quarter, dtype=np.float64)
    inverse = inverse_table(tables) * 2.0**-tables.frac
    ends = (cells * 2.0**k, (cells + 1) * 2.0**k - 1)
    relative = max(float(np.max(np.abs(inverse * np.sqrt(end) - 1.0))) for end in ends)
    least = float((n - 1 if centre else n) + epsilon * n * n / scale**2) * 2.0**tables.guard
    shifted = 0.25 / max(least - 0.5, 0.5) if epsilon else 0.0
    return sqrt(n) * ((1.0 + relative) * (1.0 + shifted) - 1.0) + 1e-12


def default_tables(
    layer: str,
    n: int,
    lo: int,
    hi: int,
    scale: Fraction,
    epsilon: Fraction,
    centre: bool,
    output: Quantiser,
    factor: float,
) -> NormTables:
    """Choose widths with which the error is at most half an LSB of `output`, as far as an index of 12 bits allows."""
    target = float(np.min(output.scale)) / (2 * factor * sqrt(n))
    index_bits = max(3, min(ceil(log2(1 / target)) + 1, _MOST_INDEX_BITS))
    most = n * n * (hi - lo) ** 2 // 4 if centre else n * n * max(lo * lo, hi * hi)
    exact = epsilon * n * n / scale**2
    guard = 0
    while epsilon and float(exact + n) * 2.0**guard < 2.0 ** (index_bits + 1):
        guard += 2
    room = most.bit_length() + guard
    bits = max(room, ((most << guard) + added(n, scale, epsilon, guard)).bit_length(), index_bits)
    bits += bits & 1
    tables = NormTables(guard, bits, index_bits, bits // 2 + index_bits + 2)
    widest = max(_part_bits(n, tables) + index_bits + 4, bits + 1, (most * 2 + 1).bit_length() + 2)
    if widest > MAX_BITS:
        raise RangeError(
            f"layer {layer!r}: the normalisation of {n} elements from {lo} to {hi} needs {widest} bits; values are at "
            f"most {MAX_BITS} bits wide",
            hint="a coarser input type",
        )
    return tables


def _add(
    net: NetworkBuilder,
    name: str,
    x: str,
    axes: tuple[int, ...],
    epsilon: float,
    params: dict[str, NDArray[Any]],
    *,
    centre: bool = True,
) -> str:
    attrs = {"axes": axes, "epsilon": float(epsilon), "centre": centre, "output": None}
    return net.add("layer_norm", name, [x], attrs, params)


def _grouped(
    record: Record,
    net: NetworkBuilder,
    x: str,
    groups: int,
    epsilon: float,
    params: dict[str, NDArray[Any]],
) -> str:
    """Normalise (c, *spatial) in groups of channels, with factors (c,)."""
    channels, *spatial = net.shape(x)
    if groups < 1 or channels % groups:
        raise record.unsupported("num_groups", groups, f"{channels} channels do not divide by it")
    split = (groups, channels // groups, *spatial)
    ones = (1,) * len(spatial)
    turned = {key: value.reshape(groups, channels // groups, *ones) for key, value in params.items()}
    y = net.add("reshape", f"{record.name}_groups", [x], {"shape": split})
    y = _add(net, record.name, y, tuple(range(1, len(split))), epsilon, turned)
    return net.add("reshape", f"{record.name}_shape", [y], {"shape": net.shape(x)})


# --- ONNX


@imports("onnx", "LayerNormalization", "RMSNormalization")
def _onnx_layer_norm(record: Record, net: NetworkBuilder) -> str:
    """Over all axes from `axis` on, with a factor and (not RMS) an optional offset."""
    x = onnx.data(record)
    shape = net.shape(x)
    record.ignore("stash_type")
    axis = onnx.axis_of(record, int(record.take("axis", -1)), len(shape))
    params = {"gamma": onnx.without_batch(record, onnx.constant(record, 1), shape, "a factor")}
    if onnx.has(record, 2):
        params["beta"] = onnx.without_batch(record, onnx.constant(record, 2), shape, "an offset")
    epsilon = float(record.take("epsilon", float(np.float32(1e-5))))
    axes = tuple(range(axis, len(shape)))
    return _add(net, record.name, x, axes, epsilon, params, centre=record.kind == "LayerNormalization")


@imports("onnx", "InstanceNormalization", "GroupNormalization")
def _onnx_group_norm(record: Record, net: NetworkBuilder) -> str:
    """Each channel, or each of `num_groups` groups, by itself; factors and offsets of each channel."""
    x = onnx.data(record)
    channels = net.shape(x)[0]
    epsilon = float(record.take("epsilon", float(np.float32(1e-5))))
    record.ignore("stash_type")
    groups = channels if record.kind == "InstanceNormalization" else int(record.take("num_groups"))
    params = {"gamma": onnx.constant(record, 1), "beta": onnx.constant(record, 2)}
    for key, value in params.items():
        if value.shape != (channels,):
            raise UnsupportedError(
                f"layer {record.name!r} ({record.kind}): {key} of shape {value.shape}, expected {(channels,)}",
                hint="one for each channel, as from opset 21 on",
            )
    return _grouped(record, net, x, groups, epsilon, params)


# --- PyTorch


@imports("torch", "aten.layer_norm.default", "aten.native_layer_norm.default", "aten.rms_norm.default")
def _torch_layer_norm(record: Record, net: NetworkBuilder) -> str:
    """`layer_norm(normalized_shape, weight, bias, eps)`, `rms_norm(normalized_shape, weight, eps)`."""
    _only_result(record)
    x = torch.single(record)
    shape = net.shape(x)
    count = len(record.take("normalized_shape"))
    record.ignore("cudnn_enable")
    if not 0 < count <= len(shape):
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): it normalises over the batch axis")
    params = {key: record.array(p) for key, p in (("gamma", "2"), ("beta", "3")) if record.has_array(p)}
    centre = record.kind != "aten.rms_norm.default"
    epsilon = torch.number(record, "eps", 1e-5 if centre else float(np.finfo(np.float32).eps))
    axes = tuple(range(len(shape) - count, len(shape)))
    return _add(net, record.name, x, axes, epsilon, params, centre=centre)


def _only_result(record: Record) -> None:
    if any(record.versions.get("read", ())[1:]):
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): its mean or deviation is read")


@imports("torch", "aten.instance_norm.default")
def _torch_instance_norm(record: Record, net: NetworkBuilder) -> str:
    """Each channel by itself; with running statistics a batch normalisation."""
    x = torch.single(record)
    record.ignore("cudnn_enabled", "momentum")
    epsilon, channels = torch.number(record, "eps", 1e-5), net.shape(x)[0]
    own = bool(record.take("use_input_stats"))
    found = {key: record.array(p) for key, p in (("gamma", "1"), ("beta", "2")) if record.has_array(p)}
    running = {key: record.array(p) for key, p in (("mean", "3"), ("variance", "4")) if record.has_array(p)}
    if own:
        return _grouped(record, net, x, channels, epsilon, found)
    params = {"gamma": np.ones(channels), "beta": np.zeros(channels), **found, **running}
    return net.add("batch_norm", record.name, [x], {"axis": 0, "epsilon": epsilon}, params)


@imports("torch", "aten.native_group_norm.default")
def _torch_native_group_norm(record: Record, net: NetworkBuilder) -> str:
    """`native_group_norm(weight, bias, N, C, HxW, group, eps)`."""
    x = torch.single(record)
    _only_result(record)
    record.ignore("N", "C", "HxW")
    groups, epsilon = int(record.take("group")), torch.number(record, "eps", 1e-5)
    params = {key: record.array(p) for key, p in (("gamma", "1"), ("beta", "2")) if record.has_array(p)}
    return _grouped(record, net, x, groups, epsilon, params)


@imports("torch", "aten.group_norm.default")
def _torch_group_norm(record: Record, net: NetworkBuilder) -> str:
    """`group_norm(num_groups, weight, bias, eps)`."""
    x = torch.single(record)
    record.ignore("cudnn_enabled")
    groups, epsilon = int(record.take("num_groups")), torch.number(record, "eps", 1e-5)
    params = {key: record.array(p) for key, p in (("gamma", "2"), ("beta", "3")) if record.has_array(p)}
    return _grouped(record, net, x, groups, epsilon, params)


# --- Keras


@imports("keras", "LayerNormalization", "RMSNormalization")
def _keras_layer_norm(record: Record, net: NetworkBuilder) -> str:
    """`LayerNormalization` over `axis` (one or several), `RMSNormalization` over one."""
    x = keras.single(record)
    shape = net.shape(x)
    rms = record.kind == "RMSNormalization"
    axis = record.take("axis", -1)
    axes = tuple(
        sorted(without_batch(record, "axis", one, len(shape)) for one in (axis if isinstance(axis, list) else [axis]))
    )
    epsilon = record.take("epsilon", 1e-6 if rms else 1e-3)
    if rms:
        names, centre = ["gamma"], False
    else:
        names = [name for name, attr in (("gamma", "scale"), ("beta", "center")) if record.take(attr, True)]
        # Keras' rms_scaling divides by the deviation and takes no mean away.
        centre = True
        if record.take("rms_scaling", False):
            raise record.unsupported("rms_scaling", True, "use the layer RMSNormalization")
    spread = tuple(dim if at in axes else 1 for at, dim in enumerate(shape))
    found = {} if not names else keras.variables(record, *names) if not rms else {"gamma": _rms_factor(record)}
    params = {}
    for name, value in found.items():
        if value.size != prod(spread):
            raise record.unsupported("axis", axis, f"{name} in the file has the shape {value.shape}")
        params[name] = value.reshape(spread)
    return _add(net, record.name, x, axes, float(epsilon), params, centre=centre)


@imports("keras", "GroupNormalization")
def _keras_group_norm(record: Record, net: NetworkBuilder) -> str:
    """`GroupNormalization(groups, axis)`: over groups of channels and every other axis; -1 is a group a channel."""
    x = keras.single(record)
    shape = net.shape(x)
    axis = keras.axis(record, "axis", -1, len(shape))
    groups, epsilon = int(record.take("groups", 32)), keras.number(record, "epsilon", 1e-3) or 0.0
    names = [name for name, attr in (("gamma", "scale"), ("beta", "center")) if record.take(attr, True)]
    params = keras.variables(record, *names) if names else {}
    groups = shape[axis] if groups == -1 else groups
    perm = (axis, *(i for i in range(len(shape)) if i != axis))
    x = net.add("transpose", f"{record.name}_channels_first", [x], {"perm": perm})
    y = _grouped(record, net, x, groups, epsilon, params)
    return net.add("transpose", f"{record.name}_back", [y], {"perm": tuple(int(i) for i in np.argsort(perm))})


def _rms_factor(record: Record) -> NDArray[Any]:
    return next(record.array(key) for key in ("0", "scale", "gamma") if record.has_array(key))
