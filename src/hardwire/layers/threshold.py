"""Staircases given by their thresholds: QONNX `BipolarQuant` (one step at zero) and FINN `MultiThreshold`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError
from hardwire.fixed import Floats
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _onnx as onnx
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import element, exact_values, joint_scale, multiple, quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record


class Threshold(Layer):
    """`base + step · (number of thresholds that x reaches)`, x ≥ threshold counting.

    Params `thresholds` (*s, n), where s broadcasts to the input's shape and n is the number of steps; `base` and `step`
    broadcast to the input's shape. Optional param `strict` (0 or 1, broadcasts too): where 1, x must lie above a
    threshold. Optional attr `exact`: the thresholds as `Fraction`s, where float64 cannot hold them.
    """

    kind = "threshold"
    takes_offset = True

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        for name, part in (("thresholds", node.params["thresholds"][..., 0]), *_levels(node).items()):
            try:
                fits = np.broadcast_shapes(part.shape, inputs[0]) == tuple(inputs[0])
            except ValueError:
                fits = False
            if not fits:
                raise ModelError(f"layer {node.name!r}: {name} of shape {part.shape} do not fit {inputs[0]}")
        return inputs[0]

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Count the thresholds that are reached."""
        x, thresholds = inputs[0][..., None], node.params["thresholds"]
        reached = np.sum(x >= thresholds, axis=-1)
        if "strict" in node.params:
            reached = np.where(node.params["strict"] != 0, np.sum(x > thresholds, axis=-1), reached)
        return np.asarray(node.params["base"] + node.params["step"] * reached, np.float64)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One comparison a threshold, with the least code that reaches it, and one sum an element."""
        (x,) = inputs
        scales = x.scales()
        base, step = (exact_values(node.params[key], None, x.shape) for key in ("base", "step"))
        scale = joint_scale(x.shape, base, step)
        bounds = exact_thresholds(node)
        thresholds = np.broadcast_to(bounds, (*x.shape, bounds.shape[-1]))
        strict = np.broadcast_to(node.params.get("strict", np.zeros((), np.int64)), x.shape)
        offset = None if x.offset is None else np.broadcast_to(x.offset, x.shape)

        def rule(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
            full = element(x.shape, at)
            lo, hi = b.range(values[0])
            count = multiple(node, base[full], scale[full], "base")
            unit = multiple(node, step[full], scale[full], "step")
            below = []
            for threshold in thresholds[full].tolist():
                bound = (threshold - (0 if offset is None else offset[full])) / scales[full]
                least = floor(bound) + 1 if strict[full] else ceil(bound)
                if least <= hi:
                    count += unit
                    if least > lo:
                        below.append(b.less(values[0], b.const(least)))
            return b.linear(below, [-unit] * len(below), count)

        varying = [base, step, strict, *(thresholds[..., k] for k in range(thresholds.shape[-1]))]
        varying += [] if offset is None else [offset]
        return low.elementwise(node, [x], rule, scale, varying)

    def examples(self) -> Iterator[Example]:
        """The sign, and three thresholds for each channel, some of them never met."""
        for name, thresholds, base, step, strict in (
            ("bipolar", np.zeros(1), -0.3, 0.6, 0),
            ("channels", np.array([[-1.5, 0.1, 2.0], [0.0, 0.0, 99.0], [-99.0, -1.0, 1.0]]), 0.0, 0.5, 0),
            ("strict", np.array([[-0.5, 0.1], [0.25, 1.0], [2.0, 3.0]]), 1.0, -0.5, np.array([1, 0, 1])),
        ):
            net = NetworkBuilder(f"threshold_{name}")
            x = quantised_input(net, (2, 3))
            params = {
                "thresholds": thresholds,
                "base": np.array(base),
                "step": np.array(step),
                "strict": np.array(strict),
            }
            yield Example(name, net.build([net.add("threshold", "steps", [x], {}, params)]))


def exact_thresholds(node: Node) -> NDArray[Any]:
    """Return the thresholds (*s, n) as `Fraction`s."""
    exact = node.attrs.get("exact")
    return exact_values(node.params["thresholds"], None, node.params["thresholds"].shape) if exact is None else exact


def _levels(node: Node) -> dict[str, Floats]:
    return {key: node.params[key] for key in ("base", "step", "strict") if key in node.params}


# --- ONNX


@imports("onnx", "qonnx::BipolarQuant")
def _onnx_bipolar(record: Record, net: NetworkBuilder) -> str:
    """`+scale` where `x ≥ 0`, else `-scale` (docs/qonnx-custom-ops/bipolarquant_v1.md)."""
    x = onnx.data(record)
    scale = onnx.without_batch(record, onnx.constant(record, 1), net.shape(x), "a scale")
    if not np.all(scale > 0):
        raise ModelError(f"layer {record.name!r} (BipolarQuant): a scale of {np.min(scale)}; it must be positive")
    params = {"thresholds": np.zeros(1), "base": -scale, "step": 2.0 * scale}
    return net.add("threshold", record.name, [x], {}, params)


@imports("onnx", "qonnx::MultiThreshold")
def _onnx_multi_threshold(record: Record, net: NetworkBuilder) -> str:
    """`out_bias + out_scale · (thresholds reached)`; thresholds (channels or 1, n), channels on axis 1, or last.

    FINN and QONNX write binarised and few-bit activations so; `out_dtype` only annotates the result.
    """
    x = onnx.data(record)
    rank = len(net.shape(x))
    thresholds = onnx.constant(record, 1)
    record.ignore("out_dtype")
    layout = record.expect("data_layout", "NCHW", "NHWC", "NC", "NWC", "NCW", "")
    if thresholds.ndim != 2 or rank == 0:
        raise ModelError(
            f"layer {record.name!r} (MultiThreshold): thresholds of shape {thresholds.shape}, expected two axes"
        )
    channels, steps = thresholds.shape
    axis = rank - 1 if layout in ("NHWC", "NWC") else 0
    shape = tuple(channels if i == axis else 1 for i in range(rank))
    params = {
        "thresholds": thresholds.reshape(*shape, steps),
        "base": np.float64(record.take("out_bias", 0.0)),
        "step": np.float64(record.take("out_scale", 1.0)),
    }
    return net.add("threshold", record.name, [x], {}, params)
