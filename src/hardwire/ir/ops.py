"""The closed op set of a Program, on one page.

Every value is an integer (int64, at most 62 bits wide) with a proven closed range `[lo, hi]`; its width follows
from the range: signed only where `lo < 0`. Operands are `a`, `b`, `c` (ids of earlier values), immediates `p`, `q`.
The executable meaning of each op is `ir.interpreter`, its range rule is `ir.ranges`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class OpCode(IntEnum):
    """Operation of one value."""

    INPUT = 0
    """The p-th input. Value i of a kernel is input i, for i below the number of inputs. Range: given."""
    CONST = 1
    """The integer p. Range: [p, p]."""
    LINEAR = 2
    """Σ coefᵢ·argᵢ + p over the terms a … a+b-1 of the kernel's pool. Range: interval sum."""
    ADD = 3
    """(a << p) + (b << q), p and q ≥ 0. Range: interval sum."""
    SUB = 4
    """(a << p) - (b << q), p and q ≥ 0. Range: interval difference."""
    MUL = 5
    """a · b. Range: extremes of the four corner products."""
    SHL = 6
    """a << p, p ≥ 0. Range: both bounds shifted."""
    ROUND = 7
    """round(a / 2^p) with rounding mode q (`fixed.Rounding`), p ≥ 0. Monotone: both bounds rounded."""
    WRAP = 8
    """Low p bits of a, read as signed when q = 1. Range: a's own where it fits, else the whole type's."""
    CLAMP = 9
    """min(max(a, p), q). ReLU is CLAMP(0, hi), saturation CLAMP(type). Range: both bounds clamped."""
    MIN = 10
    """min(a, b). Range: minimum of both bounds."""
    MAX = 11
    """max(a, b). Range: maximum of both bounds."""
    LESS = 12
    """1 if a < b else 0. Range: [0, 1], or one of them where the ranges decide."""
    EQUAL = 13
    """1 if a == b else 0. Range: [0, 1], or 0 where the ranges are disjoint."""
    SELECT = 14
    """b if a ≠ 0 else c. Range: the union of b's and c's, or one of them where a's range decides."""
    TABLE = 15
    """table p at index a - q, where q is the lowest argument. Range: extremes of the entries that a reaches."""
    AND = 16
    """Bitwise a & b on two's complement. Range: from the operands' widths."""
    OR = 17
    """Bitwise a | b on two's complement. Range: from the operands' widths."""
    XOR = 18
    """Bitwise a ^ b on two's complement. Range: from the operands' widths."""


@dataclass(frozen=True, slots=True)
class OpSpec:
    """How many operands an op takes (LINEAR: from the pool) and what its immediates are called."""

    operands: int
    immediates: tuple[str, ...] = ()


SPECS: dict[OpCode, OpSpec] = {
    OpCode.INPUT: OpSpec(0, ("index",)),
    OpCode.CONST: OpSpec(0, ("value",)),
    OpCode.LINEAR: OpSpec(0, ("bias",)),
    OpCode.ADD: OpSpec(2, ("shift_a", "shift_b")),
    OpCode.SUB: OpSpec(2, ("shift_a", "shift_b")),
    OpCode.MUL: OpSpec(2),
    OpCode.SHL: OpSpec(1, ("shift",)),
    OpCode.ROUND: OpSpec(1, ("shift", "mode")),
    OpCode.WRAP: OpSpec(1, ("bits", "signed")),
    OpCode.CLAMP: OpSpec(1, ("lo", "hi")),
    OpCode.MIN: OpSpec(2),
    OpCode.MAX: OpSpec(2),
    OpCode.LESS: OpSpec(2),
    OpCode.EQUAL: OpSpec(2),
    OpCode.SELECT: OpSpec(3),
    OpCode.TABLE: OpSpec(1, ("table", "first")),
    OpCode.AND: OpSpec(2),
    OpCode.OR: OpSpec(2),
    OpCode.XOR: OpSpec(2),
}

ARITY = tuple(SPECS[code].operands for code in OpCode)
"""Operands by opcode number; LINEAR counts 0 here, its terms live in the kernel's pool."""
