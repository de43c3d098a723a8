"""A compiled design: what `hardwire.compile` returns and a build directory holds."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hardwire import backends
from hardwire.calibrate import check_data
from hardwire.emulate import Emulator, compile_program
from hardwire.errors import DataError, HardwireError, ModelError
from hardwire.fixed import Floats, Ints
from hardwire.folders import free_folder, replaced, write_text
from hardwire.implement import implement, implement_to_contract
from hardwire.ir.program import Program
from hardwire.ir.storage import load_program, save_program
from hardwire.ir.verify import verify_program
from hardwire.network.graph import Network
from hardwire.network.storage import load_network, save_network
from hardwire.report.schema import contract_after_route
from hardwire.schedule import Circuit, verify_circuit
from hardwire.schedule.closing import ATTEMPTS
from hardwire.schedule.storage import circuit_arrays, circuit_from
from hardwire.targets import Target
from hardwire.targets import target as find_target
from hardwire.verification import verify
from hardwire.writing import Hardware

REPORT = "report.json"

_VALUES_AT_A_TIME, _LEAST_ROWS = 1 << 23, 256
"""Values of inputs and outputs that `predict` runs at a time, and rows at least."""

_PORT = re.compile(r"[xy]\d*|clk|rst|(in|out)_valid")
"""Ports of every circuit: Verilator and C++ take none of them for the module or function itself."""

EMULATOR = "emulator"
"""The back end of designs that are emulated only."""


class NoCircuitError(HardwireError):
    """The design was compiled for emulation, or for a back end that writes from the Program; it has no circuit."""

    exit_code = 2


@dataclass(eq=False)
class Design:
    """A compiled model.

    `network` is the model with the types that it was lowered with. `program` has the model's loops and one LINEAR per
    neuron; it is what is emulated, and what the proof starts from.
    `hardware` is None for a design that was not scheduled: one for the emulator alone, or for a back end that writes
    from the Program. `report_data` are the contents of `report.json`. `home` is the build directory, once saved.
    `files` are the back end's text by relative path.
    """

    name: str
    network: Network = field(repr=False)
    program: Program = field(repr=False)
    hardware: Hardware | None = field(repr=False)
    target: Target = field(repr=False)
    report_data: dict[str, Any] = field(repr=False)
    home: Path | None = None
    files: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def built(self) -> Hardware:
        """The hardware; raises `NoCircuitError` where there is none."""
        if self.hardware is None:
            purpose = "emulation only" if self.backend == EMULATOR else f"{self.backend}, whose own tool schedules it"
            raise NoCircuitError(
                f"design {self.name!r} was compiled for {purpose}", hint="compile it with --backend verilog"
            )
        return self.hardware

    @property
    def flat(self) -> Program:
        """The fully parallel Program that the circuit computes."""
        return self.built.flat

    @property
    def circuit(self) -> Circuit:
        """The schedule."""
        return self.built.circuit

    @property
    def backend(self) -> str:
        """Name of the back end that it was compiled for; `emulator` for none."""
        return str(self.report_data["options"]["backend"])

    @property
    def clock_mhz(self) -> float:
        """The clock that it is made for."""
        return float(self.report_data["clock_mhz"])

    @property
    def module(self) -> str:
        """Name of the hardware module."""
        return module_name(self.name)

    @cached_property
    def emulator(self) -> Emulator:
        """The JIT-compiled emulator, made from the Program with its loops and neurons: the proof and the simulations
        compare it with the circuit."""
        return compile_program(self.program)

    def _given(self, x: Any) -> list[Any]:
        """The arrays of an argument that is one array or several."""
        several = isinstance(x, tuple) or (isinstance(x, list) and len(self.program.inputs) > 1)
        return list(x) if several else [x]

    def check_inputs(self, x: Any) -> list[Floats]:
        """Arrays `(N, *shape)`, one per input, from an array or tuple of them; raises `DataError` naming the input."""
        return check_arrays(self.name, [(port.name, port.shape) for port in self.program.inputs], self._given(x))

    def predict(self, x: Any, threads: int | None = None, *, progress: Callable[[int, int], None] | None = None) -> Any:
        """Bit-exact emulation: float arrays `(N, *shape)` in, float64 out; tuples where there are several.

        Many rows are run some at a time: beside `x` and the outputs little memory is used, whatever the type of `x`.
        `progress(rows done, rows)` follows.
        """
        given = [np.asarray(array) for array in self._given(x)]
        ports = self.program.outputs
        elements = sum(len(port.index) for port in (*self.program.inputs, *ports))
        step = max(_LEAST_ROWS, _VALUES_AT_A_TIME // max(1, elements))
        rows = {array.shape[:1] for array in given}
        n = next(iter(rows))[0] if len(rows) == 1 and () not in rows else 0
        if n <= step:
            outputs = self.emulator.predict(self.check_inputs(x), threads=threads)
        else:
            outputs = [np.empty((n, *port.shape)) for port in ports]
            for start in range(0, n, step):
                part = slice(start, start + step)
                try:
                    found = self.emulator.predict(self.check_inputs(tuple(a[part] for a in given)), threads=threads)
                except DataError:
                    # The message names a row: it is to be counted from the first one.
                    self.emulator.predict(self.check_inputs(x), threads=threads)
                    raise
                for whole, piece in zip(outputs, found, strict=True):
                    whole[part] = piece
                if progress is not None:
                    progress(min(n, start + step), n)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def codes(self, x: Any) -> list[Ints]:
        """Integer codes (N, elements) at each input port for float arrays."""
        arrays = self.check_inputs(x)
        found = []
        for port, array in zip(self.program.inputs, arrays, strict=True):
            if port.quantiser is None:
                raise ModelError(f"input {port.name!r} has no quantiser")
            found.append(port.quantiser.codes(array).reshape(len(array), len(port.index)))
        return found

    def verify(
        self,
        x: Any = None,
        *,
        formal: bool = True,
        vectors: int = 10_000,
        netlist_vectors: int | None = None,
        simulator: str = "auto",
        progress: Callable[[str], None] | None = None,
    ) -> dict[str, Any]:
        """Check emulator = RTL = netlist (once synthesised) and, with `formal`, prove the circuit.

        `x`: inputs to use beside the edges of every range; random ones are added until there are `vectors` in all
        (`netlist_vectors` for the netlist). Returns the `verification` part of the report, which is updated (and
        saved, in a build directory).
        """
        codes = None if x is None else self.codes(x)
        with self.workplace() as folder:
            found = verify(
                self,
                codes,
                folder,
                formal=formal,
                vectors=vectors,
                netlist_vectors=netlist_vectors,
                simulator=simulator,
                progress=progress,
            )
        self.report_data.setdefault("verification", {}).update(found)
        self._update()
        return dict(self.report_data["verification"])

    def synthesize(
        self,
        *,
        seeds: int = 1,
        route: bool = True,
        attempts: int = ATTEMPTS,
        progress: Callable[[str], None] | None = None,
    ) -> Any:
        """Synthesise, place and route (where the target can be) and hold the contract against the real Fmax.

        `seeds` placements are tried, the fastest is kept. Where it misses the contract, the design is scheduled anew
        with what was measured, or placed anew, `attempts` times at most; `contract["closing"]` of the report lists the
        steps. Returns the report. Raises `ContractError` where the contract is still missed; the closest result is
        then in the report all the same.
        """
        missed = None
        with self.workplace() as folder:
            if route and self.target.place:
                parts, chosen, closure = implement_to_contract(
                    self, folder, seeds=seeds, attempts=attempts, progress=progress
                )
                if chosen is not self:
                    self.hardware, self.report_data, self.files = chosen.hardware, chosen.report_data, chosen.files
                    if self.home is not None:
                        shutil.rmtree(self.home / "simulation", ignore_errors=True)
                        self.save(self.home)
                self.report_data.update(parts)
                self.report_data["contract"]["closing"] = [attempt.as_dict() for attempt in closure.attempts]
                missed = None if closure.met else closure.failure()
            else:
                self.report_data.update(implement(self, folder, seeds=seeds, route=route, progress=progress))
        contract_after_route(self.report_data)
        self._update()
        if missed is not None:
            raise missed
        return self.report_data

    def report(self) -> dict[str, Any]:
        """Return the report, as in `report.json`."""
        return self.report_data

    def export(self, folder: str | Path, **choices: Any) -> dict[str, Any]:
        """Write a folder for another tool; see `hardwire.export.export` for the choices and errors."""
        from hardwire.export import export

        return export(self, folder, **choices)

    def collect(self, paths: Iterable[str | Path]) -> dict[str, Any]:
        """Bring a vendor tool's reports (files, or folders of them) into this design's, and hold the contract again.

        The vendor's `synthesis` and `timing` take the place of what the open tools said. Returns the report. Raises
        `HardwireError` for a report that cannot be read, and where nothing in `paths` is one.
        """
        from hardwire.vendor_reports import collect

        found = collect([Path(path) for path in paths])
        self.report_data.update(found)
        if "synthesis" in found:
            self.report_data["verification"].pop("netlist", None)
        contract_after_route(self.report_data)
        self._update()
        return self.report_data

    def workplace(self) -> Any:
        """Context manager of a folder for tool runs: the build's own, or a temporary one for an unsaved design."""
        return _Folder(self.home)

    def _update(self) -> None:
        if self.home is not None:
            write_text(self.home / REPORT, report_text(self.report_data))

    def save(self, path: str | Path) -> Path:
        """Write the build directory; an earlier build there is replaced as a whole, anything else is refused."""
        home = build_folder(path)
        with replaced(home) as beside:
            for relative, text in sorted(self.files.items()):
                write_text(beside / relative, text)
            save_network(self.network, beside / "network.npz")
            save_program(self.program, beside / "program.npz")
            if self.hardware is not None:
                save_program(self.flat, beside / "circuit.npz", circuit_arrays(self.circuit))
            write_text(beside / REPORT, report_text(self.report_data))
            if self.home is not None and self.home.exists():
                for part in ("synthesis", "simulation"):
                    if (self.home / part).is_dir():
                        shutil.copytree(self.home / part, beside / part)
        self.home = home
        return home


def build_folder(path: str | Path) -> Path:
    """Where a build at `path` goes; raises `ModelError` if something else is there, which is never overwritten."""
    return free_folder(path, REPORT, "hardwire build")


def module_name(name: str) -> str:
    """A model's name as an identifier that every hardware language takes; `m_` in front of reserved words and ports."""
    # Files are named after the module: file systems take 255 characters, with what is put in front and behind.
    # VHDL has neither double underscores nor any at an end.
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name)[:100].strip("_") or "model"
    word = plain.lower()
    taken = word in backends.reserved() or _PORT.fullmatch(word) is not None
    return plain if plain[0].isalpha() and not taken else f"m_{plain}"


class _Folder:
    def __init__(self, home: Path | None) -> None:
        self.home = home
        self.temporary: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Path:
        if self.home is not None:
            return self.home
        self.temporary = tempfile.TemporaryDirectory(prefix="hardwire-")
        return Path(self.temporary.name)

    def __exit__(self, *_: object) -> None:
        if self.temporary is not None:
            self.temporary.cleanup()


def check_arrays(name: str, ports: list[tuple[str, tuple[int, ...]]], given: list[Any]) -> list[Floats]:
    """Return float64 arrays after checking them against named port shapes."""
    network = Network(name, tuple(n for n, _ in ports), (), (), dict(ports))
    if len(given) == len(ports) and all(np.ndim(x) and len(x) == 0 for x in given):
        return [np.zeros((0, *shape)) for _, shape in ports]
    return check_data(network, given)


def report_text(report: Mapping[str, Any]) -> str:
    """Return a report as the text of `report.json`."""
    return json.dumps(report, indent=1, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a report")


def load(path: str | Path) -> Design:
    """Read a build directory; raises `ModelError` where it is none or is damaged.

    Programs and schedule are verified again: what a file claims reaches compiled code only if it holds.
    """
    home = Path(path).resolve()
    if not (home / REPORT).is_file():
        raise ModelError(
            f"{str(path)!r} is no hardwire build (no {REPORT} in it)", hint="hardwire compile MODEL -o BUILD"
        )
    try:
        report = json.loads((home / REPORT).read_text(encoding="utf-8"))
        network = load_network(home / "network.npz")
        program, _ = load_program(home / "program.npz")
        target = find_target(report["target"])
        verify_program(program, after="loading")
        _check_parts(report, home)
        needs = needs_circuit(str(report["options"]["backend"]))
        name, inside = str(report["name"]), [_inside(home, str(relative)) for relative in report["files"]]
        files = {file.relative_to(home).as_posix(): file.read_text(encoding="utf-8") for file in inside}
        hardware = None
        if needs or (home / "circuit.npz").exists():
            flat, arrays = load_program(home / "circuit.npz")
            circuit = circuit_from(flat, target, arrays)
            verify_program(flat, after="loading")
            verify_circuit(circuit, after="loading")
            hardware = Hardware(flat, circuit)
    except HardwireError as error:
        raise ModelError(
            f"{str(path)!r}: the build is damaged ({error.what})", hint="compile the model again"
        ) from error
    except Exception as error:  # damaged files make readers raise nearly anything
        raise ModelError(f"{str(path)!r}: the build is damaged ({error})", hint="compile the model again") from error
    return Design(name, network, program, hardware, target, report, home, files)


def needs_circuit(backend: str) -> bool:
    """Whether a design for that back end is scheduled; raises `BackendError` for an unknown one."""
    return backend != EMULATOR and not backends.from_program(backend)


def _check_parts(report: Mapping[str, Any], home: Path) -> None:
    """Raise `ModelError` for a report that lacks a part which every design has, or has a netlist elsewhere."""
    for part in ("source", "options", "contract", "verification"):
        if not isinstance(report.get(part), dict):
            raise ModelError(f"part {part!r} of the report is no object")
    if not report["files"] and report["options"].get("backend") != EMULATOR:
        raise ModelError("the report names no files")
    netlist = report.get("synthesis", {}).get("netlist")
    if netlist is not None and not (home / netlist).resolve().is_relative_to(home):
        raise ModelError(f"netlist {netlist!r} of the report is not in the build")


def _inside(home: Path, relative: str) -> Path:
    """A file of a build; one that the report names elsewhere is not the build's."""
    file = (home / relative).resolve()
    if not file.is_relative_to(home) or not file.is_file():
        raise ModelError(f"file {relative!r} of the report is not in the build")
    return file
