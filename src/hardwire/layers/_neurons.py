"""Exact integer weights of a matrix layer: codes for each neuron from real weights, biases and input scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import RangeError
from hardwire.fixed import MAX_BITS
from hardwire.layers._lowering import Lowering, Wire, fractions
from hardwire.layers._scales import column_codes, common_scale, each, same_scales
from hardwire.network.graph import Node

_FINER = 16
"""How many times finer than the products a bias may be and still be added to their integers (as in `dense`)."""


@dataclass(frozen=True, eq=False)
class Neurons:
    """Per neuron j: `y_j = (Σ_r codes[r, j] · x_r + bias[j]) · scale[j] + offset[j]`.

    `codes` is an object array (rows, m) of Python ints, `bias` a list of m, `scale` an object array (m,) of `Fraction`;
    `offset` (the same, or None) holds a bias that is much finer than the products and no use as integers.
    """

    codes: NDArray[Any]
    bias: list[int]
    scale: NDArray[Any]
    offset: NDArray[Any] | None


def neurons(node: Node, kernel: NDArray[Any], inputs: NDArray[Any]) -> Neurons:
    """Return exact integer weights for `kernel` (rows, m) over inputs with scales `inputs`, (rows, m) `Fraction`s.

    Params `bias`, `kernel_scale` and `bias_scale` of the node are used as in `dense`. Raises `RangeError` naming layer
    and neuron for weights that span more than 62 bits.
    """
    rows, m = kernel.shape
    codes, units = column_codes(kernel, node.params.get("kernel_scale"))
    bias = [Fraction(0)] * m
    if "bias" in node.params:
        factor = np.broadcast_to(node.params.get("bias_scale", np.float64(1.0)), (m,))
        bias = [Fraction(float(b)) * Fraction(float(f)) for b, f in zip(node.params["bias"], factor, strict=True)]
    exact = np.empty((rows, m), object)
    offsets, scales = [], []
    steps = [common_scale({id(value): value for value in inputs[:, j].tolist()}.values()) for j in range(m)]
    apart = any(units[j] * steps[j] / common_scale([units[j] * steps[j], bias[j]]) > _FINER for j in range(m))
    for j, unit in enumerate(steps):
        scale = units[j] * unit
        finest = scale if apart else common_scale([scale, bias[j]])
        whole = (scale / finest).numerator
        ratios = each(partial(_ratio, unit=unit, whole=whole), inputs[:, j])
        exact[:, j] = [int(c) * ratio for c, ratio in zip(codes[:, j].tolist(), ratios.tolist(), strict=True)]
        offset = 0 if apart else (bias[j] / finest).numerator
        if max((abs(c) for c in [*exact[:, j], offset]), default=0) >= 1 << MAX_BITS:
            raise RangeError(
                f"layer {node.name!r}: the weights and bias of channel {j} span more than {MAX_BITS} bits",
                hint="calibrate the model (calibrate=x) so that its weights get fixed-point types",
            )
        offsets.append(offset)
        scales.append(finest)
    return Neurons(exact, offsets, fractions(scales), fractions(bias) if apart else None)


def _ratio(value: Fraction, unit: Fraction, whole: int) -> int:
    return (value / unit).numerator * whole


def channel_scaled(node: Node, low: Lowering, x: Wire) -> tuple[Wire, list[Fraction]]:
    """Bring a channels-last wire to one scale per channel, exactly; returns it and the scales."""
    uniform = all(x.scales().strides[axis] == 0 for axis in range(len(x.shape) - 1))
    if uniform:
        return x, list(x.scales()[(0,) * (len(x.shape) - 1)])
    rows = x.scales().reshape(-1, x.shape[-1])
    if not same_scales(rows, rows[:1]):
        x = low.rescaled(node, x, fractions([common_scale(set(column)) for column in rows.T.tolist()]))
        rows = x.scales().reshape(-1, x.shape[-1])
    return x, list(rows[0])


def group_inputs(channels: int, groups: int, taps: int, m: int) -> list[list[int]]:
    """Kernel inputs that each of m outputs reads, among (taps, channels): output j belongs to group j · groups // m."""
    per = channels // groups
    return [[tap * channels + (j * groups // m) * per + i for tap in range(taps) for i in range(per)] for j in range(m)]


def grouped_scales(scales: Sequence[Fraction], groups: int, taps: int, m: int) -> NDArray[Any]:
    """Scales of the inputs of each output, (taps · channels/groups, m)."""
    channels = len(scales)
    out = np.empty((taps * (channels // groups), m), object)
    for j, places in enumerate(group_inputs(channels, groups, taps, m)):
        out[:, j] = [scales[place % channels] for place in places]
    return out
