"""Forward ranges and local simplification, in one sweep: every value gets the tightest range that its op's rule and
its earlier proofs give, and ops that the ranges decide become simpler ones or vanish.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hardwire.fixed import MAX_BITS
from hardwire.ir.compiled_ranges import (
    ADD,
    AWAY,
    CEIL,
    CLAMP,
    CONST,
    INPUT,
    LINEAR,
    MAX,
    MIN,
    RND,
    RND_INF,
    RND_MIN_INF,
    RND_ZERO,
    ROUND,
    SELECT,
    SHL,
    SUB,
    TRN,
    TRN_ZERO,
    WRAP,
    forward,
    tables_of,
)
from hardwire.ir.program import Kernel
from hardwire.passes._operands import renumbered

_LIMIT = float(1 << MAX_BITS)


def narrow(kernel: Kernel) -> Kernel:
    """Tighten all ranges forward and fold what they decide; dead values are left for `dce`."""
    a, b, c, p, q = (np.array(x) for x in (kernel.a, kernel.b, kernel.c, kernel.p, kernel.q))
    op, lo, hi = np.array(kernel.op), np.array(kernel.lo), np.array(kernel.hi)
    term_arg, term_coef = np.array(kernel.term_arg), np.array(kernel.term_coef)
    starts, entries = tables_of(kernel)
    alias = _sweep(op, a, b, c, p, q, lo, hi, term_arg, term_coef, starts, entries)
    changed = kernel.with_(op=op, a=a, b=b, c=c, p=p, q=q, lo=lo, hi=hi, term_arg=term_arg, term_coef=term_coef)
    order = np.flatnonzero(alias == np.arange(len(alias))).astype(np.int32)
    position = np.full(len(alias), -1, np.int32)
    position[order] = np.arange(len(order), dtype=np.int32)
    return renumbered(changed, order, position[alias])


@njit(cache=True)
def _sweep(op, a, b, c, p, q, lo, hi, term_arg, term_coef, starts, entries):  # type: ignore[no-untyped-def]
    n = len(op)
    alias = np.arange(n).astype(np.int32)
    for i in range(n):
        code = op[i]
        if code == INPUT:
            continue
        if code == LINEAR:
            _fold_terms(b, p, lo, hi, alias, term_arg, term_coef, a[i], i)
            if b[i] == 1 and p[i] == 0 and term_coef[a[i]] > 0 and term_coef[a[i]] & (term_coef[a[i]] - 1) == 0:
                w = term_coef[a[i]]
                op[i], a[i], b[i] = SHL, term_arg[a[i]], -1
                while w > 1:
                    w >>= 1
                    p[i] += 1
        else:
            if a[i] >= 0:
                a[i] = alias[a[i]]
            if b[i] >= 0:
                b[i] = alias[b[i]]
            if c[i] >= 0:
                c[i] = alias[c[i]]
            # A shift below feeds straight into the operation above it.
            if code == ADD or code == SUB:
                while op[a[i]] == SHL:
                    p[i] += p[a[i]]
                    a[i] = a[a[i]]
                while op[b[i]] == SHL:
                    q[i] += p[b[i]]
                    b[i] = a[b[i]]
            elif code == SHL:
                while op[a[i]] == SHL:
                    p[i] += p[a[i]]
                    a[i] = a[a[i]]
            elif code == ROUND:
                while op[a[i]] == SHL and p[i] > 0:
                    inner = p[a[i]]
                    a[i] = a[a[i]]
                    if inner >= p[i]:
                        code = op[i] = SHL
                        p[i], q[i] = inner - p[i], 0
                    else:
                        p[i] -= inner
                    if code == SHL:
                        break
                code = _merge_rounds(op, a, p, q, lo, hi, i)
            elif code == CLAMP:
                # One clamp, of the bounds of both: a ReLU joins the saturation behind it.
                while op[a[i]] == CLAMP:
                    p[i], q[i] = min(max(p[a[i]], p[i]), q[i]), min(max(q[a[i]], p[i]), q[i])
                    a[i] = a[a[i]]
            elif code == WRAP:
                while op[a[i]] == WRAP and p[a[i]] >= p[i]:
                    a[i] = a[a[i]]
            elif code == MIN or code == MAX:
                code = _clamp_by_constant(op, a, b, p, q, lo, hi, i)
        low, high = forward(op, a, b, c, p, q, lo, hi, term_arg, term_coef, starts, entries, i)
        if code == CLAMP:
            # Bounds that are never met are drawn in, so that equal clamps look equal.
            x = a[i]
            p[i], q[i] = max(p[i], min(lo[x], q[i])), min(q[i], max(hi[x], p[i]))
        lo[i] = max(lo[i], low)
        hi[i] = min(hi[i], high)
        if lo[i] == hi[i]:
            if code != CONST:
                op[i] = CONST
                a[i] = b[i] = c[i] = -1
                p[i], q[i] = lo[i], 0
            continue
        _simplify(op, a, b, c, p, q, lo, hi, alias, i)
    return alias


@njit(cache=True)
def _fold_terms(b, p, lo, hi, alias, term_arg, term_coef, start, i):  # type: ignore[no-untyped-def]
    """Terms of constant values join the bias of LINEAR value i."""
    kept = start
    for k in range(start, start + b[i]):
        v, w = alias[term_arg[k]], term_coef[k]
        if lo[v] == hi[v] and abs(float(w) * float(lo[v]) + float(p[i])) < _LIMIT:
            p[i] += w * lo[v]
        else:
            term_arg[kept], term_coef[kept] = v, w
            kept += 1
    b[i] = kept - start


@njit(cache=True)
def _merge_rounds(op, a, p, q, lo, hi, i):  # type: ignore[no-untyped-def]
    """Spell the rounding of value i by a mode that looks at no sign, where it is known, and as one with a floor below.

    `floor(x / 2^k)` rounded by a floor or half up is `x` rounded so at once: a half of 2^k is one of integers.
    """
    if op[i] != ROUND or p[i] == 0:
        return op[i]
    x = a[i]
    if lo[x] >= 0:
        if q[i] == TRN_ZERO:
            q[i] = TRN
        elif q[i] == RND_ZERO:
            q[i] = RND_MIN_INF
        elif q[i] == RND_INF:
            q[i] = RND
        elif q[i] == AWAY:
            q[i] = CEIL
    elif hi[x] <= 0:
        if q[i] == TRN_ZERO:
            q[i] = CEIL
        elif q[i] == RND_ZERO:
            q[i] = RND
        elif q[i] == RND_INF:
            q[i] = RND_MIN_INF
        elif q[i] == AWAY:
            q[i] = TRN
    while (q[i] == TRN or q[i] == RND) and op[a[i]] == ROUND and q[a[i]] == TRN and p[i] + p[a[i]] <= MAX_BITS:
        p[i] += p[a[i]]
        a[i] = a[a[i]]
    return op[i]


@njit(cache=True)
def _clamp_by_constant(op, a, b, p, q, lo, hi, i):  # type: ignore[no-untyped-def]
    """A minimum or maximum with a constant is a clamp."""
    x, y = a[i], b[i]
    if lo[x] == hi[x]:
        x, y = y, x
    if lo[y] != hi[y]:
        return op[i]
    low, high = (lo[x], lo[y]) if op[i] == MIN else (lo[y], hi[x])
    if low < high:
        op[i], a[i], b[i], p[i], q[i] = CLAMP, x, -1, low, high
    return op[i]


@njit(cache=True)
def _simplify(op, a, b, c, p, q, lo, hi, alias, i):  # type: ignore[no-untyped-def]
    """Replace value i by one of its operands, or by a plainer op, where the ranges decide."""
    code, x, y = op[i], a[i], b[i]
    if code == CLAMP:
        if p[i] <= lo[x] and hi[x] <= q[i]:
            alias[i] = x
    elif code == WRAP:
        span = np.int64(1) << p[i]
        first = -(span >> 1) if q[i] != 0 else np.int64(0)
        if first <= lo[x] and hi[x] < first + span:
            alias[i] = x
    elif code == ROUND or code == SHL:
        if p[i] == 0:
            alias[i] = x
    elif code == MIN:
        if hi[x] <= lo[y] or x == y:
            alias[i] = x
        elif hi[y] <= lo[x]:
            alias[i] = y
    elif code == MAX:
        if lo[x] >= hi[y] or x == y:
            alias[i] = x
        elif lo[y] >= hi[x]:
            alias[i] = y
    elif code == SELECT:
        if lo[x] > 0 or hi[x] < 0 or y == c[i]:
            alias[i] = y
        elif lo[x] == 0 and hi[x] == 0:
            alias[i] = c[i]
    elif code == ADD or code == SUB:
        if lo[y] == 0 and hi[y] == 0:
            if p[i] == 0:
                alias[i] = x
            else:
                op[i], b[i], q[i] = SHL, -1, 0
        elif code == ADD and lo[x] == 0 and hi[x] == 0:
            if q[i] == 0:
                alias[i] = y
            else:
                op[i], a[i], b[i], p[i], q[i] = SHL, y, -1, q[i], 0
    if alias[i] != i:
        # Both proofs hold for the survivor.
        v = alias[i]
        lo[v], hi[v] = max(lo[v], lo[i]), min(hi[v], hi[i])
