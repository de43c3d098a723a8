"""Microchip Libero SoC: a script that makes the project and runs it, for PolarFire and PolarFire SoC.

The core lies between shift registers, since Libero places only designs whose ports fit a package.
"""

from __future__ import annotations

import re

from hardwire.projects import Project, ProjectError
from hardwire.projects._harness import harness, harness_name
from hardwire.projects._parts import part_of
from hardwire.projects._sources import clock_constraint, sources
from hardwire.projects._tcl import HERE, above, beside, word

NAME = "libero"
TITLE = "Microchip Libero SoC: PolarFire, core between shift registers"
BACKENDS = ("verilog", "vhdl")

PARTS: dict[str, str] = {}
"""No target of hardwire's is a Microchip part: `--part` names one."""
_EXAMPLE = "MPF300T-1FCG1152I"
_RANGES = {"": "COM", "E": "EXT", "I": "IND", "M": "MIL"}


def emit(project: Project) -> dict[str, str]:
    """Write `build.tcl`, the harness, `Makefile` and, where the design has none that fits, `clock.sdc`."""
    device = _device(part_of(project, TITLE, PARTS, _EXAMPLE))
    around, text = harness(project)
    found, clock = clock_constraint(project, ".sdc", clock_alone=True)
    constraints = beside("clock.sdc") if found is None else above(found)
    files = {
        f"{NAME}/build.tcl": _build(project, device, around, constraints),
        f"{NAME}/{around}": text,
        f"{NAME}/Makefile": _MAKEFILE,
    }
    return files | ({f"{NAME}/clock.sdc": clock} if found is None else {})


def _device(part: str) -> dict[str, str]:
    """A part number such as MPF300T-1FCG1152I taken apart as Libero wants it."""
    match = re.fullmatch(r"(MPFS?\d+T[SL]*)-(\d?)([A-Z]+\d+)([EIM]?)", part)
    if match is None:
        raise ProjectError(
            f"{part!r} is no part number of PolarFire or PolarFire SoC", hint=f"device-speed package range: {_EXAMPLE}"
        )
    die, speed, package, grade = match.groups()
    return {
        "family": "PolarFireSoC" if die.startswith("MPFS") else "PolarFire",
        "die": die,
        "package": package,
        "speed": f"-{speed}" if speed else "STD",
        "part_range": _RANGES[grade],
    }


def _build(project: Project, device: dict[str, str], around: str, constraints: str) -> str:
    top = harness_name(project)
    language = "VHDL" if around.endswith(".vhd") else "VERILOG"
    root = f"{{{top}::work}}"
    lines = [
        f"# {project.top}: synthesis, place and route, timing of {top}; all goes to out/ beside this file.",
        "#   libero SCRIPT:build.tcl   from any directory, with the script's path",
        HERE,
        "set out [file join $here out]",
        "file delete -force $out",
        "",
        "new_project \\",
        "    -location $out \\",
        f"    -name {word(project.name)} \\",
        "    -project_description {} \\",
        f"    -hdl {language} \\",
        *(f"    -{key} {{{value}}} \\" for key, value in device.items()),
        "    -die_voltage {1.0}",
        f"set sources [list {' '.join(above(hdl.name) for hdl in sources(project))} {beside(around)}]",
        f"set constraints {constraints}",
        "foreach source $sources {create_links -hdl_source $source}",
        "create_links -sdc $constraints",
        "build_design_hierarchy",
        f"set_root -module {root}",
        "foreach tool {SYNTHESIZE PLACEROUTE VERIFYTIMING} {",
        f"    organize_tool_files -tool $tool -file $constraints -module {root} -input_type constraint",
        "}",
        "",
        "configure_tool -name VERIFYTIMING -params FORMAT:XML -params MAX_TIMING_MULTI_CORNER:1",
        "run_tool -name SYNTHESIZE",
        "run_tool -name PLACEROUTE",
        "run_tool -name VERIFYTIMING",
        "save_project",
        f'puts "hardwire: reports are in [file join $out designer {top}]"',
    ]
    return "\n".join(lines) + "\n"


_MAKEFILE = """\
# make -C libero   synthesis, place and route, timing; all goes to out/
LIBERO ?= libero

.PHONY: all clean
all:
\t$(LIBERO) SCRIPT:build.tcl

clean:
\trm -rf out
"""
