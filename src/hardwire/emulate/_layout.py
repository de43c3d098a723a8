"""Where everything lies in a frame: the memory of one vector of events.

An element of an array is `lanes` integers side by side, each in the fewest bytes that the array's range needs. Arrays
come first, those that are never in use at the same time in the same place, then the slots in which values wait between
chunks (used anew by every job), then one line that padding columns are written to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.emulate._plan import Plan
from hardwire.ir.jobs import Job, live_values
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Program

LINE = 64
"""Bytes of a cache line and of the widest register."""


@dataclass(frozen=True)
class Store:
    """How an array is stored: `bytes` per integer, `signed` or not, from `offset` on with `stride` between elements."""

    bytes: int
    signed: bool
    offset: int
    stride: int


def store_type(lo: int, hi: int) -> tuple[int, bool]:
    """Fewest bytes (1, 2, 4 or 8) that hold `[lo, hi]`, and whether they are read as signed."""
    for size in (1, 2, 4, 8):
        if lo >= 0 and hi < 1 << (8 * size):
            return size, False
        if -(1 << (8 * size - 1)) <= lo and hi < 1 << (8 * size - 1):
            return size, True
    raise AssertionError("values are at most 62 bits wide")


@dataclass(frozen=True)
class Layout:
    """Arrays by name, where slots begin, where padding goes, and the bytes of a frame."""

    arrays: dict[str, Store]
    slots: int
    pad: int
    frame: int


def lay_out(program: Program, jobs: list[Job], slot_bytes: int, lanes: int) -> Layout:
    """Place the arrays that jobs and ports touch, then `slot_bytes` of slots."""
    arrays: dict[str, Store] = {}
    sizes: dict[str, int] = {}
    lives = _lives(program, jobs)
    for name, array in program.arrays.items():
        if name in lives and array.size:
            size, signed = store_type(int(np.min(array.lo)), int(np.max(array.hi)))
            arrays[name] = Store(size, signed, 0, size * lanes)
            sizes[name] = _up(array.size * size * lanes, LINE)
    offsets, at = _places(sizes, lives)
    arrays = {name: replace(store, offset=offsets[name]) for name, store in arrays.items()}
    slots = at
    pad = _up(slots + slot_bytes, LINE)
    frame = pad + 8 * lanes
    # Frames an odd number of lines apart: equal places of several frames do not compete for one cache set.
    frame = _up(frame, LINE)
    frame += LINE if frame // LINE % 2 == 0 else 0
    return Layout(arrays, slots, pad, frame)


Lives = dict[str, tuple[int, int]]
"""Array → the first job that it must be kept in, and the last."""


def _lives(program: Program, jobs: list[Job]) -> Lives:
    """When the arrays that jobs and ports touch are in use. Inputs are there before the first job."""
    before, after = -1, len(jobs)
    uses: dict[str, list[int]] = {}
    written: dict[str, NDArray[np.bool_]] = {}
    kept: set[str] = set()

    def write(name: str, elements: NDArray[np.integer[Any]], when: int) -> None:
        uses.setdefault(name, []).append(when)
        written.setdefault(name, np.zeros(program.arrays[name].size, bool))[elements] = True

    def read(name: str, elements: NDArray[np.integer[Any]], when: int) -> None:
        uses.setdefault(name, []).append(when)
        if not written.get(name, np.zeros(program.arrays[name].size, bool))[elements].all():
            kept.add(name)  # It holds zeros from the start: nothing else may lie there.

    for port in program.inputs:
        write(port.array, port.index, before)
    for when, job in enumerate(jobs):
        live = live_values(job)
        for i, node in enumerate(job.nodes):
            if node.op == OpCode.INPUT and live[i]:
                pointer, offset = job.reads[node.p]
                read(job.pointers[pointer].array, job.pointers[pointer].base + offset, when)
        for pointer, offset, _ in job.writes:
            write(job.pointers[pointer].array, job.pointers[pointer].base + offset, when)
    for port in program.outputs:
        read(port.array, port.index, after)
    return {name: (before, after) if name in kept else (min(times), max(times)) for name, times in uses.items()}


def _places(sizes: dict[str, int], lives: Lives) -> tuple[dict[str, int], int]:
    """Offset of each array, and of what lies behind them all: the largest first, each at the lowest place that is free.

    Two arrays share memory only if one's last job is before the other's first.
    """
    offsets: dict[str, int] = {}
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        first, last = lives[name]
        others = [other for other in offsets if lives[other][0] <= last and first <= lives[other][1]]
        at = 0
        for other in sorted(others, key=lambda other: offsets[other]):
            if offsets[other] - at >= sizes[name]:
                break
            at = max(at, offsets[other] + sizes[other])
        offsets[name] = at
    return offsets, max((offsets[name] + sizes[name] for name in sizes), default=0)


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def place_slots(plan: Plan, bits: dict[int, int], lanes: int) -> tuple[dict[int, int], int]:
    """Give every value that is used in a later chunk than its own a slot (offset in bytes); returns the size too.

    Slots are given out anew once their value's last chunk is over; `bits` are the lanes of each value. A block's slot
    holds all its sums.
    """
    made: dict[int, int] = {}
    last: dict[int, int] = {}
    for c, chunk in enumerate(plan.chunks):
        for item in chunk.items:
            for one in item if isinstance(item, tuple) else (item,):
                made[one] = c
                for arg in plan.uses(one):
                    if arg in made:
                        last[arg] = c
    first, sums = plan.first_block, [block.starts.size for block in plan.blocks]

    def room(value: int) -> int:
        return _up(bits[value] // 8 * lanes, LINE) * (sums[value - first] if value >= first else 1)

    offsets: dict[int, int] = {}
    spare: dict[int, list[int]] = {}
    ends: dict[int, list[int]] = {}
    size = 0
    order = sorted((c, value) for value, c in made.items() if last.get(value, c) > c)
    at = 0
    for c in range(len(plan.chunks)):
        while at < len(order) and order[at][0] == c:
            value = order[at][1]
            need = room(value)
            if spare.get(need):
                offsets[value] = spare[need].pop()
            else:
                offsets[value] = size
                size += need
            ends.setdefault(last[value], []).append(value)
            at += 1
        # Freed after this chunk's own values have theirs: a chunk never writes a slot that it still reads.
        for value in ends.pop(c, ()):
            spare.setdefault(room(value), []).append(offsets[value])
    return offsets, size
