"""Edalize: any of the tools that it drives, those above all that have no project of their own here.

Writes the design as EDAM, Edalize's own description, and a script that hands it to `edalize` for a tool: ISE, Efinity,
Icestorm, Trellis, Mistral, Design Compiler and the rest of its list. Its flows are made for boards: they end in a
bitstream, and write neither an out-of-context run nor timing reports; hence the projects of their own for the vendors
that have one here. Ports do not fit a package, so that the design lies between shift registers, unless it is to be
bare. Edalize hands no VHDL to Yosys, and none of 2008 to GowinEDA.
"""

from __future__ import annotations

import json

from hardwire.projects import Project
from hardwire.projects._harness import harness, harness_name
from hardwire.projects._sources import clock_constraint, sources

NAME = "edalize"
TITLE = "Edalize: EDAM for its tools, core between shift registers"
BACKENDS = ("verilog", "vhdl")

_TYPES = {"verilog": "verilogSource", "systemverilog": "systemVerilogSource", "vhdl": "vhdlSource-2008"}


def emit(project: Project) -> dict[str, str]:
    """Write `edam.json`, `run.py`, the harness, and clock constraints where the design has none that fit."""
    around, text = harness(project)
    files = {f"{NAME}/{around}": text, f"{NAME}/run.py": _RUN}
    edam_files = [{"name": f"../{hdl.name}", "file_type": _TYPES[hdl.language]} for hdl in sources(project)]
    edam_files.append({"name": around, "file_type": _TYPES["vhdl" if around.endswith(".vhd") else "verilog"]})
    for suffix, kind in ((".sdc", "SDC"), (".xdc", "xdc"), (".lpf", "LPF")):
        found, constraint = clock_constraint(project, suffix, clock_alone=True)
        if found is None:
            files[f"{NAME}/clock{suffix}"] = constraint
        edam_files.append({"name": f"clock{suffix}" if found is None else f"../{found}", "file_type": kind})
    edam = {"name": project.name, "toplevel": harness_name(project), "core": project.top, "files": edam_files}
    files[f"{NAME}/edam.json"] = json.dumps(edam, indent=1) + "\n"
    return files


_RUN = '''\
"""Runs a tool on the design through Edalize (pip install edalize), from any directory:

    python run.py TOOL [OPTION=VALUE ...] [--bare] [--configure]

for one, python run.py trellis "nextpnr_options=--85k --package CABGA756". Options are the tool's, as Edalize's
documentation lists them; several words make a list where the tool wants one. --bare leaves out the shift registers
around the design, --configure writes the tool's files without running it. Everything goes to out-TOOL/ beside this
script.
"""

import importlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONSTRAINTS = {"vivado": "xdc", "diamond": "LPF", "trellis": "LPF"}
NO_TOOLS = ("edaflow", "generic", "gls", "lint", "sim")


def flow_of(tool):
    """Edalize's flow of that name, its newer interface; None for a tool that it has a backend for instead."""
    try:
        return getattr(importlib.import_module(f"edalize.flows.{tool}"), tool.capitalize())
    except ImportError:
        return None


def main(words):
    flags = [word for word in words if word.startswith("--") and "=" not in word]
    if not words or words[0].startswith("-") or set(flags) - {"--bare", "--configure"}:
        sys.exit(__doc__)
    try:
        from edalize.edatool import get_edatool
    except ImportError:
        sys.exit("edalize is not installed: pip install edalize")
    tool = words[0]
    edam = json.loads((HERE / "edam.json").read_text(encoding="utf-8"))
    core = edam.pop("core")
    if "--bare" in flags:
        harness = [file for file in edam["files"] if Path(file["name"]).stem == edam["toplevel"]]
        edam["files"] = [file for file in edam["files"] if file not in harness]
        edam["toplevel"] = core
    kind = CONSTRAINTS.get(tool, "SDC")
    edam["files"] = [file for file in edam["files"] if file["file_type"] not in {"xdc", "LPF", "SDC"} - {kind}]
    for file in edam["files"]:
        file["name"] = "../" + file["name"]
    flow = None if tool in NO_TOOLS else flow_of(tool)
    if flow is None:
        try:
            backend = get_edatool(tool)
        except Exception as error:
            sys.exit(f"edalize: {error}")
        lists = {member["name"] for member in backend.get_doc(0).get("lists", [])}
    else:
        backend = flow
        known = {**flow.get_flow_options(), **flow.get_tool_options({})}
        lists = {name for name, option in known.items() if option.get("list")}
    options = {}
    for word in words[1:]:
        if word not in flags:
            key, _, value = word.partition("=")
            options[key] = value.split() if key in lists else value
    edam["flow_options" if flow else "tool_options"] = options if flow else {tool: options}
    work = HERE / f"out-{tool}"
    work.mkdir(exist_ok=True)
    try:
        run = backend(edam=edam, work_root=str(work))
        run.configure()
        if "--configure" not in flags:
            run.build()
    except RuntimeError as error:
        sys.exit(f"{tool}: {error}")
    print(f"hardwire: {tool} worked in {work}")


if __name__ == "__main__":
    main(sys.argv[1:])
'''
