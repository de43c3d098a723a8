"""Spiking layers of HGQ2 (`QSimpleSNN`, `QLIF`), read from the file: integrate, compare, fire, reset, step by step.

What they add to a step is a comparison and a few additions an element, so that the steps are plain nodes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.layers._hgq import Spec, own_variables, quantised, rules, spec_of, weights
from hardwire.layers.slicing import take
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

_TRAINED = {"beta": "learn_beta", "threshold": "learn_threshold", "graded_spikes_factor": "learn_graded_spikes_factor"}
"""The cell's variables in Keras' order, and what makes each a trained one, which come first."""


@rules("QSimpleSNN", "QLIF")
def _spiking(record: Record, net: NetworkBuilder) -> str:
    """`m = beta · m + iq(x)`, a spike where `m > threshold`, then the threshold off the membrane `m`, or zero.

    The output is `oq(spike · factor)`; `m` goes through `sq`. Without leak (`QSimpleSNN`) beta is one.
    """
    leaks = record.kind.endswith("QLIF")
    if len(record.inputs) != 1 or len(net.shape(record.inputs[0])) != 2:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): one input (time, features) is expected")
    record.ignore("spike_grad", "surrogate_disable", "detach_reset", "beta0", "ebops_factor", "parallelization_factor")
    record.ignore("cell", "unroll", "seed", "zero_output_for_mask")
    for attr in ("inhibition", "return_state", "stateful"):
        record.expect(attr, False)
    values = _values(record, leaks)
    steps, units = net.shape(record.inputs[0])
    if record.take("units") != units:
        raise ModelError(f"layer {record.name!r} ({record.kind}): the input has {units} features, a unit each")
    conf = {place: _rule(record, place) for place in ("iq", "sq", "oq")}
    reset = record.expect("reset_mechanism", "subtract", "zero", "none")
    x = quantised(record, net, record.inputs[0], conf["iq"], f"{record.name}_iq", rank=1)
    backwards, sequence = bool(record.take("go_backwards", False)), bool(record.take("return_sequences", False))
    membrane, spikes = None, []
    for n, step in enumerate(range(steps)[:: -1 if backwards else 1]):
        name = f"{record.name}_{n}"
        now = net.add("reshape", f"{name}_x", [take(net, f"{name}_in", x, 0, [step])], {"shape": (units,)})
        if membrane is not None:
            if leaks:
                membrane = net.add("mul", f"{name}_leak", [membrane], {}, {"constant": values["beta"]})
            now = net.add("add", f"{name}_membrane", [membrane, now])
        fires = net.add("compare", f"{name}_fires", [now], {"relation": "greater"}, {"constant": values["threshold"]})
        out = net.add("mul", f"{name}_spike", [fires], {}, {"constant": values["graded_spikes_factor"]})
        spikes.append(quantised(record, net, out, conf["oq"], f"{name}_oq", rank=1))
        if reset == "subtract":
            lost = net.add("mul", f"{name}_lost", [fires], {}, {"constant": values["threshold"]})
            now = net.add("sub", f"{name}_reset", [now, lost])
        elif reset == "zero":
            zero = net.add("mul", f"{name}_none", [now], {}, {"constant": np.float64(0.0)})
            now = net.add("where", f"{name}_reset", [fires, zero, now])
        membrane = quantised(record, net, now, conf["sq"], f"{name}_sq", rank=1)
    if not sequence:
        return spikes[-1]
    rows = [net.add("reshape", f"{s}_row", [s], {"shape": (1, units)}) for s in spikes]
    return net.add("concat", record.name, rows, {"axis": 0})


def _rule(record: Record, place: str) -> Spec | None:
    """Quantiser of the cell at `place`, None where it is switched off."""
    config, enabled = record.take(f"{place}_conf", None), record.take(f"enable_{place}", place != "oq")
    rule = spec_of(record, config, f"{place}_conf", f"cell/{place}", f"*_{place}")
    return rule if enabled else None


def _values(record: Record, leaks: bool) -> dict[str, NDArray[np.float64]]:
    """The cell's numbers: leak and spike factor through their quantisers, the threshold as it is."""
    rules_of = {"graded_spikes_factor": "graded_spikes_factor_q", **({"beta": "beta_q"} if leaks else {})}
    found = {
        name: spec_of(record, record.take(f"{place}_conf", None), f"{place}_conf", f"cell/{place}", f"*_{place}")
        for name, place in rules_of.items()
    }
    own_variables(record, "beta", "ebops")
    names = [name for name in _TRAINED if leaks or name != "beta"]
    learnt = {name: bool(record.take(_TRAINED[name], False)) for name in names}
    values = {}
    for n, name in enumerate(sorted(names, key=lambda name: not learnt[name])):
        keys = [key for key in record.array_keys() if key == f"cell/{n}" or key.endswith(f"/{name}")]
        if not keys:
            raise ModelError(f"layer {record.name!r} ({record.kind}): variable {name!r} is not in the file")
        values[name] = weights(record, record.array(keys[0]), found.get(name))
    record.ignore(*names)
    return values
