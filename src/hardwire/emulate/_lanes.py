"""The register lane (16, 32 or 64 bits, read as signed) of every value.

Sums, products, shifts and bit logic need only the low bits of their operands, so they are computed in the lane that
their *result* needs: two's complement wraps on the way and comes out right, because the final value fits. Everything
else compares or looks at high bits and is computed in a lane that holds all operands.
"""

from __future__ import annotations

from hardwire.emulate._plan import Plan, lane_of
from hardwire.fixed import Rounding
from hardwire.ir.jobs import Job, Node
from hardwire.ir.ops import OpCode

MODULAR = frozenset((OpCode.LINEAR, OpCode.ADD, OpCode.SUB, OpCode.MUL, OpCode.SHL, OpCode.AND, OpCode.OR, OpCode.XOR))
"""Ops whose low result bits depend on low operand bits only."""


def compute_lane(job: Job, node: Node, lanes: dict[int, int]) -> int:
    """Bits of the lane in which a value is computed, given its operands' lanes."""
    operands = max((lanes[arg] for arg in node.args), default=16)
    match OpCode(node.op):
        case OpCode.CLAMP:
            lo, hi = job.nodes[node.args[0]].lo, job.nodes[node.args[0]].hi
            used = [bound for bound, active in ((node.p, node.p > lo), (node.q, node.q < max(hi, node.p))) if active]
            return max(operands, lane_of(min(used, default=0), max(used, default=0)))
        case OpCode.WRAP:
            return max(operands, lane_of(node.lo, node.hi), lane_of(0, (1 << node.p) - 1) if not node.q else 16)
        case OpCode.ROUND:
            return round_lane(job.nodes[node.args[0]], node.p, operands)
        case OpCode.SELECT:
            return max(lanes[node.args[1]], lanes[node.args[2]])
        case OpCode.MIN | OpCode.MAX | OpCode.LESS | OpCode.EQUAL:
            return operands
        case OpCode.TABLE:
            table = job.tables[node.p]
            return lane_of(int(table.min()), int(table.max()))
    return lane_of(node.lo, node.hi)


def round_lane(arg: Node, shift: int, lane: int) -> int:
    """Lane in which `arg + bias` of a rounding by `shift` cannot overflow, and the shift is below the lane's bits.

    At 64 bits it may still overflow; `round_fits` tells, and the slower formula is used.
    """
    while lane < 64 and (shift >= lane or not round_fits(arg, shift, lane)):
        lane *= 2
    return lane


def round_fits(arg: Node, shift: int, lane: int) -> bool:
    """Whether `arg` plus the largest bias of a rounding (all low bits set) stays below the lane's top."""
    return arg.hi + (1 << shift) - 1 < 1 << (lane - 1)


def value_lanes(plan: Plan) -> dict[int, int]:
    """Bits of the lane that each value is kept in, by id; packs and the sums of blocks take 32."""
    lanes: dict[int, int] = {}
    for i, node in enumerate(plan.job.nodes):
        need = lane_of(node.lo, node.hi)
        if i in plan.dots:
            lanes[i] = max(32, need)
        elif node.op in (OpCode.INPUT, OpCode.CONST):
            lanes[i] = need
        else:
            lane = compute_lane(plan.job, node, lanes)
            # 64-bit vectors are four registers long: narrowing pays at once. From 32 to 16 bits it often does not.
            lanes[i] = need if lane == 64 else lane
    for k in range(len(plan.packs) + len(plan.blocks)):
        lanes[len(plan.job.nodes) + k] = 32
    return lanes


def plain_floor(mode: int) -> bool:
    """Whether a rounding mode simply drops the bits."""
    return mode == Rounding.TRN
