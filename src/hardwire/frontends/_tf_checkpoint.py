"""TensorFlow checkpoints (`variables.index` and `variables.data-…`): arrays by key, and the objects that they are of.

The index is a table in the format of LevelDB (doc/table_format.md) from keys to `BundleEntryProto`, the data files
hold the arrays' bytes. The entry `_CHECKPOINTABLE_OBJECT_GRAPH` is a `TrackableObjectGraph`: objects with named
children, and variables with their names in the model (tensorflow/core/protobuf/tensor_bundle.proto,
trackable_object_graph.proto).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError
from hardwire.frontends._archive import broken, file_bytes
from hardwire.frontends._wire import Message, varint

_TABLE_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_STRING = 7
_DTYPES = {
    1: "<f4",
    2: "<f8",
    3: "<i4",
    4: "u1",
    5: "<i2",
    6: "i1",
    9: "<i8",
    10: "?",
    14: "bf16",
    17: "<u2",
    19: "<f2",
}
"""`tensorflow.DataType` → NumPy's name, for the types that weights have."""
MAX_OBJECTS = 1_000_000


@dataclass
class Item:
    """An object of a checkpoint: its children by their names, and its variables as (name in the model, key)."""

    children: dict[str, int] = field(default_factory=dict)
    variables: list[tuple[str, str]] = field(default_factory=list)


class Checkpoint:
    """The arrays of a checkpoint, `prefix` being its path without `.index`; `label` names the model in errors."""

    def __init__(self, prefix: Path, label: str) -> None:
        self.label = label
        self._prefix = prefix
        index = prefix.with_name(prefix.name + ".index")
        self._data: dict[int, bytes] = {}
        self._entries = _table(file_bytes(index, label), label)
        header = Message(self._entries.pop("", b""), label)
        self.shards = header.number(1)
        if header.number(2):
            raise ModelError(f"model {label}: the checkpoint is written big-endian", hint="save it on a common machine")
        if not 0 < self.shards <= 10_000:
            raise broken(label, f"the checkpoint has {self.shards} data files")
        self.items = self._graph()

    def array(self, key: str) -> NDArray[Any]:
        """Return the array of a key; raises `ModelError` where it is missing, damaged or no numbers."""
        entry, shape, dtype = self._entry(key)
        name = _DTYPES.get(dtype)
        if name is None:
            raise ModelError(f"model {self.label}: weights {key!r} have TensorFlow's type {dtype}, not numbers")
        kind = np.dtype("<u2" if name == "bf16" else name)
        data = self._bytes(entry, key)
        count = int(np.prod(shape, dtype=object)) if shape else 1
        if len(data) != count * kind.itemsize:
            raise broken(self.label, f"weights {key!r} of the shape {shape} have {len(data)} bytes")
        values = np.frombuffer(data, kind).reshape(shape)
        if name == "bf16":
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values

    def has(self, key: str) -> bool:
        """Whether the checkpoint has an array of that key."""
        return key in self._entries

    def keys(self) -> list[str]:
        """Keys of all arrays."""
        return [key for key in self._entries if key != _GRAPH]

    def _entry(self, key: str) -> tuple[Message, tuple[int, ...], int]:
        if key not in self._entries:
            raise broken(self.label, f"weights {key!r} are missing")
        entry = Message(self._entries[key], self.label)
        if entry.bytes_list(7):
            raise ModelError(f"model {self.label}: weights {key!r} are stored in slices, which are not supported")
        shape = entry.message(2)
        dims = [] if shape is None else [dim.signed(1) for dim in shape.messages(2)]
        if any(dim < 0 for dim in dims):
            raise broken(self.label, f"weights {key!r} have the shape {tuple(dims)}")
        return entry, tuple(dims), entry.number(1)

    def _bytes(self, entry: Message, key: str) -> bytes:
        shard, offset, size = entry.number(3), entry.number(4), entry.number(5)
        if shard >= self.shards:
            raise broken(self.label, f"weights {key!r} are in data file {shard} of {self.shards}")
        if shard not in self._data:
            name = f"{self._prefix.name}.data-{shard:05d}-of-{self.shards:05d}"
            path = self._prefix.with_name(name)
            if not path.is_file():
                raise ModelError(
                    f"model {self.label}: the data file {name!r} of its weights is missing",
                    hint="copy the whole folder (variables.index and all variables.data-…)",
                )
            self._data[shard] = file_bytes(path, self.label)
        data = self._data[shard]
        if offset + size > len(data):
            raise broken(self.label, f"weights {key!r} reach over the end of their data file")
        found = data[offset : offset + size]
        stated = entry.number(6)
        # What TensorFlow masks with a rotation and an addition is the CRC-32C of the bytes.
        if entry.number(1) != _STRING and stated and _masked(crc32c(found)) != stated:
            raise broken(self.label, f"weights {key!r} do not have their checksum")
        return found

    def _graph(self) -> list[Item]:
        """Return the objects, the root first; empty for a checkpoint of names only (`tf.compat.v1.train.Saver`)."""
        if _GRAPH not in self._entries:
            return []
        entry, shape, dtype = self._entry(_GRAPH)
        if dtype != _STRING or shape != ():
            raise broken(self.label, "its tree of objects is no string")
        data = self._bytes(entry, _GRAPH)
        size, place = varint(data, 0, self.label)
        text = data[place + 4 : place + 4 + size]
        if len(text) != size:
            raise broken(self.label, "its tree of objects ends early")
        nodes = Message(text, self.label).messages(1)
        if len(nodes) > MAX_OBJECTS:
            raise ModelError(f"model {self.label}: the checkpoint holds more than {MAX_OBJECTS} objects")
        items = []
        for node in nodes:
            item = Item()
            for child in node.messages(1):
                if child.number(1) >= len(nodes):
                    raise broken(self.label, "an object's part is missing from its tree of objects")
                item.children[child.text(2)] = child.number(1)
            for attribute in node.messages(2):
                if attribute.text(1) == "VARIABLE_VALUE":
                    item.variables.append((attribute.text(2), attribute.text(3)))
            items.append(item)
        return items


def _table(data: bytes, label: str) -> dict[str, bytes]:
    """Read all entries of a table."""
    if len(data) < _FOOTER or int.from_bytes(data[-8:], "little") != _TABLE_MAGIC:
        raise broken(label, "the index of its weights does not end like one")
    footer = data[-_FOOTER:]
    _, place = varint(footer, 0, label)
    _, place = varint(footer, place, label)
    offset, place = varint(footer, place, label)
    size, _ = varint(footer, place, label)
    entries: dict[str, bytes] = {}
    for _, handle in _block(data, offset, size, label):
        start, place = varint(handle, 0, label)
        length, _ = varint(handle, place, label)
        for key, value in _block(data, start, length, label):
            entries[key.decode("utf-8", "replace")] = value
        if len(entries) > MAX_OBJECTS:
            raise ModelError(f"model {label}: the checkpoint holds more than {MAX_OBJECTS} arrays")
    return entries


def _block(data: bytes, offset: int, size: int, label: str) -> list[tuple[bytes, bytes]]:
    """Entries of a block: keys share the start of the one before; then a type and a checksum."""
    block, trailer = data[offset : offset + size], data[offset + size : offset + size + 5]
    if len(block) != size or len(trailer) != 5 or size < 4:
        raise broken(label, "a block of its index reaches over the end")
    if trailer[0] != 0:
        raise ModelError(
            f"model {label}: the index of its weights is compressed", hint="save the model again with TensorFlow 2"
        )
    if _masked(crc32c(block + trailer[:1])) != int.from_bytes(trailer[1:], "little"):
        raise broken(label, "a block of its index does not have its checksum")
    restarts = int.from_bytes(block[-4:], "little")
    end = size - 4 - 4 * restarts
    found, place, key = [], 0, b""
    while place < end:
        shared, place = varint(block, place, label)
        fresh, place = varint(block, place, label)
        length, place = varint(block, place, label)
        if shared > len(key) or place + fresh + length > end:
            raise broken(label, "an entry of its index reaches over its block")
        key = key[:shared] + block[place : place + fresh]
        found.append((key, block[place + fresh : place + fresh + length]))
        place += fresh + length
    return found


# CRC-32C (RFC 3720, appendix B.4), many strides of the data at once: rows advance together, then are put in line.


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of bytes."""
    table = _crc_table()
    stride = max(1, int(len(data) ** 0.5))
    rows = len(data) // stride
    values = np.frombuffer(data, np.uint8, rows * stride).reshape(rows, stride)
    states = np.zeros(rows, np.uint32)
    for column in values.T:
        states = table[(states ^ column) & 0xFF] ^ (states >> np.uint32(8))
    # Moving a state over `stride` zero bytes is linear in its bits.
    moved = (np.uint32(1) << np.arange(32, dtype=np.uint32)).astype(np.uint32)
    for _ in range(stride):
        moved = table[moved & 0xFF] ^ (moved >> np.uint32(8))
    columns = [int(value) for value in moved]
    state = 0xFFFFFFFF
    for row in states.tolist():
        total, bits = row, state
        while bits:
            low = bits & -bits
            total ^= columns[low.bit_length() - 1]
            bits ^= low
        state = total
    entries = table.tolist()
    for byte in data[rows * stride :]:
        state = entries[(state ^ byte) & 0xFF] ^ (state >> 8)
    return state ^ 0xFFFFFFFF


@cache
def _crc_table() -> NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> np.uint32(1)) ^ np.where(table & 1, np.uint32(0x82F63B78), np.uint32(0)).astype(np.uint32)
    return table


def _masked(crc: int) -> int:
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def checkpoint_prefix(path: Path) -> Path | None:
    """Return the prefix of the checkpoint that a path means, None where it means none.

    The path may be the prefix itself (`model.ckpt`), a file of it, a SavedModel, or the folder of either.
    """
    if path.is_dir():
        folders = (path, path / "variables")
        found = sorted(index for folder in folders for index in folder.glob("*.index"))
        return found[0].with_suffix("") if len(found) == 1 else None
    name = re.sub(r"\.(index|data-\d+-of-\d+)$", "", path.name)
    return path.with_name(name) if path.with_name(name + ".index").is_file() else None


class Tracked:
    """Weights of the layers of a Keras 2 model in a checkpoint: `layer-3` is the model's fourth layer.

    A Sequential model does not count its `InputLayer`. Variables are named as in HDF5, by what follows the layer's
    name.
    """

    def __init__(self, checkpoint: Checkpoint, item: int = 0) -> None:
        if not checkpoint.items:
            raise ModelError(
                f"model {checkpoint.label}: its weights are stored by names only, as by TensorFlow 1",
                hint="load them in TensorFlow 2 and save with model.save_weights(...) or model.save(...)",
            )
        self._checkpoint = checkpoint
        children = checkpoint.items[item].children
        found = {name: child for name, child in children.items() if re.fullmatch(r"layer-\d{1,7}", name)}
        self._layers = {int(name.removeprefix("layer-")): child for name, child in found.items()}
        self._entered: list[str] = []

    def enter(self, name: str, class_name: str, path: tuple[str, ...], leaves: tuple[str, ...]) -> tuple[int, str]:
        """Return the layer's number in its container, and its name."""
        self._entered.append(class_name)
        return len(self._entered) - 1, name

    def _item(self, place: tuple[int, str]) -> int | None:
        uncounted = self._entered[0] == "InputLayer" and len(self._entered) == len(self._layers) + 1
        return self._layers.get(place[0] - uncounted)

    def arrays(self, place: tuple[int, str]) -> dict[str, NDArray[Any]]:
        """Variables of a layer and of its parts, by their names below the layer's."""
        item, name = self._item(place), place[1]
        found: dict[str, NDArray[Any]] = {}
        waiting, met = [] if item is None else [item], set()
        while waiting:
            number = waiting.pop()
            if number in met:
                continue
            met.add(number)
            for variable, key in self._checkpoint.items[number].variables:
                parts = variable.split("/")
                owner = [i for i, part in enumerate(parts[:-1]) if part == name]
                short = re.sub(r":\d+$", "", "/".join(parts[owner[-1] + 1 :]) if owner else parts[-1])
                if short in found:
                    raise ModelError(
                        f"model {self._checkpoint.label}: layer {name!r} has two weights {short!r}",
                        hint="save the model as .keras, which tells them apart",
                    )
                found[short] = self._checkpoint.array(key)
            parts_of = self._checkpoint.items[number].children
            waiting.extend(parts_of[part] for part in parts_of if part not in _NO_PARTS)
        return found

    def inside(self, place: tuple[int, str], part: str = "") -> Tracked:
        """Layers of a sub-model."""
        item = self._item(place)
        if part and item is not None:
            item = self._checkpoint.items[item].children.get(part)
        if item is None:
            raise broken(self._checkpoint.label, f"the sub-model {place[1]!r} is not among its weights")
        return Tracked(self._checkpoint, item)


_NO_PARTS = ("keras_api", "root", "_random_generator", "seed_generator", "optimizer", "states")
"""Children that are no weights of a layer."""
