"""Bounds of neurons over the whole network, by linear relaxation: correlations that intervals lose are kept.

Each sum of a flat kernel is bounded by a linear function of what it was made from, substituted backward op by op: sums
exactly; a clamp between two lines over its operand's range (the chord of its bend and a line through one end), a
rounding as its division within one step, a minimum or maximum by an operand or a constant. What has no such lines (a
wrap, a table, a product) stands for its range. At the inputs the extreme of the function over the box is the bound.
Where a clamp has several lines, three ways to choose are tried and the best bound counts.
This is the backward linear relaxation of Zhang et al. 2018 (CROWN) and Singh et al. 2019 (DeepPoly), for integers.

Sound whatever the floats do: the lines are moved outward by more than their rounding error, and every rounding error
of a coefficient is bounded, multiplied by the largest magnitude of its value, and taken off the bound.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hardwire.fixed import MAX_BITS, Ints, Rounding
from hardwire.ir.compiled_ranges import forward, tables_of
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel

WORK = 20_000_000
"""Substitutions that `relaxed_ranges` makes at most by default, about 0.1 s."""

_INPUT, _CONST, _LINEAR, _ADD, _SUB, _SHL, _ROUND, _CLAMP, _MIN, _MAX = (
    int(OpCode[name]) for name in ("INPUT", "CONST", "LINEAR", "ADD", "SUB", "SHL", "ROUND", "CLAMP", "MIN", "MAX")
)
_TRN, _CEIL = int(Rounding.TRN), int(Rounding.CEIL)
_NEAREST_FIRST, _NEAREST_LAST = int(Rounding.RND), int(Rounding.RND_CONV)
_EPS = 2.0**-51
"""Twice the error of a float64 operation: of two in a row."""
_FAR = 2.0**50


def relaxed_ranges(kernel: Kernel, work: int = WORK) -> tuple[Ints, Ints]:
    """Lowest and highest of every value of a flat kernel, int64 (n,), from nothing but the ranges of its inputs.

    Every op's rule, and for sums that no other sum reads the relaxation; `work` limits its substitutions, which are
    made in the order of the values.
    """
    whole = np.int64(1) << (MAX_BITS - 1)
    is_input = kernel.op == _INPUT
    lo, hi = np.where(is_input, kernel.lo, -whole), np.where(is_input, kernel.hi, whole - 1)
    starts, entries = tables_of(kernel)
    k = kernel
    _relax(k.op, k.a, k.b, k.c, k.p, k.q, lo, hi, k.term_arg, k.term_coef, starts, entries, _bounded(kernel), work)
    return lo, hi


def _bounded(kernel: Kernel) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Sums that only ops of other kinds read.

    A sum of sums is bounded as a whole: parts of it that were narrowed by themselves would be narrower than what their
    own terms say, which the proof could not follow.
    """
    sums = np.isin(kernel.op, (_LINEAR, _ADD, _SUB))
    inner = np.zeros(len(kernel), np.bool_)
    inner[kernel.term_arg] = True
    for column, codes in ((kernel.a, (_ADD, _SUB, _SHL)), (kernel.b, (_ADD, _SUB))):
        inner[column[np.isin(kernel.op, codes)]] = True
    return sums & ~inner


@njit(cache=True)
def _relax(op, a, b, c, p, q, lo, hi, term_arg, term_coef, starts, entries, bounded, work):  # type: ignore[no-untyped-def]
    n = len(op)
    low, high = np.zeros(n), np.zeros(n)
    # Whether anything but its range is known of a value.
    deep = np.zeros(n, np.bool_)
    done = 0
    for i in range(n):
        code = op[i]
        if code == _LINEAR:
            for k in range(a[i], a[i] + b[i]):
                deep[i] |= deep[term_arg[k]] or op[term_arg[k]] == _LINEAR
        elif code == _ADD or code == _SUB or code == _MIN or code == _MAX:
            deep[i] = True
        elif code == _SHL:
            deep[i] = deep[a[i]]
        elif code == _CLAMP or code == _ROUND:
            deep[i] = True
        if code != _INPUT:
            first, last = forward(op, a, b, c, p, q, lo, hi, term_arg, term_coef, starts, entries, i)
            lo[i], hi[i] = max(lo[i], first), min(hi[i], last)
        if bounded[i] and deep[i] and lo[i] < hi[i] and done < work:
            for attempt in range(6):
                upper, choice = attempt >= 3, attempt % 3
                bound, steps = _substituted(
                    i, upper, choice, op, a, b, p, q, lo, hi, term_arg, term_coef, deep, high if upper else low
                )
                done += steps
                if not abs(bound) < _FAR:
                    continue
                if upper:
                    hi[i] = max(lo[i], min(hi[i], np.int64(np.floor(bound))))
                else:
                    lo[i] = min(hi[i], max(lo[i], np.int64(np.ceil(bound))))


@njit(cache=True)
def _flat(choice, nearer):  # type: ignore[no-untyped-def]
    """Whether a clamp's flat side is its line: where it lies nearer (choice 0), never (1), always (2)."""
    return nearer if choice == 0 else choice == 2


@njit(cache=True)
def _line(upper, choice, code, p, q, low, high):  # type: ignore[no-untyped-def]
    """(slope, constant): a line above (or below) a clamp or rounding of an operand in [low, high], never crossed."""
    if code == _ROUND:
        step = 2.0 ** -float(p)
        if q == _TRN:
            gap = 0.0 if upper else -1.0 + step
        elif q == _CEIL:
            gap = 1.0 - step if upper else 0.0
        elif _NEAREST_FIRST <= q <= _NEAREST_LAST:
            gap = 0.5 if upper else -0.5
        else:
            gap = 1.0 if upper else -1.0
        return step, gap
    left, right, first, last = float(low), float(high), float(p), float(q)
    if left >= first and right <= last:
        return 1.0, 0.0
    if left >= last or right <= first:
        return 0.0, (last if left >= last else first)
    if upper:
        # Over a bend at the lower bound the chord; over one at the upper bound alone, x itself or the bound.
        if left < first:
            top = min(right, last)
            slope = (top - first) / (top - left)
            if right > last and _flat(choice, last - left < right - last):
                slope = 0.0
        else:
            slope = 0.0 if _flat(choice, last - left < right - last) else 1.0
    elif right > last:
        base = max(left, first)
        slope = (last - base) / (right - base)
        if left < first and _flat(choice, right - first < first - left):
            slope = 0.0
    else:
        slope = 0.0 if _flat(choice, right - first < first - left) else 1.0
    # The clamp less the line is extreme at an end or a bend.
    constant = -np.inf if upper else np.inf
    for x in (left, right, min(max(first, left), right), min(max(last, left), right)):
        y = min(max(x, first), last)
        error = _EPS * (abs(y) + 2 * abs(slope * x))
        if upper:
            constant = max(constant, y - slope * x + error)
        else:
            constant = min(constant, y - slope * x - error)
    return slope, constant


@njit(cache=True)
def _add(v, amount, coef, error, lo, hi):  # type: ignore[no-untyped-def]
    """Add to a value's coefficient; returns what the rounding of it may change in the bound."""
    coef[v] += amount
    return error + _EPS * (abs(amount) + abs(coef[v])) * max(abs(float(lo[v])), abs(float(hi[v])))


@njit(cache=True)
def _substituted(  # type: ignore[no-untyped-def]
    target, upper, choice, op, a, b, p, q, lo, hi, term_arg, term_coef, deep, coef
):
    """A bound of value `target`, and how many substitutions that took; `coef` is zero before and after."""
    total, error, steps = 0.0, 0.0, 0
    coef[target] = 1.0
    for i in range(target, -1, -1):
        c = coef[i]
        if c == 0.0:
            continue
        coef[i] = 0.0
        steps += 1
        code = op[i]
        x = a[i]
        # Of the op's two lines the one that the sign asks for.
        above = upper == (c > 0)
        constant = 0.0
        if code == _LINEAR:
            constant = float(p[i])
            for k in range(x, x + b[i]):
                error = _add(term_arg[k], c * float(term_coef[k]), coef, error, lo, hi)
            steps += b[i]
        elif code == _ADD or code == _SUB:
            error = _add(x, c * 2.0 ** float(p[i]), coef, error, lo, hi)
            error = _add(b[i], (c if code == _ADD else -c) * 2.0 ** float(q[i]), coef, error, lo, hi)
        elif code == _SHL:
            error = _add(x, c * 2.0 ** float(p[i]), coef, error, lo, hi)
        elif (code == _CLAMP or code == _ROUND) and lo[i] < hi[i]:
            slope, constant = _line(above, choice, code, p[i], q[i], lo[x], hi[x])
            if slope != 0.0:
                error = _add(x, c * slope, coef, error, lo, hi)
        elif (code == _MAX and not above) or (code == _MIN and above):
            # Never below either operand (or above): the better one in the middle.
            y = b[i]
            middle_x, middle_y = float(lo[x]) + float(hi[x]), float(lo[y]) + float(hi[y])
            chosen = x if (middle_x > middle_y) == (code == _MAX) else y
            error = _add(chosen, c, coef, error, lo, hi)
        else:
            constant = float(hi[i]) if above else float(lo[i])
        total += c * constant
        error += _EPS * (abs(c * constant) * 2 + abs(total))
    # Sums of errors are rounded too.
    error *= 1.0 + 1e-6
    # Looking for the next value of the way costs little, but the way to the inputs may be long.
    return (total + error if upper else total - error), steps + target // 16
