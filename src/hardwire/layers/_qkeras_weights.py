"""Weights as QKeras' quantisers make them at inference: integer codes and a scale.

Scales that QKeras computes from the weights (`alpha` "auto", "auto_po2") are computed here as there, in float32. Where
QKeras rounds `scale · code` to float32 once more, or passes it through `x + (q - x)`, the product itself is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.fixed import Floats
from hardwire.layers._qkeras_powers import magnitude_steps
from hardwire.layers._qkeras_spec import Spec, refuse
from hardwire.network.records import Record

Float32s = NDArray[np.float32]
_EPSILON = np.float32(1e-7)


@dataclass(frozen=True)
class Weights:
    """`codes × scale`: float64 codes on a binary grid, float64 scale that broadcasts to them, all ones for none."""

    codes: Floats
    scale: Floats

    @property
    def values(self) -> Floats:
        """The product; exact, since codes and scales are short."""
        return np.asarray(self.codes * self.scale, np.float64)

    @property
    def scaled(self) -> bool:
        """Whether the scale is worth keeping apart: not only powers of two."""
        return bool(np.any(np.frexp(self.scale)[0] != 0.5))


def quantised(record: Record, attr: str, spec: Spec | None, array: NDArray[Any]) -> Weights:
    """Return an array of weights as its quantiser makes it; `attr` names the quantiser in errors."""
    x = np.asarray(array, np.float32)
    if spec is None:
        return Weights(x.astype(np.float64), np.ones(()))
    match spec.kind:
        case "quantized_bits":
            return _bits(spec, x)
        case "binary" | "stochastic_binary":
            sign = np.where(x >= 0, np.float32(1), np.float32(-1))
            code = (sign + 1) / 2 if spec.settings.get("use_01") else sign
            return _scaled(spec, x, code.astype(np.float32))
        case "ternary" | "stochastic_ternary":
            return _ternary(spec, x)
        case "quantized_po2" | "quantized_relu_po2":
            return Weights(powers(spec, x.astype(np.float64)), np.ones(()))
    if spec.kind == "quantized_linear" and spec.automatic:
        raise refuse(
            record, attr, spec, "its automatic scale is in no release of QKeras; use quantized_bits, or alpha=1"
        )
    return Weights(_through_nodes(record, attr, spec, x), np.ones(()))


def _through_nodes(record: Record, attr: str, spec: Spec, x: Float32s) -> Floats:
    """Apply any other quantiser as it is applied to activations."""
    from hardwire.layers._qkeras_activations import activated
    from hardwire.network.graph import NetworkBuilder
    from hardwire.network.reference import forward

    net = NetworkBuilder("weights")
    y = activated(record, net, net.input("x", (x.size,)), spec, attr, attr)
    return forward(net.build([y]), [x.reshape(1, -1).astype(np.float64)])[0].reshape(x.shape)


def powers(spec: Spec, x: Floats) -> Floats:
    """Apply `quantized_po2` or `quantized_relu_po2` to values."""
    relu = spec.kind == "quantized_relu_po2"
    thresholds, levels = magnitude_steps(spec.settings, relu)
    magnitude = np.abs(x)
    if relu:
        slope = float(spec.settings["negative_slope"])
        positive = (x >= 0) | (slope == 0)
        magnitude = np.where(x >= 0, x, -x * slope)
    else:
        positive = x >= 0
    found = levels[np.searchsorted(thresholds, magnitude, side="right")]
    return np.asarray(np.where(positive, found, -found), np.float64)


def _bits(spec: Spec, x: Float32s) -> Weights:
    s = spec.settings
    bits, integer, keep = int(s["bits"]), float(s["integer"]), int(bool(s["keep_negative"]))
    if spec.automatic:
        return _automatic_bits(spec, x)
    if bits == keep:
        codes = np.where(x >= 0, 1.0, -1.0)
    else:
        lsb = 2.0 ** (integer - (bits - keep))
        top = 2.0 ** (bits - keep)
        lowest = -top + float(s["symmetric"]) if keep else 0.0
        codes = np.clip(np.rint(x.astype(np.float64) / lsb), lowest, top - 1) * lsb
    return Weights(codes, _fixed_scale(spec))


def _automatic_bits(spec: Spec, x: Float32s) -> Weights:
    """`alpha` "auto": the largest weight is the largest code; "auto_po2": five rounds of least squares."""
    s = spec.settings
    integer = np.float32(2.0 ** float(s["integer"]))
    half = np.float32(2.0 ** (int(s["bits"]) - 1) - 1)
    y = x / integer
    axes = _axes(spec, y)
    scale = np.max(np.abs(y), axis=axes, keepdims=True) * np.float32(2) / (half * np.float32(2))
    power = s["alpha"] == "auto_po2"
    if power:
        scale = _power(scale)
    codes = _symmetric(y, scale, half)
    if power:
        for _ in range(5):
            codes = _symmetric(y, scale, half)
            scale = _least_squares(spec, y, codes)
    scale = np.asarray(scale, np.float64) * float(integer)
    return Weights(codes.astype(np.float64), np.where(scale == 0, 1.0, scale))


def _symmetric(y: Float32s, scale: Float32s, half: np.float32) -> Float32s:
    with np.errstate(all="ignore"):
        magnitude = np.floor(np.abs(y) / scale + np.float32(0.5))
        return np.asarray(np.sign(y) * np.where(magnitude < half, magnitude, half), np.float32)


def _ternary(spec: Spec, x: Float32s) -> Weights:
    if not spec.automatic:
        threshold = np.float32(0.33 if spec.settings["threshold"] is None else spec.settings["threshold"])
        codes = np.where(np.abs(x) >= threshold, np.sign(x), 0.0)
        return Weights(codes.astype(np.float64), _fixed_scale(spec))
    axes = None if x.ndim == 1 else tuple(range(x.ndim - 1))
    scale = np.float32(2) * np.max(np.abs(x), axis=axes, keepdims=True) / np.float32(3)
    if spec.settings["alpha"] == "auto_po2":
        scale = _power(scale)
    codes = np.zeros_like(x)
    for _ in range(int(spec.settings["number_of_unrolls"])):
        with np.errstate(all="ignore"):
            value = scale * np.rint(x / scale)
            codes = np.where(np.abs(value) >= scale / np.float32(2), np.sign(x), np.float32(0)).astype(np.float32)
        scale = _least_squares(spec, x, codes)
    return _with(codes, scale)


def _scaled(spec: Spec, x: Float32s, codes: Float32s) -> Weights:
    if not spec.automatic:
        return Weights(codes.astype(np.float64), _fixed_scale(spec))
    return _with(codes, _least_squares(spec, x, codes))


def _with(codes: Float32s, scale: Float32s) -> Weights:
    """Codes and a positive scale: a negative one (of single weights) is the codes' sign, zero is no codes."""
    exact = np.asarray(scale, np.float64)
    return Weights(codes.astype(np.float64) * np.sign(exact), np.where(exact == 0, 1.0, np.abs(exact)))


def _least_squares(spec: Spec, x: Float32s, codes: Float32s) -> Float32s:
    """Scale per channel (per element of a vector) that fits `scale · codes` to the weights best."""
    xq, qq = x * codes, codes * codes
    if x.ndim > 1:
        axes = _axes(spec, x)
        xq, qq = (np.asarray(np.mean(part, axis=axes, keepdims=True), np.float32) for part in (xq, qq))
    scale = np.asarray(xq / (qq + _EPSILON), np.float32)
    return _power(scale) if spec.settings["alpha"] == "auto_po2" else scale


def _power(scale: Float32s) -> Float32s:
    log2 = np.log(np.asarray(scale + _EPSILON, np.float32)) / np.float32(np.log(2.0))
    return np.asarray(np.exp2(np.rint(log2)), np.float32)


def _axes(spec: Spec, x: Float32s) -> tuple[int, ...]:
    """Axes that share a scale: all but the last, or all but `scale_axis`."""
    if x.ndim == 1:
        return (0,)
    own = spec.settings.get("scale_axis")
    kept = x.ndim - 1 if own is None else int(own)
    return tuple(axis for axis in range(x.ndim) if axis != kept)


def _fixed_scale(spec: Spec) -> Floats:
    alpha = spec.settings["alpha"]
    return np.asarray(np.float32(1.0 if alpha is None else alpha), np.float64)
