"""Weights of Keras files, by layer: HDF5 read in memory, without Keras and without following links out of the file.

Three layouts hold the same arrays. `Numbered` (`model.weights.h5` of Keras 3 and Keras 2.13+) files variables as
`layers/<class name in snake case>_<count>/vars/<number>`. `Named` (legacy `.h5`) files them under each layer's name as
`weight_names` lists them. Import rules accept both (`layers/_keras.py`).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError
from hardwire.frontends._archive import broken

MAX_ARRAY_BYTES = 2 << 30
MAX_OBJECTS = 1_000_000
_HEAP = b"GCOL\x01\0\0\0"
_REFERENCE_BYTES = 16
"""Bytes of a variable-length string's entry in a file with 8-byte addresses, as h5py writes them."""
Arrays = dict[str, NDArray[Any]]


class WeightSource(Protocol):
    """Where a walker finds the arrays of one layer."""

    def enter(self, name: str, class_name: str, path: tuple[str, ...], leaves: tuple[str, ...]) -> Any:
        """Return the place of the next layer of a container; call once per layer, in the container's order."""

    def arrays(self, place: Any) -> Arrays:
        """Return the arrays of a layer by number (`"0"`) or name (`"kernel"`); those of its parts as `part/0`."""

    def inside(self, place: Any, part: str = "") -> WeightSource:
        """Return the source of the layers of a sub-model; `part` is its name in a layer that wraps it."""


class Hdf5:
    """Every dataset and attribute of an HDF5 file by its path, backslashes (written on Windows) made slashes."""

    def __init__(self, data: bytes, label: str) -> None:
        self.label = label
        self.datasets: dict[str, Any] = {}
        self.groups: dict[str, Any] = {}
        _check_heaps(data, label)
        try:
            self._file = h5py.File(io.BytesIO(data), "r")
            self.groups[""] = self._file
            self._file.visititems(self._visit)  # soft and external links are not followed
        except ModelError:
            raise
        except Exception as error:  # a damaged file makes HDF5 raise nearly anything
            raise broken(label, error) from None

    def _visit(self, name: str, item: Any) -> None:
        if len(self.datasets) + len(self.groups) > MAX_OBJECTS:
            raise ModelError(f"model {self.label}: the HDF5 file holds more than {MAX_OBJECTS} objects")
        path = name.replace("\\", "/").strip("/")
        if isinstance(item, h5py.Dataset):
            self.datasets[path] = item
        else:
            self.groups[path] = item

    def attribute(self, path: str, name: str) -> Any:
        """Return an attribute of a group, None where either is missing; bytes are decoded."""
        group = self.groups.get(path)
        try:
            if group is None or name not in group.attrs:
                return None
            self._check_attribute(group.attrs.get_id(name), name)
            value = group.attrs[name]
        except ModelError:
            raise
        except Exception as error:  # as above
            raise broken(self.label, f"attribute {name!r}: {error}") from None
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    def _check_attribute(self, item: Any, name: str) -> None:
        """Refuse an attribute whose size contradicts its type: the HDF5 library may never return from reading it."""
        count = 0 if item.shape is None else int(np.prod(item.shape, dtype=object))
        if not count:
            return
        kind = item.get_type()
        variable = isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str()
        stored = item.get_storage_size()
        if stored != count * (_REFERENCE_BYTES if variable else kind.get_size()) or stored > MAX_ARRAY_BYTES:
            raise broken(self.label, f"attribute {name!r} has {stored} bytes, which contradicts its type")

    def texts(self, path: str, name: str) -> list[str]:
        """Return a list of strings, also where Keras cut it into `name0`, `name1`, …; empty where it is missing."""
        value, parts = self.attribute(path, name), []
        if value is not None:
            parts.append(value)
        else:
            while (part := self.attribute(path, f"{name}{len(parts)}")) is not None:
                parts.append(part)
        flat = [text for part in parts for text in np.ravel(np.asarray(part, object))]
        return [text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text) for text in flat]

    def array(self, path: str) -> NDArray[Any]:
        """Read a dataset of numbers; raises `ModelError` for anything else and for data outside the file."""
        dataset = self.datasets.get(path)
        if dataset is None:
            raise broken(self.label, f"weights {path!r} are missing")
        try:
            if dataset.external or dataset.is_virtual:
                raise ModelError(f"model {self.label}: weights {path!r} point to another file, which is never read")
            if dataset.dtype.kind not in "biuf" or dataset.dtype.subdtype is not None:
                raise ModelError(f"model {self.label}: weights {path!r} hold {dataset.dtype}, not numbers")
            size = int(np.prod(dataset.shape, dtype=object)) * dataset.dtype.itemsize
            if size > MAX_ARRAY_BYTES:
                raise ModelError(f"model {self.label}: weights {path!r} have {size} bytes, over {MAX_ARRAY_BYTES}")
            return np.asarray(dataset[()])
        except ModelError:
            raise
        except Exception as error:  # as above
            raise broken(self.label, f"weights {path!r}: {error}") from None

    def below(self, prefix: str) -> Iterator[str]:
        """Paths of the datasets below a group, in the file's order."""
        start = f"{prefix}/" if prefix else ""
        return (path for path in self.datasets if path.startswith(start))


def _check_heaps(data: bytes, label: str) -> None:
    """Walk the global heaps, which hold long attributes: in a damaged one the HDF5 library may loop forever.

    HDF5 File Format Specification 3.0, III.E: collections `GCOL`, version 1, of objects of index, count and size.
    """
    start = data.find(_HEAP)
    while start >= 0:
        end = start + int.from_bytes(data[start + 8 : start + 16], "little")
        place = start + 16
        while place + 16 <= min(end, len(data)):
            size = int.from_bytes(data[place + 8 : place + 16], "little")
            free = data[place : place + 2] == b"\0\0"
            step = size if free else 16 + (size + 7) // 8 * 8
            if step < 16:
                break
            place += step
        if end > len(data) or not end - 16 < place <= end:
            raise broken(label, f"the heap at byte {start} of the HDF5 data does not add up")
        start = data.find(_HEAP, start + 8)


def snake_case(name: str) -> str:
    """Return the group name that Keras derives from a class name (`PReLU` is `p_re_lu`)."""
    return re.sub(r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", re.sub(r"\W+", "", name)).lower()


class Numbered:
    """Variables by number below `layers/` (Keras 3, 2.15) or `_layer_checkpoint_dependencies/` (Keras 2.13)."""

    _CONTAINERS = ("layers", "_layer_checkpoint_dependencies", "_self_tracked_trackables")

    def __init__(self, file: Hdf5, root: str = "") -> None:
        self._file = file
        prefix = f"{root}/" if root else ""
        self._container = next(
            (prefix + name for name in self._CONTAINERS if any(True for _ in file.below(prefix + name))),
            prefix + self._CONTAINERS[0],
        )
        # That dictionary of Keras 2.13 lists a layer with weights twice, and each entry takes a number.
        self._twice = self._container.endswith(self._CONTAINERS[1])
        self._counts: dict[str, int] = {}
        self._by_name: dict[str, str] = {}
        for path in file.groups:
            parent, _, leaf = path.rpartition("/")
            if leaf == "vars" and parent.rpartition("/")[0] == self._container:
                name = file.attribute(path, "name")
                if name is not None:
                    self._by_name[str(name)] = parent

    def enter(self, name: str, class_name: str, path: tuple[str, ...], leaves: tuple[str, ...]) -> str:
        """Return the layer's group: by the name stored in it (Keras ≥ 3.6), else by counting its class."""
        base = snake_case(class_name)
        count = self._counts.get(base, 0)
        group = f"{self._container}/{base}" + (f"_{count}" if count else "")
        weighted = any(True for _ in self._file.below(group))
        self._counts[base] = count + (2 if weighted and self._twice else 1)
        return self._by_name.get(name, group)

    def arrays(self, place: str) -> Arrays:
        """Variables by number."""
        found = {}
        for path in self._file.below(place):
            parts = [part for part in path[len(place) + 1 :].split("/") if part != "vars"]
            if "seed_generator" not in parts:
                found["/".join(parts)] = self._file.array(path)
        return found

    def inside(self, place: str, part: str = "") -> Numbered:
        """Layers of a sub-model."""
        return Numbered(self._file, f"{place}/{part}" if part else place)


class Named:
    """Variables by layer name and `weight_names` (legacy HDF5 of Keras 2 and 3)."""

    def __init__(self, file: Hdf5, root: str, group: str | None = None) -> None:
        self._file = file
        self._root = root
        self._group = group

    def enter(
        self, name: str, class_name: str, path: tuple[str, ...], leaves: tuple[str, ...]
    ) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """Return the top-level group and the path within it; sub-models share the group of the outermost one."""
        prefix = f"{self._root}/" if self._root else ""
        return (self._group if self._group is not None else prefix + name.replace("\\", "/")), path, leaves

    def arrays(self, place: tuple[str, tuple[str, ...], tuple[str, ...]]) -> Arrays:
        """Variables by what follows the layer's name in their path, without TensorFlow's `:0`."""
        group, path, leaves = place
        found: Arrays = {}
        for weight in self._file.texts(group, "weight_names"):
            parts = weight.replace("\\", "/").split("/")
            if any("seed_generator" in part for part in parts):
                continue
            if self._group is not None:
                # In the group of a sub-model: this layer's weights, told apart by the names of its ancestors.
                owner = [i for i, part in enumerate(parts[:-1]) if part == path[-1]]
                if not owner or (leaves.count(path[-1]) > 1 and path[-2] not in parts[: owner[-1]]):
                    continue
                key = "/".join(parts[owner[-1] + 1 :])
            else:
                owner = [i for i, part in enumerate(parts[:-1]) if part == path[-1]]
                key = "/".join(parts[owner[-1] + 1 :]) if owner else parts[-1]
            key = re.sub(r":\d+$", "", key)
            if key in found:
                raise ModelError(
                    f"model {self._file.label}: layer {'/'.join(path)!r} has two weights {key!r} in group {group!r}",
                    hint="save the model as .keras, which tells them apart",
                )
            found[key] = self._file.array(f"{group}/{'/'.join(parts)}")
        return found

    def inside(self, place: tuple[str, tuple[str, ...], tuple[str, ...]], part: str = "") -> Named:
        """Layers of a sub-model."""
        return Named(self._file, self._root, place[0])


def weight_source(file: Hdf5) -> WeightSource:
    """Return the source for whichever of the layouts a weights file has."""
    if "model_weights" in file.groups:
        return Named(file, "model_weights")
    if file.texts("", "layer_names"):
        return Named(file, "")
    return Numbered(file)
