"""Columns as differences of other columns: M = differences · paths, along a spanning tree of bounded path length.

The weight of an edge is the number of signed digits of the difference (or sum) of two columns; an edge from the root
stands for the column itself. Where columns resemble one another, the differences have fewer digits in all.
"""

from __future__ import annotations

import numpy as np

from hardwire.solver import _greedy
from hardwire.solver._jit import Array, kernel
from hardwire.solver.cost import Ints
from hardwire.solver.graph import AdderGraph

_MAX_WORK = 20_000_000


@kernel
def _weight(x: int) -> int:
    """Nonzero canonical signed digits of x."""
    m = np.uint64(abs(x))
    bits = m ^ (m + m + m)
    n = 0
    while bits:
        bits &= bits - np.uint64(1)
        n += 1
    return n


@kernel
def grow(columns: Array, limit: int, parent: Array, sign: Array, hops: Array) -> int:
    """Prim's tree over the rows of `columns` (n_columns, n_sources), paths of at most `limit` edges from the root.

    Fills parent (-1: the root), sign (±1: column = difference + sign · parent) and hops; number of edges that do not
    start at the root. Ties go to the edge from the root, then to the earlier column.
    """
    n, rows = columns.shape
    best = np.zeros(n, np.int64)
    done = np.zeros(n, np.bool_)
    for i in range(n):
        for k in range(rows):
            best[i] += _weight(columns[i, k])
        parent[i], sign[i], hops[i] = -1, 1, 1
    inner = 0
    for _ in range(n):
        pick = -1
        for i in range(n):
            if not done[i] and (pick < 0 or best[i] < best[pick]):
                pick = i
        done[pick] = True
        if parent[pick] >= 0:
            inner += 1
        if hops[pick] >= limit:
            continue
        for i in range(n):
            if done[i]:
                continue
            minus = 1  # the sum with the parent costs an adder of its own
            plus = 1
            for k in range(rows):
                minus += _weight(columns[i, k] - columns[pick, k])
                plus += _weight(columns[i, k] + columns[pick, k])
                if minus >= best[i] and plus >= best[i]:
                    break
            if min(minus, plus) < best[i]:
                best[i] = min(minus, plus)
                parent[i] = pick
                sign[i] = 1 if minus <= plus else -1
                hops[i] = hops[pick] + 1
    return inner


def run(
    matrix: Ints, sources: _greedy.Sources, deadline: Ints | None, mode: int, seed: int, limit: int
) -> AdderGraph | None:
    """Two-stage graph of y = x @ matrix; None where no column gains from another, or depth or size forbids it."""
    n_src, n_cols = matrix.shape
    if n_cols < 2 or float(n_cols) * n_cols * n_src > _MAX_WORK:
        return None
    columns = np.ascontiguousarray(matrix.T)
    parent = np.empty(n_cols, np.int64)
    sign = np.empty(n_cols, np.int64)
    hops = np.empty(n_cols, np.int64)
    if grow(columns, limit, parent, sign, hops) == 0:
        return None
    paths = np.zeros((n_cols, n_cols), np.int64)  # paths[d, c]: sign of difference d in column c
    differences = np.empty_like(columns)
    for c in np.argsort(hops, kind="stable"):
        p = int(parent[c])
        if p < 0:
            differences[c] = columns[c]
        else:
            differences[c] = columns[c] - sign[c] * columns[p]
            paths[:, c] = sign[c] * paths[:, p]
        paths[c, c] = 1
    first_deadline: Ints | None = None
    if deadline is not None:
        # a sum of h terms that are each within D - ceil(log2 h) levels is within D
        longest = np.where(paths != 0, hops[None, :], 1).max(axis=1)
        first_deadline = deadline - np.array([(int(h) - 1).bit_length() for h in longest], np.int64)
        if np.any(_greedy.minimal_depth(differences.T, sources.depth) > first_deadline):
            return None
    first = _greedy.run(np.ascontiguousarray(differences.T), sources, first_deadline, mode, seed)
    low, high = first.output_ranges(sources.lo, sources.hi)
    levels = np.append(first.depths(sources.depth), 0)[first.out_node]
    second = _greedy.run(paths, _greedy.Sources(levels, low, high), deadline, mode, seed)
    return first.then(second)
