"""Dense layers: `y = x · kernel + bias` over the last axis, on any rank.

Keras `Dense`, ONNX `Gemm` and `MatMul` with a constant, PyTorch `linear`, `addmm`, `mm`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, RangeError, UnsupportedError
from hardwire.fixed import MAX_BITS, FixedType, Floats, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _keras as keras
from hardwire.layers import _onnx as onnx
from hardwire.layers import _torch as torch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._lowering import Lowering, Wire, fractions
from hardwire.layers._scales import column_codes, common_scale, same_scales
from hardwire.layers.matmul import product
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser

_FINER = 16
"""How many times finer than the products a bias may be and still be added to them as an integer."""


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
        if not same_scales(steps, steps[:1]):
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
        # A bias much finer than the products is no use as integers: it travels beside them.
        apart = any(units[j] * unit / common_scale([units[j] * unit, bias[j]]) > _FINER for j in range(m))
        for j in range(m):
            scale = units[j] * unit
            finest = scale if apart else common_scale([scale, bias[j]])
            whole = (scale / finest).numerator
            column = [int(c) * whole for c in codes[:, j]]
            offset = 0 if apart else (bias[j] / finest).numerator
            if max((abs(c) for c in [*column, offset]), default=0) >= 1 << MAX_BITS:
                raise RangeError(
                    f"layer {node.name!r}: the weights and bias of neuron {j} span more than {MAX_BITS} bits",
                    hint="calibrate the model (calibrate=x) so that its weights get fixed-point types",
                )
            outputs.append(builder.linear(range(k), column, offset))
            scales.append(finest)
        kernel = builder.build(outputs)
        y = low.apply(node, kernel, [read], (*x.shape[:-1], m), fractions(scales))
        return replace(y, offset=fractions(bias)) if apart else y

    def examples(self) -> Iterator[Example]:
        """Vectors and matrices, with and without bias, with per-channel weight scales."""
        rng = np.random.default_rng(1)
        for name, shape, extra in (
            ("vector", (5,), {"bias": rng.integers(-8, 8, 3) / 8}),
            ("rows", (2, 4), {}),
            ("scaled", (4,), {"kernel_scale": np.array([0.5, 0.3, 0.7]), "bias": np.zeros(3)}),
            ("float_bias", (4,), {"kernel_scale": np.array([0.5, 0.3, 0.7]), "bias": np.array([0.1, -0.71, 1 / 3])}),
        ):
            net = NetworkBuilder(f"dense_{name}")
            x = net.input("x", shape)
            kind = FixedType(True, 6, 3)
            x = net.add("quantise", "q", [x], {"quantiser": Quantiser.of_type(kind, Rounding.RND, Overflow.SAT)})
            kernel: NDArray[Any] = rng.integers(-15, 16, (shape[-1], 3))
            kernel = kernel if "kernel_scale" in extra else kernel / 16
            y = net.add("dense", "fc", [x], {}, {"kernel": kernel, **extra})
            if name == "float_bias":
                y = net.add("quantise", "out", [y], {"quantiser": Quantiser.of_type(kind, Rounding.RND_CONV)})
            yield Example(name, net.build([y]))


# --- ONNX


@imports("onnx", "Gemm")
def _onnx_gemm(record: Record, net: NetworkBuilder) -> str:
    """`alpha · A' · B' + beta · C` with constant B and C."""
    record.expect("transA", 0)
    transposed = record.expect("transB", 0, 1)
    alpha, beta = float(record.take("alpha", 1.0)), float(record.take("beta", 1.0))
    x = onnx.data(record)
    kernel, scale = onnx.scaled(record, 1)
    if transposed:
        kernel, scale = kernel.T, None if scale is None else scale.T
    if scale is None:
        kernel = kernel * alpha
    return _onnx_dense(record, net, x, kernel, None if scale is None else scale * alpha, beta)


@imports("onnx", "MatMul")
def _onnx_matmul(record: Record, net: NetworkBuilder) -> str:
    """Variable × constant over the last axis, constant × variable over the second-to-last one, or two variables."""
    if len(record.inputs) == 2:
        return product(record, net, *record.inputs)
    if tuple(record.versions["variables"]) == (1,):
        return _onnx_matmul_left(record, net)
    x = onnx.data(record)
    kernel, scale = _onnx_matrix(record, 1)
    column = kernel.ndim == 1
    if column:
        kernel, scale = kernel[:, None], None if scale is None else scale[:, None]
    y = _onnx_dense(record, net, x, kernel, scale, 1.0)
    return net.add("reshape", f"{record.name}_column", [y], {"shape": net.shape(y)[:-1]}) if column else y


def _onnx_matmul_left(record: Record, net: NetworkBuilder) -> str:
    """`A · x` as `(xᵀ · Aᵀ)ᵀ` on the last two axes, neither of which may be the batch."""
    (x,) = record.inputs
    rank = len(net.shape(x))
    kernel, scale = _onnx_matrix(record, 0)
    if rank < 2 or kernel.ndim != 2:
        raise UnsupportedError(
            f"layer {record.name!r} (MatMul): a constant of shape {kernel.shape} times a tensor "
            f"{('batch', *net.shape(x))} mixes events or drops an axis; only constant matrices on axes behind the "
            "batch are supported"
        )
    perm = (*range(rank - 2), rank - 1, rank - 2)
    turned = net.add("transpose", f"{record.name}_turned", [x], {"perm": perm})
    y = _onnx_dense(record, net, turned, kernel.T, None if scale is None else scale.T, 1.0)
    return net.add("transpose", f"{record.name}_back", [y], {"perm": perm})


def _onnx_matrix(record: Record, position: int) -> tuple[NDArray[Any], NDArray[Any] | None]:
    kernel, scale = onnx.scaled(record, position)
    full = len(kernel.shape)
    while kernel.ndim > 2 and kernel.shape[0] == 1:
        kernel, scale = kernel[0], None if scale is None else scale[0]
    if kernel.ndim > 2 or kernel.ndim == 0:
        raise UnsupportedError(
            f"layer {record.name!r} (MatMul): a constant with {full} axes (a matrix for each position) is not supported"
        )
    return kernel, scale


def _onnx_dense(
    record: Record, net: NetworkBuilder, x: str, kernel: NDArray[Any], scale: NDArray[Any] | None, beta: float
) -> str:
    """Add a dense node; operand 2, where there is one, is the bias."""
    if kernel.ndim != 2:
        raise ModelError(f"layer {record.name!r} ({record.kind}): the kernel has {kernel.ndim} axes, expected 2")
    params: dict[str, NDArray[Any]] = {"kernel": kernel}
    if scale is not None:
        if np.all(scale == scale[:1]):
            params["kernel_scale"] = scale[0] if len(scale) else np.ones(kernel.shape[1])
        else:
            params["kernel"] = onnx.exact_product(record, kernel, scale)
    if onnx.has(record, 2):
        bias, unit = onnx.scaled(record, 2)
        wide = (kernel.shape[1],)
        if bias.size not in (1, wide[0]) or any(dim != 1 for dim in bias.shape[:-1]):
            raise ModelError(
                f"layer {record.name!r} ({record.kind}): a bias of shape {bias.shape}, expected {wide} or one value"
            )
        flat = np.broadcast_to(bias.reshape(-1), wide)
        if unit is None:
            params["bias"] = flat * beta
        else:
            params["bias"], params["bias_scale"] = flat, np.broadcast_to(unit.reshape(-1), wide) * beta
    return net.add("dense", record.name, [x], {}, params)


# --- PyTorch


@imports("torch", "aten.linear.default")
def _torch_linear(record: Record, net: NetworkBuilder) -> str:
    """`linear(input, weight (m, k), bias)`."""
    x, weight = torch.single(record), record.array("1")
    params = {"kernel": weight.T}
    if record.has_array("2"):
        params["bias"] = record.array("2")
    return net.add("dense", record.name, [x], {}, params)


@imports("torch", "aten.addmm.default")
def _torch_addmm(record: Record, net: NetworkBuilder) -> str:
    """`beta · bias + alpha · (x @ kernel)`."""
    beta, alpha = torch.number(record, "beta", 1.0), torch.number(record, "alpha", 1.0)
    x, kernel, bias = torch.single(record), record.array("2") * alpha, torch.constant(record, 0, 1) * beta
    return net.add("dense", record.name, [x], {}, {"kernel": kernel, "bias": np.broadcast_to(bias, kernel.shape[1:])})


def _torch_matrices(record: Record, net: NetworkBuilder, x: str, weight: NDArray[Any], *, left: bool) -> str:
    """A constant matrix for each position of the axes in front of the last two."""
    shape = net.shape(x)
    lead = "cdefghij"[: weight.ndim - 2]
    if len(shape) != weight.ndim or shape[:-2] != weight.shape[:-2]:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): constant matrices of shape {weight.shape} do not fit {shape}",
            hint="one matrix for each position, or one for all",
        )
    equation = f"a{lead}yk,{lead}xy->a{lead}xk" if left else f"a{lead}kx,{lead}xy->a{lead}ky"
    return net.add("einsum", record.name, [x], {"equation": equation}, {"kernel": weight})


@imports("torch", "aten.mm.default", "aten.matmul.default")
def _torch_matmul(record: Record, net: NetworkBuilder) -> str:
    """A product with one constant factor, on the right or on the left, or of two computed tensors."""
    if len(record.inputs) == 2:
        return product(record, net, *record.inputs)
    x = torch.single(record)
    shape, left = net.shape(x), record.has_array("0")
    weight = record.array("0" if left else "1")
    while weight.ndim > 2 and weight.shape[0] == 1:
        weight = weight[0]
    if weight.ndim not in (1, 2):
        return _torch_matrices(record, net, x, weight, left=left)
    if left and len(shape) < 2:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): a constant times {('batch', *shape)} mixes examples",
            hint="put the constant on the right: x @ W",
        )
    vector = weight.ndim == 1
    kernel = weight[:, None] if vector else weight.T if left else weight
    swap = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
    if left:
        x = net.add("transpose", f"{record.name}_columns", [x], {"perm": swap})
    y = net.add("dense", record.name, [x], {}, {"kernel": kernel})
    if vector:
        return net.add("reshape", f"{record.name}_vector", [y], {"shape": net.shape(y)[:-1]})
    return net.add("transpose", f"{record.name}_rows", [y], {"perm": swap}) if left else y


# --- Keras


@imports("keras", "Dense")
def _keras_dense(record: Record, net: NetworkBuilder) -> str:
    """`Dense`: kernel (k, units), bias (units,), then the activation."""
    units, bias = record.take("units"), record.take("use_bias", True)
    activation = record.take("activation", None)
    record.expect("quantization_config", None)
    record.expect("lora_rank", None)
    record.ignore("lora_alpha")
    params = keras.variables(record, "kernel", *(["bias"] if bias else []))
    if params["kernel"].ndim != 2 or params["kernel"].shape[1] != units:
        raise record.unsupported("units", units, f"the kernel in the file has the shape {params['kernel'].shape}")
    return keras.activated(record, net, net.add("dense", record.name, [keras.single(record)], {}, params), activation)
