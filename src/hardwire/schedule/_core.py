"""Compiled loops of the scheduler: greedy cutting into stages, and moving values to save registers.

A value's operands `args` (n, 3) are roots (see `circuit.roots_of`), -1 for none and for constants. Times are ns since
the start of a stage.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Ids = NDArray[np.int32]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

EPSILON = 1e-9


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def earliest(args: Ids, delay: Floats, budget: float) -> tuple[Ids, Floats, int]:
    """Earliest stage and arrival of every value when no stage may exceed `budget`; and the last stage.

    Greedy is optimal: for each value no schedule has an earlier (stage, arrival).
    """
    n = len(delay)
    stage = np.zeros(n, np.int32)
    arrival = np.zeros(n, np.float64)
    last = 0
    for i in range(n):
        s, t = 0, 0.0
        for k in range(3):
            w = args[i, k]
            if w >= 0:
                if stage[w] > s:
                    s, t = stage[w], arrival[w]
                elif stage[w] == s:
                    t = max(t, arrival[w])
        if delay[i] > 0.0 and t > 0.0 and t + delay[i] > budget + EPSILON:
            s, t = s + 1, 0.0
        stage[i], arrival[i] = s, t + delay[i]
        last = max(last, s)
    return stage, arrival, last


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def arrivals(args: Ids, delay: Floats, stage: Ids) -> Floats:
    """Arrival of every value within its stage."""
    n = len(delay)
    arrival = np.zeros(n, np.float64)
    for i in range(n):
        t = 0.0
        for k in range(3):
            w = args[i, k]
            if w >= 0 and stage[w] == stage[i]:
                t = max(t, arrival[w])
        arrival[i] = t + delay[i]
    return arrival


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def last_uses(args: Ids, stage: Ids, is_output: Bools, depth: int) -> Ids:
    """Last stage in which each value is read; its own where nothing reads it."""
    last = stage.copy()
    for i in range(len(stage)):
        for k in range(3):
            w = args[i, k]
            if w >= 0 and stage[i] > last[w]:
                last[w] = stage[i]
        if is_output[i]:
            last[i] = depth
    return last


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def user_lists(args: Ids) -> tuple[Ints, Ids]:
    """Users of every value as (start (n + 1,), list)."""
    n = args.shape[0]
    start = np.zeros(n + 1, np.int64)
    for i in range(n):
        for k in range(3):
            if args[i, k] >= 0:
                start[args[i, k] + 1] += 1
    for i in range(n):
        start[i + 1] += start[i]
    fill = start[:-1].copy()
    users = np.zeros(start[n], np.int32)
    for i in range(n):
        for k in range(3):
            w = args[i, k]
            if w >= 0:
                users[fill[w]] = i
                fill[w] += 1
    return start, users


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _last_but(v: int, w: int, start: Ints, users: Ids, stage: Ids, is_output: Bools, depth: int) -> int:
    """Last stage that reads `w`, leaving out its reader `v`."""
    if is_output[w]:
        return depth
    last = stage[w]
    for j in range(start[w], start[w + 1]):
        u = users[j]
        if u != v and stage[u] > last:
            last = stage[u]
    return last


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def sweep(
    backward: bool,
    args: Ids,
    start: Ints,
    users: Ids,
    bits: Ints,
    delay: Floats,
    fixed: Bools,
    is_output: Bools,
    budget: float,
    depth: int,
    stage: Ids,
) -> None:
    """Move each value in turn to the stage, within its slack, that costs the fewest register bits; in place.

    Going backward, ties go to the later stage, going forward to the earlier one, so that chains can follow. No stage
    exceeds `budget` at any time, because one side of the value visited is final and the other as it was checked.
    """
    n = len(delay)
    arrival = arrivals(args, delay, stage)
    tail = np.zeros(n, np.float64)
    for i in range(n - 1, -1, -1):
        for j in range(start[i], start[i + 1]):
            u = users[j]
            if stage[u] == stage[i]:
                tail[i] = max(tail[i], tail[u] + delay[u])
    others = np.zeros(3, np.int64)
    for step in range(n):
        v = n - 1 - step if backward else step
        if not fixed[v]:
            first, end = 0, depth
            for k in range(3):
                w = args[v, k]
                if w >= 0:
                    first = max(first, stage[w])
                    others[k] = _last_but(v, w, start, users, stage, is_output, depth)
            read = -1 if not is_output[v] else depth
            for j in range(start[v], start[v + 1]):
                u = users[j]
                end = min(end, stage[u])
                read = max(read, stage[u])
            if read < 0:
                end = stage[v]
            best, best_cost = -1, np.int64(0)
            for s in range(first, end + 1):
                t = 0.0
                cost = -bits[v] * s
                for k in range(3):
                    w = args[v, k]
                    if w >= 0:
                        if stage[w] == s:
                            t = max(t, arrival[w])
                        if k == 0 or (w != args[v, 0] and (k == 1 or w != args[v, 1])):
                            cost += bits[w] * max(others[k], s)
                after = 0.0
                for j in range(start[v], start[v + 1]):
                    u = users[j]
                    if stage[u] == s:
                        after = max(after, tail[u] + delay[u])
                if t + delay[v] + after > budget + EPSILON:
                    continue
                if best < 0 or cost < best_cost or (backward and cost == best_cost):
                    best, best_cost = s, cost
            if best >= 0:
                stage[v] = best
        # What the rest of the sweep relies on.
        if backward:
            tail[v] = 0.0
            for j in range(start[v], start[v + 1]):
                u = users[j]
                if stage[u] == stage[v]:
                    tail[v] = max(tail[v], tail[u] + delay[u])
        else:
            t = 0.0
            for k in range(3):
                w = args[v, k]
                if w >= 0 and stage[w] == stage[v]:
                    t = max(t, arrival[w])
            arrival[v] = t + delay[v]
