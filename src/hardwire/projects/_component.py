"""What a packager says of a design, whatever the format: its interface, its files by purpose, its version."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import PurePosixPath

from hardwire.projects import Project, ProjectError
from hardwire.projects._sources import Hdl, clock_constraint, sources
from hardwire.wrappers._interface import FILE, Interface, Parameter, core_interface, read_interface

VENDOR, LIBRARY = "user.org", "hardwire"
"""The first half of the component's identity: the network is the user's, who may put his own name here."""


@dataclass(frozen=True)
class Files:
    """Relative names by purpose."""

    synthesis: tuple[Hdl, ...]
    constraints: tuple[str, ...]
    bench: tuple[str, ...]
    documents: tuple[str, ...]


def interface_of(project: Project) -> Interface:
    """The interface of the project's top: a wrapper's, or the core's own.

    Raises `ProjectError` for a top that is neither.
    """
    if FILE in project.files:
        interface = read_interface(project.files[FILE])
        if interface.module == project.top:
            return interface
    if project.circuit is None or project.top != project.name:
        raise ProjectError(
            f"top {project.top!r} is neither the design {project.name!r} nor a wrapper of it",
            hint="export the core, or a wrapper by --wrapper",
        )
    return core_interface(project.circuit, project.top)


def files_of(project: Project) -> Files:
    """Sort the project's files; a constraint file of another top than the project's is left out."""
    found = [clock_constraint(project, suffix)[0] for suffix in (".xdc", ".sdc", ".lpf")]
    return Files(
        synthesis=tuple(sources(project)),
        constraints=tuple(name for name in found if name is not None),
        bench=tuple(name for name in sorted(project.files) if PurePosixPath(name).parts[0] == "tb"),
        documents=tuple(name for name in sorted(project.files) if name.endswith((".json", ".md"))),
    )


def settable(interface: Interface) -> list[Parameter]:
    """The parameters that a user may set; one that follows from others is left to the Verilog."""
    return [parameter for parameter in interface.parameters if parameter.expression is None]


def description(project: Project, interface: Interface) -> str:
    """One paragraph for a catalogue."""
    around = "" if interface.wrapper == "none" else f" behind {interface.wrapper}"
    return (
        f"The neural network {project.name} as a fixed circuit{around}: {interface.latency_cycles} clock cycles of "
        f"latency, made for {project.clock_mhz:g} MHz."
    )


def version_of(project: Project) -> tuple[str, str]:
    """`MAJOR.MINOR` and the rest of the version. Raises `ProjectError` for one that is no row of numbers."""
    match = re.fullmatch(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?", project.version)
    if match is None:
        raise ProjectError(f"version {project.version!r} is not of numbers and dots", hint="1.0.0")
    return f"{match[1]}.{match[2] or 0}", match[3] or "0"


class Xml:
    """Makes elements of one namespace, written with its prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def __call__(self, tag: str, *content: ET.Element | str | None, **attributes: str) -> ET.Element:
        """An element of elements and text; None is left out."""
        element = ET.Element(f"{self.prefix}:{tag}")
        for name, value in attributes.items():
            element.set(f"{self.prefix}:{name}" if self.prefix == "spirit" else name, value)
        for part in content:
            if isinstance(part, str):
                element.text = part
            elif part is not None:
                element.append(part)
        return element


def document(root: ET.Element, note: str) -> str:
    """The text of a file."""
    ET.indent(root, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- {note} -->\n{ET.tostring(root, encoding="unicode")}\n'
