"""The ladder: interpreter = emulator = simulation of what the back end wrote = synthesised netlist, bit for bit; then
the formal proof."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from hardwire import tools
from hardwire.errors import DataError, MissingToolError, VerificationError
from hardwire.fixed import Ints
from hardwire.implement import placed, sources
from hardwire.ir import interpreter
from hardwire.ir.program import Program
from hardwire.meaning import meaning
from hardwire.presence import modules_in
from hardwire.proof.formal import prove
from hardwire.schedule import Bus
from hardwire.schedule.circuit import bus_names
from hardwire.stimulus import edge_codes, random_codes
from hardwire.tools.bits import Words, pack, unpack
from hardwire.tools.netlist import NetlistSimulator

if TYPE_CHECKING:
    from hardwire.design import Design

Progress = Callable[[str], None]

_INTERPRETED = 2000


def verify(
    design: Design,
    codes: Sequence[Ints] | None,
    folder: Path,
    *,
    formal: bool,
    vectors: int,
    netlist_vectors: int | None,
    simulator: str,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run every rung that can be run; returns the `verification` part of the report.

    Tried are `codes` (integer inputs (N, elements) per port), the edges of every range, and random inputs until there
    are `vectors` (`netlist_vectors` for the netlist). A rung whose tool is missing is reported with the reason, not
    skipped in silence. What the back end wrote is run by the module of `hardwire.tools` named `simulator`, or with
    `auto` by the first one that takes such files and is installed. Raises `DataError` for one that takes no such files.
    """
    chosen = _chosen(design, simulator)
    say = progress or (lambda _text: None)
    inputs = _stimulus(design.program, codes, vectors)
    say(f"emulating {len(inputs[0]):,} vectors")
    expected = design.emulator.run(inputs)
    found: dict[str, Any] = {}
    part = [x[:_INTERPRETED] for x in inputs]
    say("interpreting the model's Program")
    found["interpreter"] = _compare(interpreter.run(design.program, part), [y[:_INTERPRETED] for y in expected])
    found["meaning"] = meaning(design.network, design.program, inputs)
    found |= _simulated(design, chosen, inputs, expected, folder, say)
    if design.hardware is None:
        return found
    netlist = design.report_data.get("synthesis", {}).get("netlist")
    if netlist is not None and (folder / netlist).is_file():
        if netlist_vectors is not None:
            inputs = _stimulus(design.program, codes, netlist_vectors)
            expected = design.emulator.run(inputs)
        say(f"simulating the netlist on {len(inputs[0]):,} vectors")
        simulation = NetlistSimulator(folder / netlist, design.module).run(
            packed(design.circuit.inputs, inputs), latency=design.circuit.latency, gaps=0.0, progress=say
        )
        found["netlist"] = _compare(unpacked(design.circuit.outputs, simulation.outputs), expected)
    if formal:
        say("proving")
        found["formal"] = prove(design.program, design.circuit.kernel, design.circuit.stage.astype(np.int64)).as_dict()
    return found


def _stimulus(program: Program, codes: Sequence[Ints] | None, vectors: int) -> list[Ints]:
    parts = [edge_codes(program), *([] if codes is None else [list(codes)])]
    missing = vectors - sum(len(part[0]) for part in parts)
    if missing > 0:
        parts.append(random_codes(program, missing))
    return [np.concatenate(columns) for columns in zip(*parts, strict=True)]


def check(found: Mapping[str, Any], *, simulated: bool = False) -> None:
    """Raise `VerificationError` if any rung of a `verification` part disagrees or the proof failed.

    With `simulated` also if a simulation was not run, which the part says why.
    """
    for rung in ("interpreter", "emulator_rtl", "csim", "netlist"):
        mismatches = found.get(rung, {}).get("mismatches")
        if mismatches:
            raise VerificationError(
                f"{rung}: {mismatches} of {found[rung]['vectors']} vectors differ", hint="please report this model"
            )
    formal = found.get("formal")
    if formal is not None and not formal["proven"]:
        raise VerificationError(f"formal: {formal['failures'][0]}", hint="please report this model")
    for rung in ("emulator_rtl", "csim"):
        if simulated and rung in found and found[rung]["mismatches"] is None:
            raise VerificationError(f"{rung}: not simulated", hint=found[rung]["why"])


@cache
def _engines() -> dict[str, ModuleType]:
    """Modules of `hardwire.tools` that run what a back end writes, by name, those for the most vectors first.

    `simulate` goes from clock cycle to clock cycle, `run_codes` compiles C++.
    """
    modules = modules_in(tools.__name__, tools.__path__)
    found = {name: module for name, module in modules.items() if hasattr(module, "simulate") or _is_csim(module)}
    return dict(sorted(found.items(), key=lambda item: (-getattr(item[1], "VECTORS", 1 << 62), item[0])))


def _is_csim(engine: ModuleType) -> bool:
    return hasattr(engine, "run_codes")


def _suffixes(engine: ModuleType) -> tuple[str, ...]:
    return getattr(engine, "SUFFIXES", (".cpp",) if _is_csim(engine) else (".v",))


def _chosen(design: Design, simulator: str) -> list[str]:
    """Names of the engines that take the design's files. Raises `DataError` for one that does not."""
    engines = _engines()
    if simulator != "auto" and simulator not in engines:
        raise DataError(f"simulator {simulator!r} is unknown", hint=f"one of {', '.join(('auto', *sorted(engines)))}")
    fit = [name for name, engine in engines.items() if sources(design.files, _suffixes(engine))]
    if simulator == "auto" or simulator in fit or not fit:
        return [name for name in fit if simulator in ("auto", name)]
    raise DataError(
        f"simulator {simulator!r} takes {' and '.join(_suffixes(engines[simulator]))} files, and design "
        f"{design.name!r} was compiled for {design.backend}",
        hint=f"one of {', '.join(('auto', *sorted(fit)))}",
    )


def _simulated(
    design: Design, chosen: Sequence[str], inputs: list[Ints], expected: list[Ints], folder: Path, say: Progress
) -> dict[str, Any]:
    """The rung of the design's files: `emulator_rtl` or `csim`, from the first of the engines that is installed."""
    missing, rung = "", "emulator_rtl"
    if not chosen:
        why = f"nothing here simulates what the back end {design.backend!r} writes"
        return {rung: {"vectors": 0, "mismatches": None, "why": why}} if design.files else {}
    for name in chosen:
        engine = _engines()[name]
        rung = "csim" if _is_csim(engine) else "emulator_rtl"
        count = min(len(inputs[0]), getattr(engine, "VECTORS", len(inputs[0])))
        part, answers = [x[:count] for x in inputs], [y[:count] for y in expected]
        paths = placed(design, sources(design.files, _suffixes(engine)), folder)
        say(f"simulating {', '.join(path.name for path in paths)} on {count:,} vectors")
        run = _run_cpp if _is_csim(engine) else _run_rtl
        try:
            got, facts = run(design, engine, paths, part, folder / "simulation", say)
        except MissingToolError as error:
            missing = missing or str(error)
            continue
        return {rung: {**_compare(got, answers), **facts}}
    return {rung: {"vectors": 0, "mismatches": None, "why": missing}}


def _run_rtl(
    design: Design, engine: ModuleType, paths: list[Path], inputs: list[Ints], workdir: Path, say: Progress
) -> tuple[list[Ints], dict[str, Any]]:
    circuit = design.circuit
    simulation = engine.simulate(
        paths,
        design.module,
        packed(circuit.inputs, inputs),
        {bus.name: bus.width for bus in (*circuit.inputs, *circuit.outputs)},
        circuit.latency,
        workdir=workdir,
        progress=say,
    )
    facts = {"tool": simulation.tool, "cycles": simulation.cycles}
    return unpacked(circuit.outputs, simulation.outputs), facts


def _run_cpp(
    design: Design, engine: ModuleType, _paths: list[Path], inputs: list[Ints], workdir: Path, say: Progress
) -> tuple[list[Ints], dict[str, Any]]:
    ports = design.program.outputs
    names = bus_names("y", len(ports))
    result = engine.run_codes(
        design.files,
        dict(zip(bus_names("x", len(inputs)), inputs, strict=True)),
        {name: len(port.index) for name, port in zip(names, ports, strict=True)},
        workdir=workdir,
        progress=say,
    )
    return [result.outputs[name] for name in names], {"tool": result.tool}


def _compare(got: Sequence[Ints], expected: Sequence[Ints]) -> dict[str, Any]:
    wrong = np.zeros(len(expected[0]), bool)
    for a, b in zip(got, expected, strict=True):
        wrong |= np.any(a != b, axis=1)
    result: dict[str, Any] = {"vectors": len(wrong), "mismatches": int(wrong.sum())}
    if wrong.any():
        result["first"] = int(np.argmax(wrong))
    return result


def packed(buses: Sequence[Bus], codes: Sequence[Ints]) -> dict[str, Words]:
    """Codes (N, elements) per port as packed words per bus; elements of no bits are left out."""
    words = {}
    for bus, values in zip(buses, codes, strict=True):
        kept = bus.widths > 0
        if kept.any():
            words[bus.name] = pack(values[:, kept], bus.widths[kept].tolist())
        else:
            words[bus.name] = np.zeros((len(values), 1), np.uint64)
    return words


def unpacked(buses: Sequence[Bus], words: Mapping[str, Words]) -> list[Ints]:
    """Packed words per output bus as codes (N, elements) per port."""
    return [unpack(words[bus.name], bus.widths.tolist(), bus.signed.tolist()) for bus in buses]
