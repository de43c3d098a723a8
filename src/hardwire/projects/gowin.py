"""GowinEDA: a script for gw_sh that makes the project and runs it.

The core lies between shift registers, since its ports do not fit a package.
"""

from __future__ import annotations

from hardwire.projects import Project
from hardwire.projects._harness import harness, harness_name
from hardwire.projects._parts import part_of
from hardwire.projects._sources import clock_constraint, sources
from hardwire.projects._tcl import HERE, above, beside, word

NAME = "gowin"
TITLE = "GowinEDA: GW1N and GW2A, core between shift registers"
BACKENDS = ("verilog", "vhdl")

PARTS = {"gowin-gw1nr9": "GW1NR-LV9QN88PC6/I5", "gowin-gw2ar18": "GW2AR-LV18QN88C8/I7"}
_VERSIONS = {"GW1NR-LV9QN88PC6/I5": "C", "GW2AR-LV18QN88C8/I7": "C"}
"""The revision of the silicon that small boards carry, which the part number leaves open."""


def emit(project: Project) -> dict[str, str]:
    """Write `build.tcl`, the harness, `Makefile` and, where the design has none that fits, `clock.sdc`."""
    part = part_of(project, TITLE, PARTS, "GW2A-LV18PG256C8/I7")
    around, text = harness(project)
    found, clock = clock_constraint(project, ".sdc", clock_alone=True)
    constraints = beside("clock.sdc") if found is None else above(found)
    files = {
        f"{NAME}/build.tcl": _build(project, part, around, constraints),
        f"{NAME}/{around}": text,
        f"{NAME}/Makefile": _MAKEFILE,
    }
    return files | ({f"{NAME}/clock.sdc": clock} if found is None else {})


def _build(project: Project, part: str, around: str, constraints: str) -> str:
    top = harness_name(project)
    hdl = sources(project)
    version = f" -device_version {_VERSIONS[part]}" if part in _VERSIONS else ""
    types = {"verilog": "verilog", "systemverilog": "verilog", "vhdl": "vhdl"}
    languages = {file.language for file in hdl}
    lines = [
        f"# {project.top}: synthesis, place and route, timing of {top}; all goes to out/ beside this file.",
        "#   gw_sh build.tcl   from any directory, with the script's path",
        HERE,
        "set out [file join $here out]",
        "file mkdir $out",
        "",
        f"create_project -name {word(project.name)} -dir $out -pn {word(part)}{version} -force",
        *(f"add_file -type {types[file.language]} {above(file.name)}" for file in hdl),
        f"add_file -type {'vhdl' if around.endswith('.vhd') else 'verilog'} {beside(around)}",
        f"add_file -type sdc {constraints}",
        f"set_option -top_module {word(top)}",
        *(["set_option -vhdl_std vhd2008"] if "vhdl" in languages else []),
        *(["set_option -verilog_std sysv2017"] if "systemverilog" in languages else []),
        "set_option -gen_text_timing_rpt 1",
        "run all",
        f'puts "hardwire: reports are in [file join $out {project.name} impl pnr]"',
    ]
    return "\n".join(lines) + "\n"


_MAKEFILE = """\
# make -C gowin   synthesis, place and route, timing; all goes to out/
GW_SH ?= gw_sh

.PHONY: all clean
all:
\t$(GW_SH) build.tcl

clean:
\trm -rf out
"""
