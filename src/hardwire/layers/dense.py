"""Dense layers: `y = x · kernel + bias` over the last axis, on any rank.

Keras `Dense`, ONNX `Gemm` and `MatMul` with a constant, PyTorch `linear`, `addmm`, `mm`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from hardwire.errors import ModelError, RangeError
from hardwire.fixed import MAX_BITS, FixedType, Floats, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.layers._base import Example, Layer
from hardwire.layers._lowering import Lowering, Wire, fractions
from hardwire.layers._scales import column_codes, common_scale
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.quantiser import Quantiser


class Dense(Layer):
    """Params `kernel` (k, m), optional `bias` (m,).

    Either may be integer codes with a real factor: `kernel_scale` (m,) or scalar, `bias_scale` (m,) or scalar.
    """

    kind = "dense"
    weights = ("kernel", "bias")

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return (..., m)."""
        (shape,) = inputs
        kernel = node.params["kernel"]
        if kernel.ndim != 2:
            raise ModelError(f"layer {node.name!r}: the kernel has the shape {kernel.shape}, expected two axes")
        if not shape or shape[-1] != kernel.shape[0]:
            raise ModelError(
                f"layer {node.name!r}: the kernel {kernel.shape} needs {kernel.shape[0]} inputs on the last axis, "
                f"the input has the shape {shape}"
            )
        bias = node.params.get("bias")
        if bias is not None and bias.shape != (kernel.shape[1],):
            raise ModelError(f"layer {node.name!r}: the bias has the shape {bias.shape}, expected {(kernel.shape[1],)}")
        return (*shape[:-1], kernel.shape[1])

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Float64 matrix product."""
        y = inputs[0] @ (node.params["kernel"] * node.params.get("kernel_scale", 1.0))
        if "bias" in node.params:
            y = y + node.params["bias"] * node.params.get("bias_scale", 1.0)
        return np.asarray(y, np.float64)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One LINEAR per neuron, in a kernel applied at every leading position."""
        (x,) = inputs
        k, m = node.params["kernel"].shape
        steps = x.scales().reshape(-1, k)
        if not np.all(steps == steps[:1]):
            x = low.rescaled(node, x, fractions([common_scale(column) for column in steps.T]))
        input_scale = list(x.scales().reshape(-1, k)[0])
        unit = common_scale(input_scale)
        factors = np.array([(s / unit).numerator for s in input_scale], object)
        codes, units = column_codes(node.params["kernel"], node.params.get("kernel_scale"))
        codes = codes * factors[:, None]
        bias = [Fraction(0)] * m
        if "bias" in node.params:
            factor = np.broadcast_to(node.params.get("bias_scale", np.float64(1.0)), (m,))
            bias = [Fraction(float(b)) * Fraction(float(f)) for b, f in zip(node.params["bias"], factor, strict=True)]
        read = (x, low.windows(x, 1))
        builder = KernelBuilder(node.name, *low.window_range([read]))
        outputs, scales = [], []
        for j in range(m):
            scale = units[j] * unit
            finest = common_scale([scale, bias[j]])
            column = [int(c) * (scale / finest).numerator for c in codes[:, j]]
            offset = (bias[j] / finest).numerator
            if max((abs(c) for c in [*column, offset]), default=0) >= 1 << MAX_BITS:
                raise RangeError(
                    f"layer {node.name!r}: the weights and bias of neuron {j} span more than {MAX_BITS} bits",
                    hint="calibrate the model (calibrate=x) so that its weights get fixed-point types",
                )
            outputs.append(builder.linear(range(k), column, offset))
            scales.append(finest)
        kernel = builder.build(outputs)
        return low.apply(node, kernel, [read], (*x.shape[:-1], m), fractions(scales))

    def examples(self) -> Iterator[Example]:
        """Vectors and matrices, with and without bias, with per-channel weight scales."""
        rng = np.random.default_rng(1)
        for name, shape, extra in (
            ("vector", (5,), {"bias": rng.integers(-8, 8, 3) / 8}),
            ("rows", (2, 4), {}),
            ("scaled", (4,), {"kernel_scale": np.array([0.5, 0.3, 0.7]), "bias": np.zeros(3)}),
        ):
            net = NetworkBuilder(f"dense_{name}")
            x = net.input("x", shape)
            kind = FixedType(True, 6, 3)
            x = net.add("quantise", "q", [x], {"quantiser": Quantiser.of_type(kind, Rounding.RND, Overflow.SAT)})
            kernel = rng.integers(-15, 16, (shape[-1], 3))
            kernel = kernel if "kernel_scale" in extra else kernel / 16
            y = net.add("dense", "fc", [x], {}, {"kernel": kernel, **extra})
            yield Example(name, net.build([y]))
