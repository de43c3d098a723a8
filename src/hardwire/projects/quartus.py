"""Altera (Intel) Quartus Prime, Lite, Standard and Pro: the project files and a script that compiles them.

The core's ports are virtual pins: they are wider than a package has pins.
"""

from __future__ import annotations

from hardwire.projects import Project
from hardwire.projects._parts import part_of
from hardwire.projects._sources import clock_constraint, clock_pin, pins, sources
from hardwire.projects._tcl import HERE

NAME = "quartus"
TITLE = "Altera Quartus Prime: compilation with virtual pins"
BACKENDS = ("verilog", "vhdl")

PARTS: dict[str, str] = {}
"""No target of hardwire's is an Altera part: `--part` names one."""
_TYPES = {"verilog": "VERILOG_FILE", "systemverilog": "SYSTEMVERILOG_FILE", "vhdl": "VHDL_FILE"}
_FAMILIES = {
    "10AS": "Arria 10",
    "10AT": "Arria 10",
    "10AX": "Arria 10",
    "10CL": "Cyclone 10 LP",
    "10CX": "Cyclone 10 GX",
    "10M": "MAX 10",
    "1SD": "Stratix 10",
    "1SG": "Stratix 10",
    "1SM": "Stratix 10",
    "1SX": "Stratix 10",
    "1ST": "Stratix 10",
    "5AG": "Arria V",
    "5AS": "Arria V",
    "5CE": "Cyclone V",
    "5CG": "Cyclone V",
    "5CS": "Cyclone V",
    "5SG": "Stratix V",
    "EP4CE": "Cyclone IV E",
    "EP4CGX": "Cyclone IV GX",
}
"""Families whose name does not depend on Quartus' version; for others `build.tcl` asks Quartus."""


def emit(project: Project) -> dict[str, str]:
    """Write `NAME.qpf`, `NAME.qsf`, `build.tcl`, `Makefile` and, where the design has none that fits, `clock.sdc`."""
    part = part_of(project, TITLE, PARTS, "10CX220YF780E5G")
    found, text = clock_constraint(project, ".sdc")
    files = {
        f"{NAME}/{project.name}.qpf": f'PROJECT_REVISION = "{project.name}"\n',
        f"{NAME}/{project.name}.qsf": _settings(project, part, "clock.sdc" if found is None else f"../{found}"),
        f"{NAME}/build.tcl": _build(project, part),
        f"{NAME}/Makefile": _MAKEFILE,
    }
    return files | ({f"{NAME}/clock.sdc": text} if found is None else {})


def _settings(project: Project, part: str, constraints: str) -> str:
    clock, hdl = clock_pin(project), sources(project)
    family = next((name for start, name in _FAMILIES.items() if part.upper().startswith(start)), None)
    lines = [f'set_global_assignment -name FAMILY "{family}"'] if family else []
    lines += [
        f"set_global_assignment -name DEVICE {part}",
        f"set_global_assignment -name TOP_LEVEL_ENTITY {project.top}",
        "set_global_assignment -name PROJECT_OUTPUT_DIRECTORY out",
        *(["set_global_assignment -name VHDL_INPUT_VERSION VHDL_2008"] if _has_vhdl(project) else []),
        *(f'set_global_assignment -name {_TYPES[file.language]} "../{file.name}"' for file in hdl),
        f'set_global_assignment -name SDC_FILE "{constraints}"',
    ]
    for pin in pins(project):
        if pin.name != clock:
            which = f'"{pin.name}[*]"' if pin.vector else pin.name
            lines.append(f"set_instance_assignment -name VIRTUAL_PIN ON -to {which}")
    return "\n".join(lines) + "\n"


def _has_vhdl(project: Project) -> bool:
    return any(hdl.language == "vhdl" for hdl in sources(project))


def _build(project: Project, part: str) -> str:
    lines = [
        f"# {project.top}: synthesis, place and route, timing; reports go to out/ beside this file.",
        "#   quartus_sh -t build.tcl        from any directory",
        "#   quartus_sh -t build.tcl PART   for another part",
        HERE,
        "load_package flow",
        "load_package device",
        "cd $here",
        f"project_open -revision {project.name} {project.name}",
        f"set part {part}",
        "if {[info exists quartus(args)] && [llength $quartus(args)] > 0} {set part [lindex $quartus(args) 0]}",
        "# The family's name differs between versions of Quartus: it knows its own.",
        "if {![catch {get_part_info -family $part} family]} {",
        "    set_global_assignment -name FAMILY [string trim $family {{}}]",
        "}",
        "set_global_assignment -name DEVICE $part",
        "execute_flow -compile",
        "project_close",
        'puts "hardwire: reports are in [file join $here out]"',
    ]
    return "\n".join(lines) + "\n"


_MAKEFILE = """\
# make -C quartus   synthesis, place and route, timing; reports go to out/
QUARTUS_SH ?= quartus_sh

.PHONY: all clean
all:
\t$(QUARTUS_SH) -t build.tcl

clean:
\trm -rf out db qdb incremental_db tmp-clearbox
"""
