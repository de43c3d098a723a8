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
Arrays = dict[str, NDArray[Any]]
_READ_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, IndexError, UnicodeError)


class WeightSource(Protocol):
    """Where a walker finds the arrays of one layer."""

    def enter(self, name: str, class_name: str, path: tuple[str, ...], leaves: tuple[str, ...]) -> Any:
        """Return the place of the next layer of a container; call once per layer, in the container's order."""

    def arrays(self, place: Any) -> Arrays:
        """Return the arrays of a layer by number (`"0"`) or name (`"kernel"`); those of its parts as `part/0`."""

    def inside(self, place: Any) -> WeightSource:
        """Return the source of the layers of a sub-model."""


class Hdf5:
    """Every dataset and attribute of an HDF5 file by its path, backslashes (written on Windows) made slashes."""

    def __init__(self, data: bytes, label: str) -> None:
        self.label = label
        self.datasets: dict[str, Any] = {}
        self.groups: dict[str, Any] = {}
        try:
            self._file = h5py.File(io.BytesIO(data), "r")
            self.groups[""] = self._file
            self._file.visititems(self._visit)  # soft and external links are not followed
        except ModelError:
            raise
        except _READ_ERRORS as error:
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
            value = None if group is None else group.attrs.get(name)
        except _READ_ERRORS as error:
            raise broken(self.label, f"attribute {name!r}: {error}") from None
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

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
        except (*_READ_ERRORS, MemoryError) as error:
            raise broken(self.label, f"weights {path!r}: {error}") from None

    def below(self, prefix: str) -> Iterator[str]:
        """Paths of the datasets below a group, in the file's order."""
        start = f"{prefix}/" if prefix else ""
        return (path for path in self.datasets if path.startswith(start))


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

    def inside(self, place: str) -> Numbered:
        """Layers of a sub-model."""
        return Numbered(self._file, place)


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

    def inside(self, place: tuple[str, tuple[str, ...], tuple[str, ...]]) -> Named:
        """Layers of a sub-model."""
        return Named(self._file, self._root, place[0])


def weight_source(file: Hdf5) -> WeightSource:
    """Return the source for whichever of the layouts a weights file has."""
    if "model_weights" in file.groups:
        return Named(file, "model_weights")
    if file.texts("", "layer_names"):
        return Named(file, "")
    return Numbered(file)
