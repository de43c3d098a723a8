"""Recurrent layers: SimpleRNN, LSTM and GRU as one kernel that is applied once a time step.

Keras `SimpleRNN`, `LSTM`, `GRU`, `Bidirectional`; ONNX `RNN`, `LSTM`, `GRU`; PyTorch `RNN`, `LSTM`, `GRU`. The Program
holds the cell once, however long the sequence; unrolling for a parallel schedule is a pass. A type of the state bounds
the recursion: whatever comes in, each step's state is within it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, RangeError, UnsupportedError
from hardwire.fixed import FixedType, Floats, Ints, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.program import Kernel
from hardwire.layers import _keras as keras
from hardwire.layers import _onnx as onnx
from hardwire.layers import _torch as torch
from hardwire.layers._base import Example, InternalSite, Layer, imports
from hardwire.layers._cell import CHAIN_KINDS, Arithmetic, Chain, FloatArithmetic, KernelArithmetic, Real
from hardwire.layers._elements import multiple, quantised_input
from hardwire.layers._lowering import Lowering, Part, Wire, fractions
from hardwire.layers._scales import common_scale
from hardwire.layers.masking import kept
from hardwire.layers.quantise import quantise_wire
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser

V = TypeVar("V")
_RETURNS = ("sequence", "last", "states")
_ROUNDS = 8
"""Rounds in which the range of a state without a type must settle."""


class _Recurrent(Layer):
    """Inputs x (..., T, k), then optionally the initial state h (..., u) and the initial carry (..., u).

    Attrs: `activation`, `recurrent_activation` (`_cell.Chain`); `go_backwards`: the last time step comes first;
    `time_order`: outputs stand where their input stands, not in the order of processing; `returns`: `sequence`
    (..., T, u), `last` (..., u), or `states` (..., T, u or 2u), the state and the carry of each step; `types`: a
    `Quantiser` by name of the tensors inside.

    Params: `kernel` (k + u, gates · u), the rows of x before those of h; `bias` (gates · u,); `initial_state`,
    `initial_carry` (u,), zero where absent. The types `state_in` and `carry_in` apply to what a step reads from the
    step before, all others to what it computes. With attr `masked` the last feature of x is a mask: a step where it is
    0 leaves state and carry as they are.
    """

    exact = True
    weights = ("kernel", "bias", "recurrent_bias")
    gates: ClassVar[int] = 1
    carries: ClassVar[bool] = False

    @abstractmethod
    def step(self, m: Arithmetic[V], x: V, h: V, c: V, k: int, u: int) -> tuple[V, V]:
        """One time step: the new state and carry from `k` features, `u` units; without a carry `c` is returned."""

    def _units(self, node: Node) -> int:
        return int(node.params["kernel"].shape[1]) // self.gates

    def _masked(self, m: Arithmetic[V], x: V, flag: V | None, h: V, c: V, k: int, u: int) -> tuple[V, V]:
        """`step`, or what there was before where `flag` is 0."""
        state, carry = self.step(m, x, h, c, k, u)
        if flag is None:
            return state, carry
        return m.chosen(flag, state, h), m.chosen(flag, carry, c) if self.carries else carry

    def _kernel_rows(self, node: Node, k: int, u: int) -> tuple[int, ...]:
        """Rows that the kernel may have."""
        return (k + u,)

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the shape that `returns` stands for; raises `ModelError` for unfit shapes."""
        kernel = node.params["kernel"]
        if kernel.ndim != 2 or kernel.shape[1] % self.gates or not kernel.size:
            raise ModelError(
                f"layer {node.name!r}: the kernel has the shape {kernel.shape}, expected ({self.gates}·units columns)"
            )
        u, x = self._units(node), inputs[0]
        features = x[-1] - _flags(node) if x else 0
        if len(x) < 2 or kernel.shape[0] not in self._kernel_rows(node, features, u) or x[-2] < 1:
            raise ModelError(
                f"layer {node.name!r}: a kernel of shape {kernel.shape} (features and {u} units below each other) does "
                f"not fit an input of shape {x}, expected (..., time, features)"
            )
        for name, size in (("bias", kernel.shape[1]), ("recurrent_bias", u), ("initial_state", u)):
            if name in node.params and node.params[name].shape != (size,):
                raise ModelError(
                    f"layer {node.name!r}: {name} has the shape {node.params[name].shape}, expected {(size,)}"
                )
        for state in inputs[1:]:
            if tuple(state) != (*x[:-2], u):
                raise ModelError(f"layer {node.name!r}: an initial state of shape {state}, expected {(*x[:-2], u)}")
        if len(inputs) > 2 + self.carries:
            raise ModelError(f"layer {node.name!r}: {len(inputs)} inputs, expected at most {2 + self.carries}")
        returns = node.attrs.get("returns", "sequence")
        if returns not in _RETURNS:
            raise ModelError(f"layer {node.name!r}: returns is {returns!r}, expected one of {', '.join(_RETURNS)}")
        if returns == "last":
            return (*x[:-2], u)
        return (*x[:-1], u * (1 + self.carries) if returns == "states" else u)

    def _run(self, m: FloatArithmetic, inputs: Sequence[Floats]) -> Floats:
        """States (N, T, u or 2u) in the order of processing; N counts leading axes too."""
        node, x = m.node, inputs[0]
        u, k = self._units(node), x.shape[-1] - _flags(node)
        flat = x.reshape(-1, *x.shape[-2:])
        h, c = (self._initial(node, inputs, i, len(flat), u) for i in (0, 1))
        h = m.started("state", h)
        c = m.started("carry", c) if self.carries else c
        steps = []
        for t in self._order(node, x.shape[-2]):
            flag = flat[:, t, k:] if _flags(node) else None
            h, c = self._masked(m, flat[:, t, :k], flag, h, c, k, u)
            steps.append(np.concatenate([h, c], axis=-1) if self.carries else h)
        return np.stack(steps, axis=1)

    def _initial(self, node: Node, inputs: Sequence[Floats], position: int, n: int, u: int) -> Floats:
        if len(inputs) > 1 + position:
            return inputs[1 + position].reshape(n, u)
        value = node.params.get(("initial_state", "initial_carry")[position], np.zeros(u))
        return np.broadcast_to(value.astype(np.float64), (n, u))

    def _order(self, node: Node, steps: int) -> list[int]:
        return list(range(steps))[:: -1 if node.attrs.get("go_backwards", False) else 1]

    def _shown(self, node: Node, steps: int) -> list[int]:
        """For each output, the number of the processed step that it shows."""
        if node.attrs.get("time_order", False):
            return list(np.argsort(self._order(node, steps)))
        return list(range(steps))

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Float64 recursion, through the types that there are."""
        x, u = inputs[0], self._units(node)
        states = self._run(FloatArithmetic(node), inputs)
        returns = node.attrs.get("returns", "sequence")
        if returns == "last":
            return states[:, -1, :u].reshape(*x.shape[:-2], u)
        width = states.shape[-1] if returns == "states" else u
        return states[:, self._shown(node, x.shape[-2]), :width].reshape(*x.shape[:-1], width)

    def internal_sites(self, node: Node, inputs: Sequence[Floats]) -> dict[str, InternalSite]:
        """Tensors of the cell over all time steps; none where the model brings types of its own."""
        if node.attrs.get("types"):
            return {}
        m = FloatArithmetic(node)
        self._run(m, inputs)
        sites = {}
        for name, parts in m.seen.items():
            if name not in ("state_in", "carry_in"):
                values = np.concatenate([np.concatenate(parts[at]) for at in sorted(parts)], axis=-1)
                sites[name] = InternalSite(values, name in m.narrow)
        return sites

    # Lowering.

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One kernel, applied at every time step; state and carry of all steps lie in one array."""
        x = inputs[0]
        steps, k = x.shape[-2:]
        u = self._units(node)
        width = u * (1 + self.carries)
        columns = x.scales().reshape(-1, k)
        if not np.all(columns == columns[:1]):
            x = low.rescaled(node, x, fractions([common_scale(column) for column in columns.T]))
        features = list(x.scales().reshape(-1, k)[0])
        index = x.index.reshape(-1, steps, k)
        positions = len(index)
        given = self._given(node, low, inputs[1:], positions, u)
        x_range = low.window_range([(x, index.reshape(-1, k))])
        kernel, scales = self._settled(node, given, x_range, features, u)
        start = _start(node, low, given, scales, positions)
        windows = [index[:, t] for t in self._order(node, steps)]
        states = low.recur(node, start, kernel, x, windows, fractions(scales))
        returns = node.attrs.get("returns", "sequence")
        lead = x.shape[:-2]
        at, spread = states.index[:, 1:], states.scales()[:, 1:]
        if returns == "last":
            return states.view(at[:, -1, :u].reshape(*lead, u), spread[:, -1, :u].reshape(*lead, u))
        shape = (*lead, steps, width if returns == "states" else u)
        shown = self._shown(node, steps)
        return states.view(at[:, shown, : shape[-1]].reshape(shape), spread[:, shown, : shape[-1]].reshape(shape))

    def _given(self, node: Node, low: Lowering, wires: Sequence[Wire], positions: int, u: int) -> list[_Given]:
        """Initial state, then carry."""
        types: Mapping[str, Quantiser] = node.attrs.get("types") or {}
        found: list[_Given] = []
        for i, (param, name) in enumerate((("initial_state", "state"), ("initial_carry", "carry"))[: 1 + self.carries]):
            quantiser = types.get(name)
            if i < len(wires):
                wire = wires[i] if quantiser is None else quantise_wire(node, low, wires[i], quantiser)
                columns = wire.scales().reshape(-1, u)
                wire = low.rescaled(node, wire, fractions([common_scale(column) for column in columns.T]))
                read = (wire, wire.index.reshape(positions, u))
                lo, hi = low.window_range([read])
                found.append(_Given(list(wire.scales().reshape(-1, u)[0]), lo.tolist(), hi.tolist(), read))
            else:
                value = np.asarray(node.params.get(param, np.zeros(u)), np.float64)
                exact = [Fraction(float(v)) for v in (value if quantiser is None else quantiser(value))]
                signs = [(v > 0) - (v < 0) for v in exact]
                found.append(_Given([abs(v) for v in exact], signs, signs, None))
        return found

    def _settled(
        self, node: Node, given: Sequence[_Given], x_range: tuple[Ints, Ints], features: list[Fraction], u: int
    ) -> tuple[Kernel, list[Fraction]]:
        """Build the kernel for ranges of state and carry that it never leaves; returns its outputs' scales too."""
        types: Mapping[str, Quantiser] = node.attrs.get("types") or {}
        scales: list[Fraction] = []
        lo: list[int] = []
        hi: list[int] = []
        for name, part in zip(("state", "carry"), given, strict=False):
            q = types.get(name)
            if q is None:
                scales += [common_scale([unit]) for unit in part.units]
                lo, hi = lo + [0] * u, hi + [0] * u
            else:
                q = q.reshaped((u,))
                scales += q.scales().tolist()
                lo, hi = lo + (q.lo - q.zero).tolist(), hi + (q.hi - q.zero).tolist()
        units = [unit for part in given for unit in part.units]
        for _ in range(_ROUNDS):
            first = _codes(node, given, scales)
            lo = [min(a, b) for a, (b, _) in zip(lo, first, strict=True)]
            hi = [max(a, b) for a, (_, b) in zip(hi, first, strict=True)]
            builder = KernelBuilder(node.name, [*x_range[0], *lo], [*x_range[1], *hi])
            m = KernelArithmetic(node, builder)
            values = [Real(i, scale) for i, scale in enumerate([*features, *scales])]
            n, k = len(features), len(features) - _flags(node)
            flag = values[k:n] if _flags(node) else None
            h, c = self._masked(m, values[:k], flag, values[n : n + u], values[n + u :], k, u)
            results = [*h, *c] if self.carries else h
            finest = [common_scale([real.scale, unit]) for real, unit in zip(results, units, strict=True)]
            kernel = builder.build(
                [
                    builder.linear([real.id], [multiple(node, real.scale, scale, "a state's scale")])
                    for real, scale in zip(results, finest, strict=True)
                ]
            )
            least, most = kernel.lo[kernel.outputs].tolist(), kernel.hi[kernel.outputs].tolist()
            if finest != scales:
                scales, lo, hi = finest, least, most
            elif all(a <= b for a, b in zip(lo, least, strict=True)) and all(
                a >= b for a, b in zip(hi, most, strict=True)
            ):
                return kernel, scales
            else:
                lo = [min(pair) for pair in zip(lo, least, strict=True)]
                hi = [max(pair) for pair in zip(hi, most, strict=True)]
        raise RangeError(
            f"layer {node.name!r}: nothing bounds its state: its range grows with every time step",
            hint="calibrate the model (calibrate=x), or use a quantised recurrent layer, so that the state has a type",
        )


def _flags(node: Node) -> int:
    """Return how many features at the end of the input are no features, but its mask."""
    return int(bool(node.attrs.get("masked", False)))


@dataclass(frozen=True, eq=False)
class _Given:
    """An initial state: integers in [lo, hi] times `units`, read from a wire, or constants."""

    units: list[Fraction]
    lo: list[int]
    hi: list[int]
    read: tuple[Wire, NDArray[np.int32]] | None


def _codes(node: Node, given: Sequence[_Given], scales: list[Fraction]) -> list[tuple[int, int]]:
    """Range of the initial state and carry in codes of `scales`."""
    parts = [row for part in given for row in zip(part.units, part.lo, part.hi, strict=True)]
    ratios = [
        multiple(node, unit, scale, "an initial state") for (unit, _, _), scale in zip(parts, scales, strict=True)
    ]
    return [(lo * ratio, hi * ratio) for (_, lo, hi), ratio in zip(parts, ratios, strict=True)]


def _start(node: Node, low: Lowering, given: Sequence[_Given], scales: list[Fraction], positions: int) -> Part:
    """What the first time step reads: constants, or other tensors brought to the scales."""
    reads = [part.read for part in given if part.read is not None]
    lo, hi = low.window_range(reads) if reads else (np.zeros(0, np.int64), np.zeros(0, np.int64))
    builder = KernelBuilder(f"{node.name}.start", lo, hi, origin=node.name)
    outputs, used, at = [], 0, 0
    for part in given:
        for unit, code in zip(part.units, part.lo, strict=True):
            ratio = multiple(node, unit, scales[at], "an initial state")
            at += 1
            if part.read is None:
                outputs.append(builder.const(code * ratio))
            else:
                outputs.append(builder.linear([used], [ratio]))
                used += 1
    return Part(builder.build(outputs), reads, np.arange(positions, dtype=np.int32))


class SimpleRnn(_Recurrent):
    """`h' = activation(x · W + h · U + b)`."""

    kind = "rnn"

    def step(self, m: Arithmetic[V], x: V, h: V, c: V, k: int, u: int) -> tuple[V, V]:
        """One time step."""
        h = m.typed("state_in", h)
        total = m.affine([(x, slice(0, k)), (h, slice(k, k + u))], slice(0, u))
        return m.curve("activation", total, "sums", "state"), c

    def examples(self) -> Iterator[Example]:
        """A sequence through tanh, the last state through ReLU backwards, several rows at once, a mask."""
        yield _example(self, "sequence", (3, 2), {"activation": TANH})
        yield _example(self, "last", (3, 2), {"activation": RELU, "go_backwards": True, "returns": "last"})
        yield _example(self, "rows", (2, 2, 1), {"activation": (), "go_backwards": True, "time_order": True})
        yield _example(self, "masked", (3, 2), {"activation": TANH}, masked=True)


class Lstm(_Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber 1997, with forget gates): columns in the order i, f, c, o.

    `c' = f ∘ c + i ∘ activation(g)`, `h' = o ∘ output_activation(c')`; the gates i, f, o go through
    `recurrent_activation`, `output_activation` is `activation` where absent. A kernel of k + 2u rows has peepholes:
    its last u rows multiply the carry, the old one for i and f, the new one for o.
    """

    kind = "lstm"
    gates = 4
    carries = True

    def _kernel_rows(self, node: Node, k: int, u: int) -> tuple[int, ...]:
        return (k + u, k + 2 * u)

    def step(self, m: Arithmetic[V], x: V, h: V, c: V, k: int, u: int) -> tuple[V, V]:
        """One time step."""
        h, c = m.typed("state_in", h), m.typed("carry_in", c)
        parts = [(x, slice(0, k)), (h, slice(k, k + u))]
        peepholes = m.node.params["kernel"].shape[0] > k + u
        seen = [*parts, (c, slice(k + u, k + 2 * u))] if peepholes else parts
        i = m.curve("recurrent_activation", m.affine(seen, slice(0, u)), "sums", "gates", 0)
        f = m.curve("recurrent_activation", m.affine(seen, slice(u, 2 * u)), "sums", "gates", u)
        g = m.curve("activation", m.affine(parts, slice(2 * u, 3 * u)), "sums", "gates", 2 * u)
        c = m.typed("carry", m.add(m.mul(f, c), m.mul(i, g)))
        late = [*parts, (c, slice(k + u, k + 2 * u))] if peepholes else parts
        o = m.curve("recurrent_activation", m.affine(late, slice(3 * u, 4 * u)), "sums", "gates", 3 * u)
        last = "output_activation" if "output_activation" in m.node.attrs else "activation"
        h = m.typed("state", m.mul(o, m.curve(last, c, "curve", "squashed")))
        return h, c

    def examples(self) -> Iterator[Example]:
        """A sequence, the states of a few rows, an initial state that the network computes."""
        yield _example(self, "sequence", (3, 2), {})
        yield _example(self, "states", (2, 2, 1), {"returns": "states", "go_backwards": True})
        yield _example(self, "initial", (2, 2), {"returns": "last"}, initial=True)
        yield _example(self, "masked", (2, 1), {"returns": "states"}, masked=True)


class Gru(_Recurrent):
    """Gated recurrent unit (Cho et al. 2014): columns in the order z, r, h.

    `h' = z ∘ h + (1 - z) ∘ n`, where `n = activation(x · W + b + r ∘ (h · U + recurrent_bias))` with attr
    `reset_after`, else `n = activation(x · W + (r ∘ h) · U + b)`.
    """

    kind = "gru"
    gates = 3

    def step(self, m: Arithmetic[V], x: V, h: V, c: V, k: int, u: int) -> tuple[V, V]:
        """One time step."""
        h = m.typed("state_in", h)
        features, states, last = slice(0, k), slice(k, k + u), slice(2 * u, 3 * u)
        gates = m.affine([(x, features), (h, states)], slice(0, 2 * u))
        gates = m.curve("recurrent_activation", gates, "sums", "gates")
        z, r = m.part(gates, 0, u), m.part(gates, u, 2 * u)
        if m.node.attrs.get("reset_after", False):
            inner = m.typed("inner", m.affine([(h, states)], last, "recurrent_bias"))
            total = m.add(m.affine([(x, features)], last), m.mul(r, inner))
        else:
            reset = m.typed("reset", m.mul(r, h))
            total = m.affine([(x, features), (reset, states)], last)
        n = m.curve("activation", total, "total", "candidate")
        return m.typed("state", m.add(n, m.mul(z, m.add(h, n, -1)))), c

    def examples(self) -> Iterator[Example]:
        """Both ways of resetting."""
        yield _example(self, "after", (3, 2), {"reset_after": True})
        yield _example(self, "before", (2, 2), {"reset_after": False, "go_backwards": True, "returns": "last"})


TANH: Chain = (("activation", {"function": "tanh", "arguments": {}}),)
SIGMOID: Chain = (("activation", {"function": "sigmoid", "arguments": {}}),)
RELU: Chain = (("relu", {}),)


def _example(
    layer: _Recurrent,
    name: str,
    shape: Shape,
    attrs: dict[str, Any],
    *,
    initial: bool = False,
    masked: bool = False,
) -> Example:
    rng = np.random.default_rng(5)
    u, k = 2, shape[-1]
    net = NetworkBuilder(f"{layer.kind}_{name}")
    x = quantised_input(net, shape, "s4.2")
    types = {
        tensor: Quantiser.of_type(FixedType.parse(kind), Rounding.RND, Overflow.SAT)
        for tensor, kind in _EXAMPLE_TYPES.items()
    }
    attrs = {"activation": TANH, "recurrent_activation": SIGMOID, "types": types, **attrs}
    params = {
        "kernel": rng.integers(-6, 7, (k + u, layer.gates * u)) / 4,
        "bias": rng.integers(-4, 5, layer.gates * u) / 4,
    }
    if attrs.get("reset_after"):
        params["recurrent_bias"] = rng.integers(-4, 5, u) / 4
    inputs = [x]
    if masked:
        mask = quantised_input(net, (*shape[:-1], 1), "u1.0", "mask")
        inputs, attrs["masked"] = [net.add("concat", "flagged", [x, mask], {"axis": len(shape) - 1})], True
    if initial:
        inputs += [
            quantised_input(net, (*shape[:-2], u), kind, state) for state, kind in (("h", "s4.3"), ("c", "s3.1"))
        ]
    return Example(name, net.build([net.add(layer.kind, layer.kind, inputs, attrs, params)]))


Parts = dict[str, NDArray[Any]]
"""Params of a node."""

_LAYERS: dict[str, type[_Recurrent]] = {"rnn": SimpleRnn, "lstm": Lstm, "gru": Gru}


def chain_of(net: NetworkBuilder, record: Record, attr: str) -> Chain:
    """Return the function that a small network of element-wise nodes without params computes."""
    nodes = net.build(()).nodes
    for node in nodes:
        if node.kind not in CHAIN_KINDS or node.params:
            raise record.unsupported(attr, node.kind, "only functions of one number work in a recurrent cell")
    return tuple((node.kind, node.attrs) for node in nodes)


def state_tensors(net: NetworkBuilder, name: str, states: str, u: int, *, last_step: int) -> list[str]:
    """Final state, and carry where there is one, of the tensor that `returns: states` gives, (..., u) each."""
    shape = net.shape(states)
    step = net.add("take", f"{name}_final", [states], {"axis": len(shape) - 2, "indices": (last_step,)})
    parts = []
    for i, part in enumerate(("state", "carry")[: shape[-1] // u]):
        indices = tuple(range(i * u, (i + 1) * u))
        chosen = net.add("take", f"{name}_{part}_part", [step], {"axis": len(shape) - 1, "indices": indices})
        parts.append(net.add("reshape", f"{name}_{part}", [chosen], {"shape": (*shape[:-2], u)}))
    return parts


def sequence_tensor(net: NetworkBuilder, name: str, states: str, u: int) -> str:
    """Return the sequence of states, without the carries, of the tensor that `returns: states` gives."""
    shape = net.shape(states)
    if shape[-1] == u:
        return states
    return net.add("take", name, [states], {"axis": len(shape) - 1, "indices": tuple(range(u))})


_EXAMPLE_TYPES = {
    "sums": "s6.2",
    "gates": "s5.3",
    "carry": "s6.3",
    "curve": "s5.2",
    "squashed": "s5.4",
    "inner": "s6.3",
    "reset": "s5.3",
    "total": "s5.2",
    "candidate": "s5.4",
    "state": "s5.3",
}


# --- ONNX


_ONNX = {"RNN": "rnn", "LSTM": "lstm", "GRU": "gru"}
_ONNX_GATES = {"rnn": (0,), "lstm": (0, 2, 3, 1), "gru": (0, 1, 2)}
"""Blocks of the file's i o f c, and z r h, in the order of the node."""

_ONNX_FUNCTIONS: dict[str, tuple[str, dict[str, tuple[str, float]]]] = {
    "sigmoid": ("sigmoid", {}),
    "tanh": ("tanh", {}),
    "softsign": ("softsign", {}),
    "softplus": ("softplus", {}),
    "hardsigmoid": ("hard_sigmoid", {"slope": ("alpha", 0.2), "offset": ("beta", 0.5)}),
    "elu": ("elu", {"alpha": ("alpha", 1.0)}),
    "thresholdedrelu": ("threshold", {"theta": ("alpha", 1.0)}),
}
"""Function of each name, and its arguments with the attribute they come from and its default."""


@imports("onnx", *_ONNX)
def _onnx_recurrent(record: Record, net: NetworkBuilder) -> list[str]:
    """One layer of one or two directions: Y (T, D, u), Y_h and Y_c (D, u), the batch not counted."""
    x, kind = record.inputs[0], _ONNX[record.kind]
    layer = _LAYERS[kind]
    steps, k = net.shape(x)
    record.expect("layout", 0, 1)
    record.expect("input_forget", 0)
    record.ignore("output_sequence")
    if record.has("clip"):
        raise record.unsupported("clip", record.take("clip"), "clipped sums are not supported")
    direction = record.expect("direction", "forward", "reverse", "bidirectional")
    reverses = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}[direction]
    read = tuple(record.take("(outputs read)", (0,)))
    chains = _onnx_chains(record, kind, len(reverses))
    after = kind == "gru" and bool(record.expect("linear_before_reset", 0, 1))
    if record.has_array("4") and np.any(onnx.constant(record, 4) != steps):
        raise record.unsupported("sequence_lens", "shorter", "only whole sequences are supported")
    weights = {name: _onnx_optional(record, i) for i, name in ((1, "W"), (2, "R"), (3, "B"), (7, "P"))}
    starts = [_onnx_optional(record, i) for i in (5, 6)]
    kernels, recurrents = weights["W"], weights["R"]
    if kernels is None or recurrents is None:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): its weights are not constants")
    u = int(recurrents.shape[-1])
    record.expect("hidden_size", u)
    fits = kernels.shape == (len(reverses), layer.gates * u, k)
    if not fits or recurrents.shape != (len(reverses), layer.gates * u, u):
        raise ModelError(
            f"layer {record.name!r} ({record.kind}): weights {kernels.shape} and {recurrents.shape} do not fit {k} "
            f"features and {len(reverses)} directions"
        )
    sides: list[str] = []
    ends: list[list[str]] = []
    for side, reverse in enumerate(reverses):
        order = np.concatenate([np.arange(g * u, (g + 1) * u) for g in _ONNX_GATES[kind]])
        kernel = np.concatenate([kernels[side].T, recurrents[side].T])[:, order]
        params: Parts = {"kernel": kernel}
        if weights["B"] is not None:
            own, other = weights["B"][side].reshape(2, -1)
            joint = own + other
            if after:
                joint[2 * u :] = own[2 * u :]
                params["recurrent_bias"] = other[2 * u :]
            params["bias"] = joint[order]
        if weights["P"] is not None:
            gate_i, gate_o, gate_f = (np.diag(part) for part in weights["P"][side].reshape(3, u))
            carries = np.concatenate([gate_i, gate_f, np.zeros((u, u)), gate_o], axis=1)
            params["kernel"] = np.concatenate([kernel, carries])
        for param, value in zip(("initial_state", "initial_carry"), starts, strict=True):
            if value is not None:
                rows = value[side] if value.shape[0] == len(reverses) else value[:, side]
                if np.any(rows != rows[:1]):
                    raise record.unsupported("initial_h", "computed", "it differs by example")
                params[param] = rows[0]
        attrs: dict[str, Any] = {**chains[side], "go_backwards": reverse, "time_order": True}
        if kind == "gru":
            attrs["reset_after"] = after
        final = max(read, default=0) > 0
        attrs["returns"] = "states" if final else "sequence"
        name = record.name if len(reverses) == 1 else f"{record.name}_{'reverse' if reverse else 'forward'}"
        y = net.add(kind, name, [x], attrs, params)
        if final:
            ends.append(state_tensors(net, name, y, u, last_step=0 if reverse else steps - 1))
            y = sequence_tensor(net, f"{name}_sequence", y, u)
        sides.append(net.add("reshape", f"{name}_direction", [y], {"shape": (steps, 1, u)}))
    outputs = [sides[0] if len(sides) == 1 else _joined(net, f"{record.name}_directions", sides, 1)]
    for i, parts in enumerate(zip(*ends, strict=True)):
        rows = [net.add("reshape", f"{tensor}_row", [tensor], {"shape": (1, u)}) for tensor in parts]
        outputs.append(rows[0] if len(rows) == 1 else _joined(net, f"{record.name}_final_{i}", rows, 0))
    return outputs


def _onnx_optional(record: Record, position: int) -> NDArray[Any] | None:
    if not onnx.has(record, position):
        return None
    return np.asarray(onnx.constant(record, position), np.float64)


def _onnx_chains(record: Record, kind: str, directions: int) -> list[dict[str, Chain]]:
    """Functions of each direction; `activation_alpha` and `activation_beta` are used up in their order."""
    names = {
        "rnn": ("activation",),
        "gru": ("recurrent_activation", "activation"),
        "lstm": ("recurrent_activation", "activation", "output_activation"),
    }[kind]
    default = {"rnn": ["Tanh"], "gru": ["Sigmoid", "Tanh"], "lstm": ["Sigmoid", "Tanh", "Tanh"]}[kind]
    given = [str(f) for f in record.take("activations", default * directions)]
    left = {letter: list(record.take(f"activation_{letter}", [])) for letter in ("alpha", "beta")}
    if len(given) != len(names) * directions:
        raise record.unsupported("activations", given, f"{len(names)} functions for each direction are expected")
    found: list[Chain] = []
    for function in given:
        label = function.lower()
        if label == "relu":
            found.append(RELU)
        elif label == "leakyrelu":
            slope = float(left["alpha"].pop(0)) if left["alpha"] else float(np.float32(0.01))
            found.append((("leaky_relu", {"slope": slope}),))
        elif label in _ONNX_FUNCTIONS:
            own, arguments = _ONNX_FUNCTIONS[label]
            values = {
                argument: float(left[letter].pop(0)) if left[letter] else float(np.float32(usual))
                for argument, (letter, usual) in arguments.items()
            }
            found.append((("activation", {"function": own, "arguments": values}),))
        else:
            raise record.unsupported(
                "activations", function, f"known are relu, leakyrelu, {', '.join(_ONNX_FUNCTIONS)}"
            )
    return [dict(zip(names, found[i * len(names) :], strict=False)) for i in range(directions)]


# --- PyTorch


_TORCH: dict[str, tuple[str, Chain]] = {
    "aten.lstm.input": ("lstm", TANH),
    "aten.gru.input": ("gru", TANH),
    "aten.rnn_tanh.input": ("rnn", TANH),
    "aten.rnn_relu.input": ("rnn", RELU),
}


@imports("torch", *_TORCH)
def _torch_recurrent(record: Record, net: NetworkBuilder) -> list[str]:
    """`nn.RNN`, `nn.LSTM`, `nn.GRU` of any number of layers and directions: the sequence, then the final states."""
    x = torch.single(record)
    kind, activation = _TORCH[record.kind]
    biases, both = bool(record.take("has_biases")), bool(record.take("bidirectional"))
    layers = int(record.take("num_layers"))
    record.expect("train", False)
    record.ignore("dropout")
    first = bool(record.take("batch_first"))
    if first == bool(record.versions.get("late")):
        raise record.unsupported("batch_first", first, "the batch of its input is on the other axis")
    keys = sorted((key for key in record.array_keys() if key.startswith("2.")), key=lambda key: int(key[2:]))
    weights = [record.array(key).astype(np.float64) for key in keys]
    given = [record.array(key).astype(np.float64) for key in sorted(record.array_keys())]
    directions, each = 1 + both, 2 + 2 * biases
    if len(weights) != layers * directions * each:
        raise record.unsupported("proj_size", "> 0", "projections of the state are not supported")
    final = any(record.versions["read"][1:])
    states: list[list[str]] = []
    for layer in range(layers):
        sides = []
        for side in range(directions):
            number = layer * directions + side
            attrs = {"activation": activation, "recurrent_activation": SIGMOID, "go_backwards": bool(side)}
            attrs |= {"time_order": True, "returns": "states" if final else "sequence"}
            params = _torch_params(kind, weights[number * each : (number + 1) * each])
            for param, value in zip(("initial_state", "initial_carry"), given, strict=False):
                if np.any(value[number] != value[number, :1]):
                    raise record.unsupported("hx", "computed", "it differs by example")
                if np.any(value[number, 0]):
                    params[param] = value[number, 0]
            if kind == "gru":
                attrs["reset_after"] = True
            u = params["kernel"].shape[1] // _LAYERS[kind].gates
            alone = layers * directions == 1
            name = record.name if alone else f"{record.name}.l{layer}{'_reverse' if side else ''}"
            y = net.add(kind, f"{name}.states" if final else name, [x], attrs, params)
            if final:
                last = 0 if side else net.shape(y)[-2] - 1
                states.append(state_tensors(net, name, y, u, last_step=last))
                y = sequence_tensor(net, name, y, u)
            sides.append(y)
        x = sides[0] if len(sides) == 1 else _joined(net, f"{record.name}.l{layer}.both", sides, -1)
    ends = []
    for i, parts in enumerate(zip(*states, strict=True)):
        rows = [net.add("reshape", f"{tensor}_row", [tensor], {"shape": (1, *net.shape(tensor))}) for tensor in parts]
        ends.append(rows[0] if len(rows) == 1 else _joined(net, f"{record.name}.{('h', 'c')[i]}_n", rows, 0))
    return [x, *ends]


def _joined(net: NetworkBuilder, name: str, tensors: list[str], axis: int) -> str:
    return net.add("concat", name, tensors, {"axis": axis % len(net.shape(tensors[0]))})


def _torch_params(kind: str, weights: list[NDArray[Any]]) -> Parts:
    """Params of a direction of a layer from weight_ih, weight_hh, bias_ih, bias_hh."""
    kernel = np.concatenate([weights[0].T, weights[1].T])
    if kind != "gru":
        return {"kernel": kernel, "bias": weights[2] + weights[3]} if len(weights) > 2 else {"kernel": kernel}
    # PyTorch has the reset gate before the update gate.
    u = weights[1].shape[1]
    order = np.r_[u : 2 * u, :u, 2 * u : 3 * u]
    params = {"kernel": kernel[:, order]}
    if len(weights) > 2:
        joint = weights[2] + weights[3]
        joint[2 * u :] = weights[2][2 * u :]
        params |= {"bias": joint[order], "recurrent_bias": weights[3][2 * u :]}
    return params


# --- Keras

_KERAS = {"SimpleRNN": "rnn", "LSTM": "lstm", "GRU": "gru"}
_KERAS_CELL = ("units", "activation", "recurrent_activation", "use_bias", "reset_after")


def _keras_chain(record: Record, attr: str, spec: Any) -> Chain:
    scratch = NetworkBuilder("scratch")
    keras.activated(record, scratch, scratch.input("x", (1,)), spec, attr)
    return chain_of(scratch, record, attr)


def keras_cell(record: Record, config: Mapping[str, Any], kind: str, arrays: Parts) -> tuple[dict[str, Any], Parts]:
    """Attrs and params of a Keras recurrent layer from its settings and its arrays by name; `kind` is a node's."""
    units, bias = config["units"], config.get("use_bias", True)
    layer = _LAYERS[kind]
    attrs: dict[str, Any] = {"activation": _keras_chain(record, "activation", config.get("activation", "tanh"))}
    if kind != "rnn":
        gate = config.get("recurrent_activation", "sigmoid")
        attrs["recurrent_activation"] = _keras_chain(record, "recurrent_activation", gate)
    kernel, recurrent = arrays.pop("kernel"), arrays.pop("recurrent_kernel")
    if kernel.ndim != 2 or kernel.shape[1] != layer.gates * units or recurrent.shape != (units, layer.gates * units):
        shapes = f"{kernel.shape} and {recurrent.shape}"
        raise record.unsupported("units", units, f"the kernels in the file have the shapes {shapes}")
    params: Parts = {"kernel": np.concatenate([kernel, recurrent]).astype(np.float64)}
    found = arrays.pop("bias").astype(np.float64) if bias else None
    if kind == "gru":
        attrs["reset_after"] = bool(config.get("reset_after", found is not None and found.ndim == 2))
        if found is not None and found.shape != ((2, 3 * units) if attrs["reset_after"] else (3 * units,)):
            why = f"the bias in the file has the shape {found.shape}"
            raise record.unsupported("reset_after", attrs["reset_after"], why)
        if found is not None and attrs["reset_after"]:
            params["recurrent_bias"] = found[1, 2 * units :]
            found = found[0] + np.concatenate([found[1, : 2 * units], np.zeros(units)])
    if found is not None:
        params["bias"] = found
    return attrs, params


def keras_arrays(record: Record, *names: str, prefix: str = "") -> Parts:
    """Arrays of the cell below `prefix`, by name: a `.keras` file has `cell/0`, HDF5 `lstm_cell/kernel` or `kernel`."""
    keys = [key for key in record.array_keys() if key.startswith(prefix)]
    numbered = {key.rpartition("/")[2]: key for key in keys}
    if "0" in numbered:
        return {name: record.array(numbered.get(str(i), name)) for i, name in enumerate(names)}
    return {name: record.array(numbered.get(name, name)) for name in names}


def _keras_running(record: Record) -> tuple[bool, bool, bool]:
    """Take what all recurrent layers have; returns `return_sequences`, `return_state`, `go_backwards`."""
    record.expect("stateful", False)
    record.expect("time_major", False)
    record.ignore("dropout", "recurrent_dropout", "unroll", "implementation", "unit_forget_bias", "seed", "use_cudnn")
    record.ignore("input_dim", "input_length")
    return tuple(bool(record.take(attr, False)) for attr in ("return_sequences", "return_state", "go_backwards"))  # type: ignore[return-value]


def keras_run(
    net: NetworkBuilder,
    name: str,
    inputs: tuple[str, ...],
    kind: str,
    attrs: dict[str, Any],
    params: Parts,
    running: tuple[bool, bool, bool],
    *,
    zero: bool = False,
) -> list[str]:
    """Add the node of a Keras recurrent layer; returns its outputs, the states last.

    Where its input has a mask, masked steps are skipped; with `zero` the output is 0 there, else that of the step
    before.
    """
    sequences, _, backwards = running
    attrs = {**attrs, "go_backwards": backwards}
    mask = net.masks.get(inputs[0])
    if mask is None:
        return _keras_outputs(net, name, inputs, kind, attrs, params, running)
    shape = net.shape(inputs[0])
    if len(inputs) > 1 or net.shape(mask) != shape[:-1]:
        raise UnsupportedError(
            f"layer {name!r}: an initial state together with a mask, or a mask {net.shape(mask)} for an input {shape}",
            hint="a mask over the layer's own steps, and a state that starts at zero",
        )
    flags = net.add("reshape", f"{name}_mask", [mask], {"shape": (*shape[:-1], 1)})
    x = net.add("concat", f"{name}_flagged", [inputs[0], flags], {"axis": len(shape) - 1})
    outputs = _keras_outputs(net, name, (x,), kind, {**attrs, "masked": True}, params, running)
    if zero and sequences:
        if backwards:
            order = tuple(reversed(range(shape[-2])))
            mask = net.add("take", f"{name}_mask_backwards", [mask], {"axis": len(shape) - 2, "indices": order})
        outputs[0] = kept(net, f"{name}_zeroed", outputs[0], mask)
    elif zero:
        last = {"axis": len(shape) - 2, "indices": (0 if backwards else shape[-2] - 1,)}
        end = net.add("take", f"{name}_mask_end", [mask], last)
        end = net.add("reshape", f"{name}_mask_last", [end], {"shape": shape[:-2]})
        outputs[0] = kept(net, f"{name}_zeroed", outputs[0], end)
    return outputs


def _keras_outputs(
    net: NetworkBuilder,
    name: str,
    inputs: tuple[str, ...],
    kind: str,
    attrs: dict[str, Any],
    params: Parts,
    running: tuple[bool, bool, bool],
) -> list[str]:
    sequences, states, _ = running
    if not states:
        return [net.add(kind, name, inputs, {**attrs, "returns": "sequence" if sequences else "last"}, params)]
    u = params["kernel"].shape[1] // _LAYERS[kind].gates
    every = net.add(kind, name, inputs, {**attrs, "returns": "states"}, params)
    steps = net.shape(every)[-2]
    final = state_tensors(net, name, every, u, last_step=steps - 1)
    return [sequence_tensor(net, f"{name}_sequence", every, u) if sequences else final[0], *final]


@imports("keras", *_KERAS)
def _keras_recurrent(record: Record, net: NetworkBuilder) -> str | list[str]:
    """`SimpleRNN`, `LSTM`, `GRU`; an initial state comes as further inputs."""
    config = {key: record.take(key) for key in _KERAS_CELL if record.has(key)}
    running = _keras_running(record)
    names = ["kernel", "recurrent_kernel", *(["bias"] if config.get("use_bias", True) else [])]
    attrs, params = keras_cell(record, config, _KERAS[record.kind], keras_arrays(record, *names))
    zero = bool(record.expect("zero_output_for_mask", False, True))
    outputs = keras_run(net, record.name, record.inputs, _KERAS[record.kind], attrs, params, running, zero=zero)
    return outputs[0] if len(outputs) == 1 else outputs


MERGES = {"concat": "concat", "sum": "add", "mul": "mul", "ave": "add", None: ""}


@imports("keras", "Bidirectional")
def _keras_bidirectional(record: Record, net: NetworkBuilder) -> str | list[str]:
    """A recurrent layer forwards and one backwards, whose sequence is put in order, merged."""
    from hardwire.layers import qkeras_bidirectional as qkeras

    mode = record.expect("merge_mode", *MERGES)
    record.ignore("input_dim", "input_length")
    forward, backward = record.take("layer"), record.take("backward_layer", None)
    if isinstance(forward, dict) and forward.get("class_name") in qkeras.INNER:
        return qkeras.both_ways(record, net, mode, forward, backward)
    mirrored = forward if backward is None else backward
    if len(record.inputs) != 1:
        raise UnsupportedError(f"layer {record.name!r} (Bidirectional): an initial state is not supported")
    sides: list[list[str]] = []
    for side, spec in (("forward", forward), ("backward", mirrored)):
        kind = spec.get("class_name") if isinstance(spec, dict) else None
        if kind not in _KERAS or not isinstance(spec.get("config"), dict):
            raise record.unsupported("layer", kind, f"only {', '.join(_KERAS)} are supported")
        config = {
            key: value
            for key, value in spec["config"].items()
            if not key.endswith(("_initializer", "_regularizer", "_constraint"))
        }
        inner = Record(f"{record.name}/{side}", kind, record.inputs, config, {}, record.versions)
        inner.ignore("name", "trainable", "dtype", "batch_input_shape", "batch_shape")
        settings = {key: inner.take(key) for key in _KERAS_CELL if inner.has(key)}
        sequences, states, backwards = _keras_running(inner)
        inner.ignore("zero_output_for_mask")  # as it returns sequences or not, whatever it says
        inner.finish()
        if side == "backward":
            backwards = not backwards if backward is None else backwards
        names = ["kernel", "recurrent_kernel", *(["bias"] if settings.get("use_bias", True) else [])]
        # HDF5 of Keras 3 names a backward layer of the user's own by its own name.
        prefix = side if any(key.startswith(side) for key in record.array_keys()) else ""
        arrays = keras_arrays(record, *names, prefix=prefix)
        attrs, params = keras_cell(inner, settings, _KERAS[kind], arrays)
        sides.append(
            keras_run(
                net,
                f"{record.name}_{side}",
                record.inputs,
                _KERAS[kind],
                attrs,
                params,
                (sequences, states, backwards),
                zero=sequences,
            )
        )
        if side == "backward" and sequences:
            sides[-1][0] = in_order(record, net, sides[-1][0])
    return merged_sides(record, net, mode, sides)


def in_order(record: Record, net: NetworkBuilder, sequence: str) -> str:
    """The sequence of a backward layer, its first step first."""
    axis = len(net.shape(sequence)) - 2
    order = tuple(reversed(range(net.shape(sequence)[axis])))
    return net.add("take", f"{record.name}_in_order", [sequence], {"axis": axis, "indices": order})


def merged_sides(
    record: Record, net: NetworkBuilder, mode: str | None, sides: Sequence[Sequence[str]]
) -> str | list[str]:
    """Merge the outputs of a forward and a backward layer by a key of `MERGES`; states follow."""
    rest = [*sides[0][1:], *sides[1][1:]]
    pair = [sides[0][0], sides[1][0]]
    if mode is None:
        return [*pair, *rest]
    attrs = {"axis": len(net.shape(pair[0])) - 1} if mode == "concat" else {}
    merged = net.add(MERGES[mode], record.name, pair, attrs)
    if mode == "ave":
        merged = net.add("mul", f"{record.name}_average", [merged], {}, {"constant": np.float64(0.5)})
    return [merged, *rest] if rest else merged
