"""The range rule of every op, in exact Python integers: the definition that compiled passes are checked against."""

from __future__ import annotations

from collections.abc import Sequence

from hardwire.fixed import Rounding, width_of
from hardwire.ir.ops import OpCode

Range = tuple[int, int]


def round_int(code: int, shift: int, mode: int) -> int:
    """`round(code / 2^shift)` in exact integers; `mode` is a `fixed.Rounding`."""
    if shift == 0:
        return code
    below, rest, half = code >> shift, code & ((1 << shift) - 1), 1 << (shift - 1)
    tie, over = rest == half, rest > half
    up = {
        Rounding.TRN: False,
        Rounding.TRN_ZERO: rest != 0 and code < 0,
        Rounding.RND: over or tie,
        Rounding.RND_ZERO: over or (tie and code < 0),
        Rounding.RND_INF: over or (tie and code >= 0),
        Rounding.RND_MIN_INF: over,
        Rounding.RND_CONV: over or (tie and below & 1 == 1),
        Rounding.CEIL: rest != 0,
        Rounding.AWAY: rest != 0 and code >= 0,
    }[Rounding(mode)]
    return below + int(up)


def _bit_logic(code: OpCode, x: Range, y: Range) -> Range:
    if x[0] >= 0 and y[0] >= 0:
        if code is OpCode.AND:
            return 0, min(x[1], y[1])
        top = (1 << max(x[1].bit_length(), y[1].bit_length())) - 1
        return (max(x[0], y[0]) if code is OpCode.OR else 0), top
    if code is OpCode.AND and (x[0] >= 0 or y[0] >= 0):
        return 0, x[1] if x[0] >= 0 else y[1]
    width = max(width_of(min(r[0], -1), r[1]) for r in (x, y))
    return -(1 << (width - 1)), (1 << (width - 1)) - 1


def range_of(
    code: OpCode,
    args: Sequence[Range],
    p: int,
    q: int,
    *,
    coefs: Sequence[int] = (),
    table: Sequence[int] = (),
) -> Range:
    """Closed range of one op from its operands' ranges; sound, and exact for independent operands save bit logic.

    `table` is the table that a TABLE op reads. INPUT has no rule: its range is given.
    """
    if code is OpCode.CONST:
        return p, p
    if code is OpCode.LINEAR:
        lo = p + sum(k * (r[0] if k > 0 else r[1]) for k, r in zip(coefs, args, strict=True))
        hi = p + sum(k * (r[1] if k > 0 else r[0]) for k, r in zip(coefs, args, strict=True))
        return lo, hi
    if code is OpCode.ADD:
        x, y = args
        return (x[0] << p) + (y[0] << q), (x[1] << p) + (y[1] << q)
    if code is OpCode.SUB:
        x, y = args
        return (x[0] << p) - (y[1] << q), (x[1] << p) - (y[0] << q)
    if code is OpCode.MUL:
        corners = [u * v for u in args[0] for v in args[1]]
        return min(corners), max(corners)
    if code is OpCode.SHL:
        return args[0][0] << p, args[0][1] << p
    if code is OpCode.ROUND:
        return round_int(args[0][0], p, q), round_int(args[0][1], p, q)
    if code is OpCode.WRAP:
        low, high = (-(1 << (p - 1)), (1 << (p - 1)) - 1) if q else (0, (1 << p) - 1)
        lo, hi = args[0]
        shift = (lo - low) // (high - low + 1) * (high - low + 1)
        # The whole range may lie within one period of the wrap: then it only moves.
        return (lo - shift, hi - shift) if hi - shift <= high else (low, high)
    if code is OpCode.CLAMP:
        return min(max(args[0][0], p), q), min(max(args[0][1], p), q)
    if code is OpCode.MIN:
        return min(args[0][0], args[1][0]), min(args[0][1], args[1][1])
    if code is OpCode.MAX:
        return max(args[0][0], args[1][0]), max(args[0][1], args[1][1])
    if code is OpCode.LESS:
        x, y = args
        return int(x[1] < y[0]), int(x[0] < y[1])
    if code is OpCode.EQUAL:
        x, y = args
        return int(x[0] == x[1] == y[0] == y[1]), int(x[0] <= y[1] and y[0] <= x[1])
    if code is OpCode.SELECT:
        cond, yes, no = args
        if cond == (0, 0):
            return no
        if cond[0] > 0 or cond[1] < 0:
            return yes
        return min(yes[0], no[0]), max(yes[1], no[1])
    if code is OpCode.TABLE:
        reached = table[args[0][0] - q : args[0][1] - q + 1]
        return int(min(reached)), int(max(reached))
    if code in (OpCode.AND, OpCode.OR, OpCode.XOR):
        return _bit_logic(code, args[0], args[1])
    raise ValueError(f"{code.name} has no range rule")
