"""TensorFlow SavedModels of Keras 2 (`saved_model.pb` and `variables/`), from their files: nothing of them is run.

The model's configuration stands in `keras_metadata.pb` (TensorFlow 2.5 and later) or, before, in the object graph of
`saved_model.pb`; the weights are a checkpoint. The functions, the same model in TensorFlow operators, are not read.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from hardwire.errors import ModelError, UnsupportedError
from hardwire.frontends._archive import broken, file_bytes, first_bytes, parse_json
from hardwire.frontends._tf_checkpoint import Checkpoint, Tracked, checkpoint_prefix
from hardwire.frontends._wire import Message
from hardwire.frontends.keras import walk
from hardwire.network.graph import Network

FORMAT = "TensorFlow SavedModel of Keras 2 (directory)"
_GRAPH = "saved_model.pb"
_METADATA = "keras_metadata.pb"
_KERAS_HINT = "save the Keras model itself: model.save('model.keras'), or export it to ONNX with tf2onnx"


def accepts(source: Any) -> bool:
    """Whether this is a SavedModel's directory or its `saved_model.pb`, or another file of TensorFlow to be refused."""
    if not isinstance(source, Path):
        return False
    if source.is_dir():
        return (source / _GRAPH).is_file() or (source / "saved_model.pbtxt").is_file()
    head = first_bytes(source, 8)
    return source.suffix in (".pb", ".tflite", ".pbtxt", ".ckpt", ".index", ".meta") or head[4:8] == b"TFL3"


def read(source: Any, *, example: Any = None, weights: Any = None) -> Network:
    """Read a SavedModel into a Network.

    `source`: its directory (or `saved_model.pb` in it). `example` as for Keras files. Raises `ModelError` for damaged
    files, and `UnsupportedError` saying what to save instead for models without Keras' configuration.
    """
    if source.name in (_GRAPH, _METADATA) and (source.parent / _GRAPH).is_file():
        source = source.parent
    label = repr(str(source))
    if source.is_file():
        raise _refused(source, label)
    if not (source / _GRAPH).is_file():
        raise UnsupportedError(f"model {label}: a SavedModel as text (saved_model.pbtxt)", hint=_KERAS_HINT)
    if weights is not None:
        raise ModelError(
            f"model {label}: weights={str(weights)!r} is given, but the SavedModel holds its own weights",
            hint="leave weights= out, or give the architecture as .json",
        )
    graph = file_bytes(source / _GRAPH, label)
    metadata = _metadata(source, graph, label)
    config = metadata.get("model_config") or {"class_name": metadata.get("class_name"), "config": metadata["config"]}
    if isinstance(config, dict) and isinstance(metadata.get("build_input_shape"), list):
        config = {"build_config": {"input_shape": metadata["build_input_shape"]}, **config}
    prefix = source / "variables" / "variables"
    if checkpoint_prefix(prefix) is None:
        raise broken(label, "variables/variables.index is missing; copy the whole directory")
    checkpoint = Checkpoint(prefix, label)
    digest = hashlib.sha256(graph)
    for path in sorted((source / "variables").glob("variables.*")):
        digest.update(hashlib.sha256(file_bytes(path, label)).digest())
    version = metadata.get("keras_version")
    return walk(
        config, Tracked(checkpoint), label, source.name, version, "-savedmodel", example, {"sha256": digest.hexdigest()}
    )


def _refused(source: Path, label: str) -> ModelError:
    if source.suffix == ".tflite" or first_bytes(source, 8)[4:8] == b"TFL3":
        return UnsupportedError(
            f"model {label}: a TensorFlow Lite model, whose arithmetic is that of its own runtime",
            hint="give the Keras model that it was converted from (.keras, .h5, SavedModel), or its QONNX/ONNX export",
        )
    if source.suffix in (".ckpt", ".index", ".meta"):
        return ModelError(
            f"model {label}: a checkpoint holds weights without the model",
            hint="give the architecture's JSON (model.to_json()) as the model and the checkpoint as weights=",
        )
    return UnsupportedError(f"model {label}: a TensorFlow graph without Keras' configuration", hint=_KERAS_HINT)


def _metadata(source: Path, graph: bytes, label: str) -> dict[str, Any]:
    """Return what Keras wrote about the outermost model."""
    text = ""
    if (source / _METADATA).is_file():
        objects = Message(file_bytes(source / _METADATA, label), label).messages(1)
        text = next((item.text(5) for item in objects if item.number(2) == 0), "")
    else:
        for meta in Message(graph, label).messages(2):
            tree = meta.message(7)
            root = tree.bytes_list(1)[:1] if tree is not None else []
            user = Message(root[0], label).message(4) if root else None
            text = text or ("" if user is None or not user.text(1).startswith("_tf_keras") else user.text(3))
    found = _plain(parse_json(text, label, "the model's configuration")) if text else None
    if not isinstance(found, dict) or not isinstance(found.get("config"), dict):
        raise UnsupportedError(
            f"model {label}: the SavedModel holds TensorFlow functions without Keras' configuration of the model",
            hint=_KERAS_HINT,
        )
    if "layers" not in found["config"]:
        raise UnsupportedError(
            f"model {label}: the model is the class {found.get('class_name')!r} of its author's own, whose code is not "
            "in the file",
            hint="rebuild it with keras.Sequential or keras.Model(inputs, outputs), or export it to ONNX with tf2onnx",
        )
    return found


def _plain(value: Any) -> Any:
    """Return JSON with Keras' `__tuple__` objects as lists."""
    if isinstance(value, dict):
        if value.get("class_name") == "__tuple__" and isinstance(value.get("items"), list):
            return [_plain(item) for item in value["items"]]
        if value.get("class_name") == "TensorShape" and isinstance(value.get("items"), list):
            return [_plain(item) for item in value["items"]]
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
