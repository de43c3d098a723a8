"""The component of IEEE 1685-2014, with Arm's names of the AXI4-Stream bus (`amba.com:AMBA4:AXI4Stream:r0p0_1`).

Arm's bus holds clock and reset among its signals, so each stream says which ones it belongs to.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from hardwire.projects import Project
from hardwire.projects._component import (
    LIBRARY,
    VENDOR,
    Files,
    Xml,
    description,
    document,
    settable,
)
from hardwire.wrappers._interface import HdlPort, Interface, Parameter, Stream

NAMESPACE = "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"
_ARM = {"vendor": "amba.com", "library": "AMBA4", "version": "r0p0_1"}
_TYPES = {"verilog": "verilogSource", "systemverilog": "systemVerilogSource", "vhdl": "vhdlSource"}
_x = Xml("ipxact")


def component(project: Project, interface: Interface, files: Files) -> str:
    """The text of `component_2014.xml`."""
    parameters = settable(interface)
    streams = [stream for stream in interface.streams if stream.protocol == "axi4-stream"]
    sets = {
        "rtl": [_file(hdl.name, _TYPES[hdl.language]) for hdl in files.synthesis],
        "constraints": [_file(name, _other(name)) for name in files.constraints],
        "testbench": [_file(name, _other(name)) for name in files.bench],
        "documents": [_file(name, _other(name)) for name in files.documents],
    }
    language = "vhdl" if all(hdl.language == "vhdl" for hdl in files.synthesis) else "verilog"
    root = _x(
        "component",
        _x("vendor", VENDOR),
        _x("library", LIBRARY),
        _x("name", project.top),
        _x("version", project.version),
        _x("busInterfaces", *(_stream(stream, interface) for stream in streams)) if streams else None,
        _x(
            "model",
            _x(
                "views",
                _x(
                    "view",
                    _x("name", "rtl"),
                    _x("envIdentifier", ":*Synthesis:"),
                    _x("envIdentifier", ":*Simulation:"),
                    _x("componentInstantiationRef", "rtl"),
                ),
            ),
            _x(
                "instantiations",
                _x(
                    "componentInstantiation",
                    _x("name", "rtl"),
                    _x("language", language),
                    _x("moduleName", project.top),
                    _x("moduleParameters", *(_module_parameter(p) for p in parameters)) if parameters else None,
                    _x("fileSetRef", _x("localName", "rtl")),
                ),
            ),
            _x("ports", *(_port(port, interface) for port in interface.ports)),
        ),
        _x("fileSets", *(_x("fileSet", _x("name", name), *members) for name, members in sets.items() if members)),
        _x("description", description(project, interface)),
        _x("parameters", *(_parameter(p) for p in parameters)) if parameters else None,
    )
    root.set("xmlns:ipxact", NAMESPACE)
    return document(root, f"IP-XACT (IEEE 1685-2014) of {project.top}")


def _stream(stream: Stream, interface: Interface) -> ET.Element:
    signals = {"ACLK": interface.clock, "ARESETn": interface.reset, **stream.signals}
    maps = [
        _x("portMap", _x("logicalPort", _x("name", logical)), _x("physicalPort", _x("name", port)))
        for logical, port in signals.items()
    ]
    return _x(
        "busInterface",
        _x("name", stream.name),
        _x("busType", name="AXI4Stream", **_ARM),
        _x(
            "abstractionTypes",
            _x("abstractionType", _x("abstractionRef", name="AXI4Stream_rtl", **_ARM), _x("portMaps", *maps)),
        ),
        _x(stream.role),
    )


def _port(port: HdlPort, interface: Interface) -> ET.Element:
    vectors = None
    if port.width is not None:
        left = str(port.width - 1)
        if port.width_expression is not None:
            names = "|".join(parameter.name for parameter in interface.parameters)
            left = re.sub(rf"\b({names})\b", r"id_\1", port.width_expression) + " - 1"
        vectors = _x("vectors", _x("vector", _x("left", left), _x("right", "0")))
    return _x("port", _x("name", port.name), _x("wire", _x("direction", port.direction), vectors))


def _module_parameter(parameter: Parameter) -> ET.Element:
    return _x(
        "moduleParameter",
        _x("name", parameter.name),
        _x("value", f"id_{parameter.name}"),
        dataType="integer",
    )


def _parameter(parameter: Parameter) -> ET.Element:
    return _x(
        "parameter",
        _x("name", parameter.name),
        _x("description", parameter.meaning),
        _x("value", str(parameter.default)),
        parameterId=f"id_{parameter.name}",
        resolve="user",
        type="int",
        minimum=str(parameter.minimum),
    )


def _file(name: str, kind: str) -> ET.Element:
    if kind.startswith("user:"):
        return _x("file", _x("name", name), _x("fileType", "user", user=kind[5:]))
    return _x("file", _x("name", name), _x("fileType", kind))


def _other(name: str) -> str:
    return "SDC" if name.endswith(".sdc") else f"user:{name.rpartition('.')[2]}"
