"""IP-XACT: a component that vendors' tools take into their catalogues, in two editions of the standard.

`component.xml` is of IEEE 1685-2009, which AMD Vivado reads and writes, with Vivado's names of buses, clock and reset
and its own extensions; `xgui/` is the page on which Vivado asks for the parameters. `component_2014.xml` is of
IEEE 1685-2014 with Arm's names of the buses, for everything else. Both name their files relative to themselves.
"""

from __future__ import annotations

from hardwire.projects import Project
from hardwire.projects._component import files_of, interface_of, settable, version_of
from hardwire.projects._ipxact_2009 import component as component_2009
from hardwire.projects._ipxact_2014 import component as component_2014
from hardwire.wrappers._interface import Interface

NAME = "ipxact"
TITLE = "IP-XACT component (Vivado's IP catalogue; IEEE 1685-2009 and 1685-2014)"
BACKENDS = ("verilog", "vhdl")


def emit(project: Project) -> dict[str, str]:
    """Write `component.xml`, `component_2014.xml` and, where there are parameters, Vivado's page for them.

    Raises `ProjectError` for a version that is no row of numbers or a top that is no wrapper of the design.
    """
    interface, files = interface_of(project), files_of(project)
    gui, scoped = {}, {}
    if settable(interface):
        gui = {f"xgui/{project.top}_v{version_of(project)[0].replace('.', '_')}.tcl": _gui(interface)}
    if any(parameter.name == "RESET_ASYNCHRONOUS" for parameter in interface.parameters):
        scoped = {f"{project.top}_ip.xdc": _SCOPED}
    return {
        "component.xml": component_2009(project, interface, files, tuple(scoped), tuple(gui)),
        "component_2014.xml": component_2014(project, interface, files),
        **scoped,
        **gui,
    }


_SCOPED = """\
# Inside a larger design: an asynchronous reset is not timed up to the registers that catch it.
set_false_path -quiet -to [get_pins -quiet -hierarchical -filter {NAME =~ *reset_pin/*caught_reg*/PRE}]
"""


def _gui(interface: Interface) -> str:
    lines = [
        "# The page on which Vivado asks for the parameters.",
        "proc init_gui { IPINST } {",
        '    ipgui::add_param $IPINST -name "Component_Name"',
        '    set page [ipgui::add_page $IPINST -name "Parameters"]',
        *(f'    ipgui::add_param $IPINST -name "{p.name}" -parent $page' for p in settable(interface)),
        "}",
    ]
    for parameter in settable(interface):
        value, model = f"PARAM_VALUE.{parameter.name}", f"MODELPARAM_VALUE.{parameter.name}"
        low = f"[get_property value ${{{value}}}] >= {parameter.minimum}"
        if parameter.name.endswith("DATA_WIDTH"):
            low += f" && [get_property value ${{{value}}}] % 8 == 0"
        lines += [
            "",
            f"proc update_{value} {{ {value} }} {{",
            "}",
            f"proc validate_{value} {{ {value} }} {{",
            f"    return [expr {{{low}}}]",
            "}",
            f"proc update_{model} {{ {model} {value} }} {{",
            f"    set_property value [get_property value ${{{value}}}] ${{{model}}}",
            "}",
        ]
    return "\n".join(lines) + "\n"
