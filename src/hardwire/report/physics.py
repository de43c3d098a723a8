"""Figures of merit of a classifier as the report shows them: ROC curves, and fixed-point outputs against float ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hardwire.errors import DataError
from hardwire.fixed import Floats

_BINS = 60
_SCATTER = 1000


def roc_points(scores: ArrayLike, positives: ArrayLike, n: int = 200) -> tuple[list[list[float]], float]:
    """Return at most `n` points `[tpr, fpr]` of the ROC curve from (0, 0) to (1, 1), and the exact area under it.

    `scores` (N,): higher means more like the positives; `positives` (N,) bool. Equal scores are one threshold, so they
    count half in the area (Mann-Whitney; Fawcett 2006, "An introduction to ROC analysis"), which is computed from
    ranks over all scores. The points are corners of the exact curve, spread over the linear tpr axis and the
    logarithmic fpr axis of the plot. Raises `DataError` for NaN scores, shapes that differ, or one class alone.
    """
    score = np.asarray(scores, np.float64)
    positive = np.asarray(positives, bool)
    if score.ndim != 1 or score.shape != positive.shape:
        raise DataError(
            f"ROC: scores of shape {score.shape} and positives of shape {positive.shape}; both must be (N,)"
        )
    if np.isnan(score).any():
        raise DataError(f"ROC: {int(np.isnan(score).sum())} of {len(score)} scores are NaN")
    if n < 2:
        raise DataError(f"ROC: n = {n} points asked for; at least 2, the ends")
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        raise DataError(
            f"ROC: {n_positive} positives and {n_negative} negatives; the curve needs both",
            hint="a larger test sample",
        )
    # Classes of equal scores, ascending; one threshold each.
    _, group = np.unique(score, return_inverse=True)
    hits = np.bincount(group, positive).astype(np.int64)[::-1]
    every = np.bincount(group).astype(np.int64)[::-1]
    tp = np.concatenate([[0], np.cumsum(hits)])
    fp = np.concatenate([[0], np.cumsum(every - hits)])
    # Twice the area in units of one positive times one negative: exact in integers.
    twice = int(np.sum((fp[1:] - fp[:-1]) * (tp[1:] + tp[:-1])))
    auc = twice / (2 * n_positive * n_negative)
    tpr, fpr = tp / n_positive, fp / n_negative
    at = _spread(tpr, fpr, n)
    return [[float(t), float(f)] for t, f in zip(tpr[at], fpr[at], strict=True)], auc


def float_against_fixed(float_outputs: ArrayLike, fixed_outputs: ArrayLike) -> dict[str, Any]:
    """Return what the report shows of fixed-point outputs (N, k) beside float ones (N, k).

    `residuals`: histogram (`hist`, `edges`) of fixed - float over all outputs, with its `rms` and `max`; `scatter`: at
    most 1,000 pairs (`float`, `fixed`) of rows spread evenly over the sample. Raises `DataError` for shapes that
    differ, no rows, or values that are not finite.
    """
    exact = np.asarray(float_outputs, np.float64)
    fixed = np.asarray(fixed_outputs, np.float64)
    if exact.ndim != 2 or exact.shape != fixed.shape:
        raise DataError(
            f"float against fixed: float outputs of shape {exact.shape}, fixed ones of shape {fixed.shape}; "
            "both must be (N, k)"
        )
    if not exact.size:
        raise DataError(f"float against fixed: outputs of shape {exact.shape} hold no values")
    if not (np.isfinite(exact).all() and np.isfinite(fixed).all()):
        raise DataError("float against fixed: outputs that are not finite")
    residual = fixed - exact
    top = float(np.abs(residual).max())
    # Symmetric, so that an offset of the fixed-point outputs is seen; never of width 0.
    hist, edges = np.histogram(residual, bins=_BINS, range=(-top, top) if top > 0 else (-1.0, 1.0))
    rows, k = exact.shape
    picked = np.unique(np.linspace(0, rows - 1, min(rows, max(1, _SCATTER // k))).astype(np.int64))
    return {
        "residuals": {
            "hist": [int(count) for count in hist],
            "edges": [float(edge) for edge in edges],
            "rms": float(np.sqrt(np.mean(residual**2))),
            "max": top,
        },
        "scatter": {"float": _short(exact[picked]), "fixed": _short(fixed[picked])},
    }


def _spread(tpr: Floats, fpr: Floats, n: int) -> NDArray[np.int64]:
    """At most n indices of a curve, ends included: half spread over tpr, half over log fpr."""
    last = len(tpr) - 1
    if last < n:
        return np.arange(last + 1)
    lowest = float(fpr[fpr > 0].min())
    inner = n - 2
    marks = [
        np.array([0, last]),
        np.searchsorted(tpr, np.linspace(0, 1, inner // 2)),
        np.searchsorted(fpr, np.geomspace(lowest, 1, inner - inner // 2)),
    ]
    return np.unique(np.minimum(np.concatenate(marks), last))


def _short(values: Floats) -> list[float]:
    """Flat list with six significant digits: what a plot shows, in a third of the bytes."""
    return [float(f"{value:.6g}") for value in values.ravel()[:_SCATTER].tolist()]
