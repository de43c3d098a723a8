"""Compiled kernels of `EdgeTables`: functions at the cells of their grids, and events that look them up.

An edge e = input · outputs + output has 2^`fine_bits[e]` cells from `start[e]` on, in order. A function is a sum of
`height · bend(slope · x + shift)` with the inverse square root unit `bend(u) = u / √(1 + u²)` (Carlile et al. 2017,
arXiv:1710.09967), which needs no exponential. Sums run in a fixed order: same numbers, same result.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_ONE, _HALF = np.float32(1.0), np.float32(0.5)


@njit(cache=True, fastmath={"contract", "reassoc", "nsz", "arcp"}, error_model="numpy")
def evaluate(slope, shift, height, start, fine_bits, first, step, most, fine):  # type: ignore[no-untyped-def]
    """Fill `fine` with the functions at the centres of their cells."""
    edges, hidden = slope.shape
    outputs = edges // len(first)
    for e in range(edges):
        i = e // outputs
        width = np.float32(1 << (most - fine_bits[e])) * step[i]
        origin = first[i] * step[i] + _HALF * width
        for c in range(1 << fine_bits[e]):
            x = origin + np.float32(c) * width
            total = np.float32(0.0)
            for h in range(hidden):
                u = slope[e, h] * x + shift[e, h]
                total += height[e, h] * u / np.sqrt(_ONE + u * u)
            fine[start[e] + c] = total


@njit(cache=True, error_model="numpy")
def settle(fine, start, fine_bits, bits, fraction, entries, lost, error, used):  # type: ignore[no-untyped-def]
    """Average over the cells that an edge's `bits` tell apart and round to `fraction` bits, half up.

    `lost` is what averaging and `error` what rounding took away; `used` are the bits of an edge's entries.
    """
    for e in range(len(start)):
        scale = np.float32(2.0) ** np.float32(fraction[e])
        least, most = np.float32(np.inf), np.float32(-np.inf)
        share = fine_bits[e] - bits[e]
        for c in range(0, 1 << fine_bits[e], 1 << share):
            at = start[e] + c
            value = fine[at] if share == 0 else _HALF * (fine[at] + fine[at + 1])
            code = np.floor(value * scale + _HALF)
            least, most = min(least, code), max(most, code)
            for k in range(at, at + (1 << share)):
                entries[k] = code / scale
                lost[k] = fine[k] - value
                error[k] = value - entries[k]
        span, width = np.int64(most - least), 0
        while span > 0:
            span >>= 1
            width += 1
        used[e] = width


@njit(cache=True, error_model="numpy")
def look_up(codes, entries, start, drop, y):  # type: ignore[no-untyped-def]
    """Add up the entries of every event: `codes` (events, inputs), `y` (events, outputs) to add to."""
    events, inputs = codes.shape
    outputs = y.shape[1]
    for n in range(events):
        for i in range(inputs):
            code = codes[n, i]
            for j in range(outputs):
                e = i * outputs + j
                y[n, j] += entries[start[e] + (code >> drop[e])]


@njit(cache=True, error_model="numpy")
def look_up_each(codes, entries, start, drop, y):  # type: ignore[no-untyped-def]
    """The entry of every input of an event, not summed: `y` (events, inputs)."""
    for n in range(codes.shape[0]):
        for i in range(codes.shape[1]):
            y[n, i] = entries[start[i] + (codes[n, i] >> drop[i])]


@njit(cache=True, error_model="numpy")
def give_back(codes, inside, given, fine, start, fine_bits, drop, step, to_entries, to_x):  # type: ignore[no-untyped-def]
    """Gradients of entries and inputs: the slope of a function is that between neighbouring cells."""
    events, inputs = codes.shape
    outputs = given.shape[1]
    for n in range(events):
        for i in range(inputs):
            code, total = codes[n, i], np.float32(0.0)
            for j in range(outputs):
                e = i * outputs + j
                at = code >> drop[e]
                to_entries[start[e] + at] += given[n, j]
                if fine_bits[e] > 0:
                    pair = start[e] + (at & ~1)
                    total += given[n, j] * (fine[pair + 1] - fine[pair]) / (step[i] * np.float32(1 << drop[e]))
            to_x[n, i] = total if inside[n, i] else np.float32(0.0)


@njit(cache=True, error_model="numpy")
def give_back_each(codes, inside, given, fine, start, fine_bits, drop, step, to_entries, to_x):  # type: ignore[no-untyped-def]
    """As `give_back`, for functions that are not summed."""
    for n in range(codes.shape[0]):
        for i in range(codes.shape[1]):
            at, total = codes[n, i] >> drop[i], np.float32(0.0)
            to_entries[start[i] + at] += given[n, i]
            if fine_bits[i] > 0 and inside[n, i]:
                pair = start[i] + (at & ~1)
                total = given[n, i] * (fine[pair + 1] - fine[pair]) / (step[i] * np.float32(1 << drop[i]))
            to_x[n, i] = total


@njit(cache=True, fastmath={"contract", "reassoc", "nsz", "arcp"}, error_model="numpy")
def to_functions(  # type: ignore[no-untyped-def]
    slope, shift, height, start, fine_bits, bits, first, step, most, to_entries, lost, error,
    to_slope, to_shift, to_height, to_bits, to_fraction,
):  # fmt: skip
    """Gradients of the functions' parameters, address bits and fractional bits from those of the entries."""
    edges, hidden = slope.shape
    outputs = edges // len(first)
    log2 = np.float32(0.6931471805599453)
    for e in range(edges):
        i = e // outputs
        width = np.float32(1 << (most - fine_bits[e])) * step[i]
        origin = first[i] * step[i] + _HALF * width
        share = fine_bits[e] - bits[e]
        by_bits, by_fraction = np.float32(0.0), np.float32(0.0)
        for c in range(0, 1 << fine_bits[e], 1 << share):
            at, whole = start[e] + c, np.float32(0.0)
            for k in range(at, at + (1 << share)):
                whole += to_entries[k]
                by_bits += to_entries[k] * lost[k]
                by_fraction += to_entries[k] * error[k]
            if whole == 0.0:
                continue
            part = whole / np.float32(1 << share)
            for k in range(1 << share):
                x = origin + np.float32(c + k) * width
                for h in range(hidden):
                    u = slope[e, h] * x + shift[e, h]
                    norm = _ONE / np.sqrt(_ONE + u * u)
                    to_height[e, h] += part * u * norm
                    turn = part * height[e, h] * norm * norm * norm
                    to_shift[e, h] += turn
                    to_slope[e, h] += turn * x
        to_bits[e] = by_bits * log2
        to_fraction[e] = by_fraction * log2
