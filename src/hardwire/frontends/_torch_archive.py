"""The `.pt2` archive of `torch.export.save`: a JSON graph and raw tensors, read without PyTorch and without pickle.

Layout (PyTorch ≥ 2.8): `<root>/models/model.json`, tensors as raw little-endian bytes in `data/weights/` and
`data/constants/`, described by `*_config.json` beside them. PyTorch 2.6 and 2.7 wrote
`serialized_exported_program.json` and pickled tensors, which are read by `torch.load(weights_only=True)` alone.
Schema: `torch/_export/serde/schema.py`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import MissingToolError, ModelError, UnsupportedError
from hardwire.frontends._archive import Archive, broken

Arrays = dict[str, NDArray[Any]]

DTYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    12: "bool",
    13: "bfloat16",
    28: "uint16",
    34: "uint32",
    35: "uint64",
}
"""Names by the schema's `ScalarType`; the other types (complex, 8-bit floats) are not read."""

_OLD_GRAPH = "serialized_exported_program.json"
_STRIDED = 7


@dataclass(frozen=True)
class ExportedFile:
    """What an archive holds: the parsed graph module, and all tensors by their name in the signature."""

    module: Mapping[str, Any]
    tensors: Arrays
    torch_version: str


def is_exported(names: list[str]) -> bool:
    """Whether an archive's member names are those of `torch.export.save`."""
    return any(
        name.endswith("/archive_format") or name == _OLD_GRAPH or "/models/" in name or name.endswith("/data.pkl")
        for name in names
    )


def read_exported(archive: Archive) -> ExportedFile:
    """Read graph and tensors; raises `ModelError` for what is missing, damaged or would have to be unpickled."""
    label = archive.label
    if _OLD_GRAPH in archive.names:
        return _read_old(archive)
    graphs = sorted(name for name in archive.names if "/models/" in name and name.endswith(".json"))
    if not graphs:
        if any(name.endswith("/data.pkl") for name in archive.names):
            raise ModelError(
                f"model {label}: the file is a pickle of torch.save or torch.jit, which may run code when it is read",
                hint="save the model with torch.export.save(torch.export.export(model, (x,)), 'model.pt2')",
            )
        raise broken(label, "no models/*.json in the archive")
    if len(graphs) > 1:
        raise UnsupportedError(f"model {label}: the archive holds {len(graphs)} models, one is supported")
    root, _, stem = graphs[0][: -len(".json")].partition("/models/")
    byteorder = f"{root}/byteorder"
    if byteorder in archive.names and archive.read(byteorder, 64).strip() != b"little":
        raise UnsupportedError(f"model {label}: the tensors are big-endian", hint="save it on a little-endian machine")
    program = archive.json(graphs[0])
    tensors: Arrays = {}
    for folder, part in (("weights", "weights"), ("constants", "constants")):
        config = f"{root}/data/{folder}/{stem}_{part}_config.json"
        if config in archive.names:
            tensors.update(_tensors(archive, archive.json(config), f"{root}/data/{folder}"))
    return _exported(program, tensors, label)


def _exported(program: Any, tensors: Arrays, label: str) -> ExportedFile:
    module = program.get("graph_module") if isinstance(program, dict) else None
    graph = module.get("graph") if isinstance(module, dict) else None
    if not isinstance(module, dict) or not isinstance(graph, dict) or not isinstance(module.get("signature"), dict):
        raise broken(label, "the exported program holds no graph and signature")
    return ExportedFile(module, tensors, str(program.get("torch_version", "")))


def _tensors(archive: Archive, config: Any, folder: str) -> Arrays:
    entries = config.get("config") if isinstance(config, dict) else None
    if not isinstance(entries, dict):
        raise broken(archive.label, f"{folder} has no list of tensors")
    found: Arrays = {}
    for name, entry in entries.items():
        try:
            path, pickled, meta = entry["path_name"], entry.get("use_pickle", False), entry["tensor_meta"]
        except (KeyError, TypeError, AttributeError):
            raise broken(archive.label, f"the description of tensor {name!r} is incomplete") from None
        if meta is None:
            continue  # an object of a class of its own; the graph that reads it is refused
        if pickled:
            raise UnsupportedError(
                f"model {archive.label}: tensor {name!r} is pickled, which may run code when it is read",
                hint="save plain tensors: convert quantised or subclassed tensors to float first",
            )
        found[name] = tensor_of(archive.read(f"{folder}/{path}"), meta, name, archive.label)
    return found


def tensor_of(data: bytes, meta: Any, name: str, label: str) -> NDArray[Any]:
    """Return a tensor from its storage's bytes; bfloat16 becomes float32, exactly."""
    try:
        code, layout = meta["dtype"], meta.get("layout", _STRIDED)
        sizes = [item["as_int"] for item in meta["sizes"]]
        strides = [item["as_int"] for item in meta["strides"]]
        offset = meta["storage_offset"]["as_int"]
    except (KeyError, TypeError, AttributeError):
        raise broken(label, f"the description of tensor {name!r} is incomplete") from None
    dtype = DTYPES.get(code)
    if dtype is None or layout != _STRIDED:
        raise UnsupportedError(f"model {label}: tensor {name!r} has a type or layout (code {code}) that is not read")
    numbers = (*sizes, *strides, offset)
    if len(sizes) != len(strides) or any(type(n) is not int or n < 0 for n in numbers):
        raise broken(label, f"tensor {name!r} has sizes {sizes} and strides {strides}")
    stored = np.dtype("<u2" if dtype == "bfloat16" else dtype).newbyteorder("<")
    flat = np.frombuffer(data, stored, len(data) // stored.itemsize)
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    if prod(sizes) and last >= flat.size:
        raise broken(label, f"tensor {name!r} of shape {tuple(sizes)} needs {last + 1} elements, found {flat.size}")
    if prod(sizes) > max(flat.size, 1 << 24):
        raise broken(label, f"tensor {name!r} repeats {flat.size} elements to the shape {tuple(sizes)}")
    if not prod(sizes):
        return np.zeros(sizes, np.float32 if dtype == "bfloat16" else dtype)
    view = np.lib.stride_tricks.as_strided(
        flat[offset:], tuple(sizes), tuple(stride * flat.itemsize for stride in strides), writeable=False
    )
    if dtype == "bfloat16":
        return (view.astype(np.uint32) << 16).view(np.float32)
    return np.array(view, dtype)


def _read_old(archive: Archive) -> ExportedFile:
    program = archive.json(_OLD_GRAPH)
    tensors: Arrays = {}
    for member in ("serialized_state_dict.pt", "serialized_constants.pt"):
        if member in archive.names and (data := archive.read(member)):
            tensors.update(_unpickled(data, member, archive.label))
    return _exported(program, tensors, archive.label)


def _unpickled(data: bytes, member: str, label: str) -> Arrays:
    """Tensors of a `torch.save` file through the unpickler that knows tensors alone."""
    try:
        import torch
    except ImportError:
        raise MissingToolError(
            f"model {label}: reading the files of PyTorch 2.6 and 2.7 needs PyTorch",
            hint="pip install 'hardwire[train]'",
        ) from None
    try:
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        if not isinstance(loaded, dict):
            raise TypeError(f"it holds a {type(loaded).__name__} instead of tensors by name")
        return {str(name): _array(value) for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    except Exception as error:  # the unpickler's many ways to refuse or fail
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ModelError(
            f"model {label}: {member} is damaged or not safe to read: {reason}",
            hint="save the program again with PyTorch 2.8 or later, which needs no pickle",
        ) from None


def _array(tensor: Any) -> NDArray[Any]:
    tensor = tensor.detach().cpu()
    return np.asarray((tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy())
