"""Common subexpressions: values with the same op, operands and immediates become one."""

from __future__ import annotations

import numpy as np
from numba import njit

from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.passes._operands import renumbered

_COMMUTATIVE = np.zeros(len(OpCode), np.bool_)
_COMMUTATIVE[[OpCode.MUL, OpCode.MIN, OpCode.MAX, OpCode.EQUAL, OpCode.AND, OpCode.OR, OpCode.XOR]] = True
_LINEAR, _ADD, _INPUT = int(OpCode.LINEAR), int(OpCode.ADD), int(OpCode.INPUT)


def cse(kernel: Kernel) -> Kernel:
    """Merge equal values; the survivor's range is the intersection of both (each is proven)."""
    a, b, c, p, q = (np.array(x) for x in (kernel.a, kernel.b, kernel.c, kernel.p, kernel.q))
    lo, hi = np.array(kernel.lo), np.array(kernel.hi)
    term_arg = np.array(kernel.term_arg)
    alias = _merge(kernel.op, a, b, c, p, q, lo, hi, term_arg, kernel.term_coef, _COMMUTATIVE, _LINEAR, _ADD, _INPUT)
    order = np.flatnonzero(alias == np.arange(len(alias))).astype(np.int32)
    position = np.full(len(alias), -1, np.int32)
    position[order] = np.arange(len(order), dtype=np.int32)
    merged = kernel.with_(a=a, b=b, c=c, p=p, q=q, lo=lo, hi=hi, term_arg=term_arg)
    return renumbered(merged, order, position[alias])


@njit(cache=True)
def _mix(h, x):  # type: ignore[no-untyped-def]
    h = (h ^ np.uint64(x)) * np.uint64(0x9E3779B97F4A7C15)
    return h ^ (h >> np.uint64(29))


@njit(cache=True)
def _merge(op, a, b, c, p, q, lo, hi, term_arg, term_coef, commutative, linear, add, inp):  # type: ignore[no-untyped-def]
    n = len(op)
    size = 16
    while size < 2 * n:
        size *= 2
    slots = np.full(size, -1, np.int32)
    alias = np.empty(n, np.int32)
    for i in range(n):
        alias[i] = i
        if op[i] == inp:
            continue
        h = _mix(np.uint64(op[i]), p[i])
        if op[i] == linear:
            for k in range(a[i], a[i] + b[i]):
                term_arg[k] = alias[term_arg[k]]
                h = _mix(_mix(h, term_arg[k]), term_coef[k])
        else:
            for operand in (a, b, c):
                if operand[i] >= 0:
                    operand[i] = alias[operand[i]]
            swap = commutative[op[i]] and a[i] > b[i]
            if op[i] == add and (a[i] > b[i] or (a[i] == b[i] and p[i] > q[i])):
                swap = True
                p[i], q[i] = q[i], p[i]
            if swap:
                a[i], b[i] = b[i], a[i]
            h = _mix(np.uint64(op[i]), p[i])
            h = _mix(_mix(_mix(_mix(h, q[i]), a[i]), b[i]), c[i])
        slot = np.int64(h & np.uint64(size - 1))
        while True:
            j = slots[slot]
            if j < 0:
                slots[slot] = i
                break
            same = op[i] == op[j] and p[i] == p[j] and q[i] == q[j]
            if same and op[i] == linear:
                same = b[i] == b[j]
                if same:
                    for k in range(b[i]):
                        x, y = a[i] + k, a[j] + k
                        if term_arg[x] != term_arg[y] or term_coef[x] != term_coef[y]:
                            same = False
                            break
            elif same:
                same = a[i] == a[j] and b[i] == b[j] and c[i] == c[j]
            if same:
                alias[i] = j
                lo[j] = max(lo[j], lo[i])
                hi[j] = min(hi[j], hi[i])
                break
            slot = (slot + 1) & (size - 1)
    return alias
