"""LINEAR values become shared shift-and-add graphs: the solver's result spliced into the kernel.

All LINEAR values at the same linear level that share an argument are solved as one constant matrix. A bias is one
more row of the matrix (the input 1), so that it joins the adder tree where it is cheapest and shallowest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hardwire.fixed import Ints
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Ids, Kernel
from hardwire.passes._operands import operands
from hardwire.solver import AdderGraph

Solve = Callable[[Ints, Ints, Ints, Ints], AdderGraph]
"""(matrix (inputs, outputs), lo (inputs,), hi, arrival depth) → adder graph."""

_LINEAR = int(OpCode.LINEAR)
_SPLIT = 30
"""Coefficients of more bits than this are split in two rows, the upper one of the shifted input."""


def shift_add(kernel: Kernel, solve: Solve, arrival: Ints | None = None) -> Kernel:
    """Return the kernel without LINEAR values; all others keep their order within their level.

    `arrival`: adder level at which each input arrives, 0 if not given.
    """
    if not np.any(kernel.op == _LINEAR):
        return kernel
    pointer, ids = operands(kernel)
    level = np.zeros(len(kernel), np.int64)
    _levels(kernel.op, pointer, ids, level, _LINEAR)
    writer = _Writer(kernel)
    writer.depth[: kernel.n_inputs] = 0 if arrival is None else arrival
    is_linear = kernel.op == _LINEAR
    for at in range(int(level.max()) + 1):
        linears = np.flatnonzero(is_linear & (level == at))
        for group in _components(kernel, linears):
            _splice(kernel, group, writer, solve)
        others = np.flatnonzero(~is_linear & (level == at))
        writer.copy(others[others >= kernel.n_inputs], pointer, ids)
    return writer.kernel()


@njit(cache=True)
def _levels(op, pointer, ids, level, linear):  # type: ignore[no-untyped-def]
    for i in range(len(op)):
        top = 0
        for k in range(pointer[i], pointer[i + 1]):
            top = max(top, level[ids[k]])
        level[i] = top + 1 if op[i] == linear else top


def _components(kernel: Kernel, linears: Ints) -> list[Ints]:
    """Split LINEAR values into groups that share no argument."""
    if not len(linears):
        return []
    owner: dict[int, int] = {}
    parent = {int(v): int(v) for v in linears}

    def find(v: int) -> int:
        while parent[v] != v:
            parent[v] = parent[parent[v]]
            v = parent[v]
        return v

    for v in linears.tolist():
        for arg in kernel.term_arg[kernel.a[v] : kernel.a[v] + kernel.b[v]].tolist():
            parent[find(v)] = find(owner.setdefault(arg, v))
    groups: dict[int, list[int]] = {}
    for v in linears.tolist():
        groups.setdefault(find(v), []).append(v)
    return [np.array(group) for group in groups.values()]


def _splice(kernel: Kernel, group: Ints, writer: _Writer, solve: Solve) -> None:
    slices = [slice(int(kernel.a[v]), int(kernel.a[v]) + int(kernel.b[v])) for v in group]
    args = np.unique(np.concatenate([kernel.term_arg[s] for s in slices]))
    row_of = {int(arg): row for row, arg in enumerate(args)}
    matrix = np.zeros((len(args), len(group)), np.int64)
    for column, s in enumerate(slices):
        for arg, coef in zip(kernel.term_arg[s].tolist(), kernel.term_coef[s].tolist(), strict=True):
            matrix[row_of[arg], column] += coef
    sources = writer.new_id[args].tolist()
    rows = list(matrix)
    origin = int(kernel.origin[group[0]])
    for at, source in list(enumerate(sources)):
        if np.any(np.abs(rows[at]) >= 1 << _SPLIT):
            high = rows[at] >> _SPLIT
            rows[at] = rows[at] & ((1 << _SPLIT) - 1)
            rows.append(high)
            sources.append(writer.shifted(source, _SPLIT, origin))
    for column, bias in enumerate(kernel.p[group].tolist()):
        if bias:
            unit = 1 << min((bias & -bias).bit_length() - 1, _SPLIT - 1)
            rows.append(np.where(np.arange(len(group)) == column, unit, 0))
            sources.append(writer.const(bias // unit, origin))
    ids = np.array(sources)
    graph = solve(np.array(rows), writer.lo[ids], writer.hi[ids], writer.depth[ids])
    writer.graph(graph, ids, group, kernel)


class _Writer:
    """The new kernel's arrays, grown by whole blocks."""

    def __init__(self, kernel: Kernel) -> None:
        self.source = kernel
        n = kernel.n_inputs
        self.new_id = np.full(len(kernel), -1, np.int32)
        self.new_id[:n] = np.arange(n, dtype=np.int32)
        self.size = n
        self.columns: dict[str, NDArray[Any]] = {
            key: np.array(getattr(kernel, key)[:n]) for key in ("op", "a", "b", "c", "p", "q", "lo", "hi", "origin")
        }
        self.columns["depth"] = np.zeros(n, np.int64)
        self._grow(4 * len(kernel) + 64)
        self._consts: dict[int, int] = {}

    def _grow(self, capacity: int) -> None:
        for key, column in self.columns.items():
            bigger = np.zeros(capacity, column.dtype)
            bigger[: self.size] = column[: self.size]
            self.columns[key] = bigger

    @property
    def lo(self) -> Ints:
        return self.columns["lo"]

    @property
    def hi(self) -> Ints:
        return self.columns["hi"]

    @property
    def depth(self) -> Ints:
        """Adder levels from the inputs, the arrival times that the solver balances against."""
        return self.columns["depth"]

    def append(self, count: int, **columns: Any) -> Ids:
        """Add `count` values; returns their ids."""
        if self.size + count > len(self.lo):
            self._grow(2 * (self.size + count))
        block = slice(self.size, self.size + count)
        for key, column in self.columns.items():
            column[block] = columns.get(key, -1 if key in ("a", "b", "c") else 0)
        self.size += count
        return np.arange(block.start, block.stop, dtype=np.int32)

    def const(self, value: int, origin: int) -> int:
        if value not in self._consts:
            (new,) = self.append(1, op=OpCode.CONST, p=value, lo=value, hi=value, origin=origin)
            self._consts[value] = int(new)
        return self._consts[value]

    def shifted(self, source: int, shift: int, origin: int) -> int:
        lo, hi = int(self.lo[source]) << shift, int(self.hi[source]) << shift
        depth = int(self.depth[source])
        (new,) = self.append(1, op=OpCode.SHL, a=source, p=shift, lo=lo, hi=hi, origin=origin, depth=depth)
        return int(new)

    def copy(self, values: Ints, pointer: Ints, ids: Ids) -> None:
        """Copy values that are no LINEAR, in order."""
        if not len(values):
            return
        k = self.source
        self.new_id[values] = np.arange(self.size, self.size + len(values), dtype=np.int32)
        moved = {}
        for key in ("a", "b", "c"):
            column = getattr(k, key)[values]
            moved[key] = np.where(column >= 0, self.new_id[np.maximum(column, 0)], -1)
        rest = {key: getattr(k, key)[values] for key in ("op", "p", "q", "lo", "hi", "origin")}
        new = self.append(len(values), **moved, **rest)
        depth = self.depth
        for value, target in zip(values.tolist(), new.tolist(), strict=True):
            args = self.new_id[ids[pointer[value] : pointer[value + 1]]]
            # Only its order of magnitude matters: every op that is no wire counts as one level.
            free = k.op[value] in (OpCode.CONST, OpCode.SHL, OpCode.WRAP)
            depth[target] = max((int(depth[a]) for a in args), default=0) + (0 if free else 1)

    def graph(self, graph: AdderGraph, sources: Ints, group: Ints, kernel: Kernel) -> None:
        """Append an adder graph whose inputs are `sources`, and make its outputs stand for `group`."""
        lo, hi = graph.ranges(self.lo[sources], self.hi[sources])
        n = graph.n_inputs
        local = np.concatenate([sources, self.size + np.arange(graph.n_adders)]).astype(np.int32)
        depth = graph.depths(self.depth[sources])
        origin = int(kernel.origin[group[0]])
        self.append(
            graph.n_adders,
            op=np.where(graph.negate_b, int(OpCode.SUB), int(OpCode.ADD)),
            a=local[graph.a],
            b=local[graph.b],
            p=graph.shift_a,
            q=graph.shift_b,
            lo=lo[n:],
            hi=hi[n:],
            origin=origin,
            depth=depth[n:],
        )
        for column, value in enumerate(group.tolist()):
            self.new_id[value] = self._output(graph, column, local, value)

    def _output(self, graph: AdderGraph, column: int, local: Ids, value: int) -> int:
        k = self.source
        origin, lo, hi = int(k.origin[value]), int(k.lo[value]), int(k.hi[value])
        node, shift = int(graph.out_node[column]), int(graph.out_shift[column])
        if node < 0:
            return self.const(0, origin)
        at = int(local[node])
        depth = int(self.depth[at])
        if graph.out_negate[column]:
            zero = self.const(0, origin)
            new = self.append(1, op=OpCode.SUB, a=zero, b=at, q=shift, lo=lo, hi=hi, origin=origin, depth=depth + 1)
        elif shift:
            new = self.append(1, op=OpCode.SHL, a=at, p=shift, lo=lo, hi=hi, origin=origin, depth=depth)
        else:
            return at
        return int(new[0])

    def kernel(self) -> Kernel:
        k = self.source
        columns = {key: column[: self.size].copy() for key, column in self.columns.items() if key != "depth"}
        return k.with_(
            **columns,
            term_arg=np.zeros(0, np.int32),
            term_coef=np.zeros(0, np.int64),
            outputs=self.new_id[k.outputs].astype(np.int32),
        )
