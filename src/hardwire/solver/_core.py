"""Compiled kernels of the greedy two-term elimination and of the closing adder trees.

Terms. A column is a sum of digits `± node << shift`. The digits of one node in one column are an *entry*: two bit
masks over shifts. The entries of a node lie next to each other in the pool, sorted by column, so that all
occurrences of a pair of nodes follow from one merge of two sorted lists and a few bit operations per column.

Pairs. `(a, b, distance, opposite)` stands for the sum `a ± (b << distance)`, whatever its common shift and sign.
Once its later node exists, a pair can only become rarer: digits of old nodes are only ever taken away. So a pair
that occurs once when it is first seen is never stored, and a heap whose entries are re-scored when they surface is
exact.

The kernels keep all state in arrays that the caller owns and return after `max_steps` substitutions, so that a long
solve can be interrupted. Signatures are lazy, caches on disk: a second process does not compile.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hardwire.solver._jit import Array, Mask, helper, kernel

MAX_LEVELS = 60
"""Depth limits above this bind nothing: 2^depth is kept in 63 bits."""

_PAIRS_UP_TO = 256
_DE_BRUIJN = 0x03F79D71B4CB0A89
_BIT_OF = np.zeros(64, np.int64)
_BIT_OF[[((_DE_BRUIJN << i) & 0xFFFFFFFFFFFFFFFF) >> 58 for i in range(64)]] = np.arange(64)
NODE_BITS = 25  # two node ids, a distance of 7 bits and a sign fit one int64 key


@kernel
def _mix(key: int) -> Mask:
    """Mix a key to a 64-bit hash (splitmix64 finaliser)."""
    h = np.uint64(key)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@helper
def _key(n: int, s: int, m: int, t: int, opposite: int) -> int:
    """Pair key of digits `n << s` and `m << t`; symmetric in the two digits."""
    if n < m or (n == m and s < t):
        return (((n << NODE_BITS) | m) << 8) | ((t - s + 64) << 1) | opposite
    return (((m << NODE_BITS) | n) << 8) | ((s - t + 64) << 1) | opposite


@helper
def _trailing(mask: Mask) -> int:
    """Index of the lowest set bit of a nonzero mask, by de Bruijn's sequence (Leiserson et al. 1998)."""
    low = mask & (~mask + np.uint64(1))
    return _BIT_OF[(low * np.uint64(_DE_BRUIJN)) >> np.uint64(58)]


@helper
def _find(keys: Array, key: int) -> Any:
    """Slot of `key` in the open-addressing table, or of the free slot (-1) where it belongs."""
    mask = keys.size - 1
    slot = np.int64(_mix(key) & np.uint64(mask))
    while keys[slot] != key and keys[slot] != -1:
        slot = (slot + 1) & mask
    return slot


@kernel
def _rehash(keys: Array, counts: Array, keep: int, size: int) -> tuple[Array, Array, int]:
    """Move the keys counted at least `keep` times into a table of `size` slots."""
    new_keys = np.full(size, -1, np.int64)
    new_counts = np.zeros(size, np.int32)
    used = 0
    for i in range(keys.size):
        if keys[i] != -1 and counts[i] >= keep:
            slot = _find(new_keys, keys[i])
            new_keys[slot] = keys[i]
            new_counts[slot] = counts[i]
            used += 1
    return new_keys, new_counts, used


@helper
def _table_size(n: int) -> int:
    size = 256
    while size < n:
        size *= 2
    return size


@helper
def _push(heap_score: Array, heap_key: Array, n: int, score: float, key: int) -> None:
    """Insert into a binary max-heap of `n` items; capacity is the caller's concern."""
    i = n
    while i > 0:
        up = (i - 1) >> 1
        if heap_score[up] > score or (heap_score[up] == score and heap_key[up] >= key):
            break
        heap_score[i] = heap_score[up]
        heap_key[i] = heap_key[up]
        i = up
    heap_score[i] = score
    heap_key[i] = key


@helper
def _pop(heap_score: Array, heap_key: Array, n: int) -> None:
    """Drop the top of a heap of `n` items; the heap then has n - 1."""
    n -= 1
    score = heap_score[n]
    key = heap_key[n]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        right = child + 1
        if right < n and (
            heap_score[right] > heap_score[child]
            or (heap_score[right] == heap_score[child] and heap_key[right] > heap_key[child])
        ):
            child = right
        if score > heap_score[child] or (score == heap_score[child] and key >= heap_key[child]):
            break
        heap_score[i] = heap_score[child]
        heap_key[i] = heap_key[child]
        i = child
    heap_score[i] = score
    heap_key[i] = key


@helper
def _width(lo: float, hi: float) -> int:
    """Bits of a two's complement (or, where lo ≥ 0, unsigned) number that holds lo … hi."""
    top = max(hi, -lo - 1.0)
    n = 1 if lo < 0.0 else 0
    while top >= 1.0:
        top *= 0.5
        n += 1
    return n


@helper
def _overlap(a: int, b: int, distance: int, node_lo: Array, node_hi: Array) -> int:
    """Bit positions that both operands of `a ± (b << distance)` occupy, at least 1."""
    end_a = _width(node_lo[a], node_hi[a])
    end_b = _width(node_lo[b], node_hi[b]) + distance
    return max(min(end_a, end_b) - max(0, distance), 1)


@helper
def _score(count: int, key: int, mode: int, seed: int, node_lo: Array, node_hi: Array) -> float:
    """Merit of a pair; a seeded hash decides between equals.

    In every mode younger nodes are preferred: growing what was just made leaves more to share than starting anew
    (1.5 % fewer adders on random matrices than any tie-break by age or width alone).
    Modes: 0 occurrences, then youth; 1 occurrences, then overlapping bits and youth; 2 saved adders times
    overlapping bits, then youth.
    """
    noise = (_mix(key ^ seed) >> np.uint64(40)) * (1.0 / 16777216.0)
    mask = (1 << NODE_BITS) - 1
    a, b = (key >> (8 + NODE_BITS)) & mask, (key >> 8) & mask
    if mode == 0:
        return count * 1000.0 + 0.2 * (a + b) + noise
    bits = _overlap(a, b, ((key >> 1) & 127) - 64, node_lo, node_hi)
    if mode == 1:
        return count * 1000.0 + 0.1 * (a + b) + 3.0 * bits + noise
    return (count - 1) * np.float64(bits) + 0.01 * (a + b) + noise


@helper
def _count_column(
    j: int, n: int, s: int, negative: int, col_start: Array, col_len: Array, col_list: Array,
    e_node: Array, e_pos: Array, e_neg: Array, keys: Array, counts: Array, delta: int,
) -> int:  # fmt: skip
    """Add `delta` to every pair of the digit (n, s, negative) with the digits of column j; number of new keys.

    With delta < 0 keys that are not in the table are left out of it.
    """
    fresh = 0
    for p in range(col_start[j], col_start[j] + col_len[j]):
        e = col_list[p]
        m = e_node[e]
        for side in range(2):
            bits = e_pos[e] if side == 0 else e_neg[e]
            opposite = 1 if side != negative else 0
            while bits:
                t = _trailing(bits)
                bits &= bits - np.uint64(1)
                key = _key(n, s, m, t, opposite)
                slot = _find(keys, key)
                if keys[slot] == -1:
                    if delta > 0:
                        keys[slot] = key
                        counts[slot] = delta
                        fresh += 1
                else:
                    counts[slot] += delta
    return fresh


@helper
def _digits_in_column(j: int, col_start: Array, col_len: Array, col_list: Array, e_pos: Array, e_neg: Array) -> int:
    n = 0
    for p in range(col_start[j], col_start[j] + col_len[j]):
        bits = e_pos[col_list[p]] | e_neg[col_list[p]]
        while bits:
            bits &= bits - np.uint64(1)
            n += 1
    return n


@helper
def _matches(pa: Mask, na: Mask, pb: Mask, nb: Mask, distance: int, opposite: int) -> tuple[Mask, Mask]:
    """Shifts of the first digit, positive and negative, at which the pair occurs in one column."""
    if opposite:
        pb, nb = nb, pb
    if distance >= 0:
        d = np.uint64(distance)
        return pa & (pb >> d), na & (nb >> d)
    d = np.uint64(-distance)
    return pa & (pb << d), na & (nb << d)


@helper
def _disjoint(pos: Mask, neg: Mask, distance: int) -> tuple[Mask, Mask]:
    """Of the matches of a node with itself keep, from the lowest up, those that share no digit."""
    d = np.uint64(distance)
    keep_pos = np.uint64(0)
    keep_neg = np.uint64(0)
    taken = np.uint64(0)
    both = pos | neg
    while both:
        bit = both & (~both + np.uint64(1))
        both ^= bit
        if taken & bit:
            continue
        taken |= bit | (bit << d)
        if pos & bit:
            keep_pos |= bit
        else:
            keep_neg |= bit
    return keep_pos, keep_neg


@kernel
def count_pairs(
    n_cols: int, col_start: Array, col_len: Array, col_list: Array,
    e_node: Array, e_pos: Array, e_neg: Array, node_lo: Array, node_hi: Array, mode: int, seed: int,
) -> tuple[Array, Array, int, Array, Array, int]:  # fmt: skip
    """Table and heap of all pairs that occur at least twice in the columns."""
    keys = np.full(4096, -1, np.int64)
    counts = np.zeros(4096, np.int32)
    used = 0
    for j in range(n_cols):
        first, length = col_start[j], col_len[j]
        col_len[j] = 0
        for p in range(first, first + length):  # the column grows entry by entry, and each entry digit by digit
            e = col_list[p]
            col_len[j] += 1
            pos, neg = e_pos[e], e_neg[e]
            e_pos[e] = np.uint64(0)
            e_neg[e] = np.uint64(0)
            rest = pos | neg
            while rest:
                s = _trailing(rest)
                bit = rest & (~rest + np.uint64(1))
                rest ^= bit
                if used + 64 * length > keys.size * 0.6:
                    keys, counts, used = _rehash(keys, counts, 1, _table_size(4 * (used + 64 * length)))
                negative = 1 if neg & bit else 0
                used += _count_column(
                    j, e_node[e], s, negative, col_start, col_len, col_list, e_node, e_pos, e_neg, keys, counts, 1
                )
                if negative:
                    e_neg[e] |= bit
                else:
                    e_pos[e] |= bit
    worth = 0
    for i in range(keys.size):
        if keys[i] != -1 and counts[i] >= 2:
            worth += 1
    keys, counts, used = _rehash(keys, counts, 2, _table_size(4 * worth))
    heap_score = np.empty(2 * worth + 64, np.float64)
    heap_key = np.empty(2 * worth + 64, np.int64)
    size = 0
    for i in range(keys.size):
        if keys[i] != -1:
            score = _score(counts[i], keys[i], mode, seed, node_lo, node_hi)
            _push(heap_score, heap_key, size, score, keys[i])
            size += 1
    return keys, counts, used, heap_score, heap_key, size


@helper
def _set_range(n: int, a: int, b: int, sa: int, sb: int, neg: int, node_lo: Array, node_hi: Array) -> None:
    fa, fb = 2.0**sa, 2.0**sb
    if neg:
        node_lo[n] = node_lo[a] * fa - node_hi[b] * fb
        node_hi[n] = node_hi[a] * fa - node_lo[b] * fb
    else:
        node_lo[n] = node_lo[a] * fa + node_lo[b] * fb
        node_hi[n] = node_hi[a] * fa + node_hi[b] * fb


@kernel
def eliminate(
    max_steps: int, n_nodes: int, limited: bool, mode: int, seed: int,
    node_a: Array, node_b: Array, node_sa: Array, node_sb: Array, node_neg: Array, node_depth: Array,
    node_lo: Array, node_hi: Array, node_first: Array, node_len: Array,
    e_col: Array, e_node: Array, e_pos: Array, e_neg: Array, e_slot: Array, n_entries: int,
    col_start: Array, col_len: Array, col_list: Array, col_digits: Array, col_slack: Array,
    keys: Array, counts: Array, used: int, heap_score: Array, heap_key: Array, heap_n: int,
) -> tuple[int, int, Array, Array, int, Array, Array, int]:  # fmt: skip
    """Substitute pairs, the best first, until none occurs twice or `max_steps` substitutions are made.

    `col_slack[j]` is what the sum of 2^depth over the digits of column j may still grow by; a substitution in a
    column that has not enough left is skipped. Finished when the returned heap is empty.
    """
    node_mask = (1 << NODE_BITS) - 1
    tmp_keys = np.full(4096, -1, np.int64)
    tmp_counts = np.zeros(4096, np.int32)
    steps = 0
    n_cols = col_start.size - 1
    m_col = np.empty(n_cols, np.int64)
    m_ea = np.empty(n_cols, np.int64)
    m_eb = np.empty(n_cols, np.int64)
    m_pos = np.empty(n_cols, np.uint64)
    m_neg = np.empty(n_cols, np.uint64)
    m_found = np.empty(n_cols, np.int64)
    while heap_n > 0 and steps < max_steps:
        popped, key = heap_score[0], heap_key[0]
        _pop(heap_score, heap_key, heap_n)
        heap_n -= 1
        slot = _find(keys, key)
        if keys[slot] == -1 or counts[slot] < 2:
            continue
        score = _score(counts[slot], key, mode, seed, node_lo, node_hi)
        if score < popped and heap_n > 0 and heap_score[0] > score:
            _push(heap_score, heap_key, heap_n, score, key)
            heap_n += 1
            continue
        a, b = (key >> (8 + NODE_BITS)) & node_mask, (key >> 8) & node_mask
        distance, opposite = ((key >> 1) & 127) - 64, key & 1
        depth = max(node_depth[a], node_depth[b]) + 1
        growth = (1 << depth) - (1 << node_depth[a]) - (1 << node_depth[b]) if limited else 0
        # all occurrences that the depth limits of their columns allow
        matches = 0
        n_match = 0
        ia, ib = node_first[a], node_first[b]
        end_a, end_b = ia + node_len[a], ib + node_len[b]
        while ia < end_a and ib < end_b:
            if e_col[ia] < e_col[ib]:
                ia += 1
                continue
            if e_col[ia] > e_col[ib]:
                ib += 1
                continue
            pos, neg = _matches(e_pos[ia], e_neg[ia], e_pos[ib], e_neg[ib], distance, opposite)
            if pos | neg:
                if a == b:
                    pos, neg = _disjoint(pos, neg, distance)
                j = e_col[ia]
                room = 64 if growth <= 0 else col_slack[j] // growth
                keep_pos, keep_neg = np.uint64(0), np.uint64(0)
                rest = pos | neg
                found = 0
                while rest and found < room:
                    bit = rest & (~rest + np.uint64(1))
                    rest ^= bit
                    keep_pos |= pos & bit
                    keep_neg |= neg & bit
                    found += 1
                if found:
                    m_col[n_match], m_ea[n_match], m_eb[n_match] = j, ia, ib
                    m_pos[n_match], m_neg[n_match] = keep_pos, keep_neg
                    m_found[n_match] = found
                    n_match += 1
                    matches += found
            ia += 1
            ib += 1
        if matches < 2:
            counts[slot] = 0  # what is possible now only shrinks
            continue
        if matches < counts[slot]:
            score = _score(matches, key, mode, seed, node_lo, node_hi)
            if score < popped and heap_n > 0 and heap_score[0] > score:
                _push(heap_score, heap_key, heap_n, score, key)
                heap_n += 1
                continue
        steps += 1
        counts[slot] = 0
        # The new node. A difference is taken so that the subtrahend is the more shifted operand: the low bits of
        # the minuend then pass through without an adder. `flip`: the node is minus the sum as seen from digit a.
        node = n_nodes
        n_nodes += 1
        flip = 0
        if opposite and distance < 0:
            node_a[node], node_b[node], node_sa[node], node_sb[node] = b, a, 0, -distance
            flip = 1
        else:
            node_a[node], node_b[node] = a, b
            node_sa[node], node_sb[node] = max(0, -distance), max(0, distance)
        node_neg[node] = opposite
        node_depth[node] = depth
        _set_range(node, node_a[node], node_b[node], node_sa[node], node_sb[node], opposite, node_lo, node_hi)
        down = min(0, distance)  # digit a at shift s makes the new node at s + down
        node_first[node] = n_entries
        node_len[node] = n_match
        bound = 0
        for q in range(n_match):
            bound += m_found[q] * col_digits[m_col[q]]
        size = _table_size(2 * bound)
        if size > tmp_keys.size:
            tmp_keys = np.full(size, -1, np.int64)
            tmp_counts = np.zeros(size, np.int32)
        fresh_keys, fresh_counts = tmp_keys[:size], tmp_counts[:size]
        for q in range(n_match):
            j = m_col[q]
            ea, eb = m_ea[q], m_eb[q]
            new = n_entries + q
            e_col[new], e_node[new] = j, node
            e_pos[new] = np.uint64(0)
            e_neg[new] = np.uint64(0)
            # take the old digits away
            rest = m_pos[q] | m_neg[q]
            while rest:
                s = _trailing(rest)
                bit = rest & (~rest + np.uint64(1))
                rest ^= bit
                negative = 1 if m_neg[q] & bit else 0
                if negative:
                    e_neg[ea] ^= bit
                else:
                    e_pos[ea] ^= bit
                _count_column(j, a, s, negative, col_start, col_len, col_list, e_node, e_pos, e_neg, keys, counts, -1)
                bit_b = np.uint64(1) << np.uint64(s + distance)
                if negative != opposite:
                    e_neg[eb] ^= bit_b
                else:
                    e_pos[eb] ^= bit_b
                _count_column(
                    j, b, s + distance, negative ^ opposite,
                    col_start, col_len, col_list, e_node, e_pos, e_neg, keys, counts, -1,
                )  # fmt: skip
            col_slack[j] -= m_found[q] * growth
            col_digits[j] -= m_found[q]
            for old in (ea, eb):
                if (e_pos[old] | e_neg[old]) == 0 and e_slot[old] >= 0:
                    last = col_start[j] + col_len[j] - 1
                    moved = col_list[last]
                    col_list[e_slot[old]] = moved
                    e_slot[moved] = e_slot[old]
                    e_slot[old] = -1
                    col_len[j] -= 1
            # put the new digits in
            place = col_start[j] + col_len[j]
            col_list[place] = new
            e_slot[new] = place
            col_len[j] += 1
            rest = m_pos[q] | m_neg[q]
            while rest:
                s = _trailing(rest)
                bit = rest & (~rest + np.uint64(1))
                rest ^= bit
                negative = (1 if m_neg[q] & bit else 0) ^ flip
                _count_column(
                    j, node, s + down, negative,
                    col_start, col_len, col_list, e_node, e_pos, e_neg, fresh_keys, fresh_counts, 1,
                )  # fmt: skip
                bit = np.uint64(1) << np.uint64(s + down)
                if negative:
                    e_neg[new] |= bit
                else:
                    e_pos[new] |= bit
        n_entries += n_match
        # keep the new pairs that occur twice
        for i in range(size):
            if fresh_keys[i] == -1:
                continue
            if fresh_counts[i] >= 2:
                if used + 1 > keys.size * 0.6:
                    live = 0
                    for k in range(keys.size):
                        if keys[k] != -1 and counts[k] >= 2:
                            live += 1
                    keys, counts, used = _rehash(keys, counts, 2, _table_size(4 * live))
                slot = _find(keys, fresh_keys[i])
                keys[slot] = fresh_keys[i]
                counts[slot] = fresh_counts[i]
                used += 1
                if heap_n + 1 > heap_key.size:
                    more_score = np.empty(2 * heap_n, np.float64)
                    more_key = np.empty(2 * heap_n, np.int64)
                    more_score[:heap_n] = heap_score[:heap_n]
                    more_key[:heap_n] = heap_key[:heap_n]
                    heap_score, heap_key = more_score, more_key
                score = _score(fresh_counts[i], fresh_keys[i], mode, seed, node_lo, node_hi)
                _push(heap_score, heap_key, heap_n, score, fresh_keys[i])
                heap_n += 1
            fresh_keys[i] = -1
    return n_nodes, n_entries, keys, counts, used, heap_score, heap_key, heap_n


@helper
def _earliest(t_level: Array, t_top: Array, n: int) -> tuple[int, int]:
    """The two terms that arrive first, the narrower first between equals."""
    i0, i1 = 0, 1
    if (t_level[1] << 16) + t_top[1] < (t_level[0] << 16) + t_top[0]:
        i0, i1 = 1, 0
    for i in range(2, n):
        rank = (t_level[i] << 16) + t_top[i]
        if rank < (t_level[i0] << 16) + t_top[i0]:
            i0, i1 = i, i0
        elif rank < (t_level[i1] << 16) + t_top[i1]:
            i1 = i
    return i0, i1


@helper
def _cheapest(t_level: Array, t_top: Array, t_shift: Array, t_neg: Array, n: int, slack: int) -> tuple[int, int]:
    """The two terms whose adder has the fewest bits and does not add more than `slack` to Σ 2^level; -1 if none."""
    best0, best1 = -1, -1
    least = np.int64(1) << 60
    for i in range(n):
        for k in range(i):
            la, lb = t_level[i], t_level[k]
            if (1 << (max(la, lb) + 1)) - (1 << la) - (1 << lb) > slack:
                continue
            rank = (((max(t_top[i], t_top[k]) << 8) + min(t_top[i], t_top[k])) << 16) + max(la, lb)
            if rank < least:
                least = rank
                best0, best1 = i, k
    return best0, best1


@kernel
def close_columns(
    n_nodes: int, col_limit: Array, spare: int,
    node_a: Array, node_b: Array, node_sa: Array, node_sb: Array, node_neg: Array, node_depth: Array,
    node_lo: Array, node_hi: Array,
    col_start: Array, col_len: Array, col_list: Array, e_node: Array, e_pos: Array, e_neg: Array,
    out_node: Array, out_shift: Array, out_neg: Array,
) -> int:  # fmt: skip
    """Sum what is left of each column, the two earliest (then narrowest) terms first; number of nodes.

    Taking the two earliest terms each time gives the least depth there is (Golumbic 1976). A pair that an earlier
    tree has made is reused.
    """
    keys = np.full(_table_size(4 * (n_nodes + 64)), -1, np.int64)
    made = np.zeros(keys.size, np.int32)
    used = 0
    n_cols = col_start.size - 1
    longest = 1
    for j in range(n_cols):
        longest = max(longest, _digits_in_column(j, col_start, col_len, col_list, e_pos, e_neg))
    t_node = np.empty(longest, np.int64)
    t_shift = np.empty(longest, np.int64)
    t_neg = np.empty(longest, np.int64)
    t_level = np.empty(longest, np.int64)
    t_top = np.empty(longest, np.int64)
    for j in range(n_cols):
        n = 0
        positives = 0
        for p in range(col_start[j], col_start[j] + col_len[j]):
            e = col_list[p]
            for side in range(2):
                bits = e_pos[e] if side == 0 else e_neg[e]
                while bits:
                    s = _trailing(bits)
                    bits &= bits - np.uint64(1)
                    m = e_node[e]
                    t_node[n], t_shift[n], t_neg[n] = m, s, side
                    t_level[n], t_top[n] = node_depth[m], _width(node_lo[m], node_hi[m]) + s
                    n += 1
                    positives += 1 - side
        if n == 0:
            out_node[j] = -1
            continue
        # least level at which the column can be done, from its Kraft sum; a limit may allow more
        deepest = 0
        for i in range(n):
            deepest = max(deepest, t_level[i])
        limit = deepest + 31
        kraft = 0
        if limit <= MAX_LEVELS:
            for i in range(n):
                kraft += 1 << t_level[i]
            least = deepest
            while (1 << least) < kraft:
                least += 1
            limit = col_limit[j] if col_limit[j] >= 0 else least + spare
        while n > 1:
            i0, i1 = _earliest(t_level, t_top, n)
            if limit <= MAX_LEVELS and n <= _PAIRS_UP_TO:
                j0, j1 = _cheapest(t_level, t_top, t_shift, t_neg, n, (1 << limit) - kraft)
                if j0 >= 0:
                    i0, i1 = j0, j1
            la, lb = t_level[i0], t_level[i1]
            if limit <= MAX_LEVELS:
                kraft += (1 << (max(la, lb) + 1)) - (1 << la) - (1 << lb)
            key = _key(t_node[i0], t_shift[i0], t_node[i1], t_shift[i1], t_neg[i0] ^ t_neg[i1])
            # order as the key does: first the lower node
            if t_node[i0] > t_node[i1] or (t_node[i0] == t_node[i1] and t_shift[i0] > t_shift[i1]):
                i0, i1 = i1, i0
            a, b = t_node[i0], t_node[i1]
            distance = t_shift[i1] - t_shift[i0]
            opposite = t_neg[i0] ^ t_neg[i1]
            low = min(t_shift[i0], t_shift[i1])
            if used + 1 > keys.size * 0.6:
                keys, made, used = _rehash(keys, made, 0, keys.size * 2)
            slot = _find(keys, key)
            if keys[slot] == -1:
                keys[slot] = key
                made[slot] = n_nodes
                used += 1
                node = n_nodes
                n_nodes += 1
                minuend_b = False
                if opposite:
                    # the more shifted operand is the cheaper subtrahend, unless no positive term would be left
                    minuend_b = distance < 0
                    if positives == 1:
                        minuend_b = t_neg[i0] == 1
                if minuend_b:
                    node_a[node], node_b[node] = b, a
                    node_sa[node], node_sb[node] = max(0, distance), max(0, -distance)
                else:
                    node_a[node], node_b[node] = a, b
                    node_sa[node], node_sb[node] = max(0, -distance), max(0, distance)
                node_neg[node] = opposite
                node_depth[node] = max(node_depth[a], node_depth[b]) + 1
                _set_range(node, node_a[node], node_b[node], node_sa[node], node_sb[node], opposite, node_lo, node_hi)
            node = made[slot]
            if opposite:
                first_is_minuend = node_a[node] == a and (a != b or node_sa[node] == max(0, -distance))
                negative = t_neg[i0] if first_is_minuend else t_neg[i1]
                positives -= 1
                positives += 1 - negative
            else:
                negative = t_neg[i0]
                positives -= 1 - negative
            keep, drop = min(i0, i1), max(i0, i1)
            t_node[keep], t_shift[keep], t_neg[keep] = node, low, negative
            t_level[keep], t_top[keep] = node_depth[node], _width(node_lo[node], node_hi[node]) + low
            n -= 1
            t_node[drop], t_shift[drop], t_neg[drop] = t_node[n], t_shift[n], t_neg[n]
            t_level[drop], t_top[drop] = t_level[n], t_top[n]
        out_node[j], out_shift[j], out_neg[j] = t_node[0], t_shift[0], t_neg[0]
    return n_nodes
