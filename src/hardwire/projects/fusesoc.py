"""FuseSoC: a core description (CAPI2) with targets for lint, simulation and synthesis, run by `fusesoc` and edalize."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath

from hardwire.projects import Project
from hardwire.projects._component import (
    LIBRARY,
    VENDOR,
    Files,
    description,
    files_of,
    interface_of,
    settable,
    version_of,
)
from hardwire.targets._amd_parts import PARTS

NAME = "fusesoc"
TITLE = "FuseSoC core: lint, simulation and synthesis by edalize"
BACKENDS = ("verilog", "vhdl")

_TYPES = {"verilog": "verilogSource", "systemverilog": "systemVerilogSource", "vhdl": "vhdlSource-2008"}
_CONSTRAINTS = {".xdc": "xdc", ".sdc": "SDC", ".lpf": "LPF"}


def emit(project: Project) -> dict[str, str]:
    """Write `<top>.core`.

    The targets are `default`; `lint` (Verilator) for Verilog; `sim` where one open simulator takes all sources (Icarus
    Verilog and cocotb, or GHDL); `synth` for an AMD part, and for an ECP5 from Verilog, up to the netlist: the ports of
    most networks are more than a package's pins. Raises `ProjectError` for a version that is no row of numbers.
    """
    version_of(project)
    interface, files = interface_of(project), files_of(project)
    parameters = [parameter.name for parameter in settable(interface)]
    verilog = all(hdl.language != "vhdl" for hdl in files.synthesis)
    bench = _bench(project, files)
    beside = [*files.bench, *(name for name in files.documents if name.endswith("ports.json"))]
    lines = [
        "CAPI=2:",
        f"# {project.top} for FuseSoC: fusesoc --cores-root . core-info {VENDOR}:{LIBRARY}:{project.top}",
        f"name: {json.dumps(f'{VENDOR}:{LIBRARY}:{project.top}:{project.version}')}",
        f"description: {json.dumps(description(project, interface))}",
        "",
        "filesets:",
        *_fileset("rtl", [f"{hdl.name}: {{file_type: {_TYPES[hdl.language]}}}" for hdl in files.synthesis]),
        *_fileset("constraints", [_constraint(name) for name in files.constraints]),
        *_fileset("tb", [f"{name}: {{file_type: user}}" for name in beside] if bench else []),
        "",
        "targets:",
        *_target("default", project.top, ["rtl"], parameters),
    ]
    if verilog:
        lines += _target(
            "lint", project.top, ["rtl"], parameters, "lint", tool="verilator", verilator_options=["-Wall"]
        )
    if bench:
        # The bench runs the simulator itself: its exit status tells whether it passed, edalize's run of cocotb does not
        # (and hooks run in edalize's older interface alone).
        lines += _target("sim", project.top, ["rtl", "tb"], ())
        lines += [f"    default_tool: {bench[0]}", "    hooks:", "      post_run: [bench]"]
    lines += _synthesis(project, parameters, verilog)
    if bench:
        lines += ["", "scripts:", "  bench:", f"    cmd: [sh, -c, {json.dumps(bench[1])}]", "    filesets: [rtl, tb]"]
    if parameters:
        lines += ["", "parameters:"]
    for parameter in settable(interface):
        lines += [
            f"  {parameter.name}:",
            "    datatype: int",
            f"    default: {parameter.default}",
            f"    description: {json.dumps(parameter.meaning)}",
            "    paramtype: vlogparam",
        ]
    return {f"{project.top}.core": "\n".join(lines) + "\n"}


def _fileset(name: str, entries: Sequence[str]) -> list[str]:
    return [f"  {name}:", "    files:", *(f"      - {entry}" for entry in entries)] if entries else []


def _constraint(name: str) -> str:
    return f"{name}: {{file_type: {_CONSTRAINTS[PurePosixPath(name).suffix]}}}"


def _bench(project: Project, files: Files) -> tuple[str, str] | None:
    """The simulator and the command of the bench of the project's top; None where no one simulator takes all."""
    languages = {"vhdl" if hdl.language == "vhdl" else "verilog" for hdl in files.synthesis}
    core = project.top == project.name
    if languages == {"vhdl"} and core and "tb/run.sh" in files.bench:
        return "ghdl", 'exec sh "$FILES_ROOT/tb/run.sh"'
    script = "tb/run.py" if core else f"tb/run_{project.top}.py"
    if languages == {"verilog"} and script in files.bench:
        return "icarus", f'exec python3 "$FILES_ROOT/{script}"'
    return None


def _target(
    name: str,
    top: str,
    filesets: Sequence[str],
    parameters: Sequence[str],
    flow: str | None = None,
    **options: str | list[str],
) -> list[str]:
    lines = [f"  {name}:", f"    filesets: [{', '.join(filesets)}]", f"    toplevel: {top}"]
    if parameters:
        lines.append(f"    parameters: [{', '.join(parameters)}]")
    if flow is not None:
        lines += [f"    flow: {flow}", "    flow_options:"]
        lines += [f"      {key}: {json.dumps(value)}" for key, value in options.items()]
    return lines


def _synthesis(project: Project, parameters: Sequence[str], verilog: bool) -> list[str]:
    family = project.target.family
    if family == "ecp5" and verilog:
        return _target("synth", project.top, ["rtl"], parameters, "trellis", pnr="none")
    part = project.part or PARTS.get(project.target.name)
    if family.startswith("xc") and part is not None:
        sets = ["rtl", "constraints"]
        return _target("synth", project.top, sets, parameters, "vivado", part=part, synth="vivado", pnr="none")
    return []
