"""Builds emitted C++ emulators and calls them; programs side by side, so that one compilation checks many."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hardwire.backends import Source
from hardwire.backends.cpp_emulator import emit
from hardwire.ir.program import Access, Array, Kernel, Port, Program, Step
from hardwire.targets import target


def emitted(program: Program, name: str = "model", vectors: Any = None) -> dict[str, str]:
    return emit(Source(name, program, target("ecp5-85k"), 200.0, vectors=vectors))


def put(files: Mapping[str, str], folder: Path) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def side_by_side(programs: Sequence[Program], name: str = "several") -> Program:
    """One Program of independent ones."""
    arrays: dict[str, Array] = {}
    kernels: dict[str, Kernel] = {}
    steps: list[Step] = []
    inputs: list[Port] = []
    outputs: list[Port] = []
    for k, program in enumerate(programs):
        mark = f"p{k}_"
        arrays.update({mark + n: replace(array, name=mark + n) for n, array in program.arrays.items()})
        kernels.update({mark + n: replace(kernel, name=mark + n) for n, kernel in program.kernels.items()})

        def moved(access: Access, mark: str = mark) -> Access:
            return replace(access, array=mark + access.array)

        for step in program.steps:
            reads = tuple(moved(read) for read in step.reads)
            steps.append(Step(mark + step.name, mark + step.kernel, reads, moved(step.write)))
        inputs += [replace(port, name=mark + port.name, array=mark + port.array) for port in program.inputs]
        outputs += [replace(port, name=mark + port.name, array=mark + port.array) for port in program.outputs]
    return Program(name, arrays, kernels, tuple(steps), tuple(inputs), tuple(outputs))


class Error(ctypes.Structure):
    _fields_ = (
        ("status", ctypes.c_int),
        ("port", ctypes.c_size_t),
        ("row", ctypes.c_size_t),
        ("element", ctypes.c_size_t),
    )


FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(Error))


class Table(ctypes.Structure):
    """`hw_emulator` of the C header."""

    _fields_ = (
        ("abi", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("name", ctypes.c_char_p),
        ("model", ctypes.c_char_p),
        ("generator", ctypes.c_char_p),
        ("program_sha256", ctypes.c_char_p),
        ("n_inputs", ctypes.c_size_t),
        ("n_outputs", ctypes.c_size_t),
        ("inputs", ctypes.c_void_p),
        ("outputs", ctypes.c_void_p),
        ("memory", ctypes.c_size_t),
        ("run_codes", FUNCTION),
        ("predict", FUNCTION),
        ("predict_float", FUNCTION),
        ("message", ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_int)),
    )


@dataclass
class Library:
    """A loaded emulator of `program`."""

    program: Program
    table: Table

    def _call(self, function: Any, x: Sequence[Any], dtype: Any) -> tuple[list[np.ndarray], Error]:
        rows = [np.ascontiguousarray(a, dtype) for a in x]
        n = len(rows[0])
        out = [np.zeros((n, len(port.index)), dtype) for port in self.program.outputs]
        pointers_in = np.array([a.ctypes.data for a in rows], np.uintp)
        pointers_out = np.array([a.ctypes.data for a in out], np.uintp)
        where = Error()
        status = function(pointers_in.ctypes.data, pointers_out.ctypes.data, n, ctypes.byref(where))
        assert status == where.status
        return out, where

    def codes(self, x: Sequence[Any]) -> list[np.ndarray]:
        out, where = self._call(self.table.run_codes, x, np.int64)
        assert where.status == 0, self.table.message(where.status)
        return out

    def predict(self, x: Sequence[Any], dtype: Any = np.float64) -> list[np.ndarray]:
        function = self.table.predict if dtype == np.float64 else self.table.predict_float
        out, where = self._call(function, x, dtype)
        assert where.status == 0, self.table.message(where.status)
        ports = self.program.outputs
        return [values.reshape(-1, *port.shape) for port, values in zip(ports, out, strict=True)]

    def refuses(self, x: Sequence[Any], dtype: Any = np.float64) -> tuple[int, int, int, int]:
        function = self.table.predict if dtype == np.float64 else self.table.run_codes
        where = self._call(function, x, dtype)[1]
        return where.status, where.port, where.row, where.element


WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")


def library(program: Program, folder: Path, *options: str, name: str = "model") -> Library:
    """Compile a Program's emulator as C++11 without warnings, and load it."""
    put(emitted(program, name), folder)
    command = ["g++", "-std=c++11", *WARNINGS, *(options or ("-O1",)), "-fPIC", "-shared", "-I", ".", "-o", "lib.so"]
    run(*command, f"{name}_emulator.cpp", f"{name}_plugin.cpp", cwd=folder)
    loaded = ctypes.CDLL(str(folder / "lib.so"))
    loaded.hardwire_emulator.restype = ctypes.POINTER(Table)
    return Library(program, loaded.hardwire_emulator().contents)
