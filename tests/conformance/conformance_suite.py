"""What the conformance suite runs: every layer's examples, on every back end, simulator and device family there is.

All of it is discovered: a layer by its file in `hardwire.layers`, a back end by its file in `hardwire.backends`, a
simulator by a `simulate` function in a module of `hardwire.tools` (`SUFFIXES` says which files it takes, Verilog if it
says nothing), or by `run_codes` where it runs C++ instead of clock cycles.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import hardwire as hw
import hardwire.tools
from hardwire.backends import backend, backends
from hardwire.design import Design
from hardwire.errors import MissingToolError
from hardwire.fixed import Ints
from hardwire.ir import interpreter
from hardwire.layers import known_layers
from hardwire.layers._base import Example
from hardwire.network.graph import Network
from hardwire.presence import modules_in
from hardwire.schedule.circuit import bus_names
from hardwire.stimulus import edge_codes, random_codes
from hardwire.verification import packed, unpacked

ALL = "all layers"

Record = Callable[[str, str, str], None]
"""Writes a cell of the table: layer, engine, what was found."""


def examples(kind: str) -> list[Example]:
    """Examples of a layer; for `ALL` the first one of every layer."""
    if kind != ALL:
        return list(known_layers()[kind].examples())
    return [
        Example(f"{name} {example.name}", example.network) for name in known_layers() for example in examples(name)[:1]
    ]


def together(name: str, parts: list[Example]) -> Network:
    """One network of independent ones side by side, so that each tool is built and started once for all of them."""
    nodes, inputs, outputs, shapes = [], [], [], {}
    for part in parts:

        def renamed(names: tuple[str, ...], prefix: str = part.name) -> tuple[str, ...]:
            return tuple(f"{prefix}.{name}" for name in names)

        for node in part.network.nodes:
            (own,) = renamed((node.name,))
            nodes.append(node.with_(name=own, inputs=renamed(node.inputs), outputs=renamed(node.outputs)))
        inputs += renamed(part.network.inputs)
        outputs += renamed(part.network.outputs)
        shapes.update(zip(renamed(tuple(part.network.shapes)), part.network.shapes.values(), strict=True))
    return Network(name, tuple(inputs), tuple(outputs), tuple(nodes), shapes)


class Case:
    """A compiled network with vectors (the corners of its inputs' ranges, and random ones) and their answers."""

    def __init__(self, network: Network, vectors: int = 200, language: str = "verilog", **options: Any) -> None:
        self.network = network
        self.design: Design = hw.compile(network, backend=language, **options)
        program = self.design.program
        corners = zip(edge_codes(program, 60), random_codes(program, vectors - 60), strict=True)
        self.codes: list[Ints] = [np.concatenate(pair) for pair in corners]
        self.inputs = [
            codes.reshape(-1, *port.shape) * np.broadcast_to(port.quantiser.scale, port.shape)
            for port, codes in zip(program.inputs, self.codes, strict=True)
            if port.quantiser is not None
        ]
        self.answers = interpreter.run(self.design.program, self.codes)

    @property
    def reals(self) -> list[np.ndarray]:
        """The answers as real numbers, (N, *shape) per output."""
        ports = self.design.program.outputs
        return [
            (codes * self.design.program.port_scale(port)).astype(np.float64).reshape(-1, *port.shape)
            for port, codes in zip(ports, self.answers, strict=True)
        ]

    def check(self, engine: str, found: list[Ints]) -> None:
        """Assert that an engine's codes are the interpreter's, naming the examples that differ."""
        outputs = self.design.program.outputs
        different = [
            f"{port.name}: {np.count_nonzero(np.any(ours != theirs, axis=1))} of {len(ours)} vectors"
            for port, ours, theirs in zip(outputs, found, self.answers, strict=True)
            if not np.array_equal(ours, theirs)
        ]
        assert not different, f"{engine} differs in {different}"

    def simulate(self, simulator: str, folder: Path, *, gaps: float = 0.25) -> list[Ints]:
        """Codes from a simulator that streams the vectors with gaps and a reset on the way; skips if it is missing."""
        module = simulators()[simulator]
        if hasattr(module, "run_codes"):
            return self._run_codes(module, folder)
        circuit = self.design.circuit
        sources = []
        for name in simulated_files(self.design.files, module):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.design.files[name])
            sources.append(path)
        widths = {bus.name: bus.width for bus in (*circuit.inputs, *circuit.outputs)}
        inputs = packed(circuit.inputs, self.codes)
        try:
            result = module.simulate(
                sources,
                self.design.module,
                inputs,
                widths,
                circuit.latency,
                workdir=folder / "simulation",
                gaps=gaps,
                reset_after=len(self.codes[0]) // 3,
            )
        except MissingToolError as error:
            pytest.skip(str(error))
        return unpacked(circuit.outputs, result.outputs)

    def _run_codes(self, module: ModuleType, folder: Path) -> list[Ints]:
        program = self.design.program
        inputs = dict(zip(bus_names("x", len(program.inputs)), self.codes, strict=True))
        outputs = {
            name: len(port.index)
            for name, port in zip(bus_names("y", len(program.outputs)), program.outputs, strict=True)
        }
        try:
            result = module.run_codes(self.design.files, inputs, outputs, workdir=folder)
        except MissingToolError as error:
            pytest.skip(str(error))
        return [result.outputs[name] for name in outputs]


@cache
def case(kind: str, language: str = "verilog") -> Case:
    """The compiled examples of a layer."""
    return Case(together(kind, examples(kind)), language=language)


@cache
def simulators() -> dict[str, ModuleType]:
    """Modules of `hardwire.tools` that simulate, by name."""
    modules = modules_in("hardwire.tools", hardwire.tools.__path__)
    return {
        name: module for name, module in modules.items() if hasattr(module, "simulate") or hasattr(module, "run_codes")
    }


def simulated_files(files: Any, simulator: ModuleType) -> list[str]:
    """The sources, of all that a back end wrote, that a simulator takes."""
    suffixes = getattr(simulator, "SUFFIXES", (".cpp",) if hasattr(simulator, "run_codes") else (".v",))
    return [name for name in files if Path(name).suffix in suffixes and not name.startswith("tb/")]


@cache
def tiny_files(language: str) -> dict[str, str]:
    """What a back end writes of a very small network."""
    return dict(hw.compile(examples("relu")[0].network, backend=backend(language).NAME).files)


@cache
def routes() -> list[tuple[str, str]]:
    """Pairs of back end and simulator: all that fit. Raises where nothing can simulate a back end's files."""
    found = []
    for language in backends():
        files = tiny_files(language)
        fit = [(language, name) for name, module in simulators().items() if simulated_files(files, module)]
        assert fit, f"no module of hardwire.tools simulates what the back end {language!r} writes"
        found += fit
    return found
