"""Registers by minimum cost: retiming of a whole program as a sequence of minimum cuts, in compiled loops.

Every value v has a stage s_v, every value with several readers a last stage l_v, and every value that a register right
behind it makes free (`gain`) a first read e_v. The cost Σ bits_v·(l_v - s_v) - Σ gain_v·(e_v - s_v) is linear and all
rules are differences: s_u ≥ s_v and l_v ≥ s_u for u that reads v, s_v ≤ e_v ≤ s_v + 1, e_v ≤ s_u, and s_v ≥ s_u + 1
where the longest path from u to v takes longer than a stage (Leiserson, Saxe: Retiming synchronous circuitry,
Algorithmica 6, 1991). Such a function is L♮-convex: a schedule is optimal as soon as no set of variables gains by
moving one stage up together and none by moving one down (Murota, Shioura: Exact bounds for steepest descent algorithms
of L-convex function minimization, Operations Research Letters 42, 2014), first up, then down. The best set to move is a
maximum closure, a minimum cut. A cut's flow stays valid for the next move in the same direction, so that each direction
costs about one maximum flow (push-relabel). Pairs (u, v) are too many to list: those are added that a move would
violate (after Wang, Zhou: An efficient incremental algorithm for min-area retiming, DAC 2008).

Any moment's schedule is valid, so the search may end when its allowance of work is spent.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from hardwire.schedule._core import EPSILON, Bools, Floats, Ids, Ints, arrivals

_INF = np.int64(1) << 60
_FAR = np.int32(1 << 30)


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _grown(array: Ids, size: int) -> Ids:
    bigger = np.zeros(size, array.dtype)
    bigger[: len(array)] = array
    return bigger


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _pushed(stack: Ids, top: int, item: int) -> tuple[Ids, int]:
    if top == len(stack):
        stack = _grown(stack, 2 * top)
    stack[top] = item
    return stack, top + 1


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _readers_behind_wires(v: int, start: Ints, users: Ids, wire: Bools, stack: Ids, found: Ids) -> tuple[Ids, Ids, int]:
    """What reads v, through any wires: (`stack` for the next call, readers, how many), one for each way there."""
    count = 0
    stack, top = _pushed(stack, 0, v)
    while top > 0:
        top -= 1
        w = stack[top]
        for j in range(start[w], start[w + 1]):
            u = users[j]
            if j > start[w] and u == users[j - 1]:
                continue
            if wire[u]:
                stack, top = _pushed(stack, top, u)
            else:
                found, count = _pushed(found, count, u)
    return stack, found, count


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def cost_of(
    args: Ids, start: Ints, users: Ids, bits: Ints, gain: Ints, wire: Bools, is_output: Bools, depth: int, stage: Ids
) -> np.int64:
    """Register bits of a schedule less what registers right behind values with `gain` are worth."""
    n = len(stage)
    total = np.int64(0)
    stack, found = np.empty(16, np.int32), np.empty(16, np.int32)
    for v in range(n):
        last = stage[v]
        for j in range(start[v], start[v + 1]):
            last = max(last, stage[users[j]])
        if is_output[v]:
            last = depth
        total += bits[v] * (last - stage[v])
        if gain[v] > 0:
            first = stage[v] + 1
            stack, found, count = _readers_behind_wires(v, start, users, wire, stack, found)
            for u in found[:count]:
                first = min(first, stage[u])
            total -= gain[v] * (first - stage[v])
    return total


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def bits_behind_wires(start: Ints, users: Ids, bits: Ints, wire: Bools, is_output: Bools) -> Ints:
    """Bits of each value that something other than a wire reads at the end."""
    n = len(bits)
    read = np.zeros(n, np.int64)
    for v in range(n - 1, -1, -1):
        total = bits[v] if is_output[v] else 0
        for j in range(start[v], start[v + 1]):
            u = users[j]
            total += read[u] if wire[u] else bits[v]
        read[v] = min(bits[v], total)
    return read


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _model(
    args: Ids, start: Ints, users: Ids, bits: Ints, gain: Ints, wire: Bools, is_output: Bools, stage: Ids
) -> tuple[Ids, Ints, Ids, Ids, Ids]:
    """Variables' values and weights, and the differences head ≥ tail + gap, without those of timing."""
    n = len(stage)
    count, edges = n, 0
    stack, found = np.empty(16, np.int32), np.empty(16, np.int32)
    for v in range(n):
        readers = 0
        for j in range(start[v], start[v + 1]):
            if j == start[v] or users[j] != users[j - 1]:
                readers += 1
        edges += readers
        if readers > 1 and not is_output[v]:
            count += 1
            edges += readers
        if gain[v] > 0:
            count += 1
            edges += 2
            stack, found, readers = _readers_behind_wires(v, start, users, wire, stack, found)
            edges += readers
    value = np.zeros(count, np.int32)
    weight = np.zeros(count, np.int64)
    tail = np.zeros(edges, np.int32)
    head = np.zeros(edges, np.int32)
    gap = np.zeros(edges, np.int32)
    value[:n] = stage
    new, m = n, 0
    for v in range(n):
        readers, only = 0, -1
        for j in range(start[v], start[v + 1]):
            u = users[j]
            if j == start[v] or u != users[j - 1]:
                readers += 1
                only = u
                tail[m], head[m] = v, u
                m += 1
        if is_output[v]:
            weight[v] -= bits[v]
        elif readers == 1:
            weight[v] -= bits[v]
            weight[only] += bits[v]
        elif readers > 1:
            weight[v] -= bits[v]
            weight[new] += bits[v]
            value[new] = stage[v]
            for j in range(start[v], start[v + 1]):
                u = users[j]
                if j == start[v] or u != users[j - 1]:
                    tail[m], head[m] = u, new
                    m += 1
                    value[new] = max(value[new], stage[u])
            new += 1
        if gain[v] > 0:
            weight[v] += gain[v]
            weight[new] -= gain[v]
            value[new] = stage[v] + 1
            tail[m], head[m] = v, new
            tail[m + 1], head[m + 1], gap[m + 1] = new, v, -1
            m += 2
            stack, found, readers = _readers_behind_wires(v, start, users, wire, stack, found)
            for u in found[:readers]:
                tail[m], head[m] = new, u
                m += 1
                value[new] = min(value[new], stage[u])
            new += 1
    return value, weight, tail, head, gap


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _distances(
    first: Ids, next_: Ids, tail: Ids, head: Ids, flow: Ints, up: bool, demand: Ints, distance: Ids, queue: Ids
) -> int:
    """Arcs from each variable to the nearest demand, `_FAR` without any; returns the arcs looked at."""
    distance[:] = _FAR
    begin, end, work = 0, 0, len(distance)
    for x in range(len(distance)):
        if demand[x] > 0:
            distance[x] = 0
            queue[end] = x
            end += 1
    while begin < end:
        x = queue[begin]
        begin += 1
        arc = first[x]
        while arc >= 0:
            work += 1
            e = arc >> 1
            forward = arc & 1 == 0
            y = head[e] if forward == up else tail[e]
            # The way is from y to x: against this arc.
            if distance[y] == _FAR and (not forward or flow[e] > 0):
                distance[y] = distance[x] + 1
                queue[end] = y
                end += 1
            arc = next_[arc]
    return work


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _push(
    first: Ids,
    next_: Ids,
    tail: Ids,
    head: Ids,
    flow: Ints,
    up: bool,
    supply: Ints,
    demand: Ints,
    distance: Ids,
    current: Ids,
    queue: Ids,
    allowance: int,
) -> int:
    """Bring supply to demand until none that is left can reach any (push-relabel); returns the arcs looked at."""
    count = len(first)
    size = count + 1
    work = _distances(first, next_, tail, head, flow, up, demand, distance, queue)
    current[:] = first
    begin, end = 0, 0
    for x in range(count):
        if supply[x] > 0 and distance[x] < _FAR:
            queue[end] = x
            end += 1
    since, often = 0, 6 * count + 1000
    while begin != end and work < allowance:
        x = queue[begin]
        begin += 1
        if begin == size:
            begin = 0
        while supply[x] > 0 and distance[x] < _FAR:
            if demand[x] > 0:
                amount = min(supply[x], demand[x])
                supply[x] -= amount
                if demand[x] < _INF:
                    demand[x] -= amount
                continue
            arc = current[x]
            while arc >= 0:
                since += 1
                e = arc >> 1
                forward = arc & 1 == 0
                y = head[e] if forward == up else tail[e]
                if distance[x] == distance[y] + 1 and (forward or flow[e] > 0):
                    amount = supply[x]
                    if forward:
                        flow[e] += amount
                    else:
                        amount = min(amount, flow[e])
                        flow[e] -= amount
                    supply[x] -= amount
                    if supply[y] == 0:
                        queue[end] = y
                        end += 1
                        if end == size:
                            end = 0
                    supply[y] += amount
                    if supply[x] == 0:
                        break
                arc = next_[arc]
            current[x] = arc
            if supply[x] == 0:
                break
            least = _FAR
            arc = first[x]
            while arc >= 0:
                since += 1
                e = arc >> 1
                forward = arc & 1 == 0
                if forward or flow[e] > 0:
                    y = head[e] if forward == up else tail[e]
                    if distance[y] + 1 < least:
                        least = distance[y] + 1
                arc = next_[arc]
            distance[x] = least if least < count else _FAR
            current[x] = first[x]
        if since > often:
            work += since + _distances(first, next_, tail, head, flow, up, demand, distance, current)
            since = 0
            current[:] = first
            begin, end = 0, 0
            for x in range(count):
                if supply[x] > 0 and distance[x] < _FAR:
                    queue[end] = x
                    end += 1
    return work + since


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _reach(
    first: Ids, next_: Ids, tail: Ids, head: Ids, flow: Ints, up: bool, supply: Ints, level: Ids, queue: Ids
) -> int:
    """Mark with 0 what the supply that is left reaches, with -1 all else; returns the arcs looked at."""
    level[:] = -1
    begin, end, work = 0, 0, len(level)
    for x in range(len(level)):
        if supply[x] > 0:
            level[x] = 0
            queue[end] = x
            end += 1
    while begin < end:
        x = queue[begin]
        begin += 1
        arc = first[x]
        while arc >= 0:
            work += 1
            e = arc >> 1
            forward = arc & 1 == 0
            y = head[e] if forward == up else tail[e]
            if level[y] < 0 and (forward or flow[e] > 0):
                level[y] = 0
                queue[end] = y
                end += 1
            arc = next_[arc]
    return work


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _grown_pairs(pairs: Ids) -> Ids:
    bigger = np.zeros((2 * len(pairs) + 16, 2), pairs.dtype)
    bigger[: len(pairs)] = pairs
    return bigger


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _rearrived(
    args: Ids,
    start: Ints,
    users: Ids,
    delay: Floats,
    stage: Ids,
    moved: Ids,
    arrival: Floats,
    before: Floats,
    changed: Ids,
    queue: Ids,
) -> tuple[Ids, Ids, int]:
    """Bring `arrival` up to date after `moved` values changed stage.

    `changed` lists what was looked at, with its old arrival in `before`, which is -1 elsewhere.
    """
    count, end, begin = 0, 0, 0
    for v in moved:
        queue, end = _pushed(queue, end, v)
        for j in range(start[v], start[v + 1]):
            queue, end = _pushed(queue, end, users[j])
    while begin < end:
        v = queue[begin]
        begin += 1
        t = 0.0
        for k in range(3):
            w = args[v, k]
            if w >= 0 and stage[w] == stage[v]:
                t = max(t, arrival[w])
        t += delay[v]
        fresh = before[v] < 0.0
        if fresh:
            before[v] = arrival[v]
            changed, count = _pushed(changed, count, v)
        if t != arrival[v]:
            arrival[v] = t
            for j in range(start[v], start[v + 1]):
                if stage[users[j]] == stage[v]:
                    queue, end = _pushed(queue, end, users[j])
    return changed, queue, count


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _violations(
    args: Ids,
    delay: Floats,
    stage: Ids,
    budget: float,
    arrival: Floats,
    looked: Ids,
    ahead: Floats,
    mark: Ids,
    stack: Ids,
    pairs: Ids,
) -> tuple[Ids, Ids, Ids, int]:
    """Pairs (u, v) in one stage, v in `looked`, whose longest path takes more than `budget`; shortest paths alone."""
    found = 0
    for v in looked:
        if arrival[v] <= budget + EPSILON or arrival[v] - delay[v] > budget + EPSILON:
            continue
        # Backward from v, the longest way from each value, as far as it fits; labels are corrected where they grow.
        touched = 0
        stack, top = _pushed(stack, 0, v)
        ahead[v] = delay[v]
        mark, touched = _pushed(mark, touched, v)
        while top > 0:
            top -= 1
            w = stack[top]
            for k in range(3):
                u = args[w, k]
                if u >= 0 and stage[u] == stage[v]:
                    new = ahead[w] + delay[u]
                    if new > ahead[u]:
                        if ahead[u] < 0.0:
                            mark, touched = _pushed(mark, touched, u)
                        if ahead[u] <= budget + EPSILON:
                            ahead[u] = new
                            if new > budget + EPSILON:
                                if found == len(pairs):
                                    pairs = _grown_pairs(pairs)
                                pairs[found, 0], pairs[found, 1] = u, v
                                found += 1
                            else:
                                stack, top = _pushed(stack, top, u)
        for k in range(touched):
            ahead[mark[k]] = -1.0
    return pairs, mark, stack, found


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _incidence(count: int, tail: Ids, head: Ids) -> tuple[Ints, Ids]:
    """Differences that each variable takes part in, as (start (count + 1,), list)."""
    begin = np.zeros(count + 1, np.int64)
    for e in range(len(tail)):
        begin[tail[e] + 1] += 1
        begin[head[e] + 1] += 1
    for x in range(count):
        begin[x + 1] += begin[x]
    fill = begin[:-1].copy()
    edges = np.empty(begin[count], np.int32)
    for e in range(len(tail)):
        edges[fill[tail[e]]] = e
        fill[tail[e]] += 1
        edges[fill[head[e]]] = e
        fill[head[e]] += 1
    return begin, edges


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _improve(
    low: int,
    high: int,
    args: Ids,
    start: Ints,
    users: Ids,
    delay: Floats,
    fixed: Bools,
    budget: float,
    depth: int,
    value: Ids,
    weight: Ints,
    model_tail: Ids,
    model_head: Ids,
    model_gap: Ids,
    begin: Ints,
    edges: Ids,
    local: Ids,
    arrival: Floats,
    before: Floats,
    ahead: Floats,
    allowance: int,
) -> tuple[bool, int]:
    """Move values `low … high - 1` to the cheapest stages while all others stay; returns (done, arcs looked at).

    `value` and `arrival` change in place. `local`, `before` and `ahead` are -1 everywhere, before and after.
    """
    n = len(delay)
    names = np.empty(2 * (high - low) + 16, np.int32)
    count = 0
    for v in range(low, high):
        local[v] = count
        names, count = _pushed(names, count, v)
    # The variables of last and first reads go along; theirs alone are the rest of the differences.
    for v in range(low, high):
        for j in range(begin[v], begin[v + 1]):
            e = edges[j]
            for x in (model_tail[e], model_head[e]):
                if x >= n and local[x] < 0:
                    local[x] = count
                    names, count = _pushed(names, count, x)
    free = count
    m = 0
    for k in range(free):
        m += begin[names[k] + 1] - begin[names[k]]
    tail, head, gap = np.empty(m, np.int32), np.empty(m, np.int32), np.empty(m, np.int32)
    m = 0
    for k in range(free):
        x = names[k]
        for j in range(begin[x], begin[x + 1]):
            e = edges[j]
            other = model_head[e] if model_tail[e] == x else model_tail[e]
            if local[other] < 0:
                local[other] = count
                names, count = _pushed(names, count, other)
            if local[other] >= free or model_tail[e] == x:
                tail[m], head[m], gap[m] = local[model_tail[e]], local[model_head[e]], model_gap[e]
                m += 1
    flow = np.zeros(len(tail), np.int64)
    supply, demand = np.zeros(count, np.int64), np.zeros(count, np.int64)
    first, current = np.empty(count, np.int32), np.empty(count, np.int32)
    level, queue, distance = np.empty(count, np.int32), np.empty(count + 1, np.int32), np.empty(count, np.int32)
    next_ = np.empty(2 * len(tail), np.int32)
    changed, wave = np.empty(64, np.int32), np.empty(64, np.int32)
    mark, stack = np.empty(64, np.int32), np.empty(64, np.int32)
    pairs = np.zeros((64, 2), np.int32)
    moved = np.empty(high - low, np.int32)
    work, done = 0, True
    for direction in range(2):
        up = direction == 0
        step = 1 if up else -1
        flow[:m] = 0
        for k in range(count):
            better = -step * weight[names[k]]
            supply[k], demand[k] = max(better, 0), max(-better, 0)
            if k >= free:
                supply[k], demand[k] = 0, _INF
        while done:
            # The tight differences; flow runs along no other.
            first[:] = -1
            for k in range(high - low):
                if fixed[low + k] or value[low + k] == (depth if up else 0):
                    demand[k] = _INF
            for e in range(m):
                if value[names[head[e]]] == value[names[tail[e]]] + gap[e]:
                    a, b = (tail[e], head[e]) if up else (head[e], tail[e])
                    next_[2 * e], first[a] = first[a], 2 * e
                    next_[2 * e + 1], first[b] = first[b], 2 * e + 1
            work += m
            while True:
                work += _push(
                    first, next_, tail, head, flow, up, supply, demand, distance, current, queue, allowance - work
                )
                if work >= allowance:
                    done = False
                    break
                work += _reach(first, next_, tail, head, flow, up, supply, level, queue)
                # What is reached would move.
                moves = 0
                for k in range(high - low):
                    if level[k] >= 0:
                        moved[moves] = low + k
                        value[low + k] += step
                        moves += 1
                changed, wave, seen = _rearrived(
                    args, start, users, delay, value, moved[:moves], arrival, before, changed, wave
                )
                work += 4 * seen
                pairs, mark, stack, found = _violations(
                    args, delay, value, budget, arrival, changed[:seen], ahead, mark, stack, pairs
                )
                for k in range(seen):
                    if found > 0:
                        arrival[changed[k]] = before[changed[k]]
                    before[changed[k]] = -1.0
                if found == 0:
                    break
                for k in range(moves):
                    value[moved[k]] -= step
                if m + found > len(tail):
                    size = 2 * (m + found)
                    tail, head, gap = _grown(tail, size), _grown(head, size), _grown(gap, size)
                    next_, flow = _grown(next_, 2 * size), _grown(flow, size)
                for k in range(found):
                    u, v = pairs[k, 0], pairs[k, 1]
                    a, b = (local[u], local[v]) if up else (local[v], local[u])
                    if b < 0:
                        demand[a] = _INF
                        continue
                    tail[m], head[m], gap[m], flow[m] = local[u], local[v], 1, 0
                    next_[2 * m], first[a] = first[a], 2 * m
                    next_[2 * m + 1], first[b] = first[b], 2 * m + 1
                    m += 1
            if not done:
                break
            any_ = False
            for k in range(free):
                if level[k] >= 0:
                    any_ = True
                    if k >= high - low:
                        value[names[k]] += step
            if not any_:
                break
    for k in range(count):
        local[names[k]] = -1
    return done, work


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def retime(
    args: Ids,
    start: Ints,
    users: Ids,
    bits: Ints,
    gain: Ints,
    wire: Bools,
    delay: Floats,
    fixed: Bools,
    is_output: Bools,
    budget: float,
    depth: int,
    stage: Ids,
    window: int,
    allowance: int,
) -> tuple[Ids, bool, int]:
    """The cheapest schedule of the same depth, from a valid one: (stages, whether proven the cheapest, arcs looked at).

    `window` values are moved at a time, in windows that overlap by half; the proof needs a window of all. `allowance`:
    arcs that may be looked at; what is found until then is returned.
    """
    n = len(stage)
    value, weight, tail, head, gap = _model(args, start, users, bits, gain, wire, is_output, stage)
    begin, edges = _incidence(len(value), tail, head)
    local = np.full(len(value), -1, np.int32)
    arrival = arrivals(args, delay, stage)
    before, ahead = np.full(n, -1.0), np.full(n, -1.0)
    low, spent, done = 0, 0, allowance > 0
    while done and low < n:
        high = min(low + window, n)
        done, work = _improve(
            low, high, args, start, users, delay, fixed, budget, depth, value, weight, tail, head, gap, begin, edges,
            local, arrival, before, ahead, allowance - spent,
        )  # fmt: skip
        spent += work
        low = n if high == n else low + (window + 1) // 2
    return value[:n].copy(), done and n <= window, spent
