"""Recurrent layers of HGQ2 (`QSimpleRNN`, `QGRU`), read from the file: one kernel, applied once a time step.

Quantisers lie within the cell: of the input, the state that a step reads, both kernels, the bias, and of what goes
through the activations. With their defaults, hard tanh and hard sigmoid are nothing but saturating quantisers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError
from hardwire.layers import _keras as keras
from hardwire.layers._cell import Chain
from hardwire.layers._hgq import Spec, own_variables, quantised, rules, spec_of, weights
from hardwire.layers.recurrent import Parts, chain_of, keras_run
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser


class _Cell:
    """What a layer's types and functions are, while they are taken from its record."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.types: dict[str, Quantiser] = {}
        self.maps: dict[str, tuple[float, float]] = {}

    def rule(self, place: str) -> Spec | None:
        """Quantiser of the cell at `place` (`iq`, `kq`, …)."""
        config = self.record.take(f"{place}_conf", None)
        # In HDF5 by layer names a folder is called `kq`, or has the cell's name before it.
        plain = any(f"/{place}/" in f"/{key}" for key in self.record.array_keys())
        return spec_of(self.record, config, f"{place}_conf", f"cell/{place}", place if plain else f"*_{place}")

    def typed(self, place: str, tensor: str) -> None:
        """Let a quantiser be the type of a tensor inside the cell."""
        rule = self.rule(place)
        if rule is None:
            return
        if rule.q_type != "dummy":
            self.types[tensor] = rule.quantiser(self.record, 1)
        if rule.affine is not None:
            self.maps[tensor] = rule.affine

    def weights(self, arrays: Parts, name: str, place: str) -> NDArray[np.float64]:
        """Quantised weights, without those of a quantiser that is not there."""
        return weights(self.record, arrays[name], self.rule(place))

    def function(self, attr: str) -> Chain:
        """Activation as a chain of element-wise nodes."""
        scratch = NetworkBuilder("scratch")
        spec = self.record.take(attr, "linear")
        keras.activated(self.record, scratch, scratch.input("x", (1,)), spec)
        return chain_of(scratch, self.record, attr)


@rules("QSimpleRNN")
def _simple_rnn(record: Record, net: NetworkBuilder) -> str | list[str]:
    """`h' = activation(paq(iq(x) · kq(W) + bq(b) + sq(h) · rkq(U)))`."""
    cell, x, _, arrays = _opened(record, net, 1)
    cell.typed("sq", "state_in")
    cell.typed("paq", "sums")
    params = {"kernel": _kernels(cell, arrays)}
    if "bias" in arrays:
        params["bias"] = cell.weights(arrays, "bias", "bq")
    record.ignore("enable_sq", "bq_conf")
    attrs = {"activation": cell.function("activation"), "types": cell.types, "maps": cell.maps}
    return _run(record, net, x, "rnn", attrs, params)


@rules("QGRU")
def _gru(record: Record, net: NetworkBuilder) -> str | list[str]:
    """`h' = z · sq(h) + (1 - z) · n`, z and r through `praq(recurrent_activation)`, n through `paq(activation)`.

    With `reset_after`, n is of `x · W + r · rhq(h · U + b)`, else of `x · W + rhq(r · h) · U`.
    """
    cell, x, units, arrays = _opened(record, net, 3)
    after = bool(record.take("reset_after", True))
    for place, tensor in (("sq", "state_in"), ("praq", "gates"), ("paq", "candidate")):
        cell.typed(place, tensor)
    cell.typed("rhq", "inner" if after else "reset")
    params = {"kernel": _kernels(cell, arrays)}
    if "bias" in arrays:
        bias = cell.weights(arrays, "bias", "bq")
        if bias.shape != ((2, 3 * units) if after else (3 * units,)):
            raise record.unsupported("reset_after", after, f"the bias in the file has the shape {bias.shape}")
        if after:
            params["recurrent_bias"] = bias[1, 2 * units :]
            bias = bias[0] + np.concatenate([bias[1, : 2 * units], np.zeros(units)])
        params["bias"] = bias
    record.ignore("bq_conf")
    attrs = {
        "activation": cell.function("activation"),
        "recurrent_activation": cell.function("recurrent_activation"),
        "reset_after": after,
        "types": cell.types,
        "maps": cell.maps,
    }
    return _run(record, net, x, "gru", attrs, params)


def _opened(record: Record, net: NetworkBuilder, gates: int) -> tuple[_Cell, str, int, Parts]:
    """Take what both layers have; returns the cell, the quantised input, the units and the raw weights."""
    cell = _Cell(record)
    units, enabled = record.take("units"), record.take("enable_iq", True)
    x = record.inputs[0]
    rule = cell.rule("iq")
    if rule is not None and enabled:
        # The cell's quantiser sees one time step.
        x = quantised(record, net, x, rule, f"{record.name}_iq", rank=1)
    if record.take("enable_oq", False):
        raise record.unsupported("enable_oq", True, "HGQ2 itself fails on it")
    record.take("oq_conf", None)
    own_variables(record, "beta", "ebops")
    record.ignore("beta0", "ebops_factor", "parallelization_factor", "cell", "standalone")
    names = ["kernel", "recurrent_kernel", *(["bias"] if record.take("use_bias", True) else [])]
    arrays = {}
    for n, name in enumerate(names):
        keys = [key for key in record.array_keys() if key == f"cell/{n}" or key.rpartition("/")[2] == name]
        if not keys:
            raise ModelError(f"layer {record.name!r} ({record.kind}): parameter {name!r} is not in the file")
        arrays[name] = record.array(keys[0])
    shapes = arrays["kernel"].shape, arrays["recurrent_kernel"].shape
    if len(shapes[0]) != 2 or shapes[0][1] != gates * units or shapes[1] != (units, gates * units):
        raise record.unsupported("units", units, f"the kernels in the file have the shapes {shapes[0]} and {shapes[1]}")
    return cell, x, units, arrays


def _kernels(cell: _Cell, arrays: Parts) -> NDArray[np.float64]:
    """Both kernels, the one of the input above that of the state."""
    return np.concatenate([cell.weights(arrays, "kernel", "kq"), cell.weights(arrays, "recurrent_kernel", "rkq")])


def _run(
    record: Record, net: NetworkBuilder, x: str, kind: str, attrs: dict[str, Any], params: Parts
) -> str | list[str]:
    record.expect("stateful", False)
    record.expect("zero_output_for_mask", False, True)  # matters with a mask only
    record.ignore("dropout", "recurrent_dropout", "unroll", "implementation", "seed", "use_cudnn")
    sequences, states, backwards = (
        bool(record.take(attr, False)) for attr in ("return_sequences", "return_state", "go_backwards")
    )
    outputs = keras_run(net, record.name, (x, *record.inputs[1:]), kind, attrs, params, (sequences, states, backwards))
    return outputs[0] if len(outputs) == 1 else outputs
