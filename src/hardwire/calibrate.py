"""Post-training calibration: a float Network gets fixed-point types, chosen from data to a stated fidelity.

No precision is guessed. Every tensor that feeds a multiplication or a table gets a type whose integer bits cover the
calibration data channel by channel (and whose fractional bits follow the weights, where features of very different size
meet weights that make up for it); fractional bits start fine and are taken away greedily, one at a time, where the
hardware saved per loss of fidelity is largest, as long as the target holds. Biases are rounded to the accumulators'
own grid, sums stay exact. Rounding is half-up (its half joins the bias, so it is free), overflow saturates.

Weights that the model brings on a grid of its own (integer codes with a scale, or few bits) stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ContractError, DataError, ModelError
from hardwire.fixed import Floats, Ints, Overflow, Rounding, width_of
from hardwire.layers import layer_of
from hardwire.layers._scales import column_codes
from hardwire.network.extremes import Extremes, extremes, values_a_row
from hardwire.network.graph import Network, Node, typed
from hardwire.network.prepare import QUANTISED_BITS
from hardwire.network.reference import forward
from hardwire.network.replay import Replay
from hardwire.quantiser import Quantiser
from hardwire.solver import csd_weight

Metric = Callable[[list[Floats]], float]
"""Outputs → figure of merit, higher is better (an accuracy on labelled data, for example)."""

_START_BITS = 12
"""Significant bits that the search starts from."""
_KEPT_VALUES = 1 << 25
"""Tensor values that the search keeps, so that a step computes only what comes behind its change."""
_KEPT_NODES = 4
_LEAST_ROWS = 32
"""Rows that are looked at whatever the size of the tensors."""
_COMPARED_BITS = 20
"""The same of an input that is only compared, whose features are of any size and whose bits cost little."""
_MAX_TABLE_BITS = 10
"""Widest input that calibration gives to a table."""


@dataclass(frozen=True)
class ChosenType:
    """A type that calibration chose: of tensor or parameter `name`, in words `kind`, `bits` on average."""

    name: str
    role: str
    kind: str
    bits: float


@dataclass(frozen=True)
class Calibration:
    """The quantised Network, the types chosen, and what they cost: fidelity before and after."""

    network: Network
    types: tuple[ChosenType, ...]
    fidelity: float
    target: float
    measure: str
    cost: float
    steps: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the `calibration` part of the report."""
        return {
            "measure": self.measure,
            "fidelity": self.fidelity,
            "target": self.target,
            "types": [{"name": t.name, "role": t.role, "type": t.kind, "bits": t.bits} for t in self.types],
        }


@dataclass
class _Plan:
    """Fractional bits by site; a site is a tensor (`t:NAME`, inside a node `t:NODE/NAME`) or weights (`w:NODE`)."""

    frac: dict[str, int] = field(default_factory=dict)

    def stepped(self, site: str) -> _Plan:
        return _Plan({**self.frac, site: self.frac[site] - 1})


def fidelity_of(reference: Sequence[Floats], outputs: Sequence[Floats]) -> float:
    """Share of the outputs' variance that is kept: `1 - Σ(y - r)² / Σ(r - mean r)²`, the worst output's.

    The mean is taken per element over the batch; 1 is perfect, 0 no better than the mean.
    """
    worst = 1.0
    for r, y in zip(reference, outputs, strict=True):
        spread = float(np.sum((r - r.mean(axis=0)) ** 2))
        error = float(np.sum((y - r) ** 2))
        worst = min(worst, 1.0 - error / spread if spread else float(error == 0.0))
    return worst


def calibrate(
    network: Network,
    data: Sequence[Floats],
    *,
    fidelity: float = 0.999,
    metric: Metric | None = None,
    tolerance: float = 0.0,
    rows: int = 4000,
    only_open: bool = False,
    narrow: Collection[str] = (),
    progress: Callable[[int, float], None] | None = None,
) -> Calibration:
    """Choose fixed-point types for a float network.

    `data`: one array (N, *shape) per input. Without `metric` the outputs keep `fidelity` (see `fidelity_of`); with
    one, they keep `metric(outputs) ≥ metric(float outputs) - tolerance`, where outputs are those of the first `rows`
    rows of data. Ranges are those of the first `rows` rows; fidelity is measured on fewer of them, evenly spread, where
    the tensors of all would not fit into 256 MiB. With `only_open` the network is a quantised one: only results of
    tables that it leaves without a type get one, and the tensors `narrow`. `progress(steps, figure)` follows the
    search. Raises `DataError` for unfit data, `ModelError` when even the finest types miss the target, `ContractError`
    for a fidelity outside (0, 1] or a tolerance below 0.
    """
    # Written so that NaN fails.
    if metric is None and not 0.0 < fidelity <= 1.0:
        raise ContractError(f"fidelity is {fidelity}: it must be above 0 and at most 1", hint="fidelity=0.999")
    if not (math.isfinite(tolerance) and tolerance >= 0.0):
        raise ContractError(f"tolerance is {tolerance}: it must be a number from 0 on")
    arrays = check_data(network, data)
    arrays = [x[:rows] for x in arrays]
    stated, network = network, _judged(network) if metric is None else network
    search = _Search(network, extremes(network, arrays), arrays, only_open, narrow)
    run = _runner(network, arrays, all_rows=metric is not None)
    reference = run.outputs(network)

    def figure(plan: _Plan) -> float:
        outputs = run.outputs(search.build(plan))
        return metric(outputs) if metric is not None else fidelity_of(reference, outputs)

    target = metric(reference) - tolerance if metric is not None else fidelity
    measure = "metric" if metric is not None else "share of output variance kept"
    plan = search.start()
    best = figure(plan)
    if best < target and search.follow_weights():
        plan = search.start()
        best = figure(plan)
    if best < target:
        if metric is None and (still := _unvarying(network, reference)) is not None:
            raise DataError(
                f"calibration of {network.name!r}: output {still!r} is the same for all {len(arrays[0])} rows of the "
                "data, so that no share of its variance can be kept",
                hint="more rows, as they come in use",
            )
        raise ModelError(
            f"calibration of {network.name!r}: {_START_BITS}-bit types give {best:.6g}, the target is {target:.6g}",
            hint="a lower fidelity target, or quantisation-aware training",
        )
    plan, best, steps = search.descend(plan, best, figure, run.settle, target, progress)
    final = _with_outputs(search.build(plan), network.outputs, stated.outputs)
    return Calibration(final, search.types(plan), best, target, measure, search.cost(plan), steps)


def _judged(network: Network) -> Network:
    """The network with the scores in the place of outputs that are the number, or the label, of the largest of them.

    A label jumps where two scores are nearly equal, whatever the types; the scores are what types can keep.
    """
    return _with_outputs(network, network.outputs, [_scores_of(network, name) for name in network.outputs])


def _scores_of(network: Network, name: str) -> str:
    at: str | None = name
    while at is not None and (node := network.producer(at)) is not None:
        if node.kind == "argmax":
            return node.inputs[0]
        at = node.inputs[0] if node.kind in ("reshape", "embedding") else None
    return name


def _with_outputs(network: Network, old: Sequence[str], new: Sequence[str]) -> Network:
    """The network with those outputs that differ exchanged; all others stay as they are."""
    outputs = [b if a != b else kept for kept, a, b in zip(network.outputs, old, new, strict=True)]
    return replace(network, outputs=tuple(outputs))


def first_types(
    network: Network, data: Sequence[Floats], *, only_open: bool = False, narrow: Collection[str] = ()
) -> Network:
    """Return the network with the widest types that `calibrate` would try, those that its search starts from."""
    search = _Search(network, extremes(network, data), data, only_open, narrow)
    return search.build(search.start())


class _InParts:
    """Forward passes some rows at a time, where all tensors of all rows together are too many to keep."""

    def __init__(self, arrays: Sequence[Floats], step: int) -> None:
        self.arrays = arrays
        self.step = step

    def outputs(self, network: Network) -> list[Floats]:
        """Return the network's outputs on all rows."""
        starts = range(0, len(self.arrays[0]), self.step)
        parts = [forward(network, [x[start : start + self.step] for x in self.arrays]) for start in starts]
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def settle(self) -> None:
        """Nothing is kept."""


def _runner(network: Network, arrays: Sequence[Floats], all_rows: bool) -> Replay | _InParts:
    """What runs the search's networks: on as many rows as fit into memory, or on all, in parts, if they must be."""
    # Every tensor may get a quantised one beside it.
    fit = max(_LEAST_ROWS, _KEPT_VALUES // (2 * values_a_row(network)))
    n = len(arrays[0])
    if n <= fit:
        return Replay(arrays)
    if all_rows:
        return _InParts(arrays, fit)
    chosen = np.linspace(0, n - 1, fit).astype(np.int64)
    return Replay([x[chosen] for x in arrays])


def _unvarying(network: Network, reference: Sequence[Floats]) -> str | None:
    """Name of an output that varies by no more than float64 rounds."""
    for name, r in zip(network.outputs, reference, strict=True):
        if np.all(np.ptp(r, axis=0) <= 1e-12 * np.max(np.abs(r), initial=0.0)):
            return name
    return None


def check_data(network: Network, data: Sequence[Floats]) -> list[Floats]:
    """Return the arrays as float64 after checking count, shapes and values; raises `DataError` naming the input."""
    if len(data) != len(network.inputs):
        raise DataError(f"model {network.name!r} has {len(network.inputs)} inputs, {len(data)} arrays were given")
    checked = []
    for name, x in zip(network.inputs, data, strict=True):
        array = np.asarray(x)
        if array.dtype.kind not in "fiub":
            raise DataError(f"input {name!r}: an array of {array.dtype} is not numeric")
        if array.shape[1:] != network.shapes[name] or array.ndim == 0:
            want = ", ".join(map(str, ("N", *network.shapes[name])))
            raise DataError(f"input {name!r}: the array has the shape {array.shape}, expected ({want})")
        if not len(array):
            raise DataError(f"input {name!r}: the array has no rows")
        array = array.astype(np.float64)
        if not np.all(np.isfinite(array)):
            row = int(np.argwhere(~np.isfinite(array))[0][0])
            raise DataError(f"input {name!r}: row {row} holds NaN or infinity", hint="drop or repair that row")
        checked.append(array)
    if len({len(x) for x in checked}) > 1:
        raise DataError(f"inputs have different numbers of rows: {[len(x) for x in checked]}")
    return checked


def _integer_bits(low: Floats, high: Floats) -> Ints:
    """Integer bits (without sign) that cover [low, high] element by element; very negative for zeros."""
    magnitude = np.maximum(np.abs(low), np.abs(high))
    with np.errstate(divide="ignore"):
        exact = np.log2(magnitude)
    # A magnitude of exactly 2^k needs k+1 bits when positive (2^k itself must be a code).
    return np.where(magnitude > 0, np.floor(exact) + 1, -99).astype(np.int64)


class _Search:
    """The sites of a network, their ranges, and the networks that plans give."""

    def __init__(
        self, network: Network, found: Extremes, data: Sequence[Floats], only_open: bool, narrow: Collection[str]
    ) -> None:
        self.network = network
        self.found = found
        self.sites: dict[str, tuple[bool, Ints, int]] = {}
        self.inside: dict[str, tuple[str, ...]] = {}
        """Names of the tensors inside a node that have sites, by the node's name."""
        self.finer: dict[str, Ints] = {}
        """Fractional bits that each channel of an input has beyond the site's; its weights have as many fewer."""
        self._nodes: dict[str, dict[Any, Node]] = {}
        self._row_digits: dict[tuple[str, int | None], Floats] = {}
        self.signs: dict[str, NDArray[np.bool_]] = {}
        """Which channels of an input that is only compared are signed."""
        self.producers = {out: node for node in network.nodes for out in node.outputs}
        if only_open:
            self._open_sites(narrow)
        else:
            self._all_sites()
            self._compared_inputs(data)
        # Of a product of two tensors, neither is a parameter.
        multiplying = [
            node
            for node in network.nodes
            if layer_of(node).multiplies(node) and any(name in node.params for name in layer_of(node).weights[:1])
        ]
        self.kept = [] if only_open else [node for node in multiplying if _own_grid(node, layer_of(node).weights[0])]
        """Nodes whose weights the model brings on a grid of its own."""
        self.weighted = [] if only_open else [node for node in multiplying if node not in self.kept]

    def _all_sites(self) -> None:
        """Inputs, results of tables, and what feeds a table or a multiplication, unless a quantiser made it."""
        for name in self.network.inputs:
            self._site(name, _MAX_TABLE_BITS + 6)
        for node in self.network.nodes:
            layer = layer_of(node)
            if layer.inexact(node) or layer.multiplies(node):
                for root in free_roots(node, self.producers):
                    self._site(root, _MAX_TABLE_BITS if layer.inexact(node) else _MAX_TABLE_BITS + 6)
            self._own_sites(node)

    def _compared_inputs(self, data: Sequence[Floats]) -> None:
        """Types of the network's inputs that all readers only compare with constants: a grid for every channel."""
        for name, x in zip(self.network.inputs, data, strict=True):
            rows = x.reshape(-1, x.shape[-1]) if x.ndim > 1 else x[:, None]
            found = [layer_of(node).compared(node, rows) for node in self.network.consumers(name)]
            grids = [grid for grid in found if grid is not None]
            if not grids or len(grids) < len(found):
                continue
            integer = np.max([grid.integer for grid in grids], axis=0)
            self.finer[name] = np.max([grid.frac for grid in grids], axis=0)
            self.signs[name] = np.any([grid.signed for grid in grids], axis=0)
            self.sites[name] = (bool(np.any(self.signs[name])), integer, _COMPARED_BITS)

    def _open_sites(self, narrow: Collection[str]) -> None:
        """Results of tables that have no type, and `narrow`, with few bits where they are tables' inputs."""
        for node in self.network.nodes:
            self._own_sites(node)
            few = layer_of(node).inexact(node)
            for root in free_roots(node, self.producers):
                if root in narrow:
                    self._site(root, _MAX_TABLE_BITS if few else _MAX_TABLE_BITS + 6)

    def _own_sites(self, node: Node) -> None:
        """Sites of what a node makes: its result where that needs a type, tensors inside it."""
        layer = layer_of(node)
        if layer.inexact(node) and node.attrs.get("output") is None:
            self._site(node.outputs[0], _MAX_TABLE_BITS + 6)
        within = self.found.inside.get(node.name, {})
        for name, site in within.items():
            self._site(f"{node.name}/{name}", _MAX_TABLE_BITS if site.table else _MAX_TABLE_BITS + 6, site.values)
        self.inside[node.name] = tuple(within)

    def _site(self, tensor: str, limit: int, values: Floats | None = None) -> None:
        if tensor in self.sites:
            signed, bits, old = self.sites[tensor]
            self.sites[tensor] = (signed, bits, min(old, limit))
            return
        x = self.found.tensors[tensor] if values is None else values
        channel = x.ndim - 1 if values is not None else 1 + _channel_axis(self.network, tensor, x.ndim - 1)
        others = tuple(axis for axis in range(x.ndim) if axis == 0 or axis != channel)
        low, high = (
            bound.reshape(bound.shape[1:]) for bound in (x.min(others, keepdims=True), x.max(others, keepdims=True))
        )
        # Axes in front of the channels are for broadcasting to add.
        front = max(0, channel - 1)
        low, high = low.reshape(low.shape[front:]), high.reshape(high.shape[front:])
        self.sites[tensor] = (bool(np.any(low < 0)), _integer_bits(low, high), limit)

    def follow_weights(self) -> bool:
        """Let the fractional bits of each input channel follow the largest weight that reads it; False for none.

        Equal to scaling features by powers of two before training on them, so every sum keeps one grid. Done for
        inputs that dense layers alone read, and only where one LSB for all channels is too coarse.
        """
        for name in self.network.inputs:
            readers = self.network.consumers(name)
            if readers and all(node.kind == "dense" and node in self.weighted for node in readers):
                largest = np.max([np.abs(node.params["kernel"]).max(axis=1) for node in readers], axis=0)
                if np.any(largest > 0):
                    bits = _integer_bits(largest, largest)
                    self.finer[name] = np.where(largest > 0, bits - bits.max(), 0).astype(np.int64)
        self._nodes.clear()
        self._row_digits.clear()
        return bool(self.finer)

    def _rows(self, node: Node) -> Any:
        """Fractional bits that each row of a node's weights has less than the node's, (rows, 1); 0 for all alike."""
        finer = None if node.inputs[0] in self.signs else self.finer.get(node.inputs[0])
        return 0 if finer is None else finer[:, None]

    def _codes(self, node: Node, frac: int) -> Floats:
        """Weights in LSBs, rounded."""
        return np.rint(np.ldexp(node.params[layer_of(node).weights[0]], frac - self._rows(node)))

    def start(self) -> _Plan:
        """Fine types everywhere: `_START_BITS` significant bits of the widest channel, tables within their limit."""
        plan = _Plan()
        for tensor, (signed, bits, limit) in self.sites.items():
            top = int((bits + self.finer.get(tensor, 0)).max(initial=-99))
            bits_first = limit if tensor in self.signs else min(_START_BITS, limit)
            plan.frac[f"t:{tensor}"] = bits_first - int(signed) - max(top, -40)
        for node in self.weighted:
            weights = np.ldexp(node.params[layer_of(node).weights[0]], -np.asarray(self._rows(node)))
            top = int(_integer_bits(weights, weights).max(initial=-99))
            plan.frac[f"w:{node.name}"] = _START_BITS - 1 - max(top, -40)
        return plan

    def quantiser(self, tensor: str, frac: int) -> Quantiser:
        """Return the site's quantiser: integer bits by channel, shared fractional bits (plus `finer`)."""
        signed, integer, _ = self.sites[tensor]
        fine = frac + self.finer.get(tensor, 0)
        bits = np.maximum(integer + fine, 0)
        signed_bits = self.signs.get(tensor, signed)
        bits = np.where(bits > 0, bits + np.asarray(signed_bits, np.int64), 0)
        return Quantiser.of_arrays(signed_bits, bits, fine, Rounding.RND, Overflow.SAT)

    def build(self, plan: _Plan) -> Network:
        """Return the network with quantisers in place and weights rounded."""
        nodes: list[Node] = []
        shapes = dict(self.network.shapes)
        renamed: dict[str, str] = {}

        def quantise(tensor: str) -> None:
            if tensor in self.sites:
                name, frac = typed(tensor), plan.frac[f"t:{tensor}"]
                nodes.append(self._once(name, frac, lambda: self._quantise(tensor, frac)))
                shapes[name] = shapes[tensor]
                renamed[tensor] = name

        for tensor in self.network.inputs:
            quantise(tensor)
        for node in self.network.nodes:
            inputs = tuple(renamed.get(name, name) for name in node.inputs)
            key = (inputs, self._choices(node, plan))
            nodes.append(self._once(node.name, key, partial(self._chosen, node.with_(inputs=inputs), node, plan)))
            output = node.outputs[0]
            if not (layer_of(node).inexact(node) and f"t:{output}" in plan.frac):
                quantise(output)
        outputs = tuple(renamed.get(name, name) for name in self.network.outputs)
        return self.network.with_(nodes=tuple(nodes), shapes=shapes, outputs=outputs)

    def _once(self, name: str, key: Any, make: Callable[[], Node]) -> Node:
        """A node that plans with the same choices share, so that `Replay` knows it again; the last few are kept."""
        known = self._nodes.setdefault(name, {})
        if key not in known:
            if len(known) >= _KEPT_NODES:
                del known[next(iter(known))]
            known[key] = make()
        return known[key]

    def _quantise(self, tensor: str, frac: int) -> Node:
        name = typed(tensor)
        return Node("quantise", name, (tensor,), (name,), {"quantiser": self.quantiser(tensor, frac)})

    def _choices(self, node: Node, plan: _Plan) -> tuple[Any, ...]:
        """Everything of a plan that a node depends on."""
        within = tuple(plan.frac[f"t:{node.name}/{name}"] for name in self.inside[node.name])
        output = plan.frac.get(f"t:{node.outputs[0]}") if layer_of(node).inexact(node) else None
        weights = plan.frac.get(f"w:{node.name}")
        added = None if weights is None and node not in self.kept else self._input_frac(node, plan)
        return weights, added, within, output

    def _chosen(self, fresh: Node, node: Node, plan: _Plan) -> Node:
        """Return `fresh`, which is `node` on its new inputs, with the plan's weights and types."""
        site = f"w:{node.name}"
        if site in plan.frac:
            fresh = fresh.with_(params=self._rounded(node, plan.frac[site], plan))
        elif node in self.kept:
            fresh = fresh.with_(params=self._biased(node, plan))
        if within := self.inside[node.name]:
            keys = {name: f"{node.name}/{name}" for name in within}
            types = {name: self.quantiser(key, plan.frac[f"t:{key}"]) for name, key in keys.items()}
            fresh = fresh.with_(attrs={**fresh.attrs, "types": types})
        output = node.outputs[0]
        if layer_of(node).inexact(node) and f"t:{output}" in plan.frac:
            quantiser = self.quantiser(output, plan.frac[f"t:{output}"])
            fresh = fresh.with_(attrs={**fresh.attrs, "output": quantiser})
        return fresh

    def _input_frac(self, node: Node, plan: _Plan) -> int:
        own = roots(node.inputs[0], self.producers)
        return max((plan.frac.get(f"t:{root}", 0) for root in own), default=0)

    def _rounded(self, node: Node, frac: int, plan: _Plan) -> dict[str, Any]:
        factor, *added = layer_of(node).weights
        params = dict(node.params)
        params[factor] = np.ldexp(self._codes(node, frac), self._rows(node) - frac)
        accumulator = frac + self._input_frac(node, plan)
        for name in added:
            if name in params:
                params[name] = np.ldexp(np.rint(np.ldexp(params[name], accumulator)), -accumulator)
        return params

    def _biased(self, node: Node, plan: _Plan) -> dict[str, Any]:
        """Return the parameters of a node that keeps its weights: a float bias is rounded to the products' grid."""
        factor, *added = layer_of(node).weights
        params = dict(node.params)
        codes, units = _grid(node, factor)
        own = np.asarray([float(unit) for unit in units])
        used = np.any(codes != 0, axis=0)
        # A column of zeros has no grid of its own.
        unit = np.ldexp(np.where(used, own, own[used].min(initial=own.max())), -self._input_frac(node, plan))
        for name in added:
            if name in params and not _own_grid(node, name):
                values = params[name]
                scale = unit if values.shape[-1:] == unit.shape else unit.min()
                params[name] = np.rint(values / scale).astype(np.int64)
                params[f"{name}_scale"] = np.broadcast_to(scale, values.shape) if np.ndim(scale) else scale
        return params

    def cost(self, plan: _Plan) -> float:
        """Adder bits, roughly: canonical signed digits of each weight times the width of its input channel."""
        total = 0.0
        for node in self.weighted + self.kept:
            sources = [root for root in roots(node.inputs[0], self.producers) if root in self.sites]
            widths = (
                np.concatenate([np.ravel(self.quantiser(r, plan.frac[f"t:{r}"]).bits) for r in sources])
                if sources
                else None
            )
            own = layer_of(node).cost(node, partial(self._integers, node, plan), widths)
            if own is not None:
                total += own
                continue
            digits = self._digits(node, plan)
            if widths is not None and widths.size == digits.size:
                total += float(np.sum(digits * widths))
            else:
                total += float(np.sum(digits)) * (float(widths.mean()) if widths is not None else 8.0)
        for tensor, (signed, integer, _) in self.sites.items():
            fine = plan.frac[f"t:{tensor}"] + self.finer.get(tensor, 0)
            total += 0.5 * float(np.sum(np.maximum(integer + fine + signed, 0)))
        return total

    def _integers(self, node: Node, plan: _Plan) -> Floats:
        """Weights in LSBs; those that the model brings on a grid of its own stay as they are."""
        return (
            node.params[layer_of(node).weights[0]]
            if node in self.kept
            else self._codes(node, plan.frac[f"w:{node.name}"])
        )

    def _digits(self, node: Node, plan: _Plan) -> Floats:
        """Canonical signed digits of the weights, summed over all axes but the first."""
        key = (node.name, plan.frac.get(f"w:{node.name}"))
        if key not in self._row_digits:
            name = layer_of(node).weights[0]
            if node in self.kept:
                codes = np.asarray(_grid(node, name)[0]).reshape(np.atleast_1d(node.params[name]).shape)
            else:
                codes = np.atleast_1d(self._codes(node, plan.frac[f"w:{node.name}"]))
            digits = csd_weight(codes.astype(np.int64)).astype(np.float64)
            self._row_digits[key] = digits.sum(axis=tuple(range(1, digits.ndim)))
        return self._row_digits[key]

    def descend(
        self,
        plan: _Plan,
        best: float,
        figure: Callable[[_Plan], float],
        settle: Callable[[], None],
        target: float,
        progress: Callable[[int, float], None] | None,
    ) -> tuple[_Plan, float, int]:
        """Take bits away one by one, the most cost per loss first, while the target holds.

        Lazily: a site's last known score stands until it comes first; then it is measured again, and taken if it still
        is. That needs a few measurements a step instead of one for every site.
        """
        steps = 0
        scores = dict.fromkeys(plan.frac, np.inf)
        cost = self.cost(plan)
        settle()
        while scores:
            site = max(sorted(scores), key=lambda name: scores[name])
            candidate = plan.stepped(site)
            value = figure(candidate)
            if value < target or not self._sane(candidate, site):
                del scores[site]
                continue
            cheaper = self.cost(candidate)
            loss = max(best - value, 0.0) + 1e-6 + 0.02 * abs(best - target)
            scores[site] = (cost - cheaper) / loss
            if scores[site] >= max(scores.values()):
                plan, best, cost = candidate, value, cheaper
                settle()
                steps += 1
                if progress is not None:
                    progress(steps, best)
        return plan, best, steps

    def _sane(self, plan: _Plan, site: str) -> bool:
        """Keep at least two significant bits in every type's widest channel and in every weight matrix."""
        kind, name = site.split(":", 1)
        if kind == "t":
            return int(np.max(self.quantiser(name, plan.frac[site]).bits, initial=0)) >= 2
        node = next(n for n in self.weighted if n.name == name)
        return bool(np.max(np.abs(self._codes(node, plan.frac[site])), initial=0) >= 1)

    def types(self, plan: _Plan) -> tuple[ChosenType, ...]:
        """All chosen types, inputs first, in the network's order."""
        chosen = []
        for tensor in self.sites:
            quantiser = self.quantiser(tensor, plan.frac[f"t:{tensor}"])
            role = "input" if tensor in self.network.inputs else "activation"
            chosen.append(ChosenType(tensor, role, quantiser.describe(), float(np.mean(quantiser.bits))))
        for node in self.weighted + self.kept:
            name = layer_of(node).weights[0]
            if node in self.kept:
                codes, units = _grid(node, name)
                kind = f" of {_span_of(units)}, as in the model"
            else:
                frac = plan.frac[f"w:{node.name}"]
                codes = self._codes(node, frac)
                kind = f".{_fractions(frac - np.asarray(self._rows(node)))} RND_CONV"
            whole = codes.astype(np.float64)
            bits = int(_integer_bits(whole, whole).max(initial=0)) + 1
            chosen.append(ChosenType(f"{node.name}.{name}", "weight", f"s{bits}{kind}", float(bits)))
        return tuple(chosen)


def _fractions(frac: Ints) -> str:
    low, high = int(np.min(frac)), int(np.max(frac))
    return str(low) if low == high else f"({low}…{high})"


def _span_of(units: Sequence[Fraction]) -> str:
    """Text of the units of a kernel's columns."""
    low, high = float(min(units)), float(max(units))
    return f"{low:.6g}" if low == high else f"({low:.6g}…{high:.6g})"


def _grid(node: Node, name: str) -> tuple[NDArray[Any], list[Fraction]]:
    """Parameter `name` as integer codes (rows, columns) and the unit of each column, its last axis."""
    values = np.atleast_1d(node.params[name])
    return column_codes(values.reshape(-1, values.shape[-1]), node.params.get(f"{name}_scale"))


def _own_grid(node: Node, name: str) -> bool:
    """Whether a parameter comes with a scale, or needs few bits as it stands: the model quantised it."""
    if f"{name}_scale" in node.params:
        return True
    codes, _ = _grid(node, name)
    return all(width_of(min(column), max(column)) <= QUANTISED_BITS for column in codes.T.tolist())


def _channel_axis(network: Network, tensor: str, rank: int) -> int:
    """Axis (batch not counted) of a tensor's channels: the last, as those who read it see it behind a transpose."""
    readers = network.consumers(tensor)
    perms = {tuple(node.attrs["perm"]) if node.kind == "transpose" else None for node in readers}
    perm = perms.pop() if len(perms) == 1 else None
    if perm is None:
        return rank - 1
    return int(perm[_channel_axis(network, readers[0].outputs[0], rank)])


def free_roots(node: Node, producers: Mapping[str, Node]) -> list[str]:
    """Tensors that a node's inputs hold, back through layers that only move elements, and that have no type."""
    found = dict.fromkeys(root for tensor in node.inputs for root in roots(tensor, producers))
    return [root for root in found if (made := producers.get(root)) is None or not _has_type(made, producers)]


def _has_type(node: Node, producers: Mapping[str, Node]) -> bool:
    """Whether a node's result has a type of its own; 0 and 1 need none."""
    return (
        node.kind in ("quantise", "threshold")
        or node.attrs.get("output") is not None
        or _is_flag(node.outputs[0], producers)
    )


def _is_flag(tensor: str, producers: Mapping[str, Node]) -> bool:
    """Whether a tensor holds what comparisons give, and no more than the least or the largest of such."""
    node = producers.get(tensor)
    if node is None or node.params:
        return node is not None and node.kind == "compare"
    joins = ("minimum", "maximum", "reduce_min", "reduce_max")
    if node.kind not in joins and not layer_of(node).moves:
        return node.kind == "compare"
    return all(_is_flag(source, producers) for source in node.inputs)


def roots(tensor: str, producers: Mapping[str, Node]) -> list[str]:
    """Tensors whose elements a tensor holds, back through layers that only move elements."""
    node = producers.get(tensor)
    if node is None or not layer_of(node).moves:
        return [tensor]
    return [root for name in node.inputs for root in roots(name, producers)]
