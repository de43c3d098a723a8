"""Indexing of tensors in Keras functional models: `x[:, 2:5, ..., None, -1]`, as slices and reshapes."""

from __future__ import annotations

from typing import Any

from hardwire.layers import _keras as keras
from hardwire.layers._base import imports
from hardwire.layers.slicing import take
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record


@imports("keras", "ops.GetItem")
def _keras_get_item(record: Record, net: NetworkBuilder) -> str:
    """`x[key]`: slices, integers, new axes and an ellipsis; the batch axis is kept whole."""
    x, key = keras.single(record), record.take("key")
    items = list(key) if isinstance(key, list | tuple) else [key]
    kinds = [_kind(record, item, key) for item in items]
    rank = len(net.shape(x)) + 1
    named = sum(kind in ("slice", "integer") for kind in kinds)
    if named > rank or kinds.count("ellipsis") > 1:
        raise record.unsupported("key", key, f"an index of a tensor of {rank} axes with the batch is expected")
    if "ellipsis" not in kinds:
        kinds.append("ellipsis")
        items.append(None)
    middle = kinds.index("ellipsis")
    whole = {"class_name": "__slice__", "config": {"start": None, "stop": None, "step": None}}
    kinds[middle : middle + 1] = ["slice"] * (rank - named)
    items[middle : middle + 1] = [whole] * (rank - named)
    batch = _bounds(record, items[0], key) if kinds[0] == "slice" else (-1, None, None)
    if batch[0] not in (None, 0) or batch[1] is not None or batch[2] not in (None, 1):
        raise record.unsupported("key", key, "the batch axis must be kept whole (x[:, ...])")
    shape: list[int] = []
    axis = 0
    for kind, item in zip(kinds[1:], items[1:], strict=True):
        if kind == "new":
            shape.append(1)
            continue
        size = net.shape(x)[axis]
        if kind == "integer":
            if not -size <= item < size:
                raise record.unsupported("key", key, f"axis {axis + 1} has {size} elements")
            chosen = [item % size]
        else:
            chosen = list(range(size))[slice(*_bounds(record, item, key))]
            shape.append(len(chosen))
        if not chosen:
            raise record.unsupported("key", key, f"nothing is left of axis {axis + 1}")
        if chosen != list(range(size)):
            x = take(net, f"{record.name}_axis{axis + 1}", x, axis, chosen)
        axis += 1
    return net.add("reshape", record.name, [x], {"shape": tuple(shape)})


def _kind(record: Record, item: Any, key: Any) -> str:
    if item is None:
        return "new"
    if isinstance(item, int) and not isinstance(item, bool):
        return "integer"
    name = item.get("class_name") if isinstance(item, dict) else None
    if name in ("__slice__", "__ellipsis__"):
        return {"__slice__": "slice", "__ellipsis__": "ellipsis"}[name]
    raise record.unsupported("key", key, "only slices, integers, new axes and '...' are supported")


def _bounds(record: Record, item: Any, key: Any) -> tuple[int | None, int | None, int | None]:
    config = item["config"]
    start, stop, step = (config.get(name) for name in ("start", "stop", "step"))
    if any(bound is not None and type(bound) is not int for bound in (start, stop, step)):
        raise record.unsupported("key", key, "bounds of slices must be integers")
    return start, stop, step
