"""Batch normalisation at inference: `y = x · factor + offset` per channel.

Keras `BatchNormalization`, ONNX `BatchNormalization`, PyTorch `batch_norm`. `network.prepare` folds it into a dense
layer next to it where that is legal; what stays is computed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hardwire.errors import ModelError, RangeError
from hardwire.fixed import FixedType, Floats, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _keras as keras
from hardwire.layers import _onnx as onnx
from hardwire.layers import _torch as torch
from hardwire.layers._affine import round_affine
from hardwire.layers._axes import without_batch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import checked_axis, element, exact_values, joint_scale, multiple, quantised_input, units
from hardwire.layers._lowering import Lowering, Wire
from hardwire.layers.quantise import quantise_wire
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser


class BatchNorm(Layer):
    """`(x - mean) / sqrt(variance + epsilon) · gamma + beta` along `axis`.

    Attrs `axis` (the batch axis not counted, default -1), `epsilon` and `output`, a saturating `Quantiser` that
    `network.prepare` moved in (optional); params `gamma`, `beta`, `mean`, `variance`,
    each (c,). The meaning is `x · factor + offset` with the float64 values that `folded` returns.
    """

    kind = "batch_norm"
    weights = ("gamma", "beta")

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        (shape,) = inputs
        axis = checked_axis(node, node.attrs.get("axis", -1), len(shape))
        for name in ("gamma", "beta", "mean", "variance"):
            if node.params[name].shape != (shape[axis],):
                raise ModelError(
                    f"layer {node.name!r}: {name} has the shape {node.params[name].shape}, "
                    f"expected {(shape[axis],)} for axis {axis} of {shape}"
                )
        if np.any(node.params["variance"] + node.attrs["epsilon"] <= 0):
            raise ModelError(f"layer {node.name!r}: variance + epsilon is not positive everywhere")
        return shape

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return `x · factor + offset`."""
        factor, offset = spread(node, inputs[0].ndim - 1)
        y = np.asarray(inputs[0] * factor + offset, np.float64)
        quantiser: Quantiser | None = node.attrs.get("output")
        return y if quantiser is None else quantiser(y)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One LINEAR an element with exact coefficients; shorter ones where a quantiser decides what matters."""
        (x,) = inputs
        quantiser: Quantiser | None = node.attrs.get("output")
        if quantiser is not None:
            y = _quantised(node, low, x, quantiser)
            return quantise_wire(node, low, self._linear(node, low, x), quantiser) if y is None else y
        return self._linear(node, low, x)

    def _linear(self, node: Node, low: Lowering, x: Wire) -> Wire:
        factor, offset = (exact_values(part, None, x.shape) for part in spread(node, len(x.shape)))
        slope = x.scales() * factor
        unit_factor, unit_offset = (units(part, None, x.shape) for part in spread(node, len(x.shape)))
        scale = joint_scale(x.shape, x.scales() * unit_factor, unit_offset)

        def rule(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
            full = element(x.shape, at)
            coef = multiple(node, slope[full], scale[full], "factor")
            return b.linear(values, [coef], multiple(node, offset[full], scale[full], "offset"))

        try:
            return low.elementwise(node, [x], rule, scale, [slope, offset])
        except RangeError as error:
            raise RangeError(
                error.what,
                hint="calibrate the model (calibrate=x), or put a saturating quantiser right after the normalisation "
                "(or after its ReLU): then short coefficients are exact",
            ) from None

    def examples(self) -> Iterator[Example]:
        """Channels last and channels first, with factors that are short in binary."""
        for name, shape, axis in (("vector", (3,), -1), ("last", (2, 3), -1), ("first", (3, 2), 0)):
            net = NetworkBuilder(f"batch_norm_{name}")
            x = quantised_input(net, shape)
            params = {
                "gamma": np.array([1.0, -0.75, 0.0]),
                "beta": np.array([0.5, -0.125, 1.25]),
                "mean": np.array([0.25, 0.0, 3.0]),
                "variance": np.array([0.75, 3.75, 15.75]),
            }
            yield Example(name, net.build([net.add("batch_norm", "bn", [x], {"axis": axis, "epsilon": 0.25}, params)]))
        net = NetworkBuilder("batch_norm_quantised")
        x = quantised_input(net, (2, 3))
        params = {
            "gamma": np.array([1.1, -0.7, 0.0]),
            "beta": np.array([0.3, -0.1, 1.3]),
            "mean": np.array([0.2, 0.0, 3.0]),
            "variance": np.array([0.7, 3.3, 15.0]),
        }
        output = Quantiser.of_type(FixedType.parse("u5.3"), Rounding.RND_CONV, Overflow.SAT)
        y = net.add("batch_norm", "bn", [x], {"epsilon": 0.001, "output": output}, params)
        yield Example("quantised", net.build([y]))


def _quantised(node: Node, low: Lowering, x: Wire, quantiser: Quantiser) -> Wire | None:
    """Lower normalisation and a saturating quantiser as one; None where an element's coefficients would be too long."""
    factor, offset = (exact_values(part, None, x.shape) for part in spread(node, len(x.shape)))
    q = quantiser.reshaped(x.shape)
    if q.overflow not in (Overflow.SAT, Overflow.SAT_SYM):
        return None
    scales, target = x.scales(), np.broadcast_to(quantiser.scales(), x.shape)
    (lo, hi), zero = q.limits, np.broadcast_to(q.zero, x.shape)

    def rule(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
        full = element(x.shape, at)
        before = int(zero[full]) if q.zero_first else 0
        slope, start = scales[full] * factor[full] / target[full], offset[full] / target[full] + before
        y = round_affine(b, values[0], slope, start, int(lo[full]) + before, int(hi[full]) + before, q.rounding)
        if y is None:
            raise _TooLong
        return b.linear([y], [1], -before)

    try:
        return low.elementwise(node, [x], rule, target, [factor, offset, lo, hi, zero])
    except _TooLong:
        return None


class _TooLong(Exception):
    """An element has no short exact multiplication."""


def folded(node: Node) -> tuple[Floats, Floats]:
    """Return float64 (factor, offset), each (c,): `y = x · factor + offset`."""
    params = {key: np.asarray(value, np.float64) for key, value in node.params.items()}
    factor = params["gamma"] / np.sqrt(params["variance"] + float(node.attrs["epsilon"]))
    return factor, params["beta"] - params["mean"] * factor


def spread(node: Node, rank: int) -> tuple[Floats, Floats]:
    """Return factor and offset shaped to broadcast over a tensor of `rank` axes."""
    axis = checked_axis(node, node.attrs.get("axis", -1), rank)
    shape = tuple(-1 if i == axis else 1 for i in range(rank))
    factor, offset = folded(node)
    return factor.reshape(shape), offset.reshape(shape)


# --- ONNX


@imports("onnx", "BatchNormalization")
def _onnx_batch_norm(record: Record, net: NetworkBuilder) -> str:
    """Batch normalisation at inference, channels on axis 1 of the file."""
    x = onnx.data(record)
    record.ignore("momentum")
    record.expect("spatial", 1)
    record.expect("training_mode", 0)
    attrs = {"axis": 0, "epsilon": float(record.take("epsilon", 1e-5))}
    params = {key: onnx.constant(record, at) for at, key in enumerate(("gamma", "beta", "mean", "variance"), 1)}
    return net.add("batch_norm", record.name, [x], attrs, params)


# --- PyTorch


@imports("torch", "aten.batch_norm.default", "aten._native_batch_norm_legit_no_training.default")
def _torch_batch_norm(record: Record, net: NetworkBuilder) -> str:
    """`batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)` along axis 1."""
    x = torch.single(record)
    if record.take("training", False):
        raise record.unsupported("training", True, "export the model in evaluation mode (model.eval())")
    shape = net.shape(x)
    if not shape:
        raise record.unsupported("input", shape, "batch normalisation needs a channel axis")
    record.ignore("momentum", "cudnn_enabled")
    names = ("gamma", "beta", "mean", "variance")
    neutral = {"gamma": np.ones(shape[0]), "beta": np.zeros(shape[0])}
    params = {
        name: record.array(str(i)) if record.has_array(str(i)) or name not in neutral else neutral[name]
        for i, name in enumerate(names, 1)
    }
    return net.add("batch_norm", record.name, [x], {"axis": 0, "epsilon": torch.number(record, "eps", 1e-5)}, params)


# --- Keras


@imports("keras", "BatchNormalization", "BatchNormalizationV1", "BatchNormalizationV2", "SyncBatchNormalization")
def _keras_batch_normalization(record: Record, net: NetworkBuilder) -> str:
    """`BatchNormalization`, as it is at inference."""
    x = keras.single(record)
    shape = net.shape(x)
    several = record.take("axis", -1)
    axes = [without_batch(record, "axis", v, len(shape)) for v in (several if isinstance(several, list) else [several])]
    epsilon = keras.number(record, "epsilon", 1e-3)
    scale, center = record.take("scale", True), record.take("center", True)
    record.expect("renorm", False, None)
    record.expect("virtual_batch_size", None)
    record.expect("adjustment", None)
    record.ignore("momentum", "synchronized", "fused", "renorm_clipping", "renorm_momentum")
    names = [*(["gamma"] if scale else []), *(["beta"] if center else []), "moving_mean", "moving_variance"]
    found = keras.variables(record, *names)
    ones = np.ones([shape[axis] for axis in axes])
    params = {
        "gamma": found.get("gamma", ones),
        "beta": found.get("beta", 0 * ones),
        "mean": found["moving_mean"],
        "variance": found["moving_variance"],
    }
    if len(axes) == 1:
        return net.add("batch_norm", record.name, [x], {"axis": axes[0], "epsilon": epsilon}, params)
    # Along several axes together: they are put last and made one.
    perm = (*(i for i in range(len(shape)) if i not in axes), *axes)
    turned = net.add("transpose", f"{record.name}_axes_last", [x], {"perm": perm})
    moved = net.shape(turned)
    flat = net.add("reshape", f"{record.name}_one_axis", [turned], {"shape": (*moved[: -len(axes)], ones.size)})
    joined = {key: np.ravel(value) for key, value in params.items()}
    y = net.add("batch_norm", record.name, [flat], {"axis": len(moved) - len(axes), "epsilon": epsilon}, joined)
    y = net.add("reshape", f"{record.name}_axes", [y], {"shape": moved})
    return net.add("transpose", f"{record.name}_back", [y], {"perm": tuple(int(i) for i in np.argsort(perm))})


@imports("keras", "Normalization")
def _keras_normalization(record: Record, net: NetworkBuilder) -> str:
    """`Normalization`: `(x - mean) / max(sqrt(variance), 1e-7)`, or the inverse, as multiply and add."""
    x = keras.single(record)
    shape = net.shape(x)
    axes = record.take("axis", -1)
    axes = [] if axes is None else list(axes) if isinstance(axes, list | tuple) else [axes]
    kept = {without_batch(record, "axis", value, len(shape)) for value in axes}
    given = record.take("mean", None), record.take("variance", None)
    if given[0] is None or given[1] is None:
        found = keras.variables(record, "mean", "variance", "count")
        given = found["mean"], found["variance"]
    spread = tuple(dim if i in kept else 1 for i, dim in enumerate(shape))
    mean, variance = (np.asarray(value, np.float64) for value in given)
    if any(value.size not in (1, int(np.prod(spread))) for value in (mean, variance)):
        raise record.unsupported("mean", mean.shape, f"it does not fit the axes {axes} of {shape}")
    mean, variance = (value.reshape(spread if value.size > 1 else ()) for value in (mean, variance))
    deviation = np.maximum(np.sqrt(variance), 1e-7)
    factor, offset = (deviation, mean) if record.take("invert", False) else (1.0 / deviation, -mean / deviation)
    y = net.add("mul", record.name, [x], {}, {"constant": np.asarray(factor)})
    return net.add("add", f"{record.name}_offset", [y], {}, {"constant": np.asarray(offset)})
