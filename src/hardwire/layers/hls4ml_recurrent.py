"""hls4ml's LSTM and GRU, to the bit: what is kept in `accum_t` and what in the result's type, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from hardwire.errors import UnsupportedError
from hardwire.layers._base import imports
from hardwire.layers._hls4ml import Layer, Term
from hardwire.layers._hls4ml_types import Fixed
from hardwire.layers.hls4ml_activations import CURVES, by_table
from hardwire.layers.hls4ml_dense import kernel_sums, matrix_config
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

_ONE = Fixed(True, 32, 32)
_GATES = {"lstm": 4, "gru": 3}


class Cell:
    """One direction of a recurrent layer: its config's members, its weights, and the types of input and result."""

    def __init__(
        self,
        record: Record,
        config: Mapping[str, Any],
        weights: Sequence[NDArray[Any]],
        family: str,
        x: Fixed,
        result: Fixed,
    ) -> None:
        self.record, self.config, self.weights, self.family = record, dict(config), weights, family
        self.x, self.result = x, result
        self.inputs, self.units = (self._integer(key) for key in ("n_in", "n_state"))
        accum = self.config.get("accum_t")
        if not isinstance(accum, Fixed):
            raise record.unsupported("accum_t", accum, "expected a fixed-point type")
        self.accum = accum
        self.pytorch = bool(self.config.get("pytorch_order", 0))

    def _integer(self, key: str) -> int:
        value = self.config.get(key)
        if not isinstance(value, int) or value < 1:
            raise self.record.unsupported(key, value, "expected a positive integer")
        return value

    @property
    def state(self) -> int:
        """Elements of the state: h, and for an LSTM the cell state behind it."""
        return self.units * (2 if self.family == "lstm" else 1)

    def network(self) -> Any:
        """Build the Network of one step."""
        net = NetworkBuilder(f"{self.record.name}_cell")
        layer = Layer(self.record, net)
        x = Term(net.input("x", (self.inputs,)), self.x)
        state = Term(net.input("state", (self.state,)), self.result)
        step = self._lstm if self.family == "lstm" else self._gru
        return net.build([step(layer, x, state).tensor])

    def _product(self, layer: Layer, x: Term, number: int) -> Term:
        config = self.config.get(f"mult_config{number}")
        if not isinstance(config, dict):
            raise self.record.unsupported(f"mult_config{number}", config, "expected a config")
        done = matrix_config(layer, {"accum_t": self.accum, **config})
        n_in = self.inputs if number == 1 else self.units
        weights, bias = self.weights[number - 1], self.weights[number + 1]
        n_out = self.units * _GATES[self.family]
        total = kernel_sums(layer, x, weights, bias, done, n_in, n_out)
        return layer.cast(total, self.accum)

    def _activated(self, layer: Layer, x: Term, role: str) -> Term:
        """Apply an activation of the config, into `accum_t`."""
        name = str(self.config.get(role)).rpartition("::")[2]
        key = f"ACT_CONFIG_{self.family.upper()}" if role == "activation_recr" else "ACT_CONFIG_T"
        config = self.config.get(key)
        if not isinstance(config, dict):
            raise self.record.unsupported(key, config, "expected a config")
        if name == "relu":
            return layer.cast(Term(layer.node("relu", "relu", [x.tensor]), x.type), self.accum)
        size, kind = config.get("table_size", 1024), config.get("table_t")
        if name not in CURVES or not isinstance(size, int) or not isinstance(kind, Fixed):
            raise self.record.unsupported(role, name, f"only relu, {', '.join(CURVES)} by tables are supported")
        return layer.cast(by_table(layer, x, name, size, kind), self.accum)

    def _lstm(self, layer: Layer, x: Term, state: Term) -> Term:
        n = self.units
        h, s = layer.taken(state, 0, range(n)), layer.taken(state, 0, range(n, 2 * n))
        total = layer.cast(layer.add(self._product(layer, x, 1), self._product(layer, h, 2)), self.accum)
        gates = self._activated(layer, layer.taken(total, 0, [*range(2 * n), *range(3 * n, 4 * n)]), "activation_recr")
        candidate = self._activated(layer, layer.taken(total, 0, range(2 * n, 3 * n)), "activation")
        i, f, o = (layer.taken(gates, 0, range(k * n, (k + 1) * n)) for k in range(3))
        carry = layer.cast(layer.add(layer.mul(candidate, i), layer.mul(s, f)), self.result)
        out = layer.cast(layer.mul(o, self._activated(layer, carry, "activation")), self.result)
        return Term(layer.node("concat", "next", [out.tensor, carry.tensor], {"axis": 0}), self.result)

    def _gru(self, layer: Layer, x: Term, h: Term) -> Term:
        n = self.units
        own, recurrent = self._product(layer, x, 1), self._product(layer, h, 2)
        both = [layer.taken(part, 0, range(2 * n)) for part in (own, recurrent)]
        gates = self._activated(layer, layer.cast(layer.add(*both), self.accum), "activation_recr")
        first, second = layer.taken(gates, 0, range(n)), layer.taken(gates, 0, range(n, 2 * n))
        update, reset = (second, first) if self.pytorch else (first, second)
        last = range(2 * n, 3 * n)
        kept = layer.cast(layer.mul(reset, layer.taken(recurrent, 0, last)), self.accum)
        total = layer.cast(layer.add(layer.taken(own, 0, last), kept), self.accum)
        candidate = self._activated(layer, total, "activation")
        opposite = layer.shifted(layer.scaled(update, -1.0, Fixed(True, 1, 1)), 1.0, _ONE)
        return layer.cast(layer.add(layer.mul(candidate, opposite), layer.mul(h, update)), self.result)


def _sequence(layer: Layer, steps: int, cell: Cell, *, reverse: bool, all_states: bool, start: Term | None) -> Term:
    """Run a cell over the input, (T, state) or (state,); of the state only h is kept."""
    x = layer.view(layer.inputs[0], (steps, cell.inputs))
    attrs = {
        "cell": cell.network(),
        "input": cell.x.quantiser(),
        "state": cell.result.quantiser(),
        "reverse": reverse,
        "sequence": all_states,
    }
    inputs = [x.tensor, *([] if start is None else [start.tensor])]
    y = Term(layer.node("scan", "reverse" if reverse else "", inputs, attrs), cell.result)
    return layer.taken(y, len(layer.shape(y)) - 1, range(cell.units))


_IGNORED = (
    *("weight_t", "recurrent_weight_t", "bias_t", "recurrent_bias_t", "use_static", "n_out", "n_4state", "n_parts"),
    *("table_size", "table_t", "strategy"),
)


@imports("hls4ml", "lstm_stack", "gru_stack")
def _stack(record: Record, net: NetworkBuilder) -> str:
    """`lstm_stack(data, [h, s,] res, weights, recurrent weights, bias, recurrent bias)`."""
    layer = Layer(record, net)
    record.ignore(*_IGNORED)
    family = record.kind.partition("_")[0]
    steps, steps_out = layer.integer("n_sequence"), layer.integer("n_sequence_out", 1)
    weights = [layer.array(i) for i in range(4)]
    cell = Cell(record, record.rest(), weights, family, layer.inputs[0].type, layer.result)
    start: Term | None = None
    if len(layer.inputs) > 1:
        if len(layer.inputs) != 1 + cell.state // cell.units:
            raise UnsupportedError(f"layer {layer.name!r} ({record.kind}): {len(layer.inputs) - 1} initial states")
        parts = [layer.cast(x, cell.result, "initial") for x in layer.inputs[1:]]
        joined = parts[0].tensor
        if len(parts) > 1:
            joined = layer.node("concat", "initial", [part.tensor for part in parts], {"axis": 0})
        start = Term(joined, cell.result)
    y = _sequence(layer, steps, cell, reverse=False, all_states=steps_out > 1, start=start)
    return layer.assign(y)


@imports("hls4ml", "bidirectional_stack")
def _bidirectional(record: Record, net: NetworkBuilder) -> str:
    """Both directions' states side by side; without sequences each direction's last one."""
    layer = Layer(record, net)
    record.ignore(*_IGNORED)
    steps, steps_out = layer.integer("n_sequence"), layer.integer("n_sequence_out", 1)
    layer.integer("n_in")
    record.ignore("pytorch_order")
    weights = [layer.array(i) for i in range(8)]
    parts = []
    for number, (key, name) in enumerate((("FORWARD_CONFIG", "forward"), ("BACKWARD_CONFIG", "backward"))):
        config, function = record.take(key), str(record.take(f"RNNfunc_{name}"))
        family = function.rpartition("::")[2].partition("_")[0]
        if not isinstance(config, dict) or family not in _GATES:
            raise record.unsupported(f"RNNfunc_{name}", function, "only lstm_class and gru_class are supported")
        own = weights[4 * number : 4 * number + 4]
        cell = Cell(record, config, own, family, layer.inputs[0].type, layer.result)
        parts.append(_sequence(layer, steps, cell, reverse=number == 1, all_states=steps_out > 1, start=None))
    axis = len(layer.shape(parts[0])) - 1
    joined = layer.node("concat", "both", [part.tensor for part in parts], {"axis": axis})
    return layer.assign(Term(joined, layer.result))
