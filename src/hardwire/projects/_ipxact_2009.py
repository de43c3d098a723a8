"""The component of IEEE 1685-2009, with what AMD Vivado looks for in it.

Vivado knows AXI4-Stream, clock and reset as `xilinx.com:interface:axis:1.0`, `xilinx.com:signal:clock:1.0` and
`xilinx.com:signal:reset:1.0`; the clock names the streams and the reset that go with it (AMD UG1118).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from hardwire.projects import Project
from hardwire.projects._component import (
    LIBRARY,
    VENDOR,
    Files,
    Xml,
    description,
    document,
    settable,
    version_of,
)
from hardwire.wrappers._interface import HdlPort, Interface, Parameter, Stream

NAMESPACE = "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"
_FAMILIES = (
    *("artix7", "kintex7", "spartan7", "virtex7", "zynq", "kintexu", "virtexu"),
    *("artixuplus", "kintexuplus", "virtexuplus", "virtexuplusHBM", "zynquplus", "versal"),
)
_TYPES = {
    "verilog": ("fileType", "verilogSource"),
    "systemverilog": ("fileType", "systemVerilogSource"),
    "vhdl": ("userFileType", "vhdlSource-2008"),
}
_x = Xml("spirit")


def component(project: Project, interface: Interface, files: Files, scoped: Sequence[str], gui: Sequence[str]) -> str:
    """The text of `component.xml`; `scoped` are constraints for inside a larger design, `gui` Vivado's page."""
    version, revision = version_of(project)
    languages = {"vhdl" if hdl.language == "vhdl" else "verilog" for hdl in files.synthesis}
    language = "verilog" if "verilog" in languages else "vhdl"
    source = f"{language}Source" if len(languages) == 1 else ""
    sets = {
        "synthesis": [
            *(_file(hdl.name, _TYPES[hdl.language]) for hdl in files.synthesis),
            # A clock on the component's own port: right for a run of its own, wrong inside a design.
            *(_xdc(name, "out_of_context") for name in files.constraints if name.endswith(".xdc")),
            *(_xdc(name, "implementation") for name in scoped),
        ],
        "simulation": [_file(hdl.name, _TYPES[hdl.language]) for hdl in files.synthesis],
        "constraints": [_other(name) for name in files.constraints],
        "testbench": [_other(name) for name in files.bench],
        "documents": [_other(name) for name in files.documents],
        "xgui": [_file(name, ("fileType", "tclSource"), ("userFileType", "XGUI_VERSION_2")) for name in gui],
    }
    sets = {name: members for name, members in sets.items() if members}
    views = [
        _view("synthesis", f"{source}:vivado.xilinx.com:synthesis", language, project.top, "synthesis"),
        _view("simulation", f"{source}:vivado.xilinx.com:simulation", language, project.top, "simulation"),
    ]
    if gui:
        views.append(
            _x("view", _x("name", "xgui"), _x("envIdentifier", ":vivado.xilinx.com:xgui.ui"), _fileset_ref("xgui"))
        )
    parameters = settable(interface)
    root = _x(
        "component",
        _x("vendor", VENDOR),
        _x("library", LIBRARY),
        _x("name", project.top),
        _x("version", version),
        _x("busInterfaces", *_buses(interface)),
        _x(
            "model",
            _x("views", *views),
            _x("ports", *(_port(port, interface) for port in interface.ports)),
            _x("modelParameters", *(_model_parameter(p) for p in parameters)) if parameters else None,
        ),
        _x("fileSets", *(_x("fileSet", _x("name", name), *members) for name, members in sets.items())),
        _x("description", description(project, interface)),
        _x("parameters", *(_parameter(p, k) for k, p in enumerate(parameters, 2)), _component_name(project, version)),
        _extensions(project, revision),
    )
    root.set("xmlns:spirit", NAMESPACE)
    root.set("xmlns:xilinx", "http://www.xilinx.com")
    root.set("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
    return document(root, f"IP-XACT (IEEE 1685-2009) of {project.top}")


def _buses(interface: Interface) -> list[ET.Element]:
    streams = [stream for stream in interface.streams if stream.protocol == "axi4-stream"]
    found = [_stream(stream) for stream in streams]
    polarity = "ACTIVE_LOW" if interface.reset_active_low else "ACTIVE_HIGH"
    found.append(_signal(interface.reset, "reset", "RST", {"POLARITY": polarity}))
    associated = {"ASSOCIATED_RESET": interface.reset}
    if streams:
        associated = {"ASSOCIATED_BUSIF": ":".join(stream.name for stream in streams), **associated}
    found.append(_signal(interface.clock, "clock", "CLK", associated))
    return found


def _stream(stream: Stream) -> ET.Element:
    return _x(
        "busInterface",
        _x("name", stream.name),
        _x("busType", vendor="xilinx.com", library="interface", name="axis", version="1.0"),
        _x("abstractionType", vendor="xilinx.com", library="interface", name="axis_rtl", version="1.0"),
        _x(stream.role),
        _x("portMaps", *(_port_map(logical, port) for logical, port in stream.signals.items())),
    )


def _signal(port: str, kind: str, logical: str, parameters: dict[str, str]) -> ET.Element:
    entries = [
        _x("parameter", _x("name", name), _x("value", value, id=f"BUSIFPARAM_VALUE.{port.upper()}.{name}"))
        for name, value in parameters.items()
    ]
    return _x(
        "busInterface",
        _x("name", port),
        _x("busType", vendor="xilinx.com", library="signal", name=kind, version="1.0"),
        _x("abstractionType", vendor="xilinx.com", library="signal", name=f"{kind}_rtl", version="1.0"),
        _x("slave"),
        _x("portMaps", _port_map(logical, port)),
        _x("parameters", *entries),
    )


def _port_map(logical: str, port: str) -> ET.Element:
    return _x("portMap", _x("logicalPort", _x("name", logical)), _x("physicalPort", _x("name", port)))


def _view(name: str, environment: str, language: str, top: str, files: str) -> ET.Element:
    return _x(
        "view",
        _x("name", name),
        _x("envIdentifier", environment),
        _x("language", language),
        _x("modelName", top),
        _fileset_ref(files),
    )


def _fileset_ref(name: str) -> ET.Element:
    return _x("fileSetRef", _x("localName", name))


def _port(port: HdlPort, interface: Interface) -> ET.Element:
    vector = None
    if port.width is not None:
        left = _x("left", str(port.width - 1), format="long")
        if port.width_expression is not None:
            names = "|".join(parameter.name for parameter in interface.parameters)
            value = re.sub(rf"\b({names})\b", r"spirit:decode(id('MODELPARAM_VALUE.\1'))", port.width_expression)
            left.set("spirit:resolve", "dependent")
            left.set("spirit:dependency", f"(({value}) - 1)")
        vector = _x("vector", left, _x("right", "0", format="long"))
    types = _x(
        "wireTypeDefs",
        _x(
            "wireTypeDef",
            _x("typeName", "wire"),
            _x("viewNameRef", "synthesis"),
            _x("viewNameRef", "simulation"),
        ),
    )
    return _x("port", _x("name", port.name), _x("wire", _x("direction", port.direction), vector, types))


def _value(parameter: Parameter, resolve: str, kind: str, order: int | None = None) -> ET.Element:
    value = _x("value", str(parameter.default), format="long", resolve=resolve, id=f"{kind}.{parameter.name}")
    if order is not None:
        value.set("spirit:order", str(order))
        value.set("spirit:minimum", str(parameter.minimum))
        value.set("spirit:rangeType", "long")
    return value


def _model_parameter(parameter: Parameter) -> ET.Element:
    element = _x(
        "modelParameter",
        _x("name", parameter.name),
        _x("displayName", parameter.name),
        _x("description", parameter.meaning),
        _value(parameter, "generated", "MODELPARAM_VALUE"),
    )
    element.set("spirit:dataType", "integer")
    return element


def _parameter(parameter: Parameter, order: int) -> ET.Element:
    return _x(
        "parameter",
        _x("name", parameter.name),
        _x("displayName", parameter.name),
        _x("description", parameter.meaning),
        _value(parameter, "user", "PARAM_VALUE", order),
    )


def _component_name(project: Project, version: str) -> ET.Element:
    value = _x("value", f"{project.top}_v{version.replace('.', '_')}", resolve="user")
    value.set("spirit:id", "PARAM_VALUE.Component_Name")
    value.set("spirit:order", "1")
    return _x("parameter", _x("name", "Component_Name"), value)


def _file(name: str, *types: tuple[str, str]) -> ET.Element:
    return _x("file", _x("name", name), *(_x(tag, text) for tag, text in types))


def _xdc(name: str, used_in: str) -> ET.Element:
    return _file(name, ("userFileType", "xdc"), ("userFileType", f"USED_IN_{used_in}"))


def _other(name: str) -> ET.Element:
    if name.endswith(".sdc"):
        return _file(name, ("fileType", "SDC"))
    return _file(name, ("userFileType", name.rpartition(".")[2]))


def _extensions(project: Project, revision: str) -> ET.Element:
    x = Xml("xilinx")
    families = [x("family", family) for family in _FAMILIES]
    for family in families:
        family.set("xilinx:lifeCycle", "Production")
    return _x(
        "vendorExtensions",
        x(
            "coreExtensions",
            x("supportedFamilies", *families),
            x("taxonomies", x("taxonomy", "/UserIP")),
            x("displayName", project.top),
            x("coreRevision", revision),
        ),
    )
