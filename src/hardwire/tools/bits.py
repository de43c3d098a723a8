"""Packed words and bit-planes: how vectors of integers reach simulators, and how time becomes a word.

* **words**: `(N, ceil(W / 64))` uint64, one row a vector, a bus of W bits with its bit 0 in bit 0 of word 0. Element 0
  of a vector lies in the least significant bits, as `{…, x1, x0}` does in Verilog. Bits above W are zero.
* **planes**: `(W, ceil(N / 64))` uint64, one row a bus bit; bit t % 64 of word t // 64 is that bit at vector t.

The 64 × 64 bit transposition is the recursive block swap of Warren, *Hacker's Delight*, section 7-3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba as nb
import numpy as np
from numpy.typing import NDArray

from hardwire.errors import DataError, RangeError

Words = NDArray[np.uint64]
Ints = NDArray[np.int64]

_U = np.uint64


def words_per(width: int) -> int:
    """Number of 64-bit words that hold a bus of `width` bits."""
    return (width + 63) // 64


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def transpose64(block: Words) -> None:
    """Transpose in place: afterwards bit j of `block[i]` is what bit i of `block[j]` was; `block` is (64,) uint64."""
    for step in range(6):
        distance = 32 >> step
        shift, mask = _U(32), _U(0x00000000FFFFFFFF)
        if step == 1:
            shift, mask = _U(16), _U(0x0000FFFF0000FFFF)
        elif step == 2:
            shift, mask = _U(8), _U(0x00FF00FF00FF00FF)
        elif step == 3:
            shift, mask = _U(4), _U(0x0F0F0F0F0F0F0F0F)
        elif step == 4:
            shift, mask = _U(2), _U(0x3333333333333333)
        elif step == 5:
            shift, mask = _U(1), _U(0x5555555555555555)
        for base in range(0, 64, 2 * distance):
            for k in range(base, base + distance):
                low, high = block[k], block[k + distance]
                swap = ((low >> shift) ^ high) & mask
                block[k + distance] = high ^ swap
                block[k] = low ^ (swap << shift)


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _pack(values: Ints, widths: Ints, words: Words) -> None:
    for n in range(values.shape[0]):
        position = 0
        for e in range(widths.size):
            width = widths[e]
            value = _U(values[n, e])
            if width < 64:
                value &= (_U(1) << _U(width)) - _U(1)
            word, bit = position >> 6, position & 63
            words[n, word] |= value << _U(bit)
            if bit + width > 64:
                words[n, word + 1] |= value >> _U(64 - bit)
            position += width


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _unpack(words: Words, widths: Ints, signed: NDArray[np.bool_], values: Ints) -> None:
    for n in range(values.shape[0]):
        position = 0
        for e in range(widths.size):
            width = widths[e]
            word, bit = position >> 6, position & 63
            value = words[n, word] >> _U(bit)
            if bit + width > 64:
                value |= words[n, word + 1] << _U(64 - bit)
            spare = _U(64 - width)
            if signed[e]:
                values[n, e] = np.int64(value << spare) >> np.int64(spare)
            else:
                values[n, e] = np.int64((value << spare) >> spare)
            position += width


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _to_planes(words: Words, planes: Words) -> None:
    block = np.empty(64, np.uint64)
    rows, width = words.shape[0], planes.shape[0]
    for column in range(planes.shape[1]):
        start = column * 64
        count = min(64, rows - start)
        for w in range(words.shape[1]):
            for i in range(count):
                block[i] = words[start + i, w]
            for i in range(count, 64):
                block[i] = _U(0)
            transpose64(block)
            for i in range(min(64, width - 64 * w)):
                planes[64 * w + i, column] = block[i]


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _from_planes(planes: Words, words: Words) -> None:
    block = np.empty(64, np.uint64)
    rows, width = words.shape[0], planes.shape[0]
    for column in range(planes.shape[1]):
        start = column * 64
        count = min(64, rows - start)
        for w in range(words.shape[1]):
            filled = min(64, width - 64 * w)
            for i in range(filled):
                block[i] = planes[64 * w + i, column]
            for i in range(filled, 64):
                block[i] = _U(0)
            transpose64(block)
            for i in range(count):
                words[start + i, w] = block[i]


def _checked_widths(widths: Sequence[int]) -> Ints:
    for position, width in enumerate(widths):
        if not 1 <= width <= 64:
            raise RangeError(f"element {position} is {width} bits wide; packed elements have 1 to 64 bits")
    return np.asarray(widths, np.int64).reshape(-1)


def pack(values: Ints, widths: Sequence[int]) -> Words:
    """Pack integers (N, E) into words (N, ceil(sum(widths) / 64)); element 0 lies lowest.

    Each element keeps its low `widths[e]` bits (two's complement, so signed and unsigned pack alike); a value that
    needs more bits loses its upper ones, as it would at a port: ranges are checked where values are quantised.
    Raises `DataError` on a wrong shape and `RangeError` on a width outside 1..64.
    """
    array = _checked_widths(widths)
    values = np.asarray(values)
    if values.ndim != 2 or values.shape[1] != array.size or values.dtype.kind not in "iu":
        raise DataError(
            f"packing needs integers of shape (N, {array.size}), not {values.dtype} of shape {values.shape}"
        )
    words = np.zeros((values.shape[0], words_per(int(array.sum()))), np.uint64)
    _pack(np.ascontiguousarray(values).astype(np.int64, copy=False), array, words)
    return words


def unpack(words: Words, widths: Sequence[int], signed: bool | Sequence[bool]) -> Ints:
    """Unpack words (N, ceil(sum(widths) / 64)) into int64 (N, E), sign-extending the signed elements.

    An unsigned element of 64 bits comes back modulo 2**64 as int64. Raises `DataError` on a wrong shape.
    """
    array = _checked_widths(widths)
    flags = np.full(array.size, signed) if isinstance(signed, bool) else np.asarray(signed, np.bool_).reshape(-1)
    if flags.size != array.size:
        raise DataError(f"{flags.size} signs were given for {array.size} elements")
    columns = words_per(int(array.sum()))
    if words.ndim != 2 or words.shape[1] != columns or words.dtype != np.uint64:
        raise DataError(f"unpacking needs uint64 of shape (N, {columns}), not {words.dtype} of shape {words.shape}")
    values = np.empty((words.shape[0], array.size), np.int64)
    _unpack(np.ascontiguousarray(words), array, flags, values)
    return values


def to_planes(words: Words, width: int) -> Words:
    """Bit-planes (width, ceil(N / 64)) of words (N, ceil(width / 64)); the last word is filled up with zeros."""
    if words.ndim != 2 or words.shape[1] != words_per(width):
        raise DataError(f"a bus of {width} bits needs words of shape (N, {words_per(width)}), not {words.shape}")
    if width == 1:
        ones = np.zeros(64 * words_per(words.shape[0]), np.bool_)
        ones[: words.shape[0]] = words[:, 0] & _U(1)
        return np.packbits(ones, bitorder="little").view("<u8").astype(np.uint64, copy=False).reshape(1, -1)
    planes = np.empty((width, words_per(words.shape[0])), np.uint64)
    _to_planes(np.ascontiguousarray(words), planes)
    return planes


def from_planes(planes: Words, count: int) -> Words:
    """Words (count, ceil(W / 64)) of bit-planes (W, at least ceil(count / 64)): the inverse of `to_planes`."""
    if planes.ndim != 2 or planes.shape[1] < words_per(count):
        raise DataError(f"{count} vectors need planes of shape (W, {words_per(count)}), not {planes.shape}")
    if planes.shape[0] == 1:
        row = np.ascontiguousarray(planes[0, : words_per(count)]).astype("<u8", copy=False)
        return np.unpackbits(row.view(np.uint8), bitorder="little", count=count).astype(np.uint64).reshape(-1, 1)
    words = np.empty((count, words_per(planes.shape[0])), np.uint64)
    _from_planes(np.ascontiguousarray(planes[:, : words_per(count)]), words)
    return words
