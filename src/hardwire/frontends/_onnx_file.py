"""Reading ONNX files: bytes to a checked `ModelProto`, tensors to numpy arrays, external data inside the folder only.

Nothing of the file is executed. A tensor's declared size is checked before anything is allocated for it.
"""

from __future__ import annotations

import hashlib
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import MissingToolError, ModelError, UnsupportedError

MAX_FILE = 1 << 30
"""Largest file, in bytes."""

MAX_NODES = 100_000
"""Most nodes of a graph."""

MAX_ELEMENTS = 1 << 28
"""Most elements of one constant."""

OPSETS = (7, 25)
"""Oldest and newest version of the standard operators whose meaning is implemented."""

_HINT = "export the model again, or check it with onnx.checker.check_model"


def onnx_package(what: str) -> ModuleType:
    """Import `onnx`; raises `MissingToolError` that says how to install it."""
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise MissingToolError(
            f"{what}: reading ONNX needs the package 'onnx', which is not installed ({error})",
            hint="pip install 'hardwire[onnx]'",
        ) from None
    module: ModuleType = onnx
    return module


def read_file(path: Path) -> tuple[Any, str]:
    """Return the parsed `ModelProto` of a file and the sha256 of its bytes."""
    what = f"model {str(path)!r}"
    onnx = onnx_package(what)
    size = path.stat().st_size
    if size > MAX_FILE:
        raise ModelError(f"{what}: {size} bytes; files of more than {MAX_FILE} are not read")
    data = path.read_bytes()
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError is no public name of all its implementations
        raise ModelError(f"{what}: not a whole ONNX file ({error})", hint=_HINT) from None
    check(model, what)
    return model, hashlib.sha256(data).hexdigest()


def live_digest(model: Any) -> str:
    """Return the sha256 of a live `ModelProto`."""
    try:
        data = model.SerializeToString(deterministic=True)
    except Exception as error:
        raise ModelError(f"the ONNX model cannot be serialised ({error})", hint=_HINT) from None
    return hashlib.sha256(data).hexdigest()


def check(model: Any, what: str) -> None:
    """Raise `ModelError` for a file that parses but holds no model, or more than the limits allow."""
    if not model.HasField("graph") or not model.graph.node or not model.graph.output or not model.opset_import:
        raise ModelError(f"{what}: no graph with nodes and outputs in it; truncated, or not an ONNX file", hint=_HINT)
    if len(model.graph.node) > MAX_NODES:
        raise ModelError(f"{what}: {len(model.graph.node)} nodes; at most {MAX_NODES} are read")
    if model.graph.sparse_initializer:
        name = model.graph.sparse_initializer[0].values.name
        raise UnsupportedError(f"{what}: initialiser {name!r} is sparse", hint="store it as a dense tensor")


def opset_of(model: Any, what: str) -> int:
    """Version of the standard operators; raises `UnsupportedError` outside of `OPSETS`."""
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    # A model of custom operators alone need not import the standard ones.
    version = int(versions[0]) if versions else OPSETS[1]
    if not OPSETS[0] <= version <= OPSETS[1]:
        raise UnsupportedError(
            f"{what}: opset {version}; versions {OPSETS[0]} to {OPSETS[1]} are understood",
            hint="onnx.version_converter.convert_version(model, 17), or another opset_version at export",
        )
    return version


def tensor(proto: Any, folder: Path | None, what: str) -> NDArray[Any]:
    """Return a `TensorProto` as an array; 4-bit and bfloat16 elements as int8 and float32.

    `folder`: where external data may lie; None refuses it. Raises `ModelError` naming `what`.
    """
    onnx = onnx_package(what)
    shape = tuple(int(dim) for dim in proto.dims)
    if any(dim < 0 for dim in shape) or prod(shape) > MAX_ELEMENTS:
        raise ModelError(f"{what}: a shape of {shape}; at most {MAX_ELEMENTS} elements are read", hint=_HINT)
    if proto.data_type in (0, onnx.TensorProto.STRING):
        raise UnsupportedError(f"{what}: holds no numbers (ONNX data type {proto.data_type})")
    if proto.data_location == onnx.TensorProto.EXTERNAL:
        proto = _with_external(onnx, proto, folder, what)
    try:
        array = np.asarray(onnx.numpy_helper.to_array(proto))
    except Exception as error:  # numpy, protobuf and onnx raise many kinds for a corrupted tensor
        raise ModelError(f"{what}: its data does not fit its type and shape {shape} ({error})", hint=_HINT) from None
    if array.shape != shape:
        raise ModelError(f"{what}: its data does not fit its shape {shape}", hint=_HINT)
    return plain(array, what)


def plain(array: NDArray[Any], what: str) -> NDArray[Any]:
    """Return an array in one of numpy's own types."""
    name = array.dtype.name
    if name in ("int4", "int2"):
        return array.astype(np.int8)
    if name in ("uint4", "uint2"):
        return array.astype(np.uint8)
    if name == "bfloat16":
        return array.astype(np.float32)
    if array.dtype.kind not in "fiub":
        raise UnsupportedError(f"{what}: holds {name}, which has no fixed-point value")
    return array


def _with_external(onnx: ModuleType, proto: Any, folder: Path | None, what: str) -> Any:
    """Return a copy of the tensor with its bytes inside; they must lie in a file in the model's own folder."""
    entries = {entry.key: entry.value for entry in proto.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise UnsupportedError(
            f"{what}: its data lies in the file {location!r}, but a model in memory has no folder",
            hint="load the model from its file, or onnx.load_external_data_for_model first",
        )
    root = folder.resolve()
    path = (root / location).resolve()
    if not location or Path(location).is_absolute() or ".." in Path(location).parts or not path.is_relative_to(root):
        raise ModelError(
            f"{what}: its data lies in {location!r}, outside of the model's folder; such files are not read",
            hint="save the model with all its data in one file (save_as_external_data=False)",
        )
    if not path.is_file():
        raise ModelError(f"{what}: its data file {location!r} is not beside the model", hint="copy it there")
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", -1))
    except ValueError:
        raise ModelError(f"{what}: external data with offset or length that is no number", hint=_HINT) from None
    size = path.stat().st_size
    length = size - offset if length < 0 else length
    if offset < 0 or offset + length > size or length > MAX_FILE:
        raise ModelError(f"{what}: bytes {offset} to {offset + length} of {location!r}, which has {size}", hint=_HINT)
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(length)
    copy = onnx.TensorProto()
    copy.CopyFrom(proto)
    copy.data_location = onnx.TensorProto.DEFAULT
    del copy.external_data[:]
    copy.raw_data = data
    return copy
