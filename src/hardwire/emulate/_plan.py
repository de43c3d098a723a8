"""From a job to chunks: which sums become dot products, in what order values are made, where they wait.

A chunk is one native function. Straight-line code of thousands of values is cut into chunks of a few hundred, because
the register allocator's time grows faster than its input; a value that outlives its chunk waits in a slot of memory.

Many dot products of one depth are a block: a loop over tables of their words, so that a layer of a million weights
compiles as fast as a small one. Few are straight-line code, which saves the loop and skips words that are zero.

Dot products: a LINEAR over many operands of few bits is Σ coef·arg of packed operands, four unsigned bytes against
four signed ones (or two pairs of 16 bits) at a time. Operands below zero are packed as `arg - lo`; the bias takes
`Σ coef·lo` back. Partial sums may wrap: two's complement is exact modulo 2^32, and the final value fits.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hardwire.emulate._host import Host
from hardwire.fixed import Ints
from hardwire.ir.jobs import Job, Node, live_values
from hardwire.ir.ops import OpCode

TILE = 8
"""Dot products computed side by side, so that a loaded pack serves all of them: 2·8 accumulators in 32 registers."""

CHUNK = 320
"""Vector operations in one function, about."""

_FEWEST = 3
"""Operands from which a dot product pays."""

LEVEL_WORDS, PROGRAM_WORDS = 4_608, 9_000
"""Most words of the dot products of one depth, and of all that a Program has, that are straight-line code.

LLVM takes 0.1 ms for each. A loop is 20 % slower on layers of 128 inputs, as fast on those of 800, and it does not skip
zeros: with three quarters of the weights pruned straight-line code is 1.8 times as fast.
"""


@dataclass
class Budget:
    """Words of straight-line code that a Program may still have."""

    words: int = PROGRAM_WORDS

    def takes(self, words: int) -> bool:
        """Whether one depth's words are straight-line code; they count from then on."""
        if words > min(self.words, LEVEL_WORDS):
            return False
        self.words -= words
        return True


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


@dataclass(frozen=True)
class Block:
    """Dot products computed by a loop: `TILE` of them at a time over the packs of `bits` that any of them reads.

    Tile t reads packs `packs[ends[t-1]:ends[t]]`; `words` (packs, TILE) holds the coefficients, `starts` (tiles, TILE)
    what each sum begins with.
    """

    bits: int
    dots: tuple[int, ...]
    starts: Ints
    ends: Ints
    packs: tuple[int, ...]
    words: Ints


@dataclass
class Chunk:
    """Items in order: an op, pack, block or dot product of a block by its id, or a tile of dot products (their ids)."""

    items: list[int | tuple[int, ...]] = field(default_factory=list)
    weight: int = 0
    has_tile: bool = False


@dataclass
class Plan:
    """Chunks of a job. Ids from `len(job.nodes)` on are packs, those behind them blocks.

    `inside` tells of a dot product the blocks that sum it and its place in each.
    """

    job: Job
    dots: dict[int, Dot]
    packs: list[Pack]
    chunks: list[Chunk]
    blocks: list[Block] = field(default_factory=list)
    inside: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    @property
    def first_block(self) -> int:
        """Id of the first block."""
        return len(self.job.nodes) + len(self.packs)

    def uses(self, item: int) -> tuple[int, ...]:
        """Ids that an op, pack, block or dot product reads."""
        base = len(self.job.nodes)
        if item >= self.first_block:
            return tuple(sorted({pack + base for pack in self.blocks[item - self.first_block].packs}))
        if item >= base:
            return self.packs[item - base].args
        if item in self.dots:
            dot = self.dots[item]
            rest = tuple(arg for _, arg in dot.rest)
            if item in self.inside:
                return (*(self.first_block + block for block, _ in self.inside[item]), *rest)
            return (*(pack + base for pack, _ in dot.words), *rest)
        return self.job.nodes[item].args

    def begins_in_sum(self, item: int) -> bool:
        """Whether a dot product's bias starts its 32-bit sum: the result is of 32 bits, the bias a whole of its shift.

        A wider result adds the bias after its exact 32-bit part.
        """
        node, dot = self.job.nodes[item], self.dots[item]
        return lane_of(node.lo, node.hi) <= 32 and dot.bias & ((1 << dot.shift) - 1) == 0


def plan(job: Job, host: Host, budget: Budget) -> Plan:
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
    levels: dict[int, list[int]] = {}
    for i in sorted(dots):
        levels.setdefault(depth[i], []).append(i)
    for level in sorted(levels):
        if not budget.takes(sum(len(dots[i].words) for i in levels[level])):
            _make_blocks(result, levels[level])
    _order(result, live, levels)
    return result


def _make_blocks(result: Plan, level: list[int]) -> None:
    """Put dot products into a block for each width of packs that they read."""
    for bits in (8, 16):
        words = {i: [(k, w) for k, w in result.dots[i].words if result.packs[k].bits == bits] for i in level}
        members = tuple(i for i in level if words[i])
        if not members:
            continue
        starts = np.zeros(-(-len(members) // TILE) * TILE, np.int64)
        packs: list[int] = []
        rows: list[NDArray[np.int64]] = []
        ends: list[int] = []
        for start in range(0, len(members), TILE):
            tile = members[start : start + TILE]
            read = sorted({k for i in tile for k, _ in words[i]})
            place = {k: row for row, k in enumerate(read)}
            table = np.zeros((len(read), TILE), np.int64)
            for column, i in enumerate(tile):
                table[[place[k] for k, _ in words[i]], column] = [w for _, w in words[i]]
                if i not in result.inside and result.begins_in_sum(i):
                    starts[start + column] = result.dots[i].bias >> result.dots[i].shift
                result.inside.setdefault(i, []).append((len(result.blocks), start + column))
            packs += read
            rows.append(table)
            ends.append(len(packs))
        result.blocks.append(Block(bits, members, starts, np.array(ends, np.int64), tuple(packs), np.concatenate(rows)))


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
    if item in result.inside:
        return lanes * (1 + 2 * len(result.dots[item].rest))
    if item in result.dots:
        return lanes * (len(result.dots[item].words) + 2 * len(result.dots[item].rest))
    node = nodes[item]
    if node.op == OpCode.LINEAR:
        return 2 * len(node.args)
    return _WEIGHT.get(OpCode(node.op), 1)


def _order(result: Plan, live: list[bool], levels: dict[int, list[int]]) -> None:
    """Emit blocks and tiles of dot products depth by depth; everything else as soon as it can be, the earliest first.

    A block is a chunk by itself; what follows it sees its dot products as values that are ready to be finished.
    """
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
    for level in sorted(levels):
        tile_of = levels[level]
        if tile_of[0] in result.inside:
            close()
            for block in sorted({block for i in tile_of for block, _ in result.inside[i]}):
                chunk.items.append(result.first_block + block)
            close()
            for i in tile_of:
                heapq.heappush(ready, (i, i))
            drain()
            continue
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
