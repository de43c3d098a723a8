"""Sums without sign extensions: inside adder graphs every value carries an offset that makes it unsigned.

An adder whose upper operand bits are copies of a sign needs a LUT for each of them; above an unsigned operand the carry
passes by. So a signed operand x of w bits enters as `x + 2^(w-1)`, which is its top bit inverted, and a subtrahend b
below 2^n as `b - 2^n`, which is a wired 1 above it. The offsets add up to a constant that the sum's own bias takes
back: the neuron has that adder anyway. (The idea is that of Baugh and Wooley's multiplier, "A two's complement
parallel array multiplication algorithm", IEEE Trans. Computers C-22, 1973.)

A sum without a constant of its own, which nothing else reads, stays signed, and so does all that it is made of. Worth
it where a carry chain's LUT is free when one operand bit is constant; ranges, widths and depths do not grow.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hardwire.fixed import MAX_BITS
from hardwire.ir.compiled_ranges import width
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.passes._operands import operands, uses

_CONST, _ADD, _SUB = int(OpCode.CONST), int(OpCode.ADD), int(OpCode.SUB)
_LARGEST = 1 << (MAX_BITS - 1)
_GROWTH = 5
"""New values for an old one, at most: itself, its unsigned form, its form as a subtrahend, and their constants."""


def offset_sums(kernel: Kernel) -> Kernel:
    """Return the kernel with unsigned adder graphs wherever a bias can take the offsets back."""
    summed = _sums(kernel)
    if not summed.any():
        return kernel
    used, plain = uses(kernel), _read_plainly(kernel, summed)
    fixed = np.zeros(len(kernel), np.bool_)
    while True:
        anchor, below = _anchors(kernel.op, kernel.a, kernel.b, kernel.lo, kernel.hi, summed, used, plain, fixed)
        signed = np.array(plain)
        _force(kernel.a, kernel.b, summed, anchor, signed)
        on_path = np.zeros(len(kernel), np.bool_)
        offset = np.zeros(len(kernel), np.int64)
        change = np.zeros(len(kernel), np.int64)
        failed = _offsets(
            kernel.op, kernel.a, kernel.b, kernel.p, kernel.q, kernel.lo, kernel.hi,
            summed, signed, anchor, below, on_path, offset, change, _LARGEST,
        )  # fmt: skip
        if failed < 0:
            break
        if fixed[failed]:
            return kernel
        fixed[failed] = True
    size = _GROWTH * len(kernel) + 1
    out = {key: np.zeros(size, getattr(kernel, key).dtype) for key in ("op", "a", "b", "c", "p", "q", "lo", "hi")}
    source = np.zeros(size, np.int32)
    new = np.full(len(kernel), -1, np.int32)
    count = _rewrite(
        kernel.op, kernel.a, kernel.b, kernel.c, kernel.p, kernel.q, kernel.lo, kernel.hi,
        summed, signed, anchor, on_path, offset, change, new, source,
        out["op"], out["a"], out["b"], out["c"], out["p"], out["q"], out["lo"], out["hi"],
    )  # fmt: skip
    return kernel.with_(
        **{key: array[:count] for key, array in out.items()},
        origin=kernel.origin[source[:count]],
        outputs=new[kernel.outputs],
    )


def _sums(kernel: Kernel) -> np.ndarray:
    """Adders and subtractors whose value and at least one operand vary."""
    varies = kernel.lo != kernel.hi
    adds = ((kernel.op == _ADD) | (kernel.op == _SUB)) & varies
    return adds & (varies[np.maximum(kernel.a, 0)] | varies[np.maximum(kernel.b, 0)])


def _read_plainly(kernel: Kernel, summed: np.ndarray) -> np.ndarray:
    """Values that something else than an adder reads."""
    pointer, ids = operands(kernel)
    reader = np.repeat(np.arange(len(kernel)), np.diff(pointer))
    plain = np.zeros(len(kernel), np.bool_)
    plain[ids[~summed[reader]]] = True
    plain[kernel.outputs] = True
    return plain


@njit(cache=True)
def _anchors(op, a, b, lo, hi, summed, used, plain, fixed):  # type: ignore[no-untyped-def]
    """For each sum the nearest adder of a constant in what only it is made of, and its operand on the way there."""
    n = len(op)
    anchor = np.full(n, -1, np.int32)
    below = np.full(n, -1, np.int32)
    distance = np.zeros(n, np.int32)
    for v in range(n):
        if not summed[v] or fixed[v]:
            continue
        if lo[a[v]] == hi[a[v]] or lo[b[v]] == hi[b[v]]:
            anchor[v] = v
            continue
        for u in (a[v], b[v]):
            near = summed[u] and not plain[u] and used[u] == 1 and anchor[u] >= 0
            if near and (anchor[v] < 0 or distance[u] + 1 < distance[v]):
                anchor[v], below[v], distance[v] = anchor[u], u, distance[u] + 1
    return anchor, below


@njit(cache=True)
def _force(a, b, summed, anchor, signed):  # type: ignore[no-untyped-def]
    """A sum that must be itself and has no constant needs operands that are themselves."""
    for v in range(len(a) - 1, -1, -1):
        if summed[v] and signed[v] and anchor[v] < 0:
            signed[a[v]] = True
            signed[b[v]] = True


@njit(cache=True)
def _offsets(op, a, b, p, q, lo, hi, summed, signed, anchor, below, on_path, offset, change, largest):  # type: ignore[no-untyped-def]
    """Fill the offset of every value as an operand, and by how much each constant's adder changes, in its own units.

    Returns a sum whose offset no change of its constant can take back, or -1.
    """
    n = len(op)
    for v in range(n):
        if summed[v] and signed[v] and anchor[v] >= 0:
            u = v
            while u != anchor[v]:
                u = below[u]
                on_path[u] = True
    # Offsets of sums as they arise; a value that must be itself gets its own when it is read.
    arises = np.zeros(n, np.int64)
    for v in range(n):
        if not summed[v] or (signed[v] and anchor[v] < 0):
            arises[v] = 0
        else:
            x, y = a[v], b[v]
            s, t = p[v], q[v]
            far = abs(float(arises[x])) * 2.0**s + abs(float(arises[y])) * 2.0**t
            if far + float(hi[v]) - float(lo[v]) >= float(largest):
                return v
            total = (offset[x] << s) + (offset[y] << t if op[v] == _ADD else -(offset[y] << t))
            if op[v] == _SUB and lo[y] != hi[y] and not on_path[y]:
                bits = width(np.int64(0), hi[y] + offset[y])
                if bits + t >= 61:
                    return v
                total += np.int64(1) << (bits + t)
            if abs(float(total)) >= float(largest):
                return v
            if anchor[v] == v and not signed[v] and not on_path[v]:
                # The constant is free: the least offset that leaves no sign and keeps the constant's zeros.
                constant, shift = (x, s) if lo[x] == hi[x] else (y, t)
                unit = lo[constant] & -lo[constant]
                shift += 0 if unit == 0 else width(np.int64(0), unit) - 1
                if shift < 61:
                    steps = -((lo[v] + total) >> shift)
                    total += steps << shift
                    change[v] = steps << shift
            arises[v] = total
            if signed[v]:
                # Back to the constant's adder, then forward again with its change.
                factor, scale, u = np.int64(1), 0, v
                while u != anchor[v]:
                    first = below[u] == a[u]
                    scale += p[u] if first else q[u]
                    if not first and op[u] == _SUB:
                        factor = -factor
                    u = below[u]
                shift = p[u] if lo[a[u]] == hi[a[u]] else q[u]
                unit = np.int64(1) << (scale + shift)
                if total % unit != 0 or scale + shift >= 60:
                    return v
                change[u] = -factor * (total >> scale)
                u, factor = v, np.int64(1)
                # Each value on the way changes by what is left to be multiplied below it.
                rest = -total
                while True:
                    arises[u] += rest
                    offset[u] = arises[u]
                    if u == anchor[v]:
                        break
                    first = below[u] == a[u]
                    rest >>= p[u] if first else q[u]
                    if not first and op[u] == _SUB:
                        rest = -rest
                    u = below[u]
        if lo[v] == hi[v]:
            offset[v] = 0
        elif summed[v] and not signed[v]:
            offset[v] = arises[v]
        elif lo[v] < 0:
            offset[v] = np.int64(1) << np.int64(width(lo[v], hi[v]) - 1)
        else:
            offset[v] = 0
    return -1


@njit(cache=True)
def _rewrite(  # type: ignore[no-untyped-def]
    op, a, b, c, p, q, lo, hi, summed, signed, anchor, on_path, offset, change, new, source,
    to_op, to_a, to_b, to_c, to_p, to_q, to_lo, to_hi,
):  # fmt: skip
    n = len(op)
    as_operand = np.full(n, -1, np.int32)
    as_subtrahend = np.full(n, -1, np.int32)
    at = 0
    for v in range(n):
        if not summed[v]:
            to_op[at], to_p[at], to_q[at] = op[v], p[v], q[v]
            to_a[at] = new[a[v]] if a[v] >= 0 else -1
            to_b[at] = new[b[v]] if b[v] >= 0 else -1
            to_c[at] = new[c[v]] if c[v] >= 0 else -1
            to_lo[at], to_hi[at], source[at] = lo[v], hi[v], v
            new[v] = at
            at += 1
            continue
        itself = signed[v] and anchor[v] < 0
        ends = np.empty(2, np.int32)
        for side in range(2):
            u = a[v] if side == 0 else b[v]
            if itself:
                ends[side] = new[u]
                continue
            if lo[u] == hi[u]:
                ends[side] = new[u]
                if change[v] != 0:
                    # In the units of the constant's own place.
                    shift = p[v] if side == 0 else q[v]
                    step = change[v] >> shift
                    value = lo[u] + (-step if side == 1 and op[v] == _SUB else step)
                    to_op[at], to_a[at], to_b[at], to_c[at] = _CONST, -1, -1, -1
                    to_p[at], to_q[at], to_lo[at], to_hi[at], source[at] = value, 0, value, value, v
                    ends[side] = at
                    at += 1
                continue
            if as_operand[u] < 0:
                if offset[u] == 0 or (summed[u] and not signed[u]):
                    as_operand[u] = new[u]
                else:
                    # The top bit inverted.
                    to_op[at], to_a[at], to_b[at], to_c[at] = _CONST, -1, -1, -1
                    to_p[at], to_q[at], to_lo[at], to_hi[at], source[at] = offset[u], 0, offset[u], offset[u], u
                    to_op[at + 1], to_a[at + 1], to_b[at + 1], to_c[at + 1] = _ADD, new[u], at, -1
                    to_p[at + 1], to_q[at + 1], source[at + 1] = 0, 0, u
                    to_lo[at + 1], to_hi[at + 1] = lo[u] + offset[u], hi[u] + offset[u]
                    as_operand[u] = at + 1
                    at += 2
            ends[side] = as_operand[u]
            if side == 1 and op[v] == _SUB and not on_path[u]:
                if as_subtrahend[u] < 0:
                    # A wired 1 above it.
                    one = -(np.int64(1) << np.int64(width(np.int64(0), hi[u] + offset[u])))
                    to_op[at], to_a[at], to_b[at], to_c[at] = _CONST, -1, -1, -1
                    to_p[at], to_q[at], to_lo[at], to_hi[at], source[at] = one, 0, one, one, u
                    to_op[at + 1], to_a[at + 1], to_b[at + 1], to_c[at + 1] = _ADD, as_operand[u], at, -1
                    to_p[at + 1], to_q[at + 1], source[at + 1] = 0, 0, u
                    to_lo[at + 1], to_hi[at + 1] = lo[u] + offset[u] + one, hi[u] + offset[u] + one
                    as_subtrahend[u] = at + 1
                    at += 2
                ends[side] = as_subtrahend[u]
        moved = np.int64(0) if signed[v] else offset[v]
        to_op[at], to_a[at], to_b[at], to_c[at] = op[v], ends[0], ends[1], -1
        to_p[at], to_q[at], source[at] = p[v], q[v], v
        to_lo[at], to_hi[at] = lo[v] + moved, hi[v] + moved
        new[v] = at
        at += 1
    return at
