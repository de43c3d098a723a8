"""Constant-matrix multiplication: y = x @ matrix by shifts and shared additions.

`solve` tries several plans, keeps the cheapest graph and improves it. A plan is a choice of pair score and seed for
the greedy elimination (`_greedy`), with or without a first stage that writes columns as differences from other columns
(`_tree`, a spanning tree over columns). A local search (`_improve`) then undoes and redoes parts of the graph. Every
graph is checked against the matrix before it is returned.

Sources: two-term elimination over signed digits: Hartley 1996, Hosangadi et al. 2005, Aksoy et al. 2014; differences of
columns along a spanning tree: Muhammad & Roy 2002, Sun et al. 2025 (da4ml, from the paper alone).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hardwire.errors import DataError, InternalError, RangeError
from hardwire.solver import _core, _greedy, _tree
from hardwire.solver._improve import Search
from hardwire.solver.cost import AdderCost, AdderCount, FullAdderCost, Ints
from hardwire.solver.csd import csd_weight
from hardwire.solver.graph import AdderGraph, input_box

MAX_CONSTANT = 1 << 31
"""Largest magnitude of a matrix entry."""

_CACHE_ENTRIES = 256
_cache: OrderedDict[tuple[object, ...], AdderGraph] = OrderedDict()
_cache_lock = threading.Lock()


_WORK_PER_SOLVE = 16e6
"""Pairs of digits that effort 1 may count over all its plans; one plan counts the square of each column's digits."""

_PLANS = {True: 3, False: 12}
"""Most plans of effort 1 for few bits and for few adders; the local search gains more bits in the time of a plan."""

_UNITS_PER_ADDER = (400, 2400)
"""Units of the local search for each adder of a small and of a large graph at effort 1; a unit takes about 50 ns."""

_MOST_UNITS = 40_000_000
"""Units of the local search at effort 1 on the largest graphs."""

_FAR = -1
_FOR_BITS = ((2, 0), (2, 4), (1, 0), (1, 4), (2, _FAR), (0, 0), (1, _FAR), (2, 2), (0, 4), (1, 2), (0, _FAR), (0, 2))
_FOR_ADDERS = ((1, 0), (1, 4), (0, 0), (2, 0), (1, _FAR), (0, 4), (2, _FAR), (1, 2), (0, _FAR), (2, 4), (0, 2), (2, 2))
"""Pair score and edges of the column tree (`_FAR`: no bound), the most promising first."""


@dataclass(frozen=True)
class Plan:
    """One way to go about a matrix: pair score, seed, and edges allowed on a path of the column tree (0: no tree)."""

    mode: int
    seed: int
    tree: int = 0


def plans(seed: int, n_columns: int, *, narrow: bool) -> Iterator[Plan]:
    """All that `solve` could try, the most promising first, without end; `narrow`: for few bits, not few adders."""
    base = seed * 1_000_003
    far = max(n_columns, 5)
    order = _FOR_BITS if narrow else _FOR_ADDERS
    for restart in count():
        for mode, tree in order:
            if tree == 0 or n_columns > 1:
                yield Plan(mode, base + restart, far if tree == _FAR else tree)


def budget(effort: int, work: float, *, narrow: bool) -> int:
    """How many plans to carry out on a matrix of this work; doubled by each step of effort beyond 1, four times."""
    if effort == 0:
        return 1
    usual = min(max(int(_WORK_PER_SOLVE / max(work, 1.0)), 1), _PLANS[narrow])
    return usual << min(effort - 1, 4)


def search_units(effort: int, adders: int) -> int:
    """Units of local search on a graph of so many adders; each step of effort beyond 1 takes four times as many."""
    if effort == 0:
        return 0
    least, most = _UNITS_PER_ADDER
    return min(adders * min(max(2 * adders, least), most), _MOST_UNITS) << 2 * (effort - 1)


_SPREAD = 40
"""Levels over which inputs may arrive: 2^40 of the earliest count as one of the latest."""


def solve(
    matrix: ArrayLike,
    *,
    lo: ArrayLike | None = None,
    hi: ArrayLike | None = None,
    depth_limit: int | None = None,
    input_depth: ArrayLike | None = None,
    effort: int = 1,
    seed: int = 0,
    cost: AdderCost | None = None,
) -> AdderGraph:
    """Shift-and-add graph of y = x @ matrix.

    `matrix`: integers (n_inputs, n_outputs) of magnitude up to 2^31. `lo`, `hi`: closed range of each input
    (signed 8 bits if not given). `input_depth`: adder level at which each input arrives (0 if not given).
    `depth_limit`: levels allowed beyond the least possible for the matrix; None for no limit. `effort`: a budget of
    work, not of time: 0 one plan and no local search, 1 the usual (up to 3 plans, by size), each step further doubles
    the plans, with other seeds, and takes four times as much local search. `cost`: what to minimise (full-adder bits
    if not given); between equals the fewer adders, then the smaller depth win.

    The same arguments always give the same graph. Raises DataError on arrays of the wrong shape or dtype and on
    impossible options, RangeError on empty ranges and where a value could leave 62 bits.
    """
    constants = _checked_matrix(matrix)
    n_in = constants.shape[0]
    box_lo, box_hi = input_box(n_in, -128 if lo is None else lo, 127 if hi is None else hi)
    arrival = _checked_depth(input_depth, n_in)
    # Behind a chain of recurrent steps: what came so much earlier has the same room when it waits.
    arrival = np.maximum(arrival, arrival.max(initial=0) - _SPREAD)
    spare = 0 if depth_limit is None else depth_limit
    limits = (("effort", effort, 10), ("seed", seed, 1 << 40), ("depth_limit", spare, 1 << 20))
    for name, value, most in limits:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value <= most:
            raise DataError(f"solver option `{name}` is {value!r}, not an integer from 0 to {most}")
    model = cost or FullAdderCost()

    unique, column_of, shift_of, negate_of = _distinct_columns(constants)
    sources = _greedy.Sources(arrival, box_lo, box_hi)
    deadline: Ints | None = None
    if depth_limit is not None:
        least_depth = int(_greedy.minimal_depth(unique, arrival).max(initial=0))
        deadline = np.full(unique.shape[1], least_depth + int(depth_limit), np.int64)

    problem = _Problem(unique, sources, deadline, model, int(seed))
    narrow = problem.weights[0] > 0.0
    work = float((csd_weight(unique).sum(axis=0).astype(np.float64) ** 2).sum())
    todo = plans(int(seed), unique.shape[1], narrow=narrow)
    started = best = problem.first(next(todo))
    done = 1
    for step in range(int(effort) + 1):  # each effort begins with what the one below does, so it can only be cheaper
        while done < budget(step, work, narrow=narrow) and started.graph.n_adders > 1:
            attempt = problem.carry_out(next(todo))
            if attempt is not None:
                started = min(started, attempt)
                done += 1
        best = min(best, started)
        units = search_units(step, best.graph.n_adders)
        if units:
            best = min(best, problem.improved(best.graph, units))
    graph = _expand_columns(best.graph, column_of, shift_of, negate_of)
    graph.check()
    if not np.array_equal(graph.matrix(), constants):
        raise InternalError("solver: the adder graph does not compute the matrix", hint="report the matrix")
    return graph


@dataclass(frozen=True, order=True)
class _Rated:
    """A graph and what it costs; between equals the fewer adders, then the smaller depth, then the earlier wins."""

    merit: tuple[float, int, int]
    graph: AdderGraph = field(compare=False)


@dataclass(frozen=True)
class _Problem:
    """What one call of `solve` is about, equal columns already merged."""

    matrix: Ints
    sources: _greedy.Sources
    deadline: Ints | None
    model: AdderCost
    seed: int

    @property
    def weights(self) -> tuple[float, float]:
        """What a bit and an adder cost in the local search; which graph is kept is up to the model itself."""
        if isinstance(self.model, FullAdderCost):
            return 1.0, self.model.overhead
        return (0.0, 1.0) if isinstance(self.model, AdderCount) else (1.0, 0.0)

    def rated(self, graph: AdderGraph) -> _Rated:
        """The graph with its cost; InternalError if it is too deep, RangeError if a value could leave 62 bits."""
        depth = graph.depth(self.sources.depth)
        if self.deadline is not None and depth > int(self.deadline.max(initial=0)):
            raise InternalError(f"solver: a graph came out {depth} levels deep, not within its limit")
        return _Rated((graph.cost(self.model, self.sources.lo, self.sources.hi), graph.n_adders, depth), graph)

    def first(self, plan: Plan) -> _Rated:
        """The graph of a plan without a tree, which always succeeds."""
        return self.rated(_greedy.run(self.matrix, self.sources, self.deadline, plan.mode, plan.seed))

    def carry_out(self, plan: Plan) -> _Rated | None:
        """The graph of a plan; None where a column tree gains nothing or has no room."""
        if plan.tree:
            graph = _tree.run(self.matrix, self.sources, self.deadline, plan.mode, plan.seed, plan.tree)
            return None if graph is None else self.rated(graph)
        return self.first(plan)

    def improved(self, graph: AdderGraph, units: int) -> _Rated:
        """What a local search of so many units makes of the graph: dearer at times, where it began hot."""
        depth = self.sources.depth
        latest = graph.depth(depth) if self.deadline is None else int(self.deadline.max(initial=0))
        used = np.concatenate([graph.a, graph.b, graph.out_node])
        used = used[(used >= 0) & (used < graph.n_inputs)]
        if graph.n_adders < 2 or latest - int(depth[used].min(initial=latest)) > _core.MAX_LEVELS:
            return self.rated(graph)
        per_bit, per_adder = self.weights
        search = Search(graph, self.sources, latest, self.seed, per_bit, per_adder)
        search.run(units, (per_bit + 0.2 * per_adder) * _heat(units / graph.n_adders))
        try:
            return self.rated(search.graph())
        except RangeError:  # an intermediate value of the new graph, and of it alone, might leave 62 bits
            return self.rated(graph)


def _heat(units: float) -> float:
    """Temperature at which a search of so many units an adder begins, in bits: the longer, the hotter."""
    return min(max(0.2 * (units / 1000.0) ** 0.5, 0.15), 3.0)


def solve_cached(
    matrix: ArrayLike,
    *,
    lo: ArrayLike | None = None,
    hi: ArrayLike | None = None,
    depth_limit: int | None = None,
    input_depth: ArrayLike | None = None,
    effort: int = 1,
    seed: int = 0,
    cost: AdderCost | None = None,
) -> AdderGraph:
    """`solve`, remembering the last 256 results of this process; `cost` must be hashable.

    The returned graph is shared: its arrays are read-only.
    """
    constants = _checked_matrix(matrix)
    box_lo, box_hi = input_box(constants.shape[0], -128 if lo is None else lo, 127 if hi is None else hi)
    arrival = _checked_depth(input_depth, constants.shape[0])
    arrays = (constants, box_lo, box_hi, arrival)
    key = (constants.shape, *(x.tobytes() for x in arrays), depth_limit, effort, seed, cost or FullAdderCost())
    with _cache_lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    graph = solve(
        constants,
        lo=box_lo,
        hi=box_hi,
        depth_limit=depth_limit,
        input_depth=arrival,
        effort=effort,
        seed=seed,
        cost=cost,
    )
    for array in vars(graph).values():
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    with _cache_lock:
        _cache[key] = graph
        while len(_cache) > _CACHE_ENTRIES:
            _cache.popitem(last=False)
    return graph


def _checked_matrix(matrix: ArrayLike) -> Ints:
    array = np.asarray(matrix)
    if array.ndim != 2:
        raise DataError(f"the constant matrix has shape {array.shape}, not (n_inputs, n_outputs)")
    if not np.issubdtype(array.dtype, np.integer) and array.size:
        raise DataError(
            f"the constant matrix has dtype {array.dtype}, not integers", hint="scale by 2^f and round before solving"
        )
    if array.size and (int(array.max()) > MAX_CONSTANT or int(array.min()) < -MAX_CONSTANT):
        row, col = np.argwhere((array > MAX_CONSTANT) | (array < -MAX_CONSTANT))[0]
        raise DataError(
            f"constant [{row}, {col}] of the matrix is {array[row, col]}, beyond ±2^31",
            hint="use fewer fractional bits for the weights",
        )
    return np.ascontiguousarray(array.astype(np.int64))


def _checked_depth(input_depth: ArrayLike | None, n_inputs: int) -> Ints:
    if input_depth is None:
        return np.zeros(n_inputs, np.int64)
    array = np.asarray(input_depth)
    if array.shape != (n_inputs,) or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise DataError(f"input_depth has shape {array.shape} and dtype {array.dtype}, not ({n_inputs},) integers")
    if array.size and (array.min() < 0 or array.max() > 1 << 20):
        raise DataError(f"input_depth goes from {array.min()} to {array.max()}, beyond 0 … 2^20 levels")
    return array.astype(np.int64)


def _distinct_columns(matrix: Ints) -> tuple[Ints, NDArray[np.int64], Ints, NDArray[np.bool_]]:
    """Columns that differ by more than a shift and a sign, and for each column of `matrix` which, shift, sign.

    Zero columns are column -1. The sign of a distinct column is that of its first occurrence.
    """
    n_in, n_out = matrix.shape
    column_of = np.full(n_out, -1, np.int64)
    shift_of = np.zeros(n_out, np.int64)
    negate_of = np.zeros(n_out, np.bool_)
    seen: dict[bytes, int] = {}
    distinct: list[Ints] = []
    for j in range(n_out):
        column = matrix[:, j]
        used = int(np.bitwise_or.reduce(column)) if n_in else 0
        if used == 0:
            continue
        shift_of[j] = (used & -used).bit_length() - 1
        odd = column >> shift_of[j]
        same, opposite = odd.tobytes(), (-odd).tobytes()
        if same not in seen and opposite not in seen:
            seen[same] = len(distinct)
            distinct.append(odd)
        negate_of[j] = same not in seen
        column_of[j] = seen[opposite if negate_of[j] else same]
    unique = np.stack(distinct, axis=1) if distinct else np.zeros((n_in, 0), np.int64)
    return np.ascontiguousarray(unique), column_of, shift_of, negate_of


def _expand_columns(
    graph: AdderGraph, column_of: NDArray[np.int64], shift_of: Ints, negate_of: NDArray[np.bool_]
) -> AdderGraph:
    """The graph with an output for each original column."""
    zero = column_of < 0
    pick = np.where(zero, 0, column_of)
    if graph.n_outputs == 0:
        out_node = np.full(column_of.size, -1, np.int32)
        out_shift = np.zeros(column_of.size, np.int8)
        out_negate = np.zeros(column_of.size, np.bool_)
    else:
        out_node = np.where(zero, -1, graph.out_node[pick]).astype(np.int32)
        out_shift = np.where(zero, 0, graph.out_shift[pick] + shift_of).astype(np.int8)
        out_negate = np.where(zero, False, graph.out_negate[pick] ^ negate_of).astype(np.bool_)
    return AdderGraph(
        n_inputs=graph.n_inputs,
        a=graph.a,
        b=graph.b,
        shift_a=graph.shift_a,
        shift_b=graph.shift_b,
        negate_b=graph.negate_b,
        out_node=out_node,
        out_shift=out_shift,
        out_negate=out_negate,
    )
