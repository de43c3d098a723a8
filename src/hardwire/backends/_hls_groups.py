"""Values of a kernel that do the same at different places, gathered so that they become loops over arrays.

A kernel is straight-line code. Values with the same operation on operands of the same groups form a group; a dense
layer's neurons are one (`matrix`), and so are its 64 roundings (`each`). What differs between the members of a group
(places that they read, limits, coefficients) becomes indices and constant arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hardwire.backends._hls_index import affine
from hardwire.fixed import Ints
from hardwire.ir.ops import ARITY, OpCode
from hardwire.ir.program import Kernel

LOOP = 3
"""Members from which on a group becomes a loop."""
SCATTERED = 16
"""Members from which on it does where its operands lie at irregular places, which an array then lists."""
NESTED = 3
"""Operations that are written as one expression, at most."""
FEW_TERMS = 4
"""Terms of a sum that is written as an expression like any other operation."""

Key = tuple[object, ...]


@dataclass(eq=False)
class Rom:
    """A lookup table with the argument of its first entry."""

    entries: Ints
    first: int
    name: str = ""


@dataclass(eq=False)
class Group:
    """Values with the same operation. `members` are value ids, in the order of the array that holds them.

    `kind`: `input` (read number `read`), `const`, `each` (an operation; `args[j][k]` is operand j of member k) or
    `matrix` (sums; their terms are the kernel's). `lo`, `hi` hold all members' ranges. `rom` is the table of a lookup.
    """

    kind: str
    code: OpCode
    members: list[int]
    lo: int
    hi: int
    args: list[list[int]] = field(default_factory=list)
    read: int = 0
    rom: Rom | None = None
    rolled: bool = False
    inlined: bool = False
    """Written inside the expression of the one group that reads it."""
    depth: int = 1
    """Operations in the expression of a member."""
    name: str = ""


class Grouped:
    """A kernel's live values in groups, in an order in which they can be computed."""

    def __init__(self, kernel: Kernel, reads: list[int]) -> None:
        """`reads` are the numbers of elements of each input array of the kernel."""
        self.kernel = kernel
        self.op: list[int] = kernel.op.tolist()
        self.p: list[int] = kernel.p.tolist()
        self.q: list[int] = kernel.q.tolist()
        self.lo: list[int] = kernel.lo.tolist()
        self.hi: list[int] = kernel.hi.tolist()
        self.outputs: list[int] = kernel.outputs.tolist()
        self.args = _operands(kernel)
        self.groups: list[Group] = []
        self.group_of: dict[int, Group] = {}
        self.place: dict[int, int] = {}
        """Index of a value in its group."""
        self.roms: list[Rom] = []
        self.live = self._live()
        self.uses: dict[int, int] = {}
        for v in self.live:
            for arg in self.args[v]:
                self.uses[arg] = self.uses.get(arg, 0) + 1
        for v in self.outputs:
            self.uses[v] = self.uses.get(v, 0) + 1
        self._rom_of = self._merged_tables()
        self._inputs(reads)
        self._by_depth()
        self._decide()

    def range(self, v: int) -> tuple[int, int]:
        """Proven range of a value."""
        return self.lo[v], self.hi[v]

    def terms(self, v: int) -> list[tuple[int, int]]:
        """`(argument, coefficient)` of a LINEAR."""
        start, count = int(self.kernel.a[v]), int(self.kernel.b[v])
        coefs = self.kernel.term_coef[start : start + count].tolist()
        return list(zip(self.args[v], coefs, strict=True))

    def inlined(self, v: int) -> bool:
        """Whether a value is written inside the expression that reads it."""
        return self.group_of[v].inlined or v in self._alone

    def _live(self) -> list[int]:
        live = [False] * len(self.op)
        for v in self.outputs:
            live[v] = True
        for v in range(len(self.op) - 1, -1, -1):
            if live[v]:
                for arg in self.args[v]:
                    live[arg] = True
        return [v for v, alive in enumerate(live) if alive]

    def _merged_tables(self) -> dict[tuple[int, int], Rom]:
        """One ROM for tables that are parts of each other: (table, first argument) → ROM."""
        found: dict[tuple[int, int], Rom] = {}
        for v in self.live:
            key = (self.p[v], self.q[v])
            if self.op[v] != OpCode.TABLE or key in found:
                continue
            entries, first = self.kernel.tables[key[0]], key[1]
            for rom in self.roms:
                if merged := _merged(rom, entries, first):
                    rom.entries, rom.first = merged
                    found[key] = rom
                    break
            else:
                found[key] = Rom(np.asarray(entries, np.int64), first)
                self.roms.append(found[key])
        return found

    def _put(self, group: Group) -> None:
        self.groups.append(group)
        for k, v in enumerate(group.members):
            self.group_of[v] = group
            self.place[v] = k

    def _inputs(self, reads: list[int]) -> None:
        start = 0
        for number, count in enumerate(reads):
            members = list(range(start, start + count))
            used = [v for v in members if self.uses.get(v)]
            if count:
                bounds = [self.range(v) for v in used] or [(0, 0)]
                lo, hi = min(b[0] for b in bounds), max(b[1] for b in bounds)
                self._put(Group("input", OpCode.INPUT, members, lo, hi, read=number))
            start += count

    def _by_depth(self) -> None:
        depth = [0] * len(self.op)
        levels: dict[int, list[int]] = {}
        for v in self.live:
            if self.op[v] == OpCode.CONST or (self.op[v] == OpCode.LINEAR and not self.args[v]):
                self._put(Group("const", OpCode.CONST, [v], self.p[v], self.p[v]))
            elif self.op[v] != OpCode.INPUT:
                depth[v] = 1 + max(depth[arg] for arg in self.args[v])
                levels.setdefault(depth[v], []).append(v)
        for level in sorted(levels):
            found: dict[Key, list[int]] = {}
            for v in levels[level]:
                found.setdefault(self._key(v), []).append(v)
            for key, members in found.items():
                if key[0] == "linear":
                    self._sums(members)
                else:
                    self._each(members)

    def _key(self, v: int) -> Key:
        code = self.op[v]
        if code == OpCode.LINEAR:
            return ("linear", frozenset(self._kind(arg) for arg in self.args[v]))
        kinds = tuple(self._kind(arg) for arg in self.args[v])
        if code == OpCode.CLAMP:
            return (code, *kinds)
        if code == OpCode.TABLE:
            return (code, id(self._rom_of[self.p[v], self.q[v]]), *kinds)
        return (code, self.p[v], self.q[v], *kinds)

    def _kind(self, arg: int) -> object:
        group = self.group_of[arg]
        return "const" if group.kind == "const" else id(group)

    def _each(self, members: list[int]) -> None:
        args = [[self.args[v][j] for v in members] for j in range(len(self.args[members[0]]))]
        lo, hi = min(self.lo[v] for v in members), max(self.hi[v] for v in members)
        first = members[0]
        rom = self._rom_of[self.p[first], self.q[first]] if self.op[first] == OpCode.TABLE else None
        self._put(Group("each", OpCode(self.op[first]), members, lo, hi, args, rom=rom))

    def _sums(self, members: list[int]) -> None:
        """Sums over the same groups: an operation on neighbours if each has few terms, else a matrix."""
        arity = {len(self.args[v]) for v in members}
        if len(arity) == 1 and max(arity) <= FEW_TERMS:
            args = [[self.args[v][j] for v in members] for j in range(max(arity))]
            if len(members) == 1 or self._moving(args):
                self._each(members)
                return
        lo, hi = min(self.lo[v] for v in members), max(self.hi[v] for v in members)
        self._put(Group("matrix", OpCode.LINEAR, members, lo, hi))

    def _moving(self, args: list[list[int]]) -> bool:
        """Whether each operand lies in one group at regular places, and not all members read the same ones."""
        moves = False
        for ids in args:
            if len({self._kind(arg) for arg in ids}) > 1:
                return False
            step = affine([self.place[arg] for arg in ids])
            if step is None:
                return False
            moves = moves or step[0] != 0
        return moves

    def _decide(self) -> None:
        """Which groups become loops, and what is written inside other expressions."""
        for group in self.groups:
            if group.kind != "each" or len(group.members) < LOOP:
                continue
            regular = all(self._regular(ids) for ids in group.args)
            if not regular:
                self._reorder(group)
                regular = all(self._regular(ids) for ids in group.args)
            group.rolled = regular or len(group.members) >= SCATTERED
        self._alone: set[int] = set()
        depth: dict[int, int] = {}
        for group in self.groups:
            if group.kind != "each":
                continue
            if group.rolled:
                for ids in group.args:
                    self._inline_whole(group, ids)
                continue
            for k, v in enumerate(group.members):
                depth[v] = 1
                for ids in group.args:
                    arg, source = ids[k], self.group_of[ids[k]]
                    alone = source.kind == "each" and not source.rolled and self.uses[arg] == 1
                    if alone and depth[v] + depth[arg] <= NESTED:
                        depth[v] += depth[arg]
                        self._alone.add(arg)

    def _regular(self, ids: list[int]) -> bool:
        if all(self.group_of[arg].kind == "const" for arg in ids):
            return True
        return affine([self.place[arg] for arg in ids]) is not None

    def _reorder(self, group: Group) -> None:
        """Order a group's members by the places that they read."""
        columns = [ids for ids in group.args if self.group_of[ids[0]].kind != "const"]
        order = sorted(range(len(group.members)), key=lambda k: [self.place[ids[k]] for ids in columns])
        group.members = [group.members[k] for k in order]
        group.args = [[ids[k] for k in order] for ids in group.args]
        for k, v in enumerate(group.members):
            self.place[v] = k

    def _inline_whole(self, group: Group, ids: list[int]) -> None:
        source = self.group_of[ids[0]]
        if source.kind != "each" or not source.rolled or ids != source.members:
            return
        if all(self.uses[arg] == 1 for arg in ids) and group.depth + source.depth <= NESTED:
            source.inlined = True
            group.depth += source.depth


def _operands(kernel: Kernel) -> list[list[int]]:
    """Value ids that each value reads."""
    columns = [kernel.a.tolist(), kernel.b.tolist(), kernel.c.tolist()]
    terms: list[int] = kernel.term_arg.tolist()
    found = []
    for v, code in enumerate(kernel.op.tolist()):
        if code == OpCode.LINEAR:
            found.append(terms[columns[0][v] : columns[0][v] + columns[1][v]])
        else:
            found.append([columns[j][v] for j in range(ARITY[code])])
    return found


def _merged(rom: Rom, entries: Ints, first: int) -> tuple[Ints, int] | None:
    """Entries and first argument of both tables as one, where they overlap and agree."""
    low, high = max(rom.first, first), min(rom.first + len(rom.entries), first + len(entries))
    if low >= high or not np.array_equal(
        rom.entries[low - rom.first : high - rom.first], entries[low - first : high - first]
    ):
        return None
    start = min(rom.first, first)
    merged = np.zeros(max(rom.first + len(rom.entries), first + len(entries)) - start, np.int64)
    merged[rom.first - start :][: len(rom.entries)] = rom.entries
    merged[first - start :][: len(entries)] = entries
    return merged, start
