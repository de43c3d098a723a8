"""Programs on disk: one `.npz` of plain arrays plus a JSON member; nothing in it is ever executed.

The same Program gives the same bytes (members in a fixed order, no time stamps).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError
from hardwire.fixed import Overflow, Rounding
from hardwire.ir.program import Access, Array, Kernel, Port, Program, Step, Tap
from hardwire.quantiser import Quantiser

FORMAT = 2
_COLUMNS = ("op", "a", "b", "c", "p", "q", "lo", "hi", "origin", "term_arg", "term_coef", "outputs")


def save_program(program: Program, path: Path, extra: dict[str, NDArray[Any]] | None = None) -> None:
    """Write a Program to `path`; `extra` arrays (a schedule's stages) are stored beside it."""
    arrays: dict[str, NDArray[Any]] = {f"extra/{key}": value for key, value in (extra or {}).items()}
    meta: dict[str, Any] = {"format": FORMAT, "name": program.name, "notes": program.notes}
    meta["arrays"] = []
    for i, array in enumerate(program.arrays.values()):
        arrays[f"array/{i}/lo"], arrays[f"array/{i}/hi"] = array.lo, array.hi
        distinct, index = _distinct(array.scale)
        arrays[f"array/{i}/scale"] = index
        meta["arrays"].append({"name": array.name, "scales": distinct})
    meta["kernels"] = []
    for i, kernel in enumerate(program.kernels.values()):
        for column in _COLUMNS:
            arrays[f"kernel/{i}/{column}"] = getattr(kernel, column)
        for t, table in enumerate(kernel.tables):
            arrays[f"kernel/{i}/table/{t}"] = table
        meta["kernels"].append(
            {"name": kernel.name, "inputs": kernel.n_inputs, "tables": len(kernel.tables), "origins": kernel.origins}
        )
    meta["steps"] = []
    for i, step in enumerate(program.steps):
        for r, access in enumerate((*step.reads, step.write)):
            arrays[f"step/{i}/{r}/base"], arrays[f"step/{i}/{r}/offsets"] = access.base, access.offsets
        reads = [access.array for access in step.reads]
        meta["steps"].append({"name": step.name, "kernel": step.kernel, "reads": reads, "write": step.write.array})
    for side, ports in (("inputs", program.inputs), ("outputs", program.outputs)):
        meta[side] = []
        for i, port in enumerate(ports):
            arrays[f"{side}/{i}/index"] = port.index
            meta[side].append({"name": port.name, "array": port.array, "shape": port.shape})
            if port.quantiser is not None:
                q = port.quantiser
                for key in ("scale", "lo", "hi", "zero"):
                    arrays[f"{side}/{i}/{key}"] = np.asarray(getattr(q, key))
                meta[side][-1]["quantiser"] = [q.rounding.name, q.overflow.name, q.zero_first, q.mantissa]
    meta["taps"] = []
    for i, tap in enumerate(program.taps):
        meta["taps"].append({"name": tap.name, "array": tap.array, "shape": tap.shape})
        arrays[f"taps/{i}/index"] = tap.index
        for key in ("scale", "offset"):
            if (values := getattr(tap, key)) is not None:
                meta["taps"][-1][key], arrays[f"taps/{i}/{key}"] = _distinct(values)
    write_archive(path, "program.json", meta, arrays)


def load_program(path: Path) -> tuple[Program, dict[str, NDArray[Any]]]:
    """Read what `save_program` wrote; raises `ModelError` for a file that is no Program of this version."""
    meta, members = read_archive(path, "program.json", "Program", FORMAT)
    arrays = {}
    for i, entry in enumerate(meta["arrays"]):
        scale = _spread(entry["scales"], members[f"array/{i}/scale"])
        arrays[entry["name"]] = Array(entry["name"], members[f"array/{i}/lo"], members[f"array/{i}/hi"], scale)
    kernels = {}
    for i, entry in enumerate(meta["kernels"]):
        columns = {column: members[f"kernel/{i}/{column}"] for column in _COLUMNS}
        tables = tuple(members[f"kernel/{i}/table/{t}"] for t in range(entry["tables"]))
        kernels[entry["name"]] = Kernel(
            name=entry["name"], n_inputs=entry["inputs"], tables=tables, origins=tuple(entry["origins"]), **columns
        )
    steps = []
    for i, entry in enumerate(meta["steps"]):
        accesses = [
            Access(name, members[f"step/{i}/{r}/base"], members[f"step/{i}/{r}/offsets"])
            for r, name in enumerate((*entry["reads"], entry["write"]))
        ]
        steps.append(Step(entry["name"], entry["kernel"], tuple(accesses[:-1]), accesses[-1]))
    ports: dict[str, list[Port]] = {"inputs": [], "outputs": []}
    for side, found in ports.items():
        for i, entry in enumerate(meta[side]):
            quantiser = None
            if "quantiser" in entry:
                rounding, overflow, *rest = entry["quantiser"]
                scale, lo, hi, zero = (members[f"{side}/{i}/{key}"] for key in ("scale", "lo", "hi", "zero"))
                quantiser = Quantiser(scale, lo, hi, Rounding[rounding], Overflow[overflow], zero, *rest)
            index = members[f"{side}/{i}/index"]
            found.append(Port(entry["name"], entry["array"], index, tuple(entry["shape"]), quantiser))
    taps = []
    for i, entry in enumerate(meta["taps"]):
        index, scale = members[f"taps/{i}/index"], _spread(entry["scale"], members[f"taps/{i}/scale"])
        offset = _spread(entry["offset"], members[f"taps/{i}/offset"]) if "offset" in entry else None
        taps.append(Tap(entry["name"], entry["array"], index, tuple(entry["shape"]), scale, offset))
    inputs, outputs = tuple(ports["inputs"]), tuple(ports["outputs"])
    program = Program(meta["name"], arrays, kernels, tuple(steps), inputs, outputs, meta["notes"], tuple(taps))
    return program, {key[6:]: value for key, value in members.items() if key.startswith("extra/")}


def write_archive(path: Path, name: str, meta: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write JSON `meta` as member `name` and every array as `KEY.npy`; equal contents give equal bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name), json.dumps(meta, indent=1))
        for key, value in arrays.items():
            buffer = BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(value).reshape(np.shape(value)), allow_pickle=False)
            member = zipfile.ZipInfo(f"{key}.npy")
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, buffer.getvalue())


def read_archive(path: Path, name: str, what: str, version: int) -> tuple[Any, dict[str, NDArray[Any]]]:
    """Read what `write_archive` wrote; raises `ModelError` naming `what` it should be, or another format version."""
    try:
        with zipfile.ZipFile(path) as archive:
            meta = json.loads(archive.read(name))
            members = {
                member[:-4]: np.lib.format.read_array(BytesIO(archive.read(member)), allow_pickle=False)
                for member in archive.namelist()
                if member.endswith(".npy")
            }
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: not a saved {what} ({error})", hint="compile the model again") from error
    if meta.get("format") != version:
        raise ModelError(
            f"{path}: saved in format {meta.get('format')}, this version reads {version}",
            hint="compile the model again with this version",
        )
    return meta, members


def _spread(distinct: Sequence[str], index: NDArray[Any]) -> NDArray[Any]:
    values = np.empty(len(distinct), object)
    values[:] = [Fraction(text) for text in distinct]
    spread: NDArray[Any] = values[index]
    return spread


def _distinct(scale: NDArray[Any]) -> tuple[list[str], NDArray[np.int32]]:
    ids: dict[Fraction, int] = {}
    index = np.array([ids.setdefault(value, len(ids)) for value in scale], np.int32)
    return [str(value) for value in ids], index
