"""From a job to loops over lanes: which values are made in which loop, which wait in scratch memory between loops.

Values are made in the order in which the outputs ask for them, cut into loops of a few dozen operations. Table lookups,
which most vector units lack, have loops of their own. The sums of large layers become loops over tables of weights, so
that the code stays small; those of small layers are straight-line code, which skips weights that are zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hardwire.fixed import Ints
from hardwire.ir.jobs import Job, Node, live_values
from hardwire.ir.ops import OpCode

LOOP_WEIGHT = 48
"""Operations of a loop over lanes, about, after which another one begins."""

MOST_TERMS = 5_000
"""Terms of sums that a program has as straight-line code; a compiler takes about half a millisecond for each."""

_FEWEST = 8
"""Terms from which a sum may become a row of a loop over weights."""

_SPARSE = 0.25
"""Share of weights that are not zero under which a loop over all of them does not pay."""

_LEAVES = frozenset((OpCode.INPUT, OpCode.CONST))


def lane_of(lo: int, hi: int) -> int:
    """Bits of the narrowest signed lane that holds `[lo, hi]`: 16, 32 or 64."""
    return next(bits for bits in (16, 32, 64) if lo >= -(1 << (bits - 1)) and hi < 1 << (bits - 1))


@dataclass
class Budget:
    """Terms of straight-line sums that a program may still have."""

    terms: int = MOST_TERMS

    def takes(self, terms: int) -> bool:
        """Whether these are straight-line code; they count from then on."""
        if terms > self.terms:
            return False
        self.terms -= terms
        return True


@dataclass(frozen=True)
class Dots:
    """Sums made by a loop over `weights` (members, args), in lanes of `bits`; they lie from row `first` of the sums."""

    bits: int
    members: tuple[int, ...]
    args: tuple[int, ...]
    weights: Ints
    first: int

    @property
    def sum_bits(self) -> int:
        """Bits of the sums' lanes."""
        return max(32, self.bits)


@dataclass
class Room:
    """Rows of scratch memory by the bits of a lane: values that wait, sums and operands of loops over weights."""

    values: dict[int, int] = field(default_factory=lambda: {16: 0, 32: 0, 64: 0})
    sums: dict[int, int] = field(default_factory=lambda: {32: 0, 64: 0})
    operands: dict[int, int] = field(default_factory=lambda: {16: 0, 32: 0, 64: 0})

    def grow(self, other: Room) -> None:
        """Take the larger of both everywhere."""
        for mine, theirs in ((self.values, other.values), (self.sums, other.sums), (self.operands, other.operands)):
            for bits, rows in theirs.items():
                mine[bits] = max(mine[bits], rows)

    @property
    def any(self) -> bool:
        """Whether there is any memory."""
        return any((*self.values.values(), *self.sums.values(), *self.operands.values()))


@dataclass
class Plan:
    """A job's loops in order: values made in one loop over lanes, or dot products.

    `slots` says where a value waits that another loop reads; `in_dots` in which row of the sums a dot product lies.
    """

    job: Job
    loops: list[tuple[int, ...] | Dots]
    in_dots: dict[int, tuple[int, int]]
    slots: dict[int, int]
    room: Room

    def lane(self, value: int) -> int:
        """Bits of the lane that a value is kept in."""
        return lane_of(self.job.nodes[value].lo, self.job.nodes[value].hi)


def plan(job: Job, budget: Budget) -> Plan:
    """Choose loops over weights, order the job's live values and cut them into loops."""
    live = live_values(job)
    depth, dots = _dots(job, live, budget)
    in_dots = {i: (d.sum_bits, d.first + row) for d in dots for row, i in enumerate(d.members)}
    level = _levels(job, depth, dots)
    loops = _loops(job, dots, in_dots, level)
    result = Plan(job, loops, in_dots, {}, Room())
    for d in dots:
        result.room.operands[d.bits] = max(result.room.operands[d.bits], len(d.args))
        result.room.sums[d.sum_bits] = max(result.room.sums[d.sum_bits], d.first + len(d.members))
    _place(result)
    return result


def _dots(job: Job, live: list[bool], budget: Budget) -> tuple[list[int], list[Dots]]:
    """Dot products on the way to each value, and the loops over weights."""
    nodes = job.nodes
    wanted = {i for i, n in enumerate(nodes) if live[i] and n.op == OpCode.LINEAR and len(n.args) >= _FEWEST}
    if budget.takes(sum(len(nodes[i].args) for i in wanted)):
        return [0] * len(nodes), []
    depth: list[int] = []
    groups: dict[tuple[int, int], list[int]] = {}
    for i, node in enumerate(nodes):
        depth.append(max((depth[arg] for arg in node.args), default=0) + (i in wanted))
        if i in wanted:
            groups.setdefault((depth[i], _dot_bits(job, node)), []).append(i)
    found: list[Dots] = []
    first = {32: 0, 64: 0}
    for (_, bits), members in sorted(groups.items()):
        args = sorted({arg for i in members for arg in nodes[i].args})
        terms = sum(len(nodes[i].args) for i in members)
        if len(members) < 2 or terms < _SPARSE * len(args) * len(members):
            continue
        place = {arg: k for k, arg in enumerate(args)}
        weights = np.zeros((len(members), len(args)), np.int64)
        for row, i in enumerate(members):
            weights[row, [place[arg] for arg in nodes[i].args]] = nodes[i].coefs
        one = Dots(bits, tuple(members), tuple(args), weights, first[max(32, bits)])
        first[one.sum_bits] += len(members)
        found.append(one)
    return depth, found


def _dot_bits(job: Job, node: Node) -> int:
    """Bits of a dot product's operands: those of 16 and 32 are summed modulo 2^32, those of 64 modulo 2^64."""
    if lane_of(node.lo, node.hi) == 64:
        return 64
    operands = [lane_of(job.nodes[arg].lo, job.nodes[arg].hi) for arg in node.args]
    return max(*operands, *(lane_of(coef, coef) for coef in node.coefs))


def _levels(job: Job, depth: list[int], dots: list[Dots]) -> list[int]:
    """How many tables and loops over weights come before each value, its own counted."""
    nodes = job.nodes
    level = [0] * len(nodes)
    by_depth: dict[int, list[int]] = {}
    for i, d in enumerate(depth):
        by_depth.setdefault(d, []).append(i)
    summed = {i for one in dots for i in one.members}
    for d in sorted(by_depth):
        # What the dot products of this depth read is of lesser depth.
        for one in dots:
            if depth[one.members[0]] == d:
                after = 1 + max(level[arg] for arg in one.args)
                for i in one.members:
                    level[i] = after
        for i in by_depth[d]:
            if i not in summed:
                level[i] = max((level[arg] for arg in nodes[i].args), default=0) + (nodes[i].op == OpCode.TABLE)
    return level


def _loops(
    job: Job, dots: list[Dots], in_dots: dict[int, tuple[int, int]], level: list[int]
) -> list[tuple[int, ...] | Dots]:
    nodes = job.nodes
    roots = {value for _, _, value in job.writes}
    plain: dict[int, list[int]] = {}
    tables: dict[int, list[int]] = {}
    placed: set[int] = set()

    def put(i: int) -> None:
        placed.add(i)
        op = nodes[i].op
        if (op in _LEAVES or i in in_dots) and i not in roots:
            return
        (tables if op == OpCode.TABLE else plain).setdefault(level[i], []).append(i)

    for _, _, root in job.writes:
        stack = [root]
        while stack:
            i = stack[-1]
            waits = [arg for arg in nodes[i].args if arg not in placed]
            if waits:
                stack.extend(reversed(waits))
                continue
            stack.pop()
            if i not in placed:
                put(i)
    loops: list[tuple[int, ...] | Dots] = []
    for step in range(max(level, default=0) + 1):
        loops += [one for one in dots if level[one.members[0]] == step]
        for members in (tables.get(step, []), plain.get(step, [])):
            loops += _cut(job, members, roots)
    return loops


def _cut(job: Job, members: list[int], roots: set[int]) -> list[tuple[int, ...]]:
    """Cut behind values that are written, where nothing else needs to wait; elsewhere only if a loop gets too long."""
    loops: list[tuple[int, ...]] = []
    loop: list[int] = []
    weight = 0
    for i in members:
        loop.append(i)
        weight += max(1, len(job.nodes[i].args))
        if weight >= LOOP_WEIGHT and (i in roots or weight >= 4 * LOOP_WEIGHT):
            loops.append(tuple(loop))
            loop, weight = [], 0
    return [*loops, tuple(loop)] if loop else loops


def _place(result: Plan) -> None:
    """Give every value that a later loop reads a slot of its lane, used anew when its last reader is over."""
    nodes = result.job.nodes
    made: dict[int, int] = {}
    last: dict[int, int] = {}
    for at, loop in enumerate(result.loops):
        read = loop.args if isinstance(loop, Dots) else [arg for i in loop for arg in nodes[i].args]
        for arg in read:
            last[arg] = at
        if not isinstance(loop, Dots):
            made.update((i, at) for i in loop if nodes[i].op not in _LEAVES and i not in result.in_dots)
    ends: dict[int, list[int]] = {}
    spare: dict[int, list[int]] = {16: [], 32: [], 64: []}
    for at, loop in enumerate(result.loops):
        for i in () if isinstance(loop, Dots) else loop:
            if i in made and last.get(i, at) > at:
                bits = result.lane(i)
                if not spare[bits]:
                    spare[bits].append(result.room.values[bits])
                    result.room.values[bits] += 1
                result.slots[i] = spare[bits].pop()
                ends.setdefault(last[i], []).append(i)
        # Freed after this loop's own values have theirs: a loop never writes a slot that it still reads.
        for i in ends.pop(at, ()):
            spare[result.lane(i)].append(result.slots[i])
