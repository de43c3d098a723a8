"""A cell applied step after step along an axis, each step reading the state that the step before it left.

The cell is a Network of its own; its Program becomes one kernel, so that the size of the Program does not grow with the
length of the sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import FixedType, Floats, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel, Program
from hardwire.layers._base import Example, Layer
from hardwire.layers._elements import exact_values, quantised_input
from hardwire.layers._lowering import Lowering, Part, Wire, lower
from hardwire.network.graph import Network, NetworkBuilder, Node, Shape
from hardwire.quantiser import Quantiser


class Scan(Layer):
    """Attrs `cell` (Network from x (k,) and state (s,) to the next state), `input` and `state` (`Quantiser`s of both,
    scalar), `reverse` (from the last step to the first), `sequence` (all states, (T, s), in the order of time, or the
    last one, (s,)).

    Input (T, k), then optionally a computed initial state (s,); otherwise it is the param `initial` (s,) or zeros.
    """

    kind = "scan"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return (T, s) or (s,)."""
        cell: Network = node.attrs["cell"]
        x, state = (cell.shapes[name] for name in cell.inputs)
        if len(inputs[0]) != 2 or inputs[0][1:] != x or cell.shapes[cell.outputs[0]] != state or len(state) != 1:
            raise ModelError(f"layer {node.name!r}: a cell from {x} and {state} over an input of shape {inputs[0]}")
        initial = [*inputs[1:], *(node.params[key].shape for key in ("initial",) if key in node.params)]
        if any(shape != state for shape in initial) or len(initial) > 1:
            raise ModelError(f"layer {node.name!r}: initial states of shapes {initial} for a state of shape {state}")
        return (inputs[0][0], *state) if node.attrs["sequence"] else state

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Run the cell's float64 meaning step by step."""
        from hardwire.network.reference import forward

        cell: Network = node.attrs["cell"]
        x = inputs[0]
        size = cell.shapes[cell.inputs[1]]
        start = inputs[1] if len(inputs) > 1 else node.params.get("initial", np.zeros(size))
        state = np.broadcast_to(start, (len(x), *size))
        states = []
        for step in _order(node, x.shape[1]):
            (state,) = forward(cell, [x[:, step], state])
            states.append(state)
        if not node.attrs["sequence"]:
            return np.asarray(states[-1], np.float64)
        return np.stack(states[::-1] if node.attrs["reverse"] else states, axis=1)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One kernel for all steps."""
        cell: Network = node.attrs["cell"]
        rules = {name: node.attrs[key] for name, key in zip(cell.inputs, ("input", "state"), strict=True)}
        unit = Fraction(float(node.attrs["state"].scale))
        x = low.rescaled(node, inputs[0], np.array(Fraction(float(node.attrs["input"].scale)), object))
        steps, width = x.shape
        size = cell.shapes[cell.inputs[1]][0]
        program = lower(cell, rules)
        state: Quantiser = node.attrs["state"]
        x_lo, x_hi = low.range(x)
        builder = KernelBuilder(
            node.name,
            [*x_lo.min(axis=0).tolist(), *[int(state.lo)] * size],
            [*x_hi.max(axis=0).tolist(), *[int(state.hi)] * size],
        )
        results = inlined(builder, program, list(range(width + size)))
        port = program.outputs[0]
        factors = [scale / unit for scale in program.port_scale(port)]
        if any(factor.denominator != 1 for factor in factors):
            raise ModelError(f"layer {node.name!r}: the cell's next state is finer than its state")
        outputs = [builder.linear([value], [int(f)]) for value, f in zip(results, factors, strict=True)]
        if any(builder.range(v)[0] < int(state.lo) or builder.range(v)[1] > int(state.hi) for v in outputs):
            raise ModelError(f"layer {node.name!r}: the cell's next state leaves the range of its state")
        windows = [x.index[step][None] for step in _order(node, steps)]
        kernel = builder.build(outputs)
        y = low.recur(node, self._start(node, low, inputs, unit, size), kernel, x, windows, np.array(unit, object))
        states = np.arange(1, steps + 1)
        if not node.attrs["sequence"]:
            return y.view(y.index[0, steps], y.scales()[0, steps])
        order = states[::-1] if node.attrs["reverse"] else states
        return y.view(y.index[0][order], y.scales()[0][order])

    def _start(self, node: Node, low: Lowering, inputs: Sequence[Wire], unit: Fraction, size: int) -> Part:
        base = np.zeros(1, np.int32)
        if len(inputs) > 1:
            first = low.rescaled(node, inputs[1], np.array(unit, object))
            reads = [(first, first.index.reshape(1, -1))]
            return Part(KernelBuilder(node.name, *low.window_range(reads)).build(range(size)), reads, base)
        builder = KernelBuilder(node.name, [], [])
        values = exact_values(node.params.get("initial", np.zeros(size)), None, (size,)) / unit
        if any(value.denominator != 1 for value in values):
            raise ModelError(f"layer {node.name!r}: an initial state that is finer than the state's type")
        return Part(builder.build([builder.const(int(value)) for value in values]), (), base)

    def examples(self) -> Iterator[Example]:
        """A leaky sum: all states, and the last one from the other end, from a constant and a computed start."""
        kind = FixedType(True, 6, 2)
        rule = Quantiser.of_type(kind, Rounding.TRN, Overflow.WRAP)
        for name, reverse, sequence, start in (
            ("sequence", False, True, None),
            ("reverse", True, False, "constant"),
            ("computed", True, True, "computed"),
        ):
            inner = NetworkBuilder("cell")
            x, state = inner.input("x", (2,)), inner.input("state", (2,))
            part = inner.add("mul", "leak", [state], {}, {"constant": np.array([0.75, -0.5])})
            total = inner.add("add", "sum", [x, part])
            cell = inner.build([inner.add("quantise", "next", [total], {"quantiser": rule})])
            net = NetworkBuilder(f"scan_{name}")
            q = quantised_input(net, (3, 2), "s5.2")
            attrs: dict[str, Any] = {"cell": cell, "input": Quantiser.of_type(FixedType(True, 5, 2)), "state": rule}
            attrs |= {"reverse": reverse, "sequence": sequence}
            extra = [quantised_input(net, (2,), "s4.1", "start")] if start == "computed" else []
            params = {"initial": np.array([1.5, -2.0])} if start == "constant" else {}
            yield Example(name, net.build([net.add("scan", "scan", [q, *extra], attrs, params)]))


def _order(node: Node, steps: int) -> range:
    return range(steps - 1, -1, -1) if node.attrs["reverse"] else range(steps)


def inlined(b: KernelBuilder, program: Program, inputs: Sequence[int]) -> list[int]:
    """Replay a Program in a kernel: its ports' elements are the values `inputs` in order; returns its outputs'."""
    store = {name: [-1] * array.size for name, array in program.arrays.items()}
    given = iter(inputs)
    for port in program.inputs:
        for place in port.index.tolist():
            store[port.array][place] = next(given)
    for step in program.steps:
        kernel = program.kernels[step.kernel]
        reads = [(store[read.array], read.index().tolist()) for read in step.reads]
        for position, targets in enumerate(step.write.index().tolist()):
            arguments = [array[place] for array, index in reads for place in index[position]]
            for target, value in zip(targets, replayed(b, kernel, arguments), strict=True):
                store[step.write.array][target] = value
    return [store[port.array][place] for port in program.outputs for place in port.index.tolist()]


def replayed(b: KernelBuilder, kernel: Kernel, inputs: Sequence[int]) -> list[int]:
    """Append a kernel's values to another kernel, with ranges of their own; returns its outputs."""
    values: list[int] = []
    for op in kernel:
        arguments = [values[arg] for arg in op.args]
        match op.code:
            case OpCode.INPUT:
                value = inputs[op.p]
            case OpCode.CONST:
                value = b.const(op.p)
            case OpCode.LINEAR:
                value = b.linear(arguments, op.coefs, op.p)
            case OpCode.ADD:
                value = b.add(arguments[0], arguments[1], op.p, op.q)
            case OpCode.SUB:
                value = b.sub(arguments[0], arguments[1], op.p, op.q)
            case OpCode.SHL:
                value = b.shl(arguments[0], op.p)
            case OpCode.ROUND:
                value = b.round(arguments[0], op.p, Rounding(op.q))
            case OpCode.WRAP:
                value = b.wrap(arguments[0], op.p, bool(op.q))
            case OpCode.CLAMP:
                value = b.clamp(arguments[0], op.p, op.q)
            case OpCode.TABLE:
                lo, hi = b.range(arguments[0])
                value = b.table(arguments[0], kernel.tables[op.p][lo - op.q : hi - op.q + 1])
            case _:
                value = getattr(b, _METHODS[op.code])(*arguments)
        values.append(value)
    return [values[output] for output in kernel.outputs.tolist()]


_METHODS = {
    OpCode.MUL: "mul",
    OpCode.MIN: "min",
    OpCode.MAX: "max",
    OpCode.LESS: "less",
    OpCode.EQUAL: "equal",
    OpCode.SELECT: "select",
    OpCode.AND: "bit_and",
    OpCode.OR: "bit_or",
    OpCode.XOR: "bit_xor",
}
"""Builder methods of the ops that take operands alone."""
