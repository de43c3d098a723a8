"""Affine layers in front of a staircase folded into its thresholds, exactly.

`x·f + o ≥ T` holds where `x ≥ (T - o) / f`, for `f < 0` where `x ≤ (T - o) / f`: then the steps that are *not* taken
are counted, where x lies strictly above. Folded thresholds are kept as exact `Fraction`s (attr `exact`) beside float64
ones, which are rounded to the side that decides alike for every float64 x.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.layers import layer_of
from hardwire.layers._elements import exact_values
from hardwire.layers.batch_norm import spread
from hardwire.layers.threshold import exact_thresholds
from hardwire.network.graph import Node, Shape

Exact = NDArray[Any]
"""Object array of `Fraction`s."""


def affine(node: Node, rank: int) -> tuple[Exact, Exact] | None:
    """Factor and offset of a node that computes `x·f + o` of its one input, broadcasting to it; None for others."""
    zero, one = _exact(np.zeros(())), _exact(np.ones(()))
    if len(node.inputs) != 1 or node.attrs.get("output") is not None:
        return None
    if node.kind == "batch_norm":
        factor, offset = spread(node, rank)
        return _exact(factor), _exact(offset)
    if node.kind == "divide":
        return _array(one / _exact(node.params["divisor"])), zero
    if node.kind in ("add", "sub", "mul") and "constant" in node.params:
        constant = node.params["constant"]
        unit = node.params.get("constant_scale")
        shape = constant.shape if unit is None else np.broadcast_shapes(constant.shape, np.shape(unit))
        value = exact_values(constant, unit, shape)
        if node.kind == "mul":
            return value, zero
        if node.kind == "add":
            return one, value
        return (_array(-one), value) if node.attrs.get("reverse", False) else (one, _array(-value))
    return None


def _array(values: Any) -> Exact:
    """An array again: arithmetic on object arrays without axes gives bare objects."""
    return np.asarray(values, object)


def _exact(values: Any) -> Exact:
    array = np.asarray(values, np.float64)
    return exact_values(array, None, array.shape)


def absorbed(node: Node, before: Node, shape: Shape) -> Node | None:
    """Return the threshold node with the affine node before it (input of `shape`) folded in; None if that is none."""
    parts = affine(before, len(shape))
    if parts is None or any(np.broadcast_shapes(part.shape, shape) != tuple(shape) for part in parts):
        return None
    factor, offset = parts
    exact, strict = exact_thresholds(node), node.params.get("strict", np.zeros((), np.int64))
    n = exact.shape[-1]
    wide = np.broadcast_shapes(factor.shape, offset.shape, exact.shape[:-1], strict.shape)
    base, step = (np.broadcast_to(node.params[key], _joint(node.params[key], wide)).copy() for key in ("base", "step"))
    factor, offset = np.broadcast_to(factor, wide), np.broadcast_to(offset, wide)
    sides = np.broadcast_to(strict, wide).copy()
    bounds = np.broadcast_to(exact, (*wide, n)).copy()
    for at in np.ndindex(wide):
        f, o = factor[at], offset[at]
        if f:
            bounds[at] = [(bound - o) / f for bound in bounds[at]]
            if f < 0:
                base[at], step[at] = base[at] + step[at] * n, -step[at]
                sides[at] = 1 - sides[at]
        else:
            taken = sum(o > bound if sides[at] else o >= bound for bound in bounds[at])
            base[at], step[at] = base[at] + step[at] * taken, 0.0
            bounds[at] = [Fraction(0)] * n
    params = {"thresholds": rounded(bounds, sides), "base": base, "step": step, "strict": sides}
    return node.with_(inputs=before.inputs, attrs={**node.attrs, "exact": bounds}, params=params)


def _joint(values: NDArray[Any], wide: Shape) -> Shape:
    return tuple(np.broadcast_shapes(np.shape(values), wide))


def rounded(bounds: Exact, strict: NDArray[np.int64]) -> NDArray[np.float64]:
    """Float64 thresholds that decide like the exact ones: the next above, below where x must lie strictly above."""
    sides = np.broadcast_to(strict[..., None], bounds.shape)
    out = np.empty(bounds.shape, np.float64)
    for at in np.ndindex(bounds.shape):
        value = float(bounds[at])
        if sides[at]:
            out[at] = value if Fraction(value) <= bounds[at] else np.nextafter(value, -np.inf)
        else:
            out[at] = value if Fraction(value) >= bounds[at] else np.nextafter(value, np.inf)
    return out


def moved(node: Node, before: Node, old: Shape, new: Shape) -> Node:
    """Return the threshold node as it stands before a reshape or transpose from `old` to `new`."""

    def part(values: NDArray[Any], extra: int) -> NDArray[Any]:
        tail = values.shape[values.ndim - extra :]
        lead = values.shape[: values.ndim - extra]
        if np.prod(lead, dtype=np.int64) == 1:
            return values.reshape(tail)
        padded = values.reshape(*(1,) * (len(new) - len(lead)), *lead, *tail)
        if before.kind == "transpose":
            order = np.argsort(before.attrs["perm"])
            return padded.transpose(*order, *range(len(new), len(new) + extra))
        return np.broadcast_to(padded, (*new, *tail)).reshape(*old, *tail)

    params = {key: part(value, int(key == "thresholds")) for key, value in node.params.items()}
    attrs = dict(node.attrs)
    if "exact" in attrs:
        attrs["exact"] = part(attrs["exact"], 1)
    fresh = node.with_(inputs=before.inputs, outputs=before.outputs, params=params, attrs=attrs)
    layer_of(fresh).shape(fresh, [old])
    return fresh
