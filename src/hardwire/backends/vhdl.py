"""VHDL-2008 for every tool: one flat entity, fixed latency, a new vector every cycle; the Verilog back end's twin.

Interface: `clk`, synchronous `rst`, `in_valid`, the input buses, `out_valid`, the output buses, all `std_logic_vector`.
How numbers lie on the buses is in `ports.json`. Reset clears the valid chain alone; data registers need none.
"""

from __future__ import annotations

import re

from hardwire.backends import BackendError, Source
from hardwire.backends._bits import Bits
from hardwire.backends._expressions import Expressions, Table
from hardwire.backends._names import comment
from hardwire.backends._ports import port_files
from hardwire.backends._sections import Section, sections
from hardwire.backends._vhdl_bench import bench_files
from hardwire.backends._vhdl_text import FUNCTIONS, Vhdl, outermost, qualified
from hardwire.schedule.circuit import Circuit

NAME = "vhdl"
TITLE = "VHDL-2008: one pipelined entity, fixed latency"

RESERVED = frozenset(
    """
    abs access after alias all and architecture array assert assume attribute begin block body buffer bus case component
    configuration constant context cover default disconnect downto else elsif end entity exit fairness file for force
    function generate generic group guarded if impure in inertial inout is label library linkage literal loop map mod
    nand new next nor not null of on open or others out package parameter port postponed procedure process property
    protected pure range record register reject release rem report restrict return rol ror select sequence severity
    shared signal sla sll sra srl strong subtype then to transport type unaffected units until use variable view vmode
    vprop vunit wait when while with xnor xor
    all_ones any_one ieee integer natural numeric_std resize rising_edge rtl signed std std_logic std_logic_1164
    std_logic_vector textio to_integer unsigned work
    """.split()  # noqa: SIM905
)
"""Key words of VHDL-2008 and VHDL-2019, which does not tell small letters from large ones; then names that the text
uses, which an entity of the same name would hide."""

_LINE = 112
_LANGUAGE = Vhdl()


def emit(source: Source) -> dict[str, str]:
    """Write the entity, its port layout, clock constraints and a test bench; returns file name → text.

    Raises `BackendError` for a name that is no VHDL identifier, and for a design without a circuit.
    """
    name, (circuit, flat) = source.name, source.schedule
    if not re.fullmatch(r"[A-Za-z](_?[A-Za-z0-9])*", name) or name.lower() in RESERVED:
        raise BackendError(
            f"entity name {name!r} cannot be used in VHDL",
            hint="letters, digits and single underscores between them, a letter first, and no word of the language",
        )
    return {
        f"{name}.vhd": entity(circuit, name),
        **port_files(circuit, flat, name),
        **bench_files(circuit, name, source.vectors),
    }


def entity(circuit: Circuit, name: str) -> str:
    """Text of the entity and its architecture."""
    bits = Bits(circuit, _LANGUAGE)
    expressions = Expressions(circuit, bits)
    parts = list(sections(circuit, bits, expressions))
    statements = [line for part in parts for line in _statements(part)]
    called = [text for function, text in FUNCTIONS.items() if any(f"{function}(" in line for line in statements)]
    ports = [
        "    clk : in std_logic",
        "    rst : in std_logic",
        "    in_valid : in std_logic",
        *(f"    {bus.name} : in std_logic_vector({bus.width - 1} downto 0)" for bus in circuit.inputs),
        "    out_valid : out std_logic",
        *(f"    {bus.name} : out std_logic_vector({bus.width - 1} downto 0)" for bus in circuit.outputs),
    ]
    lines = [
        f"-- {name}: {circuit.latency} clock cycles of latency, a new vector every cycle.",
        f"-- Made for {comment(circuit.target.title)} at {circuit.clock_mhz:g} MHz.",
        "-- A value is named after its layer; its suffix _r1, _r2, ... counts the registers behind it.",
        "-- Words are unsigned whatever they stand for: every sign extension is written out.",
        "",
        "library ieee;",
        "use ieee.std_logic_1164.all;",
        "use ieee.numeric_std.all;",
        "",
        f"entity {name} is",
        "  port (",
        ";\n".join(ports),
        "  );",
        f"end entity {name};",
        "",
        f"architecture rtl of {name} is",
        *called,
        *(line for table in expressions.tables() for line in _table(table)),
        f"  signal valid : std_logic_vector({circuit.latency - 1} downto 0);",
        "",
        *(line for part in parts for line in _declarations(part)),
        "begin",
        *_process(
            [
                "if rst = '1' then",
                "  valid <= (others => '0');",
                "else",
                f"  valid <= valid({circuit.latency - 2} downto 0) & in_valid;",
                "end if;",
            ]
        ),
        f"  out_valid <= valid({circuit.latency - 1});",
        "",
        *statements,
        "end architecture rtl;",
        "",
    ]
    return "\n".join(lines)


def _type(width: int) -> str:
    return "std_logic" if width == 1 else f"unsigned({width - 1} downto 0)"


def _table(table: Table) -> list[str]:
    size = 1 << table.address
    words = [_LANGUAGE.literal(table.rest, table.width)] * size
    for code, entry in enumerate(table.entries.tolist(), table.low):
        words[code % size] = _LANGUAGE.literal(entry, table.width)
    high = table.low + len(table.entries) - 1
    lines = [
        f"  -- At codes {table.low} to {high}, addressed by their low {table.address} bits.",
        f"  type {table.name}_words is array (0 to {size - 1}) of {_type(table.width)};",
        f"  constant {table.name} : {table.name}_words := (",
    ]
    line = "   "
    for k, word in enumerate(words):
        text = f" {word}{',' if k < size - 1 else ''}"
        if len(line) + len(text) > _LINE:
            lines.append(line)
            line = "   "
        line += text
    return [*lines, line, "  );", ""]


def _declarations(section: Section) -> list[str]:
    lines = []
    for value in section.values:
        lines += [f"  signal {name} : {_type(width)};" for name, width, _ in value.helpers]
        lines.append(f"  signal {', '.join([value.name, *value.registers])} : {_type(value.width)};")
    return [f"  -- {section.title}", *lines, ""] if lines else []


def _statements(section: Section) -> list[str]:
    lines = [f"  -- {section.title}"]
    for value in section.values:
        if not value.registered:
            lines += [_assignment(name, text) for name, _, text in value.helpers]
            lines.append(_assignment(value.name, value.text))
    lines += _process([f"{register} <= {outermost(text)};" for register, text in section.clocked])
    for bus, low, width, text in section.wired:
        word = f"std_logic_vector({qualified(text, width)})" if width > 1 else text
        lines.append(f"  {bus.name}{_LANGUAGE.span(low, width)} <= {word};")
    return [*lines, ""]


def _assignment(name: str, text: str) -> str:
    """A concurrent assignment; a long one has a line for each choice."""
    line = f"  {name} <= {outermost(text)};"
    return line if len(line) <= _LINE else line.replace(" else ", "\n    else ")


def _process(clocked: list[str]) -> list[str]:
    """A process that does all this at each clock edge; nothing for nothing."""
    if not clocked:
        return []
    inner = [f"      {line}" for line in clocked]
    return ["  process (clk)", "  begin", "    if rising_edge(clk) then", *inner, "    end if;", "  end process;"]
