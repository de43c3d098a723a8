"""The emulator: a Program as native code, on arrays of events."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hardwire.emulate._host import Host, this_host
from hardwire.emulate._jit import Code, cached_program, compile_modules, keep_program
from hardwire.emulate._key import program_key
from hardwire.emulate._module import CODES, FLOATS, assemble, float_scales
from hardwire.errors import DataError
from hardwire.fixed import Floats, Ints, Overflow
from hardwire.ir.program import Port, Program

_LEAST_PER_THREAD = 4096
"""Events below which another thread costs more than it saves."""


class Emulator:
    """A compiled Program; make one with `compile_program`. Thread-safe; bit-exact with `ir.interpreter.run`.

    `compile_seconds` is the time that compilation (or loading from the cache: `from_cache`) took.
    """

    def __init__(self, program: Program, host: Host) -> None:
        start = time.perf_counter()
        self.program = program
        key = program_key(program, host)
        known = cached_program(key)
        self.from_cache = known is not None
        figures, objects = _compiled(program, host, key) if known is None else known
        self._code = Code(objects, host)
        self._work_bytes, self._block = figures["work_bytes"], figures["block"]
        self._scaled = [float_scales(program, port) is not None for port in program.outputs]
        self.compile_seconds = time.perf_counter() - start

    def run(self, inputs: Sequence[Ints], threads: int | None = None) -> list[Ints]:
        """Integer codes to integer codes: int64 (N, elements) per input port in, one per output port out.

        Raises `DataError` for another shape or dtype, and for a code outside its input's range: what is proven of
        the Program holds only inside.
        """
        rows = [self._codes(port, x) for port, x in self._paired(inputs)]
        outputs = [np.empty((n, len(port.index)), np.int64) for n in [self._events(rows)] for port in self._outputs]
        if self._run(rows, outputs, CODES, CODES, threads):
            self._explain_codes(rows)
        return outputs

    def predict(self, x: Sequence[ArrayLike], threads: int | None = None) -> list[Floats]:
        """Real values to real values: one (N, *shape) array per input port in, float64 (N, *shape) per output out.

        Inputs pass their ports' quantisers exactly as `Quantiser.codes` defines them. An infinity saturates (or is
        zero under `SAT_ZERO`); under `WRAP` and `WRAP_SM` it has no code and is a `DataError`, as NaN is always: the
        message names the input and the row. Outputs are `code × scale`, exact wherever float64 can hold the product
        and otherwise rounded once to nearest. `threads`: all of this process's cores if not given.
        """
        rows = [self._floats(port, array) for port, array in self._paired(x)]
        n = self._events(rows)
        exact = all(self._scaled)
        kind = np.float64 if exact else np.int64
        outputs: list[NDArray[Any]] = [np.empty((n, len(port.index)), kind) for port in self._outputs]
        if self._run(rows, outputs, FLOATS, FLOATS if exact else CODES, threads):
            self._explain_floats(rows)
        if not exact:
            outputs = [self._scale(port, codes) for port, codes in zip(self._outputs, outputs, strict=True)]
        return [values.reshape(n, *port.shape) for port, values in zip(self._outputs, outputs, strict=True)]

    @property
    def _outputs(self) -> tuple[Port, ...]:
        return self.program.outputs

    def _paired(self, arrays: Sequence[Any]) -> list[tuple[Port, Any]]:
        ports = self.program.inputs
        if isinstance(arrays, np.ndarray) or len(arrays) != len(ports):
            found = "one array" if isinstance(arrays, np.ndarray) else f"{len(arrays)} arrays"
            names = ", ".join(repr(port.name) for port in ports)
            raise DataError(
                f"the program {self.program.name!r} has {len(ports)} inputs ({names}), found {found}",
                hint="a list with one array per input",
            )
        return list(zip(ports, arrays, strict=True))

    def _codes(self, port: Port, x: Any) -> Ints:
        array = np.asarray(x)
        if array.ndim != 2 or array.shape[1] != len(port.index) or array.dtype.kind not in "iu":
            raise DataError(
                f"input {port.name!r}: codes are integers of shape (N, {len(port.index)}), "
                f"found {array.dtype} {array.shape}"
            )
        if array.dtype == np.uint64 and np.any(array > np.iinfo(np.int64).max):
            raise DataError(f"input {port.name!r}: code {array.max()} does not fit int64")
        return np.ascontiguousarray(array, np.int64)

    def _floats(self, port: Port, x: Any) -> Floats:
        array = np.asarray(x)
        if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            raise DataError(f"input {port.name!r}: values are real numbers of up to 64 bits, found {array.dtype}")
        if array.ndim == 0 or array.shape[1:] != tuple(port.shape):
            expected = ", ".join(["N", *map(str, port.shape)])
            raise DataError(f"input {port.name!r}: expected the shape ({expected}), found {array.shape}")
        if port.quantiser is None:
            codes = self._quantise_exact(port, array)
            return codes.view(np.float64)
        return np.ascontiguousarray(array, np.float64).reshape(len(array), len(port.index))

    def _quantise_exact(self, port: Port, array: NDArray[Any]) -> Ints:
        """Codes of a port without a quantiser: values must lie on its grid. int64 (N, elements)."""
        values = np.asarray(array, np.float64).reshape(len(array), len(port.index))
        scale = np.array([float(s) for s in self.program.port_scale(port)])
        codes = np.rint(values / scale)
        bad = ~(np.isfinite(values) & (codes * scale == values) & (np.abs(codes) < 2.0**62))
        if bad.any():
            row, element = np.argwhere(bad)[0]
            raise DataError(
                f"input {port.name!r}, row {row}: {values[row, element]} is no multiple of {scale[element]:g}, "
                "and the input has no quantiser"
            )
        return codes.astype(np.int64)

    def _events(self, rows: Sequence[NDArray[Any]]) -> int:
        counts = {len(array) for array in rows}
        if len(counts) > 1:
            found = ", ".join(f"{p.name!r}: {len(a)}" for p, a in zip(self.program.inputs, rows, strict=True))
            raise DataError(f"inputs with different numbers of events: {found}")
        return counts.pop() if counts else 0

    def _run(self, rows: Sequence[Any], outputs: Sequence[Any], source: int, target: int, threads: int | None) -> bool:
        """Run blocks of events on some threads; tells whether any block met a bad input."""
        n = self._events(rows)
        if n == 0:
            return False
        if threads is None:
            threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        elif threads < 1:
            raise DataError(f"threads = {threads}; at least 1 is needed")
        pointers_in = np.array([a.ctypes.data for a in rows], np.uintp)
        pointers_out = np.array([a.ctypes.data for a in outputs], np.uintp)
        blocks = -(-n // self._block)
        threads = max(1, min(threads, blocks, n // _LEAST_PER_THREAD))

        def part(k: int) -> int:
            begin, end = (min(n, blocks * at // threads * self._block) for at in (k, k + 1))
            # Frames start as zeros, so that padding columns are never uninitialised memory.
            memory = np.zeros(self._work_bytes + 64, np.uint8)
            work = -(-memory.ctypes.data // 64) * 64
            status: int = self._code.run(
                pointers_in.ctypes.data, pointers_out.ctypes.data, begin, end, work, source, target
            )
            return status

        if threads == 1:
            return part(0) != 0
        with ThreadPoolExecutor(threads - 1) as pool:
            rest = [pool.submit(part, k) for k in range(1, threads)]
            statuses = [part(0), *(future.result() for future in rest)]
        return any(statuses)

    def _explain_codes(self, rows: Sequence[Ints]) -> None:
        for port, codes in zip(self.program.inputs, rows, strict=True):
            lo, hi = self.program.port_range(port)
            bad = np.argwhere((codes < lo) | (codes > hi))
            if len(bad):
                row, element = bad[0]
                raise DataError(
                    f"input {port.name!r}, row {row}: code {codes[row, element]} of element {element} is outside "
                    f"[{lo[element]}, {hi[element]}]"
                )
        raise AssertionError("a bad code was reported but not found")

    def _explain_floats(self, rows: Sequence[Floats]) -> None:
        coded = []
        for port, values in zip(self.program.inputs, rows, strict=True):
            if port.quantiser is None:
                coded.append((port, values))
                continue
            wraps = port.quantiser.overflow in (Overflow.WRAP, Overflow.WRAP_SM)
            bad = np.argwhere(~np.isfinite(values) if wraps else np.isnan(values))
            if len(bad):
                row, element = bad[0]
                value = values[row, element]
                why = "" if np.isnan(value) else f" has no code under {port.quantiser.overflow.name}"
                raise DataError(
                    f"input {port.name!r}, row {row}: element {element} is {value}{why}",
                    hint="clean the data: NaN has no fixed-point value",
                )
        for port, values in coded:
            codes = values.view(np.int64)
            lo, hi = self.program.port_range(port)
            bad = np.argwhere((codes < lo) | (codes > hi))
            if len(bad):
                row, element = bad[0]
                raise DataError(
                    f"input {port.name!r}, row {row}: element {element} is outside the input's range "
                    f"[{lo[element]}, {hi[element]}] × {self.program.port_scale(port)[element]}"
                )
        raise AssertionError("a bad value was reported but not found")

    def _scale(self, port: Port, codes: Ints) -> Floats:
        """`code × scale` in exact integers, rounded once: for scales that float64 does not hold. (N, elements)."""
        out = np.empty(codes.shape, np.float64)
        for element, scale in enumerate(self.program.port_scale(port)):
            found, back = np.unique(codes[:, element], return_inverse=True)
            # Python divides integers with one correct rounding.
            values = [code * scale.numerator / scale.denominator for code in found.tolist()]
            out[:, element] = np.array(values, np.float64)[back]
        return out


def _compiled(program: Program, host: Host, key: str) -> tuple[dict[str, int], list[bytes]]:
    """Write a Program's assembly, compile it and keep it: bytes of working memory and events of a block; objects."""
    assembly = assemble(program, host)
    modules = ((assembly.kernels, False), (assembly.turns, False), (assembly.loops, True))
    figures = {"work_bytes": assembly.work_bytes, "block": assembly.frames * assembly.lanes}
    objects = compile_modules(modules, host)
    keep_program(key, modules, host, figures)
    return figures, objects


def compile_program(program: Program) -> Emulator:
    """Compile a Program for this machine.

    Needs no unrolling: steps with many positions stay loops. Machine code is kept in `HARDWIRE_CACHE_DIR` (default
    `~/.cache/hardwire`), so that the same Program compiles once. Raises `InternalError` where LLVM refuses the code.
    """
    return Emulator(program, this_host())
