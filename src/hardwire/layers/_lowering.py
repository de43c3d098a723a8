"""Lowering: a Network becomes a Program, each node by its layer's own rule.

A `Wire` is a tensor on its way: a view of a Program array (so reshapes and transposes cost nothing) with an exact
scale per element. Rules take wires, build one kernel each, and apply it at every position with `Lowering.apply`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, RangeError
from hardwire.fixed import MAX_BITS, Ints
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.program import Access, Array, Ids, Kernel, Port, Program, Step, Tap
from hardwire.layers import layer_of
from hardwire.layers._scales import common_scale, each, integer_ratio, numbered, same_scales
from hardwire.network.graph import Network, Node, Shape
from hardwire.quantiser import Quantiser


@dataclass(frozen=True, eq=False)
class Wire:
    """A tensor as elements `index` (int32, the tensor's shape) of Program array `array`.

    `scale` holds exact `Fraction`s that broadcast to the shape: `value = integer × scale + offset`. An `offset` (same,
    None for none) is a constant too fine for the integers, such as a float bias; only rules of layers with
    `takes_offset` ever see one.
    """

    array: str
    index: Ids
    scale: NDArray[Any]
    offset: NDArray[Any] | None = None

    @property
    def shape(self) -> Shape:
        """Shape without the batch axis."""
        return tuple(self.index.shape)

    def scales(self) -> NDArray[Any]:
        """Scale of every element, in the tensor's shape."""
        return np.broadcast_to(self.scale, self.shape)

    def view(self, index: Ids, scale: NDArray[Any]) -> Wire:
        """Return another view of the same array."""
        return Wire(self.array, np.asarray(index, np.int32, order="C"), scale)


@dataclass(frozen=True, eq=False)
class Part:
    """A kernel that fills a share of an array.

    `reads`: per operand wire the element indices (positions, k) within its array. Position p's outputs go to the
    elements `base[p] + offsets` of the new array; without `offsets` they lie side by side.
    """

    kernel: Kernel
    reads: Sequence[tuple[Wire, Ids]]
    base: Ids
    offsets: Ids | None = None


ElementRule = Callable[[KernelBuilder, list[int], tuple[int, ...]], int]
"""(builder, operand values of this element, element index in the tensor) → result value."""

_FLOAT32_BITS = 24
_MOST_KINDS = 4
"""Different kernels along an axis up to which positions are grouped by them."""


class Lowering:
    """State of one lowering: arrays, kernels and steps so far. Rules call its methods; nothing else does."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.arrays: dict[str, Array] = {}
        self.kernels: dict[str, Kernel] = {}
        self.steps: list[Step] = []
        self.notes: dict[str, Any] = {}
        """What rules want the report to say: a topic, then a fact a layer."""

    def range(self, wire: Wire) -> tuple[Ints, Ints]:
        """Proven lowest and highest code of every element, int64 in the wire's shape."""
        array = self.arrays[wire.array]
        return array.lo[wire.index], array.hi[wire.index]

    def new_array(self, name: str, lo: Ints, hi: Ints, scale: NDArray[Any]) -> str:
        """Add an array of flat int64 ranges; returns its (unique) name."""
        fresh, count = name, 1
        while fresh in self.arrays:
            count += 1
            fresh = f"{name}.{count}"
        self.arrays[fresh] = Array(fresh, lo, hi, scale)
        return fresh

    def input(self, name: str, shape: Shape, quantiser: Quantiser) -> tuple[Wire, Port]:
        """Add an input port of `shape` whose codes the quantiser makes."""
        q = quantiser.reshaped(shape)
        lo, hi = (q.lo - q.zero).ravel().copy(), (q.hi - q.zero).ravel().copy()
        index = np.arange(len(lo), dtype=np.int32)
        scale = quantiser.scales()
        flat = np.broadcast_to(scale, shape).ravel()
        array = self.new_array(name, lo, hi, flat)
        return Wire(array, index.reshape(shape), flat.reshape(shape)), Port(name, array, index, shape, quantiser)

    def apply(
        self, node: Node, kernel: Kernel, reads: Sequence[tuple[Wire, Ids]], shape: Shape, scale: NDArray[Any]
    ) -> Wire:
        """Apply `kernel` at every position.

        `reads`: per operand wire the element indices (positions, k) within its array; together they are the kernel's
        inputs in order. The outputs, position by position, fill a new array shaped `shape` with `scale` (broadcast).
        """
        positions, outputs = len(reads[0][1]), len(kernel.outputs)
        part = Part(kernel, reads, np.arange(positions, dtype=np.int32) * outputs)
        return self.assemble(node, [part], shape, scale)

    def assemble(self, node: Node, parts: Sequence[Part], shape: Shape, scale: NDArray[Any]) -> Wire:
        """Fill a new array shaped `shape` with `scale` (broadcast) from kernels that write a share of it each."""
        size = int(np.prod(shape, dtype=np.int64))
        lo, hi = np.zeros(size, np.int64), np.zeros(size, np.int64)
        full = np.broadcast_to(scale, shape)
        array = self.new_array(node.name, lo, hi, full.reshape(size))
        for part in parts:
            kernel = self._added(part.kernel)
            offsets = np.arange(len(kernel.outputs), dtype=np.int32) if part.offsets is None else part.offsets
            write = Access(array, np.asarray(part.base, np.int32), np.asarray(offsets, np.int32))
            target = write.index()
            lo[target], hi[target] = kernel.lo[kernel.outputs], kernel.hi[kernel.outputs]
            reads = tuple(self._access(wire.array, index) for wire, index in part.reads)
            self.steps.append(Step(node.name, kernel.name, reads, write))
        return Wire(array, np.arange(size, dtype=np.int32).reshape(shape), full)

    def recur(
        self, node: Node, start: Part, kernel: Kernel, x: Wire, windows: Sequence[Ids], scale: NDArray[Any]
    ) -> Wire:
        """Apply one kernel step after step, each reading what the step before it wrote.

        `start` fills what the first step reads, one base a position (its own are not looked at); `windows` are the
        elements of `x` that each step reads, (positions, k), the kernel's first inputs, before its own last outputs.
        Returns (positions, steps + 1, outputs), the start first; `scale` is of the outputs.
        """
        positions, steps, width = len(start.base), len(windows), len(kernel.outputs)
        kernels = [self._added(start.kernel), self._added(kernel)]
        shape = (positions, steps + 1, width)
        rows = [np.stack([k.lo[k.outputs], k.hi[k.outputs]]) for k in kernels]
        ranges = np.concatenate([rows[0][:, None], np.repeat(rows[1][:, None], steps, axis=1)], axis=1).reshape(2, -1)
        lo, hi = np.tile(ranges[0], positions), np.tile(ranges[1], positions)
        full = np.broadcast_to(scale, shape)
        array = self.new_array(node.name, lo, hi, full.reshape(-1))
        base = (np.arange(positions) * ((steps + 1) * width)).astype(np.int32)
        cells = np.arange(width, dtype=np.int32)
        reads = tuple(self._access(wire.array, index) for wire, index in start.reads)
        self.steps.append(Step(node.name, kernels[0].name, reads, Access(array, base, cells)))
        for done, window in enumerate(windows):
            states = [Access(array, base, cells + (done + s) * width) for s in (0, 1)]
            read = self._access(x.array, window)
            self.steps.append(Step(node.name, kernels[1].name, (read, states[0]), states[1]))
        return Wire(array, np.arange(lo.size, dtype=np.int32).reshape(shape), full)

    def _added(self, kernel: Kernel) -> Kernel:
        """Enter a kernel under a name of its own."""
        name, count = kernel.name, 1
        while name in self.kernels:
            count += 1
            name = f"{kernel.name}.{count}"
        self.kernels[name] = kernel.with_(name=name)
        return self.kernels[name]

    def _access(self, array: str, index: Ids) -> Access:
        if not regular(index):
            # A view that no base-plus-offset rule describes (rare): copied into order once.
            array, index = self._copied(array, index)
            return self._access(array, index)
        return Access(array, index[:, 0].astype(np.int32), (index[0] - index[0, 0]).astype(np.int32))

    def _copied(self, array: str, index: Ids) -> tuple[str, Ids]:
        """Copy elements into a new array in the order of `index`; elements of one range share a kernel of one value."""
        source = self.arrays[array]
        flat = index.ravel()
        scale = np.broadcast_to(source.scale, (source.size,))[flat]
        # Named as its array, which may be copied more than once.
        name = self.new_array(f"{array}.order", source.lo[flat], source.hi[flat], scale)
        ranges, group = np.unique(np.stack([source.lo[flat], source.hi[flat]], axis=1), axis=0, return_inverse=True)
        zero = np.zeros(1, np.int32)
        for g, (lo, hi) in enumerate(ranges):
            (members,) = np.nonzero(group.reshape(-1) == g)
            kernel = self._added(KernelBuilder(name, [lo], [hi], origin=array).build([0]))
            read = Access(array, flat[members].astype(np.int32), zero)
            self.steps.append(Step(name, kernel.name, (read,), Access(name, members.astype(np.int32), zero)))
        return name, np.arange(len(flat), dtype=np.int32).reshape(index.shape)

    def ordered(self, wire: Wire) -> Wire:
        """Return a copy of a wire in its own order, for windows over a view that repeats or reorders elements."""
        array, index = self._copied(wire.array, wire.index.reshape(1, -1))
        return Wire(array, index.reshape(wire.shape), wire.scale)

    def padded(self, node: Node, wire: Wire, padding: Sequence[tuple[int, int]], value: Fraction = Fraction(0)) -> Wire:
        """Surround a wire with a constant, `padding` (before, after) each axis; a copy of the elements and the border.

        The elements are copied block by block along an axis without padding (the channels); the border has kernels
        without inputs. Scales of the border are those of the nearest element; `value` must be a multiple of them.
        """
        pads = [(int(before), int(after)) for before, after in padding]
        if not any(before or after for before, after in pads):
            return wire
        plain = [axis for axis, pad in enumerate(pads) if pad == (0, 0)]
        block = max(plain, key=lambda axis: (_contiguous(wire.index, axis), axis)) if plain else -1
        order = [axis for axis in range(len(pads)) if axis != block] + ([block] if plain else [])
        index, scales = wire.index.transpose(order), wire.scales().transpose(order)
        if not plain:
            index, scales = index[..., None], scales[..., None]
        k = index.shape[-1]
        around = [pads[axis] for axis in order if axis != block]
        lead = tuple(dim + before + after for dim, (before, after) in zip(index.shape, around, strict=False))
        inside = np.zeros(lead, bool)
        inside[tuple(slice(b, b + dim) for dim, (b, _) in zip(index.shape, around, strict=False))] = True
        nearest = np.ix_(
            *(np.clip(np.arange(-b, dim + a), 0, dim - 1) for dim, (b, a) in zip(index.shape, around, strict=False))
        )
        border_scale = scales[nearest]
        places = np.arange(inside.size, dtype=np.int32) * k
        reads = [(wire, index.reshape(-1, k))]
        copy = KernelBuilder(node.name, *self.window_range(reads)).build(range(k))
        parts = [Part(copy, reads, places[inside.ravel()])]
        outside = places[~inside.ravel()]
        codes = np.zeros((len(outside), k), np.int64)
        if value:
            ratios = value / border_scale.reshape(-1, k)[~inside.ravel()]
            if any(ratio.denominator != 1 for ratio in ratios.flat):
                raise RangeError(f"layer {node.name!r}: the padding {float(value):.6g} is no multiple of the scale")
            codes = ratios.astype(object).astype(np.int64)
        rows, group = np.unique(codes, axis=0, return_inverse=True)
        for g, row in enumerate(rows):
            builder = KernelBuilder(node.name, [], [])
            kernel = builder.build([builder.const(int(code)) for code in row])
            parts.append(Part(kernel, (), outside[group.reshape(-1) == g]))
        out = self.assemble(node, parts, (*lead, k), border_scale)
        back = np.argsort(order) if plain else range(len(order) + 1)
        moved = out.view(out.index.transpose(back), out.scales().transpose(back))
        return moved if plain else moved.view(moved.index[..., 0], moved.scales()[..., 0])

    def settled(self, wire: Wire) -> Wire:
        """Return the wire itself, or a copy where its scale is not that of its array: a port has the array's."""
        stored = np.broadcast_to(self.arrays[wire.array].scale, (self.arrays[wire.array].size,))[wire.index]
        if same_scales(stored, wire.scales()):
            return wire
        array, index = self._copied(wire.array, wire.index.reshape(1, -1))
        scale = np.empty(index.size, object)
        scale[:] = wire.scales().ravel()
        self.arrays[array] = replace(self.arrays[array], scale=scale)
        return Wire(array, index.reshape(wire.shape), scale.reshape(wire.shape))

    def with_offset_added(self, name: str, wire: Wire) -> Wire:
        """Return the wire of tensor `name` with its offset, if any, among its integers; exact.

        Raises `RangeError` naming the tensor where that takes more than 62 bits.
        """
        if wire.offset is None:
            return wire
        offset: NDArray[Any] = np.broadcast_to(wire.offset, wire.shape)
        own: NDArray[Any] = wire.scales()
        scale = each(lambda *parts: common_scale(parts), own, offset)

        def add(builder: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
            full = (0,) * (len(wire.shape) - len(at)) + at if wire.shape else ()
            factor, constant = integer_ratio(own[full], scale[full]), integer_ratio(offset[full], scale[full])
            if factor is None or constant is None or max(abs(factor), abs(constant)) >= 1 << MAX_BITS:
                raise RangeError(
                    f"layer {name!r}: its bias and its weights span more than {MAX_BITS} bits",
                    hint="a quantiser right after the layer, or a bias on a coarser grid",
                )
            return builder.linear(values, [factor], constant)

        node = Node("identity", name, (), (name,))
        return self.elementwise(node, [Wire(wire.array, wire.index, own)], add, scale, [offset])

    def with_offset_for_port(self, name: str, wire: Wire) -> Wire:
        """Return an output with its offset added: exact where 62 bits hold it, else rounded as float32 would round it.

        A float bias without a quantiser behind it is summed in float32 by the frameworks; here it becomes a multiple
        of the weights' products divided by a power of two, to 24 bits. `notes["rounded_bias"]` says so.
        """
        try:
            return self.with_offset_added(name, wire)
        except RangeError:
            if wire.offset is None:
                raise
        offset, own = np.broadcast_to(wire.offset, wire.shape), wire.scales()
        finest = max(abs(value) for value in offset.flat) / (1 << _FLOAT32_BITS)
        shift = max(0, math.ceil(math.log2(max(own.flat) / finest)))
        scale = each(lambda value: value / (1 << shift), own)
        rounded = each(lambda value, unit: round(value / unit) * unit, offset, scale)
        error = max(abs(float(value - exact)) for value, exact in zip(rounded.flat, offset.flat, strict=True))
        self.notes.setdefault("rounded_bias", {})[name] = {"largest_error": error}
        return self.with_offset_added(name, Wire(wire.array, wire.index, wire.scale, rounded))

    def windows(self, wire: Wire, inner: int) -> Ids:
        """Element indices (positions, k): the last `inner` axes are a window, the axes before it positions."""
        lead = wire.shape[: len(wire.shape) - inner]
        positions = int(np.prod(lead, dtype=np.int64))
        return wire.index.reshape(positions, -1)

    def window_range(self, reads: Sequence[tuple[Wire, Ids]]) -> tuple[Ints, Ints]:
        """Range of each kernel input: the union over positions, int64 (k,)."""
        lows = [self.arrays[wire.array].lo[index].min(axis=0) for wire, index in reads]
        highs = [self.arrays[wire.array].hi[index].max(axis=0) for wire, index in reads]
        return np.concatenate(lows), np.concatenate(highs)

    def elementwise(
        self,
        node: Node,
        wires: Sequence[Wire],
        rule: ElementRule,
        scale: NDArray[Any],
        varying: Sequence[NDArray[Any]] = (),
    ) -> Wire:
        """Apply `rule` to every element of equally shaped wires (broadcast them first with `broadcast`).

        Axes along which neither the scales nor the `varying` arrays change become positions of one kernel; where they
        take few values (averages at a border), each has a kernel of its own. At least one axis is inside the kernel.
        The rule is told the element's index; on axes of positions it is that of an element which stands for all.
        """
        shape = wires[0].shape if wires[0].shape else (1,)
        views = [wire.view(wire.index.reshape(shape), wire.scales().reshape(shape)) for wire in wires]
        facts = [view.scale for view in views] + [np.broadcast_to(v, wires[0].shape).reshape(shape) for v in varying]
        facts.append(np.broadcast_to(scale, wires[0].shape).reshape(shape))
        labels = [_labels(facts, axis) for axis in range(len(shape))]
        inner = [a for a, label in enumerate(labels) if (kinds := label.max() + 1) > 1 and kinds > _few(shape[a])]
        if not inner:
            candidates = [axis for axis in range(len(shape)) if labels[axis].max() == 0] or [len(shape) - 1]
            inner = [max(candidates, key=lambda axis: (_contiguous(views[0].index, axis), axis))]
        outer = [axis for axis in range(len(shape)) if axis not in inner]
        order = [*outer, *inner]
        block = tuple(shape[axis] for axis in inner)
        lead = tuple(shape[axis] for axis in outer)
        k, positions = int(np.prod(block)), int(np.prod(lead, dtype=np.int64))
        tables = [(view, view.index.transpose(order).reshape(positions, k)) for view in views]
        parts = []
        for members, first in _groups([labels[axis] for axis in outer], lead):
            reads = [(view, table[members]) for view, table in tables]
            builder = KernelBuilder(node.name, *self.window_range(reads))
            results = []
            for e in range(k):
                at = [0] * len(shape)
                for axis, i in zip(order, (*first, *(int(i) for i in np.unravel_index(e, block))), strict=True):
                    at[axis] = i
                results.append(rule(builder, [w * k + e for w in range(len(views))], tuple(at)))
            parts.append(Part(builder.build(results), reads, members * k))
        spread = np.broadcast_to(scale, wires[0].shape).reshape(shape)
        out = self.assemble(node, parts, (*lead, *block), spread.transpose(order))
        index = out.index.transpose(np.argsort(order))
        return out.view(index.reshape(wires[0].shape), spread.reshape(wires[0].shape))

    def aligned(self, node: Node, wires: Sequence[Wire]) -> list[Wire]:
        """Bring equally shaped wires to one common scale per element, exactly (integer multiples only)."""
        common = each(lambda *scales: common_scale(scales), *(wire.scales() for wire in wires))
        return [self.rescaled(node, wire, common) for wire in wires]

    def rescaled(self, node: Node, wire: Wire, scale: NDArray[Any]) -> Wire:
        """Return the wire with another scale that divides its own; raises `RangeError` for one that doesn't."""
        target: Any = np.broadcast_to(scale, wire.shape)
        own: Any = wire.scales()

        def multiple(have: Fraction, want: Fraction) -> int:
            found = integer_ratio(have, want)
            if found is None:
                raise RangeError(f"layer {node.name!r}: scale {have} is no multiple of {want}")
            if abs(found) >= 1 << MAX_BITS:
                raise RangeError(
                    f"layer {node.name!r}: operands whose scales differ by {float(found):.3g} do not fit "
                    f"{MAX_BITS} bits together",
                    hint="quantise the finer operand first",
                )
            return found

        ratio = each(multiple, own, target)
        if same_scales(ratio, np.ones(1, object)):
            return wire.view(wire.index, target)

        def multiply(builder: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
            # Uniform axes are positions: any of their elements stands for all.
            full = (0,) * (len(wire.shape) - len(at)) + at
            return builder.linear(values, [ratio[full[len(full) - len(wire.shape) :]]])

        return self.elementwise(node, [wire], multiply, target, [ratio])


def regular(index: Ids) -> bool:
    """Whether element indices (positions, k) are a base for each position plus offsets that all positions share."""
    return np.array_equal(index[:, :1] + (index[:1] - index[0, 0]), index)


def _contiguous(index: Ids, axis: int) -> bool:
    """Whether neighbours along an axis are neighbours in the array."""
    line = np.moveaxis(index, axis, -1).reshape(-1, index.shape[axis])[0]
    return len(line) > 1 and bool(line[1] == line[0] + 1)


def _few(size: int) -> int:
    """How many different kernels along an axis of `size` still count as few."""
    return min(_MOST_KINDS, size // 2)


def _labels(facts: Sequence[NDArray[Any]], axis: int) -> NDArray[np.int64]:
    """A number for every index along an axis, equal where all facts are."""
    columns = [_slice_labels(fact, axis) for fact in facts]
    _, label = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    return np.asarray(label.reshape(-1), np.int64)


def _slice_labels(fact: NDArray[Any], axis: int) -> NDArray[np.int64]:
    size = fact.shape[axis]
    if fact.strides[axis] == 0 or size == 1:
        return np.zeros(size, np.int64)
    once = fact[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in fact.strides)]
    rows = np.moveaxis(once, axis, 0).reshape(size, -1)
    if rows.dtype == object:
        rows = numbered(rows)
    if np.all(rows == rows[:1]):
        return np.zeros(size, np.int64)
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(row.tobytes(), len(seen)) for row in rows], np.int64)


def _groups(labels: Sequence[NDArray[np.int64]], lead: Shape) -> Iterator[tuple[Ids, tuple[int, ...]]]:
    """Positions (flat in `lead`) that share every label, and the index of the first of them."""
    number = np.zeros(lead, np.int64)
    for axis, label in enumerate(labels):
        number = number * (int(label.max()) + 1) + label.reshape(-1, *(1,) * (len(lead) - axis - 1))
    _, first = np.unique(number.ravel(), return_index=True)
    for position in np.sort(first):
        (members,) = np.nonzero(number.ravel() == number.ravel()[position])
        yield members.astype(np.int32), tuple(int(i) for i in np.unravel_index(position, lead))


def broadcast(wire: Wire, shape: Shape) -> Wire:
    """Return the wire with numpy's broadcasting to `shape`; the elements are shared, not copied."""
    return wire.view(np.broadcast_to(wire.index, shape), np.broadcast_to(wire.scales(), shape))


def lower(network: Network, input_quantisers: Mapping[str, Quantiser]) -> Program:
    """Lower a Network whose inputs have quantisers (see `network.prepare.input_quantisers`) to a Program.

    Raises what the layers' rules raise: `RangeError` for values over 62 bits, `ModelError` for missing types.
    """
    low = Lowering(network.name)
    wires: dict[str, Wire] = {}
    ports: list[Port] = []
    for name in network.inputs:
        wires[name], port = low.input(name, network.shapes[name], input_quantisers[name])
        ports.append(port)
    plain: dict[str, Wire] = {}

    def without_offset(tensor: str) -> Wire:
        if tensor not in plain:
            plain[tensor] = low.with_offset_added(tensor, wires[tensor])
        return plain[tensor]

    for node in network.nodes:
        layer = layer_of(node)
        try:
            inputs = [wires[tensor] if layer.takes_offset else without_offset(tensor) for tensor in node.inputs]
            wire = layer.lower(node, low, inputs)
        except RangeError as error:
            error.layer = node.name
            raise
        if wire.shape != tuple(network.shapes[node.outputs[0]]):
            raise ModelError(
                f"layer {node.name!r}: lowering gave the shape {wire.shape}, expected {network.shapes[node.outputs[0]]}"
            )
        wires[node.outputs[0]] = wire
    for name in network.outputs:
        wires[name] = low.settled(low.with_offset_for_port(name, wires[name]))
    outputs = tuple(
        Port(name, wires[name].array, wires[name].index.ravel().astype(np.int32), wires[name].shape)
        for name in network.outputs
    )
    taps = tuple(_tap(name, wire) for name, wire in wires.items())
    return Program(network.name, low.arrays, low.kernels, tuple(low.steps), tuple(ports), outputs, low.notes, taps)


def _tap(name: str, wire: Wire) -> Tap:
    offset = None if wire.offset is None else _flat_or_one(wire.offset, wire.shape)
    return Tap(name, wire.array, wire.index.ravel(), wire.shape, _flat_or_one(wire.scale, wire.shape), offset)


def _flat_or_one(values: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """All elements in one axis, or the only value there is."""
    return np.reshape(values, -1) if np.size(values) == 1 else np.broadcast_to(values, shape).ravel()


def fractions(values: Sequence[Fraction] | NDArray[Any]) -> NDArray[Any]:
    """Return an object array of `Fraction`s (numpy would turn a list of them into something else)."""
    out = np.empty(len(values), object)
    out[:] = list(values)
    return out
