"""Where everything lies in a frame: the memory of one vector of events.

An element of an array is `lanes` integers side by side, each in the fewest bytes that the array's range needs. Arrays
come first, then the slots in which values wait between chunks (used anew by every job), then one line that padding
columns are written to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hardwire.emulate._code import Job
from hardwire.emulate._plan import Plan
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
    names = {pointer.array for job in jobs for pointer in job.pointers}
    names |= {port.array for port in (*program.inputs, *program.outputs)}
    arrays: dict[str, Store] = {}
    at = 0
    for name, array in program.arrays.items():
        if name not in names or not array.size:
            continue
        size, signed = store_type(int(np.min(array.lo)), int(np.max(array.hi)))
        stride = size * lanes
        arrays[name] = Store(size, signed, at, stride)
        at += _up(array.size * stride, LINE)
    slots = at
    pad = _up(slots + slot_bytes, LINE)
    frame = pad + 8 * lanes
    # Frames an odd number of lines apart: equal places of several frames do not compete for one cache set.
    frame = _up(frame, LINE)
    frame += LINE if frame // LINE % 2 == 0 else 0
    return Layout(arrays, slots, pad, frame)


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
