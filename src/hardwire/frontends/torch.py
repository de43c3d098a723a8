"""PyTorch models: live modules through `torch.export`, exported programs, and `.pt2` files.

Files are read by our own reader of the archive (`_torch_archive`): nothing in them is unpickled or executed, and
PyTorch need not be installed. Live objects are exported and serialised by PyTorch and then read the same way.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from hardwire.errors import MissingToolError, ModelError, UnsupportedError
from hardwire.frontends._archive import ZIP_MAGIC, Archive, broken, file_bytes, first_bytes, sha256, zip_names
from hardwire.frontends._torch_aliases import AliasError
from hardwire.frontends._torch_archive import ExportedFile, is_exported, read_exported
from hardwire.frontends._torch_walk import TorchWalker
from hardwire.network.graph import Network, NetworkBuilder

FORMAT = "PyTorch (module, torch.export program, .pt2)"
_SUFFIXES = (".pt2", ".pt", ".pth")
_BATCH = 13
"""Examples of the traced batch: odd and rare, so that a fixed size of the model is not taken for it."""


def accepts(source: Any) -> bool:
    """Whether this is an archive of `torch.export.save` (by its members, or suffix if damaged) or a live module."""
    if isinstance(source, Path):
        head = first_bytes(source, 16)
        if head.startswith(ZIP_MAGIC):
            return is_exported(zip_names(source)) or source.suffix in _SUFFIXES
        return source.is_file() and source.suffix in _SUFFIXES
    return _is(source, "Module") or _is(source, "ExportedProgram")


def read(source: Any, *, example: Any = None, weights: Any = None) -> Network:
    """Read a PyTorch model into a Network; axis 0 of every input is the batch and is dropped.

    `source`: the path of a `.pt2` file, an `ExportedProgram`, or a module, which needs `example`: an array or tensor
    (batch first) or a tuple of them, for shapes and dtypes. A module is exported in evaluation mode; its own mode is
    restored. Raises `ModelError` for damaged files and failing exports, `UnsupportedError` naming the layer for what
    is not understood.
    """
    if weights is not None:
        raise ModelError("weights= is for Keras architectures in JSON; PyTorch models have their own weights")
    if isinstance(source, Path):
        label = repr(str(source))
        if not first_bytes(source, 4).startswith(ZIP_MAGIC):
            if first_bytes(source, 2)[:1] == b"\x80":
                raise ModelError(
                    f"model {label}: the file is a pickle, which may run code when it is read",
                    hint="save the model with torch.export.save(torch.export.export(model, (x,)), 'model.pt2')",
                )
            raise broken(label, "it does not begin like a .pt2 archive")
        data = file_bytes(source, label)
        return _network(read_exported(Archive(data, label)), label, source.stem, sha256(data))
    label = type(source).__qualname__
    program = source if _is(source, "ExportedProgram") else _export(source, example, label)
    file = read_exported(Archive(_serialised(program, label), label))
    try:
        return _network(file, label, label, _content_hash(file))
    except AliasError:
        functional = read_exported(Archive(_serialised(_functional(program, label), label), label))
        return _network(functional, label, label, _content_hash(file))


def _is(source: Any, name: str) -> bool:
    return any(c.__name__ == name and c.__module__.split(".")[0] == "torch" for c in type(source).__mro__)


def _network(file: ExportedFile, label: str, name: str, digest: str) -> Network:
    source = {"format": "torch.export", "sha256": digest, "torch_version": file.torch_version}
    net = NetworkBuilder(name, source)
    return net.build(TorchWalker(label, net, file).walk())


def _torch(label: str) -> Any:
    try:
        import torch
    except ImportError:
        raise MissingToolError(
            f"model {label}: live PyTorch models need PyTorch", hint="pip install 'hardwire[train]'"
        ) from None
    return torch


def _export(module: Any, example: Any, label: str) -> Any:
    """Export a module in evaluation mode with a dynamic batch, or with a fixed one where that fails."""
    torch = _torch(label)
    if example is None:
        raise ModelError(
            f"model {label}: a PyTorch module does not say the shapes of its inputs",
            hint="give one example input (example=x[:1])",
        )
    inputs = tuple(_example(torch, module, part) for part in (example if isinstance(example, tuple) else (example,)))
    modes = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            try:
                dynamic = tuple({0: torch.export.Dim("batch", min=2, max=1 << 20)} for _ in inputs)
                return torch.export.export(module, inputs, dynamic_shapes=dynamic)
            except Exception:  # a model that fixes its batch; the walk checks that examples stay apart
                return torch.export.export(module, inputs)
    except Exception as error:
        reason = next((line for line in str(error).strip().splitlines() if line.strip()), repr(error))
        raise UnsupportedError(
            f"model {label}: torch.export failed: {reason.strip()}",
            hint="check that the example has the inputs' shapes and that forward has no data-dependent control flow",
        ) from error
    finally:
        for part, training in modes:
            part.training = training


def _example(torch: Any, module: Any, part: Any) -> Any:
    """Return a batch of `_BATCH` examples of an input: floats in the type of the module's parameters."""
    if isinstance(part, torch.Tensor):
        tensor = part.detach()
    else:
        array = np.asarray(part)
        if array.dtype.kind not in "fiub":
            raise ModelError(f"example: an array of {array.dtype} is no input of a network")
        tensor = torch.as_tensor(np.array(array))
    if tensor.ndim == 0 or tensor.shape[0] == 0:
        raise ModelError(
            f"example: the shape {tuple(tensor.shape)} holds no example; axis 0 is the batch", hint="example=x[:1]"
        )
    first = next((p for p in module.parameters() if p.is_floating_point()), None)
    if tensor.is_floating_point() and not isinstance(part, torch.Tensor):
        tensor = tensor.to(torch.float32 if first is None else first.dtype)
    if first is not None:
        tensor = tensor.to(first.device)
    return tensor[:1].repeat(_BATCH, *(1,) * (tensor.ndim - 1))


def _functional(program: Any, label: str) -> Any:
    """Return the program without operators in place."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return program.run_decompositions({})
    except Exception as error:
        raise UnsupportedError(f"model {label}: its operators in place cannot be replaced: {error!r:.200}") from error


def _serialised(program: Any, label: str) -> bytes:
    torch = _torch(label)
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.save(program, buffer)
    except Exception as error:
        reason = next((line for line in str(error).strip().splitlines() if line.strip()), repr(error))
        raise UnsupportedError(f"model {label}: PyTorch cannot serialise it: {reason.strip()}") from error
    return buffer.getvalue()


def _content_hash(file: ExportedFile) -> str:
    """Hash of a live model: its operators and tensors, without stack traces (which hold paths)."""
    graph = file.module["graph"]
    nodes = [[node["target"], node["inputs"], node["outputs"]] for node in graph["nodes"]]
    stable = [nodes, graph["inputs"], graph["outputs"], file.module["signature"]]
    digest = hashlib.sha256(json.dumps(stable, sort_keys=True).encode())
    for name in sorted(file.tensors):
        value = file.tensors[name]
        digest.update(f"{name} {value.dtype.str} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
