"""QKeras' quantisers of activations as nodes: exact fixed-point quantisers, thresholds and steps.

QKeras adds the quantisation error to its input in float32, `x + (q - x)`; the meaning here is `q` itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hardwire.fixed import Floats, Overflow, Rounding
from hardwire.layers import _keras as keras
from hardwire.layers._qkeras_powers import magnitude_steps
from hardwire.layers._qkeras_spec import FUNCTIONS, Spec, refuse
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser

_TINY = float(np.nextafter(0.0, 1.0))


def activated(
    record: Record, net: NetworkBuilder, x: str, spec: Spec | None, name: str, attr: str = "activation"
) -> str:
    """Apply a quantiser or function of QKeras to a tensor; returns the resulting tensor.

    `name` is that of the (first) node, `attr` names the quantiser in errors.
    """
    if spec is None or spec.kind == "linear":
        return x
    if not spec.is_quantiser:
        if spec.kind in FUNCTIONS:
            return _function(net, x, spec.kind, name)
        return keras.activated(record, net, x, spec.kind, name)
    if spec.kind == "bernoulli":
        raise refuse(record, attr, spec, "its output is random at inference, too")
    if spec.automatic:
        raise refuse(record, attr, spec, "the scale of an activation would depend on the other events of its batch")
    return _Nodes(record, net, x, spec, name, attr).add()


class _Nodes:
    """The nodes of one quantiser."""

    def __init__(self, record: Record, net: NetworkBuilder, x: str, spec: Spec, name: str, attr: str) -> None:
        self.record = record
        self.net = net
        self.x = x
        self.spec = spec
        self.settings = spec.settings
        self.name = name
        self.attr = attr

    def add(self) -> str:
        """Add the nodes; returns the output tensor."""
        match self.spec.kind:
            case "quantized_bits":
                return self.bits(self.x)
            case "quantized_linear":
                return self.linear()
            case "quantized_relu":
                return self.relu()
            case "quantized_tanh":
                return self.tanh()
            case "quantized_sigmoid":
                return self.sigmoid()
            case "quantized_po2" | "quantized_relu_po2":
                return self.powers()
            case "binary" | "stochastic_binary":
                alpha = self.alpha()
                zero = bool(self.settings.get("use_01"))
                return self.thresholds([0.0], 0.0 if zero else -alpha, alpha if zero else 2 * alpha)
            case "ternary" | "stochastic_ternary":
                return self.ternary()
            case "quantized_ulaw":
                return self.ulaw()
            case "quantized_hswish":
                return self.hswish()
        raise refuse(self.record, self.attr, self.spec, "this quantiser is not supported for activations")

    # Pieces.

    def alpha(self) -> float:
        """Fixed scale, as float32."""
        alpha = self.settings.get("alpha")
        if alpha is not None and (isinstance(alpha, bool) or not isinstance(alpha, int | float)):
            raise refuse(self.record, self.attr, self.spec, "a number is expected as alpha of an activation")
        return float(np.float32(1.0 if alpha is None else alpha))

    def quantise(self, x: str, scale: float, lo: float, hi: float, zero: int = 0) -> str:
        """Add a quantiser that rounds ties to even and saturates; codes with `zero` count it."""
        quantiser = Quantiser(
            np.float64(scale) * np.ones(()),
            np.asarray(int(lo), np.int64),
            np.asarray(int(hi), np.int64),
            Rounding.RND_CONV,
            Overflow.SAT,
            np.asarray(zero, np.int64),
            zero_first=True,
        )
        return self.net.add("quantise", self.name, [x], {"quantiser": quantiser})

    def thresholds(self, at: list[float], base: float, step: float) -> str:
        """Add `base + step · (number of thresholds ≤ x)`."""
        params = {"thresholds": np.array(at), "base": np.array(base), "step": np.array(step)}
        return self.net.add("threshold", self.name, [self.x], {}, params)

    def steps(self, thresholds: Floats, levels: Floats) -> str:
        """Add a step function."""
        return self.net.add("steps", self.name, [self.x], {}, {"thresholds": thresholds, "levels": levels})

    # Quantisers.

    def bits(self, x: str) -> str:
        """Fixed point times alpha; one signed bit is the sign."""
        s = self.settings
        bits, integer, keep = int(s["bits"]), int(s["integer"]), int(bool(s["keep_negative"]))
        alpha = self.alpha()
        if bits == keep:
            params = {"thresholds": np.zeros(1), "base": np.array(-alpha), "step": np.array(2 * alpha)}
            return self.net.add("threshold", self.name, [x], {}, params)
        top = 1 << (bits - keep)
        lowest = -top + int(s["symmetric"]) if keep else 0
        y = self.quantise(x, 2.0 ** (integer - (bits - keep)), lowest, top - 1)
        if alpha == 1.0:
            return y
        params = {"constant": np.array(1 if alpha > 0 else -1), "constant_scale": np.array(abs(alpha))}
        if alpha == 0:
            params = {"constant": np.array(0.0)}
        return self.net.add("mul", f"{self.name}_alpha", [y], {}, params)

    def linear(self) -> str:
        """Codes times a step that alpha stretches (QKeras after 0.9); one signed bit is half a step up or down."""
        s = self.settings
        bits, keep, alpha = int(s["bits"]), int(bool(s["keep_negative"])), self.alpha()
        if alpha <= 0:
            raise refuse(self.record, self.attr, self.spec, "a positive alpha is expected")
        step = alpha * 2.0 ** (int(s["integer"]) - bits + keep)
        if bits == keep:
            return self.thresholds([0.0], -step / 2, step)
        top = 1 << (bits - keep)
        return self.quantise(self.x, step, keep * (-top + int(s["symmetric"])), top - 1)

    def relu(self) -> str:
        """Fixed point from zero up, with a slope below zero, or through QKeras' hard sigmoid."""
        s = self.settings
        slope = float(s["negative_slope"])
        if slope < 0 or (slope and not float(np.log2(slope)).is_integer()):
            raise refuse(self.record, self.attr, self.spec, f"negative_slope = {slope}: a power of two is expected")
        bits, integer = int(s["bits"]) - int(slope != 0), int(s["integer"])
        top, lsb = 2.0**bits, 2.0 ** (integer - bits)
        if s["use_sigmoid"]:
            if slope:
                raise refuse(self.record, self.attr, self.spec, "use_sigmoid with a negative slope is not supported")
            # 2 · round((x/2 + 1/2) · top) - top, and at most top - 1: steps of two, the last one of one.
            half = int(top) // 2
            y = self.quantise(self.x, 2 * lsb, half, 2 * half, zero=half)
            return self.clip(y, (top - 1) * lsb)
        x = self.x
        if slope * top < 1 and slope:
            y = self._flat_slope(slope, int(top), lsb)
        else:
            if slope:
                x = self.net.add("leaky_relu", f"{self.name}_slope", [x], {"slope": slope})
            y = self.quantise(x, lsb, -slope * top, top - 1)
        bound = s["relu_upper_bound"]
        if bound and not s["is_quantized_clip"]:
            return self.clip(y, float(np.float32(bound)))
        return y

    def clip(self, y: str, bound: float) -> str:
        """Bound a tensor from above."""
        return self.net.add("clip", f"{self.name}_bound", [y], {"lo": None, "hi": bound})

    def _flat_slope(self, slope: float, top: int, lsb: float) -> str:
        """Slope so small that the negative side is 0 or `-slope · 2^integer`, which is less than one code."""
        codes = np.arange(1, top)
        edges = (codes - 0.5) * lsb
        edges = np.where(codes % 2 == 0, edges, np.nextafter(edges, np.inf))
        fall = -0.5 * lsb / slope
        levels = np.concatenate([[-slope * top * lsb, 0.0], codes * lsb])
        return self.steps(np.concatenate([[fall], edges]).astype(np.float64), levels)

    def tanh(self) -> str:
        """Signed fraction of `tanh`, which without `use_real_tanh` is the identity between -1 and 1."""
        top = 2.0 ** (int(self.settings["bits"]) - 1)
        x = self.x
        if self.settings["use_real_tanh"]:
            x = self.net.add(
                "activation", f"{self.name}_tanh", [x], {"function": "tanh", "arguments": {}, "output": None}
            )
        return self.quantise(x, 1 / top, -top + int(self.settings["symmetric"]), top - 1)

    def sigmoid(self) -> str:
        """Unsigned fraction of `sigmoid`, which without `use_real_sigmoid` is `x/2 + 1/2`."""
        top = 2.0 ** int(self.settings["bits"])
        if self.settings["use_real_sigmoid"]:
            attrs: dict[str, Any] = {"function": "sigmoid", "arguments": {}, "output": None}
            x = self.net.add("activation", f"{self.name}_sigmoid", [self.x], attrs)
        else:
            x = _line(self.net, self.x, 0.5, 0.5, self.name)
        return self.quantise(x, 1 / top, int(self.settings["symmetric"]), top - 1)

    def powers(self) -> str:
        """Steps between powers of two."""
        relu = self.spec.kind == "quantized_relu_po2"
        steps, levels = magnitude_steps(self.settings, relu)
        slope = float(self.settings["negative_slope"]) if relu else 1.0
        if slope == 0:
            return self.steps(steps, levels)
        below = np.nextafter(-steps[::-1] / slope, np.inf)
        return self.steps(np.concatenate([below, [0.0], steps]), np.concatenate([-levels[::-1], levels]))

    def ternary(self) -> str:
        """Sign beyond the threshold, 0 within."""
        given, alpha = self.settings["threshold"], self.alpha()
        at = float(np.float32(0.33 if given is None else given))
        inner = [float(np.nextafter(-at, np.inf)), at] if at > 0 else [0.0, _TINY]
        return self.thresholds(inner, -alpha, alpha)

    def ulaw(self) -> str:
        """μ-law of an evenly quantised hard sigmoid, in float32 as QKeras computes it."""
        s = self.settings
        top, unit = 1 << (int(s["bits"]) - 1), 2.0 ** int(s["integer"])
        codes = np.arange(top + 1)
        line = (2 * codes / top - 1).astype(np.float32)
        u = np.float32(s["u"])
        bent = np.sign(line) * np.log(1 + u * np.abs(line)) / np.log(1 + u)
        levels = np.clip(bent, -1.0 + float(s["symmetric"]) / top, 1.0 - 1.0 / top).astype(np.float64) * unit
        ties = (codes[1:] - 0.5 - top / 2) * (2 * unit / top)
        edges = np.asarray(np.where(codes[1:] % 2 == 0, ties, np.nextafter(ties, np.inf)), np.float64)
        keep = np.flatnonzero(np.diff(levels) != 0)
        return self.steps(edges[keep], np.concatenate([levels[:1], levels[keep + 1]]))

    def hswish(self) -> str:
        """`x · clip(x + shift, 0, bound) / bound`, then fixed point."""
        shift, bound = float(self.settings["relu_shift"]), float(self.settings["relu_upper_bound"])
        if shift <= 0 or bound <= 0:
            raise refuse(self.record, self.attr, self.spec, "relu_shift and relu_upper_bound must be positive")
        arguments = {"shift": shift, "bound": bound}
        attrs = {"function": "gated_relu", "arguments": arguments, "output": None}
        y = self.net.add("activation", f"{self.name}_gate", [self.x], attrs)
        return self.bits(y)


def _line(net: NetworkBuilder, x: str, slope: float, offset: float, name: str) -> str:
    x = net.add("mul", f"{name}_slope", [x], {}, {"constant": np.array(slope)})
    return net.add("add", f"{name}_offset", [x], {}, {"constant": np.array(offset)}) if offset else x


def _function(net: NetworkBuilder, x: str, function: str, name: str) -> str:
    """QKeras' piecewise linear and binary functions."""
    kind, _, curve = function.partition("_")
    if kind == "binary":
        # round(x/2 + 1/2): half, which float32 has up to x = 2^-24, is rounded to the even 0.
        base, step = (0.0, 1.0) if curve == "sigmoid" else (-1.0, 2.0)
        params = {"thresholds": np.array([np.nextafter(2.0**-24, 1.0)]), "base": np.array(base), "step": np.array(step)}
        return net.add("threshold", name, [x], {}, params)
    slope = 0.1875 if kind == "smooth" else 0.5
    if curve == "sigmoid":
        return net.add("clip", name, [_line(net, x, slope, 0.5, name)], {"lo": 0.0, "hi": 1.0})
    y = x if kind == "hard" else _line(net, x, 2 * slope, 0.0, name)
    return net.add("clip", name, [y], {"lo": -1.0, "hi": 1.0})
