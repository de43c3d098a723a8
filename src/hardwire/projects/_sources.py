"""What a project reads of a design's files: HDL in compile order, the top's ports, its clock, its constraints."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from hardwire.errors import InternalError
from hardwire.projects import Project, ProjectError

_LANGUAGES = {".v": "verilog", ".sv": "systemverilog", ".vhd": "vhdl", ".vhdl": "vhdl"}
_BENCHES = frozenset({"tb", "sim", "csim", "test", "tests"})
"""Folders whose HDL is simulated, not synthesised."""
_CLOCKS = ("clk", "aclk", "ap_clk", "clock")


@dataclass(frozen=True)
class Hdl:
    """One source file: its relative name and its language (`verilog`, `systemverilog`, `vhdl`)."""

    name: str
    language: str


@dataclass(frozen=True)
class Pin:
    """One port of the top module; `vector` is False for a single bit that has no index."""

    name: str
    output: bool
    width: int
    vector: bool


def sources(project: Project) -> list[Hdl]:
    """The HDL to synthesise, a VHDL file behind those that it uses; raises `ProjectError` if there is none."""
    found = []
    for name in project.files:
        pure = PurePosixPath(name)
        if pure.suffix in _LANGUAGES and not _BENCHES & set(pure.parts[:-1]):
            found.append(Hdl(name, _LANGUAGES[pure.suffix]))
    if not found:
        raise ProjectError(
            f"design {project.name!r}: back end {project.backend!r} wrote no Verilog or VHDL",
            hint="compile it with --backend verilog or vhdl",
        )
    return _in_compile_order(sorted(found, key=lambda hdl: hdl.name), project.files)


def _in_compile_order(found: list[Hdl], files: Mapping[str, str]) -> list[Hdl]:
    """Verilog as it stands; each VHDL file behind the files whose packages and entities it names."""
    home: dict[str, str] = {}
    uses: dict[str, set[str]] = {}
    for hdl in found:
        if hdl.language == "vhdl":
            text = re.sub(r"--[^\n]*", "", files[hdl.name]).lower()
            for unit in re.findall(r"^\s*(?:package|entity)\s+(\w+)\s+is\b", text, re.MULTILINE):
                home[unit] = hdl.name
            uses[hdl.name] = set(re.findall(r"\bwork\s*\.\s*(\w+)", text))
    ordered: list[Hdl] = [hdl for hdl in found if hdl.language != "vhdl"]
    waiting = [hdl for hdl in found if hdl.language == "vhdl"]
    placed: set[str] = set()
    while waiting:
        for hdl in waiting:
            needed = {home[unit] for unit in uses[hdl.name] if unit in home} - {hdl.name}
            if needed <= placed:
                break
        else:
            raise InternalError(f"VHDL files use each other in a circle: {', '.join(hdl.name for hdl in waiting)}")
        ordered.append(hdl)
        placed.add(hdl.name)
        waiting.remove(hdl)
    return ordered


def pins(project: Project) -> list[Pin]:
    """The ports of the top module or entity, in its order; raises `ProjectError` if no source declares it."""
    for hdl in sources(project):
        text = project.files[hdl.name]
        found = _vhdl_pins(text, project.top) if hdl.language == "vhdl" else _verilog_pins(text, project.top)
        if found:
            return found
    raise ProjectError(
        f"design {project.name!r}: none of {', '.join(hdl.name for hdl in sources(project))} declares the ports of top "
        f"{project.top!r}",
        hint="name the wrapper's or the design's own module as top",
    )


def clock_pin(project: Project) -> str:
    """The name of the top's clock input."""
    single = [pin.name for pin in pins(project) if not pin.output and pin.width == 1]
    for name in (*_CLOCKS, *(name for name in single if name.endswith(("_clk", "_aclk")))):
        if name in single:
            return name
    raise ProjectError(
        f"top {project.top!r} has no clock among its inputs {', '.join(single) or '(none)'}",
        hint=f"a port named {' or '.join(_CLOCKS)}",
    )


def clock_constraint(project: Project, suffix: str, *, clock_alone: bool = False) -> tuple[str | None, str]:
    """The design's constraint file of that suffix (`.xdc`, `.sdc`, `.lpf`), and the text of the clock's own.

    The file is None where the design has none that fits the top: its ports, its clock and its period; or, with
    `clock_alone` (the top's other ports lie within a harness), where it names other ports than the clock. A project
    then writes the text into a file of its own.
    """
    clock, period = clock_pin(project), 1000.0 / project.clock_mhz
    if suffix == ".lpf":
        text = f'FREQUENCY PORT "{clock}" {project.clock_mhz:g} MHZ;\n'
    else:
        text = f"create_clock -name {clock} -period {period:.3f} [get_ports {clock}]\n"
    own = f"{project.top}{suffix}"
    lines = project.files.get(own, "").splitlines(keepends=True)
    said = "".join(line for line in lines if not line.startswith("#"))
    # A wrapper's file may say more than the clock.
    if text in said and not (clock_alone and re.search(r"get_ports|PORT", said.replace(text, ""))):
        return own, text
    for name in sorted(project.files):
        if name.endswith(suffix) and project.files[name] == text:
            return name, text
    return None, text


def _verilog_pins(text: str, top: str) -> list[Pin]:
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    head = re.search(rf"\bmodule\s+{re.escape(top)}\b\s*", text)
    if head is None:
        return []
    place, values = head.end(), dict[str, int]()
    if text.startswith("#", place):
        start = text.index("(", place)
        place = _closing(text, start) + 1
        for item in _split(text[start + 1 : place - 1], ","):
            match = re.search(r"(\w+)\s*=\s*(.+)$", item.strip(), re.DOTALL)
            if match:
                values[match[1]] = _number(match[2], values)
    start = text.index("(", place)
    found: list[Pin] = []
    output, bounds = False, None
    ports = re.sub(r"\(\*.*?\*\)", "", text[start + 1 : _closing(text, start)], flags=re.DOTALL)
    for item in _split(ports, ","):
        match = re.fullmatch(
            r"\s*(?:(input|output)\b\s*)?(?:wire\b|reg\b|logic\b)?\s*(?:signed\b)?\s*(?:\[([^\]]*)\])?\s*(\w+)\s*",
            item,
            re.DOTALL,
        )
        if match is None or not (match[1] or found):
            raise ProjectError(f"top {top!r}: the port {item.strip()!r} is not understood", hint="a plain ANSI header")
        if match[1]:
            output, bounds = match[1] == "output", match[2]
        found.append(_pin(match[3], output, bounds, ":", values))
    return found


def _vhdl_pins(text: str, top: str) -> list[Pin]:
    text = re.sub(r"--[^\n]*", "", text)
    head = re.search(rf"\bentity\s+{re.escape(top)}\s+is\b(.*?)\bend\b", text, re.DOTALL | re.IGNORECASE)
    if head is None:
        return []
    body, values = head[1], dict[str, int]()
    generic = re.search(r"\bgeneric\s*\(", body, re.IGNORECASE)
    if generic:
        for item in _split(body[generic.end() : _closing(body, generic.end() - 1)], ";"):
            match = re.search(
                r"(\w+)\s*:\s*(?:integer|natural|positive)\b[^:]*:=\s*(.+)$", item, re.DOTALL | re.IGNORECASE
            )
            if match:
                values[match[1]] = _number(match[2], values)
    port = re.search(r"\bport\s*\(", body, re.IGNORECASE)
    if port is None:
        return []
    found: list[Pin] = []
    for item in _split(body[port.end() : _closing(body, port.end() - 1)], ";"):
        match = re.fullmatch(
            r"\s*(?:signal\s+)?([\w\s,]+?)\s*:\s*(in|out)\s+(?:std_u?logic|std_u?logic_vector\s*\((.*)\))\s*",
            item,
            re.DOTALL | re.IGNORECASE,
        )
        if match is None:
            raise ProjectError(f"top {top!r}: the port {item.strip()!r} is not understood", hint="std_logic types")
        bounds = None if match[3] is None else re.sub(r"\bdownto\b", ":", match[3], flags=re.IGNORECASE)
        for name in match[1].split(","):
            found.append(_pin(name.strip(), match[2].lower() == "out", bounds, ":", values))
    return found


def _pin(name: str, output: bool, bounds: str | None, between: str, values: Mapping[str, int]) -> Pin:
    if bounds is None:
        return Pin(name, output, 1, False)
    high, low = (_number(part, values) for part in bounds.split(between))
    return Pin(name, output, high - low + 1, True)


def _closing(text: str, start: int) -> int:
    """The place of the parenthesis that closes the one at `start`."""
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if depth == 0:
            return place
    raise ProjectError("a module's header does not end: a parenthesis is open", hint="write the design anew")


def _split(text: str, at: str) -> list[str]:
    """The parts between separators outside of all brackets; none for an empty text."""
    parts, depth = [""], 0
    for c in text:
        depth += (c in "([{") - (c in ")]}")
        if c == at and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return [part for part in parts if part.strip()]


_OPERATORS: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.floordiv,
}


def _number(text: str, values: Mapping[str, int]) -> int:
    """A constant expression of a port's bounds: integers, parameters, + - * /."""

    def value(node: ast.expr) -> int:
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value
        if isinstance(node, ast.Name) and node.id in values:
            return values[node.id]
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        raise SyntaxError

    try:
        return value(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError:
        raise ProjectError(f"{text.strip()!r} in a module's header is no constant", hint="plain numbers") from None
