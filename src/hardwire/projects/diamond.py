"""Lattice Diamond: a script that makes the project (.ldf) and runs it, for ECP5 and the families before it.

The core lies between shift registers, since its ports do not fit a package.
"""

from __future__ import annotations

from hardwire.projects import Project
from hardwire.projects._harness import harness, harness_name
from hardwire.projects._parts import part_of
from hardwire.projects._sources import clock_constraint, sources
from hardwire.projects._tcl import HERE, above, beside, word

NAME = "diamond"
TITLE = "Lattice Diamond: ECP5, core between shift registers"
BACKENDS = ("verilog", "vhdl")

PARTS = {"ecp5-25k": "LFE5U-25F-8BG381C", "ecp5-45k": "LFE5U-45F-8BG554C", "ecp5-85k": "LFE5U-85F-8BG756C"}


def emit(project: Project) -> dict[str, str]:
    """Write `build.tcl`, the harness, `Makefile` and, where the design has none that fits, `clock.lpf`."""
    part = part_of(project, TITLE, PARTS, "LFE5U-85F-8BG381C")
    around, text = harness(project)
    found, clock = clock_constraint(project, ".lpf", clock_alone=True)
    constraints = beside("clock.lpf") if found is None else above(found)
    files = {
        f"{NAME}/build.tcl": _build(project, part, around, constraints),
        f"{NAME}/{around}": text,
        f"{NAME}/Makefile": _MAKEFILE,
    }
    return files | ({f"{NAME}/clock.lpf": clock} if found is None else {})


def _build(project: Project, part: str, around: str, constraints: str) -> str:
    top = harness_name(project)
    hdl = sources(project)
    formats = {"verilog": "Verilog", "systemverilog": "Verilog", "vhdl": "VHDL"}
    lines = [
        f"# {project.top}: synthesis, place and route, timing of {top}; all goes to out/ beside this file.",
        "#   diamondc build.tcl   from any directory, with the script's path (Windows: pnmainc)",
        HERE,
        "set out [file join $here out]",
        "file delete -force $out",
        "file mkdir $out",
        "cd $out",
        "# Diamond writes into its preference file: it gets a copy.",
        f"set preferences [file join $out {word(project.name + '.lpf')}]",
        f"file copy -force {constraints} $preferences",
        "",
        f"prj_project new -name {word(project.name)} -impl impl1 -dev {word(part)} -synthesis synplify "
        "-lpf $preferences",
        *(f"prj_src add -format {formats[file.language]} {above(file.name)}" for file in hdl),
        f"prj_src add {beside(around)}",
        f"prj_impl option top {word(top)}",
        *(
            ["prj_strgy set_value -strategy Strategy1 syn_vhdl2008=True"]
            if any(file.language == "vhdl" for file in hdl)
            else []
        ),
        "prj_project save",
        "prj_run Synthesis -impl impl1",
        "prj_run Map -impl impl1",
        "prj_run PAR -impl impl1",
        "prj_run PAR -impl impl1 -task PARTrace",
        "prj_project save",
        "prj_project close",
        'puts "hardwire: reports are in [file join $out impl1]"',
    ]
    return "\n".join(lines) + "\n"


_MAKEFILE = """\
# make -C diamond   synthesis, place and route, timing; all goes to out/
DIAMONDC ?= diamondc

.PHONY: all clean
all:
\t$(DIAMONDC) build.tcl

clean:
\trm -rf out
"""
