"""Local search on a finished adder graph: parts are undone and made again, and what is cheaper (or equal) stays.

One step dissolves a few neighbouring adders: each is replaced by its two operands in all its users, which become sums
of three and more terms. These sums are then paired anew, greedily and with some noise: a pair whose value exists
already costs nothing, one that occurs several times is shared. Operands that nothing uses any more fall away. The
step is kept if the graph has not become dearer (early on also if it is slightly dearer: simulated annealing,
Kirkpatrick et al. 1983; dissolving and re-pairing is the large-neighbourhood search of Shaw 1998).

Values are told apart by a hash that is linear in the inputs' hashes, so that two adders of equal value are found
whatever their operands. Levels: every node has an earliest level and a latest one that the deadline allows; a sum that
is made anew has to be done by its latest level, from operands at their earliest (or, where they depend on what is made
anew, at their latest). Levels so chosen rise along every edge, so no cycle can arise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.solver._core import _mix, _width
from hardwire.solver._greedy import Sources
from hardwire.solver._jit import Array, Mask, kernel
from hardwire.solver.graph import AdderGraph

MOST_SUMS = 48
MOST_TERMS = 16
_MOST_NEW = MOST_SUMS * MOST_TERMS
_TABLE = 2048
_MOST_CONE = 4000
_WIDEST = 60
_FLIPS = 0.05
_LARGEST = 3
_SPREAD = 0.6
_RECODE = 0.2
_UNITS_PER_CALL = 1_000_000
_EXACT_CELLS = 1 << 22


@kernel
def _random(state: Array) -> float:
    """Uniform in [0, 1): splitmix64."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    return (_mix(int(state[0])) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel
def _link(x: int, slot: int, head: Array, after: Array, before: Array) -> None:
    """Enter operand slot `slot` (2 · node + side) in the list of the users of x."""
    first = head[x]
    after[slot] = first
    before[slot] = -1
    if first >= 0:
        before[first] = slot
    head[x] = slot


@kernel
def _unlink(x: int, slot: int, head: Array, after: Array, before: Array) -> None:
    if before[slot] >= 0:
        after[before[slot]] = after[slot]
    else:
        head[x] = after[slot]
    if after[slot] >= 0:
        before[after[slot]] = before[slot]


@kernel
def _canonical(h: Mask) -> Mask:
    """The same for a value and its negative."""
    minus = ~h + np.uint64(1)
    return h if h < minus else minus


@kernel
def _seek(key: Mask, keys: Array, ids: Array) -> int:
    """Slot of `key` in the table of values, or of the first free place (-1) behind it."""
    mask = np.uint64(keys.size - 1)
    i = (key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20) & mask
    while ids[np.int64(i)] != -1 and keys[np.int64(i)] != key:
        i = (i + np.uint64(1)) & mask
    return int(i)


@kernel
def _cost(
    a: int, b: int, sa: int, sb: int, neg: int, width: int, w: Array, lo: Array, per_bit: float, per_adder: float
) -> float:
    """Full adders of one adder (`FullAdderCost`), weighted."""
    if w[b] == 0 or (neg == 0 and w[a] == 0):
        return 0.0
    start = sb if neg else max(sa, sb)
    if neg == 0 and ((lo[a] >= 0.0 and w[a] + sa <= sb) or (lo[b] >= 0.0 and w[b] + sb <= sa)):
        return 0.0
    return per_bit * max(width - start, 0) + per_adder


@kernel
def _span(
    v: int, a: int, b: int, sa: int, sb: int, neg: int, lo: Array, hi: Array, coef: Array, box_lo: Array, box_hi: Array
) -> None:
    """Set the range of node v: exact from its linear form if `coef` holds these, else by intervals."""
    fa, fb = 2.0**sa, 2.0**sb
    if neg:
        fb = -fb
    if coef.shape[1]:
        low, high = 0.0, 0.0
        for k in range(coef.shape[1]):
            c = coef[a, k] * fa + coef[b, k] * fb
            coef[v, k] = c
            if c > 0.0:
                low += c * box_lo[k]
                high += c * box_hi[k]
            else:
                low += c * box_hi[k]
                high += c * box_lo[k]
        lo[v], hi[v] = low, high
    elif neg:
        lo[v] = lo[a] * fa + hi[b] * fb
        hi[v] = hi[a] * fa + lo[b] * fb
    else:
        lo[v] = lo[a] * fa + lo[b] * fb
        hi[v] = hi[a] * fa + hi[b] * fb


@kernel
def _add_term(q: int, x: int, s: int, minus: int, t_node: Array, t_shift: Array, t_neg: Array, t_len: Array) -> bool:
    """Add ± x << s to sum q; equal terms merge or cancel. False: no room."""
    n = t_len[q]
    i = 0
    while i < n:
        if t_node[q, i] == x and t_shift[q, i] == s:
            same = t_neg[q, i] == minus
            n -= 1
            t_node[q, i], t_shift[q, i], t_neg[q, i] = t_node[q, n], t_shift[q, n], t_neg[q, n]
            if not same:
                t_len[q] = n
                return True
            s += 1
            i = 0
            continue
        i += 1
    if n >= MOST_TERMS:
        return False
    t_node[q, n], t_shift[q, n], t_neg[q, n] = x, s, minus
    t_len[q] = n + 1
    return True


@kernel
def _recode(q: int, i: int, t_node: Array, t_shift: Array, t_neg: Array, t_len: Array) -> None:
    """Write 3x as 2x + x instead of 4x - x or the other way round, if term i of sum q is its x."""
    n = t_len[q]
    x, s, minus = t_node[q, i], t_shift[q, i], t_neg[q, i]
    other = -1
    for k in range(n):
        if t_node[q, k] != x or k == i:
            continue
        up = t_shift[q, k] - s
        if (up == 1 and t_neg[q, k] == minus) or (up == 2 and t_neg[q, k] != minus):
            other = k
    if other < 0:
        return
    up = t_shift[q, other] - s
    sign = t_neg[q, other]
    if i < other:
        i, other = other, i
    for drop in (i, other):
        n -= 1
        t_node[q, drop], t_shift[q, drop], t_neg[q, drop] = t_node[q, n], t_shift[q, n], t_neg[q, n]
    t_len[q] = n
    _add_term(q, x, s, sign if up == 2 else 1 - sign, t_node, t_shift, t_neg, t_len)
    _add_term(q, x, s + (1 if up == 2 else 2), sign, t_node, t_shift, t_neg, t_len)


@kernel
def _flip(
    v: int, heat: float, a: Array, b: Array, sa: Array, sb: Array, neg: Array, lo: Array, hi: Array, w: Array,
    h: Array, cost: Array, head: Array, after: Array, before: Array, coef: Array, per_bit: float, per_adder: float,
    state: Array,
) -> float:  # fmt: skip
    """Make b - a of the difference v = a - b if that is no dearer, its users included; the change of cost.

    A user that would become a sum of two negatives forbids it.
    """
    width = _width(-hi[v], -lo[v])
    before_w, before_lo = w[v], lo[v]
    low, high = -hi[v], -lo[v]
    w[v], lo[v] = width, low
    change = _cost(b[v], a[v], sb[v], sa[v], 1, width, w, lo, per_bit, per_adder) - cost[v]
    slot = head[v]
    good = True
    while slot >= 0 and good:
        u = slot >> 1
        if slot & 1:
            other = a[u] != v
            new = _cost(a[u], v, sa[u], sb[u], 1 - neg[u], w[u], w, lo, per_bit, per_adder)
        else:
            other = b[u] != v
            good = neg[u] == 0
            new = _cost(b[u], v, sb[u], sa[u], 1, w[u], w, lo, per_bit, per_adder)
        good = good and other
        change += new - cost[u]
        slot = after[slot]
    if not good or (change > 1e-9 and (heat <= 0.0 or _random(state) >= np.exp(-change / heat))):
        w[v], lo[v] = before_w, before_lo
        return 0.0
    hi[v] = high
    h[v] = ~h[v] + np.uint64(1)
    for k in range(coef.shape[1]):
        coef[v, k] = -coef[v, k]
    slot = head[v]
    while slot >= 0:  # the list changes when a user's operands change places
        following = after[slot]
        u = slot >> 1
        if slot & 1:
            neg[u] = 1 - neg[u]
        else:
            _swap(u, a, b, sa, sb, head, after, before)
            neg[u] = 1
        cost[u] = _cost(a[u], b[u], sa[u], sb[u], neg[u], w[u], w, lo, per_bit, per_adder)
        slot = following
    _swap(v, a, b, sa, sb, head, after, before)
    cost[v] = _cost(a[v], b[v], sa[v], sb[v], 1, w[v], w, lo, per_bit, per_adder)
    return change


@kernel
def _swap(v: int, a: Array, b: Array, sa: Array, sb: Array, head: Array, after: Array, before: Array) -> None:
    """Exchange the operands of v."""
    _unlink(a[v], 2 * v, head, after, before)
    _unlink(b[v], 2 * v + 1, head, after, before)
    a[v], b[v] = b[v], a[v]
    sa[v], sb[v] = sb[v], sa[v]
    _link(a[v], 2 * v, head, after, before)
    _link(b[v], 2 * v + 1, head, after, before)


@kernel
def search(
    units: int, n_inputs: int, top: int, free: Array, n_free: int, deadline: int, hot: float, cool: float,
    per_bit: float, per_adder: float, state: Array,
    a: Array, b: Array, sa: Array, sb: Array, neg: Array, lo: Array, hi: Array, w: Array, h: Array, cost: Array,
    early: Array, late: Array, refs: Array, is_out: Array, alive: Array,
    head: Array, after: Array, before: Array, keys: Array, ids: Array,
    coef: Array, box_lo: Array, box_hi: Array,
) -> tuple[int, int, float]:  # fmt: skip
    """Dissolve and re-pair until `units` pairs have been looked at.

    `top`: ids in use or freed; `free`: stack of freed ids. `hot`, `cool`: temperatures at the start and at the end, in
    units of cost. Returns top, n_free and the change of cost.
    """
    size = a.size
    in_set = np.zeros(size, np.bool_)
    behind = np.zeros(size, np.bool_)
    at_sum = np.full(size, -1, np.int64)
    level = np.zeros(size, np.int64)
    delta = np.zeros(size, np.int64)
    touched = np.empty(8 * _MOST_NEW, np.int64)
    chosen = np.empty(64, np.int64)
    cone = np.empty(_MOST_CONE, np.int64)
    queue = np.empty(_MOST_CONE + 8 * _MOST_NEW, np.int64)
    sums = np.empty(MOST_SUMS, np.int64)
    t_node = np.empty((MOST_SUMS, MOST_TERMS), np.int64)
    t_shift = np.empty((MOST_SUMS, MOST_TERMS), np.int64)
    t_neg = np.empty((MOST_SUMS, MOST_TERMS), np.int64)
    t_len = np.empty(MOST_SUMS, np.int64)
    kraft = np.empty(MOST_SUMS, np.int64)
    new = np.empty(_MOST_NEW, np.int64)
    n_new = 0
    old = np.empty((MOST_SUMS, 5), np.int64)
    old_cost = np.empty(MOST_SUMS, np.float64)
    p_key = np.zeros(_TABLE, np.uint64)
    p_count = np.zeros(_TABLE, np.int64)
    p_at = np.zeros((_TABLE, 3), np.int64)
    p_cost = np.zeros(_TABLE, np.float64)
    p_id = np.zeros(_TABLE, np.int64)
    p_used = np.empty(_TABLE, np.int64)
    dead = np.empty(_MOST_CONE, np.int64)
    total = 0.0
    done = 0
    n_keys = 0
    for i in range(ids.size):
        n_keys += ids[i] != -1
    while done < units:
        done += 4
        r = n_inputs + int(_random(state) * (top - n_inputs))
        if not alive[r] or refs[r] == 0:
            continue
        heat = hot + (cool - hot) * done / units
        if neg[r] and is_out[r] == 0 and _random(state) < _FLIPS:
            change = _flip(r, heat, a, b, sa, sb, neg, lo, hi, w, h, cost, head, after, before, coef, per_bit,
                           per_adder, state)  # fmt: skip
            total += change
            continue
        done += 12
        # a few adders that are neighbours
        n_set = 1
        chosen[0] = r
        in_set[r] = True
        want = 1
        while want < _LARGEST and _random(state) < 0.7:
            want += 1
        tries = 0
        while n_set < want and tries < 3 * want:
            tries += 1
            x = chosen[np.int64(_random(state) * n_set)]
            kind = np.int64(_random(state) * 4.0)
            y = x
            if kind == 0:
                y = a[x]
            elif kind == 1:
                y = b[x]
            else:
                slot = head[x]
                hops = np.int64(_random(state) * 4.0)
                while hops > 0 and slot >= 0 and after[slot] >= 0:
                    slot = after[slot]
                    hops -= 1
                if slot >= 0:
                    y = slot >> 1
                    if kind == 3:
                        y = b[y] if a[y] == x else a[y]
            if y >= n_inputs and not in_set[y]:
                in_set[y] = True
                chosen[n_set] = y
                n_set += 1
        if _random(state) < _SPREAD:
            # and what only their users use
            i = 0
            first = n_set
            while i < first and n_set < 64:
                slot = head[chosen[i]]
                i += 1
                while slot >= 0 and n_set < 64:
                    user = slot >> 1
                    slot = after[slot]
                    if in_set[user]:
                        continue
                    for x in (a[user], b[user]):
                        if x >= n_inputs and refs[x] == 1 and not in_set[x] and n_set < 64:
                            in_set[x] = True
                            chosen[n_set] = x
                            n_set += 1
            i = first
            while i < n_set:
                for x in (a[chosen[i]], b[chosen[i]]):
                    if x >= n_inputs and refs[x] == 1 and not in_set[x] and n_set < 64 and _random(state) < 0.5:
                        in_set[x] = True
                        chosen[n_set] = x
                        n_set += 1
                i += 1
        # the sums that use them, and all that depends on these
        n_sums = 0
        good = True
        for i in range(n_set):
            slot = head[chosen[i]]
            while slot >= 0:
                user = slot >> 1
                if not in_set[user] and at_sum[user] < 0:
                    if n_sums == MOST_SUMS:
                        good = False
                        break
                    at_sum[user] = n_sums
                    sums[n_sums] = user
                    n_sums += 1
                slot = after[slot]
            if not good:
                break
        n_cone = 0
        if good and n_sums:
            for i in range(n_set):
                behind[chosen[i]] = True
                cone[n_cone] = chosen[i]
                n_cone += 1
            i = 0
            while i < n_cone:
                slot = head[cone[i]]
                while slot >= 0:
                    user = slot >> 1
                    if not behind[user] and n_cone < _MOST_CONE:
                        behind[user] = True
                        cone[n_cone] = user
                        n_cone += 1
                    slot = after[slot]
                i += 1
            done += n_cone >> 3
            if n_cone >= _MOST_CONE:
                good = False
        else:
            good = False
        # write each as a sum of what is not dissolved
        q = 0
        while good and q < n_sums:
            e = sums[q]
            t_len[q] = 0
            depth = 0
            queue[0] = a[e]
            queue[1] = sa[e]
            queue[2] = 0
            queue[3] = b[e]
            queue[4] = sb[e]
            queue[5] = neg[e]
            depth = 2
            while depth > 0:
                depth -= 1
                x, s, minus = queue[3 * depth], queue[3 * depth + 1], queue[3 * depth + 2]
                if in_set[x]:
                    queue[3 * depth], queue[3 * depth + 1], queue[3 * depth + 2] = a[x], s + sa[x], minus
                    depth += 1
                    queue[3 * depth], queue[3 * depth + 1], queue[3 * depth + 2] = b[x], s + sb[x], minus ^ neg[x]
                    depth += 1
                elif not _add_term(q, x, s, minus, t_node, t_shift, t_neg, t_len):
                    good = False
                    break
            if good and _random(state) < _RECODE:
                _recode(q, int(_random(state) * t_len[q]), t_node, t_shift, t_neg, t_len)
            positives = 0
            kraft[q] = 0
            for i in range(t_len[q]):
                x = t_node[q, i]
                level[x] = late[x] if behind[x] else early[x]
                kraft[q] += np.int64(1) << level[x]
                positives += 1 - t_neg[q, i]
            if t_len[q] < 2 or positives == 0 or kraft[q] > np.int64(1) << late[e]:
                good = False
            q += 1
        # pair the terms anew
        n_new = 0
        n_touched = 0
        amp = 0.6 * _random(state)
        keep_outputs = _random(state) < 0.5
        while good:
            n_used = 0
            for q in range(n_sums):
                n = t_len[q]
                if n < 3:
                    continue
                room = (np.int64(1) << late[sums[q]]) - kraft[q]
                positives = 0
                for i in range(n):
                    positives += 1 - t_neg[q, i]
                done += (n * (n - 1)) >> 1
                for i in range(1, n):
                    for k in range(i):
                        x, y = t_node[q, i], t_node[q, k]
                        s, t = t_shift[q, i], t_shift[q, k]
                        low = min(s, t)
                        hx, hy = h[x] << np.uint64(s - low), h[y] << np.uint64(t - low)
                        opposite = t_neg[q, i] != t_neg[q, k]
                        value = _canonical(hx - hy if opposite else hx + hy)
                        slot = np.int64((value * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(53))
                        while p_count[slot] != 0 and p_key[slot] != value:
                            slot = (slot + 1) & (_TABLE - 1)
                        lx, ly = level[x], level[y]
                        if p_count[slot] == 0:
                            if n_used > _TABLE // 2:
                                continue
                            place = _seek(value, keys, ids)
                            match = ids[place]
                            if match >= 0 and in_set[match] and (is_out[match] == 0 or keep_outputs):
                                match = -1
                            if match >= 0:
                                level[match] = late[match] if behind[match] else early[match]
                            else:
                                match = -1
                                for j in range(n_new):
                                    if _canonical(h[new[j]]) == value:
                                        match = new[j]
                            p_id[slot] = match
                        match = p_id[slot]
                        lm = level[match] if match >= 0 else max(lx, ly) + 1
                        if (np.int64(1) << lm) - (np.int64(1) << lx) - (np.int64(1) << ly) > room:
                            if p_count[slot] == 0:
                                p_id[slot] = 0
                            continue
                        if p_count[slot] == 0:
                            p_key[slot] = value
                            p_used[n_used] = slot
                            n_used += 1
                            p_at[slot, 0], p_at[slot, 1], p_at[slot, 2] = q, i, k
                            end_x, end_y = w[x] + s - low, w[y] + t - low
                            start = min(max(s, t) - low, min(end_x, end_y))
                            p_cost[slot] = per_bit * max(max(end_x, end_y) + 1 - start, 1) + per_adder
                        p_count[slot] += 1
            if n_used == 0:
                break
            best = -1
            most = -1e300
            for i in range(n_used):
                slot = p_used[i]
                c = p_cost[slot]
                saved = p_count[slot] - (0 if p_id[slot] >= 0 else 1)
                merit = saved * c - 0.1 * c + amp * c * _random(state)
                if merit > most:
                    most = merit
                    best = slot
            q, i, k = p_at[best, 0], p_at[best, 1], p_at[best, 2]
            match = p_id[best]
            value = p_key[best]
            for j in range(n_used):
                p_count[p_used[j]] = 0
            positives = 0
            for j in range(t_len[q]):
                positives += 1 - t_neg[q, j]
            if match < 0:
                # make it; of a difference the more shifted operand is subtracted, unless a sum lost its last plus
                if t_shift[q, i] > t_shift[q, k] or (t_shift[q, i] == t_shift[q, k] and t_node[q, i] > t_node[q, k]):
                    i, k = k, i
                opposite = t_neg[q, i] != t_neg[q, k]
                if opposite and positives == 1 and t_neg[q, i] == 1:
                    i, k = k, i
                x, y = t_node[q, i], t_node[q, k]
                low = min(t_shift[q, i], t_shift[q, k])
                if n_free > 0:
                    n_free -= 1
                    match = free[n_free]
                elif top < size:
                    match = top
                    top += 1
                else:
                    good = False
                    break
                new[n_new] = match
                n_new += 1
                a[match], b[match] = x, y
                sa[match], sb[match] = t_shift[q, i] - low, t_shift[q, k] - low
                neg[match] = 1 if opposite else 0
                hx, hy = h[x] << np.uint64(sa[match]), h[y] << np.uint64(sb[match])
                h[match] = hx - hy if opposite else hx + hy
                _span(match, x, y, sa[match], sb[match], neg[match], lo, hi, coef, box_lo, box_hi)
                w[match] = _width(lo[match], hi[match])
                cost[match] = _cost(x, y, sa[match], sb[match], neg[match], w[match], w, lo, per_bit, per_adder)
                level[match] = max(level[x], level[y]) + 1
                early[match] = level[match]
                late[match] = level[match]
                refs[match] = 0
                is_out[match] = 0
                head[match] = -1
                if w[match] > _WIDEST or n_new == _MOST_NEW:
                    good = False
                    break
                done += 4 + (coef.shape[1] >> 3)
            # put it in wherever it occurs
            changed = 0
            for q in range(n_sums):
                again = True
                while again and t_len[q] >= 3:
                    again = False
                    n = t_len[q]
                    room = (np.int64(1) << late[sums[q]]) - kraft[q]
                    positives = 0
                    for i in range(n):
                        positives += 1 - t_neg[q, i]
                    for i in range(1, n):
                        for k in range(i):
                            x, y = t_node[q, i], t_node[q, k]
                            s, t = t_shift[q, i], t_shift[q, k]
                            low = min(s, t)
                            hx, hy = h[x] << np.uint64(s - low), h[y] << np.uint64(t - low)
                            mine = hx - hy if t_neg[q, i] != t_neg[q, k] else hx + hy
                            if _canonical(mine) != value:
                                continue
                            grow = (np.int64(1) << level[match]) - (np.int64(1) << level[x]) - (np.int64(1) << level[y])
                            minus = t_neg[q, i] if mine == h[match] else 1 - t_neg[q, i]
                            left = positives - (1 - t_neg[q, i]) - (1 - t_neg[q, k]) + (1 - minus)
                            if grow > room or left < 1:
                                continue
                            for drop in (i, k):  # i > k: the last term moves into each gap
                                n -= 1
                                t_node[q, drop], t_shift[q, drop] = t_node[q, n], t_shift[q, n]
                                t_neg[q, drop] = t_neg[q, n]
                            t_len[q] = n
                            if not _add_term(q, match, low, minus, t_node, t_shift, t_neg, t_len):
                                good = False
                            kraft[q] = 0
                            for j in range(t_len[q]):
                                kraft[q] += np.int64(1) << level[t_node[q, j]]
                            if t_len[q] < 2 or kraft[q] > np.int64(1) << late[sums[q]]:
                                good = False
                            changed += 1
                            again = good
                            break
                        if again or not good:
                            break
            if changed == 0:
                good = False
        for q in range(n_sums):
            if good and t_len[q] != 2:
                good = False
        # what it would cost
        if good:
            change = 0.0
            for i in range(n_new):
                v = new[i]
                change += cost[v]
                for x in (a[v], b[v]):
                    delta[x] += 1
                    touched[n_touched] = x
                    n_touched += 1
            for q in range(n_sums):
                e = sums[q]
                old[q, 0], old[q, 1], old[q, 2], old[q, 3], old[q, 4] = a[e], b[e], sa[e], sb[e], neg[e]
                old_cost[q] = cost[e]
                i, k = 0, 1
                if t_neg[q, 0] == 1 or (t_neg[q, 1] == 0 and t_shift[q, 1] < t_shift[q, 0]):
                    i, k = 1, 0
                for x in (a[e], b[e]):
                    delta[x] -= 1
                    touched[n_touched] = x
                    n_touched += 1
                _unlink(a[e], 2 * e, head, after, before)
                _unlink(b[e], 2 * e + 1, head, after, before)
                a[e], b[e], sa[e], sb[e] = t_node[q, i], t_node[q, k], t_shift[q, i], t_shift[q, k]
                neg[e] = t_neg[q, k]
                for x in (a[e], b[e]):
                    delta[x] += 1
                    touched[n_touched] = x
                    n_touched += 1
                _link(a[e], 2 * e, head, after, before)
                _link(b[e], 2 * e + 1, head, after, before)
                cost[e] = _cost(a[e], b[e], sa[e], sb[e], neg[e], w[e], w, lo, per_bit, per_adder)
                change += cost[e] - old_cost[q]
            # what nothing uses any more
            n_dead = 0
            i = 0
            while i < n_touched:
                x = touched[i]
                i += 1
                if x >= n_inputs and alive[x] and refs[x] + delta[x] == 0 and n_dead < _MOST_CONE:
                    alive[x] = False
                    dead[n_dead] = x
                    n_dead += 1
                    change -= cost[x]
                    for y in (a[x], b[x]):
                        delta[y] -= 1
                        if n_touched < touched.size:
                            touched[n_touched] = y
                            n_touched += 1
            if n_touched >= touched.size or n_dead >= _MOST_CONE:
                change = 1e300
            if change <= 1e-9 or (heat > 0.0 and _random(state) < np.exp(-change / heat)):
                total += change
                for i in range(n_touched):
                    x = touched[i]
                    refs[x] += delta[x]
                    delta[x] = 0
                for i in range(n_new):
                    v = new[i]
                    alive[v] = True
                    _link(a[v], 2 * v, head, after, before)
                    _link(b[v], 2 * v + 1, head, after, before)
                for i in range(n_dead):
                    x = dead[i]
                    _unlink(a[x], 2 * x, head, after, before)
                    _unlink(b[x], 2 * x + 1, head, after, before)
                    slot = _seek(_canonical(h[x]), keys, ids)
                    if ids[slot] == x:
                        ids[slot] = -2  # key stays, so that searches go on behind it
                for i in range(n_new):
                    v = new[i]
                    slot = _seek(_canonical(h[v]), keys, ids)
                    n_keys += ids[slot] == -1
                    keys[slot] = _canonical(h[v])
                    ids[slot] = v
                if n_keys > keys.size * 0.7:
                    ids[:] = -1
                    n_keys = 0
                    for v in range(top):
                        if alive[v]:
                            slot = _seek(_canonical(h[v]), keys, ids)
                            n_keys += ids[slot] == -1
                            keys[slot] = _canonical(h[v])
                            ids[slot] = v
                for i in range(n_dead):
                    free[n_free] = dead[i]
                    n_free += 1
                # levels
                n_queue = 0
                for i in range(n_new):
                    queue[n_queue] = new[i]
                    n_queue += 1
                for q in range(n_sums):
                    queue[n_queue] = sums[q]
                    n_queue += 1
                while n_queue > 0:
                    n_queue -= 1
                    v = queue[n_queue]
                    if not alive[v]:
                        continue
                    now = max(early[a[v]], early[b[v]]) + 1
                    fresh = now != early[v]
                    early[v] = now
                    if fresh:
                        slot = head[v]
                        while slot >= 0 and n_queue < queue.size:
                            queue[n_queue] = slot >> 1
                            n_queue += 1
                            slot = after[slot]
                n_queue = 0
                for i in range(n_touched):
                    if touched[i] >= n_inputs and alive[touched[i]] and n_queue < queue.size:
                        queue[n_queue] = touched[i]
                        n_queue += 1
                for i in range(n_new):
                    queue[n_queue] = new[i]
                    n_queue += 1
                while n_queue > 0:
                    n_queue -= 1
                    v = queue[n_queue]
                    if v < n_inputs or not alive[v]:
                        continue
                    now = deadline
                    slot = head[v]
                    while slot >= 0:
                        now = min(now, late[slot >> 1] - 1)
                        slot = after[slot]
                    if now != late[v]:
                        late[v] = now
                        for x in (a[v], b[v]):
                            if n_queue < queue.size:
                                queue[n_queue] = x
                                n_queue += 1
            else:
                for i in range(n_touched):
                    delta[touched[i]] = 0
                for i in range(n_dead):
                    alive[dead[i]] = True
                for q in range(n_sums):
                    e = sums[q]
                    _unlink(a[e], 2 * e, head, after, before)
                    _unlink(b[e], 2 * e + 1, head, after, before)
                    a[e], b[e], sa[e], sb[e], neg[e] = old[q, 0], old[q, 1], old[q, 2], old[q, 3], old[q, 4]
                    _link(a[e], 2 * e, head, after, before)
                    _link(b[e], 2 * e + 1, head, after, before)
                    cost[e] = old_cost[q]
                good = False
        if not good:
            for i in range(n_new):
                free[n_free] = new[i]
                n_free += 1
        for i in range(n_set):
            in_set[chosen[i]] = False
        for i in range(n_cone):
            behind[cone[i]] = False
        for q in range(n_sums):
            at_sum[sums[q]] = -1
    return top, n_free, total


@kernel
def prepare(
    n_inputs: int, n_nodes: int, deadline: int, per_bit: float, per_adder: float, state: Array,
    a: Array, b: Array, sa: Array, sb: Array, neg: Array, lo: Array, hi: Array, w: Array, h: Array, cost: Array,
    early: Array, late: Array, refs: Array, is_out: Array, alive: Array,
    head: Array, after: Array, before: Array, keys: Array, ids: Array,
    coef: Array, box_lo: Array, box_hi: Array,
) -> None:  # fmt: skip
    """Fill everything that follows from operands, outputs, input ranges and input levels."""
    head[:] = -1
    ids[:] = -1
    for v in range(n_nodes):
        alive[v] = True
        late[v] = deadline
        refs[v] += is_out[v]
        if v < n_inputs:
            _random(state)
            h[v] = _mix(int(state[0])) | np.uint64(1)
            lo[v], hi[v] = box_lo[v], box_hi[v]
            if coef.shape[1]:
                coef[v, v] = 1.0
        else:
            x, y = a[v], b[v]
            refs[x] += 1
            refs[y] += 1
            hx, hy = h[x] << np.uint64(sa[v]), h[y] << np.uint64(sb[v])
            h[v] = hx - hy if neg[v] else hx + hy
            _span(v, x, y, sa[v], sb[v], neg[v], lo, hi, coef, box_lo, box_hi)
            early[v] = max(early[x], early[y]) + 1
            _link(x, 2 * v, head, after, before)
            _link(y, 2 * v + 1, head, after, before)
        w[v] = _width(lo[v], hi[v])
        if v >= n_inputs:
            cost[v] = _cost(a[v], b[v], sa[v], sb[v], neg[v], w[v], w, lo, per_bit, per_adder)
        slot = _seek(_canonical(h[v]), keys, ids)
        if ids[slot] == -1:
            keys[slot] = _canonical(h[v])
            ids[slot] = v
    for v in range(n_nodes - 1, n_inputs - 1, -1):
        late[a[v]] = min(late[a[v]], late[v] - 1)
        late[b[v]] = min(late[b[v]], late[v] - 1)


class Search:
    """The search over one graph, resumed by `run`; the graph as it then stands is `graph()`."""

    def __init__(
        self, graph: AdderGraph, sources: Sources, deadline: int, seed: int, per_bit: float, per_adder: float
    ) -> None:
        """`deadline`: latest level of any output; cost: bits and adders, weighted."""
        depth, lo, hi = sources.depth, sources.lo, sources.hi
        n, n_in = graph.n_nodes, graph.n_inputs
        size = n + _MOST_NEW + 64
        used = np.concatenate([graph.a, graph.b, graph.out_node])
        used = used[(used >= 0) & (used < n_in)]
        base = int(depth[used].min(initial=deadline))
        self.n_inputs, self.top, self.n_free = n_in, n, 0
        self.deadline = deadline - base
        self.per_bit, self.per_adder = per_bit, per_adder
        self.out = (graph.out_node, graph.out_shift, graph.out_negate)
        self.free = np.empty(size, np.int64)
        self.state = np.array([_mix(seed)], np.uint64)
        operands = tuple(np.zeros(size, np.int64) for _ in range(5))
        parts: tuple[NDArray[Any], ...] = (graph.a, graph.b, graph.shift_a, graph.shift_b, graph.negate_b)
        for array, source in zip(operands, parts, strict=True):
            array[n_in:n] = source
        self.operands = operands
        span = [np.zeros(size, np.float64), np.zeros(size, np.float64)]
        width, early, late, refs, is_out = (np.zeros(size, np.int64) for _ in range(5))
        self.early = early
        early[:n_in] = np.clip(depth - base, 0, self.deadline)  # where unused, whatever fits
        used = graph.out_node[graph.out_node >= 0]
        is_out[used] = 1
        self.alive = np.zeros(size, np.bool_)
        lists = (np.empty(size, np.int64), np.empty(2 * size, np.int64), np.empty(2 * size, np.int64))
        table = 256
        while table < 4 * size:
            table *= 2
        exact = size * n_in <= _EXACT_CELLS
        self.arrays = (
            *operands, *span, width, np.zeros(size, np.uint64), np.zeros(size, np.float64),
            early, late, refs, is_out, self.alive, *lists,
            np.zeros(table, np.uint64), np.empty(table, np.int64),
            np.zeros((size, n_in if exact else 0), np.float64), lo.astype(np.float64), hi.astype(np.float64),
        )  # fmt: skip
        prepare(n_in, n, self.deadline, per_bit, per_adder, self.state, *self.arrays)

    def run(self, units: int, hot: float, cool: float = 0.0) -> float:
        """Search on for so many units of work, from temperature `hot` down to `cool`; the change of cost."""
        change = 0.0
        done = 0
        while done < units:
            until = min(done + _UNITS_PER_CALL, units)
            self.top, self.n_free, gain = search(
                until - done, self.n_inputs, self.top, self.free, self.n_free, self.deadline,
                hot + (cool - hot) * done / units, hot + (cool - hot) * until / units,
                self.per_bit, self.per_adder, self.state, *self.arrays,
            )  # fmt: skip
            done = until
            change += gain
        return change

    def graph(self) -> AdderGraph:
        """The graph as it stands."""
        n_in = self.n_inputs
        live = np.flatnonzero(self.alive[n_in : self.top]) + n_in
        live = live[np.argsort(self.early[live], kind="stable")]
        place = np.full(self.top, -1, np.int64)
        place[:n_in] = np.arange(n_in)
        place[live] = n_in + np.arange(live.size)
        a, b, sa, sb, neg = (x[live] for x in self.operands)
        node, shift, negate = self.out
        return AdderGraph(
            n_inputs=n_in,
            a=place[a].astype(np.int32),
            b=place[b].astype(np.int32),
            shift_a=sa.astype(np.int8),
            shift_b=sb.astype(np.int8),
            negate_b=neg.astype(np.bool_),
            out_node=np.where(node >= 0, place[np.maximum(node, 0)] if place.size else 0, -1).astype(np.int32),
            out_shift=shift,
            out_negate=negate,
        )
