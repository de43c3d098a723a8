"""Forward ranges and local simplification, in one sweep: every value gets the tightest range that its op's rule and
its earlier proofs give, and ops that the ranges decide become simpler ones or vanish.

The rules are those of `ir.ranges`, compiled; a test compares the two op by op.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hardwire.fixed import MAX_BITS, Rounding
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.passes._operands import renumbered

_LIMIT = float(1 << MAX_BITS)

# numba reads module globals as constants; enum members are spelt out once here.
INPUT, CONST, LINEAR, ADD, SUB, MUL, SHL, ROUND, WRAP, CLAMP = (int(OpCode(k)) for k in range(10))
MIN, MAX, LESS, EQUAL, SELECT, TABLE, AND, OR, XOR = (int(OpCode(k)) for k in range(10, 19))
TRN, TRN_ZERO, RND, RND_ZERO, RND_INF, RND_MIN_INF, RND_CONV, CEIL, AWAY = (int(Rounding(k)) for k in range(9))


def narrow(kernel: Kernel) -> Kernel:
    """Tighten all ranges forward and fold what they decide; dead values are left for `dce`."""
    a, b, c, p, q = (np.array(x) for x in (kernel.a, kernel.b, kernel.c, kernel.p, kernel.q))
    op, lo, hi = np.array(kernel.op), np.array(kernel.lo), np.array(kernel.hi)
    term_arg, term_coef = np.array(kernel.term_arg), np.array(kernel.term_coef)
    sizes = np.array([len(t) for t in kernel.tables], np.int64)
    starts = np.cumsum(sizes) - sizes
    entries = np.concatenate(kernel.tables) if kernel.tables else np.zeros(1, np.int64)
    alias = _sweep(op, a, b, c, p, q, lo, hi, term_arg, term_coef, starts, entries)
    changed = kernel.with_(op=op, a=a, b=b, c=c, p=p, q=q, lo=lo, hi=hi, term_arg=term_arg, term_coef=term_coef)
    order = np.flatnonzero(alias == np.arange(len(alias))).astype(np.int32)
    position = np.full(len(alias), -1, np.int32)
    position[order] = np.arange(len(order), dtype=np.int32)
    return renumbered(changed, order, position[alias])


@njit(cache=True)
def round_code(code, shift, mode):  # type: ignore[no-untyped-def]
    """`ir.ranges.round_int`, compiled."""
    if shift == 0:
        return code
    below = code >> shift
    rest = code - (below << shift)
    half = np.int64(1) << np.int64(shift - 1)
    if mode == TRN:
        up = False
    elif mode == TRN_ZERO:
        up = rest != 0 and code < 0
    elif mode == RND:
        up = rest >= half
    elif mode == RND_ZERO:
        up = rest > half or (rest == half and code < 0)
    elif mode == RND_INF:
        up = rest > half or (rest == half and code >= 0)
    elif mode == RND_MIN_INF:
        up = rest > half
    elif mode == RND_CONV:
        up = rest > half or (rest == half and (below & 1) == 1)
    elif mode == CEIL:
        up = rest != 0
    else:
        up = rest != 0 and code >= 0
    return below + (1 if up else 0)


@njit(cache=True)
def _width(lo, hi):  # type: ignore[no-untyped-def]
    top = hi
    if lo < 0 and -lo - 1 > top:
        top = -lo - 1
    bits = 0
    while top > 0:
        bits += 1
        top >>= 1
    return bits + (1 if lo < 0 else 0)


@njit(cache=True)
def _sweep(op, a, b, c, p, q, lo, hi, term_arg, term_coef, starts, entries):  # type: ignore[no-untyped-def]
    n = len(op)
    alias = np.arange(n).astype(np.int32)
    for i in range(n):
        code = op[i]
        if code == INPUT:
            continue
        low, high = lo[i], hi[i]
        if code == LINEAR:
            _fold_terms(b, p, lo, hi, alias, term_arg, term_coef, a[i], i)
            low = high = p[i]
            low_f = high_f = float(p[i])
            for k in range(a[i], a[i] + b[i]):
                v, w = term_arg[k], term_coef[k]
                x, y = (lo[v], hi[v]) if w > 0 else (hi[v], lo[v])
                low += w * x
                high += w * y
                low_f += float(w) * float(x)
                high_f += float(w) * float(y)
            if abs(low_f) >= _LIMIT or abs(high_f) >= _LIMIT:
                low, high = lo[i], hi[i]
            elif b[i] == 1 and p[i] == 0 and term_coef[a[i]] > 0 and term_coef[a[i]] & (term_coef[a[i]] - 1) == 0:
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
            x, y = a[i], b[i]
            if code == CONST:
                low = high = p[i]
            elif code == ADD or code == SUB:
                s, t = p[i], q[i]
                far = max(abs(float(lo[x])), abs(float(hi[x]))) * 2.0**s
                far += max(abs(float(lo[y])), abs(float(hi[y]))) * 2.0**t
                if far < _LIMIT:
                    if code == ADD:
                        low = (lo[x] << s) + (lo[y] << t)
                        high = (hi[x] << s) + (hi[y] << t)
                    else:
                        low = (lo[x] << s) - (hi[y] << t)
                        high = (hi[x] << s) - (lo[y] << t)
            elif code == MUL:
                far = max(abs(float(lo[x])), abs(float(hi[x]))) * max(abs(float(lo[y])), abs(float(hi[y])))
                if far < _LIMIT:
                    w0, w1, w2, w3 = lo[x] * lo[y], lo[x] * hi[y], hi[x] * lo[y], hi[x] * hi[y]
                    low = min(min(w0, w1), min(w2, w3))
                    high = max(max(w0, w1), max(w2, w3))
            elif code == SHL:
                if max(abs(float(lo[x])), abs(float(hi[x]))) * 2.0 ** p[i] < _LIMIT:
                    low, high = lo[x] << p[i], hi[x] << p[i]
            elif code == ROUND:
                low, high = round_code(lo[x], p[i], q[i]), round_code(hi[x], p[i], q[i])
            elif code == WRAP:
                span = np.int64(1) << p[i]
                first = -(span >> 1) if q[i] != 0 else np.int64(0)
                shift = ((lo[x] - first) >> p[i]) << p[i]
                if hi[x] - shift <= first + span - 1:
                    low, high = lo[x] - shift, hi[x] - shift
                else:
                    low, high = first, first + span - 1
            elif code == CLAMP:
                low, high = min(max(lo[x], p[i]), q[i]), min(max(hi[x], p[i]), q[i])
                # Bounds that are never met are drawn in, so that equal clamps look equal.
                p[i], q[i] = max(p[i], min(lo[x], q[i])), min(q[i], max(hi[x], p[i]))
            elif code == MIN:
                low, high = min(lo[x], lo[y]), min(hi[x], hi[y])
            elif code == MAX:
                low, high = max(lo[x], lo[y]), max(hi[x], hi[y])
            elif code == LESS:
                low = np.int64(1 if hi[x] < lo[y] else 0)
                high = np.int64(1 if lo[x] < hi[y] and x != y else 0)
            elif code == EQUAL:
                low = np.int64(1 if x == y or lo[x] == hi[x] == lo[y] == hi[y] else 0)
                high = np.int64(1 if lo[x] <= hi[y] and lo[y] <= hi[x] else 0)
            elif code == SELECT:
                z = c[i]
                if lo[x] == 0 and hi[x] == 0:
                    low, high = lo[z], hi[z]
                elif lo[x] > 0 or hi[x] < 0:
                    low, high = lo[y], hi[y]
                else:
                    low, high = min(lo[y], lo[z]), max(hi[y], hi[z])
            elif code == TABLE:
                at = starts[p[i]] - q[i]
                low = high = entries[at + lo[x]]
                for k in range(at + lo[x], at + hi[x] + 1):
                    low, high = min(low, entries[k]), max(high, entries[k])
            elif code == AND or code == OR or code == XOR:
                if lo[x] >= 0 and lo[y] >= 0:
                    top = (np.int64(1) << max(_width(lo[x], hi[x]), _width(lo[y], hi[y]))) - 1
                    if code == AND:
                        low, high = np.int64(0), min(hi[x], hi[y])
                    else:
                        low, high = (max(lo[x], lo[y]) if code == OR else np.int64(0)), top
                elif code == AND and (lo[x] >= 0 or lo[y] >= 0):
                    low, high = np.int64(0), hi[x] if lo[x] >= 0 else hi[y]
                else:
                    bits = max(_width(min(lo[x], -1), hi[x]), _width(min(lo[y], -1), hi[y]))
                    low = -(np.int64(1) << np.int64(bits - 1))
                    high = -low - 1
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
