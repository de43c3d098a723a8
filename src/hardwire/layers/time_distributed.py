"""Keras `TimeDistributed`: a layer applied at every time step is the same layer on a tensor of higher rank.

That holds for layers that leave leading axes alone; a layer that counts axes from the batch is refused by name.
"""

from __future__ import annotations

from hardwire.layers._base import imports
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

_INNER = ("Dense", "Activation", "ReLU", "LeakyReLU", "ELU", "Dropout", "SimpleRNN", "LSTM", "GRU", "Embedding")
"""Layers that act on the last axes, whatever stands in front of them."""


@imports("keras", "TimeDistributed")
def _keras_time_distributed(record: Record, net: NetworkBuilder) -> str | list[str]:
    """Hand the inner layer's settings and arrays to its own rule."""
    from hardwire.layers import import_rule

    spec = record.take("layer")
    kind = spec.get("class_name") if isinstance(spec, dict) else None
    rule = import_rule("keras", kind) if kind in _INNER else None
    if rule is None or not isinstance(spec.get("config"), dict):
        raise record.unsupported("layer", kind, f"only {', '.join(_INNER)} are supported within it")
    config = {
        key: value
        for key, value in spec["config"].items()
        if not key.endswith(("_initializer", "_regularizer", "_constraint"))
    }
    arrays = {}
    for key in record.array_keys():
        # `layer/0` in a `.keras` file; HDF5 has the inner layer's name in front, or nothing.
        head, _, rest = key.partition("/")
        arrays[rest if rest and head in ("layer", config.get("name")) else key] = record.array(key)
    inner = Record(record.name, str(kind), record.inputs, config, arrays, record.versions)
    inner.ignore("name", "trainable", "dtype", "batch_input_shape", "batch_shape")
    record.ignore("input_shape")
    result = rule(inner, net)
    inner.finish()
    return result
