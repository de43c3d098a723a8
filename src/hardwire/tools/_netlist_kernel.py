"""The compiled inner loop of the netlist simulator: a block of clock cycles, operation after operation.

Every net is a row of 512-bit words in which bit t is the net at cycle t. Gates are bitwise operations on rows; a
flip-flop is a shift by one cycle whose carry crosses blocks in `state`.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hardwire.tools._netlist_vectors import (
    adder_rows,
    carry_rows,
    delayed_row,
    lut2_rows,
    lut3_rows,
    lut4_rows,
    mux_rows,
    not_row,
)
from hardwire.tools.bits import Words, transpose64

NOT, LUT2, LUT3, LUT4, MUX, CARRY, FF, FFE, MULT, ROM, ADD = range(11)

WIDE_COLUMNS = 74
"""Room for the nets of an operation that has more than six; the last column may hold the number of a ROM."""

Array = NDArray[np.int64]
_U = np.uint64


@nb.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _flip_flop_enabled(data: Words, enable: Words, out: Words, before: np.uint64) -> np.uint64:
    for w in range(out.size):
        # What the flip-flop holds after each cycle: its last enabled data, spread upwards by doubling distances.
        known, value = enable[w], data[w] & enable[w]
        for step in range(6):
            distance = _U(1 << step)
            value |= (value << distance) & ~known
            known |= known << distance
        if before:
            value |= ~known
        out[w] = (value << _U(1)) | before
        before = value >> _U(63)
    return before


@nb.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _multiply(planes: Words, nets: Array) -> None:
    """36-bit product of two 18-bit operands: `nets` has A0..A17, B0..B17, signed A, signed B, P0..P35."""
    a, b = np.empty(64, np.uint64), np.empty(64, np.uint64)
    for w in range(planes.shape[1]):
        for i in range(18):
            a[i] = planes[nets[i], w]
            b[i] = planes[nets[18 + i], w]
        sign_a, sign_b = a[17] & planes[nets[36], w], b[17] & planes[nets[37], w]
        for i in range(18, 64):
            a[i] = sign_a
            b[i] = sign_b
        transpose64(a)
        transpose64(b)
        for t in range(64):
            a[t] = a[t] * b[t]
        transpose64(a)
        for i in range(36):
            planes[nets[38 + i], w] = a[i]


@nb.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _read(planes: Words, nets: Array, roms: NDArray[np.uint32]) -> None:
    """18 bits of a memory at a 14-bit address: `nets` has the address, the data, and in the end the ROM's number."""
    block = np.empty(64, np.uint64)
    rom = nets[WIDE_COLUMNS - 1]
    for w in range(planes.shape[1]):
        for i in range(64):
            block[i] = planes[nets[i], w] if i < 14 else _U(0)
        transpose64(block)
        for t in range(64):
            block[t] = _U(roms[rom, np.int64(block[t])])
        transpose64(block)
        for i in range(18):
            planes[nets[14 + i], w] = block[i]


@nb.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def run_block(ops: Array, wide: Array, roms: NDArray[np.uint32], planes: Words, state: Words) -> None:
    """Evaluate all operations for one block of cycles.

    `ops` (M, 8): kind, four input rows, two output rows, and the table, which of a flip-flop is the index of its state
    and of a multiplier or a ROM that of its wide operands; rows as their places in bytes. `planes` (rows, words) begins
    at a multiple of 64 bytes and has a multiple of 8 words a row.
    """
    base, size = planes.ctypes.data, planes.shape[1] * 8
    for i in range(ops.shape[0]):
        kind, a, b, c, d, out, extra, table = ops[i]
        if kind == ADD:
            adder_rows(base, size, a, b, c, d, out, extra, table)
        elif kind == FF:
            state[table] = delayed_row(base, size, a, out, state[table])
        elif kind == LUT2:
            lut2_rows(base, size, a, b, c, d, out, extra, table)
        elif kind == CARRY:
            carry_rows(base, size, a, b, c, d, out, extra, table)
        elif kind == LUT3:
            lut3_rows(base, size, a, b, c, d, out, extra, table)
        elif kind == LUT4:
            lut4_rows(base, size, a, b, c, d, out, extra, table)
        elif kind == MUX:
            mux_rows(base, size, a, b, c, d, out, extra, table)
        elif kind == NOT:
            not_row(base, size, a, b, c, d, out, extra, table)
        elif kind == FFE:
            state[table] = _flip_flop_enabled(planes[a // size], planes[b // size], planes[out // size], state[table])
        elif kind == ROM:
            _read(planes, wide[table], roms)
        else:
            _multiply(planes, wide[table])
