"""Operands of every value as one compressed list, so that passes need not know the ops' shapes."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hardwire.fixed import Ints
from hardwire.ir.ops import ARITY, OpCode
from hardwire.ir.program import Ids, Kernel

_ARITY = np.array(ARITY, np.int64)
_LINEAR = int(OpCode.LINEAR)


def operands(kernel: Kernel) -> tuple[Ints, Ids]:
    """(pointer int64 (n+1,), ids int32): value i reads `ids[pointer[i]:pointer[i+1]]`."""
    count = _ARITY[kernel.op]
    linear = kernel.op == _LINEAR
    count[linear] = kernel.b[linear]
    pointer = np.zeros(len(kernel) + 1, np.int64)
    np.cumsum(count, out=pointer[1:])
    ids = np.empty(pointer[-1], np.int32)
    _fill(kernel.op, kernel.a, kernel.b, kernel.c, kernel.term_arg, pointer, ids, _LINEAR)
    return pointer, ids


@njit(cache=True)
def _fill(op, a, b, c, term_arg, pointer, ids, linear):  # type: ignore[no-untyped-def]
    for i in range(len(op)):
        at, n = pointer[i], pointer[i + 1] - pointer[i]
        if op[i] == linear:
            for k in range(n):
                ids[at + k] = term_arg[a[i] + k]
        else:
            if n > 0:
                ids[at] = a[i]
            if n > 1:
                ids[at + 1] = b[i]
            if n > 2:
                ids[at + 2] = c[i]


def uses(kernel: Kernel) -> Ints:
    """How often each value is read, as operand or as output, int64 (n,)."""
    _, ids = operands(kernel)
    return np.bincount(ids, minlength=len(kernel)) + np.bincount(kernel.outputs, minlength=len(kernel))


def renumbered(kernel: Kernel, order: Ids, new_id: Ids) -> Kernel:
    """Keep the values `order` (old ids, in their new order); `new_id` maps every old id that is still used.

    Operands and outputs are rewritten; unused tables and terms are dropped.
    """
    op = kernel.op[order]
    arity = _ARITY[op]
    linear = op == _LINEAR
    a, b, c = (np.array(x[order]) for x in (kernel.a, kernel.b, kernel.c))
    for column, least in ((a, 1), (b, 2), (c, 3)):
        used = (arity >= least) & ~linear
        column[used] = new_id[column[used]]
    counts = np.where(linear, b, 0).astype(np.int64)
    starts = np.cumsum(counts) - counts
    pick = np.repeat(np.where(linear, a, 0) - starts, counts) + np.arange(counts.sum())
    a = np.where(linear, starts, a).astype(np.int32)
    p = kernel.p[order]
    is_table = op == int(OpCode.TABLE)
    kept, p = _kept_tables(p, is_table)
    return kernel.with_(
        op=op,
        a=a,
        b=b,
        c=c,
        p=p,
        q=kernel.q[order],
        lo=kernel.lo[order],
        hi=kernel.hi[order],
        origin=kernel.origin[order],
        term_arg=new_id[kernel.term_arg[pick]].astype(np.int32),
        term_coef=kernel.term_coef[pick],
        outputs=new_id[kernel.outputs].astype(np.int32),
        tables=tuple(kernel.tables[t] for t in kept),
    )


def _kept_tables(p: Ints, is_table: NDArray[np.bool_]) -> tuple[list[int], Ints]:
    used, inverse = np.unique(p[is_table], return_inverse=True)
    p = np.array(p)
    p[is_table] = inverse
    return [int(t) for t in used], p


def with_room(kernel: Kernel, at: Ints, room: int) -> tuple[Kernel, Ints]:
    """Return the kernel with `room` values (the constant 0) put in front of each value `at`, and the new ids of `at`.

    `at`: ascending ids.
    """
    n = len(kernel)
    before = np.zeros(n, np.int64)
    before[at] = room
    new_id = np.arange(n) + np.cumsum(before)
    total = n + room * len(at)
    arity, linear = _ARITY[kernel.op], kernel.op == _LINEAR
    columns = {}
    for key in ("op", "a", "b", "c", "p", "q", "lo", "hi", "origin"):
        old = getattr(kernel, key)
        least = {"a": 1, "b": 2, "c": 3}.get(key)
        if least is not None:
            used = (arity >= least) & ~linear
            old = np.where(used, new_id[np.where(used, old, 0)], old)
        filler = {"op": int(OpCode.CONST), "a": -1, "b": -1, "c": -1}.get(key, 0)
        column = np.full(total, filler, getattr(kernel, key).dtype)
        column[new_id] = old
        columns[key] = column
    changed = kernel.with_(
        **columns,
        term_arg=new_id[kernel.term_arg].astype(np.int32),
        outputs=new_id[kernel.outputs].astype(np.int32),
    )
    return changed, new_id[at]
