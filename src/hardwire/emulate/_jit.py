"""From LLVM assembly to callable machine code, kept on disk by content.

The cache is a folder of object files named by the hash of everything that they depend on, and of entries, named by the
hash of a Program, that name its object files: a known Program needs no assembly. A file that does not carry its own
hash is treated as absent; files are written beside and moved into place, so that a reader never sees a part.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from hardwire.emulate._host import Host
from hardwire.errors import InternalError

_MAGIC = b"hardwire emulator 2\n"

_LEVEL = 1
"""LLVM's code generation effort: 2 takes 1.3 times as long for code of the same speed."""


def object_key(text: str, host: Host) -> str:
    """Hash of assembly and target, in hexadecimal."""
    whole = f"{llvmlite.__version__}|{llvm.llvm_version_info}|{host.key}|{_LEVEL}\n{text}"
    return hashlib.sha256(whole.encode()).hexdigest()


def cached(folder: Path, key: str) -> bytes | None:
    """Return the object file of a key, or None where there is none that is whole."""
    try:
        data = (folder / f"{key}.o").read_bytes()
    except OSError:
        return None
    head, digest, body = data[: len(_MAGIC)], data[len(_MAGIC) : len(_MAGIC) + 32], data[len(_MAGIC) + 32 :]
    return body if head == _MAGIC and hashlib.sha256(body).digest() == digest else None


def keep(folder: Path, key: str, body: bytes) -> None:
    """Write an object file; a folder that cannot be written to only costs the next start its time."""
    data = _MAGIC + hashlib.sha256(body).digest() + body
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".part-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(name, folder / f"{key}.o")
        except BaseException:
            os.unlink(name)
            raise
    except OSError:
        return


def cache_folder() -> Path:
    """Where object files are kept: `HARDWIRE_CACHE_DIR` or `~/.cache/hardwire`, folder `emulate`."""
    base = os.environ.get("HARDWIRE_CACHE_DIR")
    return (Path(base) if base else Path.home() / ".cache" / "hardwire") / "emulate"


@cache
def _machine(host: Host) -> Any:
    target = llvm.Target.from_triple(host.triple)
    return target.create_target_machine(
        cpu=host.cpu, features=host.features, opt=_LEVEL, reloc="pic", codemodel="small", jit=True
    )


def _object(text: str, host: Host, vectorise: bool) -> bytes:
    machine = _machine(host)
    try:
        module = llvm.parse_assembly(text)
        module.verify()
    except RuntimeError as error:
        raise InternalError(f"emulator: LLVM refuses the generated code: {error}") from error
    module.triple = host.triple
    module.data_layout = str(machine.target_data)
    if vectorise:
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        options.loop_vectorization = True
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
    body: bytes = machine.emit_object(module)
    return body


class Code:
    """Machine code in memory. `run` is the entry point; ctypes releases the GIL while it runs."""

    def __init__(self, objects: list[bytes], host: Host) -> None:
        empty = llvm.parse_assembly("")
        empty.triple = host.triple
        # An engine owns its machine, so the shared one is not given away.
        machine = llvm.Target.from_triple(host.triple).create_target_machine(
            cpu=host.cpu, features=host.features, opt=_LEVEL, reloc="pic", codemodel="small", jit=True
        )
        self._engine = llvm.create_mcjit_compiler(empty, machine)
        for body in objects:
            self._engine.add_object_file(llvm.ObjectFileRef.from_data(body))
        self._engine.finalize_object()
        address = self._engine.get_function_address("run")
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self.run = ctypes.CFUNCTYPE(number, pointer, pointer, number, number, pointer, number, number)(address)


def compile_modules(modules: Sequence[tuple[str, bool]], host: Host) -> list[bytes]:
    """Object files of modules (assembly, whether to vectorise loops), compiled or from the cache."""
    folder = cache_folder()
    objects = []
    for text, vectorise in modules:
        key = object_key(text, host)
        body = cached(folder, key)
        if body is None:
            body = _object(text, host, vectorise)
            keep(folder, key, body)
        objects.append(body)
    return objects


def cached_program(key: str) -> tuple[dict[str, int], list[bytes]] | None:
    """What `keep_program` wrote under a key, or None where not all of it is whole."""
    folder = cache_folder()
    entry = cached(folder, key)
    if entry is None:
        return None
    found = json.loads(entry)
    objects = [cached(folder, part) for part in found["objects"]]
    whole = [body for body in objects if body is not None]
    return (found["figures"], whole) if len(whole) == len(objects) else None


def keep_program(key: str, modules: Sequence[tuple[str, bool]], host: Host, figures: dict[str, int]) -> None:
    """Write which object files are a Program's, and figures that its caller needs."""
    entry = {"figures": figures, "objects": [object_key(text, host) for text, _ in modules]}
    keep(cache_folder(), key, json.dumps(entry).encode())
