"""Keras models, from the file: neither Keras nor TensorFlow is imported, and no code of the file is run.

Read: `.keras` of Keras 3 and Keras 2.12+ (zip of `config.json` and `model.weights.h5`), HDF5 of Keras 2 and 3
(`model_config` and `model_weights`; some `.keras` are that in truth), an architecture's JSON with `weights=` a
`.h5`/`.weights.h5`/`.keras` file or a TensorFlow checkpoint, and live Keras models, which are saved to a temporary file
and read like any other.
"""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from hardwire.errors import ModelError, UnsupportedError
from hardwire.frontends._archive import (
    HDF5_MAGIC,
    ZIP_MAGIC,
    Archive,
    broken,
    file_bytes,
    first_bytes,
    parse_json,
    sha256,
    zip_names,
)
from hardwire.frontends._keras_walk import KerasWalker
from hardwire.frontends._keras_weights import Hdf5, Numbered, WeightSource, weight_source
from hardwire.frontends._tf_checkpoint import Checkpoint, Tracked, checkpoint_prefix
from hardwire.network.graph import Network, NetworkBuilder, Shape

FORMAT = "Keras (.keras, .h5, .json + weights)"
_WEIGHTS = "model.weights.h5"


def accepts(source: Any) -> bool:
    """Whether this is a Keras file by its first bytes and members (by suffix if damaged), or a live Keras model."""
    if not isinstance(source, Path):
        classes = type(source).__mro__
        return any(c.__module__.split(".")[0] in ("keras", "tf_keras") and c.__name__ == "Model" for c in classes)
    head = first_bytes(source)
    if head.startswith(HDF5_MAGIC):
        return True
    if head.startswith(ZIP_MAGIC):
        names = zip_names(source)
        return "config.json" in names or "metadata.json" in names or source.suffix == ".keras"
    if source.suffix == ".json":
        return head.lstrip().startswith(b"{") and b'"learner"' not in head[:64]  # XGBoost's
    return source.suffix in (".keras", ".h5", ".hdf5")


def read(source: Any, *, example: Any = None, weights: Any = None) -> Network:
    """Read a Keras model into a Network.

    `source`: the path of a file, or a live Keras model. `example`: an array (batch first) or a tuple of them, needed
    only where the model leaves dimensions open. `weights`: path of the weights of a JSON architecture. Raises
    `ModelError` for damaged files and `UnsupportedError` naming layer and attribute for what is not understood.
    """
    if not isinstance(source, Path):
        return _live(source, example, weights)
    label = repr(str(source))
    head = first_bytes(source, len(HDF5_MAGIC))
    if source.suffix == ".json" and head.lstrip().startswith(b"{"):
        return _architecture(source, label, example, weights)
    if weights is not None:
        raise ModelError(
            f"model {label}: weights={str(weights)!r} is given, but the file holds its own weights",
            hint="leave weights= out, or give the architecture as .json",
        )
    data = file_bytes(source, label)
    if head.startswith(HDF5_MAGIC):
        return _hdf5(data, label, source.stem, example)
    if head.startswith(ZIP_MAGIC):
        return _zip(data, label, source.stem, example, {"sha256": sha256(data)})
    raise broken(label, "it begins neither like a zip archive (.keras) nor like HDF5 (.h5)")


def _zip(data: bytes, label: str, stem: str, example: Any, identity: dict[str, Any]) -> Network:
    archive = Archive(data, label)
    metadata = archive.json("metadata.json") if "metadata.json" in archive.names else {}
    config = archive.json("config.json")
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    file = Hdf5(archive.read(_WEIGHTS), label)
    if not identity:
        identity = {"sha256": _content_hash(config, file)}
    return walk(config, Numbered(file), label, stem, version, "", example, identity)


def _hdf5(data: bytes, label: str, stem: str, example: Any) -> Network:
    file = Hdf5(data, label)
    text = file.attribute("", "model_config")
    if text is None:
        if file.texts("", "layer_names") or any(path.startswith("layers/") for path in file.groups):
            raise ModelError(
                f"model {label}: the file holds weights without the model (no attribute 'model_config')",
                hint="give the architecture's JSON as the model and this file as weights=",
            )
        raise ModelError(f"model {label}: this HDF5 file is no Keras model (no attribute 'model_config')")
    config = parse_json(str(text), label, "model_config")
    version = file.attribute("", "keras_version") or file.attribute("model_weights", "keras_version")
    identity = {"sha256": sha256(data)}
    return walk(config, weight_source(file), label, stem, version, "-h5", example, identity)


def _architecture(source: Path, label: str, example: Any, weights: Any) -> Network:
    data = file_bytes(source, label)
    config = parse_json(data, label, "the architecture")
    if weights is None:
        raise ModelError(
            f"model {label}: a JSON architecture has no weights", hint="give them as weights=... (.h5, .weights.h5)"
        )
    path = Path(weights)
    weights_label = repr(str(path))
    prefix = checkpoint_prefix(path)
    if prefix is None and not path.is_file():
        raise ModelError(f"weights {str(path)!r}: no such file", hint="check the path and the working directory")
    raw = file_bytes(path if prefix is None else prefix.with_name(prefix.name + ".index"), weights_label)
    if prefix is not None:
        places: WeightSource = Tracked(Checkpoint(prefix, weights_label))
    elif raw.startswith(ZIP_MAGIC):
        places = Numbered(Hdf5(Archive(raw, weights_label).read(_WEIGHTS), weights_label))
    elif raw.startswith(HDF5_MAGIC):
        places = weight_source(Hdf5(raw, weights_label))
    else:
        raise broken(weights_label, "it begins neither like HDF5 (.h5) nor like a zip archive (.keras)")
    version = config.get("keras_version") if isinstance(config, dict) else None
    if version is None and isinstance(config, dict):
        version = "3" if str(config.get("module", "")).startswith("keras") else None
    identity = {"sha256": sha256(data), "weights_sha256": sha256(raw)}
    return walk(config, places, label, source.stem, version, "-json", example, identity)


def _live(model: Any, example: Any, weights: Any) -> Network:
    label = f"{type(model).__name__} {getattr(model, 'name', '')!r}"
    if weights is not None:
        raise ModelError(f"model {label}: weights= is for architectures in JSON, a live model has its own")
    with tempfile.TemporaryDirectory(prefix="hardwire-") as folder:
        path = Path(folder) / "model.keras"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.save(path)
        except Exception as error:  # whatever Keras raises; its reason is in the message
            raise UnsupportedError(
                f"model {label}: Keras cannot save it: {str(error).strip().splitlines()[0] if str(error) else error!r}",
                hint="call the model once on data so that it is built; use Sequential or Functional models",
            ) from error
        data = file_bytes(path, label)
    return _zip(data, label, str(getattr(model, "name", "model")), example, {})


def walk(
    config: Any,
    weights: WeightSource,
    label: str,
    stem: str,
    version: Any,
    suffix: str,
    example: Any,
    identity: dict[str, Any],
) -> Network:
    """Walk a model's configuration, wherever it was read from; `suffix` completes the format's name in the report."""
    major = _major(version, config)
    settings = config.get("config") if isinstance(config, dict) else None
    name = settings.get("name") if isinstance(settings, dict) else None
    source = {"format": f"keras{major}{suffix}", **identity, "keras_version": None if version is None else str(version)}
    net = NetworkBuilder(name if isinstance(name, str) and name else stem, source)
    walker = KerasWalker(label, net, {"keras_version": version, "keras_major": major}, _shapes(example))
    return net.build(walker.model(config, weights))


def _major(version: Any, config: Any) -> int:
    """Major version of Keras that wrote the file: stated, or 3 where layers name their modules."""
    head = str(version or "").split(".")[0]
    if head.isdigit():
        return 3 if int(head) >= 3 else 2
    return 3 if isinstance(config, dict) and "module" in config else 2


def _shapes(example: Any) -> list[Shape]:
    if example is None:
        return []
    parts = example if isinstance(example, tuple | list) else (example,)
    shapes = [np.shape(part) for part in parts]
    if any(not shape for shape in shapes):
        raise ModelError("example: every example input needs the batch as its first axis", hint="example=x[:1]")
    return [tuple(int(dim) for dim in shape[1:]) for shape in shapes]


def _content_hash(config: Any, file: Hdf5) -> str:
    """Hash of a live model: its configuration without object ids, and its arrays (the saved file holds the date)."""
    digest = hashlib.sha256(repr(_stable(config)).encode())
    for path in sorted(file.datasets):
        if path.startswith("layers/"):
            value = file.array(path)
            digest.update(f"{path} {value.dtype.str} {value.shape}".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _stable(value: Any) -> Any:
    if isinstance(value, dict):
        return [
            (key, _stable(value[key])) for key in sorted(value) if key not in ("shared_object_id", "compile_config")
        ]
    return [_stable(item) for item in value] if isinstance(value, list) else value
