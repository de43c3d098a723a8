"""Explicit quantiser nodes: QONNX `Quant`, `BipolarQuant`, `Trunc`, ONNX `QuantizeLinear`/`DequantizeLinear`,
and the types that calibration chooses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import FixedType, Floats, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.layers._base import Example, Layer
from hardwire.layers._lowering import Lowering, Wire
from hardwire.layers._requantise import overflow, round_scaled
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.quantiser import Quantiser


class Quantise(Layer):
    """Attr `quantiser`: a `Quantiser` whose fields broadcast to the tensor's shape."""

    kind = "quantise"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        quantiser: Quantiser = node.attrs["quantiser"]
        for part in (quantiser.scale, quantiser.lo, quantiser.hi, quantiser.zero):
            try:
                fits = np.broadcast_shapes(np.shape(part), inputs[0]) == tuple(inputs[0])
            except ValueError:
                fits = False
            if not fits:
                raise ModelError(
                    f"layer {node.name!r}: quantiser parameters of shape {np.shape(part)} do not fit {inputs[0]}"
                )
        return inputs[0]

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the values on the quantiser's grid."""
        quantiser: Quantiser = node.attrs["quantiser"]
        return quantiser(inputs[0])

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Round and overflow each element; free where the value is on the grid and in range already."""
        return quantise_wire(node, low, inputs[0], node.attrs["quantiser"])

    def examples(self) -> Iterator[Example]:
        """Every rounding with every overflow mode."""
        for rounding in Rounding:
            for over in Overflow:
                net = NetworkBuilder(f"quantise_{rounding.name}_{over.name}".lower())
                x = net.input("x", (2,))
                fine = Quantiser.of_type(FixedType(True, 8, 5), Rounding.RND, Overflow.SAT)
                x = net.add("quantise", "fine", [x], {"quantiser": fine})
                coarse = Quantiser.of_type(FixedType(True, 4, 2), rounding, over)
                y = net.add("quantise", "coarse", [x], {"quantiser": coarse})
                yield Example(f"{rounding.name}_{over.name}", net.build([y]))


def quantise_wire(node: Node, low: Lowering, x: Wire, quantiser: Quantiser) -> Wire:
    """Apply a quantiser to a wire exactly."""
    q = quantiser.reshaped(x.shape)
    target = np.broadcast_to(quantiser.scales(), x.shape)
    own = x.scales()
    codes_lo, codes_hi = np.broadcast_to(q.lo - q.zero, x.shape), np.broadcast_to(q.hi - q.zero, x.shape)
    if np.all(own == target):
        lo, hi = low.range(x)
        if np.all(lo >= codes_lo) and np.all(hi <= codes_hi):
            return x
    zero = q.zero

    def rule(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
        full = (0,) * (len(x.shape) - len(at)) + at if x.shape else ()
        (value,) = values
        factor = own[full] / target[full]
        before = int(zero[full]) if quantiser.zero_first else 0
        if before % 2 and quantiser.rounding is Rounding.RND_CONV and factor.denominator % 2 == 0:
            # Ties to even shift with an odd zero point: round with it added, in the finer unit.
            unit = factor.denominator
            scaled = b.linear([value], [factor.numerator], before * unit)
            rounded = b.linear([round_scaled(b, scaled, 1 / factor.__class__(unit), quantiser.rounding)], [1], -before)
        else:
            rounded = round_scaled(b, value, factor, quantiser.rounding)
        return overflow(b, rounded, int(codes_lo[full]), int(codes_hi[full]), quantiser.overflow)

    return low.elementwise(node, [x], rule, target, [codes_lo, codes_hi])
