"""Lattice Radiant: a script that makes the project (.rdf) and runs it, for iCE40 UltraPlus and the Nexus families.

The core lies between shift registers, since its ports do not fit a package.
"""

from __future__ import annotations

from hardwire.projects import Project
from hardwire.projects._harness import harness, harness_name
from hardwire.projects._parts import part_of
from hardwire.projects._sources import clock_constraint, sources
from hardwire.projects._tcl import HERE, above, beside, word

NAME = "radiant"
TITLE = "Lattice Radiant: iCE40 UltraPlus and Nexus, core between shift registers"
BACKENDS = ("verilog", "vhdl")

PARTS = {"ice40-up5k": "iCE40UP5K-SG48I"}


def emit(project: Project) -> dict[str, str]:
    """Write `build.tcl`, the harness, `Makefile` and, where the design has none that fits, `clock.sdc`."""
    part = part_of(project, TITLE, PARTS, "LIFCL-40-9BG400C")
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
    lines = [
        f"# {project.top}: synthesis, place and route, timing of {top}; all goes to out/ beside this file.",
        "#   radiantc build.tcl   from any directory, with the script's path",
        HERE,
        "set out [file join $here out]",
        "file delete -force $out",
        "file mkdir $out",
        "cd $out",
        "",
        f"prj_create -name {word(project.name)} -impl impl_1 -dev {word(part)} -synthesis lse",
        *(f"prj_add_source {above(file.name)} -work work" for file in hdl),
        f"prj_add_source {beside(around)} -work work",
        f"prj_add_source {constraints}",
        f"prj_set_impl_opt -impl impl_1 top {word(top)}",
        *(
            ["prj_set_strategy_value -strategy Strategy1 lse_vhdl2008=True"]
            if any(file.language == "vhdl" for file in hdl)
            else []
        ),
        "prj_save",
        "prj_run_synthesis",
        "prj_run_map",
        "prj_run_par",
        "prj_save",
        "prj_close",
        'puts "hardwire: reports are in [file join $out impl_1]"',
    ]
    return "\n".join(lines) + "\n"


_MAKEFILE = """\
# make -C radiant   synthesis, place and route, timing; all goes to out/
RADIANTC ?= radiantc

.PHONY: all clean
all:
\t$(RADIANTC) build.tcl

clean:
\trm -rf out
"""
