"""From a job to chunks: which sums become dot products, in what order values are made, where they wait.

A chunk is one native function. Straight-line code of thousands of values is cut into chunks of a few hundred, because
the register allocator's time grows faster than its input; a value that outlives its chunk waits in a slot of memory.

Dot products: a LINEAR over many operands of few bits is Σ coef·arg of packed operands, four unsigned bytes against
four signed ones (or two pairs of 16 bits) at a time. Operands below zero are packed as `arg - lo`; the bias takes
`Σ coef·lo` back. Partial sums may wrap: two's complement is exact modulo 2^32, and the final value fits.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from hardwire.emulate._code import Job, Node, live_values
from hardwire.emulate._host import Host
from hardwire.ir.ops import OpCode

TILE = 8
"""Dot products computed side by side, so that a loaded pack serves all of them: 2·8 accumulators in 32 registers."""

CHUNK = 320
"""Vector operations in one function, about."""

_FEWEST = 3
"""Operands from which a dot product pays."""


def lane_of(lo: int, hi: int) -> int:
    """Bits of the narrowest register lane, read as signed, that holds `[lo, hi]`: 16, 32 or 64."""
    return next(bits for bits in (16, 32, 64) if lo >= -(1 << (bits - 1)) and hi < 1 << (bits - 1))


@dataclass(frozen=True)
class Pack:
    """Four (or two) values side by side in a 32-bit lane: `arg - offset` for each."""

    args: tuple[int, ...]
    offsets: tuple[int, ...]

    @property
    def bits(self) -> int:
        """Bits of each value."""
        return 8 if len(self.args) > 2 else 16


@dataclass
class Dot:
    """`((Σ packed words + Σ coef·arg of the rest) << shift) + bias`; a word holds the coefficients of one pack."""

    words: list[tuple[int, int]]
    rest: list[tuple[int, int]]
    bias: int
    shift: int


@dataclass
class Chunk:
    """Items in order: an op or pack by its id, or a tile of dot products (a tuple of ids)."""

    items: list[int | tuple[int, ...]] = field(default_factory=list)
    weight: int = 0
    has_tile: bool = False


@dataclass
class Plan:
    """Chunks of a job. Ids from `len(job.nodes)` on are packs."""

    job: Job
    dots: dict[int, Dot]
    packs: list[Pack]
    chunks: list[Chunk]

    def uses(self, item: int) -> tuple[int, ...]:
        """Ids that an op, pack or dot product reads."""
        base = len(self.job.nodes)
        if item >= base:
            return self.packs[item - base].args
        if item in self.dots:
            dot = self.dots[item]
            return (*(pack + base for pack, _ in dot.words), *(arg for _, arg in dot.rest))
        return self.job.nodes[item].args


def plan(job: Job, host: Host) -> Plan:
    """Choose dot products, order the job's live values and cut them into chunks."""
    live = live_values(job)
    split = {
        i: terms
        for i, node in enumerate(job.nodes)
        if live[i] and node.op == OpCode.LINEAR and (terms := split_terms(job, node, host)) is not None
    }
    depth = _depths(job, split)
    packs, where = _pack(job, split, depth)
    dots = {i: _dot(job, i, terms, packs, where) for i, terms in split.items()}
    result = Plan(job, dots, packs, [])
    _order(result, live, depth)
    return result


@dataclass
class Terms:
    """A LINEAR's terms (coefficient, arg), by the width that they are packed to, after a common shift."""

    bytes: list[tuple[int, int]]
    words: list[tuple[int, int]]
    rest: list[tuple[int, int]]
    shift: int


def split_terms(job: Job, node: Node, host: Host) -> Terms | None:
    """Sort the terms of a LINEAR by how they can be packed; None where a dot product does not pay or may overflow."""
    if not host.dot16 or len(node.args) < _FEWEST:
        return None
    whole = 0
    for coef in node.coefs:
        whole |= coef
    shift = (whole & -whole).bit_length() - 1
    terms = Terms([], [], [], shift)
    low = high = 0
    for coef, arg in zip(node.coefs, node.args, strict=True):
        coef >>= shift
        lo, hi = job.nodes[arg].lo, job.nodes[arg].hi
        if host.dot8 and hi - lo < 256 and -128 <= coef < 128:
            offset = _byte_offset(lo, hi)
            terms.bytes.append((coef, arg))
            low, high = low + min(0, coef) * (hi - offset), high + max(0, coef) * (hi - offset)
        elif lane_of(lo, hi) == 16 and -(1 << 15) <= coef < 1 << 15:
            terms.words.append((coef, arg))
            low, high = low + min(coef * lo, coef * hi), high + max(coef * lo, coef * hi)
        else:
            terms.rest.append((coef, arg))
    if len(terms.bytes) + len(terms.words) < _FEWEST:
        return None
    # A 64-bit result is not known modulo 2^32: there the packed part itself must fit, partial sums included (it is
    # bounded by the sum of its positive and the sum of its negative terms).
    if lane_of(node.lo, node.hi) == 64 and lane_of(low, high) == 64:
        return None
    return terms


def _byte_offset(lo: int, hi: int) -> int:
    return 0 if lo >= 0 and hi < 256 else lo


def _depths(job: Job, split: dict[int, Terms]) -> list[int]:
    depth: list[int] = []
    for i, node in enumerate(job.nodes):
        depth.append(max((depth[arg] for arg in node.args), default=0) + (i in split))
    return depth


Where = dict[tuple[int, int], tuple[int, int]]
"""(bits, value) → (pack, place in it)."""


def _pack(job: Job, split: dict[int, Terms], depth: list[int]) -> tuple[list[Pack], Where]:
    packs: list[Pack] = []
    where: Where = {}
    for bits, group in ((8, 4), (16, 2)):
        lists = (terms.bytes if bits == 8 else terms.words for terms in split.values())
        args = sorted({arg for terms in lists for _, arg in terms}, key=lambda arg: (depth[arg], arg))
        start = 0
        while start < len(args):
            # Only values of one depth share a pack: it must be complete before the next dot products.
            chosen = [a for a in args[start : start + group] if depth[a] == depth[args[start]]]
            offsets = [_byte_offset(job.nodes[a].lo, job.nodes[a].hi) if bits == 8 else 0 for a in chosen]
            for place, arg in enumerate(chosen):
                where[bits, arg] = (len(packs), place)
            fill = group - len(chosen)
            packs.append(Pack((*chosen, *[-1] * fill), (*offsets, *[0] * fill)))
            start += len(chosen)
    return packs, where


def _dot(job: Job, i: int, terms: Terms, packs: list[Pack], where: Where) -> Dot:
    words: dict[int, int] = {}
    bias = job.nodes[i].p
    for bits, part in ((8, terms.bytes), (16, terms.words)):
        for coef, arg in part:
            pack, place = where[bits, arg]
            words[pack] = words.get(pack, 0) | (coef & ((1 << bits) - 1)) << (bits * place)
            bias += (coef * packs[pack].offsets[place]) << terms.shift
    return Dot(sorted(words.items()), terms.rest, bias, terms.shift)


_WEIGHT = {OpCode.MUL: 2, OpCode.ROUND: 3, OpCode.TABLE: 24, OpCode.SELECT: 2, OpCode.ADD: 2, OpCode.SUB: 2}


def _weight(result: Plan, item: int, lanes: int = 2) -> int:
    nodes = result.job.nodes
    if item >= len(nodes):
        return 6 * lanes
    if item in result.dots:
        return lanes * (len(result.dots[item].words) + 2 * len(result.dots[item].rest))
    node = nodes[item]
    if node.op == OpCode.LINEAR:
        return 2 * len(node.args)
    return _WEIGHT.get(OpCode(node.op), 1)


def _order(result: Plan, live: list[bool], depth: list[int]) -> None:
    """Emit tiles of dot products depth by depth; everything else as soon as it can be, the earliest value first."""
    nodes, base = result.job.nodes, len(result.job.nodes)
    pending: dict[int, int] = {}
    users: dict[int, list[int]] = {}
    ready: list[tuple[int, int]] = []

    def place(item: int) -> int:
        return item if item < base else max(result.packs[item - base].args)

    free = (OpCode.INPUT, OpCode.CONST)
    items = [i for i, node in enumerate(nodes) if live[i] and node.op not in free and i not in result.dots]
    for item in [*items, *range(base, base + len(result.packs))]:
        waits = {arg for arg in result.uses(item) if arg >= 0 and nodes[arg].op not in free}
        pending[item] = len(waits)
        for arg in waits:
            users.setdefault(arg, []).append(item)
        if not waits:
            ready.append((place(item), item))
    heapq.heapify(ready)
    chunk = Chunk()

    def close() -> None:
        nonlocal chunk
        if chunk.items:
            result.chunks.append(chunk)
        chunk = Chunk()

    def made(item: int) -> None:
        for user in users.get(item, ()):
            pending[user] -= 1
            if not pending[user]:
                heapq.heappush(ready, (place(user), user))

    def drain() -> None:
        while ready:
            _, item = heapq.heappop(ready)
            if chunk.weight > CHUNK:
                close()
            chunk.items.append(item)
            chunk.weight += _weight(result, item)
            made(item)

    drain()
    by_depth: dict[int, list[int]] = {}
    for i in result.dots:
        by_depth.setdefault(depth[i], []).append(i)
    for level in sorted(by_depth):
        tile_of = sorted(by_depth[level])
        for start in range(0, len(tile_of), TILE):
            tile = tuple(tile_of[start : start + TILE])
            weight = sum(_weight(result, i) for i in tile)
            if chunk.has_tile or chunk.weight + weight > CHUNK:
                close()
            chunk.items.append(tile)
            chunk.weight += weight
            chunk.has_tile = True
            for i in tile:
                made(i)
            drain()
    close()
    if not result.chunks:  # Nothing is computed, but inputs or constants may be written as they are.
        result.chunks.append(Chunk())
