"""One port for an input that several different quantisers read, from whose codes each makes its own exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hardwire.fixed import MAX_BITS, Overflow, Rounding, width_of
from hardwire.network.graph import Shape
from hardwire.quantiser import Quantiser

_SATURATING = (Overflow.SAT, Overflow.SAT_SYM)
_FINER = {Rounding.TRN: 1, Rounding.RND: 2}
"""How many times finer a truncated code must be to decide a rounding: `floor(x + 1/2)` is decided by `floor(2 · x)`."""


def joint_quantiser(rules: Sequence[Quantiser], shape: Shape) -> Quantiser | None:
    """Return a quantiser of an input of `shape` such that every one of `rules` behind it gives what it gives alone.

    None where there is none of finitely many bits: ties that go to even on different grids, or wrapping beside
    saturation.
    """
    wraps = all(rule.overflow is Overflow.WRAP for rule in rules)
    if not wraps and not all(rule.overflow in _SATURATING for rule in rules):
        return None
    if any(np.any(rule.zero) or np.any(np.frexp(rule.scale)[0] != 0.5) for rule in rules):
        return None
    full = [rule.reshaped(shape) for rule in rules]
    scales = np.stack([rule.scale for rule in full])
    lows, highs = (
        np.stack([bound.astype(np.float64) for bound in bounds])
        for bounds in zip(*((rule.lo, rule.hi) for rule in full), strict=True)
    )
    used = lows < highs
    if len({rule.rounding for rule in rules}) == 1 and np.all((scales == scales.max(axis=0)) | ~used):
        rounding, finer = rules[0].rounding, np.ones(len(rules))
    elif all(rule.rounding in _FINER for rule in rules):
        rounding, finer = Rounding.TRN, np.array([float(_FINER[rule.rounding]) for rule in rules])
    else:
        return None
    fine = scales / finer.reshape(-1, *(1,) * len(shape))
    scale = np.where(used.any(axis=0), np.where(used, fine, np.inf).min(axis=0), 1.0)
    if wraps:
        # Any whole number of periods may be taken away before: the longest period holds all others.
        period = np.where(used, (highs - lows + 1) * scales, scale).max(axis=0) / scale
        signed = np.any(used & (lows < 0), axis=0)
        lo, hi = np.where(signed, -period / 2, 0.0), np.where(signed, period / 2, period) - 1
    else:
        lo = np.where(used, lows * scales, 0.0).min(axis=0) / scale
        hi = np.where(used, highs * scales, 0.0).max(axis=0) / scale
    if width_of(int(lo.min(initial=0)), int(hi.max(initial=0))) > MAX_BITS:
        return None
    over = Overflow.WRAP if wraps else Overflow.SAT
    return Quantiser(scale, lo.astype(np.int64), hi.astype(np.int64), rounding, over)
