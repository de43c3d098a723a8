"""Lowering: a Network becomes a Program, each node by its layer's own rule.

A `Wire` is a tensor on its way: a view of a Program array (so reshapes and transposes cost nothing) with an exact
scale per element. Rules take wires, build one kernel each, and apply it at every position with `Lowering.apply`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, RangeError
from hardwire.fixed import MAX_BITS, Ints
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.program import Access, Array, Ids, Kernel, Port, Program, Step
from hardwire.layers import layer_of
from hardwire.layers._scales import common_scale, integer_ratio
from hardwire.network.graph import Network, Node, Shape
from hardwire.quantiser import Quantiser


@dataclass(frozen=True, eq=False)
class Wire:
    """A tensor as elements `index` (int32, the tensor's shape) of Program array `array`.

    `scale` holds exact `Fraction`s that broadcast to the shape: `value = integer × scale`.
    """

    array: str
    index: Ids
    scale: NDArray[Any]

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


ElementRule = Callable[[KernelBuilder, list[int], tuple[int, ...]], int]
"""(builder, operand values of this element, element index in the kernel's block) → result value."""


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
        name = kernel.name
        count = 1
        while name in self.kernels:
            count += 1
            name = f"{kernel.name}.{count}"
        kernel = kernel.with_(name=name)
        self.kernels[name] = kernel
        positions, outputs = len(reads[0][1]), len(kernel.outputs)
        size = positions * outputs
        lo = np.tile(kernel.lo[kernel.outputs], positions)
        hi = np.tile(kernel.hi[kernel.outputs], positions)
        flat_scale = np.broadcast_to(scale, shape).reshape(size)
        array = self.new_array(node.name, lo, hi, flat_scale)
        accesses = tuple(self._access(wire.array, index) for wire, index in reads)
        write = Access(array, (np.arange(positions) * outputs).astype(np.int32), np.arange(outputs, dtype=np.int32))
        self.steps.append(Step(node.name, name, accesses, write))
        return Wire(array, np.arange(size, dtype=np.int32).reshape(shape), np.broadcast_to(scale, shape))

    def _access(self, array: str, index: Ids) -> Access:
        base, offsets = index[:, 0], index[0] - index[0, 0]
        if not np.array_equal(base[:, None] + offsets[None, :], index):
            # A view that no base-plus-offset rule describes (rare): copied into order once.
            array, index = self._copied(array, index)
            return self._access(array, index)
        return Access(array, base.astype(np.int32), offsets.astype(np.int32))

    def _copied(self, array: str, index: Ids) -> tuple[str, Ids]:
        source = self.arrays[array]
        flat = index.ravel()
        scale = np.broadcast_to(source.scale, (source.size,))[flat]
        # Named as its array, which may be copied more than once.
        name = self.new_array(f"{array}.order", source.lo[flat], source.hi[flat], scale)
        kernel = KernelBuilder(name, source.lo[flat], source.hi[flat], origin=array).build(range(len(flat)))
        self.kernels[name] = kernel
        order = np.arange(len(flat), dtype=np.int32)
        zero = np.zeros(1, np.int32)
        read = Access(array, zero, flat.astype(np.int32))
        self.steps.append(Step(kernel.name, kernel.name, (read,), Access(name, zero, order)))
        return name, order.reshape(index.shape)

    def settled(self, wire: Wire) -> Wire:
        """Return the wire itself, or a copy where its scale is not that of its array: a port has the array's."""
        stored = np.broadcast_to(self.arrays[wire.array].scale, (self.arrays[wire.array].size,))[wire.index]
        if np.all(stored == wire.scales()):
            return wire
        array, index = self._copied(wire.array, wire.index.reshape(1, -1))
        scale = np.empty(index.size, object)
        scale[:] = wire.scales().ravel()
        self.arrays[array] = replace(self.arrays[array], scale=scale)
        return Wire(array, index.reshape(wire.shape), scale.reshape(wire.shape))

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

        Axes along which neither the scales nor the `varying` arrays change become positions of one kernel; the last
        axis is always inside the kernel. The rule is told the element's index in the kernel's block.
        """
        shape = wires[0].shape if wires[0].shape else (1,)
        views = [wire.view(wire.index.reshape(shape), wire.scales().reshape(shape)) for wire in wires]
        facts = [view.scale for view in views] + [np.broadcast_to(v, wires[0].shape).reshape(shape) for v in varying]
        facts.append(np.broadcast_to(scale, wires[0].shape).reshape(shape))
        lead = 0
        while lead < len(shape) - 1 and all(_uniform_along(fact, lead) for fact in facts):
            lead += 1
        inner = len(shape) - lead
        reads = [(view, self.windows(view, inner)) for view in views]
        lo, hi = self.window_range(reads)
        builder = KernelBuilder(node.name, lo, hi)
        block = shape[lead:]
        k = int(np.prod(block))
        results = [
            rule(builder, [w * k + e for w in range(len(views))], tuple(int(i) for i in np.unravel_index(e, block)))
            for e in range(k)
        ]
        kernel = builder.build(results)
        out = self.apply(node, kernel, reads, shape, np.broadcast_to(scale, wires[0].shape).reshape(shape))
        return out.view(out.index.reshape(wires[0].shape), out.scales().reshape(wires[0].shape))

    def aligned(self, node: Node, wires: Sequence[Wire]) -> list[Wire]:
        """Bring equally shaped wires to one common scale per element, exactly (integer multiples only)."""
        common = np.empty(wires[0].shape, object)
        all_scales: list[Any] = [wire.scales() for wire in wires]
        for at in np.ndindex(wires[0].shape):
            common[at] = common_scale([scales[at] for scales in all_scales])
        return [self.rescaled(node, wire, common) for wire in wires]

    def rescaled(self, node: Node, wire: Wire, scale: NDArray[Any]) -> Wire:
        """Return the wire with another scale that divides its own; raises `RangeError` for one that doesn't."""
        target: Any = np.broadcast_to(scale, wire.shape)
        own: Any = wire.scales()
        ratio = np.empty(wire.shape, object)
        for at in np.ndindex(wire.shape):
            ratio[at] = integer_ratio(own[at], target[at])
            if ratio[at] is None:
                raise RangeError(f"layer {node.name!r}: scale {own[at]} is no multiple of {target[at]}")
            if abs(ratio[at]) >= 1 << MAX_BITS:
                raise RangeError(
                    f"layer {node.name!r}: operands whose scales differ by {float(ratio[at]):.3g} do not fit "
                    f"{MAX_BITS} bits together",
                    hint="quantise the finer operand first",
                )
        if all(r == 1 for r in ratio.flat):
            return wire.view(wire.index, target)

        def multiply(builder: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
            # Uniform axes are positions: any of their elements stands for all.
            full = (0,) * (len(wire.shape) - len(at)) + at
            return builder.linear(values, [ratio[full[len(full) - len(wire.shape) :]]])

        return self.elementwise(node, [wire], multiply, target, [ratio])


def _uniform_along(fact: NDArray[Any], axis: int) -> bool:
    if fact.strides[axis] == 0 or fact.shape[axis] == 1:
        return True
    first = np.take(fact, [0], axis=axis)
    return bool(np.all(fact == first))


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
    for node in network.nodes:
        wire = layer_of(node).lower(node, low, [wires[tensor] for tensor in node.inputs])
        if wire.shape != tuple(network.shapes[node.outputs[0]]):
            raise ModelError(
                f"layer {node.name!r}: lowering gave the shape {wire.shape}, expected {network.shapes[node.outputs[0]]}"
            )
        wires[node.outputs[0]] = wire
    for name in network.outputs:
        wires[name] = low.settled(wires[name])
    outputs = tuple(
        Port(name, wires[name].array, wires[name].index.ravel().astype(np.int32), wires[name].shape)
        for name in network.outputs
    )
    return Program(network.name, low.arrays, low.kernels, tuple(low.steps), tuple(ports), outputs, low.notes)


def fractions(values: Sequence[Fraction] | NDArray[Any]) -> NDArray[Any]:
    """Return an object array of `Fraction`s (numpy would turn a list of them into something else)."""
    out = np.empty(len(values), object)
    out[:] = list(values)
    return out
