"""Verilog-2001 for every tool: one flat module, fixed latency, a new vector every cycle.

Interface: `clk`, synchronous `rst`, `in_valid`, the input buses, `out_valid`, the output buses. How numbers lie on the
buses is in `ports.json`. Reset clears the valid chain alone; data registers need none.
"""

from __future__ import annotations

import re

from hardwire.backends import BackendError, Source
from hardwire.backends._bench import bench_files
from hardwire.backends._bits import Bits
from hardwire.backends._expressions import Expressions
from hardwire.backends._names import comment
from hardwire.backends._ports import port_files
from hardwire.backends._sections import Section, sections
from hardwire.backends._verilog_text import Verilog
from hardwire.schedule.circuit import Circuit

NAME = "verilog"
TITLE = "Verilog-2001: one pipelined module, fixed latency"

_LANGUAGE = Verilog()

RESERVED = frozenset(
    """
    always and assign automatic begin bit buf byte case casex casez cell class config const deassign default defparam
    design disable do edge else end endcase endconfig endfunction endgenerate endmodule endprimitive endspecify endtable
    endtask enum event export final for force forever fork function generate genvar if import initial inout input
    instance int integer interface join large liblist library localparam logic macromodule medium module nand negedge
    nmos nor not notif0 notif1 or output package parameter pmos posedge primitive program property pull0 pull1 pulldown
    pullup pure rand rcmos real realtime ref reg release repeat return rnmos rpmos rtran scalared shortint signed small
    specify specparam static strength string strong0 strong1 struct supply0 supply1 table task this time tran tri tri0
    tri1 type union unsigned use var vectored virtual void wait wand weak0 weak1 while wire wor xnor xor
    """.split()  # noqa: SIM905
)
"""Key words of Verilog and SystemVerilog that an identifier of this kind could meet."""


def emit(source: Source) -> dict[str, str]:
    """Write the module, its port layout, clock constraints and a test bench; returns file name → text.

    Raises `BackendError` for a name that is no Verilog identifier, and for a design without a circuit.
    """
    name, (circuit, flat) = source.name, source.schedule
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name in RESERVED:
        raise BackendError(
            f"module name {name!r} cannot be used in Verilog", hint="letters, digits and underscores, a letter first"
        )
    return {
        f"{name}.v": module(circuit, name),
        **port_files(circuit, flat, name),
        **bench_files(circuit, name, source.vectors),
    }


def module(circuit: Circuit, name: str) -> str:
    """Text of the Verilog module."""
    bits = Bits(circuit, _LANGUAGE)
    expressions = Expressions(circuit, bits)
    body = [line for section in sections(circuit, bits, expressions) for line in _text(section)]
    buses = [f"    input  wire [{bus.width - 1}:0] {bus.name}" for bus in circuit.inputs]
    ports = [
        "    input  wire clk",
        "    input  wire rst",
        "    input  wire in_valid",
        *buses,
        "    output wire out_valid",
        *(f"    output wire [{bus.width - 1}:0] {bus.name}" for bus in circuit.outputs),
    ]
    head = [
        f"// {name}: {circuit.latency} clock cycles of latency, a new vector every cycle.",
        f"// Made for {comment(circuit.target.title)} at {circuit.clock_mhz:g} MHz.",
        "// A value is named after its layer; its suffix _r1, _r2, ... counts the registers behind it.",
        "",
        "// Rounding and wrapping leave bits unread, and spare bits of buses have no reader.",
        "/* verilator lint_off UNUSEDSIGNAL */",
        f"module {name} (",
        ",\n".join(ports),
        ");",
        "",
    ]
    return "\n".join([*head, *_valid_chain(circuit.latency), *_functions(expressions), *body, "endmodule", ""])


def _valid_chain(latency: int) -> list[str]:
    top = latency - 1
    return [
        f"reg [{top}:0] valid;",
        f"always @(posedge clk) valid <= rst ? {_LANGUAGE.literal(0, latency)} : "
        f"{{valid{_LANGUAGE.span(0, top)}, in_valid}};",
        f"assign out_valid = valid[{top}];",
        "",
    ]


def _functions(expressions: Expressions) -> list[str]:
    lines, literal = [], _LANGUAGE.literal
    for table in expressions.tables():
        name, address, width, rest = table.name, table.address, table.width, table.rest
        lines += [f"function [{width - 1}:0] {name};", f"    input [{address - 1}:0] code;", "    case (code)"]
        for code, entry in enumerate(table.entries.tolist(), table.low):
            if entry != rest:
                lines.append(f"        {literal(code, address)}: {name} = {literal(entry, width)};")
        lines += [f"        default: {name} = {literal(rest, width)};", "    endcase", "endfunction", ""]
    return lines


def _declaration(kind: str, name: str, width: int) -> str:
    return f"{kind} {name}" if width == 1 else f"{kind} [{width - 1}:0] {name}"


def _text(section: Section) -> list[str]:
    lines = [f"// {section.title}"]
    for value in section.values:
        if value.registered:
            lines.append(_declaration("reg", value.name, value.width) + ";")
        else:
            lines += [f"{_declaration('wire', name, width)} = {text};" for name, width, text in value.helpers]
            text = f"{_declaration('wire', value.name, value.width)} = {value.text};"
            if value.product:
                # Operands widen to the product here by Verilog's own rule, so that multiplier blocks are found.
                lines.append("/* verilator lint_off WIDTHEXPAND */ /* verilator lint_off WIDTHTRUNC */")
                lines += [text, "/* verilator lint_on WIDTHEXPAND */ /* verilator lint_on WIDTHTRUNC */"]
            else:
                lines.append(text)
        if value.registers:
            lines.append(_declaration("reg", ", ".join(value.registers), value.width) + ";")
    clocked = [f"    {register} <= {text};" for register, text in section.clocked]
    if clocked:
        lines += ["always @(posedge clk) begin", *clocked, "end"]
    lines += [f"assign {bus.name}{_LANGUAGE.span(low, width)} = {text};" for bus, low, width, text in section.wired]
    return [*lines, ""]
