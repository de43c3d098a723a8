"""What every simulator is fed and held to: a stream of vectors cycle by cycle, and when answers must come.

A module samples its inputs at each rising clock edge. With latency L, the vector that enters at edge t is answered at
edge t + L: a reader that samples at that edge sees `out_valid` and `y`. An edge with `rst` clears every vector that has
entered and has not been answered before; what enters at that edge is lost too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import DataError, VerificationError
from hardwire.tools.bits import Words, words_per

RESET_CYCLES = 2
MARGIN_CYCLES = 4
CONTROL_PORTS = ("clk", "rst", "in_valid", "out_valid")


@dataclass(frozen=True)
class Schedule:
    """What happens at each of T clock edges."""

    latency: int
    """Cycles from a vector's entry to its answer."""
    index: NDArray[np.int64]
    """(T,) the vector on the inputs, or -1: then they carry junk."""
    in_valid: NDArray[np.bool_]
    """(T,) junk is announced as valid while `rst` is up, where it must not come out."""
    rst: NDArray[np.bool_]
    out_valid: NDArray[np.bool_]
    """(T,) what must be seen; each vector's last answer, in order, and nothing else."""

    @property
    def cycles(self) -> int:
        """T, the number of clock edges."""
        return int(self.index.size)

    @property
    def control(self) -> NDArray[np.uint8]:
        """(T,) what a bench drives and awaits at each edge: bit 0 `in_valid`, bit 1 `rst`, bit 2 an answer to keep."""
        bits = (self.in_valid, self.rst, self.out_valid)
        return np.bitwise_or.reduce([flags.astype(np.uint8) << k for k, flags in enumerate(bits)])

    def check_text(self, seen: str) -> None:
        """`check` for `out_valid` as a simulator of four values wrote it, a character a cycle; unknown ones fail."""
        if len(seen) != self.cycles or set(seen[1:]) - {"0", "1"}:
            where = next((i for i, bit in enumerate(seen) if i and bit not in "01"), len(seen))
            raise VerificationError(f"out_valid is unknown at cycle {where} of {self.cycles}: reset does not reach it")
        self.check(np.frombuffer(seen.encode(), np.uint8) == ord("1"))

    def window(self, part: slice) -> Schedule:
        """The cycles of a slice."""
        return Schedule(self.latency, self.index[part], self.in_valid[part], self.rst[part], self.out_valid[part])

    def check(self, seen: NDArray[np.bool_]) -> None:
        """Raise `VerificationError` unless `out_valid` was seen exactly where it must be, saying when it came."""
        first = 1 if self.latency else 0  # Before the first edge the registers hold anything.
        wrong = np.flatnonzero(seen[first:] != self.out_valid[first:])
        if wrong.size == 0:
            return
        cycle = int(wrong[0]) + first
        expected = np.flatnonzero(self.out_valid)
        came = np.flatnonzero(seen[first:]) + first
        if expected.size and not came.size:
            reason = "out_valid never came"
        elif expected.size and came.size and came[0] != expected[0]:
            entered = int(expected[0]) - self.latency
            reason = (
                f"the first answer came at cycle {came[0]} for the vector that entered at cycle {entered}: "
                f"latency {int(came[0]) - entered}, not {self.latency}"
            )
        else:
            reason = f"out_valid is {int(seen[cycle])} at cycle {cycle} and must be {int(self.out_valid[cycle])}"
        raise VerificationError(
            f"{reason} ({wrong.size} of {self.cycles} cycles wrong)",
            hint="check the stated latency, and that valid and data pass equally many registers",
        )


def schedule(count: int, latency: int, *, gaps: float = 0.0, reset_after: int | None = None, seed: int = 0) -> Schedule:
    """A schedule for `count` vectors, back to back.

    `gaps` in [0, 1) is the fraction of idle cycles, spread at random. `reset_after` pulls `rst` for one cycle after so
    many vectors have entered; those under way are lost and sent again.
    """
    if count < 1 or latency < 0 or not 0.0 <= gaps < 1.0:
        raise DataError(f"no stream has {count} vectors, latency {latency} and a fraction {gaps} of idle cycles")
    if reset_after is not None and not 0 <= reset_after <= count:
        raise DataError(f"a reset after {reset_after} of {count} vectors is impossible")
    rng = np.random.default_rng(seed)
    index, in_valid, rst = _Track(np.int64), _Track(np.bool_), _Track(np.bool_)

    def reset(cycles: int) -> None:
        index.add(np.full(cycles, -1))
        in_valid.add(np.full(cycles, latency > 0))
        rst.add(np.ones(cycles))

    def send(start: int, stop: int) -> NDArray[np.int64]:
        places = np.arange(stop - start)
        if gaps:
            places += np.cumsum(rng.geometric(1.0 - gaps, places.size) - 1)
        section = np.full(int(places[-1]) + 1 if places.size else 0, -1, np.int64)
        section[places] = np.arange(start, stop)
        index.add(section)
        in_valid.add(section >= 0)
        rst.add(np.zeros(section.size))
        return section

    reset(RESET_CYCLES)
    if reset_after is None:
        send(0, count)
    else:
        section = send(0, reset_after)
        reset(1)
        under_way = section[max(0, section.size - max(0, latency - 1)) :]
        lost = under_way[under_way >= 0]
        send(int(lost[0]) if lost.size else reset_after, count)
    idle = latency + MARGIN_CYCLES
    index.add(np.full(idle, -1))
    in_valid.add(np.zeros(idle))
    rst.add(np.zeros(idle))
    valid, resets = in_valid.array(), rst.array()
    before = np.concatenate([[0], np.cumsum(resets)])  # before[t]: resets at edges earlier than t.
    out = np.zeros(valid.size, np.bool_)
    late = np.arange(latency, valid.size)
    out[late] = valid[late - latency] & (before[late] == before[late - latency])
    return Schedule(latency, index.array().astype(np.int64), valid.astype(np.bool_), resets.astype(np.bool_), out)


class _Track:
    def __init__(self, dtype: type[np.generic]) -> None:
        self.dtype = dtype
        self.parts: list[NDArray[np.generic]] = []

    def add(self, part: NDArray[np.generic]) -> None:
        self.parts.append(part.astype(self.dtype))

    def array(self) -> NDArray[np.generic]:
        return np.concatenate(self.parts)


def split_ports(inputs: Mapping[str, Words], widths: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int], int]:
    """Check the buses against their widths; returns the input widths, the output widths and the vector count."""
    missing = sorted(set(inputs) - set(widths))
    if missing or not inputs:
        raise DataError(f"no width is given for input {missing[0]!r}" if missing else "a simulation needs an input")
    counts = {words.shape[0] for words in inputs.values()}
    if len(counts) != 1:
        raise DataError(f"the inputs have different numbers of vectors: {sorted(counts)}")
    for name, words in inputs.items():
        if words.ndim != 2 or words.dtype != np.uint64 or words.shape[1] != words_per(widths[name]):
            raise DataError(
                f"input {name!r} of {widths[name]} bits needs uint64 words of shape (N, {words_per(widths[name])}), "
                f"not {words.dtype} of shape {words.shape}"
            )
    outputs = {name: width for name, width in widths.items() if name not in inputs and name not in CONTROL_PORTS}
    if not outputs:
        raise DataError("no output has a width")
    return {name: widths[name] for name in inputs}, outputs, counts.pop()


def cycle_words(words: Words, width: int, plan: Schedule, seed: int = 0) -> Words:
    """The words (T, …) that a bus carries at each cycle of a schedule: vectors in their places, junk elsewhere."""
    rows = words[np.maximum(plan.index, 0)]
    idle = np.flatnonzero(plan.index < 0)
    junk = np.random.default_rng(seed).integers(0, 2**64, (idle.size, words.shape[1]), np.uint64, endpoint=False)
    if width % 64:
        junk[:, -1] &= np.uint64((1 << (width % 64)) - 1)
    rows[idle] = junk
    return rows


def hex_lines(words: Words, width: int) -> str:
    """Words (N, …) as text: a hexadecimal number of all digits that the width takes a line."""
    digits = (width + 3) // 4
    text = np.ascontiguousarray(words[:, ::-1]).astype(">u8").tobytes().hex()
    step = words.shape[1] * 16
    return "\n".join(text[i + step - digits : i + step] for i in range(0, len(text), step)) + "\n"


def hex_words(text: str, name: str, width: int, count: int) -> Words:
    """Words (count, …) from such text, of the output `name`; raises `VerificationError` where bits are unknown."""
    lines = text.split()
    for vector, line in enumerate(lines):
        if not set(line) <= set("0123456789abcdef"):
            raise VerificationError(f"output {name!r} has unknown bits for vector {vector}: {line}")
    columns = words_per(width)
    data = bytes.fromhex("".join(line.rjust(16 * columns, "0") for line in lines))
    return np.frombuffer(data, ">u8").astype(np.uint64).reshape(count, columns)[:, ::-1].copy()


@dataclass(frozen=True)
class SimulationResult:
    """The answers of a simulated module, one for each vector, in order."""

    outputs: dict[str, Words]
    """Output bus → (N, ceil(W / 64)) words."""
    cycles: int
    """Clock cycles simulated."""
    build_seconds: float
    run_seconds: float
    tool: str
