"""AMD Vivado: synthesis and implementation without a project file, and a script that makes a project to look at.

The core is implemented out of context: its ports are wider than a package has pins, and get no buffers.
"""

from __future__ import annotations

from hardwire.projects import Project
from hardwire.projects._parts import part_of
from hardwire.projects._sources import clock_constraint, sources
from hardwire.projects._tcl import HERE, above, beside, word
from hardwire.targets._amd_parts import PARTS

NAME = "vivado"
TITLE = "AMD Vivado: synthesis, place and route out of context"
BACKENDS = ("verilog", "vhdl")

_READ = {"verilog": "read_verilog", "systemverilog": "read_verilog -sv", "vhdl": "read_vhdl -vhdl2008"}
_TYPES = {"verilog": "Verilog", "systemverilog": "SystemVerilog", "vhdl": "VHDL 2008"}


def emit(project: Project) -> dict[str, str]:
    """Write `build.tcl`, `open_project.tcl`, `Makefile` and, where the design has none that fits, `clock.xdc`."""
    part = part_of(project, TITLE, PARTS, "xcku5p-ffvb676-2-e")
    found, text = clock_constraint(project, ".xdc")
    constraints = beside("clock.xdc") if found is None else above(found)
    files = {
        f"{NAME}/build.tcl": _build(project, part, constraints),
        f"{NAME}/open_project.tcl": _open(project, part, constraints),
        f"{NAME}/Makefile": _MAKEFILE,
    }
    return files | ({f"{NAME}/clock.xdc": text} if found is None else {})


def _build(project: Project, part: str, constraints: str) -> str:
    lines = [
        f"# {project.top}: synthesis, place and route; reports and checkpoints go to out/ beside this file.",
        "#   vivado -mode batch -source build.tcl                from any directory",
        "#   vivado -mode batch -source build.tcl -tclargs PART  for another part",
        HERE,
        "set out [file join $here out]",
        f"set part {word(part)}",
        "if {[info exists argv] && [llength $argv] > 0} {set part [lindex $argv 0]}",
        "file mkdir $out",
        "",
        "create_project -in_memory -part $part",
        *(f"{_READ[hdl.language]} {above(hdl.name)}" for hdl in sources(project)),
        f"read_xdc {constraints}",
        "",
        "# A top whose ports are pins of a board takes -mode default.",
        f"synth_design -top {word(project.top)} -part $part -mode out_of_context",
        "write_checkpoint -force [file join $out synthesis.dcp]",
        "report_utilization -file [file join $out utilization_synthesis.rpt]",
        "",
        "opt_design",
        "place_design",
        "phys_opt_design",
        "route_design",
        "write_checkpoint -force [file join $out routed.dcp]",
        "report_utilization -file [file join $out utilization.rpt]",
        "report_timing_summary -max_paths 10 -file [file join $out timing_summary.rpt]",
        'puts "hardwire: reports are in $out"',
    ]
    return "\n".join(lines) + "\n"


def _open(project: Project, part: str, constraints: str) -> str:
    lines = [
        f"# {project.top}: makes the project out/{project.name}.xpr, to look at in the window.",
        "#   vivado -source open_project.tcl",
        HERE,
        f"set part {word(part)}",
        f"create_project -force -part $part {word(project.name)} [file join $here out]",
    ]
    for hdl in sources(project):
        lines += [
            f"add_files -norecurse {above(hdl.name)}",
            f"set_property file_type {word(_TYPES[hdl.language])} [get_files {above(hdl.name)}]",
        ]
    lines += [
        f"add_files -fileset constrs_1 -norecurse {constraints}",
        f"set_property top {word(project.top)} [current_fileset]",
        "set_property -name {STEPS.SYNTH_DESIGN.ARGS.MORE OPTIONS} -value {-mode out_of_context} "
        "-objects [get_runs synth_1]",
        "update_compile_order -fileset sources_1",
    ]
    return "\n".join(lines) + "\n"


_MAKEFILE = """\
# make -C vivado          synthesis, place and route; reports go to out/
# make -C vivado project  a project for the window
VIVADO ?= vivado

.PHONY: all project clean
all:
\tmkdir -p out
\t$(VIVADO) -mode batch -nojournal -log out/build.log -source build.tcl

project:
\tmkdir -p out
\t$(VIVADO) -mode batch -nojournal -log out/project.log -source open_project.tcl

clean:
\trm -rf out .Xil
"""
