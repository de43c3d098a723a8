"""Networks on disk: one `.npz` of plain arrays plus a JSON member; nothing in it is ever executed.

Attributes are JSON with a tag where JSON has no word: tuples, exact fractions, arrays, enumerations of `fixed`, and the
records (dataclasses) of hardwire's own layer files, whose fields are stored in the same way.
"""

from __future__ import annotations

import base64
import importlib
import json
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hardwire.layers
from hardwire import fixed, quantiser
from hardwire.errors import HardwireError, ModelError
from hardwire.ir.storage import read_archive, write_archive
from hardwire.network.graph import Network, Node

FORMAT = 1


def save_network(network: Network, path: Path) -> None:
    """Write a Network to `path`; equal Networks give equal bytes.

    Raises `TypeError` for an attribute of no known kind.
    """
    arrays: dict[str, NDArray[Any]] = {}

    def keep(value: NDArray[Any]) -> int:
        arrays[str(len(arrays))] = value
        return len(arrays) - 1

    write_archive(path, "network.json", {"format": FORMAT, **_plain(network, keep)}, arrays)


def load_network(path: Path) -> Network:
    """Read what `save_network` wrote; raises `ModelError` for a file that is no Network of this version."""
    meta, arrays = read_archive(path, "network.json", "Network", FORMAT)
    try:
        return _network(meta, arrays)
    except HardwireError:
        raise
    except Exception as error:  # a damaged file makes any of these lines raise
        raise ModelError(f"{path}: not a saved Network ({error})", hint="compile the model again") from error


def node_text(node: Node) -> str:
    """Return one node as text, its arrays in base 64; equal nodes give equal text.

    Raises `TypeError` for an attribute of no known kind.
    """
    arrays: list[dict[str, Any]] = []

    def keep(value: NDArray[Any]) -> int:
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        arrays.append({"type": value.dtype.str, "shape": list(value.shape), "data": data})
        return len(arrays) - 1

    return json.dumps({"format": FORMAT, "node": _plain_node(node, keep), "arrays": arrays}, sort_keys=True)


def node_from_text(text: str) -> Node:
    """Read what `node_text` wrote; raises `ModelError` for anything else."""
    try:
        meta = json.loads(text)
        if meta["format"] != FORMAT:
            raise ModelError(f"a node of format {meta['format']}; this version reads {FORMAT}")
        arrays = {
            str(k): np.frombuffer(base64.b64decode(a["data"]), np.dtype(a["type"])).reshape(a["shape"])
            for k, a in enumerate(meta["arrays"])
        }
        return _node(meta["node"], arrays)
    except HardwireError:
        raise
    except Exception as error:  # damaged text makes any of these lines raise
        raise ModelError(f"not a saved node ({error})", hint="export the model again") from error


def _plain(network: Network, keep: Callable[[NDArray[Any]], int]) -> dict[str, Any]:
    return {
        "name": network.name,
        "inputs": network.inputs,
        "outputs": network.outputs,
        "shapes": {name: list(shape) for name, shape in network.shapes.items()},
        "source": _encoded(dict(network.source), keep),
        "nodes": [_plain_node(node, keep) for node in network.nodes],
    }


def _plain_node(node: Node, keep: Callable[[NDArray[Any]], int]) -> dict[str, Any]:
    return {
        "kind": node.kind,
        "name": node.name,
        "inputs": node.inputs,
        "outputs": node.outputs,
        "attrs": _encoded(dict(node.attrs), keep),
        "params": {key: keep(np.asarray(value)) for key, value in node.params.items()},
    }


def _network(meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Network:
    nodes = [_node(node, arrays) for node in meta["nodes"]]
    shapes = {name: tuple(shape) for name, shape in meta["shapes"].items()}
    source = _decoded(meta["source"], arrays)
    return Network(meta["name"], tuple(meta["inputs"]), tuple(meta["outputs"]), tuple(nodes), shapes, source)


def _node(meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Node:
    return Node(
        meta["kind"],
        meta["name"],
        tuple(meta["inputs"]),
        tuple(meta["outputs"]),
        _decoded(meta["attrs"], arrays),
        {key: arrays[str(k)] for key, k in meta["params"].items()},
    )


def _encoded(value: Any, keep: Callable[[NDArray[Any]], int]) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Enum):
        return {"enum": type(value).__name__, "member": value.name}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, Fraction):
        return {"fraction": str(value)}
    if isinstance(value, tuple):
        return {"tuple": [_encoded(item, keep) for item in value]}
    if isinstance(value, list):
        return [_encoded(item, keep) for item in value]
    if isinstance(value, Mapping):
        return {"dict": [[_encoded(key, keep), _encoded(item, keep)] for key, item in value.items()]}
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return {"objects": [_encoded(item, keep) for item in value.ravel().tolist()], "shape": list(value.shape)}
        return {"array": keep(value)}
    if isinstance(value, Network):  # the cell of a recurrence
        return {"network": _plain(value, keep)}
    if is_dataclass(value) and type(value).__name__ in _records():
        items = {field.name: _encoded(getattr(value, field.name), keep) for field in fields(value)}
        return {"record": type(value).__name__, "fields": items}
    raise TypeError(f"an attribute of type {type(value).__name__} cannot be stored")


def _decoded(value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if isinstance(value, list):
        return [_decoded(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"enum": name, "member": member}:
            return _enums()[name][member]
        case {"float": text}:
            return float.fromhex(text)
        case {"fraction": text}:
            return Fraction(text)
        case {"tuple": items}:
            return tuple(_decoded(item, arrays) for item in items)
        case {"dict": items}:
            return {_decoded(key, arrays): _decoded(item, arrays) for key, item in items}
        case {"objects": items, "shape": shape}:
            flat = np.empty(len(items), object)
            flat[:] = [_decoded(item, arrays) for item in items]
            return flat.reshape(shape)
        case {"network": inner}:
            return _network(inner, arrays)
        case {"array": k}:
            return arrays[str(k)]
        case {"record": name, "fields": items}:
            return _records()[name](**{key: _decoded(item, arrays) for key, item in items.items()})
    raise ModelError(f"an attribute with the tags {sorted(value)} is not understood")


@cache
def _records() -> dict[str, type]:
    """The dataclasses that an attribute may be, by name: the quantiser and those of the layer files."""
    names = [info.name for info in pkgutil.iter_modules(hardwire.layers.__path__)]
    modules = [quantiser, fixed, *(importlib.import_module(f"hardwire.layers.{name}") for name in sorted(names))]
    found: dict[str, type] = {}
    for module in modules:
        for name, value in vars(module).items():
            if isinstance(value, type) and is_dataclass(value) and value.__module__ == module.__name__:
                # Two of one name are both left out: a file could not tell them apart.
                found[name] = found.get(name, value) if found.get(name, value) is value else object
    return {name: kind for name, kind in found.items() if is_dataclass(kind)}


@cache
def _enums() -> dict[str, Any]:
    return {name: value for name, value in vars(fixed).items() if isinstance(value, type) and issubclass(value, Enum)}
