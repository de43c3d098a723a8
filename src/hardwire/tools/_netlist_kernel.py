"""The compiled inner loop of the netlist simulator: a block of clock cycles, operation after operation.

Every net is a row of words in which bit t is the net at cycle t. Gates are bitwise operations on rows; a flip-flop is a
shift by one cycle whose carry crosses blocks in `state`.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hardwire.tools.bits import Words, transpose64

NOT, LUT2, LUT3, LUT4, MUX, CARRY, FF, FFE, MULT, ROM = range(10)

WIDE_COLUMNS = 74
"""Room for the nets of an operation that has more than six; the last column may hold the number of a ROM."""

Array = NDArray[np.int64]
_U = np.uint64
_ALL = _U(0xFFFFFFFFFFFFFFFF)


@nb.njit(inline="always")  # type: ignore[untyped-decorator]
def _bit(table: int, position: int) -> np.uint64:
    return _ALL if (table >> position) & 1 else _U(0)


@nb.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _lut2(a: Words, b: Words, out: Words, table: int) -> None:
    # The function as a sum (exclusive or) of products: t0 ^ a·(t0^t1) ^ b·(t0^t2) ^ ab·(t0^t1^t2^t3).
    t0, t1, t2, t3 = _bit(table, 0), _bit(table, 1), _bit(table, 2), _bit(table, 3)
    ca, cb, cab = t0 ^ t1, t0 ^ t2, t0 ^ t1 ^ t2 ^ t3
    for w in range(out.size):
        out[w] = t0 ^ (a[w] & (ca ^ (b[w] & cab))) ^ (b[w] & cb)


@nb.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _lut3(a: Words, b: Words, c: Words, out: Words, table: int) -> None:
    t0, t1, t2, t3 = _bit(table, 0), _bit(table, 1), _bit(table, 2), _bit(table, 3)
    u0, u1, u2, u3 = _bit(table, 4), _bit(table, 5), _bit(table, 6), _bit(table, 7)
    ta, tb, tab = t0 ^ t1, t0 ^ t2, t0 ^ t1 ^ t2 ^ t3
    ua, ub, uab = u0 ^ u1, u0 ^ u2, u0 ^ u1 ^ u2 ^ u3
    for w in range(out.size):
        x, y = a[w], b[w]
        low = t0 ^ (x & (ta ^ (y & tab))) ^ (y & tb)
        high = u0 ^ (x & (ua ^ (y & uab))) ^ (y & ub)
        out[w] = low ^ (c[w] & (low ^ high))


@nb.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _lut4(a: Words, b: Words, c: Words, d: Words, out: Words, table: int) -> None:
    p0, p1, p2, p3 = _bit(table, 0), _bit(table, 1), _bit(table, 2), _bit(table, 3)
    q0, q1, q2, q3 = _bit(table, 4), _bit(table, 5), _bit(table, 6), _bit(table, 7)
    r0, r1, r2, r3 = _bit(table, 8), _bit(table, 9), _bit(table, 10), _bit(table, 11)
    s0, s1, s2, s3 = _bit(table, 12), _bit(table, 13), _bit(table, 14), _bit(table, 15)
    p1, p2, p3 = p0 ^ p1, p0 ^ p2, p0 ^ p1 ^ p2 ^ p3
    q1, q2, q3 = q0 ^ q1, q0 ^ q2, q0 ^ q1 ^ q2 ^ q3
    r1, r2, r3 = r0 ^ r1, r0 ^ r2, r0 ^ r1 ^ r2 ^ r3
    s1, s2, s3 = s0 ^ s1, s0 ^ s2, s0 ^ s1 ^ s2 ^ s3
    for w in range(out.size):
        x, y, z = a[w], b[w], c[w]
        p = p0 ^ (x & (p1 ^ (y & p3))) ^ (y & p2)
        q = q0 ^ (x & (q1 ^ (y & q3))) ^ (y & q2)
        r = r0 ^ (x & (r1 ^ (y & r3))) ^ (y & r2)
        s = s0 ^ (x & (s1 ^ (y & s3))) ^ (y & s2)
        low = p ^ (z & (p ^ q))
        high = r ^ (z & (r ^ s))
        out[w] = low ^ (d[w] & (low ^ high))


@nb.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _mux(select: Words, low: Words, high: Words, out: Words) -> None:
    for w in range(out.size):
        out[w] = low[w] ^ (select[w] & (low[w] ^ high[w]))


@nb.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _carry(propagate: Words, generate: Words, carry: Words, total: Words, out: Words) -> None:
    for w in range(out.size):
        p, c = propagate[w], carry[w]
        total[w] = p ^ c
        out[w] = generate[w] ^ (p & (generate[w] ^ c))


@nb.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _flip_flop(data: Words, out: Words, before: np.uint64) -> np.uint64:
    out[0] = (data[0] << _U(1)) | before
    for w in range(1, out.size):
        out[w] = (data[w] << _U(1)) | (data[w - 1] >> _U(63))
    after: np.uint64 = data[out.size - 1] >> _U(63)
    return after


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

    `ops` (M, 7): kind, up to four input rows, two output rows; the table or the index of the state or of the wide
    operands takes the place that the kind leaves free (see `netlist.py`, which writes it). `planes` (rows, words).
    """
    for i in range(ops.shape[0]):
        kind, a, b, c, d, out, extra = ops[i]
        if kind == LUT2:
            _lut2(planes[a], planes[b], planes[out], extra)
        elif kind == CARRY:
            _carry(planes[a], planes[b], planes[c], planes[out], planes[extra])
        elif kind == FF:
            state[extra] = _flip_flop(planes[a], planes[out], state[extra])
        elif kind == LUT3:
            _lut3(planes[a], planes[b], planes[c], planes[out], extra)
        elif kind == LUT4:
            _lut4(planes[a], planes[b], planes[c], planes[d], planes[out], extra)
        elif kind == MUX:
            _mux(planes[a], planes[b], planes[c], planes[out])
        elif kind == NOT:
            for w in range(planes.shape[1]):
                planes[out, w] = ~planes[a, w]
        elif kind == FFE:
            state[extra] = _flip_flop_enabled(planes[a], planes[b], planes[out], state[extra])
        elif kind == ROM:
            _read(planes, wide[extra], roms)
        else:
            _multiply(planes, wide[extra])
