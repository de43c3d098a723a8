"""Little networks of one input each, one for every element, as exact lookup tables (the layers of HGQ-LUT).

Each element goes through dense layers of its own, computed in float32 as the frameworks that train them do, and then
through the quantiser `output`: what is left of them is one table an element. Sums run in order with one rounding a
term (fused multiply-add), which is how the common matrix products add so few of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, RangeError
from hardwire.fixed import FixedType, Floats, Ints, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.layers._base import Example, Layer
from hardwire.layers._cell import Chain, evaluate
from hardwire.layers._elements import element, quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.layers.activation import MAX_ENTRIES
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.quantiser import Quantiser

Array = NDArray[Any]
Float32 = NDArray[np.float32]

_SLACK = 2.0**-20
"""How far, relative to the largest output, another order of float32 operations may move one: seen up to 2^-21."""


class TableNetwork(Layer):
    """Attrs `activation` (`_cell.Chain`, between the layers), `output` (`Quantiser` or None), `divisor` (1 if absent).

    Params `kernel_0`… (*elements, d, D), the first with d = 1, the last with D = 1; optional `bias_0`… (*elements, D);
    optional `mean`, `factor`, `shift` of a normalisation behind the last layer, applied as
    `((y - mean) · factor + shift) / divisor`. All have the input's rank before their own axes and broadcast to it.
    """

    kind = "table_network"
    exact = False

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape; raises `ModelError` for parameters that do not fit it."""
        (shape,) = inputs
        width, depth = 1, _depth(node)
        if not depth:
            raise ModelError(f"layer {node.name!r}: no kernel")
        for i in range(depth):
            kernel = node.params[f"kernel_{i}"]
            _fits(node, f"kernel_{i}", kernel, shape, (width, kernel.shape[-1] if kernel.ndim else 0))
            width = kernel.shape[-1]
            if f"bias_{i}" in node.params:
                _fits(node, f"bias_{i}", node.params[f"bias_{i}"], shape, (width,))
        if width != 1:
            raise ModelError(f"layer {node.name!r}: its last kernel has {width} outputs, expected one")
        for name in ("mean", "factor", "shift"):
            if name in node.params:
                _fits(node, name, node.params[name], shape, ())
        return shape

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return `output(network(x))`, the network in float32."""
        y = np.asarray(_forward(node, _params(node), inputs[0].astype(np.float32)), np.float64)
        quantiser: Quantiser | None = node.attrs.get("output")
        return y if quantiser is None else quantiser(y)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One TABLE an element; notes how many entries float32 decides so closely that a framework may differ."""
        (x,) = inputs
        quantiser: Quantiser | None = node.attrs.get("output")
        if quantiser is None:
            raise ModelError(
                f"layer {node.name!r}: its result has no type", hint="put a quantiser after the layer, or calibrate"
            )
        q = quantiser.reshaped(x.shape)
        scales, params = x.scales(), _params(node)
        elements = np.broadcast_shapes(*(p.shape[: len(x.shape)] for p in params.values()))
        number = np.arange(int(np.prod(elements))).reshape(elements)
        spread = np.broadcast_to(number, x.shape)
        known: dict[tuple[object, ...], Ints] = {}
        note = low.notes.setdefault("table_network", {}).setdefault(node.name, {"entries": 0, "close_entries": 0})

        def rule(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
            full = element(x.shape, at)
            lo, hi = b.range(values[0])
            fields = (float(q.scale[full]), int(q.lo[full]), int(q.hi[full]), int(q.zero[full]))
            key = (int(spread[full]), lo, hi, scales[full], *fields)
            if key not in known:
                scalar = replace(q, scale=q.scale[full], lo=q.lo[full], hi=q.hi[full], zero=q.zero[full])
                own = {
                    name: part[tuple(0 if n == 1 else i for n, i in zip(part.shape, full, strict=False))]
                    for name, part in params.items()
                }
                y = _outputs(node, own, lo, hi, scales[full])
                known[key] = scalar.codes(y)
                slack = _SLACK * max(1.0, float(np.abs(y).max()))
                note["entries"] += len(y)
                note["close_entries"] += int(np.sum(scalar.codes(y - slack) != scalar.codes(y + slack)))
            return b.table(values[0], known[key])

        return low.elementwise(node, [x], rule, quantiser.scales(), [q.scale, q.lo, q.hi, q.zero, spread])

    def examples(self) -> Iterator[Example]:
        """A hidden layer and none, with a normalisation, networks by element and shared over positions."""
        rng = np.random.default_rng(3)
        output = Quantiser.of_type(FixedType.parse("s6.3"), Rounding.RND, Overflow.SAT_SYM)
        tanh: Chain = (("activation", {"function": "tanh", "arguments": {}}),)
        for name, elements, widths, extra in (
            ("hidden", (2, 2), (1, 3, 1), ()),
            ("linear", (3,), (1, 1), ("factor", "shift")),
            ("shared", (1, 2), (1, 2, 2, 1), ("mean", "factor")),
        ):
            net = NetworkBuilder(f"table_network_{name}")
            x = quantised_input(net, (2, 2) if len(elements) == 2 else elements, "s4.2")
            params = {}
            for i, (d, units) in enumerate(zip(widths, widths[1:], strict=False)):
                params[f"kernel_{i}"] = rng.normal(size=(*elements, d, units)).astype(np.float32)
                params[f"bias_{i}"] = rng.normal(size=(*elements, units)).astype(np.float32)
            params |= {key: rng.normal(size=elements).astype(np.float32) for key in extra}
            attrs = {"activation": tanh, "output": output, "divisor": 2.0**0.5 if extra else 1.0}
            yield Example(name, net.build([net.add("table_network", "tables", [x], attrs, params)]))


def _depth(node: Node) -> int:
    depth = 0
    while f"kernel_{depth}" in node.params:
        depth += 1
    return depth


def _fits(node: Node, name: str, value: Array, shape: Shape, own: Shape) -> None:
    lead, last = value.shape[: len(shape)], value.shape[len(shape) :]
    try:
        broadcast = np.broadcast_shapes(lead, shape) == shape and len(lead) == len(shape)
    except ValueError:
        broadcast = False
    if not broadcast or last != own:
        raise ModelError(f"layer {node.name!r}: {name} has the shape {value.shape}, expected {(*shape, *own)}")


def _params(node: Node) -> dict[str, Float32]:
    return {name: np.asarray(value, np.float32) for name, value in node.params.items()}


def _forward(node: Node, params: dict[str, Float32], x: Float32) -> Float32:
    """Outputs of the networks for `x`, an array that begins with axes which the params do not have."""
    h = x[..., None]
    depth = _depth(node)
    for i in range(depth):
        kernel = params[f"kernel_{i}"]
        total = _rounded(h[..., 0, None].astype(np.float64) * kernel[..., 0, :])
        for d in range(1, kernel.shape[-2]):
            # A float64 holds the product of two float32 exactly: one rounding, as of a fused multiply-add.
            total = _rounded(total + h[..., d, None].astype(np.float64) * kernel[..., d, :])
        if f"bias_{i}" in params:
            total = total + params[f"bias_{i}"]
        h = total if i == depth - 1 else _rounded(evaluate(node, node.attrs["activation"], total.astype(np.float64)))
    y = h[..., 0]
    if "mean" in params:
        y = y - params["mean"]
    if "factor" in params:
        y = y * params["factor"]
    if "shift" in params:
        y = y + params["shift"]
    divisor = node.attrs.get("divisor", 1.0)
    return y if divisor == 1 else y / np.float32(divisor)


def _rounded(x: Array) -> Float32:
    return np.asarray(x, np.float32)


def _outputs(node: Node, params: dict[str, Float32], lo: int, hi: int, scale: Fraction) -> Floats:
    """Outputs for every input code in `[lo, hi]`; raises `RangeError` naming the layer for too many."""
    if hi - lo >= MAX_ENTRIES:
        raise RangeError(
            f"layer {node.name!r}: a table would have {hi - lo + 1} entries (codes {lo} to {hi}); the limit is "
            f"{MAX_ENTRIES}",
            hint="quantise the layer's input to at most 16 bits",
        )
    x = np.array([float(code * scale) for code in range(lo, hi + 1)], np.float32)
    return np.asarray(_forward(node, params, x), np.float64)
