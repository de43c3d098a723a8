"""Local search on a finished adder graph: parts are undone and made again, and what is cheaper (or equal) stays.

One step dissolves a few neighbouring adders: each is replaced by its two operands in all its users, which become sums
of three and more terms. These sums are then paired anew, greedily and with some noise: a pair whose value exists
already costs nothing, one that occurs several times is shared. Operands that nothing uses any more fall away. The
step is kept if the graph has not become dearer, early on also if it is slightly dearer: simulated annealing
(Kirkpatrick et al. 1983) over large neighbourhoods (Shaw 1998).

Values are told apart by a hash that is linear in the inputs' hashes, so that two adders of equal value are found
whatever their operands. Levels: every node has an earliest level and a latest one that the deadline allows; a sum that
is made anew has to be done by its latest level, from operands at their earliest (or, where they depend on what is made
anew, at their latest). Levels so chosen rise along every edge, so no cycle can arise.

The state is a few arrays with a row for each property and a column for each node (`ints[A, v]`); operand slot
2 v + side of node v is an element of the linked list of its operand's users.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.solver._core import _mix, _width
from hardwire.solver._greedy import Sources
from hardwire.solver._jit import Array, Mask, helper, lean
from hardwire.solver.graph import AdderGraph

# rows of `ints`
A, B, SHIFT_A, SHIFT_B, NEGATE, WIDTH, EARLY, LATE, USES, OUTPUT, HEAD, LEVEL, SUM, CHANGE, INTS = range(15)
# rows of `reals`
LO, HI, COST, REALS = range(4)
# rows of `flags`: in the graph; dissolved; depends on what is dissolved
ALIVE, GONE, BEHIND, FLAGS = range(4)
# rows of `links`
AFTER, BEFORE = range(2)
# columns of `sums`: the node, how many terms, Σ 2^level of them; of `terms`: ± node << shift
NODE, TERMS, KRAFT = range(3)
SHIFT, MINUS = 1, 2

MOST_SUMS = 48
MOST_TERMS = 16
_MOST_NEW = MOST_SUMS * MOST_TERMS
_MOST_GONE = 64
_MOST_BEHIND = 4000
_PAIRS = 2048
_WIDEST = 60
_LARGEST = 3  # adders that one step sets out from
_SPREAD = 0.6  # how often it takes in what only their users use
_RECODE = 0.2  # how often a sum's 3x is written in the other way
_FLIPS = 0.05  # how often a difference is turned round instead
_UNITS_PER_CALL = 1_000_000
_EXACT_CELLS = 1 << 22
_GOLDEN = 0x9E3779B97F4A7C15


@helper
def _random(state: Array) -> float:
    """Uniform in [0, 1): splitmix64."""
    state[0] += np.uint64(_GOLDEN)
    return (_mix(int(np.int64(state[0]))) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@helper
def _link(x: int, slot: int, ints: Array, links: Array) -> None:
    """Enter an operand slot in the list of the users of x."""
    first = ints[HEAD, x]
    links[AFTER, slot] = first
    links[BEFORE, slot] = -1
    if first >= 0:
        links[BEFORE, first] = slot
    ints[HEAD, x] = slot


@helper
def _unlink(x: int, slot: int, ints: Array, links: Array) -> None:
    before, after = links[BEFORE, slot], links[AFTER, slot]
    if before >= 0:
        links[AFTER, before] = after
    else:
        ints[HEAD, x] = after
    if after >= 0:
        links[BEFORE, after] = before


@helper
def _join(v: int, ints: Array, links: Array) -> None:
    """Enter both operand slots of v."""
    _link(ints[A, v], 2 * v, ints, links)
    _link(ints[B, v], 2 * v + 1, ints, links)


@helper
def _leave(v: int, ints: Array, links: Array) -> None:
    _unlink(ints[A, v], 2 * v, ints, links)
    _unlink(ints[B, v], 2 * v + 1, ints, links)


@helper
def _canonical(h: Mask) -> Mask:
    """The same for a value and its negative."""
    minus = ~h + np.uint64(1)
    return h if h < minus else minus


@helper
def _seek(key: Mask, keys: Array, ids: Array) -> int:
    """Slot of `key` in the table of values, or of the first free place (-1) behind it."""
    mask = keys.size - 1
    i = int(np.int64((key * np.uint64(_GOLDEN)) >> np.uint64(20))) & mask
    while ids[i] != -1 and keys[i] != key:
        i = (i + 1) & mask
    return i


@helper
def _remember(v: int, hashes: Array, keys: Array, ids: Array) -> int:
    """Enter the value of v, in place of another node of that value; 1 if the table holds one key more."""
    key = _canonical(hashes[v])
    slot = _seek(key, keys, ids)
    fresh = 1 if ids[slot] == -1 else 0
    keys[slot] = key
    ids[slot] = v
    return fresh


@helper
def _price(
    a: int, b: int, shift_a: int, shift_b: int, negate: int, width: int, ints: Array, reals: Array, prices: Array
) -> float:
    """Cost of an adder of that width by `FullAdderCost`, from the prices of a bit and of an adder; bits may be free."""
    if prices[0] == 0.0:
        return float(prices[1])
    wa, wb = ints[WIDTH, a], ints[WIDTH, b]
    if wb == 0 or (negate == 0 and wa == 0):
        return 0.0
    start = shift_b
    if negate == 0:
        if (reals[LO, a] >= 0.0 and wa + shift_a <= shift_b) or (reals[LO, b] >= 0.0 and wb + shift_b <= shift_a):
            return 0.0
        if shift_a > start:
            start = shift_a
    bits = width - start
    return float(prices[0] * bits + prices[1]) if bits > 0 else 0.0


@helper
def _reprice(v: int, ints: Array, reals: Array, prices: Array) -> float:
    """Set the cost of v; what it has grown by."""
    old = reals[COST, v]
    new = _price(
        ints[A, v], ints[B, v], ints[SHIFT_A, v], ints[SHIFT_B, v], ints[NEGATE, v], ints[WIDTH, v], ints, reals, prices
    )
    reals[COST, v] = new
    return new - old


@helper
def _value(v: int, ints: Array, reals: Array, hashes: Array, coef: Array, box: Array) -> None:
    """Set hash, range and width of adder v; the range exactly, if `coef` holds linear forms, else by intervals."""
    a, b = ints[A, v], ints[B, v]
    ha, hb = hashes[a] << np.uint64(ints[SHIFT_A, v]), hashes[b] << np.uint64(ints[SHIFT_B, v])
    fa, fb = 2.0 ** ints[SHIFT_A, v], 2.0 ** ints[SHIFT_B, v]
    if ints[NEGATE, v]:
        hashes[v] = ha - hb
        fb = -fb
    else:
        hashes[v] = ha + hb
    low, high = 0.0, 0.0
    for k in range(coef.shape[1]):
        c = coef[a, k] * fa + coef[b, k] * fb
        coef[v, k] = c
        low += c * box[0 if c > 0.0 else 1, k]
        high += c * box[1 if c > 0.0 else 0, k]
    if coef.shape[1] == 0:
        low = reals[LO, a] * fa + reals[LO if fb > 0.0 else HI, b] * fb
        high = reals[HI, a] * fa + reals[HI if fb > 0.0 else LO, b] * fb
    reals[LO, v], reals[HI, v] = low, high
    ints[WIDTH, v] = _width(low, high)


@helper
def _turn(
    v: int, heat: float, ints: Array, reals: Array, hashes: Array, links: Array, coef: Array, prices: Array,
    state: Array,
) -> float:  # fmt: skip
    """Make b - a of the difference v = a - b if that is no dearer, its users included; the change of cost.

    A user that would become a sum of two negatives forbids it.
    """
    low, high, width = reals[LO, v], reals[HI, v], ints[WIDTH, v]
    reals[LO, v], ints[WIDTH, v] = -high, _width(-high, -low)
    change = -reals[COST, v] + _price(
        ints[B, v], ints[A, v], ints[SHIFT_B, v], ints[SHIFT_A, v], 1, ints[WIDTH, v], ints, reals, prices
    )
    good = True
    slot = ints[HEAD, v]
    while slot >= 0 and good:
        u = slot >> 1
        good = ints[A, u] != ints[B, u] and ((slot & 1) == 1 or ints[NEGATE, u] == 0)
        if slot & 1:
            change += _price(
                ints[A, u], v, ints[SHIFT_A, u], ints[SHIFT_B, u], 1 - ints[NEGATE, u], ints[WIDTH, u],
                ints, reals, prices,
            )  # fmt: skip
        else:
            change += _price(ints[B, u], v, ints[SHIFT_B, u], ints[SHIFT_A, u], 1, ints[WIDTH, u], ints, reals, prices)
        change -= reals[COST, u]
        slot = links[AFTER, slot]
    if not good or (change > 1e-9 and (heat <= 0.0 or _random(state) >= np.exp(-change / heat))):
        reals[LO, v], ints[WIDTH, v] = low, width
        return 0.0
    reals[HI, v] = -low
    hashes[v] = ~hashes[v] + np.uint64(1)
    for k in range(coef.shape[1]):
        coef[v, k] = -coef[v, k]
    slot = ints[HEAD, v]
    while slot >= 0:
        u = slot >> 1
        following = links[AFTER, slot]  # the list changes where operands change places
        if slot & 1:
            ints[NEGATE, u] = 1 - ints[NEGATE, u]
        else:
            _swap(u, ints, links)
            ints[NEGATE, u] = 1
        _reprice(u, ints, reals, prices)
        slot = following
    _swap(v, ints, links)
    _reprice(v, ints, reals, prices)
    return change


@helper
def _swap(v: int, ints: Array, links: Array) -> None:
    """Exchange the operands of v."""
    _leave(v, ints, links)
    ints[A, v], ints[B, v] = ints[B, v], ints[A, v]
    ints[SHIFT_A, v], ints[SHIFT_B, v] = ints[SHIFT_B, v], ints[SHIFT_A, v]
    _join(v, ints, links)


@helper
def _choose(r: int, n_inputs: int, gone: Array, ints: Array, links: Array, flags: Array, state: Array) -> int:
    """Mark and list in `gone` adder r and some near it: operands, users, other operands of users; how many."""
    n = 1
    gone[0] = r
    flags[GONE, r] = True
    want = 1
    while want < _LARGEST and _random(state) < 0.7:
        want += 1
    for _ in range(3 * (want - 1)):
        if n == want:
            break
        x = gone[int(_random(state) * n)]
        kind = int(_random(state) * 4.0)
        y = ints[A, x] if kind == 0 else ints[B, x]
        if kind >= 2:
            slot = ints[HEAD, x]
            hops = int(_random(state) * 4.0)
            while hops > 0 and slot >= 0 and links[AFTER, slot] >= 0:
                slot = links[AFTER, slot]
                hops -= 1
            y = slot >> 1 if slot >= 0 else x
            if kind == 3 and slot >= 0:
                y = ints[A, y] + ints[B, y] - x
        if y >= n_inputs and not flags[GONE, y]:
            flags[GONE, y] = True
            gone[n] = y
            n += 1
    if _random(state) < _SPREAD:
        first = n
        for i in range(first):
            slot = ints[HEAD, gone[i]]
            while slot >= 0:
                user = slot >> 1
                slot = links[AFTER, slot]
                if not flags[GONE, user]:
                    n = _take_in(ints[A, user], n, n_inputs, gone, ints, flags)
                    n = _take_in(ints[B, user], n, n_inputs, gone, ints, flags)
        i = first
        while i < n:
            for side in range(2):
                if _random(state) < 0.5:
                    n = _take_in(ints[A + side, gone[i]], n, n_inputs, gone, ints, flags)
            i += 1
    return n


@helper
def _take_in(x: int, n: int, n_inputs: int, gone: Array, ints: Array, flags: Array) -> int:
    """Mark and list adder x too, if it has one user and there is room; how many there are."""
    if x < n_inputs or ints[USES, x] != 1 or flags[GONE, x] or n == _MOST_GONE:
        return n
    flags[GONE, x] = True
    gone[n] = x
    return n + 1


@helper
def _list_sums(n_gone: int, gone: Array, sums: Array, ints: Array, links: Array, flags: Array) -> int:
    """List the users that stay of what is dissolved; how many, -1 beyond room (then none is marked)."""
    n = 0
    for i in range(n_gone):
        slot = ints[HEAD, gone[i]]
        while slot >= 0:
            user = slot >> 1
            slot = links[AFTER, slot]
            if flags[GONE, user] or ints[SUM, user] >= 0:
                continue
            if n == MOST_SUMS:
                for q in range(n):
                    ints[SUM, sums[q, NODE]] = -1
                return -1
            ints[SUM, user] = n
            sums[n, NODE] = user
            n += 1
    return n


@helper
def _list_behind(n_gone: int, gone: Array, behind: Array, ints: Array, links: Array, flags: Array) -> int:
    """Mark and list all that depends on what is dissolved; how many, `_MOST_BEHIND` where there may be more."""
    n = 0
    for i in range(n_gone):
        flags[BEHIND, gone[i]] = True
        behind[n] = gone[i]
        n += 1
    i = 0
    while i < n:
        slot = ints[HEAD, behind[i]]
        while slot >= 0 and n < _MOST_BEHIND:
            user = slot >> 1
            if not flags[BEHIND, user]:
                flags[BEHIND, user] = True
                behind[n] = user
                n += 1
            slot = links[AFTER, slot]
        i += 1
    return n


@helper
def _drop(q: int, i: int, sums: Array, terms: Array) -> None:
    """Take term i from sum q; the last term takes its place."""
    n = sums[q, TERMS] - 1
    sums[q, TERMS] = n
    for k in range(3):
        terms[q, i, k] = terms[q, n, k]


@helper
def _add(q: int, x: int, shift: int, minus: int, sums: Array, terms: Array) -> bool:
    """Add ± x << shift to sum q; equal terms merge or cancel. False: no room."""
    i = 0
    while i < sums[q, TERMS]:
        if terms[q, i, NODE] == x and terms[q, i, SHIFT] == shift:
            same = terms[q, i, MINUS] == minus
            _drop(q, i, sums, terms)
            if not same:
                return True
            shift += 1
            i = 0
        else:
            i += 1
    n = sums[q, TERMS]
    if n == MOST_TERMS:
        return False
    terms[q, n, NODE], terms[q, n, SHIFT], terms[q, n, MINUS] = x, shift, minus
    sums[q, TERMS] = n + 1
    return True


@helper
def _recode(q: int, i: int, sums: Array, terms: Array) -> None:
    """Write 3x as 2x + x instead of 4x - x or the other way round, if term i of sum q is its x."""
    x, shift, minus = terms[q, i, NODE], terms[q, i, SHIFT], terms[q, i, MINUS]
    for k in range(sums[q, TERMS]):
        up, sign = terms[q, k, SHIFT] - shift, terms[q, k, MINUS]
        if terms[q, k, NODE] != x or not ((up == 1 and sign == minus) or (up == 2 and sign != minus)):
            continue
        _drop(q, i if i > k else k, sums, terms)
        _drop(q, k if i > k else i, sums, terms)
        _add(q, x, shift, sign if up == 2 else 1 - sign, sums, terms)
        _add(q, x, shift + 3 - up, sign, sums, terms)
        return


@helper
def _weigh(q: int, sums: Array, terms: Array, ints: Array) -> bool:
    """Set Σ 2^level of the terms of sum q; False if that is too late, or nothing is left to be paired or positive."""
    total = 0
    positive = False
    for i in range(sums[q, TERMS]):
        total += 1 << ints[LEVEL, terms[q, i, NODE]]
        positive = positive or terms[q, i, MINUS] == 0
    sums[q, KRAFT] = total
    return positive and sums[q, TERMS] >= 2 and total <= 1 << ints[LATE, sums[q, NODE]]


@helper
def _write_out(
    q: int, stack: Array, sums: Array, terms: Array, ints: Array, flags: Array, state: Array
) -> bool:  # fmt: skip
    """Write node `sums[q, NODE]` as a sum of what is not dissolved; False if that does not do."""
    sums[q, TERMS] = 0
    stack[0, NODE], stack[0, SHIFT], stack[0, MINUS] = sums[q, NODE], 0, 0
    n = 1
    first = True
    while n > 0:
        n -= 1
        x, shift, minus = stack[n, NODE], stack[n, SHIFT], stack[n, MINUS]
        if first or flags[GONE, x]:
            first = False
            stack[n, NODE], stack[n, SHIFT], stack[n, MINUS] = ints[A, x], shift + ints[SHIFT_A, x], minus
            n += 1
            stack[n, NODE], stack[n, SHIFT] = ints[B, x], shift + ints[SHIFT_B, x]
            stack[n, MINUS] = minus ^ ints[NEGATE, x]
            n += 1
        elif not _add(q, x, shift, minus, sums, terms):
            return False
    if _random(state) < _RECODE and sums[q, TERMS] > 0:
        _recode(q, int(_random(state) * sums[q, TERMS]), sums, terms)
    for i in range(sums[q, TERMS]):
        x = terms[q, i, NODE]
        ints[LEVEL, x] = ints[LATE if flags[BEHIND, x] else EARLY, x]
    return _weigh(q, sums, terms, ints)


@helper
def _pair_value(q: int, i: int, k: int, terms: Array, hashes: Array) -> Mask:
    """Hash of the sum of two terms, both shifted down by the lower shift, as the sign of term i makes it."""
    s, t = terms[q, i, SHIFT], terms[q, k, SHIFT]
    low = s if s < t else t
    hx = hashes[terms[q, i, NODE]] << np.uint64(s - low)
    hy = hashes[terms[q, k, NODE]] << np.uint64(t - low)
    return hx - hy if terms[q, i, MINUS] != terms[q, k, MINUS] else hx + hy


@helper
def _known(
    value: Mask, keep: bool, n_new: int, new: Array, ints: Array, hashes: Array, flags: Array, keys: Array, ids: Array
) -> int:
    """The node of that value (or its negative) that need not be made, its level set; -1 if there is none."""
    for i in range(n_new):
        if _canonical(hashes[new[i]]) == value:
            return new[i]
    x = ids[_seek(value, keys, ids)]
    if x < 0 or (flags[GONE, x] and not (keep and ints[OUTPUT, x] == 1)):
        return -1
    ints[LEVEL, x] = ints[LATE if flags[BEHIND, x] else EARLY, x]
    return x


@helper
def _count(
    n_sums: int, keep: bool, n_new: int, new: Array, sums: Array, terms: Array, ints: Array, hashes: Array,
    flags: Array, keys: Array, ids: Array, pairs: Array, pair_keys: Array, pair_slots: Array,
) -> tuple[int, int]:  # fmt: skip
    """Table of the pairs that occur in open sums and come in time: how many, and how many were looked at.

    `pairs[slot]`: occurrences, where it was seen first (sum and two terms) and the node that has its value, or -1.
    """
    used = 0
    looked = 0
    for q in range(n_sums):
        n = sums[q, TERMS]
        if n < 3:
            continue
        room = (1 << ints[LATE, sums[q, NODE]]) - sums[q, KRAFT]
        looked += (n * (n - 1)) >> 1
        for i in range(1, n):
            lx = ints[LEVEL, terms[q, i, NODE]]
            for k in range(i):
                ly = ints[LEVEL, terms[q, k, NODE]]
                value = _canonical(_pair_value(q, i, k, terms, hashes))
                slot = int(np.int64((value * np.uint64(_GOLDEN)) >> np.uint64(53)))
                while pairs[slot, 0] != 0 and pair_keys[slot] != value:
                    slot = (slot + 1) & (_PAIRS - 1)
                if pairs[slot, 0] == 0:
                    if used > _PAIRS // 2:
                        continue
                    node = _known(value, keep, n_new, new, ints, hashes, flags, keys, ids)
                else:
                    node = pairs[slot, 4]
                done = ints[LEVEL, node] if node >= 0 else (lx if lx > ly else ly) + 1
                if (1 << done) - (1 << lx) - (1 << ly) > room:
                    continue
                if pairs[slot, 0] == 0:
                    pair_keys[slot] = value
                    pair_slots[used] = slot
                    used += 1
                    pairs[slot, 1], pairs[slot, 2], pairs[slot, 3], pairs[slot, 4] = q, i, k, node
                pairs[slot, 0] += 1
    return used, looked


@helper
def _pick(
    used: int, noise: float, terms: Array, ints: Array, prices: Array, pairs: Array, pair_slots: Array, state: Array
) -> int:
    """Slot of the pair that saves most; all counts become 0."""
    best = -1
    most = -1e300
    for j in range(used):
        slot = pair_slots[j]
        q, i, k = pairs[slot, 1], pairs[slot, 2], pairs[slot, 3]
        s, t = terms[q, i, SHIFT], terms[q, k, SHIFT]
        end_x, end_y = ints[WIDTH, terms[q, i, NODE]] + s, ints[WIDTH, terms[q, k, NODE]] + t
        start = s if s > t else t
        if end_x < start or end_y < start:
            start = end_x if end_x < end_y else end_y
        bits = (end_x if end_x > end_y else end_y) + 1 - start
        price = prices[0] * bits + prices[1]
        saved = pairs[slot, 0] - (0 if pairs[slot, 4] >= 0 else 1)
        merit = price * (saved - 0.1 + noise * _random(state))
        if merit > most:
            most = merit
            best = slot
    for j in range(used):
        pairs[pair_slots[j], 0] = 0
    return best


@helper
def _make(
    v: int, q: int, i: int, k: int, sums: Array, terms: Array, ints: Array, reals: Array, hashes: Array, coef: Array,
    box: Array, prices: Array,
) -> None:  # fmt: skip
    """Make v the sum of two terms; of a difference the more shifted one is subtracted, if a plus is then left."""
    s, t = terms[q, i, SHIFT], terms[q, k, SHIFT]
    if s > t or (s == t and terms[q, i, NODE] > terms[q, k, NODE]):
        i, k = k, i
    opposite = terms[q, i, MINUS] != terms[q, k, MINUS]
    if opposite and terms[q, i, MINUS] == 1:
        positives = 0
        for j in range(sums[q, TERMS]):
            positives += 1 - terms[q, j, MINUS]
        if positives == 1:
            i, k = k, i
    low = s if s < t else t
    x, y = terms[q, i, NODE], terms[q, k, NODE]
    ints[A, v], ints[B, v], ints[NEGATE, v] = x, y, 1 if opposite else 0
    ints[SHIFT_A, v], ints[SHIFT_B, v] = terms[q, i, SHIFT] - low, terms[q, k, SHIFT] - low
    level = ints[LEVEL, x] if ints[LEVEL, x] > ints[LEVEL, y] else ints[LEVEL, y]
    ints[LEVEL, v] = ints[EARLY, v] = ints[LATE, v] = level + 1
    ints[USES, v] = ints[OUTPUT, v] = 0
    ints[HEAD, v] = -1
    reals[COST, v] = 0.0
    _value(v, ints, reals, hashes, coef, box)
    _reprice(v, ints, reals, prices)


@helper
def _place(q: int, v: int, value: Mask, sums: Array, terms: Array, ints: Array, hashes: Array) -> int:
    """Put v for one pair of its value in sum q: 1 done, 0 there is none (in time, and leaving a plus), -1 no use."""
    n = sums[q, TERMS]
    room = (1 << ints[LATE, sums[q, NODE]]) - sums[q, KRAFT]
    positives = 0
    for i in range(n):
        positives += 1 - terms[q, i, MINUS]
    for i in range(1, n):
        for k in range(i):
            mine = _pair_value(q, i, k, terms, hashes)
            if _canonical(mine) != value:
                continue
            s, t = terms[q, i, SHIFT], terms[q, k, SHIFT]
            lx, ly = ints[LEVEL, terms[q, i, NODE]], ints[LEVEL, terms[q, k, NODE]]
            minus = terms[q, i, MINUS] if mine == hashes[v] else 1 - terms[q, i, MINUS]
            left = positives + terms[q, i, MINUS] + terms[q, k, MINUS] - minus  # of the pluses, and one
            if (1 << ints[LEVEL, v]) - (1 << lx) - (1 << ly) > room or left < 2:
                continue
            _drop(q, i, sums, terms)  # i > k
            _drop(q, k, sums, terms)
            fits = _add(q, v, s if s < t else t, minus, sums, terms)
            return 1 if fits and _weigh(q, sums, terms, ints) else -1
    return 0


@helper
def _touch(x: int, by: int, n: int, touched: Array, ints: Array) -> int:
    """Note that x has `by` users more; how many notes there are."""
    ints[CHANGE, x] += by
    if n < touched.size:
        touched[n] = x
        n += 1
    return n


@helper
def _rewire(
    q: int, n: int, old: Array, sums: Array, terms: Array, touched: Array, ints: Array, reals: Array, links: Array,
    prices: Array,
) -> tuple[float, int]:  # fmt: skip
    """Make the node of sum q the sum of its two terms, keeping its old operands in `old[q]`; change of cost, notes."""
    e = sums[q, NODE]
    for row in range(5):
        old[q, row] = ints[A + row, e]
        # of a difference the minuend comes first, of a sum the less shifted operand
    i, k = 0, 1
    if terms[q, 0, MINUS] == 1 or (terms[q, 1, MINUS] == 0 and terms[q, 1, SHIFT] < terms[q, 0, SHIFT]):
        i, k = 1, 0
    n = _touch(ints[A, e], -1, n, touched, ints)
    n = _touch(ints[B, e], -1, n, touched, ints)
    _leave(e, ints, links)
    ints[A, e], ints[B, e] = terms[q, i, NODE], terms[q, k, NODE]
    ints[SHIFT_A, e], ints[SHIFT_B, e] = terms[q, i, SHIFT], terms[q, k, SHIFT]
    ints[NEGATE, e] = terms[q, k, MINUS]
    n = _touch(ints[A, e], 1, n, touched, ints)
    n = _touch(ints[B, e], 1, n, touched, ints)
    _join(e, ints, links)
    return _reprice(e, ints, reals, prices), n


@helper
def _bury(
    n: int, n_inputs: int, touched: Array, dead: Array, ints: Array, reals: Array, flags: Array
) -> tuple[float, int, int]:
    """List what nothing uses any more: the cost it saves, notes, how many."""
    n_dead = 0
    saved = 0.0
    i = 0
    while i < n:
        x = touched[i]
        i += 1
        if x >= n_inputs and flags[ALIVE, x] and ints[USES, x] + ints[CHANGE, x] == 0 and n_dead < dead.size:
            flags[ALIVE, x] = False
            dead[n_dead] = x
            n_dead += 1
            saved += reals[COST, x]
            n = _touch(ints[A, x], -1, n, touched, ints)
            n = _touch(ints[B, x], -1, n, touched, ints)
    return saved, n, n_dead


@helper
def _relevel(
    n_queue: int, queue: Array, again: Array, n_touched: int, touched: Array, n_inputs: int, deadline: int,
    ints: Array, flags: Array, links: Array,
) -> None:  # fmt: skip
    """Bring earliest levels up to date behind what is queued, then latest levels before that and what is touched."""
    seeds = n_queue
    for i in range(seeds):
        again[i] = queue[i]
    while n_queue > 0:
        n_queue -= 1
        v = queue[n_queue]
        if not flags[ALIVE, v]:
            continue
        early_a, early_b = ints[EARLY, ints[A, v]], ints[EARLY, ints[B, v]]
        now = (early_a if early_a > early_b else early_b) + 1
        if now == ints[EARLY, v]:
            continue
        ints[EARLY, v] = now
        slot = ints[HEAD, v]
        while slot >= 0 and n_queue < queue.size:
            queue[n_queue] = slot >> 1
            n_queue += 1
            slot = links[AFTER, slot]
    for i in range(n_touched):
        queue[n_queue] = touched[i]
        n_queue += 1
    for i in range(seeds):
        queue[n_queue] = again[i]
        n_queue += 1
    while n_queue > 0:
        n_queue -= 1
        v = queue[n_queue]
        if v < n_inputs or not flags[ALIVE, v]:
            continue
        now = deadline
        slot = ints[HEAD, v]
        while slot >= 0:
            before = ints[LATE, slot >> 1] - 1
            if before < now:
                now = before
            slot = links[AFTER, slot]
        if now == ints[LATE, v]:
            continue
        ints[LATE, v] = now
        for side in range(2):
            if n_queue < queue.size:
                queue[n_queue] = ints[A + side, v]
                n_queue += 1


@lean
def search(
    units: int, n_inputs: int, top: int, spare: Array, n_spare: int, deadline: int, hot: float, cool: float,
    prices: Array, state: Array, ints: Array, reals: Array, flags: Array, hashes: Array, links: Array,
    keys: Array, ids: Array, coef: Array, box: Array,
    gone: Array, behind: Array, sums: Array, terms: Array, stack: Array, pairs: Array, pair_keys: Array,
    pair_slots: Array, new: Array, old: Array, touched: Array, dead: Array, queue: Array, again: Array,
) -> tuple[int, int, float]:  # fmt: skip
    """Dissolve and re-pair until `units` pairs have been looked at, a step counting as a few.

    `top`: ids in use or freed; `spare`: stack of freed ids. `hot`, `cool`: temperatures at the start and at the end, in
    units of cost. All from `gone` on is room to work in. Returns top, n_spare and the change of cost.
    """
    n_keys = 0
    for i in range(ids.size):
        n_keys += 1 if ids[i] != -1 else 0
    total = 0.0
    done = 0
    while done < units:
        done += 4
        r = n_inputs + int(_random(state) * (top - n_inputs))
        if not flags[ALIVE, r] or ints[USES, r] == 0:
            continue
        heat = hot + (cool - hot) * done / units
        done += 12
        if ints[NEGATE, r] and ints[OUTPUT, r] == 0 and _random(state) < _FLIPS:
            total += _turn(r, heat, ints, reals, hashes, links, coef, prices, state)
            continue
        n_gone = _choose(r, n_inputs, gone, ints, links, flags, state)
        n_sums = _list_sums(n_gone, gone, sums, ints, links, flags)
        n_behind = _list_behind(n_gone, gone, behind, ints, links, flags) if n_sums > 0 else 0
        done += n_behind >> 3
        good = n_sums > 0 and n_behind < _MOST_BEHIND
        for q in range(n_sums):
            good = good and _write_out(q, stack, sums, terms, ints, flags, state)
        n_new = 0
        noise = 0.6 * _random(state)
        keep = _random(state) < 0.5
        while good:
            used, looked = _count(
                n_sums, keep, n_new, new, sums, terms, ints, hashes, flags, keys, ids, pairs, pair_keys, pair_slots
            )
            done += looked
            if used == 0:
                break
            best = _pick(used, noise, terms, ints, prices, pairs, pair_slots, state)
            v = pairs[best, 4]
            if v < 0:
                if n_new == _MOST_NEW:
                    good = False
                    break
                if n_spare > 0:
                    n_spare -= 1
                    v = spare[n_spare]
                else:
                    v = top
                    top += 1
                new[n_new] = v
                n_new += 1
                q, i, k = pairs[best, 1], pairs[best, 2], pairs[best, 3]
                _make(v, q, i, k, sums, terms, ints, reals, hashes, coef, box, prices)
                done += 4 + (coef.shape[1] >> 3)
                good = ints[WIDTH, v] <= _WIDEST
            placed = 0
            for q in range(n_sums):
                result = 1
                while good and result == 1 and sums[q, TERMS] >= 3:
                    result = _place(q, v, pair_keys[best], sums, terms, ints, hashes)
                    placed += result
                    good = result >= 0
            good = good and placed > 0
        for q in range(n_sums):
            good = good and sums[q, TERMS] == 2
        if good:
            change = 0.0
            n = 0
            for i in range(n_new):
                change += reals[COST, new[i]]
                n = _touch(ints[A, new[i]], 1, n, touched, ints)
                n = _touch(ints[B, new[i]], 1, n, touched, ints)
            for q in range(n_sums):
                more, n = _rewire(q, n, old, sums, terms, touched, ints, reals, links, prices)
                change += more
            saved, n, n_dead = _bury(n, n_inputs, touched, dead, ints, reals, flags)
            change -= saved
            good = n < touched.size and n_dead < dead.size
            if good and (change <= 1e-9 or (heat > 0.0 and _random(state) < np.exp(-change / heat))):
                total += change
                n_queue = 0
                for i in range(n):
                    ints[USES, touched[i]] += ints[CHANGE, touched[i]]
                    ints[CHANGE, touched[i]] = 0
                for i in range(n_new):
                    flags[ALIVE, new[i]] = True
                    _join(new[i], ints, links)
                    n_keys += _remember(new[i], hashes, keys, ids)
                    queue[n_queue] = new[i]
                    n_queue += 1
                for q in range(n_sums):
                    queue[n_queue] = sums[q, NODE]
                    n_queue += 1
                for i in range(n_dead):
                    x = dead[i]
                    _leave(x, ints, links)
                    slot = _seek(_canonical(hashes[x]), keys, ids)
                    if ids[slot] == x:
                        ids[slot] = -2  # the key stays, so that searches go on behind it
                    spare[n_spare] = x
                    n_spare += 1
                if n_keys > 0.7 * keys.size:
                    ids[:] = -1
                    n_keys = 0
                    for v in range(top):
                        if flags[ALIVE, v]:
                            n_keys += _remember(v, hashes, keys, ids)
                _relevel(n_queue, queue, again, n, touched, n_inputs, deadline, ints, flags, links)
            else:
                good = False
                for i in range(n):
                    ints[CHANGE, touched[i]] = 0
                for i in range(n_dead):
                    flags[ALIVE, dead[i]] = True
                for q in range(n_sums):
                    e = sums[q, NODE]
                    _leave(e, ints, links)
                    for row in range(5):
                        ints[A + row, e] = old[q, row]
                    _join(e, ints, links)
                    _reprice(e, ints, reals, prices)
        if not good:
            for i in range(n_new):
                spare[n_spare] = new[i]
                n_spare += 1
        for i in range(n_gone):
            flags[GONE, gone[i]] = False
        for i in range(n_behind):
            flags[BEHIND, behind[i]] = False
        for q in range(n_sums):
            ints[SUM, sums[q, NODE]] = -1
    return top, n_spare, total


@lean
def prepare(
    n_inputs: int, n_nodes: int, deadline: int, prices: Array, state: Array, ints: Array, reals: Array, flags: Array,
    hashes: Array, links: Array, keys: Array, ids: Array, coef: Array, box: Array,
) -> None:  # fmt: skip
    """Fill everything that follows from operands, outputs, input ranges and input levels."""
    ints[HEAD] = -1
    ints[SUM] = -1
    ids[:] = -1
    for v in range(n_nodes):
        flags[ALIVE, v] = True
        ints[LATE, v] = deadline
        ints[USES, v] += ints[OUTPUT, v]
        if v < n_inputs:
            _random(state)
            hashes[v] = _mix(int(np.int64(state[0]))) | np.uint64(1)
            reals[LO, v], reals[HI, v] = box[0, v], box[1, v]
            ints[WIDTH, v] = _width(box[0, v], box[1, v])
            if coef.shape[1] > 0:
                coef[v, v] = 1.0
        else:
            a, b = ints[A, v], ints[B, v]
            ints[USES, a] += 1
            ints[USES, b] += 1
            early_a, early_b = ints[EARLY, a], ints[EARLY, b]
            ints[EARLY, v] = (early_a if early_a > early_b else early_b) + 1
            _join(v, ints, links)
            _value(v, ints, reals, hashes, coef, box)
            _reprice(v, ints, reals, prices)
        if ids[_seek(_canonical(hashes[v]), keys, ids)] == -1:
            _remember(v, hashes, keys, ids)
    for v in range(n_nodes - 1, n_inputs - 1, -1):
        for side in range(2):
            x = ints[A + side, v]
            if ints[LATE, v] - 1 < ints[LATE, x]:
                ints[LATE, x] = ints[LATE, v] - 1


def _room() -> tuple[NDArray[Any], ...]:
    """What `search` works in, from `gone` on."""
    ints: tuple[int | tuple[int, ...], ...] = (
        _MOST_GONE, _MOST_BEHIND, (MOST_SUMS, 3), (MOST_SUMS, MOST_TERMS, 3), (_MOST_GONE + 2, 3), (_PAIRS, 5), 0,
        _PAIRS, _MOST_NEW, (MOST_SUMS, 5), 8 * _MOST_NEW, _MOST_BEHIND, 20 * _MOST_NEW, 2 * _MOST_NEW,
    )  # fmt: skip
    arrays: list[NDArray[Any]] = [np.zeros(shape, np.int64) for shape in ints]
    arrays[6] = np.zeros(_PAIRS, np.uint64)
    return tuple(arrays)


class Search:
    """The search over one graph, resumed by `run`; the graph as it then stands is `graph()`."""

    def __init__(
        self, graph: AdderGraph, sources: Sources, deadline: int, seed: int, per_bit: float, per_adder: float
    ) -> None:
        """`deadline`: latest level of any output, at most 60 above the first input; cost: bits and adders, weighted."""
        depth, lo, hi = sources.depth, sources.lo, sources.hi
        n, n_in = graph.n_nodes, graph.n_inputs
        size = n + _MOST_NEW + 64
        used = np.concatenate([graph.a, graph.b, graph.out_node])
        used = used[(used >= 0) & (used < n_in)]
        base = int(depth[used].min(initial=deadline))
        self.n_inputs, self.top, self.n_spare = n_in, n, 0
        self.deadline = deadline - base
        self.out = (graph.out_node, graph.out_shift, graph.out_negate)
        self.spare = np.empty(size, np.int64)
        self.prices = np.array([per_bit, per_adder])
        self.state = np.array([_mix(seed)], np.uint64)
        self.ints = np.zeros((INTS, size), np.int64)
        parts: tuple[NDArray[Any], ...] = (graph.a, graph.b, graph.shift_a, graph.shift_b, graph.negate_b)
        for row, part in enumerate(parts):
            self.ints[A + row, n_in:n] = part
        self.ints[EARLY, :n_in] = np.clip(depth - base, 0, self.deadline)  # where unused, whatever fits
        self.ints[OUTPUT, graph.out_node[graph.out_node >= 0]] = 1
        self.flags = np.zeros((FLAGS, size), np.bool_)
        table = 256
        while table < 4 * size:
            table *= 2
        exact = size * n_in <= _EXACT_CELLS
        self.arrays = (
            self.ints, np.zeros((REALS, size), np.float64), self.flags, np.zeros(size, np.uint64),
            np.empty((2, 2 * size), np.int64), np.zeros(table, np.uint64), np.empty(table, np.int64),
            np.zeros((size, n_in if exact else 0), np.float64), np.array([lo, hi], np.float64),
        )  # fmt: skip
        self.room = _room()
        prepare(n_in, n, self.deadline, self.prices, self.state, *self.arrays)

    def run(self, units: int, hot: float, cool: float = 0.0) -> float:
        """Search on for so many units of work, from temperature `hot` down to `cool`; the change of cost."""
        change = 0.0
        done = 0
        while done < units:
            until = min(done + _UNITS_PER_CALL, units)
            self.top, self.n_spare, gain = search(
                until - done, self.n_inputs, self.top, self.spare, self.n_spare, self.deadline,
                hot + (cool - hot) * done / units, hot + (cool - hot) * until / units,
                self.prices, self.state, *self.arrays, *self.room,
            )  # fmt: skip
            done = until
            change += gain
        return change

    def graph(self) -> AdderGraph:
        """The graph as it stands."""
        n_in = self.n_inputs
        live = np.flatnonzero(self.flags[ALIVE, n_in : self.top]) + n_in
        live = live[np.argsort(self.ints[EARLY, live], kind="stable")]
        place = np.full(self.top, -1, np.int64)
        place[:n_in] = np.arange(n_in)
        place[live] = n_in + np.arange(live.size)
        a, b, shift_a, shift_b, negate = self.ints[A : NEGATE + 1, live]
        node, shift, negative = self.out
        return AdderGraph(
            n_inputs=n_in,
            a=place[a].astype(np.int32),
            b=place[b].astype(np.int32),
            shift_a=shift_a.astype(np.int8),
            shift_b=shift_b.astype(np.int8),
            negate_b=negate.astype(np.bool_),
            out_node=np.where(node >= 0, place[np.maximum(node, 0)] if place.size else 0, -1).astype(np.int32),
            out_shift=shift,
            out_negate=negative,
        )
