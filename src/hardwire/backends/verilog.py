"""Verilog-2001 for every tool: one flat module, fixed latency, a new vector every cycle.

Interface: `clk`, synchronous `rst`, `in_valid`, the input buses, `out_valid`, the output buses. How numbers lie on the
buses is in `ports.json`. Reset clears the valid chain alone; data registers need none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import numpy as np

from hardwire.backends import BackendError, Source
from hardwire.backends._bench import bench_files
from hardwire.backends._bits import Bits, literal
from hardwire.backends._expressions import Expressions, address_bits
from hardwire.backends._names import comment
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Program, fraction_bits
from hardwire.schedule.circuit import Bus, Circuit

NAME = "verilog"
TITLE = "Verilog-2001: one pipelined module, fixed latency"

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
    period = 1000.0 / circuit.clock_mhz
    clock = f"create_clock -name clk -period {period:.3f} [get_ports clk]\n"
    return {
        f"{name}.v": module(circuit, name),
        "ports.json": json.dumps(port_layout(circuit, flat, name), indent=1) + "\n",
        f"{name}.lpf": f'FREQUENCY PORT "clk" {circuit.clock_mhz:g} MHZ;\n',
        f"{name}.xdc": clock,
        f"{name}.sdc": clock,
        **bench_files(circuit, name, source.vectors),
    }


def module(circuit: Circuit, name: str) -> str:
    """Text of the Verilog module."""
    bits = Bits(circuit)
    body, expressions = _sections(circuit, bits)
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
    return "\n".join([*head, *_valid_chain(circuit.latency), *_functions(circuit, expressions), *body, "endmodule", ""])


def _valid_chain(latency: int) -> list[str]:
    top = latency - 1
    return [
        f"reg [{top}:0] valid;",
        f"always @(posedge clk) valid <= rst ? {literal(0, latency)} : {{valid{_span(0, top)}, in_valid}};",
        f"assign out_valid = valid[{top}];",
        "",
    ]


def _functions(circuit: Circuit, expressions: Expressions) -> list[str]:
    lines = []
    for (table, low, high, first, width), name in expressions.functions.items():
        entries = circuit.kernel.tables[table][low - first : high - first + 1]
        address = address_bits(low, high)
        # Addresses out of reach read the most frequent entry.
        values, counts = np.unique(entries, return_counts=True)
        rest = int(values[np.argmax(counts)])
        lines += [f"function [{width - 1}:0] {name};", f"    input [{address - 1}:0] code;", "    case (code)"]
        for code, entry in enumerate(entries.tolist(), low):
            if entry != rest:
                lines.append(f"        {literal(code, address)}: {name} = {literal(entry, width)};")
        lines += [f"        default: {name} = {literal(rest, width)};", "    endcase", "endfunction", ""]
    return lines


def _declaration(kind: str, name: str, width: int) -> str:
    return f"{kind} {name}" if width == 1 else f"{kind} [{width - 1}:0] {name}"


def _sections(circuit: Circuit, bits: Bits) -> tuple[list[str], Expressions]:
    kernel = circuit.kernel
    expressions = Expressions(circuit, bits)
    is_constant = circuit.constant.tolist()
    copies: list[int] = circuit.copies.tolist()
    op: list[int] = kernel.op.tolist()
    lines: list[str] = []
    for bus in circuit.inputs:
        lines += [f"// Input {bus.name}: {comment(bus.port.name)}"]
        clocked: list[str] = []
        seen: set[int] = set()
        for element in bus.elements:
            v = element.value
            if v < 0 or v in seen or is_constant[v]:
                continue
            seen.add(v)
            lines.append(_declaration("reg", bits.names[v], bits.width[v]) + ";")
            clocked.append(f"    {bits.names[v]} <= {_slice(bus, element.offset, element.width, bits, v)};")
            _delay_line(bits.names[v], bits.width[v], copies[v], lines, clocked)
        lines += _clocked(clocked)
    for origin, members in _groups(circuit):
        members = [i for i in members if not (is_constant[i] or op[i] == OpCode.INPUT or bits.root[i] != i)]
        if not members:
            continue
        lines.append(f"// Layer {comment(kernel.origins[origin]) or '(none)'}")
        clocked = []
        for i in members:
            name, width = bits.names[i], bits.width[i]
            text = f"{_declaration('wire', name, width)} = {expressions(i)};"
            lines += [f"{_declaration('wire', *helper[:2])} = {helper[2]};" for helper in expressions.helpers]
            if op[i] == OpCode.MUL:
                # Operands widen to the product here by Verilog's own rule, so that multiplier blocks are found.
                lines.append("/* verilator lint_off WIDTHEXPAND */ /* verilator lint_off WIDTHTRUNC */")
                lines += [text, "/* verilator lint_on WIDTHEXPAND */ /* verilator lint_on WIDTHTRUNC */"]
            else:
                lines.append(text)
            _delay_line(name, width, copies[i], lines, clocked)
        lines += _clocked(clocked)
    for bus in circuit.outputs:
        lines += [f"// Output {bus.name}: {comment(bus.port.name)}"]
        clocked, wires = [], []
        register: dict[int, str] = {}
        for k, element in enumerate(bus.elements):
            text = bits.of(element.value, circuit.depth, 0, element.width)
            span = _span(element.offset, element.width)
            if element.lo == element.hi:
                wires.append(f"assign {bus.name}{span} = {text};")
                continue
            if element.value in register:
                wires.append(f"assign {bus.name}{span} = {register[element.value]};")
                continue
            name = register[element.value] = f"{bus.name}_{k}"
            lines.append(_declaration("reg", name, element.width) + ";")
            clocked.append(f"    {name} <= {text};")
            wires.append(f"assign {bus.name}{span} = {name};")
        if not bus.elements:
            wires.append(f"assign {bus.name} = 1'd0;")
        lines += _clocked(clocked)[:-1]
        lines += [*wires, ""]
    return lines, expressions


def _span(offset: int, width: int) -> str:
    return f"[{offset}]" if width == 1 else f"[{offset + width - 1}:{offset}]"


def _slice(bus: Bus, offset: int, width: int, bits: Bits, v: int) -> str:
    """An input element, brought to the width of the kernel's value (equal unless the kernel serves wider inputs)."""
    wanted = bits.width[v]
    if wanted <= width:
        return bus.name + _span(offset, wanted)
    sign = f"{bus.name}[{offset + width - 1}]" if bits.signed(v) and width else "1'd0"
    low = [bus.name + _span(offset, width)] if width else []
    return "{" + ", ".join([f"{{{wanted - width}{{{sign}}}}}", *low]) + "}"


def _delay_line(name: str, width: int, copies: int, lines: list[str], clocked: list[str]) -> None:
    before = name
    names = [f"{name}_r{k}" for k in range(1, copies + 1)]
    if names:
        lines.append(_declaration("reg", ", ".join(names), width) + ";")
    for after in names:
        clocked.append(f"    {after} <= {before};")
        before = after


def _clocked(clocked: Sequence[str]) -> list[str]:
    return ["always @(posedge clk) begin", *clocked, "end", ""] if clocked else [""]


def _groups(circuit: Circuit) -> list[tuple[int, list[int]]]:
    """Values by layer where that keeps every value before its readers; otherwise runs of equal layers."""
    kernel = circuit.kernel
    origin = kernel.origin.tolist()
    order = {o: k for k, o in enumerate(dict.fromkeys(origin))}
    rank = np.array([order[o] for o in origin], np.int64)
    args = circuit.args
    in_order = all(bool(np.all((args[:, k] < 0) | (rank[args[:, k]] <= rank))) for k in range(3))
    groups: list[tuple[int, list[int]]] = []
    for i in np.argsort(rank, kind="stable").tolist() if in_order else range(len(origin)):
        if groups and groups[-1][0] == origin[i]:
            groups[-1][1].append(i)
        else:
            groups.append((origin[i], [i]))
    return groups


def port_layout(circuit: Circuit, program: Program, name: str) -> dict[str, object]:
    """Where each number lies on its bus: `ports.json`.

    `value = code × scale`; `scale` is `[numerator, denominator]`, `frac` the fractional bits of a power of two.
    """

    def bus_layout(bus: Bus) -> dict[str, object]:
        scales = program.port_scale(bus.port)
        elements = []
        for element, scale in zip(bus.elements, scales, strict=True):
            elements.append(
                {
                    "offset": element.offset,
                    "width": element.width,
                    "signed": element.signed,
                    "lo": element.lo,
                    "hi": element.hi,
                    "frac": fraction_bits(scale),
                    "scale": [scale.numerator, scale.denominator],
                }
            )
        return {
            "bus": bus.name,
            "port": bus.port.name,
            "shape": list(bus.port.shape),
            "width": bus.width,
            "elements": elements,
        }

    return {
        "module": name,
        "clock": "clk",
        "reset": "rst, synchronous, active high; clears the valid chain",
        "latency_cycles": circuit.latency,
        "initiation_interval": circuit.initiation_interval,
        "clock_mhz": circuit.clock_mhz,
        "layout": "element 0 in the lowest bits; two's complement where signed; a constant input takes no bits",
        "inputs": [bus_layout(bus) for bus in circuit.inputs],
        "outputs": [bus_layout(bus) for bus in circuit.outputs],
    }
