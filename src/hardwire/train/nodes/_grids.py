"""Grids for what a file holds: those of its parameters, and learnt ones that begin as the file's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hardwire.fixed import Floats, Overflow, Rounding
from hardwire.layers._scales import column_codes, lsb_exponent
from hardwire.nn.quantisers import LearnedRange, LearnedWeight, Quantiser, Tracker
from hardwire.quantiser import Quantiser as Frozen

MOST_BITS = 24
"""Widest codes of a grid that a file's values are put on."""
_PRUNED = 0.5
"""Share of zeros from which a matrix counts as pruned: its zeros stay."""
_NOTHING = -16.0
"""Fractional bits at which everything rounds to zero."""


def holding(values: Floats, scale: Any = None, *, pruned: bool = False) -> Frozen | None:
    """Return the narrowest type that holds parameters `values` (channels first, times `scale` if given).

    One for all, or one a channel where the scales are no powers of two. With `pruned`, zeros of a matrix that is mostly
    zeros stay zero. None for more than 24 bits: such values are float parameters, on no grid to speak of.
    """
    channels = len(values)
    units_given = None if scale is None else np.broadcast_to(np.ravel(scale), (channels,))
    codes, units = column_codes(values.reshape(channels, -1).T, units_given)
    rows = codes.T
    dyadic = all(_power_of_two(unit) for unit in units)
    if dyadic:
        used = [unit for unit, row in zip(units, rows, strict=True) if any(row)]
        unit = min(used, default=Fraction(1))
        if used:
            factors = np.array([own / unit for own in units], object)
            rows = np.array([[int(code) for code in row] for row in rows * factors[:, None]], object)
        groups, steps = [rows.ravel().tolist()], np.array([float(unit)])
    else:
        groups, steps = [row.tolist() for row in rows], np.array([float(unit) for unit in units])
    ends = [_ends(group) for group in groups]
    if any(hi.bit_length() >= MOST_BITS for _, hi in ends):
        return None
    shape = (-1, *(1,) * (values.ndim - 1))
    lo, hi = (np.array(column, np.int64).reshape(shape) for column in zip(*ends, strict=True))
    return _weights_rule(values, steps.reshape(shape), lo, hi, pruned)


def in_steps(values: Floats, steps: Floats, *, pruned: bool = False) -> Frozen | None:
    """Return the types that hold `values` in given steps (same shape), each as wide as its own value needs.

    `pruned` and None as for `holding`.
    """
    codes = values / steps
    if np.any(codes != np.rint(codes)):
        return holding(values, pruned=pruned)
    ends = [_ends([int(code)]) for code in codes.ravel()]
    if any(hi.bit_length() >= MOST_BITS for _, hi in ends):
        return None
    lo, hi = (np.array(column, np.int64).reshape(values.shape) for column in zip(*ends, strict=True))
    return _weights_rule(values, steps, lo, hi, pruned)


def _weights_rule(values: Floats, steps: Floats, lo: NDArray[Any], hi: NDArray[Any], pruned: bool) -> Frozen:
    if pruned and np.mean(values == 0) > _PRUNED:
        there = values != 0
        lo, hi = np.where(there, lo, 0), np.where(there, hi, 0)
    return Frozen(steps, lo, hi, Rounding.RND, Overflow.SAT)


def _power_of_two(value: Fraction) -> bool:
    return value.numerator & (value.numerator - 1) == 0 and value.denominator & (value.denominator - 1) == 0


def _ends(codes: list[int]) -> tuple[int, int]:
    """Ends of the two's complement type that holds codes; -1 to 1 for those (ternary weights stay so)."""
    top, bottom = max(codes, default=0), min(codes, default=0)
    if max(top, -bottom) <= 1:
        return -1, 1
    bits = max(top.bit_length(), (-bottom - 1).bit_length() if bottom < 0 else 0)
    return -(1 << bits), (1 << bits) - 1


def by_feature(rule: Frozen, shape: tuple[int, ...]) -> Frozen | None:
    """Return a rule for tensors of `shape` as one for its last axis alone; None where it differs along the others."""
    same = along(rule, shape, (len(shape) - 1,))
    return None if same is None else at_back(same)


def along(rule: Frozen, shape: tuple[int, ...], axes: tuple[int, ...]) -> Frozen | None:
    """Return a rule for tensors of `shape` with ones for all axes but some; None where it differs along others."""
    parts: dict[str, Any] = {}
    for name in ("scale", "lo", "hi", "zero"):
        part = np.asarray(getattr(rule, name))
        part = part.reshape((1,) * (len(shape) - part.ndim) + part.shape)
        first = part[tuple(slice(None) if axis in axes else slice(1) for axis in range(len(shape)))]
        if not np.all(part == first):
            return None
        parts[name] = first
    return replace(rule, **parts)


def at_front(rule: Frozen, shape: tuple[int, ...]) -> Frozen:
    """Return a rule for a last axis as one for the first axis of tensors of `shape`."""
    ones = (1,) * (len(shape) - 1)
    parts = {name: np.asarray(getattr(rule, name)) for name in ("scale", "lo", "hi", "zero")}
    moved: dict[str, Any] = {name: part.reshape(-1, *ones) for name, part in parts.items()}
    return replace(rule, **moved)


def at_back(rule: Frozen) -> Frozen:
    """Return a rule for the first axis of a matrix as one for a last axis."""
    parts: dict[str, Any] = {name: np.ravel(getattr(rule, name)) for name in ("scale", "lo", "hi", "zero")}
    return replace(rule, **parts)


def begin(quantiser: Quantiser, rule: Frozen, shape: tuple[int, ...]) -> None:
    """Let a learnt quantiser of tensors of `shape` begin as `rule`; where it shares bits it takes the finest.

    A quantiser with nothing to learn stays as it was made.
    """
    if not isinstance(quantiser, LearnedRange):
        return
    scale, lo, hi = (
        np.broadcast_to(np.asarray(part, np.float64), shape)
        for part in (rule.scale, rule.lo - rule.zero, rule.hi - rule.zero)
    )
    empty = (lo == 0) & (hi == 0)
    granules = tuple(quantiser.f.shape)
    with torch.no_grad():
        quantiser.f.copy_(_shared(np.where(empty, _NOTHING, -np.log2(scale)), granules, np.max))
        quantiser.low.copy_(_shared(lo * scale, granules, np.min))
        quantiser.high.copy_(_shared(hi * scale, granules, np.max))
        quantiser.batches.fill_(quantiser.warmup + 1)
    quantiser.rounding, quantiser.overflow = rule.rounding, rule.overflow
    if rule.overflow in (Overflow.SAT, Overflow.SAT_SYM, Overflow.SAT_ZERO):
        quantiser.tracker = Kept()


@dataclass(frozen=True)
class Kept(Tracker):
    """The range stays as it is: saturation is part of what a file's model computes."""

    def update(self, low: torch.Tensor, high: torch.Tensor, x: torch.Tensor, first: bool) -> None:
        """Leave the range alone."""


def begin_weight(quantiser: Quantiser, values: Floats, steps: Floats | None = None) -> None:
    """Let a learnt quantiser of weights begin with the file's steps, or else with the fractional bits of the values."""
    if not isinstance(quantiser, LearnedWeight):
        return
    there = values != 0
    least = -lsb_exponent(values).astype(np.float64) if steps is None else -np.log2(steps)
    fewest = least[there].min() if there.any() else 0.0
    granules = tuple(quantiser.f.shape)
    with torch.no_grad():
        quantiser.f.copy_(_shared(least if steps is not None else np.where(there, least, fewest), granules, np.max))


def _shared(values: NDArray[Any], granules: tuple[int, ...], join: Callable[..., Any]) -> torch.Tensor:
    """Values of elements, joined where they share a granule."""
    axes = tuple(axis for axis, size in enumerate(granules) if size == 1)
    return torch.as_tensor(np.asarray(join(values, axis=axes, keepdims=True), np.float64).reshape(granules))
