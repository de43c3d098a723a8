"""The ladder: interpreter = emulator = RTL simulation = synthesised netlist, bit for bit; then the formal proof."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hardwire.errors import DataError, MissingToolError, VerificationError
from hardwire.fixed import Ints
from hardwire.implement import verilog_of
from hardwire.ir import interpreter
from hardwire.ir.program import Program
from hardwire.meaning import meaning
from hardwire.proof.formal import prove
from hardwire.schedule import Bus
from hardwire.stimulus import edge_codes, random_codes
from hardwire.tools import icarus, verilator
from hardwire.tools.bits import Words, pack, unpack
from hardwire.tools.netlist import NetlistSimulator

if TYPE_CHECKING:
    from hardwire.design import Design

Progress = Callable[[str], None]

_SIMULATORS = {"auto": (verilator, icarus), "verilator": (verilator,), "icarus": (icarus,)}
_INTERPRETED = 2000
_ICARUS_LIMIT = 2000
"""Vectors that Icarus gets: it is about three thousand times slower than Verilator."""


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
    skipped in silence. Raises `DataError` for a `simulator` other than auto, verilator and icarus.
    """
    if simulator not in _SIMULATORS:
        raise DataError(f"simulator {simulator!r} is unknown", hint=f"one of {', '.join(_SIMULATORS)}")
    say = progress or (lambda _text: None)
    inputs = _stimulus(design.program, codes, vectors)
    say(f"emulating {len(inputs[0]):,} vectors")
    expected = design.emulator.run(inputs)
    found: dict[str, Any] = {}
    part = [x[:_INTERPRETED] for x in inputs]
    say("interpreting the model's Program")
    found["interpreter"] = _compare(interpreter.run(design.program, part), [y[:_INTERPRETED] for y in expected])
    found["meaning"] = meaning(design.network, design.program, inputs)
    if design.hardware is None:
        return found
    found["emulator_rtl"] = _rtl(design, inputs, expected, folder, simulator, say)
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


def check(found: Mapping[str, Any]) -> None:
    """Raise `VerificationError` if any rung of a `verification` part disagrees or the proof failed."""
    for rung in ("interpreter", "emulator_rtl", "netlist"):
        mismatches = found.get(rung, {}).get("mismatches")
        if mismatches:
            raise VerificationError(
                f"{rung}: {mismatches} of {found[rung]['vectors']} vectors differ", hint="please report this model"
            )
    formal = found.get("formal")
    if formal is not None and not formal["proven"]:
        raise VerificationError(f"formal: {formal['failures'][0]}", hint="please report this model")


def _rtl(
    design: Design, inputs: list[Ints], expected: list[Ints], folder: Path, simulator: str, say: Progress
) -> dict[str, Any]:
    sources = verilog_of(design, folder)
    widths = {bus.name: bus.width for bus in (*design.circuit.inputs, *design.circuit.outputs)}
    tool = _simulator(simulator)
    if tool is None:
        return {"vectors": 0, "mismatches": None, "why": _no_simulator(simulator)}
    count = len(inputs[0]) if tool is verilator else min(_ICARUS_LIMIT, len(inputs[0]))
    chosen = [x[:count] for x in inputs]
    say(f"simulating the Verilog on {count:,} vectors")
    simulation = tool.simulate(
        sources,
        design.module,
        packed(design.circuit.inputs, chosen),
        widths,
        design.circuit.latency,
        workdir=folder / "simulation",
        progress=say,
    )
    got = unpacked(design.circuit.outputs, simulation.outputs)
    return {**_compare(got, [y[:count] for y in expected]), "tool": simulation.tool, "cycles": simulation.cycles}


def _simulator(name: str) -> Any:
    for tool in _SIMULATORS[name]:
        try:
            tool.TOOL.find()
        except MissingToolError:
            continue
        return tool
    return None


def _no_simulator(name: str) -> str:
    tool = icarus if name == "icarus" else verilator
    try:
        tool.TOOL.find()
    except MissingToolError as error:
        return str(error)
    return "found only now"


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
