"""The solver's result: a graph of two-operand shift-and-add nodes, stored as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hardwire.errors import DataError, InternalError, RangeError
from hardwire.solver import _evaluate
from hardwire.solver.cost import AdderCost, AdderShapes, FullAdderCost, Ints, signed_width

MAX_BITS = 62
"""Widest value that a Program holds."""

_BLOCK_CELLS = 1 << 22
_EXACT_WORK = 4_000_000_000


@dataclass(frozen=True)
class AdderGraph:
    """Adders in topological order; operand ids 0 … n_inputs-1 are the inputs, then come the adders.

    Adder i has the value `(v[a[i]] << shift_a[i]) + (v[b[i]] << shift_b[i])`, or minus where `negate_b[i]`.
    Output j is `v[out_node[j]] << out_shift[j]`, negated where `out_negate[j]`, and zero where `out_node[j]` is -1.
    Values are integers and exact: nothing is rounded or wrapped.
    """

    n_inputs: int
    a: NDArray[np.int32]
    b: NDArray[np.int32]
    shift_a: NDArray[np.int8]
    shift_b: NDArray[np.int8]
    negate_b: NDArray[np.bool_]
    out_node: NDArray[np.int32]
    out_shift: NDArray[np.int8]
    out_negate: NDArray[np.bool_]

    @property
    def n_adders(self) -> int:
        """Number of adders and subtractors (an output's negation is not counted)."""
        return int(self.a.size)

    @property
    def n_nodes(self) -> int:
        """Inputs and adders together."""
        return self.n_inputs + self.n_adders

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return int(self.out_node.size)

    def check(self) -> None:
        """Raise InternalError unless ids are in order, shifts not negative and array lengths consistent."""
        n = self.n_adders
        ids = np.arange(n) + self.n_inputs
        lengths = {x.shape for x in (self.a, self.b, self.shift_a, self.shift_b, self.negate_b)}
        outputs = {x.shape for x in (self.out_node, self.out_shift, self.out_negate)}
        if lengths != {(n,)} or outputs != {(self.n_outputs,)}:
            raise InternalError("adder graph: arrays differ in length")
        for name, operand in (("a", self.a), ("b", self.b)):
            bad = np.flatnonzero((operand < 0) | (operand >= ids))
            if bad.size:
                raise InternalError(f"adder graph: operand {name} of adder {bad[0]} is {operand[bad[0]]}, not earlier")
        if n and (min(self.shift_a.min(), self.shift_b.min()) < 0):
            raise InternalError("adder graph: an operand has a negative shift")
        if self.n_outputs and (
            self.out_node.min() < -1 or self.out_node.max() >= self.n_nodes or self.out_shift.min() < 0
        ):
            raise InternalError("adder graph: an output names no node or has a negative shift")

    def _bound(self, magnitude: NDArray[np.float64], what: str) -> None:
        """Raise RangeError if inputs of these magnitudes could bring a node or output beyond 62 bits."""
        bound = np.empty(self.n_nodes, np.float64)
        bound[: self.n_inputs] = magnitude
        _evaluate.magnitudes(self.a, self.b, self.shift_a, self.shift_b, self.n_inputs, bound)
        live = self.out_node >= 0
        outs = bound[self.out_node[live]] * 2.0 ** self.out_shift[live].astype(np.float64)
        worst = max(float(bound.max(initial=0.0)), float(outs.max(initial=0.0)))
        if worst >= 2.0 ** (MAX_BITS - 1):
            raise RangeError(
                f"{what} reaches 2^{np.log2(worst):.1f}, more than the {MAX_BITS} bits of a value",
                hint="narrow the inputs or the constants",
            )

    def _propagate(self, inputs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Values of all nodes, (n_nodes, batch), from those of the inputs, (n_inputs, batch)."""
        values = np.empty((self.n_nodes, inputs.shape[1]), np.int64)
        values[: self.n_inputs] = inputs
        _evaluate.propagate(self.a, self.b, self.shift_a, self.shift_b, self.negate_b, self.n_inputs, values)
        return values

    def _outputs(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Outputs (batch, n_outputs) from the values of all nodes (n_nodes, batch)."""
        result = np.zeros((values.shape[1], self.n_outputs), np.int64)
        live = self.out_node >= 0
        factor = np.int64(1) << self.out_shift[live].astype(np.int64)
        result[:, live] = values[self.out_node[live]].T * np.where(self.out_negate[live], -factor, factor)
        return result

    def _batches(self, n: int) -> range:
        return range(0, n, self._batch)

    @property
    def _batch(self) -> int:
        return max(1, _BLOCK_CELLS // max(self.n_nodes, 1))

    def evaluate(self, x: ArrayLike) -> NDArray[np.int64]:
        """Exact outputs, int64 (N, n_outputs), of integer inputs (N, n_inputs).

        Raises DataError on another shape or dtype and RangeError where a value could leave 62 bits.
        """
        x = np.asarray(x)
        if x.ndim != 2 or x.shape[1] != self.n_inputs:
            raise DataError(f"the adder graph takes arrays of shape (N, {self.n_inputs}), not {x.shape}")
        if not np.issubdtype(x.dtype, np.integer) or x.dtype == np.uint64:
            raise DataError(f"the adder graph takes integers of up to 63 bits, not {x.dtype}")
        x = x.astype(np.int64)
        result = np.zeros((x.shape[0], self.n_outputs), np.int64)
        if x.size:
            self._bound(np.abs(x.astype(np.float64)).max(axis=0), "the sum")
        for i in self._batches(x.shape[0]):
            block = np.ascontiguousarray(x[i : i + self._batch].T)
            result[i : i + self._batch] = self._outputs(self._propagate(block))
        return result

    def matrix(self) -> NDArray[np.int64]:
        """The matrix (n_inputs, n_outputs) that the graph multiplies by, from each node's exact linear form.

        This is the proof: the graph is linear, so it computes x @ matrix() for every x.
        """
        return self.evaluate(np.eye(self.n_inputs, dtype=np.int64))

    def depths(self, input_depth: ArrayLike | None = None) -> NDArray[np.int64]:
        """Adder level of every node (inputs first), given the arrival levels of the inputs (0 if not given)."""
        levels = np.zeros(self.n_nodes, np.int64)
        if input_depth is not None:
            levels[: self.n_inputs] = np.asarray(input_depth, dtype=np.int64)
        _evaluate.depths(self.a, self.b, self.n_inputs, levels)
        return levels

    def depth(self, input_depth: ArrayLike | None = None) -> int:
        """Adder level of the latest output; 0 where there is none."""
        live = self.out_node[self.out_node >= 0]
        return int(self.depths(input_depth)[live].max(initial=0))

    def ranges(self, lo: ArrayLike, hi: ArrayLike, *, method: str = "auto") -> tuple[Ints, Ints]:
        """Closed range of every node (inputs first) for inputs within `lo` … `hi` (one each, or scalars).

        `exact` takes each node's linear form over the box of inputs, which is tight if these are independent;
        `interval` goes from operand to node, which is sound, fast and wider. `auto` is exact up to 4e9 coefficients.
        Raises RangeError on an empty range and where a value could leave 62 bits.
        """
        box_lo, box_hi = input_box(self.n_inputs, lo, hi)
        self._bound(np.maximum(np.abs(box_lo), np.abs(box_hi)).astype(np.float64), "the range of a sum")
        node_lo = np.zeros(self.n_nodes, np.int64)
        node_hi = np.zeros(self.n_nodes, np.int64)
        if method == "auto":
            method = "exact" if self.n_nodes * self.n_inputs <= _EXACT_WORK else "interval"
        if method == "interval":
            node_lo[: self.n_inputs], node_hi[: self.n_inputs] = box_lo, box_hi
            _evaluate.intervals(
                self.a, self.b, self.shift_a, self.shift_b, self.negate_b, self.n_inputs, node_lo, node_hi
            )
        elif method == "exact":
            for i in self._batches(self.n_inputs):
                stop = min(i + self._batch, self.n_inputs)
                unit = np.zeros((self.n_inputs, stop - i), np.int64)
                unit[np.arange(i, stop), np.arange(stop - i)] = 1
                _evaluate.add_ranges(self._propagate(unit), box_lo[i:stop], box_hi[i:stop], node_lo, node_hi)
        else:
            raise DataError(f"range method {method!r} is none of auto, exact, interval")
        return node_lo, node_hi

    def output_ranges(self, lo: ArrayLike, hi: ArrayLike, *, method: str = "auto") -> tuple[Ints, Ints]:
        """Closed range of every output; see `ranges`."""
        node_lo, node_hi = self.ranges(lo, hi, method=method)
        live = self.out_node >= 0
        factor = np.int64(1) << self.out_shift.astype(np.int64)
        out_lo = np.where(live, node_lo[self.out_node] if self.n_nodes else 0, 0) * factor
        out_hi = np.where(live, node_hi[self.out_node] if self.n_nodes else 0, 0) * factor
        return np.where(self.out_negate, -out_hi, out_lo), np.where(self.out_negate, -out_lo, out_hi)

    def bits(self, lo: ArrayLike, hi: ArrayLike, *, method: str = "auto") -> tuple[Ints, NDArray[np.bool_]]:
        """Width of every node (inputs first) and whether it is signed; 0 bits where it is always zero."""
        return signed_width(*self.ranges(lo, hi, method=method))

    def shapes(self, lo: ArrayLike, hi: ArrayLike, *, method: str = "auto") -> AdderShapes:
        """Widths and shifts of all adders, as cost models take them."""
        width, signed = self.bits(lo, hi, method=method)
        return AdderShapes(
            width_a=width[self.a],
            signed_a=signed[self.a],
            shift_a=self.shift_a.astype(np.int64),
            width_b=width[self.b],
            signed_b=signed[self.b],
            shift_b=self.shift_b.astype(np.int64),
            negate_b=self.negate_b,
            width=width[self.n_inputs :],
        )

    def cost(self, model: AdderCost | None, lo: ArrayLike, hi: ArrayLike, *, method: str = "auto") -> float:
        """Sum of the costs of all adders under `model` (default: full-adder bits)."""
        costs = (model or FullAdderCost())(self.shapes(lo, hi, method=method))
        return float(np.sum(costs))

    def then(self, second: AdderGraph) -> AdderGraph:
        """The graph of x @ self.matrix() @ second.matrix(): the outputs of this one are the inputs of `second`.

        Shifts and signs between the two move into the operands. Every output that `second` uses must not be the
        constant zero (InternalError).
        """
        node = np.empty(second.n_nodes, np.int64)  # value of a node of `second` = ± v[node] << shift
        shift = np.zeros(second.n_nodes, np.int64)
        negative = np.zeros(second.n_nodes, np.bool_)
        node[: self.n_outputs] = self.out_node
        shift[: self.n_outputs] = self.out_shift
        negative[: self.n_outputs] = self.out_negate
        node[self.n_outputs :] = self.n_nodes + np.arange(second.n_adders)
        a, b = second.a.astype(np.int64), second.b.astype(np.int64)
        if np.any(node[np.concatenate([a, b, second.out_node[second.out_node >= 0]])] < 0):
            raise InternalError("adder graph: a second stage uses an output that is the constant zero")
        shift_a, shift_b = second.shift_a.astype(np.int64), second.shift_b.astype(np.int64)
        negate = second.negate_b.copy()
        for i in range(second.n_adders):
            n = self.n_outputs + i
            sa, sb = shift_a[i] + shift[a[i]], shift_b[i] + shift[b[i]]
            shift[n] = min(sa, sb)
            shift_a[i], shift_b[i] = sa - shift[n], sb - shift[n]
            sign_a, sign_b = negative[a[i]], negative[b[i]] ^ negate[i]
            negate[i] = sign_a != sign_b
            negative[n] = sign_a and sign_b
            if sign_a and not sign_b:  # -a + b = b - a
                a[i], b[i] = b[i], a[i]
                shift_a[i], shift_b[i] = shift_b[i], shift_a[i]
        live = second.out_node >= 0
        pick = np.where(live, second.out_node, 0)
        if second.n_nodes == 0:
            out_node, out_shift, out_negate = second.out_node, second.out_shift, second.out_negate
        else:
            out_node = np.where(live, node[pick], -1).astype(np.int32)
            out_shift = np.where(live, second.out_shift + shift[pick], 0).astype(np.int8)
            out_negate = np.where(live, second.out_negate ^ negative[pick], False).astype(np.bool_)
        return AdderGraph(
            n_inputs=self.n_inputs,
            a=np.concatenate([self.a, node[a].astype(np.int32)]),
            b=np.concatenate([self.b, node[b].astype(np.int32)]),
            shift_a=np.concatenate([self.shift_a, shift_a.astype(np.int8)]),
            shift_b=np.concatenate([self.shift_b, shift_b.astype(np.int8)]),
            negate_b=np.concatenate([self.negate_b, negate]),
            out_node=out_node,
            out_shift=out_shift,
            out_negate=out_negate,
        )


def input_box(n_inputs: int, lo: ArrayLike, hi: ArrayLike) -> tuple[Ints, Ints]:
    """`lo` and `hi` as int64 arrays of n_inputs elements; RangeError where one is empty, DataError on bad shapes."""
    box = []
    for name, bound in (("lo", lo), ("hi", hi)):
        array = np.asarray(bound)
        if array.size and (not np.issubdtype(array.dtype, np.integer) or array.dtype == np.uint64):
            raise DataError(f"input range `{name}` has dtype {array.dtype}, not a signed integer of up to 64 bits")
        if array.shape not in ((), (n_inputs,)):
            raise DataError(f"input range `{name}` has shape {array.shape}, not ({n_inputs},) or one number")
        box.append(np.broadcast_to(array.astype(np.int64), (n_inputs,)).copy())
    for array in box:
        if array.size and (array.min() < -(1 << (MAX_BITS - 1)) or array.max() > (1 << (MAX_BITS - 1)) - 1):
            raise RangeError(f"an input range goes beyond {MAX_BITS} bits", hint="narrow the inputs")
    empty = np.flatnonzero(box[0] > box[1])
    if empty.size:
        i = int(empty[0])
        raise RangeError(f"the range of input {i} is empty: {box[0][i]} … {box[1][i]}")
    return box[0], box[1]
