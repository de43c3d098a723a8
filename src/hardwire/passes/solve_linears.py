"""LINEAR values of a flat kernel become shift-and-add graphs, application by application of the kernels they are of.

The LINEAR values of one application of a kernel (`unroll` with `tell_instances`) are solved together, and with them
those of other layers that read (mostly) the same values and are as deep: parallel branches share sums. Applications
that are alike, coefficients, biases and ranges, are solved once. So the whole network is simplified before anything is
solved: a neuron that nobody reads is not solved, at any position, and a rounding joins the bias of the layer before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from hardwire.fixed import Ints, Rounding
from hardwire.ir.ops import ARITY, OpCode
from hardwire.ir.program import Ids, Kernel, Program
from hardwire.passes._operands import operands
from hardwire.passes.shift_add import Solve, shift_add
from hardwire.passes.unroll import instances
from hardwire.solver import csd_weight

_LINEAR = int(OpCode.LINEAR)
_COMMON = 0.6
"""Share of all their arguments that two branches must have in common to be solved together: neighbouring windows of two
convolutions have less."""
_LOOKED_UP = 4
"""Arguments, the first ones, of which branches that are solved together must share one."""
_COLUMNS = ("op", "a", "b", "c", "p", "q", "lo", "hi", "origin")


def applications(program: Program) -> Ids:
    """Application of each origin of `unroll(program, tell_instances=True)`, counted through the steps; -1: a port."""
    lengths = [len(program.kernels[step.kernel].origins) for step in program.steps for _ in range(step.positions)]
    return np.concatenate([[-1], np.repeat(np.arange(len(lengths)), lengths)]).astype(np.int32)


def solve_linears(
    kernel: Kernel, application: Ids, solve: Solve, progress: Callable[[str], None] | None = None
) -> Kernel:
    """Return the kernel without LINEAR values, its origins merged by name.

    `application` of each origin says which LINEAR values are solved together. `progress` is told each layer's name
    before the first of it is solved.
    """
    if not np.any(kernel.op == _LINEAR):
        return _with_plain_origins(kernel)
    pointer, ids = operands(kernel)
    level = np.zeros(len(kernel), np.int64)
    is_linear = kernel.op == _LINEAR
    _linear_levels(is_linear, pointer, ids, level)
    group = application[kernel.origin]
    grown = _Grown(kernel)
    for at in range(int(level.max()) + 1):
        linears = np.flatnonzero(is_linear & (level == at))
        joint = _joined(kernel, linears, group, grown.depth)
        for values, args in _alike(kernel, linears[np.argsort(joint[linears], kind="stable")], joint, grown.depth):
            for name in {kernel.origins[origin]: None for origin in kernel.origin[values[0]].tolist()}:
                if progress is not None and name not in grown.told:
                    grown.told.add(name)
                    progress(name)
            grown.solved(values, args, solve)
        others = np.flatnonzero(~is_linear & (level == at))
        grown.copied(others[others >= kernel.n_inputs], group)
    return _with_plain_origins(grown.kernel())


def _joined(kernel: Kernel, linears: Ints, group: Ids, depth: Ints) -> Ids:
    """`group` with parallel branches in one: applications of different layers over nearly the same arguments.

    Only where their least depths are equal, since all sums of one problem may take the depth of its deepest.
    """
    known: dict[str, int] = {}
    name_of = np.array([known.setdefault(name, len(known)) for name in kernel.origins])
    names = name_of[kernel.origin[linears]]
    if not len(linears) or np.all(names == names[0]):
        return group
    joint = group.copy()
    order = np.argsort(group[linears], kind="stable")
    found: dict[int, list[_Branch]] = {}
    for part in np.split(order, np.flatnonzero(np.diff(group[linears[order]])) + 1):
        branch = _branch(kernel, linears[part], set(names[part].tolist()), depth)
        near = sorted(branch.args)[:_LOOKED_UP]
        for other in (other for arg in near for other in found.get(arg, [])):
            common = len(branch.args & other.args)
            alike = branch.level == other.level and common > _COMMON * len(branch.args | other.args)
            if alike and not branch.layers & other.layers:
                joint[linears[part]] = group[other.first]
                other.layers |= branch.layers
                break
        else:
            for arg in near:
                found.setdefault(arg, []).append(branch)
    return joint


@dataclass
class _Branch:
    """Sums that are solved together: their first value, arguments, least depth and layers."""

    first: int
    args: set[int]
    level: int
    layers: set[int]


def _branch(kernel: Kernel, values: Ints, layers: set[int], depth: Ints) -> _Branch:
    terms = [slice(int(kernel.a[v]), int(kernel.a[v]) + int(kernel.b[v])) for v in values]
    args = set(np.concatenate([kernel.term_arg[s] for s in terms]).tolist())
    base = min((int(depth[arg]) for arg in args), default=0)
    late = [np.minimum(depth[kernel.term_arg[s]] - base, 40) for s in terms]
    digits = [int((csd_weight(kernel.term_coef[s]) << at).sum()) for s, at in zip(terms, late, strict=True)]
    return _Branch(int(values[0]), args, base + (max(digits) - 1).bit_length(), layers)


def _alike(kernel: Kernel, linears: Ints, group: Ids, depth: Ints) -> list[tuple[Ints, Ints]]:
    """Groups of LINEAR values, equal groups together: values (groups, outputs), their arguments (groups, inputs)."""
    if not len(linears):
        return []
    counts = kernel.b[linears].astype(np.int64)
    starts = np.cumsum(counts) - counts
    pick = np.repeat(kernel.a[linears] - starts, counts) + np.arange(counts.sum())
    args, coefs = kernel.term_arg[pick], kernel.term_coef[pick]
    cuts = np.flatnonzero(np.diff(group[linears], prepend=-2))
    ends = np.append(cuts[1:], len(linears))
    found: dict[tuple[bytes, ...], tuple[list[Ints], list[Ints]]] = {}
    for start, end in zip(cuts.tolist(), ends.tolist(), strict=True):
        terms = slice(int(starts[start]), int(starts[end - 1] + counts[end - 1]))
        own, place = np.unique(args[terms], return_inverse=True)
        values = linears[start:end]
        arrival = depth[own] - depth[own].min()
        content = (place, coefs[terms], counts[start:end], kernel.p[values], kernel.lo[own], kernel.hi[own], arrival)
        rows = found.setdefault(tuple(np.asarray(part).tobytes() for part in content), ([], []))
        rows[0].append(values)
        rows[1].append(own)
    return [(np.array(values), np.array(own)) for values, own in found.values()]


class _Grown:
    """The new kernel, block by block."""

    def __init__(self, kernel: Kernel) -> None:
        n = kernel.n_inputs
        self.source = kernel
        self.size = n
        self.new_id = np.full(len(kernel), -1, np.int32)
        self.new_id[:n] = np.arange(n, dtype=np.int32)
        self.depth = np.zeros(len(kernel), np.int64)
        """Adder levels from the inputs of the application, of the values of `source`."""
        self.blocks: list[dict[str, Any]] = [{key: getattr(kernel, key)[:n] for key in _COLUMNS}]
        self.told: set[str] = set()

    def solved(self, values: Ints, args: Ints, solve: Solve) -> None:
        """Append a graph for each row of `values` over that row of `args`."""
        k = self.source
        first, inputs = values[0], args[0]
        depth = self.depth[inputs] - self.depth[inputs].min()
        body = shift_add(_problem(k, first, inputs), solve, depth)
        block, new = instances(body, self.new_id[args], self.size, 0, 0, np.zeros(len(body.origins), np.int32))
        pointer, ids = operands(body)
        column = np.full(len(body), len(first) - 1)  # the first output that an adder is for
        np.minimum.at(column, body.outputs, np.arange(len(first)))
        _first_users(pointer, ids, column)
        block["origin"] = k.origin[values[:, column[body.n_inputs :]]].ravel()
        self.new_id[values] = new
        levels_ = np.zeros(len(body), np.int64)
        levels_[: len(inputs)] = depth
        _adder_levels(pointer, ids, np.isin(body.op, (OpCode.ADD, OpCode.SUB)), levels_)
        self.depth[values] = levels_[body.outputs] + self.depth[args].min(axis=1)[:, None]
        self._append(block)

    def copied(self, values: Ints, group: Ids) -> None:
        """Append values that are no LINEAR, in order."""
        k = self.source
        if not len(values):
            return
        self.new_id[values] = np.arange(self.size, self.size + len(values), dtype=np.int32)
        block = {key: getattr(k, key)[values] for key in _COLUMNS}
        arity = np.array(ARITY)[block["op"]]
        free = np.isin(block["op"], (OpCode.CONST, OpCode.SHL, OpCode.WRAP))
        free |= (block["op"] == OpCode.ROUND) & (block["q"] == Rounding.TRN)
        _depths(values, k.a, k.b, k.c, arity, free, group, self.depth)
        for key, least in (("a", 1), ("b", 2), ("c", 3)):
            used = arity >= least
            block[key] = np.where(used, self.new_id[np.where(used, block[key], 0)], block[key]).astype(np.int32)
        self._append(block)

    def _append(self, block: dict[str, Any]) -> None:
        self.blocks.append(block)
        self.size += len(block["op"])

    def kernel(self) -> Kernel:
        """All blocks; a LINEAR value's range, which may come from another proof than its terms', is its graph's too."""
        k = self.source
        columns = {key: np.concatenate([block[key] for block in self.blocks]) for key in _COLUMNS}
        linears = np.flatnonzero((k.op == _LINEAR) & (self.new_id >= 0))
        np.maximum.at(columns["lo"], self.new_id[linears], k.lo[linears])
        np.minimum.at(columns["hi"], self.new_id[linears], k.hi[linears])
        return k.with_(
            **columns,
            term_arg=np.zeros(0, np.int32),
            term_coef=np.zeros(0, np.int64),
            outputs=self.new_id[k.outputs].astype(np.int32),
        )


def _problem(kernel: Kernel, linears: Ints, inputs: Ints) -> Kernel:
    """A kernel of these LINEAR values alone; its inputs are their arguments (ids in ascending order)."""
    n, m = len(inputs), len(linears)
    counts = kernel.b[linears].astype(np.int64)
    starts = np.cumsum(counts) - counts
    pick = np.repeat(kernel.a[linears] - starts, counts) + np.arange(counts.sum())
    none = np.full(n + m, -1, np.int32)
    a, b = none.copy(), none.copy()
    a[n:], b[n:] = starts, counts
    return Kernel(
        name=kernel.name,
        op=np.repeat(np.array([OpCode.INPUT, OpCode.LINEAR], np.uint8), (n, m)),
        a=a,
        b=b,
        c=none,
        p=np.concatenate([np.arange(n), kernel.p[linears]]),
        q=np.zeros(n + m, np.int64),
        lo=np.concatenate([kernel.lo[inputs], kernel.lo[linears]]),
        hi=np.concatenate([kernel.hi[inputs], kernel.hi[linears]]),
        origin=np.zeros(n + m, np.int32),
        term_arg=np.searchsorted(inputs, kernel.term_arg[pick]).astype(np.int32),
        term_coef=kernel.term_coef[pick],
        outputs=np.arange(n, n + m, dtype=np.int32),
        n_inputs=n,
    )


@njit(cache=True)
def _linear_levels(is_linear, pointer, ids, level):  # type: ignore[no-untyped-def]
    for i in range(len(level)):
        for k in range(pointer[i], pointer[i + 1]):
            level[i] = max(level[i], level[ids[k]])
        if is_linear[i]:
            level[i] += 1


@njit(cache=True)
def _adder_levels(pointer, ids, adder, level):  # type: ignore[no-untyped-def]
    for i in range(len(adder)):
        for k in range(pointer[i], pointer[i + 1]):
            level[i] = max(level[i], level[ids[k]] + (1 if adder[i] else 0))


@njit(cache=True)
def _first_users(pointer, ids, column):  # type: ignore[no-untyped-def]
    for i in range(len(column) - 1, -1, -1):
        for k in range(pointer[i], pointer[i + 1]):
            column[ids[k]] = min(column[ids[k]], column[i])


@njit(cache=True)
def _depths(values, a, b, c, arity, free, group, depth):  # type: ignore[no-untyped-def]
    for k in range(len(values)):
        i = values[k]
        top = 0
        if arity[k] > 0 and group[a[i]] == group[i]:
            top = max(top, depth[a[i]])
        if arity[k] > 1 and group[b[i]] == group[i]:
            top = max(top, depth[b[i]])
        if arity[k] > 2 and group[c[i]] == group[i]:
            top = max(top, depth[c[i]])
        depth[i] = top + (0 if free[k] else 1)


def _with_plain_origins(kernel: Kernel) -> Kernel:
    known: dict[str, int] = {}
    renamed = np.array([known.setdefault(name, len(known)) for name in kernel.origins], np.int32)
    return kernel.with_(origin=renamed[kernel.origin], origins=tuple(known))
