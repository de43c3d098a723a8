"""One run of the greedy elimination over a matrix of digits: state, blocks, closing trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardwire.solver import _core
from hardwire.solver.cost import Ints
from hardwire.solver.csd import csd_masks, csd_weight, popcount
from hardwire.solver.graph import AdderGraph

_CLOSING_SPARE = 1
"""Levels that closing trees may use beyond their least to add narrow terms first, where there is no depth limit."""

_STEPS_PER_CALL = 2000
_BLOCK_WORK = 60_000_000
"""Pairs of digits that one round may count; larger matrices are done in blocks of rows first."""


@dataclass(frozen=True)
class Sources:
    """What the digits multiply: arrival level and value range of each row."""

    depth: Ints
    lo: Ints
    hi: Ints


def minimal_depth(matrix: Ints, depth: Ints) -> Ints:
    """Least possible level of each column's sum: ceil(log2(Σ 2^depth over its digits)); 0 for a zero column.

    Two-operand trees can meet any set of arrival levels whose Kraft sum fits (Golumbic 1976). Levels may differ by
    40 (`solve` sees to it).
    """
    weights = csd_weight(matrix)
    depth = _used_levels(depth, weights.sum(axis=1) > 0)
    base = int(depth.min()) if depth.size else 0
    kraft = (weights * (np.int64(1) << (depth - base))[:, None]).sum(axis=0)
    levels = np.array([(int(k) - 1).bit_length() + base if k else 0 for k in kraft], np.int64)
    return np.asarray(np.where(kraft > 0, levels, 0), np.int64)


def _used_levels(depth: Ints, used: NDArray[np.bool_]) -> Ints:
    """Arrival levels, with those of rows that no column uses set to that of a used one."""
    return np.where(used, depth, depth[used].min()) if used.any() else np.zeros_like(depth)


@dataclass(frozen=True)
class _Columns:
    """The live entries of each column: `members[start[j] : start[j] + size[j]]`, with room for one entry a digit."""

    start: Ints
    size: Ints
    members: Ints
    slot: Ints  # of each entry: its place in `members`
    digits: Ints
    kraft: Ints  # Σ 2^depth over the digits


def _columns(n_cols: int, e_col: Ints, e_digits: Ints, e_kraft: Ints) -> _Columns:
    """List the entries by column; `e_col` and the rest are one element an entry."""
    live = np.flatnonzero(e_digits)
    order = live[np.argsort(e_col[live], kind="stable")]
    col = e_col[order]
    size = np.bincount(col, minlength=n_cols)
    digits = np.zeros(n_cols, np.int64)
    np.add.at(digits, col, e_digits[order])
    kraft = np.zeros(n_cols, np.int64)
    np.add.at(kraft, col, e_kraft[order])
    start = np.concatenate([[0], np.cumsum(digits)])
    place = start[col] + np.arange(order.size) - (np.cumsum(size) - size)[col]
    members = np.zeros(int(start[-1]) + 1, np.int64)
    members[place] = order
    slot = np.full(e_col.size, -1, np.int64)
    slot[order] = place
    return _Columns(start, size, members, slot, digits, kraft)


def _blocks(digits_per_column: Ints, most: int) -> int:
    """Into how many blocks of rows to split, so that counting pairs stays affordable; at most `most`."""
    work = float((digits_per_column.astype(np.float64) ** 2).sum())
    return int(max(1, min(np.ceil(work / _BLOCK_WORK), most)))


def run(matrix: Ints, sources: Sources, deadline: Ints | None, mode: int, seed: int) -> AdderGraph:
    """Shift-and-add graph of y = x @ matrix (n_sources, n_columns), one input a source.

    `deadline`: latest level of each column, or None. `mode` and `seed` steer the choice among pairs.
    """
    n_src, n_cols = matrix.shape
    pos, neg = csd_masks(matrix)
    digits = popcount(pos | neg)
    total = int(digits.sum())
    blocks = _blocks(digits.sum(axis=0), max(n_src, 1))

    # entries, node by node; with several blocks of rows a column becomes one virtual column a block
    node, col = np.nonzero(digits)
    n_entries = node.size
    capacity = n_entries + total + 1
    e_col = np.zeros(capacity, np.int64)
    e_node = np.zeros(capacity, np.int32)
    e_pos = np.zeros(capacity, np.uint64)
    e_neg = np.zeros(capacity, np.uint64)
    e_col[:n_entries] = col * blocks + node * blocks // max(n_src, 1)
    e_node[:n_entries] = node
    e_pos[:n_entries], e_neg[:n_entries] = pos[node, col], neg[node, col]

    n_max = n_src + total + 1
    node_a, node_b = np.zeros(n_max, np.int32), np.zeros(n_max, np.int32)
    node_sa, node_sb = np.zeros(n_max, np.int8), np.zeros(n_max, np.int8)
    node_neg = np.zeros(n_max, np.bool_)
    node_depth = np.zeros(n_max, np.int64)
    node_lo, node_hi = np.zeros(n_max, np.float64), np.zeros(n_max, np.float64)
    node_first, node_len = np.zeros(n_max, np.int64), np.zeros(n_max, np.int64)
    levels = _used_levels(sources.depth, digits.sum(axis=1) > 0)
    base = int(levels.min()) if n_src else 0
    node_depth[:n_src] = levels - base
    node_lo[:n_src], node_hi[:n_src] = sources.lo, sources.hi
    node_len[:n_src] = np.bincount(node, minlength=n_src)
    node_first[:n_src] = np.concatenate([[0], np.cumsum(node_len[:n_src])])[:-1][:n_src]

    limited = deadline is not None
    col_limit = np.full(n_cols, -1, np.int64)
    if deadline is not None:
        col_limit[:] = np.clip(deadline - base, 0, _core.MAX_LEVELS)

    n_nodes = n_src
    while True:
        e_digits = popcount(e_pos[:n_entries] | e_neg[:n_entries])
        e_kraft = e_digits << node_depth[e_node[:n_entries]] if limited else e_digits
        columns = _columns(n_cols * blocks, e_col[:n_entries], e_digits, e_kraft)
        slack = np.zeros(n_cols * blocks, np.int64)
        if limited:
            spare = (np.int64(1) << col_limit) - columns.kraft.reshape(n_cols, blocks).sum(axis=1)
            slack[:] = np.repeat(spare // blocks, blocks)
        e_slot = np.full(capacity, -1, np.int64)
        e_slot[:n_entries] = columns.slot
        keys, counts, used, heap_score, heap_key, heap_n = _core.count_pairs(
            n_cols * blocks, columns.start, columns.size, columns.members,
            e_node, e_pos, e_neg, node_lo, node_hi, mode, seed,
        )  # fmt: skip
        while heap_n:
            n_nodes, n_entries, keys, counts, used, heap_score, heap_key, heap_n = _core.eliminate(
                _STEPS_PER_CALL, n_nodes, limited, mode, seed,
                node_a, node_b, node_sa, node_sb, node_neg, node_depth, node_lo, node_hi, node_first, node_len,
                e_col, e_node, e_pos, e_neg, e_slot, n_entries,
                columns.start, columns.size, columns.members, columns.digits, slack,
                keys, counts, used, heap_score, heap_key, heap_n,
            )  # fmt: skip
        if blocks == 1:
            break
        # join blocks and go on with the digits that are left
        fewer = _blocks(columns.digits.reshape(n_cols, blocks).sum(axis=1), blocks // 2)
        e_col[:n_entries] = e_col[:n_entries] // blocks * fewer + e_col[:n_entries] % blocks * fewer // blocks
        blocks = fewer

    out_node = np.full(n_cols, -1, np.int32)
    out_shift = np.zeros(n_cols, np.int8)
    out_neg = np.zeros(n_cols, np.bool_)
    n_nodes = _core.close_columns(
        n_nodes, col_limit, _CLOSING_SPARE, node_a, node_b, node_sa, node_sb, node_neg, node_depth, node_lo, node_hi,
        columns.start, columns.size, columns.members, e_node, e_pos, e_neg, out_node, out_shift, out_neg,
    )  # fmt: skip
    new = slice(n_src, n_nodes)
    return AdderGraph(
        n_inputs=n_src,
        a=node_a[new].copy(),
        b=node_b[new].copy(),
        shift_a=node_sa[new].copy(),
        shift_b=node_sb[new].copy(),
        negate_b=node_neg[new].copy(),
        out_node=out_node,
        out_shift=out_shift,
        out_negate=out_neg,
    )
