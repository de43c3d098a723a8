"""Explicit quantiser nodes: QONNX `Quant`, `BipolarQuant`, `Trunc`, ONNX `QuantizeLinear`/`DequantizeLinear`,
and the types that calibration chooses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import FixedType, Floats, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _onnx as onnx
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._lowering import Lowering, Wire
from hardwire.layers._octaves import round_minifloat
from hardwire.layers._requantise import overflow, round_scaled
from hardwire.layers._scales import same_scales
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser


class Quantise(Layer):
    """Attr `quantiser`: a `Quantiser` whose fields broadcast to the tensor's shape."""

    kind = "quantise"
    takes_offset = True

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
        for name, scale, bits in (("minifloat", 0.125, 8), ("minifloat_real", 0.3, 8), ("minifloat_wide", 0.3, 14)):
            net = NetworkBuilder(f"quantise_{name}")
            fine = Quantiser.of_type(FixedType(True, bits, 5), Rounding.RND, Overflow.SAT)
            x = net.add("quantise", "fine", [net.input("x", (2,))], {"quantiser": fine})
            rule = Quantiser.minifloat(scale, 3, 2, 3)
            yield Example(name, net.build([net.add("quantise", "float", [x], {"quantiser": rule})]))


def quantise_wire(node: Node, low: Lowering, x: Wire, quantiser: Quantiser) -> Wire:
    """Apply a quantiser to a wire exactly."""
    q = quantiser.reshaped(x.shape)
    target = np.broadcast_to(quantiser.scales(), x.shape)
    own = x.scales()
    codes_lo, codes_hi = (np.broadcast_to(bound, x.shape) for bound in q.limits)
    offset = None if x.offset is None else np.broadcast_to(x.offset, x.shape)
    if offset is None and q.mantissa is None and same_scales(own, target):
        lo, hi = low.range(x)
        if np.all(lo >= codes_lo) and np.all(hi <= codes_hi):
            return x
    zero, mantissa = q.zero, q.mantissa

    def rule(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
        full = (0,) * (len(x.shape) - len(at)) + at if x.shape else ()
        (value,) = values
        factor = own[full] / target[full]
        if mantissa is not None:
            start = Fraction(0) if offset is None else offset[full] / target[full]
            bounds = int(codes_lo[full]), int(codes_hi[full])
            return round_minifloat(b, value, factor, mantissa, quantiser.rounding, bounds, start)
        before = int(zero[full]) if quantiser.zero_first else 0
        constant = before if offset is None else before + offset[full] / target[full]
        # A rounding that looks at the sign or at even codes shifts with a zero point that is added before it.
        rounded = b.linear([round_scaled(b, value, factor, quantiser.rounding, constant)], [1], -before)
        return overflow(b, rounded, int(codes_lo[full]), int(codes_hi[full]), quantiser.overflow)

    varying = [codes_lo, codes_hi] if offset is None else [codes_lo, codes_hi, offset]
    return low.elementwise(node, [x], rule, target, varying)


# --- ONNX (QONNX; `QuantizeLinear` and `DequantizeLinear` are paired by the frontend)


@imports("onnx", "qonnx::Quant", "qonnx::IntQuant")
def _onnx_quant(record: Record, net: NetworkBuilder) -> str:
    """QONNX `Quant` of a computed tensor (docs/qonnx-custom-ops/intquant_v1.md)."""
    x = onnx.data(record)
    quantiser = onnx.quantiser_for(record, net, x, onnx.quant_parts(record), zero_first=True)
    return net.add("quantise", record.name, [x], {"quantiser": quantiser})


@imports("onnx", "qonnx::FloatQuant")
def _onnx_float_quant(record: Record, net: NetworkBuilder) -> str:
    """QONNX `FloatQuant` of a computed tensor (docs/qonnx-custom-ops/floatquant_v1.md)."""
    x = onnx.data(record)
    scale, exponent, mantissa, bias, most, mode = onnx.float_quant_parts(record)
    fitted = onnx.without_batch(record, np.asarray(scale), net.shape(x), "a scale")
    quantiser = Quantiser.minifloat(fitted, exponent, mantissa, bias, most, mode)
    return net.add("quantise", record.name, [x], {"quantiser": quantiser})


@imports("onnx", "qonnx::Trunc")
def _onnx_trunc(record: Record, net: NetworkBuilder) -> str:
    """QONNX `Trunc` (docs/qonnx-custom-ops/trunc_v1.md with five operands, trunc_v2.md with six).

    Both bring the input to the integers of `scale` (rounding half to even), divide by a power of two (below 1 for an
    output that is finer) and round.
    Version 1 reads the result back with the input's scale and zero point and does not clip; version 2 clips to the
    output's bits and reads it back with `out_scale` and the divided zero point.
    """
    x = onnx.data(record)
    scale, zero = onnx.scalar(record, 1, 0.0), int(onnx.whole(record, onnx.constant(record, 2), "zero point"))
    bits = int(onnx.whole(record, onnx.constant(record, 3), "bit width"))
    mode = onnx.rounding_of(record, "FLOOR")
    wide = np.asarray(1 << 52, np.int64)
    lo, hi = -wide, wide
    if onnx.has(record, 5):
        out_scale = onnx.scalar(record, 4, 0.0)
        out_bits = onnx.constant(record, 5)
        lows, highs = onnx.integer_range(record, out_bits, record.expect("signed", 1, 0), record.expect("narrow", 0, 1))
        lo, hi = lows.reshape(()), highs.reshape(())
        if not (scale > 0 and out_scale > 0):
            raise UnsupportedError(f"layer {record.name!r} (Trunc): scales {scale} and {out_scale} must be positive")
        shift = int(np.rint(np.log2(out_scale / scale)))
        out_zero = zero * 2.0**-shift
    else:
        shift = bits - int(onnx.whole(record, onnx.constant(record, 4), "bit width"))
        out_scale, out_zero = scale, float(zero)
    integers = Quantiser(np.asarray(scale), -wide, wide, zero=np.asarray(zero, np.int64), zero_first=True)
    y = net.add("quantise", f"{record.name}_in", [x], {"quantiser": integers})
    if zero:
        y = net.add("add", f"{record.name}_zero", [y], {}, {"constant": np.float64(zero * scale)})
    coarse = Quantiser(np.asarray(scale * 2.0**shift), lo, hi, mode)
    y = net.add("quantise", record.name, [y], {"quantiser": coarse})
    factor = out_scale / (scale * 2.0**shift)
    if factor != 1.0:
        y = net.add("mul", f"{record.name}_scale", [y], {}, {"constant": np.float64(factor)})
    if out_zero:
        y = net.add("add", f"{record.name}_out", [y], {}, {"constant": np.float64(-out_zero * out_scale)})
    return y
