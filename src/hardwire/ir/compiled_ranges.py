"""The range rules of `ir.ranges`, compiled: a test compares the two op by op."""

from __future__ import annotations

import numpy as np
from numba import njit

from hardwire.fixed import MAX_BITS, Ints, Rounding
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel

_LIMIT = float(1 << MAX_BITS)

# numba reads module globals as constants; enum members are spelt out once here.
INPUT, CONST, LINEAR, ADD, SUB, MUL, SHL, ROUND, WRAP, CLAMP = (int(OpCode(k)) for k in range(10))
MIN, MAX, LESS, EQUAL, SELECT, TABLE, AND, OR, XOR = (int(OpCode(k)) for k in range(10, 19))
TRN, TRN_ZERO, RND, RND_ZERO, RND_INF, RND_MIN_INF, RND_CONV, CEIL, AWAY = (int(Rounding(k)) for k in range(9))


def tables_of(kernel: Kernel) -> tuple[Ints, Ints]:
    """(first entry of each table, all tables' entries), int64, as `forward` takes them."""
    sizes = np.array([len(t) for t in kernel.tables], np.int64)
    entries = np.concatenate(kernel.tables) if kernel.tables else np.zeros(1, np.int64)
    return np.cumsum(sizes) - sizes, entries


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
def width(lo, hi):  # type: ignore[no-untyped-def]
    """Bits of every value of a range, compiled."""
    top = hi
    if lo < 0 and -lo - 1 > top:
        top = -lo - 1
    bits = 0
    while top > 0:
        bits += 1
        top >>= 1
    return bits + (1 if lo < 0 else 0)


@njit(cache=True)
def forward(op, a, b, c, p, q, lo, hi, term_arg, term_coef, starts, entries, i):  # type: ignore[no-untyped-def]
    """(lo, hi) of value i, which is no input, by its op's rule; what stands there where that would leave 62 bits.

    Table t is `entries[starts[t]:]`.
    """
    code = op[i]
    low, high = lo[i], hi[i]
    if code == LINEAR:
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
        return low, high
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
            top = (np.int64(1) << max(width(lo[x], hi[x]), width(lo[y], hi[y]))) - 1
            if code == AND:
                low, high = np.int64(0), min(hi[x], hi[y])
            else:
                low, high = (max(lo[x], lo[y]) if code == OR else np.int64(0)), top
        elif code == AND and (lo[x] >= 0 or lo[y] >= 0):
            low, high = np.int64(0), hi[x] if lo[x] >= 0 else hi[y]
        else:
            bits = max(width(min(lo[x], -1), hi[x]), width(min(lo[y], -1), hi[y]))
            low = -(np.int64(1) << np.int64(bits - 1))
            high = -low - 1
    return low, high
