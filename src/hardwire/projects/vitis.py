"""AMD Vitis HLS and Vivado HLS: C simulation, synthesis, co-simulation and the IP, by the back end's own script.

The back end `hls-vitis` writes `build_hls.tcl`, which runs by itself; the project calls it for a part and a clock, with
every step.
"""

from __future__ import annotations

from hardwire.projects import Project, ProjectError
from hardwire.projects._parts import part_of
from hardwire.projects._tcl import HERE, above, word
from hardwire.targets._amd_parts import PARTS

NAME = "vitis"
TITLE = "AMD Vitis HLS: simulation, synthesis, co-simulation, IP"
BACKENDS = ("hls-vitis",)

_SCRIPT = "build_hls.tcl"


def emit(project: Project) -> dict[str, str]:
    """Write `build.tcl` and `Makefile`; raises `ProjectError` where the back end's script is not among the sources."""
    if _SCRIPT not in project.files:
        raise ProjectError(
            f"design {project.name!r} brings no {_SCRIPT}, which project {NAME!r} runs",
            hint="compile it with --backend hls-vitis",
        )
    part = part_of(project, TITLE, PARTS, "xcku5p-ffvb676-2-e")
    settings = f"top={project.top} part={part} period={1000.0 / project.clock_mhz:.3f}"
    lines = [
        f"# {project.top}: C simulation, synthesis, co-simulation with the same vectors, and the IP.",
        "#   vitis-run --mode hls --tcl build.tcl   (2023.2 and later)   from any directory, with the script's path",
        "#   vitis_hls -f build.tcl                 (2020 to 2023)",
        "#   vivado_hls -f build.tcl                (before)",
        "# Results lie beside the sources, in the folder named after the top, _hls behind it.",
        HERE,
        f"set argv [list csim=1 csynth=1 cosim=1 export=1 {word(settings)}]",
        f"source {above(_SCRIPT)}",
    ]
    return {f"{NAME}/build.tcl": "\n".join(lines) + "\n", f"{NAME}/Makefile": _MAKEFILE}


_MAKEFILE = """\
# make -C vitis                                  every step
# make -C vitis HLS='vitis-run --mode hls --tcl'  with 2023.2 and later
HLS ?= vitis_hls -f

.PHONY: all
all:
\t$(HLS) build.tcl
"""
